//! Checks how cloudflared is run: proxy variables, metrics, diagnostics, log level, token and probes.

use super::services::selected;
use super::tunnel::tunnels;
use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::workload::{ContainerRef, Role, Workload};

/// Proxy variables. Go's `ProxyFromEnvironment` reads each of them in upper and lower case.
const PROXIES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

const DIAGNOSTICS_FLAG: &str = "--management-diagnostics";
const DIAGNOSTICS: &str = "TUNNEL_MANAGEMENT_DIAGNOSTICS";

fn each<'i, 'o>(inventory: &'i Inventory<'o>) -> impl Iterator<Item = (&'i Workload<'o>, ContainerRef<'i>)> {
    tunnels(inventory).filter_map(|workload| Some((workload, workload.main()?)))
}

/// `tunnel-proxy-env`
pub fn proxy_variables(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        for variable in inventory.variables(container) {
            if PROXIES.contains(&variable.name.to_ascii_uppercase().as_str()) {
                sink.add(
                    workload.object,
                    variable.field,
                    variable.name,
                    "unset: cloudflared would send requests through this proxy",
                );
            }
        }
    }
}

/// `tunnel-metrics`
pub fn metrics(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for service in &inventory.services {
        let Some(spec) = &service.typed.spec else { continue };
        let Some(selector) = &spec.selector else { continue };
        let mut meant = selected(inventory, &service.object.namespace, selector).into_iter();
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        if kind != "ClusterIP" && meant.any(|workload| matches!(workload.role(), Some(Role::Tunnel | Role::ShareTunnel))) {
            let found = format!("{kind}: the metrics port shows profiles and the configuration without a password");
            sink.add(service.object, "spec.type", found, "ClusterIP, or no Service");
        }
    }
}

/// `tunnel-diagnostics`
pub fn diagnostics(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let variable = inventory.variable(container, DIAGNOSTICS).and_then(|variable| variable.value);
        let value = container.flag(DIAGNOSTICS_FLAG).map(str::to_owned).or(variable);
        if value.as_deref() != Some("false") {
            let found = value.unwrap_or_else(|| "unset, which means true".to_owned());
            sink.add(
                workload.object,
                container.field("args"),
                found,
                format!("{DIAGNOSTICS_FLAG}=false, or {DIAGNOSTICS}=false"),
            );
        }
    }
}

/// `tunnel-loglevel`
pub fn log_level(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        for (flag, variable) in [("--loglevel", "TUNNEL_LOGLEVEL"), ("--transport-loglevel", "TUNNEL_TRANSPORT_LOGLEVEL")] {
            let value = inventory.variable(container, variable).and_then(|variable| variable.value);
            if container.flag(flag).map(str::to_owned).or(value).as_deref() == Some("debug") {
                let found = format!("{flag} debug: it logs every header, with tokens");
                sink.add(workload.object, container.field("args"), found, "info, warn or error");
            }
        }
    }
}

/// `tunnel-token-argv`
pub fn token_in_argv(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        if container.flag("--token").is_some() || container.argv().iter().any(|word| word.starts_with("eyJ")) {
            let found = "the token: everybody who may list processes or read this object can see it";
            sink.add(workload.object, container.field("args"), found, "--token-file with a file of a mounted Secret");
        }
    }
}

/// `tunnel-probes`
pub fn probes(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (workload, container) in each(inventory) {
        let path = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
            probe.as_ref().and_then(|probe| probe.http_get.as_ref()).and_then(|get| get.path.clone()).unwrap_or_default()
        };
        if path(&container.spec.liveness_probe) == "/ready" {
            let found = "/ready, which fails while the internet connection is down";
            sink.add(workload.object, container.field("livenessProbe.httpGet.path"), found, "/healthcheck");
        }
        let readiness = path(&container.spec.readiness_probe);
        if container.spec.readiness_probe.is_some() && readiness != "/ready" {
            sink.add(workload.object, container.field("readinessProbe.httpGet.path"), format!("`{readiness}`"), "/ready");
        }
    }
}
