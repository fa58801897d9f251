//! The identity token of one audience. One task fetches it, well before the old one expires, one fetch at a time.
//!
//! After an error the old token is used until it expires, and the next attempt follows after a pause that grows to a minute. Without a token, a
//! request does not wait for a source that has just failed; it waits only for a fetch that is in progress. The expiry is read from the token
//! (`exp`) and checked by the wall clock and by the monotonic clock, whichever comes first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::metrics::TokenMetrics;
use super::source::{Source, SourceError};
use crate::{fetch, random};

/// How long before its expiry a token is replaced. A source may be down for 20 minutes at any time without a failed request.
pub const REFRESH_BEFORE: Duration = Duration::from_secs(22 * 60);
/// The same where the source returned the same token again: the metadata server caches one until 4 minutes before its expiry.
pub const AHEAD_OF_SAME: Duration = Duration::from_secs(240);
/// The minimum pause after a successful fetch.
pub const MIN_REST: Duration = Duration::from_secs(10);
/// The first pause after a failed fetch; it doubles up to [`MAX_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause after a failed fetch.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A token is not used if it expires in less than this, in seconds: it has to arrive, and clocks differ.
pub const MARGIN_SECONDS: u64 = 10;
/// The maximum time that a request waits for a fetch in progress.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How often the wall clock is read. A timer alone does not notice that the machine was suspended.
const CLOCK_CHECK: Duration = Duration::from_secs(30);
/// The maximum size of a token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Why there is no token to send.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no identity token for {audience}: {cause}")]
pub struct NoToken {
    audience: Arc<str>,
    cause: Arc<str>,
}

/// Why a token of a source is not used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The source returned no token.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Not a compact JWS with claims.
    #[error("the source returned something that is not a token")]
    Malformed,
    /// The token is for another audience than the requested one.
    #[error("the source returned a token for another audience")]
    Audience,
    /// The token has expired, or is about to.
    #[error("the source returned a token that has expired by this machine's clock: check the clock")]
    Ended,
}

/// A token that is ready to be sent.
pub struct Token {
    header: HeaderValue,
    expires: u64,
    /// `expires` by the monotonic clock.
    until: Instant,
}

impl Token {
    /// Accepts a token from its source if its audience and expiry are right. The backend checks its signature.
    fn read(text: &str, audience: &str, now: u64) -> Result<Self, TokenError> {
        #[derive(Deserialize)]
        struct Claims {
            aud: String,
            exp: u64,
        }
        let mut parts = text.split('.');
        let (Some(_), Some(claims), Some(_), None, ..=MAX_TOKEN_BYTES) =
            (parts.next(), parts.next(), parts.next(), parts.next(), text.len())
        else {
            return Err(TokenError::Malformed);
        };
        let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).map_err(|_| TokenError::Malformed)?;
        let Claims { aud, exp } = serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)?;
        if aud != audience {
            return Err(TokenError::Audience);
        }
        let left = exp.saturating_sub(now).saturating_sub(MARGIN_SECONDS);
        if left == 0 {
            return Err(TokenError::Ended);
        }
        let header = fetch::bearer(text).ok_or(TokenError::Malformed)?;
        let until = Instant::now().checked_add(Duration::from_secs(left)).ok_or(TokenError::Malformed)?;
        Ok(Self { header, expires: exp, until })
    }

    /// The header value: `Bearer` and the token.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    fn is_good(&self, now: u64) -> bool {
        now.saturating_add(MARGIN_SECONDS) < self.expires && Instant::now() < self.until
    }
}

/// The shared handle of the current token. Readers do not wait while it is valid.
pub struct Tokens {
    audience: Arc<str>,
    current: ArcSwapOption<Token>,
    state: watch::Sender<State>,
    trouble: Mutex<Option<Arc<str>>>,
    fetched: AtomicU64,
    failed: AtomicU64,
    wish: Notify,
    clock: Clock,
    metrics: TokenMetrics,
}

/// The state of the fetching task.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    finished: u64,
    in_flight: bool,
    failing: bool,
}

impl Tokens {
    /// Creates a handle without a token. [`Tokens::keep_fresh`] fetches one.
    pub fn new(audience: &str, clock: Clock, metrics: TokenMetrics) -> Self {
        Self {
            audience: audience.into(),
            current: ArcSwapOption::empty(),
            // Requests wait for the first attempt.
            state: watch::Sender::new(State { in_flight: true, ..State::default() }),
            trouble: Mutex::default(),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            wish: Notify::new(),
            clock,
            metrics,
        }
    }

    /// The audience of the token.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The current token, if it is valid.
    pub fn current(&self) -> Option<Arc<Token>> {
        let now = (self.clock)();
        self.current.load_full().filter(|token| token.is_good(now))
    }

    /// The current token. Waits for a fetch where none was made yet, or where the last token expired unnoticed (the machine was suspended);
    /// never for a source that has just failed.
    pub async fn get(&self) -> Result<Arc<Token>, NoToken> {
        if let Some(token) = self.current() {
            return Ok(token);
        }
        let mut state = self.state.subscribe();
        let State { finished, in_flight, failing } = *state.borrow_and_update();
        if !failing {
            if !in_flight {
                self.wish.notify_one();
            }
            let _ = timeout(PATIENCE, state.wait_for(|now| now.finished > finished)).await;
        }
        self.current().ok_or_else(|| NoToken {
            audience: self.audience.clone(),
            cause: self.trouble().unwrap_or_else(|| "none came yet".into()),
        })
    }

    /// The error of the last attempt, if it failed.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seconds until the current token expires; below zero once it has, none before the first.
    pub fn seconds_to_expiry(&self) -> Option<i64> {
        let expires = i64::try_from(self.current.load_full()?.expires).unwrap_or(i64::MAX);
        Some(expires.saturating_sub(i64::try_from((self.clock)()).unwrap_or(i64::MAX)))
    }

    /// The number of fetches that succeeded, and of those that failed.
    pub fn fetches(&self) -> (u64, u64) {
        (self.fetched.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Waits until the first attempt has succeeded or failed.
    pub async fn attempted(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.finished > 0).await;
    }

    /// Fetches the token now and again before it expires. It does not return: run it once, as a task.
    pub async fn keep_fresh(&self, source: &impl Source) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            self.state.send_modify(|state| state.in_flight = true);
            let fetched = source.fetch(&self.audience).await.map_err(TokenError::from);
            let outcome = fetched.and_then(|text| Token::read(&text, &self.audience, (self.clock)()));
            self.metrics.fetched(source.label(), outcome.is_ok());
            if outcome.is_ok() { &self.fetched } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
            let failing = outcome.is_err();
            let (pause, wake_at) = match outcome {
                Ok(token) => {
                    backoff = FIRST_BACKOFF;
                    self.learn(token, source.label())
                }
                Err(error) => {
                    let pause = shortened(backoff);
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    let left = self.seconds_to_expiry().unwrap_or(0);
                    tracing::warn!(
                        audience = &*self.audience, source = source.label(), error = %error, retry_ms = pause.as_millis(),
                        seconds_to_expiry = left, "identity token not fetched; the old one serves while it is good"
                    );
                    *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string().into());
                    (pause, u64::MAX)
                }
            };
            self.state.send_modify(|state| *state = State { finished: state.finished + 1, in_flight: false, failing });
            self.rest(pause, wake_at, failing).await;
        }
    }

    /// Stores a token, and returns how long to wait before the next fetch: by the monotonic clock, and until which second by the wall clock.
    fn learn(&self, token: Token, source: &'static str) -> (Duration, u64) {
        let now = (self.clock)();
        let left = token.expires.saturating_sub(now);
        let same = self.current.load().as_ref().is_some_and(|old| old.header == token.header);
        let ahead = if same { AHEAD_OF_SAME } else { REFRESH_BEFORE }.min(Duration::from_secs(left / 2));
        let rest = Duration::from_secs(left).saturating_sub(ahead).max(MIN_REST);
        if !same {
            let audience = &*self.audience;
            tracing::info!(audience, source, good_for_s = left, next_fetch_s = rest.as_secs(), "identity token loaded");
        }
        self.current.store(Some(Arc::new(token)));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        (rest, now.saturating_add(rest.as_secs()))
    }

    async fn rest(&self, pause: Duration, wake_at: u64, failing: bool) {
        let deadline = Instant::now() + pause;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.clock)() >= wake_at {
                return;
            }
            tokio::select! {
                () = sleep(left.min(CLOCK_CHECK)) => {}
                // The request for a refresh may be older than the current token.
                () = self.wish.notified(), if !failing => if self.current().is_none() { return },
            }
        }
    }
}

/// Between three quarters of `pause` and all of it, so that many installations do not fetch at the same moment.
fn shortened(pause: Duration) -> Duration {
    // Without randomness there is no jitter, which is harmless.
    let [byte] = random::bytes().unwrap_or_default();
    pause.saturating_sub(pause * u32::from(byte) / 1024)
}

#[cfg(test)]
mod tests;
