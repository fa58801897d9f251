//! A program in a container: arguments and variables enter, its exit code and its words leave.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No program of these tests runs longer.
const LIMIT: Duration = Duration::from_secs(30);

/// Starts programs in a container.
pub trait Launcher: std::fmt::Debug {
    /// Starts a program.
    fn spawn(&self, command: Command) -> io::Result<Child>;
    /// The directory for its output and its termination message.
    fn directory(&self) -> &Path;
}

/// A program to run. Its environment holds nothing but `PATH` and what the test puts there.
#[derive(Debug)]
pub struct Task<'a> {
    container: &'a dyn Launcher,
    program: String,
    args: Vec<String>,
    variables: BTreeMap<String, String>,
    user: Option<u32>,
}

impl<'a> Task<'a> {
    pub(super) fn new(container: &'a dyn Launcher, program: &str, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let variables = BTreeMap::from([("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())]);
        Self { container, program: program.to_owned(), args, variables, user: None }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs as this user and group, without any other group.
    #[must_use]
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Starts it.
    pub fn start(self) -> Running {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pod = self.container.directory();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Files, not pipes: a child of the program that cannot die would keep a pipe open for ever.
        let (stdout, stderr) = (pod.join(format!("{number}.stdout")), pod.join(format!("{number}.stderr")));
        let file = |path| Stdio::from(fs::File::create(path).expect("a file for the output"));
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.variables);
        command.stdin(Stdio::null()).stdout(file(&stdout)).stderr(file(&stderr));
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        let child = self.container.spawn(command).expect("a program that starts");
        Running { child, stdout, stderr, termination_log: pod.join("termination-log") }
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.start().end()
    }
}

/// A program that has been started. It is killed with its handle.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    termination_log: PathBuf,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).expect("its output")
    }

    /// What it has written so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).expect("its output")).into_owned()
    }

    /// What the termination log says by now.
    pub fn termination_log(&self) -> String {
        fs::read_to_string(&self.termination_log).expect("a termination log")
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(id, signal).expect("a process to signal");
    }

    /// Waits until this holds, or the test fails.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain: {what}\nstderr: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end, or the test fails.
    pub fn end(mut self) -> Outcome {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end\nstderr: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(2));
        };
        Outcome { status, stdout: self.stdout(), stderr: self.stderr(), termination_log: self.termination_log() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            drop(self.child.kill());
            // One in state D ends when its server does: waiting here would be for ever.
            let deadline = Instant::now() + Duration::from_secs(1);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// What a program left.
#[derive(Debug)]
pub struct Outcome {
    status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// The container's termination log at that time.
    pub termination_log: String,
}

impl Outcome {
    /// Its exit code; a signal counts 128 more, as in a shell.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// The JSON lines on its standard error.
    pub fn events(&self) -> Vec<Value> {
        self.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The document behind `GUARD-JSON` in the termination log.
    pub fn guard_json(&self) -> Option<Value> {
        serde_json::from_str(self.termination_log.lines().find_map(|line| line.strip_prefix("GUARD-JSON "))?).ok()
    }
}
