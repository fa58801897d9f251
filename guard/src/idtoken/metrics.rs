//! The metrics of identity tokens, in addition to those of [`crate::telemetry::metrics`].

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics that all backends share.
#[derive(Clone, Default)]
pub struct TokenMetrics {
    fetches: Family<[(&'static str, &'static str); 2], Counter>,
    expiry: Family<[(&'static str, String); 1], Gauge<i64, AtomicI64>>,
    /// Requests that were sent again because the backend had no instance yet.
    pub retries: Counter,
}

impl TokenMetrics {
    /// Creates the metrics at zero and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("idtoken_fetches", "Fetches of identity tokens, by source", metrics.fetches.clone());
        let help = "Seconds until the current identity token expires; below zero once it has expired; absent before the first";
        registry.register("idtoken_seconds_to_expiry", help, metrics.expiry.clone());
        registry.register("idtoken_retries", "Requests sent again after a cold start's 429 or 503", metrics.retries.clone());
        metrics
    }

    /// Registers both results of a source at zero.
    pub fn expect(&self, source: &'static str) {
        for result in ["ok", "failed"] {
            drop(self.fetches.get_or_create(&[("source", source), ("result", result)]));
        }
    }

    /// Counts a fetch.
    pub fn fetched(&self, source: &'static str, ok: bool) {
        self.fetches.get_or_create(&[("source", source), ("result", if ok { "ok" } else { "failed" })]).inc();
    }

    /// Sets the remaining life of a token, in seconds.
    pub fn expires_in(&self, audience: &str, seconds: i64) {
        self.expiry.get_or_create(&[("audience", audience.to_owned())]).set(seconds);
    }
}
