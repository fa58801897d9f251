//! Checks Immich's server and machine learning: the NAS gate, workers, variables and probes.

use std::collections::BTreeSet;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::{Role, Workload};

/// The timeout of one step of the NAS gate. With a shorter timeout, Kubernetes would restart the server when the NAS is slow.
const MIN_LIVENESS_TIMEOUT_SECONDS: i32 = 5;

/// The default of Kubernetes, which Immich's official chart uses.
const DEFAULT_TIMEOUT_SECONDS: i32 = 1;

/// The workers that Immich runs by default.
const WORKERS: [&str; 2] = ["api", "microservices"];

/// Variables that switch a mount check off.
const CHECK_SWITCHES: [&str; 2] = ["IMMICH_IGNORE_MOUNT_CHECK_ERRORS", "IGNORE_DATABASE_FSTYPE"];

/// Variables that Immich does not read any more, and their replacements.
const OBSOLETE: [(&str, &str); 7] = [
    ("JWT_SECRET", "unset: Immich keeps its sessions in the database"),
    ("DISABLE_REVERSE_GEOCODING", "reverseGeocoding.enabled in the configuration file"),
    ("LOG_LEVEL", "IMMICH_LOG_LEVEL"),
    ("DB_SSL", "DB_SSL_MODE"),
    ("IMMICH_SERVER_URL", "server.externalDomain in the configuration file"),
    ("IMMICH_OAUTH_ENABLED", "oauth.enabled in the configuration file"),
    ("OAUTH_ENABLED", "oauth.enabled in the configuration file"),
];

fn of_role<'i, 'o>(inventory: &'i Inventory<'o>, role: Role) -> impl Iterator<Item = &'i Workload<'o>> {
    inventory.workloads.iter().filter(move |workload| workload.role() == Some(role))
}

/// Whether a word is the guard binary, in any directory.
fn is_guard(word: &str) -> bool {
    word == "guard" || word.ends_with("/guard")
}

/// `nas-exec`
pub fn nas_exec(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::Server) {
        let Some(container) = workload.main() else { continue };
        let command: Vec<_> = container.spec.command.iter().flatten().map(String::as_str).collect();
        let gated = match command.as_slice() {
            [guard, "nas", "exec", rest @ ..] if is_guard(guard) => {
                rest.iter().position(|word| *word == "--").is_some_and(|place| place + 1 < rest.len())
            }
            _ => false,
        };
        if !gated {
            let found = if command.is_empty() { "unset".to_owned() } else { format!("[{}]", command.join(", ")) };
            sink.add(
                workload.object,
                container.field("command"),
                found,
                "[/guard/guard, nas, exec, --, then the entrypoint and command of the image]",
            );
        }
    }
}

/// `nas-install`
pub fn nas_install(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::Server) {
        let installs =
            workload.init_containers().any(|container| container.argv().windows(2).any(|words| words == ["nas", "install"]));
        if !installs {
            let wanted = "an init container that runs guard nas install --to /guard/guard";
            sink.add(workload.object, workload.field("initContainers"), "no init container that installs the NAS gate", wanted);
        }
    }
}

/// `nas-id`
pub fn nas_id(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::Server) {
        let wanted = "the id that guard nas init printed, in GUARD_NAS_ID";
        for container in workload.all_containers().filter(|container| container.argv().contains(&"nas")) {
            let variable = container.spec.env.iter().flatten().find(|variable| variable.name == "GUARD_NAS_ID");
            let Some(variable) = variable else {
                sink.add(workload.object, container.field("env"), "no GUARD_NAS_ID", wanted);
                continue;
            };
            let path =
                variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref()).map(|field| field.field_path.as_str());
            let annotation = path.and_then(|path| path.strip_prefix("metadata.annotations['")?.strip_suffix("']"));
            let id = match annotation {
                Some(annotation) => workload.annotation(annotation),
                None => variable.value.as_deref(),
            };
            // What a Secret or a ConfigMap holds is not known here.
            let is_unknown = variable.value_from.is_some() && annotation.is_none();
            if !is_unknown && id.is_none_or(str::is_empty) {
                let found = annotation
                    .map_or_else(|| "empty".to_owned(), |annotation| format!("the annotation {annotation} is empty or absent"));
                sink.add(workload.object, container.field("env"), found, wanted);
            }
        }
    }
}

/// `mount-check-ignored`
pub fn mount_check_ignored(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        for container in workload.all_containers() {
            for variable in inventory.variables(container) {
                if CHECK_SWITCHES.contains(&variable.name.as_str()) {
                    sink.add(
                        workload.object,
                        variable.field,
                        variable.name,
                        "unset: with it, Immich or Postgres can write to the wrong disk",
                    );
                }
            }
        }
    }
}

/// `media-location`
pub fn media_location(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::Server) {
        let Some(container) = workload.main() else { continue };
        let mounts = || container.spec.volume_mounts.iter().flatten().enumerate();
        for (place, mount) in mounts().filter(|(_, mount)| mount.mount_path.starts_with("/usr/src/app/upload")) {
            sink.add(workload.object, container.field(&format!("volumeMounts[{place}].mountPath")), &mount.mount_path, "/data");
        }
        if !mounts().any(|(_, mount)| mount.mount_path.trim_end_matches('/') == "/data") {
            let found = "no mount at /data: the image then uses an anonymous volume, which is deleted with the pod";
            sink.add(workload.object, container.field("volumeMounts"), found, "the volume of the library, mounted at /data");
        }
    }
}

/// `immich-liveness`
pub fn liveness(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::Server) {
        let Some(container) = workload.main() else { continue };
        let Some(probe) = &container.spec.liveness_probe else { continue };
        if probe.http_get.is_some() {
            let wanted = "exec: guard nas probe --definite, which fails only for faults that a restart repairs";
            sink.add(workload.object, container.field("livenessProbe.httpGet"), "an HTTP probe", wanted);
        }
        let timeout = probe.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        if timeout < MIN_LIVENESS_TIMEOUT_SECONDS {
            let wanted = format!("{MIN_LIVENESS_TIMEOUT_SECONDS} s or more");
            sink.add(workload.object, container.field("livenessProbe.timeoutSeconds"), format!("{timeout} s"), wanted);
        }
    }
}

/// `immich-workers`
pub fn workers(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let mut running = BTreeSet::new();
    let mut narrowed = Vec::new();
    for workload in of_role(inventory, Role::Server).chain(same_image(inventory)) {
        let Some(container) = workload.main() else { continue };
        let list = |name| inventory.variable(container, name);
        let (include, exclude) = (list("IMMICH_WORKERS_INCLUDE"), list("IMMICH_WORKERS_EXCLUDE"));
        let names =
            |text: &str| text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let included = include.as_ref().and_then(|it| it.value.as_deref()).map(names).filter(|names| !names.is_empty());
        let excluded = exclude.as_ref().and_then(|it| it.value.as_deref()).map(names).unwrap_or_default();
        let included = included.unwrap_or_else(|| WORKERS.map(str::to_owned).to_vec());
        running.extend(included.into_iter().filter(|worker| !excluded.contains(worker)));
        narrowed.extend(include.or(exclude).map(|variable| (workload, variable)));
    }
    for (workload, variable) in narrowed {
        for worker in WORKERS.iter().filter(|worker| !running.contains(**worker)) {
            let found = format!("{}={}", variable.name, variable.value.as_deref().unwrap_or("?"));
            sink.add(workload.object, &variable.field, found, format!("a workload that runs the worker {worker}"));
        }
    }
}

/// Returns the workloads that run the image of the server under another name, as separate workers.
fn same_image<'i, 'o>(inventory: &'i Inventory<'o>) -> impl Iterator<Item = &'i Workload<'o>> {
    inventory.workloads.iter().filter(|workload| {
        let runs_server = |image: &str| image.contains("/immich-server");
        workload.role() != Some(Role::Server)
            && workload.containers().any(|container| container.spec.image.as_deref().is_some_and(runs_server))
    })
}

/// `immich-obsolete-env`
pub fn obsolete_variables(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in &inventory.workloads {
        let role = workload.role();
        if !matches!(role, Some(Role::Server | Role::MachineLearning)) {
            continue;
        }
        for container in workload.containers() {
            for variable in inventory.variables(container) {
                let instead = OBSOLETE.iter().find(|(name, _)| *name == variable.name).map(|(_, instead)| *instead);
                let unread = role == Some(Role::MachineLearning) && variable.name == "IMMICH_CONFIG_FILE";
                if let Some(wanted) = instead.or(unread.then_some("unset: machine learning reads no configuration file")) {
                    sink.add(workload.object, variable.field, variable.name, wanted);
                }
            }
        }
    }
}

/// `ml-server-secrets`
pub fn ml_server_secrets(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let of_others: BTreeSet<_> = inventory
        .workloads
        .iter()
        .filter(|it| it.role() != Some(Role::MachineLearning))
        .flat_map(|it| secrets(it).into_iter().map(|(_, name)| name))
        .collect();
    for workload in of_role(inventory, Role::MachineLearning) {
        for (field, name) in secrets(workload).into_iter().filter(|(_, name)| of_others.contains(name)) {
            sink.add(
                workload.object,
                field,
                format!("the Secret {name}, which other workloads use"),
                "no Secret of another workload",
            );
        }
        for container in workload.containers() {
            for variable in inventory.variables(container) {
                if ["DB_", "REDIS_", "POSTGRES_"].iter().any(|prefix| variable.name.starts_with(prefix)) {
                    sink.add(workload.object, variable.field, variable.name, "unset: machine learning connects to no database");
                }
            }
        }
    }
}

/// Returns every Secret that the pods of a workload read, with the JSON path.
fn secrets(workload: &Workload<'_>) -> Vec<(String, String)> {
    let mut secrets = Vec::new();
    for (place, volume) in workload.volumes() {
        let name = volume.secret.as_ref().and_then(|secret| secret.secret_name.clone());
        secrets.extend(name.map(|name| (workload.field(&format!("volumes[{place}].secret")), name)));
    }
    for container in workload.all_containers() {
        for (place, from) in container.spec.env_from.iter().flatten().enumerate() {
            let name = from.secret_ref.as_ref().map(|secret| secret.name.clone());
            secrets.extend(name.map(|name| (container.field(&format!("envFrom[{place}].secretRef")), name)));
        }
        for (place, variable) in container.spec.env.iter().flatten().enumerate() {
            let name = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref()).map(|key| key.name.clone());
            secrets.extend(name.map(|name| (container.field(&format!("env[{place}].valueFrom.secretKeyRef")), name)));
        }
    }
    secrets
}

/// `ml-bind-address`
pub fn ml_bind_address(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::MachineLearning) {
        let Some(container) = workload.main() else { continue };
        let host = inventory.variable(container, "IMMICH_HOST").and_then(|variable| variable.value);
        if !matches!(host.as_deref(), Some("0.0.0.0" | "::")) {
            let found =
                host.map_or_else(|| "IMMICH_HOST unset, which means [::]".to_owned(), |host| format!("IMMICH_HOST={host}"));
            sink.add(workload.object, container.field("env"), found, "IMMICH_HOST=0.0.0.0, or :: where the pods have only IPv6");
        }
    }
}
