//! The NAS of the home is broken, and the disk of its database.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use testkit::nas::{FakeNas, Mode};

use super::{Broken, fstab};
use crate::node::stories::nas::nothing_on_disk;
use crate::node::{Home, LIBRARY, MOUNT_POINT};

/// Where the NAS stays mounted, so that `mount` finds it: what the node's fstab names, in place of an NFS server.
const EXPORT: &str = "/run/nas.lan";

/// A NAS that leaves, is another one, and fails in each way that one does.
pub(in super::super) async fn broken(home: &mut Home) -> Result<String> {
    std::fs::create_dir_all(EXPORT)?;
    rustix::mount::mount_bind(MOUNT_POINT, EXPORT)?;
    std::fs::write(fstab(home), format!("{EXPORT} {MOUNT_POINT} none bind 0 0\n"))?;
    // What an earlier start may have left on the bare mount point.
    let bare = Path::new(LIBRARY);
    let mut homes = Broken::new(home);

    unmount()?;
    drop(std::fs::remove_dir(bare));
    homes.home.restart_server()?;
    let fix = homes.named("the NAS is away when the pod is made", "GD-NAS-01").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    unmount()?;
    std::fs::create_dir(bare)?;
    homes.home.restart_server()?;
    let fix = homes.named("a bare directory in its place", "GD-NAS-41").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    // By hand: which of the two is the right one, only its owner knows.
    unmount()?;
    let other = FakeNas::mount(Path::new(MOUNT_POINT), "nas.lan:/photos");
    other.mkdir("immich");
    other.chown("immich", 1000, 0o755);
    other.put("immich/.guard-nas-id", r#"{"v":1,"id":"11111111-1111-4111-8111-111111111111","label":""}"#);
    homes.home.restart_server()?;
    let fix = homes.named("another NAS", "GD-NAS-44").await?;
    ensure!(fix.contains("cat /mnt/nas/immich/.guard-nas-id"), "{fix}");
    unmount()?;
    drop(other);
    homes.cure("on home: sudo mount /mnt/nas", &[])?;
    homes.cured().await?;

    let sentinel = Path::new(LIBRARY).join(".guard-nas-id");
    let id = std::fs::read(&sentinel)?;
    std::fs::remove_file(&sentinel)?;
    homes.home.restart_server()?;
    let fix = homes.named("a NAS without its id", "GD-NAS-43").await?;
    ensure!(fix.contains("guard nas init --path /mnt/nas/immich"), "{fix}");
    // By hand, since `guard nas init` would write another id, which belongs into a patch that Flux has fetched.
    std::fs::write(&sentinel, id)?;
    homes.cured().await?;

    // At the export, which is the NAS's own: nobody here can put it right.
    homes.home.nas.as_ref().context("a NAS")?.set(Mode::RootSquash);
    homes.home.restart_server()?;
    let fix = homes.named("without the right to write", "GD-NAS-47").await?;
    ensure!(fix.contains("stat -c"), "{fix}");
    homes.home.nas.as_ref().context("a NAS")?.set(Mode::Healthy);
    homes.cured().await?;

    // Under a server that runs only its probes see it, and what they say last counts. By hand: what cures these is done at the NAS.
    for (mode, what, cause) in [
        (Mode::Full, "full, under a server that runs", "GD-NAS-46"),
        (Mode::Unread, "hanging, under a server that runs", "GD-NAS-48"),
        (Mode::Stale, "stale, under a server that runs", "GD-NAS-49"),
    ] {
        homes.home.nas.as_ref().context("a NAS")?.set(mode);
        homes.named(what, cause).await?;
    }
    homes.home.nas.as_ref().context("a NAS")?.set(Mode::Healthy);
    rustix::mount::mount_remount(MOUNT_POINT, rustix::mount::MountFlags::RDONLY, c"")?;
    let fix = homes.named("read-only, under a server that runs", "GD-NAS-45").await?;
    homes.cure(&fix, &[])?;
    homes.cured().await?;

    unmount_export()?;
    nothing_on_disk()?;
    Ok(homes.told())
}

fn unmount() -> Result<()> {
    rustix::mount::unmount(MOUNT_POINT, rustix::mount::UnmountFlags::DETACH).context("the NAS is mounted")
}

fn unmount_export() -> Result<()> {
    rustix::mount::unmount(EXPORT, rustix::mount::UnmountFlags::DETACH).context("the export")
}
