//! An autofs mount whose daemon never mounts anything: a directory enters, and a trap for whoever looks into it leaves.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

use rustix::mount::{MountFlags, mount};
use rustix::pipe::{PipeFlags, pipe_with};

/// A direct autofs mount, as systemd's automount units and `autofs` make them.
#[derive(Debug)]
pub struct Automount {
    requests: Option<OwnedFd>,
    /// The kernel wants a process group that may pass without a trigger; nobody else belongs to it.
    daemon: Child,
}

impl Automount {
    /// What this kernel lacks for it.
    pub fn why_not() -> Option<String> {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        (!known.lines().any(|line| line.ends_with("\tautofs"))).then(|| "the kernel has no autofs".to_owned())
    }

    pub(super) fn mount(at: &Path) -> Self {
        let daemon = Command::new("sleep").arg("600").process_group(0).spawn().expect("a process");
        let (requests, kernel) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let options = format!("fd={},pgrp={},minproto=5,maxproto=5,direct", kernel.as_raw_fd(), daemon.id());
        let options = CString::new(options).expect("no NUL");
        mount("systemd-1", at, "autofs", MountFlags::empty(), options.as_c_str()).expect("an autofs mount");
        Self { requests: Some(requests), daemon }
    }

    /// The daemon dies: whoever looks gets `ENOENT` at once, and no longer waits.
    pub fn kill(&mut self) {
        drop(self.requests.take());
    }
}

impl Drop for Automount {
    fn drop(&mut self) {
        self.kill();
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}
