//! What the stories of `guardctl init` share: an emptied cluster and a clean clone, answers, and a look at the home that is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use serde_json::Value;

pub(super) use crate::secrets::{AUD, TUNNEL_TOKEN as TOKEN};
pub(super) use crate::stories::home::EXAMPLE_ID;
use crate::wait::{Look, until};
use crate::{NODE, World};

pub(super) const NAS_ID: &str = "3a55ae57-1cab-4631-8cb4-44d1159e8f48";
/// A variable with a proxy at which nobody listens: no team is asked for its keys, in a network with Cloudflare or without.
pub(super) const NO_INTERNET: (&str, &str) = ("ALL_PROXY", "http://127.0.0.1:9");
/// The kustomization with the image of guard.
const BASE: &str = "clusters/home/kustomization.yaml";

/// A home, as far as `guardctl init` makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// The files of the overlay.
    pub files: BTreeMap<PathBuf, String>,
    /// The values of the Secrets, by name.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
}

impl Home {
    /// Looks at the overlay and the cluster.
    pub(super) fn look(world: &World) -> Result<Self> {
        let mut home = Self::default();
        let overlay = overlay(world);
        if overlay.exists() {
            read(&overlay, &overlay, &mut home.files)?;
        }
        let secrets: Value = serde_json::from_str(&world.cluster.kubectl(&["get", "secrets", "-A", "-o", "json"])?)?;
        for secret in secrets["items"].as_array().into_iter().flatten() {
            let name = secret["metadata"]["name"].as_str().unwrap_or_default();
            if ["immich-postgres", "cloudflared-tunnel", "immich-edge"].contains(&name) {
                let keys = secret["data"].as_object().into_iter().flatten().map(|(key, _)| (key.clone(), value(secret, key)));
                home.secrets.insert(name.to_owned(), keys.collect());
            }
        }
        Ok(home)
    }

    /// The password of the database.
    pub(super) fn password(&self) -> Option<&String> {
        self.secrets.get("immich-postgres")?.get("POSTGRES_PASSWORD")
    }
}

fn read(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(root, &path, files)?;
        } else {
            files.insert(path.strip_prefix(root)?.to_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The folder of the overlay.
pub(super) fn overlay(world: &World) -> PathBuf {
    world.repo.tree.join("clusters/home.local")
}

/// Removes the home that is there, and makes the clone one that nobody has worked in but for an image of guard. Returns the commit.
pub(super) async fn clean_clone(world: &mut World) -> Result<String> {
    empty(world).await?;
    let none = format!("ghcr.io/example/guard\n    newTag: 0.1.0@sha256:{}", "0".repeat(64));
    let loaded = format!("localhost/guard\n    newTag: 0.1.0@sha256:{}", "a".repeat(64));
    if fs::read_to_string(world.repo.tree.join(BASE))?.contains(&loaded) {
        world.repo.edit(BASE, &loaded, &none)?;
    }
    let commit = world.repo.commit("A clean clone")?;
    // What `guardctl image load` does: an image of no registry, which Flux does not see in Git.
    world.repo.edit(BASE, &none, &loaded)?;
    Ok(commit)
}

/// Removes the home that the stories before have left.
async fn empty(world: &mut World) -> Result<()> {
    let kubectl = |arguments: &[&str]| world.cluster.kubectl(arguments);
    kubectl(&["-n", "flux-system", "delete", "--ignore-not-found", "kustomization/home", "gitrepository/home"])?;
    kubectl(&["delete", "namespace", "--ignore-not-found", "--wait=false", "immich", "immich-edge"])?;
    // The story of the components has left it, and with two nodes none is the obvious one.
    kubectl(&["delete", "node", "--ignore-not-found", "second"])?;
    let policies = "validatingadmissionpolicies,validatingadmissionpolicybindings";
    kubectl(&["delete", policies, "-l", "app.kubernetes.io/component=admission"])?;
    until("no home is left", Duration::from_secs(120), async || {
        let left = world.cluster.kubectl(&["get", "namespaces", "-o", "name"])?;
        Ok(if left.contains("namespace/immich") { Look::NotYet(left) } else { Look::Done(()) })
    })
    .await?;
    if overlay(world).exists() {
        fs::remove_dir_all(overlay(world))?;
    }
    let (source, example) = ("clusters/home/flux/source.yaml", "https://git.example.com/family/photos");
    if !fs::read_to_string(world.repo.tree.join(source))?.contains(example) {
        world.repo.edit(source, &world.forge.url(), example)?;
    }
    Ok(())
}

/// A file of answers, with the token in a file of its own. Without an id, the NAS is asked for it.
pub(super) fn answers(world: &World, team: &str, nas_id: Option<&str>) -> Result<String> {
    let (path, token) = (world.dir.join(format!("answers-{team}.toml")), world.dir.join("tunnel-token"));
    fs::write(&token, format!("{TOKEN}\n"))?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    let nas_id = nas_id.map_or_else(String::new, |id| format!("nas_id = \"{id}\"\n"));
    let text = format!(
        "node = \"{NODE}\"\nphotos = \"/mnt/nas/immich\"\ndatabase = \"/srv/immich/postgres\"\ntime_zone = \"Europe/Berlin\"\n{nas_id}\
         repository = \"{}\"\n[internet]\nhost = \"photos.family.test\"\nteam = \"{team}\"\naud = \"{AUD}\"\ntunnel_token_file = \"{}\"\nallow_email = [\"ada@family.test\"]\n",
        world.forge.url(),
        token.display()
    );
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// guardctl, in the clone, with the cluster of this kubeconfig.
pub(super) fn guardctl(world: &World, kubeconfig: &Path, before_path: Option<&Path>) -> Result<Command> {
    let mut command = Command::new(program("guardctl")?);
    command.current_dir(&world.repo.tree).env("KUBECONFIG", kubeconfig).env("PATH", search_path(world, before_path));
    command.env(NO_INTERNET.0, NO_INTERNET.1);
    Ok(command)
}

/// A program that was built with this one.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Where programs are looked for: `before`, then those of the cluster, then those of this machine.
pub(super) fn search_path(world: &World, before: Option<&Path>) -> String {
    let own = [before, Some(world.cluster.bin.as_path())].into_iter().flatten().map(|it| it.display().to_string());
    own.chain(std::env::var("PATH")).collect::<Vec<_>>().join(":")
}

/// Fails if there is an overlay or a namespace.
pub(super) fn is_untouched(world: &World, when: &str) -> Result<()> {
    ensure!(!overlay(world).exists(), "{when}: there is an overlay");
    let namespaces = world.cluster.kubectl(&["get", "namespaces", "-o", "name"])?;
    ensure!(!namespaces.contains("immich"), "{when}: {namespaces}");
    Ok(())
}

/// Fails if a folder is left that was never an overlay.
pub(super) fn is_tidy(world: &World, when: &str) -> Result<()> {
    ensure!(!overlay(world).with_extension("local.new").exists(), "{when}: a folder that is not complete is left");
    Ok(())
}

/// Only the owner may read the overlay, and nothing incomplete is left in it or beside it.
pub(crate) fn modes(folder: &Path) -> Result<()> {
    ensure!(!folder.with_file_name("home.local.new").exists(), "a folder that is not complete is left");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let mode = fs::metadata(&path)?.permissions().mode() & 0o077;
        ensure!(mode == 0, "{}: others may read it", path.display());
        ensure!(path.extension().is_none_or(|it| it != "new"), "{} is left", path.display());
        if path.is_dir() {
            modes(&path)?;
        }
    }
    Ok(())
}

pub(super) fn secret(world: &World, namespace: &str, name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&world.cluster.kubectl(&["-n", namespace, "get", "secret", name, "-o", "json"])?)?)
}

pub(super) fn value(secret: &Value, key: &str) -> String {
    let bytes: ByteString = serde_json::from_value(secret["data"][key].clone()).unwrap_or_default();
    String::from_utf8_lossy(&bytes.0).into_owned()
}
