//! guard's page for large files, in a real Chromium.

use std::path::PathBuf;

use serde_json::json;
use testkit::browser::Browser;
use testkit::google::Folder;
use testkit::{TestEnvironment, noise};

use super::{file, is_whole, tool};

const GUARD: &str = env!("CARGO_BIN_EXE_guard");
const MIB: u64 = 1024 * 1024;

/// A browser that has passed the front door, at the page.
async fn open<G: testkit::environment::Listening>(home: &TestEnvironment<testkit::Issuer, G>) -> Browser {
    let mut browser = Browser::start(&tool("CHROMIUM").unwrap(), &[]).await;
    // What Cloudflare adds to each request of a person who has signed in.
    browser.add_headers(&json!({"Cf-Access-Jwt-Assertion": home.token()})).await;
    browser.go(&format!("http://{}/.guard/upload", home.guard.address())).await;
    browser.wait_for("who is signed in", "document.querySelector('#account').textContent === 'Uploading as Ada.'").await;
    browser
}

/// Where `SCREENSHOTS` names a folder: the page as it looks, on a phone and on a desktop, dark and light.
async fn screenshots(browser: &mut Browser, name: &str) {
    let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else { return };
    for (device, width, height) in [("phone", 390, 844), ("desktop", 1280, 800)] {
        for scheme in ["light", "dark"] {
            browser.look_like(width, height, scheme).await;
            let path = folder.join(format!("{name}-{device}-{scheme}.png"));
            std::fs::write(path, browser.screenshot().await).unwrap();
        }
    }
}

pub(super) async fn a_file_goes_up_with_the_network_off_and_on_in_the_middle() {
    let home = TestEnvironment::process(GUARD, &[("GUARD_LARGE_UPLOADS", "on")]).await;
    let folder = Folder::new();
    let length = 300 * MIB + 1;
    let (large, small) = (file(&folder, "holiday.mov", length), file(&folder, "kitten.jpg", 100_000));
    let mut browser = open(&home).await;
    screenshots(&mut browser, "empty").await;
    // As slow as a home's way up, so that there is a middle.
    browser.set_network(false, 40 * MIB).await;
    browser.choose_files("#files", &[&large, &small]).await;
    browser.wait_for("the middle", "document.querySelector('li progress').value > 60e6").await;
    browser.set_network(true, 0).await;
    browser.wait_for("that it waits", "/^waits/.test(document.querySelector('li .say').textContent)").await;
    screenshots(&mut browser, "waiting").await;
    browser.set_network(false, 0).await;
    browser.wait_for("both files", "document.querySelectorAll('li.done').length === 2").await;
    screenshots(&mut browser, "done").await;
    assert_eq!(browser.eval("document.querySelector('#summary').textContent").await, "2 of 2 done, 315 MB of 315 MB");
    assert_eq!(browser.eval("document.querySelector('li.done a').getAttribute('href').startsWith('/photos/')").await, true);
    is_whole(&home.immich, 100_000);
    let stored = home.immich.stored();
    let first = stored[0].file.as_ref().unwrap();
    assert_eq!((first.bytes, &first.sha256), (length, &noise::sha256(length)));
    assert_eq!((stored.len(), home.immich.aborted_uploads()), (2, 0), "it went on where it was");
    let names: Vec<_> = first.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["fileCreatedAt", "fileModifiedAt", "isFavorite", "filename"]);
}

pub(super) async fn what_immich_has_is_not_sent_again_and_what_cannot_be_sent_is_said() {
    let home = TestEnvironment::process(GUARD, &[("GUARD_LARGE_UPLOADS", "on"), ("GUARD_LARGE_UPLOADS_MAX", "1MiB")]).await;
    let folder = Folder::new();
    let (large, text) = (file(&folder, "large.mov", 2 * MIB), file(&folder, "words.exe", 10));
    let mut browser = open(&home).await;
    browser.choose_files("#files", &[&large, &text]).await;
    browser.wait_for("two refusals", "document.querySelectorAll('li.failed').length === 2").await;
    let said = browser.eval("[...document.querySelectorAll('li .say')].map((say) => say.textContent).join('|')").await;
    assert_eq!(said, "Larger than 1.0 MB, which is the limit here.|Immich takes no files of the kind .exe.");
    assert!(home.immich.stored().is_empty());
    screenshots(&mut browser, "failed").await;
}

pub(super) async fn tus_js_client_works_in_a_browser() {
    let home = TestEnvironment::process(GUARD, &[("GUARD_LARGE_UPLOADS", "on")]).await;
    let mut browser = open(&home).await;
    // A page without a policy for scripts: Immich's own.
    browser.go(&format!("http://{}/page", home.guard.address)).await;
    browser.wait_for("the page", "document.title === 'Photos'").await;
    let library = std::fs::read_to_string(tool("TUS_JS").unwrap().join("node_modules/tus-js-client/dist/tus.js")).unwrap();
    browser.eval(&format!("{library}; typeof tus.Upload")).await;
    let script = "new Promise((resolve, reject) => new tus.Upload(new Blob([new Uint8Array(3000000)]), {
        endpoint: '/.guard/uploads', chunkSize: 1000000, metadata: {filename: 'a.jpg'},
        onError: (error) => reject(String(error)), onSuccess: () => resolve('done'),
    }).start())";
    assert_eq!(browser.eval(script).await, "done");
    assert_eq!(home.immich.stored()[0].file.as_ref().unwrap().bytes, 3_000_000);
}
