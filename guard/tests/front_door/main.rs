//! Front doors of others, as they really are: guard beside Caddy before the same outpost, and browsers that sign in through guard with a
//! real provider.
//!
//! `make test-front-doors` installs what is missing and runs this. Each tool is named by a variable; what is not there is skipped, and
//! counted so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod browsers;
mod caddy;
mod cases;
mod compare;
mod differences;
mod provider;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use testkit::nas::Trials;

fn main() -> ExitCode {
    let no_caddy = missing("CADDY");
    let no_browser = missing("CHROMIUM").or_else(|| missing("OIDC_PROVIDER"));
    let no_browser_there = no_caddy.clone().or_else(|| no_browser.clone());
    Trials::anywhere()
        .add_unless(no_caddy.as_deref(), "caddy", testkit::tests![guard_is_never_laxer_than_caddy])
        .add_unless(no_browser_there.as_deref(), "caddy", testkit::tests![a_browser_signs_in_through_caddy])
        .run()
}

fn a_browser_signs_in_through_caddy() {
    run(browsers::through_caddy());
}

fn guard_is_never_laxer_than_caddy() {
    run(compare::guard_is_never_laxer_than_caddy());
}

/// The program that a variable names.
fn tool(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Why a tool cannot be used here.
fn missing(variable: &str) -> Option<String> {
    match tool(variable) {
        None => Some(format!("{variable} names no program: make test-front-doors")),
        Some(path) if !path.is_file() => Some(format!("{variable}: there is no {}", path.display())),
        Some(_) => None,
    }
}

/// Runs a story in a runtime of its own.
fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(story);
}
