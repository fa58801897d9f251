//! The key set of a front door: fetched, refreshed, refetched with a floor, and the last good one kept.
//!
//! RFC 7517 for the document. Cloudflare rotates every six weeks and publishes the previous key for seven more days
//! ("Validate JWTs", Cloudflare One docs), so two keys live side by side; a set is replaced whole, never merged.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Uri;
use hyper::body::Bytes;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::fetch::{BadUrl, Endpoint, FetchError, Question};
use crate::random;
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;

/// How often a good key set is fetched anew: a revoked key lives no longer than this plus [`crate::assertion::cache::MAX_AGE`].
pub const REFRESH: Duration = Duration::from_secs(10 * 60);
/// The least time between two fetches that an unknown `kid` asks for.
pub const REFETCH_FLOOR: Duration = Duration::from_secs(60);
/// How long the last good key set serves while its server is down.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause after a failed fetch; it doubles up to [`MAX_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest pause after a failed fetch.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The most keys that a set may have.
pub const MAX_KEYS: usize = 64;
/// RSA moduli outside this range are not used (RFC 7518, 3.3 asks for 2048 or more; the verifier stops at 8192).
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Names one key material: two keys of the same `kid` and other numbers have other ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

/// One RSA key that may verify RS256 signatures.
#[derive(Clone)]
pub struct Key {
    kid: String,
    id: KeyId,
    decoding: DecodingKey,
}

impl Key {
    /// The id under which tokens name the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The identity of its numbers.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as the verifier takes it.
    pub fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.kid)
    }
}

/// Why a document is not a usable key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The server did not give a document.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Not a JSON object with an array `keys`.
    #[error("the key set is not a JSON object with an array `keys`: {0}")]
    Json(#[from] serde_json::Error),
    /// More than [`MAX_KEYS`].
    #[error("the key set has {0} keys; at most {MAX_KEYS} are read")]
    TooMany(usize),
    /// None of its keys may verify RS256 signatures.
    #[error("the key set has no usable key among {0}: wanted RSA of 2048 bits or more, with a unique kid, for signatures")]
    NoUsableKey(usize),
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

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
    n: String,
    e: String,
}

impl KeySet {
    /// Reads a document; keys that may not verify RS256 signatures are passed over, and so is a `kid` that two different keys claim.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let Set { keys: all } = serde_json::from_slice(document)?;
        if all.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(all.len()));
        }
        let total = all.len();
        let mut by_kid: HashMap<String, Option<Key>> = HashMap::new();
        let mut order = Vec::new();
        for key in all.into_iter().filter_map(|value| serde_json::from_value(value).ok()).filter_map(usable) {
            match by_kid.get_mut(&key.kid) {
                None => {
                    order.push(key.kid.clone());
                    by_kid.insert(key.kid.clone(), Some(key));
                }
                Some(Some(known)) if known.id == key.id => {}
                Some(slot) => *slot = None,
            }
        }
        let keys: Vec<_> = order.iter().filter_map(|kid| by_kid.remove(kid).flatten()).collect();
        if keys.is_empty() { Err(KeySetError::NoUsableKey(total)) } else { Ok(Self { keys, since: Instant::now() }) }
    }

    /// Its keys, in the order of the document.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of that `kid`.
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Whether these very numbers are in the set.
    pub fn holds(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// The time since it was fetched.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

fn usable(jwk: Jwk) -> Option<Key> {
    let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.alg.as_deref().is_none_or(|alg| alg == "RS256")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if jwk.kty != "RSA" || jwk.kid.is_empty() || !for_signatures {
        return None;
    }
    let n = URL_SAFE_NO_PAD.decode(&jwk.n).ok()?;
    let e = URL_SAFE_NO_PAD.decode(&jwk.e).ok()?;
    let leading_zeros = n.iter().position(|byte| *byte != 0)?;
    let n = &n[leading_zeros..];
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    // An even exponent or 1 is no RSA key; above 64 bits the verifier refuses.
    if !MODULUS_BITS.contains(&bits) || e.is_empty() || e.len() > 8 || e.last()? % 2 == 0 || e == [1] {
        return None;
    }
    let mut numbers = n.to_vec();
    numbers.push(b'.');
    numbers.extend_from_slice(&e);
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, &numbers).as_ref());
    Some(Key { kid: jwk.kid, id: KeyId(id), decoding: DecodingKey::from_rsa_raw_components(n, &e) })
}

/// Where key sets come from: the network, or a test's script.
pub trait Source: Send + Sync + 'static {
    /// One attempt, bounded in time and size.
    fn fetch(&self) -> impl Future<Output = Result<Bytes, FetchError>> + Send;
}

/// A document at a fixed URL.
pub struct Document(Endpoint);

impl Document {
    /// The document at `uri`: `https` anywhere, `http` to a loopback address only.
    pub fn at(uri: Uri, trust: &Trust) -> Result<Self, BadUrl> {
        Endpoint::at(uri, trust).map(Self)
    }
}

impl Source for Document {
    async fn fetch(&self) -> Result<Bytes, FetchError> {
        self.0.ask(Question::get()).await
    }
}

/// The shared handle on the current key set. Readers never wait, except for the one refetch that an unknown `kid` may cause.
pub struct Keys {
    current: ArcSwapOption<KeySet>,
    floor: Mutex<Floor>,
    wish: Notify,
    finished: watch::Sender<u64>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Floor {
    in_flight: bool,
    last_wish: Option<Instant>,
}

impl Keys {
    /// A handle without keys: not ready until [`Keys::keep_fresh`] has fetched some.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            floor: Mutex::default(),
            wish: Notify::new(),
            finished: watch::Sender::new(0),
            metrics,
        }
    }

    /// The key set to verify with now: none before the first fetch, nor when the last good one is older than [`MAX_AGE`].
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full().filter(|set| set.age() < MAX_AGE)
    }

    /// Waits until the first key set is there.
    pub async fn ready(&self) {
        let mut finished = self.finished.subscribe();
        while self.current().is_none() && finished.changed().await.is_ok() {}
    }

    /// Waits until the first attempt to fetch is over, good or bad.
    pub async fn attempted(&self) {
        let _ = self.finished.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Called for a `kid` that the current set does not have: waits for one fetch if the floor allows one, joins the one in flight
    /// if there is one, and returns at once otherwise. However many call, at most one fetch a [`REFETCH_FLOOR`] follows.
    pub async fn refetched(&self) {
        let mut finished = self.finished.subscribe();
        let target = {
            let mut floor = self.floor();
            if !floor.in_flight {
                if floor.last_wish.is_some_and(|last| last.elapsed() < REFETCH_FLOOR) {
                    return;
                }
                floor.last_wish = Some(Instant::now());
                floor.in_flight = true;
                self.wish.notify_one();
            }
            *finished.borrow_and_update() + 1
        };
        let _ = finished.wait_for(|count| *count >= target).await;
    }

    /// Fetches now, then keeps the set fresh for ever. Run it once, as a task.
    pub async fn keep_fresh(&self, source: impl Source) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            self.floor().in_flight = true;
            let outcome = source.fetch().await.map_err(KeySetError::from).and_then(|document| KeySet::parse(&document));
            let pause = match outcome {
                Ok(set) => {
                    self.learn(set);
                    backoff = FIRST_BACKOFF;
                    random::jittered(REFRESH)
                }
                Err(error) => {
                    self.metrics.jwks_fetches.failed.inc();
                    // The last good one serves on, if there is one.
                    let keys = self.current().map_or(0, |set| set.keys.len());
                    tracing::warn!(error = %error, retry_ms = backoff.as_millis(), keys_in_use = keys, "key set not fetched");
                    let pause = random::jittered(backoff);
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    pause
                }
            };
            {
                let mut floor = self.floor();
                floor.in_flight = false;
                self.finished.send_modify(|count| *count += 1);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wish.notified() => {}
            }
        }
    }

    fn learn(&self, set: KeySet) {
        self.metrics.jwks_fetches.ok.inc();
        let kids = |set: &KeySet| set.keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
        let before = self.current.load_full().map(|set| kids(&set)).unwrap_or_default();
        let now = kids(&set);
        if before != now {
            tracing::info!(keys = now.len(), first = now.first().map(String::as_str).unwrap_or_default(), "key set learnt");
        }
        self.current.store(Some(Arc::new(set)));
    }

    fn floor(&self) -> std::sync::MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
