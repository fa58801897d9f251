//! Keys that are published one by one as PEM files, named by their `kid`. A key is fetched when a token names it, and cached.
//!
//! AWS, "Authenticate users using an Application Load Balancer": `https://public-keys.auth.elb.REGION.amazonaws.com/KID`. Any client can
//! invent a `kid`, so fetches are limited: a `kid` must have the right form, one fetch runs at a time, and there are budgets: at most
//! [`MAX_NEW`] fetches of unknown names in a [`WINDOW`], then one every [`TRICKLE`]; a name that the server does not have is not asked for
//! again in a [`WINDOW`]. A known key is refreshed outside these budgets, and stays in use while its refresh fails: stale is better than shut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fetch::{Endpoint, FetchRequest};
use crate::key::{Key, KeyId};
use crate::telemetry::metrics::Metrics;
use crate::tls::Trust;

/// The age at which a known key is fetched again. A key that was replaced under its name is noticed within this time; a bad signature never
/// causes a fetch.
pub const REFRESH: Duration = Duration::from_secs(10 * 60);
/// How long a key stays in use while it cannot be fetched again.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause between two attempts to refresh a known key.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);
/// How often [`PemKeys::withdrawn`] looks.
const CHECK: Duration = Duration::from_secs(30);
/// The maximum number of fetches in a [`WINDOW`].
pub const MAX_NEW: usize = 10;
/// Once [`MAX_NEW`] is reached, one unknown name is fetched in each such period, so that invented names never shut out a new key for long.
pub const TRICKLE: Duration = Duration::from_secs(5);
/// The period to which the limit [`MAX_NEW`] applies.
pub const WINDOW: Duration = Duration::from_secs(60);
/// The maximum number of cached keys. The oldest is removed when the cache is full.
pub const MAX_KEYS: usize = 32;
/// The maximum number of remembered names that the server does not have.
const MAX_ABSENT: usize = 256;
/// The longest accepted `kid`, in bytes. AWS uses UUIDs.
const MAX_KID_BYTES: usize = 64;

/// The cached keys, and the base URL for further ones.
pub struct PemKeys {
    base: String,
    trust: Trust,
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<String, Known>>,
    /// The lock is held during a fetch of an unknown name, so that only one runs at a time.
    unknown: tokio::sync::Mutex<UnknownNames>,
    /// Held during the refresh of a known key.
    refresh: tokio::sync::Mutex<()>,
}

/// The fetches of names that were not known.
#[derive(Default)]
struct UnknownNames {
    /// The times of the fetches in the current window.
    fetches: Vec<Instant>,
    /// The names that the server did not have, and when that was.
    absent: HashMap<String, Instant>,
}

impl UnknownNames {
    /// Whether this name may be fetched now. If so, the fetch is counted.
    fn admit(&mut self, kid: &str) -> bool {
        self.absent.retain(|_, since| since.elapsed() < WINDOW);
        if self.absent.contains_key(kid) {
            return false;
        }
        self.fetches.retain(|at| at.elapsed() < WINDOW);
        let is_admitted = self.fetches.len() < MAX_NEW || self.fetches.last().is_none_or(|last| last.elapsed() >= TRICKLE);
        if is_admitted {
            self.fetches.push(Instant::now());
        }
        is_admitted
    }

    fn remember_absent(&mut self, kid: &str) {
        if self.absent.len() < MAX_ABSENT {
            self.absent.insert(kid.to_owned(), Instant::now());
        }
    }
}

struct Known {
    key: Key,
    since: Instant,
    /// The last attempt to refresh it.
    attempted: Instant,
}

impl PemKeys {
    /// Creates an empty cache for the keys at `base`/KID.
    pub fn new(base: &str, trust: Trust, metrics: Arc<Metrics>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self {
            base,
            trust,
            metrics,
            known: Mutex::default(),
            unknown: tokio::sync::Mutex::default(),
            refresh: tokio::sync::Mutex::default(),
        }
    }

    /// Whether the key with this id is in the cache and not too old.
    pub fn holds(&self, id: KeyId) -> bool {
        self.known().values().any(|known| known.key.id() == id && known.since.elapsed() < MAX_AGE)
    }

    /// Waits until the key with this id has been replaced, or is too old.
    pub async fn withdrawn(&self, id: KeyId) {
        while self.holds(id) {
            tokio::time::sleep(CHECK).await;
        }
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
            // Whoever finds the refresh under way uses the key as it is.
            if self.is_due(kid)
                && let Ok(_refresh) = self.refresh.try_lock()
            {
                self.attempting(kid);
                return Some(self.fetch(kid).await.unwrap_or(key));
            }
            return Some(key);
        }
        let mut unknown = self.unknown.lock().await;
        // The previous holder of the lock may have fetched this key.
        if let Some(key) = self.cached(kid) {
            return Some(key);
        }
        if !unknown.admit(kid) {
            return None;
        }
        let key = self.fetch(kid).await;
        if key.is_none() {
            unknown.remember_absent(kid);
        }
        key
    }

    fn is_due(&self, kid: &str) -> bool {
        self.known().get(kid).is_some_and(|known| known.since.elapsed() >= REFRESH && known.attempted.elapsed() >= REFRESH_PAUSE)
    }

    fn attempting(&self, kid: &str) {
        if let Some(known) = self.known().get_mut(kid) {
            known.attempted = Instant::now();
        }
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
        known.insert(kid.to_owned(), Known { key: key.clone(), since: Instant::now(), attempted: Instant::now() });
        Some(key)
    }

    fn cached(&self, kid: &str) -> Option<Key> {
        self.known().get(kid).filter(|known| known.since.elapsed() < MAX_AGE).map(|known| known.key.clone())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use testkit::signer::{KeyPair, KeyServer};

    use super::*;

    /// Lets this time pass at once. The clock runs on afterwards: with a clock that stands still, a fetch would be over its deadline.
    async fn pass(time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_known_key_is_refreshed_by_age_and_stays_in_use_while_that_fails() {
        let server = KeyServer::start().await;
        let keys = PemKeys::new(&server.url(""), Trust::new(&[]), Arc::default());
        let put = |kid: &str| {
            let pem = KeyPair::p256(kid).public_pem();
            server.put(&format!("/{kid}"), &pem);
            Key::from_p256_pem(kid, pem.as_bytes()).unwrap().id()
        };
        let in_use = async || keys.find("a").await.map(|key| key.id());
        let (first, asked) = (put("a"), || server.asked().len());
        assert_eq!(in_use().await, Some(first));

        let second = put("a");
        pass(REFRESH / 2).await;
        assert_eq!((in_use().await, asked()), (Some(first), 1), "not before its age");
        // A name that nobody published uses up nothing of a known key's.
        for number in 0..2 * MAX_NEW {
            keys.find(&format!("made-up-{number}")).await;
        }
        let asked_before = asked();
        pass(REFRESH / 2).await;
        assert_eq!((in_use().await, asked()), (Some(second), asked_before + 1), "a key that was replaced under its name");
        assert!(keys.holds(second) && !keys.holds(first));

        server.put("/a", "<html>");
        pass(REFRESH).await;
        assert_eq!((in_use().await, asked()), (Some(second), asked_before + 2), "stale is better than shut");
        assert_eq!((in_use().await, asked()), (Some(second), asked_before + 2), "with a pause between two attempts");
        pass(REFRESH_PAUSE).await;
        assert_eq!((in_use().await, asked()), (Some(second), asked_before + 3));
        pass(MAX_AGE).await;
        assert_eq!(in_use().await, None, "and not for ever");
        assert!(!keys.holds(second));
    }

    #[tokio::test(start_paused = true)]
    async fn invented_names_have_a_budget_and_a_trickle_and_are_asked_for_once() {
        let mut unknown = UnknownNames::default();
        let admitted = (0..100).filter(|number| unknown.admit(&format!("made-up-{number}"))).count();
        assert_eq!(admitted, MAX_NEW);
        assert!(!unknown.admit("the-good-one"));
        tokio::time::advance(TRICKLE).await;
        assert!(unknown.admit("the-good-one"), "a new key waits for seconds, not for the whole window");
        unknown.remember_absent("forged");
        tokio::time::advance(TRICKLE).await;
        assert!(!unknown.admit("forged"), "and it costs the budget nothing");
        assert!(unknown.admit("another"));
        tokio::time::advance(WINDOW).await;
        assert!(unknown.admit("forged"), "a key may be published later");
    }
}
