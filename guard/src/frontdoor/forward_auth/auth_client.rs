//! The request that an auth server is asked: a GET without a body, about a request that it never sees.
//!
//! What the client wrote about itself goes along only where a decision may rest on it; where the request came from and what it is for is
//! outcome by guard alone (Caddy `forward_auth`, Traefik `forwardAuth`, authentik "Forward auth").

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};

use super::outcome::{AuthError, AuthOutcome};
use crate::config::{External, ForwardAuthConfig};
use crate::cookies;
use crate::frontdoor::RequestHead;
use crate::header_fields;
use crate::percent::has_broken_escape;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Target, Upstream, UpstreamError};

/// The most that one request may take, connecting and the whole answer included.
pub const MAX_TIME: Duration = Duration::from_secs(10);
/// A credential of guard's own front door: then `Authorization` stays Immich's.
pub const CREDENTIAL_HEADER: HeaderName = HeaderName::from_static("x-guard-authorization");

/// What of the client's own words an auth server gets. Not `Range`, `If-*` or `Sec-WebSocket-*`, to which it would answer with a part, or
/// with nothing; and nothing that is Immich's.
const PASSED_ON: [HeaderName; 4] = [USER_AGENT, ACCEPT, ACCEPT_LANGUAGE, HeaderName::from_static("x-requested-with")];

/// What a request brings to prove itself with, beside a session.
pub enum Credential {
    /// Nothing.
    None,
    /// A password: `Basic`, in `Authorization` or in a header of guard's own.
    Password {
        /// The whole value.
        value: HeaderValue,
        /// Whether it is in guard's own header.
        dedicated: bool,
    },
    /// Anything else in `Authorization`: a bearer token, which may be Immich's.
    Other(HeaderValue),
}

impl Credential {
    /// The one that the headers bring. Two are none: components differ in which they take.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let only = |name: &HeaderName| {
            let line = header_fields::single(headers, name);
            line.map(Option::<&_>::cloned).map_err(|_| Refusal::new(Reason::Unauthorized, "more than one line with a credential"))
        };
        let (dedicated, own) = (only(&CREDENTIAL_HEADER)?, only(&AUTHORIZATION)?);
        Ok(match (dedicated, own) {
            (Some(value), _) => Self::Password { value, dedicated: true },
            (None, Some(value)) if is_basic(&value) => Self::Password { value, dedicated: false },
            (None, Some(value)) => Self::Other(value),
            (None, None) => Self::None,
        })
    }

    /// Whether there is any.
    pub fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key(AUTHORIZATION) || headers.contains_key(CREDENTIAL_HEADER)
    }

    /// Whether it is the `Authorization` line.
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::Password { dedicated: false, .. } | Self::Other(_))
    }

    /// Its value.
    pub fn value(&self) -> Option<&HeaderValue> {
        match self {
            Self::None => None,
            Self::Password { value, .. } | Self::Other(value) => Some(value),
        }
    }
}

/// RFC 7617; the scheme's case does not matter.
fn is_basic(value: &HeaderValue) -> bool {
    value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}

/// One request, ready to be asked.
#[derive(Clone)]
pub struct AuthRequest {
    request: Request<Empty<Bytes>>,
    ends_sign_in: bool,
}

/// Whether a request is one of those that authentik handles where it is asked: the end of a sign-in, or a sign-out.
pub(super) fn is_authentiks(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.to_ascii_lowercase().contains("x-authentik-"))
}

/// What asks: one a worker, with connections of its own.
pub struct AuthClient {
    config: Arc<ForwardAuthConfig>,
    upstream: Arc<Upstream<Empty<Bytes>>>,
    host: HeaderValue,
    public: PublicAddress,
}

/// The public address as the headers have it.
struct PublicAddress {
    scheme: HeaderValue,
    origin: String,
}

impl AuthClient {
    /// Asks the server at `target`.
    pub fn new(config: Arc<ForwardAuthConfig>, target: Target, metrics: Arc<Metrics>) -> Self {
        let External { scheme, host } = &config.external;
        // Host and scheme come out of a parsed URI.
        let host_value = HeaderValue::from_str(host).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        let public = PublicAddress { scheme: HeaderValue::from_static(scheme), origin: format!("{scheme}://{host}") };
        Self { upstream: Arc::new(Upstream::new(target, metrics)), host: host_value, public, config }
    }

    /// What was configured.
    pub fn config(&self) -> &ForwardAuthConfig {
        &self.config
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.upstream.sweep();
    }

    /// Whether the request brings a cookie of the auth server.
    pub fn has_session(&self, headers: &HeaderMap) -> bool {
        cookies::all(headers).any(|cookie| self.owns(cookies::name_of(cookie)))
    }

    /// The cookies of the auth server that a request brings, in one line.
    pub fn session_of(&self, headers: &HeaderMap) -> Vec<u8> {
        let own = cookies::all(headers).filter(|cookie| self.owns(cookies::name_of(cookie))).map(<[u8]>::trim_ascii);
        own.collect::<Vec<_>>().join(&b';')
    }

    fn owns(&self, name: &[u8]) -> bool {
        self.config.cookies.iter().any(|pattern| cookies::matches(pattern, name))
    }

    /// The request about a request. The original `Host` stays: authentik finds the application by it. A request that no header can tell
    /// of is refused: the answer would be about another one.
    pub fn auth_request(&self, head: &RequestHead<'_>, credential: &Credential) -> Result<AuthRequest, Refusal> {
        if has_broken_escape(head.uri.path()) {
            return Err(Refusal::new(Reason::BadRequest, "the target has a error escape, which an auth server cannot read"));
        }
        let mut request = Request::new(Empty::new());
        // Checked when it was configured.
        *request.uri_mut() = self.config.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        for name in PASSED_ON {
            if let Some(value) = head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        for line in head.headers.get_all(COOKIE) {
            headers.append(COOKIE, line.clone());
        }
        cookies::strip(headers, |name| name.starts_with(b"immich_"));
        if let Some(value) = credential.value() {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }

        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let (method, peer) = (head.method.as_str(), head.peer.to_canonical().to_string());
        for (name, text) in [
            ("x-forwarded-method", method),
            ("x-original-method", method),
            ("x-forwarded-uri", target),
            ("x-original-url", &format!("{}{target}", self.public.origin)),
            ("x-forwarded-for", &peer),
            ("x-real-ip", &peer),
        ] {
            // Bytes: a target may have letters that are not ASCII.
            let value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| Refusal::new(Reason::BadRequest, "the target cannot be told to the auth server"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert("x-forwarded-host", self.host.clone());
        headers.insert("x-forwarded-proto", self.public.scheme.clone());
        Ok(AuthRequest { request, ends_sign_in: is_authentiks(head.uri) })
    }

    /// Asks, and waits for the whole answer. Redirects are not followed. A connection that broke under the request is no answer, and a
    /// request may be asked twice.
    pub async fn ask(&self, request: AuthRequest) -> AuthOutcome {
        let again = request.clone();
        let exchange = async {
            match self.exchange(request).await {
                Err(AuthError::Upstream(UpstreamError::Exchange { .. })) => self.exchange(again).await,
                answer => answer,
            }
        };
        match tokio::time::timeout(MAX_TIME, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => AuthOutcome::Failed(error.to_string().into()),
            Err(_) => AuthOutcome::Failed(format!("{} gave no whole answer within {MAX_TIME:?}", self.config.server).into()),
        }
    }

    async fn exchange(&self, AuthRequest { request, ends_sign_in }: AuthRequest) -> Result<AuthOutcome, AuthError> {
        let (response, lease) = self.upstream.send(request).await?;
        let (parts, body) = response.into_parts();
        let body = super::outcome::read(body).await?;
        lease.finish(true);
        Ok(AuthOutcome::of(&parts, &body, ends_sign_in, &self.config))
    }
}
