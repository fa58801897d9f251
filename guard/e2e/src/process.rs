//! One real component as a child process: its output in a file, its end with ours.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How much of a log is shown when its process failed, in bytes.
const TAIL: u64 = 2000;

/// A running component.
pub(crate) struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program`; both of its outputs go to `logs/NAME`. Its standard input stays open as long as we live.
    pub(crate) fn start(logs: &Path, name: &str, program: &Path, args: &[String], envs: &[(&str, &str)]) -> Result<Self> {
        let log = logs.join(name);
        let envs = envs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let child = spawn(program, args, &envs, &log).with_context(|| format!("{name}: {} did not start", program.display()))?;
        Ok(Self { name: name.to_owned(), program: program.to_owned(), args: args.to_vec(), envs, log, child })
    }

    /// Ends it as a node's shutdown would, and starts it again with the same command.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.signal(Signal::TERM);
        self.child.wait()?;
        self.child = spawn(&self.program, &self.args, &self.envs, &self.log)?;
        Ok(())
    }

    /// An error with the end of its log, if it is not running any more.
    pub(crate) fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}; the end of {}:\n{}", self.name, self.log.display(), tail(&self.log)?);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may be gone already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, args: &[String], envs: &[(String, String)], log: &Path) -> Result<Child> {
    let out = File::options().create(true).append(true).open(log)?;
    let err = out.try_clone()?;
    let mut command = Command::new(program);
    // A group of its own: Ctrl-C reaches us first, and what it has started ends with it.
    command.args(args).stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0);
    command.envs(envs.iter().map(|(name, value)| (name, value)));
    Ok(command.spawn()?)
}

fn tail(log: &Path) -> Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

/// Runs a command to its end: its output, or an error with what it said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} did not start"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?}: {}\n{}{}", output.status, out, String::from_utf8_lossy(&output.stderr));
    }
    Ok(out)
}

/// Ports of loopback that are free now.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<_> = (0..N).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
