//! A node: its own mount namespace, a small disk, and a mountpoint for the NAS. Nothing of it is visible to the machine, and nothing
//! stays behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount};

use super::automount::Automount;
use super::container::{Container, Propagation};
use super::fake::FakeNas;
use super::namespace::private_mounts;

/// What this machine lacks for these fakes, in one line; `None` where nothing is lacking.
pub fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root, so no mounts".to_owned());
    }
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
        return Some(format!("no /dev/fuse: {error}"));
    }
    // In a thread of its own: a namespace cannot be left again.
    let attempt = std::thread::spawn(|| {
        private_mounts()?;
        mount("none", std::env::temp_dir(), "tmpfs", MountFlags::empty(), None)
    });
    attempt.join().expect("a thread that did not panic").err().map(|error| format!("no mount namespace: {error}"))
}

/// A node. It moves the thread that makes it into its mount namespace, and threads started from there on belong to it too.
#[derive(Debug)]
pub struct Host {
    top: PathBuf,
    program: PathBuf,
    containers: AtomicU32,
}

impl Host {
    /// A node whose image holds this program as `/image/guard`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("testkit-node-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let top = std::env::temp_dir().join(name);
        fs::create_dir(&top).expect("a new directory");
        private_mounts().expect("a mount namespace");
        let host = Self { top, program: program.into(), containers: AtomicU32::new(0) };
        host.tmpfs(&host.top, "mode=0755");
        for name in ["disk", "bare", "images"] {
            fs::create_dir(host.top.join(name)).expect("a new directory");
        }
        host.tmpfs(&host.disk(), "mode=0755");
        // The disk without what gets mounted on it, to see what is hidden below a mountpoint.
        mount_bind(host.disk(), host.top.join("bare")).expect("a bind mount");
        // As systemd leaves a node: mounts spread to whoever asked for them.
        mount_change(host.disk(), MountPropagationFlags::SHARED).expect("a shared mount");
        fs::create_dir_all(host.point()).expect("a mountpoint");
        host
    }

    fn tmpfs(&self, at: &Path, options: &str) {
        let options = std::ffi::CString::new(options).expect("no NUL");
        mount(self.top.file_name().expect("a name"), at, "tmpfs", MountFlags::empty(), options.as_c_str()).expect("a tmpfs");
    }

    /// The node's disk.
    pub fn disk(&self) -> PathBuf {
        self.top.join("disk")
    }

    /// Where the NAS belongs: an empty directory on the node's disk.
    pub fn point(&self) -> PathBuf {
        self.disk().join("mnt/nas")
    }

    /// The NAS, mounted where it belongs.
    pub fn nas(&self) -> FakeNas {
        FakeNas::mount(&self.point(), "nas.lan:/photos")
    }

    /// An automount point that nothing is ever mounted on.
    pub fn automount(&self, at: &Path) -> Automount {
        Automount::mount(at)
    }

    /// A file system in memory at this place, of this many KiB.
    pub fn small_disk(&self, at: &Path, kib: u32) {
        self.tmpfs(at, &format!("mode=0755,size={kib}k"));
    }

    /// `mount --bind` on the node.
    pub fn bind(&self, from: &Path, to: &Path) {
        mount_bind(from, to).expect("a bind mount");
    }

    /// `mount -o remount,bind,ro` on the node.
    pub fn make_read_only(&self, at: &Path) {
        rustix::mount::mount_remount(at, MountFlags::BIND | MountFlags::RDONLY, "").expect("a remount");
    }

    /// `umount -l` on the node, as often as there is a mount at that place.
    pub fn unmount(&self, at: &Path) {
        unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).expect("something mounted there");
    }

    /// Everything on the node's own disk at or below the NAS's mountpoint, whatever is mounted over it.
    pub fn strays(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.top.join("bare/mnt/nas")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).expect("a directory") {
                let entry = entry.expect("an entry");
                if entry.file_type().expect("a type").is_dir() {
                    left.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found
    }

    /// When a name was last made or removed in the bare mountpoint, be it for a moment.
    pub fn last_stray(&self) -> SystemTime {
        fs::metadata(self.top.join("bare/mnt/nas")).and_then(|facts| facts.modified()).expect("a directory")
    }

    /// A container whose `/data` is this directory of the node, as containerd makes it from a `hostPath`.
    pub fn container(&self, data: &Path, propagation: Propagation) -> Container {
        self.container_while(data, propagation, || ())
    }

    /// The same, and this happens on the node between the two system calls that bind the volume and set its propagation.
    pub fn container_while(&self, data: &Path, propagation: Propagation, bound: impl FnOnce()) -> Container {
        let number = self.containers.fetch_add(1, Ordering::Relaxed);
        let pod = self.disk().join(format!("pods/{number}"));
        fs::create_dir_all(pod.join("guard")).expect("an emptyDir");
        fs::set_permissions(pod.join("guard"), fs::Permissions::from_mode(0o777)).expect("permissions");
        for (file, mode) in [("termination-log", 0o666), ("hosts", 0o644)] {
            fs::write(pod.join(file), "").expect("a file");
            fs::set_permissions(pod.join(file), fs::Permissions::from_mode(mode)).expect("permissions");
        }
        let root = self.top.join(format!("images/{number}"));
        fs::create_dir(&root).expect("a new directory");
        Container::start(root, pod, self.program.clone(), data.to_owned(), propagation, bound)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = unmount(&self.top, UnmountFlags::DETACH);
        drop(fs::remove_dir(&self.top));
    }
}
