//! Ready only before an auth server that is set up for this home; and the status page says what is wrong with one that is not.

use testkit::RawClient;
use testkit::outpost::{Behaviour, Config};

use super::requests::{Environment, PAGE, ada};

async fn admin(home: &Environment, path: &str) -> (u16, String) {
    let mut client = RawClient::connect(home.guard.admin_address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")).await;
    let answer = client.read_response().await;
    (answer.status, answer.text())
}

/// What `/readyz` says of an outpost that was asked once.
async fn verdict(config: Config, behaviour: Behaviour) -> (u16, String) {
    let home = Environment::forward_auth_not_ready(config, |_args| {}).await;
    home.front_door.behave(behaviour);
    let guard::frontdoor::builder::TrustSource::AuthServer(health) = &home.guard.trust_source else { panic!("an auth server") };
    health.asked().await;
    // The very first question may have been answered before the outpost was told to misbehave.
    home.front_door.wait_until("a second question", |seen| seen.questions().len() >= 2 || behaviour == Behaviour::Well).await;
    admin(&home, "/readyz").await
}

#[tokio::test]
async fn an_outpost_that_asks_strangers_to_sign_in_is_ready() {
    let home = Environment::forward_auth().await;
    assert_eq!(admin(&home, "/readyz").await.0, 200);
    let (_, page) = admin(&home, "/").await;
    assert!(page.contains("requires sign-in") && page.contains(&home.front_door.url()), "{page}");
}

#[tokio::test]
async fn it_stays_open_when_the_outpost_goes_and_says_why_it_lets_nobody_in() {
    let mut home = Environment::forward_auth().await;
    home.front_door.leave().await;
    assert_eq!(home.get("/photos", PAGE).await.status, 503);
    assert_eq!(admin(&home, "/readyz").await.0, 200, "a page that says why is better than a closed port");
}

#[tokio::test]
async fn what_is_wrong_with_the_outpost_is_named() {
    let elsewhere = || Config { external: "https://other.example.com".to_owned(), ..Config::default() };
    let (status, text) = verdict(elsewhere(), Behaviour::Well).await;
    assert_eq!(status, 503);
    assert!(text.contains("no application for photos.example.com"), "{text}");
    for (behaviour, words) in [
        (Behaviour::Nobody, "says yes to a stranger"),
        (Behaviour::Fail(404), "has nothing at /outpost.goauthentik.io/auth/caddy"),
        (Behaviour::Fail(500), "answered 500"),
    ] {
        let home = Environment::forward_auth_not_ready(elsewhere(), |_args| {}).await;
        home.front_door.behave(behaviour);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let (status, text) = admin(&home, "/readyz").await;
            assert_eq!(status, 503);
            if text.contains(words) {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{behaviour:?}: {text}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn what_is_counted() {
    let home = Environment::forward_auth().await;
    let session = home.front_door.sign_in(&ada());
    home.get("/photos", PAGE).await;
    home.get("/api/albums", "").await;
    home.get("/api/albums", &format!("Cookie: {session}\r\n")).await;
    home.front_door.behave(Behaviour::Fail(500));
    home.get("/api/albums", "").await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let (_, text) = admin(&home, "/metrics").await;
        let all = [
            "guard_auth_requests_total{result=\"allowed\"} 1",
            "guard_auth_requests_total{result=\"denied\"} 2",
            "guard_auth_requests_total{result=\"error\"} 1",
            "guard_requests_total{decision=\"sign-in\"} 1",
            "guard_requests_total{decision=\"passed\"} 1",
            "guard_refusals_total{reason=\"auth-unreachable\"} 1",
        ];
        let missing: Vec<_> = all.iter().filter(|line| !text.contains(**line)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{missing:?} in\n{text}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
