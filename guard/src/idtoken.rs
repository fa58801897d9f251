//! The way out: a plain request comes in, and leaves with an identity token for a backend that lets nobody in without one.
//!
//! `pass` is the function to read. It is the way in turned round, on the same forwarder: [`crate::origin`]'s framing, meter, connections and
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

use crate::config::AllowList;
use crate::frontdoor::{FrontDoor, Inquiry, Verdict};
use crate::origin::answer::{self, Answer};
use crate::origin::limit::{self, Outgoing};
use crate::origin::record::{self, Record};
use crate::origin::{Lease, Upstream, framing, headers, unix_seconds};
use crate::refusal::{Reason, Refusal, Signpost, prefers_html};
use crate::serve::wire::Exchange;
use crate::serve::{Handler, Phase};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::Metrics;
use config::{BackendConfig, Ping};
use cors::Cors;
use metrics::TokenMetrics;
use replay::{Load, Patience, Room};
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
    pub room: Room,
    /// What refusals may say.
    pub signpost: Signpost,
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
async fn pass(
    out: &Outbound,
    exchange: &Arc<Exchange>,
    record: &mut Record,
    origin: &mut Option<HeaderValue>,
    request: Request<Incoming>,
) -> Result<Passed, Refusal> {
    framing::check(&request, exchange.ambiguity(), None)?;
    if *out.phase.borrow() != Phase::Serving {
        return Err(Refusal::new(Reason::NotReady, "draining"));
    }
    if out.answers_ping(&request) {
        // Immich then prefers its next URL, as it should while nothing could be sent from here.
        return if out.tokens.current().is_some() { Ok(Passed::Here(pong())) } else { Err(out.no_token()) };
    }
    if let Some(cors) = &out.cors {
        *origin = cors.check(request.headers())?;
        if origin.is_some() && cors::is_preflight(request.method(), request.headers()) {
            return Ok(Passed::Here(cors::preflight(request.headers())));
        }
    }
    if let Some(Inbound { door, allow }) = &out.inbound {
        let (peer, now) = (record.client, unix_seconds());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let Verdict::Admitted(admitted) = door.identify(&Inquiry { method, uri, headers, peer, now }).await? else {
            return Err(Refusal::new(Reason::Unauthorized, "nobody can sign in on the way out"));
        };
        record.who = Some(admitted.identity.clone());
        allow.permits(&admitted.identity)?;
    }
    limit::declared(&request, out.max_body)?;
    out.tokens.get().await.map_err(|error| Refusal::new(Reason::NoToken, error.to_string()))?;

    let room = replay::reserve(&out.room, out.backend.retry, &request);
    let (mut parts, body) = request.into_parts();
    let (body, meter) = Outgoing::new(body, out.max_body, &out.own_headers);
    record.meter.clone_from(&meter);
    let told = |refusal| meter.as_ref().and_then(|meter| meter.refusal()).unwrap_or(refusal);
    let broke_off = |_| told(Refusal::new(Reason::BadRequest, "the client broke off inside the body"));
    let mut load = Load::gather(body, room).await.map_err(broke_off)?;
    out.make_ours(&mut parts, record.client)?;

    let mut patience = Patience::new(out.backend.retry);
    loop {
        // Read again for each attempt: a pause may outlive a token.
        let Some(token) = out.tokens.current() else { return Err(out.no_token()) };
        let mut attempt = Request::new(load.body());
        *attempt.method_mut() = parts.method.clone();
        *attempt.uri_mut() = parts.uri.clone();
        *attempt.version_mut() = Version::HTTP_11;
        *attempt.headers_mut() = parts.headers.clone();
        attempt.headers_mut().insert(out.backend.header.clone(), token.header().clone());
        let (response, lease) = out.upstream.send(attempt).await.map_err(|error| told(error.into()))?;
        let Some(pause) = patience.pause(&load, &response) else { return Ok(Passed::Exchange { response, lease }) };
        let (status, pause_ms) = (response.status().as_u16(), pause.as_millis());
        tracing::info!(id = %record.id, status, pause_ms, "the backend has no instance yet: sent again after a pause");
        // Cut, not drained: who has no instance has no connection worth keeping.
        drop((response, lease));
        out.token_metrics.retries.inc();
        tokio::time::sleep(pause).await;
    }
}

/// What came of a request that passed.
enum Passed {
    /// The backend's answer, to be streamed back.
    Exchange { response: Response<Incoming>, lease: Lease },
    /// An answer of our own: the backend was not asked.
    Here(Response<Bytes>),
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
    type Body = Answer;

    async fn answer(self: Arc<Self>, exchange: Arc<Exchange>, peer: IpAddr, request: Request<Incoming>) -> Response<Answer> {
        let mut record = Record::begin(&self.metrics, self.log_identity, peer, request.method(), request.uri().path());
        let (prefers_html, bodiless) = (prefers_html(request.headers()), request.body().is_end_stream());
        let mut origin = None;
        let mut response = match pass(&self, &exchange, &mut record, &mut origin, request).await {
            Ok(Passed::Exchange { mut response, lease }) => {
                redirect::to_ours(response.headers_mut(), &self.backend.url);
                answer::stream_back(response, lease, record, exchange)
            }
            Ok(Passed::Here(response)) => {
                record.status = Some(response.status().as_u16());
                answer::fixed(response, bodiless, record, exchange)
            }
            Err(refusal) => {
                let draining = *self.phase.borrow() != Phase::Serving;
                let client = answer::Client { prefers_html, bodiless, draining };
                answer::refuse(refusal, client, record, exchange, &self.signpost)
            }
        };
        if self.cors.is_some() {
            cors::admit(response.headers_mut(), origin.as_ref());
        }
        response
    }

    fn refuse_head(&self, peer: IpAddr, status: u16) -> Vec<u8> {
        record::refuse_head(&self.metrics, &self.signpost, peer, status)
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
