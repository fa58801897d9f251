//! Tokens that Google gives, and the check of those that it is shown.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{ACCOUNT, CLUSTER, PROVIDER, SUBJECT, Shared, lock};
use crate::issuer::unix_now;
use crate::noise::hex;
use guard::idtoken::source::CLOUD_PLATFORM;
use guard::idtoken::source::key_file::TOKEN_AUDIENCE;
use guard::jwks::KeySet;
use guard::random;

/// The claims of a token whose RS256 signature fits a key of that set, by its `kid`. Nothing else is looked at.
pub(crate) fn verified(token: &str, keys: &[Value]) -> Option<Value> {
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let header = json(header)?;
    let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &[Algorithm::RS256]).ok()?;
    let key = set.find(header["kid"].as_str()?)?;
    let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), key.decoding(), Algorithm::RS256).ok()?;
    if good && header["alg"] == "RS256" { json(claims) } else { None }
}

/// What an assertion of the account's key asks for.
pub(super) enum Wish {
    IdToken(String),
    AccessToken,
}

impl Shared {
    /// A token of the account for `audience`; its end comes with it.
    pub(super) fn id_token(&self, audience: &str) -> (String, u64) {
        let now = unix_now();
        let expires = now + self.lifetime.load(Ordering::SeqCst);
        let claims = json!({
            "iss": "https://accounts.google.com", "aud": audience, "azp": "100000000000000000001", "sub": "100000000000000000001",
            "email": ACCOUNT, "email_verified": true, "iat": now, "exp": expires,
            // No two tokens are alike, so that a test sees whether it met a new one.
            "jti": hex(&random::bytes::<8>().unwrap_or_default()),
        });
        (self.authority.mint(&claims), expires)
    }

    pub(super) fn access_token(&self) -> String {
        let token = format!("ya29.{}", hex(&random::bytes::<16>().unwrap_or_default()));
        lock(&self.access).push(token.clone());
        token
    }

    pub(super) fn knows_access(&self, token: &str) -> bool {
        lock(&self.access).iter().any(|known| known == token)
    }

    /// RFC 7523, 3, with Google's limits: who, for whom, by which key, and for an hour at most.
    pub(super) fn read_assertion(&self, assertion: &str) -> Result<Wish, &'static str> {
        let keys: Vec<Value> = lock(&self.keys).values().cloned().collect();
        let claims = verified(assertion, &keys).ok_or("Invalid JWT Signature.")?;
        let (now, iat, exp) = (unix_now(), claims["iat"].as_u64(), claims["exp"].as_u64());
        let (Some(iat), Some(exp)) = (iat, exp) else { return Err("Invalid JWT: iat and exp are wanted.") };
        if iat > now + 60 || exp <= now || exp.saturating_sub(iat) > 3600 {
            return Err("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.");
        }
        if claims["iss"] != ACCOUNT || claims["aud"] != TOKEN_AUDIENCE {
            return Err("Invalid JWT: iss or aud.");
        }
        match (claims["target_audience"].as_str(), claims["scope"].as_str()) {
            (Some(audience), None) if !audience.is_empty() => Ok(Wish::IdToken(audience.to_owned())),
            (None, Some(CLOUD_PLATFORM)) => Ok(Wish::AccessToken),
            _ => Err("Invalid JWT: target_audience or scope."),
        }
    }

    /// Whether a token is the cluster's, for the provider, about the one subject that it maps.
    pub(super) fn knows_subject(&self, token: &str) -> bool {
        let keys = [lock(&self.cluster).jwk()];
        verified(token, &keys).is_some_and(|claims| {
            let audience = Value::from(format!("https:{PROVIDER}"));
            claims["iss"] == CLUSTER
                && claims["sub"] == SUBJECT
                && claims["aud"].as_array().is_some_and(|all| all.contains(&audience))
                && claims["exp"].as_u64().is_some_and(|exp| exp > unix_now())
        })
    }
}
