//! A Git server on loopback, from which Flux fetches: `git http-backend` behind a small HTTP server. Tests can make it unavailable.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::repo::git;

/// The path of the repository on the server.
const NAME: &str = "/photos";
/// The maximum size of a request in bytes. A fetch names commits, but sends none.
const REQUEST_MAX: usize = 1 << 20;

/// A Git server with one repository.
pub(crate) struct Forge {
    address: SocketAddr,
    away: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Forge {
    /// Starts a server for the commits of `tree`.
    pub(crate) async fn start(tree: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (away, is_away) = watch::channel(false);
        let serving = tokio::spawn(accept(listener, tree.into(), is_away));
        Ok(Self { address, away, serving })
    }

    /// Returns the URL for the `GitRepository`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{NAME}", self.address)
    }

    /// Makes the server unavailable or available. While unavailable, it closes every connection but keeps its port.
    pub(crate) fn be_away(&self, away: bool) {
        self.away.send_replace(away);
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, tree: Arc<Path>, mut away: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // A client may close its connection before it is accepted.
            accepted = listener.accept() => if let Ok((stream, _)) = accepted && !*away.borrow() {
                connections.spawn(serve(stream, Arc::clone(&tree)));
            },
            Ok(()) = away.changed() => connections.abort_all(),
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, tree: Arc<Path>) {
    let service = service_fn(|request| {
        let tree = Arc::clone(&tree);
        async move { Ok::<_, Infallible>(answer(&tree, request).await.unwrap_or_else(|error| said(500, format!("{error:#}")))) }
    });
    // A client may close its connection at any time.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn said(status: u16, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Forwards a request to git-http-backend(1) over the Common Gateway Interface (RFC 3875), and returns its response.
async fn answer(tree: &Path, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let Some(path) = head.uri.path().strip_prefix(NAME) else {
        return Ok(said(404, format!("{}: not found, the only repository is {NAME}", head.uri.path())));
    };
    let Ok(body) = Limited::new(body, REQUEST_MAX).collect().await else {
        return Ok(said(413, format!("the request is incomplete or larger than {REQUEST_MAX} bytes")));
    };
    let body = body.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut path_translated = PathBuf::from(tree).join(".git").into_os_string();
    path_translated.push(path);

    let mut command = Command::from(git(tree));
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("PATH_TRANSLATED", path_translated).env("GIT_HTTP_EXPORT_ALL", "").env("REQUEST_METHOD", head.method.as_str());
    command.env("QUERY_STRING", head.uri.query().unwrap_or_default()).env("CONTENT_LENGTH", body.len().to_string());
    for (variable, name) in
        [("CONTENT_TYPE", "content-type"), ("HTTP_CONTENT_ENCODING", "content-encoding"), ("GIT_PROTOCOL", "git-protocol")]
    {
        command.env(variable, header(name));
    }
    let mut child = command.spawn().context("git http-backend did not start")?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    // Writes and reads at the same time: git may respond before it has read the whole body. Then its exit status shows the error.
    let ((), output) = tokio::join!(
        async move {
            let _ = stdin.write_all(&body).await;
        },
        child.wait_with_output()
    );
    let output = output?;
    ensure!(output.status.success(), "git http-backend: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    from_cgi(output.stdout)
}

/// Parses the output of a CGI program: headers, an empty line and the body. The header `Status` sets the status of the response.
fn from_cgi(answer: Vec<u8>) -> Result<Response<Full<Bytes>>> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("git http-backend answered without headers")?;
    let headers = std::str::from_utf8(&answer[..end]).context("git http-backend's headers are not text")?.to_owned();
    let mut response = said(200, Bytes::from(answer).slice(end + 4..));
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").with_context(|| format!("git http-backend: {line:?} is not a header"))?;
        if name == "Status" {
            let code = value.split(' ').next().unwrap_or_default();
            *response.status_mut() = code.parse().with_context(|| format!("git http-backend: {line:?}"))?;
        } else {
            response.headers_mut().insert(hyper::header::HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
    }
    Ok(response)
}
