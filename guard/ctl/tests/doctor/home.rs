//! A healthy home as evidence, and healthy variants of it.

use serde_json::{Value, json};

/// A healthy home.
pub(super) fn healthy() -> Value {
    let deployments: Vec<_> = WORKLOADS.iter().map(|(namespace, name)| deployment(namespace, name)).collect();
    let pods: Vec<_> = WORKLOADS.iter().map(|(namespace, name)| pod(namespace, name)).collect();
    let namespaces: Vec<_> =
        ["immich", "immich-edge", "flux-system"].iter().map(|name| json!({"metadata": {"name": name}})).collect();
    json!({
        "api": {"found": "v1.37.2+k3s1"},
        "objects": {
            "Node": [node("home")],
            "Namespace": namespaces,
            "Deployment": deployments,
            "Pod": pods,
            "Event": [],
            "NetworkPolicy": policies(),
            "CronJob": [{"metadata": {"name": "immich-db-backup", "namespace": "immich"}, "status": {"lastSuccessfulTime": "2999-01-01T02:30:00Z"}}],
            "ConfigMap": [{"metadata": {"name": "cloudflared-abc", "namespace": "immich-edge"}, "data": {"config.yaml":
                "ingress:\n  - service: http://immich-origin-proxy.immich-edge.svc.cluster.local:8080\n"}}],
            "GitRepository": [{
                "metadata": {"name": "home", "namespace": "flux-system"}, "spec": {"url": "https://git.family.test/photos"},
                "status": {"artifact": {"revision": "main@sha1:1"}, "conditions": [{"type": "Ready", "status": "True"}]},
            }],
            "Kustomization": [{
                "metadata": {"name": "home", "namespace": "flux-system"}, "spec": {},
                "status": {"lastAppliedRevision": "main@sha1:1", "conditions": [{"type": "Ready", "status": "True"}]},
            }],
        },
        "secrets": {
            "immich/immich-postgres": {"POSTGRES_PASSWORD": {"bytes": 48}},
            "immich-edge/cloudflared-tunnel": {"token": {"bytes": 184, "is_tunnel_token": true}},
            "immich-edge/immich-edge": {
                "ACCESS_TEAM": {"bytes": 6, "public": "family"},
                "ACCESS_AUD": {"bytes": 64, "public": AUD},
                "EXTERNAL_HOST": {"bytes": 18, "public": "photos.family.test"},
                "LAN_URL": {"bytes": 29, "public": "http://photos.home.arpa:30283"},
            },
        },
        "tunnel": {"found": {"connections": 4, "config_version": -1, "services": ["http://immich-origin-proxy.immich-edge.svc.cluster.local:8080"]}},
        "guard_ready": {"found": "ok"},
        "guard_metrics": {
            "guard_requests_total{decision=\"passed\"}": 1200.0,
            "guard_memory_budget_bytes": 109_051_904.0, "guard_memory_reserved_bytes": 1_000_000.0,
        },
        "host": "photos.family.test",
        "addresses": {"found": ["104.16.132.229", "2606:4700::6810:84e5"]},
        "public_addresses": {
            "cloudflare-dns.com": {"found": ["104.16.132.229", "2606:4700::6810:84e5"]},
            "dns.google": {"found": ["104.16.132.229", "2606:4700::6810:84e5"]},
        },
        "lan_addresses": {"found": ["fe80::10"]},
        "phone": {"found": {"status": 200}},
        "websocket": {"found": 101},
        "server_log": "[Nest] 1 LOG Immich Server is listening\n",
        "head": "1",
        "edge": {"found": {"status": 302, "location":
            format!("https://family.cloudflareaccess.com/cdn-cgi/access/login/photos.family.test?kid={AUD}&redirect_url=%2F")}},
        "team_keys": {"found": 2},
        "lan": {"found": 200},
        "clock_api": 0,
        "clock_edge": 1,
    })
}

pub(super) const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";

const WORKLOADS: [(&str, &str); 6] = [
    ("immich", "immich-postgres"),
    ("immich", "immich-redis"),
    ("immich", "immich-machine-learning"),
    ("immich", "immich-server"),
    ("immich-edge", "immich-origin-proxy"),
    ("immich-edge", "cloudflared"),
];

fn policies() -> Vec<Value> {
    let beside = [("immich", "default-deny"), ("immich", "dns"), ("immich-edge", "default-deny"), ("immich-edge", "dns")];
    let all = beside.iter().chain(&WORKLOADS);
    all.map(|(namespace, name)| json!({"metadata": {"name": name, "namespace": namespace}})).collect()
}

pub(super) fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.10"}],
        "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    }})
}

fn deployment(namespace: &str, name: &str) -> Value {
    let command =
        if name == "immich-server" { json!(["/guard/guard", "nas", "exec", "--", "tini", "--", "start.sh"]) } else { json!([]) };
    let container = if name == "immich-server" { "server" } else { name };
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": container, "command": command}]}}},
        "status": {"readyReplicas": 1},
    })
}

pub(super) fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "metadata": {"name": format!("{name}-1"), "namespace": namespace, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "nodeName": "home",
            "volumes": [{"name": "library", "hostPath": {"path": "/mnt/nas/immich"}}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{"name": "main", "ready": true, "restartCount": 0, "image": "x", "state": {"running": {}}}],
        },
    })
}

/// Homes that differ from ours, and are well.
#[allow(clippy::too_many_lines, reason = "a list")]
pub(super) fn variants() -> Vec<(&'static str, Value)> {
    let with = |change: fn(&mut Value)| {
        let mut home = healthy();
        change(&mut home);
        home
    };
    vec![
        (
            "without Flux",
            with(|home| {
                home["objects"]["GitRepository"] = json!([]);
                home["objects"]["Kustomization"] = json!([]);
            }),
        ),
        (
            "without the right to list Secrets",
            with(|home| {
                home["secrets"] = json!({});
                home["unreadable"] = json!({"Secret": "forbidden"});
            }),
        ),
        (
            "a NAS that was away, that hung, and that is back: its events stay for an hour",
            with(|home| {
                let pod = &mut home["objects"]["Pod"][3];
                pod["status"]["conditions"].as_array_mut().unwrap().push(json!({"type": "Ready", "status": "True"}));
                let event = |message: &str| json!({"type": "Warning", "involvedObject": {"name": pod["metadata"]["name"]}, "message": message});
                home["objects"]["Event"] = json!([
                    event(
                        "MountVolume.SetUp failed for volume \"library\" : hostPath type check failed, /mnt/nas/immich is not a directory"
                    ),
                    event("stat /mnt/nas/immich: stale NFS file handle"),
                    event("Readiness probe failed: {\"event\":\"nas_gate\",\"exit\":48,\"code\":\"NAS_HUNG\"}"),
                ]);
            }),
        ),
        ("without the backup component", with(|home| home["objects"]["CronJob"] = json!([]))),
        (
            "a first start: applied, and not ready yet",
            with(|home| {
                home["objects"]["Kustomization"][0]["status"]["conditions"][0] =
                    json!({"type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "timeout waiting"});
            }),
        ),
        (
            "two nodes, and two pods of guard and cloudflared",
            with(|home| {
                home["objects"]["Node"].as_array_mut().unwrap().push(node("second"));
                for (namespace, name) in &WORKLOADS[4..] {
                    let mut second = pod(namespace, name);
                    second["metadata"]["name"] = json!(format!("{name}-2"));
                    home["objects"]["Pod"].as_array_mut().unwrap().push(second);
                }
            }),
        ),
        ("kubeadm", with(|home| home["api"]["found"] = json!("v1.36.4"))),
        ("Talos", with(|home| home["api"]["found"] = json!("v1.37.2"))),
        ("MicroK8s", with(|home| home["api"]["found"] = json!("v1.37.1-microk8s"))),
        ("from elsewhere than home", with(|home| home["lan"] = json!({"failed": "timeout"}))),
        ("at home, with a record of its own for the name", with(|home| home["addresses"]["found"] = json!(["192.168.1.10"]))), // scan:allow an address of documentation's kind
        (
            "the cluster only",
            with(|home| {
                for field in ["addresses", "edge", "team_keys"] {
                    home[field] = json!("skipped");
                }
            }),
        ),
        (
            "a guard that nobody has asked yet",
            with(|home| home["guard_metrics"] = json!({"guard_requests_total{decision=\"passed\"}": 0.0})),
        ),
        (
            "strangers who guess",
            with(|home| {
                home["guard_metrics"]["guard_assertion_failures_total{cause=\"signature\"}"] = json!(90.0);
                home["guard_metrics"]["guard_assertion_failures_total{cause=\"audience\"}"] = json!(3.0);
            }),
        ),
        (
            "an address list in the Secret",
            with(|home| {
                home["secrets"]["immich-edge/immich-edge"]["ALLOW_EMAIL"] = json!({"bytes": 20});
                home["secrets"]["immich-edge/immich-edge"]["LAN_URL"] = json!({"bytes": 20});
            }),
        ),
        (
            "two applications",
            with(|home| {
                home["secrets"]["immich-edge/immich-edge"]["ACCESS_AUD"]["public"] = json!(format!("{},{AUD}", "a".repeat(64)));
            }),
        ),
        (
            "the team as an address",
            with(|home| {
                home["secrets"]["immich-edge/immich-edge"]["ACCESS_TEAM"]["public"] =
                    json!("https://family.cloudflareaccess.com/");
            }),
        ),
        (
            "share links",
            with(|home| {
                home["tunnel"]["found"]["services"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!("http://immich-public-proxy.immich-edge.svc.cluster.local:3000"));
            }),
        ),
        (
            "a container that was restarted once, long ago",
            with(|home| {
                home["objects"]["Pod"][3]["status"]["containerStatuses"][0]["restartCount"] = json!(1);
                home["objects"]["Pod"][3]["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 41, "message": "NAS_NOT_MOUNTED (41): x\nfix: y\nGUARD-JSON {\"exit\":41,\"event\":\"nas_gate\"}\n"}});
            }),
        ),
        (
            "old warnings of a pod that runs",
            with(|home| {
                home["objects"]["Event"] = json!([{"type": "Warning", "involvedObject": {"name": "immich-server-1"}, "message": "Readiness probe failed"}]);
            }),
        ),
        ("Access answers an app with 401 or 403", with(|home| home["edge"]["found"] = json!({"status": 403}))),
        ("machine learning away", with(|home| home["objects"]["Deployment"][2]["status"]["readyReplicas"] = json!(0))),
        ("Cilium", with(|home| home["objects"]["Node"][0]["spec"] = json!({"podCIDR": "10.0.0.0/8", "taints": []}))),
        ("Calico", with(|home| home["objects"]["Node"][0]["spec"] = json!({"podCIDR": "192.168.0.0/16"}))),
        (
            "IPv6 only",
            with(|home| {
                home["objects"]["Node"][0]["status"]["addresses"][0]["address"] = json!("2001:db8::20");
                home["addresses"]["found"] = json!(["2606:4700::6810:84e5"]);
            }),
        ),
        (
            "public resolvers that are blocked",
            with(|home| home["public_addresses"] = json!({"dns.google": {"failed": "connection refused"}})),
        ),
        (
            "one public resolver of two",
            with(|home| home["public_addresses"]["dns.google"] = json!({"failed": "no answer within 4s"})),
        ),
        (
            "without a phone's token",
            with(|home| {
                home["phone"] = json!("skipped");
                home["websocket"] = json!("skipped");
            }),
        ),
        (
            "another front door than Cloudflare's",
            with(|home| {
                home["secrets"]["immich-edge/immich-edge"] = json!({
                    "FRONT_DOOR": {"bytes": 12}, "AUTH_URL": {"bytes": 20}, "EXTERNAL_HOST": {"bytes": 18, "public": "photos.family.test"},
                    "ACCESS_TEAM": {"bytes": 6}, "ACCESS_AUD": {"bytes": 64},
                });
                home["public_addresses"]["dns.google"]["found"] = json!(["203.0.113.10"]);
                home["edge"]["found"] = json!({"status": 302, "location": "https://auth.family.test/"});
                home["team_keys"] = json!("skipped");
            }),
        ),
        ("a clone that is ahead of what Flux has", with(|home| home["head"] = json!("4a1c0f2e9b7d"))),
        ("a folder that is no clone", with(|home| home["head"] = json!(null))),
        (
            "an upload that was too large",
            with(|home| home["guard_metrics"]["guard_refusals_total{reason=\"body-too-large\"}"] = json!(2.0)),
        ),
        ("an address at home without a name", with(|home| home["lan_addresses"] = json!("skipped"))),
        ("three connections of four", with(|home| home["tunnel"]["found"]["connections"] = json!(3))),
        ("a clock that is three seconds off", with(|home| home["clock_edge"] = json!(3))),
    ]
}
