//! Flux's kustomize-controller as it is released, beside the cluster instead of in it. What feeds it: [`crate::source`].

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::process::{Process, free_ports};
use crate::wait::{Look, until};
use crate::{LIMIT, World};

/// How long one reconciliation may take here: kwok's pods are ready at once.
const RECONCILED: Duration = Duration::from_secs(180);

/// The running controller.
pub(crate) struct Flux {
    kustomize: Process,
}

impl Flux {
    /// Installs the CRDs and starts the controller.
    pub(crate) async fn start(cluster: &Cluster, bin: &Path, dir: &Path, logs: &Path) -> Result<Self> {
        cluster.kubectl(&["apply", "--server-side", "-f", &bin.join("crds").display().to_string()])?;
        cluster.kubectl(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"])?;
        cluster.kubectl(&["create", "namespace", "flux-system"])?;
        let [metrics, health] = free_ports()?;
        let kubeconfig = dir.join("pki/flux.kubeconfig").display().to_string();
        let scratch = dir.join("scratch");
        std::fs::create_dir_all(&scratch)?;
        let scratch = scratch.display().to_string();
        let envs = [("KUBECONFIG", kubeconfig.as_str()), ("RUNTIME_NAMESPACE", "flux-system"), ("TMPDIR", scratch.as_str())];
        let kustomize = Process::start(
            logs,
            "kustomize-controller",
            &bin.join("kustomize-controller"),
            &[
                "--events-addr=".to_owned(),
                format!("--metrics-addr=127.0.0.1:{metrics}"),
                format!("--health-addr=127.0.0.1:{health}"),
                "--no-remote-bases=true".to_owned(),
            ],
            &envs,
        )?;
        let mut flux = Self { kustomize };
        until("ready: kustomize-controller", LIMIT, async || {
            flux.alive()?;
            Ok(match tokio::net::TcpStream::connect(("127.0.0.1", health)).await {
                Ok(_) => Look::Done(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await?;
        Ok(flux)
    }

    /// An error if it is gone.
    pub(crate) fn alive(&mut self) -> Result<()> {
        self.kustomize.alive()
    }

    /// As a node's reboot does.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kustomize.restart()
    }
}

/// What a new commit and `flux reconcile` do: waits until that commit was attempted, and gives the Kustomization's status.
pub(crate) async fn reconcile(world: &World, commit: &str) -> Result<Value> {
    let (cluster, finder) = (&world.cluster, &world.finder);
    let sync = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "home", "namespace": "flux-system"},
    });
    world.source.publish(cluster, &world.repo.tree, commit)?;
    let token = request(cluster)?;
    until("attempted by kustomize-controller", RECONCILED, async || {
        let live = finder.live(&sync).await?.context("the Kustomization is gone")?;
        let attempted = text(&live, "/status/lastAttemptedRevision").ends_with(commit);
        let handled = text(&live, "/status/lastHandledReconcileAt") == token;
        let decided = ["True", "False"].contains(&ready(&live));
        Ok(if attempted && handled && decided { Look::Done(live) } else { Look::NotYet(message(&live)) })
    })
    .await
}

/// The same, and it has to succeed.
pub(crate) async fn applied(world: &World, commit: &str) -> Result<()> {
    let status = reconcile(world, commit).await?;
    if ready(&status) != "True" {
        bail!("Flux did not apply {commit}: {}", message(&status));
    }
    Ok(())
}

/// The status of the condition Ready.
pub(crate) fn ready(object: &Value) -> &str {
    condition(object).map_or("", |condition| text(condition, "/status"))
}

/// What the condition Ready says.
pub(crate) fn message(object: &Value) -> String {
    condition(object).map_or_else(
        || "no status yet".to_owned(),
        |condition| format!("{}: {}", text(condition, "/reason"), text(condition, "/message")),
    )
}

fn condition(object: &Value) -> Option<&Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == "Ready")
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Asks for a reconciliation now, as `flux reconcile` does: by an annotation. Each request has a value of its own.
fn request(cluster: &Cluster) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos().to_string();
    let annotation = format!("reconcile.fluxcd.io/requestedAt={now}");
    cluster.kubectl(&["-n", "flux-system", "annotate", "--overwrite", "kustomization/home", &annotation])?;
    Ok(now)
}
