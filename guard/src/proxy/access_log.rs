//! What is known about one request, written as one log line and counted when its last byte has gone, or when it broke off.
//!
//! Never the query string, never a header's value; the secret part of a share link is masked.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::Method;

use super::request_body::{Meter, Progress};
use crate::identity::Identity;
use crate::refusal::{Reason, Refusal, RefusalContext, RequestId};
use crate::telemetry::log::LogIdentity;
use crate::telemetry::metrics::{GaugeGuard, Metrics};

/// The in_flight of one request. Dropping it tells it.
pub struct AccessLog {
    /// Its id.
    pub id: RequestId,
    /// The status that was sent; none yet means that the client left first.
    pub status: Option<u16>,
    /// Who sent it, once verified.
    pub who: Option<Arc<Identity>>,
    /// Where it came from.
    pub client: IpAddr,
    /// The body of the request, where it has one.
    pub meter: Option<Arc<Meter>>,
    /// Bytes that were passed to the upstream, where no meter counts them.
    pub bytes_in: u64,
    /// Bytes that were passed back.
    pub bytes_out: u64,
    /// Whether the answer went out to its end.
    pub complete: bool,
    method: Method,
    path: String,
    refusal: Option<Refusal>,
    signs_in: bool,
    started: Instant,
    log_identity: LogIdentity,
    metrics: Arc<Metrics>,
    inflight: Option<GaugeGuard>,
}

impl AccessLog {
    /// Begins the in_flight of a request for `path`, without its query.
    pub fn start(metrics: &Arc<Metrics>, log_identity: LogIdentity, client: IpAddr, method: &Method, path: &str) -> Self {
        Self {
            id: RequestId::next(),
            status: None,
            who: None,
            client,
            meter: None,
            bytes_in: 0,
            bytes_out: 0,
            complete: false,
            method: method.clone(),
            path: masked(path).into_owned(),
            refusal: None,
            signs_in: false,
            started: Instant::now(),
            log_identity,
            inflight: Some(GaugeGuard::on(&metrics.inflight)),
            metrics: metrics.clone(),
        }
    }

    /// How the request's body stands; none where it has none.
    pub fn body_progress(&self) -> Option<Progress> {
        self.meter.as_ref().map(|meter| meter.progress())
    }

    /// It became a tunnel: open for hours, it counts as one, and no longer as a request under way.
    pub fn mark_tunnel(&mut self) {
        self.status = Some(101);
        self.inflight = None;
    }

    /// The auth server answered: whoever sent it is to sign in.
    pub fn mark_sign_in(&mut self, status: u16) {
        self.status = Some(status);
        self.signs_in = true;
    }

    /// It was refused.
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
        let (method, path, status) = (self.method.as_str(), self.path.as_str(), u64::from(self.status.unwrap_or(0)));
        let who = match self.who.as_deref() {
            Some(Identity::Person { email, .. }) if self.log_identity == LogIdentity::Email => email.into(),
            Some(identity) => identity.log_name(),
            None => Cow::Borrowed(""),
        };
        let who = who.as_ref();
        let (bytes_in, bytes_out, complete) = (self.bytes_in, self.bytes_out, self.complete);
        if let Some(Refusal { reason, cause }) = &self.refusal {
            tracing::warn!(
                message = "refused", id = %self.id, method, path, status, reason = reason.label(), cause = cause.as_ref(),
                blame = reason.blame(), who, client = %self.client, bytes_in, bytes_out, ms, decision = "refused"
            );
        } else if self.signs_in {
            self.metrics.sign_in_redirects.inc();
            tracing::info!(
                message = "sign-in", id = %self.id, method, path, status, client = %self.client, bytes_out, ms, complete,
                decision = "sign-in"
            );
        } else {
            self.metrics.passed.inc();
            tracing::info!(
                message = "request", id = %self.id, method, path, status, who, client = %self.client, bytes_in, bytes_out, ms,
                complete, decision = "passed"
            );
        }
    }
}

/// The whole answer to a head that hyper would have refused with this status, as bytes; it has its line and its count like any other.
pub fn refuse_head(metrics: &Metrics, refusal_context: &RefusalContext, peer: IpAddr, status: u16) -> Vec<u8> {
    let refusal = match status {
        431 => Refusal::new(Reason::HeadersTooLarge, "the head has too many lines or bytes"),
        414 => Refusal::new(Reason::HeadersTooLarge, "the target is too long"),
        _ => Refusal::new(Reason::BadRequest, "the head is not HTTP/1.1"),
    };
    let id = RequestId::next();
    metrics.refusal(refusal.reason);
    let (reason, cause) = (refusal.reason.label(), refusal.cause.as_ref());
    tracing::warn!(message = "refused", id = %id, reason, cause, blame = "client", client = %peer, decision = "refused");
    refusal.wire(id, refusal_context)
}

/// The path as the log may have it: what follows `/share/` and `/s/` opens an album to whoever knows it. A first part with escapes in it
/// could spell either, and nobody who means well writes it so.
fn masked(path: &str) -> Cow<'_, str> {
    let mut parts = path.splitn(3, '/');
    let (_, Some(first), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return path.into() };
    let secret = matches!(first, "share" | "s") || first.contains('%');
    if secret && !rest.is_empty() { format!("/{first}/***").into() } else { path.into() }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn the_secret_of_a_share_link_is_masked() {
        assert_eq!(masked("/share/AbC_123/photos/1"), "/share/***");
        assert_eq!(masked("/s/wedding"), "/s/***");
        assert_eq!(masked("/%73hare/AbC_123"), "/%73hare/***");
        assert_eq!(masked("/share/"), "/share/");
        assert_eq!(masked("/api/shared-links/me"), "/api/shared-links/me");
        assert_eq!(masked("/"), "/");
    }
}
