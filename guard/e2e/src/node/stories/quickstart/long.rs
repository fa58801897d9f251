//! The long way, by hand: each command of the page as it is printed, and what the page shows behind it is compared with the screen.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::page::{Block, blocks, means};
use super::{Operator, by_tunnel, from_lan, keeps_secrets, leave};
use crate::NODE;
use crate::node::http::photo;
use crate::node::{Home, SITE};
use crate::secrets::AUD;

const PAGE: &str = "specs/001-immich-zero-trust/quickstart.md";
const PATCH: &str = "clusters/home.local/flux/nas.patch.yaml";
/// Steps 1 to 5, without Flux: up to the first photo at home.
const AT_HOME: [&str; 2] = ["## 1. guard and its image", "### With Flux"];
/// The Secrets of the internet, and the door.
const SECRETS: [&str; 2] = ["## 8. The Secrets of the internet", "## 9. Open the door, and try it"];
const DOOR: [&str; 2] = ["## 9. Open the door, and try it", "## 10. Phones"];
/// What is looked at in the end.
const LOOKS: [&[&str; 2]; 2] =
    [&["## Services and ports", "## TLS expectations"], &["## Before you push", "## It does not work"]];
/// Blocks of the page that are not typed, by how they begin, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("flux ", "there is no program of Flux here: its controllers are in other stories"),
    ("kubectl apply -k clusters/home.local/flux", "the way with Flux is another one than this"),
    ("curl -sS -H 'Content-Type: application/json'", "the stand-in of Immich has no users"),
    ("cargo run -q --locked -p guardctl -- oidc", "optional: docs/oidc.md has tests of its own"),
    ("curl -s http://192.0.2.10:30283/api/server/config", "the stand-in of Immich has no users"),
    ("sudo find /mnt/nas/immich/upload", "the stand-in of Immich has another folder: the story reads the NAS"),
    ("cargo run -q --locked -p guardctl -- doctor", "of the home with the internet: stories of their own"),
    ("cloudflared tunnel login", "no Cloudflare"),
    ("cloudflared tunnel route", "no Cloudflare"),
    ("kubectl -n immich-edge port-forward deploy/cloudflared", "the connector of these stories has no /config"),
    ("curl -sI https://photos.example.com", "no Cloudflare"),
    ("truncate -s 104857601", "no Cloudflare: another story sends 101 MiB by the tunnel"),
];
/// Commands that end with another code than 0 where all is well.
const CODES: [(&str, u8); 2] = [("sudo touch /mnt/nas/x", 1), ("kubectl kustomize clusters/home.local", 1)];

/// The whole drive.
pub(in super::super) async fn typed(home: &mut Home) -> Result<String> {
    let mut operator = Operator::new(home, "operator-long")?;
    let text = fs::read_to_string(operator.clone.join(PAGE))?;
    let at_home = blocks(&text, AT_HOME[0], AT_HOME[1]);
    let door: Vec<_> = blocks(&text, DOOR[0], DOOR[1]).into_iter().filter(|block| !is_left_out(block)).collect();
    let secrets = blocks(&text, SECRETS[0], SECRETS[1]);
    let looks: Vec<_> = LOOKS.iter().flat_map(|[from, to]| blocks(&text, from, to)).collect();
    // A command that is new on the page is typed, or somebody says why not.
    let typed: Vec<_> = [&at_home, &secrets, &door, &looks].into_iter().flatten().collect();
    for block in blocks(&text, "# At home", "## It does not work") {
        ensure!(typed.contains(&&block) || is_left_out(&block), "{PAGE}: nobody types {:?}", block.commands);
    }

    // The bare mount point: the NAS comes when the page mounts it.
    home.unmount_nas()?;
    for block in &at_home {
        step(home, &mut operator, block).await?;
    }
    from_lan(home, &photo(82, 1 << 20)).await?;
    let first_photo = operator.terminal.effort();

    let private = operator.terminal.command("echo \"$private\"").await?;
    let values = [("ACCESS_TEAM", home.issuer.team()), ("ACCESS_AUD", home.issuer.aud()), ("EXTERNAL_HOST", SITE)];
    let lines = values.map(|(key, value)| format!("{key}={value}\n"));
    fs::write(format!("{}/edge.env", private.trim()), lines.concat())?;
    for (_, value) in values {
        operator.terminal.edited(value);
    }
    for block in secrets.iter().chain(&door) {
        step(home, &mut operator, block).await?;
    }
    by_tunnel(home, 83).await?;
    for block in &looks {
        step(home, &mut operator, block).await?;
    }
    let all = operator.terminal.effort();
    keeps_secrets(home, &operator, &[])?;
    drop(operator);
    leave(home)?;
    let told =
        format!("first photo at home: {first_photo}; with the internet, in all: {all}; each command ended as the page says");
    home.by_hand = Some((first_photo, all));
    Ok(told)
}

fn is_left_out(block: &Block) -> bool {
    block.commands.first().is_some_and(|first| LEFT_OUT.iter().any(|(begin, _)| first.starts_with(begin)))
}

/// Types the commands of a block, and compares what the page shows behind them.
async fn step(home: &mut Home, operator: &mut Operator, block: &Block) -> Result<()> {
    let mut shown = String::new();
    for command in &block.commands {
        let command = command.replace("--node NODE", &format!("--node {NODE}")).replace("photos.example.com", SITE);
        before(home, operator, &command)?;
        let code = CODES.iter().find(|(begin, _)| command.starts_with(begin)).map_or(0, |(_, code)| *code);
        shown += &operator.terminal.command_with(&command, code).await?;
    }
    let wanted: Vec<_> = block.shown.iter().map(|line| here(line)).filter(|line| !line.is_empty()).collect();
    for line in wanted {
        ensure!(shown.lines().any(|shown| means(&line, shown)), "{PAGE}: wanted {line:?} on the screen, found:\n{shown}");
    }
    // What is there when nothing must be: a placeholder.
    let must_be_empty = block.commands.iter().all(|command| command.ends_with("grep -E '__[A-Z_]+__'"));
    ensure!(!must_be_empty || shown.trim().is_empty(), "{PAGE}: a placeholder is left:\n{shown}");
    Ok(())
}

/// What else happens at this command: what the page says in words.
fn before(home: &mut Home, operator: &mut Operator, command: &str) -> Result<()> {
    if command.contains("systemctl start mnt-nas.automount") {
        home.mount_without_library();
    }
    if command.starts_with("kubectl kustomize clusters/home.local |") {
        edit(home, operator)?;
    }
    // "After some minutes".
    if command.starts_with("kubectl get pods -A") {
        home.available("immich")?;
    }
    if command.starts_with("kubectl -n immich-edge get pods") {
        home.available("immich-edge")?;
    }
    Ok(())
}

/// The one file that the page has edited.
fn edit(home: &mut Home, operator: &mut Operator) -> Result<()> {
    let sentinel = home.nas.as_ref().context("a NAS")?.read("immich/.guard-nas-id").context("no sentinel is on the NAS")?;
    let sentinel: serde_json::Value = serde_json::from_slice(&sentinel)?;
    sentinel["id"].as_str().context("the sentinel has no id")?.clone_into(&mut home.nas_id);
    let file = operator.clone.join(PATCH);
    let mut text = fs::read_to_string(&file)?;
    for (example, value) in [
        ("00000000-0000-4000-8000-000000000000", home.nas_id.as_str()),
        ("node.example.com", NODE),
        ("value: Etc/UTC", "value: Europe/Berlin"),
    ] {
        ensure!(text.contains(example), "{PATCH}: {example} is not in it");
        text = text.replace(example, value);
        operator.terminal.edited(value);
    }
    Ok(fs::write(file, text)?)
}

/// A line of the page, as it is in this home: what is nobody's own stands for anything.
fn here(line: &str) -> String {
    // The page shows the zeros of the repository, and says that yours are none.
    if line.contains("ghcr.io/example/guard") {
        return "image: localhost/guard:…@sha256:…".to_owned();
    }
    let line = line
        .replace("3a55ae57-1cab-4631-8cb4-44d1159e8f48", "…")
        .replace("\"elapsed_ms\":3", "\"elapsed_ms\":…")
        .replace("nfs4", "fuse.fakenfs")
        .replace("f46fceab-2", "…")
        .replace("photos.example.com", SITE)
        .replace(AUD, "…");
    // The age of a pod.
    match line.trim_end().strip_suffix("6m") {
        Some(rest) => format!("{rest}…"),
        None => line,
    }
}
