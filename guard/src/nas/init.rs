//! Writes the sentinel on the real NAS, once, and prints the id that the overlay needs.

use std::process::ExitCode;

use super::check;
use super::config::NasConfig;
use super::probe::Prober;
use super::report::Reporter;
use super::sentinel::{Sentinel, VERSION};
use super::step::Task;

/// Prints the id. Writes the id of `GUARD_NAS_ID`, or else a new one. An existing sentinel is kept, and another id is
/// overwritten only with `force`.
pub fn run(config: &NasConfig, reporter: &mut Reporter, force: bool, label: &str) -> ExitCode {
    let (result, sentinel) = check::run(config, &mut Prober::default(), reporter, |mount| Task::Init {
        path: config.path.clone(),
        mount_id: mount.id,
        sentinel: Sentinel { v: VERSION, id: config.id.clone().unwrap_or_default(), label: label.to_owned() },
        force,
    });
    if let Some(sentinel) = sentinel {
        println!("{}", sentinel.id);
    }
    reporter.exit(&result)
}
