//! Polls until a condition is true or a deadline has passed. The error says what was found instead.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The result of one look.
pub(crate) enum Look<T> {
    /// The condition is true.
    Done(T),
    /// The condition is not true yet, and what was found instead.
    NotYet(String),
}

/// Calls `look` until it is done or `limit` has passed. An error of `look` ends the wait.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<Look<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await? {
            Look::Done(found) => return Ok(found),
            Look::NotYet(instead) if Instant::now() > deadline => bail!("after {limit:?} still not {what}: {instead}"),
            Look::NotYet(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
