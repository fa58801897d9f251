//! What becomes of the home when the NAS leaves, hangs, or is another one: what the operator sees, how long it takes to heal, and that no
//! byte reaches the node's own disk.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::nas::Mode;

use crate::flux;
use crate::node::Home;
use crate::wait::{Look, until};

/// Longer than any probe's patience, and than the kubelet's back-off after a few failures.
const LIMIT: Duration = Duration::from_secs(300);

/// The NAS leaves while Immich runs: liveness ends the container, the gate refuses the next one, and says why where an operator looks.
pub(super) async fn pulled(home: &mut Home) -> Result<String> {
    let began = Instant::now();
    home.unplug_nas()?;
    let seen = began.elapsed() + until_server(home, "not Ready", |pod| !is_ready(pod)).await?;
    // The probe that saw it leaves its own words; then the next container is refused.
    let ended = until_server(home, "ended", |pod| last_message(pod, "containerStatuses").starts_with("NAS_STALE (49)")).await?;
    let refused = ended
        + until_server(home, "refused by the gate", |pod| {
            last_message(pod, "containerStatuses").starts_with("NAS_NOT_MOUNTED (41)")
        })
        .await?;
    let refused = seen + refused;
    let described =
        home.world.cluster.kubectl(&["-n", "immich", "describe", "pod", "-l", "app.kubernetes.io/name=immich-server"])?;
    ensure!(
        described.contains("NAS_NOT_MOUNTED (41)") && described.contains("fix: "),
        "kubectl describe does not say it:\n{described}"
    );
    as_troubleshooting_says(home, &described, "nas-not-mounted")?;
    let status = flux_says_so(home).await?;
    let back = Instant::now();
    home.plug_nas()?;
    until_server(home, "Ready again", is_ready).await?;
    nothing_on_disk()?;
    Ok(format!(
        "not Ready after {:.0} s, refused with NAS_NOT_MOUNTED after {:.0} s, Ready again {:.0} s after the NAS was back; Flux: {status}",
        seen.as_secs_f32(),
        refused.as_secs_f32(),
        back.elapsed().as_secs_f32()
    ))
}

/// A pod that starts while the NAS is away: without the directory the kubelet waits, with a bare one the gate refuses.
pub(super) async fn away_at_start(home: &mut Home) -> Result<String> {
    home.unplug_nas()?;
    // What an earlier start may have left on the bare mount point.
    drop(std::fs::remove_dir(Path::new("/mnt/nas/immich")));
    home.restart_server()?;
    until_event(home, &row(home, "pod-hostpath")?).await?;
    std::fs::create_dir("/mnt/nas/immich")?;
    std::os::unix::fs::chown("/mnt/nas/immich", Some(1000), Some(1000))?;
    until_server(home, "refused by the gate", |pod| {
        last_message(pod, "initContainerStatuses").starts_with("NAS_NOT_MOUNTED (41)")
    })
    .await?;
    let back = Instant::now();
    home.plug_nas()?;
    until_server(home, "Ready", is_ready).await?;
    nothing_on_disk()?;
    Ok(format!("two refusals, Ready {:.0} s after the NAS was back", back.elapsed().as_secs_f32()))
}

/// A hard mount whose server does not answer: not Ready, not killed, and well again by itself.
pub(super) async fn hung(home: &mut Home) -> Result<String> {
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
    let before = restarts(&home.server()?);
    home.nas.as_ref().context("a NAS")?.set(Mode::Unread);
    let seen = until_server(home, "not Ready", |pod| !is_ready(pod)).await?;
    until_event(home, "NAS_HUNG").await?;
    home.nas.as_ref().context("a NAS")?.set(Mode::Healthy);
    let healed = until_server(home, "Ready again", is_ready).await?;
    ensure!(restarts(&home.server()?) == before, "it was restarted, wanted it to wait");
    Ok(format!(
        "not Ready after {:.0} s, Ready again {:.0} s after it answered, no restart",
        seen.as_secs_f32(),
        healed.as_secs_f32()
    ))
}

/// An NFS server that has forgotten the mount: the container ends, and the next one waits for a mount that works.
pub(super) async fn stale(home: &mut Home) -> Result<String> {
    let began = Instant::now();
    home.nas.as_ref().context("a NAS")?.set(Mode::Stale);
    until_event(home, "stale NFS file handle").await?;
    let seen = began.elapsed();
    let back = Instant::now();
    home.unplug_nas()?;
    home.plug_nas()?;
    until_server(home, "Ready again", is_ready).await?;
    nothing_on_disk()?;
    let (seen, healed) = (seen.as_secs_f32(), back.elapsed().as_secs_f32());
    Ok(format!("ended after {seen:.0} s, Ready again {healed:.0} s after it was mounted anew"))
}

/// Another disk in the NAS's place is refused, and so is a fresh one.
pub(super) async fn swapped(home: &mut Home) -> Result<String> {
    home.unplug_nas()?;
    home.mount_empty_nas();
    let other = r#"{"v":1,"id":"11111111-1111-4111-8111-111111111111","label":""}"#;
    let nas = home.nas.as_ref().context("a NAS")?;
    nas.put("immich/.guard-nas-id", other);
    home.restart_server()?;
    until_server(home, "refused as another NAS", |pod| {
        last_message(pod, "initContainerStatuses").starts_with("NAS_SENTINEL_OTHER (44)")
    })
    .await?;
    let nas = home.nas.as_ref().context("a NAS")?;
    let files = nas.list("immich");
    ensure!(files == [".guard-nas-id"], "found {files:?} on the other NAS, wanted nothing new");
    let back = Instant::now();
    home.unmount_nas()?;
    home.plug_nas()?;
    until_server(home, "Ready again", is_ready).await?;
    nothing_on_disk()?;
    Ok(format!("refused with NAS_SENTINEL_OTHER, Ready {:.0} s after the right one was back", back.elapsed().as_secs_f32()))
}

/// Waits until the newest pod of the server is so; returns how long that took.
pub(super) async fn until_server(home: &mut Home, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Duration> {
    let start = Instant::now();
    until(&format!("{what}: immich-server"), LIMIT, async || {
        home.alive()?;
        let pod = home.server().unwrap_or_default();
        Ok(if holds(&pod) { Look::Done(()) } else { Look::NotYet(format!("{:#}", pod["status"])) })
    })
    .await?;
    Ok(start.elapsed())
}

/// Waits until an event about a pod of the server contains these words, with anything in the place of each `…`.
async fn until_event(home: &mut Home, words: &str) -> Result<()> {
    until(&format!("an event with {words:?}"), LIMIT, async || {
        home.alive()?;
        let events = home.world.cluster.kubectl(&[
            "-n",
            "immich",
            "get",
            "events",
            "-o",
            "jsonpath={range .items[*]}{.message}{'\\n'}{end}",
        ])?;
        let says_so = |event: &str| words.split(" … ").all(|part| event.contains(part));
        Ok(if events.lines().any(says_so) { Look::Done(()) } else { Look::NotYet(events) })
    })
    .await
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// What the last end of the pod's first container of this kind has left.
fn last_message<'p>(pod: &'p Value, list: &str) -> &'p str {
    let status = &pod["status"][list][0];
    let message = ["state", "lastState"].iter().find_map(|state| status[*state]["terminated"]["message"].as_str());
    message.unwrap_or_default()
}

/// The row of troubleshooting.md names what the pod shows.
fn as_troubleshooting_says(home: &Home, shown: &str, anchor: &str) -> Result<()> {
    let title = row(home, anchor)?;
    let (code, name) = title.split_once(' ').context("a code and a name")?;
    ensure!(shown.contains(&format!("{name} ({code})")), "troubleshooting.md says {name} ({code}), the pod shows:\n{shown}");
    Ok(())
}

/// The title of this row of troubleshooting.md, as plain text.
fn row(home: &Home, anchor: &str) -> Result<String> {
    let page = std::fs::read_to_string(home.world.repo.tree.join("troubleshooting.md"))?;
    let heading = page.lines().find(|line| line.contains(&format!("<a id=\"{anchor}\">"))).context("a row")?;
    Ok(heading.split("</a>").nth(1).context("a title")?.replace('`', ""))
}

/// Flux's own status says which part of the home is not well. Its patience is shortened for this one look.
async fn flux_says_so(home: &Home) -> Result<String> {
    let patience = |text: &str| {
        let change = format!(r#"{{"spec":{{"timeout":"{text}"}}}}"#);
        home.world.cluster.kubectl(&["-n", "flux-system", "patch", "kustomization/home", "--type=merge", "-p", &change])
    };
    patience("30s")?;
    let commit = home.world.repo.commit("While the NAS is away")?;
    let status = flux::reconcile(&home.world, &commit).await?;
    patience("5m")?;
    let message = flux::message(&status);
    ensure!(message.contains("Deployment/immich/immich-server"), "Flux does not say which part is not well: {message}");
    Ok(message.lines().next().unwrap_or_default().chars().take(90).collect())
}

/// The node's own disk below the mount point has no file, whatever is mounted over it.
pub(super) fn nothing_on_disk() -> Result<()> {
    // A second bind of the disk shows what lies below the mount.
    let bare = Path::new("/run/bare");
    std::fs::create_dir_all(bare)?;
    rustix::mount::mount_bind("/mnt", bare)?;
    let mut found = Vec::new();
    let mut left = vec![bare.join("nas")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { left.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    rustix::mount::unmount(bare, rustix::mount::UnmountFlags::DETACH)?;
    ensure!(found.is_empty(), "found on the node's own disk: {found:?}");
    Ok(())
}
