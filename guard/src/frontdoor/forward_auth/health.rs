//! Checks in the background whether the auth server is set up correctly, and describes problems for the log and the status page.
//!
//! It sends an auth request without credentials, which the auth server has to deny. An allowed request, or a redirect to another host, is
//! a mistake in its configuration.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use tokio::sync::watch;

use super::auth_client::{AuthClient, Credential};
use super::outcome::AuthOutcome;
use crate::config::{External, ForwardAuthConfig};
use crate::frontdoor::decision::RequestHead;
use crate::percent;
use crate::random;

/// The time between two checks while the auth server is healthy.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// The first pause after a failed check; it doubles up to [`MAX_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest pause after a failed check.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The result of the last check, shared with the status page.
pub struct Health {
    last: Mutex<Option<CheckResult>>,
    good: watch::Sender<bool>,
    asked: watch::Sender<u64>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The auth server requires sign-in.
    Ok,
    /// The auth server requires sign-in, but its configuration may be wrong.
    Warning(String),
    /// The auth server does not require sign-in, or does not respond.
    Failed(String),
}

impl Default for Health {
    fn default() -> Self {
        Self { last: Mutex::default(), good: watch::Sender::new(false), asked: watch::Sender::new(0) }
    }
}

impl Health {
    /// The last result.
    pub fn last(&self) -> Option<CheckResult> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any check has succeeded. This stays true after later failures, so that guard stays ready and can explain its refusals.
    pub fn was_good(&self) -> bool {
        *self.good.borrow()
    }

    /// Waits until a check has succeeded.
    pub async fn good(&self) {
        let _ = self.good.subscribe().wait_for(|good| *good).await;
    }

    /// Waits until the first check has ended, with any result.
    pub async fn asked(&self) {
        let _ = self.asked.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Checks the auth server now, and then periodically forever. Run it once, as a task.
    pub async fn watch(&self, client: AuthClient) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let result = CheckResult::of(&check_unauthenticated(&client).await, client.config());
            let bad = matches!(result, CheckResult::Failed(_));
            self.store(result);
            let pause = if bad { backoff } else { INTERVAL };
            backoff = if bad { (backoff * 2).min(MAX_BACKOFF) } else { FIRST_BACKOFF };
            client.sweep();
            tokio::time::sleep(random::jittered(pause)).await;
        }
    }

    fn store(&self, result: CheckResult) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&result) {
            match &result {
                CheckResult::Ok => tracing::info!("auth server check: ok"),
                CheckResult::Warning(what) => tracing::warn!(reason = what, "auth server check: warning"),
                CheckResult::Failed(what) => tracing::warn!(reason = what, "auth server check: failed"),
            }
        }
        if !matches!(result, CheckResult::Failed(_)) {
            self.good.send_replace(true);
        }
        *last = Some(result);
        self.asked.send_modify(|count| *count += 1);
    }
}

/// Sends the auth request of a browser without a session.
async fn check_unauthenticated(client: &AuthClient) -> AuthOutcome {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
    let uri = Uri::from_static("/");
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let head = RequestHead { method: &Method::GET, uri: &uri, headers: &headers, peer, client: peer, now: 0 };
    match client.auth_request(&head, &Credential::None) {
        Ok(request) => client.send(request).await,
        Err(refusal) => AuthOutcome::Failed(refusal.cause),
    }
}

impl CheckResult {
    fn of(outcome: &AuthOutcome, config: &ForwardAuthConfig) -> Self {
        match outcome {
            AuthOutcome::Failed(cause) => Self::Failed(cause.clone().into_owned()),
            AuthOutcome::Allowed(_) => Self::Failed(format!(
                "{} allows a request without credentials at {}: its rules must require sign-in",
                config.server, config.path
            )),
            AuthOutcome::Denied(no) if !no.is_for_client() => Self::Failed(format!(
                "{} says yes to a stranger, at {}: this path does not require sign-in",
                config.server, config.path
            )),
            AuthOutcome::Denied(no) => match no.location().and_then(redirect_origin) {
                Some(back) if config.checks_redirect && !begins_with(&back, &config.external) => Self::Warning(format!(
                    "after signing in, people are sent to {back}, and GUARD_EXTERNAL_URL is {}://{}: right only for a provider of a whole \
                     domain",
                    config.external.scheme, config.external.host
                )),
                _ => Self::Ok,
            },
        }
    }
}

/// Returns scheme and host of the `redirect_uri` (RFC 6749, 4.1.1) in a sign-in redirect.
fn redirect_origin(location: &str) -> Option<String> {
    let (_, query) = location.split_once('?')?;
    let value = query.split(['&', '#']).find_map(|pair| pair.strip_prefix("redirect_uri="))?;
    let uri: Uri = percent::decode_form(value)?.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

fn begins_with(back: &str, external: &External) -> bool {
    back.eq_ignore_ascii_case(&format!("{}://{}", external.scheme, external.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_read_out_of_a_redirect() {
        let back = "https%3A%2F%2Fphotos.example.com%2Foutpost.goauthentik.io%2Fcallback%3FX-authentik-auth-callback%3Dtrue";
        let location = format!("https://auth.example.com/application/o/authorize/?client_id=x&redirect_uri={back}&state=y");
        assert_eq!(redirect_origin(&location).as_deref(), Some("https://photos.example.com"));
        assert_eq!(redirect_origin("https://auth.example.com/login?rd=x"), None);
        assert_eq!(redirect_origin("/relative"), None);
        assert_eq!(redirect_origin("https://auth.example.com/?redirect_uri=%zz"), None);
        let external = |scheme, host: &str| External { scheme, host: host.to_owned() };
        assert!(begins_with("https://photos.example.com", &external("https", "photos.example.com")));
        assert!(!begins_with("http://photos.example.com", &external("https", "photos.example.com")));
        assert!(!begins_with("https://photos.example.com.evil.example", &external("https", "photos.example.com")));
    }
}
