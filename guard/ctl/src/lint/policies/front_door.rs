//! Checks that guard has the variables of its front door and of no other, and that the public proxy for share links has no secret.

use guard::config::door::{DEFAULT_FRONT_DOOR, FRONT_DOORS};
use k8s_openapi::api::core::v1::Volume;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::Role;

/// The prefixes of variables that belong to a front door.
const PREFIXES: [&str; 5] = ["GUARD_ACCESS_", "GUARD_ASSERTION_", "GUARD_ALB_", "GUARD_AUTH_", "GUARD_TRUSTED_PEERS"];

const FRONT_DOOR: &str = "GUARD_FRONT_DOOR";

/// `front-door`
pub fn front_door(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.with_role(Role::Guard) {
        let Some(container) = workload.main() else { continue };
        let chosen = inventory.variable(container, FRONT_DOOR);
        // A value from a Secret is not known here.
        let Some(name) = chosen.map_or(Some(DEFAULT_FRONT_DOOR.to_owned()), |variable| variable.value) else { continue };
        let Some(door) = FRONT_DOORS.iter().find(|door| door.name == name) else {
            let wanted = format!("one of {}", FRONT_DOORS.iter().map(|door| door.name).collect::<Vec<_>>().join(", "));
            sink.add(workload.object, container.field("env"), format!("{FRONT_DOOR}={name}"), wanted);
            continue;
        };
        let variables = inventory.variables(container);
        // The variables of a whole Secret are not known here either.
        let is_known = container.spec.env_from.iter().flatten().all(|from| from.secret_ref.is_none());
        for needed in door.required.iter().filter(|_| is_known) {
            if !variables.iter().any(|variable| variable.name == **needed) {
                sink.add(
                    workload.object,
                    container.field("env"),
                    format!("no {needed}"),
                    format!("{needed}: {FRONT_DOOR}={name} needs it"),
                );
            }
        }
        for variable in variables {
            let own =
                door.required.contains(&variable.name.as_str()) || door.optional.iter().any(|it| variable.name.starts_with(it));
            if !own && PREFIXES.iter().any(|begin| variable.name.starts_with(begin)) {
                let found = format!("{}, which belongs to another front door", variable.name);
                sink.add(workload.object, variable.field, found, format!("unset: {FRONT_DOOR}={name} does not read it"));
            }
        }
    }
}

/// `large-uploads-replicas`
pub fn large_uploads(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.with_role(Role::Guard).filter(|workload| workload.replicas > 1) {
        let Some(container) = workload.main() else { continue };
        let setting = inventory.variable(container, "GUARD_LARGE_UPLOADS");
        if setting.is_some_and(|variable| variable.value.as_deref() == Some("on")) {
            let found = format!("{} replicas: the parts of a file would reach pods that do not know it", workload.replicas);
            sink.add(workload.object, "spec.replicas", found, "1 replica, or GUARD_LARGE_UPLOADS=off");
        }
    }
}

/// `public-proxy-secret`
pub fn public_proxy_secret(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in inventory.with_role(Role::PublicProxy) {
        let wanted = "no secret and no API key: share links need neither";
        for container in workload.all_containers() {
            for (place, variable) in container.spec.env.iter().flatten().enumerate() {
                let from_secret = variable.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some());
                if variable.name.contains("API_KEY") || (from_secret && variable.name != "PUBLIC_BASE_URL") {
                    sink.add(workload.object, container.field(&format!("env[{place}]")), format!("`{}`", variable.name), wanted);
                }
            }
            for (place, from) in container.spec.env_from.iter().flatten().enumerate() {
                if from.secret_ref.is_some() {
                    sink.add(workload.object, container.field(&format!("envFrom[{place}]")), "a whole Secret", wanted);
                }
            }
        }
        let holds_secret = |volume: &Volume| volume.secret.is_some() || volume.projected.is_some();
        for (place, volume) in workload.volumes().filter(|(_, volume)| holds_secret(volume)) {
            sink.add(workload.object, workload.field(&format!("volumes[{place}]")), format!("`{}`", volume.name), wanted);
        }
    }
}
