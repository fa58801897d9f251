//! Proved, the gate becomes the command and nothing of itself is left; unproved, the command never runs.

use rustix::process::Signal;
use testkit::nas::{Mode, Propagation};
use testkit::tests;

use super::{host, proved, refused};

/// Not under an emulator.
pub(super) const NATIVE: &[(&str, fn())] = tests![it_becomes_the_command];

pub(super) const TESTS: &[(&str, fn())] = tests![
    arguments_and_variables_reach_the_command_untouched,
    signals_reach_the_command,
    the_commands_exit_code_is_the_gates,
    a_command_that_cannot_start_is_told_from_one_that_is_not_there,
    unproved_it_never_runs,
    it_waits_for_the_mount_and_the_next_container_starts,
    a_check_in_another_container_proves_nothing,
];

fn it_becomes_the_command() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    // Builtins only: a child of the shell would have descriptors of its own in the way.
    let script =
        "echo $$; set -- /proc/$$/fd/*; echo $#; set -- /proc/$$/task/*; echo $#; exec grep -E 'SigIgn|SigBlk' /proc/$$/status";
    let running = container.guard(&["nas", "exec", "--", "sh", "-c", script]).start();
    let id = running.id();
    let through = running.end();
    proved(&through);
    assert!(through.stdout.starts_with(&format!("{id}\n")), "another process: {through:?}");
    let direct = container.sh(script).run();
    assert_eq!(inherited(&through.stdout), inherited(&direct.stdout), "descriptors, threads and signals as without the gate");
}

/// What the script above says after the process id. Signals 32 and up are the C library's own.
fn inherited(said: &str) -> Vec<u64> {
    let numbers = said.lines().skip(1).map(|line| match line.split_once('\t') {
        Some((_, mask)) => u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff,
        None => line.trim().parse().unwrap(),
    });
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(numbers.len(), 4, "{said}");
    numbers
}

fn arguments_and_variables_reach_the_command_untouched() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let args = ["a b", "", "it's", "\"$HOME\"", "--wait", "-x", "--", "ä\n*"];
    let command = [&["nas", "exec", "--wait", "1s", "--", "/usr/bin/printf", "[%s]\n"][..], &args].concat();
    let outcome = container.guard(&command).run();
    proved(&outcome);
    assert_eq!(outcome.stdout, args.map(|arg| format!("[{arg}]\n")).concat());
    let outcome =
        container.guard(&["nas", "exec", "--", "env"]).env("DB_PASSWORD", "p w").env("GUARD_NAS_MIN_FREE", "2GiB").run();
    let mut lines: Vec<_> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["DB_PASSWORD=p w", "GUARD_NAS_MIN_FREE=2GiB", "GUARD_NAS_SOURCE=nas.lan:*", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    );
}

fn signals_reach_the_command() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let script = "trap 'echo bye > /data/last; exit 7' TERM; echo up > /data/first; while :; do sleep 0.02; done";
    let mut running = container.guard(&["nas", "exec", "--", "sh", "-c", script]).start();
    running.until("the command runs", |_| nas.read("first").is_some_and(|text| text == b"up\n"));
    running.signal(Signal::TERM);
    assert_eq!(running.end().code(), 7);
    assert_eq!(nas.read("last").unwrap(), b"bye\n");
    let outcome = container.guard(&["nas", "exec", "--", "sh", "-c", "kill -KILL $$"]).run();
    assert_eq!(outcome.code(), 137);
}

fn the_commands_exit_code_is_the_gates() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for code in [0, 1, 41, 255] {
        assert_eq!(container.guard(&["nas", "exec", "--", "sh", "-c", &format!("exit {code}")]).run().code(), code);
    }
}

fn a_command_that_cannot_start_is_told_from_one_that_is_not_there() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    assert_eq!(container.guard(&["nas", "exec", "--", "/no/such/program"]).run().code(), 127);
    assert_eq!(container.guard(&["nas", "exec", "--", "no-such-program"]).run().code(), 127);
    assert_eq!(container.guard(&["nas", "exec", "--", "/etc/hosts"]).run().code(), 126);
    assert_eq!(container.guard(&["nas", "exec", "--", "/data"]).run().code(), 126);
}

fn unproved_it_never_runs() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let run = |args: &[&str]| {
        let command = [&["nas", "exec", "--wait", "0s", "--timeout", "3s"], args, &["--", "touch", "/guard/ran"]].concat();
        container.guard(&command).run()
    };
    for (mode, code) in [(Mode::Unread, 48), (Mode::Stale, 49), (Mode::Full, 46), (Mode::ReadOnly, 45), (Mode::RootSquash, 47)] {
        nas.set(mode);
        refused(&run(&[]), code);
    }
    nas.set(Mode::Healthy);
    refused(&run(&["--source", "other:*"]), 42);
    refused(&run(&["--id", "wanted"]), 43);
    refused(&run(&["--path", "/none"]), 40);
    assert!(!container.pod().join("guard/ran").exists());
    proved(&run(&[]));
    assert!(container.pod().join("guard/ran").exists());
}

fn it_waits_for_the_mount_and_the_next_container_starts() {
    let host = host();
    let container = host.container(&host.point(), Propagation::HostToContainer);
    let command = ["nas", "exec", "--", "sh", "-c", "echo x > /data/photo"];
    let mut waiting = container.guard(&command).start();
    waiting.until("it waits", |waiting| waiting.termination_log().starts_with("NAS_NOT_MOUNTED (41): "));
    let nas = host.nas();
    // Not in this one: here the mount goes when the node unmounts it.
    refused(&waiting.end(), 41);
    assert!(nas.list("").is_empty());
    proved(&host.container(&host.point(), Propagation::HostToContainer).guard(&command).run());
    assert_eq!(nas.read("photo").unwrap(), b"x\n");
    assert!(host.strays().is_empty());
}

fn a_check_in_another_container_proves_nothing() {
    let host = host();
    let nas = host.nas();
    proved(&host.container(&host.point(), Propagation::Private).guard(&["nas", "check"]).run());
    host.unmount(&host.point());
    let server = host.container(&host.point(), Propagation::Private);
    refused(&server.guard(&["nas", "exec", "--wait", "0s", "--", "sh", "-c", "echo x > /data/photo"]).run(), 41);
    assert!(host.strays().is_empty());
    // What happens without the gate in the server's own container, and why it is there.
    assert_eq!(server.sh("echo x > /data/photo").run().code(), 0);
    assert_eq!(host.strays().len(), 1);
    assert!(nas.list("").is_empty());
}
