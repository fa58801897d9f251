//! The guard's front door: what each one needs, and that nothing of another is left over. And what shows shared links: nothing but links.

use k8s_openapi::api::core::v1::Volume;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::{Role, Workload};

/// A front door.
struct Door {
    name: &'static str,
    needs: &'static [&'static str],
    /// Begins of variables that mean something to it, beside what it needs.
    takes: &'static [&'static str],
}

/// docs/front-doors.md has the same table, for people.
const DOORS: [Door; 8] = [
    Door { name: "cloudflare-access", needs: &["GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"], takes: &[] },
    Door { name: "google-iap", needs: &["GUARD_ASSERTION_AUDIENCE"], takes: &[] },
    Door { name: "pomerium", needs: &["GUARD_ASSERTION_AUDIENCE", "GUARD_JWKS_URL"], takes: &["GUARD_ASSERTION_ISSUER"] },
    Door { name: "aws-alb", needs: &["GUARD_ALB_ARN", "GUARD_ALB_CLIENT_ID"], takes: &["GUARD_ASSERTION_ISSUER"] },
    Door {
        name: "authentik-proxy",
        needs: &["GUARD_ASSERTION_SECRET_FILE", "GUARD_ASSERTION_ISSUER", "GUARD_ASSERTION_AUDIENCE"],
        takes: &[],
    },
    Door {
        name: "signed-header",
        needs: &[
            "GUARD_ASSERTION_HEADER",
            "GUARD_ASSERTION_ALGORITHMS",
            "GUARD_ASSERTION_ISSUER",
            "GUARD_ASSERTION_AUDIENCE",
            "GUARD_JWKS_URL",
        ],
        takes: &["GUARD_ASSERTION_EMAIL_CLAIM"],
    },
    Door { name: "forward-auth", needs: &["GUARD_AUTH_URL", "GUARD_EXTERNAL_URL"], takes: &["GUARD_AUTH_"] },
    Door { name: "unsigned-header", needs: &["GUARD_ASSERTION_HEADER", "GUARD_TRUSTED_PEERS"], takes: &[] },
];

/// Begins of variables that belong to some front door.
const OF_A_DOOR: [&str; 5] = ["GUARD_ACCESS_", "GUARD_ASSERTION_", "GUARD_ALB_", "GUARD_AUTH_", "GUARD_TRUSTED_PEERS"];

const FRONT_DOOR: &str = "GUARD_FRONT_DOOR";

fn of_role<'i, 'o>(inventory: &'i Inventory<'o>, role: Role) -> impl Iterator<Item = &'i Workload<'o>> {
    inventory.workloads.iter().filter(move |workload| workload.role() == Some(role))
}

/// `front-door`
pub fn front_door(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::Guard) {
        let Some(container) = workload.main() else { continue };
        let chosen = inventory.variable(container, FRONT_DOOR);
        // From a Secret it cannot be known here.
        let Some(name) = chosen.map_or(Some("cloudflare-access".to_owned()), |variable| variable.value) else { continue };
        let Some(door) = DOORS.iter().find(|door| door.name == name) else {
            let wanted = DOORS.iter().map(|door| door.name).collect::<Vec<_>>().join(", ");
            sink.add(workload.object, container.field("env"), format!("{FRONT_DOOR}={name}"), wanted);
            continue;
        };
        let variables = inventory.variables(container);
        // What a Secret brings as a whole cannot be known here either.
        let is_known = container.spec.env_from.iter().flatten().all(|from| from.secret_ref.is_none());
        for needed in door.needs.iter().filter(|_| is_known) {
            if !variables.iter().any(|variable| variable.name == **needed) {
                sink.add(
                    workload.object,
                    container.field("env"),
                    format!("no {needed}"),
                    format!("{FRONT_DOOR}={name} needs it"),
                );
            }
        }
        for variable in variables {
            let own = door.needs.contains(&variable.name.as_str()) || door.takes.iter().any(|it| variable.name.starts_with(it));
            if !own && OF_A_DOOR.iter().any(|begin| variable.name.starts_with(begin)) {
                let found = format!("{}, which is another front door's", variable.name);
                sink.add(workload.object, variable.field, found, format!("unset: {FRONT_DOOR}={name} does not read it"));
            }
        }
    }
}

/// `public-proxy-secret`
pub fn public_proxy_secret(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in of_role(inventory, Role::PublicProxy) {
        let wanted = "none: a link is all that it may show, and that needs no key";
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
