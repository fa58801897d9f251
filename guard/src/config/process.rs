//! What every serving process has: an admin port, worker threads, a grace, authorities to believe, a log.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::CertificateDer;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Reader, everywhere, given, read, units};
use crate::telemetry::log::{Format, LogIdentity};

/// The most worker threads; above it a typing error is more likely than a machine.
pub const MAX_WORKERS: usize = 256;

/// What flags and variables said about the process.
#[derive(Args, Clone, Debug, Default)]
pub struct ProcessArgs {
    /// Probes, metrics and status page; never on the public port [default: 0.0.0.0:9090]
    #[arg(long, env = "GUARD_ADMIN_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub admin_listen: Option<String>,
    /// More certificate authorities to trust for https, as a PEM file
    #[arg(long, env = "GUARD_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub ca_file: Option<String>,
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

/// What the process may rely on.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Probes, metrics, status page.
    pub admin_listen: SocketAddr,
    /// Certificate authorities to trust beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// To drain.
    pub grace: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Log.
    pub log: LogConfig,
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Level or filter directives; checked.
    pub filter: Targets,
    /// JSON or text.
    pub format: Format,
    /// What a person is called.
    pub identity: LogIdentity,
}

impl ProcessArgs {
    /// Checks it all; `public` are the ports that must not be the admin port.
    pub(crate) fn check(&self, r: &mut Reader, public: &[SocketAddr]) -> ProcessConfig {
        let admin_listen = r.value("GUARD_ADMIN_LISTEN", given(self.admin_listen.as_deref()), everywhere(9090), read::listen);
        if admin_listen.port() != 0 && public.contains(&admin_listen) {
            let found = admin_listen.to_string();
            let wanted = "an address that nothing else is served on: the admin port is never the public one";
            r.problem("GUARD_ADMIN_LISTEN", Some(&found), wanted);
        }
        let extra_roots = r.value("GUARD_CA_FILE", given(self.ca_file.as_deref()), Vec::new(), read::certificates);
        let grace = r.value("GUARD_GRACE", given(self.grace.as_deref()), Duration::from_secs(25), units::read_duration);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = r.value("GUARD_WORKERS", given(self.workers.as_deref()), cores, |text| match text.parse() {
            Ok(number @ 1..=MAX_WORKERS) => Ok(number),
            _ => Err(format!("a number from 1 to {MAX_WORKERS}")),
        });
        let log = LogConfig {
            filter: r.value(
                "GUARD_LOG",
                given(self.log.as_deref()),
                Targets::new().with_default(LevelFilter::INFO),
                read::filter,
            ),
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
        ProcessConfig { admin_listen, extra_roots, grace, workers, log }
    }
}
