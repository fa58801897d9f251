//! What can be found out before a question: from the overlay, the manifests, the cluster, this computer and its clone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use guard::nas::mountinfo::{Mount, MountTable};
use serde_json::Value;
use tokio::time::timeout;

use super::answers::Given;
use super::ask::{Defaults, Outside};
use super::cluster::{Cluster, Node};
use super::files::{self, EXAMPLE_ID, Files};
use super::secrets::{self, There};
use super::value::{self, Checked};
use crate::doctor;
use crate::lint::image::Image;
use crate::lint::yaml;

/// The overlay.
pub(crate) const OVERLAY: &str = "clusters/home.local";
/// What the overlay is made of.
pub(crate) const EXAMPLE: &str = "clusters/home.example";
const BASE: &str = "clusters/home/kustomization.yaml";
const SOURCE: &str = "clusters/home/flux/source.yaml";
/// What `guardctl cloudflare apply` writes.
const EDGE_VALUES: &str = "clusters/home.local/cloudflare/edge.env";
const TUNNEL_TOKEN: &str = "clusters/home.local/cloudflare/tunnel-token";
/// The port of Immich in the LAN.
const LAN_PORT: u16 = 30283;
/// The database of an example that suits most nodes.
const DATABASE: &str = "/srv/immich/postgres";
const TEAM_ANSWER: Duration = Duration::from_secs(5);

/// The image of guard that the home would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuardImage {
    /// Name, tag and digest.
    pub reference: String,
    /// Flux does not see it in Git: it is in the overlay, or no registry has it.
    pub is_private: bool,
}

/// The image in the kustomizations; none while it is not published.
pub(crate) fn image(overlay: Option<&str>, base: &str) -> Option<GuardImage> {
    let images = |text: &str| -> Vec<Value> {
        let documents = yaml::values(text, yaml::Dialect::Kubectl).unwrap_or_default();
        documents.first().and_then(|it| it["images"].as_array().cloned()).unwrap_or_default()
    };
    let reference = |entry: &Value| Some(format!("{}:{}", entry["newName"].as_str()?, entry["newTag"].as_str()?));
    let committed = images(base).into_iter().find(|entry| entry["name"] == "guard");
    let name = committed.as_ref().and_then(|entry| entry["newName"].as_str()).unwrap_or("guard").to_owned();
    let own = overlay.and_then(|text| images(text).into_iter().find(|it| it["name"] == name.as_str() || it["name"] == "guard"));
    let is_own = own.is_some();
    let reference = reference(&own.or(committed)?)?;
    let parsed = Image::parse(&reference);
    let is_private = is_own || parsed.is_local();
    (parsed.is_pinned() && !parsed.is_unpublished()).then(|| GuardImage { is_private, reference: reference.clone() })
}

/// The URL that is committed for Flux, unless it is the example's.
pub(crate) fn committed_url() -> Option<String> {
    let text = std::fs::read_to_string(SOURCE).ok()?;
    let documents = yaml::values(&text, yaml::Dialect::Kubectl).ok()?;
    value::repository(documents.first()?["spec"]["url"].as_str()?).ok()?
}

/// The image in the files of this clone.
pub(crate) fn image_here(overlay: &Files) -> Result<Option<GuardImage>> {
    let base = std::fs::read_to_string(BASE).with_context(|| format!("{BASE}: cannot be read"))?;
    Ok(image(overlay.get("kustomization.yaml").map(String::as_str), &base))
}

/// The Secrets of the home that the cluster has.
pub(crate) fn secrets_there(cluster: &Cluster) -> Result<There> {
    let mut there = There::new();
    for (namespace, name) in [secrets::DATABASE, secrets::TUNNEL, secrets::EDGE] {
        if let Some(held) = cluster.secret(namespace, name)? {
            there.insert(name, held);
        }
    }
    Ok(there)
}

/// The defaults of the questions. A token that `guardctl cloudflare apply` has kept counts as given.
pub(crate) fn defaults(cluster: &Cluster, nodes: &[Node], overlay: &Files, there: &There, given: &mut Given) -> Result<Defaults> {
    let own = files::read(overlay)?;
    let own = |part: fn(&files::Values) -> &String| own.as_ref().map(part).filter(|text| is_own(text)).cloned();
    let here = Here::look();
    let mut names: Vec<_> = nodes.iter().map(|node| node.name.clone()).collect();
    // This computer first, if it is one of them.
    names.sort_by_key(|name| *name != here.host);
    let is_clear = names.len() == 1 || names.first() == Some(&here.host);
    let node = own(|it| &it.node).filter(|node| names.contains(node)).or_else(|| names.first().filter(|_| is_clear).cloned());
    let chosen = given.node.as_ref().or(node.as_ref());
    let address = nodes.iter().find(|it| Some(&it.name) == chosen).and_then(|it| it.address.clone());
    let edge = edge_values(there);
    let edge = |key: &str| edge.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let has_token = there.contains_key(secrets::TUNNEL.1);
    if !has_token && given.internet.tunnel_token_file.is_none() && Path::new(TUNNEL_TOKEN).is_file() {
        given.internet.tunnel_token_file = Some(PathBuf::from(TUNNEL_TOKEN));
    }
    let repository = files::read_url(overlay).or_else(committed_url);
    Ok(Defaults {
        photos: own(|it| &it.photos).or_else(|| here.nas(&names)),
        database: own(|it| &it.database).unwrap_or_else(|| DATABASE.to_owned()),
        time_zone: own(|it| &it.time_zone)
            .filter(|zone| zone != "Etc/UTC")
            .or(here.time_zone)
            .unwrap_or_else(|| "Etc/UTC".to_owned()),
        nas_id: own(|it| &it.nas_id),
        repository: repository.or_else(|| origin().filter(|_| cluster.has_flux())),
        host: edge("EXTERNAL_HOST"),
        team: edge("ACCESS_TEAM"),
        aud: edge("ACCESS_AUD"),
        lan_url: edge("LAN_URL").or_else(|| address.map(|it| format!("http://{it}:{LAN_PORT}"))),
        has_token,
        nodes: names,
        node,
    })
}

/// Whether a value of the overlay is no longer the example's.
fn is_own(text: &str) -> bool {
    !text.is_empty() && text != EXAMPLE_ID && !text.contains("example.com")
}

/// The values of guard's Secret, or those that `guardctl cloudflare apply` has written. None of them is secret.
fn edge_values(there: &There) -> Vec<(String, String)> {
    if let Some(held) = there.get(secrets::EDGE.1) {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).trim().to_owned();
        return held.data.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    }
    let text = std::fs::read_to_string(EDGE_VALUES).unwrap_or_default();
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The remote `origin` of this clone, if Flux could fetch it.
fn origin() -> Option<String> {
    let output =
        Command::new("git").args(["remote", "get-url", "origin"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    value::repository(String::from_utf8_lossy(&output.stdout).trim()).ok()?
}

/// What this computer says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Here {
    host: String,
    time_zone: Option<String>,
    mounts: MountTable,
}

impl Here {
    /// Looks, without touching a mount: a NAS that hangs must not hang this.
    pub(crate) fn look() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { host: host.trim().to_owned(), time_zone: time_zone(), mounts: MountTable::read().unwrap_or_default() }
    }

    /// A directory on the NAS that is mounted here, if this computer is a node.
    fn nas(&self, nodes: &[String]) -> Option<String> {
        let is_nas = |mount: &&Mount| {
            let kinds = ["nfs", "nfs4", "cifs", "smb3", "ceph"];
            kinds.contains(&mount.fstype.as_str()) && !mount.is_read_only()
        };
        let mount = self.mounts.mounts().iter().find(is_nas).filter(|_| nodes.contains(&self.host))?;
        Some(format!("{}/immich", mount.mount_point.trim_end_matches('/')))
    }
}

fn time_zone() -> Option<String> {
    let variable = std::env::var("TZ").ok().map(|zone| zone.trim_start_matches(':').to_owned());
    let link = || std::fs::read_link("/etc/localtime").ok()?.to_str()?.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned());
    let file = || std::fs::read_to_string("/etc/timezone").ok().map(|zone| zone.trim().to_owned());
    variable.or_else(file).or_else(link).filter(|zone| value::time_zone(zone).is_ok())
}

/// The checks that ask this computer's mount table, and the internet.
pub(crate) struct Real<'c> {
    /// For its runtime.
    pub cluster: &'c Cluster,
    /// This computer.
    pub here: Here,
}

impl Outside for Real<'_> {
    fn mount(&self, node: &str, photos: &str) -> Checked<Option<String>> {
        if node != self.here.host {
            // The Job looks there.
            return Ok(None);
        }
        let Some(mount) = self.here.mounts.covering(photos) else { return Ok(None) };
        if doctor::is_own_disk(&mount.fstype) {
            return Err(format!(
                "{photos} is on {} {}, a disk of this node: wanted a directory on the NAS. Mount it: docs/nas.md, or the quickstart, the disk",
                mount.fstype, mount.source
            ));
        }
        Ok(Some(format!("{} {}", mount.fstype, mount.source)))
    }

    fn team(&self, team: &str) -> Checked<bool> {
        let address = format!("https://{team}.cloudflareaccess.com");
        let asked = self.cluster.run(async |_| timeout(TEAM_ANSWER, doctor::team_keys(&doctor::http_client()?, team)).await?);
        match asked {
            Ok(1..) => Ok(true),
            // Not to be reached, which says nothing about the team.
            Err(error) if error.is::<tokio::time::error::Elapsed>() || is_unreachable(&error) => {
                eprintln!("   ! {address} could not be asked from here: the team is not checked");
                Ok(false)
            }
            Ok(0) | Err(_) => Err(format!("{address} has no key set, wanted the name of your team (Zero Trust > Settings)")),
        }
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(|error| error.is_connect() || error.is_timeout())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(name: &str, tag: &str) -> String {
        format!("images:\n  - name: guard\n    newName: {name}\n    newTag: {tag}\n")
    }

    #[test]
    fn the_image_of_the_overlay_counts_before_the_committed_one() {
        let (zeros, digest) = (format!("1@sha256:{}", "0".repeat(64)), format!("1@sha256:{}", "a".repeat(64)));
        assert_eq!(image(None, &base("ghcr.io/example/guard", &zeros)), None);
        let found = image(None, &base("ghcr.io/family/guard", &digest));
        assert_eq!(found, Some(GuardImage { reference: format!("ghcr.io/family/guard:{digest}"), is_private: false }));
        let overlay = format!("images:\n  - name: ghcr.io/example/guard\n    newName: localhost/guard\n    newTag: {digest}\n");
        let found = image(Some(&overlay), &base("ghcr.io/example/guard", &zeros));
        assert_eq!(found, Some(GuardImage { reference: format!("localhost/guard:{digest}"), is_private: true }));
        assert!(image(None, &base("localhost/guard", &digest)).is_some_and(|it| it.is_private));
        assert_eq!(image(Some("resources: []\n"), "no: image\n"), None);
    }

    #[test]
    fn a_nas_is_suggested_on_the_node_only() {
        let table = "36 35 98:0 / / rw - ext4 /dev/sda1 rw\n40 36 0:50 / /mnt/nas rw - nfs4 nas.lan:/photos rw\n";
        let here = Here { host: "home".to_owned(), time_zone: None, mounts: MountTable::parse(table) };
        assert_eq!(here.nas(&["home".to_owned()]).as_deref(), Some("/mnt/nas/immich"));
        assert_eq!(here.nas(&["pi5".to_owned()]), None);
    }
}
