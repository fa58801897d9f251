//! A cache of verified tokens: a hit costs a look-up instead of an RSA verification.
//!
//! The key is the token's SHA-256, so that no bearer token stays in memory. An entry is valid until its `exp`, until its key is no longer
//! in use, or until [`MAX_AGE`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use super::{LEEWAY_SECONDS, Verified};
use crate::key::KeyId;

/// The maximum number of tokens in the cache of one worker. A family has a few; the bound matters if the signing key leaks.
pub const MAX_ENTRIES: usize = 4096;

/// How long a verified token is cached before it is verified again.
pub const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Hashes `token`.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// A bounded map from the digest of a token to its verification. The oldest entry is removed when the cache is full.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<TokenDigest, Entry>,
    order: VecDeque<TokenDigest>,
}

#[derive(Debug)]
struct Entry {
    verified: Verified,
    since: Instant,
}

impl Cache {
    /// Returns the verification of this token if it is still valid at `now` (seconds since 1970) and `holds` confirms that its key is
    /// still in use.
    pub fn get(&self, token: &TokenDigest, now: u64, holds: impl Fn(KeyId) -> bool) -> Option<Verified> {
        let Entry { verified, since } = self.entries.get(token)?;
        let is_valid = verified.expires.saturating_add(LEEWAY_SECONDS) > now && since.elapsed() < MAX_AGE && holds(verified.key);
        is_valid.then(|| verified.clone())
    }

    /// Stores the verification of a token.
    pub fn put(&mut self, token: TokenDigest, verified: Verified) {
        if self.entries.insert(token, Entry { verified, since: Instant::now() }).is_none() {
            self.order.push_back(token);
        }
        if self.order.len() > MAX_ENTRIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use jsonwebtoken::Algorithm;

    use crate::identity::Identity;
    use crate::jwks::KeySet;
    use testkit::signer::KeyPair;

    fn verified(keys: &KeySet, expires: u64) -> Verified {
        let key = keys.keys()[0].id();
        Verified { identity: Arc::new(Identity::Service { common_name: "a.access".to_owned() }), expires, key }
    }

    fn keys(signers: &[&KeyPair]) -> KeySet {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        KeySet::parse(serde_json::json!({ "keys": keys }).to_string().as_bytes(), &[Algorithm::RS256]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_dies_with_its_expiry_its_age_and_its_key() {
        let (first, second) = (KeyPair::generate(), KeyPair::generate());
        let set = keys(&[&first]);
        let mut cache = Cache::default();
        let token = TokenDigest::of("token");
        cache.put(token, verified(&set, 1_000));

        assert!(cache.get(&token, 1_000, |key| set.holds(key)).is_some());
        assert!(cache.get(&token, 1_000 + LEEWAY_SECONDS, |key| set.holds(key)).is_none(), "past its exp");
        assert!(cache.get(&token, 900, |key| keys(&[&second]).holds(key)).is_none(), "its key is gone");
        assert!(cache.get(&token, 900, |key| keys(&[&second, &first]).holds(key)).is_some(), "its key lives through a rotation");
        tokio::time::advance(MAX_AGE).await;
        assert!(cache.get(&token, 900, |key| set.holds(key)).is_none(), "too old");
        cache.put(token, verified(&set, 1_000));
        assert!(cache.get(&token, 900, |key| set.holds(key)).is_some(), "verified again");
    }

    #[test]
    fn the_oldest_entry_makes_room() {
        let set = keys(&[&KeyPair::generate()]);
        let mut cache = Cache::default();
        for number in 0..=MAX_ENTRIES {
            cache.put(TokenDigest::of(&number.to_string()), verified(&set, 1_000));
        }
        assert_eq!(cache.entries.len(), MAX_ENTRIES);
        assert_eq!(cache.order.len(), MAX_ENTRIES);
        assert!(cache.get(&TokenDigest::of("0"), 900, |key| set.holds(key)).is_none());
        assert!(cache.get(&TokenDigest::of("1"), 900, |key| set.holds(key)).is_some());
    }
}
