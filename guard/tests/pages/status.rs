//! The status pages: new, busy, shut; and of `guard idtoken`.

use serde_json::json;
use testkit::google::{CloudRunSetup, Via};
use testkit::outpost;
use testkit::{TestEnvironment, ws};

use super::hour;
use super::judge::{browser, open, visit};

pub(super) async fn the_status_page_of_a_new_process() {
    let home = TestEnvironment::start().await;
    let mut browser = browser(&json!({})).await;
    visit(&mut browser, "status-new", &format!("http://{}/", home.guard.admin_address), "No requests.").await;
}

pub(super) async fn the_status_page_of_a_busy_process() {
    let home = TestEnvironment::with(|args| args.uploads.large_uploads = Some("on".to_owned())).await;
    let _tunnel = ws::connect(home.guard.address, Some(&home.token())).await.unwrap();
    assert_eq!(home.get("/page", &home.assertion()).await.status, 200);
    hour::fill(&home.guard.metrics);
    let mut browser = browser(&json!({})).await;
    let url = format!("http://{}/", home.guard.admin_address);
    visit(&mut browser, "status-busy", &url, "0 requests, 1 tunnel, 0 large uploads").await;
    open(&mut browser, &format!("{url}?still"), "Open").await;
    browser.allow_scripts(false).await;
    open(&mut browser, &format!("{url}?still"), "Open").await;
    assert_eq!(browser.eval("document.querySelectorAll('meta[http-equiv]').length").await, 0, "it stays as it is");
    open(&mut browser, &url, "this page without refresh").await;
    assert_eq!(browser.eval("document.querySelector('meta[http-equiv]').content").await, "10");
    browser.allow_scripts(true).await;
    open(&mut browser, &url, "Open").await;
    let rows = browser.eval("document.querySelector('details').open = true, document.querySelectorAll('table tr').length").await;
    assert_eq!(rows, 13, "the table has the head and twelve rows of five minutes");
    super::judge::page(&mut browser, "status-table", true).await;
}

pub(super) async fn the_status_page_of_a_process_that_is_shut() {
    // An auth server that is not there.
    let home = TestEnvironment::forward_auth_not_ready(outpost::Config::default(), |args| {
        args.auth.auth_url = Some("http://127.0.0.1:1".to_owned());
    })
    .await;
    let mut browser = browser(&json!({})).await;
    visit(&mut browser, "status-shut", &format!("http://{}/", home.guard.admin_address), "Shut").await;
    let home = TestEnvironment::start().await;
    assert_eq!(home.get("/api/die-before-head", &home.assertion()).await.status, 502);
    visit(&mut browser, "status-impaired", &format!("http://{}/", home.guard.admin_address), "Immich does not answer.").await;
}

pub(super) async fn the_status_pages_of_the_outbound_process() {
    let abroad = CloudRunSetup::start().await;
    let answer = abroad.ask("GET / HTTP/1.1\r\nHost: ml-proxy:8080\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    let mut browser = browser(&json!({})).await;
    visit(&mut browser, "idtoken", &format!("http://{}/", abroad.egress_proxy.admin_address), "1 fetched, 0 failed").await;

    let ((google, cloud_run), folder) = (testkit::google::google(), testkit::google::Folder::new());
    google.bind(false);
    let egress_proxy = testkit::google::open(&testkit::google::args(&google, &cloud_run, &folder, Via::Federation));
    egress_proxy.tokens[0].attempted().await;
    visit(&mut browser, "idtoken-shut", &format!("http://{}/", egress_proxy.admin_address), "None yet").await;
}

/// With a script, the numbers change where they stand; and a page that is old says so.
pub(super) async fn the_page_takes_what_has_changed_and_says_when_it_is_old() {
    let home = TestEnvironment::process(env!("CARGO_BIN_EXE_guard"), &[]).await;
    let mut browser = browser(&json!({})).await;
    open(&mut browser, &format!("http://{}/", home.guard.admin_address), "No requests.").await;
    browser.eval("window.same = true, document.querySelector('details').open = true").await;
    assert_eq!(home.get("/x", "").await.status, 401);
    browser.wait_for("the refusal", "document.querySelector('#refused').innerText.includes('401 unauthorized')").await;
    assert_eq!(
        browser.eval("window.same && document.querySelector('details').open").await,
        true,
        "the page was not loaded again"
    );
    home.guard.process.terminate();
    home.guard.process.end().await;
    browser.wait_for("that it is old", "/does not answer. What you see is [0-9]+ s old/.test(document.body.innerText)").await;
}
