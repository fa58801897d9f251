//! Looks at the cluster and at the outside, only by reading: all looks at the same time, each with a deadline.

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
use super::evidence::{EdgeAnswer, Evidence, KeyFacts, Look, Tunnel};

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(4);
/// Keys whose values are no secrets.
const PUBLIC_KEYS: [&str; 4] = ["ACCESS_TEAM", "ACCESS_AUD", "EXTERNAL_HOST", "LAN_URL"];
pub(super) const NAMESPACES: [&str; 2] = ["immich", "immich-edge"];
/// The last lines of a container that are read.
const LOG_LINES: u32 = 40;
/// The last lines of a server that runs: an upload that failed some time ago is still there.
const SERVER_LINES: u32 = 400;

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

/// What is seen of the public name.
#[derive(Default)]
struct Outside {
    edge: Look<(EdgeAnswer, Option<i64>)>,
    phone: Look<EdgeAnswer>,
    websocket: Look<u16>,
    addresses: Look<Vec<String>>,
    public_addresses: BTreeMap<String, Look<Vec<String>>>,
}

async fn outside(scope: &Scope, http: &reqwest::Client, host: Option<&str>) -> Outside {
    let Some(host) = host.filter(|_| scope.outside) else { return Outside::default() };
    let phone = async {
        match &scope.phone {
            Some(headers) => look(async { Ok(edge(http, host, headers).await?.0) }).await,
            None => Look::Skipped,
        }
    };
    let websocket = async {
        match &scope.phone {
            Some(headers) => look(websocket(http, host, headers)).await,
            None => Look::Skipped,
        }
    };
    let mut asked = tokio::task::JoinSet::new();
    for resolver in &scope.resolvers {
        let (http, resolver, host) = (http.clone(), resolver.clone(), host.to_owned());
        asked.spawn(async move {
            let found = look(dns::addresses(&http, &resolver, &host)).await;
            (dns::name(&resolver), found)
        });
    }
    let public = async { asked.join_all().await.into_iter().collect() };
    let (edge, phone, websocket, addresses, public_addresses) =
        tokio::join!(look(edge(http, host, &[])), phone, websocket, look(system(host)), public);
    Outside { edge, phone, websocket, addresses, public_addresses }
}

/// A and AAAA, as this computer's resolver says.
async fn system(name: &str) -> Result<Vec<String>> {
    let found = tokio::net::lookup_host((name, 443)).await?;
    let mut found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
    found.sort();
    found.dedup();
    Ok(found)
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

/// What guard and cloudflared say themselves, through the API server, and the last lines of what does not run.
async fn inside(client: &Client, evidence: &mut Evidence) {
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
pub(super) fn read_metrics(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
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

pub(crate) fn client() -> Result<reqwest::Client> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    // A redirect is the answer that is looked for.
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LOOK)
        .build()?)
}

async fn edge(http: &reqwest::Client, host: &str, headers: &[(String, String)]) -> Result<(EdgeAnswer, Option<i64>)> {
    let request = http.get(format!("https://{host}/api/server/ping"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    // The error names the address, which has no query.
    let response = request.send().await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = EdgeAnswer {
        status: response.status().as_u16(),
        location: header("location"),
        refusal: header("guard-refusal"),
        mitigated: header("cf-mitigated"),
    };
    Ok((answer, ahead(header("date").as_deref())))
}

/// The status of a handshake (RFC 6455) at Immich's path for live updates.
async fn websocket(http: &reqwest::Client, host: &str, headers: &[(String, String)]) -> Result<u16> {
    let request = http.get(format!("https://{host}/api/socket.io/?EIO=4&transport=websocket")).version(http::Version::HTTP_11);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
    Ok(request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").send().await?.status().as_u16())
}

/// The number of keys at the address of a team.
pub(crate) async fn team_keys(http: &reqwest::Client, team: &str) -> Result<usize> {
    let team = team.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(".cloudflareaccess.com");
    let response = http.get(format!("https://{team}.cloudflareaccess.com/cdn-cgi/access/certs")).send().await?;
    let body: Value = serde_json::from_slice(&response.bytes().await?)?;
    body["keys"].as_array().map(Vec::len).context("no key set at the team's address")
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
