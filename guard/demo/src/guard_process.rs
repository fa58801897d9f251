//! The real `guard` binary as a child process: arguments and variables go in; its addresses, its log and its exit status come out.

use std::io::{self, BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::Client;

/// The time in which guard has to listen, and then to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The time in which guard has to end after SIGTERM, before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The pause between two looks at its state.
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// The path of the `guard` binary: `given`, or the one beside this program.
///
/// # Errors
/// Where there is no such file. The text says how to build it.
pub fn find(given: Option<&Path>) -> io::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("guard"),
    };
    if path.is_file() {
        return Ok(path);
    }
    let text = format!("{} is missing: build it with `cargo build -p guard`, or name another with --guard", path.display());
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// A running guard. It is killed when it is dropped.
pub struct GuardProcess {
    /// Its listeners, in the order of its log lines.
    pub addresses: Vec<SocketAddr>,
    /// The address of its admin port.
    pub admin_address: SocketAddr,
    child: Child,
    output: Output,
}

/// What the process has written so far to standard output (its log) and to standard error.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<String>>);

impl GuardProcess {
    /// Starts `guard` with these arguments and variables, and waits until it listens.
    ///
    /// # Errors
    /// Where it cannot be started, or ends before it listens. The text holds what it wrote.
    pub async fn start(program: &Path, arguments: &[&str], variables: &[(&str, String)]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(kept()).envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = Output::default();
        output.collect(child.stdout.take());
        output.collect(child.stderr.take());
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self { addresses: Vec::new(), admin_address: unspecified, child, output };
        process.read_addresses().await?;
        Ok(process)
    }

    /// Waits until `/readyz` says that it is ready.
    ///
    /// # Errors
    /// Where it is not ready within the time limit.
    pub async fn ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let mut client = Client::connect(self.admin_address).await?;
            let response = client.ask("GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").await?;
            if response.status == 200 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.failed("guard is not ready"));
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// Waits for the first log line with this message.
    ///
    /// # Errors
    /// Where there is none within the time limit.
    pub async fn logged(&self, is_wanted: impl Fn(&str) -> bool) -> io::Result<Value> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(line) =
                self.output.events().into_iter().find(|event| is_wanted(event["message"].as_str().unwrap_or_default()))
            {
                return Ok(line);
            }
            if Instant::now() > deadline {
                return Err(self.failed("guard did not log what was expected"));
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// Sends SIGTERM, as the kubelet does. An ended process is no error.
    pub fn terminate(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// Where it cannot be waited for.
    pub async fn end(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// Its public address; the first, where it has several.
    pub fn address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or(self.admin_address)
    }

    async fn read_addresses(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let events = self.output.events();
            let listening =
                events.iter().filter(|event| event["message"].as_str().is_some_and(|text| text.ends_with("is listening")));
            let address = |event: &Value, field: &str| event[field].as_str().and_then(|text| text.parse().ok());
            let found: Vec<(SocketAddr, SocketAddr)> =
                listening.filter_map(|event| Some((address(event, "listen")?, address(event, "admin")?))).collect();
            if let Some((_, admin)) = found.first() {
                self.admin_address = *admin;
                self.addresses = found.iter().map(|(listen, _)| *listen).collect();
                return Ok(());
            }
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(self.failed("guard did not start"));
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    fn failed(&self, what: &str) -> io::Error {
        io::Error::other(format!("{what}; it wrote:\n{}", self.output.text()))
    }
}

/// The variables that a wrapper around the binary, such as one that starts a container, needs.
fn kept() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| ["PATH", "HOME", "XDG_RUNTIME_DIR"].contains(&name.as_str()))
}

impl Drop for GuardProcess {
    fn drop(&mut self) {
        // SIGTERM first: a container's runtime passes it on, and could not pass on a SIGKILL. A process that has ended is no error.
        self.terminate();
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(POLL_PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    fn collect(&self, pipe: Option<impl Read + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let output = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                let mut text = output.0.lock().unwrap_or_else(PoisonError::into_inner);
                // Access log lines are not read here, and there are thousands of them.
                if !line.contains("\"decision\":") {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn events(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}
