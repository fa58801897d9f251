//! Checks the ingress file of cloudflared. cloudflared accepts these mistakes, most of them without a message.

use serde_json::Value;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::object::Object;
use crate::lint::workload::{Role, Workload};
use crate::lint::yaml;

/// The server that a tunnel sends requests to: the name of its Service, and the full URL.
struct Origin {
    service: &'static str,
    url: &'static str,
}

const GUARD: Origin =
    Origin { service: "immich-origin-proxy", url: "http://immich-origin-proxy.immich-edge.svc.cluster.local:8080" };

/// The only exception, for the share tunnel. The policy `tunnel-reach` checks that this tunnel can connect to nothing else.
const PUBLIC_PROXY: Origin =
    Origin { service: "immich-public-proxy", url: "http://immich-public-proxy.immich-edge.svc.cluster.local:3000" };

/// An ingress file in a `ConfigMap`.
struct File<'i> {
    object: &'i Object,
    key: String,
    config: Value,
    origin: &'static Origin,
}

impl File<'_> {
    fn field(&self, field: &str) -> String {
        format!("data[\"{}\"]: {field}", self.key)
    }

    fn rules(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.config.get("ingress").and_then(Value::as_array).into_iter().flatten().enumerate()
    }
}

pub(super) fn tunnels<'i, 'o>(inventory: &'i Inventory<'o>) -> impl Iterator<Item = &'i Workload<'o>> {
    inventory.workloads.iter().filter(|workload| matches!(workload.role(), Some(Role::Tunnel | Role::ShareTunnel)))
}

/// Returns the ingress files that a tunnel mounts.
fn files_of<'i>(inventory: &'i Inventory<'_>, workload: &Workload<'_>) -> Vec<File<'i>> {
    let origin = if workload.role() == Some(Role::ShareTunnel) { &PUBLIC_PROXY } else { &GUARD };
    let names = workload.volumes().filter_map(|(_, volume)| volume.config_map.as_ref().map(|map| map.name.as_str()));
    let maps = names.filter_map(|name| inventory.config_map(&workload.object.namespace, name));
    let entries = maps.flat_map(|map| map.typed.data.iter().flatten().map(move |(key, text)| (map.object, key, text)));
    entries
        .filter_map(|(object, key, text)| {
            let config = yaml::documents(text, key).ok()?.into_iter().next()?;
            config.get("ingress")?;
            Some(File { object, key: key.clone(), config, origin })
        })
        .collect()
}

fn files<'i>(inventory: &'i Inventory<'_>) -> Vec<File<'i>> {
    tunnels(inventory).flat_map(|workload| files_of(inventory, workload)).collect()
}

/// `tunnel-access-scope`
pub fn access_scope(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for file in files(inventory) {
        if file.config.pointer("/originRequest/access").is_some() {
            let found = "an access block at the top level, which cloudflared ignores";
            sink.add(
                file.object,
                file.field("originRequest.access"),
                found,
                "the block in each rule (ingress[…].originRequest.access), or no access block",
            );
        }
    }
}

/// `tunnel-access-rule`
pub fn access_rule(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for file in files(inventory) {
        let count = file.rules().filter(|(_, rule)| rule.pointer("/originRequest/access").is_some()).count();
        for (place, rule) in file.rules() {
            let field = file.field(&format!("ingress[{place}].originRequest.access"));
            let Some(access) = rule.pointer("/originRequest/access") else {
                if count > 0 {
                    sink.add(
                        file.object,
                        field,
                        "no access block, although another rule has one",
                        "an access block in every rule, or in no rule",
                    );
                }
                continue;
            };
            let is_set = |key: &str| match access.get(key) {
                Some(Value::String(text)) => !text.is_empty(),
                Some(Value::Array(items)) => !items.is_empty(),
                _ => false,
            };
            if access.get("required") != Some(&Value::Bool(true)) || !is_set("teamName") || !is_set("audTag") {
                sink.add(
                    file.object,
                    field,
                    "an incomplete access block, which has no effect",
                    "required: true, teamName and audTag",
                );
            }
        }
    }
}

/// `tunnel-path-rule`
pub fn path_rule(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for file in files(inventory) {
        for (place, rule) in file.rules() {
            if let Some(path) = rule.get("path") {
                let found = format!("{path}: a pattern that is not anchored, so that a path with /../ can bypass it");
                sink.add(
                    file.object,
                    file.field(&format!("ingress[{place}].path")),
                    found,
                    "no path: guard decides about each request",
                );
            }
        }
    }
}

/// `tunnel-single-rule`
pub fn single_rule(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for workload in tunnels(inventory) {
        let files = files_of(inventory, workload);
        if files.is_empty() {
            let wanted = "a mounted ConfigMap with one rule: otherwise the dashboard decides where requests go";
            sink.add(workload.object, workload.field("volumes"), "no ingress file", wanted);
        }
        for file in files {
            let count = file.rules().count();
            if count != 1 {
                sink.add(file.object, file.field("ingress"), format!("{count} rules"), "one rule, without a hostname");
            }
            for (place, rule) in file.rules() {
                if let Some(hostname) = rule.get("hostname") {
                    let wanted = "no hostname: it is private, and DNS already selects the tunnel";
                    sink.add(file.object, file.field(&format!("ingress[{place}].hostname")), hostname.to_string(), wanted);
                }
            }
        }
    }
}

/// `tunnel-origin`
pub fn origin(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for file in files(inventory) {
        for (place, rule) in file.rules() {
            let service = rule.get("service").and_then(Value::as_str).unwrap_or_default();
            if !file.origin.is_meant_by(service) {
                let field = file.field(&format!("ingress[{place}].service"));
                sink.add(file.object, field, format!("`{service}`"), file.origin.url);
            }
        }
    }
}

impl Origin {
    /// Whether a URL names this Service. An overlay may add a prefix to the name.
    fn is_meant_by(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("http://") else { return false };
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        let (name, domain) = host.split_once('.').unwrap_or((host, ""));
        let namespace = domain.strip_suffix(".cluster.local").unwrap_or(domain);
        let in_cluster = !namespace.strip_suffix(".svc").unwrap_or(namespace).contains('.');
        name.ends_with(self.service) && in_cluster
    }
}

#[cfg(test)]
mod tests {
    use super::{GUARD, PUBLIC_PROXY};

    #[test]
    fn only_the_guards_service_is_an_origin() {
        for service in [GUARD.url, "http://immich-origin-proxy:8080", "http://home-immich-origin-proxy.immich-edge:8080"] {
            assert!(GUARD.is_meant_by(service), "{service}");
        }
        for service in [
            "http://immich-server.immich.svc.cluster.local:2283",
            "https://immich-origin-proxy:8080",
            "http://immich-origin-proxy.example.com:8080",
            PUBLIC_PROXY.url,
            "http_status:404",
            "",
        ] {
            assert!(!GUARD.is_meant_by(service), "{service}");
        }
    }
}
