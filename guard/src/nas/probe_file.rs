//! The file that a check writes, reads back and removes.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::capabilities;
use super::errno::{failure, write_failure};
use super::failure::{Code, Failure};
use crate::random;

/// How the names of probe files begin. No file of Immich begins so.
pub(super) const PREFIX: &str = ".guard-nas-probe.";
/// Files of probes that were killed are removed when they are older than this.
const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);
/// How much is written, in bytes.
const PROBE_BYTES: usize = 4096;

/// Writes, reads back and removes a file. A permission check alone does not see root squash, quotas or a wrong `access` of a NAS.
pub(super) fn check(directory: &OwnedFd, path: &str, announce: impl Fn(&str)) -> Result<(), Failure> {
    // Name and content only have to be ours: without randomness the process id still makes them so.
    let random: [u8; 64] = random::bytes().unwrap_or([0; 64]);
    let content: Vec<u8> = random.iter().copied().cycle().take(PROBE_BYTES).collect();
    let name = format!("{PREFIX}{}.{:02x}{:02x}{:02x}{:02x}", std::process::id(), random[0], random[1], random[2], random[3]);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        fs::openat(directory, &name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| write_failure(error, directory, path))?;
    let written = (|| {
        let mut file = File::from(file);
        file.write_all(&content)?;
        file.sync_all()?;
        drop(file);
        let mut again = Vec::new();
        File::from(fs::openat(directory, &name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
            .read_to_end(&mut again)?;
        if again == content { Ok(()) } else { Err(io::Error::other("what was written was not read back")) }
    })();
    let removed =
        fs::unlinkat(directory, &name, AtFlags::empty()).map_err(|error| failure(error, path, "cleaned of the probe file"));
    written.map_err(|error: io::Error| match Errno::from_io_error(&error) {
        Some(number) => write_failure(number, directory, path),
        None => Failure::new(Code::Io, format!("{path}: {error}"), "look at the NAS: its disk or its network is faulty"),
    })?;
    removed?;
    capabilities::check(directory, path, &format!("{name}.d"), announce)
}

/// Removes probe files that a killed probe left long ago. Whatever cannot be removed is no reason to refuse.
pub(super) fn remove_leftovers(directory: &OwnedFd) {
    let Ok(entries) = fs::Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(facts) = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(facts.st_mtime).unwrap_or(0));
        let is_old = SystemTime::now().duration_since(modified).is_ok_and(|age| age > LEFTOVER_AGE);
        if is_old
            && fs::unlinkat(directory, name, AtFlags::empty()).is_err()
            && let Ok(name) = name.to_str()
        {
            capabilities::remove(directory, name);
        }
    }
}
