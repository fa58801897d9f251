//! Share links and Authentik, switched on by their lines: a guest sees what is shared and nothing else, a phone enters by Authentik's proof, and
//! packets go where docs/network.md says.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::components::switch_on;
use super::first_photo::on_nas;
use super::matrix;
use crate::node::http::{Answer, form, photo, request, send, sha256};
use crate::node::images::{OUTPOST, PUBLIC_PROXY};
use crate::node::{AUTHENTIK, Home, SITE};

/// The second hostname, and the tunnel that its record names.
const SHARE: &str = "share.family.test";
const SHARE_TUNNEL: &str = "3";
const COMPONENTS: [&str; 2] = ["public-share", "authentik-front-door"];

/// Follows docs/share-links.md and docs/authentik/set-up.md, uses both, and switches them off again.
pub(super) async fn share_links_and_authentik(home: &mut Home) -> Result<String> {
    let file = home.world.repo.tree.join("clusters/home/kustomization.yaml");
    let before = fs::read_to_string(&file)?;
    pin(home, &file)?;
    secrets(home)?;
    home.edge.route(SHARE, SHARE_TUNNEL);
    for component in COMPONENTS {
        switch_on(home, component)?;
    }
    let commit = home.world.repo.commit("Share links, and Authentik as the front door")?;
    home.world.applied(&commit).await?;
    home.world.as_rendered().await?;
    home.edge.wait_for_tunnels(2).await;

    let shared = by_authentik(home).await?;
    as_a_guest(home, &shared).await?;
    let (router, policies) = (matrix::by_kube_router(home).await?, matrix::by_kube_network_policies(home).await?);
    ensure!(router == policies, "kube-router: {router}; kube-network-policies: {policies}");

    fs::write(&file, before)?;
    let commit = home.world.repo.commit("Cloudflare Access again")?;
    home.world.applied(&commit).await?;
    home.world.as_rendered().await?;
    home.edge.wait_for_tunnels(1).await;
    let token = home.issuer.token_for("family@example.com");
    let back = get(home, SITE, "/api/server/ping", &[("cf-access-jwt-assertion", &token)]).await?;
    ensure!(back.status == StatusCode::OK, "with Access again: found {}, wanted 200", back.status);
    Ok(format!("a guest sees the shared photo and nothing else; a phone enters by Basic; by both agents: {router}"))
}

/// The digests, in place of the zeros.
fn pin(home: &Home, file: &std::path::Path) -> Result<()> {
    let mut text = fs::read_to_string(file)?;
    for (image, name, tag) in
        [(PUBLIC_PROXY, "ghcr.io/alangrainger/immich-public-proxy", "3.3.1"), (OUTPOST, "ghcr.io/goauthentik/proxy", "2026.8.2")]
    {
        let digest = home.publish(image, name)?;
        text = text.replacen("\nimages:\n", &format!("\nimages:\n  - name: {name}\n    newTag: {tag}@{digest}\n"), 1);
    }
    Ok(fs::write(file, text)?)
}

/// The Secrets of both pages.
fn secrets(home: &Home) -> Result<()> {
    let token = STANDARD.encode(json!({"a": "1", "s": "cGxhbnRlZA==", "t": SHARE_TUNNEL}).to_string());
    for (name, data) in [
        ("cloudflared-share-tunnel", json!({"token": token})),
        ("authentik-outpost", json!({"AUTHENTIK_HOST": format!("https://{AUTHENTIK}"), "AUTHENTIK_TOKEN": "planted"})),
    ] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "immich-edge"}, "stringData": data,
        });
        home.world.cluster.kubectl_stdin(&["apply", "-f", "-"], &secret.to_string())?;
    }
    Ok(())
}

async fn get(home: &Home, host: &str, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
    send(TcpStream::connect(home.edge.front()).await?, request("GET", host, path, fields, Vec::new())?).await
}

/// A phone with an app password stores a photo, a browser is sent to sign in, and a proof of Access counts no more. Returns the photo's id.
async fn by_authentik(home: &Home) -> Result<String> {
    let log = home.world.cluster.kubectl(&["-n", "immich-edge", "logs", "deploy/authentik-outpost"])?;
    let password = log.lines().find_map(|line| line.strip_prefix("app password: ")).context("the outpost printed no password")?;
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let photo = photo(60, 1 << 20);
    let upload = async |authorization: &str| {
        let (kind, body) = form("IMG_0060.jpg", &photo);
        let fields = [("content-type", kind.as_str()), ("authorization", authorization)];
        send(TcpStream::connect(home.edge.front()).await?, request("POST", SITE, "/api/assets", &fields, body)?).await
    };
    let stored = upload(&basic(password)).await?;
    ensure!(stored.status == StatusCode::CREATED, "by Authentik: found {} {:?}, wanted 201", stored.status, stored.body);
    on_nas(home, &photo)?;
    let wrong = upload(&basic("phone:wrong")).await?;
    ensure!(wrong.status == StatusCode::UNAUTHORIZED, "a wrong app password: found {}, wanted 401", wrong.status);
    let browser = get(home, SITE, "/photos", &[("accept", "text/html"), ("sec-fetch-mode", "navigate")]).await?;
    ensure!(browser.status == StatusCode::FOUND, "a browser: found {}, wanted 302 to the sign-in", browser.status);
    let token = home.issuer.token_for("family@example.com");
    let access = get(home, SITE, "/api/server/ping", &[("cf-access-jwt-assertion", &token)]).await?;
    ensure!(access.status == StatusCode::UNAUTHORIZED, "a proof of Access alone: found {}, wanted 401", access.status);
    Ok(sha256(&photo))
}

/// Without any proof: the shared photo by the second hostname, and nothing else by either.
async fn as_a_guest(home: &Home, id: &str) -> Result<()> {
    let health = get(home, SHARE, "/share/healthcheck", &[]).await?;
    ensure!(health.status == StatusCode::OK && health.body == "ok", "its health: found {} {:?}", health.status, health.body);
    let shown = get(home, SHARE, &format!("/share/{id}"), &[]).await?;
    ensure!(shown.status == StatusCode::OK && sha256(&shown.body) == id, "the shared photo: found {}", shown.status);
    for (host, path, wanted) in [
        (SHARE, "/api/server/ping", StatusCode::NOT_FOUND),
        (SHARE, "/auth/login", StatusCode::NOT_FOUND),
        (SITE, "/api/server/ping", StatusCode::UNAUTHORIZED),
        (SITE, "/api/assets/x/original", StatusCode::UNAUTHORIZED),
    ] {
        let answer = get(home, host, path, &[]).await?;
        ensure!(answer.status == wanted, "https://{host}{path}: found {}, wanted {wanted}", answer.status);
    }
    let pod = home.world.cluster.kubectl(&["-n", "immich-edge", "get", "deploy/immich-public-proxy", "-o", "json"])?;
    let pod: Value = serde_json::from_str(&pod)?;
    let env = pod["spec"]["template"]["spec"]["containers"][0]["env"].as_array().context("variables")?;
    let names: Vec<_> = env.iter().filter_map(|variable| variable["name"].as_str()).collect();
    ensure!(names == ["IMMICH_URL", "PUBLIC_BASE_URL"], "found the variables {names:?}, wanted none with a key");
    Ok(())
}
