//! Guard's memory while many large uploads pass through it at once, and its time from exec to ready.
//!
//! The backend takes its time before it reads a body, so whatever a proxy is willing to hold for it, it holds.
//!
//! `GUARD_BIN` is the binary. `UPLOADS` (32), `UPLOAD_MIB` (90), `PAUSE_MS` (1000) before the backend reads, `STARTS` (10).
#![allow(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::access::Access;
use support::backend::Sink;
use support::door::Setting;
use support::process::memory_of;
use support::{Outcome, backend, door, guard_binary, median, option};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

mod support;

/// What memory may grow by, in KiB: a megabyte for each upload.
const GROWTH_LIMIT_KIB: u64 = 32 * 1024;
/// Worker threads of guard.
const WORKERS: usize = 2;
/// How much a client writes at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// After this the uploads count as hung.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("uploads: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let binary = guard_binary()?;
    let access = Access::start()?;
    println!("guard: {} ({} bytes)", binary.display(), binary.metadata()?.len());
    starts(&binary, &access)?;
    uploads(&binary, &access)
}

/// From exec to the first 200 of `/readyz`, with a key set that answers at once.
fn starts(binary: &Path, access: &Access) -> Outcome<()> {
    let count: usize = option("STARTS", 10)?;
    let upstream = backend::fixed("text/plain", b"")?;
    let setting = Setting { access, upstream, workers: WORKERS, access_log: false };
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let _door = door::guard(binary, &setting)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let most = times.iter().copied().fold(0.0, f64::max);
    println!("from exec to ready: median {:.1} ms, longest {most:.1} ms, of {count} starts", median(times));
    Ok(())
}

fn uploads(binary: &Path, access: &Access) -> Outcome<()> {
    let count: usize = option("UPLOADS", 32)?;
    let length = option::<u64>("UPLOAD_MIB", 90)? * 1024 * 1024;
    let sink = Sink::start(Duration::from_millis(option("PAUSE_MS", 1000)?))?;
    let setting = Setting { access, upstream: sink.address, workers: WORKERS, access_log: true };
    let door = door::guard(binary, &setting)?;

    let before = door.proxy.memory()?.now;
    let stop = Arc::new(AtomicBool::new(false));
    let watch = std::thread::spawn({
        let (stop, pid) = (Arc::clone(&stop), door.proxy.id());
        move || {
            let mut most = 0;
            while !stop.load(Ordering::Relaxed) {
                most = memory_of(pid).map_or(most, |memory| most.max(memory.now));
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        }
    });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let head =
        access.head("POST /api/assets", &format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n"));
    let (start, cpu) = (Instant::now(), door.proxy.cpu()?);
    let sent = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            tasks.spawn(upload(door.address, head.clone(), length));
        }
        let all = async {
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Outcome::Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await.map_err(|_| format!("uploads are unfinished after {PATIENCE:?}"))?
    });
    let elapsed = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let sampled = watch.join().map_err(|_| "the sampler of memory failed")?;
    sent.map_err(|error| door.proxy.blame(error))?;
    let used = door.proxy.cpu()?.since(&cpu);

    let lengths = sink.lengths();
    if lengths.len() != count || lengths.iter().any(|&found| found != length) {
        return Err(format!("the backend got bodies of {lengths:?} bytes, wanted {count} of {length}").into());
    }
    std::thread::sleep(Duration::from_secs(2));
    let after = door.proxy.memory()?;
    let most = after.highest.max(sampled);
    let growth = most.saturating_sub(before);

    let mib = |kib: u64| kib as f64 / 1024.0;
    let total = (count as u64 * length) as f64 / 1024.0 / 1024.0;
    println!("{count} uploads of {} MiB at once: {:.1} s, all {count} bodies whole", length / 1024 / 1024, elapsed.as_secs_f64());
    println!(
        "resident before {:.1} MiB, highest sample {:.1} MiB, high-water mark {:.1} MiB, 2 s after {:.1} MiB",
        mib(before),
        mib(sampled),
        mib(after.highest),
        mib(after.now)
    );
    println!("CPU of guard: {:.2} ms per MiB", used.as_secs_f64() * 1e3 / total);
    println!("growth: {:.1} MiB (limit {} MiB)", mib(growth), GROWTH_LIMIT_KIB / 1024);
    if growth < GROWTH_LIMIT_KIB { Ok(()) } else { Err("memory grew past the limit".into()) }
}

async fn upload(address: SocketAddr, head: String, length: u64) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    let chunk = vec![0x5a; CHUNK_BYTES];
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        stream.write_all(&chunk[..part]).await?;
        left -= part as u64;
    }
    // The sink answers with the length it saw.
    let ending = format!("\r\n\r\n{length}");
    let mut answer = Vec::new();
    while !answer.ends_with(ending.as_bytes()) {
        if stream.read_buf(&mut answer).await? == 0 || answer.len() > CHUNK_BYTES {
            return Err(format!("an upload got, instead of the expected answer: {:?}", String::from_utf8_lossy(&answer)).into());
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into()) }
}
