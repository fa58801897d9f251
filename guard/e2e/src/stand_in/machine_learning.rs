//! Stands in for Immich's machine learning: it answers `/ping` on the port of `IMMICH_PORT`, and needs its cache to be writable.

use std::path::Path;

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use crate::{Answer, said, serve};

pub(crate) async fn run() -> Result<()> {
    for variable in ["MACHINE_LEARNING_CACHE_FOLDER", "HF_XET_CACHE", "MPLCONFIGDIR", "XDG_CACHE_HOME", "HOME"] {
        let folder = std::env::var(variable).with_context(|| format!("{variable} is not set"))?;
        std::fs::create_dir_all(&folder).with_context(|| format!("{variable}: {folder}"))?;
        std::fs::write(Path::new(&folder).join("model"), "weights").with_context(|| format!("{variable}: {folder}"))?;
    }
    let port = std::env::var("IMMICH_PORT").context("IMMICH_PORT is not set")?.parse()?;
    serve(port, answer).await
}

async fn answer(request: Request<Incoming>) -> Result<Answer> {
    Ok(match request.uri().path() {
        "/ping" => said(StatusCode::OK, "pong"),
        _ => said(StatusCode::NOT_FOUND, "{}"),
    })
}
