//! What a front door reads of a request, and what it decides.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, Uri};

use crate::assertion::Verified;
use crate::identity::Identity;
use crate::key::KeyId;

/// How long a WebSocket may stay open if the authentication has no expiry, in seconds. Then guard closes it; Immich's client opens a new
/// one, which is authenticated again.
pub const TUNNEL_LIFETIME_SECONDS: u64 = 15 * 60;

/// The parts of a request that a front door reads.
#[derive(Clone, Copy)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The request target, as received.
    pub uri: &'r Uri,
    /// The headers, as received.
    pub headers: &'r HeaderMap,
    /// The address of the client's end of the connection.
    pub peer: IpAddr,
    /// The address of the client, which the header of `GUARD_CLIENT_ADDRESS_HEADER` names; else the same as `peer`.
    pub client: IpAddr,
    /// The current time, in seconds since 1970.
    pub now: u64,
}

/// The decision of a front door on a request that it does not refuse.
pub enum AuthDecision {
    /// The request is authenticated.
    Authenticated(Authenticated),
    /// The request is not authenticated: the response is the auth server's, usually a sign-in redirect.
    Respond(Response<Bytes>),
}

/// The result of a successful authentication.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The identity of the sender.
    pub identity: Arc<Identity>,
    /// The expiry of the authentication, in seconds since 1970.
    pub expires: u64,
    /// Whether the `Authorization` header was for the front door, so that Immich must not get it.
    pub consumes_authorization: bool,
    /// The headers of the auth server's response.
    pub auth_headers: Option<Arc<AuthResponseHeaders>>,
    /// The key that verified the assertion, where there is one.
    pub key: Option<KeyId>,
}

/// The headers of an auth server's response that guard passes on.
#[derive(Debug, Default)]
pub struct AuthResponseHeaders {
    /// The headers for Immich.
    pub to_upstream: Vec<(HeaderName, HeaderValue)>,
    /// The `Set-Cookie` values for the client: its session at the auth server. Without them each request would create a new session.
    pub to_client: Vec<HeaderValue>,
}

impl From<Verified> for Authenticated {
    fn from(verified: Verified) -> Self {
        Self {
            identity: verified.identity,
            expires: verified.expires,
            consumes_authorization: false,
            auth_headers: None,
            key: Some(verified.key),
        }
    }
}
