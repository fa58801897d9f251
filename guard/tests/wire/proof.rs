//! Only a request with a proof reaches Immich: every forged token of the testkit, over the wire.

use testkit::issuer::CURED_BY_THE_WIRE;
use testkit::{RawClient, TestEnvironment};

async fn status_with(home: &TestEnvironment, lines: &str) -> u16 {
    let mut client = home.connect().await;
    client.send(format!("GET /api/server/ping HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n")).await;
    client.read_response().await.status
}

#[tokio::test]
async fn every_forged_token_gets_401_and_immich_sees_nothing() {
    let home = TestEnvironment::start().await;
    let mut tried = 0;
    for (name, token) in home.front_door.forgeries() {
        if CURED_BY_THE_WIRE.contains(&name) || token.contains(['\r', '\n']) {
            continue;
        }
        assert_eq!(status_with(&home, &format!("Cf-Access-Jwt-Assertion: {token}\r\n")).await, 401, "{name}");
        tried += 1;
    }
    assert!(tried > 30, "only {tried}");
    assert_eq!(home.immich.requests().len(), 0, "Immich saw a request");
    assert_eq!(home.immich.dials(), 0, "Immich was dialled");
}

#[tokio::test]
async fn a_good_token_in_the_wrong_place_is_no_token() {
    let home = TestEnvironment::start().await;
    let token = home.token();
    for lines in [
        String::new(),
        format!("Cookie: CF_Authorization={token}\r\n"),
        format!("Cf_Access_Jwt_Assertion: {token}\r\n"),
        format!("Cf-Access_Jwt-Assertion: {token}\r\n"),
        format!("Authorization: Bearer {token}\r\n"),
        format!("Cf-Access-Token: {token}\r\n"),
        format!("X-Goog-Iap-Jwt-Assertion: {token}\r\n"),
        format!("Cf-Access-Jwt-Assertion: {token}\r\nCf-Access-Jwt-Assertion: {token}\r\n"),
        format!("Cf-Access-Jwt-Assertion: {token}, {token}\r\n"),
        format!("Cf-Access-Jwt-Assertion: Bearer {token}\r\n"),
        "Cf-Access-Authenticated-User-Email: ada@example.com\r\n".to_owned(),
    ] {
        assert_eq!(status_with(&home, &lines).await, 401, "{lines}");
    }
    assert_eq!(home.immich.dials(), 0);
}

#[tokio::test]
async fn a_person_and_a_service_token_pass_and_the_allow_list_decides_who() {
    let home = TestEnvironment::with(|args| {
        args.door.allow_email = Some("Ada@Example.com,@family.example".to_owned());
        args.door.allow_service = Some("backup.access".to_owned());
    })
    .await;
    let mint = |claims| format!("Cf-Access-Jwt-Assertion: {}\r\n", home.front_door.mint(&claims));
    assert_eq!(status_with(&home, &mint(home.front_door.person("ada@example.com"))).await, 200);
    assert_eq!(status_with(&home, &mint(home.front_door.person("bob@FAMILY.example"))).await, 200);
    assert_eq!(status_with(&home, &mint(home.front_door.service("backup.access"))).await, 200);
    assert_eq!(home.immich.requests().len(), 3);
    assert_eq!(status_with(&home, &mint(home.front_door.person("eve@example.com"))).await, 403);
    assert_eq!(status_with(&home, &mint(home.front_door.service("other.access"))).await, 403);
    assert_eq!(home.immich.requests().len(), 3);
}

#[tokio::test]
async fn a_refusal_names_itself_and_never_says_why_a_token_failed() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    for (name, token) in home.front_door.forgeries().into_iter().filter(|(name, _)| ["expired", "wrong aud"].contains(name)) {
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
        let response = client.read_response().await;
        assert_eq!(response.header("guard-refusal"), Some("unauthorized"), "{name}");
        assert!(response.header("guard-request-id").is_some_and(|id| !id.is_empty()), "{name}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let body = response.json();
        assert_eq!(body["statusCode"], 401);
        assert_eq!(body["error"], "Unauthorized");
        assert_eq!(body["correlationId"].as_str(), response.header("guard-request-id"));
        assert_eq!(body["message"], "Sign in first: this request does not show who sent it.");
    }
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*;q=0.8\r\n\r\n").await;
    let page = client.read_response().await;
    assert!(
        page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) && page.text().contains("Please sign in")
    );
}

#[tokio::test]
async fn a_connection_outlives_refusals_without_a_body() {
    let home = TestEnvironment::start().await;
    let mut client: RawClient = home.connect().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 401);
        client.send(home.head("GET /api/server/ping", "")).await;
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[tokio::test]
async fn a_token_is_verified_once_and_then_remembered() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    let head = home.head("GET /api/server/ping", "");
    for _ in 0..5 {
        client.send(&head).await;
        assert_eq!(client.read_response().await.status, 200);
    }
    let cache = &home.guard.metrics.token_cache;
    assert_eq!((cache.miss.get(), cache.hit.get()), (1, 4));
}
