//! The wall clock, as the checks of tokens read it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in seconds since 1970. A clock that stands before 1970 gives the largest number, so that every token counts as expired.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs())
}

/// The time since the first call, in milliseconds: a clock that never goes back.
pub fn uptime_millis() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(std::time::Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}
