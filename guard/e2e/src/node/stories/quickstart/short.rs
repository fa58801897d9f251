//! The short way: six commands, and the answers to the questions of `guardctl init`.

use std::fs;

use anyhow::{Result, ensure};

use super::{Operator, by_tunnel, from_lan, keeps_secrets, leave, page};
use crate::NODE;
use crate::node::http::photo;
use crate::node::sandbox::NODE_ADDRESS;
use crate::node::{Home, LIBRARY, SITE};
use crate::secrets::TUNNEL_TOKEN;
use crate::stories::init::fixture::modes;

use super::terminal::Terminal;

const PAGE: &str = "specs/001-immich-zero-trust/quickstart-short.md";
/// An answer that is no token.
const WRONG: &str = "planted-and-wrong";

/// The whole drive.
pub(in super::super) async fn typed(home: &mut Home) -> Result<String> {
    let mut operator = Operator::new(home, "operator-short")?;
    let text = fs::read_to_string(operator.clone.join(PAGE))?;
    let commands: Vec<_> =
        page::blocks(&text, "## Six commands", "## What init asks").into_iter().flat_map(|it| it.commands).collect();
    ensure!(commands.len() == 6, "found {} commands on {PAGE}, wanted the six: {commands:?}", commands.len());

    let terminal = &mut operator.terminal;
    for command in &commands {
        let command = command.replace("NODE:", &format!("{NODE_ADDRESS}:")).replace("NODE", NODE);
        if command == "guardctl init" {
            at_home(terminal, &command, &home.nas_id).await?;
        } else {
            terminal.command(&command).await?;
        }
    }
    from_lan(home, &photo(80, 1 << 20)).await?;
    let first_photo = terminal.effort();

    to_the_internet(home, terminal).await?;
    by_tunnel(home, 81).await?;
    let all = terminal.effort();
    keeps_secrets(home, &operator, &[WRONG])?;
    modes(&operator.clone.join("clusters/home.local"))?;
    drop(operator);
    leave(home)?;
    let by_hand = match &home.by_hand {
        Some((first_photo, all)) => format!("; by hand: {first_photo}, in all {all}"),
        None => String::new(),
    };
    Ok(format!("first photo at home: {first_photo}; with the internet, in all: {all}{by_hand}"))
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
    terminal.ends(0).await.map(drop)
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
    terminal.answer("8  Token of the tunnel", 1, WRONG).await?;
    terminal.answer("8  Token of the tunnel", 2, TUNNEL_TOKEN).await?;
    terminal.answer("Write this?", 2, "y").await?;
    // From here nothing on the internet is to be seen, so that doctor would wait for it: the two commands that init prints instead.
    terminal.answer("Apply it now", 2, "n").await?;
    let shown = terminal.ends(0).await?;
    ensure!(shown.contains("kubectl apply -k clusters/home.local"), "what comes next is not said:\n{shown}");
    terminal.command("kubectl apply -k clusters/home.local").await.map(drop)
}
