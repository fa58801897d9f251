//! What is optional, all of it at once: switched on by one commit, and off again.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use crate::World;

/// A second machine, a storage class, and a volume for it: what a cluster has where these components make sense.
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
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: models}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: by-hand
  hostPath: {path: /srv/models}
";

/// The operator's steps of docs/components.md.
pub(super) async fn all(world: &mut World) -> Result<String> {
    world.cluster.kubectl_stdin(&["apply", "-f", "-"], LARGER_HOME)?;
    world.cluster.kubectl(&["wait", "node/second", "--for=condition=Ready", "--timeout=60s"])?;
    let local = world.repo.tree.join("clusters/home.local");
    world.cluster.kubectl(&["apply", "-f", &local.join("multi-node/persistentvolume.yaml").display().to_string()])?;
    let patch = local.join("flux/nas.patch.yaml");
    let before = fs::read_to_string(&patch)?;
    let variants = ["multi-node", "db-backup"].map(|component| fs::read_to_string(local.join(component).join("nas.patch.yaml")));
    let [multi_node, db_backup] = variants;
    fs::write(&patch, multi_node? + &db_backup?)?;

    let mut names = Vec::new();
    for entry in fs::read_dir(world.repo.tree.join("apps/components"))? {
        names.push(entry?.file_name().into_string().ok().context("a component has a plain name")?);
    }
    names.sort();
    let list = names.iter().fold("components:".to_owned(), |list, name| list + "\n  - ../../apps/components/" + name);
    world.repo.edit("clusters/home/kustomization.yaml", "components: []", &list)?;
    let commit = world.repo.commit("Every component")?;
    world.apply("clusters/home.local/flux")?;
    world.applied(&commit).await?;
    let count = world.as_rendered().await?;

    let claims = world.cluster.kubectl(&["-n", "immich", "get", "pvc", "-o", "jsonpath={.items[*].status.phase}"])?;
    ensure!(claims == "Bound Bound", "the claims are {claims}");
    let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), "immich-edge");
    for name in ["immich-origin-proxy", "cloudflared"] {
        let pods = pods.list(&ListParams::default().labels(&format!("app.kubernetes.io/name={name}"))).await?;
        let mut nodes: Vec<_> = pods.items.into_iter().filter_map(|pod| pod.spec?.node_name).collect();
        nodes.sort();
        ensure!(nodes == ["home", "second"], "{name} runs on {nodes:?}");
    }

    fs::write(&patch, before)?;
    let commit = world.repo.revert()?;
    world.apply("clusters/home.local/flux")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    let claim = world.cluster.kubectl(&["-n", "immich", "get", "pvc/immich-library", "-o", "jsonpath={.status.phase}"])?;
    ensure!(claim == "Bound", "the library's claim is {claim}");
    Ok(format!("{}: {count} objects; off again, the library's claim stays", names.join(", ")))
}
