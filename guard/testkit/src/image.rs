//! Container images without a builder or a registry: a root file system made from programs of this machine, packed as `docker save` does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

/// An image: what a container runtime takes from it.
pub struct Image {
    /// Its root file system.
    pub root: PathBuf,
    /// Before a manifest's `args`, unless it has a `command`.
    pub entrypoint: Vec<String>,
    /// `PATH`.
    pub path: String,
    /// Other variables, as `NAME=value`.
    pub env: Vec<String>,
    /// `USER`; empty for root.
    pub user: String,
}

impl Image {
    /// An empty image, with its root file system in this directory.
    pub fn new(root: PathBuf, entrypoint: &[&str]) -> Self {
        fs::create_dir_all(&root).expect("a directory for the root file system");
        let entrypoint = entrypoint.iter().map(|&word| word.to_owned()).collect();
        Self { root, entrypoint, path: "/usr/local/bin:/usr/bin:/bin".to_owned(), env: Vec::new(), user: String::new() }
    }

    /// Adds a program of this machine, and the libraries that it is linked with.
    pub fn add_program(&self, program: &Path, place: &str) {
        self.copy(program, place);
        self.add_libraries(program);
    }

    /// Adds the libraries of a program, where that program looks for them; a static one has none.
    pub fn add_libraries(&self, program: &Path) {
        let listed = Command::new("ldd").arg(program).output().expect("ldd runs");
        let listed = String::from_utf8(listed.stdout).expect("ldd prints text");
        for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(library), library);
        }
    }

    /// Adds a directory of this machine, with everything in it.
    pub fn add_directory(&self, from: &Path, place: &str) {
        let to = self.place(place);
        fs::create_dir_all(to.parent().expect("a place below the root")).expect("a directory");
        let copied = Command::new("cp").args(["--archive", "--no-target-directory"]).arg(from).arg(&to).status();
        assert!(copied.expect("cp runs").success(), "{} was not copied", from.display());
    }

    /// Adds an executable text.
    pub fn add_script(&self, place: &str, text: &str) {
        self.add_file(place, text);
        fs::set_permissions(self.place(place), fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// Adds a file.
    pub fn add_file(&self, place: &str, text: &str) {
        let to = self.place(place);
        fs::create_dir_all(to.parent().expect("a place below the root")).expect("a directory");
        fs::write(to, text).expect("a file");
    }

    /// Adds a symbolic link.
    pub fn add_link(&self, place: &str, target: &str) {
        let at = self.place(place);
        fs::create_dir_all(at.parent().expect("a place below the root")).expect("a directory");
        std::os::unix::fs::symlink(target, at).expect("a link");
    }

    /// Packs the image as `docker save` does: one layer, a configuration, and a list that names both. `ctr images import` reads it.
    pub fn save(&self, archive: &Path, reference: &str) {
        let work = archive.with_extension("work");
        fs::create_dir(&work).expect("a new directory");
        let tar = |archive: &Path, from: &Path, what: &[&str]| {
            let mut command = Command::new("tar");
            command.args(["--create", "--owner=0", "--group=0", "--file"]).arg(archive).arg("--directory").arg(from).args(what);
            assert!(command.status().expect("tar runs").success());
        };
        tar(&work.join("layer.tar"), &self.root, &["."]);
        let sum = Command::new("sha256sum").arg(work.join("layer.tar")).output().expect("sha256sum runs");
        let digest = String::from_utf8(sum.stdout).expect("a digest")[..64].to_owned();
        let env: Vec<_> = [format!("PATH={}", self.path)].into_iter().chain(self.env.iter().cloned()).collect();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": self.user, "Env": env},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        fs::write(work.join("config.json"), config.to_string()).expect("a file");
        let manifest = json!([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]);
        fs::write(work.join("manifest.json"), manifest.to_string()).expect("a file");
        // Whoever waits for the archive never sees half of it.
        let part = archive.with_extension("part");
        tar(&part, &work, &["config.json", "layer.tar", "manifest.json"]);
        fs::rename(part, archive).expect("a rename");
        fs::remove_dir_all(work).expect("the working directory");
    }

    fn place(&self, place: &str) -> PathBuf {
        self.root.join(place.trim_start_matches('/'))
    }

    fn copy(&self, from: &Path, place: &str) {
        let to = self.place(place);
        fs::create_dir_all(to.parent().expect("a place below the root")).expect("a directory");
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("permissions");
    }
}
