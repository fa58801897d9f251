//! Waits, checks, then replaces this process by the command: the same process and mount namespace, so that the check holds for the writer.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::config::NasConfig;
use super::report::Reporter;
use super::wait;

/// Does not return when the command could be started. 126: found and not runnable; 127: not found; as in sh.
pub fn run(config: &NasConfig, reporter: &mut Reporter, command: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else { return ExitCode::from(2) };
    let result = wait::until_ok(config, reporter);
    let code = reporter.exit(&result);
    if result.failure.is_some() {
        return code;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("guard nas exec: {}: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
}
