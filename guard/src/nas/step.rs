//! The child process: one check of the file system, step by step; each step is announced on stdout before it begins.
//!
//! It is this binary again, in the same mount namespace, so that the process that hangs is never the one that must report. Protocol:
//! a line `step NAME` before each step, then one line `done JSON`.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::errno::{failure, permission_fix};
use super::failure::{Code, Failure};
use super::probe_file;
use super::sentinel::{self, Sentinel};
use crate::config::units::size_in_words;

/// The pause between two attempts to take the turn.
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// What the child process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Checks that there is a directory. Triggers an automount as well.
    Exists {
        /// The path.
        path: String,
    },
    /// All of stage 2.
    Check {
        /// The path.
        path: String,
        /// The mount that stage 1 checked.
        mount_id: u64,
        /// The id that the sentinel must have; none = no sentinel is needed.
        id: Option<String>,
        /// The least free space, in bytes.
        min_free: u64,
        /// Whether to write.
        write: bool,
    },
    /// Writes the sentinel, unless there is one.
    Init {
        /// The path.
        path: String,
        /// The mount that stage 1 checked.
        mount_id: u64,
        /// The sentinel to write.
        sentinel: Sentinel,
        /// Whether another id may be overwritten.
        force: bool,
    },
}

/// The result of a task: the sentinel, where the task reads one.
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
        Task::Check { path, mount_id, id, min_free, write } => {
            let _turn = take_turn(*mount_id);
            let directory = open_on(path, *mount_id)?;
            space(&directory, path, *min_free)?;
            if let Some(id) = id {
                say("step sentinel");
                sentinel::check(&directory, path, id)?;
            }
            if *write {
                say("step write");
                probe_file::remove_leftovers(&directory);
                probe_file::check(&directory, path, |step| say(&format!("step {step}")))?;
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

/// Waits until no other check of this mount is running, also of another process: the kubelet starts a probe every few seconds, and each
/// of them would leave one more stuck process behind. The lock is the name of an abstract socket (unix(7)): it needs no file, and is
/// released when its holder ends. Where no such name can be bound, checks run without the lock.
fn take_turn(mount_id: u64) -> Option<UnixListener> {
    say("step turn");
    let name = SocketAddr::from_abstract_name(format!("guard-nas-look-{mount_id}")).ok()?;
    loop {
        match UnixListener::bind_addr(&name) {
            Ok(turn) => return Some(turn),
            // Any process on the node can take a name. Only a holder of this user is waited for, until the parent's deadline for this step.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_held_by_another_user(&name) => return None,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(TURN_PAUSE),
            Err(_) => return None,
        }
    }
}

/// Whether the socket of this name belongs to a process of another user (`SO_PEERCRED`, unix(7)).
fn is_held_by_another_user(name: &SocketAddr) -> bool {
    let holder = UnixStream::connect_addr(name).ok().and_then(|stream| rustix::net::sockopt::socket_peercred(stream).ok());
    holder.is_some_and(|holder| holder.uid != rustix::process::geteuid())
}

/// Opens the directory and checks that it is on the mount that stage 1 checked.
fn open_on(path: &str, mount_id: u64) -> Result<OwnedFd, Failure> {
    let directory = open(path)?;
    // Linux 5.8 and newer say which mount a descriptor is on; older ones leave the field out, and qemu-user 7 leaves a zero in it, which is the
    // id of no mount but the kernel's first.
    let known = fs::statx(&directory, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID);
    if let Ok(facts) = known
        && facts.stx_mask & StatxFlags::MNT_ID.bits() != 0
        && facts.stx_mnt_id != 0
        && facts.stx_mnt_id != mount_id
    {
        let found = format!("{path} was mounted again during the check");
        return Err(Failure::new(Code::NotMounted, found, "nothing: the next check decides"));
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
            Failure::new(
                Code::NotWritable,
                format!("user {user}:{group} may not look into {path}"),
                permission_fix((user, group), fs::stat(path).ok().map(|facts| (facts.st_uid, facts.st_gid))),
            )
        }
        other => failure(other, path, "opened"),
    })
}

fn space(directory: &OwnedFd, path: &str, min_free: u64) -> Result<(), Failure> {
    say("step statfs");
    let facts = fs::fstatfs(directory).map_err(|error| failure(error, path, "asked for its free space"))?;
    let block = u64::try_from(if facts.f_frsize > 0 { facts.f_frsize } else { facts.f_bsize }).unwrap_or(0);
    let free = facts.f_bavail.saturating_mul(block);
    // Some network file systems do not know their size and say 0 (rclone, some FUSE servers): unknown is not full.
    let is_known = facts.f_blocks > 0;
    if is_known && free < min_free {
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

fn say(line: &str) {
    // The parent is the only reader; where it is gone, nobody is left to tell.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
