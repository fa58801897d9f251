//! Waiting for a condition that follows from what the test has already done.

use crate::deadline::CONDITION;
use tokio::time::Instant;

/// Waits until `condition` holds; panics with `what` after 10 s.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + CONDITION;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {} s in vain: {what}", CONDITION.as_secs());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
