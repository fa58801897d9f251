//! The printed reports, held by golden files (`UPDATE_GOLDEN=1` writes them), the exit codes, and the schema of the JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::home;

const GUARDCTL: &str = env!("CARGO_BIN_EXE_guardctl");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/golden")
}

/// Runs doctor on this home, from a file that is gone afterwards.
fn doctor(name: &str, home: &Value, arguments: &[&str]) -> Output {
    let path = std::env::temp_dir().join(format!("doctor-{}-{name}.json", std::process::id()));
    std::fs::write(&path, home.to_string()).unwrap();
    let output = Command::new(GUARDCTL).arg("doctor").arg("--evidence").arg(&path).args(arguments).output().unwrap();
    std::fs::remove_file(path).unwrap();
    output
}

fn broken() -> Value {
    let mut home = home::healthy();
    home["objects"]["Deployment"][3]["status"]["readyReplicas"] = json!(0);
    let said = json!({"event": "nas_gate", "exit": 41, "message": "wanted nfs4 of nas.lan:/photos", "fstype": "ext4", "source": "/dev/vda"});
    home["objects"]["Pod"][3]["status"]["containerStatuses"] = json!([{"name": "server", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 41, "message": format!("GUARD-JSON {said}\n")}}}]);
    home["tunnel"]["found"]["connections"] = json!(3);
    home
}

/// A home before anything is applied.
fn prepared() -> Value {
    let mut home = home::healthy();
    home["local"] = json!({"found": {
        "overlay": "clusters/home.local", "is_there": true, "tools": {"kubectl": "v1.37.2", "git": "2.47.3"}, "render": {"found": 42},
        "nodes": ["home"], "library": "/mnt/nas/immich", "database": "/srv/immich/postgres", "storage_classes": [""],
    }});
    home["objects"]["StorageClass"] =
        json!([{"metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}]);
    for object in ["Deployment", "Pod", "GitRepository", "Kustomization"] {
        home["objects"][object] = json!([]);
    }
    home["secrets"] = json!({"immich/immich-postgres": {"POSTGRES_PASSWORD": {"bytes": 40}}});
    home
}

/// What is wrong before anything is applied, and the check that says so.
type Unprepared = (fn(&mut Value), &'static str, &'static str);

#[rustfmt::skip]
const UNPREPARED: &[Unprepared] = &[
    (|home| home["local"]["found"]["tools"] = json!({}), "GD-LOCAL-01", "kubectl"),
    (|home| home["local"]["found"]["tools"]["kubectl"] = json!("v1.28.2"), "GD-LOCAL-01", "kubectl"),
    (|home| home["local"]["found"] = json!({"overlay": "clusters/home.local", "tools": {"kubectl": "v1.37.2"}}), "GD-LOCAL-02", "guardctl init"),
    (|home| home["local"]["found"]["tracked"] = json!(["clusters/home.local/flux/nas.patch.yaml"]), "GD-LOCAL-03", "git rm -r --cached"),
    (|home| home["local"]["found"]["render"] = json!({"failed": "no resource matches"}), "GD-LOCAL-04", "kubectl kustomize clusters/home.local"),
    (|home| home["local"]["found"]["findings"] = json!([{"id": "placeholder-left", "is_error": true, "text": "x"}]), "GD-LOCAL-05", "nas.patch.yaml"),
    (|home| home["local"]["found"]["findings"] = json!([{"id": "image-unpublished", "is_error": true, "text": "x"}]), "GD-LOCAL-06", "docs/image.md"),
    (|home| home["local"]["found"]["findings"] = json!([{"id": "run-as-non-root", "is_error": true, "text": "x"}]), "GD-LOCAL-07", "guardctl lint"),
    (|home| home["local"]["found"]["library"] = json!("photos"), "GD-LOCAL-08", "nas.patch.yaml"),
    (|home| home["local"]["found"]["library"] = json!("/photos"), "GD-LOCAL-08", "nas.patch.yaml"),
    (|home| home["local"]["found"]["database"] = json!("/mnt/nas/immich/postgres"), "GD-LOCAL-08", "nas.patch.yaml"),
    (|home| home["local"]["found"]["mount"] = json!(["ext4", "/dev/vda"]), "GD-LOCAL-08", "sudo mount /mnt/nas"),
    (|home| home["api"] = json!({"failed": "connection refused"}), "GD-K8S-01", "cluster-info"),
    (|home| home["api"]["found"] = json!("v1.28.9+k3s1"), "GD-K8S-06", "upgrade"),
    (|home| home["local"]["found"]["nodes"] = json!(["pi5"]), "GD-K8S-07", "kubectl get nodes"),
    (|home| home["objects"]["StorageClass"] = json!([]), "GD-K8S-08", "get storageclass"),
    (|home| home["objects"]["Namespace"] = json!([]), "GD-K8S-09", "namespace.yaml"),
    (|home| home["secrets"] = json!({}), "GD-SECRET-01", "immich-postgres"),
];

#[test]
fn what_is_missing_before_the_first_apply_is_named_alone() {
    for (number, (change, id, cure)) in UNPREPARED.iter().enumerate() {
        let mut home = prepared();
        change(&mut home);
        let output = doctor(&format!("pre-{number}"), &home, &["--pre", "-o", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["root_causes"], json!([id]), "{report:#}");
        let checks = report["checks"].as_array().unwrap();
        let fix = checks.iter().find(|check| check["id"] == *id).unwrap()["fix"].as_str().unwrap();
        assert!(fix.contains(cure), "{id}: {fix}");
    }
}

#[test]
fn a_bundle_is_new_whole_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("doctor-bundle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("bundle.tar");
    let mut home = broken();
    let planted = format!("{}{}", "ghp_", "q7Zk2Lx9Vb4Nw8Rt6Ym3Hc5Jd1Gf0Psq7Zk2Lx9");
    home["logs"] = json!({"immich-server-1/server": format!("a line!\n{planted}\n")});
    let arguments = ["--bundle", path.to_str().unwrap()];
    let output = doctor("bundle", &home, &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    assert!(!text.contains(&planted) && text.contains("a line") && text.contains("GD-NAS-41"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // Another one does not replace it, and nothing else is left in the folder.
    assert_eq!(doctor("bundle-again", &home, &arguments).status.code(), Some(2));
    assert_eq!(std::fs::read(&path).unwrap(), text.as_bytes());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn reports_look_as_recorded() {
    // The homes of docs/images/doctor.svg (tools/recordings).
    for (name, home) in [("broken-home.json", broken()), ("healthy-home.json", home::healthy())] {
        held(name, &format!("{home:#}\n"));
    }
    for (name, home, arguments) in [
        ("broken.txt", broken(), &[][..]),
        ("broken-short.txt", broken(), &["-o", "short"]),
        ("broken.json", broken(), &["-o", "json"]),
        ("broken.md", broken(), &["-o", "md"]),
        ("healthy.txt", home::healthy(), &[]),
        ("pre.txt", prepared(), &["--pre"]),
        ("pre-verbose.txt", prepared(), &["--pre", "--verbose"]),
        ("healthy-short.txt", home::healthy(), &["-o", "short"]),
    ] {
        let found = String::from_utf8(doctor(name, &home, arguments).stdout).unwrap();
        held(name, &found);
    }
}

/// Fails if a golden file says something else.
fn held(name: &str, found: &str) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{name} differs (UPDATE_GOLDEN=1 writes it):\n{found}");
}

#[test]
fn exit_codes_tell_failures_warnings_and_blindness_apart() {
    let mut warned = home::healthy();
    warned["tunnel"]["found"]["connections"] = json!(3);
    let mut blind =
        json!({"api": {"failed": "no kubeconfig"}, "edge": {"failed": "no network"}, "addresses": {"failed": "no network"}});
    blind["host"] = json!("photos.family.test");
    for (name, home, arguments, wanted) in [
        ("ok", home::healthy(), &[][..], 0),
        ("failed", broken(), &[], 1),
        ("warned", warned.clone(), &[], 0),
        ("strict", warned, &["--strict"], 1),
        ("only", broken(), &["--only", "tunnel,GD-EDGE-02"], 0),
        ("blind", blind, &[], 3),
    ] {
        let output = doctor(name, &home, arguments);
        assert_eq!(output.status.code(), Some(wanted), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
    let wrong = |arguments: &[&str]| Command::new(GUARDCTL).arg("doctor").args(arguments).output().unwrap().status.code();
    assert_eq!(wrong(&["--explain", "GD-NOT-1"]), Some(2));
    assert_eq!(wrong(&["--edge"]), Some(2), "from outside, the name has to be said");
    assert_eq!(wrong(&["--evidence", "/nowhere"]), Some(2));
    let explained = Command::new(GUARDCTL).args(["doctor", "--explain", "gd-nas-41"]).output().unwrap();
    assert!(String::from_utf8(explained.stdout).unwrap().contains("troubleshooting.md#nas-not-mounted"));
}

#[test]
fn without_a_cluster_and_a_network_it_says_what_it_could_not_look_at() {
    let output = Command::new(GUARDCTL)
        .args(["doctor", "--host", "photos.invalid"])
        .env("KUBECONFIG", "/nowhere")
        .env("HOME", "/nowhere")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("GD-K8S-01") && text.contains("GD-DNS-01"), "{text}");
}

#[test]
fn the_json_has_the_fields_of_its_schema() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let report: Value = serde_json::from_slice(&doctor("schema", &broken(), &["-o", "json"]).stdout).unwrap();
    let holds = |schema: &Value, value: &Value, at: &str| {
        let properties = schema["properties"].as_object().unwrap();
        let object = value.as_object().unwrap();
        let unknown: Vec<_> = object.keys().filter(|key| !properties.contains_key(*key)).collect();
        let missing: Vec<_> =
            schema["required"].as_array().unwrap().iter().filter(|key| !object.contains_key(key.as_str().unwrap())).collect();
        assert!(unknown.is_empty() && missing.is_empty(), "{at}: unknown {unknown:?}, missing {missing:?}");
    };
    holds(&schema, &report, "report");
    for check in report["checks"].as_array().unwrap() {
        holds(&schema["properties"]["checks"]["items"], check, "check");
        let statuses = &schema["properties"]["checks"]["items"]["properties"]["status"]["enum"];
        assert!(statuses.as_array().unwrap().contains(&check["status"]), "{check}");
    }
    assert_eq!(report["schema"], schema["properties"]["schema"]["const"]);
}

/// What `--edge` finds where nobody looked at a cluster: this answer from outside.
fn seen_from_outside(answer: &Value) -> Value {
    json!({
        "host": "photos.family.test",
        "addresses": {"found": ["104.16.0.1"]},
        "edge": {"found": answer},
        "clock_edge": 0,
    })
}

/// A scheduled job runs this (.github/workflows/gated.yaml), where there is no cluster.
#[test]
fn from_outside_the_exit_code_says_whether_the_site_is_gated() {
    let sign_in = json!({"status": 302, "location": "https://family.cloudflareaccess.com/cdn-cgi/access/login/x"});
    let open = json!({"status": 200});
    let bypassed = json!({"status": 401, "refusal": "unauthorized"});
    let arguments = ["--edge", "--host", "photos.family.test", "-v"];
    for (name, answer, code) in [("gated", sign_in, 0), ("open", open, 1), ("bypassed", bypassed, 1)] {
        let output = doctor(&format!("edge-{name}"), &seen_from_outside(&answer), &arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}:\n{text}");
        assert_eq!(text.contains("Root cause: GD-EDGE-02"), code == 1, "{name}:\n{text}");
        // Nothing is said about a cluster that nobody looked at.
        assert!(!text.contains("GD-NAS") && !text.contains("GD-K8S-05") && text.contains("NAS –"), "{name}:\n{text}");
    }
    let nothing = json!({"host": "photos.family.test", "addresses": {"failed": "dns"}, "edge": {"failed": "dns"}});
    assert_eq!(doctor("edge-nothing", &nothing, &arguments).status.code(), Some(3), "what was not seen is not proven");
}
