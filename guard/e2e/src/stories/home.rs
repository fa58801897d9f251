//! Stories about a new home: without Flux, with Flux, and the change from one to the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::flux::{self, message, ready};
use crate::objects::title;
use crate::secrets;
use crate::{NODE, World};

/// The NAS id of `clusters/home.example`, and one as `guard nas init` prints it.
pub(super) const EXAMPLE_ID: &str = "00000000-0000-4000-8000-000000000000";
pub(super) const NAS_ID: &str = "2f0b7f1e-6c1d-4f0e-9b1a-7d3c5a8e9f10";

/// The Secrets that an operator creates by hand in the quickstart.
const SECRETS: &str = r"
apiVersion: v1
kind: Secret
metadata: {name: immich-postgres, namespace: immich}
stringData: {POSTGRES_PASSWORD: example}
---
apiVersion: v1
kind: Secret
metadata: {name: cloudflared-tunnel, namespace: immich-edge}
stringData: {token: example}
---
apiVersion: v1
kind: Secret
metadata: {name: immich-edge, namespace: immich-edge}
stringData: {ACCESS_TEAM: example, ACCESS_AUD: example, EXTERNAL_HOST: photos.example.com}
";

/// An operator applies the home without an edit: the build fails in Flux before anything is applied.
pub(super) async fn unedited(world: &mut World) -> Result<String> {
    let commit = world.repo.commit("As it is")?;
    world.apply("clusters/home/flux")?;
    let status = flux::reconcile(world, &commit).await?;
    ensure!(ready(&status) == "False", "Flux applied the unedited home, wanted a failed build: {}", message(&status));
    ensure!(message(&status).contains("BuildFailed"), "failed for another reason, wanted BuildFailed: {}", message(&status));
    let pods = world.finder.all("v1", "Pod").await?;
    ensure!(pods.is_empty(), "found {} pods, wanted none", pods.len());
    world.cluster.kubectl(&["-n", "flux-system", "delete", "kustomization/home", "gitrepository/home"])?;
    Ok("no pod".to_owned())
}

/// The quickstart without Flux, on an empty cluster.
pub(super) async fn plain(world: &mut World) -> Result<String> {
    let tree = &world.repo.tree;
    copy(&tree.join("clusters/home.example"), &tree.join("clusters/home.local"))?;
    fill(&tree.join("clusters/home.local"), NAS_ID)?;
    for first in [
        "apps/media/immich/namespace.yaml",
        "apps/networking/immich-edge/namespace.yaml",
        "apps/media/immich/validatingadmissionpolicy.yaml",
        "apps/media/immich/validatingadmissionpolicybinding.yaml",
    ] {
        world.cluster.kubectl(&["apply", "-f", &tree.join(first).display().to_string()])?;
    }
    world.cluster.kubectl_stdin(&["apply", "-f", "-"], SECRETS)?;
    for ((namespace, name), keys) in secrets::wanted(&world.rendered()?) {
        let made = world.cluster.kubectl(&["-n", &namespace, "get", "secret", &name, "-o", "json"])?;
        let made: Value = serde_json::from_str(&made)?;
        ensure!(
            keys.iter().all(|key| made["data"].get(key).is_some()),
            "the Secret {namespace}/{name} does not have all keys, wanted {keys:?}"
        );
    }
    world.apply("clusters/home.local")?;
    for namespace in ["immich", "immich-edge"] {
        world.cluster.kubectl(&["-n", namespace, "wait", "deploy", "--all", "--for=condition=Available", "--timeout=120s"])?;
    }
    let count = world.as_rendered().await?;
    Ok(format!("{count} objects"))
}

/// Flux takes over the home that kubectl created.
pub(super) async fn handover(world: &mut World) -> Result<String> {
    let before = identities(world).await?;
    let commit = world.repo.commit("The home that Flux takes over")?;
    world.apply("clusters/home.local/flux")?;
    world.applied(&commit).await?;
    let count = world.as_rendered().await?;
    let after = identities(world).await?;
    ensure!(after == before, "Flux replaced objects, wanted the same UIDs:\n{before:?}\n{after:?}");
    Ok(format!("{count} objects"))
}

/// With the service account of `rbac.yaml`, Flux applies the home, and nothing beside it.
pub(super) async fn own_rights(world: &mut World) -> Result<String> {
    let account = |name: &str| format!(r#"{{"spec":{{"serviceAccountName":{name}}}}}"#);
    let patch = async |world: &World, name: &str| {
        let change = account(name);
        world.cluster.kubectl(&["-n", "flux-system", "patch", "kustomization/home", "--type=merge", "-p", &change])
    };
    world.cluster.kubectl(&["apply", "-f", &world.repo.tree.join("clusters/home/flux/rbac.yaml").display().to_string()])?;
    patch(world, "\"flux-home\"").await?;
    // A change in each namespace, made again from nothing.
    for deployment in
        [["-n", "immich", "delete", "deploy/immich-redis"], ["-n", "immich-edge", "delete", "networkpolicy/cloudflared"]]
    {
        world.cluster.kubectl(&deployment)?;
    }
    let commit = world.repo.commit("With rights of its own")?;
    world.applied(&commit).await?;
    let count = world.as_rendered().await?;

    let service = "apps/networking/cloudflared/extra.yaml";
    let extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra, namespace: kube-system}\n";
    fs::write(world.repo.tree.join(service), extra)?;
    world.repo.edit(
        "clusters/home/kustomization.yaml",
        "resources:\n",
        "resources:\n  - ../../apps/networking/cloudflared/extra.yaml\n",
    )?;
    let commit = world.repo.commit("Something in another namespace")?;
    let status = flux::reconcile(world, &commit).await?;
    ensure!(ready(&status) == "False" && message(&status).contains("forbidden"), "wanted a refusal: {}", message(&status));
    let commit = world.repo.revert()?;
    world.applied(&commit).await?;
    patch(world, "null").await?;
    let commit = world.repo.commit("With all rights again")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    Ok(format!("{count} objects, and nothing in another namespace"))
}

/// Flux is removed (`deletionPolicy: Orphan`), kubectl applies the home, and Flux takes it over again.
pub(super) async fn leave_and_return(world: &mut World) -> Result<String> {
    let before = identities(world).await?;
    world.cluster.kubectl(&["-n", "flux-system", "delete", "kustomization/home", "gitrepository/home"])?;
    ensure!(identities(world).await? == before, "Flux deleted or replaced objects, wanted the same UIDs");
    world.apply("clusters/home.local")?;
    world.as_rendered().await?;
    world.apply("clusters/home.local/flux")?;
    let commit = world.repo.commit("Nothing new")?;
    world.applied(&commit).await?;
    world.as_rendered().await?;
    ensure!(identities(world).await? == before, "Flux replaced objects, wanted the same UIDs");
    Ok(format!("{} objects", before.len()))
}

/// Returns the UID of each object. It changes when an object is deleted and created again.
async fn identities(world: &World) -> Result<BTreeMap<String, Value>> {
    let mut uids = BTreeMap::new();
    for object in world.rendered()? {
        let live = world.finder.live(&object).await?.with_context(|| format!("{} does not exist", title(&object)))?;
        uids.insert(title(&object), live["metadata"]["uid"].clone());
    }
    Ok(uids)
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Replaces the values of the example in every file of the overlay.
pub(crate) fn fill(folder: &Path, nas_id: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fill(&path, nas_id)?;
        } else {
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replace("node.example.com", NODE).replace(EXAMPLE_ID, nas_id))?;
        }
    }
    Ok(())
}
