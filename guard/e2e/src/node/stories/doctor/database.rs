//! The database and the cache of the home are broken.
//!
//! Without VectorChord, which cannot be had here, neither its preload nor its indexes can be lost.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::Broken;
use crate::node::Home;

/// The directory of the database on the node.
const DATA: &str = "/srv/immich/postgres";

/// A database that refuses, that has no room, and a cache that is away.
pub(in super::super) async fn broken(home: &mut Home) -> Result<String> {
    let mut homes = Broken::new(home);

    sql(&homes, "immich", "ALTER ROLE immich PASSWORD 'another'")?;
    homes.home.restart_server()?;
    let fix = homes.named("another password in the database", "GD-DB-04").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    // As in a data directory of the image's own default: `postgres` has made the cluster, and `immich` is anybody. A role cannot rename itself.
    let made = "CREATE ROLE helper SUPERUSER LOGIN";
    sql(&homes, "immich", made)?;
    let password = "$(kubectl -n immich get secret immich-postgres -o go-template='{{.data.POSTGRES_PASSWORD|base64decode}}')";
    let psql = "kubectl -n immich exec -i deploy/immich-postgres -- psql -X -q -d immich -v ON_ERROR_STOP=1";
    homes.cure(
        &format!(
            "{psql} -U helper -c 'ALTER ROLE immich RENAME TO postgres' -c \"CREATE ROLE immich LOGIN PASSWORD '{password}'\"; \
             {psql} -U postgres -c 'DROP ROLE helper'"
        ),
        &[],
    )?;
    homes.home.restart_server()?;
    let fix = homes.named("a database whose owner is postgres", "GD-DB-04").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    homes.kubectl(&["-n", "immich", "scale", "deploy/immich-redis", "--replicas=0"])?;
    let fix = homes.named("no cache", "GD-DB-06").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    // By hand: the upgrade is a page of its own, and so is what has changed the owner of a directory.
    stop(&homes)?;
    let version = Path::new(DATA).join("18/docker/PG_VERSION");
    std::fs::write(&version, "14\n").context("the data directory")?;
    start(&homes)?;
    let fix = homes.named("data of PostgreSQL 14", "GD-DB-01").await?;
    ensure!(fix.contains("docs/upgrades.md#postgresql-14-to-18"), "{fix}");
    stop(&homes)?;
    std::fs::write(&version, "18\n")?;
    start(&homes)?;
    homes.cured().await?;

    stop(&homes)?;
    std::os::unix::fs::chown(DATA, Some(0), Some(0))?;
    start(&homes)?;
    let fix = homes.named("data that belong to somebody else", "GD-DB-05").await?;
    ensure!(fix.contains("logs deploy/immich-postgres"), "{fix}");
    stop(&homes)?;
    std::os::unix::fs::chown(DATA, Some(999), Some(999))?;
    start(&homes)?;
    homes.cured().await?;

    // A disk of its own in the place of the data, too small for a new database; by hand, as room is made on a disk.
    stop(&homes)?;
    mount("small", DATA, "tmpfs", MountFlags::empty(), c"size=24m,mode=0700,uid=999,gid=999").context("a small disk")?;
    start(&homes)?;
    let fix = homes.named("the disk of the database is full", "GD-DB-07").await?;
    ensure!(fix.starts_with("on home: df -h"), "{fix}");
    unmount(DATA, UnmountFlags::DETACH)?;
    ensure!(Path::new(DATA).join("18").exists(), "the data are not where they were");
    homes.kubectl(&["-n", "immich", "delete", "pod", "-l", "app.kubernetes.io/name=immich-postgres", "--timeout=60s"])?;
    homes.cured().await?;
    Ok(homes.told())
}

/// Ends the database, and returns when it has ended.
fn stop(homes: &Broken<'_>) -> Result<()> {
    let pods = ["wait", "pod", "-l", "app.kubernetes.io/name=immich-postgres", "--for=delete", "--timeout=60s"];
    homes.kubectl(&["-n", "immich", "scale", "deploy/immich-postgres", "--replicas=0"])?;
    homes.kubectl(&[&["-n", "immich"], &pods[..]].concat()).map(drop)
}

fn start(homes: &Broken<'_>) -> Result<()> {
    homes.kubectl(&["-n", "immich", "scale", "deploy/immich-postgres", "--replicas=1"]).map(drop)
}

fn sql(homes: &Broken<'_>, user: &str, statement: &str) -> Result<()> {
    let words = ["-n", "immich", "exec", "deploy/immich-postgres", "--", "psql", "-X", "-q", "-U", user, "-d", "immich", "-c"];
    homes.kubectl(&[&words[..], &[statement]].concat()).map(drop)
}
