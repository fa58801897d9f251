//! Story about the optional components: one commit switches all of them on, and another one switches them off again.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::edges;
use crate::World;
use crate::flux::text;
use crate::secrets;

/// The folders with the optional components.
const FOLDERS: [&str; 2] = ["apps/components", "apps/media/immich/overlays"];

/// The additional objects of a cluster that some components need: a second node and a default storage class.
const LARGER_HOME: &str = r"
apiVersion: v1
kind: Node
metadata:
  name: second
  labels: {kubernetes.io/hostname: second, kubernetes.io/os: linux}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: by-hand
  annotations: {storageclass.kubernetes.io/is-default-class: 'true'}
provisioner: kubernetes.io/no-provisioner
";

/// Follows the steps of docs/components.md with every component.
pub(super) async fn all(world: &mut World) -> Result<String> {
    world.cluster.kubectl_stdin(&["apply", "-f", "-"], LARGER_HOME)?;
    world.cluster.kubectl(&["wait", "node/second", "--for=condition=Ready", "--timeout=60s"])?;
    let mut components: Vec<(String, String)> = Vec::new();
    for folder in FOLDERS {
        let mut names = Vec::new();
        for entry in fs::read_dir(world.repo.tree.join(folder))? {
            names.push(entry?.file_name().into_string().ok().context("the name of a component is not UTF-8")?);
        }
        names.sort();
        components.extend(names.into_iter().map(|name| (format!("../../{folder}/{name}"), name)));
    }
    let names: Vec<&str> = components.iter().map(|(_, name)| name.as_str()).collect();
    let patch = world.repo.tree.join("clusters/home.local/flux/nas.patch.yaml");
    let before = fs::read_to_string(&patch)?;
    fs::write(&patch, private(world, &before, &names)?)?;
    let list = components.iter().fold("components:".to_owned(), |list, (path, _)| list + "\n  - " + path);
    world.repo.edit("clusters/home/kustomization.yaml", "components: []", &list)?;
    by_hand(world)?;

    let commit = world.repo.commit("Every component")?;
    world.apply("clusters/home.local/flux")?;
    world.applied(&commit).await?;
    let count = world.as_rendered().await?;
    let claims = world.cluster.kubectl(&["-n", "immich", "get", "pvc", "-o", "jsonpath={.items[*].status.phase}"])?;
    ensure!(claims.split(' ').all(|phase| phase == "Bound"), "found claims in the phases {claims}, wanted Bound");
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), "immich-edge");
    for name in ["immich-origin-proxy", "cloudflared"] {
        let pods = pods.list(&ListParams::default().labels(&format!("app.kubernetes.io/name={name}"))).await?;
        let mut nodes: Vec<_> = pods.items.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
        nodes.sort();
        ensure!(nodes == ["home", "second"], "{name} runs on the nodes {nodes:?}, wanted one pod on each of home and second");
    }
    edges::warnings(world).await?;

    fs::write(&patch, before)?;
    let commit = world.repo.revert()?;
    world.apply("clusters/home.local/flux")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    let claim = world.cluster.kubectl(&["-n", "immich", "get", "pvc/immich-library", "-o", "jsonpath={.status.phase}"])?;
    ensure!(claim == "Bound", "the claim of the library is {claim}, wanted Bound");
    Ok(format!("{}: {count} objects; after they are off again, the claim of the library is still there", names.join(", ")))
}

/// Returns the patch of the operator, extended with the examples of the components. Applies all other example files, as an operator does
/// by hand.
fn private(world: &World, patch: &str, components: &[&str]) -> Result<String> {
    let (mut first, mut rest) = (patch.to_owned(), String::new());
    for component in components {
        let example = world.repo.tree.join("clusters/home.local").join(component);
        if !example.is_dir() {
            continue;
        }
        for entry in fs::read_dir(example)? {
            let file = entry?.path();
            if !file.ends_with("nas.patch.yaml") {
                world.cluster.kubectl(&["apply", "-f", &file.display().to_string()])?;
                continue;
            }
            let said = read(&file)?;
            // A file that begins with `---` is appended to the patch. Any other file replaces the patch.
            if said.starts_with("---\n") {
                rest += &said;
            } else {
                first = said;
            }
        }
    }
    Ok(first + &rest)
}

/// Creates the objects that the manifests need but Git does not contain: Secrets, and a volume for each claim of the default storage class.
fn by_hand(world: &World) -> Result<()> {
    let rendered = world.rendered()?;
    for (secret, keys) in secrets::wanted(&rendered) {
        let (namespace, name) = &secret;
        let there = world.cluster.kubectl(&["-n", namespace, "get", "secret", name, "--ignore-not-found", "-o", "name"])?;
        if there.is_empty() {
            world.cluster.kubectl_stdin(&["apply", "-f", "-"], &secrets::example(&secret, &keys).to_string())?;
        }
    }
    for claim in rendered.iter().filter(|object| object["kind"] == "PersistentVolumeClaim") {
        let spec = &claim["spec"];
        if spec.get("storageClassName").is_none() {
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim["metadata"]["name"]},
                "spec": {
                    "capacity": spec["resources"]["requests"], "accessModes": spec["accessModes"], "storageClassName": "by-hand",
                    "hostPath": {"path": format!("/srv/{}", text(claim, "/metadata/name"))},
                },
            });
            world.cluster.kubectl_stdin(&["apply", "-f", "-"], &volume.to_string())?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}
