//! Checks the types, selectors and ports of Services.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::lint::finding::Sink;
use crate::lint::inventory::Inventory;
use crate::lint::object::Labels;
use crate::lint::workload::Workload;

/// The only Service that the LAN can reach.
const NODE_PORT_SERVICE: &str = "immich-server";
const NODE_PORT: i32 = 30283;

/// `node-port`
pub fn node_port(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for service in &inventory.services {
        let Some(spec) = service.typed.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("NodePort")) else { continue };
        if service.object.name != NODE_PORT_SERVICE {
            sink.add(service.object, "spec.type", "NodePort", "ClusterIP");
            continue;
        }
        for (place, port) in spec.ports.iter().flatten().enumerate() {
            if port.node_port != Some(NODE_PORT) {
                let found =
                    port.node_port.map_or_else(|| "unset: Kubernetes then chooses any port".to_owned(), |port| port.to_string());
                sink.add(service.object, format!("spec.ports[{place}].nodePort"), found, NODE_PORT.to_string());
            }
        }
    }
}

/// `load-balancer`
pub fn load_balancer(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for service in &inventory.services {
        let Some(spec) = &service.typed.spec else { continue };
        if spec.type_.as_deref() == Some("LoadBalancer") {
            sink.add(service.object, "spec.type", "LoadBalancer", "ClusterIP");
        }
        if spec.external_ips.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
            sink.add(service.object, "spec.externalIPs", "set", "unset");
        }
    }
}

/// Returns the workloads that a selector of a Service matches.
pub fn selected<'i, 'o>(inventory: &'i Inventory<'o>, namespace: &str, selector: &Labels) -> Vec<&'i Workload<'o>> {
    let matches = |workload: &&Workload<'_>| {
        workload.object.namespace == namespace && selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
    };
    inventory.workloads.iter().filter(matches).collect()
}

/// `service-selector`
pub fn selector(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for service in &inventory.services {
        let Some(selector) = service.typed.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { continue };
        let names: Vec<_> =
            selected(inventory, &service.object.namespace, selector).iter().map(|it| it.object.name.clone()).collect();
        if names.len() != 1 {
            let found = if names.is_empty() {
                "labels that no pod has".to_owned()
            } else {
                format!("the labels of the pods of {}", names.join(" and "))
            };
            sink.add(service.object, "spec.selector", found, "the labels of the pods of exactly one workload");
        }
    }
}

/// `service-port`
pub fn port(inventory: &Inventory<'_>, sink: &mut Sink<'_>) {
    for service in &inventory.services {
        let Some(spec) = &service.typed.spec else { continue };
        let Some(selector) = &spec.selector else { continue };
        for workload in selected(inventory, &service.object.namespace, selector) {
            let declared: Vec<_> = workload.containers().flat_map(|container| container.spec.ports.iter().flatten()).collect();
            for (place, port) in spec.ports.iter().flatten().enumerate() {
                let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
                let there = declared.iter().any(|it| match &target {
                    IntOrString::Int(number) => it.container_port == *number,
                    IntOrString::String(name) => it.name.as_ref() == Some(name),
                });
                if !there {
                    let target = match target {
                        IntOrString::Int(number) => number.to_string(),
                        IntOrString::String(name) => name,
                    };
                    let known: Vec<_> =
                        declared.iter().map(|it| format!("{} {}", it.name.as_deref().unwrap_or(""), it.container_port)).collect();
                    let wanted = format!("a container port of {}: {}", workload.object.title(), known.join(", "));
                    sink.add(service.object, format!("spec.ports[{place}].targetPort"), target, wanted);
                }
            }
        }
    }
}
