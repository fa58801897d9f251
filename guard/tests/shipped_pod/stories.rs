//! What becomes of the shipped pod: on a NAS that is mounted, on one that is not, and on one that leaves.

use serde_json::{Value, json};
use testkit::nas::Mode;
use testkit::tests;

use super::container::Container;
use super::home::Home;
use super::spec::SECRET;
use super::stand_in::{MARKER, NO_DATABASE};

pub(super) const TESTS: &[(&str, fn())] = tests![
    on_a_mounted_nas_it_starts_with_nothing_but_what_it_needs,
    on_the_bare_mountpoint_the_gate_ends_and_says_why,
    a_nas_that_leaves_after_the_gate_is_seen_by_the_server_s_own_command,
    without_the_directory_the_kubelet_does_not_start_it,
    another_nas_is_refused,
    probes_kill_only_for_what_a_restart_heals,
];

/// The gate passes, the server runs: what the program that plays Immich said of itself.
fn up(home: &Home) -> (Container, Value) {
    let mut gate = home.gate().unwrap();
    assert_eq!(gate.end(), 0, "{}", gate.log());
    assert_eq!(home.in_volume("guard"), ["guard"]);
    let mut server = home.server().unwrap();
    server.until("Immich runs", |server| server.stdout().ends_with('\n'));
    let said = serde_json::from_str(&server.stdout()).unwrap();
    (server, said)
}

/// The gate's refusal, in the kubelet's hands: what was bound is final, so the container does not wait for another one.
fn refuses(container: &mut Container, code: &str, exit: i32) {
    assert_eq!(container.end(), exit, "{}", container.log());
    let words = container.last_words();
    assert!(words.starts_with(code) && words.contains("\nfix: "), "{words}");
    assert_eq!(container.stdout(), "", "Immich has run");
}

fn on_a_mounted_nas_it_starts_with_nothing_but_what_it_needs() {
    let (home, nas) = Home::new();
    let (server, said) = up(&home);
    let status = &said["status"];
    for (field, wanted) in [
        ("Uid", "1000\t1000\t1000\t1000"),
        ("Gid", "1000\t1000\t1000\t1000"),
        ("Groups", ""),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(status[field], wanted, "{field}: {status:#}");
    }
    // The gate did not start Immich: it became Immich.
    assert_eq!(said["pid"], 1, "{said:#}");
    for refused in said["refused"].as_array().unwrap() {
        // By the mount, not by permissions, which another owner of the files would lift.
        assert_eq!(refused[1], "Read-only file system (os error 30)", "{}", refused[0]);
    }
    assert_eq!((&said["stored"], &said["tmp"]), (&Value::Null, &Value::Null), "{said:#}");
    assert_eq!(said["password"], json!({"Ok": SECRET}), "{said:#}");
    assert_eq!(nas.read(&MARKER.replace("/data", "immich")).as_deref(), Some(&b"a photo"[..]));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(server.probe(probe), 0, "{probe}");
    }
    assert!(home.host.strays().is_empty());
}

fn on_the_bare_mountpoint_the_gate_ends_and_says_why() {
    let (home, nas) = Home::new();
    drop(nas);
    home.host.unmount(&home.host.point());
    home.bare_library();
    let mut gate = home.gate().unwrap();
    refuses(&mut gate, "NAS_NOT_MOUNTED (41)", 41);
    assert!(home.in_volume("guard").is_empty(), "the guard was handed over");
    // What was bound then is never the NAS. The next one has a bind of now.
    let _nas = home.nas_again();
    up(&home);
    assert_eq!(home.host.strays(), [home.host.disk().parent().unwrap().join("bare/mnt/nas/immich")]);
}

fn a_nas_that_leaves_after_the_gate_is_seen_by_the_server_s_own_command() {
    let (home, nas) = Home::new();
    let mut gate = home.gate().unwrap();
    assert_eq!(gate.end(), 0, "{}", gate.log());
    drop(nas);
    home.host.unmount(&home.host.point());
    home.bare_library();
    let mut server = home.server().unwrap();
    refuses(&mut server, "NAS_NOT_MOUNTED (41)", 41);
    assert_eq!(home.host.strays().len(), 1, "something was written on the node's own disk: {:?}", home.host.strays());
    let _nas = home.nas_again();
    up(&home);
}

fn without_the_directory_the_kubelet_does_not_start_it() {
    let (home, nas) = Home::new();
    drop(nas);
    home.host.unmount(&home.host.point());
    let Err(refusal) = home.gate() else { panic!("it started") };
    assert_eq!(refusal, "hostPath type check failed: /mnt/nas/immich is not a directory");
    assert!(home.host.strays().is_empty());
}

fn another_nas_is_refused() {
    let (home, nas) = Home::new();
    nas.put("immich/.guard-nas-id", r#"{"v":1,"id":"11111111-1111-4111-8111-111111111111","label":""}"#);
    let mut gate = home.gate().unwrap();
    refuses(&mut gate, "NAS_SENTINEL_OTHER (44)", 44);
}

fn probes_kill_only_for_what_a_restart_heals() {
    let (home, nas) = Home::new();
    let (server, _) = up(&home);
    let probes = || ["livenessProbe", "readinessProbe"].map(|probe| server.probe(probe));
    assert_eq!(probes(), [0, 0]);
    let no_database = home.volume("tmp").join(NO_DATABASE);
    std::fs::write(&no_database, "").unwrap();
    assert_eq!(probes(), [0, 1]);
    std::fs::remove_file(no_database).unwrap();
    for (mode, wanted) in [(Mode::Unread, [0, 48]), (Mode::Full, [0, 46]), (Mode::Stale, [49, 49])] {
        nas.set(mode);
        assert_eq!(probes(), wanted, "{mode:?}");
        nas.set(Mode::Healthy);
        assert_eq!(probes(), [0, 0], "after {mode:?}");
    }
}
