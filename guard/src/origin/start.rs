//! Starts `guard origin` from a checked configuration: binds the sockets, fetches the keys, starts the workers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Origin;
use super::status::Status;
use crate::config::OriginConfig;
use crate::config::units::size_in_words;
use crate::frontdoor::builder::{FrontDoorBuilder, TrustSource};
use crate::jwks::Keys;
use crate::memory::Budget;
use crate::proxy::Upstream;
use crate::refusal::{Direction, RefusalContext};
use crate::serve::sockets::{StartError, bind};
use crate::serve::{self, Background, Drained, Lifecycle, Running};
use crate::telemetry::admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::upstream_health::UpstreamHealth;
use crate::tls::Trust;
use crate::uploads::{PREFIX, Uploads};
use crate::upstream::Target;

/// How long an idle connection to Immich is kept. Node closes at 5 s (`keepAliveTimeout`); below it, no request meets a closing one.
pub const IDLE_LIMIT: Duration = Duration::from_secs(4);

/// A running `guard origin`.
pub struct OriginServer {
    /// The public address.
    pub address: SocketAddr,
    /// The admin address: probes, metrics, status page.
    pub admin_address: SocketAddr,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What the front door's decisions are checked against.
    pub trust_source: TrustSource,
    running: Running,
}

impl OriginServer {
    /// The key set, where the front door has one.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.trust_source.keys()
    }

    /// Starts the drain.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Waits for the end of the drain.
    pub fn join(self) -> Drained {
        self.running.join()
    }
}

/// Starts serving. The process is ready once the first key set is loaded, or the check of the auth server has succeeded.
pub fn start(config: &OriginConfig) -> Result<OriginServer, StartError> {
    let listener = bind("GUARD_LISTEN", config.listen)?;
    let admin = bind("GUARD_ADMIN_LISTEN", config.process.admin_listen)?;
    let admin_address = admin.local_addr()?;

    let metrics = Arc::new(Metrics::new());
    let upstream_health = Arc::new(UpstreamHealth::default());
    let lifecycle = Lifecycle::new(Budget::of(config.process.memory), config.process.drain_delay);
    let front_door_builder = FrontDoorBuilder::new(&config.front_door, &Trust::new(&config.process.extra_roots), &metrics)?;
    let trust_source = front_door_builder.trust_source.clone();
    let target =
        Target { authority: config.upstream.clone(), tls: None, connect_timeout: config.connect_timeout, idle_limit: IDLE_LIMIT };

    let uploads = match &config.uploads {
        Some(uploads) => Some(
            Uploads::new(uploads.clone(), target.clone(), lifecycle.clone(), metrics.clone())
                .map_err(|error| StartError::System(std::io::Error::other(error)))?,
        ),
        None => None,
    };

    let origins = (0..config.process.workers)
        .map(|_| {
            let door = front_door_builder.door();
            let to = |target| Arc::new(Upstream::new(target, metrics.clone()));
            Arc::new(Origin {
                own_headers: door.own_headers().into(),
                door,
                allow: config.allow.clone(),
                max_body: config.max_body,
                external: config.external.clone(),
                client_header: config.client_header.clone(),
                upstream: to(target.clone()),
                auth_server: front_door_builder.auth_server().map(to),
                uploads: uploads.clone(),
                refusal_context: RefusalContext {
                    direction: Direction::Inbound,
                    sign_out: config.front_door.sign_out(),
                    lan_url: config.lan_url.clone(),
                    upload_url: config.uploads.as_ref().map(|_| {
                        let base = config.external.as_ref().map(|external| format!("{}://{}", external.scheme, external.host));
                        format!("{}{PREFIX}upload", base.unwrap_or_default())
                    }),
                    limit: config.max_body.map(size_in_words).unwrap_or_default(),
                },
                log_identity: config.process.log.identity,
                metrics: metrics.clone(),
                upstream_health: upstream_health.clone(),
                lifecycle: lifecycle.clone(),
                phase: lifecycle.phase(),
            })
        })
        .collect();

    let view = Arc::new(Status::new(config, metrics.clone(), trust_source.clone(), upstream_health, lifecycle.clone()));
    let background: Vec<Background> = vec![front_door_builder.refresh(), Box::pin(admin::serve(admin, view))];
    let running = serve::start(listener, config.process.grace, &lifecycle, origins, background)?;
    tracing::info!(
        listen = %running.address, admin = %admin_address, upstream = %config.upstream, front_door = config.front_door.description(),
        allowed = config.allow.description(),
        workers = config.process.workers, "guard origin is listening"
    );
    Ok(OriginServer { address: running.address, admin_address, metrics, trust_source, running })
}
