//! Refusals: every error response that guard makes. A reason determines the status, the headers, the metric label and the public text.
//!
//! The public text never says why a token was refused; [`Refusal::cause`] does, and is written to the log only.
//! RFC 9110, section 15 for the statuses; the JSON body has the shape of Immich's own errors.

pub mod language;
pub mod page;
mod texts;

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::allow_list::NotListed;
use crate::random;
use language::Language;
use page::PageContext;

/// The header that names the [`Reason`] on every refusal.
pub const REFUSAL_HEADER: HeaderName = HeaderName::from_static("guard-refusal");
/// The header that carries the request id on every refusal.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("guard-request-id");

/// The public reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Malformed or ambiguous framing, absent or repeated Host, absolute-form target.
    BadRequest,
    /// No assertion, more than one, or one that does not verify.
    Unauthorized,
    /// Authenticated, but not on the allow list.
    Forbidden,
    /// CONNECT or TRACE.
    MethodNotAllowed,
    /// The body stopped arriving.
    RequestTimeout,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The Host is not the one of `GUARD_EXTERNAL_URL`.
    Misdirected,
    /// The head is larger than the limit, or has too many lines.
    HeadersTooLarge,
    /// The upstream could not be reached, or ended the connection before a response.
    UpstreamUnreachable,
    /// The upstream could not be reached in time.
    UpstreamTimeout,
    /// No usable key set yet, or draining.
    NotReady,
    /// The memory or the connections are used up.
    Overloaded,
    /// The auth server does not respond, or not in a way that can be used.
    AuthUnreachable,
    /// There is no identity token for the backend. No request is sent without one.
    NoToken,
}

/// The direction of a request, which some public texts depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the internet to Immich: `guard origin`.
    #[default]
    Inbound,
    /// From home to a backend: `guard idtoken`.
    Outbound,
}

impl Reason {
    /// Every reason, in the order of the contract's table.
    pub const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::Misdirected,
        Self::HeadersTooLarge,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
        Self::NotReady,
        Self::Overloaded,
        Self::AuthUnreachable,
        Self::NoToken,
    ];

    /// The value of `Guard-Refusal` and of the metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::Misdirected => "misdirected",
            Self::HeadersTooLarge => "headers-too-large",
            Self::UpstreamUnreachable => "upstream-unreachable",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::NotReady => "not-ready",
            Self::Overloaded => "overloaded",
            Self::AuthUnreachable => "auth-unreachable",
            Self::NoToken => "no-token",
        }
    }

    /// The status of the response.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::NotReady | Self::Overloaded | Self::AuthUnreachable | Self::NoToken => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The party that caused the refusal, for the log field `blame`.
    pub const fn blame(self) -> &'static str {
        match self {
            Self::UpstreamUnreachable | Self::UpstreamTimeout => "upstream",
            Self::AuthUnreachable => "auth server",
            Self::NotReady | Self::Overloaded | Self::NoToken => "guard",
            _ => "client",
        }
    }

    const fn message(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::Forbidden, Direction::Outbound) => "You are not on the list of those who may use this service.",
            (Self::BodyTooLarge, Direction::Outbound) => "This body is larger than the backend accepts.",
            (Self::UpstreamUnreachable, Direction::Outbound) => "The backend does not answer right now.",
            (Self::UpstreamTimeout, Direction::Outbound) => "The backend did not accept a connection in time.",
            (reason, _) => reason.words(),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed or ambiguous.",
            Self::Unauthorized => "Sign in first: this request does not show who sent it.",
            Self::Forbidden => "You are signed in, but your address is not on the list of those who may enter.",
            Self::MethodNotAllowed => "This method is not allowed here.",
            Self::RequestTimeout => "The upload stopped arriving.",
            Self::BodyTooLarge => "Too large. Upload it at home, over the LAN.",
            Self::Misdirected => "This server does not know this host name.",
            Self::HeadersTooLarge => "The headers of this request are too large.",
            Self::UpstreamUnreachable => "The photo server does not answer right now.",
            Self::UpstreamTimeout => "The photo server did not accept a connection in time.",
            Self::NotReady => "This server is starting or stopping. Try again in a moment.",
            Self::Overloaded => "This server has too much to do right now. Try again in a moment.",
            Self::AuthUnreachable => "The sign-in server does not answer right now. Nobody can sign in without it.",
            Self::NoToken => "There is no identity token for the backend right now; guard's log and its status page say why.",
        }
    }
}

/// A refused request: the public reason and the private cause.
#[derive(Debug)]
pub struct Refusal {
    /// The reason that the client is told.
    pub reason: Reason,
    /// The cause, for the log. It never holds a token, a query string or the value of a header.
    pub cause: Cow<'static, str>,
}

/// The facts about this home that public texts may state.
#[derive(Clone, Debug, Default)]
pub struct RefusalContext {
    /// The direction of the requests.
    pub direction: Direction,
    /// The address for large files at home (`GUARD_LAN_URL`).
    pub lan_url: Option<String>,
    /// The page for large files from anywhere, where large uploads are on.
    pub upload_url: Option<String>,
    /// The path at which a person signs out, to use another account.
    pub sign_out: Option<&'static str>,
    /// The size limit in words, such as `100 MiB` (`GUARD_MAX_BODY`).
    pub limit: String,
}

impl Refusal {
    /// Creates a refusal for `reason`, with the cause for the log.
    pub fn new(reason: Reason, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, cause: cause.into() }
    }

    /// Makes the whole response: a page where `page` is given, else JSON. `close` closes the connection after it: set it when the request's body
    /// was not read to its end.
    pub fn answer(
        &self,
        id: RequestId,
        page: Option<PageContext<'_>>,
        close: bool,
        refusal_context: &RefusalContext,
    ) -> Response<Bytes> {
        // The clients of a backend are programs: they get English.
        let is_outbound = refusal_context.direction == Direction::Outbound;
        let page = page.map(|page| if is_outbound { PageContext::default() } else { page });
        let body = match page {
            Some(page) => page::html(self.reason, &self.message(refusal_context), id, page, refusal_context),
            None => self.json(id, refusal_context),
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.reason.status();
        let headers = response.headers_mut();
        headers.insert(REFUSAL_HEADER, HeaderValue::from_static(self.reason.label()));
        headers.insert(REQUEST_ID_HEADER, id.header());
        if let Some(page) = page {
            page.insert_headers(headers);
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        match self.reason {
            // RFC 9110, 15.5.2: a 401 names at least one challenge. No client can answer this one.
            Reason::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Assertion realm=\"guard\""));
            }
            // RFC 9110, 15.5.6: a 405 lists what is allowed.
            Reason::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
            }
            Reason::NotReady | Reason::Overloaded | Reason::AuthUnreachable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
            }
            Reason::UpstreamUnreachable | Reason::UpstreamTimeout => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            Reason::NoToken => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
            }
            _ => {}
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Makes the same response as bytes, for a head that hyper refused by itself.
    pub fn wire(&self, id: RequestId, refusal_context: &RefusalContext) -> Vec<u8> {
        let response = self.answer(id, None, true, refusal_context);
        let status = response.status();
        let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default()).into_bytes();
        for (name, value) in response.headers() {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("content-length: {}\r\n\r\n", response.body().len()).as_bytes());
        head.extend_from_slice(response.body());
        head
    }

    fn message(&self, refusal_context: &RefusalContext) -> String {
        let RefusalContext { direction, lan_url, upload_url, limit, .. } = refusal_context;
        if let (Reason::BodyTooLarge, Some(page)) = (self.reason, upload_url) {
            let at_home = lan_url.as_ref().map(|url| format!("; at home, at {url}, there is none")).unwrap_or_default();
            return format!("Too large. Upload it in parts: {page} (the limit of one request is {limit}{at_home}).");
        }
        match (self.reason, direction, lan_url) {
            // Immich's clients cut a message after 75 characters: what to do comes first.
            (Reason::BodyTooLarge, Direction::Inbound, Some(url)) => {
                format!("Too large. Upload it at home: {url} (the limit over the internet is {limit}).")
            }
            (Reason::BodyTooLarge, Direction::Inbound, None) => {
                format!("Too large. Upload it at home, over the LAN (the limit over the internet is {limit}).")
            }
            (Reason::BodyTooLarge, Direction::Outbound, _) => {
                format!("{} The limit is {limit}.", self.reason.message(*direction))
            }
            _ => self.reason.message(*direction).to_owned(),
        }
    }

    fn json(&self, id: RequestId, refusal_context: &RefusalContext) -> String {
        let status = self.reason.status();
        serde_json::json!({
            "statusCode": status.as_u16(),
            "error": status.canonical_reason().unwrap_or_default(),
            "message": self.message(refusal_context),
            "correlationId": id.to_string(),
        })
        .to_string()
    }
}

/// The id of a request, in the log line and in the refusal: a random number of the process, and a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    process: u32,
    number: u64,
}

impl RequestId {
    /// Creates the next id of this process.
    pub fn next() -> Self {
        static PROCESS: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let process = *PROCESS.get_or_init(|| {
            // Without randomness, ids of two processes may be equal. No decision depends on them.
            u32::from_ne_bytes(random::bytes().unwrap_or_default())
        });
        Self { process, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    #[expect(clippy::expect_used, reason = "hex digits and a dash are always a header value")]
    fn header(self) -> HeaderValue {
        HeaderValue::from_maybe_shared(Bytes::from(self.to_string())).expect("hex digits and a dash")
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{:x}", self.process, self.number)
    }
}

/// The language of the page for a client that prefers a page to JSON; none for another one.
pub fn page_language(headers: &HeaderMap) -> Option<Language> {
    prefers_html(headers).then(|| Language::preferred(headers))
}

/// Whether the client prefers `text/html` to `application/json` (`Accept`; RFC 9110, 12.5.1). Without a preference it gets JSON.
pub fn prefers_html(headers: &HeaderMap) -> bool {
    let mut html = 0.0_f32;
    let mut json = 0.0_f32;
    for line in headers.get_all(ACCEPT) {
        for range in line.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';');
            let kind = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            if kind.eq_ignore_ascii_case("text/html") {
                html = html.max(weight);
            } else if kind.eq_ignore_ascii_case("application/json") {
                json = json.max(weight);
            }
        }
    }
    html > json
}

impl From<NotListed> for Refusal {
    fn from(error: NotListed) -> Self {
        Self::new(Reason::Forbidden, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::language::Language;
    use super::*;

    #[test]
    fn the_413_names_the_way_for_large_files_and_the_limit() {
        let refusal_context = RefusalContext {
            lan_url: Some("http://nas.lan:30283".to_owned()),
            limit: "100 MiB".to_owned(),
            ..RefusalContext::default()
        };
        let refusal = Refusal::new(Reason::BodyTooLarge, "declared 104857601 bytes");
        let response = refusal.answer(RequestId::next(), None, true, &refusal_context);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["statusCode"], 413);
        let message = body["message"].as_str().unwrap();
        assert!(message.contains("100 MiB") && message.contains("http://nas.lan:30283"), "{message}");
        assert!(message.chars().take(75).collect::<String>().contains("http://nas.lan:30283"), "within 75 characters: {message}");
        assert!(!message.contains("104857601"), "the cause stays private: {message}");
    }

    #[test]
    fn the_413_names_the_page_for_large_files_where_there_is_one() {
        let refusal_context = RefusalContext {
            lan_url: Some("http://nas.lan:30283".to_owned()),
            upload_url: Some("https://photos.example.com/.guard/upload".to_owned()),
            limit: "100 MiB".to_owned(),
            ..RefusalContext::default()
        };
        let message = Refusal::new(Reason::BodyTooLarge, "").message(&refusal_context);
        let first: String = message.chars().take(75).collect();
        assert!(first.contains("https://photos.example.com/.guard/upload"), "within 75 characters: {message}");
        assert!(message.contains("http://nas.lan:30283") && message.contains("100 MiB"), "{message}");
    }

    #[test]
    fn a_page_says_its_language_and_what_it_depends_on_and_a_program_gets_json_as_before() {
        let refusal = Refusal::new(Reason::UpstreamUnreachable, "");
        let context = RefusalContext::default();
        let page = PageContext { language: Language::Greek, address: None };
        let response = refusal.answer(RequestId::next(), Some(page), true, &context);
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!((header("content-language"), header("vary")), ("el", "accept, accept-language"));
        assert_eq!((header("retry-after"), header("cache-control")), ("10", "no-store, no-transform"));
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
        let response = refusal.answer(RequestId::next(), None, true, &context);
        for absent in ["content-language", "vary", "content-security-policy"] {
            assert!(!response.headers().contains_key(absent), "{absent}");
        }
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    }

    #[test]
    fn a_browser_gets_html_and_a_program_gets_json() {
        let accept = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(value));
            prefers_html(&headers)
        };
        assert!(accept("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!accept("application/json"));
        assert!(!accept("*/*"));
        assert!(!accept("text/html;q=0.5, application/json"));
        assert!(!accept("text/html;q=0"));
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn the_wire_form_is_one_whole_message() {
        let text = Refusal::new(Reason::HeadersTooLarge, "").wire(RequestId::next(), &RefusalContext::default());
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert!(head.contains("guard-refusal: headers-too-large"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
}
