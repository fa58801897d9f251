//! guard under strangers, with the memory of its pod: what it holds at most while a good client is served all along.
//!
//! One process for each attack, with `GUARD_MEMORY` (128MiB), in a control group with the same limit where one can be made: beyond it the kernel
//! ends guard, as in the pod. Printed: the highest memory (of the group, kernel buffers included, or else `VmHWM`) and number of descriptors, the
//! log's KiB/s, what became of the attack, and the p50 and p99 of the good client beside it, next to the same client without an attack. `GUARD_BIN` is the binary; `SECONDS` (8)
//! is the time of each attack.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a bench ends at what fails; figures for people"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::outpost::Person;
use testkit::process::{Process, origin_variables};
use testkit::ws;
use testkit::{Immich, Issuer, Outpost, RawClient};
use tokio::task::JoinSet;

/// A running guard, and a request that passes.
struct Guard {
    process: Process,
    group: Option<MemoryGroup>,
    address: SocketAddr,
    good: String,
    token: String,
    _issuer: Option<Issuer>,
    outpost: Option<Outpost>,
    _immich: Immich,
}

/// What one attack came to.
struct Seen {
    memory_mib: f64,
    descriptors: usize,
    log_kib: f64,
    good: Vec<Duration>,
    failed: usize,
}

fn main() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let memory = std::env::var("GUARD_MEMORY").unwrap_or_else(|_| "128MiB".to_owned());
    let seconds: u64 = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let time = Duration::from_secs(seconds);
    println!("memory {memory}, {seconds} s each; the good client sends one request after another");
    if MemoryGroup::new(&memory).is_none() {
        println!("no control group can be made here (not root): nothing enforces the limit");
    }
    println!(
        "{:34} {:>9} {:>6} {:>8} {:>7} {:>9} {:>9} {:>7}",
        "attack", "peak MiB", "fds", "log kB/s", "good", "p50", "p99", "failed"
    );
    let access = async || Guard::access(&memory).await;
    let guard = access().await;
    report("none", &guard.beside(time, async |_| ()).await);
    let guard = Guard::forward_auth(&memory).await;
    report("forward auth: 3000 passwords", &guard.beside(time, async |guard| guard.passwords(3000).await).await);
    let guard = access().await;
    report("8300 idle connections", &guard.beside(time, async |guard| guard.hold(8300, "").await).await);
    let guard = access().await;
    report("2000 heads of 60 kB, half sent", &guard.beside(time, async |guard| guard.hold(2000, &half_head()).await).await);
    let guard = access().await;
    report("8300 tunnels of one token", &guard.beside(time, async |guard| guard.tunnels(8300).await).await);
    let guard = access().await;
    let download = format!(
        "GET /api/assets/1/original?size=99000000 HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {}\r\n\r\n",
        guard.token
    );
    report("500 stalled downloads", &guard.beside(time, async |guard| guard.hold(500, &download).await).await);
    let guard = access().await;
    let upload = format!(
        "POST /api/assets HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {}\r\nContent-Length: 90000000\r\n\r\n{}",
        guard.token,
        "x".repeat(300_000)
    );
    report("500 stalled uploads", &guard.beside(time, async |guard| guard.hold(500, &upload).await).await);
    let guard = access().await;
    let refused = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    report("50 that read no 401", &guard.beside(time, async |guard| guard.hold(50, &refused).await).await);
    let guard = access().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(60_000));
    report("refused targets of 60 kB", &guard.beside(time, async |guard| guard.repeat(&long).await).await);
    let guard = access().await;
    report("refused requests", &guard.beside(time, async |guard| guard.repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await).await);
    let guard = Guard::forward_auth(&memory).await;
    let slow = "POST /outpost.goauthentik.io/callback HTTP/1.1\r\nHost: photos.example.com\r\nContent-Length: 1000\r\n\r\nx";
    report("300 slow bodies, own path", &guard.beside(time, async |guard| guard.hold(300, slow).await).await);
}

/// All of a head of 60 kB but its end.
fn half_head() -> String {
    let line = format!("X-Padding: {}\r\n", "x".repeat(985));
    format!("GET / HTTP/1.1\r\nHost: a\r\n{}", line.repeat(60))
}

impl Guard {
    async fn access(memory: &str) -> Self {
        let (issuer, immich) = (Issuer::start().await, Immich::start().await);
        let mut variables = origin_variables(&issuer, &immich.url());
        variables.push(("GUARD_MEMORY", memory.to_owned()));
        let (process, group, address) = Self::start(&variables, memory, "key set loaded").await;
        let token = issuer.token_for("ada@example.com");
        // The good client is another person than the one whose token the attack has.
        let own = issuer.token_for("bob@example.com");
        let good = format!("GET /api/server/ping HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {own}\r\n\r\n");
        Self { process, group, address, good, token, _issuer: Some(issuer), outpost: None, _immich: immich }
    }

    async fn forward_auth(memory: &str) -> Self {
        let (outpost, immich) = (Outpost::start().await, Immich::start().await);
        let variables = [
            ("GUARD_LISTEN", "127.0.0.1:0"),
            ("GUARD_ADMIN_LISTEN", "127.0.0.1:0"),
            ("GUARD_UPSTREAM", &immich.url()),
            ("GUARD_FRONT_DOOR", "forward-auth"),
            ("GUARD_AUTH_URL", &outpost.url()),
            ("GUARD_EXTERNAL_URL", "https://photos.example.com"),
            ("GUARD_MEMORY", memory),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let (process, group, address) = Self::start(&variables, memory, "auth server check").await;
        let password = STANDARD.encode(outpost.app_password(&Person::named("Ada")));
        let good =
            format!("GET /api/server/ping HTTP/1.1\r\nHost: photos.example.com\r\nAuthorization: Basic {password}\r\n\r\n");
        // Allowed once, and cached for a minute. From then on the auth server responds to nobody.
        let mut client = RawClient::connect(address).await;
        client.send(&good).await;
        assert_eq!(client.read_response().await.status, 200);
        outpost.hold();
        Self { process, group, address, good, token: String::new(), _issuer: None, outpost: Some(outpost), _immich: immich }
    }

    async fn start(variables: &[(&str, String)], memory: &str, ready: &str) -> (Process, Option<MemoryGroup>, SocketAddr) {
        let program = std::env::var("GUARD_BIN").expect("GUARD_BIN names the binary");
        let group = MemoryGroup::new(memory);
        // It enters the group, then becomes guard: what it holds is counted from the first byte.
        let enter = group.as_ref().map_or_else(String::new, |group| format!("echo $$ > {}/cgroup.procs && ", group.0.display()));
        let process = Process::start("/bin/sh", &["-c", &format!("{enter}exec \"$0\" origin"), &program], variables);
        testkit::wait::eventually("guard to be ready", || {
            process.stdout().contains("listening") && process.stdout().contains(ready)
        })
        .await;
        let address = process.logged_address("listen");
        (process, group, address)
    }

    /// Runs an attack for this time, with the good client beside it.
    async fn beside(&self, time: Duration, attack: impl AsyncFnOnce(&Self)) -> Seen {
        let end = Instant::now() + time;
        let log_before = self.process.stdout().len();
        let mut seen = Seen { memory_mib: 0.0, descriptors: 0, log_kib: 0.0, good: Vec::new(), failed: 0 };
        let watched = async {
            while Instant::now() < end {
                let began = Instant::now();
                let answer = async {
                    let mut client = RawClient::connect(self.address).await;
                    client.send_lossy(&self.good).await;
                    client.try_read_response().await
                };
                match tokio::time::timeout(Duration::from_secs(5), answer).await {
                    Ok(Ok(answer)) if answer.status == 200 => seen.good.push(began.elapsed()),
                    other => {
                        println!("  the good client got {:?}", other.map(|answer| answer.map(|answer| answer.status)));
                        seen.failed += 1;
                    }
                }
                seen.descriptors = seen.descriptors.max(self.process.descriptors());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let attacked = tokio::time::timeout(time, attack(self));
        let _ = tokio::join!(watched, attacked);
        let peak = self.group.as_ref().map_or_else(|| self.process.highest_memory_kib() * 1024, MemoryGroup::peak);
        seen.memory_mib = peak as f64 / f64::from(1 << 20);
        seen.log_kib = (self.process.stdout().len() - log_before) as f64 / 1024.0 / time.as_secs_f64();
        seen
    }

    /// Opens connections that send this and then nothing, and holds them to the end of the time.
    async fn hold(&self, count: usize, bytes: &str) {
        let mut held = Vec::new();
        for _ in 0..count {
            if let Ok(Ok(mut stream)) =
                tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(self.address)).await
            {
                use tokio::io::AsyncWriteExt as _;
                let _ = tokio::time::timeout(Duration::from_millis(50), stream.write_all(bytes.as_bytes())).await;
                held.push(stream);
            }
        }
        std::future::pending::<()>().await;
    }

    /// Sends this again and again on one connection, and reads what comes back; a closed connection is opened again.
    async fn repeat(&self, request: &str) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let Ok(stream) = tokio::net::TcpStream::connect(self.address).await else { continue };
            let (mut read, mut write) = stream.into_split();
            let sends = async { while write.write_all(request.as_bytes()).await.is_ok() {} };
            let reads = async {
                let mut buffer = vec![0; 1 << 16];
                while read.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            };
            tokio::select! {
                () = sends => {}
                () = reads => {}
            }
        }
    }

    async fn tunnels(&self, count: usize) {
        let mut open = Vec::new();
        for _ in 0..count {
            if let Ok(tunnel) = ws::connect(self.address, Some(&self.token)).await {
                open.push(tunnel);
            }
        }
        std::future::pending::<()>().await;
    }

    /// So many wrong passwords, at most 50 clients at a time; each gives up after a moment, and the auth server does not respond.
    async fn passwords(&self, count: usize) {
        let outpost = self.outpost.as_ref().unwrap();
        let address = self.address;
        let mut clients = JoinSet::new();
        for number in 0..count {
            if clients.len() >= 50 {
                clients.join_next().await;
            }
            clients.spawn(async move {
                let password = STANDARD.encode(format!("user-{number}:wrong"));
                let mut client = RawClient::connect(address).await;
                client
                    .send_lossy(format!(
                        "GET /api/albums HTTP/1.1\r\nHost: photos.example.com\r\nAuthorization: Basic {password}\r\n\r\n"
                    ))
                    .await;
                let _ = tokio::time::timeout(Duration::from_millis(100), client.try_read_response()).await;
            });
        }
        println!("  auth requests seen: {}", outpost.seen().questions().len());
        std::future::pending::<()>().await;
    }
}

/// A control group with a memory limit (cgroups(7), version 1 or 2). It is removed with its handle.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    const LIMITS: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];
    const PEAKS: [&str; 2] = ["memory.max_usage_in_bytes", "memory.peak"];

    fn new(memory: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bytes = guard::config::units::read_size(memory).expect("GUARD_MEMORY is a size");
        ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].into_iter().find_map(|top| {
            let name = format!("guard-attack-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let group = Path::new(top).join(name);
            fs::create_dir(&group).ok()?;
            let group = Self(group);
            Self::LIMITS.iter().any(|file| fs::write(group.0.join(file), bytes.to_string()).is_ok()).then_some(group)
        })
    }

    /// The most that its processes ever held, in bytes.
    fn peak(&self) -> u64 {
        let mut texts = Self::PEAKS.iter().filter_map(|file| fs::read_to_string(self.0.join(file)).ok());
        texts.next().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // It can be removed once its last process is gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn report(name: &str, seen: &Seen) {
    let mut good = seen.good.clone();
    good.sort_unstable();
    let at = |share: usize| good.get(good.len() * share / 100).copied().unwrap_or_default();
    println!(
        "{name:34} {:>9.1} {:>6} {:>8.1} {:>7} {:>9.1?} {:>9.1?} {:>7}",
        seen.memory_mib,
        seen.descriptors,
        seen.log_kib,
        good.len(),
        at(50),
        at(99),
        seen.failed
    );
}
