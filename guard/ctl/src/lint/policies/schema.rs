//! Reports what does not fit the type of an object.

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::strict::Fault;

/// `unknown-field`
pub fn unknown_field(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, faults) in &inventory.faults {
        for fault in faults.iter().flatten() {
            if let Fault::Unknown { path, nearest } = fault {
                let wanted = nearest.map_or_else(
                    || "a field of this kind: see its API reference".to_owned(),
                    |name| format!("`{name}`: did you mean this field?"),
                );
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
                sink.add(object, path, message, "the type that the API reference gives for this field");
            }
        }
    }
}

/// `unchecked-kind`
pub fn unchecked_kind(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, faults) in &inventory.faults {
        if faults.is_none() {
            let found = format!("{} {}", object.api_version, object.kind);
            sink.add(
                object,
                "kind",
                found,
                "a kind that guardctl knows: check this object with `kubectl apply --dry-run=server`",
            );
        }
    }
}
