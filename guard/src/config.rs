//! Reads and checks the configuration. All problems are reported at once, by variable name, before a port is bound.
//!
//! There are two stages: [`OriginArgs`] holds the flags and variables as text, [`OriginConfig`] the checked values. A flag takes
//! precedence over its variable; an empty variable counts as absent. Secrets have no flags.

pub mod door;
pub mod process;
pub mod read;
pub mod units;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use crate::allow_list::AllowList;
use door::AuthServerArgs;
pub use door::{ForwardAuthArgs, ForwardAuthConfig, FrontDoorArgs, FrontDoorConfig};
pub use process::{LogConfig, ProcessArgs, ProcessConfig};

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
    /// The address in the home network for uploads above the limit; the 413 page shows it
    #[arg(long, env = "GUARD_LAN_URL", value_name = "URL", hide_env_values = true)]
    pub lan_url: Option<String>,
    /// The time limit to connect to Immich; a response has no time limit [default: 10s]
    #[arg(long, env = "GUARD_UPSTREAM_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub upstream_timeout: Option<String>,
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
    /// The address in the home network for uploads above the limit.
    pub lan_url: Option<String>,
    /// The time limit to open a connection to Immich.
    pub connect_timeout: Duration,
    /// The settings of the process.
    pub process: ProcessConfig,
}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host name or IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The URL of a server, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether the scheme is `https`.
    pub https: bool,
    /// The host and port.
    pub authority: Authority,
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// The public address (`GUARD_EXTERNAL_URL`), parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The scheme: `https` or `http`.
    pub scheme: &'static str,
    /// The host as in a `Host` header: in lower case, without the default port of the scheme.
    pub host: String,
}

/// One problem in the configuration: the variable, the value that was found, and the value that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the variable.
    pub variable: &'static str,
    /// The value that was found; none if the variable is absent.
    pub found: Option<String>,
    /// A description of the wanted value.
    pub wanted: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: found {found:?}, wanted {}", self.variable, self.wanted),
            None => write!(f, "{}: not set, wanted {}", self.variable, self.wanted),
        }
    }
}

/// All problems in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {many} in the configuration; nothing was started:", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// Returns the trimmed text, or none if it is empty: manifests often set a variable to an empty string.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Collects problems while values are read.
#[derive(Default)]
pub(crate) struct Reader(Vec<Problem>);

impl Reader {
    /// Whether this variable has a problem.
    pub(crate) fn has(&self, variable: &str) -> bool {
        self.0.iter().any(|problem| problem.variable == variable)
    }

    /// Whether there is no problem so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `config` if there is no problem, otherwise all problems.
    pub(crate) fn finish<T>(self, config: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(config) } else { Err(Problems(self.0)) }
    }

    pub(crate) fn problem(&mut self, variable: &'static str, found: Option<&str>, wanted: impl Into<String>) {
        self.0.push(Problem { variable, found: found.map(str::to_owned), wanted: wanted.into() });
    }

    /// Parses the value with `read`, or returns the default if there is no value.
    pub(crate) fn value<T>(
        &mut self,
        variable: &'static str,
        text: Option<&str>,
        default: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        match text.map(read) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(wanted)) => {
                self.problem(variable, text, wanted);
                default
            }
        }
    }

    /// Parses the value with `read`, and records a problem if there is no value.
    pub(crate) fn required<T>(
        &mut self,
        variable: &'static str,
        text: Option<&str>,
        wanted: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if text.is_none() {
            self.problem(variable, None, wanted);
        }
        self.value(variable, text, None, |text| read(text).map(Some))
    }
}

/// All addresses of this machine, with this port.
pub(crate) fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
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
        let lan_url = r.value("GUARD_LAN_URL", given(self.lan_url.as_deref()), None, |text| {
            read::external(text).map(|_| Some(text.to_owned()))
        });
        let connect_timeout = r.value(
            "GUARD_UPSTREAM_TIMEOUT",
            given(self.upstream_timeout.as_deref()),
            Duration::from_secs(10),
            units::read_positive_duration,
        );
        let process = self.process.check(&mut r, &[listen]);
        match (upstream, front_door) {
            (Some(upstream), Some(front_door)) if r.is_clean() => Ok(OriginConfig {
                listen,
                upstream,
                front_door,
                allow,
                max_body: (max_body != 0).then_some(max_body),
                external,
                lan_url,
                connect_timeout,
                process,
            }),
            _ => Err(Problems(r.0)),
        }
    }
}

#[cfg(test)]
mod tests;
