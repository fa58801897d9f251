//! An issuer enters, tokens that nobody may accept leave. Each is wrong in one way and otherwise as good as a token can be: signed
//! with a published key where the fault is not the signature itself.
//!
//! After RFC 7515 (JWS), RFC 7519 (JWT) and RFC 8725 (JWT best practices).

use std::sync::LazyLock;

use crate::signer::{KeyPair, sign_hs256, unsigned};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::SharedSigner;
use super::{Issuer, unix_now};

/// Forgeries that an HTTP parser turns into the good token, because white space around a field value is not part of it
/// (RFC 9110, 5.5). They are wrong only when the verifier is called directly.
pub const CURED_BY_THE_WIRE: &[&str] = &["leading space"];

/// A key that no issuer publishes.
static FOREIGN: LazyLock<KeyPair> = LazyLock::new(KeyPair::generate);

type Forgeries = Vec<(&'static str, String)>;

const EMAIL: &str = "ada@example.com";

/// base64url alphabet (RFC 4648, 5), in order of value.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn all(issuer: &Issuer, scribe: &SharedSigner) -> Forgeries {
    let mut forgeries = Vec::new();
    shapes(issuer, &mut forgeries);
    headers(issuer, &mut forgeries);
    claims(issuer, &mut forgeries);
    duplicates(issuer, scribe, &mut forgeries);
    forgeries
}

/// What is wrong before anything is decoded, or only in how it is encoded.
fn shapes(issuer: &Issuer, out: &mut Forgeries) {
    let good = url_safe_token(issuer);
    let [header, payload, signature] = parts(&good);
    let raw_signature = URL_SAFE_NO_PAD.decode(signature).expect("a minted token decodes");
    let raw_payload = URL_SAFE_NO_PAD.decode(payload).expect("a minted token decodes");

    out.push(("garbage", "open sesame".to_owned()));
    out.push(("empty", String::new()));
    out.push(("two parts", format!("{header}.{payload}")));
    out.push(("four parts", format!("{good}.{signature}")));
    out.push(("five parts", format!("{header}.{payload}.{signature}.{payload}.{signature}")));
    out.push(("leading space", format!(" {good}")));
    out.push(("padding appended", format!("{good}==")));
    out.push(("standard base64 alphabet", good.replace('-', "+").replace('_', "/")));
    out.push(("signature empty", format!("{header}.{payload}.")));
    out.push((
        "signature cut by one byte",
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(&raw_signature[..raw_signature.len() - 1])),
    ));
    out.push((
        "one bit of the signature flipped",
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(flipped(&raw_signature))),
    ));
    out.push((
        "one bit of the payload flipped",
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(flipped(&raw_payload))),
    ));
    out.push(("unused bits of the last character set", format!("{header}.{payload}.{}", with_slack_bits(signature))));

    let mut fat = issuer.person(EMAIL);
    fat["custom"] = "x".repeat(16 * 1024).into();
    out.push(("larger than 16 KiB", issuer.mint(&fat)));
}

/// What is wrong in the header, or in how header and key go together.
fn headers(issuer: &Issuer, out: &mut Forgeries) {
    let signer = issuer.signer();
    let claims = issuer.person(EMAIL);
    let kid = signer.kid();
    let foreign = &*FOREIGN;
    let mut signs = |name, header: Value| out.push((name, signer.sign(&header, &claims)));

    signs("RS512 label on an RS256 signature", json!({"alg": "RS512", "kid": kid, "typ": "JWT"}));
    signs("alg missing", json!({"kid": kid, "typ": "JWT"}));
    signs("crit header", json!({"alg": "RS256", "kid": kid, "typ": "JWT", "crit": ["exp"]}));
    signs("typ at+jwt", json!({"alg": "RS256", "kid": kid, "typ": "at+jwt"}));
    signs("kid missing", json!({"alg": "RS256", "typ": "JWT"}));
    signs("kid unknown", json!({"alg": "RS256", "kid": "0".repeat(64), "typ": "JWT"}));
    signs("kid a number", json!({"alg": "RS256", "kid": 1, "typ": "JWT"}));

    let own = json!({"alg": "RS256", "kid": kid, "typ": "JWT"});
    out.push(("wrong key under the right kid", foreign.sign(&own, &claims)));
    let with_jwk = json!({"alg": "RS256", "kid": kid, "typ": "JWT", "jwk": foreign.jwk()});
    out.push(("embedded jwk of a foreign key", foreign.sign(&with_jwk, &claims)));
    let with_jku = json!({"alg": "RS256", "kid": foreign.kid(), "typ": "JWT", "jku": "http://127.0.0.1:9/keys"});
    out.push(("jku of a foreign key", foreign.sign(&with_jku, &claims)));
    out.push(("alg none", unsigned(&json!({"alg": "none", "kid": kid, "typ": "JWT"}), &claims)));
    let symmetric = json!({"alg": "HS256", "kid": kid, "typ": "JWT"});
    out.push(("HS256 with the public PEM as secret", sign_hs256(signer.public_pem().as_bytes(), &symmetric, &claims)));
}

/// What is wrong in well-signed claims.
fn claims(issuer: &Issuer, out: &mut Forgeries) {
    let now = unix_now();
    let without = |name: &str| {
        let mut claims = issuer.person(EMAIL);
        claims.as_object_mut().expect("claims are an object").remove(name);
        issuer.mint(&claims)
    };
    let with = |changes: Value| {
        let mut claims = issuer.person(EMAIL);
        for (name, value) in changes.as_object().expect("changes are an object") {
            claims[name] = value.clone();
        }
        issuer.mint(&claims)
    };
    let slash = format!("{}/", issuer.issuer());

    out.extend([
        ("expired one hour ago", with(json!({"exp": now - 3600, "iat": now - 7200, "nbf": now - 7200}))),
        ("not valid for another hour", with(json!({"nbf": now + 3600, "exp": now + 7200}))),
        ("iat one hour in the future", with(json!({"iat": now + 3600, "exp": now + 7200}))),
        ("exp missing", without("exp")),
        ("exp a string", with(json!({"exp": (now + 3600).to_string()}))),
        ("exp null", with(json!({"exp": null}))),
        ("nbf a string", with(json!({"nbf": now.to_string()}))),
        ("aud of another application", with(json!({"aud": ["f".repeat(64)]}))),
        ("aud missing", without("aud")),
        ("aud an empty array", with(json!({"aud": []}))),
        ("aud a number", with(json!({"aud": 4714}))),
        ("iss of another team", with(json!({"iss": "https://stranger.cloudflareaccess.com"}))),
        ("iss with a trailing slash", with(json!({"iss": slash}))),
        ("iss an array", with(json!({"iss": [issuer.issuer()]}))),
        ("iss missing", without("iss")),
        ("type org", with(json!({"type": "org"}))),
        ("neither email nor common_name", without("email")),
    ]);
}

/// What one parser reads so and another otherwise (RFC 8259, 4: names should be unique).
fn duplicates(issuer: &Issuer, scribe: &SharedSigner, out: &mut Forgeries) {
    let header = json!({"alg": "RS256", "kid": scribe.kid(), "typ": "JWT"}).to_string();
    let claims = issuer.person(EMAIL).to_string();
    let ahead_of = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);

    let expired = format!("\"exp\":{}", unix_now() - 3600);
    out.push(("exp twice", scribe.sign(&header, &ahead_of(&claims, &expired))));
    out.push(("alg twice", scribe.sign(&ahead_of(&header, "\"alg\":\"none\""), &claims)));
}

/// A good token whose signature has a character that standard base64 writes otherwise.
fn url_safe_token(issuer: &Issuer) -> String {
    let mut claims = issuer.person(EMAIL);
    for attempt in 0_u32.. {
        claims["identity_nonce"] = attempt.into();
        let token = issuer.mint(&claims);
        if parts(&token)[2].contains(['-', '_']) {
            return token;
        }
    }
    unreachable!("of 342 characters one is '-' or '_', or in the next token")
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().expect("a minted token has three parts")
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// Another spelling of the same bytes: 256 bytes leave four bits of the last character unused (RFC 4648, 3.5).
fn with_slack_bits(signature: &str) -> String {
    let (rest, last) = signature.split_at(signature.len() - 1);
    let value = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).expect("base64url was decoded before");
    format!("{rest}{}", char::from(ALPHABET[value | 1]))
}
