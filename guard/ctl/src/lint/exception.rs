//! Exceptions that an object grants itself: an annotation that names the policy and says why. One that is not needed is a finding too.

use super::finding::Finding;
use super::inventory::Inventory;
use super::policies::{EXCEPTION_INVALID, EXCEPTION_UNUSED, Policy};

/// `policy-id: reason; other-id: reason`.
pub(super) const ANNOTATION: &str = "guardctl.lint/allow";

/// Takes away what an exception covers; adds what is wrong with the exceptions.
pub(super) fn apply(inventory: &Inventory<'_>, findings: &mut Vec<Finding>) {
    let field = format!("metadata.annotations[\"{ANNOTATION}\"]");
    for object in inventory.objects {
        let Some(text) = object.metadata("annotations", ANNOTATION) else { continue };
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (id, reason) = entry.split_once(':').map_or((entry, ""), |(id, reason)| (id.trim(), reason.trim()));
            if Policy::find(id).is_none() {
                let wanted = "an id of `guardctl lint --list`";
                EXCEPTION_INVALID.sink(findings).add(object, &field, format!("`{id}`, which is no policy"), wanted);
            } else if reason.is_empty() {
                EXCEPTION_INVALID.sink(findings).add(object, &field, format!("`{id}` without a reason"), format!("{id}: why"));
            } else {
                let before = findings.len();
                findings.retain(|finding| finding.index != object.index || finding.id != id);
                if findings.len() == before {
                    let found = format!("`{id}`, which finds nothing here");
                    EXCEPTION_UNUSED.sink(findings).add(object, &field, found, "no exception");
                }
            }
        }
    }
}
