//! What `guard idtoken` adds to the time of a request: the same requests to a backend directly and through guard, in turn, on one
//! connection, so that a request waits for nothing but its own way.
//!
//! `GUARD_BIN` is the binary; `ROUNDS` (5) and `REQUESTS` (4000) a round say how much. Guard attaches a token and writes an
//! access line; the backend answers as fast as it can, so the ratio is the worst that can be: Cloud Run takes tens of milliseconds.

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::Duration;

use support::backend;
use support::load::{Load, Timing};
use support::process::{Proxy, free_address};
use support::{Outcome, Scratch, guard_binary, median, option};
use testkit::google::Google;

mod support;

const BODY: &[u8] = br#"{"clip":"[0.1,0.2]"}"#;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("idtoken: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let (rounds, requests): (usize, usize) = (option("ROUNDS", 5)?, option("REQUESTS", 4000)?);
    let scratch = Scratch::new("idtoken")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    let google = Google::start()?;
    let backend = backend::fixed("application/json", BODY)?;
    let key = scratch.write("key.json", &google.key_file().to_string())?;
    let (listen, admin) = (free_address()?, free_address()?);
    let mut command = Command::new(guard_binary()?);
    command
        .arg("idtoken")
        .env("GUARD_IDTOKEN_BACKENDS", format!("{listen}=http://{backend}"))
        .env("GUARD_ADMIN_LISTEN", admin.to_string())
        .env("GOOGLE_APPLICATION_CREDENTIALS", key)
        .env("GUARD_WORKERS", "1");
    let proxy = Proxy::start("guard", command)?;
    let ready = async {
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), ready).await })
        .map_err(|_| "guard does not listen")?;

    let measure = |address: SocketAddr, requests| -> Outcome<Timing> {
        let request: &[u8] = b"GET / HTTP/1.1\r\nHost: ml\r\n\r\n";
        let load = Load { address, connections: 1, requests, request: request.into(), body: BODY.into() };
        runtime.block_on(load.run()).map_err(|error| proxy.blame(error))
    };
    measure(listen, requests / 10)?;
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    println!("  round   direct p50 us   through guard p50 us   ratio");
    for round in 1..=rounds {
        let (one, two) = (micros(&measure(backend, requests)?), micros(&measure(listen, requests)?));
        println!("  {round:>5}   {one:>13.1}   {two:>20.1}   {:>5.2}", two / one);
        direct.push(one);
        through.push(two);
    }
    let (direct, through) = (median(direct), median(through));
    println!(
        "  median of {rounds}: {through:.1} us through guard, {direct:.1} us direct: {:.1} us more, ratio {:.2}",
        through - direct,
        through / direct
    );
    Ok(())
}

fn micros(timing: &Timing) -> f64 {
    timing.percentile(50).as_secs_f64() * 1e6
}
