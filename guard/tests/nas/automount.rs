//! An automount point below the hostPath that is not triggered: not mounted, or a hang, but never good.

use testkit::nas::{Automount, Propagation};
use testkit::tests;

use super::{host, refused};

pub(super) const TESTS: &[(&str, fn())] = tests![without_its_daemon_it_is_not_mounted, with_a_silent_daemon_it_is_a_hang];

pub(super) fn why_not() -> Option<String> {
    Automount::why_not()
}

fn without_its_daemon_it_is_not_mounted() {
    let host = host();
    let mut automount = host.automount(&host.point());
    automount.kill();
    let container = host.container(host.point().parent().unwrap(), Propagation::Private);
    let outcome = container.guard(&["nas", "check", "--path", "/data/nas"]).run();
    refused(&outcome, 41);
    assert_eq!(outcome.events()[0]["fstype"], "autofs");
    assert!(host.strays().is_empty());
}

fn with_a_silent_daemon_it_is_a_hang() {
    let host = host();
    let _automount = host.automount(&host.point());
    let container = host.container(host.point().parent().unwrap(), Propagation::Private);
    refused(&container.guard(&["nas", "check", "--path", "/data/nas", "--timeout", "300ms"]).run(), 48);
}
