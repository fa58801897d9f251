//! A container that runc runs: its words, its end, and what a kubelet does to it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any step of these tests takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A container that was started. It ends with its handle.
pub(crate) struct Container {
    name: String,
    folder: PathBuf,
    fields: Value,
    child: Child,
}

impl Container {
    /// `runc run`: `config.json` lies in `folder` already; `fields` are those of the manifest.
    pub(crate) fn run(folder: PathBuf, fields: Value) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("guard-pod-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = |name: &str| Stdio::from(File::create(folder.join(name)).unwrap());
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(&folder).arg(&name);
        let child = command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { name, folder, fields, child }
    }

    /// What it said on its standard output.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.join("stdout")).unwrap()
    }

    /// What the kubelet shows as the reason of its last end.
    pub(crate) fn last_words(&self) -> String {
        fs::read_to_string(self.folder.join("termination-log")).unwrap()
    }

    /// Waits until it is so.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "waited in vain: {what}; {ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end: its exit code.
    pub(crate) fn end(&mut self) -> i32 {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| panic!("runc: {status}"));
            }
            assert!(Instant::now() < deadline, "it does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `startupProbe`, `livenessProbe` or `readinessProbe`: the exit code of its command, as the kubelet runs it.
    pub(crate) fn probe(&self, name: &str) -> i32 {
        let command = self.fields[name]["exec"]["command"].as_array().unwrap_or_else(|| panic!("{name} is no exec"));
        let words: Vec<_> = command.iter().map(|word| word.as_str().unwrap()).collect();
        let start = Instant::now();
        let output = self.exec(&words);
        let limit = Duration::from_secs(self.fields[name]["timeoutSeconds"].as_u64().unwrap());
        assert!(start.elapsed() < limit, "{name} took {:?}: the kubelet would have given it up", start.elapsed());
        output.status.code().unwrap()
    }

    /// Runs a command in it, as its user and in its environment.
    fn exec(&self, words: &[&str]) -> Output {
        Command::new("runc").arg("exec").arg(&self.name).args(words).output().unwrap()
    }

    /// Both of its outputs.
    pub(crate) fn log(&self) -> String {
        self.stdout() + &fs::read_to_string(self.folder.join("stderr")).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to delete.
        drop(Command::new("runc").args(["delete", "--force", &self.name]).output());
        drop(self.child.wait());
    }
}
