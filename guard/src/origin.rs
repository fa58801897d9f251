//! The door: a request passes only with a proof, carries only so much, and is streamed.
//!
//! `pass` is the function to read: frame, identify, meter, forward, stream back. Decision before effect: everything that can refuse
//! comes before anything is stripped or sent.

pub mod answer;
pub mod framing;
pub mod headers;
pub mod limit;
pub mod record;
pub mod start;
pub mod status;
pub mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{HeaderName, SET_COOKIE, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use tokio::sync::watch;

use crate::config::{AllowList, External};
use crate::frontdoor::{FrontDoor, Inquiry, Verdict};
use crate::refusal::{Reason, Refusal, Signpost, prefers_html};
use crate::serve::wire::Exchange;
use crate::serve::{Handler, Lifecycle, Phase};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::{Held, Metrics};
use crate::upstream::{self, UpstreamError};
use answer::Answer;
use limit::Outgoing;
use record::Record;
use tunnel::Tunnel;

/// The largest body of a request that is the auth server's own, in bytes: forms of a sign-in, from whoever comes.
pub const MAX_AUTH_SERVER_BODY: u64 = 1024 * 1024;

/// Connections for requests with bodies that are counted: to Immich, or to a backend.
pub type Upstream = upstream::Upstream<Outgoing>;
/// One of them, while it carries an exchange.
pub type Lease = upstream::Lease<Outgoing>;

/// Everything that a request meets: one a worker.
pub struct Origin {
    /// Who vouches.
    pub door: FrontDoor,
    /// Who of the verified may enter.
    pub allow: AllowList,
    /// The largest body, in bytes.
    pub max_body: Option<u64>,
    /// The public address.
    pub external: Option<External>,
    /// Immich.
    pub upstream: Arc<Upstream>,
    /// The auth server, where requests can be its own.
    pub auth_server: Option<Arc<Upstream>>,
    /// The names by which the front door says who somebody is.
    pub own_headers: Arc<[HeaderName]>,
    /// What refusals may say.
    pub signpost: Signpost,
    /// What the log calls a person.
    pub log_identity: LogIdentity,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The process.
    pub lifecycle: Arc<Lifecycle>,
    /// Its phase.
    pub phase: watch::Receiver<Phase>,
}

/// The way of one request, step by step; the first step that refuses ends it.
async fn pass(
    origin: &Origin,
    exchange: &Arc<Exchange>,
    record: &mut Record,
    mut request: Request<Incoming>,
) -> Result<Passed, Refusal> {
    framing::check(&request, exchange.ambiguity(), origin.external.as_ref())?;
    if *origin.phase.borrow() != Phase::Serving {
        return Err(Refusal::new(Reason::NotReady, "draining"));
    }
    if let Some(auth_server) = origin.auth_server_of(&request) {
        return pass_to_auth_server(origin, auth_server, record, request).await;
    }
    let inquiry = Inquiry {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        peer: record.client,
        now: unix_seconds(),
    };
    let admitted = match origin.door.identify(&inquiry).await? {
        Verdict::Admitted(admitted) => admitted,
        Verdict::Answered(response) => return Ok(Passed::Answered(response)),
    };
    record.who = Some(admitted.identity.clone());
    record.client = headers::client_address(request.headers(), record.client);
    origin.allow.permits(&admitted.identity)?;
    limit::declared(&request, origin.max_body)?;

    let upgrade = headers::wants_websocket(&request) && request.body().is_end_stream();
    let client = upgrade.then(|| hyper::upgrade::on(&mut request));
    headers::to_upstream(request.headers_mut(), &origin.door, &admitted, &origin.provenance(record.client, upgrade));
    let (mut response, lease) = origin.send(&origin.upstream, record, request, origin.max_body).await?;
    for cookie in admitted.handover.iter().flat_map(|handover| &handover.to_client) {
        response.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    match (response.status(), client) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(client)) if is_websocket(&response) => {
            Ok(Passed::Tunnel { client, response, lease, expires: admitted.expires })
        }
        (StatusCode::SWITCHING_PROTOCOLS, _) => {
            Err(Refusal::new(Reason::UpstreamUnreachable, "the upstream switched to a protocol that was not asked for"))
        }
        _ => Ok(Passed::Exchange { response, lease }),
    }
}

/// The way of a request that is the auth server's own, such as the end of a sign-in: nobody is asked, and Immich never sees it.
async fn pass_to_auth_server(
    origin: &Origin,
    auth_server: &Arc<Upstream>,
    record: &mut Record,
    mut request: Request<Incoming>,
) -> Result<Passed, Refusal> {
    limit::declared(&request, Some(MAX_AUTH_SERVER_BODY))?;
    headers::to_auth_server(request.headers_mut(), &origin.provenance(record.client, false));
    let sent = origin.send(auth_server, record, request, Some(MAX_AUTH_SERVER_BODY)).await;
    let (response, lease) = sent.map_err(|refusal| match refusal.reason {
        Reason::UpstreamUnreachable | Reason::UpstreamTimeout => Refusal { reason: Reason::AuthUnreachable, ..refusal },
        _ => refusal,
    })?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            Err(Refusal::new(Reason::AuthUnreachable, "the auth server switched to a protocol that was not asked for"))
        }
        _ => Ok(Passed::Exchange { response, lease }),
    }
}

/// What came of a request that was not refused.
enum Passed {
    /// The auth server's answer to somebody who is to sign in.
    Answered(Response<Bytes>),
    /// An answer, to be streamed back.
    Exchange { response: Response<Incoming>, lease: Lease },
    /// A WebSocket.
    Tunnel { client: OnUpgrade, response: Response<Incoming>, lease: Lease, expires: u64 },
}

impl Handler for Origin {
    type Body = Answer;

    async fn answer(self: Arc<Self>, exchange: Arc<Exchange>, peer: IpAddr, request: Request<Incoming>) -> Response<Answer> {
        let mut record = Record::begin(&self.metrics, self.log_identity, peer, request.method(), request.uri().path());
        let (prefers_html, bodiless) = (prefers_html(request.headers()), request.body().is_end_stream());
        match pass(&self, &exchange, &mut record, request).await {
            Ok(Passed::Answered(response)) => {
                record.is_sent_to_sign_in(response.status().as_u16());
                answer::fixed(response, bodiless, record, exchange)
            }
            Ok(Passed::Exchange { response, lease }) => answer::stream_back(response, lease, record, exchange),
            Ok(Passed::Tunnel { client, response, lease, expires }) => self.open_tunnel(client, response, lease, expires, record),
            Err(refusal) => {
                let draining = *self.phase.borrow() != Phase::Serving;
                let client = answer::Client { prefers_html, bodiless, draining };
                answer::refuse(refusal, client, record, exchange, &self.signpost)
            }
        }
    }

    fn refuse_head(&self, peer: IpAddr, status: u16) -> Vec<u8> {
        record::refuse_head(&self.metrics, &self.signpost, peer, status)
    }

    fn tick(&self) {
        self.upstream.sweep();
        self.auth_server.iter().for_each(|upstream| upstream.sweep());
        self.door.sweep();
    }
}

impl Origin {
    fn auth_server_of(&self, request: &Request<Incoming>) -> Option<&Arc<Upstream>> {
        self.auth_server.as_ref().filter(|_| self.door.owns_path(request.uri().path()))
    }

    fn provenance(&self, client: IpAddr, upgrade: bool) -> headers::Provenance<'_> {
        headers::Provenance { client, external: self.external.as_ref(), upgrade, own: &self.own_headers }
    }

    /// Sends a request whose headers are made ready, with a body of at most `limit` bytes.
    async fn send(
        &self,
        upstream: &Arc<Upstream>,
        record: &mut Record,
        mut request: Request<Incoming>,
        limit: Option<u64>,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        *request.version_mut() = Version::HTTP_11;
        let (parts, body) = request.into_parts();
        let (body, meter) = Outgoing::new(body, limit, &self.own_headers);
        record.meter.clone_from(&meter);
        let sent = upstream.send(Request::from_parts(parts, body)).await;
        sent.map_err(|error| meter.and_then(|meter| meter.refusal()).unwrap_or_else(|| error.into()))
    }

    fn open_tunnel(
        &self,
        client: OnUpgrade,
        mut response: Response<Incoming>,
        lease: Lease,
        expires: u64,
        mut record: Record,
    ) -> Response<Answer> {
        record.becomes_tunnel();
        let upstream = hyper::upgrade::on(&mut response);
        lease.detach();
        let tunnel = Tunnel {
            client,
            upstream,
            expires,
            phase: self.phase.clone(),
            record,
            gauge: Held::on(&self.metrics.open_tunnels),
            counted: self.lifecycle.tunnels.enter(),
        };
        tokio::spawn(tunnel.run());
        headers::to_client(response.headers_mut(), true);
        response.map(|_| Answer::empty())
    }
}

fn is_websocket(response: &Response<Incoming>) -> bool {
    response.headers().get(UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

pub(crate) fn unix_seconds() -> u64 {
    // With a clock before 1970 nothing can be said to be still valid.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
}

impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        let reason = match error {
            UpstreamError::Timeout { .. } => Reason::UpstreamTimeout,
            UpstreamError::Connect { .. } | UpstreamError::Exchange { .. } => Reason::UpstreamUnreachable,
        };
        Self::new(reason, error.to_string())
    }
}
