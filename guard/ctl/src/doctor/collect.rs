//! Looks at the cluster and at the outside, only by reading: all looks at the same time, each with a deadline.

mod inside;
mod outside;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tokio::time::timeout;

use super::dns;
use super::evidence::{Evidence, KeyFacts, Look};
use inside::inside;
pub(crate) use outside::{client, team_keys};
use outside::{outside, system};

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(4);
/// Keys whose values are no secrets.
const PUBLIC_KEYS: [&str; 4] = ["ACCESS_TEAM", "ACCESS_AUD", "EXTERNAL_HOST", "LAN_URL"];
pub(super) const NAMESPACES: [&str; 2] = ["immich", "immich-edge"];

/// What to look at.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The cluster.
    pub cluster: bool,
    /// The public host name, from outside.
    pub outside: bool,
    /// The public host name, where the cluster does not say it.
    pub host: Option<String>,
    /// The context of the kubeconfig.
    pub context: Option<String>,
    /// The overlay, where nothing is applied yet.
    pub overlay: Option<String>,
    /// The public resolvers.
    pub resolvers: Vec<String>,
    /// The headers of a phone.
    pub phone: Option<Vec<(String, String)>>,
}

/// Looks at everything in this scope.
pub(super) async fn collect(scope: &Scope) -> Evidence {
    let mut evidence = Evidence::default();
    if let Some(overlay) = &scope.overlay {
        evidence.local = Look::Found(super::local::look(overlay));
    }
    evidence.head = scope.cluster.then(super::local::head).flatten();
    let Ok(http) = client() else { return evidence };
    // A name that was given does not wait for the cluster.
    let (client, early) = tokio::join!(cluster(scope, &mut evidence), outside(scope, &http, scope.host.as_deref()));
    evidence.host = scope.host.clone().or_else(|| evidence.edge_value("EXTERNAL_HOST").map(str::to_owned));
    let node = evidence.all("Node").find_map(|node| {
        let addresses = node["status"]["addresses"].as_array()?;
        addresses.iter().find(|address| address["type"] == "InternalIP")?["address"].as_str().map(str::to_owned)
    });
    let value = |key| evidence.edge_value(key).map(str::to_owned);
    let (host, team, lan_url) = (evidence.host.clone(), value("ACCESS_TEAM"), value("LAN_URL"));
    let lan = async {
        match node.filter(|_| scope.cluster && scope.overlay.is_none()) {
            Some(node) => {
                look(async {
                    Ok(http.get(format!("http://{}:30283/api/server/ping", bracketed(&node))).send().await?.status().as_u16())
                })
                .await
            }
            None => Look::Skipped,
        }
    };
    let keys = async {
        match team.filter(|_| scope.outside) {
            Some(team) => look(team_keys(&http, &team)).await,
            None => Look::Skipped,
        }
    };
    let at_home = async {
        let name = lan_url.as_deref().filter(|_| scope.outside).and_then(dns::host_of);
        match name.filter(|name| name.parse::<std::net::IpAddr>().is_err()) {
            Some(name) => look(system(name)).await,
            None => Look::Skipped,
        }
    };
    let later = async { if scope.host.is_some() { early } else { outside(scope, &http, host.as_deref()).await } };
    let inside = async {
        if let Some(client) = client {
            inside(&client, &mut evidence).await;
        }
    };
    let ((), lan, outside, keys, at_home) = tokio::join!(inside, lan, later, keys, at_home);
    (evidence.lan, evidence.team_keys, evidence.lan_addresses) = (lan, keys, at_home);
    (evidence.edge, evidence.clock_edge) = match outside.edge {
        Look::Found((answer, clock)) => (Look::Found(answer), clock),
        Look::Failed(reason) => (Look::Failed(reason), None),
        Look::Skipped => (Look::Skipped, None),
    };
    (evidence.addresses, evidence.public_addresses) = (outside.addresses, outside.public_addresses);
    (evidence.phone, evidence.websocket) = (outside.phone, outside.websocket);
    evidence
}

/// The public values of the Secret of guard.
pub(crate) async fn edge_values(context: Option<String>) -> Result<BTreeMap<String, String>> {
    let read = async {
        let client = connect(context).await?;
        let path = "/api/v1/namespaces/immich-edge/secrets/immich-edge";
        let secret: Value = client.request(Request::get(path).body(Vec::new())?).await?;
        Ok(facts(&secret).into_iter().filter_map(|(key, facts)| Some((key, facts.public?))).collect())
    };
    timeout(LOOK, read).await.unwrap_or_else(|_| Err(anyhow!("no answer within {LOOK:?}")))
}

pub(super) async fn look<T>(what: impl Future<Output = Result<T>>) -> Look<T> {
    match timeout(LOOK, what).await {
        Ok(Ok(found)) => Look::Found(found),
        Ok(Err(error)) => Look::Failed(format!("{error:#}")),
        Err(_) => Look::Failed(format!("no answer within {LOOK:?}")),
    }
}

/// The objects of the cluster. None if it cannot be reached.
async fn cluster(scope: &Scope, evidence: &mut Evidence) -> Option<Client> {
    if !scope.cluster {
        return None;
    }
    let first = look(async {
        let client = connect(scope.context.clone()).await?;
        let (version, clock) = version(&client).await?;
        Ok((client, version, clock))
    });
    let client = match first.await {
        Look::Found((client, version, clock)) => {
            evidence.api = Look::Found(version);
            evidence.clock_api = clock;
            client
        }
        Look::Failed(reason) => {
            evidence.api = Look::Failed(reason);
            return None;
        }
        Look::Skipped => return None,
    };
    let mut lists = vec![
        ("Node", "/api/v1/nodes".to_owned()),
        ("Namespace", "/api/v1/namespaces".to_owned()),
        ("StorageClass", "/apis/storage.k8s.io/v1/storageclasses".to_owned()),
        ("GitRepository", "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories".to_owned()),
        ("Kustomization", "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations".to_owned()),
    ];
    for namespace in NAMESPACES {
        lists.extend([
            ("Deployment", format!("/apis/apps/v1/namespaces/{namespace}/deployments")),
            ("Pod", format!("/api/v1/namespaces/{namespace}/pods")),
            ("Event", format!("/api/v1/namespaces/{namespace}/events")),
            ("CronJob", format!("/apis/batch/v1/namespaces/{namespace}/cronjobs")),
            ("ConfigMap", format!("/api/v1/namespaces/{namespace}/configmaps")),
            ("NetworkPolicy", format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")),
            ("Secret", format!("/api/v1/namespaces/{namespace}/secrets")),
        ]);
    }
    let mut looks = tokio::task::JoinSet::new();
    for (kind, path) in lists {
        let client = client.clone();
        looks.spawn(async move { (kind, look(list(&client, &path)).await) });
    }
    while let Some(Ok((kind, found))) = looks.join_next().await {
        match found {
            Look::Found(items) if kind == "Secret" => {
                for secret in items {
                    let name = |field: &str| secret["metadata"][field].as_str().unwrap_or_default().to_owned();
                    evidence.secrets.insert(format!("{}/{}", name("namespace"), name("name")), facts(&secret));
                }
            }
            Look::Found(items) => evidence.objects.entry(kind.to_owned()).or_default().extend(items),
            Look::Failed(reason) => drop(evidence.unreadable.insert(kind.to_owned(), reason)),
            Look::Skipped => {}
        }
    }
    Some(client)
}

pub(super) async fn connect(context: Option<String>) -> Result<Client> {
    let mut config = kube_config(context).await?;
    // The 503 of a cloudflared without a connection is an answer: asked again, it would take longer than a look.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// The cluster of a context, or of the current one.
pub(crate) async fn kube_config(context: Option<String>) -> Result<kube::Config> {
    Ok(match context {
        Some(context) => {
            let options = KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
            kube::Config::from_custom_kubeconfig(Kubeconfig::read()?, &options).await?
        }
        None => kube::Config::infer().await.context("no kubeconfig: set KUBECONFIG, or run this where kubectl works")?,
    })
}

async fn version(client: &Client) -> Result<(String, Option<i64>)> {
    let response = client.send(Request::get("/version").body(kube::client::Body::empty())?).await?;
    let clock = ahead(response.headers().get("date").and_then(|date| date.to_str().ok()));
    let info = client.apiserver_version().await?;
    Ok((info.git_version, clock))
}

pub(super) async fn list(client: &Client, path: &str) -> Result<Vec<Value>> {
    let mut found: Value = client.request(Request::get(path).body(Vec::new())?).await?;
    match found["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Err(anyhow!("{path}: no list")),
    }
}

pub(super) async fn text(client: &Client, path: &str) -> Result<String> {
    Ok(client.request_text(Request::get(path).body(Vec::new())?).await?)
}

/// Facts about the values of a Secret; the values themselves stay here.
fn facts(secret: &Value) -> BTreeMap<String, KeyFacts> {
    let data = secret["data"].as_object().into_iter().flatten();
    data.map(|(key, value)| {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let token = || -> Option<Value> { serde_json::from_slice(&STANDARD.decode(text.trim()).ok()?).ok() };
        let facts = KeyFacts {
            bytes: bytes.len(),
            has_space: text.trim() != text,
            public: PUBLIC_KEYS.contains(&key.as_str()).then(|| text.trim().to_owned()),
            is_tunnel_token: (key == "token")
                .then(|| token().is_some_and(|token| ["a", "s", "t"].iter().all(|field| token[field].is_string()))),
        };
        (key.clone(), facts)
    })
    .collect()
}

/// The seconds by which this computer is ahead of a `Date`.
fn ahead(date: Option<&str>) -> Option<i64> {
    let theirs = httpdate::parse_http_date(date?).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(ours).ok()? - i64::try_from(theirs).ok()?)
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exit code 3 comes within 5 s.
    const BLIND: Duration = Duration::from_secs(5);

    #[test]
    fn a_home_that_cannot_be_reached_is_told_in_time() {
        // The first look at the cluster and those from outside run together, and nothing follows one that failed.
        assert!(LOOK + Duration::from_millis(500) < BLIND, "{LOOK:?}");
    }
}
