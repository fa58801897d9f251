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
mod oauth2_proxy;
mod provider;
mod side;

use std::path::PathBuf;
use std::process::ExitCode;

use testkit::nas::Trials;

/// Lists async stories as tests.
macro_rules! stories {
    ($($module:ident::$name:ident),* $(,)?) => { &[$((stringify!($name), (|| run($module::$name())) as fn())),*] };
}

type Tests = &'static [(&'static str, fn())];

const CADDY: Tests = stories![compare::where_guard_differs_from_caddy_it_is_the_stricter];
const BROWSER_AND_CADDY: Tests = stories![browsers::a_browser_signs_in_through_caddy];
const BROWSER: Tests = stories![browsers::a_browser_signs_in_by_the_outpost_uses_immich_and_signs_out];
const BROWSER_AND_OAUTH2_PROXY: Tests = stories![browsers::a_browser_signs_in_by_oauth2_proxy_uses_immich_and_signs_out];

fn main() -> ExitCode {
    let no_caddy = missing("CADDY");
    let no_browser = missing("CHROMIUM").or_else(|| missing("OIDC_PROVIDER"));
    let neither = no_caddy.clone().or_else(|| no_browser.clone());
    let no_oauth2_proxy = no_browser.clone().or_else(|| missing("OAUTH2_PROXY"));
    Trials::anywhere()
        .add_unless(no_caddy.as_deref(), "caddy", CADDY)
        .add_unless(neither.as_deref(), "caddy", BROWSER_AND_CADDY)
        .add_unless(no_browser.as_deref(), "browser", BROWSER)
        .add_unless(no_oauth2_proxy.as_deref(), "browser", BROWSER_AND_OAUTH2_PROXY)
        .run()
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
