//! The configuration of `guard nas`, and the rules of stage 1, by which it checks a mount.

use std::path::{Component, Path};
use std::time::Duration;

use clap::Args;

use super::failure::{Code, Failure};
use super::mountinfo::{Mount, MountTable};
use crate::config::units::{read_duration, read_positive_duration, read_size};
use crate::config::{Problems, Reader, given};

/// The default of `GUARD_NAS_FSTYPES`: the file-system types of network storage.
pub const DEFAULT_FSTYPES: &str = "nfs,nfs4,cifs,smb3,ceph,9p,virtiofs,zfs,fuse,fuse.*";
/// The default of `GUARD_NAS_WAIT` for `wait` and `exec`.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(600);
/// Files that the kubelet mounts into each container from the node's own disk: their device is that disk.
const NODE_DISK: [&str; 3] = ["/etc/hosts", "/dev/termination-log", "/etc/hostname"];
/// File systems of a disk in or at the node: allowed only when the operator names them, and then only with the id of the sentinel.
const LOCAL: [&str; 12] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "exfat", "ntfs3", "tmpfs", "ramfs", "overlay"];
/// Network file systems that a node's own disk may have as well (a root on ZFS, a virtual machine's shared folder): they prove nothing
/// without an id or a source.
const AMBIGUOUS: [&str; 6] = ["zfs", "virtiofs", "9p", "ceph", "fuse", "fuse.*"];

/// The arguments of `guard nas`, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct NasArgs {
    /// The path that must be on the NAS [default: /data]
    #[arg(long, global = true, env = "GUARD_NAS_PATH", value_name = "PATH")]
    pub path: Option<String>,
    /// Allowed file-system types, comma-separated, with * [default: nfs,nfs4,cifs,smb3,ceph,9p,virtiofs,zfs,fuse,fuse.*]
    #[arg(long, global = true, env = "GUARD_NAS_FSTYPES", value_name = "LIST")]
    pub fstypes: Option<String>,
    /// Allowed mount sources, comma-separated, with * [default: any]
    #[arg(long, global = true, env = "GUARD_NAS_SOURCE", value_name = "LIST")]
    pub source: Option<String>,
    /// The id that the sentinel .guard-nas-id must carry [default: no sentinel needed]
    #[arg(long, global = true, env = "GUARD_NAS_ID", value_name = "ID")]
    pub id: Option<String>,
    /// Refuse below this much free space [default: 1GiB]
    #[arg(long, global = true, env = "GUARD_NAS_MIN_FREE", value_name = "SIZE")]
    pub min_free: Option<String>,
    /// How long a step may take before the mount counts as hung [default: 5s]
    #[arg(long, global = true, env = "GUARD_NAS_TIMEOUT", value_name = "TIME")]
    pub timeout: Option<String>,
    /// How long to wait until the NAS is mounted [default: 10m for wait and exec, else 0s]
    #[arg(long, global = true, env = "GUARD_NAS_WAIT", value_name = "TIME")]
    pub wait: Option<String>,
    /// The file for the termination message [default: /dev/termination-log where it exists]
    #[arg(long, global = true, env = "GUARD_NAS_TERMINATION_LOG", value_name = "FILE")]
    pub termination_log: Option<String>,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct NasConfig {
    /// The path, absolute and plain.
    pub path: String,
    /// Allowed kinds of file system, as patterns.
    pub fstypes: Vec<String>,
    /// Allowed sources, as patterns; none = any.
    pub sources: Vec<String>,
    /// The sentinel's id.
    pub id: Option<String>,
    /// Whether a local disk needs the id. False for `init`, which writes the sentinel.
    pub needs_id: bool,
    /// The least free space, in bytes.
    pub min_free: u64,
    /// The deadline of one step.
    pub step_timeout: Duration,
    /// How long to wait.
    pub wait: Duration,
    /// The file for the termination message; none = the default file, if it exists.
    pub termination_log: Option<String>,
}

impl NasArgs {
    /// Checks everything. The error lists every problem.
    pub fn check(&self, default_wait: Duration) -> Result<NasConfig, Problems> {
        let mut r = Reader::default();
        let list =
            |text: &str| text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let config = NasConfig {
            path: r.value("GUARD_NAS_PATH", given(self.path.as_deref()), "/data".to_owned(), read_path),
            fstypes: list(given(self.fstypes.as_deref()).unwrap_or(DEFAULT_FSTYPES)),
            sources: given(self.source.as_deref()).map(list).unwrap_or_default(),
            id: r.value("GUARD_NAS_ID", given(self.id.as_deref()), None, |text| read_id(text).map(Some)),
            needs_id: true,
            min_free: r.value("GUARD_NAS_MIN_FREE", given(self.min_free.as_deref()), 1 << 30, read_size),
            step_timeout: r.value(
                "GUARD_NAS_TIMEOUT",
                given(self.timeout.as_deref()),
                Duration::from_secs(5),
                read_positive_duration,
            ),
            wait: r.value("GUARD_NAS_WAIT", given(self.wait.as_deref()), default_wait, read_duration),
            termination_log: given(self.termination_log.as_deref()).map(str::to_owned),
        };
        r.finish(config)
    }
}

impl NasConfig {
    /// Stage 1: checks the mount that the path is on.
    pub fn check_mount(&self, table: &MountTable, mount: &Mount) -> Result<(), Failure> {
        let Mount { fstype, source, .. } = mount;
        let types = self.fstypes.join(", ");
        let wanted = if self.sources.is_empty() { types } else { format!("{types} of {}", self.sources.join(", ")) };
        let not_mounted = |why: &str| {
            let found = format!("{} is {fstype} {source}{why}, wanted {wanted}", self.path);
            Failure::new(Code::NotMounted, found, format!("mount the NAS on the node, then {}", self.recovery(mount)))
        };
        if fstype == "autofs" {
            return Err(not_mounted(" and was not triggered"));
        }
        let is_local = LOCAL.contains(&fstype.as_str());
        if !self.fstypes.iter().any(|pattern| matches(pattern, fstype)) {
            return Err(not_mounted(if is_local {
                " (a local disk: allowed only by name and id, docs/nas.md#local-disks)"
            } else {
                ""
            }));
        }
        let is_node_disk = |point: &&&str| table.at(point).is_some_and(|node| node.device == mount.device);
        if let Some(point) = NODE_DISK.iter().find(is_node_disk) {
            return Err(not_mounted(&format!(", the same device as {point}: the node's own")));
        }
        let is_ambiguous = AMBIGUOUS.iter().any(|pattern| matches(pattern, fstype));
        let has_source = self.sources.iter().any(|source| !source.trim_matches('*').is_empty());
        if self.id.is_none() && (is_local && self.needs_id || is_ambiguous && !has_source) {
            let fix = "run `guard nas init` on the right one once, and set GUARD_NAS_ID to the id that it prints";
            let also = if is_local { "" } else { ", or GUARD_NAS_SOURCE" };
            let found =
                format!("{} is {fstype} {source}, which may be the node's own disk too: wanted GUARD_NAS_ID{also}", self.path);
            return Err(Failure::new(Code::NotMounted, found, fix));
        }
        if !self.sources.is_empty() && !self.sources.iter().any(|pattern| matches(pattern, source)) {
            let found = format!("{} is on {source}, wanted {}", self.path, self.sources.join(", "));
            return Err(Failure::new(Code::WrongSource, found, "mount the right share, or correct GUARD_NAS_SOURCE"));
        }
        if mount.is_read_only() {
            let found = format!("{} ({fstype} {source}) is mounted read-only", self.path);
            return Err(Failure::new(Code::ReadOnly, found, "mount it with rw on the node, and export it so on the NAS"));
        }
        Ok(())
    }

    fn recovery(&self, mount: &Mount) -> &'static str {
        if mount.mount_point == self.path && !mount.receives_mounts() {
            "this container restarts by itself and sees it (a private bind never sees a later mount)"
        } else {
            "it goes on by itself"
        }
    }
}

fn read_path(text: &str) -> Result<String, String> {
    let wanted = || "an absolute path without . or .., such as /data".to_owned();
    let plain = Path::new(text).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let trimmed = text.trim_end_matches('/');
    let doubtful = text.contains("//") || text.contains("/./") || text.ends_with("/.");
    if text.starts_with('/') && plain && !doubtful && !trimmed.is_empty() { Ok(trimmed.to_owned()) } else { Err(wanted()) }
}

fn read_id(text: &str) -> Result<String, String> {
    if text.starts_with("00000000-0000-") {
        return Err("the id that `guard nas init` printed on your NAS; this is the example's".to_owned());
    }
    let good = text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("the id that `guard nas init` printed".to_owned()) }
}

/// A pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices().map(|(place, _)| place).chain([tail.len()]).any(|place| matches(rest, &tail[place..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("nfs", "nfs"),
            ("fuse.*", "fuse.sshfs"),
            ("nas.lan:/photos*", "nas.lan:/photos/immich"),
            ("*", ""),
            ("*:/p*s", "nas:/photos"),
            ("a*b*c", "aXbYbc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("nfs", "nfs4"), ("fuse.*", "fuse"), ("nas.lan:/photos", "nas.lan:/photos2"), ("*x", "y"), ("", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let some = |text: &str| Some(text.to_owned());
        let args = NasArgs {
            path: some("data/../x"),
            id: some("00000000-0000-4000-8000-000000000000"),
            min_free: some("much"),
            timeout: some("0s"),
            wait: some("long"),
            ..NasArgs::default()
        };
        let problems = args.check(Duration::ZERO).map(|_| ()).unwrap_err();
        let names: Vec<_> = problems.0.iter().map(|problem| problem.variable).collect();
        assert_eq!(names, ["GUARD_NAS_PATH", "GUARD_NAS_ID", "GUARD_NAS_MIN_FREE", "GUARD_NAS_TIMEOUT", "GUARD_NAS_WAIT"]);
    }

    #[test]
    fn a_path_is_absolute_and_plain() {
        assert_eq!(read_path("/data/").as_deref(), Ok("/data"));
        for text in ["data", "/", "", "/a/../b", "/a/./b", "/a//b", "./a"] {
            assert!(read_path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nodes_own_disk_is_not_a_nas_whatever_its_type_says() {
        let config = NasArgs::default().check(Duration::ZERO).unwrap();
        let table = MountTable::parse(
            "1 0 0:1 / / rw - overlay overlay rw\n\
             2 1 0:40 /hosts /etc/hosts rw - nfs4 root.lan:/node rw\n\
             3 1 0:40 /var/x /data rw - nfs4 root.lan:/node rw\n",
        );
        let mount = table.covering("/data").unwrap();
        assert_eq!(config.check_mount(&table, mount).unwrap_err().code, Code::NotMounted);
    }
}
