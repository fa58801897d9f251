//! Reads what only a bundle needs: the Secrets' values (to take them out of everything else), the logs of all containers, more kinds of objects.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use tokio::time::timeout;

use super::Raw;
use crate::doctor::collect::{NAMESPACES, connect, list, look, text};
use crate::doctor::evidence::Evidence;
use crate::doctor::tools;

/// The last lines of each container.
const LOG_LINES: u32 = 300;
/// How long the reading may take as a whole.
const WHOLE: Duration = Duration::from_secs(30);

/// Reads it. Without a cluster, it is empty: the report is worth something alone.
pub(in crate::doctor) async fn collect(context: Option<String>, evidence: &Evidence) -> Raw {
    let mut raw = Raw { tools: tools::versions(), ..Raw::default() };
    if evidence.api.found().is_none() {
        return raw;
    }
    // What is not read in time is missing, and nothing else.
    if let Ok(Ok(client)) = timeout(WHOLE, connect(context)).await {
        let _ = timeout(WHOLE, read(&client, evidence, &mut raw)).await;
    }
    raw
}

async fn read(client: &Client, evidence: &Evidence, raw: &mut Raw) {
    // First: without the values of the Secrets, nothing else may be read.
    for namespace in NAMESPACES {
        match look(list(client, &format!("/api/v1/namespaces/{namespace}/secrets"))).await.found() {
            Some(secrets) => raw.secrets.extend(secrets.iter().cloned()),
            None if evidence.unreadable.contains_key("Secret") => {}
            None => return,
        }
    }
    let mut looks = tokio::task::JoinSet::new();
    for (kind, group, plural) in [
        ("Service", "api/v1", "services"),
        ("EndpointSlice", "apis/discovery.k8s.io/v1", "endpointslices"),
        ("NetworkPolicy", "apis/networking.k8s.io/v1", "networkpolicies"),
        ("Job", "apis/batch/v1", "jobs"),
        ("ReplicaSet", "apis/apps/v1", "replicasets"),
        ("PersistentVolumeClaim", "api/v1", "persistentvolumeclaims"),
    ] {
        for namespace in NAMESPACES {
            let client = client.clone();
            looks.spawn(async move { (kind, look(list(&client, &format!("/{group}/namespaces/{namespace}/{plural}"))).await) });
        }
    }
    let mut logs = tokio::task::JoinSet::new();
    for (name, path) in containers(evidence) {
        let client = client.clone();
        logs.spawn(async move { (name, look(text(&client, &path)).await) });
    }
    while let Some(Ok((kind, found))) = looks.join_next().await {
        raw.objects.entry(kind.to_owned()).or_default().extend(found.found().cloned().unwrap_or_default());
    }
    while let Some(Ok((name, found))) = logs.join_next().await {
        if let Some(text) = found.found() {
            raw.logs.insert(name, text.clone());
        }
    }
}

/// The logs of all containers: a name for each, and its path at the API server.
fn containers(evidence: &Evidence) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for pod in evidence.all("Pod") {
        let of = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let (namespace, pod_name) = (of("namespace"), of("name"));
        let lists = ["initContainerStatuses", "containerStatuses"];
        for status in lists.iter().flat_map(|list| pod["status"][*list].as_array().into_iter().flatten()) {
            let container = status["name"].as_str().unwrap_or_default();
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod_name}/log?container={container}&tailLines={LOG_LINES}");
            if status["restartCount"].as_u64().unwrap_or(0) > 0 {
                found.insert(format!("{namespace}/{pod_name}/{container}.previous"), format!("{path}&previous=true"));
            }
            found.insert(format!("{namespace}/{pod_name}/{container}"), path);
        }
    }
    found
}
