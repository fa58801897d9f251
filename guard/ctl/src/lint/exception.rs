//! Exceptions: an annotation of an object names a policy and gives a reason. An exception that is not needed is a finding too.

use super::finding::Finding;
use super::inventory::Inventory;
use super::policies::{EXCEPTION_INVALID, EXCEPTION_UNUSED, Policy};

/// The annotation. Its value is `policy-id: reason; other-id: reason`.
pub(super) const ANNOTATION: &str = "guardctl.lint/allow";

/// Removes the findings that an exception covers, and adds findings for invalid and unused exceptions.
pub(super) fn apply(inventory: &Inventory<'_>, findings: &mut Vec<Finding>) {
    let field = format!("metadata.annotations[\"{ANNOTATION}\"]");
    for object in inventory.objects {
        let Some(text) = object.metadata("annotations", ANNOTATION) else { continue };
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (id, reason) = entry.split_once(':').map_or((entry, ""), |(id, reason)| (id.trim(), reason.trim()));
            if Policy::find(id).is_none() {
                let wanted = "the id of a policy: run `guardctl lint --list`";
                EXCEPTION_INVALID.sink(findings).add(object, &field, format!("`{id}`, which is not a policy"), wanted);
            } else if reason.is_empty() {
                EXCEPTION_INVALID.sink(findings).add(
                    object,
                    &field,
                    format!("`{id}` without a reason"),
                    format!("`{id}: REASON`"),
                );
            } else {
                let before = findings.len();
                findings.retain(|finding| finding.index != object.index || finding.id != id);
                if findings.len() == before {
                    let found = format!("`{id}`, but this policy finds nothing in this object");
                    EXCEPTION_UNUSED.sink(findings).add(object, &field, found, "no exception: remove it");
                }
            }
        }
    }
}
