//! Flux really reconciles this repository: a real kube-apiserver and Flux's real controllers on loopback, and stories told to them.
//!
//! `e2e [--keep] [WORD...]`: every story, or those whose title has one of the words (what a story needs is done all the same). What runs
//! is in `tools/bin` (`TOOLS_BIN`): `make e2e` builds it. Leaves nothing running, unless told to keep the cluster up.

mod cluster;
mod flux;
mod forge;
mod objects;
mod pki;
mod process;
mod repo;
mod secrets;
mod stories;
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

/// How long a component may take to start.
const LIMIT: Duration = Duration::from_secs(90);
/// The one machine at home; the example overlay names it.
const NODE: &str = "home";

/// Everything that runs.
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
    /// The commit under test becomes what the cluster runs.
    async fn applied(&self, commit: &str) -> Result<()> {
        flux::applied(self, commit).await
    }

    /// What plain kustomize makes of the operator's overlay.
    fn rendered(&self) -> Result<Vec<Value>> {
        objects::render(&self.kustomize, &self.repo.tree.join("clusters/home.local"))
    }

    /// Whether the cluster has every field of it.
    async fn as_rendered(&self) -> Result<usize> {
        let rendered = self.rendered()?;
        let differences = self.finder.differences(&rendered).await?;
        ensure!(differences.is_empty(), "the cluster differs from the render:\n{}", differences.join("\n"));
        Ok(rendered.len())
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
        eprintln!("e2e: {flag}: no such flag; usage: e2e [--keep] [WORD...]");
        return ExitCode::from(2);
    }
    let dir = std::env::temp_dir().join(format!("e2e-{}", std::process::id()));
    let outcome = tokio::select! {
        outcome = run(&dir, keep, &words) => outcome,
        outcome = stopped() => outcome.and_then(|()| Err(anyhow::anyhow!("stopped"))),
    };
    match outcome {
        Ok(true) => {
            // Nobody needs the logs of what went well.
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
    versions(source, &bin)?;

    let cluster =
        timed("control plane: etcd, kube-apiserver, controller manager, scheduler, kwok", Cluster::start(&bin, dir, &logs))
            .await?;
    let flux = timed("Flux: source-controller, kustomize-controller", Flux::start(&cluster, &bin, dir, &logs)).await?;
    let repo = Repo::copy(source, &dir.join("tree"))?;
    let forge = timed("Git: git http-backend", Forge::start(&repo.tree)).await?;
    // The one line that an operator's fork changes.
    repo.edit("clusters/home/flux/source.yaml", "https://github.com/example/photos", &forge.url())?;
    let finder = Finder::new(cluster.client.clone()).await?;
    let mut world = World { cluster, flux, finder, repo, forge, kustomize: bin.join("kustomize"), dir: dir.to_owned() };

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for story in stories::ALL {
        let wanted = words.is_empty() || words.iter().any(|word| story.title.contains(word.as_str()));
        if !wanted && !story.needed {
            skipped += 1;
            continue;
        }
        let start = Instant::now();
        let outcome = story.tell(&mut world).await.and_then(|said| {
            world.cluster.alive()?;
            world.flux.alive()?;
            Ok(said)
        });
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Ok(said) => {
                passed += 1;
                println!("  ok   {seconds:6.1} s  {}{}{said}", story.title, if said.is_empty() { "" } else { ": " });
            }
            Err(error) => {
                failed += 1;
                println!("  FAIL {seconds:6.1} s  {}\n{error:#}\n", story.title);
                // The stories after it start from what it should have left.
                break;
            }
        }
    }
    println!("  all  {:6.1} s", began.elapsed().as_secs_f32());
    if failed > 0 {
        println!("logs: {}", logs.display());
    }
    if keep {
        println!("kept: export KUBECONFIG={}   (Ctrl-C ends it)", world.cluster.kubeconfig.display());
        stopped().await?;
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// Until somebody wants the end: then everything that runs is ended first.
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

/// Prints what runs, and fails early where something is missing.
fn versions(source: &Path, bin: &Path) -> Result<()> {
    for tool in stories::TOOLS {
        ensure!(bin.join(tool).exists(), "{} is missing: make tools", bin.join(tool).display());
    }
    print!("{}", process::run(Command::new(source.join("tools/build")).arg("--versions").args(stories::TOOLS))?);
    print!("{}", process::run(Command::new("git").arg("--version"))?);
    Ok(())
}
