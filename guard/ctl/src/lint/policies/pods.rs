//! Checks pods: namespaces of the node, service links, grace period, volumes, replicas and nodes.

use k8s_openapi::api::core::v1::Volume;

use super::placeholder::placeholder;
use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::object::Object;
use crate::lint::workload::{Role, Workload};

/// The shortest grace period in seconds. With less, Kubernetes kills even a process that ends normally.
const MIN_GRACE: i64 = 10;
/// The default of Kubernetes in seconds.
const DEFAULT_GRACE: i64 = 30;

/// `host-namespaces`
pub fn host_namespaces(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        let spec = &workload.spec;
        for (name, value) in [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)] {
            if value == Some(true) {
                sink.add(workload.object, workload.field(name), "true", "unset or false");
            }
        }
    }
}

/// `service-links`
pub fn service_links(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        if workload.spec.enable_service_links != Some(false) {
            let found = workload.spec.enable_service_links.map_or("unset, which means true", |_| "true");
            sink.add(workload.object, workload.field("enableServiceLinks"), found, "false");
        }
    }
}

/// `grace-period`
pub fn grace_period(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.workloads.iter().filter(|workload| workload.is_lasting()) {
        let grace = workload.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE);
        let (least, why) =
            time_to_end(inventory, workload).unwrap_or((MIN_GRACE - 1, "the least time for a process to end normally"));
        if grace <= least {
            let field = workload.field("terminationGracePeriodSeconds");
            sink.add(workload.object, field, format!("{grace} s"), format!("more than {least} s: {why}"));
        }
    }
}

/// Returns how many seconds the process in the pod needs to end, by its own configuration, and why.
fn time_to_end(inventory: &Inventory<'_>, workload: &Workload<'_>) -> Option<(i64, &'static str)> {
    let container = workload.main()?;
    let (flag, variable, default, why) = match workload.role()? {
        Role::Guard => ("--grace", "GUARD_GRACE", 25, "guard drains (GUARD_DRAIN_DELAY, GUARD_GRACE and the preStop sleep)"),
        Role::Tunnel | Role::ShareTunnel => {
            ("--grace-period", "TUNNEL_GRACE_PERIOD", 30, "cloudflared drains (--grace-period and the preStop sleep)")
        }
        _ => return None,
    };
    let variable = inventory.variable(container, variable).and_then(|variable| variable.value);
    let own = container.flag(flag).map(str::to_owned).or(variable).and_then(|text| seconds(&text)).unwrap_or(default);
    let hook = container.spec.lifecycle.as_ref().and_then(|it| it.pre_stop.as_ref()).and_then(|it| it.sleep.as_ref());
    let delay = inventory.variable(container, "GUARD_DRAIN_DELAY").and_then(|variable| variable.value);
    let delay = container.flag("--drain-delay").map(str::to_owned).or(delay).and_then(|text| seconds(&text)).unwrap_or(0);
    Some((own + delay + hook.map_or(0, |sleep| sleep.seconds), why))
}

/// Parses a duration such as `30s`, `1m` or `30` to seconds.
fn seconds(text: &str) -> Option<i64> {
    match text.strip_suffix('m') {
        Some(minutes) => minutes.parse::<i64>().ok().map(|minutes| minutes * 60),
        None => text.trim_end_matches('s').parse().ok(),
    }
}

/// `pod-containers`
pub fn containers(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.workloads.iter().filter(|workload| workload.spec.containers.is_empty()) {
        sink.add(workload.object, workload.field("containers"), "no container", "at least one container");
    }
}

/// `volume-source`
pub fn volume_source(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for (place, volume) in workload.volumes() {
            let fields =
                serde_json::to_value(volume).ok().and_then(|value| Some(value.as_object()?.keys().cloned().collect::<Vec<_>>()));
            let sources: Vec<_> = fields.unwrap_or_default().into_iter().filter(|field| field != "name").collect();
            if sources.len() != 1 {
                let found = if sources.is_empty() { "no source".to_owned() } else { sources.join(" and ") };
                sink.add(workload.object, workload.field(&format!("volumes[{place}]")), found, "exactly one source");
            }
        }
    }
}

/// `memory-volume-limit`
pub fn memory_volume_limit(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for (place, volume) in workload.volumes() {
            let in_memory = volume.empty_dir.as_ref().filter(|dir| dir.medium.as_deref() == Some("Memory"));
            if in_memory.is_some_and(|dir| dir.size_limit.is_none()) {
                let field = workload.field(&format!("volumes[{place}].emptyDir.sizeLimit"));
                sink.add(
                    workload.object,
                    field,
                    "unset: the volume can fill the memory of the node",
                    "a size limit, for example 128Mi",
                );
            }
        }
    }
}

/// `single-writer`
pub fn single_writer(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.workloads.iter().filter(|workload| workload.is_lasting()) {
        let why = match workload.role() {
            Some(Role::Server) => "two servers would migrate one database",
            Some(Role::Postgres) => "two databases would write to one directory",
            _ if workload.volumes().any(|(_, volume)| is_written_on_one_node(inventory, workload, volume)) => {
                "two pods would write to one disk"
            }
            _ => continue,
        };
        if workload.strategy.as_deref().is_some_and(|strategy| strategy != "Recreate") {
            sink.add(workload.object, "spec.strategy.type", format!("RollingUpdate: {why}"), "Recreate");
        }
        if workload.replicas > 1 {
            sink.add(workload.object, "spec.replicas", format!("{}: {why}", workload.replicas), "1");
        }
    }
}

/// Whether the volume is a disk that only one node has, and a container writes to it.
fn is_written_on_one_node(inventory: &Inventory<'_>, workload: &Workload<'_>, volume: &Volume) -> bool {
    let on_one_node = volume.host_path.is_some()
        || volume.persistent_volume_claim.as_ref().is_some_and(|source| {
            let named = |object: &Object| object.namespace == workload.object.namespace && object.name == source.claim_name;
            let claim = inventory.claims.iter().find(|claim| named(claim.object));
            let modes = claim.and_then(|claim| claim.typed.spec.as_ref()?.access_modes.clone()).unwrap_or_default();
            !modes.is_empty() && !modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
        });
    let written = || {
        let mounts = workload.all_containers().flat_map(|container| container.spec.volume_mounts.iter().flatten());
        mounts.filter(|mount| mount.name == volume.name).any(|mount| mount.read_only != Some(true))
    };
    on_one_node && written()
}

/// `node-pinning`
pub fn node_pinning(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        let spec = &workload.spec;
        let required = || {
            let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
            affinity.required_during_scheduling_ignored_during_execution.as_ref()
        };
        let pinned =
            spec.node_name.is_some() || spec.node_selector.as_ref().is_some_and(|it| !it.is_empty()) || required().is_some();
        let real = |volume: &Volume| volume.host_path.as_ref().is_some_and(|it| placeholder(&it.path).is_none());
        if !pinned && workload.volumes().any(|(_, volume)| real(volume)) {
            let wanted = "a nodeSelector or a required nodeAffinity for the node that has the directory";
            sink.add(workload.object, workload.field("nodeSelector"), "unset, although the pod has a hostPath", wanted);
        }
    }
}
