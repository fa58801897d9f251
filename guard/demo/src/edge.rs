//! What Cloudflare's edge and cloudflared would do for a signed-in browser: put an assertion on each request. For the demo's browser
//! only: one request a connection, so that every one of them gets its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use testkit::issuer::unix_now;
use testkit::signer::KeyPair;

/// The largest head that is read, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Serves on `listen` until the process ends, and signs `claims` anew for each request.
pub async fn start(listen: &str, guard: SocketAddr, signer: Arc<KeyPair>, claims: Value) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((browser, _)) = listener.accept().await {
            let mut claims = claims.clone();
            claims["exp"] = json!(unix_now() + 3600);
            let token = signer.mint(&claims);
            // A browser that leaves early is nobody's trouble.
            tokio::spawn(async move { drop(forward(browser, guard, &token).await) });
        }
    });
    Ok(address)
}

async fn forward(mut browser: TcpStream, guard: SocketAddr, token: &str) -> io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 2;
        }
        if bytes.len() > MAX_HEAD_BYTES || browser.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let (head, rest) = bytes.split_at(end);
    let head = String::from_utf8_lossy(head);
    let upgrade = head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n");
    let kept = head.split_inclusive("\r\n").filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("cf-access-") && (upgrade || !line.starts_with("connection:"))
    });
    let mut signed: String = kept.collect();
    for line in ["Cf-Access-Jwt-Assertion: ", token, "\r\nCf-Connecting-Ip: 203.0.113.7\r\n"] {
        signed.push_str(line);
    }
    if !upgrade {
        signed.push_str("Connection: close\r\n");
    }
    let mut guard = TcpStream::connect(guard).await?;
    guard.write_all(signed.as_bytes()).await?;
    guard.write_all(rest).await?;
    copy_bidirectional(&mut browser, &mut guard).await?;
    Ok(())
}
