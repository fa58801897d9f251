//! An auth server is asked about each request: what it is asked, what its answers do, and that nothing else opens the door.
//!
//! The auth server is the testkit's outpost; the same stories beside real Caddy, with a real identity provider and a real browser, are in
//! `tests/front_door`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

mod answers;
mod credentials;
mod gate;
mod health;
mod own_path;
mod phones;
mod questions;
mod sockets;
