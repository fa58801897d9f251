//! Each part of the request path is rolled out anew while the family uploads, looks at photos and holds WebSockets.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::{Load, upload_one};
use super::power_cut::no_row_without_file;
use crate::node::Home;
use crate::node::http::photo;
use crate::wait::{Look, until};

/// A rollout takes at most this long: the old pod may use its whole grace period.
const LIMIT: &str = "--timeout=240s";

/// Nothing that was accepted is lost, and nothing fails but what has to: the WebSockets of the old pod, and with Immich itself what comes while
/// it is away.
pub(super) async fn under_load(home: &mut Home) -> Result<String> {
    home.edge.wait_for_tunnels(1).await;
    let token = home.issuer.token_for("family@example.com");
    let shown = photo(20, 1 << 20);
    ensure!(upload_one(home.edge.front(), &token, &shown).await?.is_success(), "the first photo was not stored");
    let mut told = Vec::new();
    for (namespace, deployment, may_fail) in [
        ("immich-edge", "immich-origin-proxy", &[][..]),
        ("immich-edge", "cloudflared", &[]),
        // 500: Immich itself, before the network lets it reach its database again.
        ("immich", "immich-server", &[500, 502, 503, 504]),
    ] {
        let load = Load::start(home, &shown);
        let start = Instant::now();
        let outcome = roll(home, namespace, deployment).await;
        let took = start.elapsed();
        let tally = load.end().await;
        outcome?;
        tally.all_on_nas(home)?;
        ensure!(tally.failed_only_with(may_fail), "{deployment}: {}", tally.told());
        told.push(format!("{deployment} in {:.0} s: {}", took.as_secs_f32(), tally.told()));
    }
    let rows = no_row_without_file(home)?;
    Ok(format!("{}; {rows} rows, each with its file", told.join("; ")))
}

/// Restarts, and waits until the new pod is Ready and the old one is gone; before and after that the family has some seconds.
async fn roll(home: &mut Home, namespace: &str, deployment: &str) -> Result<()> {
    const BESIDE: Duration = Duration::from_secs(3);
    let name = format!("deploy/{deployment}");
    tokio::time::sleep(BESIDE).await;
    let kubectl = |words: &[&str]| home.world.cluster.kubectl(&[&["-n", namespace], words].concat());
    kubectl(&["rollout", "restart", &name])?;
    tokio::task::block_in_place(|| kubectl(&["rollout", "status", &name, LIMIT]))?;
    let selector = format!("app.kubernetes.io/name={deployment}");
    until("gone: the old pod", Duration::from_secs(240), async || {
        let pods = kubectl(&["get", "pods", "-l", &selector, "-o", "name"])?;
        let count = pods.lines().count();
        Ok(if count == 1 { Look::Done(()) } else { Look::NotYet(pods) })
    })
    .await?;
    tokio::time::sleep(BESIDE).await;
    home.alive()
}
