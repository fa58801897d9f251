//! Verifies one signed token: the input is a compact JWS, the result is a [`Verified`] or the rule that the token broke.
//!
//! There are two steps, each with its own type: [`Rules::read`] checks everything that needs no key and returns an [`Unverified`];
//! [`Unverified::verify`] checks the signature with the key that the token names and returns a [`Verified`]. The algorithms come from
//! the configuration, never from the token. RFC 7515 (JWS), RFC 7519 section 4 (claims), RFC 8725 (best practice). The differences
//! between signers are data, in [`Rules`].

pub mod cache;
mod claims;
mod error;
mod limits;

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
pub use limits::{LEEWAY_SECONDS, MAX_TOKEN_BYTES};

/// base64url with or without `=` at the end: AWS load balancers write the padding, and sign the text with it.
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest claim in [`unverified_origin`], in characters.
const MAX_ORIGIN_CHARS: usize = 120;

/// A verified token: its identity, its expiry and its key.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The identity of the sender.
    pub identity: Arc<Identity>,
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    /// The key that signed it. The result is valid only as long as this key is one of the front door's keys.
    pub key: KeyId,
}

/// The rules that a token must satisfy, from the configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The signer's algorithms. A token with another algorithm is refused (RFC 8725, 3.1).
    pub algorithms: Vec<Algorithm>,
    /// The accepted values of `iss`, compared byte for byte. None accepts any issuer, for a signer that passes on the identity provider's.
    pub issuers: Option<Vec<String>>,
    /// The required audience.
    pub audience: Audience,
    /// Whether the token must have a `kid`. Not needed if there is only one shared secret.
    pub names_key: bool,
    /// The claims that hold the identity.
    pub naming: Naming,
    /// The issuers whose `email_verified: false` is ignored.
    pub unverified_email: Vec<String>,
    /// The longest time between `iat` and `exp`, in seconds. If it is set, `iat` is required.
    pub max_life: Option<u64>,
}

/// The audience that a token must have.
#[derive(Clone, Debug)]
pub enum Audience {
    /// The claim `aud` must contain one of these.
    Claim(Vec<String>),
    /// There is no `aud`. The header holds the ARN of the load balancer (`signer`), its client id at the identity provider (`client`),
    /// `exp` and `iss`; the parts are padded (AWS, "Authenticate users using an Application Load Balancer").
    LoadBalancer {
        /// The ARN of the load balancer.
        arn: String,
        /// The client id at the identity provider.
        client: String,
    },
}

/// The claims that hold the identity of the sender.
#[derive(Clone, Debug)]
pub enum Naming {
    /// The claims of Cloudflare Access: `type` is `app` or absent; a person has `email` and `sub`, a service token has `common_name` and
    /// an empty `sub` ("Application token", Cloudflare One docs).
    CloudflareAccess,
    /// `sub`, and the email address in a configured claim.
    Subject {
        /// The claim that holds the email address; `email` for most signers.
        email: String,
    },
}

/// A token whose header and claims satisfy the rules, and whose signature is not verified yet.
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
        let (issuer, audience_matches, expires) = match &self.audience {
            Audience::Claim(accepted) => {
                (&claims.iss, claims.aud.is_some_and(|aud| aud.0.iter().any(|aud| accepted.contains(aud))), claims.exp)
            }
            Audience::LoadBalancer { arn, client } => (
                &header.iss,
                header.signer.as_ref() == Some(arn) && header.client.as_ref() == Some(client),
                // The earlier of the two expiries counts: the header's and the identity provider's.
                header.exp.map(|exp| claims.exp.map_or(exp, |claimed| exp.min(claimed))),
            ),
        };
        if self.issuers.as_ref().is_some_and(|accepted| !issuer.as_ref().is_some_and(|issuer| accepted.contains(issuer))) {
            return Err(E::Issuer);
        }
        if !audience_matches {
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
                    claims::member(&bytes, email).map_err(|_| E::Malformed("the claim of the email address is not one string"))?
                };
                claims.sub.filter(|sub| !sub.is_empty()).map(|sub| Identity::of_account(sub, address, None))
            }
        };
        let mut identity = identity.ok_or(E::NoIdentity)?;
        let is_exempt = issuer.as_ref().is_some_and(|issuer| self.unverified_email.contains(issuer));
        if let Identity::Person { email_is_verified, .. } = &mut identity {
            *email_is_verified = is_exempt || claims.email_verified != Some(claims::Flag(false));
        }
        // Padding inside the signing input is signed; padding at the end of the signature has no meaning.
        let signature = if self.is_padded() { signature.trim_end_matches('=') } else { signature };
        Ok(Unverified { kid, algorithm, signing_input, signature, identity, expires })
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
    /// The `kid` of the token; empty if there is only one shared secret.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Verifies the signature with `key`, which must have the token's `kid`.
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

/// The `iss` and the `aud` of a token that was refused because of one of them, for the log: a mistake of the set-up is visible then. They are
/// not verified. Each is cut to 120 printable characters.
pub fn unverified_origin(token: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|claims| PADDED.decode(claims).ok()).unwrap_or_default();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap_or_default();
    let text = |name: &str| {
        let value = claims.get(name).map_or_else(|| "nothing".to_owned(), ToString::to_string);
        value.chars().filter(|c| !c.is_control()).take(MAX_ORIGIN_CHARS).collect::<String>()
    };
    format!("it says iss {}, aud {}", text("iss"), text("aud"))
}

fn person_or_service(sub: Option<String>, email: Option<String>, common_name: Option<String>) -> Option<Identity> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (filled(sub), filled(email), filled(common_name)) {
        (Some(sub), Some(email), _) => Some(Identity::Person { sub, email, email_is_verified: true }),
        (None, None, Some(common_name)) => Some(Identity::Service { common_name }),
        _ => None,
    }
}

fn json<T: de::DeserializeOwned>(bytes: &[u8], problem: &'static str) -> Result<T, AssertionError> {
    serde_json::from_slice(bytes).map_err(|_| AssertionError::Malformed(problem))
}

#[cfg(test)]
mod tests;
