//! What a real kubelet makes of the shipped pod.

use serde_json::Value;
use testkit::nas::{FakeNas, Mode};
use testkit::tests;

use super::home::Home;
use super::node::Node;
use super::stand_in::{self, MARKER};

pub(super) const TESTS: &[(&str, fn())] = tests![the_gate_holds_it_while_the_nas_is_away, on_a_mounted_nas_it_becomes_ready];
pub(super) const SLOW: &[(&str, fn())] =
    tests![a_stale_mount_ends_the_server_and_what_heals_it_starts_it_again, a_server_that_hangs_is_started_again];

/// A home in a pod network of its own: the kubelet's port is the same for all.
fn home() -> (Home, FakeNas) {
    testkit::pod::enter().unwrap();
    // Where getsubids(1) is installed, a kubelet looks here for a user of its own name, and does not start without the file.
    testkit::pod::file("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n").unwrap();
    Home::new()
}

/// The status of its only container.
fn server(status: &Value) -> &Value {
    &status["containerStatuses"][0]
}

fn ready(status: &Value) -> bool {
    server(status)["ready"] == true
}

fn on_a_mounted_nas_it_becomes_ready() {
    let (home, nas) = home();
    let mut node = Node::start(&home);
    let status = node.until("ready", ready);
    let gate = &status["initContainerStatuses"][0]["state"]["terminated"];
    assert_eq!((&gate["exitCode"], &server(&status)["restartCount"]), (&0.into(), &0.into()), "{status:#}");
    assert_eq!(nas.read(&MARKER.replace("/data", "immich")).as_deref(), Some(&b"a photo"[..]));
}

fn the_gate_holds_it_while_the_nas_is_away() {
    let (home, nas) = home();
    drop(nas);
    home.host.unmount(&home.host.point());
    home.bare_library();
    let mut node = Node::start(&home);
    let gate = |status: &Value| status["initContainerStatuses"][0]["lastState"]["terminated"].clone();
    let status = node.until("the gate has refused", |status| gate(status)["exitCode"] == 41);
    assert_eq!(server(&status)["state"]["waiting"]["reason"], "PodInitializing", "{status:#}");
    let message = gate(&status)["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.starts_with("NAS_NOT_MOUNTED (41): ") && message.contains("\nfix: "), "{status:#}");
    assert_eq!(home.host.strays().len(), 1, "{:?}", home.host.strays());
}

fn a_stale_mount_ends_the_server_and_what_heals_it_starts_it_again() {
    let (home, nas) = home();
    let mut node = Node::start(&home);
    node.until("ready", ready);
    nas.set(Mode::Stale);
    // Liveness ends it. Then it is the runtime that cannot look at the path, before the gate is asked.
    let status = node.until("not made", |status| server(status)["state"]["waiting"]["reason"] == "CreateContainerError");
    let message = server(&status)["state"]["waiting"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("stale NFS file handle") && !ready(&status), "{status:#}");
    nas.set(Mode::Healthy);
    let status = node.until("ready again", ready);
    assert_eq!(server(&status)["restartCount"], 1, "{status:#}");
}

fn a_server_that_hangs_is_started_again() {
    let (home, _nas) = home();
    let mut node = Node::start(&home);
    node.until("ready", ready);
    // Its port still takes connections, as that of a Node.js that spins does.
    node.stop_processes(stand_in::NAME);
    let status = node.until("started again", |status| ready(status) && server(status)["restartCount"] == 1);
    let ended = &server(&status)["lastState"]["terminated"];
    assert_eq!(ended["exitCode"], 137, "it does not end by SIGTERM: {status:#}");
}
