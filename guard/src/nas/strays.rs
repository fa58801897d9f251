//! `guard nas strays`: files on the node's own disk below the mount point of the NAS. They were written while the NAS was not mounted, and nobody
//! sees them while it is.
//!
//! It only reads. A view of the disk without what is mounted on it is made for this process alone (`open_tree`(2), Linux 5.2), and is gone with it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::check::check;
use super::config::NasConfig;
use super::mountinfo::MountTable;
use super::probe::Prober;
use super::report::Reporter;
use crate::config::units::size_in_words;

/// The files that are listed; more are counted.
const MAX_LISTED: usize = 1000;
/// How deep folders are followed. Immich's own are four deep.
const MAX_DEPTH: usize = 32;

/// What the NAS has under the name of a stray file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnNas {
    /// The same bytes.
    Same,
    /// A file with other bytes.
    Another,
    /// Nothing.
    Nothing,
    /// It was not looked at.
    Unknown,
}

struct Stray {
    /// Its path below the mount point.
    path: PathBuf,
    bytes: u64,
    on_nas: OnNas,
}

/// Counts the files on a terminal, once a second: large files take long to compare.
struct Progress {
    is_terminal: bool,
    shown: Instant,
    has_text: bool,
}

impl Progress {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), shown: Instant::now(), has_text: false }
    }

    fn show(&mut self, files: usize) {
        if self.is_terminal && self.shown.elapsed() >= Duration::from_secs(1) {
            eprint!("\r{files} files compared");
            (self.shown, self.has_text) = (Instant::now(), true);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.has_text {
            // Back to the start of the line, and delete it.
            eprint!("\r\u{1b}[K");
        }
    }
}

/// Lists the files. Exit code 0: there are none; 1: there are some; 2: they could not be looked at.
pub fn run(config: &NasConfig, reporter: &mut Reporter) -> ExitCode {
    match list(config, reporter) {
        Ok(has_none) => ExitCode::from(u8::from(!has_none)),
        Err(error) => {
            eprintln!("guard nas strays: {error}");
            ExitCode::from(2)
        }
    }
}

fn list(config: &NasConfig, reporter: &mut Reporter) -> Result<bool, String> {
    let table = MountTable::read().map_err(|error| format!("/proc/self/mountinfo cannot be read: {error}"))?;
    let mount = table.covering(&config.path).ok_or_else(|| format!("{} is in no mount", config.path))?;
    let is_nas = config.check_mount(&table, mount).is_ok();
    let (point, directory, copy) = if is_nas {
        let below = table
            .parent_of(mount)
            .ok_or_else(|| format!("what {} is mounted on is not in the mount table", mount.mount_point))?;
        if below.mount_point == mount.mount_point {
            return Err(format!("{} is mounted twice: run this on the node, not in a container", mount.mount_point));
        }
        let relative = mount.mount_point.strip_prefix(&below.mount_point).unwrap_or(&mount.mount_point).trim_start_matches('/');
        let copy = format!(
            "sudo mkdir -p /run/guard-strays && sudo mount --bind {} /run/guard-strays && sudo cp -an /run/guard-strays/{relative}/. {}/; \
             sudo umount /run/guard-strays",
            below.mount_point, mount.mount_point
        );
        (mount.mount_point.clone(), open_below(&below.mount_point, relative)?, copy)
    } else {
        // Nothing is mounted there: the files are seen as they are.
        let opened = fs::openat(CWD, config.path.as_str(), directory_flags(), Mode::empty());
        let directory = opened.map_err(|error| format!("{} cannot be opened: {error}", config.path))?;
        (config.path.clone(), directory, format!("mount the NAS at {} first, then run this again", config.path))
    };
    // A NAS that hangs must not hang this process: it is asked by a child process first.
    let answers = is_nas && check(config, &mut Prober::default(), reporter, false).failure.is_none();
    let mut strays = Vec::new();
    let mut progress = Progress::new();
    walk(&directory, Path::new(""), 0, &mut |path, stray| {
        progress.show(strays.len());
        let on_nas = if answers { compare(stray, &Path::new(&point).join(path)) } else { OnNas::Unknown };
        strays.push(Stray {
            path: path.to_owned(),
            bytes: fs::fstat(stray).map_or(0, |facts| u64::try_from(facts.st_size).unwrap_or(0)),
            on_nas,
        });
    })
    .map_err(|error| format!("the disk below {point} cannot be read: {error}"))?;
    drop(progress);
    print(&point, &strays, answers, &copy);
    Ok(strays.is_empty())
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens the directory that a mount covers.
fn open_below(below: &str, relative: &str) -> Result<OwnedFd, String> {
    let view =
        open_tree(CWD, below, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).map_err(
            |error| match error {
                Errno::PERM | Errno::ACCESS => "run this as root on the node: only root may look below a mount".to_owned(),
                Errno::NOSYS => "Linux 5.2 or newer is needed to look below a mount".to_owned(),
                error => format!("{below}: {error}"),
            },
        )?;
    fs::openat(&view, relative, directory_flags(), Mode::empty()).map_err(|error| format!("below {below}, {relative}: {error}"))
}

/// Calls `seen` with every file below, without following a link.
fn walk(directory: &OwnedFd, above: &Path, depth: usize, seen: &mut dyn FnMut(&Path, &File)) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = above.join(String::from_utf8_lossy(name.to_bytes()).as_ref());
        let kind = FileType::from_raw_mode(fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        if kind == FileType::Directory && depth < MAX_DEPTH {
            walk(&fs::openat(directory, name, directory_flags(), Mode::empty())?, &path, depth + 1, seen)?;
        } else if kind == FileType::RegularFile {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            seen(&path, &File::from(fs::openat(directory, name, flags, Mode::empty())?));
        }
    }
    Ok(())
}

fn compare(stray: &File, there: &Path) -> OnNas {
    let other = match File::open(there) {
        Ok(other) => other,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return OnNas::Nothing,
        Err(_) => return OnNas::Unknown,
    };
    match is_same(stray, &other) {
        Ok(true) => OnNas::Same,
        Ok(false) => OnNas::Another,
        Err(_) => OnNas::Unknown,
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (io::BufReader::with_capacity(1 << 20, one), io::BufReader::with_capacity(1 << 20, other));
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

fn print(point: &str, strays: &[Stray], answers: bool, copy: &str) {
    if strays.is_empty() {
        println!("no file on the node's disk below {point}");
        return;
    }
    for stray in strays.iter().take(MAX_LISTED) {
        let on_nas = match stray.on_nas {
            OnNas::Same => "on the NAS too",
            OnNas::Another => "ANOTHER FILE of this name is on the NAS",
            OnNas::Nothing => "NOT on the NAS",
            OnNas::Unknown => "not compared",
        };
        println!("{:>12}  {on_nas:14}  {}", size_in_words(stray.bytes), stray.path.display());
    }
    if strays.len() > MAX_LISTED {
        println!("and {} more", strays.len() - MAX_LISTED);
    }
    let bytes = strays.iter().map(|stray| stray.bytes).sum();
    println!("{} files, {} on the node's disk below {point}", strays.len(), size_in_words(bytes));
    let is_needed = strays.iter().any(|stray| stray.on_nas != OnNas::Same);
    if !answers {
        println!("the NAS was not compared: it is not mounted, or does not answer\n{copy}");
    } else if is_needed {
        println!("copy what is missing (nothing is overwritten), then look again:\n  {copy}");
    } else {
        println!("all of them are on the NAS: nothing has to be copied");
    }
}
