//! The time of one `guard nas check` on a healthy mount, from exec to exit, beside the shell line that people use in its place; and how
//! long it takes to say that a NAS hangs.
//!
//! `GUARD_BIN` is the binary, `RUNS` (100) how often. The mount is this folder's own, allowed by name: no NAS is needed to time the gate.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use guard::nas::mountinfo::MountTable;
use support::{Outcome, guard_binary, median, option};
use testkit::nas;

mod support;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nas: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let (binary, runs): (_, usize) = (guard_binary()?, option("RUNS", 100)?);
    let folder = std::env::temp_dir().join(format!("guard-bench-nas-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let path = folder.to_str().ok_or("the temporary folder's name is not text")?;
    let fstype = MountTable::read()?.covering(path).ok_or("no mount")?.fstype.clone();

    let nas = |command: &str| {
        let mut nas = Command::new(&binary);
        nas.args(["nas", command]).env("GUARD_NAS_PATH", path).env("GUARD_NAS_FSTYPES", &fstype).env("GUARD_NAS_MIN_FREE", "0");
        nas
    };
    // A local disk is checked by its id.
    let id = String::from_utf8(nas("init").output()?.stdout)?;
    let mut check = nas("check");
    check.env("GUARD_NAS_ID", id.trim());
    let mut shell = Command::new("sh");
    shell.args(["-c", "mountpoint -q / && echo probe > \"$1/probe\" && sync \"$1/probe\" && rm \"$1/probe\"", "sh", path]);

    let (mut guards, mut shells) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        guards.push(time(&mut check)?);
        shells.push(time(&mut shell)?);
    }
    std::fs::remove_dir_all(&folder)?;
    let (guard, shell) = (median(guards), median(shells));
    println!("guard nas check on {fstype}: median {guard:.1} ms of {runs}");
    println!("mountpoint, write, sync, rm in sh: median {shell:.1} ms; ratio {:.2}", guard / shell);
    hangs(&guard_binary()?)
}

/// From exec to the exit with 48, with a second a step. The promise is the step's time and one second.
fn hangs(binary: &Path) -> Outcome<()> {
    if let Some(reason) = nas::why_not() {
        println!("a NAS that hangs: skipped: {reason}");
        return Ok(());
    }
    let host = nas::Host::new(binary);
    let share = host.nas();
    let container = host.container(&host.point(), nas::Propagation::Private);
    for (mode, name) in [(nas::Mode::Unread, "does not read"), (nas::Mode::Swallow, "reads and never answers (state D)")] {
        share.set(mode);
        let start = Instant::now();
        let outcome = container.guard(&["nas", "check", "--timeout", "1s"]).run();
        let elapsed = start.elapsed().as_secs_f64() * 1000.0;
        if outcome.code() != 48 {
            return Err(format!("a NAS that {name}: {outcome:?}").into());
        }
        println!("a NAS that {name}, --timeout 1s: exit 48 after {elapsed:.0} ms");
        share.set(nas::Mode::Healthy);
    }
    Ok(())
}

fn time(command: &mut Command) -> Outcome<f64> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() {
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    } else {
        Err(format!("{command:?} ended with {status}").into())
    }
}
