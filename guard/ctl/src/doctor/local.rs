//! Looks at this computer before anything is applied: the tools, and what the overlay renders. It runs only programs that read.

use std::path::Path;
use std::process::{Command, Stdio};

use guard::nas::mountinfo::MountTable;

use super::evidence::{LintFinding, Local, Look};
use super::tools;
use crate::lint;
use crate::lint::object::Object;
use crate::severity::Severity;

/// Whether a file system of this type is a disk of the machine itself.
pub(crate) fn is_own_disk(fstype: &str) -> bool {
    matches!(fstype, "ext4" | "xfs" | "btrfs" | "overlay" | "tmpfs" | "ext3")
}

/// What is on this computer, with this folder as overlay.
pub(super) fn look(overlay: &str) -> Local {
    let folder = Path::new(overlay);
    let mut local = Local { overlay: overlay.to_owned(), tools: tools::versions(), ..Local::default() };
    local.is_there = folder.join("kustomization.yaml").is_file();
    if !local.is_there {
        return local;
    }
    local.tracked = git(&["ls-files", "--", overlay]).unwrap_or_default().lines().map(str::to_owned).collect();
    match lint::read::objects(overlay) {
        Ok(objects) => {
            local.render = Look::Found(objects.len());
            local.findings = lint::check(&objects).iter().map(finding).collect();
            values(&objects, &mut local);
        }
        Err(error) => local.render = Look::Failed(format!("{error:#}")),
    }
    local
}

/// The commit of the clone in the current folder.
pub(super) fn head() -> Option<String> {
    Path::new("clusters/home/kustomization.yaml").is_file().then(|| git(&["rev-parse", "HEAD"])).flatten()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn finding(it: &lint::finding::Finding) -> LintFinding {
    let text = format!("{} {}: found {}, wanted {} ({})", it.object, it.field, it.found, it.wanted, it.link);
    LintFinding { id: it.id.to_owned(), is_error: it.severity == Severity::Error, text }
}

/// The private values of the render.
fn values(objects: &[Object], local: &mut Local) {
    let deployment =
        |name: &str| objects.iter().find(|it| it.kind == "Deployment" && it.namespace == "immich" && it.name == name);
    let path = |deployment: Option<&Object>, volume: &str| {
        let volumes = deployment?.value["spec"]["template"]["spec"]["volumes"].as_array()?;
        volumes.iter().find(|it| it["name"] == volume)?["hostPath"]["path"].as_str().map(str::to_owned)
    };
    let (server, database) = (deployment("immich-server"), deployment("immich-postgres"));
    local.library = path(server, "library");
    local.database = path(database, "data");
    local.nodes = [server, database]
        .iter()
        .filter_map(|it| it.as_ref()?.value["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/hostname"].as_str())
        .map(str::to_owned)
        .collect();
    local.nodes.dedup();
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if local.nodes.iter().any(|node| node == here.trim()) {
        // The table is read, and not the path: a NAS that hangs must not hang this.
        let table = MountTable::read().ok();
        let mount = local.library.as_deref().zip(table.as_ref()).and_then(|(path, table)| table.covering(path));
        local.mount = mount.map(|mount| (mount.fstype.clone(), mount.source.clone()));
    }
    let claims = objects.iter().filter(|it| it.kind == "PersistentVolumeClaim");
    local.storage_classes = claims
        .filter(|claim| claim.value["spec"]["volumeName"].is_null())
        .map(|claim| claim.value["spec"]["storageClassName"].as_str().unwrap_or_default().to_owned())
        .collect();
}
