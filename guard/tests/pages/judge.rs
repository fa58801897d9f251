//! Judges one page: every look that a visitor may have goes in, and a panic comes out where one of them is not good.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::browser::Browser;

use super::tool;

/// The devices: name, width and height.
pub(super) const DEVICES: [(&str, u32, u32); 2] = [("phone", 390, 844), ("desktop", 1280, 800)];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// The default size of text in pixels, and twice that.
const TEXT_SIZES: [u32; 2] = [16, 32];

/// A browser with these headers in each request.
pub(super) async fn browser(headers: &Value) -> Browser {
    browser_that_knows(&[], headers).await
}

/// The same, and it knows where these hosts are.
pub(super) async fn browser_that_knows(hosts: &[(&str, SocketAddr)], headers: &Value) -> Browser {
    let mut browser = Browser::start(&tool("CHROMIUM").unwrap(), hosts).await;
    browser.add_headers(headers).await;
    browser
}

/// Opens `url` with scripts and without, and judges what is there once it says `wanted`.
pub(super) async fn visit(browser: &mut Browser, name: &str, url: &str, wanted: &str) {
    for scripts in [true, false] {
        browser.allow_scripts(scripts).await;
        open(browser, url, wanted).await;
        if scripts {
            page(browser, name, true).await;
        } else {
            // axe-core is a script: the document stays the one that was read without them, and does not load itself again.
            browser.allow_scripts(true).await;
            browser.eval("window.stop()").await;
            page(browser, &format!("{name}-no-scripts"), false).await;
        }
        let requests = browser.requests();
        assert!(
            !requests.is_empty() && requests.iter().all(|request| request == url),
            "{name} asks for more than {url}: {requests:?}"
        );
    }
}

/// Opens `url` and waits until it says `wanted`.
pub(super) async fn open(browser: &mut Browser, url: &str, wanted: &str) {
    browser.requests();
    browser.go(url).await;
    browser
        .wait_for(wanted, &format!("document.readyState === 'complete' && document.body.innerText.includes({})", json!(wanted)))
        .await;
}

/// Judges the page that is open, in each look.
pub(super) async fn page(browser: &mut Browser, name: &str, scripts: bool) {
    let axe = std::fs::read_to_string(tool("AXE").unwrap()).unwrap();
    browser.eval(&format!("{axe}; typeof axe.run")).await;
    for text in TEXT_SIZES {
        browser.set_text_size(text).await;
        for (device, width, height) in DEVICES {
            for scheme in SCHEMES {
                browser.look_like(width, height, scheme).await;
                let look = format!("{name}-{device}-{scheme}{}", if text == 16 { "" } else { "-large" });
                let size = format!("getComputedStyle(document.documentElement).fontSize === '{text}px'");
                browser.wait_for("the size of the text", &size).await;
                fits(browser, &look).await;
                accessible(browser, &look, scripts).await;
                keep(browser, &look).await;
            }
        }
    }
    browser.set_text_size(16).await;
}

/// Nothing is wider than the window: nobody has to scroll sideways (WCAG 2.2, 1.4.10).
async fn fits(browser: &mut Browser, look: &str) {
    let wide = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(wide, 0, "{look}: it is wider than the window by that many pixels");
}

async fn accessible(browser: &mut Browser, look: &str, scripts: bool) {
    // The page that loads itself again is for browsers without scripts, and has a link to one that does not.
    let rules = if scripts { json!({}) } else { json!({"meta-refresh": {"enabled": false}}) };
    let run = format!(
        "axe.run({{rules: {rules}, resultTypes: ['violations', 'incomplete']}}).then((found) => JSON.stringify({{passes: found.passes.length, \
         wrong: found.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.html + ' ' + node.failureSummary)])}}))"
    );
    let said = browser.eval(&run).await;
    let found: Value = serde_json::from_str(said.as_str().unwrap()).unwrap();
    assert_eq!(found["wrong"], json!([]), "{look}: what axe-core says against it");
    assert!(found["passes"].as_u64().is_some_and(|rules| rules >= 10), "{look}: axe-core has looked: {found}");
}

async fn keep(browser: &mut Browser, look: &str) {
    let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{look}.png")), browser.screenshot().await).unwrap();
}
