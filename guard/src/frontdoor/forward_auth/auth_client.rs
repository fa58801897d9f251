//! Sends auth requests: a GET without a body that describes a client's request to the auth server.
//!
//! It copies only those headers of the client that a decision may depend on. guard itself sets the `X-Forwarded-*` headers, which
//! describe the request (Caddy `forward_auth`, Traefik `forwardAuth`, authentik "Forward auth").

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};

use super::outcome::{AuthError, AuthOutcome};
use crate::config::{External, ForwardAuthConfig};
use crate::cookies;
use crate::frontdoor::decision::RequestHead;
use crate::header_fields;
use crate::percent::has_broken_escape;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Target, Upstream, UpstreamError};

/// The time limit of one auth request, connecting and the whole response included.
pub const MAX_TIME: Duration = Duration::from_secs(10);
/// The header for a credential of the front door, so that `Authorization` stays available for Immich.
pub const CREDENTIAL_HEADER: HeaderName = HeaderName::from_static("x-guard-authorization");

/// The client's headers that are copied to the auth request. Not `Range`, `If-*` or `Sec-WebSocket-*`, which would change the response,
/// and no headers for Immich.
const COPIED_HEADERS: [HeaderName; 4] = [USER_AGENT, ACCEPT, ACCEPT_LANGUAGE, HeaderName::from_static("x-requested-with")];

/// The credential of a request, apart from a session cookie.
pub enum Credential {
    /// No credential.
    None,
    /// A password: `Basic`, in `Authorization` or in a header of guard's own.
    Password {
        /// The whole value of the header.
        value: HeaderValue,
        /// Whether it is in [`CREDENTIAL_HEADER`].
        dedicated: bool,
    },
    /// Any other value of `Authorization`: a bearer token, which may be for Immich.
    Other(HeaderValue),
}

impl Credential {
    /// Reads the credential from the headers. A repeated header is refused: components differ in which line they use.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let only = |name: &HeaderName| {
            let line = header_fields::single(headers, name);
            line.map(Option::<&_>::cloned).map_err(|_| Refusal::new(Reason::Unauthorized, "more than one line with a credential"))
        };
        let (dedicated, own) = (only(&CREDENTIAL_HEADER)?, only(&AUTHORIZATION)?);
        Ok(match (dedicated, own) {
            (Some(value), _) => Self::Password { value, dedicated: true },
            (None, Some(value)) if is_basic(&value) => Self::Password { value, dedicated: false },
            (None, Some(value)) if is_opaque_bearer(&value) => Self::None,
            (None, Some(value)) => Self::Other(value),
            (None, None) => Self::None,
        })
    }

    /// Whether the headers contain a credential.
    pub fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key(AUTHORIZATION) || headers.contains_key(CREDENTIAL_HEADER)
    }

    /// Whether the credential is in the `Authorization` header.
    pub fn is_authorization(&self) -> bool {
        matches!(self, Self::Password { dedicated: false, .. } | Self::Other(_))
    }

    /// The name of the account in a password (RFC 7617: what is before the first colon); empty for every other credential.
    pub fn account(&self) -> Vec<u8> {
        let Self::Password { value, .. } = self else { return Vec::new() };
        let encoded = value.as_bytes().get(6..).unwrap_or_default().trim_ascii();
        let mut decoded = STANDARD.decode(encoded).unwrap_or_default();
        decoded.truncate(decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len()));
        decoded
    }

    /// The value of the header.
    pub fn value(&self) -> Option<&HeaderValue> {
        match self {
            Self::None => None,
            Self::Password { value, .. } | Self::Other(value) => Some(value),
        }
    }
}

/// Whether the scheme is `Basic` (RFC 7617), in any case.
fn is_basic(value: &HeaderValue) -> bool {
    value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}

/// Whether this is a bearer token that is no JWT. Immich's own tokens are random letters and digits; the access tokens that auth servers
/// take are JWTs. A token that can only be Immich's is not shown to the auth server.
pub fn is_opaque_bearer(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let is_bearer = bytes.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    is_bearer && bytes.split(|byte| *byte == b'.').count() != 3
}

/// One auth request, ready to be sent.
#[derive(Clone)]
pub struct AuthRequest {
    request: Request<Empty<Bytes>>,
    ends_sign_in: bool,
}

/// Whether authentik handles this request in the auth request itself: the end of a sign-in, or a sign-out.
pub(super) fn is_authentiks(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.to_ascii_lowercase().contains("x-authentik-"))
}

/// The client of one worker for auth requests, with its own connections.
pub struct AuthClient {
    config: Arc<ForwardAuthConfig>,
    upstream: Arc<Upstream<Empty<Bytes>>>,
    host: HeaderValue,
    public: PublicAddress,
}

/// The public address, as header values.
struct PublicAddress {
    scheme: HeaderValue,
    origin: String,
}

impl AuthClient {
    /// Creates a client for the auth server at `target`.
    pub fn new(config: Arc<ForwardAuthConfig>, target: Target, metrics: Arc<Metrics>) -> Self {
        let External { scheme, host } = &config.external;
        // The host comes from a parsed URI, so it is a valid header value.
        let host_value = HeaderValue::from_str(host).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        let public = PublicAddress { scheme: HeaderValue::from_static(scheme), origin: format!("{scheme}://{host}") };
        Self { upstream: Arc::new(Upstream::new(target, metrics)), host: host_value, public, config }
    }

    /// The configuration.
    pub fn config(&self) -> &ForwardAuthConfig {
        &self.config
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.upstream.sweep();
    }

    /// Whether the request has a cookie of the auth server.
    pub fn has_session(&self, headers: &HeaderMap) -> bool {
        cookies::all(headers).any(|cookie| self.owns(cookies::name_of(cookie)))
    }

    /// Returns the auth server's cookies of a request, in one line.
    pub fn session_of(&self, headers: &HeaderMap) -> Vec<u8> {
        let own = cookies::all(headers).filter(|cookie| self.owns(cookies::name_of(cookie))).map(<[u8]>::trim_ascii);
        own.collect::<Vec<_>>().join(&b';')
    }

    fn owns(&self, name: &[u8]) -> bool {
        self.config.cookies.iter().any(|pattern| cookies::matches(pattern, name))
    }

    /// Builds the auth request for a client's request. It keeps the public `Host`, by which authentik finds the application. A request
    /// whose target cannot be a header value is refused, because the decision would be about another target.
    pub fn auth_request(&self, head: &RequestHead<'_>, credential: &Credential) -> Result<AuthRequest, Refusal> {
        if has_broken_escape(head.uri.path()) {
            return Err(Refusal::new(Reason::BadRequest, "the target has a broken escape, which an auth server cannot read"));
        }
        let mut request = Request::new(Empty::new());
        // The path was checked with the configuration.
        *request.uri_mut() = self.config.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        for name in COPIED_HEADERS {
            if let Some(value) = head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        for line in head.headers.get_all(COOKIE) {
            headers.append(COOKIE, line.clone());
        }
        cookies::strip(headers, |name| !self.config.may_see_cookie(name));
        if let Some(value) = credential.value() {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }

        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let (method, client) = (head.method.as_str(), head.client.to_canonical().to_string());
        for (name, text) in [
            ("x-forwarded-method", method),
            ("x-original-method", method),
            ("x-forwarded-uri", target),
            ("x-original-url", &format!("{}{target}", self.public.origin)),
            ("x-forwarded-for", &client),
        ] {
            // From bytes, because a target may contain non-ASCII characters.
            let value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| Refusal::new(Reason::BadRequest, "the target cannot be sent to the auth server as a header"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert("x-forwarded-host", self.host.clone());
        headers.insert("x-forwarded-proto", self.public.scheme.clone());
        Ok(AuthRequest { request, ends_sign_in: is_authentiks(head.uri) })
    }

    /// Sends the auth request and waits for the whole response. Redirects are not followed. If the connection is lost before a response,
    /// the request is sent once more, because it is safe to repeat.
    pub async fn send(&self, request: AuthRequest) -> AuthOutcome {
        let second = request.clone();
        let exchange = async {
            match self.exchange(request).await {
                Err(AuthError::Upstream(UpstreamError::Exchange { .. })) => self.exchange(second).await,
                result => result,
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
