//! Proves that the fake issuer serves, signs and fails as it says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use testkit::issuer::{CERTS_PATH, CURED_BY_THE_WIRE};
use testkit::raw::Response;
use testkit::{Behaviour, Issuer, RawClient};

async fn fetch(issuer: &Issuer) -> Response {
    let mut client = asked(issuer, CERTS_PATH).await;
    client.read_response().await
}

async fn asked(issuer: &Issuer, path: &str) -> RawClient {
    let mut client = RawClient::connect(issuer.addr()).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: issuer\r\n\r\n")).await;
    client
}

/// Whether one of `keys` verifies the signature: what the header says plays no part.
fn verifies(token: &str, keys: &Value) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    keys["keys"].as_array().unwrap().iter().any(|key| {
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let public = PublicKeyComponents { n: part("n"), e: part("e") };
        public.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature).is_ok()
    })
}

fn decoded(token: &str, part: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(part).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn publishes_two_keys_and_signs_with_the_first() {
    let issuer = Issuer::start().await;
    let keys = fetch(&issuer).await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(keys["keys"][0]["kid"], issuer.signer().kid());
    assert!(verifies(&issuer.token_for("ada@example.com"), &keys));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn claims_of_a_service_token_lack_what_a_person_has() {
    let issuer = Issuer::start().await;
    let person = decoded(&issuer.token_for("ada@example.com"), 1);
    let service = decoded(&issuer.mint(&issuer.service("0123.access")), 1);
    assert_eq!(person["iss"], "https://family.cloudflareaccess.com");
    assert_eq!(person["aud"][0].as_str().unwrap().len(), 64);
    assert_eq!(person["sub"].as_str().unwrap().len(), 36);
    assert_eq!(person["exp"].as_u64().unwrap() - person["iat"].as_u64().unwrap(), 3600);
    assert_eq!(service["sub"], "");
    assert!(service.get("nbf").is_none() && service.get("email").is_none());
}

#[tokio::test]
async fn rotation_keeps_the_previous_key_and_drops_the_one_before() {
    let issuer = Issuer::start().await;
    let first = issuer.token_for("ada@example.com");
    issuer.rotate();
    let second = issuer.token_for("ada@example.com");
    let keys = fetch(&issuer).await.json();
    assert!(verifies(&first, &keys) && verifies(&second, &keys));
    issuer.rotate();
    let keys = fetch(&issuer).await.json();
    assert!(!verifies(&first, &keys) && verifies(&second, &keys));
}

#[tokio::test]
async fn every_failure_is_the_one_asked_for() {
    let issuer = Issuer::start().await;
    let get = async |behaviour| {
        issuer.behave(behaviour);
        fetch(&issuer).await
    };
    assert_eq!(get(Behaviour::Fail(503)).await.status, 503);
    assert_eq!(get(Behaviour::Redirect(issuer.detour())).await.header("location"), Some(issuer.detour().as_str()));
    assert!(serde_json::from_slice::<Value>(&get(Behaviour::Garbage).await.body).is_err());
    assert!(!get(Behaviour::Truncate).await.complete);
    assert_eq!(get(Behaviour::Empty).await.json()["keys"].as_array().unwrap().len(), 0);
    let twins = get(Behaviour::DuplicateKid).await.json();
    assert_eq!(twins["keys"][0]["kid"], twins["keys"][1]["kid"]);
    assert_ne!(twins["keys"][0]["n"], twins["keys"][1]["n"]);
    let weak = get(Behaviour::WeakKey).await.json();
    assert_eq!(URL_SAFE_NO_PAD.decode(weak["keys"][0]["n"].as_str().unwrap()).unwrap().len() * 8, 1024);
    assert_eq!(get(Behaviour::WrongUse).await.json()["keys"][0]["use"], "enc");
    let elliptic = get(Behaviour::NonRsa).await.json();
    assert_eq!(elliptic["keys"][0]["kty"], "EC");
    assert_eq!(elliptic["keys"][0]["kid"], issuer.signer().kid());
    issuer.publish(vec![elliptic["keys"][0].clone()]);
    assert_eq!(get(Behaviour::Serve).await.json()["keys"], elliptic["keys"]);
}

#[tokio::test]
async fn a_detour_serves_while_the_endpoint_redirects() {
    let issuer = Issuer::start().await;
    issuer.behave(Behaviour::Redirect(issuer.detour()));
    let answer = asked(&issuer, "/elsewhere").await.read_response().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_growing_key_set_has_no_end() {
    let issuer = Issuer::start().await;
    issuer.behave(Behaviour::Grow);
    let mut client = asked(&issuer, CERTS_PATH).await;
    assert_eq!(client.read_exact(8 * 1024 * 1024).await.len(), 8 * 1024 * 1024);
}

#[tokio::test]
async fn a_held_fetch_is_counted_and_answered_after_the_release() {
    let issuer = Issuer::start().await;
    issuer.hold();
    let mut waiting = asked(&issuer, CERTS_PATH).await;
    issuer.wait_for_fetches(1).await;
    issuer.release();
    assert_eq!(waiting.read_response().await.status, 200);
}

#[tokio::test]
async fn a_stalled_fetch_gets_nothing_until_the_issuer_is_gone() {
    let issuer = Issuer::start().await;
    issuer.behave(Behaviour::Stall);
    let mut client = asked(&issuer, CERTS_PATH).await;
    issuer.wait_for_fetches(1).await;
    issuer.stop().await;
    let (answer, _) = client.read_to_end().await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn forgeries_have_names_of_their_own_and_differ_from_a_good_token() {
    let issuer = Issuer::start().await;
    let keys = fetch(&issuer).await.json();
    let forgeries = issuer.forgeries();
    let names: BTreeSet<_> = forgeries.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), forgeries.len());
    assert!(CURED_BY_THE_WIRE.iter().all(|name| names.contains(name)));

    let token = |wanted: &str| &forgeries.iter().find(|(name, _)| *name == wanted).unwrap().1;
    // The fault is where the name says, so the signature has to be good.
    for name in ["exp twice", "alg twice", "type org", "kid missing", "crit header", "aud missing", "larger than 16 KiB"] {
        assert!(verifies(token(name), &keys), "{name}");
    }
    for name in ["wrong key under the right kid", "embedded jwk of a foreign key", "one bit of the payload flipped"] {
        assert!(!verifies(token(name), &keys), "{name}");
    }
    let payload = token("exp twice").split('.').nth(1).unwrap();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(payload.matches("\"exp\"").count(), 2);
    assert!(token("standard base64 alphabet").contains(['+', '/']));
    assert!(token("larger than 16 KiB").len() > 16 * 1024);
}
