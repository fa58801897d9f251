//! Stories about the source in Git: which files Flux fetches, and what happens while the Git server is unavailable.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::World;
use crate::flux::{self, message, ready, text};
use crate::process::run;

/// Flux fetches only the files that `.sourceignore` allows: neither the code nor the private files of an operator.
pub(super) async fn ignored(world: &mut World) -> Result<String> {
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    let before = flux::repository(world).await?;
    let there = files(world, &before)?;
    let committed = run(Command::new("git").current_dir(&world.repo.tree).args(["ls-files", "--", "apps", "clusters"]))?;
    // The file, and the folders that contain it.
    let paths = |file| Path::new(file).ancestors().filter_map(Path::to_str).filter(|path| !path.is_empty()).map(str::to_owned);
    let wanted: BTreeSet<String> = committed.lines().flat_map(paths).collect();
    ensure!(
        there == wanted,
        "the artifact and the committed manifests differ in {:?}",
        there.symmetric_difference(&wanted).collect::<Vec<_>>()
    );

    let readme = world.repo.tree.join("README.md");
    fs::write(&readme, fs::read_to_string(&readme)? + "A line more.\n")?;
    let commit = world.repo.commit("A line more to read")?;
    world.applied(&commit).await?;
    let after = flux::repository(world).await?;
    ensure!(text(&after, "/status/artifact/revision").ends_with(&commit), "Flux did not fetch the commit: {}", message(&after));
    let digest = |repository: &Value| text(repository, "/status/artifact/digest").to_owned();
    ensure!(digest(&before) == digest(&after), "a change of README.md changed the artifact, wanted the same digest");
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    let all = run(Command::new("git").current_dir(&world.repo.tree).arg("ls-files"))?;
    Ok(format!("{} of {} files", committed.lines().count(), all.lines().count()))
}

/// While the Git server is unavailable, Flux keeps and restores the last good state. Later it applies the commits of that time by itself.
pub(super) async fn away(world: &mut World) -> Result<String> {
    let before = world.rendered()?;
    let artifact = flux::repository(world).await?["status"]["artifact"].clone();
    world.forge.be_away(true);
    world.repo.edit("apps/media/immich/deployment.yaml", "revisionHistoryLimit: 3", "revisionHistoryLimit: 4")?;
    let commit = world.repo.commit("Pushed while nobody can fetch")?;
    let repository = flux::fetch(world, &commit).await?;
    ensure!(ready(&repository) == "False", "Flux fetched the commit, wanted a failure: {}", message(&repository));
    let said = message(&repository);
    for wanted in ["GitOperationFailed", &world.forge.url()] {
        ensure!(said.contains(wanted), "the status does not contain {wanted}: {said}");
    }
    ensure!(
        repository["status"]["artifact"] == artifact,
        "the artifact has changed, wanted the same one: {}",
        repository["status"]["artifact"]
    );
    world.cluster.kubectl(&["-n", "immich", "scale", "deploy/immich-server", "--replicas=2"])?;
    ensure!(world.finder.differences(&before).await?.len() == 1, "the manual change is not among the differences");
    let revision = text(&artifact, "/revision").rsplit(':').next().context("a revision has a commit")?.to_owned();
    let kustomization = flux::reapply(world, &revision).await?;
    ensure!(ready(&kustomization) == "True", "Flux cannot apply the last good state any more: {}", message(&kustomization));
    let differences = world.finder.differences(&before).await?;
    ensure!(differences.is_empty(), "the cluster differs from the last good state: {differences:?}");

    world.forge.be_away(false);
    flux::follows(world, &commit).await?;
    world.as_rendered().await?;
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    Ok(said.split(':').next().unwrap_or_default().to_owned())
}

/// Returns the files and folders in the artifact of source-controller. Fails if the artifact does not have the digest of the status.
fn files(world: &World, repository: &Value) -> Result<BTreeSet<String>> {
    let archive = world.flux.artifacts.join(text(repository, "/status/artifact/path"));
    let sum = run(Command::new("sha256sum").arg(&archive))?;
    let digest = text(repository, "/status/artifact/digest").trim_start_matches("sha256:");
    ensure!(sum.starts_with(digest) && !digest.is_empty(), "the artifact has the SHA-256 sum {sum}, wanted {digest}");
    let listed = run(Command::new("tar").args(["--list", "--gzip", "--file"]).arg(&archive))?;
    Ok(listed.lines().map(|name| name.trim_matches(['.', '/'])).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
