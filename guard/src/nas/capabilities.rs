//! What Immich does to a share later than at its start, tried once before: directories, long names, names beyond ASCII, renames, times, and
//! files above 4 GiB. A share that refuses one of them would otherwise fail in the middle of an upload.

use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::failure::{Code, Failure};

/// The name of the last step.
pub(super) const LARGE_FILE: &str = "large-file";
/// The size that a file of 4 GiB and one byte has, which FAT32 and some old servers cannot store.
const LARGE_BYTES: u64 = (4 << 30) + 1;
/// The longest file name of Linux, in bytes (`NAME_MAX`). Immich's storage template keeps the names that phones and cameras give.
const NAME_BYTES: usize = 255;
/// A time with a fraction, as photos have it: 2021-03-04 05:06:07.
const TIME: Timespec = Timespec { tv_sec: 1_614_834_367, tv_nsec: 0 };

/// Tries each operation inside a new directory `base` below `directory`, and removes what it made. `announce` is called with the name of each
/// step before it.
pub(super) fn check(directory: &OwnedFd, path: &str, base: &str, announce: impl Fn(&str)) -> Result<(), Failure> {
    announce("mkdir");
    fs::mkdirat(directory, base, Mode::RWXU).map_err(|error| unsuitable(path, "make a directory", error))?;
    let tried = try_in(directory, path, base, announce);
    remove(directory, base);
    tried
}

fn try_in(directory: &OwnedFd, path: &str, base: &str, announce: impl Fn(&str)) -> Result<(), Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside =
        fs::openat(directory, base, flags, Mode::empty()).map_err(|error| unsuitable(path, "open a new directory", error))?;
    let create = |name: &str| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&inside, name, flags, Mode::RUSR | Mode::WUSR)
    };
    announce("name");
    let long = "x".repeat(NAME_BYTES);
    drop(create(&long).map_err(|error| unsuitable(path, "store a file name of 255 bytes", error))?);
    let letters = "Größe-写真-фото.jpg";
    let file = create(letters).map_err(|error| unsuitable(path, "store a file name with letters beyond ASCII", error))?;
    announce("rename");
    fs::renameat(&inside, &long, directory, format!("{base}.moved"))
        .and_then(|()| fs::renameat(directory, format!("{base}.moved"), &inside, &long))
        .map_err(|error| unsuitable(path, "rename a file into another directory", error))?;
    announce("times");
    let times = Timestamps { last_access: TIME, last_modification: TIME };
    fs::utimensat(&inside, letters, &times, AtFlags::empty())
        .map_err(|error| unsuitable(path, "set the time of a file", error))?;
    announce(LARGE_FILE);
    fs::ftruncate(&file, LARGE_BYTES).map_err(|error| unsuitable(path, "store a file above 4 GiB", error))?;
    match fs::fstat(&file).map(|facts| u64::try_from(facts.st_size).unwrap_or(0)) {
        Ok(LARGE_BYTES) => Ok(()),
        Ok(_) => Err(unsuitable(path, "store a file above 4 GiB", Errno::FBIG)),
        Err(error) => Err(unsuitable(path, "store a file above 4 GiB", error)),
    }
}

/// Removes the directory and what is in it. Whatever cannot be removed is removed by a later check.
pub(super) fn remove(directory: &OwnedFd, base: &str) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(inside) = fs::openat(directory, base, flags, Mode::empty())
        && let Ok(entries) = fs::Dir::read_from(&inside)
    {
        for entry in entries.flatten() {
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                let _ = fs::unlinkat(&inside, entry.file_name(), AtFlags::empty());
            }
        }
    }
    let _ = fs::unlinkat(directory, format!("{base}.moved"), AtFlags::empty());
    let _ = fs::unlinkat(directory, base, AtFlags::REMOVEDIR);
}

fn unsuitable(path: &str, what: &str, error: Errno) -> Failure {
    match error {
        Errno::STALE | Errno::NOTCONN | Errno::IO | Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::ACCESS => {
            super::errno::failure(error, path, "used")
        }
        _ => Failure::new(
            Code::Io,
            format!("{path} cannot {what}: {error}"),
            "use a share whose server stores files as Linux does (NFS, or SMB on ext4, xfs, btrfs or zfs; not FAT32)",
        ),
    }
}
