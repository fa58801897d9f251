//! The sentinel `.guard-nas-id`: a file that identifies the NAS. The operator writes it once, on the real NAS. Nothing else writes it:
//! a marker that each start of a program writes again proves nothing.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::errno::{failure, write_failure};
use super::failure::{Code, Failure};
use super::probe_file;
use crate::random;

/// Its name.
pub const NAME: &str = ".guard-nas-id";
/// The version of the format.
pub const VERSION: u32 = 1;
/// The most that is read of it, in bytes.
const MAX_BYTES: u64 = 4096;

/// Its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// [`VERSION`].
    pub v: u32,
    /// The id that `GUARD_NAS_ID` wants.
    pub id: String,
    /// What a person calls this share.
    pub label: String,
}

/// Checks that the directory has a sentinel with this id.
pub(super) fn check(directory: &OwnedFd, path: &str, id: &str) -> Result<(), Failure> {
    let other = |found: String| {
        Failure::new(Code::SentinelOther, found, "mount the right NAS; if this is the right one, correct GUARD_NAS_ID")
    };
    match read(directory, path)? {
        Content::Absent => {
            let found = format!("{path}/{NAME} is not there, wanted id {id}");
            Err(Failure::new(Code::SentinelMissing, found, "if this is the right NAS: run `guard nas init` on it once"))
        }
        Content::Unreadable(why) => Err(other(format!("{path}/{NAME} is {why}, wanted id {id}"))),
        Content::Sentinel(found) if found.v != VERSION => {
            Err(other(format!("{path}/{NAME} is of version {}, wanted {VERSION}", found.v)))
        }
        Content::Sentinel(found) if found.id == id => Ok(()),
        Content::Sentinel(found) => Err(other(format!("{path} is NAS {} ({}), wanted {id}", found.id, found.label))),
    }
}

/// Writes `sentinel`, unless there is one already; gives what is there afterwards.
pub(super) fn write_once(directory: &OwnedFd, path: &str, sentinel: &Sentinel, force: bool) -> Result<Sentinel, Failure> {
    let refuse = |found: String| {
        Err(Failure::new(
            Code::SentinelOther,
            found,
            "leave it; or, if you are sure that this share shall be another one now, use --force",
        ))
    };
    match read(directory, path)? {
        Content::Sentinel(found) if !force && (sentinel.id.is_empty() || found.id == sentinel.id) => return Ok(found),
        Content::Sentinel(found) if !force => return refuse(format!("{path} is already NAS {} ({})", found.id, found.label)),
        Content::Unreadable(why) if !force => return refuse(format!("{path}/{NAME} is already there, and is {why}")),
        _ => {}
    }
    let sentinel = Sentinel { id: if sentinel.id.is_empty() { new_id()? } else { sentinel.id.clone() }, ..sentinel.clone() };
    let written = |error| write_failure(error, directory, path);
    let temporary = format!("{}init.{}", probe_file::PREFIX, std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(directory, &temporary, flags, Mode::from(0o644)).map_err(written)?);
    let placed = (|| {
        let json = serde_json::to_string(&sentinel).map_err(|_| Errno::INVAL)?;
        let io = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        // Whatever the umask took away: Immich's user reads it. Some network file systems have no modes, and need none.
        let _ = fs::fchmod(&file, Mode::from(0o644));
        file.write_all(format!("{json}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        fs::renameat(directory, &temporary, directory, NAME)?;
        // Not every network file system can; the file itself was synced.
        let _ = fs::fsync(directory);
        Ok(())
    })();
    if placed.is_err() {
        let _ = fs::unlinkat(directory, &temporary, AtFlags::empty());
    }
    placed.map_err(written)?;
    Ok(sentinel)
}

enum Content {
    Absent,
    Sentinel(Sentinel),
    Unreadable(&'static str),
}

/// Reads it, following nothing out of the directory. Only a definite "not there" counts as absent.
fn read(directory: &OwnedFd, path: &str) -> Result<Content, Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let opened = match fs::openat2(directory, NAME, flags, Mode::empty(), beneath) {
        // Linux before 5.6, or a seccomp filter that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => fs::openat(directory, NAME, flags, Mode::empty()),
        other => other,
    };
    let mut text = String::new();
    match opened {
        Err(Errno::NOENT) => return Ok(Content::Absent),
        Err(Errno::LOOP | Errno::XDEV) => return Ok(Content::Unreadable("a link or a mount, which is never followed")),
        Err(error) => return Err(failure(error, &format!("{path}/{NAME}"), "opened")),
        Ok(file) => match File::from(file).take(MAX_BYTES).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(Content::Unreadable("not text")),
            Err(error) => {
                return Err(failure(Errno::from_io_error(&error).unwrap_or(Errno::IO), &format!("{path}/{NAME}"), "read"));
            }
        },
    }
    Ok(serde_json::from_str(&text).map_or(Content::Unreadable("not what `guard nas init` writes"), Content::Sentinel))
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> Result<String, Failure> {
    let mut bytes: [u8; 16] = random::bytes().map_err(|error| Failure::new(Code::Io, error.to_string(), "try again"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let (a, b, c) = (number >> 96, number >> 80 & 0xffff, number >> 64 & 0xffff);
    Ok(format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", number >> 48 & 0xffff, number & 0xffff_ffff_ffff))
}
