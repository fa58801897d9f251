//! More work than the memory allows: idle strangers give way, new work is refused with 503, what runs goes on, and readiness says it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::TestEnvironment;
use testkit::admin;
use testkit::ws::{self, Message};

/// The smallest memory: 24 MiB for connections and requests.
const MEMORY: &str = "48MiB";

async fn small() -> TestEnvironment {
    // Both ends of every connection are in this process.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    TestEnvironment::with(|args| args.process.memory = Some(MEMORY.to_owned())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_strangers_give_way_and_a_good_client_is_served_all_along() {
    let home = small().await;
    let mut kept = home.connect().await;
    kept.send(home.head("GET /api/server/ping", "")).await;
    assert_eq!(kept.read_response().await.status, 200);
    let mut strangers = Vec::new();
    for number in 0..1000 {
        let mut stranger = home.connect().await;
        // Some say nothing, some begin a head.
        if number % 2 == 0 {
            stranger.send("GET / HTTP/1.1\r\nHost: a").await;
        }
        strangers.push(stranger);
        if number % 50 == 0 {
            assert_eq!(home.get("/api/server/ping", &home.assertion()).await.status, 200, "beside {number} strangers");
        }
    }
    kept.send(home.head("GET /api/server/ping", "")).await;
    assert_eq!(kept.read_response().await.status, 200, "the family's idle connection was not the first to give way");
    assert!(admin::metric(home.guard.admin_address, "guard_evicted_connections").await.parse::<u32>().unwrap() > 100);
    assert_eq!(admin::get(home.guard.admin_address, "/readyz").await.status, 200, "nothing was refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_budget_new_work_gets_503_and_what_runs_goes_on() {
    let home = small().await;
    let mut tunnel = ws::connect(home.guard.address, Some(&home.token())).await.unwrap();
    let (mut running, mut refused) = (Vec::new(), 0);
    while refused < 3 {
        assert!(running.len() < 200, "no budget");
        let mut client = home.connect().await;
        let before = home.guard.metrics.inflight.get();
        let token = home.front_door.token_for(&format!("person-{}@example.com", running.len()));
        client.send(format!("GET /api/slow HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
        let begun = async {
            while home.guard.metrics.inflight.get() == before || home.immich.requests().len() <= running.len() + 1 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        let answer = tokio::select! {
            answer = client.read_response() => Some(answer),
            () = begun => None,
        };
        match answer {
            None => running.push(client),
            Some(answer) => {
                assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("overloaded")));
                assert!(answer.header("retry-after").is_some());
                refused += 1;
            }
        }
    }
    let ready = admin::get(home.guard.admin_address, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("overloaded"), "{}", ready.text());
    assert_eq!(admin::get(home.guard.admin_address, "/livez").await.status, 200, "a restart would help nobody");
    assert_eq!(ws::exchange(&mut tunnel, Message::text("still here?")).await, Message::text("still here?"));
    home.immich.release();
    for client in &mut running {
        assert_eq!(client.read_response().await.status, 200);
    }
    assert_eq!(home.get("/api/server/ping", &home.assertion()).await.status, 200, "and there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_cannot_shut_out_the_others() {
    let home = small().await;
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() < 100, "no limit");
        let mut client = home.connect().await;
        client.send(home.head("GET /api/slow", "")).await;
        let begun = async {
            while home.immich.requests().len() <= held.len() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            answer = client.read_response() => break answer,
            () = begun => held.push(client),
        }
    };
    assert_eq!((refused.status, refused.header("guard-refusal")), (503, Some("overloaded")));
    let bob = home.front_door.token_for("bob@example.com");
    assert_eq!(home.get("/api/server/ping", &format!("Cf-Access-Jwt-Assertion: {bob}\r\n")).await.status, 200);
    assert_eq!(admin::get(home.guard.admin_address, "/readyz").await.status, 200);
    home.immich.release();
}

#[tokio::test]
async fn tunnels_are_counted() {
    let home = TestEnvironment::start().await;
    let reserved = async || admin::metric(home.guard.admin_address, "guard_memory_reserved_bytes").await.parse::<i64>().unwrap();
    let before = reserved().await;
    let tunnel = ws::connect(home.guard.address, Some(&home.token())).await.unwrap();
    assert!(reserved().await >= before + 48 * 1024);
    drop(tunnel);
    admin::metric_becomes(home.guard.admin_address, "guard_open_tunnels", "0").await;
}

#[tokio::test]
async fn a_probe_gets_through_however_many_admin_connections_idle() {
    let home = TestEnvironment::start().await;
    let mut idle = Vec::new();
    for _ in 0..guard::telemetry::admin::MAX_CONNECTIONS + 20 {
        idle.push(testkit::RawClient::connect(home.guard.admin_address).await);
    }
    assert_eq!(admin::get(home.guard.admin_address, "/readyz").await.status, 200);
    assert_eq!(idle[0].read_to_end().await.0, b"", "the oldest was closed");
}
