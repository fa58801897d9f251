//! What the way out shows of itself: ready or not, each token's life, and why the last fetch failed.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::config::{BackendConfig, IdtokenConfig};
use super::metrics::TokenMetrics;
use super::tokens::Tokens;
use crate::frontdoor::builder::TrustSource;
use crate::origin::status::{PAGE_HEAD, refused_rows, words};
use crate::refusal::escape;
use crate::serve::Phase;
use crate::telemetry::admin::View;
use crate::telemetry::metrics::Metrics;

/// What the page shows.
pub struct Status {
    backends: Vec<BackendConfig>,
    metrics: Arc<Metrics>,
    token_metrics: TokenMetrics,
    tokens: Vec<Arc<Tokens>>,
    /// The inbound check's; none where there is no check.
    trust_source: Option<TrustSource>,
    phase: Option<watch::Receiver<Phase>>,
    since: Instant,
}

impl Status {
    /// A page about this process.
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
            // With one of several missing, the others still have work to do.
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
        // `status` and `service` are what the source design answers.
        let health = serde_json::json!({"status": status, "service": "auth-proxy", "reason": reason, "backends": backends});
        Some((good, health.to_string()))
    }

    fn page(&self) -> String {
        let metrics = &self.metrics;
        let mut page = String::from(PAGE_HEAD);
        let verdict = match self.ready() {
            Ok(()) => "<b class=good>open</b>".to_owned(),
            Err(why) => format!("<b class=bad>closed</b> — {}", escape(&why)),
        };
        let _ = write!(
            page,
            "<h1>The way out is {verdict}</h1><p>{} passed, {} refused, {} under way, {} sent again after a cold start</p>",
            metrics.passed.get(),
            metrics.refused.get(),
            metrics.inflight.get(),
            self.token_metrics.retries.get(),
        );
        for backend in &self.backends {
            let Some(tokens) = self.tokens_of(backend) else { continue };
            let good = tokens.current().is_some();
            let life = match tokens.seconds_to_expiry() {
                Some(seconds @ 0..) => format!("good for {}", words(std::time::Duration::from_secs(seconds.unsigned_abs()))),
                Some(_) => "ended".to_owned(),
                None => "none yet".to_owned(),
            };
            let trouble = tokens.trouble().map(|trouble| format!("<br>last fetch: {}", escape(&trouble))).unwrap_or_default();
            let host = String::from_utf8_lossy(backend.url.host.as_bytes()).into_owned();
            let _ = write!(
                page,
                "<ol class=way><li class=good><h2>Listener</h2><p>port {}</p></li><li class={}><h2>Token</h2><p>{life}{trouble}<br>for {}</p></li>\
                 <li class=good><h2>Backend</h2><p>{}{}</p></li></ol>",
                backend.listen.0.port(),
                if good { "good" } else { "bad" },
                escape(&backend.audience),
                escape(&host),
                escape(&backend.url.base),
            );
        }
        page.push_str("<h2>Refused</h2><table>");
        refused_rows(&mut page, metrics);
        let _ = write!(
            page,
            "</table><p class=small>up for {}, version {} · <a href=metrics>metrics</a> · <a href=health>health</a></p></html>",
            words(self.since.elapsed()),
            env!("CARGO_PKG_VERSION"),
        );
        page
    }
}
