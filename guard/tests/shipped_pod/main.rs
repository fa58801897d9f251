//! The pod of `immich-server` as it is rendered, run by a real container runtime: its init container, its gate, its probes, its user, its
//! root, its volumes, each from the very fields that are shipped, against a NAS that is mounted and one that is not.
//!
//! Where there is a kubelet, it and containerd run it ([`node`]). Everywhere else [`spec`] turns it into OCI configurations as those two do,
//! and runc runs them. Immich's own image is not here: [`stand_in`] plays its program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod container;
mod fields;
mod home;
mod image;
mod kubelet;
mod node;
mod render;
mod spec;
mod stand_in;
mod stories;

use std::process::{Command, ExitCode};

use testkit::nas::Trials;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(stand_in::NAME) {
        stand_in::main();
    }
    let found = Command::new("runc").arg("--version").output().is_ok_and(|output| output.status.success());
    let why_not = if found { render::why_not() } else { Some("no runc (Debian: apt-get install runc)".to_owned()) };
    let no_node = why_not.clone().or_else(node::why_not);
    Trials::new()
        .add_unless(why_not.as_deref(), "runc", stories::TESTS)
        .add_unless(no_node.as_deref(), "kubelet", kubelet::TESTS)
        .add_slow_unless(no_node.as_deref(), "kubelet", kubelet::SLOW)
        .run()
}
