//! Who vouches for a request: its head in, a [`AuthDecision`] out, or the refusal.
//!
//! Three classes of trust, one variant each: a signed header is verified, an auth server is asked, an unsigned header is believed from an
//! exact address only. Decision comes before effect: nothing is stripped before this has looked.

pub mod builder;
pub mod forward_auth;
pub mod profile;
pub mod signed;
pub mod unsigned;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, Uri};

use crate::assertion::Verified;
use crate::cookies;
use crate::identity::Identity;
use crate::refusal::Refusal;
use forward_auth::ForwardAuth;
use signed::Signed;
use unsigned::Unsigned;

/// How long a WebSocket may stay open on a proof that has no end of its own, in seconds. Then it closes; Immich's client opens another,
/// and that one is asked about again.
pub const TUNNEL_LIFETIME_SECONDS: u64 = 15 * 60;

/// What a front door looks at.
#[derive(Clone, Copy)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The target, as it was sent.
    pub uri: &'r Uri,
    /// The headers, as they were sent.
    pub headers: &'r HeaderMap,
    /// Who holds the other end of the connection.
    pub peer: IpAddr,
    /// Seconds since 1970.
    pub now: u64,
}

/// What a front door decides, where it does not refuse.
pub enum AuthDecision {
    /// Somebody is there.
    Authenticated(Authenticated),
    /// Nobody yet: the auth server's own answer, the way to sign in.
    Respond(Response<Bytes>),
}

/// A request that somebody vouched for.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who sent it.
    pub identity: Arc<Identity>,
    /// Until when the proof holds, in seconds since 1970.
    pub expires: u64,
    /// Whether the `Authorization` line was the proof, and so is nobody else's to see.
    pub consumes_authorization: bool,
    /// What the auth server gave along.
    pub auth_headers: Option<Arc<AuthResponseHeaders>>,
}

/// What an auth server gives along with its yes.
#[derive(Debug, Default)]
pub struct AuthResponseHeaders {
    /// Headers for Immich.
    pub to_upstream: Vec<(HeaderName, HeaderValue)>,
    /// Cookies for the client: its session there, without which each request would make a new one.
    pub to_client: Vec<HeaderValue>,
}

impl From<Verified> for Authenticated {
    fn from(proof: Verified) -> Self {
        Self { identity: proof.identity, expires: proof.expires, consumes_authorization: false, auth_headers: None }
    }
}

/// The configured front door, with the state that one worker keeps of it.
pub enum FrontDoor {
    /// A signed header.
    Signed(Signed),
    /// An auth server.
    ForwardAuth(ForwardAuth),
    /// An unsigned header.
    Unsigned(Unsigned),
}

impl FrontDoor {
    /// Who sent the request, with proof.
    pub async fn identify(&self, head: &RequestHead<'_>) -> Result<AuthDecision, Refusal> {
        match self {
            Self::Signed(door) => {
                door.identify(head.headers, head.now).await.map(|proof| AuthDecision::Authenticated(proof.into()))
            }
            Self::ForwardAuth(door) => door.identify(head).await,
            Self::Unsigned(door) => door.identify(head).map(AuthDecision::Authenticated),
        }
    }

    /// Whether a cookie of this name belongs to the front door, not to Immich.
    pub fn owns_cookie(&self, name: &[u8]) -> bool {
        let patterns: &[String] = match self {
            Self::Signed(door) => &door.profile.cookies,
            Self::ForwardAuth(door) => &door.config().cookies,
            Self::Unsigned(_) => &[],
        };
        patterns.iter().any(|pattern| cookies::matches(pattern, name))
    }

    /// The headers that name the sender here: what a client writes there never arrives.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Signed(door) => vec![door.profile.header.clone()],
            Self::ForwardAuth(door) => door.own_headers(),
            Self::Unsigned(door) => vec![door.header().clone()],
        }
    }

    /// Closes connections that have been idle for too long. Called now and then by the worker.
    pub fn sweep(&self) {
        if let Self::ForwardAuth(door) = self {
            door.sweep();
        }
    }

    /// Whether a request for this path is the auth server's own: it is sent there, and never to Immich.
    pub fn owns_path(&self, path: &str) -> bool {
        match self {
            Self::ForwardAuth(door) => door.config().own_path.as_ref().is_some_and(|own| is_below(path, own)),
            Self::Signed(_) | Self::Unsigned(_) => false,
        }
    }
}

/// Whether a path lies below another for every server that might read it: none that could take it for somewhere else, by dots, by an
/// escape or by an empty part, is sent anywhere unasked.
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
