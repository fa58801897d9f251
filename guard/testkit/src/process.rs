//! Programs as child processes, the `guard` binary above all: their output, their addresses from the log, and their exit code.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::Issuer;
use crate::admin::metric_becomes;
use crate::wait::eventually;
use rustix::process::{Pid, Signal, kill_process};

/// A child process. It is killed when it is dropped.
pub struct Process {
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

/// A running `guard origin` that is ready.
pub struct OriginProcess {
    /// The process.
    pub process: Process,
    /// The public address.
    pub address: SocketAddr,
    /// The address of the probes and the metrics.
    pub admin_address: SocketAddr,
}

/// What a pipe has brought so far.
struct Capture {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

/// The variables of a `guard origin` in front of `upstream` that trusts `issuer`, on ports that the system chooses.
pub fn origin_variables(issuer: &Issuer, upstream: &str) -> Vec<(&'static str, String)> {
    [
        ("GUARD_LISTEN", "127.0.0.1:0"),
        ("GUARD_ADMIN_LISTEN", "127.0.0.1:0"),
        ("GUARD_UPSTREAM", upstream),
        ("GUARD_ACCESS_TEAM", issuer.team()),
        ("GUARD_ACCESS_AUD", issuer.aud()),
        ("GUARD_JWKS_URL", &issuer.url()),
        ("GUARD_WORKERS", "2"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

impl Process {
    /// Starts a program with these arguments and variables, and no others.
    pub fn start(program: &str, arguments: &[&str], variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
        Self::spawn(command)
    }

    /// Starts any program.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_on(command, Stdio::null())
    }

    /// Starts any program on this standard input, which may be a listening socket.
    pub fn spawn_on(mut command: Command, stdin: Stdio) -> Self {
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stdout = Capture::of(child.stdout.take().expect("it is piped"));
        let stderr = Capture::of(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    /// Runs it to its end.
    pub async fn run(program: &str, arguments: &[&str], variables: &[(&str, String)]) -> Ended {
        Self::start(program, arguments, variables).end().await
    }

    /// The address that the log names under `field`, in either format.
    pub fn logged_address(&self, field: &str) -> SocketAddr {
        let log = self.stdout();
        let json = log.split(&format!("\"{field}\":\"")).nth(1).and_then(|rest| rest.split('"').next());
        let text = log.split(&format!(" {field}=")).nth(1).and_then(|rest| rest.split(' ').next());
        json.or(text).and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no {field} in {log}"))
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text.lock().expect("the reader does not panic").clone()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text.lock().expect("the reader does not panic").clone()
    }

    /// The most memory that it has held so far, in KiB (proc(5), `VmHWM`).
    pub fn highest_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The number of its open descriptors.
    ///
    /// # Panics
    /// When it has ended.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it lives").count()
    }

    /// SIGTERM, as the kubelet sends it.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is our child");
    }

    /// Waits for its end; panics when it does not end.
    pub async fn end(mut self) -> Ended {
        let mut status = None;
        eventually("the process to end", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        })
        .await;
        let code = status.and_then(|status| status.code());
        Ended { code, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl OriginProcess {
    /// Starts `guard origin` and waits until it is ready.
    pub async fn start(program: &str, variables: &[(&str, String)]) -> Self {
        Self::ready(Process::start(program, &["origin"], variables)).await
    }

    /// Waits until it is ready, by its log in either format.
    pub async fn ready(process: Process) -> Self {
        eventually("both addresses and the key set in the log", || {
            let log = process.stdout();
            log.contains("guard origin is listening") && log.contains("key set loaded")
        })
        .await;
        let (address, admin_address) = (process.logged_address("listen"), process.logged_address("admin"));
        metric_becomes(admin_address, "guard_jwks_keys", "2").await;
        Self { process, address, admin_address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the program of the failed test had said:\n{}{}", self.stdout(), self.stderr());
        }
        // One that has ended already is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = text.clone();
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            let mut undecoded = Vec::new();
            while let Ok(count @ 1..) = pipe.read(&mut part) {
                undecoded.extend_from_slice(&part[..count]);
                // Whole lines only: a line may have come in two parts.
                let whole = undecoded.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines: Vec<u8> = undecoded.drain(..whole).collect();
                into.lock().expect("nobody panics with it").push_str(&String::from_utf8_lossy(&lines));
            }
            into.lock().expect("nobody panics with it").push_str(&String::from_utf8_lossy(&undecoded));
        });
        Self { text, reader: Some(reader) }
    }

    /// Everything, once the process has closed its end.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        self.text.lock().expect("nobody panics with it").clone()
    }
}
