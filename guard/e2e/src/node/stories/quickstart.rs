//! The short quickstart, typed in a terminal: from a clean clone to the first photo at home, and then to the internet. The commands are read from the
//! page and typed as they are printed; what takes their place where this machine has no such thing is in [`PROGRAMS`].

mod page;
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyper::StatusCode;
use tokio::net::TcpStream;

use super::first_photo::on_nas;
use super::load::upload_one;
use crate::NODE;
use crate::node::http::{form, photo, request, send};
use crate::node::images::GUARD;
use crate::node::sandbox::NODE_ADDRESS;
use crate::node::{Home, LIBRARY, SITE};
use crate::process::run;
use crate::repo::git;
use crate::secrets::TUNNEL_TOKEN;
use crate::stories::init::fixture::modes;
use crate::wait::{Look, until};
use terminal::Terminal;

const SHORT: &str = "specs/001-immich-zero-trust/quickstart-short.md";
const LONG: &str = "specs/001-immich-zero-trust/quickstart.md";
/// Programs of the operator's machine that are played, and why: what `make` builds is built already (its time is not counted), this computer is the
/// node, so nothing is asked of sudo and ssh, and there is no desktop with a browser.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "make",
        "case $1 in\ninstall) install -D \"$PROGRAMS/guardctl\" \"$HOME/.local/bin/guardctl\" ;;\nimage) cp \"$PROGRAMS/guard.tar\" \"${2#IMAGE_ARCHIVE=}\" ;;\n*) exit 2 ;;\nesac\n",
    ),
    ("sudo", "exec \"$@\"\n"),
    ("ssh", "while [[ $1 == -* ]]; do [[ $1 == -o ]] && shift; shift; done\nshift\nexec bash -c \"$*\"\n"),
    ("xdg-open", "echo \"opened $1\"\n"),
];

/// The whole drive.
pub(super) async fn short(home: &mut Home) -> Result<String> {
    let began = Instant::now();
    let folder = home.dir.join("operator");
    let clone = folder.join("photos");
    let path = prepare(home, &folder, &clone)?;
    let mut terminal = Terminal::open(&folder, &clone, &path)?;
    let short = fs::read_to_string(clone.join(SHORT))?;
    let commands = page::commands(&short, "## Six commands", "## What init asks");
    ensure!(commands.len() == 6, "found {} commands on {SHORT}, wanted the six: {commands:?}", commands.len());

    for command in &commands {
        let command = command.replace("NODE:", &format!("{NODE_ADDRESS}:")).replace("NODE", NODE);
        if command == "guardctl init" {
            at_home(&mut terminal, &command, &home.nas_id).await?;
        } else {
            terminal.command(&command).await?;
        }
    }
    let first = photo(80, 1 << 20);
    from_lan(home, &first).await?;
    let (to_first_photo, keys, values) = (began.elapsed(), terminal.keys, terminal.values);

    to_the_internet(home, &mut terminal).await?;
    let second = photo(81, 1 << 20);
    until("uploaded by the tunnel", Duration::from_secs(60), async || {
        let token = home.issuer.token_for("family@example.com");
        let status =
            upload_one(home.edge.front(), &token, &second).await.map_or(StatusCode::SERVICE_UNAVAILABLE, |status| status);
        Ok(if status == StatusCode::CREATED { Look::Done(()) } else { Look::NotYet(status.to_string()) })
    })
    .await?;
    on_nas(home, &second)?;
    let stranger = request("GET", SITE, "/api/server/ping", &[], Vec::new())?;
    let refused = send(TcpStream::connect(home.edge.front()).await?, stranger).await?;
    ensure!(refused.status == StatusCode::UNAUTHORIZED, "without a proof: found {}, wanted 401", refused.status);
    keeps_secrets(home, &terminal, &folder, &clone)?;

    let by_hand = page::commands(
        &fs::read_to_string(clone.join(LONG))?,
        "## 1. guard and its image",
        "## 6. The first admin, and the first photo",
    );
    let told = format!(
        "first photo at home after {:.0} s of machine: {} commands, {values} values, {keys} keys (by hand: {} commands); to the internet: {} commands, {} values, {} keys, {:.0} s in all",
        to_first_photo.as_secs_f32(),
        commands.len(),
        by_hand.len(),
        terminal.commands,
        terminal.values,
        terminal.keys,
        began.elapsed().as_secs_f32()
    );
    drop(terminal);
    leave(home)?;
    Ok(told)
}

/// A clean clone, a kubeconfig, and the programs. Returns the operator's `PATH`.
fn prepare(home: &Home, folder: &Path, clone: &Path) -> Result<String> {
    home.world.repo.commit("A clean clone")?;
    fs::create_dir_all(folder.join(".kube"))?;
    run(git(folder).args(["clone", "-q"]).arg(&home.world.repo.tree).arg(clone))?;
    fs::copy(&home.world.cluster.kubeconfig, folder.join(".kube/config"))?;
    let programs = folder.join("programs");
    fs::create_dir_all(&programs)?;
    fs::copy(std::env::current_exe()?.with_file_name("guardctl"), programs.join("guardctl"))?;
    let tagged = "localhost/guard:0.1.0";
    home.ctr(&["images", "tag", "--force", GUARD, tagged])?;
    home.ctr(&["images", "export", &programs.join("guard.tar").display().to_string(), tagged])?;
    for (name, script) in PROGRAMS {
        let file = programs.join(name);
        fs::write(&file, format!("#!/bin/bash\nPROGRAMS={}\n{script}", programs.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    // Where kubeadm's containerd is.
    fs::create_dir_all("/run/containerd")?;
    let socket = Path::new("/run/containerd/containerd.sock");
    if !socket.exists() {
        std::os::unix::fs::symlink(home.dir.join("node/containerd.sock"), socket)?;
    }
    let own = folder.join(".local/bin");
    let bin = home.world.cluster.bin.display().to_string();
    Ok(format!("{}:{}:{bin}:{}", own.display(), programs.display(), std::env::var("PATH").unwrap_or_default()))
}

/// The five questions of a home in the LAN, the agreement, and what follows, up to doctor's last word.
async fn at_home(terminal: &mut Terminal, command: &str, nas_id: &str) -> Result<()> {
    terminal.begin(command).await?;
    terminal.answer("1  Node with the mount", 1, "").await?;
    terminal.answer("2  Directory of the photos", 1, LIBRARY).await?;
    terminal.answer("3  Directory of the database", 1, "").await?;
    terminal.answer("4  Repository that Flux fetches", 1, "none").await?;
    terminal.answer("5  Public host name", 1, "").await?;
    terminal.answer("Write this?", 1, "y").await?;
    // The NAS of these stories is FUSE, which the Job takes for a disk: init prints the command to type, whose id is known here already.
    terminal.answer("The id that it printed", 1, nas_id).await?;
    terminal.answer("Apply it now", 1, "y").await?;
    terminal.ends().await
}

/// init once more: what it knows stands in brackets, and four values are asked.
async fn to_the_internet(home: &Home, terminal: &mut Terminal) -> Result<()> {
    terminal.begin("guardctl init").await?;
    for question in [
        "1  Node with the mount",
        "2  Directory of the photos",
        "3  Directory of the database",
        "4  Repository that Flux fetches",
    ] {
        terminal.answer(question, 2, "").await?;
    }
    terminal.answer("5  Public host name", 2, SITE).await?;
    terminal.answer("6  Team at Cloudflare Access", 1, home.issuer.team()).await?;
    terminal.answer("7  AUD tag", 1, home.issuer.aud()).await?;
    // The first attempt is no token, and is asked again.
    terminal.answer("8  Token of the tunnel", 1, "planted-and-wrong").await?;
    terminal.answer("8  Token of the tunnel", 2, TUNNEL_TOKEN).await?;
    terminal.answer("Write this?", 2, "y").await?;
    // From here nothing on the internet is to be seen, so that doctor would wait for it: the two commands that init prints instead.
    terminal.answer("Apply it now", 2, "n").await?;
    terminal.ends().await?;
    let screen = terminal.screen()?;
    ensure!(screen.contains("kubectl apply -k clusters/home.local"), "what comes next is not said:\n{screen}");
    terminal.command("kubectl apply -k clusters/home.local").await
}

/// The first photo, from the LAN by the NodePort.
async fn from_lan(home: &Home, photo: &[u8]) -> Result<()> {
    let (kind, body) = form("IMG_0080.jpg", photo);
    let to = std::net::SocketAddr::from((NODE_ADDRESS, 30283));
    let stream = home.networks.lan.connect(to, Duration::from_secs(10)).context("the NodePort, from the LAN")?;
    stream.set_nonblocking(true)?;
    let request = request("POST", &to.to_string(), "/api/assets", &[("content-type", &kind)], body)?;
    let stored = send(TcpStream::from_std(stream)?, request).await?;
    ensure!(stored.status == StatusCode::CREATED, "found {} {:?}, wanted 201", stored.status, stored.body);
    on_nas(home, photo)
}

/// Neither the screen nor the history nor the overlay has a secret, and only the operator can read the overlay.
fn keeps_secrets(home: &Home, terminal: &Terminal, folder: &Path, clone: &Path) -> Result<()> {
    let password =
        ["-n", "immich", "get", "secret", "immich-postgres", "-o", "go-template={{.data.POSTGRES_PASSWORD|base64decode}}"];
    let password = home.world.cluster.kubectl(&password)?;
    let overlay = clone.join("clusters/home.local");
    let written = run(Command::new("grep").args(["-rh", ""]).arg(&overlay))?;
    let (screen, history) = (terminal.screen()?, fs::read_to_string(folder.join("history"))?);
    for secret in [TUNNEL_TOKEN.to_owned(), password, "planted-and-wrong".to_owned()] {
        for (place, text) in [("on the screen", &screen), ("in the history", &history), ("in the overlay", &written)] {
            ensure!(!text.contains(&secret), "a secret is {place}");
        }
    }
    ensure!(history.contains("guardctl init"), "the history is not that of the shell: {history}");
    modes(&overlay)
}

/// Nothing of this home is left: the next story makes its own.
fn leave(home: &mut Home) -> Result<()> {
    home.world.cluster.kubectl(&["delete", "namespace", "immich", "immich-edge", "--timeout=120s"])?;
    home.unmount_nas()?;
    fs::remove_dir_all("/srv/immich/postgres")?;
    home.prepare_disks()
}
