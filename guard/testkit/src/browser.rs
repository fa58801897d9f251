//! A real browser without a window: what a person does enters, what the page says leaves. Chromium, driven over its `DevTools`
//! protocol (version 1.3, "flat" sessions).
//!
//! One command at a time: of the events, the requests are remembered, and all others are thrown away. A page is looked at until it says what is wanted, with a deadline.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::deadline::within;
use crate::google::Folder;

/// For one step of a page on a busy machine: a whole sign-in is one.
const STEP: Duration = Duration::from_secs(60);
/// Between two looks at a page.
const LOOK: Duration = Duration::from_millis(20);

const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-features=HttpsUpgrades",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// The browser, with one page. It is killed when it is dropped, and its profile goes with it.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    socket: WebSocketStream<TcpStream>,
    session: String,
    commands: u64,
    requests: Vec<String>,
    _profile: Folder,
}

impl Browser {
    /// Starts `program` with a new profile and an empty page. `hosts` are names with the address where each really is; no other name
    /// is known, so nothing is asked of the outside.
    pub async fn start(program: &Path, hosts: &[(&str, SocketAddr)]) -> Self {
        let profile = Folder::new();
        let rules = hosts.iter().map(|(name, address)| format!("MAP {name} {address}"));
        let rules = rules.chain(["MAP * ~NOTFOUND".to_owned(), "EXCLUDE 127.0.0.1".to_owned()]).collect::<Vec<_>>().join(",");
        let mut process = Command::new(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--host-resolver-rules={rules}"))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} starts: {error}", program.display()));
        let said = BufReader::new(process.stderr.take().expect("it is piped"));
        let place = within(STEP, "Chromium to say where it listens", tokio::task::spawn_blocking(|| listening(said)));
        let place = place.await.expect("reading does not panic");
        let Some(place) = place else {
            let _ = process.kill();
            panic!("Chromium ended before it listened: {:?}", process.wait());
        };
        let address = place.trim_start_matches("ws://").split('/').next().unwrap_or_default().to_owned();
        let stream = TcpStream::connect(&address).await.expect("Chromium listens");
        let (socket, _) = client_async(&place, stream).await.expect("Chromium speaks its own protocol");
        let mut browser = Self { process, socket, session: String::new(), commands: 0, requests: Vec::new(), _profile: profile };
        let page = browser.command("Target.createTarget", json!({"url": "about:blank"})).await;
        let page = page.expect("a page")["targetId"].clone();
        let session = browser.command("Target.attachToTarget", json!({"targetId": page, "flatten": true})).await;
        session.expect("a session")["sessionId"].as_str().expect("a name").clone_into(&mut browser.session);
        browser
    }

    /// Follows a link to `url`; the page may end up elsewhere. Panics when nobody answers.
    pub async fn go(&mut self, url: &str) {
        let went = self.command("Page.navigate", json!({"url": url})).await.expect("a navigation");
        assert_eq!(went.get("errorText"), None, "{url}");
    }

    /// The value of an expression in the page, awaited if it is a promise. Errors: what was thrown, or that the page is changing.
    pub async fn try_eval(&mut self, expression: &str) -> Result<Value, String> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.command("Runtime.evaluate", asked).await?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The same, and a panic where it throws.
    pub async fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Looks until the expression is true; panics with `what` and the page after a minute.
    pub async fn wait_for(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + STEP;
        while self.try_eval(expression).await != Ok(Value::Bool(true)) {
            if Instant::now() >= deadline {
                let page = self.try_eval("location.href + '\\n' + document.documentElement.outerHTML").await;
                panic!("waited {} s in vain: {what}; the page is {page:?}", STEP.as_secs());
            }
            sleep(LOOK).await;
        }
    }

    /// Adds these headers to every request from now on.
    pub async fn add_headers(&mut self, headers: &Value) {
        self.command("Network.enable", json!({})).await.expect("it has a network");
        self.command("Network.setExtraHTTPHeaders", json!({ "headers": headers })).await.expect("it takes headers");
    }

    /// Takes the network away, or brings it back, with so many bytes a second upwards; 0 = as many as there are.
    pub async fn set_network(&mut self, is_offline: bool, upload: u64) {
        let upload = if upload == 0 { json!(-1) } else { json!(upload) };
        let conditions = json!({"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload});
        self.command("Network.emulateNetworkConditions", conditions).await.expect("it takes conditions");
    }

    /// Chooses files in an input, as a person does in its dialogue.
    pub async fn choose_files(&mut self, selector: &str, files: &[&Path]) {
        let root = self.command("DOM.getDocument", json!({})).await.expect("a document")["root"]["nodeId"].clone();
        let found = self.command("DOM.querySelector", json!({"nodeId": root, "selector": selector})).await;
        let node = found.expect("an input")["nodeId"].clone();
        self.command("DOM.setFileInputFiles", json!({"nodeId": node, "files": files})).await.expect("it takes files");
    }

    /// Looks like a window of this size, light or dark.
    pub async fn look_like(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.command("Emulation.setDeviceMetricsOverride", size).await.expect("it takes a size");
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", features).await.expect("it takes a scheme");
    }

    /// The URL of each request since the last call, in their order. They are seen from [`Browser::add_headers`] on.
    pub fn requests(&mut self) -> Vec<String> {
        std::mem::take(&mut self.requests)
    }

    /// Switches the scripts of pages on or off. [`Browser::eval`] works all the same.
    pub async fn allow_scripts(&mut self, are_allowed: bool) {
        let off = json!({ "value": !are_allowed });
        self.command("Emulation.setScriptExecutionDisabled", off).await.expect("it takes the setting");
    }

    /// The size of text that a person has chosen, in pixels; 16 is the default.
    pub async fn set_text_size(&mut self, pixels: u32) {
        let sizes = json!({"fontSizes": {"standard": pixels, "fixed": pixels * 13 / 16}});
        self.command("Page.setFontSizes", sizes).await.expect("it takes a size");
    }

    /// The page as it looks, as PNG.
    pub async fn screenshot(&mut self) -> Vec<u8> {
        self.picture(json!({"format": "png"})).await
    }

    /// The whole page, also what is below the window, as `WebP` with so many dots for each pixel.
    pub async fn picture_of_page(&mut self, width: u32, dots: f32) -> Vec<u8> {
        let height = self.eval("document.documentElement.scrollHeight").await;
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": dots});
        self.picture(json!({"format": "webp", "quality": 50, "captureBeyondViewport": true, "clip": clip})).await
    }

    async fn picture(&mut self, how: Value) -> Vec<u8> {
        let taken = self.command("Page.captureScreenshot", how).await.expect("a picture");
        STANDARD.decode(taken["data"].as_str().expect("base64")).expect("base64")
    }

    /// The names of the cookies that the browser has, with the host of each.
    pub async fn cookies(&mut self) -> Vec<(String, String)> {
        let cookies = self.command("Network.getAllCookies", json!({})).await.expect("it knows its cookies");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        cookies["cookies"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|cookie| (text(&cookie["domain"]), text(&cookie["name"])))
            .collect()
    }

    /// Errors: what the browser says to it.
    async fn command(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.commands += 1;
        let mut command = json!({"id": self.commands, "method": method, "params": parameters});
        if !self.session.is_empty() && !method.starts_with("Target.") {
            command["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(command.to_string())).await.expect("Chromium listens");
        loop {
            let message = within(STEP, method, self.socket.next()).await.expect("Chromium is there").expect("a sound message");
            let Ok(text) = message.into_text() else { continue };
            let mut answer: Value = serde_json::from_str(&text).expect("Chromium speaks JSON");
            if answer["method"] == "Network.requestWillBeSent" {
                self.requests.extend(answer["params"]["request"]["url"].as_str().map(str::to_owned));
            }
            if answer["id"] == self.commands {
                return if answer["error"].is_null() { Ok(answer["result"].take()) } else { Err(answer["error"].to_string()) };
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its own children end with it. One that is gone already is no error.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The WebSocket that the browser names; none when it ends first. A thread reads on, so that it never blocks on a full pipe.
fn listening(mut said: BufReader<std::process::ChildStderr>) -> Option<String> {
    let mut line = String::new();
    while said.read_line(&mut line).ok()? > 0 {
        if let Some(place) = line.trim().strip_prefix("DevTools listening on ") {
            let place = place.to_owned();
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return Some(place);
        }
        line.clear();
    }
    None
}
