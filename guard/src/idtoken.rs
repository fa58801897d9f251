//! Outbound requests: attaches an identity token to each request and forwards it to a backend that requires one.
//!
//! `handle` is the function to read. It is built on the same parts as [`crate::origin`], those of [`crate::proxy`]. Without a token no body is
//! read and no connection is opened: the client gets a refusal at once.

pub mod config;
pub mod cors;
pub mod hosts;
pub mod metrics;
pub mod redirect;
pub mod replay;
pub mod source;
pub mod start;
pub mod status;
pub mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri, Version};
use tokio::sync::watch;

use crate::allow_list::AllowList;
use crate::clock::unix_seconds;
use crate::frontdoor::{AuthDecision, FrontDoor, RequestHead};
use crate::memory::TRANSFER_KIB;
use crate::proxy::access_log::{self, AccessLog};
use crate::proxy::request_body::{self, RequestBody};
use crate::proxy::response::{self, ResponseBody};
use crate::proxy::{Lease, Upstream, framing, headers};
use crate::refusal::{Reason, Refusal, RefusalContext, page_language};
use crate::serve::connection_state::ConnectionState;
use crate::serve::{Handler, Lifecycle, Phase};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::upstream_health::UpstreamHealth;
use config::{BackendConfig, Ping};
use cors::Cors;
use hosts::Hosts;
use metrics::TokenMetrics;
use replay::{ReplayBudget, ReplayableBody, RetryPolicy};
use tokens::Tokens;

/// The handler of requests for one backend. Each worker has one.
pub struct Outbound {
    /// The backend.
    pub backend: BackendConfig,
    /// The identity token for its audience.
    pub tokens: Arc<Tokens>,
    /// The authentication of clients; none: every client that reaches the port may use the backend.
    pub inbound: Option<Inbound>,
    /// The browser origins that may use the backend.
    pub cors: Option<Cors>,
    /// The accepted host names.
    pub hosts: Hosts,
    /// The connections to the backend.
    pub upstream: Arc<Upstream>,
    /// The largest request body in bytes; none = no limit.
    pub max_body: Option<u64>,
    /// The memory for bodies that can be sent again.
    pub budget: ReplayBudget,
    /// The facts that refusals may state.
    pub refusal_context: RefusalContext,
    /// The claim by which the log names a person.
    pub log_identity: LogIdentity,
    /// The headers in which the front door names the identity.
    pub own_headers: Arc<[HeaderName]>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// When the backend last answered and last failed, for the status page.
    pub upstream_health: Arc<UpstreamHealth>,
    /// The metrics of identity tokens.
    pub token_metrics: TokenMetrics,
    /// The life cycle of this backend's listener.
    pub lifecycle: Arc<Lifecycle>,
    /// The current phase of the process.
    pub phase: watch::Receiver<Phase>,
}

/// The authentication of clients, as for inbound requests.
pub struct Inbound {
    /// The front door that authenticates requests.
    pub door: FrontDoor,
    /// The identities that may enter.
    pub allow: AllowList,
}

/// Handles one request step by step. The first check that refuses it ends it.
async fn handle(
    out: &Outbound,
    connection: &Arc<ConnectionState>,
    log: &mut AccessLog,
    origin: &mut Option<HeaderValue>,
    request: Request<Incoming>,
) -> Result<Handled, Refusal> {
    framing::check(&request, connection.ambiguity(), None)?;
    if *out.phase.borrow() >= Phase::Draining {
        return Err(Refusal::new(Reason::NotReady, "draining"));
    }
    if out.answers_ping(&request) {
        // Without a token the ping is refused, so that Immich prefers the next URL of its list.
        return if out.tokens.current().is_some() { Ok(Handled::Local(pong())) } else { Err(out.no_token()) };
    }
    if out.inbound.is_none() {
        out.hosts.check(request.headers())?;
    }
    if out.cors.is_none() && out.inbound.is_none() {
        cors::refuse_foreign_page(request.headers())?;
    }
    if let Some(cors) = &out.cors {
        *origin = cors.check(request.headers())?;
        if origin.is_some() && cors::is_preflight(request.method(), request.headers()) {
            return Ok(Handled::Local(cors::preflight(request.headers())));
        }
    }
    if let Some(Inbound { door, allow }) = &out.inbound {
        let (peer, now) = (log.client, unix_seconds());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let AuthDecision::Authenticated(authenticated) =
            door.identify(&RequestHead { method, uri, headers, peer, client: peer, now }).await?
        else {
            return Err(Refusal::new(Reason::Unauthorized, "no client can sign in on an outbound request"));
        };
        log.who = Some(authenticated.identity.clone());
        allow.check(&authenticated.identity)?;
    }
    connection.set_authenticated();
    request_body::declared(&request, out.max_body)?;
    let room = out.lifecycle.make_room(TRANSFER_KIB).await;
    log.reservation =
        Some(room.ok_or_else(|| Refusal::new(Reason::Overloaded, "no memory is left for this request (GUARD_MEMORY)"))?);
    log.wait_for(out.tokens.get()).await.map_err(|error| Refusal::new(Reason::NoToken, error.to_string()))?;

    let budget = replay::reserve(&out.budget, out.backend.retry, &request);
    let (mut parts, body) = request.into_parts();
    let (body, meter) = RequestBody::new(body, out.max_body, &out.own_headers);
    log.meter.clone_from(&meter);
    let told = |refusal| meter.as_ref().and_then(|meter| meter.refusal()).unwrap_or(refusal);
    let broke_off = |_| told(Refusal::new(Reason::BadRequest, "the client broke off inside the body"));
    let mut body = log.wait_for(ReplayableBody::gather(body, budget)).await.map_err(broke_off)?;
    out.to_backend_head(&mut parts, log.client)?;

    let mut retry_policy = RetryPolicy::new(out.backend.retry);
    loop {
        // Read for each attempt: the token may expire during a pause.
        let Some(token) = out.tokens.current() else { return Err(out.no_token()) };
        let mut attempt = Request::new(body.body());
        *attempt.method_mut() = parts.method.clone();
        *attempt.uri_mut() = parts.uri.clone();
        *attempt.version_mut() = Version::HTTP_11;
        *attempt.headers_mut() = parts.headers.clone();
        attempt.headers_mut().insert(out.backend.header.clone(), token.header().clone());
        let sent = log.wait_for(out.upstream.send(attempt)).await;
        match &sent {
            Ok(_) => out.upstream_health.responded(),
            // A body that the client broke off says nothing about the backend.
            Err(_) if meter.as_ref().is_none_or(|meter| meter.refusal().is_none()) => out.upstream_health.failed(),
            Err(_) => {}
        }
        let (response, lease) = sent.map_err(|error| told(error.into()))?;
        let Some(pause) = retry_policy.pause(&body, &response) else { return Ok(Handled::Response { response, lease }) };
        let (status, pause_ms) = (response.status().as_u16(), pause.as_millis());
        tracing::info!(id = %log.id, status, pause_ms, "backend has no instance yet: request is sent again after a pause");
        // Dropped, not drained: the connection is not worth keeping.
        drop((response, lease));
        out.token_metrics.retries.inc();
        log.wait_for(tokio::time::sleep(pause)).await;
    }
}

/// The result of a request that was not refused.
enum Handled {
    /// A response of the backend, to be streamed back.
    Response { response: Response<Incoming>, lease: Lease },
    /// A response that guard made, without the backend.
    Local(Response<Bytes>),
}

impl Outbound {
    fn answers_ping<B>(&self, request: &Request<B>) -> bool {
        self.backend.ping == Ping::Local
            && request.uri().path() == "/ping"
            && matches!(*request.method(), Method::GET | Method::HEAD)
    }

    /// Turns the client's head into the one for the backend, without the token.
    fn to_backend_head(&self, parts: &mut Parts, client: IpAddr) -> Result<(), Refusal> {
        let door = self.inbound.as_ref().map(|inbound| &inbound.door);
        headers::to_backend(&mut parts.headers, door, &self.own_headers, client, &self.backend.header);
        parts.headers.insert(HOST, self.backend.url.host.clone());
        if !self.backend.url.base.is_empty() {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            if has_dot_segment(parts.uri.path()) {
                return Err(Refusal::new(Reason::BadRequest, "a path with . or .. could leave the backend's base path"));
            }
            // `OPTIONS *` means a whole server, which a base path is not.
            let below = if path == "*" { self.backend.url.base.clone() } else { format!("{}{path}", self.backend.url.base) };
            parts.uri = below
                .parse::<Uri>()
                .map_err(|_| Refusal::new(Reason::BadRequest, "the target is no path below the backend's"))?;
        }
        Ok(())
    }

    fn no_token(&self) -> Refusal {
        let cause = self.tokens.trouble().unwrap_or_else(|| "none came yet".into());
        Refusal::new(Reason::NoToken, format!("no identity token for {}: {cause}", self.tokens.audience()))
    }
}

impl Handler for Outbound {
    type Body = ResponseBody;

    async fn answer(
        self: Arc<Self>,
        connection: Arc<ConnectionState>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let mut log = AccessLog::start(&self.metrics, self.log_identity, peer, request.method(), request.uri().path());
        let (page, bodiless) = (page_language(request.headers()), request.body().is_end_stream());
        let mut origin = None;
        let mut response = match handle(&self, &connection, &mut log, &mut origin, request).await {
            Ok(Handled::Response { mut response, lease }) => {
                redirect::to_ours(response.headers_mut(), &self.backend.url);
                response::stream_back(response, lease, log, connection)
            }
            Ok(Handled::Local(response)) => {
                log.status = Some(response.status().as_u16());
                response::fixed(response, bodiless, log, connection)
            }
            Err(refusal) => {
                let draining = *self.phase.borrow() != Phase::Serving;
                let client = response::ResponseContext { page, bodiless, draining };
                response::refuse(refusal, client, log, connection, &self.refusal_context)
            }
        };
        if self.cors.is_some() {
            cors::admit(response.headers_mut(), origin.as_ref());
        }
        response
    }

    fn refuse_head(&self, peer: IpAddr, status: u16) -> Vec<u8> {
        access_log::refuse_head(&self.metrics, &self.refusal_context, peer, status)
    }

    fn tick(&self) {
        self.metrics.refused_lines.report();
        self.upstream.sweep();
    }
}

/// Whether a server could read a segment of this path as `.` or `..` (RFC 3986, 5.2.4), also an escaped one.
fn has_dot_segment(path: &str) -> bool {
    let decoded = crate::percent::decode(path);
    // Twice: some servers decode before they split, and again.
    let decoded = crate::percent::decode(&decoded);
    decoded.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

/// The response of Immich's machine learning to a ping.
fn pong() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"pong"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
