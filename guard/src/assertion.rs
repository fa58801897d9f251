//! The strict check of one signed token: compact JWS text in, [`Verified`] out, or the one rule that it broke.
//!
//! Two steps, in types: [`Rules::read`] checks all that needs no key and yields an [`Unverified`]; only [`Unverified::verify`] with the
//! key that the token names makes a [`Verified`]. The algorithm is configuration, never the token's choice.
//! RFC 7515 (JWS), RFC 7519 section 4 (claims), RFC 8725 (best practice); what differs between signers is data, in [`Rules`].

pub mod cache;
mod claims;
mod error;

use std::sync::Arc;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{Engine as _, alphabet};
use jsonwebtoken::Algorithm;
use serde::de;

use crate::identity::Identity;
use crate::key::{self, Key, KeyId};
use claims::{Claims, Header};
pub use error::AssertionError;

/// The longest token that is looked at, in bytes. Cloudflare's edge carries at most 16 KB of one header; Access tokens are below 2 KB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far clocks may be apart, in seconds, for `exp`, `nbf` and `iat`.
pub const LEEWAY_SECONDS: u64 = 10;

/// base64url with or without `=` at the end: load balancers of AWS write it, and sign the text with it.
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Proof that a token was good: who, until when, and by which key.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who sent the request.
    pub identity: Arc<Identity>,
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    /// The key that signed it; the proof dies when that key is no longer one of the front door's.
    pub key: KeyId,
}

/// What a token must say, from configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The signer's algorithms: a token that names another is refused (RFC 8725, 3.1).
    pub algorithms: Vec<Algorithm>,
    /// `iss` must be one of these, byte for byte. None: this signer passes on whatever issuer the identity provider has.
    pub issuers: Option<Vec<String>>,
    /// Whom it must be for.
    pub audience: Audience,
    /// Whether it must name its key: not where there is one secret.
    pub names_key: bool,
    /// Who it says that the sender is.
    pub naming: Naming,
    /// The longest time between `iat` and `exp`, in seconds; then `iat` must be there.
    pub max_life: Option<u64>,
}

/// Whom a token must be for.
#[derive(Clone, Debug)]
pub enum Audience {
    /// The claim `aud` holds one of these.
    Claim(Vec<String>),
    /// No `aud`: the header names the load balancer (`signer`) and its client at the identity provider (`client`), and has `exp` and
    /// `iss`; the parts are padded (AWS, "Authenticate users using an Application Load Balancer").
    LoadBalancer {
        /// Its ARN.
        arn: String,
        /// The client id.
        client: String,
    },
}

/// Which claims say who the sender is.
#[derive(Clone, Debug)]
pub enum Naming {
    /// Cloudflare's: `type` is `app` where it is there; a person has `email` and `sub`, a service token `common_name` and an empty `sub`
    /// ("Application token", Cloudflare One docs).
    CloudflareAccess,
    /// `sub`, and the address under this claim.
    Subject {
        /// The claim, `email` for most.
        email: String,
    },
}

/// A token that says the right things, and has proved none of them.
#[derive(Debug)]
pub struct Unverified<'t> {
    kid: String,
    algorithm: Algorithm,
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

        let header: Header = json(&self.decoded(header)?, "the header is not a JSON object of the right types")?;
        let algorithm = *self.algorithms.iter().find(|pinned| key::name(**pinned) == header.alg).ok_or(E::Algorithm)?;
        if header.crit {
            return Err(E::Critical);
        }
        if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(E::Type);
        }
        let kid = match header.kid.filter(|kid| !kid.is_empty()) {
            _ if !self.names_key => String::new(),
            Some(kid) => kid,
            None => return Err(E::Malformed("no kid")),
        };

        let bytes = self.decoded(claims)?;
        let claims: Claims = json(&bytes, "the claims are not a JSON object of the right types")?;
        let (issuer, for_us, expires) = match &self.audience {
            Audience::Claim(ours) => {
                (&claims.iss, claims.aud.is_some_and(|aud| aud.0.iter().any(|aud| ours.contains(aud))), claims.exp)
            }
            Audience::LoadBalancer { arn, client } => (
                &header.iss,
                header.signer.as_ref() == Some(arn) && header.client.as_ref() == Some(client),
                // Where the identity provider's claims end sooner, so does the token.
                header.exp.map(|exp| claims.exp.map_or(exp, |sooner| exp.min(sooner))),
            ),
        };
        if self.issuers.as_ref().is_some_and(|ours| !issuer.as_ref().is_some_and(|issuer| ours.contains(issuer))) {
            return Err(E::Issuer);
        }
        if !for_us {
            return Err(E::Audience);
        }
        let expires = expires.ok_or(E::NoExpiry)?.0;
        if expires.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(E::Expired);
        }
        let latest_start = now.saturating_add(LEEWAY_SECONDS);
        if [claims.nbf, claims.iat].into_iter().flatten().any(|date| date.0 > latest_start) {
            return Err(E::NotYet);
        }
        if self.max_life.is_some_and(|most| claims.iat.is_none_or(|iat| expires.saturating_sub(iat.0) > most)) {
            return Err(E::Lifetime);
        }
        let identity = match &self.naming {
            Naming::CloudflareAccess => {
                if claims.kind.is_some_and(|kind| kind != "app") {
                    return Err(E::NotApplication);
                }
                person_or_service(claims.sub, claims.email, claims.common_name)
            }
            Naming::Subject { email } => {
                let address = if email == "email" {
                    claims.email
                } else {
                    claims::member(&bytes, email).map_err(|_| E::Malformed("the claim of the address is not one string"))?
                };
                claims.sub.filter(|sub| !sub.is_empty()).map(|sub| Identity::of_account(sub, address, None))
            }
        };
        // Padding is signed where it stands inside the input; at the end of the signature it says nothing.
        let signature = if self.is_padded() { signature.trim_end_matches('=') } else { signature };
        Ok(Unverified { kid, algorithm, signing_input, signature, identity: identity.ok_or(E::NoIdentity)?, expires })
    }

    fn decoded(&self, part: &str) -> Result<Vec<u8>, AssertionError> {
        let decoded = if self.is_padded() { PADDED.decode(part) } else { URL_SAFE_NO_PAD.decode(part) };
        decoded.map_err(|_| AssertionError::Malformed("not base64url"))
    }

    fn is_padded(&self) -> bool {
        matches!(self.audience, Audience::LoadBalancer { .. })
    }
}

impl Unverified<'_> {
    /// The key that the token says it was signed with; empty where there is one secret.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Checks the signature with the key of that id.
    pub fn verify(self, key: &Key) -> Result<Verified, AssertionError> {
        let fits = key.kid() == self.kid && key.permits(self.algorithm);
        let good = || jsonwebtoken::crypto::verify(self.signature, self.signing_input.as_bytes(), key.decoding(), self.algorithm);
        if fits && matches!(good(), Ok(true)) {
            Ok(Verified { identity: Arc::new(self.identity), expires: self.expires, key: key.id() })
        } else {
            Err(AssertionError::Signature)
        }
    }
}

fn person_or_service(sub: Option<String>, email: Option<String>, common_name: Option<String>) -> Option<Identity> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (filled(sub), filled(email), filled(common_name)) {
        (Some(sub), Some(email), _) => Some(Identity::Person { sub, email }),
        (None, None, Some(common_name)) => Some(Identity::Service { common_name }),
        _ => None,
    }
}

fn json<T: de::DeserializeOwned>(bytes: &[u8], problem: &'static str) -> Result<T, AssertionError> {
    serde_json::from_slice(bytes).map_err(|_| AssertionError::Malformed(problem))
}

#[cfg(test)]
mod tests;
