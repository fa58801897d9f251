//! Does the auth server answer as one that is set up for this home? Asked in the background as nobody, and told on the status page in words
//! that name what to look at.
//!
//! As nobody, the right answer is a no. A yes, or a no that leads elsewhere, is a mistake that a family would only see as a closed, or an
//! open, door.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use hyper::{Method, Uri};
use tokio::sync::watch;

use super::auth_client::{AuthClient, Credential};
use super::outcome::AuthOutcome;
use crate::config::{External, ForwardAuthConfig};
use crate::frontdoor::RequestHead;
use crate::percent;
use crate::random;

/// How often it is asked while all is well.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// The first pause after trouble; it doubles up to [`MAX_BACKOFF`].
pub const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest pause after trouble.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// What the last request in the background brought; shared with the status page.
pub struct Health {
    last: Mutex<Option<CheckResult>>,
    good: watch::Sender<bool>,
    asked: watch::Sender<u64>,
}

/// How an auth server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It asks strangers to sign in.
    Ok,
    /// It does, and something is odd about it.
    Warning(String),
    /// It does not.
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

    /// Whether it has ever been good. It then stays so: a door that says why it is closed is better than none.
    pub fn was_good(&self) -> bool {
        *self.good.borrow()
    }

    /// Waits until it has been good.
    pub async fn good(&self) {
        let _ = self.good.subscribe().wait_for(|good| *good).await;
    }

    /// Waits until it has been asked, with any outcome.
    pub async fn asked(&self) {
        let _ = self.asked.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Asks now, and then for ever. Run it once, as a task.
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

/// The request of a browser that has never been here.
async fn check_unauthenticated(client: &AuthClient) -> AuthOutcome {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
    let uri = Uri::from_static("/");
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let head = RequestHead { method: &Method::GET, uri: &uri, headers: &headers, peer, now: 0 };
    match client.auth_request(&head, &Credential::None) {
        Ok(request) => client.ask(request).await,
        Err(refusal) => AuthOutcome::Failed(refusal.cause),
    }
}

impl CheckResult {
    fn of(outcome: &AuthOutcome, config: &ForwardAuthConfig) -> Self {
        match outcome {
            AuthOutcome::Failed(cause) => Self::Failed(cause.clone().into_owned()),
            AuthOutcome::Allowed(_) => {
                Self::Failed(format!("{} lets a stranger in: whoever asked at {}", config.server, config.path))
            }
            AuthOutcome::Denied(no) if !no.is_answer() => Self::Failed(format!(
                "{} says yes to a stranger, at {}: this path asks nobody to sign in",
                config.server, config.path
            )),
            AuthOutcome::Denied(no) => match no.location().and_then(come_back_to) {
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

/// Where the identity provider is asked to send people back to: `redirect_uri` (RFC 6749, 4.1.1), scheme and host alone.
fn come_back_to(location: &str) -> Option<String> {
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
        assert_eq!(come_back_to(&location).as_deref(), Some("https://photos.example.com"));
        assert_eq!(come_back_to("https://auth.example.com/login?rd=x"), None);
        assert_eq!(come_back_to("/relative"), None);
        assert_eq!(come_back_to("https://auth.example.com/?redirect_uri=%zz"), None);
        let external = |scheme, host: &str| External { scheme, host: host.to_owned() };
        assert!(begins_with("https://photos.example.com", &external("https", "photos.example.com")));
        assert!(!begins_with("http://photos.example.com", &external("https", "photos.example.com")));
        assert!(!begins_with("https://photos.example.com.evil.example", &external("https", "photos.example.com")));
    }
}
