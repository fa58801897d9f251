//! The pod of `immich-server` as it is rendered, run by a real container runtime: its init container, its gate, its probes, its user, its
//! root, its volumes, each from the very fields that are shipped, against a NAS that is mounted and one that is not.
//!
//! No kubelet: [`spec`] turns the pod into OCI configurations as kubelet and containerd do, and runc runs them. Immich's own image is not
//! here: [`stand_in`] plays its program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod container;
mod fields;
mod home;
mod image;
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
    Trials::new().add_unless(why_not.as_deref(), "shipped_pod", stories::TESTS).run()
}
