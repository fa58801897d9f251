//! A proxy as a child process: started, watched, measured by what the kernel counts for it (proc(5)), ended.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Outcome;

/// How much of a child's last output an error shows, in bytes.
const TAIL_BYTES: usize = 4096;

/// A running proxy. Its stdout and stderr are pipes that two threads drain, as a container runtime would; dropping it ends it.
pub(crate) struct Proxy {
    name: &'static str,
    child: Child,
    drains: Vec<JoinHandle<()>>,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    lines: AtomicU64,
    tail: Mutex<Vec<u8>>,
}

/// CPU time of each thread of a process, in nanoseconds.
pub(crate) struct CpuTime(HashMap<String, u64>);

/// Resident memory of a process, in KiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) highest: u64,
}

impl Proxy {
    pub(crate) fn start(name: &'static str, mut command: Command) -> Outcome<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} does not start: {}: {error}", command.get_program().display()))?;
        let output = Arc::new(Output::default());
        let mut drains = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            drains.push(drain(pipe, Arc::clone(&output)));
        }
        if let Some(pipe) = child.stderr.take() {
            drains.push(drain(pipe, Arc::clone(&output)));
        }
        Ok(Self { name, child, drains, output })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks `ready` until it says yes; an error if the process ends first or `patience` runs out.
    pub(crate) fn wait_until(&mut self, patience: Duration, pause: Duration, mut ready: impl FnMut() -> bool) -> Outcome<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                for drain in self.drains.drain(..) {
                    let _ = drain.join();
                }
                return Err(format!("{} ended before it was ready ({status}); it said:\n{}", self.name, self.tail()).into());
            }
            if start.elapsed() > patience {
                return Err(format!("{} is not ready after {patience:?}; it said:\n{}", self.name, self.tail()).into());
            }
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// A failure with the process's own last words, if it wrote any.
    pub(crate) fn blame(&self, failure: impl std::fmt::Display) -> Box<dyn std::error::Error + Send + Sync> {
        format!("{}: {failure}; its last output:\n{}", self.name, self.tail()).into()
    }

    /// Lines that the process has written so far, on stdout and stderr together.
    pub(crate) fn log_lines(&self) -> u64 {
        self.output.lines.load(Ordering::Relaxed)
    }

    pub(crate) fn cpu(&self) -> Outcome<CpuTime> {
        let mut threads = HashMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let entry = entry?;
            // A thread may end between the listing and the read.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let nanoseconds = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
            threads.insert(entry.file_name().to_string_lossy().into_owned(), nanoseconds.ok_or("schedstat has no figures")?);
        }
        if threads.is_empty() {
            return Err(format!("{}: the kernel keeps no /proc/{}/task/*/schedstat", self.name, self.id()).into());
        }
        Ok(CpuTime(threads))
    }

    pub(crate) fn memory(&self) -> Outcome<Memory> {
        memory_of(self.id())
    }

    fn tail(&self) -> String {
        let tail = self.output.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.is_empty() { "(nothing)".to_owned() } else { String::from_utf8_lossy(&tail).into_owned() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl CpuTime {
    /// What the process used from `earlier` to `self`. A thread that ended between the two is not counted: workers do not end.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, now): (&String, &u64)| now - earlier.0.get(thread).unwrap_or(&0);
        Duration::from_nanos(self.0.iter().map(used).sum())
    }
}

/// `VmRSS` and `VmHWM` of a process.
pub(crate) fn memory_of(pid: u32) -> Outcome<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("/proc/{pid}/status: {error}"))?;
    let field = |name: &str| -> Outcome<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name} for {pid}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory { now: field("VmRSS:")?, highest: field("VmHWM:")? })
}

/// A loopback address that was free a moment ago, for a program that cannot say which port it got.
pub(crate) fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn drain(mut pipe: impl Read + Send + 'static, output: Arc<Output>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let text = &buffer[..count];
            output.lines.fetch_add(text.iter().map(|&byte| u64::from(byte == b'\n')).sum(), Ordering::Relaxed);
            let mut tail = output.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(&text[count.saturating_sub(TAIL_BYTES)..]);
            let surplus = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..surplus);
        }
    })
}
