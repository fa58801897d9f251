//! Google IAP, Pomerium, Authentik in proxy mode, and any other signer by variables.

use std::io::Write as _;

use guard::config::FrontDoorArgs;
use guard::config::door::AssertionArgs;
use serde_json::{Value, json};
use testkit::issuer::unix_now;
use testkit::signer::{KeyPair, KeyServer};

use super::door::{SignedDoor, some};
use super::faults::Good;

fn claims(iss: &str, aud: &Value) -> Value {
    let now = unix_now();
    json!({"iss": iss, "aud": aud, "iat": now, "exp": now + 300, "sub": "accounts.google.com:1", "email": "ada@example.com"})
}

fn header(alg: &str, kid: &str) -> Value {
    json!({"alg": alg, "kid": kid, "typ": "JWT"})
}

#[tokio::test]
async fn google_iap() {
    let audience = "/projects/123456789/global/backendServices/987654321";
    let (key, stranger, keys) = (KeyPair::p256("iap-1"), KeyPair::p256("iap-1"), KeyServer::start().await);
    keys.publish("/iap", &[&key]);
    let args = FrontDoorArgs {
        front_door: some("google-iap"),
        jwks_url: Some(keys.url("/iap")),
        assertion: AssertionArgs { assertion_audience: some(audience), ..AssertionArgs::default() },
        ..FrontDoorArgs::default()
    };
    let door = SignedDoor::start(keys, "X-Goog-IAP-JWT-Assertion", args).await;
    let good = Good {
        key: &key,
        header: header("ES256", "iap-1"),
        claims: claims("https://cloud.google.com/iap", &json!(audience)),
        padded: false,
    };
    assert_eq!(door.status(&good.token()).await, 200);
    let mut bad = good.faults(&stranger);
    let now = unix_now();
    for (name, claim, value) in [
        ("good for longer than ten minutes", "exp", json!(now + 3_600)),
        ("of no known age", "iat", Value::Null),
        ("for App Engine", "aud", json!("/projects/123456789/apps/family")),
        ("of Google's sign-in", "iss", json!("https://accounts.google.com")),
    ] {
        bad.push((name.to_owned(), good.claim(claim, value)));
    }
    door.refuses(&bad).await;
    // The unsigned headers beside it prove nothing, and the right assertion elsewhere is none.
    assert_eq!(door.status_with("X-Goog-Authenticated-User-Email: accounts.google.com:ada@example.com\r\n").await, 401);
    assert_eq!(door.status_with(&format!("Cf-Access-Jwt-Assertion: {}\r\n", good.token())).await, 401);
    assert_eq!(door.status_with(&format!("X_Goog_IAP_JWT_Assertion: {}\r\n", good.token())).await, 401);
    let twice = format!("X-Goog-IAP-JWT-Assertion: {0}\r\n", good.token()).repeat(2);
    assert_eq!(door.status_with(&twice).await, 401);
    let seen = &door.environment.immich.requests()[0];
    assert!(seen.header("x-goog-iap-jwt-assertion").is_none(), "{:?}", seen.headers);
}

#[tokio::test]
async fn pomerium() {
    let (key, stranger, keys) = (KeyPair::p256("route"), KeyPair::p256("route"), KeyServer::start().await);
    keys.publish("/.well-known/pomerium/jwks.json", &[&key]);
    let args = FrontDoorArgs {
        front_door: some("pomerium"),
        jwks_url: Some(keys.url("/.well-known/pomerium/jwks.json")),
        assertion: AssertionArgs { assertion_audience: some("photos.example.com"), ..AssertionArgs::default() },
        ..FrontDoorArgs::default()
    };
    let door = SignedDoor::start(keys, "X-Pomerium-Jwt-Assertion", args).await;
    let good = Good {
        key: &key,
        header: header("ES256", "route"),
        claims: claims("photos.example.com", &json!(["photos.example.com"])),
        padded: false,
    };
    assert_eq!(door.status(&good.token()).await, 200);
    assert_eq!(door.status(&good.claim("iss", json!("https://photos.example.com/"))).await, 200, "jwt_issuer_format: uri");
    let mut bad = good.faults(&stranger);
    bad.push(("issuer without the slash".to_owned(), good.claim("iss", json!("https://photos.example.com"))));
    door.refuses(&bad).await;
    assert_eq!(door.status_with(&format!("X-Pomerium-Jwt-Assertion-For: {}\r\n", good.token())).await, 401);
    assert_eq!(door.status_with("X-Pomerium-Claim-Email: ada@example.com\r\n").await, 401);
}

#[tokio::test]
async fn authentik_in_proxy_mode() {
    let secret = "s3cr3t-of-the-provider-which-is-long-enough-for-hs256";
    let key = KeyPair::secret(secret.as_bytes());
    let stranger = KeyPair::secret(b"another-secret-which-is-also-long-enough-for-hs256");
    let mut file = tempfile();
    writeln!(file.1, "{secret}").unwrap();
    let args = FrontDoorArgs {
        front_door: some("authentik-proxy"),
        assertion: AssertionArgs {
            assertion_secret_file: some(&file.0.to_string_lossy()),
            assertion_issuer: some("https://auth.example.com/application/o/immich-gate/"),
            assertion_audience: some("client-id"),
            ..AssertionArgs::default()
        },
        ..FrontDoorArgs::default()
    };
    let door = SignedDoor::start(KeyServer::start().await, "X-authentik-jwt", args).await;
    let claims = claims("https://auth.example.com/application/o/immich-gate/", &json!("client-id"));
    let good = Good { key: &key, header: json!({"alg": "HS256", "typ": "JWT"}), claims, padded: false };
    assert_eq!(door.status(&good.token()).await, 200);
    assert_eq!(door.status(&good.member("kid", json!("whatever"))).await, 200, "one secret, so a key's name says nothing");
    let mut bad = good.faults(&stranger);
    for alg in ["HS384", "HS512", "RS256", "ES256"] {
        bad.push((format!("alg {alg}"), good.member("alg", json!(alg))));
    }
    bad.push(("signed with nothing".to_owned(), KeyPair::secret(b"").sign(&good.header, &good.claims)));
    bad.push((
        "with a line end in the secret".to_owned(),
        KeyPair::secret(format!("{secret}\n").as_bytes()).sign(&good.header, &good.claims),
    ));
    door.refuses(&bad).await;
    assert!(door.environment.front_door.asked().is_empty(), "no key set is ever asked for, least of all one that a header names");
    assert_eq!(
        door.status_with(&format!(
            "X-authentik-meta-jwks: {}\r\nX-authentik-jwt: x\r\n",
            door.environment.front_door.url("/jwks")
        ))
        .await,
        401
    );
    assert!(door.environment.front_door.asked().is_empty());
    std::fs::remove_file(file.0).unwrap();
}

#[tokio::test]
async fn any_other_signer_with_its_own_algorithms_and_claim() {
    let keys = KeyServer::start().await;
    let all = [KeyPair::ed25519("ed"), KeyPair::p384("p384"), KeyPair::rsa("rsa")];
    keys.publish("/jwks", &all.iter().collect::<Vec<_>>());
    let args = FrontDoorArgs {
        front_door: some("signed-header"),
        jwks_url: Some(keys.url("/jwks")),
        allow_email: some("ada@example.com"),
        assertion: AssertionArgs {
            assertion_header: some("X-Gateway-Token"),
            assertion_algorithms: some("EdDSA,ES384,PS256"),
            assertion_issuer: some("https://gateway.example.com"),
            assertion_audience: some("photos"),
            assertion_email_claim: some("upn"),
            ..AssertionArgs::default()
        },
        ..FrontDoorArgs::default()
    };
    let door = SignedDoor::start(keys, "X-Gateway-Token", args).await;
    let mut claims = claims("https://gateway.example.com", &json!("photos"));
    claims["upn"] = json!("ada@example.com");
    claims["email"] = json!("eve@example.com");
    for (key, alg) in all.iter().zip(["EdDSA", "ES384", "PS256"]) {
        let good = Good { key, header: header(alg, key.kid()), claims: claims.clone(), padded: false };
        assert_eq!(door.status(&good.token()).await, 200, "{alg}");
        assert_eq!(door.status(&good.claim("upn", json!("eve@example.com"))).await, 403, "not on the list");
        assert_eq!(door.status(&good.claim("upn", json!(["ada@example.com"]))).await, 401, "a claim of the wrong type");
        assert_eq!(door.status(&good.claim("upn", Value::Null)).await, 403, "no address, and a list of addresses");
        let stranger = match alg {
            "EdDSA" => KeyPair::ed25519(key.kid()),
            "ES384" => KeyPair::p384(key.kid()),
            _ => KeyPair::rsa(key.kid()),
        };
        door.refuses(&good.faults(&stranger)).await;
    }
    // The key can do RS256 too, but that is not pinned.
    let rs256 = all[2].sign(&header("RS256", "rsa"), &claims);
    assert_eq!(door.status(&rs256).await, 401, "an algorithm that is not pinned");
    // A pinned algorithm with a key of another kind.
    assert_eq!(door.status(&all[1].sign(&header("EdDSA", "p384"), &claims)).await, 401);
    assert_eq!(door.status(&all[0].sign(&header("ES384", "ed"), &claims)).await, 401);

    let token = all[0].sign(&header("EdDSA", "ed"), &claims);
    door.status_with(&format!("X-Gateway-Token: {token}\r\nX_Gateway_Token: spoofed\r\nX-Gateway_Token: spoofed\r\n")).await;
    let last = door.environment.immich.requests().pop().unwrap();
    let leaked: Vec<_> = last.headers.iter().filter(|(name, _)| name.replace('_', "-") == "x-gateway-token").collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

/// A file of its own, and its path.
fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("guard-secret-{}-{}", std::process::id(), unix_now()));
    (path.clone(), std::fs::File::create(path).unwrap())
}
