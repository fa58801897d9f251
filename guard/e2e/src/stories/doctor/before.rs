//! What doctor says before anything is applied (`--pre`), and where there is no home, or no cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::{Homes, causes, doctor, guardctl, shell};
use crate::doctor::Report;
use crate::{NODE, World};

const OVERLAY: &str = "clusters/home.local";

/// A cluster that has no home yet, and one that does not answer.
pub(in super::super) async fn no_home(world: &mut World) -> Result<String> {
    let report = doctor(world, &["--cluster", "--only", "k8s"])?;
    let fix = causes(&report, "a cluster without a home", &["GD-K8S-05"])?;
    ensure!(fix.contains("current-context"), "{fix}");
    let away = world.dir.join("away.kubeconfig");
    let config = fs::read_to_string(&world.cluster.kubeconfig)?;
    let port = world.cluster.port()?;
    // Nothing listens on the first port of the machine.
    fs::write(&away, config.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:1"))?;
    let output = guardctl(world)?.args(["doctor", "--cluster", "-o", "json"]).env("KUBECONFIG", &away).output()?;
    ensure!(output.status.code() == Some(3), "no cluster: found {}, wanted the exit code 3", output.status);
    causes(&Report::read(&output.stdout)?, "an API server that does not answer", &["GD-K8S-01"])?;
    Ok("2 broken homes".to_owned())
}

/// Overlays that are not fit to be applied. Each is cured by what doctor prints, or by the edit that it names.
pub(in super::super) async fn overlays(world: &mut World) -> Result<String> {
    let mut homes = Homes::with_secrets(world)?;
    let tree = homes.world.repo.tree.clone();
    let (overlay, aside) = (tree.join(OVERLAY), tree.join("clusters/home.aside"));
    let patch = overlay.join("flux/nas.patch.yaml");
    let before = fs::read_to_string(&patch)?;
    let kustomization = overlay.join("kustomization.yaml");
    let at_first = fs::read_to_string(&kustomization)?;
    let fix = named(&mut homes, "an image that is not published", "GD-LOCAL-06")?;
    ensure!(fix.contains("guardctl image load"), "{fix}");
    run(&homes, &format!("guardctl image set localhost/guard:0.1.0@sha256:{}", "ab".repeat(32)))?;
    well(&homes)?;

    fs::rename(&overlay, &aside)?;
    let fix = named(&mut homes, "no overlay", "GD-LOCAL-02")?;
    let (_, by_hand) = fix.split_once("by hand: ").context("no way by hand")?;
    let output = shell(homes.world, by_hand)?;
    ensure!(output.status.success() && overlay.join("kustomization.yaml").is_file(), "the cure failed: {by_hand}");
    causes(&look(&homes)?, "the example's overlay", &["GD-LOCAL-05", "GD-LOCAL-06"])?;
    homes.told.push("the example's overlay: GD-LOCAL-05, GD-LOCAL-06".to_owned());
    fs::remove_dir_all(&overlay)?;
    fs::rename(&aside, &overlay)?;
    well(&homes)?;

    run(&homes, &format!("git add -f {OVERLAY}/kustomization.yaml"))?;
    let fix = named(&mut homes, "Git tracks the overlay", "GD-LOCAL-03")?;
    homes.cure(&fix, &[])?;
    well(&homes)?;

    let library = "/mnt/nas/immich";
    ensure!(before.contains(library), "the overlay has no {library}");
    for (what, id, from, to) in [
        ("an overlay that does not render", "GD-LOCAL-04", "name: immich-server", "name: immich-sever"),
        ("a placeholder is left", "GD-LOCAL-05", library, "/__NAS_LIBRARY_PATH__"),
        ("photos at the top of the disk", "GD-LOCAL-08", library, "/photos"),
        ("photos below the database", "GD-LOCAL-08", library, "/srv/immich/postgres/photos"),
        ("a node that the cluster does not have", "GD-K8S-07", NODE, "pi5"),
    ] {
        fs::write(&patch, before.replace(from, to))?;
        named(&mut homes, what, id)?;
        fs::write(&patch, &before)?;
        well(&homes)?;
    }

    // The story of the components has left one.
    homes.kubectl(&["delete", "storageclass", "--all"])?;
    let text = fs::read_to_string(&kustomization)?;
    edited(
        &mut homes,
        &kustomization,
        &format!("{text}components:\n  - ../../apps/components/ml-cache\n"),
        "a cache without a StorageClass",
        "GD-K8S-08",
    )?;
    let policy = overlay.join("open.yaml");
    fs::write(&policy, OPEN)?;
    edited(
        &mut homes,
        &kustomization,
        &text.replacen("resources:\n", "resources:\n  - open.yaml\n", 1),
        "a second way into Immich",
        "GD-LOCAL-07",
    )?;
    fs::remove_file(&policy)?;
    fs::write(&kustomization, at_first)?;
    Ok(homes.end())
}

/// A Service that leads past guard.
const OPEN: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: open, namespace: immich}\nspec:\n  type: LoadBalancer\n  selector: {app.kubernetes.io/name: immich-server}\n  ports: [{name: http, port: 80, targetPort: http}]\n";

fn edited(homes: &mut Homes<'_>, file: &Path, text: &str, what: &str, id: &str) -> Result<()> {
    let before = fs::read_to_string(file)?;
    ensure!(before != text, "{what}: nothing is changed");
    fs::write(file, text)?;
    named(homes, what, id)?;
    fs::write(file, before)?;
    well(homes)
}

fn look(homes: &Homes<'_>) -> Result<Report> {
    doctor(homes.world, &["--pre", "--overlay", OVERLAY])
}

fn named(homes: &mut Homes<'_>, what: &str, id: &str) -> Result<String> {
    let fix = causes(&look(homes)?, what, &[id])?;
    homes.told.push(format!("{what}: {id}"));
    Ok(fix)
}

fn well(homes: &Homes<'_>) -> Result<()> {
    causes(&look(homes)?, &format!("after {:?}", homes.told.last()), &[]).map(drop)
}

fn run(homes: &Homes<'_>, command: &str) -> Result<()> {
    let output = shell(homes.world, command)?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
