//! Sends small requests again after a cold start. Cloud Run answers 429 or 503 by itself while it has no instance yet, and the container has not
//! received the request then ("About instance autoscaling", Cloud Run docs). For that the body is kept in memory until the response.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::header_fields::content_length;
use crate::proxy::request_body::{BodyError, RequestBody};
use crate::random;

/// The largest body that is kept, in bytes. Immich sends previews of some hundred KB.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The maximum for all kept bodies of a process, in bytes. Above it, requests are streamed and sent once.
pub const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;
/// The maximum number of times that a request is sent again.
pub const RETRIES: u32 = 2;
/// The time after its arrival in which a request may be sent again.
pub const BUDGET: Duration = Duration::from_secs(30);
/// The pause before the first retry where the response names none (`Retry-After`); the second is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The remaining part of [`MAX_HELD_BYTES`], in KiB.
#[derive(Clone)]
pub struct ReplayBudget(Arc<Semaphore>);

impl ReplayBudget {
    /// Creates an unused budget.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_HELD_BYTES / 1024)))
    }

    /// Reserves memory for the body of a request with these headers; none where the body is too large, has no declared length, or the budget is
    /// used up.
    pub fn reserve(&self, headers: &HeaderMap) -> Option<Reserved> {
        let length = usize::try_from(content_length(headers)?).ok().filter(|length| *length <= MAX_BODY_BYTES)?;
        let permit = self.0.clone().try_acquire_many_owned(u32::try_from(length.div_ceil(1024)).ok()?).ok()?;
        Some(Reserved { length, _permit: permit })
    }
}

impl Default for ReplayBudget {
    fn default() -> Self {
        Self::new()
    }
}

/// The memory that is reserved for one body.
pub struct Reserved {
    length: usize,
    _permit: OwnedSemaphorePermit,
}

/// A request body that can be sent again if it was kept.
pub enum ReplayableBody {
    /// It is in memory.
    Kept(Bytes, Option<Reserved>),
    /// It is streamed, and can be sent once.
    Passing(RequestBody),
    /// It was streamed.
    Passed,
}

impl ReplayableBody {
    /// Reads the body into memory where memory was reserved for it, and streams it otherwise.
    pub async fn gather(body: RequestBody, budget: Option<Reserved>) -> Result<Self, BodyError> {
        match (body, budget) {
            (RequestBody::Empty, _) => Ok(Self::Kept(Bytes::new(), None)),
            (body, Some(budget)) => Ok(Self::Kept(body.collect(budget.length).await?, Some(budget))),
            (body, None) => Ok(Self::Passing(body)),
        }
    }

    /// The body for the next attempt.
    pub fn body(&mut self) -> RequestBody {
        match self {
            Self::Kept(bytes, _) => RequestBody::whole(bytes.clone()),
            Self::Passing(_) | Self::Passed => match std::mem::replace(self, Self::Passed) {
                Self::Passing(body) => body,
                Self::Kept(..) | Self::Passed => RequestBody::Empty,
            },
        }
    }

    fn can_be_sent_again(&self) -> bool {
        matches!(self, Self::Kept(..))
    }
}

/// The retries that are left for a request, and their deadline.
pub struct RetryPolicy {
    attempts: u32,
    until: Instant,
}

impl RetryPolicy {
    /// Creates the policy for a request that has just arrived; `retry` is the setting of the backend.
    pub fn new(retry: bool) -> Self {
        Self { attempts: if retry { 0 } else { RETRIES }, until: Instant::now() + BUDGET }
    }

    /// How long to wait before `body` is sent again; none where `answer` is for the client.
    pub fn pause<B>(&mut self, body: &ReplayableBody, answer: &Response<B>) -> Option<Duration> {
        let cold = matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if !cold || self.attempts >= RETRIES || !body.can_be_sent_again() {
            return None;
        }
        let named = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let pause = named.map_or_else(|| random::jittered(FIRST_PAUSE * 2_u32.pow(self.attempts)), Duration::from_secs);
        self.attempts += 1;
        (Instant::now().checked_add(pause)? <= self.until).then_some(pause)
    }
}

/// Reserves memory for the body of this request, if retries are on for the backend.
pub fn reserve(budget: &ReplayBudget, retry: bool, request: &Request<Incoming>) -> Option<Reserved> {
    retry.then(|| budget.reserve(request.headers())).flatten()
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONTENT_LENGTH, HeaderValue};

    use super::*;

    fn answer(status: u16, retry_after: Option<&'static str>) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(value) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        response
    }

    #[tokio::test(start_paused = true)]
    async fn twice_within_the_budget_and_only_for_a_cold_start() {
        let kept = ReplayableBody::Kept(Bytes::from_static(b"x"), None);
        let mut retry_policy = RetryPolicy::new(true);
        for status in [200, 400, 401, 403, 404, 413, 500, 502, 504] {
            assert_eq!(retry_policy.pause(&kept, &answer(status, None)), None, "{status}");
        }
        assert_eq!(retry_policy.pause(&ReplayableBody::Passed, &answer(429, None)), None, "a streamed body is gone");
        let first = retry_policy.pause(&kept, &answer(429, None)).unwrap();
        assert!(first >= FIRST_PAUSE && first <= FIRST_PAUSE * 2);
        assert_eq!(retry_policy.pause(&kept, &answer(503, Some("7"))), Some(Duration::from_secs(7)));
        assert_eq!(retry_policy.pause(&kept, &answer(503, None)), None, "a third time");

        assert_eq!(RetryPolicy::new(true).pause(&kept, &answer(503, Some("31"))), None, "later than the budget");
        assert_eq!(RetryPolicy::new(true).pause(&kept, &answer(503, Some("18446744073709551615"))), None);
        assert_eq!(RetryPolicy::new(false).pause(&kept, &answer(503, None)), None, "retry=off");
    }

    #[test]
    fn only_so_much_is_held_at_once() {
        let budget = ReplayBudget::new();
        let of =
            |length: &'static str| budget.reserve(&HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(length))]));
        assert!(of("4194305").is_none() && budget.reserve(&HeaderMap::new()).is_none());
        let held: Vec<_> = std::iter::from_fn(|| of("4194304")).collect();
        assert_eq!(held.len(), MAX_HELD_BYTES / MAX_BODY_BYTES);
        assert!(of("1").is_none());
        drop(held);
        assert!(of("1").is_some());
    }
}
