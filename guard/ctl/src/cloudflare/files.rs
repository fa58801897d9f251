//! The files of the operator: the secrets of the phones, the token of the tunnel, and the values for the cluster. Each has mode 0600.
//!
//! A phone's file begins as `phone-NAME.new`, before Cloudflare is asked for the secret, and gets its name when the secret is on the disk. What
//! is left of an aborted run is therefore `.new`: then the secret was lost, and the next run asks for another. A file that is gone was taken by its
//! owner, and is no reason to make a new secret.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The first line of the file with values; without it, the file is somebody else's.
const HEAD: &str = "# Written by guardctl cloudflare apply. A change here is lost at the next run.\n";

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Files(PathBuf);

impl Files {
    /// This folder, which need not exist yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The file with the two headers of a phone.
    pub(crate) fn phone(&self, name: &str) -> PathBuf {
        self.0.join(format!("phone-{name}"))
    }

    /// Whether a secret of this phone was asked for and never written.
    pub(crate) fn is_lost(&self, name: &str) -> bool {
        self.started(name).exists()
    }

    /// The file with the token of the tunnel.
    pub(crate) fn tunnel(&self) -> PathBuf {
        self.0.join("tunnel-token")
    }

    /// The file with the values of the Secret immich-edge.
    pub(crate) fn values(&self) -> PathBuf {
        self.0.join("edge.env")
    }

    /// Notes that a secret of this phone is about to be asked for.
    pub(crate) fn start(&self, name: &str) -> Result<()> {
        self.prepare()?;
        let path = self.started(name);
        if !path.exists() {
            create(&path)?;
        }
        Ok(())
    }

    /// Keeps the secret of a phone: written, on the disk, then named.
    pub(crate) fn finish(&self, name: &str, id: &str, secret: &str) -> Result<()> {
        let path = self.started(name);
        // A left-over of an aborted run is ours, and empty or torn.
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        write(&path, &format!("CF-Access-Client-Id: {id}\nCF-Access-Client-Secret: {secret}\n"))?;
        self.rename(&path, &self.phone(name))
    }

    /// Keeps the token of the tunnel.
    pub(crate) fn keep_tunnel_token(&self, token: &str) -> Result<()> {
        self.prepare()?;
        self.replace(&self.tunnel(), token)
    }

    /// Writes the values, and says whether the file was ours to write.
    pub(crate) fn write_values(&self, values: &[(&str, String)]) -> Result<bool> {
        self.prepare()?;
        let path = self.values();
        let text = values.iter().fold(HEAD.to_owned(), |text, (key, value)| format!("{text}{key}={value}\n"));
        match std::fs::read_to_string(&path) {
            Ok(found) if found == text => return Ok(true),
            Ok(found) if !found.starts_with(HEAD) => return Ok(false),
            _ => {}
        }
        self.replace(&path, &text)?;
        Ok(true)
    }

    fn started(&self, name: &str) -> PathBuf {
        self.0.join(format!("phone-{name}.new"))
    }

    fn prepare(&self) -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("{}: cannot be made", self.0.display()))
    }

    fn replace(&self, path: &Path, text: &str) -> Result<()> {
        let fresh = path.with_extension("new");
        // What an aborted run left.
        let _ = std::fs::remove_file(&fresh);
        write(&fresh, text)?;
        self.rename(&fresh, path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to).with_context(|| to.display().to_string())?;
        // The name is on the disk, too.
        File::open(&self.0)?.sync_all().with_context(|| self.0.display().to_string())
    }
}

/// A new file that only its owner can read; an error where one is.
fn create(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("{}: cannot be made", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = create(path)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("{}: cannot be written", path.display()))
}
