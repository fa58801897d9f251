//! The strict check of one signed token: compact JWS text in, [`Verified`] out, or the one rule that it broke.
//!
//! Two steps, in types: [`Rules::read`] checks all that needs no key and yields an [`Unverified`]; only [`Unverified::verify`] with the
//! key that the token names makes a [`Verified`]. The algorithm is configuration, never the token's choice.
//! RFC 7515 (JWS), RFC 7519 section 4 (claims), RFC 8725 (best practice), and Cloudflare's "Application token" page for the claims.

pub mod cache;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, de};

use crate::jwks::{Key, KeyId};

/// The longest token that is looked at, in bytes. Cloudflare's edge carries at most 16 KB of one header; Access tokens are below 2 KB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far clocks may be apart, in seconds, for `exp`, `nbf` and `iat`.
pub const LEEWAY_SECONDS: u64 = 10;

/// Who is behind a verified request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A person who signed in at the identity provider.
    Person {
        /// The stable id (`sub`).
        sub: String,
        /// The address (`email`).
        email: String,
    },
    /// A service token.
    Service {
        /// Its client id (`common_name`).
        common_name: String,
    },
}

impl Identity {
    /// What the log calls this identity: never an address.
    pub fn log_name(&self) -> &str {
        match self {
            Self::Person { sub, .. } => sub,
            Self::Service { common_name } => common_name,
        }
    }
}

/// Proof that a token was good: who, until when, and by which key.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who sent the request.
    pub identity: Arc<Identity>,
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    /// The key that signed it; the proof dies when that key leaves the key set.
    pub key: KeyId,
}

/// The rule that a token broke. The label goes to the metric, the text to the log, and neither to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// No assertion header.
    #[error("no assertion header")]
    Missing,
    /// More than one assertion header line.
    #[error("more than one assertion header line")]
    Repeated,
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("the assertion is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three base64url parts of JSON, or a member has the wrong type or appears twice.
    #[error("malformed assertion: {0}")]
    Malformed(&'static str),
    /// `alg` is not the configured one.
    #[error("the assertion names an algorithm that is not the configured one")]
    Algorithm,
    /// `typ` is neither absent nor JWT.
    #[error("the assertion's typ is not JWT")]
    Type,
    /// `crit` is present: nothing that it could name is understood here (RFC 7515, 4.1.11).
    #[error("the assertion has critical extensions")]
    Critical,
    /// `iss` is absent or another.
    #[error("the assertion's issuer is absent or another")]
    Issuer,
    /// `aud` is absent or holds none of ours.
    #[error("the assertion's audience is absent or another application's")]
    Audience,
    /// `exp` is absent.
    #[error("the assertion has no exp")]
    NoExpiry,
    /// `exp` is past.
    #[error("the assertion is expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the assertion is not valid yet")]
    NotYet,
    /// Cloudflare's `type` is not `app`: a session token, say.
    #[error("the assertion is not an application token")]
    NotApplication,
    /// Neither a person nor a service token.
    #[error("the assertion names neither a person nor a service token")]
    NoIdentity,
    /// `kid` is not in the key set, also after a refetch where one was due.
    #[error("the assertion's key is not in the key set")]
    UnknownKey,
    /// The signature does not fit the key that `kid` names.
    #[error("the assertion's signature is wrong")]
    Signature,
}

impl AssertionError {
    /// Every label.
    pub const LABELS: [&'static str; 16] = [
        "missing",
        "repeated",
        "too-long",
        "malformed",
        "algorithm",
        "type",
        "critical",
        "issuer",
        "audience",
        "no-expiry",
        "expired",
        "not-yet",
        "not-application",
        "no-identity",
        "unknown-key",
        "signature",
    ];

    /// The value of the metric label `cause`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::TooLong => "too-long",
            Self::Malformed(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Critical => "critical",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoExpiry => "no-expiry",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::NotApplication => "not-application",
            Self::NoIdentity => "no-identity",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
        }
    }
}

/// What a token must say, from configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `iss`, compared byte for byte.
    pub issuer: String,
    /// `aud` must hold one of these.
    pub audiences: Vec<String>,
}

/// A token that says the right things, and has proved none of them.
#[derive(Debug)]
pub struct Unverified<'t> {
    kid: String,
    signing_input: &'t str,
    signature: &'t str,
    identity: Identity,
    expires: u64,
}

impl Rules {
    /// Checks everything that needs no key, at `now` (seconds since 1970).
    pub fn read<'t>(&self, token: &'t str, now: u64) -> Result<Unverified<'t>, AssertionError> {
        use AssertionError as E;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(E::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(E::Malformed("not three parts"))?;
        let (header, claims) = signing_input.split_once('.').ok_or(E::Malformed("not three parts"))?;
        if signature.is_empty() || claims.contains('.') {
            return Err(E::Malformed("not three parts"));
        }

        let header: Header = json(header, "the header is not a JSON object of the right types")?;
        if header.alg != "RS256" {
            return Err(E::Algorithm);
        }
        if header.crit {
            return Err(E::Critical);
        }
        if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(E::Type);
        }
        let kid = header.kid.filter(|kid| !kid.is_empty()).ok_or(E::Malformed("no kid"))?;

        let claims: Claims = json(claims, "the claims are not a JSON object of the right types")?;
        if claims.iss.as_deref() != Some(&self.issuer) {
            return Err(E::Issuer);
        }
        if !claims.aud.is_some_and(|aud| aud.0.iter().any(|aud| self.audiences.contains(aud))) {
            return Err(E::Audience);
        }
        if claims.kind.is_some_and(|kind| kind != "app") {
            return Err(E::NotApplication);
        }
        let expires = claims.exp.ok_or(E::NoExpiry)?.0;
        if expires.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(E::Expired);
        }
        let latest_start = now.saturating_add(LEEWAY_SECONDS);
        if [claims.nbf, claims.iat].into_iter().flatten().any(|date| date.0 > latest_start) {
            return Err(E::NotYet);
        }
        let identity = identity(claims.sub, claims.email, claims.common_name).ok_or(E::NoIdentity)?;
        Ok(Unverified { kid, signing_input, signature, identity, expires })
    }
}

impl Unverified<'_> {
    /// The key that the token says it was signed with.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Checks the signature with the key of that id.
    pub fn verify(self, key: &Key) -> Result<Verified, AssertionError> {
        let good = jsonwebtoken::crypto::verify(self.signature, self.signing_input.as_bytes(), key.decoding(), Algorithm::RS256);
        if key.kid() == self.kid && matches!(good, Ok(true)) {
            Ok(Verified { identity: Arc::new(self.identity), expires: self.expires, key: key.id() })
        } else {
            Err(AssertionError::Signature)
        }
    }
}

/// Cloudflare's two kinds of application token: a person has `email` and `sub`, a service token `common_name` and an empty `sub`.
fn identity(sub: Option<String>, email: Option<String>, common_name: Option<String>) -> Option<Identity> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (filled(sub), filled(email), filled(common_name)) {
        (Some(sub), Some(email), _) => Some(Identity::Person { sub, email }),
        (None, None, Some(common_name)) => Some(Identity::Service { common_name }),
        _ => None,
    }
}

fn json<T: de::DeserializeOwned>(part: &str, problem: &'static str) -> Result<T, AssertionError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| AssertionError::Malformed("not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| AssertionError::Malformed(problem))
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "not_null")]
    exp: Option<NumericDate>,
    #[serde(default, deserialize_with = "not_null")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "not_null")]
    iat: Option<NumericDate>,
    #[serde(rename = "type")]
    kind: Option<String>,
    sub: Option<String>,
    email: Option<String>,
    common_name: Option<String>,
}

/// A member that is there, whatever it holds: `null` counts too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A member that may be absent but not `null`: a claim of the wrong type is an error, never an absent claim (CVE-2026-25537).
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `aud`: one string or an array of strings (RFC 7519, 4.1.3).
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(aud) => Self(vec![aud]),
            Form::Many(auds) => Self(auds),
        })
    }
}

/// Seconds since 1970 as a JSON number, fractions cut off (RFC 7519, section 2). Negative dates count as 1970.
#[derive(Clone, Copy)]
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is the meaning wanted")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(|seconds| Self(seconds as u64))
    }
}

#[cfg(test)]
mod tests;
