//! What the strict reading of each object found.

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::strict::Fault;

/// `unknown-field`
pub fn unknown_field(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, faults) in &inventory.faults {
        for fault in faults.iter().flatten() {
            if let Fault::Unknown { path, nearest } = fault {
                let wanted = nearest.map_or_else(|| "a field of this kind".to_owned(), |name| format!("`{name}`?"));
                sink.add(object, path, "a field that Kubernetes does not know", wanted);
            }
        }
    }
}

/// `wrong-type`
pub fn wrong_type(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, faults) in &inventory.faults {
        for fault in faults.iter().flatten() {
            if let Fault::Type { path, message } = fault {
                sink.add(object, path, message, "the type of the API reference");
            }
        }
    }
}

/// `unchecked-kind`
pub fn unchecked_kind(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, faults) in &inventory.faults {
        if faults.is_none() {
            let found = format!("{} {}", object.api_version, object.kind);
            sink.add(object, "kind", found, "a kind that guardctl knows; its fields are not checked");
        }
    }
}
