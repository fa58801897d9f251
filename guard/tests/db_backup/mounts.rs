//! What a container makes of it: a disk of the dumps that is full, absent or another one, and a script that is PID 1. Each in
//! namespaces of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use testkit::nas::Host;
use testkit::tests;

use super::broken::BULK;
use super::job::{Outcome, Pod, end, list, refused, run, start};
use super::postgres::{Postgres, as_user, own, until};

pub(super) const TESTS: &[(&str, fn())] = tests![
    too_little_space_is_seen_before_a_byte_is_written,
    a_disk_that_runs_full_keeps_nothing_of_the_run,
    no_disk_no_dump,
    another_disk_no_dump,
    the_right_disk_gets_the_dump,
    a_container_that_is_ended_leaves_no_dump,
];

const GUARD: &str = env!("CARGO_BIN_EXE_guard");
const CRONJOBS: [&str; 2] = ["cronjob.yaml", "cronjob-restore-drill.yaml"];

/// A mounted file system, in a mount namespace that this thread is in. Unmounted with its handle.
struct Disk {
    host: Host,
    point: PathBuf,
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.host.unmount(&self.point);
    }
}

/// A file system of this many KiB where the dumps go.
fn disk(pod: &Pod, kib: u32) -> Disk {
    let (host, point) = (Host::new(GUARD), pod.backup_dir());
    host.small_disk(&point, kib);
    own(&point);
    Disk { host, point }
}

fn too_little_space_is_seen_before_a_byte_is_written() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let _disk = disk(&pod, 512);
    // Without a dump to go by, the size of the database.
    refused(&run(&mut pod.backup(&server)), 62, "bytes free, wanted");
    // With one, twice its size: room for the next and for the one after.
    fs::write(pod.backup_dir().join("immich-db-backup-20260101T033000-v3.2.3-pg14.19.sql.gz"), vec![0; 300 << 10]).unwrap();
    refused(&run(&mut pod.backup(&server)), 62, &format!("bytes free, wanted {}", 600 << 10));
    assert_eq!(pod.files().len(), 1);
}

fn a_disk_that_runs_full_keeps_nothing_of_the_run() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    server.sql("create table noise as select n, sha256(n::text::bytea) from generate_series(1, 50000) n");
    let _disk = disk(&pod, 512);
    let name = "immich-db-backup-20260101T033000-v3.2.3-pg14.19.sql.gz";
    fs::write(pod.backup_dir().join(name), "x").unwrap();
    refused(&run(&mut pod.backup(&server)), 62, "ran full during the dump");
    assert_eq!(pod.files(), [name]);
}

/// The file systems that the manifest allows.
fn allowed(cronjob: &str) -> String {
    let file = format!("{}/../apps/components/db-backup/{cronjob}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.ends_with("name: GUARD_NAS_FSTYPES"));
    lines.nth(1).and_then(|line| line.split_once("value: ")).unwrap().1.to_owned()
}

/// A script below the gate, as its pod runs it.
fn gated(script: &Command, directory: &Path, fstypes: &str, id: &str) -> Outcome {
    let mut command = as_user(GUARD);
    command.args(["nas", "exec", "--"]).arg(script.get_program()).args(script.get_args()).env_clear();
    command.envs(script.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("GUARD_NAS_PATH", directory).env("GUARD_NAS_FSTYPES", fstypes).env("GUARD_NAS_ID", id);
    command.env("GUARD_NAS_WAIT", "0s").env("GUARD_NAS_MIN_FREE", "1MiB");
    run(&mut command)
}

fn no_disk_no_dump() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let _disk = disk(&pod, 65536);
    for cronjob in CRONJOBS {
        let fstypes = allowed(cronjob);
        assert!(fstypes.split(',').all(|name| !["tmpfs", "overlay", "fuse.*", "*"].contains(&name)), "{cronjob}: {fstypes}");
        for script in [pod.backup(&server), pod.drill(&server)] {
            refused(&gated(&script, &pod.backup_dir(), &fstypes, "an-id"), 41, "NAS_NOT_MOUNTED");
        }
    }
    assert!(list(&pod.backup_dir()).is_empty());
}

fn another_disk_no_dump() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    let _disk = disk(&pod, 65536);
    // The kind of file system is allowed, as ext4 is on a machine whose own disk is ext4 too: then only the id says no.
    let outcome = gated(&pod.backup(&server), &pod.backup_dir(), "tmpfs", "an-id");
    refused(&outcome, 43, "NAS_SENTINEL_MISSING");
    assert!(list(&pod.backup_dir()).is_empty());
    initialise(&pod);
    let outcome = gated(&pod.backup(&server), &pod.backup_dir(), "tmpfs", "the-id-of-the-other-disk");
    refused(&outcome, 44, "NAS_SENTINEL_OTHER");
    assert_eq!(list(&pod.backup_dir()), [".guard-nas-id"]);
}

fn the_right_disk_gets_the_dump() {
    let (server, scratch, pod) = (Postgres::with_library(), Postgres::start(), Pod::new());
    let _disk = disk(&pod, 65536);
    let id = initialise(&pod);
    let outcome = gated(&pod.backup(&server), &pod.backup_dir(), "tmpfs", &id);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    let outcome = gated(&pod.drill(&scratch), &pod.backup_dir(), "tmpfs", &id);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert_eq!(pod.files().len(), 4, "{:?}", pod.files());
}

fn a_container_that_is_ended_leaves_no_dump() {
    let (server, pod) = (Postgres::with_library(), Pod::new());
    server.sql(BULK);
    let mut held = pod.hold_the_dump();
    // PID 1 hears no signal that it has no handler for.
    let script = pod.backup(&server);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(script.get_args().skip_while(|arg| *arg != "bash")).env_clear();
    command.envs(script.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let unshare = start(&mut command);
    held.under_way();
    assert_eq!(pod.files().len(), 1);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id())).unwrap();
    kill_process(Pid::from_raw(children.trim().parse().unwrap()).unwrap(), Signal::TERM).unwrap();
    until("the half dump is gone", || pod.files().is_empty());
    // With it everything in its container ends: nobody has to let the dump go on.
    assert_eq!(end(unshare).code, 143);
    held.go_on();
    assert!(pod.files().is_empty());
}

/// What the operator does once.
fn initialise(pod: &Pod) -> String {
    let mut command = as_user(GUARD);
    command.args(["nas", "init", "--fstypes", "tmpfs", "--min-free", "1MiB", "--path"]).arg(pod.backup_dir());
    super::postgres::run(&mut command).trim().to_owned()
}
