//! Waiting for something to become true: polled, with a deadline, and an error that says what was there instead.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a look found.
pub(crate) enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet: what there is instead.
    NotYet(String),
}

/// Looks until it is done. An error of a look ends the wait.
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
