//! A Cloud Run service on loopback that lets nobody in but its invoker, and the container behind it.
//!
//! As the real one: a token in `X-Serverless-Authorization` counts before one in `Authorization`; RS256, audience, end and the invoker's
//! e-mail are checked; the container gets the token without its signature; more than 32 MiB is a 413; without an instance it answers 429
//! or 503 by itself, and the container sees nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::identity::{ACCOUNT, Google};
use crate::photos::{Bytestream, Stored, receive};
use guard::idtoken::config::{DEFAULT_MAX_BODY_BYTES, X_SERVERLESS_AUTHORIZATION};
use http_body_util::Full;

/// What stands where the signature was, for the container.
pub const SIGNATURE_REMOVED: &str = "SIGNATURE_REMOVED_BY_GOOGLE";

/// A running service. It stops when it is dropped.
pub struct CloudRun {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    keys: Vec<Value>,
    audiences: Mutex<Vec<String>>,
    cold: Mutex<VecDeque<Cold>>,
    seen: Mutex<Seen>,
}

/// One answer in the place of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Cold {
    /// 429 or 503.
    pub status: StatusCode,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

/// What it saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections that were opened to it.
    pub connections: u64,
    /// Requests that came, refused ones too.
    pub requests: u64,
    /// Requests that carried no token in either header.
    pub without_token: u64,
    /// Those that reached the container.
    pub container: Vec<Reached>,
}

/// A request as the container saw it.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Method and target.
    pub line: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl Reached {
    /// All values of that header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl CloudRun {
    /// Serves on a free port, for tokens of `google`; its own URL is an audience.
    pub fn start(google: &Google) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(crate::server::loopback()?)?;
        let address = listener.local_addr()?;
        let keys = google.key_set()["keys"].as_array().cloned().unwrap_or_default();
        let shared = Arc::new(Shared {
            keys,
            audiences: Mutex::new(vec![format!("http://{address}")]),
            cold: Mutex::default(),
            seen: Mutex::default(),
        });
        let state = shared.clone();
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&state.seen).connections += 1;
                let _ = stream.set_nodelay(true);
                let state = state.clone();
                let service = service_fn(move |request| {
                    let state = state.clone();
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                tokio::spawn(async move { drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await) });
            }
        };
        Ok(Self { address, shared, task: tokio::spawn(accept).abort_handle() })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `UPSTREAM_SERVER_URL` says.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One more audience (`gcloud run services update --add-custom-audiences`).
    pub fn accept_audience(&self, audience: &str) {
        lock(&self.shared.audiences).push(audience.to_owned());
    }

    /// Has no instance for the next `times` requests that may enter.
    pub fn chill(&self, times: usize, cold: Cold) {
        lock(&self.shared.cold).extend(std::iter::repeat_n(cold, times));
    }

    /// What it saw so far.
    pub fn seen(&self) -> Seen {
        lock(&self.shared.seen).clone()
    }

    /// The latest request that reached the container.
    pub fn last(&self) -> Option<Reached> {
        lock(&self.shared.seen).container.last().cloned()
    }
}

impl Drop for CloudRun {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn answer(&self, mut request: Request<Incoming>) -> Response<Reply> {
        lock(&self.seen).requests += 1;
        if let Err(status) = self.admit(request.headers_mut()) {
            let mut response = text(status, "the front of Cloud Run refuses\n");
            if status == StatusCode::UNAUTHORIZED {
                let challenge = "Bearer error=\"invalid_token\" error_description=\"The access token could not be verified\"";
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            return response;
        }
        let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > DEFAULT_MAX_BODY_BYTES) {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large\n");
        }
        let cold = lock(&self.cold).pop_front();
        if let Some(Cold { status, retry_after }) = cold {
            // Google's front end takes a request whole before it gives up on an instance. One that breaks off gets no answer anyway.
            drop(receive(request.into_body()).await);
            let mut response = text(status, "Rate exceeded.");
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            return response;
        }
        self.container(request).await
    }

    /// IAM's check, and what it leaves of the token.
    fn admit(&self, headers: &mut HeaderMap) -> Result<(), StatusCode> {
        let name = if headers.contains_key(X_SERVERLESS_AUTHORIZATION) { X_SERVERLESS_AUTHORIZATION } else { AUTHORIZATION };
        let token = headers.get(&name).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned));
        let Some(token) = token else {
            lock(&self.seen).without_token += 1;
            return Err(StatusCode::FORBIDDEN);
        };
        let claims = super::identity::verified(&token, &self.keys).ok_or(StatusCode::UNAUTHORIZED)?;
        let known = claims["aud"].as_str().is_some_and(|aud| lock(&self.audiences).iter().any(|known| known == aud));
        if !known || claims["exp"].as_u64().is_none_or(|exp| exp <= crate::issuer::unix_now()) {
            return Err(StatusCode::UNAUTHORIZED);
        }
        if claims["email"] != ACCOUNT {
            return Err(StatusCode::FORBIDDEN);
        }
        let unsigned = token.rsplit_once('.').map_or("", |(message, _)| message);
        let left = HeaderValue::from_str(&format!("Bearer {unsigned}.{SIGNATURE_REMOVED}"));
        headers.insert(name, left.map_err(|_| StatusCode::UNAUTHORIZED)?);
        Ok(())
    }

    async fn container(&self, request: Request<Incoming>) -> Response<Reply> {
        let line = format!("{} {}", request.method(), request.uri());
        let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers: Vec<_> = request.headers().iter().map(|(name, line)| (name.to_string(), value(line))).collect();
        let echo = json!({"line": line, "headers": headers});
        lock(&self.seen).container.push(Reached { line, headers });
        let query = request.uri().query().unwrap_or_default().to_owned();
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/ping") => text(StatusCode::OK, "pong"),
            (&Method::POST, "/predict") => match receive(request.into_body()).await {
                Ok(Stored { bytes, sha256 }) => text(StatusCode::OK, json!({"bytes": bytes, "sha256": sha256}).to_string()),
                // Nobody is there to read it: the message broke off.
                Err(_) => text(StatusCode::BAD_REQUEST, ""),
            },
            (&Method::POST, "/echo") => Response::new(Reply::Echo(request.into_body())),
            (&Method::GET, "/original") => Response::new(Reply::File(Bytestream::of(
                query.strip_prefix("size=").and_then(|size| size.parse().ok()).unwrap_or(0),
            ))),
            (&Method::GET, "/redirect") => {
                let mut response = text(StatusCode::FOUND, "");
                if let Some(place) = query.strip_prefix("to=").and_then(|place| HeaderValue::from_str(place).ok()) {
                    response.headers_mut().insert(LOCATION, place);
                }
                response
            }
            _ => text(StatusCode::OK, echo.to_string()),
        }
    }
}

/// A container's answer.
enum Reply {
    Text(Full<Bytes>),
    Echo(Incoming),
    File(Bytestream),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        fn sure<T>(frame: Result<T, Infallible>) -> Result<T, hyper::Error> {
            frame.map_err(|never| match never {})
        }
        match self.get_mut() {
            Self::Text(text) => Pin::new(text).poll_frame(cx).map(|frame| frame.map(sure)),
            Self::Echo(body) => Pin::new(body).poll_frame(cx),
            Self::File(file) => Pin::new(file).poll_frame(cx).map(|frame| frame.map(sure)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_end_stream(),
            Self::Echo(body) => body.is_end_stream(),
            Self::File(file) => file.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => text.size_hint(),
            Self::Echo(body) => body.size_hint(),
            Self::File(file) => file.size_hint(),
        }
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::Text(Full::new(text.into())));
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
