//! The components that open a way in, on top of the good cluster, and the variables of each front door: they keep every rule, and each slip
//! that would open more is found.

#![allow(clippy::expect_used, reason = "helpers of tests; clippy knows only the tests themselves")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use guardctl::lint::object::Object;
use guardctl::lint::{check, yaml};
use serde_json::{Value, json};

const SHARE: &str = "public-share";
const FRONT_DOOR: &str = "authentik-front-door";
const MONITORING: &str = "monitoring";
const CLOUDFLARED: &str =
    "docker.io/cloudflare/cloudflared:2026.10.0@sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The resources of a component, after a slip in one of its files, as kustomize adds them.
fn resources(component: &str, slip: Option<(&str, &str, &str)>) -> Vec<Value> {
    let folder = format!("apps/components/{component}");
    let kustomization = &yaml::documents(&text(&format!("{folder}/kustomization.yaml")), component).expect("YAML")[0];
    let names = kustomization["resources"].as_array().expect("resources").iter().map(|name| name.as_str().expect("a name"));
    let mut values = Vec::new();
    for name in names {
        let text = slipped(name, &text(&format!("{folder}/{name}")), slip);
        let mut value = yaml::documents(&text, name).expect("YAML").remove(0);
        for at in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = value.pointer_mut(at) {
                labels["app.kubernetes.io/part-of"] = json!("immich");
            }
        }
        if let Some(image) = value.pointer_mut("/spec/template/spec/containers/0/image").filter(|image| **image == "cloudflared")
        {
            *image = json!(CLOUDFLARED);
        }
        values.push(value);
    }
    values
}

fn slipped(name: &str, text: &str, slip: Option<(&str, &str, &str)>) -> String {
    match slip.filter(|(file, ..)| *file == name) {
        Some((_, before, after)) => {
            assert!(text.contains(before), "{name} has no {before:?} any more");
            text.replace(before, after)
        }
        None => text.to_owned(),
    }
}

/// The rules that the good cluster with this component breaks, beside that an image is not chosen yet.
fn broken(component: &str, slip: Option<(&str, &str, &str)>) -> BTreeSet<&'static str> {
    let mut values = yaml::documents(&text("guard/ctl/tests/lint/good.yaml"), "good.yaml").expect("YAML");
    values.extend(resources(component, slip));
    if component == SHARE {
        let config = slipped("config.yaml", &text("apps/components/public-share/config.yaml"), slip);
        let labels = json!({
            "app.kubernetes.io/name": "cloudflared-share",
            "app.kubernetes.io/component": "tunnel",
            "app.kubernetes.io/part-of": "immich",
        });
        let metadata = json!({"name": "cloudflared-share", "namespace": "immich-edge", "labels": labels});
        values.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": config}}));
    }
    let objects: Vec<_> =
        values.into_iter().enumerate().map(|(index, value)| Object::new(index, "test", value).expect("an object")).collect();
    check(&objects).iter().map(|finding| finding.id).filter(|id| *id != "image-unpublished").collect()
}

#[test]
fn the_components_keep_every_rule() {
    for component in [SHARE, FRONT_DOOR, MONITORING] {
        assert_eq!(broken(component, None), BTreeSet::new(), "{component}");
    }
}

#[test]
fn a_slip_that_would_open_more_is_found() {
    let mut wrong = Vec::new();
    for (component, file, before, after, rules) in [
        // The one exception of `tunnel-origin` is for this tunnel and this service.
        (SHARE, "config.yaml", "immich-public-proxy.immich-edge", "immich-origin-proxy.immich-edge", &["tunnel-origin"][..]),
        (SHARE, "config.yaml", "immich-public-proxy.immich-edge", "immich-server.immich", &["tunnel-origin"]),
        (SHARE, "config.yaml", "  - service:", "  - path: /share\n    service:", &["tunnel-path-rule"]),
        (SHARE, "config.yaml", "  - service:", "  - hostname: share.example.com\n    service:", &["tunnel-single-rule"]),
        (
            SHARE,
            "deployment-tunnel.yaml",
            "            name: cloudflared-share",
            "            name: cloudflared",
            &["tunnel-origin"],
        ),
        (SHARE, "deployment-tunnel.yaml", "--loglevel=info", "--loglevel=debug", &["tunnel-loglevel"]),
        (SHARE, "deployment-tunnel.yaml", "            - --management-diagnostics=false\n", "", &["tunnel-diagnostics"]),
        // Neither the public tunnel nor the public proxy has a way to guard, or to the database.
        (
            SHARE,
            "networkpolicy-tunnel.yaml",
            "immich-public-proxy",
            "immich-origin-proxy",
            &["network-edge-missing", "tunnel-reach"],
        ),
        (SHARE, "networkpolicy.yaml", "name: cloudflared-share", "name: cloudflared", &["network-edge-missing", "network-peers"]),
        (
            SHARE,
            "networkpolicy-server.yaml",
            "              app.kubernetes.io/name: immich-public-proxy",
            "              app.kubernetes.io/name: cloudflared-share",
            &["network-edge-missing", "network-peers"],
        ),
        (
            SHARE,
            "networkpolicy-server.yaml",
            "name: immich-server\n  policyTypes",
            "name: immich-postgres\n  policyTypes",
            &["network-edge-missing", "network-peers"],
        ),
        (SHARE, "deployment.yaml", "PUBLIC_BASE_URL", "IMMICH_API_KEY", &["public-proxy-secret"]),
        (
            SHARE,
            "deployment.yaml",
            "emptyDir:\n            sizeLimit: 256Mi",
            "secret:\n            secretName: immich-edge",
            &["public-proxy-secret"],
        ),
        // Whoever reaches the outpost may try passwords there.
        (
            FRONT_DOOR,
            "networkpolicy.yaml",
            "name: immich-origin-proxy",
            "name: cloudflared",
            &["network-edge-missing", "network-peers"],
        ),
        (
            FRONT_DOOR,
            "networkpolicy.yaml",
            "        - podSelector:\n            matchLabels:\n              app.kubernetes.io/name: immich-origin-proxy\n",
            "        - podSelector: {}\n",
            &["network-peers"],
        ),
        (FRONT_DOOR, "networkpolicy-origin-proxy.yaml", "port: 9000", "port: 9443", &["network-edge-missing"]),
        (FRONT_DOOR, "networkpolicy.yaml", ", 192.168.0.0/16]", "]", &["egress-open"]),
        (
            FRONT_DOOR,
            "deployment.yaml",
            "              valueFrom:\n                secretKeyRef:\n                  name: authentik-outpost\n                  key: AUTHENTIK_HOST\n",
            "              value: http://nas.lan:9000\n",
            &["private-identifier"],
        ),
        (
            FRONT_DOOR,
            "deployment.yaml",
            "              valueFrom:\n                secretKeyRef:\n                  name: authentik-outpost\n                  key: AUTHENTIK_TOKEN\n",
            "              value: correct-horse\n",
            &["literal-credential"],
        ),
        // Prometheus reaches the metrics, and not the port that serves the photos.
        (MONITORING, "networkpolicy-origin-proxy.yaml", "port: 9090", "port: 8080", &["network-peers"]),
        (MONITORING, "networkpolicy-origin-proxy.yaml", "port: 9090}", "port: 9090, endPort: 9999}", &["network-peers"]),
        (MONITORING, "networkpolicy-cloudflared.yaml", "port: 2000", "port: 9090", &["network-peers"]),
        (MONITORING, "networkpolicy-origin-proxy.yaml", "guard.immich/scrapes: \"true\"", "team: any", &["network-peers"]),
        (
            MONITORING,
            "networkpolicy-origin-proxy.yaml",
            "          podSelector:\n            matchLabels:\n              app.kubernetes.io/name: prometheus\n",
            "",
            &["network-peers"],
        ),
        (MONITORING, "podmonitor-cloudflared.yaml", "interval:", "intervall:", &["unknown-field"]),
        (MONITORING, "prometheusrule.yaml", "          for: 5m", "          fore: 5m", &["unknown-field"]),
        (FRONT_DOOR, "service.yaml", "type: ClusterIP", "type: NodePort", &["node-port"]),
    ] {
        let found = broken(component, Some((file, before, after)));
        if found != rules.iter().copied().collect() {
            wrong.push(format!("{file}: {before:?} -> {after:?}: found {found:?}, wanted {rules:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rules that the good cluster breaks with the guard's variables replaced by these.
fn broken_with(variables: &[(&str, &str)]) -> BTreeSet<&'static str> {
    let mut values = yaml::documents(&text("guard/ctl/tests/lint/good.yaml"), "good.yaml").expect("YAML");
    let guard =
        values.iter_mut().find(|value| value["kind"] == "Deployment" && value["metadata"]["name"] == "immich-origin-proxy");
    let container = &mut guard.expect("the guard")["spec"]["template"]["spec"]["containers"][0];
    container["envFrom"] = json!([]);
    container["env"] = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let objects: Vec<_> =
        values.into_iter().enumerate().map(|(index, value)| Object::new(index, "test", value).expect("an object")).collect();
    check(&objects).iter().map(|finding| finding.id).filter(|id| *id != "image-unpublished").collect()
}

#[test]
fn each_front_door_wants_its_variables_and_no_other_doors() {
    let found = BTreeSet::from(["front-door"]);
    let all = [
        ("GUARD_ACCESS_TEAM", "team.example"),
        ("GUARD_ACCESS_AUD", "aud.example"),
        ("GUARD_ALB_ARN", "arn.example"),
        ("GUARD_ALB_CLIENT_ID", "client.example"),
        ("GUARD_ASSERTION_ALGORITHMS", "ES256"),
        ("GUARD_ASSERTION_AUDIENCE", "photos.family.test"),
        ("GUARD_ASSERTION_HEADER", "X-Token"),
        ("GUARD_ASSERTION_ISSUER", "https://signer.family.test/"),
        ("GUARD_ASSERTION_SECRET_FILE", "/run/secrets/signer/secret"),
        ("GUARD_AUTH_URL", "http://authentik-outpost.immich-edge.svc:9000"),
        ("GUARD_EXTERNAL_URL", "https://photos.family.test"),
        ("GUARD_JWKS_URL", "https://signer.family.test/jwks"),
        ("GUARD_TRUSTED_PEERS", "peer.example"),
    ];
    for (door, needs) in [
        ("cloudflare-access", &["GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"][..]),
        ("google-iap", &["GUARD_ASSERTION_AUDIENCE"]),
        ("pomerium", &["GUARD_ASSERTION_AUDIENCE", "GUARD_JWKS_URL"]),
        ("aws-alb", &["GUARD_ALB_ARN", "GUARD_ALB_CLIENT_ID"]),
        ("authentik-proxy", &["GUARD_ASSERTION_SECRET_FILE", "GUARD_ASSERTION_ISSUER", "GUARD_ASSERTION_AUDIENCE"]),
        ("forward-auth", &["GUARD_AUTH_URL", "GUARD_EXTERNAL_URL"]),
        ("unsigned-header", &["GUARD_ASSERTION_HEADER", "GUARD_TRUSTED_PEERS"]),
    ] {
        let chosen = ("GUARD_FRONT_DOOR", door);
        let own: Vec<_> = all.into_iter().filter(|(name, _)| needs.contains(name)).chain([chosen]).collect();
        assert_eq!(broken_with(&own), BTreeSet::new(), "{door}");
        for missing in needs {
            let rest: Vec<_> = own.iter().copied().filter(|(name, _)| name != missing).collect();
            assert_eq!(broken_with(&rest), found, "{door} without {missing}");
        }
        let everything: Vec<_> = all.into_iter().chain([chosen]).collect();
        assert_eq!(broken_with(&everything), found, "{door} with what is left of the others");
    }
    assert_eq!(broken_with(&[("GUARD_FRONT_DOOR", "forwardauth")]), found, "a door that there is not");
}
