//! A tar archive (POSIX.1-2001, ustar) that is written whole or not at all, readable for its owner only.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

const BLOCK: usize = 512;
/// The longest name in a header without a prefix.
const NAME: usize = 100;

/// An archive of these files, by name.
pub(super) fn tar(files: &[(String, String)], time: u64) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (name, text) in files {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        if name.len() > NAME {
            bail!("{name}: the name is too long for an archive");
        }
        put(0, name);
        put(100, "0000600\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", text.len()));
        put(136, &format!("{time:011o}\0"));
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(text.as_bytes());
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

/// Writes a new file. It appears under its name only when it is whole; one that exists is not touched.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().with_context(|| format!("{}: not the name of a file", path.display()))?;
    let part = path.with_file_name(format!(".{}.{}.part", name.display(), std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Unlike a rename, a link does not replace what is there.
        std::fs::hard_link(&part, path)
    };
    let result = written();
    // Its name is that of this process, and not needed any more, whether it was linked or not.
    let _ = std::fs::remove_file(&part);
    result.with_context(|| format!("{}: cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let folder = std::env::temp_dir().join(format!("guardctl-archive-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("bundle.tar");
        let files = [
            ("a/one.txt".to_owned(), "one\n".to_owned()),
            ("a/two.txt".to_owned(), "x".repeat(1000)),
            ("empty".to_owned(), String::new()),
        ];
        write(&path, &tar(&files, 0).expect("short names")).expect("written");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let list = Command::new("tar").arg("-tf").arg(&path).output().expect("tar");
        assert_eq!(String::from_utf8_lossy(&list.stdout), "a/one.txt\na/two.txt\nempty\n");
        let two = Command::new("tar").arg("-xOf").arg(&path).arg("a/two.txt").output().expect("tar");
        assert_eq!(two.stdout, "x".repeat(1000).as_bytes());
        // A second one does not replace the first, and leaves nothing behind.
        assert!(write(&path, b"other").is_err());
        assert!(std::fs::read(&path).expect("there").len() > 1000);
        assert!(write(&folder.join("away/bundle.tar"), b"x").is_err());
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 1);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
