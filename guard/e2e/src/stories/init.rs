//! `guardctl init` on an emptied cluster, from a clean clone: nothing is written before it is agreed, an abort at any step leaves nothing torn, a second
//! run changes nothing, no secret is in any output, and Flux applies what it wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::wait::{Look, until};
use crate::{NODE, World};

const NAS_ID: &str = "3a55ae57-1cab-4631-8cb4-44d1159e8f48";
const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
/// base64 of `{"a":"1","s":"cGxhbnRlZC10dW5uZWwtc2VjcmV0","t":"2"}`.
const TOKEN: &str = "eyJhIjoiMSIsInMiOiJjR3hoYm5SbFpDMTBkVzV1Wld3dGMyVmpjbVYwIiwidCI6IjIifQ==";
/// The calls of kubectl at which a run is aborted: its version, the diff, the namespaces.
const CALLS: usize = 3;

/// The whole story.
pub(super) async fn from_a_clean_clone(world: &mut World) -> Result<String> {
    empty(world).await?;
    let commit = world.repo.commit("A clean clone")?;
    // What `guardctl image load` does: an image of no registry, which Flux does not see in Git.
    let none = "0".repeat(64);
    let base = "clusters/home/kustomization.yaml";
    world.repo.edit(
        base,
        &format!("ghcr.io/example/guard\n    newTag: 0.1.0@sha256:{none}"),
        &format!("localhost/guard\n    newTag: 0.1.0@sha256:{}", "a".repeat(64)),
    )?;
    let answers = answers(world, "family")?;

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
            ensure!(secret(world, "immich", "immich-postgres").is_err(), "a Secret was made before its namespace");
            let overlay = world.repo.tree.join("clusters/home.local");
            if overlay.exists() {
                fs::remove_dir_all(&overlay)?;
            }
        }
    }

    let first = run(world, &answers, &["--yes"], None)?;
    let overlay = world.repo.tree.join("clusters/home.local");
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

    let other = self::answers(world, "other")?;
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

/// Removes the home that the stories before have left.
async fn empty(world: &mut World) -> Result<()> {
    let kubectl = |arguments: &[&str]| world.cluster.kubectl(arguments);
    kubectl(&["-n", "flux-system", "delete", "--ignore-not-found", "kustomization/home", "gitrepository/home"])?;
    kubectl(&["delete", "namespace", "--ignore-not-found", "--wait=false", "immich", "immich-edge"])?;
    let policies = "validatingadmissionpolicies,validatingadmissionpolicybindings";
    kubectl(&["delete", policies, "-l", "app.kubernetes.io/component=admission"])?;
    until("no home is left", Duration::from_secs(120), async || {
        let left = world.cluster.kubectl(&["get", "namespaces", "-o", "name"])?;
        Ok(if left.contains("namespace/immich") { Look::NotYet(left) } else { Look::Done(()) })
    })
    .await?;
    fs::remove_dir_all(world.repo.tree.join("clusters/home.local"))?;
    world.repo.edit("clusters/home/flux/source.yaml", &world.forge.url(), "https://git.example.com/family/photos")
}

/// A file of answers, with the token in a file of its own.
fn answers(world: &World, team: &str) -> Result<String> {
    let (path, token) = (world.dir.join(format!("answers-{team}.toml")), world.dir.join("tunnel-token"));
    fs::write(&token, format!("{TOKEN}\n"))?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    let text = format!(
        "node = \"{NODE}\"\nphotos = \"/mnt/nas/immich\"\ndatabase = \"/srv/immich/postgres\"\ntime_zone = \"Europe/Berlin\"\nnas_id = \"{NAS_ID}\"\n\
         repository = \"{}\"\n[internet]\nhost = \"photos.family.test\"\nteam = \"{team}\"\naud = \"{AUD}\"\ntunnel_token_file = \"{}\"\nallow_email = [\"ada@family.test\"]\n",
        world.forge.url(),
        token.display()
    );
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn output(world: &World, answers: &str, flags: &[&str], before_path: Option<&Path>) -> Result<Output> {
    let program = std::env::current_exe()?.with_file_name("guardctl");
    let path = [before_path, Some(world.cluster.bin.as_path())].into_iter().flatten().map(|it| it.display().to_string());
    let path = path.chain(std::env::var("PATH")).collect::<Vec<_>>().join(":");
    let mut command = Command::new(&program);
    command.args(["init", "--answers", answers]).args(flags).current_dir(&world.repo.tree);
    command.env("KUBECONFIG", &world.cluster.kubeconfig).env("PATH", path).env("REAL_KUBECTL", world.cluster.bin.join("kubectl"));
    command.output().with_context(|| program.display().to_string())
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

/// Fails if there is an overlay or a namespace.
fn is_untouched(world: &World, when: &str) -> Result<()> {
    ensure!(!world.repo.tree.join("clusters/home.local").exists(), "{when}: there is an overlay");
    let namespaces = world.cluster.kubectl(&["get", "namespaces", "-o", "name"])?;
    ensure!(!namespaces.contains("immich"), "{when}: {namespaces}");
    Ok(())
}

/// Only the owner may read the overlay, and nothing incomplete is left in it or beside it.
fn modes(folder: &Path) -> Result<()> {
    ensure!(!folder.with_file_name("home.local.new").exists(), "a folder that is not complete is left");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let mode = fs::metadata(&path)?.permissions().mode() & 0o077;
        ensure!(mode == 0, "{}: others may read it", path.display());
        ensure!(path.extension().is_none_or(|it| it != "new"), "{} is left", path.display());
        if path.is_dir() {
            modes(&path)?;
        }
    }
    Ok(())
}

fn secret(world: &World, namespace: &str, name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&world.cluster.kubectl(&["-n", namespace, "get", "secret", name, "-o", "json"])?)?)
}

fn value(secret: &Value, key: &str) -> String {
    use k8s_openapi::ByteString;
    let bytes: ByteString = serde_json::from_value(secret["data"][key].clone()).unwrap_or_default();
    String::from_utf8_lossy(&bytes.0).into_owned()
}
