//! A real container runtime agrees with the one that the tests imitate.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use testkit::nas::{Host, Mode};
use testkit::tests;

use super::{guard, host};

pub(super) const RUNC: &[(&str, fn())] =
    tests![the_installed_copy_runs_without_privileges_on_a_read_only_root, sigterm_ends_a_wait_that_is_pid_1];

pub(super) fn why_no_runc() -> Option<String> {
    let found = Command::new("runc").arg("--version").output().is_ok_and(|output| output.status.success());
    (!found).then(|| "no runc (Debian: apt-get install runc)".to_owned())
}

fn the_installed_copy_runs_without_privileges_on_a_read_only_root() {
    let host = host();
    let nas = host.nas();
    nas.chown("", 1000, 0o755);
    let bundle = Bundle::new(&host);
    let output = bundle.run(&["nas", "exec", "--", "/guard/guard", "nas", "check"], &host.point());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("NAS_OK").count(), 2, "{output:?}");
    drop(nas);
    let output = bundle.run(&["nas", "check"], &host.disk().join("mnt"));
    assert_eq!(output.status.code(), Some(41), "{output:?}");
}

fn sigterm_ends_a_wait_that_is_pid_1() {
    let host = host();
    let nas = host.nas();
    nas.chown("", 1000, 0o755);
    // What may heal under a container: it waits.
    nas.set(Mode::ReadOnly);
    let bundle = Bundle::new(&host);
    let mut running = bundle.command(&["nas", "exec", "--wait", "10m", "--", "/guard/guard"], &host.point());
    let mut running = running.stderr(Stdio::null()).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    // It listens before its first look, and its first look is what it says first.
    while !fs::read_to_string(bundle.folder.join("last-words")).unwrap().contains("NAS_READ_ONLY") {
        assert!(std::time::Instant::now() < deadline, "it said nothing");
        std::thread::yield_now();
    }
    assert!(Command::new("runc").args(["kill", &Bundle::name(), "TERM"]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(143));
}

/// An OCI bundle: an empty read-only root, the installed binary, no capabilities, uid 1000.
struct Bundle {
    folder: std::path::PathBuf,
}

impl Bundle {
    fn new(host: &Host) -> Self {
        let folder = host.disk().join("bundle");
        for part in ["rootfs/data", "rootfs/proc", "rootfs/dev", "rootfs/guard", "image"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("last-words"), "").unwrap();
        let installed = Command::new(guard()).args(["nas", "install", "--to"]).arg(folder.join("image/guard")).status().unwrap();
        assert!(installed.success());
        Self { folder }
    }

    /// One container a test at a time.
    fn name() -> String {
        format!("guard-test-{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "")
    }

    fn run(&self, arguments: &[&str], data: &Path) -> Output {
        self.command(arguments, data).output().unwrap()
    }

    fn command(&self, arguments: &[&str], data: &Path) -> Command {
        fs::write(self.folder.join("config.json"), self.config(arguments, data).to_string()).unwrap();
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(&self.folder).arg(Self::name());
        command
    }

    fn config(&self, arguments: &[&str], data: &Path) -> Value {
        let bind = |from: &Path, to: &str, flags: &[&str]| {
            let options: Vec<_> = ["rbind", "rprivate"].iter().chain(flags).copied().collect();
            json!({"destination": to, "type": "bind", "source": from, "options": options})
        };
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
            bind(data, "/data", &["rw"]),
            bind(&self.folder.join("image"), "/guard", &["ro"]),
            bind(&self.folder.join("last-words"), "/last-words", &["rw"]),
        ];
        // The test's own binary is linked dynamically; the release binary needs none of these.
        let libraries = ["/lib", "/lib64", "/usr/lib"].iter().map(Path::new).filter(|path| path.exists());
        mounts.extend(libraries.map(|path| bind(path, path.to_str().unwrap(), &["ro"])));
        let arguments: Vec<_> = ["/guard/guard"].iter().chain(arguments).copied().collect();
        let namespaces: Vec<_> = ["pid", "mount", "ipc", "uts", "network"].iter().map(|kind| json!({"type": kind})).collect();
        fs::set_permissions(self.folder.join("last-words"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": true},
            "process": {
                "user": {"uid": 1000, "gid": 1000}, "cwd": "/", "args": arguments, "noNewPrivileges": true, "capabilities": {},
                "env": ["GUARD_NAS_FSTYPES=fuse.*", "GUARD_NAS_SOURCE=nas.lan:*", "GUARD_NAS_MIN_FREE=0", "GUARD_NAS_TERMINATION_LOG=/last-words"],
            },
            "mounts": mounts,
            "linux": {"namespaces": namespaces},
        })
    }
}
