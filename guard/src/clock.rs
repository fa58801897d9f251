//! The wall clock, as the checks of tokens read it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in seconds since 1970. A clock that stands before 1970 gives the largest number, so that every token counts as expired.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
}
