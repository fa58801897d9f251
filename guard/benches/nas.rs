//! The time of one `guard nas check` on a healthy mount, from exec to exit, beside the shell line that people use in its place.
//!
//! `GUARD_BIN` is the binary, `RUNS` (100) how often. The mount is this folder's own, allowed by name: no NAS is needed to time the gate.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use guard::nas::mountinfo::MountTable;
use support::{Outcome, guard_binary, median, option};

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

    let mut check = Command::new(binary);
    check.args(["nas", "check"]).env("GUARD_NAS_PATH", path).env("GUARD_NAS_FSTYPES", &fstype).env("GUARD_NAS_MIN_FREE", "0");
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
