//! Authenticates requests by a signed header: exactly one line, verified with the rules of its profile and a key of the front door.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{HeaderMap, HeaderName};

use super::profile::Profile;
use crate::assertion::cache::{Cache, TokenDigest};
use crate::assertion::{self, AssertionError, Verified};
use crate::header_fields::{self, Repeated};
use crate::jwks::Keys;
use crate::key::{Key, KeyId};
use crate::pem_keys::PemKeys;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::metrics::Metrics;

/// The source of the verification keys, shared by all workers.
#[derive(Clone)]
pub enum KeySource {
    /// A JWK set that a background task refreshes.
    Jwks(Arc<Keys>),
    /// One PEM file for each key, fetched when a token names it.
    Pem(Arc<PemKeys>),
    /// A shared secret.
    Secret(Arc<Key>),
}

impl KeySource {
    fn is_ready(&self) -> bool {
        match self {
            Self::Jwks(keys) => keys.current().is_some(),
            Self::Pem(_) | Self::Secret(_) => true,
        }
    }

    fn holds(&self, id: KeyId) -> bool {
        match self {
            Self::Jwks(keys) => keys.current().is_some_and(|set| set.holds(id)),
            Self::Pem(keys) => keys.holds(id),
            Self::Secret(key) => key.id() == id,
        }
    }

    async fn find(&self, kid: &str) -> Option<Key> {
        match self {
            Self::Jwks(keys) => {
                let known = || keys.current().and_then(|set| set.find(kid).cloned());
                if known().is_none() {
                    // An unknown key may have been published since the last fetch.
                    keys.refetched().await;
                }
                known()
            }
            Self::Pem(keys) => keys.find(kid).await,
            Self::Secret(key) => Some(Key::clone(key)),
        }
    }
}

/// The check of one worker: the profile, the shared keys, and the worker's own cache of verified tokens.
pub struct Signed {
    /// The profile.
    pub(super) profile: Arc<Profile>,
    keys: KeySource,
    cache: Mutex<Cache>,
    metrics: Arc<Metrics>,
}

impl Signed {
    /// Creates a check with an empty cache.
    pub fn new(profile: Arc<Profile>, keys: KeySource, metrics: Arc<Metrics>) -> Self {
        for cause in AssertionError::LABELS {
            metrics.expect_assertion_failure(cause);
        }
        Self { profile, keys, cache: Mutex::default(), metrics }
    }

    /// Waits until a key that has verified a token is no longer one of the front door's.
    pub async fn withdrawn(&self, key: KeyId) {
        match &self.keys {
            KeySource::Jwks(keys) => keys.withdrawn(key).await,
            KeySource::Pem(keys) => keys.withdrawn(key).await,
            KeySource::Secret(_) => std::future::pending().await,
        }
    }

    /// Authenticates a request at `now` (seconds since 1970).
    pub async fn identify(&self, headers: &HeaderMap, now: u64) -> Result<Verified, Refusal> {
        let refuse = |error: AssertionError| {
            self.metrics.assertion_failure(error.label());
            Refusal::new(Reason::Unauthorized, error.to_string())
        };
        let token = only_token(headers, &self.profile.header).map(|token| (token, TokenDigest::of(token)));
        if let Ok((_, digest)) = &token
            && let Some(verified) = self.cache().get(digest, now, |key| self.keys.holds(key))
        {
            self.metrics.token_cache.hit.inc();
            return Ok(verified);
        }
        // This also holds without a token: a 401 would make people sign in again, which would not help.
        if !self.keys.is_ready() {
            return Err(Refusal::new(Reason::NotReady, "no usable key set yet"));
        }
        let (token, digest) = token.map_err(refuse)?;
        self.metrics.token_cache.miss.inc();

        let unverified = self.profile.rules.read(token, now).map_err(|error| {
            let mut refusal = refuse(error);
            if matches!(error, AssertionError::Issuer | AssertionError::Audience) {
                refusal.cause = format!("{error}; {}", assertion::unverified_origin(token)).into();
            }
            refusal
        })?;
        let key = self.keys.find(unverified.kid()).await.ok_or_else(|| refuse(AssertionError::UnknownKey))?;
        let verified = unverified.verify(&key).map_err(refuse)?;
        self.cache().put(digest, verified.clone());
        Ok(verified)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the token in the only line with this name. More than one line is refused: components differ in which line they use.
fn only_token<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, AssertionError> {
    match header_fields::single(headers, name) {
        Ok(Some(line)) => line.to_str().map_err(|_| AssertionError::Malformed("not ASCII")),
        Ok(None) => Err(AssertionError::Missing),
        Err(Repeated) => Err(AssertionError::Repeated),
    }
}
