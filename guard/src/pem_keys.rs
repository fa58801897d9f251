//! Keys that are served one by one, as PEM under their `kid`: fetched when a token names one, and remembered.
//!
//! AWS, "Authenticate users using an Application Load Balancer": `https://public-keys.auth.elb.REGION.amazonaws.com/KID`. Whoever reaches
//! guard can invent a `kid`, so what it may cause is bounded: the form of a `kid`, one fetch at a time, and [`MAX_NEW`] in a
//! [`WINDOW`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fetch::{Endpoint, FetchRequest};
use crate::key::{Key, KeyId};
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;

/// How long a key is believed without being fetched again.
pub const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// The most fetches in a [`WINDOW`].
pub const MAX_NEW: usize = 10;
/// The time in which [`MAX_NEW`] fetches may be made.
pub const WINDOW: Duration = Duration::from_secs(60);
/// The most keys that are remembered; the oldest makes room.
pub const MAX_KEYS: usize = 32;
/// The longest `kid`. AWS's are UUIDs.
const MAX_KID_BYTES: usize = 64;

/// The keys, and where more are.
pub struct PemKeys {
    base: String,
    trust: Trust,
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<String, Known>>,
    /// The times of the fetches in the current window. Holding it is the turn to fetch.
    turn: tokio::sync::Mutex<Vec<Instant>>,
}

struct Known {
    key: Key,
    since: Instant,
}

impl PemKeys {
    /// Keys at `base`/KID. None is fetched yet.
    pub fn new(base: &str, trust: Trust, metrics: Arc<Metrics>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { base, trust, metrics, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Whether these very numbers are those of a key that is still believed.
    pub fn holds(&self, id: KeyId) -> bool {
        self.known().values().any(|known| known.key.id() == id && known.since.elapsed() < MAX_AGE)
    }

    /// How many keys are known.
    pub fn count(&self) -> usize {
        self.known().len()
    }

    /// The key of that `kid`: remembered, or fetched now.
    pub async fn find(&self, kid: &str) -> Option<Key> {
        // It becomes a part of a URL.
        let is_name = (1..=MAX_KID_BYTES).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_name {
            return None;
        }
        if let Some(key) = self.remembered(kid) {
            return Some(key);
        }
        let mut fetches = self.turn.lock().await;
        // Whoever had the turn before may have fetched this very key.
        if let Some(key) = self.remembered(kid) {
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

    fn remembered(&self, kid: &str) -> Option<Key> {
        self.known().get(kid).filter(|known| known.since.elapsed() < MAX_AGE).map(|known| known.key.clone())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
