//! The admin port: `/livez`, `/readyz`, `/metrics`, and the status page at `/` with `/status.json` beside it. All of it is read-only.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use tokio::task::AbortHandle;

use super::metrics::CONTENT_TYPE as METRICS_TYPE;
use super::status_page;

/// How long an admin connection may idle.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// The maximum number of open admin connections. For a further one the oldest is closed: a probe always gets through.
pub const MAX_CONNECTIONS: usize = 64;
/// The pause after an accept that failed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain; charset=utf-8";
const NOTHING_ELSE: &str = "not found; the paths are /, /status.json, /livez, /readyz and /metrics\n";

/// The state of a process, as the admin port shows it.
pub trait View: Send + Sync + 'static {
    /// Whether requests can be served now. `Err` holds the reason why not.
    fn ready(&self) -> Result<(), Cow<'static, str>>;
    /// The metrics in the text format.
    fn metrics(&self) -> String;
    /// The status page, as HTML. With `is_still` it does not load itself again.
    fn page(&self, is_still: bool) -> String;
    /// The status, as JSON.
    fn status_json(&self) -> String;
    /// The JSON of `/health`, and whether the process is healthy; none where the process has no such path.
    fn health(&self) -> Option<(bool, String)> {
        None
    }
}

/// Serves the admin port until the process ends.
pub async fn serve(listener: TcpListener, view: Arc<dyn View>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(error = %error, "admin port not served"),
    };
    let mut open = VecDeque::new();
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let view = view.clone();
        let service = service_fn(move |request| {
            let response = answer(&request, &*view);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIME)
            .serve_connection(TokioIo::new(stream), service);
        // A probe that closes its connection early is no error.
        let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        open.retain(|task: &AbortHandle| !task.is_finished());
        if open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(task);
    }
}

fn answer<B>(request: &Request<B>, view: &dyn View) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "read only\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => page(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => match view.ready() {
            Ok(()) => page(StatusCode::OK, TEXT, "ok\n"),
            Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
        "/metrics" => page(StatusCode::OK, METRICS_TYPE, view.metrics()),
        "/" => html_page(view.page(request.uri().query() == Some("still"))),
        "/status.json" => page(StatusCode::OK, "application/json", view.status_json()),
        "/health" => match view.health() {
            Some((true, text)) => page(StatusCode::OK, "application/json", text),
            Some((false, text)) => page(StatusCode::SERVICE_UNAVAILABLE, "application/json", text),
            None => page(StatusCode::NOT_FOUND, TEXT, NOTHING_ELSE),
        },
        _ => page(StatusCode::NOT_FOUND, TEXT, NOTHING_ELSE),
    }
}

fn html_page(html: String) -> Response<Full<Bytes>> {
    let mut response = page(StatusCode::OK, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, status_page::POLICY.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
