//! New versions of every part arrive in one commit, while the family is at work: what rolls, in what order, and how long the site is away.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::load::{Load, upload_one};
use super::power_cut::no_row_without_file;
use crate::flux::text;
use crate::node::http::photo;
use crate::node::{Home, images};

/// The site is away for as long as Immich and Postgres need to start, and not longer.
pub(super) async fn to_new_versions(home: &mut Home) -> Result<String> {
    home.edge.wait_for_tunnels(1).await;
    let token = home.issuer.token_for("family@example.com");
    let shown = photo(40, 1 << 20);
    ensure!(upload_one(home.edge.front(), &token, &shown).await?.is_success(), "the first photo was not stored");

    let tree = home.world.repo.tree.clone();
    for reference in images::references(&home.world.rendered()?) {
        let (name, digest) = reference.split_once('@').with_context(|| format!("{reference} has no digest"))?;
        let next = next_digest(digest);
        let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
        let pinned = |digest: &str| format!("{repository}@{digest}");
        home.ctr(&["images", "tag", "--force", &pinned(digest), &pinned(&next)])?;
        for folder in ["apps", "clusters"] {
            replace_everywhere(&tree.join(folder), digest, &next)?;
        }
    }
    let before = names(home)?;
    let load = Load::start(home, &shown);
    let pushed = Instant::now();
    let commit = home.world.repo.commit("New versions")?;
    let outcome = async {
        home.world.applied(&commit).await?;
        home.world.as_rendered().await
    }
    .await;
    let took = pushed.elapsed();
    let tally = load.end().await;
    outcome?;
    let mut rolled = Vec::new();
    for pod in home.pods("immich")?.into_iter().chain(home.pods("immich-edge")?) {
        let name = text(&pod, "/metadata/labels/app.kubernetes.io~1name").to_owned();
        ensure!(!before.contains(&text(&pod, "/metadata/name").to_owned()), "{name} was not rolled out");
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").cloned().unwrap_or_default();
        rolled.push((text(&ready, "/lastTransitionTime").to_owned(), name));
    }
    rolled.sort();
    tally.all_on_nas(home)?;
    let rows = no_row_without_file(home)?;
    let order: Vec<_> = rolled.into_iter().map(|(_, name)| name).collect();
    Ok(format!(
        "Ready again in this order: {}; all after {:.0} s, the site away for {:.0} s; {}; {rows} rows, each with its file",
        order.join(", "),
        took.as_secs_f32(),
        tally.away.as_secs_f32(),
        tally.told()
    ))
}

fn names(home: &Home) -> Result<Vec<String>> {
    let pods = home.pods("immich")?.into_iter().chain(home.pods("immich-edge")?);
    Ok(pods.map(|pod| text(&pod, "/metadata/name").to_owned()).collect())
}

/// Another digest, which no image has.
fn next_digest(digest: &str) -> String {
    let (head, last) = digest.split_at(digest.len() - 1);
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

fn replace_everywhere(folder: &Path, from: &str, to: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            replace_everywhere(&path, from, to)?;
        } else if let Ok(found) = fs::read_to_string(&path)
            && found.contains(from)
        {
            fs::write(&path, found.replace(from, to))?;
        }
    }
    Ok(())
}
