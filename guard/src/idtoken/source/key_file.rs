//! A service account's key file: exchanges an assertion that is signed with the key for a token.
//!
//! RFC 7523 (JWT bearer grant), with Google's claim `target_audience` in place of a scope.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::step::{CLOUD_PLATFORM, SourceError, ask, endpoint, member};
use crate::clock::unix_seconds;
use crate::fetch::{Endpoint, FetchRequest};
use crate::tls::Trust;

/// The audience of an assertion, wherever it is sent: the fixed name of Google's token endpoint.
pub const TOKEN_AUDIENCE: &str = "https://oauth2.googleapis.com/token";
/// The grant type of RFC 7523.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The life of an assertion in seconds: the maximum that Google accepts.
const LIFETIME_SECONDS: u64 = 3600;
/// How far into the past `iat` is set, for a clock that runs ahead, in seconds.
const FUDGE_SECONDS: u64 = 10;
const STEP: &str = "the token endpoint";

/// The members of a key file, as text.
#[derive(Deserialize)]
pub struct Document {
    client_email: String,
    private_key: String,
    private_key_id: String,
    token_uri: Option<String>,
}

/// A key that is ready to sign.
pub struct Key {
    account: String,
    kid: String,
    pair: RsaKeyPair,
    endpoint: Endpoint,
}

impl Document {
    pub(super) fn check(self, trust: &Trust) -> Result<Key, String> {
        // The parser's message could quote the key, so it is not repeated.
        let wanted = "private_key: wanted an RSA key as PEM, PKCS #8 (BEGIN PRIVATE KEY)";
        let der = PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes()).map_err(|_| wanted.to_owned())?;
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| wanted.to_owned())?;
        let endpoint = endpoint("token_uri", self.token_uri.as_deref().unwrap_or(TOKEN_AUDIENCE), trust)?;
        Ok(Key { account: self.client_email, kid: self.private_key_id, pair, endpoint })
    }
}

impl Key {
    /// An identity token for `audience`.
    pub async fn id_token(&self, audience: &str) -> Result<String, SourceError> {
        self.exchange(&json!({"target_audience": audience}), "id_token").await
    }

    /// An access token.
    pub async fn access_token(&self) -> Result<String, SourceError> {
        self.exchange(&json!({"scope": CLOUD_PLATFORM}), "access_token").await
    }

    async fn exchange(&self, wish: &Value, wanted: &'static str) -> Result<String, SourceError> {
        let assertion = self.assertion(wish, unix_seconds())?;
        let form = FetchRequest::form(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]);
        member(STEP, wanted, &ask(STEP, &self.endpoint, form).await?)
    }

    fn assertion(&self, wish: &Value, now: u64) -> Result<String, SourceError> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.kid});
        let issued = now.saturating_sub(FUDGE_SECONDS);
        let mut claims = json!({
            "iss": self.account, "sub": self.account, "aud": TOKEN_AUDIENCE, "iat": issued, "exp": issued + LIFETIME_SECONDS,
        });
        if let (Some(claims), Some(wish)) = (claims.as_object_mut(), wish.as_object()) {
            claims.extend(wish.clone());
        }
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| SourceError::Signing)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
