//! The mount comes and goes while containers start: whatever a gated command writes is on the NAS, or is not written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::nas::{Container, FakeNas, Host, Propagation};
use testkit::tests;

use super::{host, proved, refused};

pub(super) const TESTS: &[(&str, fn())] = tests![
    a_mount_swapped_while_containers_start_never_lets_a_byte_reach_the_disk,
    a_command_never_starts_on_a_mount_that_the_node_can_take_away,
    a_mount_swapped_under_a_check_never_lets_its_probe_reach_the_disk,
];

const STARTS: u32 = 200;

fn a_mount_swapped_while_containers_start_never_lets_a_byte_reach_the_disk() {
    let host = host();
    swapping(&host, |nas| {
        let (mut started, mut refusals) = (0, 0);
        for number in 0..STARTS {
            std::thread::sleep(some_time() / 4);
            let container = host.container(&host.point(), Propagation::Private);
            let write = format!("echo x > /data/photo-{number}");
            let outcome = container.guard(&["nas", "exec", "--wait", "0s", "--", "sh", "-c", &write]).run();
            match outcome.code() {
                0 => started += 1,
                41 => refusals += 1,
                _ => panic!("{outcome:#?}"),
            }
            let is_stored = nas.read(&format!("photo-{number}")).is_some();
            assert_eq!(is_stored, outcome.code() == 0, "{outcome:#?}, on the disk: {:?}", host.strays());
        }
        (started, refusals)
    });
}

fn a_command_never_starts_on_a_mount_that_the_node_can_take_away() {
    let run = |container: &Container| container.guard(&["nas", "exec", "--wait", "0s", "--", "touch", "/data/photo"]).run();
    for propagation in [Propagation::Private, Propagation::HostToContainer] {
        let host = host();
        let mut nas = None;
        // The runtime binds the bare directory, the NAS arrives on top of it, and the propagation is then set for the NAS alone.
        let container = host.container_while(&host.point(), propagation, || nas = Some(host.nas()));
        proved(&container.guard(&["nas", "check"]).run());
        let outcome = run(&container);
        refused(&outcome, 41);
        assert!(outcome.stderr.contains("goes when the node unmounts it"), "{outcome:?}");
        // What a command would meet that had started.
        host.unmount(&host.point());
        assert_eq!(container.sh("touch /data/photo").run().code(), 0);
        assert_eq!(host.strays().len(), 1);
        // Now the bare directory follows the node, whatever the propagation was.
        let nas = host.nas();
        proved(&container.guard(&["nas", "check"]).run());
        refused(&run(&container), 41);
        // The same container again, as the kubelet starts it.
        proved(&run(&host.container(&host.point(), propagation)));
        assert_eq!(nas.list(""), ["photo"]);
    }
}

fn a_mount_swapped_under_a_check_never_lets_its_probe_reach_the_disk() {
    let host = host();
    // Here the mount comes and goes between two system calls of one check.
    let container = host.container(&host.point(), Propagation::HostToContainer);
    swapping(&host, |nas| {
        let (mut proved, mut refusals) = (0, 0);
        for _ in 0..STARTS {
            let outcome = container.guard(&["nas", "check"]).run();
            match outcome.code() {
                0 => proved += 1,
                41 => refusals += 1,
                _ => panic!("{outcome:#?}"),
            }
        }
        assert!(nas.list("").is_empty());
        (proved, refusals)
    });
}

/// Runs a test while the NAS comes and goes. It gives how often the gate opened and how often not: both must have been met.
fn swapping(host: &Host, test: impl FnOnce(&FakeNas) -> (u32, u32)) {
    let elsewhere = host.disk().join("nas");
    std::fs::create_dir(&elsewhere).unwrap();
    let nas = FakeNas::mount(&elsewhere, "nas.lan:/photos");
    let (before, done) = (host.last_stray(), AtomicBool::new(false));
    let (opened, refused) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                host.bind(&elsewhere, &host.point());
                std::thread::sleep(some_time());
                host.unmount(&host.point());
                std::thread::sleep(some_time());
            }
        });
        // Told also when this thread fails, or the other one would go on for ever.
        let _told = Told(&done);
        test(&nas)
    });
    assert!(host.strays().is_empty(), "{:?}", host.strays());
    assert_eq!(host.last_stray(), before, "something was on the disk for a moment");
    assert!(opened > STARTS / 20 && refused > STARTS / 20, "{opened} opened, {refused} refused");
}

struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Up to 16 ms.
fn some_time() -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    Duration::from_micros(random % 16_000)
}
