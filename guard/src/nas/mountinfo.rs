//! The kernel's mount table (`/proc/self/mountinfo`, proc(5)), and the mount that a path is on.
//!
//! No file-system call: this stage cannot hang, whatever the NAS does.

use std::io;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its id.
    pub id: u64,
    /// The mount that it is mounted on.
    pub parent: u64,
    /// `major:minor` of its device.
    pub device: String,
    /// The directory of the file system that is its root.
    pub root: String,
    /// The mount point, as this namespace sees it.
    pub mount_point: String,
    /// Per-mount options.
    pub options: Vec<String>,
    /// `shared:N`, `master:N` and the like.
    pub propagation: Vec<String>,
    /// The file-system type.
    pub fstype: String,
    /// The source.
    pub source: String,
    /// Options of the file system itself.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether writes are refused by the mount or by the file system.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().chain(&self.super_options).any(|option| option == "ro")
    }

    /// Whether mounts and unmounts of another namespace take place here too.
    fn follows_another(&self) -> bool {
        self.propagation.iter().any(|tag| tag.starts_with("master:"))
    }

    /// Whether a mount that the host makes later can appear here.
    pub fn receives_mounts(&self) -> bool {
        self.propagation.iter().any(|tag| tag.starts_with("shared:") || tag.starts_with("master:"))
    }
}

/// All mounts of a namespace.
#[derive(Clone, Debug, Default)]
pub struct MountTable(Vec<Mount>);

impl MountTable {
    /// The table of this process. Read until two readings agree: the kernel gives it in pieces, and a mount made in between may be
    /// missed (fixed for good in Linux 5.8).
    pub fn read() -> io::Result<Self> {
        let mut text = std::fs::read(PATH)?;
        for _ in 0..MAX_READINGS {
            let again = std::fs::read(PATH)?;
            if again == text {
                break;
            }
            text = again;
        }
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// Reads a table; lines that are not mounts are passed over.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(line).collect())
    }

    /// All of them, in the kernel's order.
    pub fn mounts(&self) -> &[Mount] {
        &self.0
    }

    /// The mount that an absolute path is on, by walking down the tree as the kernel does: a mount hides what lies below its mount
    /// point, also other mounts, and the last one stacked on a point is the one that counts.
    pub fn covering(&self, path: &str) -> Option<&Mount> {
        let is_root = |mount: &&Mount| {
            mount.mount_point == "/" && !self.0.iter().any(|other| other.id == mount.parent && other.id != mount.id)
        };
        let mut current = self.0.iter().rfind(is_root)?;
        // A table has no cycles; were there one, it would end here.
        for _ in 0..self.0.len() {
            let next = self
                .0
                .iter()
                .filter(|mount| mount.parent == current.id && mount.id != current.id && is_below(path, &mount.mount_point));
            match next.min_by_key(|mount| mount.mount_point.len()) {
                Some(mount) => current = mount,
                None => break,
            }
        }
        Some(current)
    }

    /// Whether the host can unmount this mount here: it lies on one that follows the host. A trigger of autofs is no danger, it mounts
    /// again. Nothing ever mounts on a container's root from outside.
    pub fn can_vanish(&self, mount: &Mount) -> bool {
        self.parent_of(mount).is_some_and(|below| below.mount_point != "/" && below.fstype != "autofs" && below.follows_another())
    }

    /// The mount that a mount lies on.
    pub fn parent_of(&self, mount: &Mount) -> Option<&Mount> {
        self.0.iter().find(|other| other.id == mount.parent && other.id != mount.id)
    }

    /// The mount at exactly this point, the topmost one.
    pub fn at(&self, point: &str) -> Option<&Mount> {
        self.covering(point).filter(|mount| mount.mount_point == point)
    }
}

const PATH: &str = "/proc/self/mountinfo";
const MAX_READINGS: usize = 10;

/// Whether `path` is `point` or lies below it, component by component.
fn is_below(path: &str, point: &str) -> bool {
    let Some(rest) = path.strip_prefix(point.strip_suffix('/').unwrap_or(point)) else { return false };
    rest.is_empty() || rest.starts_with('/')
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn line(text: &str) -> Option<Mount> {
    let (left, right) = text.split_once(" - ")?;
    let mut left = left.split(' ');
    let (id, parent) = (left.next()?.parse().ok()?, left.next()?.parse().ok()?);
    let (device, root, mount_point) = (left.next()?.to_owned(), unescape(left.next()?), unescape(left.next()?));
    let options = list(left.next()?);
    let propagation = left.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let mut right = right.split(' ');
    let (fstype, source) = (unescape(right.next()?), unescape(right.next()?));
    let super_options = right.next().map(list).unwrap_or_default();
    mount_point.starts_with('/').then_some(Mount {
        id,
        parent,
        device,
        root,
        mount_point,
        options,
        propagation,
        fstype,
        source,
        super_options,
    })
}

fn list(options: &str) -> Vec<String> {
    options.split(',').map(str::to_owned).collect()
}

/// Space, tab, newline and backslash come as `\040`, `\011`, `\012`, `\134`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..] if first == b'\\' => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = more;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
