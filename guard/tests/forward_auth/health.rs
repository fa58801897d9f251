//! Ready only before an auth server that is set up for this home; and the status page says what is wrong with one that is not.

use testkit::RawClient;
use testkit::outpost::{Behaviour, Config};

use crate::gate::{Gate, PAGE, ada};

async fn admin(gate: &Gate, path: &str) -> (u16, String) {
    let mut client = RawClient::connect(gate.door.admin_address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")).await;
    let answer = client.read_response().await;
    (answer.status, answer.text())
}

/// What `/readyz` says of an outpost that was asked once.
async fn verdict(config: Config, behaviour: Behaviour) -> (u16, String) {
    let gate = Gate::not_waited_for(config, |_args| {}).await;
    gate.outpost.behave(behaviour);
    let guard::frontdoor::builder::TrustSource::AuthServer(health) = &gate.door.trust_source else { panic!("an auth server") };
    health.asked().await;
    // The very first question may have been answered before the outpost was told to misbehave.
    gate.outpost.wait_until("a second question", |seen| seen.questions().len() >= 2 || behaviour == Behaviour::Well).await;
    admin(&gate, "/readyz").await
}

#[tokio::test]
async fn an_outpost_that_asks_strangers_to_sign_in_is_ready() {
    let gate = Gate::open().await;
    assert_eq!(admin(&gate, "/readyz").await.0, 200);
    let (_, page) = admin(&gate, "/").await;
    assert!(page.contains("requires sign-in") && page.contains(&gate.outpost.url()), "{page}");
}

#[tokio::test]
async fn it_stays_open_when_the_outpost_goes_and_says_why_it_lets_nobody_in() {
    let mut gate = Gate::open().await;
    gate.outpost.leave().await;
    assert_eq!(gate.get("/photos", PAGE).await.status, 503);
    assert_eq!(admin(&gate, "/readyz").await.0, 200, "a page that says why is better than a closed port");
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
        let gate = Gate::not_waited_for(elsewhere(), |_args| {}).await;
        gate.outpost.behave(behaviour);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let (status, text) = admin(&gate, "/readyz").await;
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
    let gate = Gate::open().await;
    let session = gate.outpost.sign_in(&ada());
    gate.get("/photos", PAGE).await;
    gate.get("/api/albums", "").await;
    gate.get("/api/albums", &format!("Cookie: {session}\r\n")).await;
    gate.outpost.behave(Behaviour::Fail(500));
    gate.get("/api/albums", "").await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let (_, text) = admin(&gate, "/metrics").await;
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
