//! One verification key: from a JWK, from PEM, or a shared secret. The key determines the permitted algorithms, not the token.
//!
//! RFC 7517 and RFC 7518 section 6 define the members; RFC 8037 defines Ed25519 keys, RFC 5480 the PEM of a P-256 key.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

/// The accepted sizes of RSA moduli (RFC 7518, 3.3 requires 2048 or more; the verifier supports at most 8192).
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The bytes before the point in the `SubjectPublicKeyInfo` of a P-256 key: id-ecPublicKey, prime256v1, a bit string of 66 bytes with
/// no unused bits, and the mark of an uncompressed point (RFC 5480, 2).
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const P256_BYTES: usize = 32;

/// The digest of the key material. Two keys with the same `kid` and different material have different ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    fn of(parts: &[&[u8]]) -> Self {
        let mut all = Vec::new();
        for part in parts {
            // The length before each part makes the encoding unique.
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, &all).as_ref());
        Self(id)
    }
}

/// One verification key and its permitted algorithms.
#[derive(Clone)]
pub struct Key {
    kid: String,
    id: KeyId,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// The id by which tokens name the key (`kid`); empty for a shared secret.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The digest of the key material.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key in the form that the verifier takes.
    pub fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Whether the key may verify signatures of this algorithm (RFC 8725, 3.1: a key is used with one algorithm family only).
    pub fn permits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Reads a public signature key from a JWK. Returns none for anything else, such as a secret key.
    pub fn from_jwk(jwk: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if jwk.kid.is_empty() || !for_signatures {
            return None;
        }
        let (id, mut algorithms, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => rsa(&jwk)?,
            ("EC", Some("P-256")) => ec(&jwk, Algorithm::ES256, P256_BYTES)?,
            ("EC", Some("P-384")) => ec(&jwk, Algorithm::ES384, 48)?,
            ("OKP", Some("Ed25519")) => ed25519(&jwk)?,
            _ => return None,
        };
        if let Some(alg) = &jwk.alg {
            algorithms.retain(|algorithm| name(*algorithm) == alg);
        }
        if algorithms.is_empty() { None } else { Some(Self { kid: jwk.kid, id, algorithms, decoding }) }
    }

    /// Reads a P-256 public key from PEM (`BEGIN PUBLIC KEY`). Returns none for anything else.
    pub fn from_p256_pem(kid: &str, pem: &[u8]) -> Option<Self> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
        let point = info.as_ref().strip_prefix(&P256_PREFIX).filter(|point| point.len() == 2 * P256_BYTES)?;
        let (x, y) = point.split_at(P256_BYTES);
        let decoding = DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y)).ok()?;
        Some(Self { kid: kid.to_owned(), id: KeyId::of(&[b"EC", x, y]), algorithms: vec![Algorithm::ES256], decoding })
    }

    /// Creates a key from a secret that guard shares with the signer, for HS256 only.
    pub fn shared_secret(secret: &[u8]) -> Self {
        Self {
            kid: String::new(),
            id: KeyId::of(&[b"oct", secret]),
            algorithms: vec![Algorithm::HS256],
            decoding: DecodingKey::from_secret(secret),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.kid)
    }
}

type KeyParts = (KeyId, Vec<Algorithm>, DecodingKey);

fn rsa(jwk: &Jwk) -> Option<KeyParts> {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    let n = URL_SAFE_NO_PAD.decode(jwk.n.as_ref()?).ok()?;
    let e = URL_SAFE_NO_PAD.decode(jwk.e.as_ref()?).ok()?;
    let leading_zeros = n.iter().position(|byte| *byte != 0)?;
    let n = &n[leading_zeros..];
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    // An exponent that is even or 1 is not valid; the verifier refuses exponents above 64 bits.
    if !MODULUS_BITS.contains(&bits) || e.is_empty() || e.len() > 8 || e.last()? % 2 == 0 || e == [1] {
        return None;
    }
    let algorithms = vec![RS256, RS384, RS512, PS256, PS384, PS512];
    Some((KeyId::of(&[b"RSA", n, &e]), algorithms, DecodingKey::from_rsa_raw_components(n, &e)))
}

fn ec(jwk: &Jwk, algorithm: Algorithm, bytes: usize) -> Option<KeyParts> {
    let (x, y) = (jwk.x.as_ref()?, jwk.y.as_ref()?);
    let numbers = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
    // RFC 7518, 6.2.1.2: exactly the size of the field. The verifier checks that the point is on the curve.
    if numbers.0.len() != bytes || numbers.1.len() != bytes {
        return None;
    }
    let decoding = DecodingKey::from_ec_components(x, y).ok()?;
    Some((KeyId::of(&[b"EC", &numbers.0, &numbers.1]), vec![algorithm], decoding))
}

fn ed25519(jwk: &Jwk) -> Option<KeyParts> {
    let x = jwk.x.as_ref()?;
    let number = URL_SAFE_NO_PAD.decode(x).ok().filter(|number| number.len() == 32)?;
    Some((KeyId::of(&[b"OKP", &number]), vec![Algorithm::EdDSA], DecodingKey::from_ed_components(x).ok()?))
}

/// Returns the name of an algorithm as in `alg` (RFC 7518, 3.1).
pub fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        // The enum may grow. No token can name an algorithm that has no name here.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    #[test]
    fn a_p256_key_reads_the_same_from_pem_and_from_jwk() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let jwk = Key::from_jwk(json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y})).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = Key::from_p256_pem("k", pem(der.as_ref()).as_bytes()).unwrap();
        assert_eq!((key.id(), key.kid()), (jwk.id(), "k"));
        assert!(key.permits(Algorithm::ES256) && !key.permits(Algorithm::ES384) && !key.permits(Algorithm::HS256));
    }

    #[test]
    fn another_curve_or_another_kind_is_no_p256_key() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        for pem in [pem(der.as_ref()), pem(&P256_PREFIX), "not PEM".to_owned(), String::new()] {
            assert!(Key::from_p256_pem("k", pem.as_bytes()).is_none(), "{pem}");
        }
    }

    #[test]
    fn a_jwk_that_is_a_secret_or_is_for_something_else_is_no_key() {
        let number = |bytes: usize| URL_SAFE_NO_PAD.encode(vec![7; bytes]);
        let good = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": number(32), "y": number(32)});
        assert!(Key::from_jwk(good.clone()).is_some());
        for (member, value) in [
            ("kty", json!("oct")),
            ("crv", json!("secp256k1")),
            ("crv", json!("P-384")),
            ("alg", json!("ES384")),
            ("alg", json!("RS256")),
            ("use", json!("enc")),
            ("key_ops", json!(["sign"])),
            ("kid", json!("")),
            ("x", json!(number(31))),
            ("y", json!(number(33))),
            ("y", json!(null)),
        ] {
            let mut jwk = good.clone();
            jwk[member] = value.clone();
            assert!(Key::from_jwk(jwk).is_none(), "{member}: {value}");
        }
        let secret = json!({"kty": "oct", "kid": "k", "k": number(32), "alg": "HS256"});
        assert!(Key::from_jwk(secret).is_none());
    }

    #[test]
    fn a_shared_secret_verifies_hs256_alone() {
        let key = Key::shared_secret(b"secret");
        assert!(key.permits(Algorithm::HS256) && !key.permits(Algorithm::HS512) && !key.permits(Algorithm::RS256));
        assert_ne!(key.id(), Key::shared_secret(b"another").id());
    }
}
