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
            let owner = fs::fstat(directory).ok().map(|facts| (facts.st_uid, facts.st_gid));
            Failure::new(Code::NotWritable, found, permission_fix((user, group), owner))
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

/// What to do when `user` may not use a directory of `owner`. A check by hand runs as root, which NFS servers map to nobody (root squash): then
/// nothing is wrong with the NAS, and a change of the owner would take the library away from Immich.
pub(super) fn permission_fix(user: (u32, u32), owner: Option<(u32, u32)>) -> String {
    match (user, owner) {
        ((0, _), Some((uid, gid))) if uid != 0 => format!(
            "the NAS maps root to another user (root squash), which is right. Run this as the owner, whom Immich runs as: \
             setpriv --reuid={uid} --regid={gid} --clear-groups guard nas ... Do not change the owner"
        ),
        ((0, _), _) => "the NAS maps root to another user (root squash). Run this as the user that Immich runs as, for example: \
                        setpriv --reuid=1000 --regid=1000 --clear-groups guard nas ..., and give the directory to that user on the NAS"
            .to_owned(),
        ((user, group), _) => format!(
            "on the NAS: chown {user}:{group} that directory if this is the user that Immich runs as (runAsUser), or map this user in \
             its export"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::permission_fix;

    #[test]
    fn a_check_by_hand_as_root_is_never_told_to_take_the_library_away_from_immich() {
        let fix = permission_fix((0, 0), Some((1000, 1001)));
        assert!(fix.contains("--reuid=1000 --regid=1001") && fix.contains("root squash") && !fix.contains("chown"), "{fix}");
        assert!(!permission_fix((0, 0), Some((0, 0))).contains("chown 0"));
        assert!(permission_fix((1000, 1000), Some((0, 0))).contains("chown 1000:1000"));
    }
}
