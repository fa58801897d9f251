//! Finds the end of a chunked body in the raw bytes (RFC 9112, 7.1), so that the next request head on the connection can be scanned.
//!
//! hyper parses the chunks themselves and refuses malformed ones. This scanner only counts; where the two disagreed, the next head would not
//! be scanned as one, and is refused.

/// An incremental scanner for one chunked body.
#[derive(Debug)]
pub(super) struct ChunkScan(State);

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the digits of a chunk's size.
    Size(u64),
    /// Behind the digits, up to the end of the line.
    SizeLine(u64),
    /// In the data of a chunk, with this many bytes left.
    Data(u64),
    /// In the line end behind the data.
    DataEnd,
    /// In the trailer section, at this place of a line.
    Trailer(usize),
    Done,
}

impl Default for ChunkScan {
    fn default() -> Self {
        Self(State::Size(0))
    }
}

impl ChunkScan {
    /// Reads the next bytes, and returns how many of them belong to the body.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            let after = |size: u64| if size == 0 { State::Trailer(0) } else { State::Data(size) };
            self.0 = match self.0 {
                State::Done => return at,
                State::Data(left) => {
                    let skip = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += skip;
                    let left = left - skip as u64;
                    self.0 = if left == 0 { State::DataEnd } else { State::Data(left) };
                    continue;
                }
                State::Size(size) => match (char::from(byte).to_digit(16), byte) {
                    (Some(digit), _) => State::Size(size.saturating_mul(16).saturating_add(u64::from(digit))),
                    (None, b'\n') => after(size),
                    (None, _) => State::SizeLine(size),
                },
                State::SizeLine(size) if byte == b'\n' => after(size),
                State::DataEnd if byte == b'\n' => State::Size(0),
                State::Trailer(0) if byte == b'\n' => State::Done,
                State::Trailer(_) if byte == b'\n' => State::Trailer(0),
                State::Trailer(length) if byte != b'\r' => State::Trailer(length + 1),
                same => same,
            };
            at += 1;
        }
        at
    }

    /// Whether the body is complete.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_body_is_found_however_it_is_cut() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=b\r\nhe\r\n0\r\n0\r\n\r\n",
            "A\r\n0\r\n\r\n0\r\n\r\n\r\n000\r\nX-Sum: 1\r\nX: y\r\n\r\n",
        ] {
            for step in 1..=body.len() {
                let all = format!("{body}GET / HTTP/1.1\r\n");
                let (mut scan, mut used) = (ChunkScan::default(), 0);
                for piece in all.as_bytes().chunks(step) {
                    used += scan.read(piece);
                }
                assert!(scan.is_complete(), "{body:?} by {step}");
                assert_eq!(used, body.len(), "{body:?} by {step}");
            }
        }
        let mut open = ChunkScan::default();
        assert_eq!(open.read(b"ffffffffffffffffffff\r\nabc"), 25);
        assert!(!open.is_complete());
    }
}
