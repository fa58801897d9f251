//! Programs and browsers of others that speak tus, without a change, against guard's large uploads; and guard's own page in a real Chromium.
//!
//! `make test-tus-clients` installs what is missing and runs this. Each tool is named by a variable; what is not there is skipped, and counted so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod page;
mod programs;

use std::path::PathBuf;
use std::process::ExitCode;

use testkit::google::Folder;
use testkit::nas::Trials;
use testkit::{Immich, noise};

/// Lists async stories as tests.
macro_rules! stories {
    ($($module:ident::$name:ident),* $(,)?) => { &[$((stringify!($name), (|| run($module::$name())) as fn())),*] };
}

type Tests = &'static [(&'static str, fn())];

const JAVASCRIPT: Tests = stories![programs::tus_js_client_uploads_a_file, programs::tus_js_client_begins_again_after_a_restart];
const PYTHON: Tests = stories![programs::tuspy_uploads_a_file];
const PAGE: Tests = stories![
    page::a_file_goes_up_with_the_network_off_and_on_in_the_middle,
    page::what_immich_has_is_not_sent_again_and_what_cannot_be_sent_is_said,
];
const JAVASCRIPT_IN_A_BROWSER: Tests = stories![page::tus_js_client_works_in_a_browser];

fn main() -> ExitCode {
    let (no_javascript, no_python, no_browser) = (missing("TUS_JS"), missing("TUS_PYTHON"), missing("CHROMIUM"));
    let neither = no_browser.clone().or_else(|| no_javascript.clone());
    Trials::anywhere()
        .add_unless(no_javascript.as_deref(), "node", JAVASCRIPT)
        .add_unless(no_python.as_deref(), "python", PYTHON)
        .add_unless(no_browser.as_deref(), "page", PAGE)
        .add_unless(neither.as_deref(), "page", JAVASCRIPT_IN_A_BROWSER)
        .run()
}

/// The file that a variable names.
fn tool(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Why a tool cannot be used here.
fn missing(variable: &str) -> Option<String> {
    match tool(variable) {
        None => Some(format!("{variable} names no file: make test-tus-clients")),
        Some(path) if !path.exists() => Some(format!("{variable}: there is no {}", path.display())),
        Some(_) => None,
    }
}

fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(story);
}

/// A file of so many bytes of noise.
fn file(folder: &Folder, name: &str, length: u64) -> PathBuf {
    use std::io::Write as _;
    let path = folder.path().join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    let mut at = 0;
    while at < length {
        let end = length.min(at + (1 << 20));
        file.write_all(&noise::bytes(at, end)).unwrap();
        at = end;
    }
    path
}

/// The last file at Immich is the first so many bytes of the noise.
#[track_caller]
fn is_whole(immich: &Immich, length: u64) {
    let stored = immich.stored().pop().expect("a file");
    let file = stored.file.expect("a form that ended well");
    assert_eq!((file.bytes, file.sha256), (length, noise::sha256(length)));
}
