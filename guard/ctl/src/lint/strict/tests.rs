//! What is no fault is as important as what is: the API server takes each of these.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use serde_json::{Value, json};

use super::{Fault, decode, join};

fn deployment(container: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "creationTimestamp": null, "labels": {}},
        "spec": {"selector": {"matchLabels": {}}, "template": {"metadata": {}, "spec": {"containers": [container]}}},
    })
}

fn faults(container: &Value) -> Vec<Fault> {
    decode::<Deployment>(&deployment(container)).1
}

#[test]
fn an_unknown_field_has_its_path_and_the_name_that_was_meant() {
    let found = faults(&json!({"name": "x", "livenessprobe": {}, "securityContext": {"runAsNonroot": true, "colour": 1}}));
    let at = "spec.template.spec.containers[0]";
    let unknown = |path: &str, nearest| Fault::Unknown { path: format!("{at}.{path}"), nearest };
    assert_eq!(
        found,
        [
            unknown("livenessprobe", Some("livenessProbe")),
            unknown("securityContext.colour", None),
            unknown("securityContext.runAsNonroot", Some("runAsNonRoot")),
        ]
    );
}

#[test]
fn a_value_of_the_wrong_type_has_its_path() {
    for (container, path) in [
        (json!({"name": "x", "env": [{"name": "A", "value": 1}]}), "env[0].value"),
        (json!({"name": "x", "ports": [{"containerPort": "http"}]}), "ports[0].containerPort"),
        (json!({"name": "x", "args": "one"}), "args"),
        (json!({"name": "x", "resources": {"limits": {"memory": true}}}), "resources.limits.memory"),
    ] {
        let found = faults(&container);
        let [Fault::Type { path: at, message }] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(at, &format!("spec.template.spec.containers[0].{path}"), "{message}");
    }
}

#[test]
fn quantities_may_be_numbers_and_need_not_be_canonical() {
    for quantity in [json!(1), json!(0.5), json!("1000m"), json!("1024Mi"), json!("1Gi"), json!("2e3")] {
        assert_eq!(faults(&json!({"name": "x", "resources": {"limits": {"memory": quantity}}})), []);
    }
}

#[test]
fn ports_may_be_numbers_or_names() {
    for port in [json!(8080), json!("http")] {
        assert_eq!(faults(&json!({"name": "x", "readinessProbe": {"httpGet": {"port": port, "path": "/"}}})), []);
    }
}

#[test]
fn nulls_and_empty_maps_and_lists_are_what_they_are() {
    let empty = json!({
        "name": "x", "env": [], "args": null, "resources": {}, "securityContext": {}, "lifecycle": null, "ports": null,
        "livenessProbe": {"exec": {"command": null}}, "volumeMounts": [], "envFrom": [{"secretRef": {}}],
    });
    assert_eq!(faults(&empty), []);
}

#[test]
fn labels_and_data_may_have_any_key() {
    let value = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "annotations": {"a.b/c": "d"}}, "data": {"any thing": "y"},
    });
    assert_eq!(decode::<ConfigMap>(&value).1, []);
}

#[test]
fn bytes_and_times_are_read() {
    let value = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "creationTimestamp": "2026-01-04T00:00:00Z"}, "data": {"a": "YQ=="},
    });
    assert_eq!(decode::<Secret>(&value).1, []);
}

#[test]
fn an_empty_status_is_what_controllers_leave_behind() {
    let value =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {}, "status": {"loadBalancer": {}}});
    assert_eq!(decode::<Service>(&value).1, []);
}

#[test]
fn a_path_quotes_what_is_no_word() {
    assert_eq!(join("metadata.labels", "app.kubernetes.io/name"), "metadata.labels[\"app.kubernetes.io/name\"]");
    assert_eq!(join("spec", "[0]"), "spec[0]");
    assert_eq!(join("", "spec"), "spec");
}
