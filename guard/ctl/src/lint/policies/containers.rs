//! Checks the permissions (Pod Security Standards, restricted), resources and probes of containers.

use k8s_openapi::api::core::v1::{ResourceRequirements, SecurityContext};

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::{ContainerRef, Role, Workload};

fn each<'i>(inventory: &'i Inventory<'_>) -> impl Iterator<Item = (&'i Workload<'i>, ContainerRef<'i>)> {
    inventory.workloads.iter().flat_map(|workload| workload.all_containers().map(move |container| (workload, container)))
}

fn context<'s>(container: &ContainerRef<'s>) -> Option<&'s SecurityContext> {
    container.spec.security_context.as_ref()
}

/// `run-as-non-root`
pub fn run_as_non_root(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let pod = workload.spec.security_context.as_ref();
        let non_root = context(&container).and_then(|it| it.run_as_non_root).or_else(|| pod?.run_as_non_root);
        let user = context(&container).and_then(|it| it.run_as_user).or_else(|| pod?.run_as_user);
        if non_root != Some(true) {
            let found = non_root.map_or("unset in the container and in the pod", |_| "false");
            sink.add(workload.object, container.field("securityContext.runAsNonRoot"), found, "true");
        } else if user == Some(0) {
            sink.add(workload.object, container.field("securityContext.runAsUser"), "0", "the id of another user");
        }
    }
}

/// `seccomp-profile`
pub fn seccomp_profile(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let pod = workload.spec.security_context.as_ref().and_then(|it| it.seccomp_profile.as_ref());
        let profile =
            context(&container).and_then(|it| it.seccomp_profile.as_ref()).or(pod).map(|profile| profile.type_.as_str());
        if !matches!(profile, Some("RuntimeDefault" | "Localhost")) {
            let found = profile.unwrap_or("unset in the container and in the pod");
            sink.add(workload.object, container.field("securityContext.seccompProfile"), found, "RuntimeDefault");
        }
    }
}

/// `privilege-escalation`
pub fn privilege_escalation(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        if context(&container).and_then(|it| it.privileged) == Some(true) {
            sink.add(workload.object, container.field("securityContext.privileged"), "true", "unset");
        }
        if context(&container).and_then(|it| it.allow_privilege_escalation) != Some(false) {
            sink.add(workload.object, container.field("securityContext.allowPrivilegeEscalation"), "unset or true", "false");
        }
    }
}

/// `drop-capabilities`
pub fn drop_capabilities(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let capabilities = context(&container).and_then(|it| it.capabilities.as_ref());
        let drop: Vec<_> =
            capabilities.and_then(|it| it.drop.as_deref()).unwrap_or_default().iter().map(String::as_str).collect();
        let add = capabilities.and_then(|it| it.add.as_deref()).unwrap_or_default();
        if !drop.contains(&"ALL") {
            sink.add(
                workload.object,
                container.field("securityContext.capabilities.drop"),
                format!("[{}]", drop.join(", ")),
                "[ALL]",
            );
        }
        if !add.is_empty() {
            sink.add(
                workload.object,
                container.field("securityContext.capabilities.add"),
                format!("[{}]", add.join(", ")),
                "unset",
            );
        }
    }
}

/// `read-only-root`
pub fn read_only_root(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        if context(&container).and_then(|it| it.read_only_root_filesystem) != Some(true) {
            let wanted = "true, and an emptyDir for each directory that the container writes to";
            sink.add(workload.object, container.field("securityContext.readOnlyRootFilesystem"), "unset or false", wanted);
        }
    }
}

/// `resources`
pub fn resources(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let none = ResourceRequirements::default();
    for (workload, container) in each(inventory) {
        let resources = container.spec.resources.as_ref().unwrap_or(&none);
        let requests = |name| resources.requests.iter().flatten().any(|(key, _)| key == name);
        let limits = |name| resources.limits.iter().flatten().any(|(key, _)| key == name);
        for name in ["cpu", "memory"] {
            if !requests(name) {
                sink.add(
                    workload.object,
                    container.field(&format!("resources.requests.{name}")),
                    "unset",
                    "the amount that it needs to run",
                );
            }
        }
        if !limits("memory") {
            sink.add(workload.object, container.field("resources.limits.memory"), "unset", "the amount that it may use at most");
        }
        if limits("cpu") {
            sink.add(
                workload.object,
                container.field("resources.limits.cpu"),
                "set",
                "unset: a CPU limit slows the container down even if the CPU is idle",
            );
        }
    }
}

/// `readiness-probe`
pub fn readiness_probe(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.workloads.iter().filter(|workload| workload.is_lasting()) {
        for container in workload.containers().filter(|container| container.spec.readiness_probe.is_none()) {
            sink.add(
                workload.object,
                container.field("readinessProbe"),
                "unset",
                "a probe that fails while the container cannot serve requests",
            );
        }
    }
}

/// `startup-probe`
pub fn startup_probe(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        if !matches!(workload.role(), Some(Role::Server | Role::Postgres)) {
            continue;
        }
        if let Some(container) = workload.main().filter(|container| container.spec.startup_probe.is_none()) {
            let wanted = "a probe that allows enough time for a migration or a recovery";
            sink.add(workload.object, container.field("startupProbe"), "unset", wanted);
        }
    }
}
