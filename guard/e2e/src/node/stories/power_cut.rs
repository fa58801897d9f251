//! The power fails in the middle of uploads, and the NAS comes back later than the node.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::RawConn;

use super::load::{Load, upload_one};
use super::nas::{is_ready, nothing_on_disk};
use crate::node::http::{form, photo};
use crate::node::{Home, SITE};
use crate::wait::{Look, until};

/// How much later the NAS is back than the kubelet.
const NAS_IS_LATE: Duration = Duration::from_secs(60);
/// Everything is well again within this time after the NAS is.
const HEALED: Duration = Duration::from_secs(300);

pub(super) async fn heals(home: &mut Home) -> Result<String> {
    home.edge.wait_for_tunnels(1).await;
    let token = home.issuer.token_for("family@example.com");
    let shown = photo(10, 1 << 20);
    ensure!(upload_one(home.edge.front(), &token, &shown).await?.is_success(), "the first photo was not stored");
    let load = Load::start(home, &shown);
    // An upload that is half here when the power goes.
    let (kind, body) = form("IMG_0004.jpg", &photo(11, 40 << 20));
    let mut half = RawConn::connect(home.edge.front()).await;
    let head = format!(
        "POST /api/assets HTTP/1.1\r\nhost: {SITE}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncf-access-jwt-assertion: {token}\r\n\r\n",
        body.len()
    );
    half.send(head).await;
    half.send(&body[..body.len() / 2]).await;
    until("some photos accepted, and half of one on the NAS", Duration::from_secs(30), async || {
        let nas = home.nas.as_ref().context("a NAS")?;
        let parts = nas.list("immich/library").into_iter().filter(|name| name.contains(".part"));
        let largest = parts.filter_map(|name| nas.read(&format!("immich/library/{name}"))).map(|part| part.len()).max();
        let accepted = load.accepted();
        // The phones' own photos are smaller.
        let is_half = largest.is_some_and(|bytes| bytes > 4 << 20);
        Ok(if is_half && accepted >= 4 { Look::Done(()) } else { Look::NotYet(format!("{accepted}, {largest:?} bytes")) })
    })
    .await?;

    home.cut_power()?;
    let tally = load.end().await;
    let accepted = tally.accepted.len();
    ensure!(accepted > 0, "no photo was accepted before the power cut: {}", tally.told());
    home.start_again()?;
    let node = Instant::now();
    until("started again: Postgres", HEALED, async || {
        home.alive()?;
        let pods = home.pods("immich").unwrap_or_default();
        let postgres = pods.iter().find(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "immich-postgres");
        let restarted = postgres.is_some_and(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0));
        Ok(if restarted && postgres.is_some_and(is_ready) { Look::Done(()) } else { Look::NotYet(format!("{postgres:?}")) })
    })
    .await?;
    let postgres = node.elapsed();
    tokio::time::sleep(NAS_IS_LATE.saturating_sub(postgres)).await;
    let early = home.server()?;
    ensure!(!is_ready(&early), "the server is Ready without its NAS");

    let back = Instant::now();
    home.plug_nas()?;
    until("well again: all pods", HEALED, async || {
        home.alive()?;
        let mut pods = home.pods("immich")?;
        pods.extend(home.pods("immich-edge")?);
        let waiting: Vec<_> = pods.iter().filter(|pod| !is_ready(pod)).map(|pod| pod["metadata"]["name"].to_string()).collect();
        Ok(if waiting.is_empty() { Look::Done(()) } else { Look::NotYet(waiting.join(", ")) })
    })
    .await?;
    let healed = back.elapsed();
    until("back: the tunnel", HEALED, async || {
        let status = upload_one(home.edge.front(), &token, &photo(12, 1 << 20)).await;
        Ok(match status {
            Ok(status) if status.is_success() => Look::Done(()),
            other => Look::NotYet(format!("{other:?}")),
        })
    })
    .await?;
    let site = back.elapsed();

    tally.all_on_nas(home)?;
    let rows = no_row_without_file(home)?;
    let log = home.world.cluster.kubectl(&["-n", "immich", "logs", "deploy/immich-postgres", "--tail=200"])?;
    ensure!(
        log.contains("automatic recovery in progress"),
        "Postgres did not recover, it started as if nothing had been:\n{log}"
    );
    nothing_on_disk()?;
    Ok(format!(
        "{accepted} accepted photos, {rows} rows, none lost; Postgres {:.0} s after the power, all Ready {:.0} s and the site {:.0} s after the NAS",
        postgres.as_secs_f32(),
        healed.as_secs_f32(),
        site.as_secs_f32()
    ))
}

/// Fails if the database names a photo that is not on the NAS. Returns how many it names.
pub(super) fn no_row_without_file(home: &Home) -> Result<usize> {
    let query = "psql --host /var/run/postgresql --username \"$POSTGRES_USER\" --dbname \"$POSTGRES_DB\" --tuples-only --no-align --command 'select id from asset'";
    let said = home.world.cluster.kubectl(&["-n", "immich", "exec", "deploy/immich-postgres", "--", "sh", "-c", query])?;
    let nas = home.nas.as_ref().context("a NAS")?;
    let files = nas.list("immich/library");
    let rows: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
    let lost: Vec<_> = rows.iter().filter(|id| !files.iter().any(|file| file == *id)).collect();
    ensure!(lost.is_empty(), "rows without a file on the NAS: {lost:?}");
    Ok(rows.len())
}
