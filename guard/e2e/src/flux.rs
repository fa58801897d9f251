//! Runs the released source-controller and kustomize-controller of Flux, as processes beside the cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::process::{Process, free_ports};
use crate::wait::{Look, until};
use crate::{LIMIT, World};

/// The most time for one fetch or one reconciliation. It can be short, because the pods of kwok are ready at once.
const RECONCILED: Duration = Duration::from_secs(180);

/// The running controllers.
pub(crate) struct Flux {
    /// The directory in which source-controller keeps its artifacts.
    pub artifacts: PathBuf,
    source: Process,
    kustomize: Process,
    health: [u16; 2],
}

impl Flux {
    /// Installs the CRDs and starts the controllers.
    pub(crate) async fn start(cluster: &Cluster, bin: &Path, dir: &Path, logs: &Path) -> Result<Self> {
        cluster.kubectl(&["apply", "--server-side", "-f", &bin.join("crds").display().to_string()])?;
        cluster.kubectl(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"])?;
        cluster.kubectl(&["create", "namespace", "flux-system"])?;
        let artifacts = dir.join("artifacts");
        std::fs::create_dir_all(&artifacts)?;
        let [storage, source_metrics, source_health, kustomize_metrics, kustomize_health] = free_ports()?;
        let mut arguments = common(source_metrics, source_health).to_vec();
        arguments.extend([
            format!("--storage-path={}", artifacts.display()),
            format!("--storage-addr=127.0.0.1:{storage}"),
            format!("--storage-adv-addr=127.0.0.1:{storage}"),
        ]);
        let source = start(bin, dir, logs, "source-controller", &arguments)?;
        let mut arguments = common(kustomize_metrics, kustomize_health).to_vec();
        arguments.push("--no-remote-bases=true".to_owned());
        let kustomize = start(bin, dir, logs, "kustomize-controller", &arguments)?;
        let mut flux = Self { artifacts, source, kustomize, health: [source_health, kustomize_health] };
        flux.healthy().await?;
        Ok(flux)
    }

    async fn healthy(&mut self) -> Result<()> {
        for port in self.health {
            until("ready: Flux's controllers", LIMIT, async || {
                self.alive()?;
                Ok(match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
                    Ok(_) => Look::Done(()),
                    Err(error) => Look::NotYet(error.to_string()),
                })
            })
            .await?;
        }
        Ok(())
    }

    /// Fails if a controller does not run any more.
    pub(crate) fn alive(&mut self) -> Result<()> {
        self.source.alive()?;
        self.kustomize.alive()
    }

    /// Restarts both controllers, as a reboot of the node does.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.source.restart()?;
        self.kustomize.restart()?;
        self.healthy().await
    }
}

fn common(metrics: u16, health: u16) -> [String; 3] {
    ["--events-addr=".to_owned(), format!("--metrics-addr=127.0.0.1:{metrics}"), format!("--health-addr=127.0.0.1:{health}")]
}

fn start(bin: &Path, dir: &Path, logs: &Path, name: &str, arguments: &[String]) -> Result<Process> {
    let kubeconfig = dir.join("pki/flux.kubeconfig").display().to_string();
    let scratch = dir.join("scratch").join(name);
    std::fs::create_dir_all(&scratch)?;
    let scratch = scratch.display().to_string();
    let envs = [("KUBECONFIG", kubeconfig.as_str()), ("RUNTIME_NAMESPACE", "flux-system"), ("TMPDIR", scratch.as_str())];
    Process::start(logs, name, &bin.join(name), arguments, &envs)
}

/// Returns the `GitRepository`, which `flux get source git home` shows.
pub(crate) async fn repository(world: &World) -> Result<Value> {
    let object = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "home", "namespace": "flux-system"},
    });
    world.finder.live(&object).await?.context("the GitRepository home does not exist")
}

/// Returns the Kustomization, which `flux get kustomization home` shows.
pub(crate) async fn kustomization(world: &World) -> Result<Value> {
    let object = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "home", "namespace": "flux-system"},
    });
    world.finder.live(&object).await?.context("the Kustomization home does not exist")
}

/// Requests a fetch, as `flux reconcile source git home` does. Returns the `GitRepository` when it failed or has an artifact of the commit.
pub(crate) async fn fetch(world: &World, commit: &str) -> Result<Value> {
    let token = request(&world.cluster, "gitrepository/home")?;
    until("attempted by source-controller", RECONCILED, async || {
        let live = repository(world).await?;
        let handled = text(&live, "/status/lastHandledReconcileAt") == token;
        // The conditions are written before the rest of the status.
        let stored = ready(&live) == "True" && text(&live, "/status/artifact/revision").ends_with(commit);
        Ok(if handled && (stored || ready(&live) == "False") { Look::Done(live) } else { Look::NotYet(message(&live)) })
    })
    .await
}

/// Requests a fetch and a reconciliation, as `flux reconcile kustomization home --with-source` does after a push. Returns the Kustomization
/// when Flux has attempted the commit.
pub(crate) async fn reconcile(world: &World, commit: &str) -> Result<Value> {
    let fetched = fetch(world, commit).await?;
    if ready(&fetched) != "True" {
        bail!("source-controller did not fetch {commit}: {}", message(&fetched));
    }
    reapply(world, commit).await
}

/// Requests a reconciliation without a fetch, as `flux reconcile kustomization home` does.
pub(crate) async fn reapply(world: &World, commit: &str) -> Result<Value> {
    let token = request(&world.cluster, "kustomization/home")?;
    until("attempted by kustomize-controller", RECONCILED, async || {
        let live = kustomization(world).await?;
        let attempted = text(&live, "/status/lastAttemptedRevision").ends_with(commit);
        let handled = text(&live, "/status/lastHandledReconcileAt") == token;
        Ok(if attempted && handled && decided(&live) { Look::Done(live) } else { Look::NotYet(message(&live)) })
    })
    .await
}

/// Requests a fetch and a reconciliation, and fails if Flux did not apply the commit.
pub(crate) async fn applied(world: &World, commit: &str) -> Result<()> {
    let status = reconcile(world, commit).await?;
    if ready(&status) != "True" {
        bail!("Flux did not apply {commit}: {}", message(&status));
    }
    Ok(())
}

/// Waits until Flux has applied a commit by itself, without a request.
pub(crate) async fn follows(world: &World, commit: &str) -> Result<()> {
    until("applied by itself", RECONCILED, async || {
        let live = kustomization(world).await?;
        let applied = text(&live, "/status/lastAppliedRevision").ends_with(commit) && ready(&live) == "True";
        let source = repository(world).await?;
        Ok(if applied {
            Look::Done(())
        } else {
            Look::NotYet(format!("GitRepository: {}; Kustomization: {}", message(&source), message(&live)))
        })
    })
    .await
}

/// Returns the status of the condition Ready.
pub(crate) fn ready(object: &Value) -> &str {
    condition(object).map_or("", |condition| text(condition, "/status"))
}

fn decided(object: &Value) -> bool {
    ["True", "False"].contains(&ready(object))
}

/// Returns the reason and the message of the condition Ready.
pub(crate) fn message(object: &Value) -> String {
    condition(object).map_or_else(
        || "no status yet".to_owned(),
        |condition| format!("{}: {}", text(condition, "/reason"), text(condition, "/message")),
    )
}

fn condition(object: &Value) -> Option<&Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == "Ready")
}

/// Returns the text at a JSON pointer, or an empty text if there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Requests a reconciliation with an annotation, as `flux reconcile` does. Returns the value of the annotation, which differs each time.
fn request(cluster: &Cluster, object: &str) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos().to_string();
    let annotation = format!("reconcile.fluxcd.io/requestedAt={now}");
    cluster.kubectl(&["-n", "flux-system", "annotate", "--overwrite", object, &annotation])?;
    Ok(now)
}
