//! What stands between the internet and Immich is broken: guard, the tunnel, network policies, Flux.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use hyper::StatusCode;
use tokio::net::TcpStream;

use super::{Broken, LIMIT};
use crate::node::http::{request, send};
use crate::node::{Home, SITE};
use crate::process::run;
use crate::wait::{Look, until};

const GUARD: &str = "deploy/immich-origin-proxy";
/// Deletes the pods of guard.
const PODS_OF_GUARD: [&str; 7] =
    ["-n", "immich-edge", "delete", "pod", "-l", "app.kubernetes.io/name=immich-origin-proxy", "--timeout=60s"];

/// Secrets, images, programs, packets.
pub(in super::super) async fn broken(home: &mut Home) -> Result<String> {
    let audience = home.issuer.aud().to_owned();
    let mut homes = Broken::new(home);

    // Another application of the same team: the form is right, so that only what arrives tells it.
    let other = "ab".repeat(32);
    homes.patch("immich-edge", "secret/immich-edge", &format!(r#"{{"stringData":{{"ACCESS_AUD":"{other}"}}}}"#))?;
    restart(&homes, GUARD)?;
    answers(&homes, StatusCode::UNAUTHORIZED).await?;
    let fix = homes.named("an AUD of another application", "GD-GUARD-03").await?;
    homes.cure(&fix, &[("VALUE", &audience)])?;
    settled(&homes, GUARD)?;
    homes.cured().await?;
    answers(&homes, StatusCode::OK).await?;

    // By hand: who may enter, only the family knows.
    homes.patch("immich-edge", "secret/immich-edge", r#"{"stringData":{"ALLOW_EMAIL":"nobody@family.test"}}"#)?;
    restart(&homes, GUARD)?;
    answers(&homes, StatusCode::FORBIDDEN).await?;
    let fix = homes.named("an allow list that matches nobody", "GD-GUARD-03").await?;
    ensure!(fix.contains("correct ALLOW_EMAIL"), "{fix}");
    homes.patch("immich-edge", "secret/immich-edge", r#"{"data":{"ALLOW_EMAIL":null}}"#)?;
    restart(&homes, GUARD)?;
    homes.cured().await?;

    // A team that does not exist: nobody has its keys. Every pod is made anew, since an old one would still have those of the right team.
    let team = homes.home.issuer.team().to_owned();
    homes.patch("immich-edge", "secret/immich-edge", r#"{"stringData":{"ACCESS_TEAM":"another"}}"#)?;
    homes.kubectl(&PODS_OF_GUARD)?;
    homes.named("a team that does not exist", "GD-GUARD-02").await?;
    homes.patch("immich-edge", "secret/immich-edge", &format!(r#"{{"stringData":{{"ACCESS_TEAM":"{team}"}}}}"#))?;
    homes.kubectl(&PODS_OF_GUARD)?;
    settled(&homes, GUARD)?;
    homes.cured().await?;

    homes.kubectl(&[
        "-n",
        "immich-edge",
        "patch",
        "secret/immich-edge",
        "--type=json",
        "-p",
        r#"[{"op":"remove","path":"/data/EXTERNAL_HOST"}]"#,
    ])?;
    homes.kubectl(&PODS_OF_GUARD)?;
    let fix = homes.named("a key is missing in a Secret", "GD-SECRET-03").await?;
    homes.cure(&fix, &[("KEY", "EXTERNAL_HOST"), ("VALUE", SITE)])?;
    homes.cured().await?;

    let line_break = format!(r#"{{"stringData":{{"ACCESS_AUD":"{audience}\n"}}}}"#);
    homes.patch("immich-edge", "secret/immich-edge", &line_break)?;
    let fix = homes.named("a Secret with a line break at its end", "GD-SECRET-04").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    let image = format!("registry.example.com/family/guard:0.1.0@sha256:{}", "0".repeat(64));
    homes.kubectl(&["-n", "immich-edge", "set", "image", GUARD, &format!("guard={image}")])?;
    let fix = homes.named("an image that cannot be pulled", "GD-POD-02").await?;
    ensure!(fix.contains("docs/image.md"), "{fix}");
    // The right digest is in Git already: Flux puts it back.
    homes.cure("flux reconcile kustomization home", &[])?;
    homes.cured().await?;

    let command = r#"[{"op":"replace","path":"/spec/template/spec/containers/0/command/4","value":"dumb-init"}]"#;
    homes.kubectl(&["-n", "immich", "patch", "deploy/immich-server", "--type=json", "-p", command])?;
    let fix = homes.named("an entry point that the image does not have", "GD-APP-04").await?;
    ensure!(fix.contains("compare `command:`"), "{fix}");
    homes.cure("flux reconcile kustomization home", &[])?;
    homes.cured().await?;

    homes.kubectl(&["-n", "immich", "delete", "networkpolicy", "immich-server"])?;
    let fix = homes.named("the policy that lets guard reach Immich is gone", "GD-POD-05").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    homes.patch("flux-system", "kustomization/home", r#"{"spec":{"suspend":true}}"#)?;
    let fix = homes.named("Flux is suspended", "GD-FLUX-02").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    // A router that lets nothing new out to the edge's port. Before the rules of the policies' agent, which let it pass.
    let chain = ["PREROUTING", "-t", "mangle", "-p", "tcp", "--syn", "--dport", "7844", "-j", "DROP"];
    run(Command::new("iptables").arg("-I").args(chain))?;
    homes.kubectl(&["-n", "immich-edge", "delete", "pod", "-l", "app.kubernetes.io/name=cloudflared", "--timeout=90s"])?;
    // By hand: which router that is, only its owner knows.
    homes.named_with("port 7844 is blocked", "GD-TUNNEL-02", "allow port 7844").await?;
    run(Command::new("iptables").arg("-D").args(chain))?;
    homes.cured().await?;
    homes.home.edge.wait_for_tunnels(1).await;
    answers(&homes, StatusCode::OK).await?;
    Ok(homes.told())
}

/// Waits until a request of a member of the family is answered so: the guard before this one answers what arrives on its connections.
async fn answers(homes: &Broken<'_>, wanted: StatusCode) -> Result<()> {
    until(&format!("answered with {wanted}"), LIMIT, async || {
        let status = ask(homes).await?;
        Ok(if status == wanted { Look::Done(()) } else { Look::NotYet(status.to_string()) })
    })
    .await
}

async fn ask(homes: &Broken<'_>) -> Result<StatusCode> {
    let token = homes.home.issuer.token_for("family@example.com");
    let fields = [("cf-access-jwt-assertion", token.as_str())];
    let stream = TcpStream::connect(homes.home.edge.front()).await?;
    Ok(send(stream, request("GET", SITE, "/api/server/ping", &fields, Vec::new())?).await.context("the edge")?.status)
}

fn restart(homes: &Broken<'_>, deployment: &str) -> Result<()> {
    homes.kubectl(&["-n", "immich-edge", "rollout", "restart", deployment])?;
    settled(homes, deployment)
}

fn settled(homes: &Broken<'_>, deployment: &str) -> Result<()> {
    homes.kubectl(&["-n", "immich-edge", "rollout", "status", deployment, "--timeout=90s"]).map(drop)
}
