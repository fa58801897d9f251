//! The certs endpoint of the demo's front door: publishes keys, counts who asks, and can be switched off.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::demo::text::Text;

/// A running endpoint.
pub struct KeyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Vec<Value>>,
    fetches: AtomicU64,
    down: AtomicBool,
}

impl KeyServer {
    /// Publishes `keys` on a free port.
    pub fn start(keys: Vec<Value>) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(super::loopback()?)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { keys: Mutex::new(keys), ..Shared::default() });
        let state = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                let service = service_fn(move |_request| {
                    let response = state.answer();
                    async move { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(async move { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) });
            }
        });
        Ok(Self { address, shared })
    }

    /// What `GUARD_JWKS_URL` says.
    pub fn url(&self) -> String {
        format!("http://{}/cdn-cgi/access/certs", self.address)
    }

    /// Publishes other keys from now on.
    pub fn publish(&self, keys: Vec<Value>) {
        *self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Answers 503 from now on, or no longer.
    pub fn switch_off(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn fetches(&self) -> u64 {
        self.shared.fetches.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn answer(&self) -> Response<Text> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut response = Response::new(Text::new(json!({ "keys": *keys }).to_string()));
        if self.down.load(Ordering::SeqCst) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}
