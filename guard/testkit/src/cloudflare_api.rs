//! Cloudflare's API v4 on loopback, as far as a home needs it: zones, DNS, Access, tunnels, rulesets, settings.
//!
//! Real shapes, ids, pages, error envelopes and codes; permissions by token; faults at any call. After every call it looks at itself from outside:
//! [`CloudflareApi::open_moments`] lists every moment in which a host name was reachable without a closed gate. Cloudflare's official Python SDK
//! is run against it (`make test-cloudflare-sdk`).

mod access;
mod faults;
mod gate;
mod permissions;
mod reply;
mod routes;
mod state;
mod tunnels;
mod zone;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::watch;

pub use self::faults::Fault;
use self::faults::{Faults, Verdict};
use self::reply::Reply;
pub use self::state::{ACCOUNT, State, TEAM, ZONE, ZONE_NAME};
use crate::server::{ANY_PORT, Server};

/// A call as it came, and how it was answered.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// The path below `/client/v4`, without the query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The body, if it was JSON.
    pub body: Option<Value>,
    /// The status of the answer; 0 where there was none.
    pub status: u16,
}

impl Recorded {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

/// The stand-in. It stops when it is dropped.
pub struct CloudflareApi {
    shared: Arc<Shared>,
    server: Server,
}

struct Shared {
    inner: Mutex<Inner>,
    /// The number of calls that wait for ever.
    held: watch::Sender<usize>,
}

struct Inner {
    state: State,
    faults: Faults,
    calls: Vec<Recorded>,
    open: Vec<String>,
}

impl CloudflareApi {
    /// An account with a domain, Zero Trust, one login method, and nothing else.
    pub async fn start() -> Self {
        let inner = Inner { state: State::new(), faults: Faults::default(), calls: Vec::new(), open: Vec::new() };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), held: watch::Sender::new(0) });
        let state = Arc::clone(&shared);
        let server = Server::start(ANY_PORT, move |stream| {
            let state = Arc::clone(&state);
            async move {
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { answer(&state, request).await }
                });
                // A client may go away, and a fault may close the connection.
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            }
        })
        .await;
        Self { shared, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The base of every path.
    pub fn url(&self) -> String {
        format!("http://{}/client/v4", self.address())
    }

    /// A user's token with every permission that a home needs.
    pub fn token(&self) -> String {
        self.edit(|state| state.new_token("cfut", permissions::ALL))
    }

    /// A token without these permissions, such as `DNS Write`; without the write, the read stays.
    pub fn token_without(&self, missing: &[&str]) -> String {
        self.edit(|state| {
            let reads = missing.iter().filter_map(|name| name.strip_suffix(" Write")).map(|name| format!("{name} Read"));
            let left = permissions::ALL.iter().filter(|name| !missing.contains(name)).map(|name| (*name).to_owned());
            let all: Vec<_> = left.chain(reads).collect();
            state.new_token("cfut", &all.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }

    /// A token of the account, which is verified elsewhere.
    pub fn account_token(&self) -> String {
        self.edit(|state| state.new_token("cfat", permissions::ALL))
    }

    /// Looks at the account, or changes it behind everybody's back.
    pub fn edit<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut lock(&self.shared.inner).state)
    }

    /// Plants a fault.
    pub fn plant(&self, fault: Fault) {
        lock(&self.shared.inner).faults.plant(fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        lock(&self.shared.inner).faults = Faults::default();
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Recorded> {
        lock(&self.shared.inner).calls.clone()
    }

    /// Forgets the calls, and counts from 1 again.
    pub fn forget(&self) {
        lock(&self.shared.inner).calls.clear();
    }

    /// Every moment in which a host name was reachable and its gate was not closed: the call after which it was so.
    pub fn open_moments(&self) -> Vec<String> {
        lock(&self.shared.inner).open.clone()
    }

    /// The host names that are reachable through a tunnel now.
    pub fn reachable(&self) -> Vec<String> {
        self.edit(|state| gate::reachable(state))
    }

    /// Waits until a call waits for ever.
    pub async fn wait_for_held(&self) {
        // The sender lives as long as this value.
        let _ = self.shared.held.subscribe().wait_for(|held| *held > 0).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a handler sees of a request.
pub(crate) struct Asked {
    method: String,
    path: String,
    query: String,
    authorization: String,
    body: Result<Option<Value>, ()>,
}

impl Asked {
    /// A parameter of the query, decoded.
    fn parameter(&self, name: &str) -> Option<String> {
        let value = self.query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
        Some(decoded(value))
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = (byte == b'%' && tail.len() >= 2).then(|| std::str::from_utf8(&tail[..2]).ok()).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(if byte == b'+' { b' ' } else { byte });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let path = head.uri.path();
    let asked = Asked {
        method: head.method.to_string(),
        path: path.strip_prefix("/client/v4").unwrap_or(path).to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorization: header("authorization"),
        body: if body.is_empty() { Ok(None) } else { serde_json::from_slice(&body).map(Some).map_err(|_| ()) },
    };
    let verdict = decide(shared, &asked);
    match verdict {
        Verdict::Answer(reply) => Ok(reply.into_response()),
        Verdict::Close => Err(io::Error::other("a fault closes the connection")),
        Verdict::Hold => {
            shared.held.send_modify(|held| *held += 1);
            std::future::pending().await
        }
    }
}

/// Answers, or does what a fault says; and looks whether a host name is open now.
fn decide(shared: &Shared, asked: &Asked) -> Verdict {
    let mut inner = lock(&shared.inner);
    let number = inner.calls.len() + 1;
    let fault = inner.faults.take(number, asked);
    let is_done = fault.as_ref().is_none_or(Fault::is_done_first);
    let reply = if is_done { routes::answer(&mut inner.state, asked) } else { Reply::error(500, 0, "a fault") };
    let verdict = match fault {
        Some(fault) => fault.verdict(reply),
        None => Verdict::Answer(reply),
    };
    let status = if let Verdict::Answer(reply) = &verdict { reply.status() } else { 0 };
    let Asked { method, path, query, .. } = asked;
    let body = asked.body.clone().ok().flatten();
    inner.calls.push(Recorded { method: method.clone(), path: path.clone(), query: query.clone(), body, status });
    let open = gate::open(&inner.state);
    inner.open.extend(open.into_iter().map(|host| format!("after call {number}, {method} {path}: {host}")));
    verdict
}
