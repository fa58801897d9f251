//! Checks labels and service accounts.

use std::collections::BTreeMap;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::object::Object;
use crate::lint::sops::{Encryption, encryption};

const LABELS: [&str; 3] = ["app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of"];

/// `common-labels`
pub fn common_labels(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    // An encrypted Secret is as `kubectl create secret` wrote it, and a Secret that was made by hand has no labels either.
    let is_encrypted = |object: &&Object| object.kind == "Secret" && encryption(&object.value) == Encryption::Whole;
    for object in inventory.objects.iter().filter(|object| object.is_built_in() && !is_encrypted(object)) {
        for label in LABELS.iter().filter(|label| object.metadata("labels", label).is_none()) {
            sink.add(object, "metadata.labels", format!("no {label}"), *label);
        }
    }
    for workload in inventory.workloads.iter().filter(|workload| workload.object.kind != "Pod") {
        for label in LABELS.iter().filter(|label| !workload.labels.contains_key(**label)) {
            sink.add(workload.object, format!("{}.metadata.labels", workload.at), format!("no {label}"), *label);
        }
    }
}

/// `service-account`
pub fn service_account(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let mut owners = BTreeMap::new();
    for workload in &inventory.workloads {
        let object = workload.object;
        let field = workload.field("serviceAccountName");
        let name = workload.spec.service_account_name.as_deref().unwrap_or("default");
        let exists = inventory.of_kind("ServiceAccount").any(|it| it.name == name && it.namespace == object.namespace);
        if name == "default" {
            sink.add(object, field, "the default account of the namespace", "a separate ServiceAccount for this workload");
        } else if !exists {
            sink.add(
                object,
                field,
                format!("{name}, which is not among the manifests"),
                format!("an object ServiceAccount {}/{name}", object.namespace),
            );
        } else if let Some(owner) = owners.insert((&object.namespace, name), object) {
            sink.add(
                object,
                field,
                format!("{name}, which {} uses too", owner.title()),
                "a separate ServiceAccount for this workload",
            );
        }
    }
}

/// `service-account-token`
pub fn service_account_token(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        if workload.spec.automount_service_account_token != Some(false) {
            let found = workload.spec.automount_service_account_token.map_or("unset, which means true", |_| "true");
            sink.add(workload.object, workload.field("automountServiceAccountToken"), found, "false");
        }
    }
}
