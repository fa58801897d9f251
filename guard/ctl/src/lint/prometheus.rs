//! The fields of the two kinds of the Prometheus operator that this repository applies. Only names and types are checked: the CRDs of the
//! operator check the rest (`make schemas`), and promtool the rules (`make test-alerts`).
//!
//! Source: the `v1` API reference of prometheus-operator 0.85.

#![allow(dead_code, reason = "only the names and types of the fields are used")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use super::custom::Custom;
use super::strict::{Fault, decode};

/// Returns the faults of an object of the Prometheus operator, or `None` for any other kind.
pub(super) fn faults(api_version: &str, kind: &str, value: &Value) -> Option<Vec<Fault>> {
    match (api_version, kind) {
        ("monitoring.coreos.com/v1", "PodMonitor") => Some(decode::<Custom<PodMonitor>>(value).1),
        ("monitoring.coreos.com/v1", "PrometheusRule") => Some(decode::<Custom<PrometheusRule>>(value).1),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMonitor {
    job_label: Option<String>,
    namespace_selector: Option<NamespaceSelector>,
    pod_metrics_endpoints: Vec<Endpoint>,
    pod_target_labels: Option<Vec<String>>,
    sample_limit: Option<u64>,
    scrape_class: Option<String>,
    selector: LabelSelector,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamespaceSelector {
    any: Option<bool>,
    match_names: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    honor_labels: Option<bool>,
    interval: Option<String>,
    metric_relabelings: Option<Vec<Value>>,
    path: Option<String>,
    port: Option<String>,
    relabelings: Option<Vec<Value>>,
    scheme: Option<String>,
    scrape_timeout: Option<String>,
}

#[derive(Deserialize)]
struct PrometheusRule {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    interval: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    limit: Option<u64>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    expr: String,
    #[serde(rename = "for")]
    lasting: Option<String>,
    keep_firing_for: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    record: Option<String>,
}
