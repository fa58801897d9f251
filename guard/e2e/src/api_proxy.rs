//! A reverse proxy before kube-apiserver, with the rights of the administrator: requests enter, and leave as they are. It holds one request that
//! writes, so that a client can be ended there, tells somebody of each request, and stands in for the logs of a kubelet.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;
type Observer = Arc<dyn Fn() + Send + Sync>;

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the API server gets it.
    Before,
    /// After the API server has done it, before the client knows.
    After,
}

/// A running proxy.
pub(crate) struct ApiProxy {
    /// A kubeconfig that leads here.
    pub kubeconfig: PathBuf,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    client: Client,
    wanted: Mutex<Wanted>,
}

/// What the proxy is to do.
#[derive(Default)]
struct Wanted {
    held: Option<(When, oneshot::Sender<String>)>,
    writes: Vec<String>,
    passed: Vec<String>,
    log: Option<String>,
    observer: Option<Observer>,
}

impl ApiProxy {
    /// Starts a proxy, and writes its kubeconfig into a folder.
    pub(crate) async fn start(client: Client, folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {"server": format!("http://{}", listener.local_addr()?)}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e"}}],
        });
        let kubeconfig = folder.join("proxy.kubeconfig");
        std::fs::write(&kubeconfig, config.to_string())?;
        let state = Arc::new(State { client, wanted: Mutex::default() });
        let serving = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { kubeconfig, state, serving })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Wanted) -> T) -> Result<T> {
        Ok(change(&mut *self.state.wanted.lock().ok().context("a request to the proxy panicked")?))
    }

    /// Holds the next request that writes, for ever. What is returned says which one, as soon as it is there.
    pub(crate) fn hold_next_write(&self, when: When) -> Result<oneshot::Receiver<String>> {
        let (sender, receiver) = oneshot::channel();
        self.change(|wanted| wanted.held = Some((when, sender)))?;
        Ok(receiver)
    }

    /// Returns the requests that wrote since the last call, `METHOD PATH`, and holds none any more.
    pub(crate) fn take_writes(&self) -> Result<Vec<String>> {
        self.change(|wanted| {
            wanted.held = None;
            std::mem::take(&mut wanted.writes)
        })
    }

    /// From now on, requests with these methods and paths are neither held nor counted.
    pub(crate) fn let_pass(&self, writes: Vec<String>) -> Result<()> {
        self.change(|wanted| wanted.passed = writes)
    }

    /// Answers each request for the log of a pod with this text. Without one, no pod has a log: kwok has no kubelet.
    pub(crate) fn answer_logs(&self, text: Option<&str>) -> Result<()> {
        self.change(|wanted| wanted.log = text.map(str::to_owned))
    }

    /// Calls a function at each request, before it is answered.
    pub(crate) fn observe(&self, observer: Observer) -> Result<()> {
        self.change(|wanted| wanted.observer = Some(observer))
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // A client may close its connection before it is accepted.
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, state.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(&state, request).await.unwrap_or_else(|error| said(502, format!("{error:#}")))) }
    });
    // A client may close its connection at any time.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn said(status: u16, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

async fn answer(state: &State, request: Request<Incoming>) -> Result<Answer> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let is_log = path.contains("/pods/") && path.ends_with("/log");
    let name = format!("{} {path}", parts.method);
    let writes = writes(&parts.method, &path, parts.uri.query().unwrap_or_default());
    let (observer, log, held) = {
        let mut wanted = state.wanted.lock().ok().context("a request panicked")?;
        let is_write = writes && !wanted.passed.contains(&name);
        if is_write {
            wanted.writes.push(name.clone());
        }
        (wanted.observer.clone(), wanted.log.clone(), if is_write { wanted.held.take() } else { None })
    };
    if let Some(observer) = observer {
        observer();
    }
    if is_log {
        return Ok(log.map_or_else(|| said(404, "no kubelet"), |text| said(200, text)));
    }
    let held = match held {
        Some((When::Before, sender)) => return hold(sender, name).await,
        Some((When::After, sender)) => Some(sender),
        None => None,
    };
    parts.headers.remove(HOST);
    parts.uri = parts.uri.path_and_query().context("no path")?.as_str().parse()?;
    let body = body.collect().await?.to_bytes();
    let response = state.client.send(Request::from_parts(parts, Body::from(body))).await?;
    if let Some(sender) = held {
        return hold(sender, name).await;
    }
    Ok(response.map(BodyExt::boxed_unsync))
}

/// Says that a request is held, and never answers it.
async fn hold(sender: oneshot::Sender<String>, name: String) -> Result<Answer> {
    // Whoever waits may have given up.
    let _ = sender.send(name);
    std::future::pending().await
}

/// Whether a request changes the cluster. A question about rights is sent by POST, too.
fn writes(method: &Method, path: &str, query: &str) -> bool {
    let is_method = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    is_method && !query.contains("dryRun=All") && !path.contains("/authorization.k8s.io/")
}
