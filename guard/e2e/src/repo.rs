//! This work tree as the Git repository that the cluster follows: what `git` would commit of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::run;

/// The repository: edit its tree, then [`Repo::commit`].
pub(crate) struct Repo {
    /// The work tree.
    pub(crate) tree: PathBuf,
}

impl Repo {
    /// Copies everything that is tracked or would be.
    pub(crate) fn copy(source: &Path, tree: &Path) -> Result<Self> {
        let listed = run(Command::new("git").current_dir(source).args(["ls-files", "-co", "--exclude-standard", "-z"]))?;
        for file in listed.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (source.join(file), tree.join(file));
            // Deleted in the work tree, but still in the index.
            if from.is_file() {
                fs::create_dir_all(to.parent().context("a file has a folder")?)?;
                fs::copy(from, to)?;
            }
        }
        run(git(tree).args(["init", "-q", "-b", "main"]))?;
        Ok(Self { tree: tree.to_owned() })
    }

    /// Commits the work tree as it is, also where nothing changed: the commit's id.
    pub(crate) fn commit(&self, subject: &str) -> Result<String> {
        run(git(&self.tree).args(["add", "-A"]))?;
        run(git(&self.tree).args(["commit", "-q", "--allow-empty", "-m", subject]))?;
        Ok(run(git(&self.tree).args(["rev-parse", "HEAD"]))?.trim().to_owned())
    }

    /// Commits the reverse of the last commit.
    pub(crate) fn revert(&self) -> Result<String> {
        run(git(&self.tree).args(["revert", "-n", "HEAD"]))?;
        self.commit("Revert")
    }

    /// Replaces text in one file. It is an error if it is not there.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.tree.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
        ensure!(text.contains(from), "{file} does not contain {from:?}");
        Ok(fs::write(path, text.replace(from, to))?)
    }
}

/// `git` without the settings of whoever runs the tests.
pub(crate) fn git(tree: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(tree).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.args(["-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "safe.directory=*"]);
    command
}
