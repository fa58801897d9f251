//! A cold start: small requests are sent again, within a budget; others pass the answer on.

use guard::idtoken::config::IdtokenArgs;
use guard::idtoken::replay::MAX_BODY_BYTES;
use hyper::StatusCode;
use testkit::google::{Cold, Via};
use testkit::raw::Framing;
use testkit::{CloudRunSetup, noise};

use super::get;
use testkit::admin::metric_becomes;

const NOW: Option<u64> = Some(0);

fn cold(status: StatusCode) -> Cold {
    Cold { status, retry_after: NOW }
}

async fn upload(abroad: &CloudRunSetup, total: u64, framing: Framing) -> (u16, serde_json::Value) {
    let mut client = abroad.connect().await;
    let sent = client.blind_upload("POST /predict HTTP/1.1\r\nHost: a\r\n", total, framing).await;
    let answer = sent.answer.unwrap();
    (answer.status, if answer.status == 200 { answer.json() } else { serde_json::Value::Null })
}

#[tokio::test]
async fn a_small_request_outlives_a_cold_start_and_arrives_once_and_whole() {
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
        let abroad = CloudRunSetup::start().await;
        abroad.cloud_run.chill(2, cold(status));
        let (answered, stored) = upload(&abroad, 500 * 1024, Framing::Declared).await;
        assert_eq!((answered, &stored["sha256"]), (200, &noise::sha256(500 * 1024).into()));
        let seen = abroad.cloud_run.seen();
        assert_eq!((seen.requests, seen.container.len(), seen.without_token), (3, 1, 0));
        metric_becomes(abroad.egress_proxy.admin_address, "guard_idtoken_retries_total", "2").await;
        abroad.cloud_run.chill(1, cold(status));
        assert_eq!(abroad.ask(get("/", "")).await.status, 200, "a request without a body too");
    }
}

#[tokio::test]
async fn a_third_time_the_answer_is_the_clients() {
    let abroad = CloudRunSetup::start().await;
    abroad.cloud_run.chill(3, cold(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(upload(&abroad, 1000, Framing::Declared).await.0, 429);
    assert_eq!(abroad.cloud_run.seen().requests, 3);
    // A pause that is longer than the budget is not begun.
    abroad.cloud_run.chill(1, Cold { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: Some(3600) });
    assert_eq!(upload(&abroad, 1000, Framing::Declared).await.0, 503);
    assert_eq!(abroad.cloud_run.seen().requests, 4);
}

#[tokio::test]
async fn what_was_streamed_is_never_sent_twice() {
    let abroad = CloudRunSetup::start().await;
    for (total, framing) in [(1000, Framing::Chunked), (MAX_BODY_BYTES as u64 + 1, Framing::Declared)] {
        let before = abroad.cloud_run.seen().requests;
        abroad.cloud_run.chill(1, cold(StatusCode::SERVICE_UNAVAILABLE));
        let mut client = abroad.connect().await;
        let sent = client.blind_upload("POST /predict HTTP/1.1\r\nHost: a\r\n", total, framing).await;
        assert_eq!(sent.status(), Some(503), "{framing:?} {sent:?}");
        assert_eq!(abroad.cloud_run.seen().requests, before + 1, "{framing:?}");
    }
    abroad.cloud_run.chill(1, cold(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(upload(&abroad, MAX_BODY_BYTES as u64, Framing::Declared).await.0, 200, "exactly so much is kept");
}

#[tokio::test]
async fn a_backend_that_wants_no_retries_gets_none() {
    let off = |args: &mut IdtokenArgs| args.backend[0].push_str(";retry=off");
    let abroad = CloudRunSetup::with(Via::KeyFile, off).await;
    abroad.cloud_run.chill(1, cold(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(upload(&abroad, 1000, Framing::Declared).await.0, 503);
    assert_eq!(abroad.cloud_run.seen().requests, 1);
}
