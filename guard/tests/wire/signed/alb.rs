//! Load balancers of AWS: padded parts, no `aud`, `exp` and `signer` in the header, one PEM file a key.

use guard::config::FrontDoorArgs;
use guard::config::door::AssertionArgs;
use serde_json::{Value, json};
use testkit::issuer::unix_now;
use testkit::signer::{KeyPair, KeyServer};

use super::door::{SignedDoor, some};
use super::faults::Good;

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/family/50dc6c495c0c9188";
const KID: &str = "1d2c3b4a-5e6f-4a8b-9c0d-112233445566";

async fn start(key: &KeyPair, issuer: Option<&str>) -> SignedDoor {
    let keys = KeyServer::start().await;
    keys.put(&format!("/alb/{KID}"), &key.public_pem());
    let args = FrontDoorArgs {
        front_door: some("aws-alb"),
        jwks_url: Some(keys.url("/alb")),
        assertion: AssertionArgs {
            alb_arn: some(ARN),
            alb_client_id: some("client-1"),
            assertion_issuer: issuer.map(str::to_owned),
            ..AssertionArgs::default()
        },
        ..FrontDoorArgs::default()
    };
    SignedDoor::start(keys, "x-amzn-oidc-data", args).await
}

fn good(key: &KeyPair) -> Good<'_> {
    let now = unix_now();
    let header = json!({
        "typ": "JWT", "kid": KID, "alg": "ES256", "iss": "https://idp.example.com", "client": "client-1", "signer": ARN, "exp": now + 120
    });
    let claims = json!({"sub": "ada-1", "email": "ada@example.com", "exp": now + 120, "iss": "https://idp.example.com"});
    Good { key, header, claims, padded: true }
}

#[tokio::test]
async fn a_padded_token_of_this_balancer_passes_and_no_other() {
    let (key, stranger) = (KeyPair::p256(KID), KeyPair::p256(KID));
    let door = start(&key, Some("https://idp.example.com")).await;
    let good = good(&key);
    // A length at which base64 needs padding, so that it stands inside the text that is signed.
    assert!((0..3).any(|extra| good.claim("name", json!("x".repeat(extra))).contains("=.")));
    for extra in 0..3 {
        assert_eq!(door.status(&good.claim("name", json!("x".repeat(extra)))).await, 200);
    }
    let mut bad = good.faults(&stranger);
    let now = unix_now();
    for (name, member, value) in [
        ("another balancer", "signer", json!(ARN.replace("9188", "9189"))),
        ("no signer", "signer", Value::Null),
        ("another client", "client", json!("client-2")),
        ("no client", "client", Value::Null),
        ("expired", "exp", json!(now - 60)),
        ("no exp in the header", "exp", Value::Null),
        ("exp as text", "exp", json!((now + 60).to_string())),
        ("another issuer", "iss", json!("https://evil.example")),
        ("no issuer", "iss", Value::Null),
    ] {
        bad.push((name.to_owned(), good.member(member, value)));
    }
    bad.push(("claims that end sooner".to_owned(), good.claim("exp", json!(now - 60))));
    let token = good.token();
    bad.push(("padding taken away".to_owned(), good.claim("name", json!("xx")).replace('=', "")));
    bad.push(("a letter more".to_owned(), format!("{token}A")));
    door.refuses(&bad).await;
}

#[tokio::test]
async fn a_key_is_fetched_once_and_invented_names_cost_little() {
    let key = KeyPair::p256(KID);
    let door = start(&key, None).await;
    let good = good(&key);
    for extra in 0..5 {
        assert_eq!(door.status(&good.claim("name", json!(extra))).await, 200);
    }
    assert_eq!(door.environment.front_door.asked(), [format!("/alb/{KID}")]);

    for kid in ["../../secret", "a/b", "a?b=c", "a#b", "a b", "%2e%2e", "é", &"a".repeat(65)] {
        assert_eq!(door.status(&good.member("kid", json!(kid))).await, 401, "{kid}");
    }
    assert_eq!(door.environment.front_door.asked().len(), 1, "a kid that is no name is never asked for");

    for number in 0..50 {
        assert_eq!(door.status(&good.member("kid", json!(format!("made-up-{number}")))).await, 401);
    }
    let asked = door.environment.front_door.asked().len();
    assert!(asked <= guard::pem_keys::MAX_NEW, "{asked} fetches for invented names");
    assert_eq!(door.status(&good.token()).await, 200, "the known key still serves");
}

#[tokio::test]
async fn what_is_served_must_be_a_p256_key() {
    let key = KeyPair::p256(KID);
    let door = start(&key, None).await;
    let good = good(&key);
    for (name, pem) in [("p384", KeyPair::p384("p384").public_pem()), ("garbage", "<html>".to_owned()), ("empty", String::new())]
    {
        door.environment.front_door.put(&format!("/alb/{name}"), &pem);
        assert_eq!(door.status(&good.member("kid", json!(name))).await, 401, "{name}");
    }
}
