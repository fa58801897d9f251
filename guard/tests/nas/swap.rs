//! The mount comes and goes while containers start: whatever a gated command writes is on the NAS, or is not written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::nas::{FakeNas, Propagation};
use testkit::tests;

use super::host;

pub(super) const TESTS: &[(&str, fn())] = tests![a_mount_swapped_while_containers_start_never_lets_a_byte_reach_the_disk];

const STARTS: u32 = 200;

fn a_mount_swapped_while_containers_start_never_lets_a_byte_reach_the_disk() {
    let host = host();
    let elsewhere = host.disk().join("nas");
    std::fs::create_dir(&elsewhere).unwrap();
    let nas = FakeNas::mount(&elsewhere, "nas.lan:/photos");
    let (point, done) = (host.point(), AtomicBool::new(false));
    let (mut started, mut refusals) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                host.bind(&elsewhere, &point);
                std::thread::sleep(some_time());
                host.unmount(&point);
                std::thread::sleep(some_time());
            }
        });
        // Told also when this thread fails, or the other one would go on for ever.
        let _told = Told(&done);
        for number in 0..STARTS {
            std::thread::sleep(some_time() / 4);
            let container = host.container(&point, Propagation::Private);
            let write = format!("echo x > /data/photo-{number}");
            let outcome = container.guard(&["nas", "exec", "--wait", "0s", "--", "sh", "-c", &write]).run();
            let is_on_nas = nas.read(&format!("photo-{number}")).is_some();
            match outcome.code() {
                0 => started += 1,
                41 => refusals += 1,
                _ => panic!("{outcome:#?}"),
            }
            assert_eq!(is_on_nas, outcome.code() == 0, "{outcome:#?}");
            assert!(host.strays().is_empty(), "{:?}", host.strays());
        }
    });
    // Both ways of the race were met.
    assert!(started > STARTS / 20 && refusals > STARTS / 20, "{started} started, {refusals} refused");
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
