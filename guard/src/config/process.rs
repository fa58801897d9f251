//! The settings of every serving process: admin port, worker threads, grace period, certificate authorities, and log.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::CertificateDer;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::config::address::everywhere;
use crate::config::problems::{Reader, given};
use crate::config::read;
use crate::config::units;
use crate::memory::{self, DEFAULT_MEMORY_BYTES, MIN_MEMORY_BYTES};
use crate::telemetry::log::{Format, LogIdentity};

/// The maximum number of worker threads. A larger number is more likely a typing error than a real machine.
pub const MAX_WORKERS: usize = 256;

/// The flags and variables of the process, as text.
#[derive(Args, Clone, Debug, Default)]
pub struct ProcessArgs {
    /// The address for probes, metrics and the status page; never the public port [default: 0.0.0.0:9090]
    #[arg(long, env = "GUARD_ADMIN_LISTEN", value_name = "ADDRESS:PORT", hide_env_values = true)]
    pub admin_listen: Option<String>,
    /// A PEM file with additional certificate authorities to trust for https
    #[arg(long, env = "GUARD_CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub ca_file: Option<String>,
    /// How long requests are still served after SIGTERM, each as the last one of its connection [default: 0s]
    #[arg(long, env = "GUARD_DRAIN_DELAY", value_name = "TIME", hide_env_values = true)]
    pub drain_delay: Option<String>,
    /// The time limit of the drain after SIGTERM and the drain delay [default: 25s]
    #[arg(long, env = "GUARD_GRACE", value_name = "TIME", hide_env_values = true)]
    pub grace: Option<String>,
    /// The number of worker threads [default: number of cores]
    #[arg(long, env = "GUARD_WORKERS", value_name = "NUMBER", hide_env_values = true)]
    pub workers: Option<String>,
    /// The memory that the process may use, such as 128MiB [default: the limit of its control group, else 512MiB]
    #[arg(long, env = "GUARD_MEMORY", value_name = "SIZE", hide_env_values = true)]
    pub memory: Option<String>,
    /// The log level or filter [default: info]
    #[arg(long, env = "GUARD_LOG", value_name = "FILTER", hide_env_values = true)]
    pub log: Option<String>,
    /// The format of the log: json or text [default: json]
    #[arg(long, env = "GUARD_LOG_FORMAT", value_name = "FORMAT", hide_env_values = true)]
    pub log_format: Option<String>,
    /// The claim that identifies a person in the log: sub or email [default: sub]
    #[arg(long, env = "GUARD_LOG_IDENTITY", value_name = "CLAIM", hide_env_values = true)]
    pub log_identity: Option<String>,
}

/// The checked settings of the process.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The address for probes, metrics and the status page.
    pub admin_listen: SocketAddr,
    /// Certificate authorities to trust in addition to the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// How long requests are still served after SIGTERM.
    pub drain_delay: Duration,
    /// The time limit of the drain.
    pub grace: Duration,
    /// The number of worker threads.
    pub workers: usize,
    /// The memory that the process may use, in bytes.
    pub memory: u64,
    /// The settings of the log.
    pub log: LogConfig,
}

/// The settings of the log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The filter of levels and targets.
    pub filter: Targets,
    /// JSON or text.
    pub format: Format,
    /// The claim that identifies a person.
    pub identity: LogIdentity,
}

impl ProcessArgs {
    /// Checks all values. The admin port must differ from the addresses in `public`.
    pub(crate) fn check(&self, r: &mut Reader, public: &[SocketAddr]) -> ProcessConfig {
        let admin_listen = r.value("GUARD_ADMIN_LISTEN", given(self.admin_listen.as_deref()), everywhere(9090), read::listen);
        if admin_listen.port() != 0 && public.contains(&admin_listen) {
            let found = admin_listen.to_string();
            let wanted = "an address that differs from the public one: the admin port must not be public";
            r.problem("GUARD_ADMIN_LISTEN", Some(&found), wanted);
        }
        let extra_roots = r.value("GUARD_CA_FILE", given(self.ca_file.as_deref()), Vec::new(), read::certificates);
        let drain_delay = r.value("GUARD_DRAIN_DELAY", given(self.drain_delay.as_deref()), Duration::ZERO, units::read_duration);
        let grace = r.value("GUARD_GRACE", given(self.grace.as_deref()), Duration::from_secs(25), units::read_duration);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = r.value("GUARD_WORKERS", given(self.workers.as_deref()), cores, |text| match text.parse() {
            Ok(number @ 1..=MAX_WORKERS) => Ok(number),
            _ => Err(format!("a number from 1 to {MAX_WORKERS}")),
        });
        let found = memory::cgroup_limit().unwrap_or(DEFAULT_MEMORY_BYTES);
        let memory = r.value("GUARD_MEMORY", given(self.memory.as_deref()), found, |text| {
            units::read_size(text)
                .ok()
                .filter(|size| *size >= MIN_MEMORY_BYTES)
                .ok_or_else(|| "48MiB or more, such as 128MiB".to_owned())
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
        ProcessConfig { admin_listen, extra_roots, drain_delay, grace, workers, memory, log }
    }
}
