//! `guard origin` over real sockets: what is refused, what is forwarded, and what each side sees when something breaks.
//!
//! One binary with one module per subject, so that it links once. `cargo test -p guard --test wire limits::` runs one module.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

mod config;
mod drain;
mod faults;
mod forward_auth;
mod forwarding;
mod languages;
mod limits;
mod overload;
mod proof;
mod rotation;
mod signed;
mod smuggling;
mod status;
mod strangers;
mod telemetry;
mod tls;
mod uploads;
mod websocket;

/// The binary under test.
const GUARD: &str = env!("CARGO_BIN_EXE_guard");
