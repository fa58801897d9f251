//! `guardctl cloudflare` against a stand-in of Cloudflare's API: the real binary, as a person runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod abort;
mod apply;
mod errors;
mod foreign;
mod holes;
mod home;
mod permissions;
mod sdk;
mod secrets;
