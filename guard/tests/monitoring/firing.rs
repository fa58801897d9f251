//! The real binary, broken in each way that its metrics or its exit code show: what it then exports makes exactly the right alerts fire.
//!
//! A minute of Prometheus is one scrape here, so nothing waits for minutes. The age of the key set is the exception: see its test.

use std::time::Duration;

use testkit::google::{self, Folder, Via};
use testkit::process::{OriginProcess, Process, origin_variables};
use testkit::wait::eventually;
use testkit::{Behaviour, Immich, Issuer, TestEnvironment, admin};
use tokio::time::Instant;

use crate::recording::Recording;

const GUARD: &str = env!("CARGO_BIN_EXE_guard");

type Home = TestEnvironment<Issuer, OriginProcess>;

async fn home() -> Home {
    TestEnvironment::process(GUARD, &[]).await
}

async fn metrics(home: &Home) -> String {
    admin::get(home.guard.admin_address, "/metrics").await.text()
}

/// Half an hour in which a person looks at photos, and a stranger knocks once.
async fn a_good_half_hour(home: &Home) -> Recording {
    let mut recording = Recording::default();
    for minute in 0..30 {
        assert_eq!(home.get("/api/server/ping", &home.assertion()).await.status, 200);
        if minute == 10 {
            assert_eq!(home.get("/", "").await.status, 401);
        }
        recording.scrape(&[("immich-edge", "guard-0", &metrics(home).await)]);
    }
    recording
}

/// Sends these requests in each of the next 20 minutes; all get this status.
async fn each_minute(recording: &mut Recording, home: &Home, requests: usize, lines: &str, status: u16) {
    for _ in 0..20 {
        for _ in 0..requests {
            assert_eq!(home.get("/api/server/ping", lines).await.status, status);
        }
        recording.scrape(&[("immich-edge", "guard-0", &metrics(home).await)]);
    }
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn nothing_fires_in_a_home_that_is_well() {
    let home = home().await;
    a_good_half_hour(&home).await.fires("well", &[]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn strangers_at_an_open_hostname_fire() {
    let home = home().await;
    let mut recording = a_good_half_hour(&home).await;
    each_minute(&mut recording, &home, 2, "", 401).await;
    recording.fires("not-gated", &["ImmichNotGated"]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn a_burst_of_refusals_fires() {
    let home = home().await;
    let mut recording = a_good_half_hour(&home).await;
    let expired = home.front_door.mint(&{
        let mut claims = home.front_door.person("ada@example.com");
        claims["exp"] = 1.into();
        claims
    });
    each_minute(&mut recording, &home, 20, &format!("Cf-Access-Jwt-Assertion: {expired}\r\n"), 401).await;
    recording.fires("refusals", &["GuardRefusalsUnusual"]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn an_immich_that_is_away_fires() {
    let Home { front_door, immich, guard } = home().await;
    let address = immich.addr();
    immich.stop().await;
    // Another one, which guard does not know.
    let home = Home { front_door, immich: Immich::start().await, guard };
    assert_ne!(home.immich.addr(), address);
    let mut recording = Recording::default();
    recording.hold(10, &[("immich-edge", "guard-0", &metrics(&home).await)]);
    each_minute(&mut recording, &home, 1, &home.assertion(), 502).await;
    recording.fires("immich-away", &["ImmichUnreachable"]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn a_guard_that_ended_fires() {
    let home = home().await;
    let mut recording = a_good_half_hour(&home).await;
    home.guard.process.terminate();
    home.guard.process.end().await;
    recording.hold(10, &[]);
    recording.fires("guard-down", &["GuardDown"]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn a_key_set_that_never_came_fires() {
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    issuer.behave(Behaviour::Fail(503));
    let process = Process::start(GUARD, &["origin"], &origin_variables(&issuer, &immich.url()));
    eventually("the addresses in the log", || process.stdout().contains("guard origin is listening")).await;
    let admin_address = process.logged_address("admin");
    let mut recording = Recording::default();
    for fetches in 1..=4 {
        issuer.wait_for_fetches(fetches).await;
        let text = admin::get(admin_address, "/metrics").await.text();
        recording.hold(3, &[("immich-edge", "guard-0", &text)]);
    }
    recording.fires("key-set-missing", &["GuardKeySetMissing"]);
}

/// Nobody waits two hours here: guard's own age is seen to rise by a second, and is then taken to rise by 60 a minute.
#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn a_key_set_that_is_not_renewed_fires() {
    const NAME: &str = "guard_jwks_age_seconds";
    let home = home().await;
    home.front_door.behave(Behaviour::Fail(503));
    let age = async || -> f64 { admin::metric(home.guard.admin_address, NAME).await.parse().unwrap() };
    let (first, deadline) = (age().await, Instant::now() + Duration::from_secs(10));
    while age().await < first + 1.0 {
        assert!(Instant::now() < deadline, "the age does not rise");
    }
    let text = metrics(&home).await;
    let (before, after) = text.split_once(&format!("\n{NAME} ")).unwrap();
    let (now, after) = after.split_once('\n').unwrap();
    let mut recording = Recording::default();
    for minute in 0..180_u32 {
        let age = now.parse::<f64>().unwrap() + f64::from(minute) * 60.0;
        recording.scrape(&[("immich-edge", "guard-0", &format!("{before}\n{NAME} {age}\n{after}"))]);
    }
    recording.fires("key-set-old", &["GuardKeySetOld"]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn a_guard_without_memory_to_spare_fires() {
    let home: Home = TestEnvironment::process(GUARD, &[("GUARD_MEMORY", "48MiB")]).await;
    let mut running = Vec::new();
    let refused = loop {
        assert!(running.len() < 200, "no budget");
        let mut client = home.connect().await;
        // One person alone could not take it all.
        let token = home.front_door.token_for(&format!("person-{}@example.com", running.len()));
        client.send(format!("GET /api/slow HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n")).await;
        let begun = async {
            while home.immich.requests().len() <= running.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = client.read_response() => break answer,
            () = begun => running.push(client),
        }
    };
    assert_eq!(refused.header("guard-refusal"), Some("overloaded"));
    let mut recording = Recording::default();
    recording.hold(10, &[("immich-edge", "guard-0", &metrics(&home).await)]);
    home.immich.release();
    recording.fires("near-its-limit", &["GuardNearItsLimit"]);
}

#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn an_identity_token_that_is_not_renewed_fires() {
    let home = home().await;
    let (google, cloud_run) = google::google();
    let folder = Folder::new();
    // An old token, 200 seconds before its end, and then no new one.
    google.live(200);
    let idtoken = google::open(&google::args(&google, &cloud_run, &folder, Via::KeyFile));
    for tokens in &idtoken.tokens {
        tokens.attempted().await;
    }
    google.switch_off(true);
    let seen = admin::get(idtoken.admin_address, "/metrics").await.text();
    assert!(seen.contains("guard_idtoken_seconds_to_expiry{"), "{seen}");
    let mut recording = Recording::default();
    recording.hold(15, &[("immich-edge", "guard-0", &metrics(&home).await), ("immich", "idtoken-0", &seen)]);
    idtoken.stop();
    recording.fires("idtoken", &["IdtokenTokenNearItsEnd"]);
}

/// The exit code is real; kube-state-metrics, which reports it, does not run here.
#[tokio::test]
#[ignore = "needs promtool: make test-alerts"]
async fn a_nas_that_is_not_mounted_fires() {
    let home = home().await;
    let guard = metrics(&home).await;
    let path = std::env::temp_dir();
    let variables = [("GUARD_NAS_PATH", path.display().to_string())];
    let code = Process::run(GUARD, &["nas", "check"], &variables).await.code.unwrap();
    let labels = "container=\"server\"";
    let seen = format!(
        "kube_pod_container_status_last_terminated_exitcode{{{labels}}} {code}\nkube_pod_status_ready{{condition=\"true\"}} 0\n"
    );
    let mut recording = Recording::default();
    recording.hold(10, &[("immich-edge", "guard-0", &guard), ("immich", "server-0", &seen)]);
    recording.fires("nas-gone", &["NasGone"]);
}
