//! What one line gives away: kinds, and the words that have their shape.

use super::{hosts, tokens};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal),+ $(,)?) => {
        /// What a finding is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])+ $name),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$name),+];

            /// As printed, and as the allow file names it.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

kinds! {
    /// A PEM block of a private key.
    PrivateKey = "private-key",
    /// A signed token, `header.claims.signature`.
    Jwt = "jwt",
    /// The whole credential of a Cloudflare tunnel, as `--token` takes it.
    TunnelToken = "tunnel-token",
    /// The same, as a credentials file.
    TunnelCredentials = "tunnel-credentials",
    /// The secret of a Cloudflare Access service token.
    AccessClientSecret = "access-client-secret",
    /// The tag of an Access application.
    AccessAud = "access-aud",
    /// A token for Cloudflare's API.
    CloudflareApiToken = "cloudflare-api-token",
    /// A key of a Google service account.
    GoogleKey = "google-key",
    /// An AWS access key id.
    AwsKey = "aws-key",
    /// A GitHub token.
    GithubToken = "github-token",
    /// An e-mail address.
    Email = "email",
    /// An address of a home network: RFC 1918, RFC 4193.
    PrivateAddress = "private-address",
    /// Somebody's home directory.
    HomePath = "home-path",
    /// A public name that is not known to be everyone's.
    Hostname = "hostname",
}

impl Kind {
    /// The kind of a label.
    pub fn find(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

/// Everything private on a line. `is_yaml`: a bare value may be a hostname.
pub fn line(line: &str, is_yaml: bool) -> Vec<(Kind, String)> {
    let words = words(line);
    let mut hits = tokens::find(line, &words);
    hits.extend(hosts::find(line, &words, is_yaml));
    hits.sort_by_key(|(kind, _)| *kind);
    hits.dedup();
    hits
}

/// Runs of the characters that identifiers and tokens are made of; shorter ones than any of those are left out.
fn words(line: &str) -> Vec<&str> {
    const SHORTEST: usize = 4;
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+/=:@".contains(byte);
    let runs = line.as_bytes().split(|byte| !is_part(byte)).filter(|run| run.len() >= SHORTEST);
    runs.filter_map(|run| std::str::from_utf8(run).ok()).collect()
}
