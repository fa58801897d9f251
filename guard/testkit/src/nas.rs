//! A NAS that misbehaves on purpose, and the mounts around it: a test's wishes enter, and out come a file system, a node and
//! containers on it.
//!
//! [`Host`] is a node with a disk and a mount namespace of its own, [`FakeNas`] a server that can be mounted on it, [`Container`]
//! what a container runtime makes of a `hostPath`. All of it needs root and `/dev/fuse`: [`why_not`] says what is missing.
//!
//! No thread of a test touches a file below a [`FakeNas`]: a server that is told to hang would hang the test with it. Tests look
//! at the server's memory ([`FakeNas::read`]), and programs in a [`Container`] look at the mount.

mod automount;
mod container;
mod fake;
mod host;
mod namespace;
mod run;
mod tree;
mod trials;
mod wire;

pub use automount::Automount;
pub use container::{Container, Propagation};
pub use fake::{FakeNas, Mode, Op};
pub use host::{Host, why_not};
pub use run::{Launcher, Outcome, Running, Task};
pub use trials::Trials;
