//! Runs a component as a child process that writes its output to a file and ends with this program.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// The number of bytes at the end of a log that an error shows.
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
    /// Starts `program` with both outputs in `logs/NAME`. Its standard input stays open until this program ends.
    pub(crate) fn start(logs: &Path, name: &str, program: &Path, args: &[String], envs: &[(&str, &str)]) -> Result<Self> {
        let log = logs.join(name);
        let envs = envs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let child = spawn(program, args, &envs, &log).with_context(|| format!("{name}: cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), program: program.to_owned(), args: args.to_vec(), envs, log, child })
    }

    /// Ends the process with SIGTERM, as a shutdown of the node does, and starts it again with the same command.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.signal(Signal::TERM);
        self.child.wait()?;
        self.child = spawn(&self.program, &self.args, &self.envs, &self.log)?;
        Ok(())
    }

    /// Fails if the process does not run any more. The error contains the end of its log.
    pub(crate) fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}; the end of {}:\n{}", self.name, self.log.display(), tail(&self.log)?);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // The process may have ended already.
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
    // A separate process group: Ctrl-C reaches only this program, and the children of the process end with it.
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

/// Runs a command and returns its standard output. If it fails, the error contains both outputs.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?}: {}\n{}{}", output.status, out, String::from_utf8_lossy(&output.stderr));
    }
    Ok(out)
}

/// Returns ports that are free on loopback at the moment.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<_> = (0..N).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
