//! The metrics, each a field, so that the request path counts without a look-up.
//!
//! They are exposed in the `OpenMetrics` text format of the `prometheus-client` crate, which Prometheus reads.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::line_limiter::LineLimiter;
use super::recent_refusals::RecentRefusals;
use super::recent_requests::{Decision, RecentRequests};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::refusal::Reason;

/// How a large upload ends.
pub const UPLOAD_RESULTS: [&str; 4] = ["created", "duplicate", "refused", "broken"];

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters that differ in the value of one label.
type Labelled = Family<Vec<(&'static str, &'static str)>, Counter>;

/// The counters of an operation that succeeds or fails.
#[derive(Clone)]
pub struct Outcome {
    /// It succeeded.
    pub ok: Counter,
    /// It failed.
    pub failed: Counter,
}

/// The results of look-ups in the cache of verified tokens.
#[derive(Clone)]
pub struct CacheResults {
    /// The token was in the cache and is still valid.
    pub hit: Counter,
    /// The token was not in the cache and had to be verified.
    pub miss: Counter,
}

/// The errors between guard and its upstream.
#[derive(Clone)]
pub struct UpstreamErrors {
    /// The connection failed.
    pub connect: Counter,
    /// The connection was not established in time.
    pub timeout: Counter,
    /// The connection ended before a response.
    pub exchange: Counter,
    /// A pooled connection was closed before anything was written to it, and the request was sent on another one.
    pub retried: Counter,
}

/// The metrics of a serving process.
pub struct Metrics {
    registry: Registry,
    /// Requests that passed.
    pub passed: Counter,
    /// Requests that were refused.
    pub refused: Counter,
    /// Requests that were answered with the auth server's sign-in redirect.
    pub sign_in_redirects: Counter,
    refusals: [Counter; Reason::ALL.len()],
    assertion_failures: Labelled,
    auth_requests: Labelled,
    /// Seconds from the end of the request's head to the end of the response.
    pub request_duration: Histogram,
    /// Bytes of request bodies sent to the upstream.
    pub request_body_bytes: Counter,
    /// Bytes of response bodies sent to clients.
    pub response_body_bytes: Counter,
    /// Errors between guard and its upstream.
    pub upstream_errors: UpstreamErrors,
    /// Fetches of the key set.
    pub jwks_fetches: Outcome,
    memory_budget: Gauge,
    memory_reserved: Gauge,
    connections: Gauge,
    evicted: Gauge,
    jwks_keys: Gauge,
    jwks_age: Gauge<f64, AtomicU64>,
    /// Look-ups in the cache of verified tokens.
    pub token_cache: CacheResults,
    /// WebSockets (tunnels) that are open now.
    pub open_tunnels: Gauge,
    /// Large uploads that are under way now.
    pub open_uploads: Gauge,
    /// Bytes of large uploads that Immich was given.
    pub upload_bytes: Counter,
    uploads: Labelled,
    /// The requests of the last hour, for the status page.
    pub recent_requests: RecentRequests,
    /// The last refused requests, for the status page.
    pub recent_refusals: RecentRefusals,
    /// The limit of log lines about refused strangers.
    pub refused_lines: LineLimiter,
    /// Requests in flight now.
    pub inflight: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Metrics {
    /// Creates all metrics at zero, with every label value that is known in advance: a rate over a counter that appears later would miss its
    /// first increment.
    #[must_use]
    pub fn new() -> Self {
        Self::with(|_registry| {})
    }

    /// Creates all metrics, and those that `more` registers.
    #[must_use]
    pub fn with(more: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("guard");
        more(&mut registry);
        registry.register("build", "The version of guard", Info::new(Build { version: env!("CARGO_PKG_VERSION") }));

        let requests = family(&mut registry, "requests", "Requests, by decision");
        let refusals = family(&mut registry, "refusals", "Refused requests, by public reason");
        let assertion_failures = family(&mut registry, "assertion_failures", "Assertions that were refused, by cause");
        let auth_requests = family(&mut registry, "auth_requests", "Requests to the auth server, by result");
        let request_duration = Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0]);
        registry.register(
            "request_duration_seconds",
            "Seconds from the end of the request's head to the end of the response",
            request_duration.clone(),
        );
        let request_body_bytes = counter(&mut registry, "request_body_bytes", "Bytes of request bodies sent to the upstream");
        let response_body_bytes = counter(&mut registry, "response_body_bytes", "Bytes of response bodies sent to clients");
        let upstream_errors = family(&mut registry, "upstream_errors", "Errors between guard and its upstream");
        let jwks_fetches = family(&mut registry, "jwks_fetches", "Fetches of the key set");
        let jwks_keys = gauge(&mut registry, "jwks_keys", "Usable keys in the current key set");
        let jwks_age = Gauge::default();
        registry.register("jwks_age_seconds", "Age of the current key set; -1 before the first", jwks_age.clone());
        let token_cache = family(&mut registry, "token_cache", "Look-ups in the cache of verified tokens");
        let open_tunnels = gauge(&mut registry, "open_tunnels", "WebSocket tunnels that are open now");
        let inflight = gauge(&mut registry, "inflight_requests", "Requests in flight now");
        let open_uploads = gauge(&mut registry, "open_uploads", "Large uploads that are under way now");
        let upload_bytes = counter(&mut registry, "upload_bytes", "Bytes of large uploads that Immich was given");
        let uploads = family(&mut registry, "uploads", "Large uploads that ended, by result");
        for result in UPLOAD_RESULTS {
            labelled(&uploads, "result", result);
        }

        let memory_budget = gauge(&mut registry, "memory_budget_bytes", "Memory that connections and requests may reserve");
        let memory_reserved =
            gauge(&mut registry, "memory_reserved_bytes", "Memory that connections and requests have reserved now");
        let connections = gauge(&mut registry, "open_connections", "Connections that are open now, without tunnels");
        let evicted = gauge(&mut registry, "evicted_connections", "Idle connections that gave way to others since the start");

        Self {
            memory_budget,
            memory_reserved,
            connections,
            evicted,
            passed: labelled(&requests, "decision", "passed"),
            refused: labelled(&requests, "decision", "refused"),
            sign_in_redirects: labelled(&requests, "decision", "sign-in"),
            refusals: Reason::ALL.map(|reason| labelled(&refusals, "reason", reason.label())),
            assertion_failures,
            auth_requests,
            request_duration,
            request_body_bytes,
            response_body_bytes,
            upstream_errors: UpstreamErrors {
                connect: labelled(&upstream_errors, "kind", "connect"),
                timeout: labelled(&upstream_errors, "kind", "timeout"),
                exchange: labelled(&upstream_errors, "kind", "exchange"),
                retried: labelled(&upstream_errors, "kind", "retried"),
            },
            jwks_fetches: Outcome {
                ok: labelled(&jwks_fetches, "result", "ok"),
                failed: labelled(&jwks_fetches, "result", "failed"),
            },
            jwks_keys,
            jwks_age,
            token_cache: CacheResults {
                hit: labelled(&token_cache, "result", "hit"),
                miss: labelled(&token_cache, "result", "miss"),
            },
            open_tunnels,
            open_uploads,
            upload_bytes,
            uploads,
            inflight,
            recent_requests: RecentRequests::since(an_hour_ago()),
            recent_refusals: RecentRefusals::default(),
            refused_lines: LineLimiter::default(),
            registry,
        }
    }

    /// Counts a large upload that ended.
    pub fn upload(&self, result: &'static str) {
        labelled(&self.uploads, "result", result).inc();
    }

    /// The number of large uploads that ended like this.
    pub fn uploads(&self, result: &'static str) -> u64 {
        labelled(&self.uploads, "result", result).get()
    }

    /// Counts a request that passed, and ended at `at`.
    pub fn pass(&self, at: Instant) {
        self.passed.inc();
        self.recent_requests.count(Decision::Passed, at);
    }

    /// Counts a request that was redirected to sign-in, and ended at `at`.
    pub fn sign_in(&self, at: Instant) {
        self.sign_in_redirects.inc();
        self.recent_requests.count(Decision::SignIn, at);
    }

    /// Counts one refusal.
    pub fn refusal(&self, reason: Reason) {
        self.refused.inc();
        self.recent_requests.count(Decision::Refused, Instant::now());
        self.refusal_counter(reason).inc();
    }

    /// The number of refusals for `reason` so far.
    pub fn refusals(&self, reason: Reason) -> u64 {
        self.refusal_counter(reason).get()
    }

    /// Counts an assertion that was refused.
    pub fn assertion_failure(&self, cause: &'static str) {
        labelled(&self.assertion_failures, "cause", cause).inc();
    }

    /// Registers a cause at zero.
    pub fn expect_assertion_failure(&self, cause: &'static str) {
        labelled(&self.assertion_failures, "cause", cause);
    }

    /// Counts a request to the auth server.
    pub fn auth_request(&self, result: &'static str) {
        labelled(&self.auth_requests, "result", result).inc();
    }

    /// Registers every result of a request to the auth server at zero.
    pub fn register_auth_results(&self) {
        for result in ["allowed", "denied", "error"] {
            labelled(&self.auth_requests, "result", result);
        }
    }

    /// Sets the number of keys and their age; `None` before the first key set.
    pub fn key_set(&self, keys_and_age: Option<(usize, Duration)>) {
        let (keys, age) = keys_and_age.map_or((0, -1.0), |(keys, age)| (keys, age.as_secs_f64()));
        self.jwks_keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.jwks_age.set(age);
    }

    /// Sets the memory budget, its reserved part, the open connections and those that gave way.
    pub fn memory(&self, budget: i64, reserved: i64, connections: usize, evicted: u64) {
        self.memory_budget.set(budget);
        self.memory_reserved.set(reserved);
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
        self.evicted.set(i64::try_from(evicted).unwrap_or(i64::MAX));
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    fn refusal_counter(&self, reason: Reason) -> &Counter {
        &self.refusals[Reason::ALL.iter().position(|known| *known == reason).unwrap_or(0)]
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts one in a gauge until it is dropped.
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Increments the gauge; dropping the guard decrements it.
    pub fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// An hour ago, so that a test can fill the last hour; now where the machine has started since.
fn an_hour_ago() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(3600)).unwrap_or(now)
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn family(registry: &mut Registry, name: &str, help: &str) -> Labelled {
    let family = Labelled::default();
    registry.register(name, help, family.clone());
    family
}

fn labelled(family: &Labelled, key: &'static str, value: &'static str) -> Counter {
    family.get_or_create(&vec![(key, value)]).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_has_every_name_of_the_contract() {
        let metrics = Metrics::new();
        metrics.refusal(Reason::BodyTooLarge);
        metrics.key_set(None);
        metrics.expect_assertion_failure("expired");
        let text = metrics.render();
        for name in [
            "guard_build_info{version=",
            "guard_requests_total{decision=\"refused\"} 1",
            "guard_refusals_total{reason=\"body-too-large\"} 1",
            "guard_refusals_total{reason=\"unauthorized\"} 0",
            "guard_assertion_failures_total{cause=\"expired\"} 0",
            "guard_request_duration_seconds_bucket",
            "guard_request_body_bytes_total 0",
            "guard_response_body_bytes_total 0",
            "guard_upstream_errors_total{kind=\"connect\"} 0",
            "guard_jwks_fetches_total{result=\"failed\"} 0",
            "guard_jwks_keys 0",
            "guard_jwks_age_seconds -1",
            "guard_token_cache_total{result=\"hit\"} 0",
            "guard_open_tunnels 0",
            "guard_inflight_requests 0",
        ] {
            assert!(text.contains(name), "{name} in\n{text}");
        }
    }
}
