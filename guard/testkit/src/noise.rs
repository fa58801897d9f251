//! Positions enter, bytes leave: one endless body that looks random and is the same everywhere, so a test can compare a transfer of
//! gigabytes by its hash alone.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};

/// How much [`sha256`] and the fakes make at a time.
pub(crate) const CHUNK: u64 = 64 * 1024;

/// The bytes from position `start` up to, not including, `end`.
pub fn bytes(start: u64, end: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::try_from(end.saturating_sub(start)).expect("a part fits into memory") + 8);
    let mut word = start / 8;
    // Whole words first, then the rest of the first word is cut off.
    while word * 8 < end {
        out.extend_from_slice(&mixed(word).to_le_bytes());
        word += 1;
    }
    let first = start / 8 * 8;
    let cut = usize::try_from(start - first).expect("less than a word");
    let len = usize::try_from(end.saturating_sub(start)).expect("a part fits into memory");
    out.drain(..cut.min(out.len()));
    out.truncate(len);
    out
}

/// The hash, in hex, of the first `len` bytes.
pub fn sha256(len: u64) -> String {
    let mut context = Context::new(&SHA256);
    let mut at = 0;
    while at < len {
        let end = len.min(at + CHUNK);
        context.update(&bytes(at, end));
        at = end;
    }
    hex(context.finish().as_ref())
}

/// The hash of any bytes, in hex.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string never fails");
        text
    })
}

/// `SplitMix64`: every word on its own, so any position is as near as the first.
fn mixed(word: u64) -> u64 {
    let mut z = word.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_equals_the_same_part_of_the_whole() {
        let whole = bytes(0, 100);
        for start in 0..100 {
            for end in start..=100 {
                assert_eq!(bytes(start as u64, end as u64), whole[start..end], "{start}..{end}");
            }
        }
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let hash = aws_lc_rs::digest::digest(&SHA256, &bytes(0, CHUNK + 3));
        assert_eq!(sha256(CHUNK + 3), hex(hash.as_ref()));
    }
}
