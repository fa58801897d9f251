//! `guardctl init` on an emptied cluster, from a clean clone: nothing is written before it is agreed, an abort at any step leaves nothing torn, a second
//! run changes nothing, no secret is in any output, and Flux applies what it wrote.

pub(super) mod abort;
pub(crate) mod fixture;
mod shell;
pub(super) mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};

use crate::World;
use fixture::{NAS_ID, TOKEN, answers, clean_clone, is_untouched, modes, secret, value};

/// The calls of kubectl at which a run is aborted: its version, the diff, the namespaces.
const CALLS: usize = 3;

/// The whole story.
pub(super) async fn from_a_clean_clone(world: &mut World) -> Result<String> {
    let commit = clean_clone(world).await?;
    let answers = answers(world, "family", Some(NAS_ID))?;

    let said = run(world, &answers, &["--yes", "--dry-run"], None)?;
    is_untouched(world, "after --dry-run")?;
    ensure!(said.contains("+ clusters/home.local/kustomization.yaml") && said.contains("nothing was changed"), "{said}");
    for signal in ["INT", "KILL"] {
        for call in 1..=CALLS {
            aborted(world, &answers, signal, call)?;
            let is_first = call < CALLS;
            if is_first {
                is_untouched(world, &format!("{signal} at the call {call} of kubectl"))?;
            }
            if signal == "INT" {
                fixture::is_tidy(world, &format!("Ctrl-C at the call {call} of kubectl"))?;
            }
            ensure!(secret(world, "immich", "immich-postgres").is_err(), "a Secret was made before its namespace");
            let overlay = fixture::overlay(world);
            if overlay.exists() {
                fs::remove_dir_all(&overlay)?;
            }
        }
    }

    let first = run(world, &answers, &["--yes"], None)?;
    let overlay = fixture::overlay(world);
    modes(&overlay)?;
    let (password, token) = (secret(world, "immich", "immich-postgres")?, secret(world, "immich-edge", "cloudflared-tunnel")?);
    ensure!(value(&token, "token") == TOKEN, "the token is not the one of the file");
    let password_value = value(&password, "POSTGRES_PASSWORD");
    ensure!(password_value.len() == 40, "the password has {} characters, wanted 40", password_value.len());
    ensure!(
        value(&secret(world, "immich-edge", "immich-edge")?, "EXTERNAL_HOST") == "photos.family.test",
        "the host name is not there"
    );
    let again = run(world, &answers, &["--yes"], None)?;
    ensure!(again.contains("= as they are") && again.contains("Secret immich/immich-postgres: kept"), "{again}");
    let kept = [secret(world, "immich", "immich-postgres")?, secret(world, "immich-edge", "cloudflared-tunnel")?];
    ensure!(kept == [password, token], "the second run changed a Secret");

    let other = fixture::answers(world, "other", Some(NAS_ID))?;
    let refused = output(world, &other, &["--yes"], None)?;
    let said = text(&refused);
    ensure!(refused.status.code() == Some(1) && said.contains("replaces ACCESS_TEAM"), "{:?} {said}", refused.status);
    let team = |world: &World| Ok::<_, anyhow::Error>(value(&secret(world, "immich-edge", "immich-edge")?, "ACCESS_TEAM"));
    ensure!(team(world)? == "family", "a value was replaced without a question");
    let replaced = run(world, &other, &["--yes", "--replace-secrets"], None)?;
    ensure!(team(world)? == "other" && replaced.contains("rollout restart"), "{replaced}");
    for said in [first, again, said, replaced] {
        ensure!(!said.contains(TOKEN) && !said.contains(&password_value), "a secret is in the output");
    }

    world.apply("clusters/home.local/flux")?;
    world.applied(&commit).await?;
    let count = world.as_rendered().await?;
    let image = world.cluster.kubectl(&["-n", "immich-edge", "get", "deploy/immich-origin-proxy", "-o", "jsonpath={..image}"])?;
    ensure!(image.starts_with("localhost/guard:"), "Flux applied the image {image}, wanted the private one");
    world.cluster.kubectl(&["-n", "flux-system", "delete", "kustomization/home", "gitrepository/home"])?;
    Ok(format!("{count} objects; {} aborts left nothing torn", CALLS * 2))
}

fn output(world: &World, answers: &str, flags: &[&str], before_path: Option<&Path>) -> Result<Output> {
    let mut command = fixture::guardctl(world, &world.cluster.kubeconfig, before_path)?;
    command.args(["init", "--answers", answers]).args(flags).env("REAL_KUBECTL", world.cluster.bin.join("kubectl"));
    command.output().context("guardctl init")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs it, which must succeed.
fn run(world: &World, answers: &str, flags: &[&str], before_path: Option<&Path>) -> Result<String> {
    let output = output(world, answers, flags, before_path)?;
    ensure!(output.status.success(), "guardctl init {flags:?}: {}\n{}", output.status, text(&output));
    Ok(text(&output))
}

/// A run that gets a signal at one call of kubectl.
fn aborted(world: &World, answers: &str, signal: &str, call: usize) -> Result<()> {
    let folder = world.dir.join(format!("abort-{signal}-{call}"));
    fs::create_dir_all(&folder)?;
    let kubectl = folder.join("kubectl");
    let script = format!(
        "#!/bin/sh\nfolder=$(dirname \"$0\")\necho >>\"$folder/calls\"\nif [ $(wc -l <\"$folder/calls\") = {call} ]; then kill -{signal} $PPID; exit 1; fi\nexec \"$REAL_KUBECTL\" \"$@\"\n"
    );
    fs::write(&kubectl, script)?;
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755))?;
    let output = output(world, answers, &["--yes"], Some(&folder))?;
    ensure!(
        output.status.code().is_none(),
        "{signal} at the call {call}: {}, wanted an end by the signal\n{}",
        output.status,
        text(&output)
    );
    Ok(())
}
