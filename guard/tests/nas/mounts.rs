//! What is mounted, where, when, and what the container sees of it.

use testkit::nas::{FakeNas, Mode, Op, Propagation};
use testkit::tests;

use super::{host, proved, refused};

pub(super) const TESTS: &[(&str, fn())] = tests![
    the_mountpoint_itself_is_good_and_is_left_as_it_was,
    a_sub_directory_of_the_nas_is_good,
    a_bare_mountpoint_is_refused_and_left_empty,
    a_parent_as_host_path_carries_the_nas_along,
    a_path_that_is_not_there_is_missing,
    a_private_container_never_sees_a_later_mount,
    a_container_that_receives_mounts_sees_a_later_one,
    a_private_container_keeps_its_nas_when_the_node_unmounts_it,
    a_container_that_receives_mounts_loses_its_nas_and_says_so,
    after_a_lazy_unmount_only_a_new_container_is_good,
    another_source_is_refused,
    a_read_only_mount_is_refused,
    the_mount_table_is_asked_before_the_nas,
    a_local_disk_is_good_only_by_name_and_id,
    a_kind_that_the_nodes_own_disk_may_have_proves_nothing_alone,
    a_wrong_kind_and_a_wrong_source_are_named_at_once,
    wrong_settings_are_said_all_at_once,
];

fn the_mountpoint_itself_is_good_and_is_left_as_it_was() {
    let host = host();
    let nas = host.nas();
    nas.put("photo.jpg", "photo");
    for propagation in [Propagation::Private, Propagation::HostToContainer] {
        let container = host.container(&host.point(), propagation);
        let outcome = container.guard(&["nas", "check"]).run();
        proved(&outcome);
        assert_eq!(outcome.termination_log, "", "nothing is wrong, nothing is said");
        let event = &outcome.events()[0];
        assert_eq!((&event["fstype"], &event["source"]), (&"fuse.fakenfs".into(), &"nas.lan:/photos".into()));
        assert_eq!(outcome.events().len(), 1);
        assert_eq!(nas.list(""), ["photo.jpg"]);
    }
    let log = nas.log();
    for wanted in [Op::Create, Op::Write, Op::Fsync, Op::Read, Op::Unlink] {
        assert!(log.iter().any(|(op, _)| *op == wanted), "proved without {wanted:?}");
    }
}

fn a_sub_directory_of_the_nas_is_good() {
    let host = host();
    let nas = host.nas();
    nas.mkdir("immich");
    let container = host.container(&host.point().join("immich"), Propagation::Private);
    proved(&container.guard(&["nas", "check"]).env("GUARD_NAS_SOURCE", "nas.lan:/photos").run());
    assert_eq!((nas.list(""), nas.list("immich")), (vec!["immich".to_owned()], vec![]));
}

fn a_bare_mountpoint_is_refused_and_left_empty() {
    let host = host();
    for propagation in [Propagation::Private, Propagation::HostToContainer] {
        let container = host.container(&host.point(), propagation);
        for command in [&["nas", "check"][..], &["nas", "probe"], &["nas", "probe", "--definite"], &["nas", "init"]] {
            let outcome = container.guard(command).run();
            refused(&outcome, 41);
            assert_eq!(outcome.events()[0]["code"], "NAS_NOT_MOUNTED");
            assert_eq!(outcome.events()[0]["fstype"], "tmpfs");
        }
        refused(&container.guard(&["nas", "wait", "--wait", "1s"]).run(), 41);
        refused(&container.guard(&["nas", "exec", "--wait", "0s", "--", "touch", "/data/photo"]).run(), 41);
        refused(&container.guard(&["nas", "install", "--to", "/guard/guard", "--check"]).run(), 41);
    }
    assert!(host.strays().is_empty(), "{:?}", host.strays());
}

fn a_parent_as_host_path_carries_the_nas_along() {
    let host = host();
    let parent = host.point().parent().unwrap().to_owned();
    let bare = host.container(&parent, Propagation::Private);
    refused(&bare.guard(&["nas", "check", "--path", "/data/nas"]).run(), 41);
    let _nas = host.nas();
    let container = host.container(&parent, Propagation::Private);
    proved(&container.guard(&["nas", "check", "--path", "/data/nas"]).run());
    refused(&container.guard(&["nas", "check"]).run(), 41);
    assert!(host.strays().is_empty());
}

fn a_path_that_is_not_there_is_missing() {
    let host = host();
    let nas = host.nas();
    nas.put("file", "");
    let container = host.container(&host.point(), Propagation::Private);
    for path in ["/elsewhere", "/elsewhere/deep", "/data/immich", "/data/file"] {
        refused(&container.guard(&["nas", "check", "--path", path]).run(), 40);
    }
    assert_eq!(nas.list(""), ["file"]);
}

fn a_private_container_never_sees_a_later_mount() {
    let host = host();
    let container = host.container(&host.point(), Propagation::Private);
    let _nas = host.nas();
    let outcome = container.guard(&["nas", "check"]).run();
    refused(&outcome, 41);
    assert!(outcome.termination_log.contains("restarts"), "{outcome:?}");
    assert!(host.strays().is_empty());
}

fn a_container_that_receives_mounts_sees_a_later_one() {
    let host = host();
    let container = host.container(&host.point(), Propagation::HostToContainer);
    let mut waiting = container.guard(&["nas", "wait", "--wait", "20s"]).start();
    waiting.until("it says that nothing is mounted", |waiting| waiting.stderr().contains("NAS_NOT_MOUNTED"));
    let nas = host.nas();
    proved(&waiting.end());
    proved(&container.guard(&["nas", "check"]).run());
    assert!(nas.list("").is_empty() && host.strays().is_empty());
}

fn a_private_container_keeps_its_nas_when_the_node_unmounts_it() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    host.unmount(&host.point());
    proved(&container.guard(&["nas", "exec", "--", "touch", "/data/photo"]).run());
    assert_eq!(nas.list(""), ["photo"]);
    assert!(host.strays().is_empty());
}

fn a_container_that_receives_mounts_loses_its_nas_and_says_so() {
    let host = host();
    let container = host.container(&host.point(), Propagation::HostToContainer);
    let _nas = host.nas();
    proved(&container.guard(&["nas", "probe", "--definite"]).run());
    host.unmount(&host.point());
    refused(&container.guard(&["nas", "probe", "--definite"]).run(), 41);
    refused(&container.guard(&["nas", "exec", "--wait", "0s", "--", "touch", "/data/photo"]).run(), 41);
    assert!(host.strays().is_empty());
}

fn after_a_lazy_unmount_only_a_new_container_is_good() {
    let host = host();
    let mut before = host.nas();
    let old = host.container(&host.point(), Propagation::Private);
    host.unmount(&host.point());
    before.die();
    let after = FakeNas::mount(&host.point(), "nas.lan:/photos");
    let new = host.container(&host.point(), Propagation::Private);
    for command in [&["nas", "check"][..], &["nas", "probe"], &["nas", "probe", "--definite"]] {
        refused(&old.guard(command).run(), 49);
        proved(&new.guard(command).run());
    }
    assert!(after.list("").is_empty() && host.strays().is_empty());
}

fn another_source_is_refused() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for (source, code) in [
        ("nas.lan:/photos", 0),
        ("nas.lan:*", 0),
        ("other:/x, nas.lan:/photos*", 0),
        ("nas.lan:/photo", 42),
        ("NAS.lan:/photos", 42),
        ("other:/photos,nas.lan:/photos2", 42),
    ] {
        let outcome = container.guard(&["nas", "check"]).env("GUARD_NAS_SOURCE", source).run();
        if code == 0 { proved(&outcome) } else { refused(&outcome, code) }
    }
    refused(&container.guard(&["nas", "check", "--fstypes", "nfs,nfs4,fuse"]).run(), 41);
}

fn a_read_only_mount_is_refused() {
    let host = host();
    let nas = host.nas();
    nas.set(Mode::ReadOnly);
    let exported_so = host.container(&host.point(), Propagation::Private);
    refused(&exported_so.guard(&["nas", "check"]).run(), 45);
    nas.set(Mode::Healthy);
    host.make_read_only(&host.point());
    let mounted_so = host.container(&host.point(), Propagation::Private);
    refused(&mounted_so.guard(&["nas", "check"]).run(), 45);
}

fn the_mount_table_is_asked_before_the_nas() {
    let host = host();
    let nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    // Were one file-system call made, this would be a hang.
    nas.set(Mode::Swallow);
    refused(&container.guard(&["nas", "check", "--source", "other:/photos"]).run(), 42);
    refused(&container.guard(&["nas", "check", "--fstypes", "nfs4"]).run(), 41);
    assert_eq!(nas.log(), []);
}

fn a_local_disk_is_good_only_by_name_and_id() {
    let host = host();
    host.small_disk(&host.point(), 1024);
    let container = host.container(&host.point(), Propagation::Private);
    refused(&container.guard(&["nas", "check"]).run(), 41);
    assert!(outcome_of(&container, &["nas", "check"]).contains("local disk"), "the message names the kind");
    let local = ["--fstypes", "tmpfs", "--min-free", "64KiB", "--source", "*"];
    let with = |command: &str, more: &[&str]| container.guard(&[&["nas", command][..], &local, more].concat()).run();
    let unnamed = with("check", &[]);
    refused(&unnamed, 41);
    assert!(unnamed.termination_log.contains("GUARD_NAS_ID"), "{unnamed:?}");
    let id = with("init", &[]).stdout.trim().to_owned();
    proved(&with("check", &["--id", &id]));
    assert_eq!(container.sh("ls -A /data").run().stdout.trim(), ".guard-nas-id");
}

fn outcome_of(container: &testkit::nas::Container, args: &[&str]) -> String {
    container.guard(args).run().termination_log
}

/// A node whose root is ZFS, with `/var/lib` as its own dataset: the bare mount point has another device than `/etc/hosts`.
fn a_kind_that_the_nodes_own_disk_may_have_proves_nothing_alone() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    for source in ["", "*"] {
        let outcome = container.guard(&["nas", "check"]).env("GUARD_NAS_SOURCE", source).run();
        refused(&outcome, 41);
        assert!(outcome.termination_log.contains("GUARD_NAS_ID, or GUARD_NAS_SOURCE"), "{outcome:?}");
    }
    proved(&container.guard(&["nas", "check", "--source", "nas.lan:/photos"]).run());
}

fn a_wrong_kind_and_a_wrong_source_are_named_at_once() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let outcome = container.guard(&["nas", "check", "--fstypes", "nfs4", "--source", "other:/photos"]).run();
    refused(&outcome, 41);
    let message = &outcome.termination_log;
    assert!(["fuse.fakenfs", "nas.lan:/photos", "nfs4", "other:/photos"].iter().all(|part| message.contains(part)), "{message}");
}

fn wrong_settings_are_said_all_at_once() {
    let host = host();
    let container = host.container(&host.point(), Propagation::Private);
    let outcome = container.guard(&["nas", "check", "--path", "data", "--timeout", "0s"]).env("GUARD_NAS_WAIT", "soon").run();
    assert_eq!(outcome.code(), 2);
    for name in ["GUARD_NAS_PATH", "GUARD_NAS_TIMEOUT", "GUARD_NAS_WAIT"] {
        assert!(outcome.stderr.contains(name), "{outcome:?}");
    }
    assert_eq!(container.guard(&["nas", "exec"]).run().code(), 2, "a command is wanted");
}
