//! What cloudflared itself says about the file and the flags that we ship.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::RawClient;

use crate::{Chain, StorySetup, shipped};

/// The lines of `ingress validate` for this file.
fn validate(setup: &StorySetup, config: &str) -> Vec<String> {
    let file = setup.sandbox.path("/etc/cloudflared/validated.yaml");
    testkit::pod::file(&file, config).expect("a file");
    let mut command = Command::new(setup.which.program());
    command.env_clear().arg("tunnel").arg("--config").arg(file).args(["ingress", "validate"]);
    let output = command.output().expect("it runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).lines().map(str::to_owned).collect()
}

pub(crate) async fn the_shipped_file_is_valid(setup: StorySetup) {
    let said = validate(&setup, &shipped::config());
    assert!(said.contains(&"OK".to_owned()), "{said:?}");
    // It ends with 0 for this one too: the line is what counts.
    let said = validate(&setup, &format!("{}    originRequest:\n      keepAliveTimeOut: 5s\n", shipped::config()));
    assert!(!said.contains(&"OK".to_owned()), "{said:?}");
}

pub(crate) async fn the_shipped_file_is_in_force(setup: StorySetup) {
    let _chain = Chain::start(setup).await;
    let (host, port) = shipped::origin();
    let metrics = ([127, 0, 0, 1], 2000).into();
    let get = async |path: &str| {
        let mut client = RawClient::connect(metrics).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let answer = client.read_response().await;
        (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap_or_default())
    };
    let (_, config) = get("/config").await;
    assert_eq!(config["version"], -1, "a file, not what a dashboard pushed: {config}");
    let ingress = config["config"]["ingress"].as_array().expect("rules");
    assert_eq!(ingress.len(), 1, "{config}");
    assert_eq!(ingress[0]["service"], format!("http://{host}:{port}"), "{config}");
    assert_eq!(ingress[0]["hostname"], "", "{config}");
    let (_, flags) = get("/diag/configuration").await;
    assert_eq!(flags["management-diagnostics"], "false", "{flags}");
    assert_eq!(flags["grace-period"], "30s", "{flags}");
    // Requests flow a moment before the registration is answered.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (status, ready) = get("/ready").await;
        if status == 200 {
            assert_eq!(ready["readyConnections"], 1, "{ready}");
            return;
        }
        assert!(Instant::now() < deadline, "the edge's stand-in registers every connector: {ready}");
    }
}
