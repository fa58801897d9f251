//! Finds the private identifiers and secrets of one line.

use super::kind::Kind;
use super::{hosts, tokens};

/// Everything private on a line. `is_yaml`: a bare value may be a hostname.
pub fn line(line: &str, is_yaml: bool) -> Vec<(Kind, String)> {
    let words = words(line);
    let mut hits = tokens::find(line, &words);
    hits.extend(hosts::find(line, &words, is_yaml));
    hits.sort_by_key(|(kind, _)| *kind);
    hits.dedup();
    hits
}

/// Runs of the characters that identifiers and tokens are made of; shorter ones than any of those are left out.
fn words(line: &str) -> Vec<&str> {
    const SHORTEST: usize = 4;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+/=:@".contains(byte);
    let runs = line.as_bytes().split(|byte| !is_part(byte)).filter(|run| run.len() >= SHORTEST);
    runs.filter_map(|run| std::str::from_utf8(run).ok()).collect()
}
