//! A few random bytes from the kernel: for names, ids and jitter, where aws-lc's generator would cost each new process tens of
//! milliseconds of self-tests.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};

/// The most at once, in bytes: getrandom(2) gives so many whole.
pub const MAX_BYTES: usize = 256;

/// The kernel gave none.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct Unavailable;

/// Random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], Unavailable> {
    const { assert!(N <= MAX_BYTES, "getrandom(2) gives so many whole") }
    let mut bytes = [0; N];
    match getrandom(&mut bytes[..], GetRandomFlags::empty()) {
        Ok(count) if count == N => Ok(bytes),
        _ => Err(Unavailable),
    }
}

/// `pause` plus up to a tenth, so that the guards of many homes do not ask in step.
pub fn jittered(pause: Duration) -> Duration {
    // Without randomness there is no jitter, and nothing rests on it.
    let [byte] = bytes().unwrap_or_default();
    pause + pause * u32::from(byte) / 2560
}
