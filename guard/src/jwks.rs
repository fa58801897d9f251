//! The key set of a front door: it is fetched, refreshed, and refetched for an unknown key at most once a minute. If a fetch fails, the
//! last good key set stays in use.
//!
//! RFC 7517 defines the document. Cloudflare rotates its key every six weeks and publishes the previous key for seven more days
//! ("Validate JWTs", Cloudflare One docs), so a set may hold two valid keys. A key set is replaced as a whole, never merged.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::Uri;
use hyper::body::Bytes;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::fetch::{BadUrl, Endpoint, FetchError, FetchRequest};
use crate::key::{self, Key, KeyId};
use crate::random;
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;

/// How often the key set is refreshed. A revoked key is accepted no longer than this plus [`crate::assertion::cache::MAX_AGE`].
pub const REFRESH: Duration = Duration::from_secs(10 * 60);
/// The minimum time between two fetches for an unknown `kid`.
pub const REFETCH_INTERVAL: Duration = Duration::from_secs(60);
/// How long the last good key set is used while its server is down.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often [`Keys::withdrawn`] reads the age of the set.
const AGE_CHECK: Duration = Duration::from_secs(30);
/// The first pause after a failed fetch; it doubles up to [`MAX_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause after a failed fetch.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The maximum number of keys in a key set.
pub const MAX_KEYS: usize = 64;

/// The reason why there is no usable key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The document was not fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The document is not a JSON object with an array `keys`.
    #[error("the key set is not a JSON object with an array `keys`: {0}")]
    Json(#[from] serde_json::Error),
    /// The document has more than [`MAX_KEYS`] keys.
    #[error("the key set has {0} keys; at most {MAX_KEYS} are read")]
    TooMany(usize),
    /// No key can verify signatures of the configured algorithms.
    #[error("the key set has no usable key among {0}: wanted one for {1} signatures with a unique kid (RSA: 2048 bits or more)")]
    NoUsableKey(usize, String),
}

/// The usable keys of one document.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    since: Instant,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Parses a document. Keys for other algorithms are ignored, and so are different keys with the same `kid`.
    pub fn parse(document: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        let Set { keys: all } = serde_json::from_slice(document)?;
        if all.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(all.len()));
        }
        let total = all.len();
        let mut by_kid: HashMap<String, Option<Key>> = HashMap::new();
        let mut order = Vec::new();
        let usable = |key: &Key| algorithms.iter().any(|algorithm| key.permits(*algorithm));
        for key in all.into_iter().filter_map(Key::from_jwk).filter(usable) {
            match by_kid.get_mut(key.kid()) {
                None => {
                    order.push(key.kid().to_owned());
                    by_kid.insert(key.kid().to_owned(), Some(key));
                }
                Some(Some(known)) if known.id() == key.id() => {}
                Some(slot) => *slot = None,
            }
        }
        let keys: Vec<_> = order.iter().filter_map(|kid| by_kid.remove(kid).flatten()).collect();
        if keys.is_empty() {
            let wanted: Vec<_> = algorithms.iter().map(|algorithm| key::name(*algorithm)).collect();
            return Err(KeySetError::NoUsableKey(total, wanted.join(" or ")));
        }
        Ok(Self { keys, since: Instant::now() })
    }

    /// The keys, in the order of the document.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Returns the key with this `kid`.
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// Whether the set contains the key with this id.
    pub fn holds(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id() == id)
    }

    /// The time since the set was fetched.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// A source of key set documents: an HTTP server, or a script in a test.
pub trait Source: Send + Sync + 'static {
    /// Fetches the document once, bounded in time and size.
    fn fetch(&self) -> impl Future<Output = Result<Bytes, FetchError>> + Send;
}

/// A document at a fixed URL.
pub struct Document(Endpoint);

impl Document {
    /// The document at `uri`. The scheme is `https`, or `http` for a loopback address.
    pub fn at(uri: Uri, trust: &Trust) -> Result<Self, BadUrl> {
        Endpoint::at(uri, trust).map(Self)
    }
}

impl Source for Document {
    async fn fetch(&self) -> Result<Bytes, FetchError> {
        self.0.ask(FetchRequest::get()).await
    }
}

/// The current key set, shared by all workers. Readers never wait, except for the refetch that an unknown `kid` may cause.
pub struct Keys {
    algorithms: Vec<Algorithm>,
    current: ArcSwapOption<KeySet>,
    limiter: Mutex<RefetchLimiter>,
    refresh_requested: Notify,
    finished: watch::Sender<u64>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct RefetchLimiter {
    in_flight: bool,
    last_request: Option<Instant>,
}

impl Keys {
    /// Creates an empty handle for these algorithms. It is not ready until [`Keys::keep_fresh`] has fetched a key set.
    pub fn new(algorithms: Vec<Algorithm>, metrics: Arc<Metrics>) -> Self {
        Self {
            algorithms,
            current: ArcSwapOption::empty(),
            limiter: Mutex::default(),
            refresh_requested: Notify::new(),
            finished: watch::Sender::new(0),
            metrics,
        }
    }

    /// Returns the current key set; none before the first fetch, and none if the last good one is older than [`MAX_AGE`].
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full().filter(|set| set.age() < MAX_AGE)
    }

    /// Waits until a key set is loaded.
    pub async fn ready(&self) {
        let mut finished = self.finished.subscribe();
        while self.current().is_none() && finished.changed().await.is_ok() {}
    }

    /// Waits until the key with this id has left the set, or the set is too old.
    pub async fn withdrawn(&self, id: KeyId) {
        let mut finished = self.finished.subscribe();
        while self.current().is_some_and(|set| set.holds(id)) {
            tokio::select! {
                _ = finished.changed() => {}
                () = tokio::time::sleep(AGE_CHECK) => {}
            }
        }
    }

    /// Waits until the first fetch has ended, successful or not.
    pub async fn attempted(&self) {
        let _ = self.finished.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Refetches the key set for a `kid` that the current set does not have. It waits for the fetch in flight if there is one, or starts
    /// one if the last was more than [`REFETCH_INTERVAL`] ago; otherwise it returns at once.
    pub async fn refetched(&self) {
        let mut finished = self.finished.subscribe();
        let target = {
            let mut limiter = self.limiter();
            if !limiter.in_flight {
                if limiter.last_request.is_some_and(|last| last.elapsed() < REFETCH_INTERVAL) {
                    return;
                }
                limiter.last_request = Some(Instant::now());
                limiter.in_flight = true;
                self.refresh_requested.notify_one();
            }
            *finished.borrow_and_update() + 1
        };
        let _ = finished.wait_for(|count| *count >= target).await;
    }

    /// Fetches the key set now, and then refreshes it forever. Run it once, as a task.
    pub async fn keep_fresh(&self, source: impl Source) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            self.limiter().in_flight = true;
            let outcome =
                source.fetch().await.map_err(KeySetError::from).and_then(|document| KeySet::parse(&document, &self.algorithms));
            let pause = match outcome {
                Ok(set) => {
                    self.store(set);
                    backoff = FIRST_BACKOFF;
                    random::jittered(REFRESH)
                }
                Err(error) => {
                    self.metrics.jwks_fetches.failed.inc();
                    // The last good key set, if there is one, stays in use.
                    let keys = self.current().map_or(0, |set| set.keys.len());
                    tracing::warn!(error = %error, retry_ms = backoff.as_millis(), keys_in_use = keys, "key set not fetched");
                    let pause = random::jittered(backoff);
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    pause
                }
            };
            {
                let mut limiter = self.limiter();
                limiter.in_flight = false;
                self.finished.send_modify(|count| *count += 1);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.refresh_requested.notified() => {}
            }
        }
    }

    fn store(&self, set: KeySet) {
        self.metrics.jwks_fetches.ok.inc();
        let kids = |set: &KeySet| set.keys.iter().map(|key| key.kid().to_owned()).collect::<Vec<_>>();
        let before = self.current.load_full().map(|set| kids(&set)).unwrap_or_default();
        let now = kids(&set);
        if before != now {
            tracing::info!(keys = now.len(), first = now.first().map(String::as_str).unwrap_or_default(), "key set loaded");
        }
        self.current.store(Some(Arc::new(set)));
    }

    fn limiter(&self) -> std::sync::MutexGuard<'_, RefetchLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
