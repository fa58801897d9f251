//! Starts `guard idtoken` from a checked configuration: one listener for each backend, the workers, and the tasks that fetch tokens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::{BackendConfig, IdtokenConfig};
use super::metrics::TokenMetrics;
use super::replay::ReplayBudget;
use super::source::{Credentials, Source as _, SourceError};
use super::status::Status;
use super::tokens::Tokens;
use super::{Inbound, Outbound};
use crate::clock::unix_seconds;
use crate::config::units::size_in_words;
use crate::frontdoor::builder::FrontDoorBuilder;
use crate::memory::Budget;
use crate::proxy::Upstream;
use crate::refusal::{Direction, RefusalContext};
use crate::serve::sockets::{StartError, bind};
use crate::serve::{self, Background, Drained, Lifecycle, Running};
use crate::telemetry::admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::upstream_health::UpstreamHealth;
use crate::tls::Trust;
use crate::upstream::Target;

/// How long an idle connection to a backend is kept. Google's front end keeps one for minutes: below a minute, no request uses a connection that
/// is being closed, and a burst of pictures needs one handshake.
pub const IDLE_LIMIT: Duration = Duration::from_secs(50);

/// Why `guard idtoken` cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A port, a thread or a front door.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The credential file became unusable after it was checked.
    #[error("GOOGLE_APPLICATION_CREDENTIALS: {0}")]
    Credentials(#[from] SourceError),
    /// The host of a backend is neither a name nor an address that a certificate could be for.
    #[error("{0}: no name or address that a certificate could be for")]
    Name(String),
}

/// A running `guard idtoken`.
pub struct EgressProxy {
    /// The address of each listener, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// The admin address: probes, metrics, status page.
    pub admin_address: SocketAddr,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The tokens, one for each audience.
    pub tokens: Vec<Arc<Tokens>>,
    running: Vec<Running>,
}

impl EgressProxy {
    /// Starts the drain.
    pub fn stop(&self) {
        self.running.iter().for_each(Running::stop);
    }

    /// Waits for the end of the drain, and returns what each listener had to cut.
    pub fn join(self) -> Vec<Drained> {
        self.running.into_iter().map(Running::join).collect()
    }
}

/// Starts serving. The process is ready once the first token is loaded; until then requests get 503.
pub fn start(config: &IdtokenConfig) -> Result<EgressProxy, OpenError> {
    let listeners =
        config.backends.iter().map(|backend| bind(backend.listen.1, backend.listen.0)).collect::<Result<Vec<_>, _>>()?;
    let admin = bind("GUARD_ADMIN_LISTEN", config.process.admin_listen)?;
    let admin_address = admin.local_addr().map_err(StartError::from)?;
    let trust = Trust::new(&config.process.extra_roots);
    let credentials = Arc::new(Credentials::at(&config.credentials, &trust)?);

    let mut token_metrics = TokenMetrics::default();
    let metrics = Arc::new(Metrics::with(|registry| token_metrics = TokenMetrics::register(registry)));
    let front_door_builder = config
        .inbound
        .as_ref()
        .map(|(door, _)| FrontDoorBuilder::new(door, &trust, &metrics))
        .transpose()
        .map_err(StartError::from)?;
    token_metrics.expect(credentials.label());
    let tokens = tokens_of(&config.backends, &token_metrics);
    let budget = Budget::of(config.process.memory);
    let lifecycles: Vec<_> = config.backends.iter().map(|_| Lifecycle::new(budget.clone(), config.process.drain_delay)).collect();
    let budget = ReplayBudget::new();

    let mut handlers = Vec::new();
    let mut backends = Vec::new();
    for (backend, lifecycle) in config.backends.iter().zip(&lifecycles) {
        let health = Arc::new(UpstreamHealth::default());
        backends.push((backend.clone(), health.clone()));
        let target = target(backend, config.connect_timeout, &trust)?;
        let of_audience = tokens.iter().find(|tokens| tokens.audience() == backend.audience);
        let Some(of_audience) = of_audience else { continue };
        let workers: Vec<_> = (0..config.process.workers)
            .map(|_| {
                let inbound = config
                    .inbound
                    .as_ref()
                    .zip(front_door_builder.as_ref())
                    .map(|((_, allow), front_door_builder)| Inbound { door: front_door_builder.door(), allow: allow.clone() });
                Arc::new(Outbound {
                    backend: backend.clone(),
                    tokens: of_audience.clone(),
                    own_headers: inbound.as_ref().map(|inbound| inbound.door.own_headers()).unwrap_or_default().into(),
                    inbound,
                    cors: config.cors.clone(),
                    hosts: config.hosts.clone(),
                    upstream: Arc::new(Upstream::new(target.clone(), metrics.clone())),
                    max_body: config.max_body,
                    budget: budget.clone(),
                    refusal_context: RefusalContext {
                        direction: Direction::Outbound,
                        limit: config.max_body.map(size_in_words).unwrap_or_default(),
                        ..RefusalContext::default()
                    },
                    log_identity: config.process.log.identity,
                    metrics: metrics.clone(),
                    upstream_health: health.clone(),
                    token_metrics: token_metrics.clone(),
                    lifecycle: lifecycle.clone(),
                    phase: lifecycle.phase(),
                })
            })
            .collect();
        handlers.push(workers);
    }

    let trust_source = front_door_builder.as_ref().map(|front_door_builder| front_door_builder.trust_source.clone());
    let phase = lifecycles.first().map(|lifecycle| lifecycle.phase());
    let view =
        Arc::new(Status::new(backends, credentials.label(), metrics.clone(), token_metrics, tokens.clone(), trust_source, phase));
    let mut background: Vec<Background> = vec![Box::pin(admin::serve(admin, view))];
    background.extend(front_door_builder.map(FrontDoorBuilder::refresh));
    for tokens in &tokens {
        let (tokens, credentials) = (tokens.clone(), credentials.clone());
        background.push(Box::pin(async move { tokens.keep_fresh(&*credentials).await }));
    }

    let mut running = Vec::new();
    for (((listener, lifecycle), workers), backend) in listeners.into_iter().zip(&lifecycles).zip(handlers).zip(&config.backends)
    {
        // The tasks that all backends share run with the first listener.
        let background = std::mem::take(&mut background);
        let one = serve::start(listener, config.process.grace, lifecycle, workers, background).map_err(StartError::from)?;
        tracing::info!(
            listen = %one.address, admin = %admin_address, backend = %backend.url.authority, audience = backend.audience.as_str(),
            header = backend.header.as_str(), workers = config.process.workers, "guard idtoken is listening"
        );
        running.push(one);
    }
    if config.inbound.is_none() {
        tracing::info!(
            "no GUARD_FRONT_DOOR: every client that reaches the port may use the backend; restrict access to it (network policy, loopback)"
        );
    }
    let addresses = running.iter().map(|one| one.address).collect();
    Ok(EgressProxy { addresses, admin_address, metrics, tokens, running })
}

/// One token for each audience. Backends with the same audience share it.
fn tokens_of(backends: &[BackendConfig], metrics: &TokenMetrics) -> Vec<Arc<Tokens>> {
    let mut all: Vec<Arc<Tokens>> = Vec::new();
    for BackendConfig { audience, .. } in backends {
        if all.iter().all(|tokens| tokens.audience() != audience) {
            all.push(Arc::new(Tokens::new(audience, Arc::new(unix_seconds), metrics.clone())));
        }
    }
    all
}

fn target(backend: &BackendConfig, connect_timeout: Duration, trust: &Trust) -> Result<Target, OpenError> {
    let authority = backend.url.authority.clone();
    let tls = if backend.url.https {
        Some(trust.with_server(&authority.host).map_err(|_| OpenError::Name(authority.host.clone()))?)
    } else {
        None
    };
    Ok(Target { authority, tls, connect_timeout, idle_limit: IDLE_LIMIT })
}
