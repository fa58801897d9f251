//! The pictures that the documentation shows.

use std::path::PathBuf;

use serde_json::json;
use testkit::browser::Browser;
use testkit::{TestEnvironment, ws};

use super::hour;
use super::judge::{browser, open};
use super::refusals::{home, person};

/// The largest picture, in bytes: the repository stays small.
const MAX_BYTES: usize = 60_000;

async fn keep(browser: &mut Browser, name: &str, (width, height): (u32, u32), dots: f32, scheme: &str) {
    browser.look_like(width, height, scheme).await;
    let picture = browser.picture_of_page(width, dots).await;
    assert!(picture.len() < MAX_BYTES, "{name}: {} bytes", picture.len());
    let folder = PathBuf::from(std::env::var_os("PICTURES").unwrap());
    std::fs::write(folder.join(format!("{name}.webp")), picture).unwrap();
}

pub(super) async fn pictures() {
    let busy = TestEnvironment::with(|args| args.uploads.large_uploads = Some("on".to_owned())).await;
    let _tunnel = ws::connect(busy.guard.address, Some(&busy.token())).await.unwrap();
    assert_eq!(busy.get("/page", &busy.assertion()).await.status, 200);
    hour::fill(&busy.guard.metrics);
    let mut operator = browser(&json!({})).await;
    open(&mut operator, &format!("http://{}/", busy.guard.admin_address), "Open").await;
    keep(&mut operator, "status-desktop", (960, 800), 1.0, "light").await;

    let home = home().await;
    let mut ada = person(&home, Some("ada@example.com"), "en").await;
    open(&mut ada, &format!("http://{}/api/die-before-head", home.guard.address), "Your photos are safe").await;
    keep(&mut ada, "refusal-502", (390, 600), 2.0, "light").await;
    let mut eve = person(&home, Some("eve@example.com"), "de").await;
    open(&mut eve, &format!("http://{}/", home.guard.address), "eve@example.com").await;
    keep(&mut eve, "refusal-403-de", (390, 600), 2.0, "dark").await;
}
