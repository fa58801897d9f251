//! CPU per request of guard beside HAProxy with the same rules, on tiny GETs, in alternating rounds.
//!
//! Read the CPU column: the proxies, the load and the backend share the machine, so requests per second and latency swing with
//! whatever else runs. The comparison is of the whole job, not of one function: guard verifies a token once and remembers it,
//! HAProxy verifies it on every request; guard also strips and sets headers, which HAProxy is spared here.
//!
//! `GUARD_BIN` is the binary. `ROUNDS` (3), `REQUESTS` a round (100000), `CONNECTIONS` (32), `WORKERS` of
//! either proxy (2), `ONLY` (`guard` or `haproxy`).
#![allow(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

use std::process::{Command, ExitCode};
use std::time::Duration;

use support::access::Access;
use support::door::{self, Door, Setting};
use support::load::Load;
use support::{Outcome, Scratch, backend, guard_binary, median, on_path, option};

mod support;

/// What the backend says: Immich's own answer to a ping.
const BODY: &[u8] = br#"{"res":"pong"}"#;

struct Round {
    proxy: &'static str,
    cpu_us: f64,
    requests_per_second: f64,
    p50: Duration,
    p99: Duration,
    log_lines: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let rounds: usize = option("ROUNDS", 3)?;
    let requests: usize = option("REQUESTS", 100_000)?;
    let connections: usize = option("CONNECTIONS", 32)?;
    let workers: usize = option("WORKERS", 2)?;
    if rounds == 0 || connections == 0 || requests < connections {
        return Err("ROUNDS and CONNECTIONS are at least 1, REQUESTS at least CONNECTIONS".into());
    }
    let only = std::env::var("ONLY").ok();
    let wants = |name| only.as_deref().is_none_or(|only| only == name);
    if !wants("guard") && !wants("haproxy") {
        return Err("ONLY is guard or haproxy".into());
    }
    let guard = if wants("guard") { Some(guard_binary()?) } else { None };
    let missing = "haproxy is missing: install HAProxy 2.5 or newer (Debian: apt-get install haproxy)";
    let haproxy = if wants("haproxy") { Some(on_path("haproxy").ok_or(missing)?) } else { None };

    let access = Access::start()?;
    let upstream = backend::fixed("application/json", BODY)?;
    let scratch = Scratch::new("quick")?;
    let request = access.head("GET /api/server/ping", "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;

    if let Some(binary) = &guard {
        println!("guard:   {} ({} bytes)", binary.display(), binary.metadata()?.len());
    }
    if let Some(binary) = &haproxy {
        let version = Command::new(binary).arg("-v").output()?.stdout;
        println!("haproxy: {}", String::from_utf8_lossy(&version).lines().next().unwrap_or_default());
    }
    println!(
        "{workers} worker threads each, {connections} connections, {requests} requests a round; a request is {} bytes, its token {}",
        request.len(),
        access.token.len()
    );

    for access_log in [true, false] {
        let setting = Setting { access: &access, upstream, workers, access_log };
        let mut doors: Vec<(&'static str, Door)> = Vec::new();
        if let Some(binary) = &guard {
            doors.push(("guard", door::guard(binary, &setting)?));
        }
        if let Some(binary) = &haproxy {
            doors.push(("haproxy", door::haproxy(binary, &setting, &scratch)?));
        }
        for (name, door) in &doors {
            door.check(name, &access)?;
        }

        let mut results = Vec::new();
        let load = |door: &Door, requests| {
            let (request, body) = (request.as_bytes().into(), BODY.into());
            Load { address: door.address, connections, requests, request, body }
        };
        for (_, door) in &doors {
            runtime.block_on(load(door, (requests / 10).max(connections)).run()).map_err(|error| door.proxy.blame(error))?;
        }
        for _ in 0..rounds {
            for (name, door) in &doors {
                results.push(measure(&runtime, name, door, &load(door, requests))?);
            }
        }
        print_table(access_log, &results);
    }
    Ok(())
}

fn measure(runtime: &tokio::runtime::Runtime, proxy: &'static str, door: &Door, load: &Load) -> Outcome<Round> {
    let (cpu, lines) = (door.proxy.cpu()?, door.proxy.log_lines());
    let timing = runtime.block_on(load.run()).map_err(|error| door.proxy.blame(error))?;
    // The last access lines are written after their answers.
    std::thread::sleep(Duration::from_millis(200));
    let (used, lines) = (door.proxy.cpu()?.since(&cpu), door.proxy.log_lines() - lines);
    let requests = load.requests as f64;
    Ok(Round {
        proxy,
        cpu_us: used.as_secs_f64() * 1e6 / requests,
        requests_per_second: requests / timing.elapsed.as_secs_f64(),
        p50: timing.percentile(50),
        p99: timing.percentile(99),
        log_lines: lines as f64 / requests,
    })
}

fn print_table(access_log: bool, results: &[Round]) {
    let title = if access_log {
        "With access lines into a pipe: guard GUARD_LOG=info, HAProxy `option httplog`"
    } else {
        "Without access lines: guard GUARD_LOG=warn, HAProxy without `log`"
    };
    println!("\n{title}");
    println!("  proxy     CPU us/request   requests/s   p50 ms   p99 ms   log lines/request");
    for Round { proxy, cpu_us, requests_per_second, p50, p99, log_lines } in results {
        let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
        println!("  {proxy:<9} {cpu_us:>14.2} {requests_per_second:>12.0} {p50:>8.2} {p99:>8.2} {log_lines:>19.2}");
    }
    let medians: Vec<(&str, f64)> = ["guard", "haproxy"]
        .into_iter()
        .filter(|name| results.iter().any(|round| round.proxy == *name))
        .map(|name| (name, median(results.iter().filter(|round| round.proxy == name).map(|round| round.cpu_us))))
        .collect();
    for (name, cpu_us) in &medians {
        println!("  median of {name}: {cpu_us:.2} us of CPU a request");
    }
    if let [(_, guard), (_, haproxy)] = medians[..] {
        println!("  ratio guard/haproxy: {:.2}", guard / haproxy);
    }
    let silent = |round: &Round| access_log && round.log_lines < 0.99;
    if let Some(round) = results.iter().find(|round| silent(round)) {
        println!("  NOTE: {} wrote less than one line a request: this table does not compare like with like", round.proxy);
    }
}
