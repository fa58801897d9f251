//! An auth server is asked about each request; only its yes, with a name in it, lets the request in.
//!
//! ```text
//!  request ─▶ credential ─▶ known? ──yes──────────────▶ authenticated
//!                             │no                          ▲
//!                             ▼                            │ 2xx with a name
//!                          request ─▶ auth server ─▶ what it outcome ─▶ 3xx, 401, 403: a browser gets it, anyone else 401
//!                                                          └────────▶ anything else, or silence: 503
//! ```
//!
//! What Caddy's `forward_auth`, Traefik's `forwardAuth` and nginx's `auth_request` do, and stricter where they let something slip:
//! `docs/front-doors.md` has the differences, `tests/front_door` shows them.

pub mod auth_client;
pub mod health;
pub mod outcome;
pub mod password_cache;

use std::sync::Arc;

use hyper::Method;
use hyper::header::{HeaderName, UPGRADE};

use super::{AuthDecision, Authenticated, RequestHead, TUNNEL_LIFETIME_SECONDS};
use crate::config::ForwardAuthConfig;
use crate::refusal::{Reason, Refusal, prefers_html};
use crate::telemetry::metrics::Metrics;
use auth_client::{AuthClient, Credential, is_authentiks};
use outcome::AuthOutcome;
use password_cache::{CacheKey, PasswordCache};

/// The one path below `/api/` that a person's browser is sent to: the way back from the identity provider to the phone app.
const MOBILE_REDIRECT: &str = "/api/oauth/mobile-redirect";

/// The check of one worker: its own connections to the auth server, and the memory that all workers share.
pub struct ForwardAuth {
    client: Arc<AuthClient>,
    password_cache: Arc<PasswordCache>,
    metrics: Arc<Metrics>,
}

impl ForwardAuth {
    /// A check.
    pub fn new(client: Arc<AuthClient>, password_cache: Arc<PasswordCache>, metrics: Arc<Metrics>) -> Self {
        Self { client, password_cache, metrics }
    }

    /// What was configured.
    pub fn config(&self) -> &ForwardAuthConfig {
        self.client.config()
    }

    /// The headers by which the auth server names people.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        let ForwardAuthConfig { identity, email, name, copy, .. } = self.config();
        [identity, name].into_iter().chain(email).chain(copy).cloned().collect()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.client.sweep();
    }

    /// Who sent the request, or the way to sign in.
    pub async fn identify(&self, head: &RequestHead<'_>) -> Result<AuthDecision, Refusal> {
        let (outcome, consumes_authorization) = self.decide(head).await?;
        match outcome {
            AuthOutcome::Allowed(grant) => Ok(AuthDecision::Authenticated(Authenticated {
                identity: grant.identity.clone(),
                expires: head.now.saturating_add(TUNNEL_LIFETIME_SECONDS),
                consumes_authorization,
                auth_headers: Some(grant.auth_headers.clone()),
            })),
            AuthOutcome::Denied(no) if is_navigation(head) => match no.to_browser(self.config(), head.uri) {
                Some(response) => Ok(AuthDecision::Respond(response)),
                None => Err(Refusal::new(Reason::Unauthorized, no.cause)),
            },
            // Where nobody can sign in, a redirect to a page is no answer: apps follow it and read HTML.
            AuthOutcome::Denied(no) if no.is_forbidden() => Err(Refusal::new(Reason::Forbidden, no.cause)),
            AuthOutcome::Denied(no) => Err(Refusal::new(Reason::Unauthorized, no.cause)),
            AuthOutcome::Failed(cause) => Err(Refusal::new(Reason::AuthUnreachable, cause)),
        }
    }

    /// What the auth server says, and whether `Authorization` is what it says it of.
    async fn decide(&self, head: &RequestHead<'_>) -> Result<(AuthOutcome, bool), Refusal> {
        let credential = Credential::of(head.headers)?;
        let outcome = match &credential {
            // A bearer token may be Immich's own: it is the proof only where the session of the auth server alone is not.
            Credential::Other(_) if self.client.has_session(head.headers) => match self.ask(head, &Credential::None).await? {
                AuthOutcome::Denied(_) => self.ask(head, &credential).await?,
                outcome => return Ok((outcome, false)),
            },
            Credential::Password { .. } if self.is_same_everywhere(head) => self.remembered(head, &credential).await?,
            _ => self.ask(head, &credential).await?,
        };
        Ok((outcome, credential.is_authorization()))
    }

    async fn ask(&self, head: &RequestHead<'_>, credential: &Credential) -> Result<AuthOutcome, Refusal> {
        let outcome = self.client.ask(self.client.auth_request(head, credential)?).await;
        self.metrics.auth_request(outcome.label());
        Ok(outcome)
    }

    /// A password is asked about once, however many requests bring it at the same time, and its yes is good for a moment.
    async fn remembered(&self, head: &RequestHead<'_>, credential: &Credential) -> Result<AuthOutcome, Refusal> {
        let proof = CacheKey { credential, session: &self.client.session_of(head.headers) };
        let (client, metrics) = (self.client.clone(), self.metrics.clone());
        let request = self.client.auth_request(head, credential)?;
        let ask = async move {
            let outcome = client.ask(request).await;
            metrics.auth_request(outcome.label());
            outcome
        };
        let (outcome, known) = self.password_cache.get_or_request(&proof, ask).await;
        let looked_up = if known { &self.metrics.token_cache.hit } else { &self.metrics.token_cache.miss };
        looked_up.inc();
        Ok(outcome)
    }

    /// Whether a yes for this request is one for every other of the same sender. Authentik handles the end of a sign-in, and a sign-out,
    /// where it is asked; those two queries are for it alone.
    fn is_same_everywhere(&self, head: &RequestHead<'_>) -> bool {
        self.config().same_everywhere && !is_authentiks(head.uri)
    }
}

/// Whether a person looks at the answer, and can sign in there: a browser that goes to a page. Fetch Metadata says so where it is sent
/// (W3C, "Fetch Metadata Request Headers"); no script can write those headers.
fn is_navigation(head: &RequestHead<'_>) -> bool {
    let RequestHead { method, uri, headers, .. } = head;
    let mode = headers.get("sec-fetch-mode");
    let is_api = uri.path().starts_with("/api/") && uri.path() != MOBILE_REDIRECT;
    matches!(**method, Method::GET | Method::HEAD)
        && mode.is_none_or(|mode| mode == "navigate")
        && prefers_html(headers)
        && !is_api
        && !Credential::is_in(headers)
        && !headers.contains_key(UPGRADE)
}

#[cfg(test)]
mod tests {
    use hyper::Uri;
    use hyper::header::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn only_a_browser_on_its_way_to_a_page_is_sign_in_redirects() {
        let ask = |method: Method, path: &'static str, lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let uri = Uri::from_static(path);
            let peer = std::net::Ipv4Addr::LOCALHOST.into();
            is_navigation(&RequestHead { method: &method, uri: &uri, headers: &headers, peer, now: 0 })
        };
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(ask(Method::GET, "/photos?x=1", &[html]));
        assert!(ask(Method::HEAD, "/", &[html, ("sec-fetch-mode", "navigate")]));
        assert!(ask(Method::GET, "/api/oauth/mobile-redirect?code=1", &[html]), "the phone's browser, coming back");
        for (method, path, lines) in [
            (Method::GET, "/photos", &[][..]),
            (Method::GET, "/photos", &[("accept", "*/*")]),
            (Method::GET, "/photos", &[("accept", "application/json")]),
            (Method::GET, "/photos", &[html, ("sec-fetch-mode", "cors")]),
            (Method::GET, "/photos", &[html, ("sec-fetch-mode", "websocket")]),
            (Method::GET, "/photos", &[html, ("upgrade", "websocket")]),
            (Method::GET, "/photos", &[html, ("authorization", "Basic eA==")]),
            (Method::GET, "/photos", &[html, ("x-guard-authorization", "Basic eA==")]),
            (Method::GET, "/api/assets/1", &[html]),
            (Method::GET, "/api/assets/1", &[html, ("sec-fetch-mode", "navigate")]),
            (Method::POST, "/photos", &[html]),
        ] {
            assert!(!ask(method.clone(), path, lines), "{method} {path} {lines:?}");
        }
    }
}
