//! Checks the labels for Pod Security Standards of each namespace.

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::Role;

const LABEL: &str = "pod-security.kubernetes.io";

/// `namespace-security`
pub fn security(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for namespace in inventory.of_kind("Namespace") {
        let faces_internet = inventory.workloads.iter().any(|it| {
            it.object.namespace == namespace.name
                && matches!(it.role(), Some(Role::Guard | Role::Tunnel | Role::Outpost | Role::PublicProxy | Role::ShareTunnel))
        });
        let has_host_path = inventory
            .workloads
            .iter()
            .any(|it| it.object.namespace == namespace.name && it.volumes().any(|(_, volume)| volume.host_path.is_some()));
        let enforce = format!("{LABEL}/enforce");
        let enforced = namespace.metadata("labels", &enforce);
        if has_host_path && enforced != Some("privileged") {
            // Otherwise the default of the cluster holds, and Talos has "baseline".
            let field = format!("metadata.labels[\"{enforce}\"]");
            sink.add(namespace, field, enforced.unwrap_or("unset"), "privileged: its pods have hostPath volumes");
        }
        // A namespace with a hostPath can enforce nothing stricter than "privileged", because "baseline" forbids hostPath.
        let modes: &[&str] =
            if faces_internet || namespace.name == "immich-edge" { &["enforce", "warn", "audit"] } else { &["warn", "audit"] };
        for mode in modes {
            let label = format!("{LABEL}/{mode}");
            let level = namespace.metadata("labels", &label);
            if level != Some("restricted") {
                sink.add(namespace, format!("metadata.labels[\"{label}\"]"), level.unwrap_or("unset"), "restricted");
            }
        }
    }
}
