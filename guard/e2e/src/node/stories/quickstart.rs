//! The two quickstarts, typed in a terminal from a clean clone to the first photo at home, and then to the internet. The commands are read from the
//! pages and typed as they are printed; what takes their place where this machine has no such thing is in [`PROGRAMS`].

pub(super) mod long;
mod page;
pub(super) mod short;
pub(crate) mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::StatusCode;
use tokio::net::TcpStream;

use super::first_photo::on_nas;
use super::load::upload_one;
use crate::node::http::{form, photo, request, send};
use crate::node::images::GUARD;
use crate::node::sandbox::NODE_ADDRESS;
use crate::node::{Home, SITE};
use crate::process::run;
use crate::repo::git;
use crate::secrets::TUNNEL_TOKEN;
use crate::wait::{Look, until};
use terminal::Terminal;

/// Programs of the operator's machine that are played, and why: what `make` and `cargo` build is built already (its time is not counted), this computer
/// is the node, so nothing is asked of sudo and ssh, systemd is not here and the story mounts the NAS, there is no desktop with a browser, and no
/// Cloudflare.
const PROGRAMS: [(&str, &str); 7] = [
    (
        "make",
        "case $1 in\nbuild) ;;\ninstall) install -D \"$PROGRAMS/guardctl\" \"$HOME/.local/bin/guardctl\" ;;\nimage) cp \"$PROGRAMS/guard.tar\" \"${2#IMAGE_ARCHIVE=}\" ;;\n*) exit 2 ;;\nesac\n",
    ),
    ("cargo", "while [[ $1 != -- ]]; do shift; done\nshift\nexec \"$PROGRAMS/guardctl\" \"$@\"\n"),
    ("sudo", "exec \"$@\"\n"),
    ("ssh", "while [[ $1 == -* ]]; do [[ $1 == -o ]] && shift; shift; done\nshift\nexec bash -c \"$*\"\n"),
    ("systemctl", ""),
    ("xdg-open", "echo \"opened $1\"\n"),
    ("cloudflared", "[[ \"$1 $2\" == 'tunnel token' ]] || exit 2\ncat \"$PROGRAMS/token\"\n"),
];

/// An operator with a clean clone.
struct Operator {
    /// Their home.
    folder: PathBuf,
    clone: PathBuf,
    terminal: Terminal,
}

impl Operator {
    /// Makes the clone, a kubeconfig and the programs, and opens a terminal.
    fn new(home: &Home, name: &str) -> Result<Self> {
        let folder = home.dir.join(name);
        let clone = folder.join("photos");
        let path = prepare(home, &folder, &clone)?;
        let terminal = Terminal::open(&folder, &clone, &path)?;
        Ok(Self { folder, clone, terminal })
    }
}

/// A clean clone, a kubeconfig, and the programs. Returns the operator's `PATH`.
fn prepare(home: &Home, folder: &Path, clone: &Path) -> Result<String> {
    home.world.repo.commit("A clean clone")?;
    fs::create_dir_all(folder.join(".kube"))?;
    run(git(folder).args(["clone", "-q"]).arg(&home.world.repo.tree).arg(clone))?;
    fs::copy(&home.world.cluster.kubeconfig, folder.join(".kube/config"))?;
    let programs = folder.join("programs");
    fs::create_dir_all(&programs)?;
    fs::copy(std::env::current_exe()?.with_file_name("guardctl"), programs.join("guardctl"))?;
    fs::copy(home.guard(), programs.join("guard"))?;
    fs::write(programs.join("token"), format!("{TUNNEL_TOKEN}\n"))?;
    let tagged = "localhost/guard:0.1.0";
    home.ctr(&["images", "tag", "--force", GUARD, tagged])?;
    home.ctr(&["images", "export", &programs.join("guard.tar").display().to_string(), tagged])?;
    for (name, script) in PROGRAMS {
        let file = programs.join(name);
        fs::write(&file, format!("#!/bin/bash\nPROGRAMS={}\n{script}", programs.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    // Where kubeadm's containerd is.
    fs::create_dir_all("/run/containerd")?;
    let socket = Path::new("/run/containerd/containerd.sock");
    if !socket.exists() {
        std::os::unix::fs::symlink(home.dir.join("node/containerd.sock"), socket)?;
    }
    let own = folder.join(".local/bin");
    let bin = home.world.cluster.bin.display().to_string();
    Ok(format!("{}:{}:{bin}:{}", own.display(), programs.display(), std::env::var("PATH").unwrap_or_default()))
}

/// The first photo, from the LAN by the NodePort.
async fn from_lan(home: &Home, photo: &[u8]) -> Result<()> {
    let (kind, body) = form("IMG_0080.jpg", photo);
    let to = std::net::SocketAddr::from((NODE_ADDRESS, 30283));
    let stream = home.networks.lan.connect(to, Duration::from_secs(10)).context("the NodePort, from the LAN")?;
    stream.set_nonblocking(true)?;
    let request = request("POST", &to.to_string(), "/api/assets", &[("content-type", &kind)], body)?;
    let stored = send(TcpStream::from_std(stream)?, request).await?;
    ensure!(stored.status == StatusCode::CREATED, "found {} {:?}, wanted 201", stored.status, stored.body);
    on_nas(home, photo)
}

/// A photo of a member of the family enters by the tunnel, and nobody else does.
async fn by_tunnel(home: &Home, seed: u64) -> Result<()> {
    let photo = photo(seed, 1 << 20);
    until("uploaded by the tunnel", Duration::from_secs(60), async || {
        let token = home.issuer.token_for("family@example.com");
        let status = upload_one(home.edge.front(), &token, &photo).await.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Ok(if status == StatusCode::CREATED { Look::Done(()) } else { Look::NotYet(status.to_string()) })
    })
    .await?;
    on_nas(home, &photo)?;
    let stranger = request("GET", SITE, "/api/server/ping", &[], Vec::new())?;
    let refused = send(TcpStream::connect(home.edge.front()).await?, stranger).await?;
    ensure!(refused.status == StatusCode::UNAUTHORIZED, "without a proof: found {}, wanted 401", refused.status);
    Ok(())
}

/// Neither the screen nor the history nor the overlay has a secret.
fn keeps_secrets(home: &Home, operator: &Operator, more: &[&str]) -> Result<()> {
    let Operator { folder, clone, terminal } = operator;
    let password =
        ["-n", "immich", "get", "secret", "immich-postgres", "-o", "go-template={{.data.POSTGRES_PASSWORD|base64decode}}"];
    let password = home.world.cluster.kubectl(&password)?;
    let overlay = clone.join("clusters/home.local");
    let written = run(Command::new("grep").args(["-rh", ""]).arg(&overlay))?;
    let (screen, history) = (terminal.screen()?, fs::read_to_string(folder.join("history"))?);
    for secret in [TUNNEL_TOKEN, password.as_str()].iter().chain(more) {
        for (place, text) in [("on the screen", &screen), ("in the history", &history), ("in the overlay", &written)] {
            ensure!(!text.contains(secret), "a secret is {place}");
        }
    }
    ensure!(history.contains("guardctl"), "the history is not that of the shell: {history}");
    Ok(())
}

/// Nothing of this home is left: the next story makes its own.
fn leave(home: &mut Home) -> Result<()> {
    home.world.cluster.kubectl(&["delete", "namespace", "immich", "immich-edge", "--timeout=120s"])?;
    // The next one sees them made.
    let policies = "validatingadmissionpolicies,validatingadmissionpolicybindings";
    home.world.cluster.kubectl(&["delete", policies, "-l", "app.kubernetes.io/component=admission"])?;
    home.unmount_nas()?;
    // The long way has made the bare mount point unwritable.
    run(Command::new("chattr").args(["-i", "/mnt/nas"]))?;
    fs::remove_dir_all("/srv/immich/postgres")?;
    home.prepare_disks()
}
