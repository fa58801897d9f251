//! Signers of every family that a front door may use, and a server for their keys: a JWK set, or one PEM file a key.
//!
//! Header and claims are the test's, wrong ones too. RFC 7518 for the algorithms; padded parts are those of AWS load balancers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::noise::hex;
use crate::server::{ANY_PORT, Server};

/// A key pair, or a secret, and the `kid` under which it is published.
pub struct KeyPair {
    kid: String,
    /// The `alg` member of its JWK.
    alg: Option<&'static str>,
    kind: Kind,
}

enum Kind {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Secret(Vec<u8>),
}

impl KeyPair {
    /// An RSA key as Cloudflare Access has it: 2048 bits, RS256, and a `kid` of 64 hex digits.
    pub fn generate() -> Self {
        Self::with_size(KeySize::Rsa2048)
    }

    /// The same with another key size.
    pub fn with_size(size: KeySize) -> Self {
        let key = RsaKeyPair::generate(size).expect("randomness");
        let kid = hex(digest::digest(&digest::SHA256, key.public_key().as_ref()).as_ref());
        Self { kid, alg: Some("RS256"), kind: Kind::Rsa(Box::new(key)) }
    }

    /// A P-256 key (ES256).
    pub fn p256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("randomness");
        Self { kid: kid.to_owned(), alg: None, kind: Kind::P256(key) }
    }

    /// A P-384 key (ES384).
    pub fn p384(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("randomness");
        Self { kid: kid.to_owned(), alg: None, kind: Kind::P384(key) }
    }

    /// An Ed25519 key (`EdDSA`).
    pub fn ed25519(kid: &str) -> Self {
        Self { kid: kid.to_owned(), alg: None, kind: Kind::Ed25519(Ed25519KeyPair::generate().expect("randomness")) }
    }

    /// An RSA key of 2048 bits (RS256, PS256).
    pub fn rsa(kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            alg: None,
            kind: Kind::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("randomness"))),
        }
    }

    /// A secret (HS256).
    pub fn secret(secret: &[u8]) -> Self {
        Self { kid: String::new(), alg: None, kind: Kind::Secret(secret.to_vec()) }
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as RFC 7517 has it.
    pub fn jwk(&self) -> Value {
        let kid = &self.kid;
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.kind {
            Kind::P256(key) | Kind::P384(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": crv, "kid": kid, "use": "sig", "x": number(x), "y": number(y)})
            }
            Kind::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": number(key.public_key().as_ref())})
            }
            Kind::Rsa(key) => {
                let public: PublicKeyComponents<Vec<u8>> = key.public_key().into();
                let mut jwk = json!({"kty": "RSA", "kid": kid, "use": "sig", "e": number(&public.e), "n": number(&public.n)});
                if let Some(alg) = self.alg {
                    jwk["alg"] = alg.into();
                }
                jwk
            }
            Kind::Secret(secret) => json!({"kty": "oct", "kid": kid, "k": number(secret)}),
        }
    }

    /// The public half as PEM (RFC 7468) of an elliptic or an RSA key.
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match &self.kind {
            Kind::P256(key) | Kind::P384(key) => key.public_key().as_der(),
            Kind::Rsa(key) => key.public_key().as_der(),
            Kind::Ed25519(_) | Kind::Secret(_) => panic!("only elliptic and RSA keys are served as PEM"),
        }
        .expect("a generated key encodes");
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The private half of an RSA key as PEM (PKCS #8): what a service account's key file holds.
    pub fn private_pem(&self) -> String {
        let Kind::Rsa(key) = &self.kind else { panic!("only RSA keys are written to key files") };
        let der: Pkcs8V1Der<'_> = key.as_der().expect("a generated key encodes");
        pem("PRIVATE KEY", der.as_ref())
    }

    /// A compact token over `claims`, signed RS256, with the header that Cloudflare Access writes.
    pub fn mint(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "RS256", "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A compact token: signed with this key, in the algorithm of the header where the key can do it, else in its own.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let signature = self.signature(input.as_bytes(), header["alg"].as_str().unwrap_or_default());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The same with `=` at the end of each part, inside the text that is signed.
    pub fn sign_padded(&self, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", URL_SAFE.encode(header.to_string()), URL_SAFE.encode(claims.to_string()));
        let signature = self.signature(input.as_bytes(), header["alg"].as_str().unwrap_or_default());
        format!("{input}.{}", URL_SAFE.encode(signature))
    }

    fn signature(&self, input: &[u8], alg: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::P256(key) | Kind::P384(key) => key.sign(&random, input).expect("a generated key signs").as_ref().to_vec(),
            Kind::Ed25519(key) => key.sign(input).as_ref().to_vec(),
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                if alg == "PS256" {
                    key.sign(&RSA_PSS_SHA256, &random, input, &mut signature).expect("a generated key signs");
                } else {
                    key.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature).expect("a generated key signs");
                }
                signature
            }
            Kind::Secret(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input).as_ref().to_vec(),
        }
    }
}

/// A compact JWS signed HS256 with `secret`: the forgery that works where a verifier takes the algorithm from the token.
pub fn sign_hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = signing_input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// An unsigned compact JWS: header, claims and an empty third part (`alg: none`, RFC 7515 appendix A.5).
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

/// A server of documents by path; whatever else is asked for is 404. It counts.
pub struct KeyServer {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pages: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

impl KeyServer {
    /// An empty one.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        let server = Server::start(ANY_PORT, move |stream| {
            let shared = serving.clone();
            async move { shared.serve(stream).await }
        })
        .await;
        Self { server, shared }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Serves a JWK set.
    pub fn publish(&self, path: &str, keys: &[&KeyPair]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.put(path, &json!({ "keys": keys }).to_string());
    }

    /// Serves this text.
    pub fn put(&self, path: &str, text: &str) {
        self.shared.pages.lock().unwrap().insert(path.to_owned(), text.to_owned());
    }

    /// The paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await.is_err() {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while !matches!(line.as_str(), "\r\n" | "") {
            line.clear();
            if stream.read_line(&mut line).await.is_err() {
                return;
            }
        }
        let page = self.pages.lock().unwrap().get(&path).cloned();
        self.asked.lock().unwrap().push(path);
        let (status, body) = page.map_or((404, String::new()), |body| (200, body));
        let answer = format!("HTTP/1.1 {status} Fake\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        // A client that has gone is no event.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}
