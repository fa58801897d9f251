//! The oracle: Cloudflare's official Python SDK. It takes the stand-in for the real API, with its types strict; and for each call that guardctl
//! makes, its own method sends the same.
//!
//! `make test-cloudflare-sdk` makes a Python with the SDK and runs this; `make test` needs no network and lists it as ignored.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::cloudflare_api::{ACCOUNT, Fault, Recorded, ZONE};

use super::home::{HOST, Home};

/// The interpreter that has the SDK.
const VARIABLE: &str = "CLOUDFLARE_SDK_PYTHON";

/// Ends a script that asks for pages without end: the SDK asks until one is empty.
const DEADLINE: &str = "import signal\nsignal.alarm(120)\n";

/// Runs a script with these arguments and this input: what it printed.
async fn python(script: &'static str, arguments: Vec<String>, input: String) -> String {
    let python =
        PathBuf::from(std::env::var_os(VARIABLE).expect("CLOUDFLARE_SDK_PYTHON names a python that has the package cloudflare"));
    let run = move || {
        let mut command = Command::new(python);
        command
            .args(["-c", &format!("{DEADLINE}{script}")])
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs CLOUDFLARE_SDK_PYTHON: make test-cloudflare-sdk"]
async fn the_sdk_takes_the_stand_in_for_the_real_api() {
    let home = Home::start().await;
    let arguments =
        [home.api.url(), home.api.token(), home.api.token_without(&["DNS Write"]), ACCOUNT.into(), ZONE.into(), HOST.into()];
    assert_eq!(python(include_str!("sdk/answers.py"), arguments.to_vec(), String::new()).await, "right");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs CLOUDFLARE_SDK_PYTHON: make test-cloudflare-sdk"]
async fn the_sdk_understands_that_it_has_to_wait() {
    let home = Home::start().await;
    home.api.plant(Fault::limited("GET", "/access/groups", 1).times(1));
    home.api.plant(Fault::limited("GET", "/access/service_tokens", 1).times(1));
    let arguments = vec![home.api.url(), home.api.token(), ACCOUNT.into()];
    assert_eq!(python(include_str!("sdk/limits.py"), arguments, String::new()).await, "right");
}

/// Every call of a life: an empty account, drift, a new phone, a new secret, a check; by a token of a user and by one of the account.
async fn a_life() -> Vec<Recorded> {
    let home = Home::start().await;
    home.use_token(&home.api.account_token());
    home.apply().await.expect(0);
    home.use_token(&home.api.token());
    home.api.edit(|state| {
        let rules = state.ruleset.as_mut().unwrap()["rules"].as_array_mut().unwrap();
        rules[0]["action_parameters"] = json!({"cache": true});
        state.apps[0]["session_duration"] = json!("1h");
        state.records[0]["proxied"] = json!(false);
    });
    home.write_settings("family = [\"ada@example.com\", \"@example.org\"]\nphones = [\"ada\", \"bob\"]\nlogin = [\"Google\"]\n");
    home.run(&["apply", "--yes", "--rotate", "ada"]).await.expect(0);
    home.api.edit(|state| {
        state.ruleset.as_mut().unwrap()["rules"] = json!([]);
    });
    home.apply().await.expect(0);
    home.check().await;
    home.api.edit(|state| state.tunnels[0]["config_src"] = json!("cloudflare"));
    home.run(&["check", "--no-cluster", "--host", "photos.home.example.com", "--tunnel", &format!("immich-guard-{HOST}")]).await;
    home.api.calls()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs CLOUDFLARE_SDK_PYTHON: make test-cloudflare-sdk"]
async fn for_each_call_of_guardctl_the_sdks_method_sends_the_same() {
    let calls: Vec<Value> = a_life()
        .await
        .into_iter()
        .map(|call| json!({"method": call.method, "path": call.path, "query": call.query, "body": call.body}))
        .collect();
    assert!(calls.len() > 100, "{}", calls.len());
    let unused = python(include_str!("sdk/requests.py"), Vec::new(), Value::Array(calls).to_string()).await;
    assert_eq!(unused, "", "and every method of the table was needed");
}
