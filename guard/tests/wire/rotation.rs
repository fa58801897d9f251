//! Keys come and go without a request being lost, and a key server in trouble, or a client that asks for keys that never were,
//! changes nothing for those who have a proof.
//!
//! What guard promises: a token of any key of the last good set passes, always. A token of a key that it has never seen waits for one
//! fetch, where none was asked for in the last minute (`REFETCH_INTERVAL`), and else meets that key at the next refresh. The real issuer
//! rotates every six weeks and signs with a key that it has published, so nobody meets the floor but those who make keys up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use guard::origin::start::OriginServer;
use serde_json::json;
use testkit::admin;
use testkit::signer::sign_hs256;
use testkit::wait::eventually;
use testkit::{Behaviour, Issuer, RawClient, TestEnvironment, environment};
use tokio::sync::watch;

async fn status_on(client: &mut RawClient, token: &str) -> u16 {
    client.send(format!("GET /api/server/ping HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
    client.read_response().await.status
}

async fn status_of(door: &OriginServer, token: &str) -> u16 {
    status_on(&mut RawClient::connect(door.address).await, token).await
}

/// A token that is good in every way but for its key, which nobody has.
fn of_unknown_key(issuer: &Issuer, kid: &str) -> String {
    let header = json!({"alg": "RS256", "kid": kid, "typ": "JWT"});
    sign_hs256(b"not a key of anyone", &header, &issuer.person("eve@example.com"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_rotations_under_load_lose_no_request() {
    let home = TestEnvironment::start().await;
    let (now_good, current) = watch::channel(Arc::new(home.token()));
    let answered: Arc<[AtomicU64; 4]> = Arc::default();
    let mut load = tokio::task::JoinSet::new();
    for worker in 0..answered.len() {
        let (answered, current, address) = (answered.clone(), current.clone(), home.guard.address);
        load.spawn(async move {
            let mut client = RawClient::connect(address).await;
            loop {
                let token = current.borrow().clone();
                assert_eq!(status_on(&mut client, &token).await, 200, "worker {worker}");
                answered[worker].fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    drop(current);
    // Two more answers of each: the second was asked for after this began.
    let everyone_again = async || {
        let before: Vec<_> = answered.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let again = || answered.iter().zip(&before).all(|(count, before)| count.load(Ordering::SeqCst) >= before + 2);
        eventually("every worker to be answered twice more", again).await;
    };
    everyone_again().await;
    for rotation in 1..=5 {
        let old = home.token();
        let fresh = home.front_door.rotate();
        everyone_again().await;
        home.refresh_keys(fresh.kid()).await;
        assert_eq!(status_of(&home.guard, &old).await, 200, "the previous key is still published, rotation {rotation}");
        everyone_again().await;
        now_good.send_replace(Arc::new(home.token()));
        everyone_again().await;
    }
    load.abort_all();
    while let Some(ended) = load.join_next().await {
        assert!(ended.is_err_and(|error| error.is_cancelled()), "a request was refused");
    }
}

#[tokio::test]
async fn tokens_of_a_key_that_is_brand_new_wait_for_one_fetch_and_pass_together() {
    let home = TestEnvironment::start().await;
    let old = home.token();
    let before = home.front_door.fetches();
    home.front_door.hold();
    home.front_door.rotate();
    let misses = home.guard.metrics.token_cache.miss.get();
    let mut waiting = Vec::new();
    for number in 0..16 {
        let token = home.front_door.token_for(&format!("user{number}@example.com"));
        let mut client = home.connect().await;
        waiting.push(tokio::spawn(async move { status_on(&mut client, &token).await }));
    }
    home.front_door.wait_for_fetches(before + 1).await;
    eventually("all to wait", || home.guard.metrics.token_cache.miss.get() == misses + 16).await;
    assert_eq!(status_of(&home.guard, &old).await, 200, "who has a proof does not wait for others");
    assert!(waiting.iter().all(|request| !request.is_finished()), "nobody is refused before the fetch has ended");
    home.front_door.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(status_of(&home.guard, &old).await, 200, "both keys are published");
    assert_eq!(home.front_door.fetches(), before + 1);
}

#[tokio::test]
async fn ten_thousand_tokens_of_unknown_keys_cause_one_fetch_and_disturb_nobody() {
    let home = TestEnvironment::start().await;
    let before = home.front_door.fetches();
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(home.connect().await);
    }
    let good = home.token();
    let mut sent = 0;
    while sent < 10_000 {
        // All fifty are under way at once.
        for client in &mut clients {
            let token = of_unknown_key(&home.front_door, &format!("{sent:064x}"));
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
            sent += 1;
        }
        for client in &mut clients {
            assert_eq!(client.read_response().await.status, 401);
        }
        if sent % 1_000 == 0 {
            assert_eq!(status_of(&home.guard, &good).await, 200);
        }
    }
    assert_eq!(home.front_door.fetches(), before + 1);
}

#[tokio::test]
async fn tokens_of_a_key_that_left_the_set_die_with_the_next_fetch_remembered_or_not() {
    let home = TestEnvironment::start().await;
    let (remembered, unused) = (home.front_door.token_for("ada@example.com"), home.front_door.token_for("bob@example.com"));
    for _ in 0..8 {
        assert_eq!(status_of(&home.guard, &remembered).await, 200);
    }
    assert!(home.guard.metrics.token_cache.hit.get() > 0, "it is remembered");
    // Twice: the first only makes it the previous key, which is published on.
    home.front_door.rotate();
    home.front_door.rotate();
    assert_eq!(status_of(&home.guard, &remembered).await, 200, "guard cannot know yet");
    assert_eq!(status_of(&home.guard, &of_unknown_key(&home.front_door, "any")).await, 401);
    for _ in 0..8 {
        assert_eq!(status_of(&home.guard, &remembered).await, 401);
        assert_eq!(status_of(&home.guard, &unused).await, 401);
    }
    assert_eq!(status_of(&home.guard, &home.token()).await, 200);
}

#[tokio::test]
async fn a_key_server_in_trouble_never_evicts_the_last_good_set() {
    let mut homes = tokio::task::JoinSet::new();
    for trouble in [
        Behaviour::Fail(500),
        Behaviour::Fail(404),
        Behaviour::Stall,
        Behaviour::Garbage,
        Behaviour::Grow,
        Behaviour::Truncate,
        Behaviour::Empty,
        Behaviour::WeakKey,
        Behaviour::WrongUse,
        Behaviour::NonRsa,
        Behaviour::DuplicateKid,
    ] {
        homes.spawn(async move {
            let home = TestEnvironment::start().await;
            let known = home.token();
            assert_eq!(status_of(&home.guard, &known).await, 200);
            home.front_door.behave(trouble.clone());
            let failed = home.guard.metrics.jwks_fetches.failed.get();
            // It waits for the fetch that it asks for, so the trouble has come when it is refused.
            assert_eq!(status_of(&home.guard, &of_unknown_key(&home.front_door, "any")).await, 401);
            assert!(home.guard.metrics.jwks_fetches.failed.get() > failed, "{trouble:?}");
            assert_eq!(status_of(&home.guard, &known).await, 200, "{trouble:?}");
            assert_eq!(status_of(&home.guard, &home.front_door.token_for("bob@example.com")).await, 200, "{trouble:?}");
            assert_eq!(admin::get(home.guard.admin_address, "/readyz").await.status, 200, "{trouble:?}");
            // It asks again by itself, and the trouble leaves no trace.
            let fresh = home.front_door.rotate();
            home.front_door.behave(Behaviour::Serve);
            let learnt = || home.guard.keys().unwrap().current().is_some_and(|set| set.find(fresh.kid()).is_some());
            eventually("the new set", learnt).await;
            assert_eq!(status_of(&home.guard, &home.token()).await, 200, "{trouble:?}");
        });
    }
    while let Some(ended) = homes.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_redirect_of_the_key_set_is_not_followed() {
    let home = TestEnvironment::start().await;
    let known = home.token();
    let evil = Issuer::start().await;
    for target in [home.front_door.detour(), evil.url()] {
        home.front_door.behave(Behaviour::Redirect(target));
        let seen = home.front_door.fetches();
        // Two more: one that was answered with the redirect, and the one after it, so that whatever the first led to has happened.
        let _ = status_of(&home.guard, &evil.token_for("eve@example.com")).await;
        home.front_door.wait_for_fetches(seen + 2).await;
        assert_eq!(status_of(&home.guard, &evil.token_for("eve@example.com")).await, 401);
        assert_eq!(status_of(&home.guard, &known).await, 200);
    }
    assert_eq!(evil.fetches(), 0);
    assert_eq!(home.guard.metrics.jwks_fetches.ok.get(), 1, "the detour would have given a good set");
}

#[tokio::test]
async fn without_a_first_key_set_the_door_says_not_ready_and_opens_by_itself() {
    let mut homes = tokio::task::JoinSet::new();
    for trouble in [Behaviour::Fail(503), Behaviour::Garbage, Behaviour::Truncate, Behaviour::Empty, Behaviour::WeakKey] {
        homes.spawn(async move {
            let (issuer, immich) = (Issuer::start().await, testkit::Immich::start().await);
            issuer.behave(trouble.clone());
            let door = environment::open(&environment::args(&issuer, &immich.url()));
            issuer.wait_for_fetches(2).await;
            let mut client = RawClient::connect(door.address).await;
            let token = issuer.token_for("ada@example.com");
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
            let refusal = client.read_response().await;
            assert_eq!((refusal.status, refusal.header("guard-refusal")), (503, Some("not-ready")), "{trouble:?}");
            assert!(refusal.header("retry-after").is_some());
            assert_eq!(admin::get(door.admin_address, "/readyz").await.status, 503);
            assert_eq!(admin::get(door.admin_address, "/livez").await.status, 200, "a restart would not help");
            assert_eq!(immich.dials(), 0);
            issuer.behave(Behaviour::Serve);
            eventually("a good set", || door.keys().unwrap().current().is_some()).await;
            assert_eq!(status_on(&mut client, &token).await, 200, "{trouble:?}");
            assert_eq!(admin::get(door.admin_address, "/readyz").await.status, 200);
            door.stop();
        });
    }
    while let Some(ended) = homes.join_next().await {
        ended.unwrap();
    }
}
