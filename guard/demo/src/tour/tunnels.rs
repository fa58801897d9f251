//! WebSockets, which the app holds open for its live updates, and the end of a guard's life.

use std::io;

use serde_json::json;

use super::{Tour, upload_head};
use crate::Home;
use crate::client::{Client, Framing};
use testkit::issuer::unix_now;
use testkit::noise::hex;
use testkit::photos::hash;

/// WebSockets at once: four sockets each, in this one process.
const MANY: usize = 1000;
/// Tunnels during the drain.
const DRAINED: usize = 50;
/// The upload and the download during the drain, in bytes.
const TRANSFER: u64 = 32 << 20;

pub(super) async fn run(tour: &mut Tour<'_>) {
    if tour.home.photos.is_none() {
        return;
    }
    tour.part("Live updates (WebSockets)");
    let token = tour.home.token();
    let many = MANY.min(affordable());
    let mut sockets = Vec::new();
    for _ in 0..many {
        match Client::open_websocket(tour.home.guard.address(), &token).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => return tour.step("opening WebSockets", error, false, ""),
        }
    }
    let mut echoes = 0;
    for (number, socket) in sockets.iter_mut().enumerate() {
        echoes += usize::from(socket.echoes(&format!("hello {number}")).await);
    }
    tour.step("WebSockets open at once that answer", format!("{echoes} of {many}"), echoes == many, "a whole family's phones");
    drop(sockets);

    let mut claims = tour.home.person("ada@family.example");
    claims["exp"] = json!(unix_now() + 2);
    let brief = tour.home.issuer.mint(&claims);
    let ended = async {
        let mut socket = Client::open_websocket(tour.home.guard.address(), &brief).await?;
        let lived = socket.echoes("still here").await;
        socket.closed().await.map(|()| lived)
    };
    let ended: io::Result<bool> = ended.await;
    let right = matches!(ended, Ok(true));
    tour.step(
        "a WebSocket whose proof runs out in 2 seconds",
        if right { "closed then" } else { "was not" },
        right,
        "nobody stays on an old proof",
    );

    tour.part("The guard is told to stop (SIGTERM)");
    match drain(tour.home).await {
        Ok(Drained { upload, download, tunnels, refused, cut }) => {
            tour.step("a new request", refused, refused == 503, "with Retry-After: its successor answers");
            tour.step("an upload in mid-way", if upload { "stored whole" } else { "lost" }, upload, "no photo is lost");
            tour.step("a download in mid-way", if download { "whole" } else { "cut" }, download, "nor a download");
            tour.step(
                "WebSockets",
                format!("{tunnels} of {DRAINED} closed"),
                tunnels == DRAINED,
                "before the grace ends; the app reconnects",
            );
            tour.step("what had to be cut", cut, cut == 0, "it ends by itself, exit code 0");
        }
        Err(error) => tour.step("draining", error, false, ""),
    }
}

struct Drained {
    upload: bool,
    download: bool,
    tunnels: usize,
    refused: u16,
    cut: i64,
}

async fn drain(home: &Home) -> io::Result<Drained> {
    let mut guard = home.another_guard().await?;
    let (address, token) = (guard.address(), home.token());
    let mut tunnels = Vec::new();
    for _ in 0..DRAINED {
        tunnels.push(Client::open_websocket(address, &token).await?);
    }
    let mut idle = Client::connect(address).await?;
    idle.send("GET / HTTP/1.1\r\n").await?;
    let mut uploader = Client::connect(address).await?;
    uploader.send(format!("{}Content-Length: {TRANSFER}\r\n\r\n", upload_head(&token))).await?;
    uploader.pieces(0, TRANSFER / 2, Framing::Declared).await?;
    let mut downloader = Client::connect(address).await?;
    downloader.send(super::get(&format!("/original?size={TRANSFER}"), &format!("Cf-Access-Jwt-Assertion: {token}\r\n"))).await?;
    let _head = downloader.head().await?;

    guard.terminate();
    guard.logged(|message| message == "draining").await?;
    let refused = idle.ask(format!("Host: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await?.status;
    uploader.pieces(TRANSFER / 2, TRANSFER, Framing::Declared).await?;
    let stored = uploader.answer().await?;
    let wanted = hash(TRANSFER);
    let upload = stored.status == 201 && String::from_utf8_lossy(&stored.body).contains(&wanted);
    let size = usize::try_from(TRANSFER).unwrap_or(usize::MAX);
    let file = downloader.take(size).await?;
    let download = hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &file).as_ref()) == wanted;
    drop((uploader, downloader, idle));
    let mut closed = 0;
    for tunnel in &mut tunnels {
        closed += usize::from(tunnel.closed().await.is_ok());
    }
    let drained = guard.logged(|message| message == "drained").await?;
    let cut = ["cut_connections", "cut_tunnels"].iter().map(|field| drained[field].as_i64().unwrap_or(-1)).sum();
    let status = guard.end().await?;
    if !status.success() {
        return Err(io::Error::other(format!("guard ended with {status}")));
    }
    Ok(Drained { upload, download, tunnels: closed, refused, cut })
}

/// How many WebSockets the limit of open files allows here.
fn affordable() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(200) / 4).unwrap_or(usize::MAX)
}
