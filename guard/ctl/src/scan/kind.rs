//! The kinds of private identifiers and secrets, with the names that the report and the allow file use.

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
