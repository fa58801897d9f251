//! The front door's keys change, vanish, and are asked for in vain.

use std::sync::Arc;

use serde_json::json;

use super::{Tour, get};
use crate::client::Client;
use testkit::Behaviour;
use testkit::signer::KeyPair;

/// Clients that go on asking while the keys change.
const CLIENTS: usize = 8;
/// Requests of each.
const REQUESTS: usize = 100;
/// Requests with a key that nobody knows.
const FLOOD: usize = 10_000;

pub(super) async fn run(tour: &mut Tour<'_>) {
    tour.part("The front door changes its keys");
    let home = tour.home;
    let (old, new) = (home.token(), Arc::new(KeyPair::generate()));
    let newer = new.mint(&home.person("ada@family.example"));
    // The new key is published beside the old one, as Cloudflare does for seven days; then both are used at once.
    home.issuer.publish(vec![new.jwk(), home.issuer.signer().jwk()]);
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut tokens = [old.clone(), newer.clone()];
            tokens.rotate_left(number % 2);
            tokio::spawn(ask_in_turn(home.guard.address(), tokens))
        })
        .collect();
    let mut passed = 0;
    for task in tasks {
        passed += task.await.unwrap_or(0);
    }
    let all = CLIENTS * REQUESTS;
    tour.step(
        "requests with old and new keys while the keys change",
        format!("{passed} of {all} passed"),
        passed == all,
        "nobody is sent away",
    );

    home.issuer.behave(Behaviour::Fail(503));
    let answer = tour.ask_with(&newer).await;
    tour.wants(200, "the key server is down", &answer, "the last good keys serve on (a day at most)");

    let before = home.issuer.fetches();
    let unknown = KeyPair::generate()
        .sign(&json!({"alg": "RS256", "kid": "f".repeat(64), "typ": "JWT"}), &home.person("ada@family.example"));
    let flood = ask_many(home.guard.address(), &unknown, FLOOD).await;
    tour.step("10 000 requests that name a key nobody knows", format!("401, {flood} times"), flood == FLOOD, "");
    let fetches = home.issuer.fetches() - before;
    tour.step(
        "how often they made the guard ask for keys",
        fetches,
        fetches <= 1,
        "once a minute at most: no storm on the front door",
    );
    home.issuer.behave(Behaviour::Serve);
}

async fn ask_in_turn(address: std::net::SocketAddr, tokens: [String; 2]) -> usize {
    let mut passed = 0;
    if let Ok(mut client) = Client::connect(address).await {
        for number in 0..REQUESTS {
            let lines = format!("Cf-Access-Jwt-Assertion: {}\r\n", tokens[number % 2]);
            if client.ask(get("/api/server/ping", &lines)).await.is_ok_and(|answer| answer.status == 200) {
                passed += 1;
            }
        }
    }
    passed
}

async fn ask_many(address: std::net::SocketAddr, token: &str, count: usize) -> usize {
    let request = get("/", &format!("Cf-Access-Jwt-Assertion: {token}\r\n"));
    let mut refused = 0;
    if let Ok(mut client) = Client::connect(address).await {
        for _ in 0..count {
            if client.ask(&request).await.is_ok_and(|answer| answer.status == 401) {
                refused += 1;
            }
        }
    }
    refused
}
