//! Finds the private identifiers and secrets on one line.

use super::kind::Kind;
use super::{hosts, tokens};

/// Returns all private identifiers and secrets on a line. With `is_yaml`, a single word as a value may be a hostname.
pub fn line(line: &str, is_yaml: bool) -> Vec<(Kind, String)> {
    let words = words(line);
    let mut hits = tokens::find(line, &words);
    hits.extend(hosts::find(line, &words, is_yaml));
    hits.sort_by_key(|(kind, _)| *kind);
    hits.dedup();
    hits
}

/// Returns the sequences of characters that can be an identifier or token. Shorter sequences are left out.
fn words(line: &str) -> Vec<&str> {
    const SHORTEST: usize = 4;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+/=:@".contains(byte);
    let runs = line.as_bytes().split(|byte| !is_part(byte)).filter(|run| run.len() >= SHORTEST);
    runs.filter_map(|run| std::str::from_utf8(run).ok()).collect()
}
