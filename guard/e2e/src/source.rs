//! A stand-in for Flux's source-controller, which cannot be built here: one of its modules is not served by every Go proxy.
//!
//! It does what kustomize-controller's own tests do: packs a commit as source-controller would (what `.sourceignore` leaves, as a tar
//! archive), serves it, and writes where it is, and its digest, into the status of the `GitRepository`. Fetching from a real Git server, and
//! what source-controller verifies on the way, is not shown.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::cluster::Cluster;
use crate::process::run;

/// The server of archives.
pub(crate) struct Source {
    dir: PathBuf,
    address: String,
}

impl Source {
    /// Serves `dir` on loopback until the process ends.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let root = dir.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that went away is not our concern.
                let _ = answer(stream, &root);
            }
        });
        Ok(Self { dir: dir.to_owned(), address })
    }

    /// Packs what is committed of `tree`, and tells the `GitRepository` called `home`.
    pub(crate) fn publish(&self, cluster: &Cluster, tree: &Path, commit: &str) -> Result<()> {
        let name = format!("{commit}.tar.gz");
        let archive = self.dir.join(&name);
        pack(tree, &archive)?;
        let sum = run(Command::new("sha256sum").arg(&archive))?;
        let digest = sum.split_whitespace().next().context("sha256sum said nothing")?;
        let generation =
            cluster.kubectl(&["-n", "flux-system", "get", "gitrepository/home", "-o", "jsonpath={.metadata.generation}"])?;
        let generation: i64 = generation.parse()?;
        let now = run(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?;
        let now = now.trim();
        let status = json!({"status": {
            "observedGeneration": generation,
            "artifact": {
                "digest": format!("sha256:{digest}"),
                "lastUpdateTime": now,
                "path": format!("gitrepository/flux-system/home/{name}"),
                "revision": format!("main@sha1:{commit}"),
                "size": fs::metadata(&archive)?.len(),
                "url": format!("http://{}/{name}", self.address),
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact",
                "lastTransitionTime": now, "observedGeneration": generation,
            }],
        }});
        let patch = status.to_string();
        cluster.kubectl(&[
            "-n",
            "flux-system",
            "patch",
            "gitrepository/home",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])?;
        Ok(())
    }
}

/// The folders that `.sourceignore` lets through, as they are in Git.
fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let ignore = fs::read_to_string(tree.join(".sourceignore"))?;
    let folders: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix("!/")).collect();
    ensure!(
        ignore.starts_with("/*\n") && !folders.is_empty(),
        ".sourceignore is not of the form that this stand-in knows: /* and !/FOLDER/"
    );
    let listed =
        run(Command::new("git").current_dir(tree).args(["-c", "safe.directory=*", "ls-files", "-z", "--"]).args(&folders))?;
    let mut tar = Command::new("tar")
        .args(["--create", "--gzip", "--format=ustar", "--null", "--files-from=-", "--file"])
        .arg(archive)
        .current_dir(tree)
        .stdin(Stdio::piped())
        .spawn()?;
    tar.stdin.take().context("stdin is piped")?.write_all(listed.as_bytes())?;
    ensure!(tar.wait()?.success(), "tar failed");
    Ok(())
}

/// One GET of one file.
fn answer(stream: TcpStream, root: &Path) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let name = line.split(' ').nth(1).and_then(|path| path.strip_prefix('/')).unwrap_or_default();
    let mut stream = reader.into_inner();
    match fs::read(root.join(name)) {
        Ok(bytes) if !name.contains("..") => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
            stream.write_all(&bytes)?;
        }
        _ => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?,
    }
    Ok(())
}
