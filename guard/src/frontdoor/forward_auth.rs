//! An auth server is asked about each request; only its yes, with a name in it, lets the request in.
//!
//! ```text
//!  request ─▶ credential ─▶ known? ──yes──────────────▶ admitted
//!                             │no                          ▲
//!                             ▼                            │ 2xx with a name
//!                          question ─▶ auth server ─▶ what it said ─▶ 3xx, 401, 403: a browser gets it, anyone else 401
//!                                                          └────────▶ anything else, or silence: 503
//! ```
//!
//! What Caddy's `forward_auth`, Traefik's `forwardAuth` and nginx's `auth_request` do, and stricter where they let something slip:
//! `docs/front-doors.md` has the differences, `tests/front_door` shows them.

pub mod decisions;
pub mod health;
pub mod question;
pub mod said;

use std::sync::Arc;

use hyper::Method;
use hyper::header::{HeaderName, UPGRADE};

use super::{Admitted, Inquiry, TUNNEL_SECONDS, Verdict};
use crate::config::ForwardAuthConfig;
use crate::refusal::{Reason, Refusal, prefers_html};
use crate::telemetry::metrics::Metrics;
use decisions::{Decisions, Proof};
use question::{Asker, Credential, is_authentiks};
use said::Said;

/// The one path below `/api/` that a person's browser is sent to: the way back from the identity provider to the phone app.
const MOBILE_REDIRECT: &str = "/api/oauth/mobile-redirect";

/// The check of one worker: its own connections to the auth server, and the memory that all workers share.
pub struct ForwardAuth {
    asker: Arc<Asker>,
    decisions: Arc<Decisions>,
    metrics: Arc<Metrics>,
}

impl ForwardAuth {
    /// A check.
    pub fn new(asker: Arc<Asker>, decisions: Arc<Decisions>, metrics: Arc<Metrics>) -> Self {
        Self { asker, decisions, metrics }
    }

    /// What was configured.
    pub fn config(&self) -> &ForwardAuthConfig {
        self.asker.config()
    }

    /// The headers by which the auth server names people.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        let ForwardAuthConfig { identity, email, name, copy, .. } = self.config();
        [identity, name].into_iter().chain(email).chain(copy).cloned().collect()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.asker.sweep();
    }

    /// Who sent the request, or the way to sign in.
    pub async fn identify(&self, inquiry: &Inquiry<'_>) -> Result<Verdict, Refusal> {
        let (said, spends_authorization) = self.decide(inquiry).await?;
        match said {
            Said::Yes(grant) => Ok(Verdict::Admitted(Admitted {
                identity: grant.identity.clone(),
                expires: inquiry.now.saturating_add(TUNNEL_SECONDS),
                spends_authorization,
                handover: Some(grant.handover.clone()),
            })),
            Said::No(no) if is_navigation(inquiry) => match no.to_browser(self.config(), inquiry.uri) {
                Some(response) => Ok(Verdict::Answered(response)),
                None => Err(Refusal::new(Reason::Unauthorized, no.cause)),
            },
            // Where nobody can sign in, a redirect to a page is no answer: apps follow it and read HTML.
            Said::No(no) if no.is_forbidden() => Err(Refusal::new(Reason::Forbidden, no.cause)),
            Said::No(no) => Err(Refusal::new(Reason::Unauthorized, no.cause)),
            Said::Broken(cause) => Err(Refusal::new(Reason::AuthUnreachable, cause)),
        }
    }

    /// What the auth server says, and whether `Authorization` is what it says it of.
    async fn decide(&self, inquiry: &Inquiry<'_>) -> Result<(Said, bool), Refusal> {
        let credential = Credential::of(inquiry.headers)?;
        let said = match &credential {
            // A bearer token may be Immich's own: it is the proof only where the session of the auth server alone is not.
            Credential::Other(_) if self.asker.has_session(inquiry.headers) => {
                match self.ask(inquiry, &Credential::None).await? {
                    Said::No(_) => self.ask(inquiry, &credential).await?,
                    said => return Ok((said, false)),
                }
            }
            Credential::Password { .. } if self.is_same_everywhere(inquiry) => self.remembered(inquiry, &credential).await?,
            _ => self.ask(inquiry, &credential).await?,
        };
        Ok((said, credential.is_authorization()))
    }

    async fn ask(&self, inquiry: &Inquiry<'_>, credential: &Credential) -> Result<Said, Refusal> {
        let said = self.asker.ask(self.asker.question(inquiry, credential)?).await;
        self.metrics.auth_question(said.label());
        Ok(said)
    }

    /// A password is asked about once, however many requests bring it at the same time, and its yes is good for a moment.
    async fn remembered(&self, inquiry: &Inquiry<'_>, credential: &Credential) -> Result<Said, Refusal> {
        let proof = Proof { credential, session: &self.asker.session_of(inquiry.headers) };
        let (asker, metrics) = (self.asker.clone(), self.metrics.clone());
        let question = self.asker.question(inquiry, credential)?;
        let ask = async move {
            let said = asker.ask(question).await;
            metrics.auth_question(said.label());
            said
        };
        let (said, known) = self.decisions.get_or_ask(&proof, ask).await;
        let looked_up = if known { &self.metrics.token_cache.hit } else { &self.metrics.token_cache.miss };
        looked_up.inc();
        Ok(said)
    }

    /// Whether a yes for this request is one for every other of the same sender. Authentik handles the end of a sign-in, and a sign-out,
    /// where it is asked; those two queries are for it alone.
    fn is_same_everywhere(&self, inquiry: &Inquiry<'_>) -> bool {
        self.config().same_everywhere && !is_authentiks(inquiry.uri)
    }
}

/// Whether a person looks at the answer, and can sign in there: a browser that goes to a page. Fetch Metadata says so where it is sent
/// (W3C, "Fetch Metadata Request Headers"); no script can write those headers.
fn is_navigation(inquiry: &Inquiry<'_>) -> bool {
    let Inquiry { method, uri, headers, .. } = inquiry;
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
    fn only_a_browser_on_its_way_to_a_page_is_sent_to_sign_in() {
        let ask = |method: Method, path: &'static str, lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let uri = Uri::from_static(path);
            let peer = std::net::Ipv4Addr::LOCALHOST.into();
            is_navigation(&Inquiry { method: &method, uri: &uri, headers: &headers, peer, now: 0 })
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
