//! Fakes that misbehave on purpose: nothing enters but a test's wishes, and out come servers and clients on loopback.
//!
//! Every server binds `127.0.0.1:0`, runs as tasks of the current runtime, and stops when its handle is dropped. Waiting has a
//! deadline and panics past it, so a broken rule fails a test and never hangs one. The deadlines are real time: do not use these
//! fakes in a test that pauses tokio's clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a fake that cannot do its work must fail the test at that line; every panic here is a failed test"
)]

pub mod admin;
pub mod browser;
pub mod cloudflare_api;
mod deadline;
pub mod edge;
pub mod environment;
pub mod google;
pub mod image;
pub mod immich;
pub mod issuer;
pub mod nas;
pub mod node;
pub mod noise;
pub mod outpost;
pub mod photos;
pub mod pod;
pub mod process;
pub mod raw;
mod server;
pub mod signer;
pub mod terminal;
pub mod wait;
pub mod ws;

pub use cloudflare_api::CloudflareApi;
pub use edge::Edge;
pub use environment::TestEnvironment;
pub use google::CloudRunSetup;

pub use immich::Immich;
pub use issuer::{Behaviour, Issuer};
pub use outpost::Outpost;
pub use raw::{RawClient, RawConn, RawUpstream};
