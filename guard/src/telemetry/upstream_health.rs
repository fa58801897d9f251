//! Remembers when the upstream last answered and when it last failed, so that a status page can show a failure with its age and notice
//! that it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No such event yet.
const NEVER: u64 = u64::MAX;

/// The times of the last response and the last failure of one upstream. All workers share it; writing is one relaxed store.
pub struct UpstreamHealth {
    start: Instant,
    last_response: AtomicU64,
    last_failure: AtomicU64,
}

/// The state of an upstream, from the events so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamState {
    /// Whether the last event was a response, or nothing has happened yet.
    pub is_good: bool,
    /// The age of the last response.
    pub since_response: Option<Duration>,
    /// The age of the last failure.
    pub since_failure: Option<Duration>,
}

impl Default for UpstreamHealth {
    fn default() -> Self {
        Self { start: Instant::now(), last_response: AtomicU64::new(NEVER), last_failure: AtomicU64::new(NEVER) }
    }
}

impl UpstreamHealth {
    /// Records that the upstream answered now.
    pub fn responded(&self) {
        self.last_response.store(self.nanos(), Ordering::Relaxed);
    }

    /// Records that the upstream could not be reached, or broke off, now.
    pub fn failed(&self) {
        self.last_failure.store(self.nanos(), Ordering::Relaxed);
    }

    /// The state now.
    pub fn state(&self) -> UpstreamState {
        let (now, response, failure) =
            (self.nanos(), self.last_response.load(Ordering::Relaxed), self.last_failure.load(Ordering::Relaxed));
        let age = |at: u64| (at != NEVER).then(|| Duration::from_nanos(now.saturating_sub(at)));
        let is_good = failure == NEVER || (response != NEVER && response > failure);
        UpstreamState { is_good, since_response: age(response), since_failure: age(failure) }
    }

    /// The time since the start. In nanoseconds, so that a response right after a failure is later.
    fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(NEVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_over_once_the_upstream_answers_again() {
        let health = UpstreamHealth::default();
        assert_eq!(health.state(), UpstreamState { is_good: true, since_response: None, since_failure: None });
        health.last_failure.store(10, Ordering::Relaxed);
        assert!(!health.state().is_good);
        health.last_response.store(11, Ordering::Relaxed);
        let state = health.state();
        assert!(state.is_good && state.since_failure.is_some(), "the failure stays visible with its age: {state:?}");
        health.last_failure.store(12, Ordering::Relaxed);
        assert!(!health.state().is_good);
    }
}
