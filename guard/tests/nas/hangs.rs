//! A NAS that does not answer, and one that is dead: said in time, and told apart.

use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt as _;

use testkit::nas::{Container, Mode, Op, Propagation};
use testkit::tests;

use super::{host, proved, refused};

pub(super) const TESTS: &[(&str, fn())] = tests![
    a_nas_that_is_away_is_a_hang_and_nobody_is_left_behind,
    a_hang_that_survives_sigkill_is_still_reported,
    a_step_leaves_its_trace_before_it_hangs,
    a_stuck_prober_is_never_joined_by_a_second_one,
    a_stuck_prober_is_not_joined_by_that_of_another_run,
    the_turn_of_another_user_is_not_waited_for,
    a_dead_mount_is_stale,
    liveness_forgives_a_hang_and_readiness_does_not,
    a_wait_lives_through_a_hang,
];

/// Processes in this container, by their command lines.
fn programs(container: &Container) -> Vec<String> {
    let namespace = container.sh("readlink /proc/self/ns/mnt").run().stdout;
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let here =
        processes.filter(|path| fs::read_link(path.join("ns/mnt")).is_ok_and(|name| name.to_str() == Some(namespace.trim())));
    // The thread that keeps the namespace belongs to this test, whose own namespace is another one.
    here.filter_map(|path| fs::read_to_string(path.join("cmdline")).ok()).filter(|line| !line.is_empty()).collect()
}

fn a_nas_that_is_away_is_a_hang_and_nobody_is_left_behind() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Unread);
    for command in [&["nas", "check"][..], &["nas", "probe"], &["nas", "init"], &["nas", "exec", "--wait", "0s", "--", "true"]] {
        let outcome = container.guard(command).env("GUARD_NAS_TIMEOUT", "300ms").run();
        refused(&outcome, 48);
        let took = outcome.events()[0]["elapsed_ms"].as_u64().unwrap();
        // The promise is 300 ms and one second; the rest is for a busy machine.
        assert!((300..10_000).contains(&took), "{took} ms");
        assert_eq!(programs(&container), Vec::<String>::new());
    }
    nas.set(Mode::Healthy);
    proved(&container.guard(&["nas", "check"]).run());
}

fn a_hang_that_survives_sigkill_is_still_reported() {
    let host = host();
    let mut nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Swallow);
    let outcome = container.guard(&["nas", "check", "--timeout", "2s"]).run();
    refused(&outcome, 48);
    assert_eq!(programs(&container).len(), 1, "the prober is stuck in state D");
    nas.die();
}

fn a_step_leaves_its_trace_before_it_hangs() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Swallow);
    let mut check = container.guard(&["nas", "check", "--timeout", "20s"]).start();
    check.until("the trace", |check| check.termination_log().contains("checking /data, step="));
    assert!(!check.has_ended());
    nas.set(Mode::Healthy);
}

fn a_stuck_prober_is_never_joined_by_a_second_one() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Swallow);
    let outcome = container.guard(&["nas", "exec", "--wait", "4s", "--timeout", "200ms", "--", "true"]).run();
    refused(&outcome, 48);
    let log = nas.log();
    let probers: BTreeSet<_> = log.iter().filter(|(op, _)| *op != Op::Interrupt).map(|(_, pid)| pid).collect();
    assert_eq!(probers.len(), 1, "{log:?}");
}

fn a_stuck_prober_is_not_joined_by_that_of_another_run() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Swallow);
    for _ in 0..3 {
        refused(&container.guard(&["nas", "probe", "--timeout", "300ms"]).run(), 48);
    }
    let log = nas.log();
    let probers: BTreeSet<_> = log.iter().filter(|(op, _)| *op != Op::Interrupt).map(|(_, pid)| pid).collect();
    assert_eq!(probers.len(), 1, "{log:?}");
}

/// Names of abstract sockets belong to whoever takes them first. Another user's process must not be able to hold up the checks.
fn the_turn_of_another_user_is_not_waited_for() {
    let host = host();
    let nas = host.nas();
    nas.chown("", 1000, 0o755);
    let container = host.container(&host.point(), Propagation::Private);
    let table = container.sh("cat /proc/self/mountinfo").run().stdout;
    let mount = table.lines().find(|line| line.split(' ').nth(4) == Some("/data")).unwrap();
    let name = format!("guard-nas-look-{}", mount.split(' ').next().unwrap());
    let name = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    // Root here, and somebody else for the user that checks.
    let _held = std::os::unix::net::UnixListener::bind_addr(&name).unwrap();
    proved(&container.guard(&["nas", "check"]).user(1000).run());
    // One of the same user is waited for, until the time of a step is over.
    refused(&container.guard(&["nas", "check", "--timeout", "200ms"]).run(), 48);
}

fn a_dead_mount_is_stale() {
    let host = host();
    let mut nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for mode in [Mode::Stale, Mode::Broken] {
        nas.set(mode);
        refused(&container.guard(&["nas", "check"]).run(), 49);
    }
    nas.die();
    refused(&container.guard(&["nas", "check"]).run(), 49);
    refused(&container.guard(&["nas", "init"]).run(), 49);
}

fn liveness_forgives_a_hang_and_readiness_does_not() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for (mode, live, ready) in [
        (Mode::Healthy, 0, 0),
        (Mode::Unread, 0, 48),
        (Mode::Full, 0, 46),
        (Mode::Stale, 49, 49),
        (Mode::Broken, 49, 49),
        // A probe does not write, so it does not know.
        (Mode::ReadOnly, 0, 0),
        (Mode::RootSquash, 0, 0),
    ] {
        nas.set(mode);
        nas.clear_log();
        // Short only where it is waited for: a busy machine is no hang.
        let timeout = if mode == Mode::Unread { "300ms" } else { "20s" };
        let probe = |args: &[&str]| container.guard(args).env("GUARD_NAS_TIMEOUT", timeout).run();
        assert_eq!(probe(&["nas", "probe", "--definite"]).code(), live, "{mode:?}");
        assert_eq!(probe(&["nas", "probe"]).code(), ready, "{mode:?}");
        assert!(!nas.log().iter().any(|(op, _)| matches!(op, Op::Create | Op::Write | Op::Unlink)), "{mode:?}");
    }
    nas.set(Mode::Healthy);
    let id = "3f1c0c9e-0000-4000-8000-000000000000";
    for (file, code) in [(None, 43), (Some(r#"{"v":1,"id":"another","label":"photos"}"#), 44)] {
        if let Some(file) = file {
            nas.put(".guard-nas-id", file);
        }
        refused(&container.guard(&["nas", "probe", "--definite"]).env("GUARD_NAS_ID", id).run(), code);
    }
    refused(&container.guard(&["nas", "probe", "--definite", "--source", "other:*"]).run(), 42);
    refused(&container.guard(&["nas", "probe", "--definite", "--path", "/none"]).run(), 40);
}

fn a_wait_lives_through_a_hang() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Unread);
    let args = ["nas", "exec", "--wait", "25s", "--timeout", "2s", "--", "touch", "/data/photo"];
    let mut waiting = container.guard(&args).start();
    waiting.until("it says that the NAS hangs", |waiting| waiting.stderr().contains("NAS_HUNG"));
    nas.set(Mode::Healthy);
    proved(&waiting.end());
    assert_eq!(nas.list(""), ["photo"]);
}
