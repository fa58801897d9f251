//! Reads the name and the digest of the one image in an OCI archive: a tar file with an `index.json` (OCI image layout, version 1.0.0).

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// A block of a tar file, in bytes (POSIX `ustar`).
const BLOCK: usize = 512;
/// An `index.json` is not longer, in bytes.
const MAX_INDEX: u64 = 1 << 20;
/// An archive of one image does not have more members.
const MAX_MEMBERS: usize = 10_000;

/// The image in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Archive {
    /// The name without a tag: `localhost/guard`.
    pub(super) name: String,
    /// The tag.
    pub(super) tag: String,
    /// The digest of its manifest: `sha256:…`.
    pub(super) digest: String,
}

impl Archive {
    /// Reads an archive.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let file = File::open(path).with_context(|| format!("{place}: cannot be read"))?;
        let index = member(BufReader::new(file), "index.json")
            .with_context(|| format!("{place}: cannot be read as a tar file"))?
            .with_context(|| format!("{place}: found no index.json, wanted an OCI archive: make image IMAGE_ARCHIVE={place}"))?;
        let index: Value = serde_json::from_slice(&index).with_context(|| format!("{place}: index.json is no JSON"))?;
        Self::of(&index).with_context(|| place.to_string())
    }

    fn of(index: &Value) -> Result<Self> {
        let manifests = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [manifest] = manifests else { bail!("found {} images in index.json, wanted one", manifests.len()) };
        let digest = manifest["digest"].as_str().unwrap_or_default();
        let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
        ensure!(digest.strip_prefix("sha256:").is_some_and(is_hex), "found the digest {digest:?}, wanted sha256: and 64 digits");
        // buildah and podman write the whole name into the first one, docker only the tag; docker's whole name is in the second one.
        let annotation = |name: &str| manifest["annotations"][name].as_str().filter(|text| text.contains('/'));
        let full = annotation("org.opencontainers.image.ref.name").or_else(|| annotation("io.containerd.image.name"));
        let full =
            full.context("found an image without a name, wanted one with a tag: make image writes localhost/guard:VERSION")?;
        // They become words of a command on the node.
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':');
        match full.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && full.bytes().all(is_word) && !full.starts_with('-') => {
                Ok(Self { name: name.to_owned(), tag: tag.to_owned(), digest: digest.to_owned() })
            }
            _ => bail!("found the name {full:?}, wanted name:tag"),
        }
    }

    /// The name that it has after an import.
    pub(super) fn tagged(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// The name by which a pinned pod asks for it: the kubelet leaves the tag out where there is a digest.
    pub(super) fn pinned(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }
}

/// The content of this member of a tar file.
fn member(mut tar: BufReader<File>, wanted: &str) -> Result<Option<Vec<u8>>> {
    for _ in 0..MAX_MEMBERS {
        let mut header = [0; BLOCK];
        tar.read_exact(&mut header).context("found its end inside a header")?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        ensure!(&header[257..262] == b"ustar", "found no header of a tar file");
        let text = |from: usize, to: usize| {
            let bytes = header[from..to].split(|byte| *byte == 0).next().unwrap_or_default();
            str::from_utf8(bytes).map(str::trim)
        };
        let size = u64::from_str_radix(text(124, 136)?, 8).context("found a size that is no octal number")?;
        let name = text(0, 100)?;
        if name.trim_start_matches("./") == wanted {
            ensure!(size <= MAX_INDEX, "found {size} bytes in {wanted}, wanted {MAX_INDEX} at most");
            let mut content = Vec::new();
            tar.take(size).read_to_end(&mut content)?;
            return Ok(Some(content));
        }
        tar.seek(SeekFrom::Current(i64::try_from(size.next_multiple_of(BLOCK as u64))?))?;
    }
    bail!("found more than {MAX_MEMBERS} members")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn index(annotations: &Value) -> Value {
        json!({"manifests": [{"digest": format!("sha256:{}", "ab".repeat(32)), "annotations": annotations}]})
    }

    #[test]
    fn the_name_is_where_buildah_and_where_docker_write_it() {
        for annotations in [
            json!({"org.opencontainers.image.ref.name": "localhost/guard:0.1.0"}),
            json!({"org.opencontainers.image.ref.name": "0.1.0", "io.containerd.image.name": "localhost/guard:0.1.0"}),
        ] {
            let archive = Archive::of(&index(&annotations)).unwrap();
            assert_eq!((archive.name.as_str(), archive.tag.as_str()), ("localhost/guard", "0.1.0"));
            assert_eq!(archive.pinned(), format!("localhost/guard@sha256:{}", "ab".repeat(32)));
        }
    }

    #[test]
    fn a_name_that_is_no_word_of_a_command_is_refused() {
        for name in ["localhost/guard:0.1.0;reboot", "-x/guard:1", "localhost/guard", "localhost:5000/guard", "a b/guard:1"] {
            let found = Archive::of(&index(&json!({"org.opencontainers.image.ref.name": name})));
            assert!(found.is_err(), "{name}: {found:?}");
        }
        assert!(Archive::of(&json!({"manifests": []})).is_err());
        let digest =
            json!({"manifests": [{"digest": "sha256:12", "annotations": {"org.opencontainers.image.ref.name": "a/b:1"}}]});
        assert!(Archive::of(&digest).is_err());
    }
}
