//! The load that strangers can put on the auth server.

use guard::frontdoor::forward_auth::load::MAX_IN_FLIGHT;
use testkit::wait::eventually;

use super::requests::{Environment, ada, basic, phone};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_requests_in_flight_are_bounded_and_end_with_those_who_wait_for_them() {
    let home = Environment::forward_auth().await;
    home.front_door.hold();
    let mut clients = Vec::new();
    for number in 0..MAX_IN_FLIGHT + 40 {
        let mut client = home.connect().await;
        let wrong = basic(&format!("user-{number}:wrong"));
        client.send(format!("GET /api/albums HTTP/1.1\r\nHost: photos.example.com\r\n{wrong}\r\n")).await;
        clients.push(client);
    }
    home.front_door.wait_until("the auth requests", |seen| seen.questions().len() == MAX_IN_FLIGHT).await;
    // Each of the others was refused at once, and says when to come back.
    let refused = home.guard.metrics.clone();
    eventually("the refusals", || refused.refused.get() == 40).await;
    // Once nobody waits any more, nothing is asked any more: there is room for the family at once.
    drop(clients);
    eventually("the requests to end", || home.guard.metrics.inflight.get() == 0).await;
    home.front_door.release();
    let session = home.front_door.sign_in(&ada());
    assert_eq!(home.get("/api/albums", &format!("Cookie: {session}\r\n")).await.status, 200);
    assert!(home.auth_requests() <= MAX_IN_FLIGHT + 1, "nothing was asked again");
}

#[tokio::test]
async fn at_the_bound_a_refusal_says_when_to_come_back() {
    let home = Environment::forward_auth().await;
    home.front_door.hold();
    let mut waiting = Vec::new();
    for number in 0..MAX_IN_FLIGHT {
        let mut client = home.connect().await;
        let wrong = basic(&format!("user-{number}:wrong"));
        client.send(format!("GET / HTTP/1.1\r\nHost: photos.example.com\r\n{wrong}\r\n")).await;
        waiting.push(client);
    }
    home.front_door.wait_until("the auth requests", |seen| seen.questions().len() == MAX_IN_FLIGHT).await;
    let refused = home.get("/", &basic("one:more")).await;
    assert_eq!((refused.status, refused.header("guard-refusal")), (503, Some("auth-unreachable")));
    assert!(refused.header("retry-after").is_some());
    home.front_door.release();
}

#[tokio::test]
async fn the_auth_server_is_told_the_clients_address_and_sees_no_token_of_immich() {
    let home = Environment::forward_auth_with(testkit::outpost::Config::default(), |args| {
        args.client_address_header = Some("CF-Connecting-IP".to_owned());
    })
    .await;
    let lines = "CF-Connecting-IP: 203.0.113.7\r\nAuthorization: Bearer immichs-own-token\r\n";
    assert_eq!(home.get("/api/albums", lines).await.status, 401);
    let asked = home.front_door.last_question();
    assert_eq!(asked.header("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(asked.header("authorization"), None);
    let password = home.front_door.app_password(&phone());
    assert_eq!(home.get("/api/albums", &basic(&password)).await.status, 200);
    assert_eq!(home.front_door.last_question().header("x-forwarded-for"), Some("127.0.0.1"), "without the header, the peer");
}
