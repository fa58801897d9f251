//! The status page of `guard origin`: the front door, guard and Immich, each with its state now.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use crate::config::OriginConfig;
use crate::config::units::size_in_words;
use crate::frontdoor::builder::TrustSource;
use crate::html::escape;
use crate::serve::{Lifecycle, Phase};
use crate::telemetry::admin::View;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::status_page::{Hop, StatusPage, in_words, path};
use crate::telemetry::upstream_health::{UpstreamHealth, UpstreamState};

/// What the page shows.
pub struct Status {
    front_door: String,
    upstream: String,
    limit: String,
    metrics: Arc<Metrics>,
    trust_source: TrustSource,
    upstream_health: Arc<UpstreamHealth>,
    lifecycle: Arc<Lifecycle>,
    since: Instant,
}

impl Status {
    /// The page of a process with this configuration.
    pub fn new(
        config: &OriginConfig,
        metrics: Arc<Metrics>,
        trust_source: TrustSource,
        upstream_health: Arc<UpstreamHealth>,
        lifecycle: Arc<Lifecycle>,
    ) -> Self {
        Self {
            front_door: config.front_door.description(),
            upstream: config.upstream.to_string(),
            limit: config.max_body.map_or_else(|| "no limit".to_owned(), size_in_words),
            metrics,
            trust_source,
            upstream_health,
            lifecycle,
            since: Instant::now(),
        }
    }

    fn guard_state(&self) -> String {
        let metrics = &self.metrics;
        let sign_ins = match metrics.sign_in_redirects.get() {
            0 => String::new(),
            count => format!(", {count} redirected to sign-in"),
        };
        format!(
            "{} passed, {} refused{sign_ins}<br>{} requests in flight, {} tunnels open",
            metrics.passed.get(),
            metrics.refused.get(),
            metrics.inflight.get(),
            metrics.open_tunnels.get()
        )
    }

    fn upstream_state(&self, state: UpstreamState) -> String {
        let UpstreamState { since_response, since_failure, .. } = state;
        let mut text = escape(&self.upstream);
        let response =
            since_response.map_or_else(|| "no response yet".to_owned(), |age| format!("last response {} ago", in_words(age)));
        text.push_str("<br>");
        text.push_str(&response);
        if let Some(age) = since_failure {
            text.extend(["<br>last failure ", &in_words(age), " ago"]);
        }
        text
    }
}

impl View for Status {
    fn ready(&self) -> Result<(), Cow<'static, str>> {
        if *self.lifecycle.phase().borrow() != Phase::Serving {
            return Err("draining".into());
        }
        if self.lifecycle.budget.is_saturated() {
            return Err("overloaded: requests are refused because memory or connections are used up".into());
        }
        self.trust_source.check()
    }

    fn metrics(&self) -> String {
        self.metrics.key_set(self.trust_source.keys().and_then(|keys| keys.current()).map(|set| (set.keys().len(), set.age())));
        let (total, reserved) = self.lifecycle.budget.usage();
        self.metrics.memory(total, reserved, self.lifecycle.open.count(), self.lifecycle.open.evicted());
        self.metrics.render()
    }

    fn page(&self) -> String {
        let ready = self.ready();
        let (front_door_is_good, front_door_state) = self.trust_source.describe(in_words);
        let upstream = self.upstream_health.state();
        let hops = [
            Hop {
                is_good: front_door_is_good,
                name: "Front door",
                state: format!("{}<br>{}", escape(&self.front_door), escape(&front_door_state)),
            },
            Hop { is_good: ready.is_ok(), name: "guard", state: self.guard_state() },
            Hop { is_good: upstream.is_good, name: "Immich", state: self.upstream_state(upstream) },
        ];
        let footer = format!(
            "largest body {}, up for {}, version {} · <a href=metrics>metrics</a> · to find out why a request was refused, search the \
             log for its <code>Guard-Request-Id</code>",
            self.limit,
            in_words(self.since.elapsed()),
            env!("CARGO_PKG_VERSION"),
        );
        let readiness = ready.as_ref().map_err(AsRef::as_ref).copied();
        StatusPage { process: "guard origin", readiness, body: path(&hops), footer }.render(&self.metrics)
    }
}
