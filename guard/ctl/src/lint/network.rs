//! Selectors of pods, and the connections that a network policy allows.
//!
//! Reference: the Kubernetes page "Network Policies"; label selectors as in "Labels and Selectors".

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::inventory::Inventory;
use super::object::Labels;
use super::workload::Workload;

/// Whether a selector matches these labels. An empty selector matches all labels.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|expression| {
        let value = labels.get(&expression.key);
        let listed = || expression.values.iter().flatten().any(|wanted| Some(wanted) == value);
        match expression.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    equal && expressions
}

/// Whether a selector is empty, and so matches everything.
pub fn is_everything(selector: &LabelSelector) -> bool {
    selector.match_labels.iter().flatten().next().is_none() && selector.match_expressions.iter().flatten().next().is_none()
}

/// Whether a policy in `namespace` with this selector applies to the pods of a workload.
pub fn governs(namespace: &str, selector: Option<&LabelSelector>, workload: &Workload<'_>) -> bool {
    workload.object.namespace == namespace && selector.is_none_or(|selector| selects(selector, &workload.labels))
}

/// Whether a peer of a policy in `namespace` matches the pods of a workload.
pub fn means(inventory: &Inventory<'_>, peer: &NetworkPolicyPeer, namespace: &str, workload: &Workload<'_>) -> bool {
    if peer.ip_block.is_some() {
        return false;
    }
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => selects(selector, &inventory.namespace_labels(&workload.object.namespace)),
        None => workload.object.namespace == namespace,
    };
    in_namespace && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, &workload.labels))
}

/// Whether a rule with these ports includes a container port of the workload. A rule without ports includes every port.
pub fn reaches(ports: Option<&Vec<NetworkPolicyPort>>, workload: &Workload<'_>) -> bool {
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else { return true };
    let declared = || workload.containers().flat_map(|container| container.spec.ports.iter().flatten());
    ports.iter().any(|port| match &port.port {
        None => true,
        Some(IntOrString::Int(number)) => declared().any(|it| it.container_port == *number),
        Some(IntOrString::String(name)) => declared().any(|it| it.name.as_ref() == Some(name)),
    })
}

/// Returns a description of a peer for a finding.
pub fn describe(peer: &NetworkPolicyPeer) -> String {
    if let Some(block) = &peer.ip_block {
        return block.cidr.clone();
    }
    let labels = |selector: &LabelSelector| {
        let pairs: Vec<_> = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        if pairs.is_empty() { "every".to_owned() } else { pairs.join(",") }
    };
    let pods = peer.pod_selector.as_ref().map_or_else(|| "every".to_owned(), labels);
    match &peer.namespace_selector {
        Some(selector) => format!("pods {pods} in namespaces {}", labels(selector)),
        None => format!("pods {pods}"),
    }
}
