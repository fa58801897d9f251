//! `guardctl doctor` against the real API server: homes that are broken for real, the cause that it names, and its own cure where that is a command
//! that this cluster can run.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::World;

/// The checks that have an answer on nodes that are played: no container runs on them.
const ONLY: &str = "GD-K8S-01,GD-K8S-02,GD-K8S-03,GD-K8S-04,GD-K8S-05,flux,secret,GD-NAS-01,GD-POD-01,GD-POD-03,GD-DB-05,GD-DB-06,GD-APP-01,GD-APP-02,GD-TUNNEL-05";
const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
/// What the Secrets hold, which must be in no report and in no record.
const PLANTED: [&str; 2] = ["planted-database-password", "cGxhbnRlZC10dW5uZWwtc2VjcmV0"];

/// The report, and what was recorded.
fn look(world: &World) -> Result<(Value, String)> {
    let program = std::env::current_exe()?.with_file_name("guardctl");
    let record = world.dir.join("evidence.json");
    let output = Command::new(&program)
        .args(["doctor", "--cluster", "-o", "json", "--only", ONLY, "--record"])
        .arg(&record)
        .env("KUBECONFIG", &world.cluster.kubeconfig)
        .output()
        .with_context(|| program.display().to_string())?;
    let report = String::from_utf8(output.stdout)?;
    let recorded = std::fs::read_to_string(&record)?;
    for secret in PLANTED {
        ensure!(!report.contains(secret) && !recorded.contains(secret), "a secret is in the report, or in what was recorded");
    }
    Ok((serde_json::from_str(&report).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?, recorded))
}

/// Fails unless these checks, and no others, have failed. Returns the cure of the first.
fn fails(world: &World, what: &str, wanted: &[&str]) -> Result<String> {
    let (report, _) = look(world)?;
    let found: Vec<_> = report["root_causes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let details = || {
        let checks = report["checks"].as_array().into_iter().flatten();
        checks.filter(|check| check["status"] == "fail").map(|check| check["detail"].to_string()).collect::<Vec<_>>().join("; ")
    };
    ensure!(found == wanted, "{what}: found {found:?}, wanted {wanted:?}: {}", details());
    let checks = report["checks"].as_array().into_iter().flatten();
    let fix = checks
        .into_iter()
        .find(|check| wanted.first().is_some_and(|id| check["id"] == **id))
        .and_then(|check| check["fix"].as_str());
    Ok(fix.unwrap_or_default().to_owned())
}

/// Runs a cure as an operator does, in a shell.
fn cure(world: &World, fix: &str) -> Result<()> {
    let kubectl = world.cluster.bin.display();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("PATH={kubectl}:$PATH; {fix}")])
        .env("KUBECONFIG", &world.cluster.kubeconfig)
        .output()?;
    ensure!(output.status.success(), "the cure failed: {fix}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Broken homes, one after another, from a home that doctor has made well.
pub(super) async fn broken(world: &mut World) -> Result<String> {
    let kubectl = |arguments: &[&str]| world.cluster.kubectl(arguments);
    let patch = |namespace: &str, name: &str, data: &str| {
        kubectl(&["-n", namespace, "patch", "secret", name, "--type=merge", "-p", &format!("{{\"stringData\":{data}}}")])
    };
    let mut count = 0;
    // The Secrets of these tests are no real ones, and doctor says so.
    fails(world, "a token that is none, and an AUD that is a word", &["GD-SECRET-02", "GD-SECRET-05"])?;
    // {"a":"1","s":"…","t":"2"}
    patch("immich-edge", "cloudflared-tunnel", &format!("{{\"token\":\"{}\"}}", token()))?;
    patch("immich-edge", "immich-edge", &format!("{{\"ACCESS_AUD\":\"{AUD}\",\"EXTERNAL_HOST\":\"photos.family.test\"}}"))?;
    patch("immich", "immich-postgres", "{\"POSTGRES_PASSWORD\":\"planted-database-password\"}")?;
    fails(world, "the home", &[])?;
    count += 2;

    // Each with the cure that doctor prints.
    patch("immich", "immich-postgres", "{\"POSTGRES_PASSWORD\":\"planted-database-password\\n\"}")?;
    cure(world, &fails(world, "a line break in a Secret", &["GD-SECRET-04"])?)?;
    fails(world, "after the cure of a line break", &[])?;
    patch("immich-edge", "immich-edge", "{\"ALLOW_EMAILS\":\"ada@family.test\"}")?;
    cure(world, &fails(world, "a misspelt key", &["GD-SECRET-06"])?)?;
    fails(world, "after the cure of a misspelt key", &[])?;
    kubectl(&["-n", "immich", "delete", "secret", "immich-postgres"])?;
    cure(world, &fails(world, "no Secret of the database", &["GD-SECRET-01"])?)?;
    fails(world, "after the cure of a missing Secret", &[])?;
    // Flux would put it back at once.
    kubectl(&["-n", "flux-system", "patch", "kustomization/home", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#])?;
    fails(world, "Flux suspended", &["GD-FLUX-02"])?;
    for (deployment, id) in [("immich-server", "GD-APP-01"), ("immich-redis", "GD-DB-06"), ("immich-postgres", "GD-DB-05")] {
        kubectl(&["-n", "immich", "scale", &format!("deploy/{deployment}"), "--replicas=0"])?;
        fails(world, deployment, &["GD-FLUX-02", id])?;
        let (report, _) = look(world)?;
        let checks = report["checks"].as_array().into_iter().flatten();
        let fix = checks.into_iter().find(|check| check["id"] == *id).and_then(|check| check["fix"].as_str());
        cure(world, fix.context("no cure")?)?;
        kubectl(&["-n", "immich", "rollout", "status", &format!("deploy/{deployment}"), "--timeout=60s"])?;
        fails(world, deployment, &["GD-FLUX-02"])?;
        count += 1;
    }
    kubectl(&["-n", "immich-edge", "delete", "deploy/cloudflared"])?;
    let found = fails(world, "no cloudflared", &["GD-FLUX-02"])?;
    ensure!(found.contains("flux resume"), "{found}");
    kubectl(&["-n", "flux-system", "patch", "kustomization/home", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#])?;
    fails(world, "no cloudflared, and Flux is not suspended any more", &["GD-POD-01"])
        .or_else(|_| fails(world, "Flux was quick", &[]))?;
    let commit = world.repo.commit("Doctor, be quick")?;
    world.applied(&commit).await?;
    fails(world, "after Flux", &[])?;
    count += 5;

    world.cluster.kubectl(&["-n", "immich", "patch", "deploy/immich-server", "--type=json", "-p",
        r#"[{"op":"replace","path":"/spec/template/spec/containers/0/command","value":["tini","--","/bin/bash","-c","start.sh"]}]"#])?;
    kubectl(&["-n", "immich", "rollout", "status", "deploy/immich-server", "--timeout=60s"])?;
    fails(world, "the server without its gate", &["GD-APP-02"])?;
    world.cluster.kubectl(&[
        "-n",
        "immich",
        "patch",
        "deploy/immich-server",
        "--type=merge",
        "-p",
        r#"{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/hostname":"pi5"}}}}}"#,
    ])?;
    world.until_unscheduled("immich-server").await?;
    fails(world, "a node of another name, and no gate", &["GD-POD-03", "GD-APP-02"])?;
    let commit = world.repo.commit("Doctor, put it back")?;
    world.applied(&commit).await?;
    fails(world, "after Flux has put it back", &[])?;
    count += 2;
    Ok(format!("{count} broken homes, each named"))
}

/// A tunnel's token whose secret is planted.
pub(crate) fn token() -> String {
    // base64 of {"a":"1","s":"cGxhbnRlZC10dW5uZWwtc2VjcmV0","t":"2"}
    "eyJhIjoiMSIsInMiOiJjR3hoYm5SbFpDMTBkVzV1Wld3dGMyVmpjbVYwIiwidCI6IjIifQ==".to_owned()
}
