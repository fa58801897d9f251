//! Two machines, by docs/multi-node.md: guard and the tunnel run on both, one of them is drained under load, and Immich starts on the other one with its
//! library by NFS.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::components::switch_on;
use super::first_photo::on_nas;
use super::load::{Load, upload_one};
use crate::NODE;
use crate::flux::text;
use crate::node::Home;
use crate::node::http::photo;
use crate::node::second::{SECOND, Second};
use crate::wait::{Look, until};

const VOLUME: &str = "clusters/home.local/multi-node/persistentvolume.yaml";
const PATCH: &str = "clusters/home.local/flux/nas.patch.yaml";

/// The whole story.
pub(super) async fn drained(home: &mut Home) -> Result<String> {
    let second = home.join_second().await?;
    let patch = home.world.repo.tree.join(PATCH);
    let before = fs::read_to_string(&patch)?;
    let told = on_both(home).await.with_context(|| second.logs())?;
    fs::write(&patch, before)?;
    leave(home, second).await?;
    Ok(told)
}

async fn on_both(home: &mut Home) -> Result<String> {
    home.world.repo.edit(VOLUME, "server: nas.example.com", "server: nas.lan")?;
    home.world.repo.edit(VOLUME, "path: /volume1/photos/immich", "path: /photos/immich")?;
    let tree = home.world.repo.tree.clone();
    home.world.cluster.kubectl(&["apply", "-f", &tree.join(VOLUME).display().to_string()])?;
    let patch = fs::read_to_string(tree.join("clusters/home.local/multi-node/nas.patch.yaml"))?;
    fs::write(tree.join(PATCH), patch.replace("node.example.com", NODE))?;
    switch_on(home, "multi-node")?;
    let commit = home.world.repo.commit("Two machines")?;
    home.world.apply("clusters/home.local/flux")?;
    home.world.applied(&commit).await?;
    home.world.as_rendered().await?;
    let claim =
        home.world.cluster.kubectl(&["-n", "immich", "get", "pvc", "immich-library", "-o", "jsonpath={.status.phase}"])?;
    ensure!(claim == "Bound", "the claim of the library is {claim}, wanted Bound");
    home.world.cluster.kubectl(&[
        "-n",
        "immich",
        "exec",
        "deploy/immich-server",
        "-c",
        "server",
        "--",
        "/guard/guard",
        "nas",
        "check",
    ])?;
    for name in ["immich-origin-proxy", "cloudflared"] {
        let nodes = nodes_of(home, "immich-edge", name)?;
        ensure!(nodes == [NODE, SECOND].map(str::to_owned).into(), "{name} runs on {nodes:?}, wanted both machines");
    }
    home.edge.wait_for_tunnels(2).await;

    // Any machine may have Immich; this story drains the one that the database is not bound to.
    move_immich(home, SECOND, NODE)?;
    let shown = photo(70, 1 << 20);
    let token = home.issuer.token_for("family@example.com");
    ensure!(upload_one(home.edge.front(), &token, &shown).await?.is_success(), "the first photo was not stored");
    let load = Load::start(home, &shown);
    let start = Instant::now();
    let drain = ["drain", SECOND, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"];
    let drain = tokio::task::block_in_place(|| home.world.cluster.kubectl(&drain));
    let took = start.elapsed();
    let tally = load.end().await;
    drain?;
    tally.all_on_nas(home)?;
    // A new tunnel takes requests at once, and the policy agent lets its address reach guard up to a second later: docs/multi-node.md.
    ensure!(tally.failed_only_with(&[502]), "while {SECOND} was drained: {}", tally.told());
    home.world.cluster.kubectl(&["uncordon", SECOND])?;
    let moved = move_immich(home, NODE, SECOND)?;
    let photo = photo(71, 1 << 20);
    let token = home.issuer.token_for("family@example.com");
    ensure!(upload_one(home.edge.front(), &token, &photo).await?.is_success(), "a photo was not stored from {SECOND}");
    on_nas(home, &photo)?;
    Ok(format!(
        "{SECOND} was drained in {:.0} s: {}; Immich is Ready on {SECOND} after {:.0} s, its library by NFS",
        took.as_secs_f32(),
        tally.told(),
        moved.as_secs_f32()
    ))
}

/// One machine takes no pods for a moment, so that Immich's next pod is on the other one. Returns how long Immich was away.
fn move_immich(home: &Home, from: &str, to: &str) -> Result<Duration> {
    let kubectl = |words: &[&str]| home.world.cluster.kubectl(words);
    let start = Instant::now();
    kubectl(&["cordon", from])?;
    home.restart_server()?;
    kubectl(&["-n", "immich", "rollout", "status", "deploy/immich-server", "--timeout=180s"])?;
    kubectl(&["uncordon", from])?;
    let nodes = nodes_of(home, "immich", "immich-server")?;
    ensure!(nodes == BTreeSet::from([to.to_owned()]), "Immich runs on {nodes:?}, wanted {to}");
    Ok(start.elapsed())
}

/// The machines that the pods of this name run on, those that end not counted.
fn nodes_of(home: &Home, namespace: &str, name: &str) -> Result<BTreeSet<String>> {
    let pods = home.pods(namespace)?.into_iter().filter(|pod| {
        text(pod, "/metadata/labels/app.kubernetes.io~1name") == name && pod["metadata"]["deletionTimestamp"].is_null()
    });
    Ok(pods.map(|pod| text(&pod, "/spec/nodeName").to_owned()).collect())
}

/// One machine again, as docs/multi-node.md says, and then without the claim and the volume.
async fn leave(home: &mut Home, second: Second) -> Result<()> {
    let tree = home.world.repo.tree.clone();
    let kubectl = |words: &[&str]| home.world.cluster.kubectl(words);
    kubectl(&["uncordon", NODE])?;
    kubectl(&["cordon", SECOND])?;
    let commit = home.world.repo.revert()?;
    home.world.apply("clusters/home.local/flux")?;
    home.world.applied(&commit).await?;
    home.world.as_rendered().await?;
    kubectl(&["-n", "immich", "delete", "pvc", "immich-library"])?;
    kubectl(&["delete", "-f", &tree.join(VOLUME).display().to_string()])?;
    kubectl(&["drain", SECOND, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"])?;
    for namespace in ["immich", "immich-edge"] {
        home.available(namespace)?;
    }
    home.forget_second(second)?;
    until("one tunnel", Duration::from_secs(60), async || {
        let pods = home.pods("immich-edge")?;
        Ok(if pods.len() == 2 { Look::Done(()) } else { Look::NotYet(format!("{} pods", pods.len())) })
    })
    .await?;
    home.edge.wait_for_tunnels(1).await;
    Ok(())
}
