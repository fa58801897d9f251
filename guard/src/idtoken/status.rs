//! The status page of `guard idtoken`: readiness, the life of each token, and why the last fetch failed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::config::{BackendConfig, IdtokenConfig};
use super::metrics::TokenMetrics;
use super::tokens::Tokens;
use crate::frontdoor::builder::TrustSource;
use crate::html::escape;
use crate::serve::Phase;
use crate::telemetry::admin::View;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::status_page::{Hop, StatusPage, in_words, path};

/// What the page shows.
pub struct Status {
    backends: Vec<BackendConfig>,
    metrics: Arc<Metrics>,
    token_metrics: TokenMetrics,
    tokens: Vec<Arc<Tokens>>,
    /// What the inbound check trusts; none where there is no check.
    trust_source: Option<TrustSource>,
    phase: Option<watch::Receiver<Phase>>,
    since: Instant,
}

impl Status {
    /// The page of a process with this configuration.
    pub fn new(
        config: &IdtokenConfig,
        metrics: Arc<Metrics>,
        token_metrics: TokenMetrics,
        tokens: Vec<Arc<Tokens>>,
        trust_source: Option<TrustSource>,
        phase: Option<watch::Receiver<Phase>>,
    ) -> Self {
        Self { backends: config.backends.clone(), metrics, token_metrics, tokens, trust_source, phase, since: Instant::now() }
    }

    fn tokens_of(&self, backend: &BackendConfig) -> Option<&Arc<Tokens>> {
        self.tokens.iter().find(|tokens| tokens.audience() == backend.audience)
    }
}

impl View for Status {
    fn ready(&self) -> Result<(), Cow<'static, str>> {
        if self.phase.as_ref().is_some_and(|phase| *phase.borrow() != Phase::Serving) {
            Err("draining".into())
        } else if let Some(Err(why)) = self.trust_source.as_ref().map(TrustSource::check) {
            Err(why)
        } else if self.tokens.iter().all(|tokens| tokens.current().is_none()) {
            // If only some tokens are missing, the other backends can still be used.
            Err("no identity token: the log and the status page say why".into())
        } else {
            Ok(())
        }
    }

    fn metrics(&self) -> String {
        for tokens in &self.tokens {
            if let Some(seconds) = tokens.seconds_to_expiry() {
                self.token_metrics.expires_in(tokens.audience(), seconds);
            }
        }
        let keys = self.trust_source.as_ref().and_then(|trust_source| trust_source.keys()?.current());
        self.metrics.key_set(keys.map(|set| (set.keys().len(), set.age())));
        self.metrics.render()
    }

    fn health(&self) -> Option<(bool, String)> {
        let backends: Vec<_> = self
            .tokens
            .iter()
            .map(|tokens| serde_json::json!({"audience": tokens.audience(), "token": tokens.current().is_some()}))
            .collect();
        let ready = self.ready();
        let (good, reason) = (ready.is_ok(), ready.err());
        let status = if good { "ok" } else { "unavailable" };
        // `status` and `service` are those of the source design.
        let health = serde_json::json!({"status": status, "service": "auth-proxy", "reason": reason, "backends": backends});
        Some((good, health.to_string()))
    }

    fn page(&self) -> String {
        let metrics = &self.metrics;
        let ready = self.ready();
        let mut body = format!(
            "<p>{} passed, {} refused, {} in flight, {} sent again after a cold start</p>",
            metrics.passed.get(),
            metrics.refused.get(),
            metrics.inflight.get(),
            self.token_metrics.retries.get(),
        );
        for backend in &self.backends {
            if let Some(tokens) = self.tokens_of(backend) {
                body.push_str(&backend_path(backend, tokens));
            }
        }
        let footer = format!(
            "up for {}, version {} · <a href=metrics>metrics</a> · <a href=health>health</a>",
            in_words(self.since.elapsed()),
            env!("CARGO_PKG_VERSION"),
        );
        let readiness = ready.as_ref().map_err(AsRef::as_ref).copied();
        StatusPage { process: "guard idtoken", readiness, body, footer }.render(metrics)
    }
}

/// The path of a request to one backend: the listener, the token that is attached, the backend.
fn backend_path(backend: &BackendConfig, tokens: &Tokens) -> String {
    let life = match tokens.seconds_to_expiry() {
        Some(seconds @ 0..) => format!("valid for {}", in_words(Duration::from_secs(seconds.unsigned_abs()))),
        Some(_) => "expired".to_owned(),
        None => "none yet".to_owned(),
    };
    let trouble = tokens.trouble().map(|trouble| format!("<br>last fetch: {}", escape(&trouble))).unwrap_or_default();
    let host = String::from_utf8_lossy(backend.url.host.as_bytes()).into_owned();
    path(&[
        Hop { is_good: true, name: "Listener", state: format!("port {}", backend.listen.0.port()) },
        Hop {
            is_good: tokens.current().is_some(),
            name: "Token",
            state: format!("{life}{trouble}<br>for {}", escape(&backend.audience)),
        },
        Hop { is_good: true, name: "Backend", state: format!("{}{}", escape(&host), escape(&backend.url.base)) },
    ])
}
