//! Keys that [`KeyPair`](crate::signer::KeyPair) cannot make: out come JWKs that a verifier must not use, and a key that signs
//! text which is not what a JSON value would print.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::noise::hex;

/// The generator of P-256, affine coordinates (SEC 2, 2.4.2): a valid public point that nobody needs to generate.
const P256_X: &str = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
const P256_Y: &str = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

/// An RSA JWK of 1024 bits. Its modulus is made up, so nothing verifies with it.
pub fn weak_jwk(kid: &str) -> Value {
    let mut modulus: Vec<u8> = digest::digest(&digest::SHA512, kid.as_bytes()).as_ref().repeat(2);
    modulus[0] |= 0x80;
    modulus[127] |= 1;
    json!({"kid": kid, "kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(modulus)})
}

/// A P-256 JWK: a sound key of the wrong family.
pub fn elliptic_jwk(kid: &str) -> Value {
    json!({"kid": kid, "kty": "EC", "alg": "ES256", "use": "sig", "crv": "P-256", "x": P256_X, "y": P256_Y})
}

/// A key that signs any two texts: a [`Value`] holds no member twice.
pub(super) struct SharedSigner {
    key: RsaKeyPair,
    kid: String,
}

impl SharedSigner {
    /// The only one of this process.
    pub(super) fn shared() -> &'static Self {
        static SHARED: LazyLock<SharedSigner> = LazyLock::new(SharedSigner::generate);
        &SHARED
    }

    fn generate() -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("the operating system gives randomness");
        let hash = digest::digest(&digest::SHA256, key.public_key().as_ref());
        let kid = hex(hash.as_ref());
        Self { key, kid }
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn jwk(&self) -> Value {
        let public: PublicKeyComponents<Vec<u8>> = self.key.public_key().into();
        json!({
            "kid": self.kid, "kty": "RSA", "alg": "RS256", "use": "sig",
            "e": URL_SAFE_NO_PAD.encode(public.e), "n": URL_SAFE_NO_PAD.encode(public.n),
        })
    }

    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .expect("a generated key signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
