//! Years of a home: hands, commits, mistakes, upgrades, reboots.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};

use crate::World;
use crate::flux::{self, message, ready};

/// The path that the example overlay puts in place of the placeholder.
const LIBRARY: &str = "/mnt/nas/immich";
/// Immich's version in the manifests, and one that an upgrade could bring.
const UPGRADE: (&str, &str) = (":v3.2.4@", ":v3.2.5@");

/// Someone scales Immich up and opens a door, by hand.
pub(super) async fn drift(world: &mut World) -> Result<String> {
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    world.cluster.kubectl(&["-n", "immich", "scale", "deploy/immich-server", "--replicas=2"])?;
    let open = r#"{"spec":{"policyTypes":["Ingress"]}}"#;
    world.cluster.kubectl(&["-n", "immich-edge", "patch", "networkpolicy/default-deny", "--type=merge", "-p", open])?;
    let differences = world.finder.differences(&world.rendered()?).await?;
    ensure!(differences.len() == 2, "the hand edits are not seen: {differences:?}");
    world.applied(&commit).await?;
    world.as_rendered().await?;
    Ok("replicas, a network policy".to_owned())
}

/// The hostPath is in no commit, and stays.
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

/// A value of the wrong type, and YAML that is none. (A misspelt field is dropped by the API server without a word to Flux: that is what
/// `guardctl lint` is for.)
pub(super) async fn broken(world: &mut World) -> Result<String> {
    let before = world.rendered()?;
    for (to, wanted) in [("  replicas: one\n", "immich-server"), ("  replicas: 1\n bad: indent\n", "yaml")] {
        world.repo.edit("apps/media/immich/deployment.yaml", "  replicas: 1\n", to)?;
        let commit = world.repo.commit("A mistake")?;
        let status = flux::reconcile(world, &commit).await?;
        ensure!(ready(&status) == "False", "{to:?} was applied: {}", message(&status));
        ensure!(message(&status).to_lowercase().contains(wanted), "the status does not name {wanted}: {}", message(&status));
        let differences = world.finder.differences(&before).await?;
        ensure!(differences.is_empty(), "the mistake reached the cluster: {differences:?}");
        let commit = world.repo.revert()?;
        world.applied(&commit).await?;
    }
    Ok("two mistakes".to_owned())
}

/// cloudflared and its namespace leave Git.
pub(super) async fn prune(world: &mut World) -> Result<String> {
    world.repo.edit("clusters/home/kustomization.yaml", "  - ../../apps/networking/immich-edge\n", "")?;
    world.repo.edit("clusters/home/kustomization.yaml", "  - ../../apps/networking/cloudflared\n", "")?;
    let commit = world.repo.commit("No tunnel any more")?;
    world.applied(&commit).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client.clone(), "immich-edge");
    ensure!(deployments.get_opt("cloudflared").await?.is_none(), "cloudflared was not pruned");
    ensure!(deployments.get_opt("immich-origin-proxy").await?.is_some(), "the guard was pruned, too");
    let namespace = world.cluster.kubectl(&["get", "namespace/immich-edge", "-o", "jsonpath={.status.phase}"])?;
    ensure!(namespace == "Active", "the namespace is {namespace}");
    let secret = world.cluster.kubectl(&["-n", "immich-edge", "get", "secret/cloudflared-tunnel", "-o", "name"])?;
    ensure!(!secret.is_empty(), "the operator's Secret was pruned");
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    Ok("cloudflared went, the namespace and the Secret stayed".to_owned())
}

/// Server and machine learning in one commit. The old server is gone before the new one exists.
pub(super) async fn upgrade(world: &mut World) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), "immich");
    let selector = "app.kubernetes.io/name=immich-server";
    let listed = pods.list(&ListParams::default().labels(selector)).await?;
    let mut there: BTreeSet<String> = listed.items.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    ensure!(there.len() == 1, "before the upgrade there are {there:?}");
    let version = listed.metadata.resource_version.context("a list has a version")?;
    let mut events = pods.watch(&WatchParams::default().labels(selector), &version).await?.boxed();

    let (from, to) = UPGRADE;
    for file in ["deployment.yaml", "deployment-machine-learning.yaml"] {
        world.repo.edit(&format!("apps/media/immich/{file}"), from, to)?;
    }
    let commit = world.repo.commit("Immich, upgraded")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;

    // All that has happened meanwhile is in the watch, and the new pod is in it for certain: Flux has waited for that.
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
        ensure!(there.len() <= 1, "two servers at once: {story:?}");
    }
    ensure!(story.len() == 2 && story[0].starts_with("gone"), "the old one did not go first: {story:?}");
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    Ok("the old server went first".to_owned())
}

async fn library(world: &World) -> Result<String> {
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client.clone(), "immich");
    let pod = deployments.get("immich-server").await?.spec.template.spec.context("no pod template")?;
    let volume = pod.volumes.into_iter().flatten().find(|volume| volume.name == "library").context("no volume library")?;
    Ok(volume.host_path.context("no hostPath")?.path)
}
