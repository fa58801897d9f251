//! Finds what must not leave the home on one line of a text. It is stricter than `guardctl scan`, which judges files that people write: a bundle
//! holds what programs wrote, and whoever reads it misses nothing when too much is removed.

use std::net::IpAddr;
use std::ops::Range;

use crate::scan::detect;
use crate::scan::kind::Kind;
use crate::scan::{is_private_host, is_public_address};

/// Names whose value is a secret, by their end.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "private_key",
    "credential",
    "credentials",
    "authorization",
    "cookie",
    "assertion",
    "signature",
];
/// The least length of a random text that is taken for a secret, and the number of different characters in it.
const RANDOM: usize = 20;
const RANDOM_DISTINCT: usize = 10;
/// The least length of random hexadecimal digits, and of random lower-case letters and digits.
const RANDOM_LOWER: usize = 28;

/// Whether a name is that of a secret: `POSTGRES_PASSWORD`, `--token`, `client-secret`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.trim_matches(['"', '\'', ' ', '-']).to_ascii_lowercase();
    let name = name.strip_suffix("_file").unwrap_or(&name);
    SECRET_NAMES.iter().any(|end| name.ends_with(end))
}

/// The ranges on this line that must not leave the home, and what each is.
pub(super) fn line(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = scanned(line);
    found.extend(named(line));
    found.extend(urls(line));
    found.extend(words(line));
    found
}

/// What `guardctl scan` finds, with the whole word around a secret.
fn scanned(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    // In a path, scan takes the whole path for one word.
    let pieces = line.replace('/', " ");
    for (kind, secret) in detect::line(line, true).into_iter().chain(detect::line(&pieces, true)) {
        let is_identifier = matches!(kind, Kind::Email | Kind::PrivateAddress | Kind::HomePath | Kind::Hostname);
        for (start, text) in line.match_indices(&secret) {
            let mut range = start..start + text.len();
            if !is_identifier {
                let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
                range.start = line[..range.start].rfind(|c| !is_part(c)).map_or(0, |at| at + width(line, at));
                range.end += line[range.end..].find(|c| !is_part(c)).unwrap_or(line.len() - range.end);
            }
            found.push((range, kind.label()));
        }
        // It names the key, and not the value.
        if kind == Kind::TunnelCredentials {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=_".contains(c);
            found.extend(runs(line, is_part).filter(|range| range.len() >= 16).map(|range| (range, kind.label())));
        }
    }
    found
}

fn width(line: &str, at: usize) -> usize {
    line[at..].chars().next().map_or(1, char::len_utf8)
}

fn runs(line: &str, is_part: impl Fn(char) -> bool + Copy) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].find(is_part)?;
        let end = start + line[start..].find(|c| !is_part(c)).unwrap_or(line.len() - start);
        at = end;
        Some(start..end)
    })
}

/// The value after a secret's name: `password=…`, `"token": "…"`, `Authorization: …`.
fn named(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices([':', '=']) {
        let before = line[..at].trim_end_matches(['"', '\'', ' ', '\\']);
        let name_start =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))).map_or(0, |it| it + width(before, it));
        let name = &before[name_start..];
        if name.is_empty() || !is_secret_name(name) {
            continue;
        }
        let after = &line[at + 1..];
        let start = at + 1 + after.len() - after.trim_start_matches([' ', '"', '\'', '\\']).len();
        let lower = name.to_ascii_lowercase();
        // A header has spaces in its value; else a value ends at one, or at its quote.
        let ends: &[char] = if lower.ends_with("authorization") || lower.ends_with("cookie") {
            &['"', '\'', '\\']
        } else {
            &['"', '\'', '\\', ' ', ',', ';', '&', '}', ')']
        };
        let end = start + line[start..].find(ends).unwrap_or(line.len() - start);
        let value = &line[start..end];
        let is_plain = value.is_empty()
            || value.starts_with(['{', '[', '<'])
            || matches!(value, "true" | "false" | "null")
            || value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && value.len() < 6;
        if !is_plain {
            found.push((start..end, "secret"));
        }
    }
    found
}

/// User and password, and the query string, of each URL.
fn urls(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let is_part = |c: char| c.is_ascii_graphic() && !"\"'<>\\`{}|^".contains(c);
    for range in runs(line, is_part) {
        let word = &line[range.clone()];
        if let Some(scheme) = word.find("://") {
            let authority = scheme + 3..word[scheme + 3..].find(['/', '?', '#']).map_or(word.len(), |at| scheme + 3 + at);
            if let Some(user) = word[authority.clone()].rfind('@') {
                found.push((range.start + authority.start..range.start + authority.start + user, "user"));
            }
        }
        if let Some(query) = word.find('?').filter(|at| word[..*at].contains('/') && word[*at..].contains('=')) {
            found.push((range.start + query + 1..range.end, "query"));
        }
    }
    found
}

/// Addresses, host names, e-mail addresses and random texts, by their form alone.
fn words(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    for range in runs(line, is_name) {
        let word = line[range.clone()].trim_end_matches(['.', '-']);
        let range = range.start..range.start + word.len();
        // A pod's or an object's file name in Kubernetes has no top-level domain; `is_private_host` knows those that homes use.
        if is_private_host(word.trim_start_matches(['.', '-', '_']), true)
            || word.parse::<IpAddr>().is_ok_and(|it| !is_public_address(it))
        {
            found.push((range, if word.parse::<IpAddr>().is_ok() { "address" } else { "hostname" }));
        }
    }
    let is_v6 = |c: char| c.is_ascii_hexdigit() || c == ':';
    for range in runs(line, is_v6) {
        if line[range.clone()].matches(':').count() > 1
            && line[range.clone()].parse::<IpAddr>().is_ok_and(|it| !is_public_address(it))
        {
            found.push((range, "address"));
        }
    }
    let is_random_part = |c: char| c.is_ascii_alphanumeric() || "+/=_".contains(c);
    for range in runs(line, is_random_part) {
        let word = &line[range.clone()];
        let is_digest = ["sha256:", "sha1:"].iter().any(|prefix| line[..range.start].ends_with(prefix));
        if !is_digest && word.split(['/', '=']).any(is_random) {
            found.push((range, "random"));
        }
    }
    found
}

/// Whether a word looks drawn at random: long, with many different characters, letters and digits mixed.
fn is_random(word: &str) -> bool {
    if word.len() < RANDOM {
        return false;
    }
    let mut seen = [false; 128];
    word.bytes().for_each(|byte| seen[usize::from(byte & 127)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && digits > 0;
    distinct >= RANDOM_DISTINCT && (is_mixed || word.len() >= RANDOM_LOWER && digits >= 4 && digits < word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&str, &'static str)> {
        line(text).into_iter().map(|(range, label)| (&text[range], label)).collect()
    }

    #[test]
    fn values_after_a_secrets_name_are_found() {
        for (text, wanted) in [
            ("password=hunter2 next", "hunter2"),
            (r#""DB_PASSWORD": "hunter2","#, "hunter2"),
            ("Authorization: Basic aHVudGVyMg==", "Basic aHVudGVyMg=="),
            ("x --client-secret='hunter2'", "hunter2"),
            ("postgres://immich:hunter2@immich-postgres:5432/immich", "immich:hunter2"),
            ("GET /api/assets?key=share", "key=share"),
        ] {
            assert!(found(text).iter().any(|(it, _)| *it == wanted), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn what_helps_and_tells_nothing_stays() {
        for text in [
            "immich-server-7d9f8b6c5d-x2x4z 1/1 Running",
            "image: ghcr.io/immich-app/immich-server:v2.1.0@sha256:9f2c71b8e04d6a359f2c71b8e04d6a359f2c71b8e04d6a359f2c71b8e04d6a35",
            "\"uid\": \"7f9c24e8-3b1d-4c56-9f0a-2d71b8e04d6a\"",
            "main@sha1:9f2c71b8e04d6a359f2c71b8e04d6a359f2c71b8",
            "automountServiceAccountToken: false",
            "\"token\": {\"bytes\": 184}",
            "/usr/src/app/server/dist/main.js 2026-11-25T12:00:00.123Z",
            "http://immich-origin-proxy.immich-edge.svc.cluster.local:8080 10.42.0.7 127.0.0.1 ::1",
            "MountVolume.SetUp failed for volume \"library\" : hostPath type check failed",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
