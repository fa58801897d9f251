//! Stands in for the server of Immich: an upload is stored in `/data/library` and in Postgres, told to Valkey, and shown to machine learning.
//!
//! | what | as Immich does it |
//! |---|---|
//! | start | waits for Postgres, creates its tables, writes its marker below `/data` |
//! | `POST /api/assets` | the file first (a part, fsync, rename), then the row: a row without a file is a lost photo |
//! | `GET /api/assets/ID/original` | the file |
//! | `GET /api/server/ping`, `/api/server/config` | alive; alive with its database |
//! | `GET /api/socket.io/` | a WebSocket that echoes |

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::{Method, Request, StatusCode};
use testkit::immich::{Form, websocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::{Answer, said, serve};

const LIBRARY: &str = "/data/library";
const TABLE: &str = "create table if not exists asset (id text primary key, bytes bigint not null, sha256 text not null)";

pub(crate) async fn run() -> Result<()> {
    fs::create_dir_all(LIBRARY)?;
    fs::write("/data/library/.immich", "13")?;
    // What a power cut has left: no row names it.
    for entry in fs::read_dir(LIBRARY)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            fs::remove_file(path)?;
        }
    }
    while let Err(error) = sql(TABLE).await {
        eprintln!("waiting for Postgres: {error:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let port = variable("IMMICH_PORT")?.parse()?;
    println!("Immich Server is listening on port {port}");
    serve(port, answer).await
}

async fn answer(mut request: Request<Incoming>) -> Result<Answer> {
    let path = request.uri().path().to_owned();
    let file = path.strip_prefix("/api/assets/").and_then(|rest| rest.strip_suffix("/original"));
    match (request.method(), path.as_str()) {
        (&Method::GET, "/api/server/ping") => Ok(said(StatusCode::OK, r#"{"res":"pong"}"#)),
        (&Method::GET, "/api/server/config") => {
            sql("select 1").await?;
            Ok(said(StatusCode::OK, "{}"))
        }
        (&Method::POST, "/api/assets") => upload(request).await,
        (&Method::GET, "/api/socket.io/") if request.headers().contains_key(UPGRADE) => open_websocket(&mut request),
        (&Method::GET, _) if let Some(id) = file => {
            ensure!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id:?} is no id");
            let mut answer = said(StatusCode::OK, fs::read(Path::new(LIBRARY).join(id))?);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
            Ok(answer)
        }
        _ => Ok(said(StatusCode::NOT_FOUND, "{}")),
    }
}

async fn upload(request: Request<Incoming>) -> Result<Answer> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut form = Form::new(kind).context("wanted a form")?;
    let part = Part(Path::new(LIBRARY).join(format!("{}.part", COUNT.fetch_add(1, Ordering::Relaxed))));
    let mut file = File::create(&part.0)?;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let mut written = Ok(());
        if let Ok(data) = frame?.into_data() {
            form.push(&data, |bytes| {
                if written.is_ok() {
                    written = file.write_all(bytes);
                }
            });
        }
        written?;
    }
    let stored = form.finish().context("the form did not end")?;
    file.sync_all()?;
    fs::rename(&part.0, Path::new(LIBRARY).join(&stored.sha256))?;
    let made = sql(&format!(
        "insert into asset values ('{0}', {1}, '{0}') on conflict do nothing returning id",
        stored.sha256, stored.bytes
    ))
    .await?;
    ask("REDIS_HOSTNAME", "REDIS_PORT", b"PING\r\n", b"+PONG").await?;
    ask("", "", b"GET /ping HTTP/1.1\r\nHost: ml\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200").await?;
    let (status, word) = if made.is_empty() { (StatusCode::OK, "duplicate") } else { (StatusCode::CREATED, "created") };
    Ok(said(status, format!(r#"{{"id":"{}","status":"{word}"}}"#, stored.sha256)))
}

/// A file that is removed unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Sends a request to Valkey, or without variables to machine learning, and wants an answer that begins like this.
async fn ask(host: &str, port: &str, request: &[u8], wanted: &[u8]) -> Result<()> {
    let address = if host.is_empty() {
        let url = variable("IMMICH_MACHINE_LEARNING_URL")?;
        url.strip_prefix("http://").with_context(|| format!("found {url}, wanted http://"))?.to_owned()
    } else {
        format!("{}:{}", variable(host)?, variable(port)?)
    };
    let mut stream = TcpStream::connect(&address).await.with_context(|| address.clone())?;
    stream.write_all(request).await?;
    let mut answer = vec![0; wanted.len()];
    stream.read_exact(&mut answer).await.with_context(|| address.clone())?;
    ensure!(answer == wanted, "{address}: found {:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Runs a statement with psql, and returns what it prints.
async fn sql(statement: &str) -> Result<String> {
    let password = fs::read_to_string(variable("DB_PASSWORD_FILE")?)?;
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--no-password"]);
    for (name, of) in
        [("PGHOST", "DB_HOSTNAME"), ("PGPORT", "DB_PORT"), ("PGUSER", "DB_USERNAME"), ("PGDATABASE", "DB_DATABASE_NAME")]
    {
        command.env(name, variable(of)?);
    }
    command.env("PGPASSWORD", password.trim_end()).env("PGCONNECT_TIMEOUT", "5").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.arg("--command").arg(statement).output().await.context("psql")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

fn open_websocket(request: &mut Request<Incoming>) -> Result<Answer> {
    let accept = websocket::accept(request.headers()).context("wanted a WebSocket")?;
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            websocket::echo(upgraded).await;
        }
    });
    let mut answer = said(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept)?);
    Ok(answer)
}
