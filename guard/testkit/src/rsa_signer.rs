//! A signer of tokens in the shape of Cloudflare Access, with a temporary RSA key, for the demo, the tests and the benches.
//!
//! It can sign anything, wrong things too: the header and the claims are the caller's. The key lives in memory only and dies with
//! the process; nothing outside the demo trusts it.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::noise::hex;

/// An RSA key pair and the `kid` under which its public half is published.
pub struct Signer {
    key: RsaKeyPair,
    kid: String,
}

impl Signer {
    /// Makes a new 2048-bit key; `kid` is 64 hex digits, like Cloudflare's.
    ///
    /// # Panics
    /// When the operating system gives no randomness: nothing can be demonstrated then.
    #[must_use]
    pub fn generate() -> Self {
        Self::with_size(KeySize::Rsa2048)
    }

    /// The same with another key size.
    ///
    /// # Panics
    /// As [`Signer::generate`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "no randomness, no demo")]
    pub fn with_size(size: KeySize) -> Self {
        let key = RsaKeyPair::generate(size).expect("the operating system gives randomness");
        let kid = hex(digest::digest(&digest::SHA256, key.public_key().as_ref()).as_ref());
        Self { key, kid }
    }

    /// The key id under which [`Signer::jwk`] publishes the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as an RFC 7517 key, with the members that Cloudflare's certs endpoint has.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let (n, e) = self.components();
        json!({
            "kid": self.kid, "kty": "RSA", "alg": "RS256", "use": "sig",
            "e": URL_SAFE_NO_PAD.encode(e), "n": URL_SAFE_NO_PAD.encode(n),
        })
    }

    /// The public half as PEM (SPKI): what HAProxy reads, and what an HS256 forger would take as the secret.
    ///
    /// # Panics
    /// Never for a key that this type made.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a key that was just generated always encodes")]
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().expect("a generated key encodes");
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The private half as PEM (PKCS #8): what a service account's key file holds.
    ///
    /// # Panics
    /// Never for a key that this type made.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a key that was just generated always encodes")]
    pub fn private_pem(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.key.as_der().expect("a generated key encodes");
        pem("PRIVATE KEY", der.as_ref())
    }

    /// A compact JWS over `claims` with the header that Access writes.
    #[must_use]
    pub fn mint(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "RS256", "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A compact JWS, signed RS256 with this key whatever `header` says.
    ///
    /// # Panics
    /// As [`Signer::generate`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "no randomness, no demo")]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = signing_input(header, claims);
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .expect("a generated key signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn components(&self) -> (Vec<u8>, Vec<u8>) {
        let public: PublicKeyComponents<Vec<u8>> = self.key.public_key().into();
        (public.n, public.e)
    }
}

/// A compact JWS signed HS256 with `secret`: the forgery that works where a verifier takes the algorithm from the token.
#[must_use]
pub fn sign_hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = signing_input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// An unsigned compact JWS: header, claims and an empty third part (`alg: none`, RFC 7515 appendix A.5).
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", signing_input(header, claims))
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
