//! Who vouches, and who of the verified may enter: the variables that the way in and the way out share.

use clap::Args;
use hyper::Uri;

use super::{Reader, given, read};

/// What flags and variables said about the front door.
#[derive(Args, Clone, Debug, Default)]
pub struct DoorArgs {
    /// Who vouches for a request [default: cloudflare-access; idtoken: nobody is asked]
    #[arg(long, env = "GUARD_FRONT_DOOR", value_name = "NAME", hide_env_values = true)]
    pub front_door: Option<String>,
    /// Team name, team domain or its URL (required for cloudflare-access)
    #[arg(long, env = "GUARD_ACCESS_TEAM", value_name = "TEAM", hide_env_values = true)]
    pub access_team: Option<String>,
    /// AUD tags of the Access applications, comma-separated (required for cloudflare-access)
    #[arg(long, env = "GUARD_ACCESS_AUD", value_name = "TAGS", hide_env_values = true)]
    pub access_aud: Option<String>,
    /// Another key set than the front door's own: https, or http to a loopback address
    #[arg(long, env = "GUARD_JWKS_URL", value_name = "URL", hide_env_values = true)]
    pub jwks_url: Option<String>,
    /// Addresses or @domains that may enter, comma-separated [default: anyone verified]
    #[arg(long, env = "GUARD_ALLOW_EMAIL", value_name = "LIST", hide_env_values = true)]
    pub allow_email: Option<String>,
    /// Service tokens (common names) that may enter, comma-separated [default: any verified]
    #[arg(long, env = "GUARD_ALLOW_SERVICE", value_name = "LIST", hide_env_values = true)]
    pub allow_service: Option<String>,
}

/// Who vouches for a request.
#[derive(Clone, Debug)]
pub enum DoorConfig {
    /// Cloudflare Access.
    CloudflareAccess {
        /// `iss`: the team's domain as a URL.
        issuer: String,
        /// `aud`: the AUD tags, one of which must be there.
        audiences: Vec<String>,
        /// Where the key set is.
        jwks: Uri,
    },
}

/// Who of the verified may enter. Empty lists let everyone of their kind in.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    /// Addresses or `@domain`, in lower case.
    pub emails: Vec<String>,
    /// Common names of service tokens.
    pub services: Vec<String>,
}

impl DoorConfig {
    /// Who vouches, by the name that it signs with.
    pub fn issuer(&self) -> &str {
        let Self::CloudflareAccess { issuer, .. } = self;
        issuer
    }
}

impl DoorArgs {
    /// Who may enter.
    pub(crate) fn check_allow_list(&self, r: &mut Reader) -> AllowList {
        AllowList {
            emails: r.value("GUARD_ALLOW_EMAIL", given(self.allow_email.as_deref()), Vec::new(), read::emails),
            services: r.value("GUARD_ALLOW_SERVICE", given(self.allow_service.as_deref()), Vec::new(), read::names),
        }
    }

    /// Who vouches.
    pub(crate) fn check(&self, r: &mut Reader) -> Option<DoorConfig> {
        match given(self.front_door.as_deref()).unwrap_or("cloudflare-access") {
            "cloudflare-access" => {
                let team = r.required(
                    "GUARD_ACCESS_TEAM",
                    given(self.access_team.as_deref()),
                    "the Access team name, such as family or family.cloudflareaccess.com",
                    read::team,
                );
                let audiences = r.required(
                    "GUARD_ACCESS_AUD",
                    given(self.access_aud.as_deref()),
                    "the AUD tag of the Access application (Zero Trust > Access controls > Applications > Overview)",
                    read::names,
                );
                let jwks = r.value("GUARD_JWKS_URL", given(self.jwks_url.as_deref()), None, |text| read::key_url(text).map(Some));
                let (domain, audiences) = (team?, audiences?);
                let issuer = format!("https://{domain}");
                let jwks = jwks.or_else(|| format!("{issuer}/cdn-cgi/access/certs").parse().ok())?;
                Some(DoorConfig::CloudflareAccess { issuer, audiences, jwks })
            }
            other => {
                r.problem("GUARD_FRONT_DOOR", Some(other), "cloudflare-access");
                None
            }
        }
    }
}
