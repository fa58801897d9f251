//! A container as far as mounts go: a root file system of its own and one `hostPath` at `/data`.
//!
//! The steps are those of runc: a new namespace, `/` made rslave, the binds, their propagation, `pivot_root`, the old root detached.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change, mount_remount,
    unmount,
};

use super::namespace::unshare_mounts;
use super::run::{Launcher, Task};

/// `mountPropagation` of a `volumeMounts` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// `None`, the default: rprivate.
    Private,
    /// `HostToContainer`: rslave.
    HostToContainer,
}

type Job = Box<dyn FnOnce() + Send>;

/// A container that stands ready: its namespaces live in a thread that starts programs. The namespace ends with the handle and the
/// last program in it.
#[derive(Debug)]
pub struct Container {
    pod: PathBuf,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Container {
    /// `bound` runs outside the container, after its volume was bound and before the propagation of that is set.
    pub(super) fn start(
        root: PathBuf,
        pod: PathBuf,
        program: PathBuf,
        data: PathBuf,
        propagation: Propagation,
        bound: impl FnOnce(),
    ) -> Self {
        let (jobs, queue) = channel::<Job>();
        let (ready, is_ready) = channel();
        let meeting = Arc::new(Barrier::new(2));
        let (volume, bind_done) = (pod.clone(), Arc::clone(&meeting));
        let thread = std::thread::spawn(move || {
            let made = enter(&root, &volume, &program, &data, propagation, &bind_done);
            let failed = made.is_err();
            drop(ready.send(made));
            if !failed {
                for job in queue {
                    job();
                }
            }
        });
        meeting.wait();
        bound();
        meeting.wait();
        is_ready.recv().expect("a thread that did not panic").expect("a container's mounts");
        Self { pod, jobs: Some(jobs), thread: Some(thread) }
    }

    /// `/image/guard` with these arguments.
    pub fn guard(&self, args: &[&str]) -> Task<'_> {
        Task::new(self, "/image/guard", args)
    }

    /// `sh -c` with this script.
    pub fn sh(&self, script: &str) -> Task<'_> {
        Task::new(self, "/bin/sh", &["-c", script])
    }

    /// Any program.
    pub fn program(&self, path: &str, args: &[&str]) -> Task<'_> {
        Task::new(self, path, args)
    }

    /// The pod's directory on the node's disk: `guard/` is its emptyDir, at `/guard` in the container.
    pub fn pod(&self) -> &Path {
        &self.pod
    }

    /// What kubelet would read after the container's end.
    pub fn termination_log(&self) -> String {
        fs::read_to_string(self.pod.join("termination-log")).expect("a termination log")
    }
}

impl Launcher for Container {
    // From the thread that lives in the container.
    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let (answer, child) = channel();
        let job = Box::new(move || drop(answer.send(command.spawn())));
        self.jobs.as_ref().expect("until dropped").send(job).expect("a container that runs");
        child.recv().expect("an answer")
    }

    fn directory(&self) -> &Path {
        &self.pod
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.jobs.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Moves the calling thread into a new container.
fn enter(root: &Path, pod: &Path, program: &Path, data: &Path, propagation: Propagation, bind_done: &Barrier) -> io::Result<()> {
    unshare_mounts()?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount("overlay", root, "tmpfs", MountFlags::NODEV, c"mode=0755")?;
    for name in ["proc", "dev", "etc", "tmp", "image", "guard", "data"] {
        fs::create_dir(root.join(name))?;
    }
    for name in ["usr", "bin", "sbin", "lib", "lib64"] {
        let (from, to) = (Path::new("/").join(name), root.join(name));
        if let Ok(target) = fs::read_link(&from) {
            symlink(target, to)?;
        } else if from.is_dir() {
            fs::create_dir(&to)?;
            mount_bind(&from, &to)?;
            mount_remount(&to, MountFlags::BIND | MountFlags::RDONLY, "")?;
        }
    }
    let bind_file = |from: &Path, to: &str| -> io::Result<()> {
        fs::write(root.join(to), "")?;
        Ok(mount_bind(from, root.join(to))?)
    };
    for device in ["null", "zero", "urandom"] {
        bind_file(&Path::new("/dev").join(device), &format!("dev/{device}"))?;
    }
    bind_file(program, "image/guard")?;
    bind_file(&pod.join("hosts"), "etc/hosts")?;
    bind_file(&pod.join("termination-log"), "dev/termination-log")?;
    mount_bind(pod.join("guard"), root.join("guard"))?;
    mount_bind_recursive("/proc", root.join("proc"))?;

    let volume = root.join("data");
    mount_bind_recursive(data, &volume)?;
    bind_done.wait();
    bind_done.wait();
    let kind = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::HostToContainer => MountPropagationFlags::DOWNSTREAM,
    };
    // EINVAL: what was the topmost mount a moment ago is gone. A runtime ends here, and the kubelet starts it again.
    while let Err(error) = mount_change(&volume, kind | MountPropagationFlags::REC) {
        if error != Errno::INVAL {
            return Err(error.into());
        }
    }

    // Into the new root, with the old one stacked on the same place, then off with that.
    std::env::set_current_dir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}
