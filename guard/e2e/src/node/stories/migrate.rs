//! `guardctl init --from-dump` on the real node: dumps of both kinds enter the real database before anything of Immich runs. An abort in mid-restore leaves
//! it empty, a dump is never restored twice, another database is refused, and Flux takes the database over as it is.

mod init;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::node::{Home, LIBRARY, SITE};
use crate::wait::{Look, until};
use init::Init;

/// What `pg_dumpall` wrote as `postgres`, and `pg_dump` as `immich` (guard/ctl/tests/dump).
const COMPOSE: &str = include_str!("../../../../ctl/tests/dump/compose.sql");
const BACKUP: &str = include_str!("../../../../ctl/tests/dump/backup.sql");
/// The rows of both.
const ASSETS: &str = "60";
const BASE: &str = "clusters/home/kustomization.yaml";
const DATA: &str = "/srv/immich/postgres";
const SESSIONS: &str = "select count(*) from pg_stat_activity where datname = 'immich' and pid <> pg_backend_pid()";
const TABLES: &str = "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";

/// The whole story.
pub(super) async fn from_dump(home: &mut Home) -> Result<String> {
    let digest = home.publish_guard_as("localhost/guard")?;
    let tree = home.world.repo.tree.clone();
    let committed = fs::read_to_string(tree.join(BASE))?;
    let commit = home.world.repo.commit("A clean clone")?;
    let ours = committed.replace("ghcr.io/example/guard", "localhost/guard");
    fs::write(tree.join(BASE), ours.replace(&format!("sha256:{}", "0".repeat(64)), &digest))?;
    let init = Init::new(home)?;

    half_is_refused(&init)?;
    photos_come_first(&init, home)?;
    for abort in ["input ends", "kubectl dies"] {
        init.aborted(abort)?;
        until("without a session of the abort", Duration::from_secs(60), async || {
            let left = sql(home, SESSIONS)?;
            Ok(if left == "0" { Look::Done(()) } else { Look::NotYet(left) })
        })
        .await?;
        ensure!(sql(home, TABLES)? == "0", "{abort}: the restore has left tables");
    }
    restored(&init, home)?;
    others_are_refused(&init, home)?;
    let restart = taken_over(&init, home, &commit).await?;

    init.remove_home(home)?;
    fs::write(tree.join(BASE), committed)?;
    Ok(format!("{ASSETS} assets by pg_dumpall and by pg_dump, {} restores in all; {restart}", init.restores()?))
}

/// What stands against a dump is told before anything is written.
fn half_is_refused(init: &Init) -> Result<()> {
    let half = init.folder.join("half.sql");
    fs::write(&half, &COMPOSE[..COMPOSE.len() / 2])?;
    let output = init.run(&half, &[], &[])?;
    let said = text(&output);
    ensure!(output.status.code() == Some(2) && said.contains("✗ the dump ends early"), "{:?} {said}", output.status);
    let plan = init.done(&init.compose, &["--dry-run"])?;
    ensure!(plan.contains("+ the database alone") && plan.contains("nothing was changed"), "{plan}");
    ensure!(!init.tree.join("clusters/home.local").exists(), "half a dump, or --dry-run: there is an overlay");
    Ok(())
}

/// While the photos are not there, the home is made, and its database is not.
fn photos_come_first(init: &Init, home: &Home) -> Result<()> {
    // Agrees to what is written, and says that the photos are not all there.
    let output = init.at_terminal(&init.compose, "y\nn\n")?;
    let said = text(&output);
    ensure!(output.status.code() == Some(1) && said.contains("Nothing was restored."), "{:?} {said}", output.status);
    ensure!(
        said.contains("sudo rsync -aH") && said.contains(&format!("{LIBRARY}'/")),
        "how to copy the photos is not said: {said}"
    );
    ensure!(said.contains("--from-dump '") && said.contains("goes on from here"), "how to go on is not said: {said}");
    let deployments = home.world.cluster.kubectl(&["-n", "immich", "get", "deploy", "-o", "name"])?;
    ensure!(deployments.is_empty(), "something was applied before the photos were there: {deployments}");
    Ok(())
}

/// The dump of a Compose home is restored once, and recognised afterwards, whatever Immich has written since.
fn restored(init: &Init, home: &Home) -> Result<()> {
    let said = init.done(&init.compose, &[])?;
    ensure!(said.contains("✓ the dump: restored, each table has the rows of the dump") && said.contains("60 assets"), "{said}");
    ensure!(said.contains("To go back: docker start immich_server"), "{said}");
    ensure!(sql(home, "select count(*) from asset")? == ASSETS, "the rows are not the dump's");
    let owners = "select distinct pg_get_userbyid(relowner) from pg_class where relnamespace = 'public'::regnamespace";
    ensure!(sql(home, owners)? == "immich", "the owner is not immich");
    let servers = home.world.cluster.kubectl(&["-n", "immich", "get", "deploy", "-o", "name"])?;
    ensure!(servers.trim() == "deployment.apps/immich-postgres", "something of Immich runs beside its database: {servers}");

    let restores = init.restores()?;
    ensure!(init.done(&init.compose, &[])?.contains("restored already"), "the second run does not know its own restore");
    sql(home, r#"insert into "user" values (gen_random_uuid(), 'New', 'new@example.com')"#)?;
    ensure!(init.done(&init.compose, &[])?.contains("restored already"), "rows of Immich hide the restore");
    ensure!(init.restores()? == restores, "a dump was restored twice");
    Ok(())
}

/// A database with anything else in it is left alone.
fn others_are_refused(init: &Init, home: &Home) -> Result<()> {
    let refused = |wanted: &str| {
        let output = init.run(&init.backup, &[], &[])?;
        let said = text(&output);
        ensure!(output.status.code() == Some(1) && said.contains(wanted), "wanted {wanted:?}, found {:?} {said}", output.status);
        anyhow::Ok(())
    };
    let restores = init.restores()?;
    refused("restored from another dump")?;
    emptied(home)?;
    sql(home, "create table mine (id int)")?;
    refused("found 1 tables with 0 rows")?;
    ensure!(init.restores()? == restores, "a database that is not empty was written to");
    emptied(home)?;
    // A statement that another program put there: each table must have its rows before the commit.
    let end = "--\n-- PostgreSQL database dump complete";
    let fewer = init.folder.join("fewer.sql");
    fs::write(&fewer, BACKUP.replace(end, &format!("DELETE FROM public.album_asset;\n\n{end}")))?;
    let output = init.run(&fewer, &[], &[])?;
    let said = text(&output);
    ensure!(said.contains("the table album_asset has 0 rows, and the dump 24 of them"), "{said}");
    ensure!(output.status.code() == Some(1) && said.contains("as empty as before"), "{said}");
    ensure!(sql(home, TABLES)? == "0", "a dump with other rows was committed");
    let said = init.done(&init.backup, &[])?;
    ensure!(said.contains("✓ the dump: restored") && said.contains("60 assets"), "{said}");
    ensure!(
        sql(home, "select count(*) from smart_search where embedding <-> '[0,0,0]' > 0")? == ASSETS,
        "the vectors are not there"
    );
    Ok(())
}

/// Flux applies the home over the database that kubectl made: the same pod goes on, and kubectl owns no field any more.
async fn taken_over(init: &Init, home: &Home, commit: &str) -> Result<String> {
    let pod = || {
        let label = "-l=app.kubernetes.io/name=immich-postgres";
        home.world.cluster.kubectl(&["-n", "immich", "get", "pods", label, "-o", "jsonpath={.items[*].metadata.uid}"])
    };
    let before = pod()?;
    init.answer(&home.world.forge.url(), &internet(home, &init.folder)?)?;
    let said = init.done(&init.backup, &[])?;
    ensure!(said.contains("restored already") && said.contains("kubectl apply -k clusters/home.local/flux"), "{said}");
    home.world.apply("clusters/home.local/flux")?;
    home.world.applied(commit).await?;
    let database =
        home.world.cluster.kubectl(&["-n", "immich", "get", "deploy/immich-postgres", "-o", "json", "--show-managed-fields"])?;
    let database: Value = serde_json::from_str(&database)?;
    let managers = database["metadata"]["managedFields"].as_array().into_iter().flatten();
    let managers: Vec<_> = managers.filter_map(|it| it["manager"].as_str()).collect();
    ensure!(managers.contains(&"kustomize-controller"), "Flux does not own the database: {managers:?}");
    ensure!(!managers.iter().any(|it| it.starts_with("kubectl")), "kubectl still owns fields of the database: {managers:?}");
    ensure!(pod()? == before, "Flux has restarted the database");
    ensure!(sql(home, "select count(*) from asset")? == ASSETS, "the rows are not the dump's any more");

    // A server that is there makes its tables at any time: even an empty database is not restored then.
    emptied(home)?;
    let restores = init.restores()?;
    let output = init.run(&init.backup, &[], &[])?;
    let said = text(&output);
    ensure!(
        output.status.code() == Some(1) && said.contains("makes its tables whenever it starts"),
        "{:?} {said}",
        output.status
    );
    ensure!(init.restores()? == restores, "it was restored beside the server");
    Ok("Flux took it over without a restart".to_owned())
}

/// What the internet needs: with it, everything becomes Ready.
fn internet(home: &Home, folder: &Path) -> Result<String> {
    let token = folder.join("tunnel-token");
    fs::write(&token, crate::secrets::TUNNEL_TOKEN)?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    let (team, aud) = (home.issuer.team(), home.issuer.aud());
    Ok(format!("host = \"{SITE}\"\nteam = \"{team}\"\naud = \"{aud}\"\ntunnel_token_file = \"{}\"\n", token.display()))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn psql(home: &Home, database: &str, statements: &[&str]) -> Result<String> {
    let mut arguments =
        vec!["-n", "immich", "exec", "deploy/immich-postgres", "--", "psql", "-U", "immich", "-d", database, "-XAtq"];
    arguments.extend(statements.iter().flat_map(|statement| ["-c", statement]));
    Ok(home.world.cluster.kubectl(&arguments)?.trim().to_owned())
}

fn sql(home: &Home, statement: &str) -> Result<String> {
    psql(home, "immich", &[statement])
}

/// As docs/migrate.md says for a database in which nothing matters.
fn emptied(home: &Home) -> Result<()> {
    psql(home, "postgres", &["drop database immich with (force)", "create database immich"]).map(drop)
}
