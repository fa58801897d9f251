//! One large upload in parts beside a direct upload of the same size: memory and throughput of `guard origin`.
//!
//! Both go through a relay before guard. That of the parts refuses every request above 100 MB, as Cloudflare does; that of the direct upload does not.
//! `GUARD_BIN` is the binary; `GIB` (5) the size; `PART_MIB` (64) that of a part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a bench ends at what fails; figures for people"
)]

use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::process::{Process, origin_variables};
use testkit::{Immich, Issuer, RawClient, noise};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MIB: u64 = 1024 * 1024;
/// Cloudflare's limit of a request, declared or streamed.
const EDGE_LIMIT: u64 = 100_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run());
}

fn option(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

async fn run() {
    let length = option("GIB", 5) * 1024 * MIB;
    let part = option("PART_MIB", 64) * MIB;
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    let mut variables = origin_variables(&issuer, &immich.url());
    variables.extend([("GUARD_LARGE_UPLOADS", "on".to_owned()), ("GUARD_MAX_BODY", "0".to_owned())]);
    let process = Process::start(&std::env::var("GUARD_BIN").expect("GUARD_BIN names the binary"), &["origin"], &variables);
    testkit::wait::eventually("guard to be ready", || {
        process.stdout().contains("listening") && process.stdout().contains("key set loaded")
    })
    .await;
    let guard = process.logged_address("listen");
    let (edge, open) = (edge(guard, EDGE_LIMIT).await, edge(guard, u64::MAX).await);
    let lines = format!("Host: a\r\nCf-Access-Jwt-Assertion: {}\r\n", issuer.token_for("ada@example.com"));
    println!("{} GiB in parts of {} MiB", length / 1024 / MIB, part / MIB);

    // Both once, small, so that what is made once is made.
    direct(open, &lines, 64 * MIB).await;
    in_parts(edge, &lines, 64 * MIB, 16 * MIB).await;
    let before = process.highest_memory_kib();
    let parts = in_parts(edge, &lines, length, part).await;
    let grown = process.highest_memory_kib() - before;
    let stored = immich.stored().pop().unwrap().file.unwrap();
    assert_eq!((stored.bytes, stored.sha256), (length, noise::sha256(length)), "what Immich has is what was sent");
    let whole = direct(open, &lines, length).await;
    println!("sha256 of the file at Immich: equal");
    println!("in parts {parts:.0} MiB/s, direct {whole:.0} MiB/s: ratio {:.2}", parts / whole);
    println!(
        "guard's memory grew by {:.1} MiB, to {:.1} MiB",
        grown as f64 / 1024.0,
        process.highest_memory_kib() as f64 / 1024.0
    );
}

/// MiB a second of one request with all of it.
async fn direct(edge: SocketAddr, lines: &str, length: u64) -> f64 {
    let began = Instant::now();
    let mut client = RawClient::connect(edge).await;
    let preamble = "--b\r\nContent-Disposition: form-data; name=\"assetData\"; filename=\"a.mov\"\r\n\r\n";
    let closing = "\r\n--b--\r\n";
    let all = length + (preamble.len() + closing.len()) as u64;
    client
        .send(format!(
            "POST /api/assets HTTP/1.1\r\n{lines}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {all}\r\n\r\n{preamble}"
        ))
        .await;
    send(&mut client, 0, length).await;
    client.send(closing).await;
    assert_eq!(client.read_response().await.status, 201);
    length as f64 / MIB as f64 / began.elapsed().as_secs_f64()
}

/// The same in parts.
async fn in_parts(edge: SocketAddr, lines: &str, length: u64, part: u64) -> f64 {
    let began = Instant::now();
    let lines = format!("{lines}Tus-Resumable: 1.0.0\r\n");
    let metadata = format!("filename {}", STANDARD.encode("a.mov"));
    let mut client = RawClient::connect(edge).await;
    client
        .send(format!(
            "POST /.guard/uploads HTTP/1.1\r\n{lines}Upload-Length: {length}\r\nUpload-Metadata: {metadata}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    let path = client.read_response().await.header("location").expect("an upload").to_owned();
    let mut at = 0;
    while at < length {
        let end = length.min(at + part);
        let mut client = RawClient::connect(edge).await;
        client
            .send(format!(
                "PATCH {path} HTTP/1.1\r\n{lines}Content-Type: application/offset+octet-stream\r\nUpload-Offset: {at}\r\n\
                 Content-Length: {}\r\n\r\n",
                end - at
            ))
            .await;
        send(&mut client, at, end).await;
        let response = client.read_response().await;
        assert_eq!((response.status, response.header("upload-offset")), (204, Some(&*end.to_string())));
        at = end;
    }
    length as f64 / MIB as f64 / began.elapsed().as_secs_f64()
}

async fn send(client: &mut RawClient, from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let end = to.min(at + MIB / 4);
        client.send(noise::bytes(at, end)).await;
        at = end;
    }
}

/// A relay that refuses a request whose declared length is above the limit, and breaks a connection that carries more bytes in one request.
async fn edge(guard: SocketAddr, limit: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            tokio::spawn(relay(client, guard, limit));
        }
    });
    address
}

async fn relay(mut client: TcpStream, guard: SocketAddr, limit: u64) {
    let Ok(mut upstream) = TcpStream::connect(guard).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_guard, mut to_guard) = upstream.split();
    let up = async {
        let (mut buffer, mut carried, mut head) = (vec![0; 256 * 1024], 0_u64, Vec::new());
        while let Ok(count) = from_client.read(&mut buffer).await
            && count > 0
        {
            if head.len() < 4096 {
                head.extend_from_slice(&buffer[..count.min(4096)]);
                let text = String::from_utf8_lossy(&head).to_lowercase();
                let declared =
                    text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse::<u64>().ok());
                if declared.is_some_and(|length| length > limit) {
                    return;
                }
            }
            carried += count as u64;
            if carried > limit || to_guard.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = tokio::io::copy(&mut from_guard, &mut to_client);
    tokio::select! {
        () = up => {}
        _ = down => {}
    }
}
