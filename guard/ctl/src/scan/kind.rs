//! The kinds of private identifiers and secrets, with the names for the report and the allow file.

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal),+ $(,)?) => {
        /// A kind of private identifier or secret.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $doc])+ $name),+ }

        impl Kind {
            /// All kinds.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$name),+];

            /// Returns the name of the kind, as in the report and in the allow file.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

kinds! {
    /// A private key in PEM format.
    PrivateKey = "private-key",
    /// A signed token, `header.claims.signature`.
    Jwt = "jwt",
    /// The credential of a Cloudflare tunnel, in the form for `--token`.
    TunnelToken = "tunnel-token",
    /// The credential of a Cloudflare tunnel, in the form of a credentials file.
    TunnelCredentials = "tunnel-credentials",
    /// The secret of a Cloudflare Access service token.
    AccessClientSecret = "access-client-secret",
    /// The AUD tag of an Access application.
    AccessAud = "access-aud",
    /// A token for the Cloudflare API.
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
    /// The home directory of a person.
    HomePath = "home-path",
    /// A public hostname that is not in the list of public domains.
    Hostname = "hostname",
    /// A private key of age, which decrypts what sops has encrypted.
    AgeKey = "age-key",
    /// A file that is named as one that sops has encrypted, and is not.
    Unencrypted = "unencrypted",
}

impl Kind {
    /// Returns the kind with this label.
    pub fn find(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}
