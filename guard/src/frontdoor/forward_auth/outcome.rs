//! What an auth server outcome: yes and who, no and how to sign in, or nothing that can be used.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode, Uri};

use crate::config::ForwardAuthConfig;
use crate::cookies;
use crate::frontdoor::AuthResponseHeaders;
use crate::frontdoor::unsigned::only_name;
use crate::identity::Identity;
use crate::percent;
use crate::refusal::{REFUSAL_HEADER, REQUEST_ID_HEADER};
use crate::upstream::UpstreamError;

/// The most of an answer that is read, in bytes: a sign-in page fits, a download does not.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// An answer.
#[derive(Clone)]
pub enum AuthOutcome {
    /// Yes: a 2xx that names somebody.
    Allowed(Arc<Grant>),
    /// No.
    Denied(Arc<Denial>),
    /// Neither, and why: for the log.
    Failed(Cow<'static, str>),
}

/// A yes.
#[derive(Debug)]
pub struct Grant {
    /// Who.
    pub identity: Arc<Identity>,
    /// What goes along.
    pub auth_headers: Arc<AuthResponseHeaders>,
}

/// A no, as it was outcome.
pub struct Denial {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Whether it says anything to whoever was refused.
    is_answer: bool,
    /// Why, for the log.
    pub cause: &'static str,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Not reached, or broke off before a head.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Broke off inside the body.
    #[error("the auth server broke off inside its answer: {0}")]
    Body(#[from] hyper::Error),
    /// Larger than [`MAX_ANSWER_BYTES`].
    #[error("the auth server's answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

/// The whole body.
pub(super) async fn read(body: Incoming) -> Result<Bytes, AuthError> {
    let mut body = std::pin::pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > MAX_ANSWER_BYTES {
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

    /// Reads an answer. `ends_sign_in`: the request came back from the identity provider, and a 400 is about that.
    pub(super) fn of(parts: &Parts, body: &Bytes, ends_sign_in: bool, config: &ForwardAuthConfig) -> Self {
        let Parts { status, headers, .. } = parts;
        let no = |cause: &'static str| {
            Self::Denied(Arc::new(Denial {
                status: *status,
                headers: passed_on(headers),
                body: body.clone(),
                is_answer: true,
                cause,
            }))
        };
        match status.as_u16() {
            200..=299 => match Grant::read(headers, config) {
                Some(grant) => Self::Allowed(Arc::new(grant)),
                // A path that the auth server leaves open, say. Its page is for nobody either.
                None => Self::Denied(Arc::new(Denial::without_answer("the auth server says yes, and names nobody"))),
            },
            301 | 302 | 303 | 307 | 308 if headers.contains_key(LOCATION) => no("not signed in"),
            401 => no("not signed in"),
            400 if ends_sign_in && !says(body, UNKNOWN_HOST) => no("the sign-in took too long, or was begun elsewhere"),
            403 => no("signed in, but the auth server does not let this account in"),
            _ => Self::Failed(trouble(*status, body, config).into()),
        }
    }
}

/// What authentik answers for a host that it has no application for.
const UNKNOWN_HOST: &str = "no app for hostname";

fn says(body: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(body).to_ascii_lowercase().contains(text)
}

/// What an unusable answer means, in words that name what to look at.
fn trouble(status: StatusCode, body: &[u8], config: &ForwardAuthConfig) -> String {
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
        code => format!("{server} answered {code} to a request at {path}: wanted a yes, a redirect, 401 or 403"),
    }
}

impl Grant {
    /// Who a 2xx names; none where it names nobody, or two.
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
    fn without_answer(cause: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new(), body: Bytes::new(), is_answer: false, cause }
    }

    /// Whether it says how to sign in, or why not: a yes that names nobody does not.
    pub(super) fn is_answer(&self) -> bool {
        self.is_answer
    }

    /// Signed in, and not permitted.
    pub fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// What a browser is told: the auth server's own answer, or the way to sign in where a 401 names none. Nothing where there is no
    /// answer: a yes that names nobody would only come again after signing in.
    pub fn to_browser(&self, config: &ForwardAuthConfig, uri: &Uri) -> Option<Response<Bytes>> {
        match &config.sign_in {
            _ if !self.is_answer => None,
            Some(template) if self.status == StatusCode::UNAUTHORIZED => self.sign_in(template, uri),
            _ => Some(self.relayed()),
        }
    }

    /// Where a redirect leads.
    pub(super) fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION)?.to_str().ok()
    }

    /// The answer, as it was given: status, headers, body.
    fn relayed(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    /// A redirect to where one signs in. Never kept: the next answer may be a yes.
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

/// The headers of an answer that is passed on: all but those of its connection, its length, which is written anew, and guard's own.
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
