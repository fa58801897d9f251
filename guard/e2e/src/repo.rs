//! A copy of this work tree as the Git repository from which Flux fetches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::run;

/// A Git repository. Edit the files in `tree`, then call [`Repo::commit`].
pub(crate) struct Repo {
    /// The work tree.
    pub(crate) tree: PathBuf,
}

impl Repo {
    /// Copies all files that Git tracks or would track from `source` to a new repository in `tree`.
    pub(crate) fn copy(source: &Path, tree: &Path) -> Result<Self> {
        let listed = run(Command::new("git").current_dir(source).args(["ls-files", "-co", "--exclude-standard", "-z"]))?;
        for file in listed.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (source.join(file), tree.join(file));
            // A file may be deleted in the work tree, but still be in the index.
            if from.is_file() {
                fs::create_dir_all(to.parent().context("a file has a folder")?)?;
                fs::copy(from, to)?;
            }
        }
        run(git(tree).args(["init", "-q", "-b", "main"]))?;
        Ok(Self { tree: tree.to_owned() })
    }

    /// Commits the work tree, even without a change. Returns the id of the commit.
    pub(crate) fn commit(&self, subject: &str) -> Result<String> {
        run(git(&self.tree).args(["add", "-A"]))?;
        run(git(&self.tree).args(["commit", "-q", "--allow-empty", "-m", subject]))?;
        Ok(run(git(&self.tree).args(["rev-parse", "HEAD"]))?.trim().to_owned())
    }

    /// Reverts the last commit. Returns the id of the new commit.
    pub(crate) fn revert(&self) -> Result<String> {
        run(git(&self.tree).args(["revert", "-n", "HEAD"]))?;
        self.commit("Revert")
    }

    /// Replaces a text in a file. Fails if the file does not contain the text.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.tree.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
        ensure!(text.contains(from), "{file} does not contain {from:?}");
        Ok(fs::write(path, text.replace(from, to))?)
    }
}

/// Returns a command for `git` that ignores the settings of the user.
pub(crate) fn git(tree: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(tree).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.args(["-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "-c", "safe.directory=*"]);
    command
}
