//! Broken homes: what is changed in the healthy one, the check that has to be called the root cause, and words of the cure.

use guardctl::doctor::graph::Status;
use serde_json::{Value, json};

use super::{findings, home};

/// The status of a container that has ended by the NAS gate.
fn gate(exit: u64, name: &str, message: &str) -> Value {
    let json =
        json!({"event": "nas_gate", "exit": exit, "code": name, "message": message, "fstype": "ext4", "source": "/dev/vda"});
    json!({"name": "server", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": exit, "message": format!("{name} ({exit}): {message}\nfix: x\nGUARD-JSON {json}\n")}}})
}

/// The pod of a workload, which does not run.
#[allow(clippy::needless_pass_by_value, reason = "a status is made for one call")]
fn stopped(home: &mut Value, place: usize, status: Value) -> &mut Value {
    home["objects"]["Deployment"][place]["status"]["readyReplicas"] = json!(0);
    home["objects"]["Pod"][place]["status"]["containerStatuses"] = json!([status]);
    &mut home["objects"]["Pod"][place]
}

fn crashed(code: i64) -> Value {
    json!({"name": "main", "ready": false, "restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": code, "reason": "Error"}}})
}

fn waiting(reason: &str, message: &str, image: &str) -> Value {
    json!({"name": "main", "ready": false, "restartCount": 0, "image": image, "state": {"waiting": {"reason": reason, "message": message}}})
}

fn log(home: &mut Value, container: &str, text: &str) {
    home["logs"][container] = json!(text);
}

fn event(home: &mut Value, pod: &str, message: &str) {
    home["objects"]["Event"] = json!([{"type": "Warning", "involvedObject": {"name": pod}, "message": message}]);
}

/// A server that runs and is not ready, with what its probes said, the oldest first; without a code it is the program that does not answer.
fn probed(home: &mut Value, said: &[(&str, &str)]) {
    let pod = stopped(home, SERVER, json!({"name": "server", "ready": false, "restartCount": 0, "state": {"running": {}}}));
    let pod = pod["metadata"]["name"].clone();
    let events = said.iter().enumerate().map(|(minute, (exit, name))| {
        let message = match exit.parse::<u64>() {
            Ok(exit) => json!({"event": "nas_gate", "exit": exit, "code": name, "fstype": "nfs4", "source": "nas:/photos", "message": "x"}),
            Err(_) => json!({"event": "nas_probe_http", "message": "no response within 1 s"}),
        };
        json!({"type": "Warning", "involvedObject": {"name": pod}, "lastTimestamp": format!("2026-11-25T18:0{minute}:00Z"),
            "message": format!("Readiness probe failed: {message}")})
    });
    // The API server lists them by name, not by time.
    home["objects"]["Event"] = events.rev().collect();
}

const POSTGRES: usize = 0;
const REDIS: usize = 1;
const SERVER: usize = 3;
const GUARD: usize = 4;
const TUNNEL: usize = 5;

type Case = (&'static str, fn(&mut Value), &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("the API server is away", |home| { home["api"] = json!({"failed": "connection refused"}); home["objects"] = json!({}); home["secrets"] = json!({});
        home["tunnel"] = json!("skipped"); home["guard_ready"] = json!("skipped"); home["guard_metrics"] = json!({}); home["lan"] = json!("skipped"); },
        "GD-K8S-01", "kubectl cluster-info"),
    ("the clock is two minutes behind", |home| home["clock_edge"] = json!(-120), "GD-K8S-02", "set-ntp true"),
    ("the clock is ahead of the cluster's", |home| home["clock_api"] = json!(45), "GD-K8S-02", "set-ntp true"),
    ("the node is not ready", |home| home["objects"]["Node"][0]["status"]["conditions"][1]["status"] = json!("Unknown"), "GD-K8S-03", "describe node home"),
    ("the node's disk is full", |home| home["objects"]["Node"][0]["status"]["conditions"][0]["status"] = json!("True"), "GD-K8S-04", "df -h"),
    ("another cluster", |home| { home["objects"] = json!({"Node": [home::node("home")], "Namespace": []}); home["secrets"] = json!({});
        home["tunnel"] = json!("skipped"); home["guard_ready"] = json!("skipped"); }, "GD-K8S-05", "current-context"),
    ("Flux cannot fetch", |home| home["objects"]["GitRepository"][0]["status"]["conditions"][0] =
        json!({"type": "Ready", "status": "False", "message": "authentication required"}), "GD-FLUX-01", "flux reconcile source git home"),
    ("Flux is suspended", |home| home["objects"]["Kustomization"][0]["spec"]["suspend"] = json!(true), "GD-FLUX-02", "flux resume kustomization home"),
    ("the source is suspended", |home| home["objects"]["GitRepository"][0]["spec"]["suspend"] = json!(true), "GD-FLUX-02", "flux resume source git home"),
    ("a commit that cannot be applied", |home| home["objects"]["Kustomization"][0]["status"]["conditions"][0] =
        json!({"type": "Ready", "status": "False", "reason": "BuildFailed", "message": "kustomize build failed: __NAS_PATCH__"}), "GD-FLUX-03", "flux events"),
    ("no password of the database", |home| drop(home["secrets"].as_object_mut().unwrap().remove("immich/immich-postgres")), "GD-SECRET-01", "POSTGRES_PASSWORD"),
    ("an empty password", |home| home["secrets"]["immich/immich-postgres"]["POSTGRES_PASSWORD"]["bytes"] = json!(0), "GD-SECRET-01", "patch secret immich-postgres"),
    ("no token of the tunnel", |home| drop(home["secrets"].as_object_mut().unwrap().remove("immich-edge/cloudflared-tunnel")), "GD-SECRET-02", "cloudflared tunnel token"),
    ("a credentials file as token", |home| home["secrets"]["immich-edge/cloudflared-tunnel"]["token"]["is_tunnel_token"] = json!(false), "GD-SECRET-02", "cloudflared tunnel token"),
    ("a missing key in guard's Secret", |home| drop(home["secrets"]["immich-edge/immich-edge"].as_object_mut().unwrap().remove("EXTERNAL_HOST")), "GD-SECRET-03", "patch secret immich-edge"),
    ("a Secret with a trailing newline", |home| home["secrets"]["immich/immich-postgres"]["POSTGRES_PASSWORD"]["has_space"] = json!(true), "GD-SECRET-04", "tr -d"),
    ("an AUD that is a name", |home| home["secrets"]["immich-edge/immich-edge"]["ACCESS_AUD"]["public"] = json!("immich"), "GD-SECRET-05", "ACCESS_AUD"),
    ("a host name with a scheme", |home| home["secrets"]["immich-edge/immich-edge"]["EXTERNAL_HOST"]["public"] = json!("https://photos.family.test"), "GD-SECRET-05", "EXTERNAL_HOST"),
    ("the example's host name", |home| home["secrets"]["immich-edge/immich-edge"]["EXTERNAL_HOST"]["public"] = json!("photos.example.com"), "GD-SECRET-05", "EXTERNAL_HOST"),
    ("a misspelt list of addresses", |home| { home["secrets"]["immich-edge/immich-edge"]["ALLOW_EMAILS"] = json!({"bytes": 9}); stopped(home, GUARD, crashed(2)); }, "GD-SECRET-06", "/data/ALLOW_EMAILS"),
    ("the NAS is away when the pod is made", |home| { stopped(home, SERVER, waiting("ContainerCreating", "", ""));
        event(home, "immich-server-1", "MountVolume.SetUp failed for volume \"library\" : hostPath type check failed: /mnt/nas/immich is not a directory"); }, "GD-NAS-01", "on home: sudo mount /mnt/nas"),
    ("a stale mount when the pod is made", |home| { stopped(home, SERVER, waiting("CreateContainerError", "stat /mnt/nas/immich: stale NFS file handle", "")); }, "GD-NAS-02", "umount -l /mnt/nas"),
    ("a NAS that hangs when the pod is made", |home| { stopped(home, SERVER, waiting("ContainerCreating", "", ""));
        event(home, "immich-server-1", "Unable to attach or mount volumes: unmounted volumes=[library], unattached volumes=[library]: timed out waiting for the condition"); }, "GD-NAS-02", "timeout 5 stat"),
    ("the path is missing", |home| { stopped(home, SERVER, gate(40, "NAS_MISSING", "/data is not there")); }, "GD-NAS-40", "nas.patch.yaml"),
    ("the NAS is not mounted", |home| { stopped(home, SERVER, gate(41, "NAS_NOT_MOUNTED", "/data is ext4 /dev/vda, wanted nfs4")); }, "GD-NAS-41", "on home: sudo mount /mnt/nas"),
    ("the gate waits for the NAS", |home| { stopped(home, SERVER, json!({"name": "nas-gate", "ready": false, "restartCount": 0, "state": {"running": {}}}));
        log(home, "immich-server-1/nas-gate", "{\"event\":\"nas_gate\",\"exit\":41,\"code\":\"NAS_NOT_MOUNTED\",\"message\":\"not mounted\"}"); }, "GD-NAS-41", "sudo mount"),
    ("another share", |home| { stopped(home, SERVER, gate(42, "NAS_WRONG_SOURCE", "x")); }, "GD-NAS-42", "fstab"),
    ("no sentinel", |home| { stopped(home, SERVER, gate(43, "NAS_SENTINEL_MISSING", "x")); }, "GD-NAS-43", "guard nas init"),
    ("another NAS", |home| { stopped(home, SERVER, gate(44, "NAS_SENTINEL_OTHER", "x")); }, "GD-NAS-44", "findmnt"),
    ("a read-only NAS", |home| { stopped(home, SERVER, gate(45, "NAS_READ_ONLY", "x")); }, "GD-NAS-45", "remount,rw"),
    ("a full NAS", |home| { stopped(home, SERVER, gate(46, "NAS_NO_SPACE", "x")); }, "GD-NAS-46", "df -h"),
    ("a NAS that has become read-only under a server that runs", |home| { probed(home, &[("45", "NAS_READ_ONLY")]); }, "GD-NAS-45", "remount,rw"),
    ("a NAS that hangs under a server that runs", |home| { probed(home, &[("46", "NAS_NO_SPACE"), ("48", "NAS_HUNG")]); }, "GD-NAS-48", "timeout 5 ls"),
    ("a NAS that was away once, and a server that does not answer", |home| { probed(home, &[("48", "NAS_HUNG"), ("", "")]); }, "GD-APP-01", "logs deploy/immich-server"),
    ("the policy that lets guard reach Immich was deleted", |home| home["objects"]["NetworkPolicy"].as_array_mut().unwrap().retain(|it| it["metadata"]["name"] != "immich-server"), "GD-POD-05", "flux reconcile kustomization home"),
    ("no policy at all", |home| home["objects"]["NetworkPolicy"] = json!([]), "GD-POD-05", "kubectl apply -k"),
    ("root squash", |home| { stopped(home, SERVER, gate(47, "NAS_NOT_WRITABLE", "x")); }, "GD-NAS-47", "stat -c"),
    ("a NAS that hangs", |home| { stopped(home, SERVER, gate(48, "NAS_HUNG", "x")); }, "GD-NAS-48", "timeout 5 ls"),
    ("a stale NAS", |home| { stopped(home, SERVER, gate(49, "NAS_STALE", "x")); }, "GD-NAS-49", "umount -l"),
    ("a NAS with errors", |home| { stopped(home, SERVER, gate(50, "NAS_IO", "x")); }, "GD-NAS-50", "dmesg"),
    ("a deployment was deleted", |home| drop(home["objects"]["Deployment"].as_array_mut().unwrap().remove(REDIS)), "GD-POD-01", "kubectl apply -k"),
    ("the digest of zeros", |home| { let image = format!("ghcr.io/example/guard:0.1.0@sha256:{}", "0".repeat(64)); stopped(home, GUARD, waiting("ImagePullBackOff", "not found", &image)); }, "GD-POD-02", "docs/image.md"),
    ("a private image", |home| { stopped(home, GUARD, waiting("ErrImagePull", "401 Unauthorized", "ghcr.io/family/guard:1@sha256:ab")); }, "GD-POD-02", "pull secret"),
    ("a node of another name", |home| { let pod = stopped(home, SERVER, json!({})); pod["status"]["containerStatuses"] = json!([]); pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "pi5"});
        pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."}]); }, "GD-POD-03", "kubectl get nodes"),
    ("too little memory", |home| { let pod = stopped(home, POSTGRES, json!({})); pod["status"]["containerStatuses"] = json!([]);
        pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient memory."}]); }, "GD-POD-03", "too little memory"),
    ("a data directory of PostgreSQL 14", |home| { stopped(home, POSTGRES, crashed(1)); log(home, "immich-postgres-1/main", "FATAL:  database files are incompatible with server"); }, "GD-DB-01", "postgresql-14-to-18"),
    ("the preload was lost", |home| { stopped(home, POSTGRES, crashed(1)); log(home, "immich-postgres-1/main", "ERROR:  vchord must be loaded via shared_preload_libraries."); }, "GD-DB-02", "ALTER SYSTEM RESET"),
    ("an index of an older VectorChord", |home| { stopped(home, SERVER, crashed(1)); log(home, "immich-server-1/server", "deserialization: bad version number; after upgrading VectorChord, please use REINDEX"); }, "GD-DB-03", "REINDEX INDEX face_index"),
    ("another password in the database", |home| { stopped(home, SERVER, crashed(1)); log(home, "immich-server-1/server", "error: password authentication failed for user \"immich\""); }, "GD-DB-04", "ALTER USER immich"),
    ("a database whose owner is postgres", |home| { stopped(home, SERVER, crashed(1)); log(home, "immich-server-1/server", "must be owner of extension vchord"); }, "GD-DB-04", "ALTER ROLE immich SUPERUSER"),
    ("the database crashes", |home| { stopped(home, POSTGRES, crashed(1)); log(home, "immich-postgres-1/main", "FATAL: could not open file: Permission denied"); stopped(home, SERVER, crashed(1)); }, "GD-DB-05", "logs deploy/immich-postgres"),
    ("the cache is away", |home| { stopped(home, REDIS, crashed(1)); }, "GD-DB-06", "logs deploy/immich-redis"),
    ("Immich crashes", |home| { stopped(home, SERVER, crashed(1)); log(home, "immich-server-1/server", "Error: Missing .immich file"); }, "GD-APP-01", "logs deploy/immich-server"),
    ("Immich was scaled to 0", |home| { home["objects"]["Deployment"][SERVER]["spec"]["replicas"] = json!(0); home["objects"]["Deployment"][SERVER]["status"] = json!({}); }, "GD-APP-01", "--replicas=1"),
    ("the command of the image without the gate", |home| home["objects"]["Deployment"][SERVER]["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["tini", "--"]), "GD-APP-02", "on home: sudo guard nas strays --path /mnt/nas"),
    ("the NodePort answers with an error", |home| home["lan"] = json!({"found": 502}), "GD-LAN-01", "endpointslices"),
    ("guard crashes", |home| { stopped(home, GUARD, crashed(1)); }, "GD-GUARD-01", "logs deploy/immich-origin-proxy"),
    ("guard has no keys", |home| home["guard_ready"] = json!({"failed": "503 Service Unavailable"}), "GD-GUARD-02", "logs deploy/immich-origin-proxy"),
    ("a wrong AUD, by what arrives", |home| home["guard_metrics"] = json!({"guard_requests_total{decision=\"passed\"}": 0.0, "guard_assertion_failures_total{cause=\"audience\"}": 7.0}), "GD-GUARD-03", "ACCESS_AUD"),
    ("a wrong team, by what arrives", |home| home["guard_metrics"] = json!({"guard_requests_total{decision=\"passed\"}": 0.0, "guard_assertion_failures_total{cause=\"issuer\"}": 7.0}), "GD-GUARD-03", "ACCESS_TEAM"),
    ("an allow list that matches nobody", |home| home["guard_metrics"] = json!({"guard_requests_total{decision=\"passed\"}": 0.0, "guard_refusals_total{reason=\"forbidden\"}": 7.0}), "GD-GUARD-03", "ALLOW_EMAIL"),
    ("cloudflared crashes", |home| { stopped(home, TUNNEL, crashed(1)); }, "GD-TUNNEL-01", "logs deploy/cloudflared"),
    ("no connection to Cloudflare", |home| { home["tunnel"]["found"]["connections"] = json!(0); home["edge"]["found"] = json!({"status": 530}); }, "GD-TUNNEL-02", "7844"),
    ("a tunnel that is managed in the dashboard", |home| home["tunnel"]["found"]["config_version"] = json!(3), "GD-TUNNEL-04", "tunnel create"),
    ("ingress straight to Immich", |home| home["tunnel"]["found"]["services"] = json!(["http://immich-server.immich.svc.cluster.local:2283"]), "GD-TUNNEL-05", "--replicas=0"),
    ("ingress straight to Immich in Git", |home| home["objects"]["ConfigMap"][0]["data"]["config.yaml"] = json!("ingress:\n  - service: http://immich-server.immich.svc.cluster.local:2283\n"), "GD-TUNNEL-05", "--replicas=0"),
    ("no DNS record", |home| { home["addresses"] = json!({"failed": "no such host"}); home["edge"] = json!({"failed": "dns"}); }, "GD-DNS-01", "route dns"),
    ("a computer that is offline", |home| { home["addresses"] = json!({"failed": "no answer within 4s"}); home["edge"] = json!({"failed": "dns"});
        home["team_keys"] = json!("skipped"); home["public_addresses"] = json!({"dns.google": {"failed": "no answer within 4s"}}); }, "GD-DNS-01", "getent hosts"),
    ("a team that does not exist", |home| home["team_keys"] = json!({"failed": "status 404"}), "GD-ACCESS-01", "ACCESS_TEAM"),
    ("the internet is away", |home| { home["edge"] = json!({"failed": "no answer within 4s"}); home["team_keys"] = json!({"found": 2}); }, "GD-EDGE-01", "curl -sv"),
    ("a site that is open to everybody", |home| home["edge"]["found"] = json!({"status": 200}), "GD-EDGE-02", "--replicas=0"),
    ("no application, or a Bypass policy", |home| home["edge"]["found"] = json!({"status": 401, "refusal": "unauthorized"}), "GD-EDGE-02", "Bypass"),
    ("a challenge page before the app", |home| home["edge"]["found"] = json!({"status": 403, "mitigated": "challenge"}), "GD-EDGE-03", "Bot Fight Mode"),
    ("a record that leads to another tunnel", |home| home["edge"]["found"] = json!({"status": 530}), "GD-EDGE-04", "--overwrite-dns"),
    ("a sign-in at another team", |home| home["edge"]["found"]["location"] = json!("https://other.cloudflareaccess.com/cdn-cgi/access/login/x"), "GD-ACCESS-02", "\"ACCESS_TEAM\":\"other\""),
    ("another application", |home| home["edge"]["found"]["location"] = json!("https://family.cloudflareaccess.com/cdn-cgi/access/login/x?kid=abc"), "GD-ACCESS-03", "\"ACCESS_AUD\":\"abc\""),
    ("a placeholder that was applied", |home| { stopped(home, SERVER, waiting("ContainerCreating", "", ""));
        home["objects"]["Deployment"][SERVER]["spec"]["template"]["spec"]["volumes"] = json!([{"name": "library", "hostPath": {"path": "/__NAS_LIBRARY_PATH__"}}]);
        event(home, "immich-server-1", "MountVolume.SetUp failed for volume \"library\" : hostPath type check failed: /__NAS_LIBRARY_PATH__ is not a directory"); }, "GD-POD-04", "apply -k clusters/home.local/flux"),
    ("an id of the NAS that is the example's, without Flux", |home| { home["objects"]["Kustomization"] = json!([]); home["objects"]["GitRepository"] = json!([]);
        home["objects"]["Deployment"][SERVER]["spec"]["template"]["metadata"]["annotations"]["guard.immich/nas-id"] = json!("00000000-0000-4000-8000-000000000000");
        stopped(home, SERVER, gate(43, "NAS_SENTINEL_MISSING", "x")); }, "GD-POD-04", "apply -k clusters/home.local"),
    ("an image with another entry point", |home| { stopped(home, SERVER, json!({"name": "server", "ready": false, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 127, "reason": "Error", "message": "guard nas exec: tini: not found"}}})); }, "GD-APP-04", "compare `command:`"),
    ("an image without guard", |home| { stopped(home, SERVER, waiting("RunContainerError", "runc create failed: exec: \"/guard/guard\": stat /guard/guard: no such file or directory: unknown", "")); }, "GD-APP-04", "compare `command:`"),
    ("the disk of the database is full", |home| { stopped(home, POSTGRES, crashed(1)); stopped(home, SERVER, crashed(1));
        log(home, "immich-postgres-1/main", "PANIC:  could not write to file \"pg_wal/xlogtemp.29\": No space left on device"); }, "GD-DB-07", "on home: df -h"),
    ("a share that refuses to set times", |home| home["server_log"] = json!("ERROR [Api] Error: EPERM: operation not permitted, utime '/data/upload/x.jpg'\n"), "GD-NAS-51", "uid=1000"),
    ("an AAAA record that leads past Cloudflare", |home| home["public_addresses"]["dns.google"]["found"] = json!(["104.16.132.229", "2001:db8::77"]), "GD-DNS-03", "delete the AAAA record"),
    ("an A record that leads past Cloudflare", |home| home["public_addresses"]["cloudflare-dns.com"]["found"] = json!(["203.0.113.77"]), "GD-DNS-03", "delete the A record"),
    ("an address at home that is public", |home| home["public_addresses"]["dns.google"]["found"] = json!(["192.168.1.10"]), "GD-DNS-03", "delete the A record"), // scan:allow an address of documentation's kind
    ("a name that only the resolver at home knows", |home| home["public_addresses"] = json!({"dns.google": {"found": []}}), "GD-DNS-03", "route dns"),
    ("a tunnel without rules", |home| home["edge"]["found"] = json!({"status": 503}), "GD-EDGE-04", "a tunnel that is managed here"),
    ("cloudflared that cannot reach guard", |home| home["edge"]["found"] = json!({"status": 502}), "GD-EDGE-04", "logs deploy/cloudflared"),
    ("a policy Allow for phones", |home| home["phone"]["found"] = json!({"status": 302}), "GD-ACCESS-04", "Service Auth"),
    ("a token that has expired", |home| home["phone"]["found"] = json!({"status": 401}), "GD-ACCESS-04", "expiry"),
    ("a token in no policy", |home| home["phone"]["found"] = json!({"status": 403}), "GD-ACCESS-04", "include this service token"),
    ("a token that is not in guard's list", |home| home["phone"]["found"] = json!({"status": 403, "refusal": "forbidden"}), "GD-ACCESS-04", "ALLOW_SERVICE"),
    ("WebSockets off at the zone", |home| home["websocket"]["found"] = json!(400), "GD-EDGE-05", "WebSockets: on"),
    ("an old backup", |home| home["objects"]["CronJob"][0]["status"]["lastSuccessfulTime"] = json!("2020-01-01T02:30:00Z"), "GD-BACKUP-01", "backup-now"),
];

#[test]
fn the_true_cause_is_named_first_and_the_cure_is_for_this_home() {
    let mut wrong = Vec::new();
    for (name, change, wanted, cure) in CASES {
        let mut home = home::healthy();
        change(&mut home);
        let found = findings(home);
        let failed: Vec<_> = found.iter().filter(|finding| finding.status == Status::Fail).collect();
        let first = failed.first().map(|finding| finding.id);
        if first != Some(wanted) || failed.len() > 1 {
            wrong.push(format!(
                "{name}: wanted {wanted} alone, found {:?}",
                failed.iter().map(|it| (it.id, &it.detail)).collect::<Vec<_>>()
            ));
        } else if !failed[0].fix.as_ref().is_some_and(|fix| fix.contains(cure)) {
            wrong.push(format!("{name}: wanted {cure:?} in the fix {:?}", failed[0].fix));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.len() >= 60, "{}", CASES.len());
}

#[test]
fn two_causes_at_once_are_both_named() {
    let mut home = home::healthy();
    stopped(&mut home, SERVER, gate(41, "NAS_NOT_MOUNTED", "x"));
    home["edge"]["found"] = json!({"status": 200});
    let failed: Vec<_> =
        findings(home).into_iter().filter(|finding| finding.status == Status::Fail).map(|finding| finding.id).collect();
    assert_eq!(failed, ["GD-NAS-41", "GD-EDGE-02"]);
}

#[test]
fn every_check_can_fail_or_warn() {
    let mut seen: std::collections::BTreeSet<&str> = CASES.iter().map(|case| case.2).collect();
    seen.extend(WARNED.iter().map(|(_, id)| *id).chain(["GD-DNS-04"]));
    let never: Vec<_> = guardctl::doctor::CHECKS.iter().map(|check| check.id).filter(|id| !seen.contains(id)).collect();
    assert_eq!(never, [""; 0], "checks that no home of these tests breaks");
}

/// What changes a healthy home.
type Change = fn(&mut Value);

/// Homes that work, and should be changed.
#[rustfmt::skip]
const WARNED: &[(Change, &str)] = &[
    (|home| home["tunnel"]["found"]["connections"] = json!(2), "GD-TUNNEL-03"),
    (|home| home["addresses"]["found"] = json!(["fd00::10"]), "GD-DNS-02"),
    (|home| home["lan_addresses"]["found"] = json!(["203.0.113.10"]), "GD-DNS-05"),
    (|home| home["clock_api"] = json!(7), "GD-K8S-02"),
    (|home| home["objects"]["Kustomization"][0]["status"]["lastAppliedRevision"] = json!("main@sha1:0"), "GD-FLUX-03"),
    (|home| home["head"] = json!("4a1c0f2e9b7d"), "GD-FLUX-04"),
    (|home| home["guard_metrics"]["guard_memory_reserved_bytes"] = json!(109_000_000.0), "GD-GUARD-04"),
    (|home| home["guard_metrics"]["guard_refusals_total{reason=\"body-too-large\"}"] = json!(3.0), "GD-GUARD-05"),
    (|home| home["objects"]["Deployment"][2]["status"]["readyReplicas"] = json!(0), "GD-APP-03"),
    (|home| home["objects"]["ConfigMap"][0]["data"]["config.yaml"] =
        json!("originRequest:\n  access:\n    required: true\ningress:\n  - service: http://immich-origin-proxy.immich-edge.svc.cluster.local:8080\n"), "GD-TUNNEL-06"),
];

#[test]
fn a_warning_is_no_failure() {
    for (change, wanted) in WARNED {
        let mut home = home::healthy();
        change(&mut home);
        let seen: Vec<_> =
            findings(home).into_iter().filter(|finding| finding.status != Status::Pass).map(|it| (it.id, it.status)).collect();
        assert_eq!(seen, [(*wanted, Status::Warn)]);
    }
    // Half a split horizon: one record leads home, the other to the internet.
    let mut home = home::healthy();
    home["addresses"]["found"] = json!(["fd00::10", "104.16.132.229"]);
    let seen: Vec<_> = findings(home).into_iter().filter(|finding| finding.status == Status::Warn).map(|it| it.id).collect();
    assert_eq!(seen, ["GD-DNS-02", "GD-DNS-04"]);
}
