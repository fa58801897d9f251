//! What the status page costs: the time until it has arrived, and the CPU of a request while nobody looks at it and while it is loaded ten times a
//! second, in alternating rounds.
//!
//! `GUARD_BIN` is the binary. `ROUNDS` (5), `REQUESTS` a round (50000), `CONNECTIONS` (16). `BASE` names another guard, such as an older one: then the
//! CPU of its requests is measured in the same rounds.
#![allow(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::access::{Access, anonymous_head};
use support::door::{self, Door, Setting};
use support::load::Load;
use support::{Outcome, backend, guard_binary, median, option};

mod support;

const BODY: &[u8] = br#"{"res":"pong"}"#;
/// The pause between two loads of the page: a browser makes one of 5 s.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the page is timed.
const PAGES: usize = 1000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("status: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let (rounds, requests, connections): (usize, usize, usize) =
        (option("ROUNDS", 5)?, option("REQUESTS", 50_000)?, option("CONNECTIONS", 16)?);
    let access = Access::start()?;
    let upstream = backend::fixed("application/json", BODY)?;
    let setting = Setting { access: &access, upstream, workers: 2, access_log: true };
    let guard = door::guard(&guard_binary()?, &setting)?;
    let admin = guard.admin.ok_or("guard has an admin port")?;
    let base = std::env::var_os("BASE").map(PathBuf::from).map(|base| door::guard(&base, &setting)).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = access.head("GET /api/server/ping", "");
    let cpu_of_a_request = |door: &Door, requests: usize| -> Outcome<f64> {
        let load = Load { address: door.address, connections, requests, request: request.as_bytes().into(), body: BODY.into() };
        let before = door.proxy.cpu()?;
        runtime.block_on(load.run()).map_err(|error| door.proxy.blame(error))?;
        // The last access lines are written after their answers.
        std::thread::sleep(Duration::from_millis(200));
        Ok(door.proxy.cpu()?.since(&before).as_secs_f64() * 1e6 / requests as f64)
    };

    for door in [Some(&guard), base.as_ref()].into_iter().flatten() {
        cpu_of_a_request(door, requests / 10)?;
    }
    // Every list of the page is full.
    for number in 0..20 {
        let path = format!("GET /{number}");
        door::status(guard.address, &anonymous_head(&path, "Connection: close\r\n"))?;
        door::status(guard.address, &access.head(&format!("TRACE /{number}"), "Connection: close\r\n"))?;
    }

    println!("  round   nobody looks us   looked at us   ratio   base us   ratio to base");
    let (mut alone, mut watched, mut older) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let one = cpu_of_a_request(&guard, requests)?;
        let is_over = AtomicBool::new(false);
        let two = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // A page that does not arrive is seen below.
                    drop(load_page(admin));
                    std::thread::sleep(PAUSE);
                }
            });
            let used = cpu_of_a_request(&guard, requests);
            is_over.store(true, Ordering::Relaxed);
            used
        })?;
        let three = base.as_ref().map(|base| cpu_of_a_request(base, requests)).transpose()?;
        let (base_us, ratio) = three.map_or_else(Default::default, |base| (format!("{base:.2}"), format!("{:.2}", one / base)));
        println!("  {round:>5}   {one:>15.2}   {two:>12.2}   {:>5.2}   {base_us:>7}   {ratio:>13}", two / one);
        alone.push(one);
        watched.push(two);
        older.extend(three);
    }
    let (alone, watched) = (median(alone), median(watched));
    println!(
        "  median: {alone:.2} us of CPU a request, {watched:.2} us while the page is looked at: ratio {:.2}",
        watched / alone
    );
    if !older.is_empty() {
        let older = median(older);
        println!("  median of BASE: {older:.2} us of CPU a request: ratio to it {:.2}", alone / older);
    }

    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..PAGES {
        let (time, length) = load_page(admin)?;
        times.push(time);
        bytes = length;
    }
    times.sort_unstable();
    let [p50, p99, most] = [PAGES / 2, PAGES * 99 / 100, PAGES - 1].map(|rank| times[rank].as_secs_f64() * 1e3);
    println!(
        "  the page ({bytes} bytes), {PAGES} times, connection included: p50 {p50:.2} ms, p99 {p99:.2} ms, at most {most:.2} ms"
    );
    Ok(())
}

/// Loads the page on a connection of its own: the time, and the length of the response in bytes.
fn load_page(admin: SocketAddr) -> Outcome<(Duration, usize)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(admin)?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    if !response.starts_with(b"HTTP/1.1 200 ") || !response.ends_with(b"</html>\n") {
        return Err(format!("the status page is not whole: {} bytes", response.len()).into());
    }
    Ok((start.elapsed(), response.len()))
}
