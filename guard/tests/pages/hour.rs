//! An hour of a family's evening: made-up requests for a status page, with the same numbers in each run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use guard::refusal::{Reason, RequestId};
use guard::telemetry::metrics::Metrics;
use guard::telemetry::recent_refusals::RefusedRequest;
use guard::telemetry::recent_requests::Decision;

/// Fills the last hour.
pub(super) fn fill(metrics: &Arc<Metrics>) {
    let now = Instant::now();
    for minute in 0..60_u32 {
        let Some(at) = now.checked_sub(Duration::from_secs(u64::from(minute) * 60)) else { continue };
        // Two people look at an album, and then somebody uploads.
        let wave = |middle: u32, width: u32, height: u32| height * width / (width + minute.abs_diff(middle).pow(2));
        let passed = 3 + wave(12, 30, 140) + wave(41, 60, 90) + minute * 7 % 13;
        for request in 0..passed {
            metrics.recent_requests.count(Decision::Passed, at);
            let own = Duration::from_micros(60 + u64::from(request * 37 % 90) + if request % 70 == 0 { 700 } else { 0 });
            metrics.recent_requests.record_own_time(own, at);
            metrics.passed.inc();
        }
        for _ in 0..if minute % 11 == 4 { 6 } else { minute % 2 } {
            metrics.recent_requests.count(Decision::Refused, at);
            metrics.refused.inc();
        }
    }
    let scan = "no assertion header";
    for (minutes, (reason, cause, target, is_authenticated, times)) in [27, 16, 11, 4, 1].into_iter().zip([
        (Reason::Unauthorized, scan, ("GET", "/.env"), false, 4),
        (Reason::Unauthorized, scan, ("GET", "/wp-login.php"), false, 12),
        (Reason::Forbidden, "verified person is not in GUARD_ALLOW_EMAIL", ("GET", "/"), true, 1),
        (Reason::BodyTooLarge, "declared 734003200 bytes, the limit is 104857600", ("POST", "/api/assets"), true, 2),
        (Reason::Unauthorized, "expired", ("GET", "/api/assets/0b9c3c1e-8f5d-4a53-9c0e-0d3a8c3f8a11/thumbnail"), false, 1),
    ]) {
        for _ in 0..times {
            let mut refused = RefusedRequest::now(RequestId::next(), reason, cause, Some(target), is_authenticated);
            refused.at = now.checked_sub(Duration::from_secs(minutes * 60)).unwrap_or(now);
            metrics.recent_refusals.add(refused);
        }
    }
}
