//! Waits, checks, then replaces this process by the command: the same process and mount namespace, so that the check holds for the writer.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::check::read_table;
use super::config::NasConfig;
use super::failure::{Code, Failure};
use super::mountinfo::Mount;
use super::report::Reporter;
use super::wait;

/// Does not return when the command could be started. 126: found and not runnable; 127: not found; as in sh.
pub fn run(config: &NasConfig, reporter: &mut Reporter, command: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else { return ExitCode::from(2) };
    let mut result = wait::until_ok_or_final(config, reporter);
    if let (None, Some(mount)) = (&result.failure, &result.mount) {
        result.failure = check_lasting(config, mount).err();
    }
    let code = reporter.exit(&result);
    if result.failure.is_some() {
        return code;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("guard nas exec: {}: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
}

/// Checks that the mount which was checked stays where it is as long as the container lives.
///
/// A runtime binds a volume, and then makes it private by its path (runc, `mountPropagation: None`). A mount that arrives in between lies
/// on top and is made private alone: the bare directory below it still follows the node, and so does this mount's end. The same is true
/// of any mount that arrives later in a container with `HostToContainer`.
fn check_lasting(config: &NasConfig, checked: &Mount) -> Result<(), Failure> {
    let (table, mount) = read_table(config)?;
    let refuse = |found: String| {
        Err(Failure::new(
            Code::NotMounted,
            found,
            "nothing: a new container keeps the mount that is there when it starts (mountPropagation: None)",
        ))
    };
    if mount.id != checked.id {
        return refuse(format!("{} was mounted again during the check", config.path));
    }
    if table.can_vanish(&mount) {
        return refuse(format!("{} was mounted after this container was made, and goes when the node unmounts it", config.path));
    }
    Ok(())
}
