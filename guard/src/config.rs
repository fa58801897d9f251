//! Text in, checked configuration out; every problem at once, by variable name, before a port is bound.
//!
//! Two stages: [`OriginArgs`] is what flags and variables said, as text; [`OriginConfig`] is what the rest of guard may rely on.
//! A flag wins over its variable; an empty variable counts as absent. Secrets have no flags.

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

/// The default of `GUARD_MAX_BODY`: what nginx's `100m` means, and the lenient reading of the edge's "100 MB".
pub const DEFAULT_MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;

/// What flags and variables said about `guard origin`.
#[derive(Args, Clone, Debug, Default)]
pub struct OriginArgs {
    /// Where cloudflared connects [default: 0.0.0.0:8080]
    #[arg(long, env = "GUARD_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub listen: Option<String>,
    /// Immich, as <http://host:port> (required)
    #[arg(long, env = "GUARD_UPSTREAM", value_name = "URL", hide_env_values = true)]
    pub upstream: Option<String>,
    /// Who vouches.
    #[command(flatten)]
    pub door: FrontDoorArgs,
    /// Of an auth server that is asked.
    #[command(flatten)]
    pub auth: ForwardAuthArgs,
    /// The largest request body, such as 100MiB or 500MB; 0 = no limit [default: 100MiB]
    #[arg(long, env = "GUARD_MAX_BODY", value_name = "SIZE", hide_env_values = true)]
    pub max_body: Option<String>,
    /// The public address, such as <https://photos.example.com>
    #[arg(long, env = "GUARD_EXTERNAL_URL", value_name = "URL", hide_env_values = true)]
    pub external_url: Option<String>,
    /// The way for large files, named in the 413 message
    #[arg(long, env = "GUARD_LAN_URL", value_name = "URL", hide_env_values = true)]
    pub lan_url: Option<String>,
    /// How long a connection to Immich may take to open; the answer itself has no limit [default: 10s]
    #[arg(long, env = "GUARD_UPSTREAM_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    pub upstream_timeout: Option<String>,
    /// Of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Everything that `guard origin` may rely on.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// Where cloudflared connects.
    pub listen: SocketAddr,
    /// Immich.
    pub upstream: Authority,
    /// Who vouches.
    pub front_door: FrontDoorConfig,
    /// Who of the verified may enter.
    pub allow: AllowList,
    /// The largest request body in bytes; none = no limit.
    pub max_body: Option<u64>,
    /// The public address.
    pub external: Option<External>,
    /// The way for large files.
    pub lan_url: Option<String>,
    /// To open a connection to Immich.
    pub connect_timeout: Duration,
    /// Of the process.
    pub process: ProcessConfig,
}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
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

/// A server to ask, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Over TLS.
    pub https: bool,
    /// Where.
    pub authority: Authority,
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// `GUARD_EXTERNAL_URL`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Host as a `Host` header has it, in lower case: without the scheme's own port.
    pub host: String,
}

/// One thing that is wrong: which variable, what was found, what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: &'static str,
    /// What was found; none when it is absent.
    pub found: Option<String>,
    /// What is wanted.
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

/// Everything that is wrong.
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

/// An empty variable counts as absent: manifests often set one to nothing.
pub(crate) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Collects problems while values are read.
#[derive(Default)]
pub(crate) struct Reader(Vec<Problem>);

impl Reader {
    /// Whether something was wrong with this variable.
    pub(crate) fn has(&self, variable: &str) -> bool {
        self.0.iter().any(|problem| problem.variable == variable)
    }

    /// Whether nothing was wrong so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole, if nothing was wrong.
    pub(crate) fn finish<T>(self, whole: T) -> Result<T, Problems> {
        if self.0.is_empty() { Ok(whole) } else { Err(Problems(self.0)) }
    }

    pub(crate) fn problem(&mut self, variable: &'static str, found: Option<&str>, wanted: impl Into<String>) {
        self.0.push(Problem { variable, found: found.map(str::to_owned), wanted: wanted.into() });
    }

    /// The value as `read` understands it, or the default where there is none.
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

    /// The value as `read` understands it; a problem where there is none.
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

/// Any address of this machine.
pub(crate) fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

impl OriginArgs {
    /// Checks everything. The error lists every problem.
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
