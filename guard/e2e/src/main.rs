//! End-to-end tests: the real controllers of Flux reconcile this repository with a real kube-apiserver on loopback.
//!
//! `e2e [--keep] [WORD...]` tells all stories, or those whose title contains one of the words; `e2e node [WORD...]` tells those of a real node
//! ([`node`]). Stories that others need are always told. The programs are in `tools/bin` (or `TOOLS_BIN`); `make e2e` and `make home` build them.
//! All processes end with the run, unless `--keep` is set.

mod api_proxy;
mod cluster;
mod doctor;
mod flux;
mod forge;
mod node;
mod objects;
mod pki;
mod process;
mod repo;
mod secrets;
mod shell;
mod stories;
mod telling;
mod wait;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use cluster::Cluster;
use flux::Flux;
use forge::Forge;
use objects::Finder;
use repo::Repo;
use telling::Telling;

/// The most time for a component to start.
const LIMIT: Duration = Duration::from_secs(90);
/// The name of the node. The example overlay uses it.
const NODE: &str = "home";

/// Everything that a story works with.
struct World {
    cluster: Cluster,
    flux: Flux,
    finder: Finder,
    repo: Repo,
    forge: Forge,
    kustomize: PathBuf,
    dir: PathBuf,
}

impl World {
    /// Lets Flux fetch and apply a commit. Fails if Flux does not apply it.
    async fn applied(&self, commit: &str) -> Result<()> {
        flux::applied(self, commit).await
    }

    /// Renders the overlay of the operator with kustomize.
    fn rendered(&self) -> Result<Vec<Value>> {
        objects::render(&self.kustomize, &self.repo.tree.join("clusters/home.local"))
    }

    /// Fails if the cluster lacks a rendered field. Returns the number of rendered objects.
    async fn as_rendered(&self) -> Result<usize> {
        let rendered = self.rendered()?;
        let differences = self.finder.differences(&rendered).await?;
        ensure!(differences.is_empty(), "the cluster differs from the rendered overlay:\n{}", differences.join("\n"));
        Ok(rendered.len())
    }

    /// Waits until the scheduler has said that it finds no node for a pod of this workload.
    async fn until_unscheduled(&self, workload: &str) -> Result<()> {
        wait::until("told that there is no node", std::time::Duration::from_secs(60), async || {
            let pods = self.finder.all("v1", "Pod").await?;
            let is_one = |pod: &&kube::api::DynamicObject| {
                let labels = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/name"));
                labels.is_some_and(|name| name == workload)
            };
            let is_told = pods.iter().filter(is_one).any(|pod| {
                let conditions = pod.data["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|it| it["type"] == "PodScheduled" && it["status"] == "False")
            });
            Ok(if is_told { wait::Look::Done(()) } else { wait::Look::NotYet("no such condition yet".to_owned()) })
        })
        .await
    }

    fn apply(&self, folder: &str) -> Result<String> {
        self.cluster.kubectl(&["apply", "-k", &self.repo.tree.join(folder).display().to_string()])
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let keep = std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty()) || words.iter().any(|word| word == "--keep");
    words.retain(|word| word != "--keep");
    if let Some(flag) = words.iter().find(|word| word.starts_with('-')) {
        eprintln!("e2e: found the unknown flag {flag}, wanted: e2e [--keep] [WORD...]");
        return ExitCode::from(2);
    }
    let on_node = words.first().is_some_and(|word| word == "node");
    if on_node && node::inside().is_none() {
        eprintln!("e2e: {:#}", node::enter());
        return ExitCode::FAILURE;
    }
    let dir = std::env::temp_dir().join(format!("e2e-{}", node::inside().unwrap_or_else(std::process::id)));
    let outcome = tokio::select! {
        outcome = async { if on_node { node::run_stories(&dir, keep, &words[1..]).await } else { run(&dir, keep, &words).await } } => outcome,
        outcome = stopped() => outcome.and_then(|()| Err(anyhow::anyhow!("stopped by a signal"))),
    };
    match outcome {
        Ok(true) => {
            // After a success, the logs are not needed.
            let _ = std::fs::remove_dir_all(&dir);
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("e2e: {error:#}\nlogs: {}", dir.join("logs").display());
            ExitCode::FAILURE
        }
    }
}

async fn run(dir: &Path, keep: bool, words: &[String]) -> Result<bool> {
    let began = Instant::now();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in guard/e2e")?;
    let bin = std::env::var_os("TOOLS_BIN").map_or_else(|| source.join("tools/bin"), PathBuf::from);
    let logs = dir.join("logs");
    std::fs::create_dir_all(&logs)?;
    versions(source, &bin, &stories::TOOLS)?;

    let control_plane = async {
        let mut cluster = Cluster::start(&bin, dir, &logs, &cluster::LOOPBACK).await?;
        cluster.simulate_node(dir, &logs).map(|()| cluster)
    };
    let cluster = timed("control plane: etcd, kube-apiserver, controller manager, scheduler, kwok", control_plane).await?;
    let flux = timed("Flux: source-controller, kustomize-controller", Flux::start(&cluster, &bin, dir, &logs)).await?;
    let repo = Repo::copy(source, &dir.join("tree"))?;
    let forge = timed("Git: git http-backend", Forge::start(&repo.tree)).await?;
    // The one line that an operator changes in a fork.
    repo.edit("clusters/home/flux/source.yaml", "https://git.example.com/family/photos", &forge.url())?;
    let finder = Finder::new(cluster.client.clone()).await?;
    let mut world = World { cluster, flux, finder, repo, forge, kustomize: bin.join("kustomize"), dir: dir.to_owned() };

    let mut telling = Telling::new(words);
    for story in stories::ALL {
        if !telling.wants(story.title, story.needed) {
            continue;
        }
        let start = Instant::now();
        let outcome = story.tell(&mut world).await.and_then(|said| {
            world.cluster.alive()?;
            world.flux.alive()?;
            Ok(said)
        });
        if !telling.told(story.title, start, outcome) {
            break;
        }
    }
    println!("  all  {:6.1} s", began.elapsed().as_secs_f32());
    if !telling.all_true() {
        println!("logs: {}", logs.display());
    }
    if keep {
        println!(
            "The cluster still runs. To use it: export KUBECONFIG={}   To stop it: Ctrl-C",
            world.cluster.kubeconfig.display()
        );
        stopped().await?;
    }
    telling.end();
    Ok(telling.all_true())
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn timed<T>(title: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let done = work.await.with_context(|| title.to_owned())?;
    println!("  up   {:6.1} s  {title}", start.elapsed().as_secs_f32());
    Ok(done)
}

/// Prints the versions of all programs. Fails if one is missing.
fn versions(source: &Path, bin: &Path, tools: &[&str]) -> Result<()> {
    for tool in tools {
        ensure!(bin.join(tool).exists(), "{} is missing: run `make tools`", bin.join(tool).display());
    }
    print!("{}", process::run(Command::new(source.join("tools/build")).arg("--versions").args(tools))?);
    print!("{}", process::run(Command::new("git").arg("--version"))?);
    Ok(())
}
