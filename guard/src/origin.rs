//! Inbound requests, from cloudflared to Immich: authenticated, limited in size, and streamed.
//!
//! `handle` is the function to read: check the framing, authenticate, check the size, forward, stream the response back. Every check that can
//! refuse a request runs before a header is changed or a byte is sent.

pub mod return_target;
pub mod start;
pub mod status;
pub mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{HeaderName, SET_COOKIE, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use tokio::sync::watch;

use crate::allow_list::AllowList;
use crate::clock::unix_seconds;
use crate::config::External;
use crate::frontdoor::{AuthDecision, FrontDoor, RequestHead};
use crate::identity::Identity;
use crate::key::KeyId;
use crate::memory::{Holder, TRANSFER_KIB, TUNNEL_KIB};
use crate::proxy::access_log::{self, AccessLog};
use crate::proxy::request_body::{self, RequestBody};
use crate::proxy::response::{self, ResponseBody};
use crate::proxy::{Lease, Upstream, framing, headers};
use crate::refusal::{Reason, Refusal, RefusalContext, page_language};
use crate::serve::connection_state::ConnectionState;
use crate::serve::{Handler, Lifecycle, Phase};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::{GaugeGuard, Metrics};
use crate::telemetry::upstream_health::UpstreamHealth;
use crate::uploads::tus::OwnRequest;
use crate::uploads::{self, Uploads};
use crate::upstream::UpstreamError;
use tunnel::{Tunnel, Withdrawn};

/// The largest body of a request to the auth server's own path, in bytes. Such requests carry sign-in forms and need no authentication.
pub const MAX_AUTH_SERVER_BODY: u64 = 1024 * 1024;

/// The handler of inbound requests. Each worker has one.
pub struct Origin {
    /// The front door that authenticates requests.
    pub door: FrontDoor,
    /// The identities that may enter.
    pub allow: AllowList,
    /// The largest request body in bytes; none = no limit.
    pub max_body: Option<u64>,
    /// The public address (`GUARD_EXTERNAL_URL`).
    pub external: Option<External>,
    /// The header that names the client's address (`GUARD_CLIENT_ADDRESS_HEADER`).
    pub client_header: Option<HeaderName>,
    /// The connections to Immich.
    pub upstream: Arc<Upstream>,
    /// The connections to the auth server, where it has a path of its own.
    pub auth_server: Option<Arc<Upstream>>,
    /// The headers in which the front door names the identity.
    pub own_headers: Arc<[HeaderName]>,
    /// The large uploads, where they are on.
    pub uploads: Option<Arc<Uploads>>,
    /// The facts about this home that refusals may state.
    pub refusal_context: RefusalContext,
    /// The claim by which the log names a person.
    pub log_identity: LogIdentity,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// When Immich last answered and last failed, for the status page.
    pub upstream_health: Arc<UpstreamHealth>,
    /// The life cycle of the process.
    pub lifecycle: Arc<Lifecycle>,
    /// The current phase of the life cycle.
    pub phase: watch::Receiver<Phase>,
}

/// Handles one request step by step. The first check that refuses it ends it.
async fn handle(
    origin: &Origin,
    connection: &Arc<ConnectionState>,
    log: &mut AccessLog,
    mut request: Request<Incoming>,
) -> Result<Handled, Refusal> {
    framing::check(&request, connection.ambiguity(), origin.external.as_ref())?;
    if *origin.phase.borrow() >= Phase::Draining {
        return Err(Refusal::new(Reason::NotReady, "draining"));
    }
    if let Some(auth_server) = origin.auth_server_of(&request) {
        return forward_to_auth_server(origin, auth_server, log, request).await;
    }
    let head = RequestHead {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        peer: log.client,
        client: headers::client_address(request.headers(), origin.client_header.as_ref(), log.client),
        now: unix_seconds(),
    };
    let began = Instant::now();
    let decision = origin.door.identify(&head).await;
    if matches!(origin.door, FrontDoor::ForwardAuth(_)) {
        log.waited += began.elapsed();
    }
    let authenticated = match decision? {
        AuthDecision::Authenticated(authenticated) => authenticated,
        AuthDecision::Respond(response) => return Ok(Handled::AuthResponse(response)),
    };
    connection.set_authenticated();
    log.who = Some(authenticated.identity.clone());
    log.client = head.client;
    origin.allow.check(&authenticated.identity)?;
    request_body::declared(&request, origin.max_body)?;

    let upgrade = headers::wants_websocket(&request) && request.body().is_end_stream();
    let kib = if upgrade { TUNNEL_KIB } else { TRANSFER_KIB };
    let holder = Holder::of(&*authenticated.identity);
    log.reservation = Some(origin.lifecycle.make_room_for(kib, holder).await.ok_or_else(overloaded)?);
    let client = upgrade.then(|| hyper::upgrade::on(&mut request));
    headers::to_upstream(request.headers_mut(), &origin.door, &authenticated, &origin.forwarded(log.client, upgrade));
    if let Some(uploads) = origin.uploads.as_ref().filter(|_| request.uri().path().starts_with(uploads::PREFIX)) {
        return answer_own(origin, uploads, log, request, authenticated.identity).await;
    }
    let sent = origin.send(&origin.upstream, log, request, origin.max_body).await;
    origin.record_upstream(&sent);
    let (mut response, lease) = sent?;
    for cookie in authenticated.auth_headers.iter().flat_map(|auth_headers| &auth_headers.to_client) {
        response.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    match (response.status(), client) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(client)) if is_websocket(&response) => {
            Ok(Handled::Tunnel { client, response, lease, expires: authenticated.expires, key: authenticated.key })
        }
        (StatusCode::SWITCHING_PROTOCOLS, _) => {
            Err(Refusal::new(Reason::UpstreamUnreachable, "the upstream switched to a protocol that was not asked for"))
        }
        _ => Ok(Handled::Response { response, lease }),
    }
}

/// Answers a request to one of guard's own paths: a part of a large upload, or the page for it.
async fn answer_own(
    origin: &Origin,
    uploads: &Uploads,
    log: &mut AccessLog,
    request: Request<Incoming>,
    identity: Arc<Identity>,
) -> Result<Handled, Refusal> {
    let (parts, body) = request.into_parts();
    let (body, meter) = RequestBody::new(body, origin.max_body, &origin.own_headers);
    log.meter.clone_from(&meter);
    let external = origin.external.as_ref();
    let request = OwnRequest { parts, external, body, identity, max_part: origin.max_body };
    let response = uploads.answer(request).await?;
    // What a part brought before it was too large or too slow stays with the upload; the client hears why this request ended.
    match meter.and_then(|meter| meter.refusal()) {
        Some(refusal) if refusal.reason != Reason::BadRequest => Err(refusal),
        _ => Ok(Handled::Own(response)),
    }
}

/// Forwards a request for the auth server's own path, such as the end of a sign-in. It needs no authentication, and Immich never receives it.
async fn forward_to_auth_server(
    origin: &Origin,
    auth_server: &Arc<Upstream>,
    log: &mut AccessLog,
    mut request: Request<Incoming>,
) -> Result<Handled, Refusal> {
    request_body::declared(&request, Some(MAX_AUTH_SERVER_BODY))?;
    log.reservation = Some(origin.lifecycle.make_room_for_stranger(TRANSFER_KIB).await.ok_or_else(overloaded)?);
    return_target::check(request.uri().query())?;
    let client = headers::client_address(request.headers(), origin.client_header.as_ref(), log.client);
    if let FrontDoor::ForwardAuth(door) = &origin.door {
        headers::to_auth_server(request.headers_mut(), door.config(), &origin.forwarded(client, false));
    }
    let sent = origin.send(auth_server, log, request, Some(MAX_AUTH_SERVER_BODY)).await;
    let (response, lease) = sent.map_err(|refusal| match refusal.reason {
        Reason::UpstreamUnreachable | Reason::UpstreamTimeout => Refusal { reason: Reason::AuthUnreachable, ..refusal },
        _ => refusal,
    })?;
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            Err(Refusal::new(Reason::AuthUnreachable, "the auth server switched to a protocol that was not asked for"))
        }
        _ => Ok(Handled::Response { response, lease }),
    }
}

/// The result of a request that was not refused.
enum Handled {
    /// The auth server's response to a client that has to sign in.
    AuthResponse(Response<Bytes>),
    /// A response to a request to one of guard's own paths.
    Own(Response<Bytes>),
    /// A response of the upstream, to be streamed back.
    Response { response: Response<Incoming>, lease: Lease },
    /// A WebSocket that the upstream accepted.
    Tunnel { client: OnUpgrade, response: Response<Incoming>, lease: Lease, expires: u64, key: Option<KeyId> },
}

impl Handler for Origin {
    type Body = ResponseBody;

    async fn answer(
        self: Arc<Self>,
        connection: Arc<ConnectionState>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let mut log = AccessLog::start(&self.metrics, self.log_identity, peer, request.method(), request.uri().path());
        let (page, bodiless) = (page_language(request.headers()), request.body().is_end_stream());
        match handle(&self, &connection, &mut log, request).await {
            Ok(Handled::AuthResponse(response)) => {
                log.mark_sign_in(response.status().as_u16());
                response::fixed(response, bodiless, log, connection)
            }
            Ok(Handled::Own(response)) => {
                log.status = Some(response.status().as_u16());
                let is_read = bodiless || log.body_progress() == Some(request_body::Progress::Whole);
                response::fixed(response, is_read, log, connection)
            }
            Ok(Handled::Response { response, lease }) => response::stream_back(response, lease, log, connection),
            Ok(Handled::Tunnel { client, response, lease, expires, key }) => {
                let origin = self.clone();
                let withdrawn = Box::pin(async move { origin.door.withdrawn(key).await });
                self.open_tunnel(client, response, lease, (expires, withdrawn), log)
            }
            Err(refusal) => {
                let draining = *self.phase.borrow() != Phase::Serving;
                let client = response::ResponseContext { page, bodiless, draining };
                response::refuse(refusal, client, log, connection, &self.refusal_context)
            }
        }
    }

    fn refuse_head(&self, peer: IpAddr, status: u16) -> Vec<u8> {
        access_log::refuse_head(&self.metrics, &self.refusal_context, peer, status)
    }

    fn tick(&self) {
        self.metrics.refused_lines.report();
        self.upstream.sweep();
        self.auth_server.iter().for_each(|upstream| upstream.sweep());
        self.door.sweep();
        self.uploads.iter().for_each(|uploads| uploads.sweep());
    }
}

impl Origin {
    fn auth_server_of(&self, request: &Request<Incoming>) -> Option<&Arc<Upstream>> {
        self.auth_server.as_ref().filter(|_| self.door.owns_path(request.uri().path()))
    }

    fn forwarded(&self, client: IpAddr, upgrade: bool) -> headers::ForwardedInfo<'_> {
        headers::ForwardedInfo {
            client,
            external: self.external.as_ref(),
            upgrade,
            own: &self.own_headers,
            client_header: self.client_header.as_ref(),
        }
    }

    /// Sends a request whose headers are complete, with a body of at most `limit` bytes.
    async fn send(
        &self,
        upstream: &Arc<Upstream>,
        log: &mut AccessLog,
        mut request: Request<Incoming>,
        limit: Option<u64>,
    ) -> Result<(Response<Incoming>, Lease), Refusal> {
        *request.version_mut() = Version::HTTP_11;
        let (parts, body) = request.into_parts();
        let (mut body, meter) = RequestBody::new(body, limit, &self.own_headers);
        if log.who.is_none() {
            body.end_within(request_body::ANONYMOUS_BODY_TIME);
        }
        log.meter.clone_from(&meter);
        let sent = log.wait_for(upstream.send(Request::from_parts(parts, body))).await;
        sent.map_err(|error| meter.and_then(|meter| meter.refusal()).unwrap_or_else(|| error.into()))
    }

    /// Remembers for the status page whether Immich answered. A body that the client broke off says nothing about Immich.
    fn record_upstream(&self, sent: &Result<(Response<Incoming>, Lease), Refusal>) {
        match sent {
            Ok(_) => self.upstream_health.responded(),
            Err(refusal) if matches!(refusal.reason, Reason::UpstreamUnreachable | Reason::UpstreamTimeout) => {
                self.upstream_health.failed();
            }
            Err(_) => {}
        }
    }

    fn open_tunnel(
        &self,
        client: OnUpgrade,
        mut response: Response<Incoming>,
        lease: Lease,
        (expires, withdrawn): (u64, Withdrawn),
        mut log: AccessLog,
    ) -> Response<ResponseBody> {
        log.mark_tunnel();
        let upstream = hyper::upgrade::on(&mut response);
        lease.detach();
        let tunnel = Tunnel {
            client,
            upstream,
            expires,
            withdrawn,
            phase: self.phase.clone(),
            log,
            gauge: GaugeGuard::on(&self.metrics.open_tunnels),
            counted: self.lifecycle.tunnels.enter(),
        };
        tokio::spawn(tunnel.run());
        headers::to_client(response.headers_mut(), true);
        response.map(|_| ResponseBody::empty())
    }
}

fn overloaded() -> Refusal {
    Refusal::new(Reason::Overloaded, "no memory is left for this request (GUARD_MEMORY), or its sender has half of it already")
}

fn is_websocket(response: &Response<Incoming>) -> bool {
    response.headers().get(UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
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
