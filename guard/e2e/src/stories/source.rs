//! From Git to the cluster: what is fetched, what is not, and a forge that is away.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::World;
use crate::flux::{self, message, ready, text};
use crate::process::run;

/// What `.sourceignore` lets through, and nothing of the rest: neither our code nor an operator's own files.
pub(super) async fn ignored(world: &mut World) -> Result<String> {
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    let before = flux::repository(world).await?;
    let there = files(world, &before)?;
    let committed = run(Command::new("git").current_dir(&world.repo.tree).args(["ls-files", "--", "apps", "clusters"]))?;
    // A file, and the folders that it lies in.
    let paths = |file| Path::new(file).ancestors().filter_map(Path::to_str).filter(|path| !path.is_empty()).map(str::to_owned);
    let wanted: BTreeSet<String> = committed.lines().flat_map(paths).collect();
    ensure!(there == wanted, "the artifact has {:?}", there.symmetric_difference(&wanted).collect::<Vec<_>>());

    let readme = world.repo.tree.join("README.md");
    fs::write(&readme, fs::read_to_string(&readme)? + "A line more.\n")?;
    let commit = world.repo.commit("A line more to read")?;
    world.applied(&commit).await?;
    let after = flux::repository(world).await?;
    ensure!(text(&after, "/status/artifact/revision").ends_with(&commit), "the commit was not fetched: {}", message(&after));
    let digest = |repository: &Value| text(repository, "/status/artifact/digest").to_owned();
    ensure!(digest(&before) == digest(&after), "a line of README.md is in the artifact");
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    let all = run(Command::new("git").current_dir(&world.repo.tree).arg("ls-files"))?;
    Ok(format!("{} of {} files", committed.lines().count(), all.lines().count()))
}

/// The last good state stays, and stays defended; what was pushed meanwhile comes by itself.
pub(super) async fn away(world: &mut World) -> Result<String> {
    let before = world.rendered()?;
    let artifact = flux::repository(world).await?["status"]["artifact"].clone();
    world.forge.be_away(true);
    world.repo.edit("apps/media/immich/deployment.yaml", "revisionHistoryLimit: 3", "revisionHistoryLimit: 4")?;
    let commit = world.repo.commit("Pushed while nobody can fetch")?;
    let repository = flux::fetch(world, &commit).await?;
    ensure!(ready(&repository) == "False", "it was fetched: {}", message(&repository));
    let said = message(&repository);
    for wanted in ["GitOperationFailed", &world.forge.url()] {
        ensure!(said.contains(wanted), "the status does not say {wanted}: {said}");
    }
    ensure!(repository["status"]["artifact"] == artifact, "the artifact is another one: {}", repository["status"]["artifact"]);
    world.cluster.kubectl(&["-n", "immich", "scale", "deploy/immich-server", "--replicas=2"])?;
    ensure!(world.finder.differences(&before).await?.len() == 1, "the hand edit is not seen");
    let revision = text(&artifact, "/revision").rsplit(':').next().context("a revision has a commit")?.to_owned();
    let kustomization = flux::reapply(world, &revision).await?;
    ensure!(ready(&kustomization) == "True", "the last good state is not good any more: {}", message(&kustomization));
    let differences = world.finder.differences(&before).await?;
    ensure!(differences.is_empty(), "the last good state is gone: {differences:?}");

    world.forge.be_away(false);
    flux::follows(world, &commit).await?;
    world.as_rendered().await?;
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    Ok(said.split(':').next().unwrap_or_default().to_owned())
}

/// The files and folders in the artifact that source-controller has stored, and whose digest is the one that it tells.
fn files(world: &World, repository: &Value) -> Result<BTreeSet<String>> {
    let archive = world.flux.artifacts.join(text(repository, "/status/artifact/path"));
    let sum = run(Command::new("sha256sum").arg(&archive))?;
    let digest = text(repository, "/status/artifact/digest").trim_start_matches("sha256:");
    ensure!(sum.starts_with(digest) && !digest.is_empty(), "{sum} is not {digest}");
    let listed = run(Command::new("tar").args(["--list", "--gzip", "--file"]).arg(&archive))?;
    Ok(listed.lines().map(|name| name.trim_matches(['.', '/'])).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
