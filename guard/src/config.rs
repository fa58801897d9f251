//! Reads and checks the configuration. All problems are reported at once, by variable name, before a port is bound.
//!
//! There are two stages: [`OriginArgs`] holds the flags and variables as text, [`OriginConfig`] the checked values. A flag takes
//! precedence over its variable; an empty variable counts as absent. Secrets have no flags.

pub mod address;
pub mod door;
pub mod problems;
pub mod process;
pub mod read;
pub mod secret_keys;
pub mod units;
mod uploads;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use hyper::header::HeaderName;

use crate::allow_list::AllowList;
pub(crate) use address::everywhere;
pub use address::{Authority, External, ServerUrl};
use door::AuthServerArgs;
use door::Signer;
pub use door::{ForwardAuthArgs, ForwardAuthConfig, FrontDoorArgs, FrontDoorConfig};
pub use problems::{Problem, Problems};
pub(crate) use problems::{Reader, given};
pub use process::{LogConfig, ProcessArgs, ProcessConfig};
pub use uploads::{UploadsArgs, UploadsConfig};

/// The default of `GUARD_MAX_BODY`: the same as nginx's `100m`, and the larger meaning of "100 MB" in Cloudflare's limit.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;

/// The flags and variables of `guard origin`, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct OriginArgs {
    /// The address to listen on, to which cloudflared connects [default: 0.0.0.0:8080]
    #[arg(long, env = "GUARD_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub listen: Option<String>,
    /// The address of Immich, as <http://host:port> (required)
    #[arg(long, env = "GUARD_UPSTREAM", value_name = "URL", hide_env_values = true)]
    pub upstream: Option<String>,
    /// The front door that authenticates requests.
    #[command(flatten)]
    pub door: FrontDoorArgs,
    /// The auth server of `forward-auth`.
    #[command(flatten)]
    pub auth: ForwardAuthArgs,
    /// The largest request body, such as 100MiB or 500MB; 0 = no limit [default: 100MiB]
    #[arg(long, env = "GUARD_MAX_BODY", value_name = "SIZE", hide_env_values = true)]
    pub max_body: Option<String>,
    /// The public address, such as <https://photos.example.com>
    #[arg(long, env = "GUARD_EXTERNAL_URL", value_name = "URL", hide_env_values = true)]
    pub external_url: Option<String>,
    /// The header in which the connector before guard names the client's address [default: CF-Connecting-IP at cloudflare-access, else
    /// none]
    #[arg(long, env = "GUARD_CLIENT_ADDRESS_HEADER", value_name = "NAME", hide_env_values = true)]
    pub client_address_header: Option<String>,
    /// The address in the home network for uploads above the limit; the 413 page shows it
    #[arg(long, env = "GUARD_LAN_URL", value_name = "URL", hide_env_values = true)]
    pub lan_url: Option<String>,
    /// The time limit to connect to Immich; a response has no time limit [default: 10s]
    #[arg(long, env = "GUARD_UPSTREAM_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub upstream_timeout: Option<String>,
    /// The settings of large uploads.
    #[command(flatten)]
    pub uploads: UploadsArgs,
    /// The settings of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// The checked configuration of `guard origin`.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address of Immich.
    pub upstream: Authority,
    /// The front door that authenticates requests.
    pub front_door: FrontDoorConfig,
    /// The authenticated identities that are allowed.
    pub allow: AllowList,
    /// The largest request body in bytes; none for no limit.
    pub max_body: Option<u64>,
    /// The public address.
    pub external: Option<External>,
    /// The header in which the connector before guard names the client's address.
    pub client_header: Option<HeaderName>,
    /// The address in the home network for uploads above the limit.
    pub lan_url: Option<String>,
    /// The time limit to open a connection to Immich.
    pub connect_timeout: Duration,
    /// The settings of large uploads; none where they are off.
    pub uploads: Option<UploadsConfig>,
    /// The settings of the process.
    pub process: ProcessConfig,
}

impl OriginArgs {
    /// Checks all values. The error lists every problem.
    pub fn check(&self) -> Result<OriginConfig, Problems> {
        let mut r = Reader::default();
        let listen = r.value("GUARD_LISTEN", given(self.listen.as_deref()), everywhere(8080), read::listen);
        let upstream = r.required(
            "GUARD_UPSTREAM",
            given(self.upstream.as_deref()),
            "Immich's address, such as http://immich-server:2283",
            read::upstream,
        );
        let max_body = r.value("GUARD_MAX_BODY", given(self.max_body.as_deref()), DEFAULT_MAX_BODY_BYTES, units::read_size);
        let external =
            r.value("GUARD_EXTERNAL_URL", given(self.external_url.as_deref()), None, |text| read::external(text).map(Some));
        let auth_server = AuthServerArgs { server: &self.auth, external: external.as_ref() };
        let (front_door, allow) = (self.door.check(&mut r, Some(auth_server)), self.door.check_allow_list(&mut r));
        // Without the connector that sets it, any client could write the header: only Cloudflare's own door believes it unasked.
        let at_cloudflare =
            matches!(&front_door, Some(FrontDoorConfig::Signed(signed)) if signed.signer == Signer::CloudflareAccess);
        let client_header = r.value(
            "GUARD_CLIENT_ADDRESS_HEADER",
            given(self.client_address_header.as_deref()),
            at_cloudflare.then(|| HeaderName::from_static("cf-connecting-ip")),
            |text| read::header(text).map(Some),
        );
        let lan_url = r.value("GUARD_LAN_URL", given(self.lan_url.as_deref()), None, |text| {
            read::external(text).map(|_| Some(text.to_owned()))
        });
        let connect_timeout = r.value(
            "GUARD_UPSTREAM_TIMEOUT",
            given(self.upstream_timeout.as_deref()),
            Duration::from_secs(10),
            units::read_positive_duration,
        );
        let uploads = self.uploads.check(&mut r);
        let process = self.process.check(&mut r, &[listen]);
        match (upstream, front_door) {
            (Some(upstream), Some(front_door)) if r.is_clean() => Ok(OriginConfig {
                listen,
                upstream,
                front_door,
                allow,
                max_body: (max_body != 0).then_some(max_body),
                external,
                client_header,
                lan_url,
                connect_timeout,
                uploads,
                process,
            }),
            _ => Err(r.into_problems()),
        }
    }
}

#[cfg(test)]
mod tests;
