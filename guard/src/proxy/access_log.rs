//! The access log: one line and one count for each request, written when its response has ended or was broken off.
//!
//! A line never holds a query string or the value of a header. The secret part of a share link is masked.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;

use super::request_body::{Meter, Progress};
use crate::identity::Identity;
use crate::memory::Reservation;
use crate::refusal::{Reason, Refusal, RefusalContext, RequestId};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::{GaugeGuard, Metrics};
use crate::telemetry::recent_refusals::RefusedRequest;

/// The longest method in the log, in bytes.
const MAX_METHOD_BYTES: usize = 24;
/// The longest path in the log, in bytes. Immich's own paths are shorter than 200.
const MAX_PATH_BYTES: usize = 512;

/// The access log entry of one request. It is written when the entry is dropped.
pub struct AccessLog {
    /// The request id.
    pub id: RequestId,
    /// The status that was sent; none where the client ended the connection first.
    pub status: Option<u16>,
    /// The identity, once the request is authenticated.
    pub who: Option<Arc<Identity>>,
    /// The address of the client.
    pub client: IpAddr,
    /// The meter of the request body, where there is one.
    pub meter: Option<Arc<Meter>>,
    /// The memory of the request, until its end.
    pub reservation: Option<Reservation>,
    /// The bytes sent to the upstream, where no meter counts them.
    pub bytes_in: u64,
    /// The bytes sent to the client.
    pub bytes_out: u64,
    /// Whether the response was sent to its end.
    pub complete: bool,
    /// How long the request has waited for others: the client's body, the auth server, the head of the upstream's response.
    pub waited: Duration,
    method: String,
    path: String,
    refusal: Option<Refusal>,
    signs_in: bool,
    started: Instant,
    log_identity: LogIdentity,
    metrics: Arc<Metrics>,
    inflight: Option<GaugeGuard>,
}

impl AccessLog {
    /// Starts the entry of a request for `path`, which must not hold the query.
    pub fn start(metrics: &Arc<Metrics>, log_identity: LogIdentity, client: IpAddr, method: &Method, path: &str) -> Self {
        Self {
            id: RequestId::next(),
            status: None,
            who: None,
            client,
            meter: None,
            reservation: None,
            bytes_in: 0,
            bytes_out: 0,
            complete: false,
            waited: Duration::ZERO,
            method: capped(method.as_str(), MAX_METHOD_BYTES).into_owned(),
            path: capped(&masked(path), MAX_PATH_BYTES).into_owned(),
            refusal: None,
            signs_in: false,
            started: Instant::now(),
            log_identity,
            inflight: Some(GaugeGuard::on(&metrics.inflight)),
            metrics: metrics.clone(),
        }
    }

    /// The progress of the request body; none where there is no body.
    pub fn body_progress(&self) -> Option<Progress> {
        self.meter.as_ref().map(|meter| meter.progress())
    }

    /// Waits for another party, whose time is not guard's own.
    pub async fn wait_for<T>(&mut self, other: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = other.await;
        self.waited += began.elapsed();
        result
    }

    /// Records guard's own share of the time up to now, when the head of the response is complete.
    pub fn record_own_time(&self) {
        let elapsed = self.started.elapsed();
        self.metrics.recent_requests.record_own_time(elapsed.saturating_sub(self.waited), self.started + elapsed);
    }

    /// Marks the request as a tunnel: it no longer counts as a request in flight.
    pub fn mark_tunnel(&mut self) {
        self.status = Some(101);
        self.inflight = None;
    }

    /// Marks the request as redirected to sign-in, with the status of the auth server's response.
    pub fn mark_sign_in(&mut self, status: u16) {
        self.status = Some(status);
        self.signs_in = true;
    }

    /// Marks the request as refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.status = Some(refusal.reason.status().as_u16());
        self.metrics.refusal(refusal.reason);
        self.refusal = Some(refusal);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        if let Some(meter) = &self.meter {
            self.bytes_in = meter.bytes();
        }
        if self.inflight.is_some() {
            self.metrics.request_duration.observe(elapsed.as_secs_f64());
        }
        self.metrics.request_body_bytes.inc_by(self.bytes_in);
        self.metrics.response_body_bytes.inc_by(self.bytes_out);
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let (method, path, status) = (&*self.method, &*self.path, u64::from(self.status.unwrap_or(0)));
        let who = match self.who.as_deref() {
            Some(Identity::Person { email, .. }) if self.log_identity == LogIdentity::Email => email.into(),
            Some(identity) => identity.log_name(),
            None => Cow::Borrowed(""),
        };
        let who = who.as_ref();
        let (bytes_in, bytes_out, complete) = (self.bytes_in, self.bytes_out, self.complete);
        if let Some(Refusal { reason, cause }) = &self.refusal {
            // A stranger can be refused as often as it likes: its lines are limited, so that those of the family are not lost.
            if self.who.is_none() && !self.metrics.refused_lines.admit() {
                return;
            }
            let refused = RefusedRequest::now(self.id, *reason, cause, Some((method, path)), self.who.is_some());
            self.metrics.recent_refusals.add(refused);
            tracing::warn!(
                message = "refused", id = %self.id, method, path, status, reason = reason.label(), cause = cause.as_ref(),
                blame = reason.blame(), who, client = %self.client, bytes_in, bytes_out, ms, decision = "refused"
            );
        } else if self.signs_in {
            self.metrics.sign_in(self.started + elapsed);
            tracing::info!(
                message = "sign-in", id = %self.id, method, path, status, client = %self.client, bytes_out, ms, complete,
                decision = "sign-in"
            );
        } else {
            self.metrics.pass(self.started + elapsed);
            tracing::info!(
                message = "request", id = %self.id, method, path, status, who, client = %self.client, bytes_in, bytes_out, ms,
                complete, decision = "passed"
            );
        }
    }
}

/// Logs and counts a request whose head hyper refused with this status, and returns the whole response as bytes.
pub fn refuse_head(metrics: &Metrics, refusal_context: &RefusalContext, peer: IpAddr, status: u16) -> Vec<u8> {
    let refusal = match status {
        431 => Refusal::new(Reason::HeadersTooLarge, "the head has too many lines or bytes"),
        503 => Refusal::new(Reason::Overloaded, "the memory or the connections are used up"),
        414 => Refusal::new(Reason::HeadersTooLarge, "the target is too long"),
        _ => Refusal::new(Reason::BadRequest, "the head is not HTTP/1.1"),
    };
    let id = RequestId::next();
    metrics.refusal(refusal.reason);
    if !metrics.refused_lines.admit() {
        return refusal.wire(id, refusal_context);
    }
    let (reason, cause) = (refusal.reason.label(), refusal.cause.as_ref());
    metrics.recent_refusals.add(RefusedRequest::now(id, refusal.reason, cause, None, false));
    tracing::warn!(message = "refused", id = %id, reason, cause, blame = refusal.reason.blame(), client = %peer, decision = "refused");
    refusal.wire(id, refusal_context)
}

/// Cuts a text that a client chose to `limit` bytes, and says how long it was.
fn capped(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}… ({} bytes)", &text[..end], text.len()).into()
}

/// Masks the secret part of a share link: whoever knows what follows `/share/` or `/s/` can open the album. Other spellings that a server
/// could read as one of them are masked too: empty segments, dot segments, percent-escapes, capital letters, parameters.
fn masked(path: &str) -> Cow<'_, str> {
    let mut end = 0;
    for segment in path.split_inclusive(['/', '\\']) {
        let name = segment.trim_end_matches(['/', '\\']);
        let plain = name.split(';').next().unwrap_or_default();
        end += segment.len();
        if matches!(plain, "" | "." | "..") {
            continue;
        }
        let is_secret = plain.eq_ignore_ascii_case("share") || plain.eq_ignore_ascii_case("s") || plain.contains('%');
        let goes_on = end < path.len();
        return if is_secret && goes_on { format!("{}***", &path[..end]).into() } else { path.into() };
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::{capped, masked};

    #[test]
    fn a_text_that_a_client_chose_is_cut_between_two_characters() {
        assert_eq!(capped("GET", 24), "GET");
        assert_eq!(capped("äää", 3), "ä… (6 bytes)");
        assert!(capped(&"x".repeat(60_000), 512).len() < 540);
    }

    #[test]
    fn the_secret_of_a_share_link_is_masked() {
        assert_eq!(masked("/share/AbC_123/photos/1"), "/share/***");
        assert_eq!(masked("/s/wedding"), "/s/***");
        for (path, written) in [
            ("/%73hare/AbC_123", "/%73hare/***"),
            ("//share/AbC_123", "//share/***"),
            ("/./share/AbC_123", "/./share/***"),
            ("/../s/AbC_123", "/../s/***"),
            ("/SHARE/AbC_123", "/SHARE/***"),
            ("/share;x=1/AbC_123", "/share;x=1/***"),
            ("/share//AbC_123", "/share/***"),
            ("\\share\\AbC_123", "\\share\\***"),
            ("/share", "/share"),
            ("//", "//"),
        ] {
            assert_eq!(masked(path), written);
        }
        assert_eq!(masked("/share/"), "/share/");
        assert_eq!(masked("/api/shared-links/me"), "/api/shared-links/me");
        assert_eq!(masked("/"), "/");
    }
}
