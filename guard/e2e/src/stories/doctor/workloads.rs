//! What was applied is not what should run: deployments, nodes, policies, the tunnel's rules, private values.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Homes, put_back};
use crate::stories::home::{EXAMPLE_ID, NAS_ID};
use crate::{NODE, World};

const PATCH: &str = "clusters/home.local/flux/nas.patch.yaml";

/// The whole story.
pub(in super::super) async fn broken(world: &mut World) -> Result<String> {
    let mut homes = Homes::with_secrets(world)?;
    scaled(&mut homes)?;
    homes.kubectl(&["-n", "immich-edge", "delete", "deploy/cloudflared"])?;
    let fix = homes.named("no cloudflared, and Flux is suspended", &["GD-FLUX-02"])?;
    homes.cure(&fix, &[])?;
    homes.well()?;

    let command = r#"[{"op":"replace","path":"/spec/template/spec/containers/0/command","value":["tini","--","/bin/bash","-c","start.sh"]}]"#;
    homes.kubectl(&["-n", "immich", "patch", "deploy/immich-server", "--type=json", "-p", command])?;
    homes.kubectl(&["-n", "immich", "rollout", "status", "deploy/immich-server", "--timeout=60s"])?;
    homes.named("the server without its gate", &["GD-APP-02"])?;
    let node = r#"{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/hostname":"pi5"}}}}}"#;
    homes.patch("immich", "deploy/immich-server", node)?;
    homes.world.until_unscheduled("immich-server").await?;
    homes.named("a node of another name, and no gate", &["GD-POD-03", "GD-APP-02"])?;
    put_back(&homes).await?;
    homes.well()?;

    let memory =
        r#"[{"op":"replace","path":"/spec/template/spec/containers/0/resources","value":{"requests":{"memory":"9000Gi"}}}]"#;
    homes.kubectl(&["-n", "immich", "patch", "deploy/immich-redis", "--type=json", "-p", memory])?;
    homes.world.until_unscheduled("immich-redis").await?;
    let fix = homes.named("more memory than the node has", &["GD-POD-03"])?;
    ensure!(fix.contains("too little memory"), "{fix}");
    put_back(&homes).await?;
    homes.well()?;

    for (what, words) in [
        ("the policy of the server is gone", &["networkpolicy", "immich-server"][..]),
        ("no policy at all", &["networkpolicy", "--all"]),
    ] {
        homes.kubectl(&[&["-n", "immich", "delete"], words].concat())?;
        homes.cured(what, "GD-POD-05", &[])?;
    }
    past_guard(&mut homes).await?;
    placeholder(&mut homes).await?;
    pressure(&mut homes)?;
    Ok(homes.end())
}

/// Deployments that somebody scaled to 0: each with the cure that doctor prints. Flux would put it back at once, so it is suspended.
fn scaled(homes: &mut Homes<'_>) -> Result<()> {
    homes.patch("flux-system", "kustomization/home", r#"{"spec":{"suspend":true}}"#)?;
    for (deployment, id) in [("immich-server", "GD-APP-01"), ("immich-redis", "GD-DB-06"), ("immich-postgres", "GD-DB-05")] {
        let name = format!("deploy/{deployment}");
        homes.kubectl(&["-n", "immich", "scale", &name, "--replicas=0"])?;
        homes.named(&format!("{deployment} was scaled to 0"), &["GD-FLUX-02", id])?;
        let report = homes.report()?;
        homes.cure(report.fix_of(id).context("no cure")?, &[])?;
        homes.kubectl(&["-n", "immich", "rollout", "status", &name, "--timeout=60s"])?;
    }
    Ok(())
}

/// A rule of the tunnel that leads to Immich itself: doctor's cure closes the tunnel, and the rule is put right in Git.
async fn past_guard(homes: &mut Homes<'_>) -> Result<()> {
    let listed = homes.kubectl(&["-n", "immich-edge", "get", "configmap", "-o", "json"])?;
    let listed: Value = serde_json::from_str(&listed)?;
    let names = listed["items"].as_array().into_iter().flatten().filter_map(|map| map["metadata"]["name"].as_str());
    let map = names.into_iter().find(|name| name.starts_with("cloudflared-")).context("no ConfigMap of cloudflared")?;
    let rule = "ingress:\\n  - service: http://immich-server.immich.svc.cluster.local:2283\\n";
    homes.patch("immich-edge", &format!("configmap/{map}"), &format!("{{\"data\":{{\"config.yaml\":\"{rule}\"}}}}"))?;
    let fix = homes.named("a rule of the tunnel leads past guard", &["GD-TUNNEL-05"])?;
    homes.cure(&fix, &[])?;
    let replicas = homes.kubectl(&["-n", "immich-edge", "get", "deploy/cloudflared", "-o", "jsonpath={.spec.replicas}"])?;
    ensure!(replicas == "0", "the cure left {replicas} tunnels");
    put_back(homes).await?;
    homes.well()
}

/// Private values that were not filled in. The cluster's own policy refuses a path; an id it takes.
async fn placeholder(homes: &mut Homes<'_>) -> Result<()> {
    let file = homes.world.repo.tree.join(PATCH);
    let before = fs::read_to_string(&file)?;
    for (what, id, value, left) in [
        ("a path that was not filled in", "GD-FLUX-03", "/mnt/nas/immich", "/__NAS_LIBRARY_PATH__"),
        ("the id of the example", "GD-POD-04", NAS_ID, EXAMPLE_ID),
    ] {
        ensure!(before.contains(value), "{PATCH} does not contain {value}");
        fs::write(&file, before.replace(value, left))?;
        homes.world.apply("clusters/home.local/flux")?;
        let commit = homes.world.repo.commit(what)?;
        crate::flux::reconcile(homes.world, &commit).await?;
        let fix = homes.named(what, &[id])?;
        ensure!(
            fix.contains("guardctl lint clusters/home.local/flux") && fix.contains("apply -k clusters/home.local/flux"),
            "{fix}"
        );
        fs::write(&file, &before)?;
        homes.cure("guardctl lint clusters/home.local/flux && kubectl apply -k clusters/home.local/flux", &[])?;
        put_back(homes).await?;
        homes.well()?;
    }
    Ok(())
}

/// A node without room on its disk, as its kubelet says it.
fn pressure(homes: &mut Homes<'_>) -> Result<()> {
    let says = |homes: &Homes<'_>, status: &str| {
        let change = format!(r#"{{"status":{{"conditions":[{{"type":"DiskPressure","status":"{status}"}}]}}}}"#);
        homes.kubectl(&["patch", "node", NODE, "--subresource=status", "--type=strategic", "-p", &change])
    };
    says(homes, "True")?;
    homes.named("the node's disk is full", &["GD-K8S-04"])?;
    says(homes, "False")?;
    homes.well()
}
