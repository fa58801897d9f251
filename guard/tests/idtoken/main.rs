//! The way out, at wire level: every source of tokens end to end, what reaches a backend and what does not, and what happens when Google
//! or Cloud Run is not well.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed at that line")]

mod browsers;
mod crossing;
mod drop_in;
mod google_auth;
mod healing;
mod loads;
mod retries;
mod secrets;
mod sources;
mod tls;

use testkit::raw::Response;

/// The binary under test.
const GUARD: &str = env!("CARGO_BIN_EXE_guard");

/// A refusal's status and reason.
fn refusal(answer: &Response) -> (u16, &str) {
    (answer.status, answer.header("guard-refusal").unwrap_or_default())
}

/// A GET with these header lines.
fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: ml-proxy:8080\r\n{lines}\r\n")
}
