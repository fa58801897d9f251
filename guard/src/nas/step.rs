//! The child: one look at the file system, step by step, told on stdout before each step is taken.
//!
//! It is this binary again, in the same mount namespace, so that the process that hangs is never the one that must speak. Protocol:
//! a line `step NAME` before each step, then one line `done JSON`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::sentinel::{self, Sentinel};
use super::{Code, Failure};
use crate::config::units::size_in_words;
use crate::random;

/// How the names of probe files begin. Nothing of Immich begins so.
pub const PROBE_PREFIX: &str = ".guard-nas-probe.";
/// Leftovers of probes that were killed are removed when they are older than this.
const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);
/// How often a look asks whether it is its turn.
const TURN_PAUSE: Duration = Duration::from_millis(10);
/// What is written, in bytes.
const PROBE_BYTES: usize = 4096;

/// What the child is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Is there a directory at all? Triggers an automount, too.
    Exists {
        /// The path.
        path: String,
    },
    /// Everything of stage 2.
    Look {
        /// The path.
        path: String,
        /// The mount that stage 1 judged.
        mount_id: u64,
        /// The sentinel's id, where one is wanted.
        id: Option<String>,
        /// The least free space, in bytes.
        min_free: u64,
        /// Whether to write.
        write: bool,
    },
    /// Write the sentinel, unless one is there.
    Init {
        /// The path.
        path: String,
        /// The mount that stage 1 judged.
        mount_id: u64,
        /// The sentinel to write.
        sentinel: Sentinel,
        /// Whether another id may be overwritten.
        force: bool,
    },
}

/// What the child found.
pub type Found = Result<Option<Sentinel>, Failure>;

/// Runs a task given as JSON.
pub fn run(task: &str) -> ExitCode {
    let Ok(task) = serde_json::from_str::<Task>(task) else {
        eprintln!("guard nas step: this is for guard itself; use `guard nas check`");
        return ExitCode::from(2);
    };
    let found = perform(&task);
    match serde_json::to_string(&found) {
        Ok(json) => say(&format!("done {json}")),
        Err(error) => eprintln!("guard nas step: {error}"),
    }
    ExitCode::SUCCESS
}

fn perform(task: &Task) -> Found {
    match task {
        Task::Exists { path } => open(path).map(|_| None),
        Task::Look { path, mount_id, id, min_free, write } => {
            let _turn = take_turn(*mount_id);
            let directory = open_on(path, *mount_id)?;
            space(&directory, path, *min_free)?;
            if let Some(id) = id {
                say("step sentinel");
                sentinel::check(&directory, path, id)?;
            }
            if *write {
                say("step write");
                leftovers(&directory);
                write_probe(&directory, path)?;
            }
            Ok(None)
        }
        Task::Init { path, mount_id, sentinel, force } => {
            let directory = open_on(path, *mount_id)?;
            say("step init");
            sentinel::write_once(&directory, path, sentinel, *force).map(Some)
        }
    }
}

/// Waits until no other look at this mount is under way, also of another run: the kubelet starts a probe every few seconds, and each of
/// them would leave one more stuck process behind. The turn is a name among abstract sockets (unix(7)): it needs no file, and ends with
/// whoever holds it. Where no such name can be had, there are no turns.
fn take_turn(mount_id: u64) -> Option<UnixDatagram> {
    say("step turn");
    let name = SocketAddr::from_abstract_name(format!("guard-nas-look-{mount_id}")).ok()?;
    loop {
        match UnixDatagram::bind_addr(&name) {
            Ok(turn) => return Some(turn),
            // The parent's deadline for this step ends the wait.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(TURN_PAUSE),
            Err(_) => return None,
        }
    }
}

/// Opens the directory, and makes sure that it is on the mount that was judged.
fn open_on(path: &str, mount_id: u64) -> Result<OwnedFd, Failure> {
    let directory = open(path)?;
    // Linux 5.8 and newer say which mount a descriptor is on; older ones leave the field out.
    let known = fs::statx(&directory, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID);
    if let Ok(facts) = known
        && facts.stx_mask & StatxFlags::MNT_ID.bits() != 0
        && facts.stx_mnt_id != mount_id
    {
        let found = format!("{path} was mounted anew while it was looked at");
        return Err(Failure::new(Code::NotMounted, found, "nothing: the next look decides"));
    }
    Ok(directory)
}

fn open(path: &str) -> Result<OwnedFd, Failure> {
    say("step open");
    // Not O_PATH: an automount point is triggered, and a dead mount says so.
    fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => {
            let found = format!("{path} is not there, or no directory");
            Failure::new(Code::Missing, found, "check the volume's path on the node and its mountPath in the pod")
        }
        Errno::LOOP => {
            let found = format!("{path}: an automount point that cannot be triggered from this container");
            Failure::new(Code::NotMounted, found, "use the automount point itself as hostPath, not its parent")
        }
        Errno::ACCESS => {
            let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let fix =
                format!("on the NAS: let {user}:{group} into that directory (chown, chmod), or map this user in its export");
            Failure::new(Code::NotWritable, format!("user {user}:{group} may not look into {path}"), fix)
        }
        other => errno(other, path, "opened"),
    })
}

fn space(directory: &OwnedFd, path: &str, min_free: u64) -> Result<(), Failure> {
    say("step statfs");
    let facts = fs::fstatfs(directory).map_err(|error| errno(error, path, "asked for its free space"))?;
    let block = u64::try_from(if facts.f_frsize > 0 { facts.f_frsize } else { facts.f_bsize }).unwrap_or(0);
    let free = facts.f_bavail.saturating_mul(block);
    if free < min_free {
        let found = format!("{path} has {} free, wanted {}", size_in_words(free), size_in_words(min_free));
        return Err(Failure::new(Code::NoSpace, found, "make room on the NAS, or lower GUARD_NAS_MIN_FREE"));
    }
    // Some file systems have no fixed number of inodes and say 0.
    if facts.f_files > 0 && facts.f_ffree.saturating_mul(100) < facts.f_files {
        return Err(Failure::new(
            Code::NoSpace,
            format!("{path} has {} of {} inodes free", facts.f_ffree, facts.f_files),
            "make room on the NAS",
        ));
    }
    Ok(())
}

/// Writes, reads back and removes a file: what a permission check alone cannot know of a NAS (root squash, quotas, a lying `access`).
fn write_probe(directory: &OwnedFd, path: &str) -> Result<(), Failure> {
    // Name and content only have to be ours: without randomness the process id still makes them so.
    let random: [u8; 64] = random::bytes().unwrap_or([0; 64]);
    let content: Vec<u8> = random.iter().copied().cycle().take(PROBE_BYTES).collect();
    let name =
        format!("{PROBE_PREFIX}{}.{:02x}{:02x}{:02x}{:02x}", std::process::id(), random[0], random[1], random[2], random[3]);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        fs::openat(directory, &name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| not_written(error, directory, path))?;
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
        fs::unlinkat(directory, &name, AtFlags::empty()).map_err(|error| errno(error, path, "cleaned of the probe file"));
    written.map_err(|error: io::Error| match Errno::from_io_error(&error) {
        Some(number) => not_written(number, directory, path),
        None => Failure::new(Code::Io, format!("{path}: {error}"), "look at the NAS: its disk or its network is faulty"),
    })?;
    removed
}

/// Removes probe files that a killed probe left long ago. Whatever cannot be removed is no reason to refuse.
fn leftovers(directory: &OwnedFd) {
    let Ok(entries) = fs::Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_bytes().starts_with(PROBE_PREFIX.as_bytes()) {
            continue;
        }
        let Ok(facts) = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(facts.st_mtime).unwrap_or(0));
        if SystemTime::now().duration_since(modified).is_ok_and(|age| age > LEFTOVER_AGE) {
            let _ = fs::unlinkat(directory, name, AtFlags::empty());
        }
    }
}

/// A failure to write, by its errno.
pub(super) fn not_written(error: Errno, directory: &OwnedFd, path: &str) -> Failure {
    match error {
        Errno::ACCESS | Errno::PERM => {
            let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let owner = fs::fstat(directory).map_or_else(
                |_| String::new(),
                |facts| format!(", which belongs to {}:{} with mode {:o}", facts.st_uid, facts.st_gid, facts.st_mode & 0o7777),
            );
            let found = format!("user {user}:{group} may not write to {path}{owner}");
            Failure::new(
                Code::NotWritable,
                found,
                format!("on the NAS: chown {user}:{group} that directory, or map this user in its export"),
            )
        }
        Errno::ROFS => Failure::new(Code::ReadOnly, format!("{path} is read-only on the NAS"), "export it with rw"),
        Errno::NOSPC | Errno::DQUOT => Failure::new(Code::NoSpace, format!("{path} is full: {error}"), "make room on the NAS"),
        other => errno(other, path, "written to"),
    }
}

/// Any other failure, by its errno: dead mounts apart (the set of Kubernetes' `IsCorruptedMnt`, permissions excepted).
pub(super) fn errno(error: Errno, path: &str, action: &str) -> Failure {
    let found = format!("{path} cannot be {action}: {error}");
    match error {
        Errno::STALE | Errno::NOTCONN | Errno::IO | Errno::HOSTDOWN | Errno::NODEV | Errno::SHUTDOWN => Failure::new(
            Code::Stale,
            found,
            "the mount is dead: unmount it on the node (umount -l), mount it again, and let this container restart",
        ),
        _ => Failure::new(Code::Io, found, "look at the NAS and at the node's kernel log (dmesg)"),
    }
}

fn say(line: &str) {
    // The parent is the only reader; where it is gone, nobody is left to tell.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
