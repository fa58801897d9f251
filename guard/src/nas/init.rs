//! The operator's one act: write the sentinel on the real NAS, and learn the id that the overlay wants.

use std::process::ExitCode;

use super::config::Gate;
use super::look;
use super::probe::Prober;
use super::report::Reporter;
use super::sentinel::{Sentinel, VERSION};
use super::step::Task;

/// Prints the id. With `GUARD_NAS_ID` that id is written, else a new one; a sentinel that is there already is kept, and another id is
/// overwritten only with `force`.
pub fn run(gate: &Gate, reporter: &mut Reporter, force: bool, label: &str) -> ExitCode {
    let (verdict, sentinel) = look(gate, &mut Prober::default(), reporter, |mount| Task::Init {
        path: gate.path.clone(),
        mount_id: mount.id,
        sentinel: Sentinel { v: VERSION, id: gate.id.clone().unwrap_or_default(), label: label.to_owned() },
        force,
    });
    if let Some(sentinel) = sentinel {
        println!("{}", sentinel.id);
    }
    reporter.exit(&verdict)
}
