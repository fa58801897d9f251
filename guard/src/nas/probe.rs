//! The parent of a check: starts the child process, gives each step a deadline, and never starts a second one while the first cannot be
//! reaped.
//!
//! A child that waits for a dead server may not even die of SIGKILL (state D). It is left behind then; many of them make a node
//! unusable (csi-driver-nfs issue 1271).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::capabilities::LARGE_FILE;
use super::failure::{Code, Failure};
use super::report::Reporter;
use super::step::{Found, Task};

/// How long a killed child may take to be gone.
const REAP_TIME: Duration = Duration::from_millis(500);
const REAP_STEP: Duration = Duration::from_millis(10);

/// Starts child processes, one at a time.
#[derive(Default)]
pub struct Prober {
    stuck: Option<Child>,
}

impl Prober {
    /// Runs a task in a child, each of its steps within `deadline`.
    pub fn run(&mut self, task: &Task, deadline: Duration, reporter: &mut Reporter) -> Found {
        if !self.reaped() {
            return Err(hung("turn", deadline));
        }
        let mut child = start(task).map_err(|error| broken(format!("cannot start the probe: {error}")))?;
        let lines = read_lines(&mut child);
        let mut step = "start".to_owned();
        loop {
            match lines.recv_timeout(deadline) {
                Ok(line) => match line.split_once(' ') {
                    Some(("step", name)) => {
                        name.clone_into(&mut step);
                        // Before the step begins: if it hangs, this is what the kubelet shows.
                        reporter.trace(&step);
                    }
                    Some(("done", json)) => {
                        let _ = child.wait();
                        return serde_json::from_str::<Found>(json)
                            .unwrap_or_else(|error| Err(broken(format!("the result of the probe cannot be read: {error}"))));
                    }
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    self.stuck = Some(child);
                    let end = Instant::now() + REAP_TIME;
                    while !self.reaped() && Instant::now() < end {
                        std::thread::sleep(REAP_STEP);
                    }
                    // The mount is proved by then. A server that fills a large file instead of leaving a hole only takes long.
                    return if step == LARGE_FILE { Ok(None) } else { Err(hung(&step, deadline)) };
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                    return Err(broken(format!("the probe ended in step {step}: {ended}")));
                }
            }
        }
    }

    fn reaped(&mut self) -> bool {
        if let Some(child) = &mut self.stuck
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            return false;
        }
        self.stuck = None;
        true
    }
}

fn start(task: &Task) -> std::io::Result<Child> {
    let json = serde_json::to_string(task)?;
    // The working directory could be on the NAS itself. Closed pipes instead of /dev/null: an empty root has none, and a child that is
    // left behind must not keep our own streams open for a process that waits for their end.
    let mut child = Command::new("/proc/self/exe")
        .args(["nas", "step"])
        .arg(json)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop((child.stdin.take(), child.stderr.take()));
    Ok(child)
}

fn read_lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        // It ends with the child, or with this process.
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    }
    lines
}

fn hung(step: &str, deadline: Duration) -> Failure {
    let found = match step {
        "turn" => format!("the NAS does not answer: an earlier check has not ended within {deadline:?}"),
        step => format!("the NAS does not answer: {step} took longer than {deadline:?}"),
    };
    Failure::new(Code::Hung, found, "check the NAS and the network to it; a hard mount continues by itself when the NAS is back")
}

fn broken(found: String) -> Failure {
    Failure::new(Code::Io, found, "run `guard nas check` by hand in the same place")
}
