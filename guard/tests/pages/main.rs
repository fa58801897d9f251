//! guard's status pages and refusal pages in a real Chromium: on a phone and on a desktop, light and dark, with scripts and without, and with text
//! of twice the size. axe-core judges each of them, and no page asks for anything but itself.
//!
//! `make test-pages` installs what is missing and runs this. `SCREENSHOTS` names a folder for what the pages look like; `make pictures` makes those
//! of the documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

mod hour;
mod judge;
mod pictures;
mod refusals;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use testkit::nas::Trials;

/// Lists async stories as tests.
macro_rules! stories {
    ($($module:ident::$name:ident),* $(,)?) => { &[$((stringify!($name), (|| run($module::$name())) as fn())),*] };
}

type Tests = &'static [(&'static str, fn())];

const STATUS: Tests = stories![
    status::the_status_page_of_a_new_process,
    status::the_status_page_of_a_busy_process,
    status::the_status_page_of_a_process_that_is_shut,
    status::the_status_pages_of_the_outbound_process,
    status::the_page_takes_what_has_changed_and_says_when_it_is_old,
];
const REFUSALS: Tests = stories![
    refusals::each_refusal_page_in_english,
    refusals::each_refusal_page_in_every_other_language,
    refusals::the_page_loads_the_photos_when_immich_is_back,
];
const PICTURES: Tests = stories![pictures::pictures];

fn main() -> ExitCode {
    let missing = missing("CHROMIUM").or_else(|| missing("AXE"));
    let no_pictures = std::env::var_os("PICTURES").is_none().then(|| "PICTURES names no folder: make pictures".to_owned());
    Trials::anywhere()
        .add_unless(missing.as_deref(), "status", STATUS)
        .add_unless(missing.as_deref(), "refusals", REFUSALS)
        .add_unless(missing.or(no_pictures).as_deref(), "docs", PICTURES)
        .run()
}

/// The file that a variable names.
fn tool(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Why a tool cannot be used here.
fn missing(variable: &str) -> Option<String> {
    match tool(variable) {
        None => Some(format!("{variable} names no file: make test-pages")),
        Some(path) if !path.exists() => Some(format!("{variable}: there is no {}", path.display())),
        Some(_) => None,
    }
}

fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(story);
}
