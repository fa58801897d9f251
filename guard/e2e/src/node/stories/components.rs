//! Components that are switched on by their one line, and do their work with the real programs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::flux::text;
use crate::node::http::{request, send};
use crate::node::netns::Netns;
use crate::node::{CLOUD_RUN, Home, TOKEN_SERVER};
use crate::process::run;

/// Where docs/backup.md has the disk.
const DISK: &str = "/mnt/backup";
const FOLDER: &str = "/mnt/backup/immich";
/// A job takes at most this long.
const TIMEOUT: &str = "--timeout=180s";
/// The tables that the backup wants, as Immich makes them, and somebody in them.
const TABLES: &str = r#"
create table if not exists album (id int); create table if not exists asset_exif (id int); create table if not exists system_metadata (key text);
create table if not exists "user" (id int primary key, email text); insert into "user" values (1, 'family@example.com') on conflict do nothing;
create table if not exists version_history (id int primary key, "createdAt" timestamptz, version text);
insert into version_history values (1, now(), '3.2.4') on conflict do nothing;
"#;

/// The dump and the drill, on a second disk, against the real Postgres.
pub(super) async fn db_backup(home: &mut Home) -> Result<String> {
    let _disk = Disk::mount(&home.dir)?;
    let mut init = Command::new(home.guard());
    let id = run(init.args(["nas", "init", "--path", FOLDER, "--fstypes", "ext4", "--label", "dumps"]))?.trim().to_owned();
    let query = format!(
        r#"psql --host /var/run/postgresql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --quiet <<'SQL'{TABLES}SQL"#
    );
    home.world.cluster.kubectl(&["-n", "immich", "exec", "deploy/immich-postgres", "--", "sh", "-c", &query])?;

    let patch = home.world.repo.tree.join("clusters/home.local/flux/nas.patch.yaml");
    let example = fs::read_to_string(home.world.repo.tree.join("clusters/home.local/db-backup/nas.patch.yaml"))?;
    // The overlay's example ids are the library's by now.
    let example = example.replace(&home.nas_id, &id).replace("node.example.com", crate::NODE);
    fs::write(&patch, fs::read_to_string(&patch)? + &example)?;
    home.world.repo.edit(
        "clusters/home/kustomization.yaml",
        "components: []",
        "components:\n  - ../../apps/components/db-backup",
    )?;
    let commit = home.world.repo.commit("A backup")?;
    home.world.apply("clusters/home.local/flux")?;
    home.world.applied(&commit).await?;

    let dump = job(home, "immich-db-backup", "first-dump", "backup", "Complete")?;
    let drill = job(home, "immich-db-restore-drill", "first-drill", "restore-drill", "Complete")?;
    let report: Value = serde_json::from_str(drill.lines().last().context("a report")?).context("the drill's report")?;
    let stored = fs::read_dir(FOLDER)?
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy() == text(&report, "/dump")));
    ensure!(stored.count() == 1, "the dump of the report is not on the disk: {report}");
    ensure!(report["rows"].as_u64() >= Some(2), "found {report}, wanted the rows of the dump");

    // Without its disk, the job is refused and says so.
    rustix::mount::unmount(DISK, rustix::mount::UnmountFlags::DETACH)?;
    fs::create_dir_all(FOLDER)?;
    let refused = job(home, "immich-db-backup", "without-disk", "disk-gate", "Failed")?;
    ensure!(refused.contains("NAS_"), "the job does not say why: {refused}");
    let left: Vec<_> = fs::read_dir(FOLDER)?.collect();
    ensure!(left.is_empty(), "found on the node's own disk: {left:?}");
    home.world.cluster.kubectl(&["-n", "immich", "delete", "job", "--all"])?;
    Ok(format!(
        "{}; drill: {} rows in {} tables; refused without the disk",
        dump.lines().last().unwrap_or_default(),
        report["rows"],
        report["tables"]
    ))
}

/// guard on the way to Cloud Run: Immich reaches it, with a token, and nobody else does.
pub(super) async fn cloud_run(home: &mut Home) -> Result<String> {
    let url = format!("https://{CLOUD_RUN}");
    home.google.1.accept_audience(&url);
    let mut key = home.google.0.key_file();
    key["token_uri"] = format!("https://{TOKEN_SERVER}/token").into();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "idtoken-google", "namespace": "immich"},
        "stringData": {"credentials.json": key.to_string(), "UPSTREAM_SERVER_URL": url},
    });
    home.world.cluster.kubectl_stdin(&["apply", "-f", "-"], &secret.to_string())?;
    switch_on(home, "cloud-run-ml")?;
    let commit = home.world.repo.commit("Machine learning on Cloud Run")?;
    home.world.applied(&commit).await?;
    home.world.as_rendered().await?;

    let address = home.world.cluster.kubectl(&["-n", "immich", "get", "svc/cloud-run-ml", "-o", "jsonpath={.spec.clusterIP}"])?;
    let to = SocketAddr::new(address.parse()?, 8080);
    let pods = Netns::of_pods()?;
    let from = |name: &str| -> Result<Netns> {
        let all = home.pods("immich")?.into_iter().chain(home.pods("immich-edge")?);
        let mut named = all.filter(|pod| text(pod, "/metadata/labels/app.kubernetes.io~1name") == name);
        let address: Ipv4Addr = text(&named.next().context("a pod")?, "/status/podIP").parse()?;
        pods.get(&address).cloned().with_context(|| format!("no network namespace of {name}"))
    };
    let stream = from("immich-server")?.connect(to, Duration::from_secs(10)).context("cloud-run-ml, from Immich")?;
    stream.set_nonblocking(true)?;
    let request = request("POST", "cloud-run-ml:8080", "/predict", &[], b"photo".to_vec())?;
    let answer = send(TcpStream::from_std(stream)?, request).await?;
    ensure!(answer.status.is_success(), "found {} {:?}, wanted the answer of Cloud Run", answer.status, answer.body);
    let seen = home.google.1.seen();
    ensure!(seen.requests > 0 && seen.without_token == 0, "found {seen:?}, wanted requests with a token");
    for stranger in ["immich-machine-learning", "cloudflared"] {
        let connected = from(stranger)?.connect(to, Duration::from_millis(1500));
        ensure!(connected.is_err(), "{stranger} reaches cloud-run-ml");
    }
    home.world.repo.edit("clusters/home/kustomization.yaml", "\n  - ../../apps/components/cloud-run-ml", "")?;
    let commit = home.world.repo.commit("At home again")?;
    home.world.applied(&commit).await?;
    Ok(format!("{} requests reached Cloud Run, each with a token; refused: machine learning, cloudflared", seen.requests))
}

/// Writes the one line that switches a component on.
pub(super) fn switch_on(home: &Home, component: &str) -> Result<()> {
    let file = "clusters/home/kustomization.yaml";
    let text = fs::read_to_string(home.world.repo.tree.join(file))?;
    let (empty, list) = ("\ncomponents: []", "\ncomponents:");
    let from = if text.contains(empty) { empty } else { list };
    home.world.repo.edit(file, from, &format!("{list}\n  - ../../apps/components/{component}"))
}

/// Runs a job of a `CronJob` now, waits until it ends as it should, and returns the log of one container.
fn job(home: &Home, cronjob: &str, name: &str, container: &str, ends: &str) -> Result<String> {
    let kubectl = |words: &[&str]| home.world.cluster.kubectl(&[&["-n", "immich"], words].concat());
    kubectl(&["create", "job", &format!("--from=cronjob/{cronjob}"), name])?;
    let job = format!("job/{name}");
    let done = kubectl(&["wait", &job, &format!("--for=condition={ends}"), TIMEOUT]);
    let log = kubectl(&["logs", &job, "-c", container, "--tail=40"]);
    done.with_context(|| format!("{name}: {log:?}"))?;
    log
}

/// A second disk of the machine: a file system of its own in a file. It is unmounted with its handle.
struct Disk;

impl Disk {
    fn mount(dir: &Path) -> Result<Self> {
        let image = dir.join("backup.img");
        fs::File::create(&image)?.set_len(2 << 30)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        fs::create_dir_all(DISK)?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(DISK))?;
        fs::create_dir(FOLDER)?;
        std::os::unix::fs::chown(FOLDER, Some(999), Some(999))?;
        Ok(Self)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The story may have done it.
        let _ = rustix::mount::unmount(DISK, rustix::mount::UnmountFlags::DETACH);
    }
}
