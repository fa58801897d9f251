//! The way out: a plain request comes in, and leaves with an identity token for a backend that lets nobody in without one.
//!
//! `handle` is the function to read. It is the way in turned round, on the same forwarder: [`crate::origin`]'s framing, meter, connections and
//! answers. Decision before effect here too: without a token nothing is read, dialled or sent, and the client hears so at once.

pub mod config;
pub mod cors;
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
use crate::proxy::access_log::{self, AccessLog};
use crate::proxy::request_body::{self, RequestBody};
use crate::proxy::response::{self, ResponseBody};
use crate::proxy::{Lease, Upstream, framing, headers};
use crate::refusal::{Reason, Refusal, RefusalContext, prefers_html};
use crate::serve::wire::ConnectionState;
use crate::serve::{Handler, Phase};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::Metrics;
use config::{BackendConfig, Ping};
use cors::Cors;
use metrics::TokenMetrics;
use replay::{ReplayBudget, ReplayableBody, RetryPolicy};
use tokens::Tokens;

/// Everything that a request for one backend meets: one a worker.
pub struct Outbound {
    /// Where it goes, and how.
    pub backend: BackendConfig,
    /// What it is sent with.
    pub tokens: Arc<Tokens>,
    /// Who may send it; none: whoever reaches the port.
    pub inbound: Option<Inbound>,
    /// Which browser pages may.
    pub cors: Option<Cors>,
    /// The connections.
    pub upstream: Arc<Upstream>,
    /// The largest body, in bytes.
    pub max_body: Option<u64>,
    /// For bodies that can be sent again.
    pub budget: ReplayBudget,
    /// What refusals may say.
    pub refusal_context: RefusalContext,
    /// What the log calls a person.
    pub log_identity: LogIdentity,
    /// The names by which the front door says who somebody is.
    pub own_headers: Arc<[HeaderName]>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Counters of the way out.
    pub token_metrics: TokenMetrics,
    /// The process's phase.
    pub phase: watch::Receiver<Phase>,
}

/// The check of who sends a request: the front door of the way in.
pub struct Inbound {
    /// Who vouches.
    pub door: FrontDoor,
    /// Who of the verified may enter.
    pub allow: AllowList,
}

/// The way of one request, step by step; the first step that refuses ends it.
async fn handle(
    out: &Outbound,
    connection: &Arc<ConnectionState>,
    log: &mut AccessLog,
    origin: &mut Option<HeaderValue>,
    request: Request<Incoming>,
) -> Result<Handled, Refusal> {
    framing::check(&request, connection.ambiguity(), None)?;
    if *out.phase.borrow() != Phase::Serving {
        return Err(Refusal::new(Reason::NotReady, "draining"));
    }
    if out.answers_ping(&request) {
        // Immich then prefers its next URL, as it should while nothing could be sent from here.
        return if out.tokens.current().is_some() { Ok(Handled::Local(pong())) } else { Err(out.no_token()) };
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
        let AuthDecision::Authenticated(authenticated) = door.identify(&RequestHead { method, uri, headers, peer, now }).await?
        else {
            return Err(Refusal::new(Reason::Unauthorized, "nobody can sign in on the way out"));
        };
        log.who = Some(authenticated.identity.clone());
        allow.check(&authenticated.identity)?;
    }
    request_body::declared(&request, out.max_body)?;
    out.tokens.get().await.map_err(|error| Refusal::new(Reason::NoToken, error.to_string()))?;

    let budget = replay::reserve(&out.budget, out.backend.retry, &request);
    let (mut parts, body) = request.into_parts();
    let (body, meter) = RequestBody::new(body, out.max_body, &out.own_headers);
    log.meter.clone_from(&meter);
    let told = |refusal| meter.as_ref().and_then(|meter| meter.refusal()).unwrap_or(refusal);
    let broke_off = |_| told(Refusal::new(Reason::BadRequest, "the client broke off inside the body"));
    let mut body = ReplayableBody::gather(body, budget).await.map_err(broke_off)?;
    out.make_ours(&mut parts, log.client)?;

    let mut retry_policy = RetryPolicy::new(out.backend.retry);
    loop {
        // Read again for each attempt: a pause may outlive a token.
        let Some(token) = out.tokens.current() else { return Err(out.no_token()) };
        let mut attempt = Request::new(body.body());
        *attempt.method_mut() = parts.method.clone();
        *attempt.uri_mut() = parts.uri.clone();
        *attempt.version_mut() = Version::HTTP_11;
        *attempt.headers_mut() = parts.headers.clone();
        attempt.headers_mut().insert(out.backend.header.clone(), token.header().clone());
        let (response, lease) = out.upstream.send(attempt).await.map_err(|error| told(error.into()))?;
        let Some(pause) = retry_policy.pause(&body, &response) else { return Ok(Handled::Response { response, lease }) };
        let (status, pause_ms) = (response.status().as_u16(), pause.as_millis());
        tracing::info!(id = %log.id, status, pause_ms, "the backend has no instance yet: sent again after a pause");
        // Cut, not drained: who has no instance has no connection worth keeping.
        drop((response, lease));
        out.token_metrics.retries.inc();
        tokio::time::sleep(pause).await;
    }
}

/// What came of a request that passed.
enum Handled {
    /// The backend's answer, to be streamed back.
    Response { response: Response<Incoming>, lease: Lease },
    /// An answer of our own: the backend was not asked.
    Local(Response<Bytes>),
}

impl Outbound {
    fn answers_ping<B>(&self, request: &Request<B>) -> bool {
        self.backend.ping == Ping::Local
            && request.uri().path() == "/ping"
            && matches!(*request.method(), Method::GET | Method::HEAD)
    }

    /// Makes the client's head the backend's, but for the token.
    fn make_ours(&self, parts: &mut Parts, client: IpAddr) -> Result<(), Refusal> {
        let door = self.inbound.as_ref().map(|inbound| &inbound.door);
        headers::to_backend(&mut parts.headers, door, &self.own_headers, client, &self.backend.header);
        parts.headers.insert(HOST, self.backend.url.host.clone());
        if !self.backend.url.base.is_empty() {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            // `OPTIONS *` is about a server as a whole, and a base path is not one.
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
        let (prefers_html, bodiless) = (prefers_html(request.headers()), request.body().is_end_stream());
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
                let client = response::ResponseContext { prefers_html, bodiless, draining };
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
        self.upstream.sweep();
    }
}

/// What Immich's machine learning says to a ping.
fn pong() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"pong"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
