//! Text as somebody could read it after undoing an encoding, and where each byte of it came from: enters a text, leave its decoded forms (JSON
//! escapes, RFC 8259 section 7; percent-encoding, RFC 3986 section 2.1; base64, RFC 4648; a value that is split at the end of a line).

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);
/// The shortest base64 that is decoded: six bytes.
const SHORTEST_BASE64: usize = 8;

/// A text, and the range of the original text behind each of its bytes.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub text: String,
    origin: Vec<(usize, usize)>,
}

impl View {
    /// The text itself.
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), origin: (0..text.len()).map(|at| (at, at + 1)).collect() }
    }

    /// The range of the original behind a range of this text.
    pub(super) fn original(&self, range: &Range<usize>) -> Range<usize> {
        let of = self.origin.get(range.clone()).unwrap_or_default();
        of.iter().map(|it| it.0).min().unwrap_or(0)..of.iter().map(|it| it.1).max().unwrap_or(0)
    }

    fn push(&mut self, piece: char, origin: (usize, usize)) {
        self.text.push(piece);
        self.origin.resize(self.text.len(), origin);
    }

    /// With JSON escapes and percent-encoding undone, once; none if there are none.
    pub(super) fn decoded(&self) -> Option<Self> {
        let mut found = Self { text: String::with_capacity(self.text.len()), origin: Vec::with_capacity(self.text.len()) };
        let mut at = 0;
        let mut is_changed = false;
        // Bytes of percent-encoding are collected: several of them can be one character.
        let mut pending: Vec<u8> = Vec::new();
        let mut pending_origin = (0, 0);
        while let Some(character) = self.text[at..].chars().next() {
            let rest = &self.text[at..];
            let (length, piece) = escape(rest).map_or((character.len_utf8(), None), |(length, piece)| (length, Some(piece)));
            let origin = self.original(&(at..at + length));
            let origin = (origin.start, origin.end);
            if let Some(Piece::Byte(byte)) = piece.filter(|piece| !matches!(piece, Piece::Byte(0..=127))) {
                pending_origin = if pending.is_empty() { origin } else { (pending_origin.0, origin.1) };
                pending.push(byte);
            } else {
                found.flush(&mut pending, pending_origin);
                let decoded = match piece {
                    Some(Piece::Character(decoded)) => decoded,
                    Some(Piece::Byte(byte)) => char::from(byte),
                    None => character,
                };
                found.push(decoded, origin);
            }
            is_changed |= piece.is_some();
            at += length;
        }
        found.flush(&mut pending, pending_origin);
        is_changed.then_some(found)
    }

    fn flush(&mut self, pending: &mut Vec<u8>, origin: (usize, usize)) {
        let text = String::from_utf8_lossy(pending).into_owned();
        pending.clear();
        text.chars().for_each(|piece| self.push(piece, origin));
    }

    /// Each text that is in this one as base64.
    pub(super) fn unpacked(&self) -> Vec<Self> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
        let mut found = Vec::new();
        let mut start = 0;
        let bytes = self.text.as_bytes();
        while start < bytes.len() {
            let length = bytes[start..].iter().take_while(|byte| is_part(byte)).count();
            if length >= SHORTEST_BASE64 {
                let padding = bytes[start + length..].iter().take(2).take_while(|byte| **byte == b'=').count();
                let origin = self.original(&(start..start + length + padding));
                // One letter more than whole groups is no base64: it belongs to something else.
                let usable = if length % 4 == 1 { length - 1 } else { length };
                let word: String = self.text[start..start + usable].replace('-', "+").replace('_', "/");
                if let Some(text) = LENIENT.decode(word).ok().and_then(|bytes| readable(&bytes)) {
                    let origin = vec![(origin.start, origin.end); text.len()];
                    found.push(Self { text, origin });
                }
            }
            start += length.max(1);
        }
        found
    }

    /// Neighbouring lines as one, where a value can go on over the line's end: up to `MOST` lines at a time, without their indentation.
    pub(super) fn joined(&self) -> Vec<Self> {
        const MOST: usize = 4;
        let is_part = |character: char| character.is_alphanumeric() || "+/=_-.@:%".contains(character);
        let lines: Vec<Range<usize>> = self.lines().collect();
        let mut found = Vec::new();
        for first in 0..lines.len() {
            let mut view = Self { text: String::new(), origin: Vec::new() };
            for (index, line) in lines.iter().enumerate().skip(first).take(MOST) {
                let text = &self.text[line.clone()];
                let trimmed = text.trim_start();
                let is_glued = index == first || view.text.ends_with(is_part) && trimmed.starts_with(is_part);
                if !is_glued {
                    break;
                }
                let start = if index == first { line.start } else { line.end - trimmed.len() };
                let text = self.text[start..line.end].trim_end_matches(['\\', '\r', ' ']);
                view.text.push_str(text);
                view.origin.extend(&self.origin[start..start + text.len()]);
                if index > first {
                    found.push(view.clone());
                }
            }
        }
        found
    }

    /// The ranges of the lines, without their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        self.text.split('\n').map(move |line| {
            let range = start..start + line.len();
            start = range.end + 1;
            range
        })
    }
}

#[derive(Clone, Copy)]
enum Piece {
    Character(char),
    Byte(u8),
}

/// The escape at the beginning of a text: its length, and what it stands for.
fn escape(text: &str) -> Option<(usize, Piece)> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'%' => Some((3, Piece::Byte(u8::from_str_radix(text.get(1..3)?, 16).ok()?))),
        b'\\' => match bytes.get(1)? {
            b'n' => Some((2, Piece::Character('\n'))),
            b'r' => Some((2, Piece::Character('\r'))),
            b't' => Some((2, Piece::Character('\t'))),
            letter @ (b'"' | b'\\' | b'/' | b'\'') => Some((2, Piece::Character(char::from(*letter)))),
            b'u' => {
                let code = u32::from_str_radix(text.get(2..6)?, 16).ok()?;
                Some((6, Piece::Character(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))))
            }
            b'x' => Some((4, Piece::Byte(u8::from_str_radix(text.get(2..4)?, 16).ok()?))),
            _ => None,
        },
        _ => None,
    }
}

/// Bytes as text, if a person could read them.
fn readable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_control = |character: char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    (!text.is_empty() && !text.contains(is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    fn texts(views: &[View]) -> Vec<&str> {
        views.iter().map(|view| view.text.as_str()).collect()
    }

    #[test]
    fn escapes_are_undone_and_their_place_is_known() {
        let view = View::of(r#"a\"b\n\u0041%41%C3%BC"#).decoded().expect("changed");
        assert_eq!(view.text, "a\"b\nAAü");
        assert_eq!(view.original(&(1..2)), 1..3);
        let umlaut = view.text.find('ü').expect("there");
        assert_eq!(view.original(&(umlaut..umlaut + 2)), 15..21);
        assert!(View::of("plain 100 %").decoded().is_none());
    }

    #[test]
    fn base64_is_unpacked_with_and_without_padding() {
        for word in [STANDARD.encode("a secret?>"), URL_SAFE_NO_PAD.encode("a secret?>")] {
            let text = format!("x: {word}, y");
            let found = View::of(&text).unpacked();
            assert_eq!(texts(&found), ["a secret?>"]);
            assert_eq!(text[found[0].original(&(2..3))].trim_end_matches('='), word.trim_end_matches('='));
        }
    }

    #[test]
    fn lines_are_joined_where_a_word_can_go_on() {
        assert_eq!(texts(&View::of("key: ab\n   cd\nnext: x").joined()), ["key: abcd", "key: abcdnext: x", "   cdnext: x"]);
        assert!(View::of("{\n  \"a\": 1,\n}").joined().is_empty());
    }
}
