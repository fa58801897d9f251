//! Splits an image reference into its parts: `[registry/]name[:tag][@digest]`.

/// An image reference in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// The registry and name.
    pub repository: &'a str,
    /// The part after the colon.
    pub tag: Option<&'a str>,
    /// The part after the `@`.
    pub digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// Splits a reference. A colon before the last slash belongs to the port of the registry.
    pub fn parse(reference: &'a str) -> Self {
        let (rest, digest) = reference.split_once('@').map_or((reference, None), |(rest, digest)| (rest, Some(digest)));
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (rest, None),
        };
        Self { repository, tag, digest }
    }

    /// Whether the image was built locally and imported into the node. No registry has it, so nobody can change what its tag refers to.
    pub fn is_local(&self) -> bool {
        self.repository.starts_with("localhost/")
    }

    /// Whether the digest is a valid SHA-256 digest.
    pub fn is_pinned(&self) -> bool {
        self.hex().is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// Whether the digest consists of zeros, which means that the image is not published yet.
    pub fn is_unpublished(&self) -> bool {
        self.hex().is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b == b'0'))
    }

    fn hex(&self) -> Option<&'a str> {
        self.digest.and_then(|digest| digest.strip_prefix("sha256:"))
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn a_reference_is_split_at_tag_and_digest() {
        for (reference, parts) in [
            ("valkey", ("valkey", None, None)),
            ("docker.io/valkey/valkey:9@sha256:ab", ("docker.io/valkey/valkey", Some("9"), Some("sha256:ab"))),
            ("localhost:5000/guard", ("localhost:5000/guard", None, None)),
            ("localhost:5000/guard:dev", ("localhost:5000/guard", Some("dev"), None)),
        ] {
            let image = Image::parse(reference);
            assert_eq!((image.repository, image.tag, image.digest), parts, "{reference}");
        }
    }
}
