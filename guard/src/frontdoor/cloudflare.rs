//! Cloudflare Access: the header `Cf-Access-Jwt-Assertion`, never the cookie.
//!
//! "We recommend validating the header instead of the cookie, since the cookie is not guaranteed to be passed"
//! (Cloudflare One docs, "Validate JWTs"). A cookie would also let another site's page send it (CSRF).

use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{HeaderMap, HeaderName};

use crate::assertion::cache::{Cache, TokenDigest};
use crate::assertion::{AssertionError, Rules, Verified};
use crate::jwks::Keys;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::metrics::Metrics;

/// The header that Access signs.
pub const ASSERTION_HEADER: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");

/// Access's cookies (Cloudflare One docs, "Authorization cookie").
const COOKIES: [&[u8]; 5] = [b"CF_Authorization", b"CF_AppSession", b"CF_Session", b"CF_Device", b"CF_Binding"];

/// The check of one worker: the rules, the shared key set, and the worker's own memory of verified tokens.
pub struct Access {
    rules: Rules,
    keys: Arc<Keys>,
    cache: Mutex<Cache>,
    metrics: Arc<Metrics>,
}

impl Access {
    /// A check with an empty memory.
    pub fn new(rules: Rules, keys: Arc<Keys>, metrics: Arc<Metrics>) -> Self {
        for cause in AssertionError::LABELS {
            metrics.expect_assertion_failure(cause);
        }
        Self { rules, keys, cache: Mutex::default(), metrics }
    }

    /// Who sent the request, with proof.
    pub async fn identify(&self, headers: &HeaderMap, now: u64) -> Result<Verified, Refusal> {
        let Some(set) = self.keys.current() else {
            return Err(Refusal::new(Reason::NotReady, "no usable key set yet"));
        };
        let refuse = |error: AssertionError| {
            self.metrics.assertion_failure(error.label());
            Refusal::new(Reason::Unauthorized, error.to_string())
        };
        let token = only_line(headers).map_err(refuse)?;
        let digest = TokenDigest::of(token);
        if let Some(verified) = self.cache().get(&digest, now, &set) {
            self.metrics.token_cache.hit.inc();
            return Ok(verified);
        }
        self.metrics.token_cache.miss.inc();

        let unverified = self.rules.read(token, now).map_err(refuse)?;
        let set = if set.find(unverified.kid()).is_some() {
            set
        } else {
            // A key that we do not have may be one that Cloudflare has just rotated in.
            self.keys.refetched().await;
            self.keys.current().unwrap_or(set)
        };
        let key = set.find(unverified.kid()).ok_or_else(|| refuse(AssertionError::UnknownKey))?;
        let verified = unverified.verify(key).map_err(refuse)?;
        self.cache().put(digest, verified.clone());
        Ok(verified)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exactly one header line, or nothing is believed: components differ in which of two they take.
fn only_line(headers: &HeaderMap) -> Result<&str, AssertionError> {
    let mut lines = headers.get_all(ASSERTION_HEADER).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Err(AssertionError::Missing),
        (Some(_), Some(_)) => Err(AssertionError::Repeated),
        (Some(line), None) => line.to_str().map_err(|_| AssertionError::Malformed("not ASCII")),
    }
}

/// Whether a cookie is Access's.
pub fn owns_cookie(name: &[u8]) -> bool {
    COOKIES.contains(&name)
}
