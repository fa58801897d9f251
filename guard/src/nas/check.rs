//! The two stages of a check: the kernel's mount table, then the file system itself, in a child process.

use super::config::NasConfig;
use super::failure::{Code, Failure};
use super::mountinfo::{Mount, MountTable};
use super::probe::Prober;
use super::report::{CheckResult, Reporter};
use super::sentinel::Sentinel;
use super::step::Task;

/// Runs both stages once. With `write`, it writes a file as well.
pub fn check(config: &NasConfig, prober: &mut Prober, reporter: &mut Reporter, write: bool) -> CheckResult {
    run(config, prober, reporter, |mount| Task::Check {
        path: config.path.clone(),
        mount_id: mount.id,
        id: config.id.clone(),
        min_free: config.min_free,
        write,
    })
    .0
}

/// Runs stage 1, then this task in a child process. Returns the sentinel that the child found or wrote, if any.
pub(super) fn run(
    config: &NasConfig,
    prober: &mut Prober,
    reporter: &mut Reporter,
    task: impl Fn(&Mount) -> Task,
) -> (CheckResult, Option<Sentinel>) {
    let mut seen = None;
    let outcome = check_mount(config, prober, reporter, &mut seen)
        .and_then(|mount| prober.run(&task(&mount), config.step_timeout, reporter));
    let (found, failure) = match outcome {
        Ok(found) => (found, None),
        Err(failure) => (None, Some(failure)),
    };
    (CheckResult { mount: seen, failure }, found)
}

/// Stage 1: checks what is mounted at the path, by the kernel's mount table alone. An automount point is triggered in a child process,
/// and the table is read again.
fn check_mount(
    config: &NasConfig,
    prober: &mut Prober,
    reporter: &mut Reporter,
    seen: &mut Option<Mount>,
) -> Result<Mount, Failure> {
    let exists = Task::Exists { path: config.path.clone() };
    let (mut table, mut mount) = read_table(config)?;
    *seen = Some(mount.clone());
    if mount.fstype == "autofs" {
        // An automount whose daemon is gone says that nothing is there: then the table still says autofs, which is the better answer.
        if let Err(failure) = prober.run(&exists, config.step_timeout, reporter)
            && failure.code != Code::Missing
        {
            return Err(failure);
        }
        (table, mount) = read_table(config)?;
        *seen = Some(mount.clone());
    }
    let Err(failure) = config.check_mount(&table, &mount) else { return Ok(mount) };
    // A path that is not there lies on whatever its parent lies on: say that it is missing, not that it is not mounted.
    if failure.code == Code::NotMounted
        && mount.mount_point != config.path
        && let Err(missing) = prober.run(&exists, config.step_timeout, reporter)
        && missing.code == Code::Missing
    {
        return Err(missing);
    }
    Err(failure)
}

/// Reads the mount table, and the mount in it that the path is on.
pub(super) fn read_table(config: &NasConfig) -> Result<(MountTable, Mount), Failure> {
    let table = MountTable::read().map_err(|error| {
        Failure::new(Code::Io, format!("/proc/self/mountinfo cannot be read: {error}"), "run guard where /proc is mounted")
    })?;
    let mount = table.covering(&config.path).cloned().ok_or_else(|| {
        let found = format!("{} is in no mount of this namespace", config.path);
        Failure::new(Code::Missing, found, "check GUARD_NAS_PATH and the volume's mountPath")
    })?;
    Ok((table, mount))
}
