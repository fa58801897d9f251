//! The variables of the front door and the allow list, which `guard origin` and `guard idtoken` share.

pub mod forward_auth;
pub mod signed;
pub mod table;

use std::net::IpAddr;

use clap::Args;
use hyper::header::HeaderName;

use crate::allow_list::AllowList;
use crate::config::address::External;
use crate::config::problems::{Reader, given};
use crate::config::read;
pub use forward_auth::{ForwardAuthArgs, ForwardAuthConfig};
pub use signed::{AssertionArgs, KeysAt, SharedSecret, SignedConfig, Signer};
use table::Parts;
pub use table::{DEFAULT as DEFAULT_FRONT_DOOR, FRONT_DOORS, FrontDoorKind};

/// The flags and variables of the front door and the allow list, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct FrontDoorArgs {
    /// The name of the front door; its help text comes from the table of front doors.
    #[arg(long, env = "GUARD_FRONT_DOOR", value_name = "NAME", hide_env_values = true, help = table::help())]
    pub front_door: Option<String>,
    /// Team name, team domain or its URL (required for cloudflare-access)
    #[arg(long, env = "GUARD_ACCESS_TEAM", value_name = "TEAM", hide_env_values = true)]
    pub access_team: Option<String>,
    /// AUD tags of the Access applications, comma-separated (required for cloudflare-access)
    #[arg(long, env = "GUARD_ACCESS_AUD", value_name = "TAGS", hide_env_values = true)]
    pub access_aud: Option<String>,
    /// The URL of the key set, if not the front door's default: https, or http to a loopback address
    #[arg(long, env = "GUARD_JWKS_URL", value_name = "URL", hide_env_values = true)]
    pub jwks_url: Option<String>,
    /// The variables of signed headers.
    #[command(flatten)]
    pub assertion: AssertionArgs,
    /// The IP addresses whose unsigned header is trusted, comma-separated, no ranges (required for unsigned-header)
    #[arg(long, env = "GUARD_TRUSTED_PEERS", value_name = "ADDRESSES", hide_env_values = true)]
    pub trusted_peers: Option<String>,
    /// Email addresses or @domains that are allowed, comma-separated [default: everyone authenticated]
    #[arg(long, env = "GUARD_ALLOW_EMAIL", value_name = "LIST", hide_env_values = true)]
    pub allow_email: Option<String>,
    /// Service tokens (common names) and accounts without an email address (names) that are allowed, comma-separated [default: all
    /// authenticated]
    #[arg(long, env = "GUARD_ALLOW_SERVICE", value_name = "LIST", hide_env_values = true)]
    pub allow_service: Option<String>,
}

/// The configured front door.
#[derive(Clone, Debug)]
pub enum FrontDoorConfig {
    /// A front door that signs a header.
    Signed(SignedConfig),
    /// An auth server that decides on each request.
    ForwardAuth(ForwardAuthConfig),
    /// An unsigned header that is trusted from exact addresses.
    UnsignedHeader {
        /// The header that names the sender.
        header: HeaderName,
        /// The addresses that may send it.
        peers: Vec<IpAddr>,
    },
}

/// The arguments of an auth server.
#[derive(Clone, Copy)]
pub(crate) struct AuthServerArgs<'a> {
    /// The variables of the auth server.
    pub(crate) server: &'a ForwardAuthArgs,
    /// The public address, which the auth request contains.
    pub(crate) external: Option<&'a External>,
}

impl FrontDoorConfig {
    /// Describes the front door for the log and the status page.
    pub fn description(&self) -> String {
        match self {
            Self::Signed(signed) => signed.description(),
            Self::ForwardAuth(auth) => auth.server.to_string(),
            Self::UnsignedHeader { header, peers } => {
                let peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
                format!("{header}, unsigned, from {}", peers.join(" or "))
            }
        }
    }
}

impl FrontDoorConfig {
    /// The path at which a person signs out at this front door, to use another account; none where it is not known.
    pub fn sign_out(&self) -> Option<&'static str> {
        const AUTHENTIK: &str = "/outpost.goauthentik.io/sign_out";
        match self {
            Self::Signed(signed) => match signed.signer {
                Signer::CloudflareAccess => Some("/cdn-cgi/access/logout"),
                Signer::AuthentikProxy => Some(AUTHENTIK),
                _ => None,
            },
            // The servers whose own path is known. Another path could mean anything.
            Self::ForwardAuth(auth) => [AUTHENTIK, "/oauth2/sign_out"]
                .into_iter()
                .find(|sign_out| auth.own_path.as_deref().is_some_and(|path| sign_out.strip_prefix(path) == Some("sign_out"))),
            Self::UnsignedHeader { .. } => None,
        }
    }
}

impl FrontDoorArgs {
    /// Reads the allow list.
    pub(crate) fn check_allow_list(&self, r: &mut Reader) -> AllowList {
        AllowList {
            emails: r.value("GUARD_ALLOW_EMAIL", given(self.allow_email.as_deref()), Vec::new(), read::emails),
            services: r.value("GUARD_ALLOW_SERVICE", given(self.allow_service.as_deref()), Vec::new(), read::accounts),
        }
    }

    /// Reads the configured front door. `auth_server` holds the arguments of an auth server; none for outbound requests, where nobody can
    /// sign in.
    pub(crate) fn check(&self, r: &mut Reader, auth_server: Option<AuthServerArgs<'_>>) -> Option<FrontDoorConfig> {
        let jwks = r.value("GUARD_JWKS_URL", given(self.jwks_url.as_deref()), None, |text| read::key_url(text).map(Some));
        let name = given(self.front_door.as_deref()).unwrap_or(table::DEFAULT);
        if let Some(kind) = FRONT_DOORS.iter().find(|kind| kind.name == name) {
            let mut config = (kind.check)(self, r, Parts { jwks, auth_server });
            if let Some(FrontDoorConfig::Signed(signed)) = &mut config {
                let issuers = given(self.assertion.assertion_unverified_email.as_deref());
                signed.unverified_email = r.value("GUARD_ASSERTION_UNVERIFIED_EMAIL", issuers, Vec::new(), read::names);
            }
            config
        } else {
            r.problem("GUARD_FRONT_DOOR", Some(name), table::names());
            None
        }
    }

    fn unsigned_header(&self, r: &mut Reader) -> Option<FrontDoorConfig> {
        let header = r.required(
            "GUARD_ASSERTION_HEADER",
            given(self.assertion.assertion_header.as_deref()),
            "the header that names the sender, such as Tailscale-User-Login or X-MS-CLIENT-PRINCIPAL-NAME",
            read::header,
        );
        let peers = r.required(
            "GUARD_TRUSTED_PEERS",
            given(self.trusted_peers.as_deref()),
            "the exact addresses that may send it, such as 127.0.0.1: the header is unsigned, so only the address can be checked",
            read::addresses,
        );
        Some(FrontDoorConfig::UnsignedHeader { header: header?, peers: peers? })
    }
}
