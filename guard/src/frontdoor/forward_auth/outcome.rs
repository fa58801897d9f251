//! The outcome of an auth request: allowed with an identity, denied with a response for the client, or failed.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode, Uri};

use crate::config::ForwardAuthConfig;
use crate::cookies;
use crate::frontdoor::decision::AuthResponseHeaders;
use crate::frontdoor::unsigned::only_name;
use crate::identity::Identity;
use crate::percent;
use crate::refusal::{REFUSAL_HEADER, REQUEST_ID_HEADER};
use crate::upstream::UpstreamError;

/// The largest response body that is read, in bytes: enough for a sign-in page.
pub const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// The outcome of an auth request.
#[derive(Clone)]
pub enum AuthOutcome {
    /// Allowed: a 2xx response that names the sender.
    Allowed(Arc<Grant>),
    /// Denied.
    Denied(Arc<Denial>),
    /// Failed: no usable response. The text is the cause, for the log.
    Failed(Cow<'static, str>),
}

/// The contents of a response that allows a request.
#[derive(Debug)]
pub struct Grant {
    /// The identity of the sender.
    pub identity: Arc<Identity>,
    /// The headers to pass on.
    pub auth_headers: Arc<AuthResponseHeaders>,
}

/// A response that denies a request.
pub struct Denial {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Whether the response is meant for the client.
    is_for_client: bool,
    /// The cause, for the log.
    pub cause: &'static str,
}

/// The reason why there is no complete response.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The auth server was not reached, or the connection was lost before the head of the response.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The connection was lost inside the body.
    #[error("the auth server ended the connection inside its response: {0}")]
    Body(#[from] hyper::Error),
    /// The body is larger than [`MAX_RESPONSE_BYTES`].
    #[error("the auth server's response is larger than {MAX_RESPONSE_BYTES} bytes")]
    TooLarge,
}

/// Reads the whole body.
pub(super) async fn read(body: Incoming) -> Result<Bytes, AuthError> {
    let mut body = std::pin::pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > MAX_RESPONSE_BYTES {
            return Err(AuthError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

impl AuthOutcome {
    /// The value of the metric label `result`.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "error",
        }
    }

    /// Interprets a response. `ends_sign_in`: the request is the end of a sign-in, so a 400 means that the sign-in failed.
    pub(super) fn of(parts: &Parts, body: &Bytes, ends_sign_in: bool, config: &ForwardAuthConfig) -> Self {
        let Parts { status, headers, .. } = parts;
        let no = |cause: &'static str| {
            Self::Denied(Arc::new(Denial {
                status: *status,
                headers: passed_on(headers),
                body: body.clone(),
                is_for_client: true,
                cause,
            }))
        };
        match status.as_u16() {
            200..=299 => match Grant::read(headers, config) {
                Some(grant) => Self::Allowed(Arc::new(grant)),
                // For example a path that the auth server leaves open. The client does not get that page.
                None => Self::Denied(Arc::new(Denial::without_response("the auth server allows the request and names nobody"))),
            },
            301 | 302 | 303 | 307 | 308 if headers.contains_key(LOCATION) => no("not signed in"),
            401 => no("not signed in"),
            400 if ends_sign_in && !says(body, UNKNOWN_HOST) => no("the sign-in took too long, or was begun elsewhere"),
            403 => no("signed in, but the auth server does not let this account in"),
            _ => Self::Failed(explain(*status, body, config).into()),
        }
    }
}

/// The text of authentik's response for a host without an application.
const UNKNOWN_HOST: &str = "no app for hostname";

fn says(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).to_ascii_lowercase().contains(text)
}

/// Explains an unusable response, and names the settings to check.
fn explain(status: StatusCode, body: &[u8], config: &ForwardAuthConfig) -> String {
    let (server, host, path) = (&config.server, &config.external.host, config.path.split('?').next().unwrap_or_default());
    match status.as_u16() {
        400 if says(body, UNKNOWN_HOST) => format!(
            "{server} has no application for {host}: the provider's external host must be GUARD_EXTERNAL_URL, and its application must be \
             one of this outpost's"
        ),
        404 => format!("{server} has nothing at {path}: is it an outpost, and GUARD_AUTH_PRESET or GUARD_AUTH_PATH right?"),
        500 if says(body, "configuration error") => {
            format!("{server} calls its configuration wrong: it cannot read the address that it was asked about, {host}")
        }
        code => format!("{server} answered {code} to a request at {path}: wanted 2xx, a redirect, 401 or 403"),
    }
}

impl Grant {
    /// Reads the identity and the headers of a 2xx response. Returns none if it has no identity header, or more than one.
    fn read(headers: &HeaderMap, config: &ForwardAuthConfig) -> Option<Self> {
        let sub = only_name(headers, &config.identity)?.to_owned();
        let outcome = |name: &HeaderName| only_name(headers, name).map(str::to_owned);
        let email = config.email.as_ref().and_then(outcome);
        let identity = Identity::of_account(sub, email, outcome(&config.name));
        let mut auth_headers = AuthResponseHeaders::default();
        for name in &config.copy {
            auth_headers.to_upstream.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
        }
        let own = |cookie: &&HeaderValue| {
            let name = cookies::name_of(cookie.as_bytes());
            config.cookies.iter().any(|pattern| cookies::matches(pattern, name))
        };
        auth_headers.to_client.extend(headers.get_all(SET_COOKIE).iter().filter(own).cloned());
        Some(Self { identity: Arc::new(identity), auth_headers: Arc::new(auth_headers) })
    }
}

impl Denial {
    fn without_response(cause: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new(), body: Bytes::new(), is_for_client: false, cause }
    }

    /// Whether the response is meant for the client. A 2xx response without an identity is not.
    pub(super) fn is_for_client(&self) -> bool {
        self.is_for_client
    }

    /// Whether the sender is signed in and not permitted.
    pub fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// Returns the response for a browser: the auth server's own, or the configured sign-in redirect for a 401. None if the response is
    /// not meant for the client: after a 2xx without an identity, signing in would not help.
    pub fn to_browser(&self, config: &ForwardAuthConfig, uri: &Uri) -> Option<Response<Bytes>> {
        match &config.sign_in {
            _ if !self.is_for_client => None,
            Some(template) if self.status == StatusCode::UNAUTHORIZED => self.sign_in(template, uri),
            _ => Some(self.relayed()),
        }
    }

    /// The target of a redirect.
    pub(super) fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION)?.to_str().ok()
    }

    /// Returns the auth server's response: status, headers and body.
    fn relayed(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    /// Returns the sign-in redirect. It is not cacheable, because the next request may be allowed.
    fn sign_in(&self, template: &str, uri: &Uri) -> Option<Response<Bytes>> {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let location = HeaderValue::from_str(&template.replace("{uri}", &percent::encode(target))).ok()?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::FOUND;
        let headers = response.headers_mut();
        headers.insert(LOCATION, location);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for cookie in self.headers.get_all(SET_COOKIE) {
            headers.append(SET_COOKIE, cookie.clone());
        }
        Some(response)
    }
}

/// Returns the headers of a response that is passed on, without hop-by-hop headers, `Content-Length` and guard's own headers.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "alt-svc"] {
        headers.remove(name);
    }
    for name in [CONNECTION, CONTENT_LENGTH, REFUSAL_HEADER, REQUEST_ID_HEADER] {
        headers.remove(name);
    }
    headers
}
