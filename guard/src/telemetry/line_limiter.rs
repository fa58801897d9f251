//! Limits the rate of log lines that strangers can cause, and counts the lines that were left out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The number of lines that may be written at once.
pub const BURST: u32 = 200;
/// The number of lines a second after a burst.
pub const PER_SECOND: u32 = 20;

/// A token bucket for log lines.
pub struct LineLimiter(Mutex<State>);

struct State {
    left: u32,
    refilled: Instant,
    left_out: u64,
}

impl Default for LineLimiter {
    fn default() -> Self {
        Self(Mutex::new(State { left: BURST, refilled: Instant::now(), left_out: 0 }))
    }
}

impl LineLimiter {
    /// Whether one more line may be written. A line that may not is counted.
    pub fn admit(&self) -> bool {
        let mut state = self.state();
        let new = u32::try_from(state.refilled.elapsed().as_millis()).unwrap_or(u32::MAX).saturating_mul(PER_SECOND) / 1000;
        if new > 0 {
            state.left = state.left.saturating_add(new).min(BURST);
            state.refilled += Duration::from_millis(u64::from(new) * 1000 / u64::from(PER_SECOND));
        }
        let admitted = state.left > 0;
        if admitted {
            state.left -= 1;
        } else {
            state.left_out += 1;
        }
        admitted
    }

    /// Writes how many lines were left out since the last call, if any were. Call it once a second.
    pub fn report(&self) {
        let count = std::mem::take(&mut self.state().left_out);
        if count > 0 {
            tracing::warn!(count, "refused requests were not logged one by one: too many");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_a_rate_and_what_is_left_out_is_counted() {
        let limiter = LineLimiter::default();
        let admitted = |limiter: &LineLimiter| (0..1000).filter(|_| limiter.admit()).count();
        assert_eq!(admitted(&limiter), BURST as usize);
        assert_eq!(limiter.state().left_out, 1000 - u64::from(BURST));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(admitted(&limiter), 2 * PER_SECOND as usize);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(admitted(&limiter), BURST as usize);
    }
}
