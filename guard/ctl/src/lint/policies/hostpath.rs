//! Checks which workloads may mount directories of the node, and how.

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::Role;

/// `hostpath-workload`
pub fn workload(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in
        inventory.workloads.iter().filter(|it| !matches!(it.role(), Some(Role::Server | Role::Postgres | Role::Backup)))
    {
        for (place, volume) in workload.volumes() {
            if let Some(host_path) = &volume.host_path {
                let field = workload.field(&format!("volumes[{place}].hostPath"));
                sink.add(workload.object, field, &host_path.path, "another type of volume");
            }
        }
    }
}

/// `hostpath-type`
pub fn type_directory(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for (place, volume) in workload.volumes() {
            if let Some(host_path) = volume.host_path.as_ref().filter(|it| it.type_.as_deref() != Some("Directory")) {
                let found =
                    host_path.type_.as_deref().unwrap_or("unset: Kubernetes then does not check that the directory exists");
                sink.add(workload.object, workload.field(&format!("volumes[{place}].hostPath.type")), found, "Directory");
            }
        }
    }
}

/// `mount-propagation`
pub fn mount_propagation(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for container in workload.all_containers() {
            for (place, mount) in container.spec.volume_mounts.iter().flatten().enumerate() {
                if let Some(mode) = mount.mount_propagation.as_deref().filter(|mode| *mode != "None") {
                    sink.add(
                        workload.object,
                        container.field(&format!("volumeMounts[{place}].mountPropagation")),
                        mode,
                        "unset or None",
                    );
                }
            }
        }
    }
}
