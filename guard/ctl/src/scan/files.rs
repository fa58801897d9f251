//! Lists the files that Git tracks or would track, or the files in its index. Git itself lists them, so that `.gitignore` applies.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// The path below the directory, and the content.
pub(super) type File = (String, Vec<u8>);

/// Reads the tracked files, and the files that are neither tracked nor ignored, from the disk.
pub(super) fn tracked(directory: &Path) -> anyhow::Result<Vec<File>> {
    let mut paths = names(&git(directory, &["ls-files", "-co", "--exclude-standard", "-z"])?);
    paths.sort();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        let place = directory.join(&path);
        // Skips a deleted file that is not staged yet, a link, and a submodule.
        if !std::fs::symlink_metadata(&place).is_ok_and(|it| it.is_file()) {
            continue;
        }
        files.push((path.clone(), std::fs::read(&place).with_context(|| format!("{path}: cannot be read"))?));
    }
    Ok(files)
}

/// Reads the files that the next commit adds or changes, from the index.
pub(super) fn staged(directory: &Path) -> anyhow::Result<Vec<File>> {
    let names = names(&git(directory, &["diff", "--cached", "--name-only", "--diff-filter=ACMRT", "--relative", "-z"])?);
    names.into_iter().map(|path| Ok((path.clone(), git(directory, &["cat-file", "blob", &format!(":./{path}")])?))).collect()
}

fn names(output: &[u8]) -> Vec<String> {
    output
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

fn git(directory: &Path, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output =
        Command::new("git").arg("-C").arg(directory).args(args).output().context("cannot run git: install it and check PATH")?;
    if !output.status.success() {
        bail!("git {} failed: {}", args[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
