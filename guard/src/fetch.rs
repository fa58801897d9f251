//! A small HTTP client for key sets and token endpoints: one request on one new connection, with limits on time and size. No redirects,
//! no proxy, no compression, no cookies.
//!
//! The scheme is `https`; `http` is allowed only to a loopback address, or if the caller states that nothing secret is sent.

use std::time::Duration;

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::read::is_loopback;
use crate::percent;
use crate::tls::{Tls, Trust};

/// The time limit of one request, connecting included.
pub const MAX_TIME: Duration = Duration::from_secs(5);
/// The largest response body that is read, in bytes. Cloudflare's key set is about 8 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The largest body of an error response that is read for its reason, in bytes.
const MAX_REASON_BYTES: usize = 16 * 1024;
/// The longest reason that is reported, in characters.
const MAX_REASON_CHARS: usize = 300;
/// A longer word without `/`, `:` or `@` may be a secret, and is masked.
const MAX_WORD_CHARS: usize = 60;

/// The reason why a request has failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request took longer than [`MAX_TIME`].
    #[error("no complete response from {0} within {MAX_TIME:?}")]
    Timeout(String),
    /// The server was not reached.
    #[error("{host} not reached: {error}")]
    Connect {
        /// The host and port of the server.
        host: String,
        /// The error of the operating system or of TLS.
        error: std::io::Error,
    },
    /// The connection was lost, or the response was not valid HTTP.
    #[error("{host} ended the connection before the response was complete: {error}")]
    Http {
        /// The host and port of the server.
        host: String,
        /// The error of the HTTP client.
        error: hyper::Error,
    },
    /// The status is not 200. Redirects are not followed.
    #[error("{host} answered {status}, wanted 200{reason}")]
    Status {
        /// The host and port of the server.
        host: String,
        /// The status of the response.
        status: StatusCode,
        /// The reason that the server gave, as `: reason`, or empty. Never contains a token.
        reason: String,
    },
    /// The body is larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the response of {0} is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge(String),
}

/// The URL is not one that guard may fetch.
#[derive(Debug, thiserror::Error)]
#[error("wanted https://HOST/PATH, or http:// to a loopback address")]
pub struct BadUrl;

/// The URL of a server, and the TLS settings for it.
#[derive(Debug)]
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

/// The method, the body and the headers of one request.
pub struct FetchRequest {
    method: Method,
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl FetchRequest {
    /// Creates a GET request.
    pub fn get() -> Self {
        Self { method: Method::GET, body: String::new(), headers: Vec::new() }
    }

    /// Creates a POST request with a form (`application/x-www-form-urlencoded`).
    pub fn form(fields: &[(&str, &str)]) -> Self {
        let body = fields
            .iter()
            .map(|(name, value)| format!("{}={}", percent::encode(name), percent::encode(value)))
            .collect::<Vec<_>>()
            .join("&");
        Self { method: Method::POST, body, headers: Vec::new() }
            .with(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
    }

    /// Creates a POST request with a JSON body.
    pub fn json(value: &serde_json::Value) -> Self {
        Self { method: Method::POST, body: value.to_string(), headers: Vec::new() }
            .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Authorization: Bearer` with this token. A token that is not a valid header value is left out; the server then refuses the
    /// request.
    #[must_use]
    pub fn bearing(self, token: &str) -> Self {
        match bearer(token) {
            Some(value) => self.with(AUTHORIZATION, value),
            None => self,
        }
    }
}

/// Returns the value of an `Authorization` header with this token, marked as sensitive.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Endpoint {
    /// Creates an endpoint: `https` for any address, `http` for a loopback address only.
    pub fn at(uri: Uri, trust: &Trust) -> Result<Self, BadUrl> {
        let host = host_of(&uri)?;
        match uri.scheme_str() {
            Some("https") => {
                let tls = trust.with_server(&host).map_err(|_| BadUrl)?;
                Ok(Self { port: uri.port_u16().unwrap_or(443), host, uri, tls: Some(tls) })
            }
            Some("http") if is_loopback(&host) => Self::in_the_clear(uri),
            _ => Err(BadUrl),
        }
    }

    /// Creates an endpoint for plain HTTP to any address. Use it only for requests without secrets on the machine's own network.
    pub fn in_the_clear(uri: Uri) -> Result<Self, BadUrl> {
        let host = host_of(&uri)?;
        Ok(Self { port: uri.port_u16().unwrap_or(80), host, uri, tls: None })
    }

    /// Sends `request` and returns the body of the response. Any status but 200 is an error.
    pub async fn ask(&self, request: FetchRequest) -> Result<Bytes, FetchError> {
        tokio::time::timeout(MAX_TIME, self.exchange(request)).await.unwrap_or_else(|_| Err(FetchError::Timeout(self.place())))
    }

    async fn exchange(&self, request: FetchRequest) -> Result<Bytes, FetchError> {
        let connect = |error| FetchError::Connect { host: self.place(), error };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(connect)?;
        match &self.tls {
            Some(tls) => self.over(tls.over(stream).await.map_err(connect)?, request).await,
            None => self.over(stream, request).await,
        }
    }

    async fn over(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: FetchRequest,
    ) -> Result<Bytes, FetchError> {
        let failed = |error| FetchError::Http { host: self.place(), error };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
        let mut connection = std::pin::pin!(connection);
        let response = async {
            let response = sender.send_request(self.http_request(request)).await.map_err(failed)?;
            self.body(response).await
        };
        tokio::select! {
            body = response => body,
            // The connection ends before the response only if it failed.
            Err(error) = &mut connection => Err(failed(error)),
        }
    }

    fn http_request(&self, fetch: FetchRequest) -> Request<String> {
        let path = self.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
        let mut request = Request::new(fetch.body);
        *request.method_mut() = fetch.method;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        if let Some(host) = self.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
            headers.insert(HOST, host);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("guard/", env!("CARGO_PKG_VERSION"))));
        headers.extend(fetch.headers);
        request
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, FetchError> {
        let status = response.status();
        if status != StatusCode::OK {
            // If the body is incomplete, the status is reported without a reason.
            let body = self.read(response.into_body(), MAX_REASON_BYTES).await.unwrap_or_default();
            return Err(FetchError::Status { host: self.place(), status, reason: reason(&body) });
        }
        self.read(response.into_body(), MAX_DOCUMENT_BYTES).await
    }

    async fn read(&self, body: Incoming, limit: usize) -> Result<Bytes, FetchError> {
        let mut body = std::pin::pin!(body);
        let mut document = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|error| FetchError::Http { host: self.place(), error })?;
            let Ok(data) = frame.into_data() else { continue };
            if document.len() + data.len() > limit {
                return Err(FetchError::TooLarge(self.place()));
            }
            document.extend_from_slice(&data);
        }
        Ok(document.into())
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn host_of(uri: &Uri) -> Result<String, BadUrl> {
    let host = uri.host().ok_or(BadUrl)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() { Err(BadUrl) } else { Ok(host) }
}

/// Returns the reason of an error response: `error` and `error_description` (RFC 6749, 5.2) or Google's `error.message`. Empty if the
/// body has none of them.
fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct ErrorBody {
        error: serde_json::Value,
        error_description: Option<String>,
    }
    let Ok(ErrorBody { error, error_description }) = serde_json::from_slice(body) else { return String::new() };
    let error = error.as_str().or_else(|| error.get("message")?.as_str()).unwrap_or_default();
    let words = error.split_whitespace().chain(error_description.as_deref().unwrap_or_default().split_whitespace());
    let text = words.map(mask_token).collect::<Vec<_>>().join(" ");
    if text.is_empty() { text } else { format!(": {}", text.chars().take(MAX_REASON_CHARS).collect::<String>()) }
}

/// Masks a word that may be a token: some servers quote the token that they refuse.
fn mask_token(word: &str) -> &str {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_token = bare.starts_with("eyJ") || bare.starts_with("ya29.");
    if is_token || (word.len() > MAX_WORD_CHARS && !word.contains(['/', ':', '@'])) { "***" } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_never_quotes_a_token() {
        for (body, said) in [
            (
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                ": invalid_grant Invalid JWT Signature.",
            ),
            (
                r#"{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getOpenIdToken' denied"}}"#,
                ": Permission 'iam.serviceAccounts.getOpenIdToken' denied",
            ),
            (
                r#"{"error":"invalid_request","error_description":"bad token: eyJhbGciOi.e30.c2ln"}"#,
                ": invalid_request bad token: ***",
            ),
            (r#"{"error":"x","error_description":"'ya29.abc'"}"#, ": x ***"),
            ("<html>", ""),
            ("{}", ""),
        ] {
            assert_eq!(reason(body.as_bytes()), said, "{body}");
        }
        assert_eq!(reason(format!(r#"{{"error":"{}"}}"#, "a".repeat(61)).as_bytes()), ": ***");
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let trust = Trust::new(&[]);
        let at = |url: &str| Endpoint::at(url.parse().unwrap(), &trust).is_ok();
        assert!(
            at("https://sts.googleapis.com/v1/token")
                && at("http://127.0.0.1:9/token")
                && at("http://[::1]:9/")
                && at("http://localhost/")
        );
        assert!(!at("http://10.0.0.1/token") && !at("http://127.0.0.1.example.com/") && !at("/token") && !at("ftp://127.0.0.1/"));
    }

    #[test]
    fn a_form_escapes_what_would_end_a_field() {
        assert_eq!(FetchRequest::form(&[("a", "1&b=2"), ("c", "//iam/ä")]).body, "a=1%26b%3D2&c=%2F%2Fiam%2F%C3%A4");
    }
}
