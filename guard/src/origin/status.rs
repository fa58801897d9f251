//! The status of `guard origin`: the front door, guard and Immich, each with its state now. The NAS is not on the path of a request; guard cannot
//! see it from here, and the page says so.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::config::OriginConfig;
use crate::config::units::size_in_words;
use crate::frontdoor::builder::TrustSource;
use crate::serve::{Lifecycle, Phase};
use crate::telemetry::admin::View;
use crate::telemetry::metrics::{Metrics, UPLOAD_RESULTS};
use crate::telemetry::status_page::{Hop, Openness, StatusPage, counted, in_words, path, upstream_json, upstream_words};
use crate::telemetry::upstream_health::UpstreamHealth;

/// What the page is about to say of the NAS.
const NAS_NOTE: &str = "<p class='small note'>The NAS is behind Immich, and guard origin does not see it. If the NAS is away, Immich stops, \
                        and does not answer here. <code>guardctl doctor</code> says which of them it is.</p>";

/// What the page shows.
pub struct Status {
    front_door: String,
    upstream: String,
    limit: String,
    has_uploads: bool,
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
            has_uploads: config.uploads.is_some(),
            metrics,
            trust_source,
            upstream_health,
            lifecycle,
            since: Instant::now(),
        }
    }

    fn guard_details(&self) -> Vec<String> {
        let metrics = &self.metrics;
        let mut now = vec![counted(metrics.inflight.get(), "request"), counted(metrics.open_tunnels.get(), "tunnel")];
        let mut details = Vec::new();
        if self.has_uploads {
            now.push(counted(metrics.open_uploads.get(), "large upload"));
            details.push(format!(
                "Large uploads so far: {} stored, {} known already, {} refused, {} broken off",
                metrics.uploads("created"),
                metrics.uploads("duplicate"),
                metrics.uploads("refused"),
                metrics.uploads("broken")
            ));
        }
        details.insert(0, format!("In flight: {}", now.join(", ")));
        details
    }

    /// Gives the page of this moment to `render`.
    fn with_page<T>(&self, render: impl FnOnce(&StatusPage<'_>) -> T) -> T {
        let ready = self.ready();
        let (front_door_is_good, front_door_state) = self.trust_source.describe(in_words);
        let upstream = self.upstream_health.state();
        let (upstream_state, upstream_details) = upstream_words(upstream, &self.upstream);
        let guard_state = if ready.is_ok() { "lets requests pass" } else { "refuses requests" };
        let hops = [
            Hop {
                is_good: front_door_is_good,
                name: "Front door",
                state: front_door_state,
                details: vec![self.front_door.clone()],
            },
            Hop { is_good: ready.is_ok(), name: "guard", state: guard_state.to_owned(), details: self.guard_details() },
            Hop { is_good: upstream.is_good, name: "Immich", state: upstream_state, details: upstream_details },
        ];
        let openness = match &ready {
            Err(reason) => Openness::Shut(reason),
            Ok(()) if !upstream.is_good => {
                Openness::Limited("Immich does not answer. Visitors are told that their photos are safe.")
            }
            Ok(()) if !front_door_is_good => Openness::Limited("The front door's answers are old or wrong; see below."),
            Ok(()) => Openness::Open("Requests with a valid sign-in reach Immich. All others are refused."),
        };
        let since_start = format!(
            "{} passed and {} refused since the start. Largest body: {}. ",
            self.metrics.passed.get(),
            self.metrics.refused.get(),
            self.limit
        );
        let path = path(&hops) + NAS_NOTE;
        render(&StatusPage { process: "guard origin", openness, path, since: self.since, footer: since_start, links: "" })
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

    fn page(&self, is_still: bool) -> String {
        self.with_page(|page| page.render(&self.metrics, is_still))
    }

    fn status_json(&self) -> String {
        let (is_good, state) = self.trust_source.describe(in_words);
        let key_set = self.trust_source.keys().and_then(|keys| keys.current());
        let front_door = json!({
            "address": self.front_door,
            "good": is_good,
            "state": state,
            "keys": key_set.as_ref().map(|set| set.keys().len()),
            "keys_age_seconds": key_set.as_ref().map(|set| set.age().as_secs()),
        });
        let uploads = if self.has_uploads {
            let mut uploads = json!({"open": self.metrics.open_uploads.get(), "bytes": self.metrics.upload_bytes.get()});
            for result in UPLOAD_RESULTS {
                uploads[result] = self.metrics.uploads(result).into();
            }
            uploads
        } else {
            Value::Null
        };
        let immich = upstream_json(self.upstream_health.state(), &self.upstream);
        self.with_page(|page| {
            page.json(&self.metrics, &[("front_door", front_door), ("immich", immich), ("large_uploads", uploads)])
        })
    }
}
