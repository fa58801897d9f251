//! The front door that authenticates requests: the input is a request head, the result is an [`AuthDecision`] or a refusal.
//!
//! There are three kinds: a signed header is verified, an auth server decides, an unsigned header is trusted from exact addresses only.
//! Authentication comes first: no header is removed before it.

pub mod builder;
pub mod decision;
pub mod forward_auth;
pub mod profile;
pub mod signed;
pub mod unsigned;

use hyper::header::HeaderName;

use crate::config::door::forward_auth::preset_cookies as forward_auth_cookies;
use crate::cookies;
use crate::key::KeyId;
use crate::refusal::Refusal;
pub use decision::{AuthDecision, AuthResponseHeaders, Authenticated, RequestHead, TUNNEL_LIFETIME_SECONDS};
use forward_auth::ForwardAuth;
use signed::Signed;
use unsigned::Unsigned;

/// The configured front door, with the state of one worker.
pub enum FrontDoor {
    /// A signed header.
    Signed(Signed),
    /// An auth server.
    ForwardAuth(ForwardAuth),
    /// An unsigned header.
    Unsigned(Unsigned),
}

impl FrontDoor {
    /// Authenticates a request.
    pub async fn identify(&self, head: &RequestHead<'_>) -> Result<AuthDecision, Refusal> {
        match self {
            Self::Signed(door) => {
                door.identify(head.headers, head.now).await.map(|verified| AuthDecision::Authenticated(verified.into()))
            }
            Self::ForwardAuth(door) => door.identify(head).await,
            Self::Unsigned(door) => door.identify(head).map(AuthDecision::Authenticated),
        }
    }

    /// Whether a cookie with this name belongs to the front door and not to Immich.
    pub fn owns_cookie(&self, name: &[u8]) -> bool {
        let patterns: &[String] = match self {
            Self::Signed(door) => &door.profile.cookies,
            Self::ForwardAuth(door) => &door.config().cookies,
            Self::Unsigned(_) => &[],
        };
        patterns.iter().any(|pattern| cookies::matches(pattern, name)) || is_front_door_cookie(name)
    }

    /// The headers in which this front door names the sender. guard removes them from a client's request.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Signed(door) => vec![door.profile.header.clone()],
            Self::ForwardAuth(door) => door.own_headers(),
            Self::Unsigned(door) => vec![door.header().clone()],
        }
    }

    /// Waits until the key that authenticated a request is withdrawn; without a key, for ever.
    pub async fn withdrawn(&self, key: Option<KeyId>) {
        match (self, key) {
            (Self::Signed(door), Some(key)) => door.withdrawn(key).await,
            _ => std::future::pending().await,
        }
    }

    /// Closes connections that have been idle for too long. The worker calls it periodically.
    pub fn sweep(&self) {
        if let Self::ForwardAuth(door) = self {
            door.sweep();
        }
    }

    /// Whether a request for this path belongs to the auth server: it is sent there, and never to Immich.
    pub fn owns_path(&self, path: &str) -> bool {
        match self {
            Self::ForwardAuth(door) => door.config().own_path.as_ref().is_some_and(|own| is_below(path, own)),
            Self::Signed(_) | Self::Unsigned(_) => false,
        }
    }
}

/// Whether a cookie with this name belongs to a known front door, also to one that is not configured: a browser may have a session of
/// another front door on this domain, and nobody else may see it.
fn is_front_door_cookie(name: &[u8]) -> bool {
    let known = profile::COOKIES.iter().flat_map(|cookies| cookies.iter().copied());
    known.chain(forward_auth_cookies()).any(|pattern| cookies::matches(pattern, name))
}

/// Whether a path is below another one for every server that parses it. A path with dot segments, escapes or empty segments is not: a
/// server could read it as another path, and it would skip authentication.
fn is_below(path: &str, own: &str) -> bool {
    let is_plain = |part: &str| {
        !matches!(part, "." | "..") && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let mut parts = path.strip_prefix(own).map(|rest| rest.split('/').peekable());
    parts.as_mut().is_some_and(|parts| {
        std::iter::from_fn(|| parts.next().map(|part| (part, parts.peek().is_none())))
            .all(|(part, is_last)| is_plain(part) && (is_last || !part.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_server_reads_as_below_is_below() {
        let own = "/oauth2/";
        for path in ["/oauth2/", "/oauth2/start", "/oauth2/static/css/a-b_c.css", "/oauth2/x/"] {
            assert!(is_below(path, own), "{path}");
        }
        for path in [
            "/oauth2",
            "/oauth2x/start",
            "/oauth2/..",
            "/oauth2/../api",
            "/oauth2/./start",
            "/oauth2/%2e%2e/api",
            "/oauth2/a%2fb",
            "/oauth2//api",
            "/oauth2/a\\b",
            "/oauth2/a;b",
            "/OAUTH2/start",
            "/api/oauth2/",
        ] {
            assert!(!is_below(path, own), "{path}");
        }
    }
}
