//! Tells what a line of a dump is: the begin of a statement, a row of `COPY`, a command of psql, a comment, or something inside of a statement. Text in
//! quotes and in dollar quotes spans lines (PostgreSQL, "Lexical Structure"); a row may look like any statement.

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The first line of a statement, and whether the statement ends on it.
    Statement {
        /// Whether it ends on this line.
        is_whole: bool,
    },
    /// A later line of a statement.
    Within,
    /// A row below `COPY … FROM stdin;`.
    Row,
    /// The end of the rows: `\.`.
    EndOfRows,
    /// A command of psql: `\connect`, `\restrict`.
    Command,
    /// A comment or an empty line between statements.
    Comment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Between,
    Statement,
    /// In quotes: the quote, and whether a backslash escapes.
    Quoted(u8, bool),
    /// In dollar quotes: `$tag$`.
    Dollar(Vec<u8>),
    Rows,
}

/// Where a dump is.
#[derive(Debug)]
pub(super) struct Scanner(State);

impl Scanner {
    /// At the begin of a dump.
    pub(super) const fn new() -> Self {
        Self(State::Between)
    }

    /// Whether nothing is open: no statement, no rows.
    pub(super) fn is_between(&self) -> bool {
        self.0 == State::Between
    }

    /// What the next line is.
    pub(super) fn next(&mut self, line: &[u8]) -> Line {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.0 == State::Rows {
            if line == b"\\." {
                self.0 = State::Between;
                return Line::EndOfRows;
            }
            return Line::Row;
        }
        let is_first = self.0 == State::Between;
        if is_first {
            let text = line.trim_ascii_start();
            if text.is_empty() || text.starts_with(b"--") {
                return Line::Comment;
            }
            if text.starts_with(b"\\") {
                return Line::Command;
            }
            self.0 = State::Statement;
        }
        let ends = self.read(line);
        if ends {
            let is_copy = is_first && line.starts_with(b"COPY ") && line.ends_with(b" FROM stdin;");
            self.0 = if is_copy { State::Rows } else { State::Between };
        }
        if is_first { Line::Statement { is_whole: ends } } else { Line::Within }
    }

    /// Reads the characters of a statement, and says whether it ends with the line.
    fn read(&mut self, line: &[u8]) -> bool {
        let mut ends = false;
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            match &self.0 {
                State::Quoted(quote, escapes) => {
                    if byte == b'\\' && *escapes {
                        at += 1;
                    } else if byte == *quote {
                        self.0 = State::Statement;
                    }
                }
                State::Dollar(tag) => {
                    if line[at..].starts_with(tag) {
                        at += tag.len() - 1;
                        self.0 = State::Statement;
                    }
                }
                _ => match byte {
                    b'\'' | b'"' => {
                        let is_word = |at: usize| line.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
                        let has_e = at > 0 && matches!(line[at - 1], b'E' | b'e') && !(at > 1 && is_word(at - 2));
                        ends = false;
                        self.0 = State::Quoted(byte, byte == b'\'' && has_e);
                    }
                    b'$' => {
                        if let Some(tag) = dollar_tag(&line[at..]) {
                            at += tag.len() - 1;
                            self.0 = State::Dollar(tag.to_vec());
                        }
                        ends = false;
                    }
                    b'-' if line[at..].starts_with(b"--") => return ends,
                    b';' => ends = true,
                    byte if byte.is_ascii_whitespace() => {}
                    _ => ends = false,
                },
            }
            at += 1;
        }
        ends && self.0 == State::Statement
    }
}

/// `$$` or `$tag$` at the begin of a text.
fn dollar_tag(text: &[u8]) -> Option<&[u8]> {
    let end = text[1..].iter().position(|byte| *byte == b'$')? + 1;
    let is_tag = text[1..end].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (is_tag && !text[1].is_ascii_digit()).then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Line> {
        let mut scanner = Scanner::new();
        let kinds = text.lines().map(|line| scanner.next(line.as_bytes())).collect();
        assert!(scanner.is_between(), "{scanner:?}");
        kinds
    }

    const WHOLE: Line = Line::Statement { is_whole: true };
    const BEGIN: Line = Line::Statement { is_whole: false };

    #[test]
    fn rows_look_like_anything_and_are_rows() {
        let text =
            "COPY public.hard (id) FROM stdin;\nDROP TABLE x;\n-- PostgreSQL database dump complete\n\\\\.\nit's\n\\.\nSELECT 1;";
        assert_eq!(kinds(text), [WHOLE, Line::Row, Line::Row, Line::Row, Line::Row, Line::EndOfRows, WHOLE]);
    }

    #[test]
    fn text_in_quotes_spans_lines() {
        let text = "INSERT INTO t VALUES ('a;\nALTER TABLE t OWNER TO x;\n''$$');\n\n-- it's\n\\connect x\nSELECT E'\\';\n';";
        assert_eq!(
            kinds(text),
            [BEGIN, Line::Within, Line::Within, Line::Comment, Line::Comment, Line::Command, BEGIN, Line::Within]
        );
    }

    #[test]
    fn functions_are_one_statement() {
        let text = "CREATE FUNCTION f() RETURNS trigger\n    AS $_$\nBEGIN\n  x := '$$;';\n  DROP TABLE t;\nEND;\n$_$;\nSELECT $1;\nSELECT 1; -- '";
        let within = Line::Within;
        assert_eq!(kinds(text), [BEGIN, within, within, within, within, within, within, WHOLE, WHOLE]);
    }
}
