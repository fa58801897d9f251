//! Checks which connections network policies allow: tunnel to guard to server to database, cache and machine learning, and no others.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::network::{describe, governs, is_everything, means, reaches, selects};
use crate::lint::object::Object;
use crate::lint::workload::{Role, Workload};

/// The workloads that may connect to each role. The server also allows the LAN, through its `NodePort`.
const PEERS: [(Role, &[Role]); 9] = [
    (Role::Tunnel, &[]),
    (Role::Guard, &[Role::Tunnel]),
    (Role::Outpost, &[Role::Guard]),
    (Role::ShareTunnel, &[]),
    (Role::PublicProxy, &[Role::ShareTunnel]),
    (Role::Server, &[Role::Guard, Role::PublicProxy]),
    (Role::Postgres, &[Role::Server, Role::Backup]),
    (Role::Redis, &[Role::Server]),
    (Role::MachineLearning, &[Role::Server]),
];

/// The connections that must be possible. The backup is not listed: without its connection, it fails with a clear error.
const EDGES: [(Role, Role); 8] = [
    (Role::Tunnel, Role::Guard),
    (Role::Guard, Role::Outpost),
    (Role::Guard, Role::Server),
    (Role::ShareTunnel, Role::PublicProxy),
    (Role::PublicProxy, Role::Server),
    (Role::Server, Role::Postgres),
    (Role::Server, Role::Redis),
    (Role::Server, Role::MachineLearning),
];

/// Private networks, which a rule for the internet must except (RFC 1918 and RFC 4193).
const PRIVATE_V4: [&str; 3] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
const PRIVATE_V6: [&str; 1] = ["fc00::/7"];

/// The one workload that each tunnel may connect to, beside Cloudflare. So no hostname can bypass guard.
const ENDS: [(Role, Role); 2] = [(Role::Tunnel, Role::Guard), (Role::ShareTunnel, Role::PublicProxy)];

/// The metrics port of the workloads that Prometheus may scrape, and the label of the namespace that it runs in.
const SCRAPED: [(Role, i32); 2] = [(Role::Guard, 9090), (Role::Tunnel, 2000)];
const SCRAPES: &str = "guard.immich/scrapes";

const DNS: i32 = 53;
/// cloudflared's connections to Cloudflare.
const TUNNEL_PORT: i32 = 7844;

fn specs<'i>(inventory: &'i Inventory<'_>) -> impl Iterator<Item = (&'i Object, &'i NetworkPolicySpec)> {
    inventory.network_policies.iter().filter_map(|policy| Some((policy.object, policy.typed.spec.as_ref()?)))
}

fn names(spec: &NetworkPolicySpec, direction: &str) -> bool {
    spec.policy_types.iter().flatten().any(|it| it == direction)
}

/// `default-deny`
pub fn default_deny(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    let namespaces: BTreeSet<_> = inventory.workloads.iter().map(|workload| workload.object.namespace.as_str()).collect();
    for namespace in namespaces {
        for direction in ["Ingress", "Egress"] {
            let denied = specs(inventory).any(|(object, spec)| {
                let open = if direction == "Ingress" { spec.ingress.is_some() } else { spec.egress.is_some() };
                object.namespace == namespace
                    && spec.pod_selector.as_ref().is_none_or(is_everything)
                    && names(spec, direction)
                    && !open
            });
            let place = inventory.of_kind("Namespace").find(|it| it.name == namespace);
            let place = place.or_else(|| inventory.workloads.iter().map(|it| it.object).find(|it| it.namespace == namespace));
            if let Some(object) = place.filter(|_| !denied) {
                let found = format!("no NetworkPolicy that denies {direction} for every pod in {namespace}");
                sink.add(
                    object,
                    "metadata.namespace",
                    found,
                    format!("a NetworkPolicy with podSelector: {{}}, {direction} in policyTypes, and no rule"),
                );
            }
        }
    }
}

/// `network-peers`
pub fn peers(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (target, allowed) in PEERS {
        for workload in inventory.with_role(target) {
            for (object, spec) in specs(inventory) {
                if !governs(&object.namespace, spec.pod_selector.as_ref(), workload) {
                    continue;
                }
                for (place, rule) in spec.ingress.iter().flatten().enumerate() {
                    let field = format!("spec.ingress[{place}]");
                    let wanted = wanted(target, allowed);
                    if rule.ports.as_ref().is_none_or(Vec::is_empty) {
                        sink.add(
                            object,
                            format!("{field}.ports"),
                            "no ports, which means every port",
                            "the ports that the workload needs",
                        );
                    }
                    let from = rule.from.as_deref().unwrap_or_default();
                    if from.is_empty() {
                        sink.add(object, format!("{field}.from"), "no peers, which means everybody", &wanted);
                    }
                    for (place, peer) in from.iter().enumerate() {
                        let is_scrape = is_prometheus(peer) && is_metrics_port(target, rule.ports.as_deref());
                        if !is_scrape && !is_allowed(inventory, peer, &object.namespace, target, allowed) {
                            sink.add(object, format!("{field}.from[{place}]"), describe(peer), &wanted);
                        }
                    }
                }
            }
        }
    }
}

fn wanted(target: Role, allowed: &[Role]) -> String {
    let mut names: Vec<_> = allowed.iter().map(|role| format!("{role:?}")).collect();
    names.extend((target == Role::Server).then(|| "address blocks of the LAN".to_owned()));
    if names.is_empty() { "no peer".to_owned() } else { format!("{} only", names.join(", ")) }
}

/// Whether a peer matches named pods in namespaces with the label for Prometheus, and no others.
fn is_prometheus(peer: &NetworkPolicyPeer) -> bool {
    let is_labelled = peer.namespace_selector.as_ref().and_then(|selector| selector.match_labels.as_ref()?.get(SCRAPES));
    is_labelled.is_some_and(|value| value == "true")
        && peer.pod_selector.as_ref().is_some_and(|selector| !is_everything(selector))
}

/// Whether a rule opens the metrics port of a workload, and no other port.
fn is_metrics_port(target: Role, ports: Option<&[NetworkPolicyPort]>) -> bool {
    let Some((_, metrics)) = SCRAPED.iter().find(|(role, _)| *role == target) else { return false };
    ports.is_some_and(|ports| {
        let is_metrics = |port: &NetworkPolicyPort| port.port == Some(IntOrString::Int(*metrics)) && port.end_port.is_none();
        !ports.is_empty() && ports.iter().all(is_metrics)
    })
}

fn is_allowed(inventory: &Inventory<'_>, peer: &NetworkPolicyPeer, namespace: &str, target: Role, allowed: &[Role]) -> bool {
    if let Some(block) = &peer.ip_block {
        return target == Role::Server && !is_internet(&block.cidr);
    }
    // An empty selector matches every pod. A selector without a matching pod is a mistake, or a connection that is not in the table.
    let named = peer.pod_selector.as_ref().is_some_and(|selector| !is_everything(selector));
    let mut meant = inventory.workloads.iter().filter(|workload| means(inventory, peer, namespace, workload)).peekable();
    named && meant.peek().is_some() && meant.all(|workload| workload.role().is_some_and(|role| allowed.contains(&role)))
}

/// `network-edge-missing`
pub fn edge_missing(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (from, to) in EDGES {
        for (source, target) in
            inventory.with_role(from).flat_map(|source| inventory.with_role(to).map(move |target| (source, target)))
        {
            let opens = |peers: Option<&Vec<NetworkPolicyPeer>>,
                         ports: Option<&Vec<NetworkPolicyPort>>,
                         namespace: &str,
                         peer: &Workload<'_>| {
                let everyone = peers.is_none_or(Vec::is_empty);
                (everyone || peers.into_iter().flatten().any(|it| means(inventory, it, namespace, peer)))
                    && reaches(ports, target)
            };
            let out = specs(inventory)
                .filter(|(object, spec)| governs(&object.namespace, spec.pod_selector.as_ref(), source))
                .any(|(object, spec)| {
                    spec.egress
                        .iter()
                        .flatten()
                        .any(|rule| opens(rule.to.as_ref(), rule.ports.as_ref(), &object.namespace, target))
                });
            let into = specs(inventory)
                .filter(|(object, spec)| governs(&object.namespace, spec.pod_selector.as_ref(), target))
                .any(|(object, spec)| {
                    spec.ingress
                        .iter()
                        .flatten()
                        .any(|rule| opens(rule.from.as_ref(), rule.ports.as_ref(), &object.namespace, source))
                });
            for (workload, open, direction) in [(source, out, "egress"), (target, into, "ingress")] {
                if !open {
                    let wanted =
                        format!("a NetworkPolicy that allows {} to connect to {}", source.object.name, target.object.name);
                    sink.add(
                        workload.object,
                        "metadata.name",
                        format!("no {direction} rule for this connection, or not for this port"),
                        wanted,
                    );
                }
            }
        }
    }
}

/// `tunnel-reach`
pub fn tunnel_reach(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (from, to) in ENDS {
        for source in inventory.with_role(from) {
            let own = specs(inventory).filter(|(object, spec)| governs(&object.namespace, spec.pod_selector.as_ref(), source));
            for (object, spec) in own {
                for (place, peer) in spec.egress.iter().flatten().flat_map(|rule| rule.to.iter().flatten()).enumerate() {
                    let mut others = inventory.workloads.iter().filter(|it| means(inventory, peer, &object.namespace, it));
                    if peer.ip_block.is_none() && others.any(|it| it.role() != Some(to)) {
                        let field = format!("spec.egress[…].to[{place}]");
                        sink.add(object, field, describe(peer), format!("only {to:?} and Cloudflare"));
                    }
                }
            }
        }
    }
}

/// `network-dangling`
pub fn dangling(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, spec) in specs(inventory) {
        let Some(selector) = spec.pod_selector.as_ref().filter(|selector| !is_everything(selector)) else { continue };
        let meant =
            |workload: &Workload<'_>| workload.object.namespace == object.namespace && selects(selector, &workload.labels);
        if !inventory.workloads.iter().any(meant) {
            sink.add(
                object,
                "spec.podSelector",
                "labels that no pod has",
                "the labels of the pods of a workload in the same namespace",
            );
        }
    }
}

/// `egress-open`
pub fn egress_open(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, spec) in specs(inventory) {
        for (place, rule) in spec.egress.iter().flatten().enumerate() {
            let field = format!("spec.egress[{place}]");
            let ports = rule.ports.as_deref().unwrap_or_default();
            let only_dns = !ports.is_empty() && ports.iter().all(|port| port.port == Some(IntOrString::Int(DNS)));
            let to = rule.to.as_deref().unwrap_or_default();
            if to.is_empty() && !only_dns {
                sink.add(
                    object,
                    format!("{field}.to"),
                    "no destinations, which means every destination",
                    "the pods or address blocks that the workload needs",
                );
            }
            for (place, block) in to.iter().enumerate().filter_map(|(place, peer)| Some((place, peer.ip_block.as_ref()?))) {
                if !is_internet(&block.cidr) {
                    continue;
                }
                let field = format!("{field}.to[{place}].ipBlock");
                if ports.is_empty() {
                    sink.add(object, &field, format!("{} on every port", block.cidr), "the ports that the workload needs");
                }
                let private: &[&str] = if block.cidr.contains(':') { &PRIVATE_V6 } else { &PRIVATE_V4 };
                let excepted = |net: &&&str| block.except.iter().flatten().any(|it| it == **net);
                let missing: Vec<_> = private.iter().filter(|net| !excepted(net)).copied().collect();
                if !missing.is_empty() {
                    sink.add(
                        object,
                        format!("{field}.except"),
                        format!("no exception for {}", missing.join(", ")),
                        "all private networks in except",
                    );
                }
            }
        }
    }
}

/// `egress-ipv6`
pub fn egress_ipv6(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for (object, spec) in specs(inventory) {
        for (place, rule) in spec.egress.iter().flatten().enumerate() {
            let ports = rule.ports.as_deref().unwrap_or_default();
            if !ports.is_empty() && ports.iter().all(|port| port.port == Some(IntOrString::Int(TUNNEL_PORT))) {
                continue;
            }
            let blocks = rule.to.iter().flatten().enumerate().filter_map(|(place, peer)| Some((place, peer.ip_block.as_ref()?)));
            for (peer, block) in blocks.filter(|(_, block)| is_internet(&block.cidr) && block.cidr.contains(':')) {
                // 2000::/3 is all that is public (RFC 4291).
                if !block.except.iter().flatten().any(|except| except.starts_with(['2', '3'])) {
                    let field = format!("spec.egress[{place}].to[{peer}].ipBlock.except");
                    let found = "no public prefix: the NAS and the router have public IPv6 addresses too";
                    sink.add(object, field, found, "the prefix that your provider gives to your home, or no rule for IPv6");
                }
            }
        }
    }
}

fn is_internet(cidr: &str) -> bool {
    cidr.ends_with("/0")
}

/// `pdb-replicas`
pub fn budget_replicas(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for budget in &inventory.budgets {
        let Some(selector) = budget.typed.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { continue };
        let mut meant = inventory.workloads.iter().filter(|it| governs(&budget.object.namespace, Some(selector), it)).peekable();
        if meant.peek().is_none() {
            sink.add(budget.object, "spec.selector", "labels that no pod has", "the labels of the pods of a workload");
        }
        for workload in meant.filter(|workload| workload.replicas < 2) {
            let found = format!(
                "{} with {} replica: the budget blocks every drain of its node",
                workload.object.title(),
                workload.replicas
            );
            sink.add(budget.object, "spec.selector", found, "two or more replicas, or no PodDisruptionBudget");
        }
    }
}
