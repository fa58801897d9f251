//! The cluster that the kubeconfig names: what is there already, and `kubectl` for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Request;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::doctor;

/// How long the API server may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// What the Secrets and the Job of the sentinel need, in the order of the quickstart.
const FIRST: [&str; 5] = [
    "apps/media/immich/namespace.yaml",
    "apps/networking/immich-edge/namespace.yaml",
    "apps/media/immich/validatingadmissionpolicy.yaml",
    "apps/media/immich/validatingadmissionpolicybinding.yaml",
    "apps/media/immich/serviceaccount.yaml",
];

/// A cluster that answers.
pub(crate) struct Cluster {
    /// The URL of its API server.
    pub server: String,
    /// Its version.
    pub version: String,
    context: Option<String>,
    client: Client,
    runtime: Runtime,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its label `kubernetes.io/hostname`.
    pub name: String,
    /// Its address in the LAN.
    pub address: Option<String>,
}

/// A Secret that is there: its values, and the version that was read.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// The values.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Its resource version.
    pub version: String,
}

impl Cluster {
    /// Connects, and asks for the version.
    pub(crate) fn open(context: Option<String>) -> Result<Self> {
        // A second one does nothing: the first counts.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (client, server, version) = runtime.block_on(async {
            let config = doctor::kube_config(context.clone()).await?;
            let server = config.cluster_url.to_string();
            let client = Client::try_from(config)?;
            let asked = timeout(ANSWER, client.apiserver_version()).await;
            let version = asked.map_err(anyhow::Error::from).and_then(|it| it.map_err(anyhow::Error::from));
            let version = version.with_context(|| format!("the cluster at {server} does not answer"))?;
            anyhow::Ok((client, server, version.git_version))
        })?;
        Ok(Self { server: server.trim_end_matches('/').to_owned(), version, context, client, runtime })
    }

    /// Runs something with a client.
    pub(crate) fn run<T>(&self, what: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        self.runtime.block_on(what(self.client.clone()))
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.run(async |client| {
            timeout(ANSWER, client.request(Request::get(path).body(Vec::new())?))
                .await
                .context(path.to_owned())?
                .context(path.to_owned())
        })
    }

    /// The nodes that may run pods.
    pub(crate) fn nodes(&self) -> Result<Vec<Node>> {
        let list = self.get("/api/v1/nodes")?;
        let nodes: Vec<_> = list["items"].as_array().into_iter().flatten().filter_map(node).collect();
        ensure!(!nodes.is_empty(), "the cluster has no node");
        Ok(nodes)
    }

    /// Whether Flux's kinds are there.
    pub(crate) fn has_flux(&self) -> bool {
        ["source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"]
            .iter()
            .all(|group| self.get(&format!("/apis/{group}/v1")).is_ok())
    }

    /// A Secret, if it is there.
    pub(crate) fn secret(&self, namespace: &str, name: &str) -> Result<Option<Held>> {
        self.run(async |client| {
            let secrets: Api<Secret> = Api::namespaced(client, namespace);
            let found = timeout(ANSWER, secrets.get_opt(name)).await?;
            let found = found.with_context(|| format!("the Secret {namespace}/{name} cannot be read"))?;
            Ok(found.map(|secret| Held {
                data: secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(),
                version: secret.metadata.resource_version.unwrap_or_default(),
            }))
        })
    }

    /// A command for kubectl.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(self.context.iter().map(|context| format!("--context={context}"))).args(arguments).stdin(Stdio::null());
        command
    }

    /// A field of an object, if the object is there.
    pub(crate) fn field(&self, namespace: &str, object: &str, path: &str) -> Result<Option<String>> {
        // The name is always there, so that nothing printed means no object.
        let format = format!("-o=jsonpath={{.metadata.name}} {path}");
        let output =
            self.kubectl(&["-n", namespace, "get", object, "--ignore-not-found", &format]).output().context("kubectl")?;
        ensure!(output.status.success(), "kubectl get {object}: {}", String::from_utf8_lossy(&output.stderr).trim());
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.split_once(' ').map(|(_, value)| value.trim().to_owned()))
    }

    /// Applies what the Secrets and the Job need. Returns what kubectl changed.
    pub(crate) fn apply_first(&self) -> Result<Vec<String>> {
        let mut arguments = vec!["apply"];
        arguments.extend(FIRST.iter().flat_map(|file| ["-f", file]));
        let output = self.kubectl(&arguments).output().context("kubectl")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(text.lines().filter(|line| !line.ends_with("unchanged")).map(str::to_owned).collect())
    }

    /// Applies a kustomization, with kubectl's own output.
    pub(crate) fn apply(&self, folder: &Path) -> Result<()> {
        let status = self.kubectl(&["apply", "-k", &folder.display().to_string()]).status().context("kubectl")?;
        ensure!(status.success(), "kubectl apply -k {} ended with {status}", folder.display());
        Ok(())
    }

    /// What applying a kustomization would change: one line an object, without its content.
    pub(crate) fn diff(&self, folder: &Path) -> Result<Vec<String>> {
        let output = self.kubectl(&["diff", "-k", &folder.display().to_string()]).env_remove("KUBECTL_EXTERNAL_DIFF").output();
        let output = output.context("kubectl")?;
        if matches!(output.status.code(), Some(0 | 1)) {
            return Ok(changes(&String::from_utf8_lossy(&output.stdout)));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("namespaces \"immich") && said.contains("not found") {
            return Ok(vec!["+ everything: the namespaces are not there yet".to_owned()]);
        }
        bail!("kubectl diff -k {}: {}", folder.display(), said.lines().last().unwrap_or_default())
    }
}

fn node(node: &Value) -> Option<Node> {
    let meta = &node["metadata"];
    let name = meta["labels"]["kubernetes.io/hostname"].as_str().or_else(|| meta["name"].as_str())?.to_owned();
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let address = addresses.into_iter().find(|it| it["type"] == "InternalIP").and_then(|it| it["address"].as_str());
    (node["spec"]["unschedulable"] != true).then(|| Node { name, address: address.map(str::to_owned) })
}

/// The objects in a diff of kubectl: its files are `GROUP.VERSION.KIND.NAMESPACE.NAME`.
fn changes(diff: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = diff.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(file) = line.strip_prefix("diff ").and_then(|line| line.split_whitespace().last()?.rsplit('/').next()) else {
            continue;
        };
        let hunk = lines.by_ref().take(3).find(|line| line.starts_with("@@"));
        let sign = if hunk.is_some_and(|hunk| hunk.starts_with("@@ -0,0")) { '+' } else { '~' };
        found.push(format!("{sign} {file}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_of_kubectl_is_one_line_an_object() {
        let diff = "diff -u -N /tmp/LIVE-1/apps.v1.Deployment.immich.a /tmp/MERGED-2/apps.v1.Deployment.immich.a\n--- /tmp/LIVE-1/x\n+++ /tmp/MERGED-2/x\n@@ -0,0 +1,40 @@\n+kind: x\n\
                    diff -u -N /tmp/LIVE-1/v1.Service.immich.b /tmp/MERGED-2/v1.Service.immich.b\n--- /tmp/LIVE-1/x\n+++ /tmp/MERGED-2/x\n@@ -5,3 +5,3 @@\n-a\n+b\n";
        assert_eq!(changes(diff), ["+ apps.v1.Deployment.immich.a", "~ v1.Service.immich.b"]);
        assert!(changes("").is_empty());
    }

    #[test]
    fn a_node_that_takes_no_pods_is_none() {
        let value = |spec: Value| {
            serde_json::json!({"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "home"}}, "spec": spec,
                "status": {"addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": "192.0.2.10"}]}})
        };
        assert_eq!(
            node(&value(serde_json::json!({}))),
            Some(Node { name: "home".to_owned(), address: Some("192.0.2.10".to_owned()) })
        );
        assert_eq!(node(&value(serde_json::json!({"unschedulable": true}))), None);
    }
}
