//! What the pods say themselves, through the API server: guard, cloudflared, and what does not run.

use std::collections::BTreeMap;

use anyhow::Result;
use kube::Client;
use serde_json::Value;

use super::{look, text};
use crate::doctor::evidence::{Evidence, Look, Tunnel};

/// The last lines of a container that are read.
const LOG_LINES: u32 = 40;
/// The last lines of a server that runs: an upload that failed some time ago is still there.
const SERVER_LINES: u32 = 400;

/// What guard and cloudflared say themselves, through the API server, and the last lines of what does not run.
pub(super) async fn inside(client: &Client, evidence: &mut Evidence) {
    let pod = |name: &str| {
        let running = evidence.pods_of("immich-edge", name).find(|pod| pod["status"]["phase"] == "Running");
        running.and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned)
    };
    let (guard, tunnel) = (pod("immich-origin-proxy"), pod("cloudflared"));
    let wanted: Vec<(String, String)> = evidence.all("Pod").flat_map(troubled).collect();
    let guard_ready = async {
        match &guard {
            Some(pod) => look(proxied(client, pod, 9090, "readyz")).await,
            None => Look::Skipped,
        }
    };
    let guard_metrics = async {
        match &guard {
            Some(pod) => look(proxied(client, pod, 9090, "metrics")).await,
            None => Look::Skipped,
        }
    };
    let tunnel_says = async {
        match &tunnel {
            Some(pod) => look(self::tunnel(client, pod)).await,
            None => Look::Skipped,
        }
    };
    let logs = async {
        let mut looks = tokio::task::JoinSet::new();
        for (pod, container) in wanted {
            let client = client.clone();
            looks.spawn(async move {
                let namespace = pod.split('/').next().unwrap_or_default().to_owned();
                let name = pod.split('/').nth(1).unwrap_or_default().to_owned();
                let path = format!(
                    "/api/v1/namespaces/{namespace}/pods/{name}/log?container={container}&tailLines={LOG_LINES}&previous="
                );
                for previous in ["true", "false"] {
                    if let Look::Found(text) = look(text(&client, &format!("{path}{previous}"))).await
                        && !text.is_empty()
                    {
                        return (format!("{name}/{container}"), text);
                    }
                }
                (format!("{name}/{container}"), String::new())
            });
        }
        let mut logs = BTreeMap::new();
        while let Some(Ok((name, text))) = looks.join_next().await {
            logs.insert(name, text);
        }
        logs
    };
    let running = evidence.pods_of("immich", "immich-server").find(|pod| pod["status"]["phase"] == "Running");
    let server = running.and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned);
    let server_log = async {
        let path = |pod| format!("/api/v1/namespaces/immich/pods/{pod}/log?container=server&tailLines={SERVER_LINES}");
        match server.map(path) {
            Some(path) => look(text(client, &path)).await,
            None => Look::Skipped,
        }
    };
    let metrics: Look<String>;
    let server_says: Look<String>;
    (evidence.guard_ready, metrics, evidence.tunnel, evidence.logs, server_says) =
        tokio::join!(guard_ready, guard_metrics, tunnel_says, logs, server_log);
    evidence.server_log = server_says.found().cloned().unwrap_or_default();
    if let Some(text) = metrics.found() {
        evidence.guard_metrics = read_metrics(text);
    }
}

/// The containers of a pod that have ended badly, or wait.
fn troubled(pod: &Value) -> Vec<(String, String)> {
    let name = format!(
        "{}/{}",
        pod["metadata"]["namespace"].as_str().unwrap_or_default(),
        pod["metadata"]["name"].as_str().unwrap_or_default()
    );
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let all = statuses.iter().flat_map(|list| pod["status"][*list].as_array().into_iter().flatten());
    all.filter(|status| status["ready"] != true || status["restartCount"].as_u64().unwrap_or(0) > 0)
        .filter_map(|status| Some((name.clone(), status["name"].as_str()?.to_owned())))
        .collect()
}

/// Samples of metrics by name and labels: `guard_requests_total{decision="passed"}`.
fn read_metrics(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

async fn proxied(client: &Client, pod: &str, port: u16, path: &str) -> Result<String> {
    text(client, &format!("/api/v1/namespaces/immich-edge/pods/{pod}:{port}/proxy/{path}")).await
}

async fn tunnel(client: &Client, pod: &str) -> Result<Tunnel> {
    // 503 without a connection, with the same JSON in the message.
    let ready = match proxied(client, pod, 2000, "ready").await {
        Ok(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        Err(error) if error.to_string().contains("readyConnections") || error.to_string().contains("503") => Value::Null,
        Err(error) => return Err(error),
    };
    let config: Value = serde_json::from_str(&proxied(client, pod, 2000, "config").await.unwrap_or_default()).unwrap_or_default();
    let ingress = config["config"]["ingress"].as_array().into_iter().flatten();
    Ok(Tunnel {
        connections: ready["readyConnections"].as_u64().unwrap_or(0),
        config_version: config["version"].as_i64().unwrap_or(-1),
        services: ingress.filter_map(|rule| rule["service"].as_str()).map(str::to_owned).collect(),
    })
}
