//! Free space and permission: checked by writing as the user who will write.

use testkit::nas::{Mode, Propagation};
use testkit::tests;

use super::{host, proved, refused};

pub(super) const TESTS: &[(&str, fn())] = tests![
    a_full_nas_is_refused,
    a_full_disk_is_refused_by_writing_too,
    what_immich_does_later_is_tried_before,
    a_server_that_fills_large_files_is_no_hang,
    a_size_that_is_not_known_is_not_full,
    a_user_who_may_not_write_is_refused,
    only_old_leftovers_of_probes_are_removed,
    no_refusal_leaves_a_file,
];

fn a_full_nas_is_refused() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    nas.set(Mode::Full);
    refused(&container.guard(&["nas", "check"]).run(), 46);
    // Told not to look at the free space, it still learns it by writing.
    refused(&container.guard(&["nas", "check", "--min-free", "0"]).run(), 46);
    nas.set(Mode::Healthy);
    proved(&container.guard(&["nas", "check"]).env("GUARD_NAS_MIN_FREE", "512GiB").run());
    refused(&container.guard(&["nas", "check"]).env("GUARD_NAS_MIN_FREE", "513GiB").run(), 46);
    assert_eq!(nas.list(""), Vec::<String>::new());
}

fn a_full_disk_is_refused_by_writing_too() {
    let host = host();
    host.small_disk(&host.point(), 64);
    let container = host.container(&host.point(), Propagation::Private);
    let local = ["--fstypes", "tmpfs", "--source", "*", "--min-free"];
    let id = container.guard(&[&["nas", "init"][..], &local, &["0"]].concat()).run().stdout.trim().to_owned();
    let check = |min_free| container.guard(&[&["nas", "check", "--id", &id][..], &local, &[min_free]].concat()).run();
    proved(&check("32KiB"));
    refused(&check("1GiB"), 46);
    assert_eq!(container.sh("dd if=/dev/zero of=/data/photo bs=1k 2> /dev/null").run().code(), 1, "filled");
    refused(&check("0"), 46);
    assert_eq!(container.sh("ls -A /data").run().stdout, ".guard-nas-id\nphoto\n");
}

/// What a share refuses later, in the middle of an upload, is known before the first one.
fn what_immich_does_later_is_tried_before() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for (mode, named) in [
        (Mode::NoDirectories, "make a directory"),
        (Mode::ShortNames, "255 bytes"),
        (Mode::AsciiNames, "beyond ASCII"),
        (Mode::NoRename, "rename"),
        (Mode::SmallFiles, "4 GiB"),
    ] {
        nas.set(mode);
        let outcome = container.guard(&["nas", "check"]).run();
        refused(&outcome, 50);
        assert!(outcome.termination_log.contains(named), "{mode:?}: {outcome:?}");
        assert_eq!(nas.list(""), Vec::<String>::new(), "{mode:?} leaves nothing");
    }
    nas.set(Mode::Healthy);
    proved(&container.guard(&["nas", "check"]).run());
    assert_eq!(nas.list(""), Vec::<String>::new());
}

/// Some servers fill a large file with zeros. That takes long, and says nothing about the mount.
fn a_server_that_fills_large_files_is_no_hang() {
    let host = host();
    let nas = host.nas();
    nas.set(Mode::SlowLargeFiles);
    proved(&host.container(&host.point(), Propagation::Private).guard(&["nas", "check", "--timeout", "1s"]).run());
}

fn a_size_that_is_not_known_is_not_full() {
    let host = host();
    let nas = host.nas();
    nas.set(Mode::UnknownSize);
    proved(&host.container(&host.point(), Propagation::Private).guard(&["nas", "check"]).run());
}

fn a_user_who_may_not_write_is_refused() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let outcome = container.guard(&["nas", "check"]).user(1000).run();
    refused(&outcome, 47);
    assert!(outcome.termination_log.contains("1000"), "{outcome:?}");
    proved(&container.guard(&["nas", "probe"]).user(1000).run());
    nas.chown("", 1000, 0o755);
    proved(&container.guard(&["nas", "check"]).user(1000).run());
    refused(&container.guard(&["nas", "check"]).user(1001).run(), 47);
    // Root of the container is nobody on the NAS.
    nas.set(Mode::RootSquash);
    refused(&container.guard(&["nas", "check"]).run(), 47);
    assert_eq!(nas.list(""), Vec::<String>::new());
}

fn only_old_leftovers_of_probes_are_removed() {
    let host = host();
    let nas = host.nas();
    for name in [".guard-nas-probe.1.old", ".guard-nas-probe.2.new", "guard-nas-probe.photo", "photo"] {
        nas.put(name, "x");
    }
    let container = host.container(&host.point(), Propagation::Private);
    assert_eq!(container.sh("touch /data/.guard-nas-probe.2.new").run().code(), 0);
    proved(&container.guard(&["nas", "check"]).run());
    assert_eq!(nas.list(""), [".guard-nas-probe.2.new", "guard-nas-probe.photo", "photo"]);
}

fn no_refusal_leaves_a_file() {
    let host = host();
    let nas = host.nas();
    nas.put("photo", "photo");
    let container = host.container(&host.point(), Propagation::Private);
    for (mode, code) in [(Mode::Full, 46), (Mode::ReadOnly, 45), (Mode::RootSquash, 47), (Mode::Stale, 49)] {
        nas.set(mode);
        refused(&container.guard(&["nas", "check", "--min-free", "0"]).run(), code);
        assert_eq!(nas.list(""), ["photo"], "{mode:?}");
    }
}
