//! The fake NAS fails as a real one does, and a container sees of it what a container runtime shows.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]

use std::fs;
use std::process::ExitCode;

use rustix::process::Signal;
use testkit::nas::{Container, Host, Mode, Op, Propagation, Trials};
use testkit::tests;

const NAS: &str = "fuse.fakenfs nas.lan:/photos";

fn host() -> Host {
    Host::new("/bin/true")
}

/// The type and source of the mounts at `/data`, the last one on top.
fn data_mounts(container: &Container) -> Vec<String> {
    let table = container.sh("cat /proc/self/mountinfo").run().stdout;
    let at_data = table.lines().filter(|line| line.split(' ').nth(4) == Some("/data"));
    at_data.map(|line| line.split_once(" - ").unwrap().1.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn says(container: &Container, script: &str) -> String {
    let outcome = container.sh(script).run();
    format!("{}{}", outcome.stdout, outcome.stderr)
}

fn it_is_a_file_system() {
    let host = host();
    let nas = host.nas();
    nas.put("albums/2026/one.jpg", "one");
    let container = host.container(&host.point(), Propagation::Private);
    let script = "set -e; cd /data; cat albums/2026/one.jpg; mkdir new; echo two > new/two; echo three >> new/two; mv new/two new/four;
        ln -s four new/link; cat new/link; ls new; stat -c '%F %u %a %s' new/four; rm new/link; test ! -e new/link; chmod 600 new/four;
        stat -f -c %a .; sync new/four; rmdir albums/2026 2>/dev/null || echo full; dd if=/dev/zero of=big bs=1M count=1 2>/dev/null;
        stat -c %s big; cmp -n 1048576 big /dev/zero && echo same";
    let wanted = "onetwo\nthree\nfour\nlink\nregular file 0 644 10\n134217728\nfull\n1048576\nsame\n";
    assert_eq!(says(&container, script), wanted);
    assert_eq!(nas.read("new/four").as_deref(), Some(b"two\nthree\n".as_slice()));
    assert_eq!(nas.list("new"), ["four"]);
    assert!(nas.log().iter().any(|(op, _)| *op == Op::Fsync));
    assert_eq!(host.strays(), Vec::<std::path::PathBuf>::new());
}

fn nothing_reaches_the_machine() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::HostToContainer);
    assert_eq!(says(&container, "ls /data"), "");
    let top = host.disk().parent().unwrap().to_owned();
    let machine = fs::read_to_string("/proc/1/mountinfo").unwrap();
    assert!(!machine.contains(top.to_str().unwrap()), "{machine}");
    drop(container);
    drop(host);
    assert!(!top.exists());
}

fn a_request_left_unread_hangs_and_can_be_killed() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Unread);
    let mut hung = container.program("/bin/stat", &["-f", "/data"]).start();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!hung.has_ended());
    hung.signal(Signal::KILL);
    assert_eq!(hung.end().code(), 137);
    // The mount table is read without asking the server.
    assert_eq!(data_mounts(&container), [NAS]);
    nas.set(Mode::Healthy);
    assert_eq!(says(&container, "ls /data"), "");
}

fn a_swallowed_request_survives_sigkill() {
    let host = host();
    let mut nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Swallow);
    let mut hung = container.program("/bin/stat", &["-f", "/data"]).start();
    nas.saw(Op::Statfs);
    hung.signal(Signal::KILL);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!hung.has_ended(), "killed in state D");
    nas.die();
    assert_eq!(hung.end().code(), 137);
}

fn every_failure_has_its_errno() {
    let host = host();
    let mut nas = host.nas();
    nas.put("old", "x");
    let container = host.container(&host.point(), Propagation::Private);
    for (mode, script, wanted) in [
        (Mode::Stale, "stat -f /data", "Stale file handle"),
        (Mode::Broken, "ls /data/old", "Input/output error"),
        (Mode::ReadOnly, "touch /data/new", "Read-only file system"),
        (Mode::Full, "dd if=/dev/zero of=/data/new count=1", "No space left on device"),
        (Mode::RootSquash, "touch /data/other", "Permission denied"),
    ] {
        nas.set(mode);
        let said = says(&container, script);
        assert!(said.contains(wanted), "{mode:?}: {said}");
    }
    nas.set(Mode::Full);
    assert_eq!(says(&container, "stat -f -c %a /data; cat /data/old"), "0\nx");
    nas.set(Mode::Healthy);
    nas.chown("", 1000, 0o755);
    assert_eq!(container.sh("touch /data/mine").user(1001).run().code(), 1);
    assert_eq!(container.sh("touch /data/mine").user(1000).run().code(), 0);
    nas.die();
    // Between the fork and the exec of a process of another test, its descriptor is still open: the first question then waits for it, and is aborted.
    assert!(says(&container, "ls /data; ls /data").trim_end().ends_with("Transport endpoint is not connected"));
}

fn a_container_keeps_the_mount_it_was_born_with() {
    let host = host();
    let early = host.container(&host.point(), Propagation::Private);
    let slave = host.container(&host.point(), Propagation::HostToContainer);
    assert!(data_mounts(&early)[0].starts_with("tmpfs "));
    let nas = host.nas();
    assert_eq!(data_mounts(&early).len(), 1, "mounted later, None: never seen");
    assert_eq!(data_mounts(&slave)[1], NAS, "mounted later, HostToContainer: stacked");

    let born = host.container(&host.point(), Propagation::Private);
    host.unmount(&host.point());
    assert_eq!(data_mounts(&born), [NAS]);
    assert_eq!(says(&born, "echo pinned > /data/file"), "");
    assert_eq!(nas.read("file").as_deref(), Some(b"pinned\n".as_slice()));
    assert_eq!(data_mounts(&slave).len(), 1, "flipped to the local disk");

    drop(nas);
    assert!(says(&born, "ls /data").contains("not connected"));
}

fn a_program_is_found_out_about() {
    let host = host();
    let container = host.container(&host.point(), Propagation::Private);
    let outcome =
        container.sh("echo $$; echo $WORD; id -u; id -G; echo gone >&2; exec kill -TERM $$").env("WORD", "a b").user(1000).run();
    assert_eq!(outcome.code(), 143);
    assert!(outcome.stdout.ends_with("\na b\n1000\n1000\n"), "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "gone\n");
    assert!(says(&container, "echo x > /usr/bin/new").contains("Read-only"));
    assert_eq!(says(&container, "echo said > /dev/termination-log"), "");
    assert_eq!(container.termination_log(), "said\n");
}

fn main() -> ExitCode {
    let all = tests![
        it_is_a_file_system,
        nothing_reaches_the_machine,
        a_request_left_unread_hangs_and_can_be_killed,
        a_swallowed_request_survives_sigkill,
        every_failure_has_its_errno,
        a_container_keeps_the_mount_it_was_born_with,
        a_program_is_found_out_about,
    ];
    Trials::new().add("fake", all).run()
}
