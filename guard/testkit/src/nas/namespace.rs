//! Mount namespaces for the calling thread.

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;

/// Gives the calling thread a mount namespace that sends nothing to the machine's.
pub(super) fn private_mounts() -> Result<(), Errno> {
    unshare_mounts()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

/// `unshare(CLONE_NEWNS)`, for the calling thread alone.
#[expect(deprecated, reason = "deprecated because CLONE_FILES is unsound, and only unsafe code may call its successor")]
pub(super) fn unshare_mounts() -> Result<(), Errno> {
    rustix::thread::unshare(UnshareFlags::NEWNS)
}
