//! Whatever is repaired on Google's side, or in a file, heals without a restart; until then nobody is kept waiting.

use std::time::Duration;

use testkit::google::{CloudRunSetup, Via};
use tokio::time::Instant;

use super::{get, refusal};
use testkit::admin;
use testkit::admin::{metric, metric_becomes};

/// Refused now, and answered soon after `repair`.
async fn heals(abroad: &CloudRunSetup, repair: impl FnOnce(&CloudRunSetup)) {
    let answer = abroad.ask(get("/", "")).await;
    assert_eq!(refusal(&answer), (503, "no-token"));
    assert_eq!(admin::get(abroad.egress_proxy.admin_address, "/readyz").await.status, 503);
    repair(abroad);
    let deadline = Instant::now() + Duration::from_secs(60);
    while abroad.ask(get("/", "")).await.status != 200 {
        assert!(Instant::now() < deadline, "{:?}", abroad.egress_proxy.tokens[0].trouble());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(admin::get(abroad.egress_proxy.admin_address, "/readyz").await.status, 200);
    assert_eq!(abroad.cloud_run.seen().without_token, 0, "nothing ever left without a token");
}

#[tokio::test]
async fn a_missing_iam_binding_is_named_and_its_repair_noticed() {
    let ((google, cloud_run), folder) = (testkit::google::google(), testkit::google::Folder::new());
    google.bind(false);
    let args = testkit::google::args(&google, &cloud_run, &folder, Via::Federation);
    let egress_proxy = testkit::google::open(&args);
    egress_proxy.tokens[0].attempted().await;
    let abroad = CloudRunSetup { google, cloud_run, egress_proxy, folder };
    let trouble = abroad.egress_proxy.tokens[0].trouble().unwrap();
    assert!(trouble.contains("403") && trouble.contains("iam.serviceAccounts.getOpenIdToken"), "{trouble}");
    let page = admin::get(abroad.egress_proxy.admin_address, "/").await.text();
    assert!(page.contains("<h1 class=bad>Shut</h1>") && page.contains("getOpenIdToken"), "{page}");
    heals(&abroad, |abroad| abroad.google.bind(true)).await;
    assert!(admin::get(abroad.egress_proxy.admin_address, "/").await.text().contains("<h1 class=good>Open</h1>"));
}

#[tokio::test]
async fn a_new_key_and_a_new_pod_token_are_picked_up_from_their_files() {
    let abroad = broken(Via::KeyFile).await;
    heals(&abroad, |abroad| {
        abroad.folder.json("key.json", &abroad.google.key_file());
    })
    .await;
    let abroad = broken(Via::Federation).await;
    heals(&abroad, |abroad| {
        abroad.folder.write("pod-token", &abroad.google.pod_token(600));
    })
    .await;
    // Even from a key to federation: what counts is what the file says now.
    let abroad = broken(Via::KeyFile).await;
    heals(&abroad, |abroad| {
        let subject = abroad.folder.write("pod-token", &abroad.google.pod_token(600));
        abroad.folder.json("key.json", &abroad.google.federation_file(&subject));
    })
    .await;
    metric_becomes(abroad.egress_proxy.admin_address, "guard_idtoken_fetches_total{source=\"federation\",result=\"ok\"}", "1")
        .await;
}

/// A guard whose key, or whose cluster's key, has gone.
async fn broken(via: Via) -> CloudRunSetup {
    let ((google, cloud_run), folder) = (testkit::google::google(), testkit::google::Folder::new());
    let args = testkit::google::args(&google, &cloud_run, &folder, via);
    google.revoke_keys();
    google.rotate_cluster();
    let egress_proxy = testkit::google::open(&args);
    egress_proxy.tokens[0].attempted().await;
    CloudRunSetup { google, cloud_run, egress_proxy, folder }
}

#[tokio::test]
async fn a_google_that_is_down_is_nobodys_trouble_while_the_token_is_good() {
    let abroad = CloudRunSetup::with(Via::Metadata, |_args| {}).await;
    abroad.google.switch_off(true);
    for _ in 0..50 {
        assert_eq!(abroad.ask(get("/", "")).await.status, 200);
    }
    let audience = abroad.cloud_run.url();
    let left =
        metric(abroad.egress_proxy.admin_address, &format!("guard_idtoken_seconds_to_expiry{{audience=\"{audience}\"}}")).await;
    assert!((3500..=3600).contains(&left.parse::<i64>().unwrap()), "{left}");
    assert_eq!(
        metric(abroad.egress_proxy.admin_address, "guard_idtoken_fetches_total{source=\"metadata\",result=\"ok\"}").await,
        "1"
    );
    let health = admin::get(abroad.egress_proxy.admin_address, "/health").await;
    assert_eq!((health.status, &health.json()["status"], &health.json()["service"]), (200, &"ok".into(), &"auth-proxy".into()));
}
