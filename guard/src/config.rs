//! Text in, checked configuration out; every problem at once, by variable name, before a port is bound.
//!
//! Two stages: [`OriginArgs`] is what flags and variables said, as text; [`OriginConfig`] is what the rest of guard may rely on.
//! A flag wins over its variable; an empty variable counts as absent. Secrets have no flags.

pub mod read;
pub mod units;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use hyper::Uri;
use rustls::pki_types::CertificateDer;
use tracing_subscriber::EnvFilter;

use crate::telemetry::log::{Format, LogIdentity};

/// The default of `GUARD_MAX_BODY`: what nginx's `100m` means, and the lenient reading of the edge's "100 MB".
pub const DEFAULT_MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;
/// The most worker threads; above it a typing error is more likely than a machine.
pub const MAX_WORKERS: usize = 256;

/// What flags and variables said about `guard origin`.
#[derive(Args, Clone, Debug, Default)]
pub struct OriginArgs {
    /// Where cloudflared connects [default: 0.0.0.0:8080]
    #[arg(long, env = "GUARD_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub listen: Option<String>,
    /// Probes, metrics and status page; never on the public port [default: 0.0.0.0:9090]
    #[arg(long, env = "GUARD_ADMIN_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub admin_listen: Option<String>,
    /// Immich, as <http://host:port> (required)
    #[arg(long, env = "GUARD_UPSTREAM", value_name = "URL", hide_env_values = true)]
    pub upstream: Option<String>,
    /// Who vouches for a request [default: cloudflare-access]
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
    /// More certificate authorities to trust for https, as a PEM file
    #[arg(long, env = "GUARD_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub ca_file: Option<String>,
    /// Addresses or @domains that may enter, comma-separated [default: anyone verified]
    #[arg(long, env = "GUARD_ALLOW_EMAIL", value_name = "LIST", hide_env_values = true)]
    pub allow_email: Option<String>,
    /// Service tokens (common names) that may enter, comma-separated [default: any verified]
    #[arg(long, env = "GUARD_ALLOW_SERVICE", value_name = "LIST", hide_env_values = true)]
    pub allow_service: Option<String>,
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
    /// Time to drain after SIGTERM [default: 25s]
    #[arg(long, env = "GUARD_GRACE", value_name = "TIME", hide_env_values = true)]
    pub grace: Option<String>,
    /// Worker threads [default: number of cores]
    #[arg(long, env = "GUARD_WORKERS", value_name = "NUMBER", hide_env_values = true)]
    pub workers: Option<String>,
    /// Log level or filter [default: info]
    #[arg(long, env = "GUARD_LOG", value_name = "FILTER", hide_env_values = true)]
    pub log: Option<String>,
    /// json or text [default: json]
    #[arg(long, env = "GUARD_LOG_FORMAT", value_name = "FORMAT", hide_env_values = true)]
    pub log_format: Option<String>,
    /// What the log calls a person: sub or email [default: sub]
    #[arg(long, env = "GUARD_LOG_IDENTITY", value_name = "CLAIM", hide_env_values = true)]
    pub log_identity: Option<String>,
}

/// Everything that `guard origin` may rely on.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// Where cloudflared connects.
    pub listen: SocketAddr,
    /// Probes, metrics, status page.
    pub admin_listen: SocketAddr,
    /// Immich.
    pub upstream: Authority,
    /// Who vouches.
    pub front_door: DoorConfig,
    /// Certificate authorities to trust beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
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
    /// To drain.
    pub grace: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Log.
    pub log: LogConfig,
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

/// `GUARD_EXTERNAL_URL`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Host as a `Host` header has it, in lower case: without the scheme's own port.
    pub host: String,
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

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Level or filter directives; checked.
    pub filter: String,
    /// JSON or text.
    pub format: Format,
    /// What a person is called.
    pub identity: LogIdentity,
}

impl LogConfig {
    /// The filter, ready to install.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::builder().parse_lossy(&self.filter)
    }
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
    fn required<T>(
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

impl OriginArgs {
    /// Checks everything. The error lists every problem.
    pub fn check(&self) -> Result<OriginConfig, Problems> {
        let mut r = Reader::default();
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listen = r.value("GUARD_LISTEN", given(self.listen.as_deref()), everywhere(8080), read::listen);
        let admin_listen = r.value("GUARD_ADMIN_LISTEN", given(self.admin_listen.as_deref()), everywhere(9090), read::listen);
        if listen == admin_listen && listen.port() != 0 {
            let found = listen.to_string();
            r.problem(
                "GUARD_ADMIN_LISTEN",
                Some(&found),
                "another address than GUARD_LISTEN: the admin port is never the public one",
            );
        }
        let upstream = r.required(
            "GUARD_UPSTREAM",
            given(self.upstream.as_deref()),
            "Immich's address, such as http://immich-server:2283",
            read::upstream,
        );
        let front_door = self.check_front_door(&mut r);
        let extra_roots = r.value("GUARD_CA_FILE", given(self.ca_file.as_deref()), Vec::new(), read::certificates);
        let allow = AllowList {
            emails: r.value("GUARD_ALLOW_EMAIL", given(self.allow_email.as_deref()), Vec::new(), read::emails),
            services: r.value("GUARD_ALLOW_SERVICE", given(self.allow_service.as_deref()), Vec::new(), read::names),
        };
        let max_body = r.value("GUARD_MAX_BODY", given(self.max_body.as_deref()), DEFAULT_MAX_BODY_BYTES, units::read_size);
        let external =
            r.value("GUARD_EXTERNAL_URL", given(self.external_url.as_deref()), None, |text| read::external(text).map(Some));
        let lan_url = r.value("GUARD_LAN_URL", given(self.lan_url.as_deref()), None, |text| {
            read::external(text).map(|_| Some(text.to_owned()))
        });
        let connect_timeout = r.value(
            "GUARD_UPSTREAM_TIMEOUT",
            given(self.upstream_timeout.as_deref()),
            Duration::from_secs(10),
            units::read_positive_duration,
        );
        let grace = r.value("GUARD_GRACE", given(self.grace.as_deref()), Duration::from_secs(25), units::read_duration);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = r.value("GUARD_WORKERS", given(self.workers.as_deref()), cores, |text| match text.parse() {
            Ok(number @ 1..=MAX_WORKERS) => Ok(number),
            _ => Err(format!("a number from 1 to {MAX_WORKERS}")),
        });
        let log = LogConfig {
            filter: r.value("GUARD_LOG", given(self.log.as_deref()), "info".to_owned(), read::filter),
            format: r.value("GUARD_LOG_FORMAT", given(self.log_format.as_deref()), Format::Json, |text| match text {
                "json" => Ok(Format::Json),
                "text" => Ok(Format::Text),
                _ => Err("json or text".to_owned()),
            }),
            identity: r.value("GUARD_LOG_IDENTITY", given(self.log_identity.as_deref()), LogIdentity::Sub, |text| match text {
                "sub" => Ok(LogIdentity::Sub),
                "email" => Ok(LogIdentity::Email),
                _ => Err("sub or email".to_owned()),
            }),
        };
        match (upstream, front_door) {
            (Some(upstream), Some(front_door)) if r.0.is_empty() => Ok(OriginConfig {
                listen,
                admin_listen,
                upstream,
                front_door,
                extra_roots,
                allow,
                max_body: (max_body != 0).then_some(max_body),
                external,
                lan_url,
                connect_timeout,
                grace,
                workers,
                log,
            }),
            _ => Err(Problems(r.0)),
        }
    }

    fn check_front_door(&self, r: &mut Reader) -> Option<DoorConfig> {
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

#[cfg(test)]
mod tests;
