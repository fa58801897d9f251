//! Scans the raw bytes of a request head for ambiguities that hyper removes before a handler can see them.
//!
//! hyper drops `Content-Length` if `Transfer-Encoding` is present, merges equal `Content-Length` lines, and accepts a bare LF as the end
//! of a line. This is safe behind guard, because guard rebuilds the framing. But RFC 9112 (2.2, 6.3) calls such a message a possible
//! attempt at request smuggling, so it is refused with 400. Every head is scanned, a pipelined one too: [`Wire`](super::wire::Wire) gives
//! hyper the bytes of one message at a time.

/// A part of a request head that two parsers could read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ambiguity {
    /// `Content-Length` and `Transfer-Encoding` in one head.
    TwoFramings = 1,
    /// More than one `Content-Length` line.
    TwoLengths = 2,
    /// A line that ends in LF without CR.
    BareLineFeed = 3,
    /// A `Content-Length` line that is too long to be a number.
    LongLength = 4,
    /// The head was not scanned: its place in the connection is unclear.
    Unscanned = 5,
}

/// How the body of a request is framed, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

impl Ambiguity {
    /// The cause, for the log.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::TwoFramings => "Content-Length and Transfer-Encoding in one request",
            Self::TwoLengths => "more than one Content-Length line",
            Self::BareLineFeed => "a header line ends in a bare LF",
            Self::LongLength => "the Content-Length line is too long",
            Self::Unscanned => "a request head at an unclear place of the connection",
        }
    }

    /// The variant with this discriminant.
    pub(crate) const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::TwoFramings),
            2 => Some(Self::TwoLengths),
            3 => Some(Self::BareLineFeed),
            4 => Some(Self::LongLength),
            5 => Some(Self::Unscanned),
            _ => None,
        }
    }
}

/// The bytes of a line that are kept: the longest compared name with its colon, `transfer-encoding:`, or `content-length:` and a number.
const MAX_LINE_BYTES: usize = 48;

/// How much of a head has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Before,
    Inside,
    After,
}

/// An incremental scanner for one request head. It accepts the head in any pieces, up to its empty line, and stores only counters and
/// the start of the current line.
#[derive(Debug)]
pub struct HeadScan {
    /// The first bytes of the current line.
    line: [u8; MAX_LINE_BYTES],
    /// The length of the current line so far, in bytes.
    length: usize,
    last_was_cr: bool,
    /// The number of non-empty lines so far. An empty line ends the head only after one of them: RFC 9112, 2.2 allows empty lines before
    /// a request.
    lines: usize,
    stage: Stage,
    lengths: u8,
    /// The number of the last `Content-Length` line.
    body_bytes: u64,
    long_length: bool,
    codings: u8,
    bare_line_feed: bool,
}

impl Default for HeadScan {
    fn default() -> Self {
        Self {
            line: [0; MAX_LINE_BYTES],
            length: 0,
            last_was_cr: false,
            lines: 0,
            stage: Stage::Before,
            lengths: 0,
            body_bytes: 0,
            long_length: false,
            codings: 0,
            bare_line_feed: false,
        }
    }
}

impl HeadScan {
    /// Reads the next bytes, and returns how many of them belong to the head.
    pub fn read(&mut self, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        while self.stage != Stage::After && !bytes.is_empty() {
            self.stage = Stage::Inside;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.length < MAX_LINE_BYTES {
                let take = piece.len().min(MAX_LINE_BYTES - self.length);
                self.line[self.length..self.length + take].copy_from_slice(&piece[..take]);
            }
            self.length += piece.len();
            if let Some(last) = piece.last() {
                self.last_was_cr = *last == b'\r';
            }
            match end {
                None => return all,
                Some(end) => {
                    self.end_of_line();
                    bytes = &bytes[end + 1..];
                }
            }
        }
        all - bytes.len()
    }

    /// Whether the head is complete.
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::After
    }

    /// Whether the head has begun and is not complete.
    pub fn is_partial(&self) -> bool {
        self.stage == Stage::Inside
    }

    /// Returns the framing of the body and the ambiguity of the head, if there is one, and resets the scanner for the next head.
    pub fn take_result(&mut self) -> (Framing, Option<Ambiguity>) {
        let Self { lengths, codings, bare_line_feed, body_bytes, long_length, .. } = std::mem::take(self);
        let framing = if codings > 0 { Framing::Chunked } else { Framing::Length(body_bytes) };
        let ambiguity = if lengths > 0 && codings > 0 {
            Some(Ambiguity::TwoFramings)
        } else if lengths > 1 {
            Some(Ambiguity::TwoLengths)
        } else if bare_line_feed {
            Some(Ambiguity::BareLineFeed)
        } else if long_length {
            Some(Ambiguity::LongLength)
        } else {
            None
        };
        (framing, ambiguity)
    }

    fn end_of_line(&mut self) {
        // A single LF before the first line may be the second half of a CRLF of a pipelined head that an earlier read had split.
        self.bare_line_feed |= !self.last_was_cr && (self.length > 0 || self.lines > 0);
        let content = self.length - usize::from(self.last_was_cr);
        let line = &self.line[..content.min(MAX_LINE_BYTES)];
        if content > 0 {
            self.lines += 1;
        }
        if content == 0 && self.lines > 0 {
            self.stage = Stage::After;
        } else if starts_with(line, b"content-length:") {
            self.lengths = self.lengths.saturating_add(1);
            self.long_length |= content > MAX_LINE_BYTES;
            // Text that is no number is refused by hyper.
            let number = line.get(b"content-length:".len()..).and_then(|text| std::str::from_utf8(text).ok());
            self.body_bytes = number.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        } else if starts_with(line, b"transfer-encoding:") {
            self.codings = self.codings.saturating_add(1);
        }
        self.length = 0;
        self.last_was_cr = false;
    }
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguity(head: &str) -> Option<Ambiguity> {
        let mut scan = HeadScan::default();
        scan.read(head.as_bytes());
        assert_eq!(scan.stage, Stage::After, "{head:?}");
        scan.take_result().1
    }

    #[test]
    fn the_framing_of_a_body_and_the_end_of_its_head_are_known() {
        for (head, framing) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0)),
            ("POST / HTTP/1.1\r\ncontent-length:   12 \r\n\r\n", Framing::Length(12)),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked),
        ] {
            let mut scan = HeadScan::default();
            let bytes = format!("{head}GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
            assert_eq!(scan.read(bytes.as_bytes()), head.len(), "{head:?}");
            assert!(scan.is_complete());
            assert_eq!(scan.take_result(), (framing, None), "{head:?}");
        }
        let long = format!("POST / HTTP/1.1\r\nContent-Length:{}5\r\n\r\n", " ".repeat(60));
        assert_eq!(ambiguity(&long), Some(Ambiguity::LongLength));
    }

    #[test]
    fn each_ambiguity_is_seen_and_plain_heads_are_not() {
        assert_eq!(ambiguity("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), None);
        assert_eq!(ambiguity("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc\n\n"), None);
        assert_eq!(
            ambiguity("POST / HTTP/1.1\r\ncontent-LENGTH: 5\r\nTransfer-encoding: chunked\r\n\r\n"),
            Some(Ambiguity::TwoFramings)
        );
        assert_eq!(
            ambiguity("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
            Some(Ambiguity::TwoFramings)
        );
        assert_eq!(ambiguity("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), Some(Ambiguity::TwoLengths));
        assert_eq!(
            ambiguity("\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
            Some(Ambiguity::TwoLengths)
        );
        assert_eq!(ambiguity("GET / HTTP/1.1\nHost: a\r\n\r\n"), Some(Ambiguity::BareLineFeed));
        assert_eq!(ambiguity("GET / HTTP/1.1\r\nHost: a\r\n\n"), Some(Ambiguity::BareLineFeed));
        assert_eq!(ambiguity("\nHost: a\r\n\r\n"), None);
        assert_eq!(
            ambiguity("POST / HTTP/1.1\r\nX-Content-Length: 5\r\nX: content-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            None
        );
    }

    proptest::proptest! {
        /// The result is the same however a head is split into reads, and the body after it is never scanned.
        #[test]
        fn any_cutting_gives_the_same_verdict(
            lines in proptest::collection::vec(proptest::sample::select(vec![
                "Host: a\r\n", "Content-Length: 1\r\n", "transfer-encoding: chunked\r\n", "X: y\n", "Content-Length\r\n", "\r\r\n",
            ]), 0..6),
            cuts in proptest::collection::vec(1..9_usize, 1..40),
        ) {
            let text = format!("POST / HTTP/1.1\r\n{}\r\nContent-Length: 1\r\nTransfer-Encoding: x\r\n\n", lines.concat());
            let mut whole = HeadScan::default();
            whole.read(text.as_bytes());
            let mut pieces = HeadScan::default();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                pieces.read(piece);
                rest = tail;
            }
            proptest::prop_assert_eq!(whole.is_partial(), pieces.is_partial());
            proptest::prop_assert_eq!(whole.take_result(), pieces.take_result());
        }
    }
}
