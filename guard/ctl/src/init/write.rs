//! The overlay on the disk: read, and written so that an abort leaves no torn file. A new overlay appears whole; in one that is there, each file is
//! replaced whole.

use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::files::Files;
use super::interrupt;

/// The paths in the files say where the photos are: only the owner needs to read them.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The YAML files below a folder; none if there is no folder.
pub(crate) fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    if folder.is_dir() {
        read_below(folder, "", &mut files)?;
    }
    Ok(files)
}

fn read_below(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{}: cannot be read", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            read_below(&path, &format!("{prefix}{name}/"), files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}

/// Writes the files that differ from `before`.
pub(crate) fn write(folder: &Path, before: &Files, after: &Files) -> Result<()> {
    let fresh = beside(folder);
    if fresh.is_dir() {
        // What an aborted run left: it was never an overlay.
        fs::remove_dir_all(&fresh).with_context(|| format!("{}: cannot be removed", fresh.display()))?;
    }
    if !folder.exists() {
        for (path, text) in after {
            put(&fresh.join(path), text)?;
        }
        return rename(&fresh, folder);
    }
    // Without its kustomization, a folder is no overlay: that one comes last.
    let mut changed: Vec<_> = after.iter().filter(|(path, text)| before.get(*path) != Some(text)).collect();
    changed.sort_by_key(|(path, _)| path.as_str() == "kustomization.yaml");
    for (path, text) in changed {
        let path = folder.join(path);
        let now = fs::read_to_string(&path).ok();
        let known = before.get(path.strip_prefix(folder).unwrap_or(&path).to_str().unwrap_or_default());
        ensure!(now.as_ref() == known, "{}: somebody has changed it in the meantime", path.display());
        replace(&path, text)?;
    }
    Ok(())
}

/// Writes one file whole, whatever is there.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let fresh = beside(path);
    // What an aborted run left.
    let _ = fs::remove_file(&fresh);
    put(&fresh, text)?;
    rename(&fresh, path)
}

/// Writes the files to a folder beside the overlay, for whoever renders them there, and removes it.
pub(crate) fn staged<T>(folder: &Path, files: &Files, look: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let fresh = beside(folder);
    if fresh.is_dir() {
        fs::remove_dir_all(&fresh).with_context(|| format!("{}: cannot be removed", fresh.display()))?;
    }
    interrupt::postponed(|| {
        let found = files.iter().try_for_each(|(path, text)| put(&fresh.join(path), text)).and_then(|()| look(&fresh));
        let _ = fs::remove_dir_all(&fresh);
        found
    })?
}

/// A name for what is not complete yet. Git ignores it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn put(path: &Path, text: &str) -> Result<()> {
    let place = || format!("{}: cannot be written", path.display());
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).with_context(place)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(FILE_MODE).open(path).with_context(place)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(place)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("{}: cannot be written", to.display()))?;
    // The name is on the disk, too. A relative path of one part lies in the current folder.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all().with_context(|| folder.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails at that line")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder that is removed at the end.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("guardctl-init-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn files(pairs: &[(&str, &str)]) -> Files {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_new_overlay_is_for_its_owner_only_and_what_an_abort_left_goes() {
        let temporary = Temporary::new("new");
        let folder = temporary.0.join("home.local");
        fs::create_dir(temporary.0.join("home.local.new")).unwrap();
        fs::write(temporary.0.join("home.local.new/torn.yaml"), "half").unwrap();
        let wanted = files(&[("kustomization.yaml", "a\n"), ("flux/x.yaml", "b\n")]);
        write(&folder, &Files::new(), &wanted).unwrap();
        assert_eq!(read(&folder).unwrap(), wanted);
        assert!(!temporary.0.join("home.local.new").exists());
        for (path, mode) in [("", FOLDER_MODE), ("flux", FOLDER_MODE), ("flux/x.yaml", FILE_MODE)] {
            assert_eq!(fs::metadata(folder.join(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
        }
    }

    #[test]
    fn only_what_differs_is_written_and_other_files_stay() {
        let temporary = Temporary::new("again");
        let folder = temporary.0.join("home.local");
        let before = files(&[("kustomization.yaml", "a\n"), ("flux/x.yaml", "b\n")]);
        write(&folder, &Files::new(), &before).unwrap();
        fs::write(folder.join("token"), "not yaml").unwrap();
        fs::write(folder.join("flux/x.yaml.new"), "torn").unwrap();
        let time = fs::metadata(folder.join("kustomization.yaml")).unwrap().modified().unwrap();
        let after = files(&[("kustomization.yaml", "a\n"), ("flux/x.yaml", "c\n"), ("new.yaml", "d\n")]);
        write(&folder, &before, &after).unwrap();
        assert_eq!(read(&folder).unwrap(), after);
        assert_eq!(fs::metadata(folder.join("kustomization.yaml")).unwrap().modified().unwrap(), time);
        assert_eq!(fs::read_to_string(folder.join("token")).unwrap(), "not yaml");
        assert!(!folder.join("flux/x.yaml.new").exists());
    }

    #[test]
    fn a_file_that_changed_in_the_meantime_is_not_overwritten() {
        let temporary = Temporary::new("race");
        let folder = temporary.0.join("home.local");
        let before = files(&[("kustomization.yaml", "a\n")]);
        write(&folder, &Files::new(), &before).unwrap();
        fs::write(folder.join("kustomization.yaml"), "mine\n").unwrap();
        let error = write(&folder, &before, &files(&[("kustomization.yaml", "b\n")])).unwrap_err();
        assert!(error.to_string().contains("somebody has changed it"), "{error}");
        assert_eq!(fs::read_to_string(folder.join("kustomization.yaml")).unwrap(), "mine\n");
    }
}
