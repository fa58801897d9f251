//! A short-lived cache of allowed passwords. Phones send a password with each of up to 64 concurrent requests, and without the cache each
//! request would be a sign-in event at the auth server.
//!
//! Only allowed outcomes are cached, under an HMAC, so that no password stays in memory. The key includes the session cookies of the auth
//! server: with a session, the request may be allowed because of it, whatever the password is.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::sync::watch;
use tokio::time::Instant;

use super::auth_client::Credential;
use super::outcome::{AuthOutcome, Grant};
use crate::random;

/// How long an allowed outcome is cached: as long as in authentik's own outpost.
pub const MAX_AGE: Duration = Duration::from_secs(60);
/// The maximum number of entries. The oldest is removed when the cache is full.
pub const MAX_ENTRIES: usize = 1024;

/// The parts of a request on which the decision depends.
pub struct CacheKey<'p> {
    /// The password.
    pub credential: &'p Credential,
    /// The cookies of the auth server.
    pub session: &'p [u8],
}

type Tag = [u8; 32];

/// The cache, shared by all workers.
pub struct PasswordCache {
    key: hmac::Key,
    entries: Arc<Mutex<HashMap<Tag, Entry>>>,
}

enum Entry {
    /// An auth request is in flight. Whoever waits for its outcome subscribes.
    Pending(Arc<watch::Sender<Option<AuthOutcome>>>),
    /// The request was allowed.
    Allowed { grant: Arc<Grant>, since: Instant },
}

impl PasswordCache {
    /// Creates an empty cache with a random HMAC key.
    pub fn new() -> Result<Self, random::Unavailable> {
        let secret: [u8; 32] = random::bytes()?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), entries: Arc::default() })
    }

    /// Returns the cached outcome for `key`, or runs `request` to get it. Concurrent callers with the same key wait for one request. The
    /// second value is whether the outcome was cached or already requested.
    pub async fn get_or_request(
        &self,
        key: &CacheKey<'_>,
        request: impl Future<Output = AuthOutcome> + Send + 'static,
    ) -> (AuthOutcome, bool) {
        let tag = self.tag(key);
        let (mut answer, known) = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            match entries.get(&tag) {
                Some(Entry::Allowed { grant, since }) if since.elapsed() < MAX_AGE => {
                    return (AuthOutcome::Allowed(grant.clone()), true);
                }
                Some(Entry::Pending(sender)) => (sender.subscribe(), true),
                _ => {
                    make_room(&mut entries);
                    let (sender, answer) = watch::channel(None);
                    let sender = Arc::new(sender);
                    entries.insert(tag, Entry::Pending(sender.clone()));
                    // In its own task: if the first caller is cancelled, the others still need the outcome.
                    let mut pending = PendingAuth { tag, entries: self.entries.clone(), is_settled: false };
                    tokio::spawn(async move {
                        let mut request = std::pin::pin!(request);
                        loop {
                            tokio::select! {
                                outcome = &mut request => {
                                    pending.settle(&outcome);
                                    sender.send_replace(Some(outcome));
                                    return;
                                }
                                // Dropping `request` closes its connection to the auth server.
                                () = sender.closed() => if pending.abandon(&sender) { return },
                            }
                        }
                    });
                    (answer, false)
                }
            }
        };
        let outcome = match answer.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        (outcome.unwrap_or_else(|| AuthOutcome::Failed("the worker that sent the auth request has ended".into())), known)
    }

    fn tag(&self, key: &CacheKey<'_>) -> Tag {
        let password = key.credential.value().map_or(&[][..], |value| value.as_bytes());
        let mut context = hmac::Context::with_key(&self.key);
        // The length makes the encoding of the pair unique.
        context.update(&(password.len() as u64).to_be_bytes());
        context.update(password);
        context.update(key.session);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// An auth request in flight. When its task ends in any way, its pending entry is removed or replaced.
struct PendingAuth {
    tag: Tag,
    entries: Arc<Mutex<HashMap<Tag, Entry>>>,
    is_settled: bool,
}

impl PendingAuth {
    /// Removes the entry if nobody waits for its outcome. Callers subscribe under the same lock, so none can be missed.
    fn abandon(&mut self, sender: &watch::Sender<Option<AuthOutcome>>) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let abandoned = sender.receiver_count() == 0;
        if abandoned {
            entries.remove(&self.tag);
            // A new entry may take its place from now on.
            self.is_settled = true;
        }
        abandoned
    }

    fn settle(mut self, outcome: &AuthOutcome) {
        self.is_settled = true;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            AuthOutcome::Allowed(grant) => {
                entries.insert(self.tag, Entry::Allowed { grant: grant.clone(), since: Instant::now() })
            }
            _ => entries.remove(&self.tag),
        };
    }
}

impl Drop for PendingAuth {
    fn drop(&mut self) {
        if !self.is_settled {
            self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tag);
        }
    }
}

fn make_room(entries: &mut HashMap<Tag, Entry>) {
    if entries.len() < MAX_ENTRIES {
        return;
    }
    entries.retain(|_, entry| !matches!(entry, Entry::Allowed { since, .. } if since.elapsed() >= MAX_AGE));
    let age = |entry: &Entry| match entry {
        Entry::Allowed { since, .. } => Some(*since),
        Entry::Pending(_) => None,
    };
    if entries.len() >= MAX_ENTRIES
        && let Some(oldest) = entries.iter().filter_map(|(tag, entry)| Some((*tag, age(entry)?))).min_by_key(|(_, since)| *since)
    {
        entries.remove(&oldest.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::header::HeaderValue;

    use super::*;
    use crate::frontdoor::decision::AuthResponseHeaders;
    use crate::identity::Identity;

    fn yes() -> AuthOutcome {
        let identity = Arc::new(Identity::Account { name: "phone".to_owned() });
        AuthOutcome::Allowed(Arc::new(Grant { identity, auth_headers: Arc::new(AuthResponseHeaders::default()) }))
    }

    fn password(text: &'static str) -> Credential {
        Credential::Password { value: HeaderValue::from_static(text), dedicated: false }
    }

    /// Gets the outcome for `credential` with `session`, and counts the auth requests that are sent.
    async fn ask(
        password_cache: &PasswordCache,
        count: &Arc<AtomicUsize>,
        credential: &Credential,
        session: &[u8],
        outcome: AuthOutcome,
    ) -> AuthOutcome {
        let count = count.clone();
        let request = async move {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            outcome
        };
        password_cache.get_or_request(&CacheKey { credential, session }, request).await.0
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_one_question_and_its_yes_lasts_a_minute() {
        let (password_cache, count) = (PasswordCache::new().unwrap(), Arc::new(AtomicUsize::new(0)));
        let phone = password("Basic cGhvbmU=");
        let all = (0..64).map(|_| ask(&password_cache, &count, &phone, b"", yes()));
        for outcome in join_all(all).await {
            assert!(matches!(outcome, AuthOutcome::Allowed(_)));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(59)).await;
        ask(&password_cache, &count, &phone, b"", yes()).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        ask(&password_cache, &count, &phone, b"", yes()).await;
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_no_is_never_remembered_and_a_yes_is_only_for_what_it_was_said_of() {
        let (password_cache, count) = (PasswordCache::new().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (good, bad) = (password("Basic Z29vZA=="), password("Basic YmFk"));
        let no = || AuthOutcome::Failed("away".into());
        for _ in 0..2 {
            assert!(matches!(ask(&password_cache, &count, &bad, b"", no()).await, AuthOutcome::Failed(_)));
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
        // Let in by a session, the wrong password beside it must not open the door to those who have only the password.
        ask(&password_cache, &count, &bad, b"session=1", yes()).await;
        assert!(matches!(ask(&password_cache, &count, &bad, b"", no()).await, AuthOutcome::Failed(_)));
        assert!(matches!(ask(&password_cache, &count, &bad, b"session=2", no()).await, AuthOutcome::Failed(_)));
        ask(&password_cache, &count, &good, b"", yes()).await;
        assert_eq!(count.load(Ordering::SeqCst), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_first_may_leave() {
        let (password_cache, count) = (Arc::new(PasswordCache::new().unwrap()), Arc::new(AtomicUsize::new(0)));
        let phone = password("Basic cGhvbmU=");
        let (first, task_count) = (password_cache.clone(), count.clone());
        let leaving = tokio::spawn(async move { ask(&first, &task_count, &password("Basic cGhvbmU="), b"", yes()).await });
        tokio::task::yield_now().await;
        leaving.abort();
        assert!(matches!(ask(&password_cache, &count, &phone, b"", yes()).await, AuthOutcome::Allowed(_)));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_auth_request_that_nobody_waits_for_is_dropped() {
        let password_cache = Arc::new(PasswordCache::new().unwrap());
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let caller = password_cache.clone();
        let waiting = tokio::spawn(async move {
            let credential = password("Basic cGhvbmU=");
            let request = async move {
                let _alive = alive;
                std::future::pending().await
            };
            caller.get_or_request(&CacheKey { credential: &credential, session: b"" }, request).await
        });
        tokio::task::yield_now().await;
        assert_eq!(password_cache.entries.lock().unwrap().len(), 1);
        waiting.abort();
        assert!(gone.await.is_err(), "the request is dropped");
        assert!(password_cache.entries.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let password_cache = PasswordCache::new().unwrap();
        for number in 0..MAX_ENTRIES + 5 {
            let credential =
                Credential::Password { value: HeaderValue::from_str(&format!("Basic {number}")).unwrap(), dedicated: false };
            password_cache.get_or_request(&CacheKey { credential: &credential, session: b"" }, async { yes() }).await;
        }
        assert_eq!(password_cache.entries.lock().unwrap().len(), MAX_ENTRIES);
    }

    async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
        let mut futures: Vec<_> = futures.map(Box::pin).collect();
        let mut results = Vec::new();
        // Each is polled once before any is awaited: all are under way at the same time.
        std::future::poll_fn(|cx| {
            futures.retain_mut(|future| match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => {
                    results.push(value);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        results
    }
}
