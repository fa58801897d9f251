//! Forward auth: an auth server decides on each request. A request is allowed only by a 2xx response that names the sender.
//!
//! ```text
//!  request ─▶ credential ─▶ cached? ─yes──────────────▶ authenticated
//!                             │no                          ▲
//!                             ▼                            │ 2xx with a name
//!                     auth request ─▶ auth server ─▶ response ─▶ 3xx, 401, 403: a browser gets it, other clients 401 or 403
//!                                                        └─────▶ another status, or no response: 503
//! ```
//!
//! It works like Caddy's `forward_auth`, Traefik's `forwardAuth` and nginx's `auth_request`, and is stricter in some cases:
//! `docs/front-doors.md` lists the differences, `tests/front_door` tests them.

pub mod auth_client;
pub mod health;
pub mod load;
pub mod outcome;
pub mod password_cache;

use std::sync::Arc;

use hyper::Method;
use hyper::header::{HeaderName, UPGRADE};

use super::decision::{AuthDecision, Authenticated, RequestHead, TUNNEL_LIFETIME_SECONDS};
use crate::config::ForwardAuthConfig;
use crate::refusal::{Reason, Refusal, prefers_html};
use crate::telemetry::metrics::Metrics;
use auth_client::{AuthClient, AuthRequest, Credential, is_authentiks};
use load::{AuthLoad, ClaimedClient};
use outcome::AuthOutcome;
use password_cache::{CacheKey, PasswordCache};

/// The only path below `/api/` that a browser navigates to: the redirect from the identity provider back to the phone app.
const MOBILE_REDIRECT: &str = "/api/oauth/mobile-redirect";

/// The forward auth of one worker: its connections to the auth server, and the password cache that all workers share.
pub struct ForwardAuth {
    client: Arc<AuthClient>,
    password_cache: Arc<PasswordCache>,
    load: Arc<AuthLoad>,
    metrics: Arc<Metrics>,
}

impl ForwardAuth {
    /// Creates the forward auth of one worker.
    pub fn new(client: Arc<AuthClient>, password_cache: Arc<PasswordCache>, load: Arc<AuthLoad>, metrics: Arc<Metrics>) -> Self {
        Self { client, password_cache, load, metrics }
    }

    /// The configuration.
    pub fn config(&self) -> &ForwardAuthConfig {
        self.client.config()
    }

    /// The headers in which the auth server names the sender.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        let ForwardAuthConfig { identity, email, name, copy, .. } = self.config();
        [identity, name].into_iter().chain(email).chain(copy).cloned().collect()
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self) {
        self.client.sweep();
    }

    /// Authenticates a request, or returns the auth server's response for a browser, such as a sign-in redirect.
    pub async fn identify(&self, head: &RequestHead<'_>) -> Result<AuthDecision, Refusal> {
        let (outcome, consumes_authorization) = self.decide(head).await?;
        match outcome {
            AuthOutcome::Allowed(grant) => Ok(AuthDecision::Authenticated(Authenticated {
                identity: grant.identity.clone(),
                expires: head.now.saturating_add(TUNNEL_LIFETIME_SECONDS),
                consumes_authorization,
                auth_headers: Some(grant.auth_headers.clone()),
                key: None,
            })),
            AuthOutcome::Denied(no) if is_navigation(head) => match no.to_browser(self.config(), head.uri) {
                Some(response) => Ok(AuthDecision::Respond(response)),
                None => Err(Refusal::new(Reason::Unauthorized, no.cause)),
            },
            // A client that cannot sign in gets no redirect: apps would follow it and get an HTML page.
            AuthOutcome::Denied(no) if no.is_forbidden() => Err(Refusal::new(Reason::Forbidden, no.cause)),
            AuthOutcome::Denied(no) => Err(Refusal::new(Reason::Unauthorized, no.cause)),
            AuthOutcome::Failed(cause) => Err(Refusal::new(Reason::AuthUnreachable, cause)),
        }
    }

    /// Returns the outcome, and whether it depends on the `Authorization` header.
    async fn decide(&self, head: &RequestHead<'_>) -> Result<(AuthOutcome, bool), Refusal> {
        let credential = Credential::of(head.headers)?;
        let outcome = match &credential {
            // A bearer token may be for Immich: it is sent to the auth server only if the session alone is denied.
            Credential::Other(_) if self.client.has_session(head.headers) => match self.send(head, &Credential::None).await? {
                AuthOutcome::Denied(_) => self.send(head, &credential).await?,
                outcome => return Ok((outcome, false)),
            },
            Credential::Password { .. } if self.is_same_everywhere(head) => self.send_cached(head, &credential).await?,
            _ => self.send(head, &credential).await?,
        };
        Ok((outcome, credential.is_authorization()))
    }

    async fn send(&self, head: &RequestHead<'_>, credential: &Credential) -> Result<AuthOutcome, Refusal> {
        let request = self.client.auth_request(head, credential)?;
        let client = ClaimedClient::new(head.client, &credential.account());
        let is_password = matches!(credential, Credential::Password { .. });
        Ok(send_within(self.client.clone(), request, self.load.clone(), client, is_password, self.metrics.clone()).await)
    }

    /// Decides on a password with the cache: concurrent requests with the same password share one auth request.
    async fn send_cached(&self, head: &RequestHead<'_>, credential: &Credential) -> Result<AuthOutcome, Refusal> {
        let key = CacheKey { credential, session: &self.client.session_of(head.headers) };
        let request = self.client.auth_request(head, credential)?;
        let client = ClaimedClient::new(head.client, &credential.account());
        let auth_request = send_within(self.client.clone(), request, self.load.clone(), client, true, self.metrics.clone());
        let (outcome, known) = self.password_cache.get_or_request(&key, auth_request).await;
        let looked_up = if known { &self.metrics.token_cache.hit } else { &self.metrics.token_cache.miss };
        looked_up.inc();
        Ok(outcome)
    }

    /// Whether the decision on this request holds for every other request of the same sender. It does not for the end of a sign-in and for
    /// a sign-out, which authentik handles in the auth request itself.
    fn is_same_everywhere(&self, head: &RequestHead<'_>) -> bool {
        self.config().same_everywhere && !is_authentiks(head.uri)
    }
}

/// Sends an auth request within the limits of the load. Repeated wrong passwords of one client are delayed; the delay is no request in
/// flight.
async fn send_within(
    client: Arc<AuthClient>,
    request: AuthRequest,
    load: Arc<AuthLoad>,
    claimed: ClaimedClient,
    is_password: bool,
    metrics: Arc<Metrics>,
) -> AuthOutcome {
    if is_password {
        let delay = load.delay(&claimed);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
    let outcome = match load.begin() {
        Some(_permit) => client.send(request).await,
        None => AuthOutcome::Failed(format!("{} auth requests are in flight, which is the limit", load::MAX_IN_FLIGHT).into()),
    };
    if is_password && matches!(outcome, AuthOutcome::Denied(_)) {
        load.failed(claimed);
    }
    metrics.auth_request(outcome.label());
    outcome
}

/// Whether the request is a page navigation of a browser, so that a person can sign in. Fetch Metadata headers show it if they are sent
/// (W3C, "Fetch Metadata Request Headers"); a script cannot set them.
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
            is_navigation(&RequestHead { method: &method, uri: &uri, headers: &headers, peer, client: peer, now: 0 })
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
