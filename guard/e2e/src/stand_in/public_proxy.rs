//! Stands in for immich-public-proxy: its health, which is Immich's, and photos below `/share/`; everything else is 404. It has no key.

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{Answer, said, serve};

const PORT: u16 = 3000;

pub(crate) async fn run() -> Result<()> {
    // Where the real one keeps what it fetches.
    std::fs::write("/tmp/cache", "").context("/tmp")?;
    serve(PORT, answer).await
}

async fn answer(request: Request<Incoming>) -> Result<Answer> {
    match request.uri().path().strip_prefix("/share/") {
        Some("healthcheck") => {
            let answer = ask("/api/server/ping").await?;
            Ok(said(if answer.0.is_success() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, "ok"))
        }
        Some(id) if id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let (status, photo) = ask(&format!("/api/assets/{id}/original")).await?;
            Ok(said(status, photo))
        }
        _ => Ok(said(StatusCode::NOT_FOUND, "")),
    }
}

/// Asks Immich.
async fn ask(path: &str) -> Result<(StatusCode, Bytes)> {
    let url = std::env::var("IMMICH_URL").context("IMMICH_URL is not set")?;
    let authority = url.strip_prefix("http://").with_context(|| format!("IMMICH_URL: found {url}, wanted http://"))?;
    let stream = TcpStream::connect(authority).await.with_context(|| authority.to_owned())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(Request::get(path).header(HOST, authority).body(Empty::<Bytes>::new())?).await?;
    Ok((answer.status(), answer.into_body().collect().await?.to_bytes()))
}
