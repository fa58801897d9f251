//! Finds secrets by their form: prefix, characters and length, or by the key on the same line.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::kind::Kind;

/// The begin and the end of the first line of a private key (RFC 7468).
#[rustfmt::skip] // on one line, this constant would be a finding itself
const PEM: (&str, &str) = (
    "-----BEGIN",
    "PRIVATE KEY-----",
);
/// The begin of a private key of age, in Bech32, and its length.
const AGE: (&str, usize) = ("AGE-SECRET-KEY-", 74);
const HEX_256_BITS: usize = 64;
/// The length of an older token for the Cloudflare API, which has no prefix.
const API_TOKEN: usize = 40;
/// Prefix and length of the secret of an Access service token: `cfast_`, 40 letters and digits, 8 characters of checksum.
const ACCESS_SECRET: (&str, usize) = ("cfast_", 48);
const GITHUB: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];
const GITHUB_LENGTH: usize = 36;
const AWS: [&str; 2] = ["AKIA", "ASIA"];
const AWS_LENGTH: usize = 16;
/// The least number of different characters in a random text. A text with fewer was typed by hand, or is a repetition.
const RANDOM_DISTINCT: usize = 10;

/// The length of the shortest secret.
const SHORTEST: usize = 20;

/// Returns the secrets on a line. `words` are the words of this line.
pub(super) fn find(line: &str, words: &[&str]) -> Vec<(Kind, String)> {
    let mut hits = Vec::new();
    if line.contains(PEM.0) && line.contains(PEM.1) {
        hits.push((Kind::PrivateKey, PEM.0.to_owned()));
    }
    let mut long = words.iter().filter(|word| word.len() >= SHORTEST).peekable();
    if long.peek().is_none() {
        return hits;
    }
    let lower = line.to_ascii_lowercase();
    hits.extend(long.filter_map(|word| Some((kind(word, &lower)?, (*word).to_owned()))));
    if (lower.contains("tunnelsecret") || lower.contains("tunnel_secret"))
        && runs(line).any(|word| word.len() >= 32 && is_random(word))
    {
        hits.push((Kind::TunnelCredentials, "TunnelSecret".to_owned()));
    }
    hits
}

/// Returns the sequences of characters that can be base64.
fn runs(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))).filter(|word| !word.is_empty())
}

fn kind(word: &str, lower: &str) -> Option<Kind> {
    let bare = word.trim_matches(['.', ':', '=', '/']);
    if bare.starts_with(AGE.0) && bare.len() >= AGE.1 {
        return Some(Kind::AgeKey);
    }
    if is_jwt(bare) {
        return Some(Kind::Jwt);
    }
    if bare.starts_with("eyJ") && is_tunnel_token(bare) {
        return Some(Kind::TunnelToken);
    }
    // The value after a key: `name=value` or `name:value`.
    let value = bare.rsplit([':', '=']).next().unwrap_or(bare);
    let after = |prefix: &str, length: usize| {
        value
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= length && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    if after(ACCESS_SECRET.0, ACCESS_SECRET.1) && is_random(value) {
        return Some(Kind::AccessClientSecret);
    }
    if GITHUB.iter().any(|prefix| after(prefix, GITHUB_LENGTH)) && is_random(value) {
        return Some(Kind::GithubToken);
    }
    let uppercase = |prefix: &str| {
        value.len() == AWS_LENGTH + prefix.len()
            && value.starts_with(prefix)
            && value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    if AWS.iter().any(|prefix| uppercase(prefix)) {
        return Some(Kind::AwsKey);
    }
    let is_hex = value.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && value.len() == HEX_256_BITS && is_random(value) && !bare.contains("sha256:") {
        if lower.contains("client-secret") || lower.contains("client_secret") {
            return Some(Kind::AccessClientSecret);
        }
        if speaks_of_aud(lower) {
            return Some(Kind::AccessAud);
        }
    }
    if is_hex && value.len() == 40 && lower.contains("private_key_id") && is_random(value) {
        return Some(Kind::GoogleKey);
    }
    let names_api = ["cf_api", "cloudflare_api", "cloudflare-api", "cf-api"].iter().any(|name| lower.contains(name));
    let token =
        value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') && value.bytes().any(|b| b.is_ascii_digit());
    (names_api && value.len() == API_TOKEN && token && is_random(value)).then_some(Kind::CloudflareApiToken)
}

/// Whether a word is a JWT: three parts, of which the first two are JSON objects in base64.
fn is_jwt(word: &str) -> bool {
    let parts: Vec<_> = word.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return false };
    header.starts_with("eyJ") && claims.starts_with("eyJ") && [header, claims, signature].iter().all(|part| part.len() >= 10)
}

/// Whether a word is a tunnel token: base64 of JSON with the keys `a` (account), `t` (tunnel) and `s` (secret).
fn is_tunnel_token(word: &str) -> bool {
    let word = word.trim_end_matches('=');
    let decoded = STANDARD_NO_PAD.decode(word).or_else(|_| URL_SAFE_NO_PAD.decode(word));
    let json = decoded.ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    json.is_some_and(|json| ["a", "t", "s"].iter().all(|key| json.get(key).is_some_and(Value::is_string)))
}

/// Whether a line contains `aud`, as in `AUD`, `audTag` or `ACCESS_AUD`, but not inside another word.
fn speaks_of_aud(lower: &str) -> bool {
    lower.match_indices("aud").any(|(start, _)| !lower[..start].ends_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a text looks random. A repetition or a sequence of digits does not.
fn is_random(text: &str) -> bool {
    let mut seen = [false; 256];
    text.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    distinct >= RANDOM_DISTINCT && !text.to_ascii_lowercase().contains("0123456789abcdef")
}
