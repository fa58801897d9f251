//! Keys that are published one by one as PEM files, named by their `kid`. A key is fetched when a token names it, and cached.
//!
//! AWS, "Authenticate users using an Application Load Balancer": `https://public-keys.auth.elb.REGION.amazonaws.com/KID`. Any client can
//! invent a `kid`, so fetches are limited: a `kid` must have the right form, one fetch runs at a time, and at most [`MAX_NEW`] in a
//! [`WINDOW`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fetch::{Endpoint, FetchRequest};
use crate::key::{Key, KeyId};
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;

/// How long a key is cached before it is fetched again.
pub const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// The maximum number of fetches in a [`WINDOW`].
pub const MAX_NEW: usize = 10;
/// The period to which the limit [`MAX_NEW`] applies.
pub const WINDOW: Duration = Duration::from_secs(60);
/// The maximum number of cached keys. The oldest is removed when the cache is full.
pub const MAX_KEYS: usize = 32;
/// The longest accepted `kid`, in bytes. AWS uses UUIDs.
const MAX_KID_BYTES: usize = 64;

/// The cached keys, and the base URL for further ones.
pub struct PemKeys {
    base: String,
    trust: Trust,
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<String, Known>>,
    /// The times of the fetches in the current window. The lock is held during a fetch, so that only one runs at a time.
    fetches: tokio::sync::Mutex<Vec<Instant>>,
}

struct Known {
    key: Key,
    since: Instant,
}

impl PemKeys {
    /// Creates an empty cache for the keys at `base`/KID.
    pub fn new(base: &str, trust: Trust, metrics: Arc<Metrics>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { base, trust, metrics, known: Mutex::default(), fetches: tokio::sync::Mutex::default() }
    }

    /// Whether the key with this id is in the cache and not too old.
    pub fn holds(&self, id: KeyId) -> bool {
        self.known().values().any(|known| known.key.id() == id && known.since.elapsed() < MAX_AGE)
    }

    /// The number of cached keys.
    pub fn count(&self) -> usize {
        self.known().len()
    }

    /// Returns the key with this `kid` from the cache, or fetches it.
    pub async fn find(&self, kid: &str) -> Option<Key> {
        // The `kid` becomes a part of a URL.
        let is_name = (1..=MAX_KID_BYTES).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_name {
            return None;
        }
        if let Some(key) = self.cached(kid) {
            return Some(key);
        }
        let mut fetches = self.fetches.lock().await;
        // The previous holder of the lock may have fetched this key.
        if let Some(key) = self.cached(kid) {
            return Some(key);
        }
        fetches.retain(|at| at.elapsed() < WINDOW);
        if fetches.len() >= MAX_NEW {
            return None;
        }
        fetches.push(Instant::now());
        self.fetch(kid).await
    }

    async fn fetch(&self, kid: &str) -> Option<Key> {
        let endpoint = Endpoint::at(format!("{}/{kid}", self.base).parse().ok()?, &self.trust).ok()?;
        let key = match endpoint.ask(FetchRequest::get()).await {
            Ok(pem) => Key::from_p256_pem(kid, &pem),
            Err(error) => {
                tracing::warn!(error = %error, "key not fetched");
                self.metrics.jwks_fetches.failed.inc();
                return None;
            }
        };
        let Some(key) = key else {
            tracing::warn!("key not usable: wanted a P-256 public key as PEM");
            self.metrics.jwks_fetches.failed.inc();
            return None;
        };
        self.metrics.jwks_fetches.ok.inc();
        let mut known = self.known();
        if known.len() >= MAX_KEYS
            && let Some(oldest) = known.iter().min_by_key(|(_, known)| known.since).map(|(kid, _)| kid.clone())
        {
            known.remove(&oldest);
        }
        known.insert(kid.to_owned(), Known { key: key.clone(), since: Instant::now() });
        Some(key)
    }

    fn cached(&self, kid: &str) -> Option<Key> {
        self.known().get(kid).filter(|known| known.since.elapsed() < MAX_AGE).map(|known| known.key.clone())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
