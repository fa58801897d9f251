//! A future enters, its output leaves, or the test fails: nothing in this crate waits for ever.

use std::time::Duration;

/// For one step on a socket: generous, because the machine may be busy.
pub(crate) const SOCKET_STEP: Duration = Duration::from_secs(20);

/// For a condition that follows from what the test has already done.
pub(crate) const CONDITION: Duration = Duration::from_secs(10);

/// Awaits `future` and panics with `what` when `limit` has passed.
pub(crate) async fn within<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(limit, future).await else {
        panic!("waited {} s in vain: {what}", limit.as_secs());
    };
    output
}
