//! The status of `guard idtoken`: the path to each backend, the life of its token, and why the last fetch failed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use super::config::BackendConfig;
use super::metrics::TokenMetrics;
use super::tokens::Tokens;
use crate::frontdoor::builder::TrustSource;
use crate::html::escape;
use crate::serve::Phase;
use crate::telemetry::admin::View;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::status_page::{Hop, Openness, StatusPage, counted, in_words, path, upstream_json, upstream_words};
use crate::telemetry::upstream_health::UpstreamHealth;

/// What the page shows.
pub struct Status {
    /// Each backend, with when it last answered and last failed.
    backends: Vec<(BackendConfig, Arc<UpstreamHealth>)>,
    /// The source of the tokens.
    source: &'static str,
    metrics: Arc<Metrics>,
    token_metrics: TokenMetrics,
    tokens: Vec<Arc<Tokens>>,
    /// What the inbound check trusts; none where there is no check.
    trust_source: Option<TrustSource>,
    phase: Option<watch::Receiver<Phase>>,
    since: Instant,
}

impl Status {
    /// The page of a process with these backends, whose tokens come from `source`.
    pub fn new(
        backends: Vec<(BackendConfig, Arc<UpstreamHealth>)>,
        source: &'static str,
        metrics: Arc<Metrics>,
        token_metrics: TokenMetrics,
        tokens: Vec<Arc<Tokens>>,
        trust_source: Option<TrustSource>,
        phase: Option<watch::Receiver<Phase>>,
    ) -> Self {
        Self { backends, source, metrics, token_metrics, tokens, trust_source, phase, since: Instant::now() }
    }

    /// Gives the page of this moment to `render`.
    fn with_page<T>(&self, render: impl FnOnce(&StatusPage<'_>) -> T) -> T {
        let ready = self.ready();
        let mut html = String::new();
        for (backend, health) in &self.backends {
            if let Some(tokens) = self.tokens_of(backend) {
                html.push_str(&backend_path(backend, tokens, health, self.source));
            }
        }
        let all_have_tokens = self.tokens.iter().all(|tokens| tokens.current().is_some());
        let all_answer = self.backends.iter().all(|(_, health)| health.state().is_good);
        let openness = match &ready {
            Err(_) if self.tokens.iter().all(|tokens| tokens.current().is_none()) => {
                Openness::Shut("There is no identity token; see below.")
            }
            Err(reason) => Openness::Shut(reason),
            Ok(()) if !all_have_tokens => Openness::Limited("A backend has no identity token; see below."),
            Ok(()) if !all_answer => Openness::Limited("A backend does not answer; see below."),
            Ok(()) => Openness::Open("Each request gets an identity token on its way to the backend."),
        };
        let front_door = self.trust_source.as_ref().map_or_else(
            || "No front door: every client that reaches the port may use the backends. ".to_owned(),
            |trust_source| format!("Front door: {}. ", trust_source.describe(in_words).1),
        );
        let footer = format!(
            "{front_door}{} now; {} passed, {} refused and {} sent again after a cold start since the start. ",
            counted(self.metrics.inflight.get(), "request"),
            self.metrics.passed.get(),
            self.metrics.refused.get(),
            self.token_metrics.retries.get(),
        );
        let links = " · <a href=health>health</a>";
        render(&StatusPage { process: "guard idtoken", openness, path: html, since: self.since, footer: escape(&footer), links })
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

    fn page(&self, is_still: bool) -> String {
        self.with_page(|page| page.render(&self.metrics, is_still))
    }

    fn status_json(&self) -> String {
        let backends: Vec<_> = self
            .backends
            .iter()
            .filter_map(|(backend, health)| {
                let tokens = self.tokens_of(backend)?;
                let (ok, failed) = tokens.fetches();
                Some(json!({
                    "port": backend.listen.0.port(),
                    "backend": upstream_json(health.state(), &address(backend)),
                    "token": {
                        "audience": tokens.audience(),
                        "valid": tokens.current().is_some(),
                        "seconds_to_expiry": tokens.seconds_to_expiry(),
                        "source": self.source,
                        "fetches": {"ok": ok, "failed": failed},
                        "last_error": tokens.trouble().as_deref(),
                    },
                }))
            })
            .collect();
        self.with_page(|page| page.json(&self.metrics, &[("backends", backends.into())]))
    }
}

/// The path of a request to one backend: the listener, the token that is attached, the backend.
fn backend_path(backend: &BackendConfig, tokens: &Tokens, health: &UpstreamHealth, source: &str) -> String {
    let life = match tokens.seconds_to_expiry() {
        Some(seconds @ 0..) => format!("valid for {}", in_words(Duration::from_secs(seconds.unsigned_abs()))),
        Some(_) => "expired".to_owned(),
        None => "none yet".to_owned(),
    };
    let (ok, failed) = tokens.fetches();
    let mut token_details = vec![format!("for {}", tokens.audience()), format!("source {source}: {ok} fetched, {failed} failed")];
    token_details.extend(tokens.trouble().map(|trouble| format!("last fetch: {trouble}")));
    let state = health.state();
    let (backend_state, backend_details) = upstream_words(state, &address(backend));
    path(&[
        Hop { is_good: true, name: "Listener", state: format!("port {}", backend.listen.0.port()), details: Vec::new() },
        Hop { is_good: tokens.current().is_some(), name: "Identity token", state: life, details: token_details },
        Hop { is_good: state.is_good, name: "Backend", state: backend_state, details: backend_details },
    ])
}

/// The host and the path of a backend.
fn address(backend: &BackendConfig) -> String {
    format!("{}{}", String::from_utf8_lossy(backend.url.host.as_bytes()), backend.url.base)
}
