//! Stories about the operation of a home: manual changes, commits, mistakes, upgrades and restarts.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};

use crate::World;
use crate::flux::{self, message, ready};

/// The path with which the example overlay replaces the placeholder.
const LIBRARY: &str = "/mnt/nas/immich";
/// The version of Immich in the manifests, and a later one for the upgrade.
const UPGRADE: (&str, &str) = (":v3.2.4@", ":v3.2.5@");

/// Flux reverts manual changes: the number of replicas, and a network policy.
pub(super) async fn drift(world: &mut World) -> Result<String> {
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    world.cluster.kubectl(&["-n", "immich", "scale", "deploy/immich-server", "--replicas=2"])?;
    let open = r#"{"spec":{"policyTypes":["Ingress"]}}"#;
    world.cluster.kubectl(&["-n", "immich-edge", "patch", "networkpolicy/default-deny", "--type=merge", "-p", open])?;
    let differences = world.finder.differences(&world.rendered()?).await?;
    ensure!(
        differences.len() == 2,
        "found {} differences after the manual changes, wanted 2: {differences:?}",
        differences.len()
    );
    world.applied(&commit).await?;
    world.as_rendered().await?;
    Ok("the replicas and a network policy are restored".to_owned())
}

/// The hostPath is in no commit, and Flux keeps it.
pub(super) async fn private_path(world: &mut World) -> Result<String> {
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    ensure!(library(world).await? == LIBRARY);
    world.repo.edit("apps/media/immich/deployment.yaml", "revisionHistoryLimit: 3", "revisionHistoryLimit: 4")?;
    let commit = world.repo.commit("Immich keeps more history")?;
    world.applied(&commit).await?;
    ensure!(library(world).await? == LIBRARY);
    world.as_rendered().await?;
    world.flux.restart().await?;
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    ensure!(library(world).await? == LIBRARY);
    Ok(LIBRARY.to_owned())
}

/// A value of a wrong type and invalid YAML are not applied, and the status gives the reason. (The API server drops a misspelt field and
/// Flux does not report it: `guardctl lint` finds it.)
pub(super) async fn broken(world: &mut World) -> Result<String> {
    let before = world.rendered()?;
    for (to, wanted) in [("  replicas: one\n", "immich-server"), ("  replicas: 1\n bad: indent\n", "yaml")] {
        world.repo.edit("apps/media/immich/deployment.yaml", "  replicas: 1\n", to)?;
        let commit = world.repo.commit("A mistake")?;
        let status = flux::reconcile(world, &commit).await?;
        ensure!(ready(&status) == "False", "Flux applied {to:?}, wanted a failure: {}", message(&status));
        ensure!(message(&status).to_lowercase().contains(wanted), "the status does not contain {wanted}: {}", message(&status));
        let differences = world.finder.differences(&before).await?;
        ensure!(differences.is_empty(), "the mistake changed the cluster, wanted no difference: {differences:?}");
        let commit = world.repo.revert()?;
        world.applied(&commit).await?;
    }
    Ok("two mistakes are refused".to_owned())
}

/// A commit removes cloudflared and its namespace from Git. Flux deletes cloudflared, but not the namespace and the Secret.
pub(super) async fn prune(world: &mut World) -> Result<String> {
    world.repo.edit("clusters/home/kustomization.yaml", "  - ../../apps/networking/immich-edge\n", "")?;
    world.repo.edit("clusters/home/kustomization.yaml", "  - ../../apps/networking/cloudflared\n", "")?;
    let commit = world.repo.commit("No tunnel any more")?;
    world.applied(&commit).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client.clone(), "immich-edge");
    ensure!(
        deployments.get_opt("cloudflared").await?.is_none(),
        "the Deployment cloudflared still exists, wanted it to be pruned"
    );
    ensure!(
        deployments.get_opt("immich-origin-proxy").await?.is_some(),
        "the Deployment immich-origin-proxy (guard) was pruned, wanted it to stay"
    );
    let namespace = world.cluster.kubectl(&["get", "namespace/immich-edge", "-o", "jsonpath={.status.phase}"])?;
    ensure!(namespace == "Active", "the namespace immich-edge is {namespace}, wanted Active");
    let secret = world.cluster.kubectl(&["-n", "immich-edge", "get", "secret/cloudflared-tunnel", "-o", "name"])?;
    ensure!(!secret.is_empty(), "the Secret cloudflared-tunnel was pruned, wanted it to stay");
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    Ok("cloudflared is deleted, the namespace and the Secret stay".to_owned())
}

/// One commit upgrades the server and machine learning. The old server is deleted before the new one exists.
pub(super) async fn upgrade(world: &mut World) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), "immich");
    let selector = "app.kubernetes.io/name=immich-server";
    let listed = pods.list(&ListParams::default().labels(selector)).await?;
    let mut there: BTreeSet<String> = listed.items.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    ensure!(there.len() == 1, "found the servers {there:?} before the upgrade, wanted one");
    let version = listed.metadata.resource_version.context("a list has a version")?;
    let mut events = pods.watch(&WatchParams::default().labels(selector), &version).await?.boxed();

    let (from, to) = UPGRADE;
    for file in ["deployment.yaml", "deployment-machine-learning.yaml"] {
        world.repo.edit(&format!("apps/media/immich/{file}"), from, to)?;
    }
    let commit = world.repo.commit("Immich, upgraded")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;

    // The watch has all events since the list. It contains the new pod, because Flux has waited for it.
    let mut story = Vec::new();
    while !story.iter().any(|line: &String| line.starts_with("made")) {
        match events.try_next().await?.context("the watch ended")? {
            WatchEvent::Added(pod) => {
                let name = pod.metadata.name.unwrap_or_default();
                story.push(format!("made {name}"));
                there.insert(name);
            }
            WatchEvent::Deleted(pod) => {
                let name = pod.metadata.name.unwrap_or_default();
                story.push(format!("gone {name}"));
                there.remove(&name);
            }
            _ => {}
        }
        ensure!(there.len() <= 1, "found two servers at the same time, wanted one: {story:?}");
    }
    ensure!(story.len() == 2 && story[0].starts_with("gone"), "the old server was not deleted first: {story:?}");
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    Ok("the old server was deleted first".to_owned())
}

async fn library(world: &World) -> Result<String> {
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client.clone(), "immich");
    let pod = deployments.get("immich-server").await?.spec.template.spec.context("no pod template")?;
    let volume = pod.volumes.into_iter().flatten().find(|volume| volume.name == "library").context("no volume library")?;
    Ok(volume.host_path.context("no hostPath")?.path)
}
