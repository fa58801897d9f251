//! Random bytes from the kernel, for names, ids and jitter. The generator of aws-lc would cost each new process tens of milliseconds of
//! self-tests.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};

/// The maximum number of bytes of one call: getrandom(2) never returns fewer than requested up to this size.
pub const MAX_BYTES: usize = 256;

/// The kernel returned no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system returned no random bytes")]
pub struct Unavailable;

/// Returns `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], Unavailable> {
    const { assert!(N <= MAX_BYTES, "getrandom(2) may return fewer bytes than this") }
    let mut bytes = [0; N];
    match getrandom(&mut bytes[..], GetRandomFlags::empty()) {
        Ok(count) if count == N => Ok(bytes),
        _ => Err(Unavailable),
    }
}

/// Returns `pause` plus up to a tenth of it, so that many guards do not send their requests at the same moment.
pub fn jittered(pause: Duration) -> Duration {
    // Without random bytes there is no jitter, which is harmless.
    let [byte] = bytes().unwrap_or_default();
    pause + pause * u32::from(byte) / 2560
}
