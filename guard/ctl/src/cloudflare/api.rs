//! A thin client of Cloudflare's API v4: a call enters, its `result` leaves, or an [`ApiError`].
//!
//! Reads are repeated after 429 and 5xx. A write is repeated after 429 only, which Cloudflare answers before it does anything: after any other
//! failure its outcome is not known, and the next run looks first.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::error::ApiError;
use super::part::Part;
use super::token::Token;

/// Where the API is.
pub(crate) const BASE: &str = "https://api.cloudflare.com/client/v4";
/// No answer is larger, in bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// The objects on a page.
const PER_PAGE: usize = 50;
/// More pages than any account of a family has.
const MAX_PAGES: usize = 200;
/// How often a call is made in all.
const ATTEMPTS: u32 = 4;
/// Cloudflare blocks for five minutes at most; above it, a person should come back.
const MAX_WAIT_SECONDS: u64 = 300;
/// The beginning of a body that is shown when it is not the API's.
const MAX_SHOWN: usize = 120;

/// A call that is not made yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The part that it reads or changes.
    pub(crate) part: Part,
    /// The method.
    pub(crate) method: Method,
    /// The path below the base, with its query.
    pub(crate) path: String,
    /// The body, as JSON.
    pub(crate) body: Option<Value>,
}

impl Call {
    /// A read.
    pub(crate) fn get(part: Part, path: impl Into<String>) -> Self {
        Self { part, method: Method::GET, path: path.into(), body: None }
    }

    /// A change.
    pub(crate) fn write(part: Part, method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { part, method, path: path.into(), body: Some(body) }
    }

    /// As it is named in a message: without the query.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }

    fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// The client.
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: Token,
    /// What a second is: tests make it shorter.
    second: Duration,
}

impl Api {
    /// A client of the API at `base`: https, or http on this computer.
    pub(crate) fn new(base: &str, token: Token, timeout: Duration, second: Duration) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base)?;
        let is_here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        ensure!(url.scheme() == "https" || is_here, "{base}: wanted https, or an address of this computer");
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // A redirect would take the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("guardctl/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout);
        if is_here {
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, base, token, second })
    }

    /// The token, to remove it from texts.
    pub(crate) const fn token(&self) -> &Token {
        &self.token
    }

    /// Waits for so many seconds.
    pub(crate) async fn pause(&self, seconds: u64) {
        tokio::time::sleep(self.second * u32::try_from(seconds).unwrap_or(u32::MAX)).await;
    }

    /// Every object of a list, page by page until an empty one: the totals that Cloudflare tells are not always there.
    pub(crate) async fn list(&self, part: Part, path: &str) -> Result<Vec<Value>, ApiError> {
        let mut found: Vec<Value> = Vec::new();
        let mut last = Vec::new();
        for page in 1..=MAX_PAGES {
            let separator = if path.contains('?') { '&' } else { '?' };
            let call = Call::get(part, format!("{path}{separator}page={page}&per_page={PER_PAGE}"));
            let items = match self.send(&call).await? {
                Value::Array(items) => items,
                Value::Null => Vec::new(),
                _ => return Err(ApiError::Unreadable { call: call.name(), said: "the result is no list".to_owned() }),
            };
            // The same page again: this list has no pages.
            if items.is_empty() || items == last {
                return Ok(found);
            }
            found.extend(items.iter().cloned());
            last = items;
        }
        Err(ApiError::Unreadable { call: format!("GET {path}"), said: format!("more than {MAX_PAGES} pages") })
    }

    /// Makes a call; its `result`.
    pub(crate) async fn send(&self, call: &Call) -> Result<Value, ApiError> {
        let mut attempt = 1;
        loop {
            let error = match self.once(call).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let wait = match &error {
                ApiError::Limited { seconds, .. } if *seconds <= MAX_WAIT_SECONDS => *seconds,
                ApiError::Unavailable { .. } | ApiError::Unreachable { .. } if !call.is_write() => 1 << (attempt - 1),
                _ => return Err(error),
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
            if wait > 5 {
                eprintln!("Cloudflare asks to wait {wait} s");
            }
            self.pause(wait).await;
        }
    }

    async fn once(&self, call: &Call) -> Result<Value, ApiError> {
        let unreachable = |error: reqwest::Error| {
            let why = if error.is_timeout() { "it took too long".to_owned() } else { chain(&error.without_url()) };
            ApiError::Unreachable { call: call.name(), said: self.token.redact(&why) }
        };
        let mut request = self.http.request(call.method.clone(), format!("{}{}", self.base, call.path));
        request = request.header(AUTHORIZATION, self.token.header());
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ApiError::Unreadable { call: call.name(), said: format!("more than {MAX_ANSWER} bytes") });
            }
            body.extend_from_slice(&chunk);
        }
        self.judge(call, status, wait, &body)
    }

    /// The result of an answer, or what is wrong with it: by status first, then by code.
    fn judge(&self, call: &Call, status: StatusCode, wait: Option<u64>, body: &[u8]) -> Result<Value, ApiError> {
        let name = call.name();
        let envelope = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
        let codes: Vec<i64> = envelope.iter().flat_map(errors).filter_map(|error| error["code"].as_i64()).collect();
        let said = self.token.redact(&match &envelope {
            Some(envelope) => told(status, envelope),
            None if status.is_server_error() => format!("status {}, no JSON", status.as_u16()),
            None => format!("status {}: {}", status.as_u16(), beginning(body)),
        });
        let has = |code: i64| codes.contains(&code);
        if status.is_success() {
            return match envelope {
                Some(mut envelope) if envelope["success"] == true => Ok(envelope["result"].take()),
                Some(_) => Err(ApiError::Refused { call: name, said }),
                None if body.is_empty() && status == StatusCode::NO_CONTENT => Ok(Value::Null),
                None => Err(ApiError::Unreadable { call: name, said }),
            };
        }
        Err(match status.as_u16() {
            429 => ApiError::Limited { call: name, seconds: wait.unwrap_or(1) },
            500.. => ApiError::Unavailable { call: name, said },
            _ if envelope.is_none() && status != StatusCode::NOT_FOUND => ApiError::Unreadable { call: name, said },
            // The gateway says 404 for a path that it does not know, too: only the API's own answer means that an object is absent.
            404 if envelope.is_none() => ApiError::Unreadable { call: name, said },
            _ if has(9999) => ApiError::NotEnabled { call: name, said },
            _ if has(6003) || has(6111) || has(1000) => ApiError::Token { call: name, said },
            401 if !has(10000) => ApiError::Token { call: name, said },
            401 | 403 => ApiError::Permission { part: call.part, write: call.is_write(), call: name, said },
            404 => ApiError::Absent { call: name, said },
            409 => ApiError::Conflict { call: name, said },
            _ => ApiError::Refused { call: name, said },
        })
    }
}

fn errors(envelope: &Value) -> impl Iterator<Item = &Value> {
    envelope["errors"].as_array().into_iter().flatten()
}

/// `status 403, code 10000: Authentication error`
fn told(status: StatusCode, envelope: &Value) -> String {
    let one = |error: &Value| {
        let message = error["message"].as_str().unwrap_or("no message");
        error["code"].as_i64().map_or_else(|| message.to_owned(), |code| format!("code {code}: {message}"))
    };
    let all: Vec<_> = errors(envelope).map(one).collect();
    format!("status {}, {}", status.as_u16(), if all.is_empty() { "no reason".to_owned() } else { all.join("; ") })
}

/// The first characters of a body that is no JSON, on one line.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN)]).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "an empty body".to_owned() } else { format!("{text:?}…") }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
