//! From an errno of the file system to the failure that is reported.

use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::io::Errno;

use super::failure::{Code, Failure};

/// The failure of a write, by its errno.
pub(super) fn write_failure(error: Errno, directory: &OwnedFd, path: &str) -> Failure {
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
        other => failure(other, path, "written to"),
    }
}

/// Any other failure, by its errno. Errors of a dead mount get a code of their own: the set of Kubernetes' `IsCorruptedMnt`, without
/// the permission errors.
pub(super) fn failure(error: Errno, path: &str, action: &str) -> Failure {
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
