//! What can be wrong with a token of any signer, each fault alone: signed by the right key where the fault is not the signature.

use serde_json::{Value, json};
use testkit::issuer::unix_now;
use testkit::signer::KeyPair;

/// A signer's good token, taken apart.
pub(crate) struct Good<'k> {
    pub(crate) key: &'k KeyPair,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    /// Whether its parts are padded.
    pub(crate) padded: bool,
}

impl Good<'_> {
    /// The token.
    pub(crate) fn token(&self) -> String {
        self.sign(&self.header, &self.claims)
    }

    /// The token with another header and other claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        if self.padded { self.key.sign_padded(header, claims) } else { self.key.sign(header, claims) }
    }

    /// The token with one claim changed; `null` takes it away.
    pub(crate) fn claim(&self, name: &str, value: Value) -> String {
        self.sign(&self.header, &with(&self.claims, name, value))
    }

    /// The token with one member of the header changed; `null` takes it away.
    pub(crate) fn member(&self, name: &str, value: Value) -> String {
        self.sign(&with(&self.header, name, value), &self.claims)
    }

    /// Every fault that a token of any signer can have. `stranger` is a key of the same kind that nobody publishes.
    pub(crate) fn faults(&self, stranger: &KeyPair) -> Vec<(String, String)> {
        let now = unix_now();
        let good = self.token();
        let (input, signature) = good.rsplit_once('.').unwrap();
        let (header, claims) = input.split_once('.').unwrap();
        let foreign = if self.padded {
            stranger.sign_padded(&self.header, &self.claims)
        } else {
            stranger.sign(&self.header, &self.claims)
        };
        // What a verifier falls for that takes the algorithm from the token: the public key as an HMAC secret.
        let public = self.key.jwk().to_string();
        let confused = KeyPair::secret(public.as_bytes()).sign(&with(&self.header, "alg", json!("HS256")), &self.claims);
        let unsigned = with(&self.header, "alg", json!("none"));
        let mut tokens = vec![
            ("nothing", String::new()),
            ("garbage", "open sesame".to_owned()),
            ("two parts", format!("{header}.{claims}")),
            ("four parts", format!("{good}.{signature}")),
            ("no signature", format!("{header}.{claims}.")),
            ("another's signature", foreign),
            (
                "signature of another text",
                format!("{header}.{}.{signature}", &self.claim("sub", json!("eve")).split('.').nth(1).unwrap()),
            ),
            ("alg none", format!("{}.", self.sign(&unsigned, &self.claims).rsplit_once('.').unwrap().0)),
            ("alg none with a signature", self.sign(&unsigned, &self.claims)),
            ("public key as a secret", confused),
            ("another alg", self.member("alg", json!("RS512"))),
            ("alg in lower case", self.member("alg", json!(self.header["alg"].as_str().unwrap().to_lowercase()))),
            ("no alg", self.member("alg", Value::Null)),
            ("critical extension", self.member("crit", json!(["exp"]))),
            ("another typ", self.member("typ", json!("at+jwt"))),
            ("not valid yet", self.claim("nbf", json!(now + 600))),
            ("issued in the future", self.claim("iat", json!(now + 600))),
            ("no sub", self.claim("sub", Value::Null)),
            ("empty sub", self.claim("sub", json!(""))),
            ("sub of another type", self.claim("sub", json!(7))),
            ("too long", self.claim("padding", json!("x".repeat(9_000)))),
            ("one character changed", flipped(&good, signature)),
        ];
        if self.header["kid"].is_string() {
            tokens.push(("no kid", self.member("kid", Value::Null)));
            tokens.push(("kid of nobody", self.member("kid", json!("00000000-0000-0000-0000-000000000000"))));
            tokens.push(("kid that is a path", self.member("kid", json!("../keys"))));
        }
        if !self.padded {
            tokens.push(("padding", format!("{good}==")));
            for (name, claim, value) in [
                ("expired", "exp", json!(now - 60)),
                ("no exp", "exp", Value::Null),
                ("exp as text", "exp", json!((now + 600).to_string())),
                ("another aud", "aud", json!("another")),
                ("no aud", "aud", Value::Null),
                ("aud of another type", "aud", json!({"a": 1})),
                ("another iss", "iss", json!("https://evil.example")),
                ("no iss", "iss", Value::Null),
            ] {
                tokens.push((name, self.claim(claim, value)));
            }
        }
        tokens.into_iter().map(|(name, token)| (name.to_owned(), token)).collect()
    }
}

/// The last character of the payload's neighbour changed: the first of the signature, where every bit counts.
fn flipped(good: &str, signature: &str) -> String {
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{}{other}{}", &good[..good.len() - signature.len()], &signature[1..])
}

/// A JSON object with one member changed; `null` takes it away.
pub(crate) fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    if value.is_null() {
        object.as_object_mut().unwrap().remove(name);
    } else {
        object[name] = value;
    }
    object
}
