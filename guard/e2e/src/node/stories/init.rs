//! `guardctl init` and the NAS: a Job on the node writes the sentinel, with guard's image, as the user and on the mount that Immich will have.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::NODE;
use crate::node::{Home, LIBRARY};

const BASE: &str = "clusters/home/kustomization.yaml";

/// While the NAS is away, init says so and what to do; when it is there, it has an id, and the overlay has the same.
pub(super) async fn sentinel(home: &mut Home) -> Result<String> {
    let digest = home.publish_guard_as("localhost/guard")?;
    let tree = home.world.repo.tree.clone();
    let committed = fs::read_to_string(tree.join(BASE))?;
    let ours = committed.replace("ghcr.io/example/guard", "localhost/guard");
    fs::write(tree.join(BASE), ours.replace(&format!("sha256:{}", "0".repeat(64)), &digest))?;
    let answers = home.dir.join("answers.toml");
    let text = format!(
        "node = \"{NODE}\"\nphotos = \"{LIBRARY}\"\nnas_source = \"nas.lan:*\"\nrepository = \"none\"\n[internet]\nhost = \"none\"\n"
    );
    fs::write(&answers, text)?;
    let run = |home: &Home| -> Result<(bool, String)> {
        let program = std::env::current_exe()?.with_file_name("guardctl");
        let path = format!("{}:{}", home.world.cluster.bin.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(&program);
        command.args(["init", "--yes", "--answers"]).arg(&answers).current_dir(&tree).env("PATH", path);
        let output = command.env("KUBECONFIG", &home.world.cluster.kubeconfig).output().context("guardctl init")?;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), said))
    };

    home.unmount_nas()?;
    let (is_done, said) = run(home)?;
    ensure!(!is_done && said.contains(&format!("{LIBRARY} is no directory on {NODE}")), "without the NAS:\n{said}");
    ensure!(said.contains("guard nas init --path"), "the command to type is missing:\n{said}");

    home.mount_empty_nas();
    let (is_done, said) = run(home)?;
    ensure!(is_done, "with the NAS:\n{said}");
    let sentinel = home.nas.as_ref().context("a NAS")?.read("immich/.guard-nas-id").context("no sentinel is on the NAS")?;
    let sentinel: serde_json::Value = serde_json::from_slice(&sentinel)?;
    let id = sentinel["id"].as_str().context("the sentinel has no id")?;
    let patch = fs::read_to_string(tree.join("clusters/home.local/flux/nas.patch.yaml"))?;
    ensure!(patch.contains(&format!("guard.immich/nas-id: {id}\n")), "the id {id} is not in the overlay:\n{patch}");
    ensure!(said.contains("kubectl apply -k clusters/home.local"), "what comes next is not said:\n{said}");
    id.clone_into(&mut home.nas_id);
    let jobs = home.world.cluster.kubectl(&["-n", "immich", "get", "jobs", "-o", "name"])?;
    ensure!(jobs.is_empty(), "a Job is left: {jobs}");

    fs::remove_dir_all(tree.join("clusters/home.local"))?;
    fs::write(tree.join(BASE), committed)?;
    Ok(format!("{id}, by a Job"))
}
