//! An Access-shaped token, the request that carries it, and the key set that verifies it.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use testkit::signer::KeyPair;

use super::Outcome;
use super::backend;

/// `GUARD_ACCESS_TEAM`.
pub(crate) const TEAM: &str = "family";
/// What the tokens say in `iss`.
pub(crate) const ISSUER: &str = "https://family.cloudflareaccess.com";
/// `GUARD_ACCESS_AUD`, and what the tokens say in `aud`.
pub(crate) const AUDIENCE: &str = "32eafc7626e737a9d7b3f1d3f1c1e4c0a9b8d7e6f5a4b3c2d1e0f9a8b7c6d5e4";

/// One signer, one token of it that is good for a day, and the address where its key set is served.
pub(crate) struct Access {
    pub(crate) public_pem: String,
    pub(crate) token: String,
    pub(crate) key_set: SocketAddr,
}

impl Access {
    pub(crate) fn start() -> Outcome<Self> {
        let signer = KeyPair::generate();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let token = signer.mint(&json!({
            "aud": [AUDIENCE],
            "email": "grandma@example.com",
            "exp": now + 86_400,
            "iat": now,
            "nbf": now,
            "iss": ISSUER,
            "type": "app",
            "identity_nonce": "6ei69kawdKzMIAPF",
            "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
            "country": "DE",
        }));
        let key_set = backend::fixed("application/json", json!({ "keys": [signer.jwk()] }).to_string().as_bytes())?;
        Ok(Self { public_pem: signer.public_pem(), token, key_set })
    }

    /// `GUARD_JWKS_URL`.
    pub(crate) fn key_set_url(&self) -> String {
        format!("http://{}/cdn-cgi/access/certs", self.key_set)
    }

    /// The head of a request as cloudflared sends it to its origin for a browser; `more` are whole lines, each with its CRLF.
    pub(crate) fn head(&self, request_line: &str, more: &str) -> String {
        let token = &self.token;
        anonymous_head(
            request_line,
            &format!(
                "Cf-Access-Jwt-Assertion: {token}\r\nCookie: CF_Authorization={token}; immich_access_token=nq1Y0fGcEu6oS7wX2TqgkF5mJ8hVbLzAtRpDdKsM9aI; immich_auth_type=oauth; immich_is_authenticated=true\r\n{more}"
            ),
        )
    }
}

/// The same from somebody who has not passed Access.
pub(crate) fn anonymous_head(request_line: &str, more: &str) -> String {
    format!(
        "{request_line} HTTP/1.1\r\n\
         Host: photos.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
         Accept: application/json, text/plain, */*\r\n\
         Accept-Encoding: gzip, br\r\n\
         Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\n\
         CDN-Loop: cloudflare; loops=1\r\n\
         Cf-Connecting-IP: 203.0.113.7\r\n\
         Cf-Ipcountry: DE\r\n\
         Cf-Ray: 9a1f4c3d2e1b0a99-FRA\r\n\
         Cf-Visitor: {{\"scheme\":\"https\"}}\r\n\
         X-Forwarded-For: 203.0.113.7\r\n\
         X-Forwarded-Proto: https\r\n\
         {more}\r\n"
    )
}
