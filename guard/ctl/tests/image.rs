//! `guardctl image` with the containerd of this machine: a private one, with a root, a state and a socket of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails at that line")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::google::Folder;

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Runs a program and wants success: what it printed.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Puts content into an image layout, and describes it.
fn blob(folder: &Path, kind: &str, content: &[u8]) -> Value {
    let new = folder.join("blobs/sha256/new");
    std::fs::write(&new, content).unwrap();
    let hex = said(Command::new("sha256sum").arg(&new))[..64].to_owned();
    std::fs::rename(&new, folder.join("blobs/sha256").join(&hex)).unwrap();
    json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{hex}"), "size": content.len()})
}

/// An OCI archive of an image with one file, and the digest of its manifest.
fn archive(folder: &Path, name: &str) -> (PathBuf, String) {
    let layout = folder.join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    std::fs::write(folder.join("guard"), "a program").unwrap();
    let layer = folder.join("layer.tar");
    said(Command::new("tar").args(["--create", "--file"]).arg(&layer).arg("--directory").arg(folder).arg("guard"));
    let layer = blob(&layout, "layer.v1.tar", &std::fs::read(layer).unwrap());
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/guard"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(&layout, "config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let mut manifest = blob(&layout, "manifest.v1+json", manifest.to_string().as_bytes());
    let digest = manifest["digest"].as_str().unwrap().to_owned();
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    std::fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string()).unwrap();
    let packed = folder.join("guard.tar");
    said(Command::new("tar").args(["--create", "--file"]).arg(&packed).arg("--directory").arg(layout).arg("."));
    (packed, digest)
}

/// A containerd. It ends with its handle.
struct Containerd {
    socket: PathBuf,
    child: Child,
}

impl Containerd {
    /// `None`, with the reason on standard error, where this machine cannot run one.
    fn start(folder: &Path) -> Option<Self> {
        let lacks = |program: &str| Command::new(program).arg("--version").output().is_err();
        if !rustix::process::geteuid().is_root() || lacks("containerd") || lacks("ctr") {
            eprintln!("skipped: wanted root and containerd (Debian: apt-get install containerd)");
            return None;
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("c.sock"),
            at("t.sock")
        );
        std::fs::write(folder.join("containerd.toml"), configuration).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.join("containerd.toml")).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Self { socket: folder.join("c.sock"), child: command.spawn().unwrap() };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !started.ctr(&["version"]).status.success() {
            assert!(Instant::now() < deadline, "containerd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(started)
    }

    fn ctr(&self, arguments: &[&str]) -> Output {
        Command::new("ctr").arg("--address").arg(&self.socket).args(["--namespace", "k8s.io"]).args(arguments).output().unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn guardctl(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guardctl"));
    command.current_dir(folder.path()).arg("image");
    command
}

/// A repository: a base with an image that nobody can pull, and an overlay.
fn repository() -> Folder {
    let folder = Folder::new();
    for name in ["clusters/home", "clusters/home.local"] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let base = format!("images:\n  - name: guard\n    newName: ghcr.io/example/guard\n    newTag: 0.1.0@sha256:{ZEROS}\n");
    std::fs::write(folder.path().join("clusters/home/kustomization.yaml"), base).unwrap();
    std::fs::write(folder.path().join("clusters/home.local/kustomization.yaml"), "# mine\nresources:\n  - ../home\n").unwrap();
    folder
}

fn overlay(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path().join("clusters/home.local/kustomization.yaml")).unwrap()
}

#[test]
fn an_image_gets_into_the_node_by_its_digest_and_into_the_overlay() {
    let folder = repository();
    let Some(containerd) = Containerd::start(folder.path()) else { return };
    let (packed, digest) = archive(folder.path(), "localhost/guard:0.1.0");
    let load = || {
        let mut command = guardctl(&folder);
        command.arg("load").arg(&packed).arg("--socket").arg(&containerd.socket);
        said(&mut command)
    };
    let first = load();
    assert!(first.contains(&format!("✓ this computer: localhost/guard@{digest}")), "{first}");
    let listed = String::from_utf8(containerd.ctr(&["images", "list", "--quiet"]).stdout).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["localhost/guard:0.1.0", &format!("localhost/guard@{digest}")]);
    let wanted = format!(
        "# mine\nresources:\n  - ../home\nimages:\n  - name: ghcr.io/example/guard\n    newName: localhost/guard\n    newTag: 0.1.0@{digest}\n"
    );
    assert_eq!(overlay(&folder), wanted);
    assert!(load().ends_with("(as it was)"));
    assert_eq!(overlay(&folder), wanted);
}

#[test]
fn another_node_is_reached_by_ssh_with_each_word_as_it_is() {
    let folder = repository();
    let Some(containerd) = Containerd::start(folder.path()) else { return };
    let (packed, digest) = archive(folder.path(), "localhost/guard:0.1.0");
    // Like ssh, it hands the words to a shell, joined by spaces.
    let ssh = folder.write("ssh", "#!/bin/sh\ntest \"$1 $2\" = '-- root@node' || exit 255\nshift 2\nexec sh -c \"$*\"\n");
    std::fs::set_permissions(ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = guardctl(&folder);
    command.env("PATH", &path).arg("load").arg(&packed).args(["--node", "root@node", "--socket"]).arg(&containerd.socket);
    let printed = said(&mut command);
    assert!(printed.contains(&format!("✓ root@node: localhost/guard@{digest}")), "{printed}");

    let mut command = guardctl(&folder);
    command.env("PATH", path).arg("load").arg(&packed).args(["--node", "other", "--socket"]).arg(&containerd.socket);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("other: "), "{output:?}");
}

#[test]
fn what_is_no_image_changes_nothing() {
    let folder = repository();
    let before = overlay(&folder);
    folder.write("text.tar", "no tar file");
    for archive in ["text.tar", "absent.tar", "clusters"] {
        let output = guardctl(&folder).args(["load", archive, "--socket", "/nowhere/c.sock"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{archive}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(archive), "{archive}: {output:?}");
    }
    let (packed, _) = archive(folder.path(), "localhost/guard:0.1.0");
    let output = guardctl(&folder).arg("load").arg(packed).args(["--socket", "/nowhere/c.sock"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a containerd that is not there");
    assert_eq!(overlay(&folder), before);
}

#[test]
fn a_published_image_is_set_by_its_digest_only() {
    let folder = repository();
    let digest = "ab".repeat(32);
    let reference = format!("registry.example.com:5000/you/guard:0.2.0@sha256:{digest}");
    said(guardctl(&folder).args(["set", &reference]));
    let wanted = format!("newName: registry.example.com:5000/you/guard\n    newTag: 0.2.0@sha256:{digest}\n");
    assert!(overlay(&folder).ends_with(&wanted), "{}", overlay(&folder));
    for wrong in ["guard:0.2.0", &format!("guard@sha256:{digest}"), &format!("guard:0.2.0@sha256:{ZEROS}"), "guard:1@sha256:12"] {
        assert_eq!(guardctl(&folder).args(["set", wrong]).output().unwrap().status.code(), Some(2), "{wrong}");
    }
    std::fs::remove_dir_all(folder.path().join("clusters/home.local")).unwrap();
    said(guardctl(&folder).args(["set", &reference]));
    let base = std::fs::read_to_string(folder.path().join("clusters/home/kustomization.yaml")).unwrap();
    assert!(base.contains("- name: guard\n") && base.contains(&digest), "what Flux reads, where there is no overlay: {base}");
}
