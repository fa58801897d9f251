//! A checked configuration becomes a running door: sockets bound, keys being fetched, workers waiting.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::Origin;
use super::status::Status;
use super::upstream::Upstream;
use crate::assertion::Rules;
use crate::config::units::size_in_words;
use crate::config::{DoorConfig, OriginConfig};
use crate::frontdoor::{FrontDoor, cloudflare};
use crate::jwks::Keys;
use crate::jwks::fetch::Document;
use crate::refusal::Signpost;
use crate::serve::{self, Background, Drained, Lifecycle, Running, sockets};
use crate::telemetry::admin;
use crate::telemetry::metrics::Metrics;

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("{variable}: cannot listen on {address}: {error}")]
    Bind {
        /// The variable that names the address.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The key set's URL cannot be fetched from.
    #[error("GUARD_JWKS_URL: {0}")]
    KeyUrl(#[from] crate::jwks::fetch::BadUrl),
    /// Threads or a runtime could not be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running door.
pub struct Door {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its probes, metrics and status page are.
    pub admin_address: SocketAddr,
    /// Its counters.
    pub metrics: Arc<Metrics>,
    /// Its key set.
    pub keys: Arc<Keys>,
    running: Running,
}

impl Door {
    /// Starts the drain.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Waits for the end of the drain.
    pub fn join(self) -> Drained {
        self.running.join()
    }
}

/// Opens the door. It is ready as soon as the first key set is there; until then it answers 503.
pub fn start(config: &OriginConfig) -> Result<Door, StartError> {
    let listener = bind("GUARD_LISTEN", config.listen)?;
    let admin = bind("GUARD_ADMIN_LISTEN", config.admin_listen)?;
    let admin_address = admin.local_addr()?;

    let metrics = Arc::new(Metrics::new());
    let keys = Arc::new(Keys::new(metrics.clone()));
    let lifecycle = Lifecycle::new();
    let DoorConfig::CloudflareAccess { issuer, audiences, jwks } = &config.front_door;
    for audience in audiences.iter().filter(|audience| audience.len() != 64 || !audience.bytes().all(|b| b.is_ascii_hexdigit())) {
        tracing::warn!(
            length = audience.len(),
            "GUARD_ACCESS_AUD: Cloudflare's AUD tags are 64 hexadecimal digits: is it misspelt?"
        );
    }
    let rules = Rules { issuer: issuer.clone(), audiences: audiences.clone() };
    let source = Document::at(jwks.clone(), &config.extra_roots)?;

    let origins = (0..config.workers)
        .map(|_| {
            Arc::new(Origin {
                door: FrontDoor::CloudflareAccess(cloudflare::Access::new(rules.clone(), keys.clone(), metrics.clone())),
                allow: config.allow.clone(),
                max_body: config.max_body,
                external: config.external.clone(),
                upstream: Arc::new(Upstream::new(config.upstream.clone(), config.connect_timeout, metrics.clone())),
                signpost: Signpost {
                    lan_url: config.lan_url.clone(),
                    limit: config.max_body.map(size_in_words).unwrap_or_default(),
                },
                log_identity: config.log.identity,
                metrics: metrics.clone(),
                lifecycle: lifecycle.clone(),
                phase: lifecycle.phase(),
            })
        })
        .collect();

    let refresh = {
        let keys = keys.clone();
        async move { keys.keep_fresh(source).await }
    };
    let view = Arc::new(Status::new(config, metrics.clone(), keys.clone(), lifecycle.phase()));
    let background: Vec<Background> = vec![Box::pin(refresh), Box::pin(admin::serve(admin, view))];
    let running = serve::start(listener, config.grace, &lifecycle, origins, background)?;
    tracing::info!(
        listen = %running.address, admin = %admin_address, upstream = %config.upstream, issuer = issuer.as_str(),
        workers = config.workers, "guard origin is listening"
    );
    Ok(Door { address: running.address, admin_address, metrics, keys, running })
}

fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    sockets::listen(address).map_err(|error| StartError::Bind { variable, address, error })
}
