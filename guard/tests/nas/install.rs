//! The binary for the next container: whole, executable, and only where the proof was asked for and held.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use testkit::nas::Propagation;
use testkit::tests;

use super::{guard, host, proved, refused};

pub(super) const TESTS: &[(&str, fn())] =
    tests![the_copy_works, unproved_nothing_is_installed, a_copy_is_replaced_as_a_whole, where_it_cannot_go_it_says_so];

fn the_copy_works() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    // The one who installs need not be root, and the image's umask is its own.
    let outcome = container.sh("umask 077; exec /image/guard nas install --to /guard/guard --check --min-free 0");
    let outcome = outcome.env("GUARD_NAS_FSTYPES", "fuse.*").run();
    proved(&outcome);
    let copy = container.pod().join("guard/guard");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(fs::read(&copy).unwrap() == fs::read(guard()).unwrap(), "another binary");
    proved(&container.program("/guard/guard", &["nas", "exec", "--", "true"]).run());
    assert_eq!(fs::read_dir(container.pod().join("guard")).unwrap().count(), 1, "nothing else is left");
}

fn unproved_nothing_is_installed() {
    let host = host();
    let container = host.container(&host.point(), Propagation::Private);
    refused(&container.guard(&["nas", "install", "--to", "/guard/guard", "--check"]).run(), 41);
    assert_eq!(fs::read_dir(container.pod().join("guard")).unwrap().count(), 0);
    // Only with --check is anything proved.
    assert_eq!(container.guard(&["nas", "install", "--to", "/guard/guard"]).run().code(), 0);
    assert!(host.strays().is_empty());
}

fn a_copy_is_replaced_as_a_whole() {
    let host = host();
    let _nas = host.nas();
    let container = host.container(&host.point(), Propagation::Private);
    let install = || container.guard(&["nas", "install", "--to", "/guard/guard"]);
    assert_eq!(install().run().code(), 0);
    let first = fs::metadata(container.pod().join("guard/guard")).unwrap().ino();
    // A copy in use can be replaced, and at no moment is there half of one.
    let used = container
        .program("/guard/guard", &["nas", "exec", "--", "/guard/guard", "nas", "wait", "--path", "/none", "--wait", "20s"]);
    let mut used = used.start();
    used.until("the copy runs", |used| used.stderr().contains("NAS_MISSING"));
    let again = "for _ in 1 2 3 4 5 6 7 8 9 10; do /image/guard nas install --to /guard/guard || exit 1; done";
    let mut installing = container.sh(again).start();
    while !installing.has_ended() {
        assert_eq!(container.program("/guard/guard", &["--version"]).run().code(), 0);
    }
    assert_eq!(installing.end().code(), 0);
    assert_ne!(fs::metadata(container.pod().join("guard/guard")).unwrap().ino(), first);
    assert!(!used.has_ended());
}

fn where_it_cannot_go_it_says_so() {
    let host = host();
    let container = host.container(&host.point(), Propagation::Private);
    for to in ["/none/guard", "/usr/bin/guard", "/guard", "/proc/self/guard", "/"] {
        let outcome = container.guard(&["nas", "install", "--to", to]).run();
        assert_eq!(outcome.code(), 1, "{to}: {outcome:?}");
        assert!(outcome.stderr.contains(to), "{outcome:?}");
    }
}
