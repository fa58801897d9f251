//! Header handling: which headers are forwarded in each direction. It runs after authentication, so that a client cannot make guard remove a
//! header that authentication reads.
//!
//! RFC 9110, 7.6.1 (hop-by-hop headers), and the identity headers of every front door: an application must be able to rely on it that the
//! client did not write them. Their underscore variants are removed too (CVE-2025-64484): servers that map names to variables cannot tell
//! `X_Forwarded_For` from `X-Forwarded-For`.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};

use crate::config::{External, ForwardAuthConfig};
use crate::cookies;
use crate::frontdoor::forward_auth::auth_client::is_opaque_bearer;
use crate::frontdoor::{Authenticated, FrontDoor};
use crate::header_fields::{self, content_length};
use crate::refusal::{REFUSAL_HEADER, REQUEST_ID_HEADER};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Prefixes of identity headers, each reserved for a front door or a proxy. In lower case, with dashes.
const IDENTITY_PREFIXES: [&str; 16] = [
    "cf-access-",
    "x-authentik-",
    "x-goog-iap-",
    "x-goog-authenticated-user-",
    "x-pomerium-",
    "x-amzn-ava-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-auth-user",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-forwarded-",
    "x-webauth-",
    "tailscale-",
    "x-guard-",
    "remote-",
];

/// Identity headers without a reserved prefix.
const IDENTITY_NAMES: [&str; 9] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-original-method",
    "x-remote-user",
];

/// What the upstream is told about the origin of a request (`X-Forwarded-*`).
pub struct ForwardedInfo<'r> {
    /// The client's address.
    pub client: IpAddr,
    /// The public address, where it is configured.
    pub external: Option<&'r External>,
    /// Whether this is a WebSocket handshake.
    pub upgrade: bool,
    /// The headers in which this front door names the identity. No client may write them.
    pub own: &'r [HeaderName],
    /// The header that names the client's address.
    pub client_header: Option<&'r HeaderName>,
}

impl ForwardedInfo<'_> {
    /// Whether a header claims the client's address, and is not the one that the connector sets.
    fn is_disbelieved(&self, name: &str) -> bool {
        let is_claim = matches!(name, "cf-connecting-ip" | "cf-connecting-ipv6" | "cf_connecting_ip" | "cf_connecting_ipv6");
        is_claim && self.client_header.is_none_or(|believed| believed != name)
    }
}

/// The address of the client: that of the header `name` where it is one address on one line, else the peer's. `name` is the header that the
/// connector before guard sets (`GUARD_CLIENT_ADDRESS_HEADER`); at a door where nobody sets it, any client could write it.
pub fn client_address(headers: &HeaderMap, name: Option<&HeaderName>, peer: IpAddr) -> IpAddr {
    let line = name.and_then(|name| header_fields::single(headers, name).ok().flatten());
    line.and_then(|line| line.to_str().ok()?.parse().ok()).unwrap_or(peer)
}

/// Turns the client's headers into those for Immich: removes what must not pass, then sets guard's own. hyper writes the framing of the body; a
/// length is kept only as the number that hyper has checked.
pub fn to_upstream(headers: &mut HeaderMap, door: &FrontDoor, authenticated: &Authenticated, forwarded: &ForwardedInfo<'_>) {
    let length = content_length(headers);
    strip_nominated(headers);
    strip(headers, |name| {
        let is_credential = name == AUTHORIZATION && authenticated.consumes_authorization;
        let is_ours = is_protected(name) || is_named(name, forwarded.own) || forwarded.is_disbelieved(name);
        is_credential || is_hop_by_hop(name) || is_ours || matches!(name, "expect" | "content-length")
    });
    cookies::strip(headers, |name| door.owns_cookie(name));

    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    set_forwarded_headers(headers, forwarded);
    for (name, value) in authenticated.auth_headers.iter().flat_map(|auth_headers| &auth_headers.to_upstream) {
        headers.append(name.clone(), value.clone());
    }
    if forwarded.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Turns the client's headers into those for the auth server's own path: it gets its own cookies, and no credential of Immich.
pub fn to_auth_server(headers: &mut HeaderMap, config: &ForwardAuthConfig, forwarded: &ForwardedInfo<'_>) {
    let length = content_length(headers);
    strip_nominated(headers);
    strip(headers, |name| {
        let is_immichs = name == "x-api-key" || name.starts_with("x-immich-");
        let is_ours = is_protected(name) || is_named(name, forwarded.own) || forwarded.is_disbelieved(name);
        is_immichs || is_hop_by_hop(name) || is_ours || matches!(name, "expect" | "content-length")
    });
    cookies::strip(headers, |name| !config.may_see_cookie(name));
    if headers.get(AUTHORIZATION).is_some_and(is_opaque_bearer) {
        headers.remove(AUTHORIZATION);
    }

    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    set_forwarded_headers(headers, forwarded);
    // The address once, as in an auth request.
    headers.remove(X_REAL_IP);
}

/// Sets `X-Forwarded-*` and `X-Real-IP`.
fn set_forwarded_headers(headers: &mut HeaderMap, forwarded: &ForwardedInfo<'_>) {
    let host =
        forwarded.external.map_or_else(|| headers.get(HOST).cloned(), |external| HeaderValue::from_str(&external.host).ok());
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    // An authenticated request came through a front door, which serves HTTPS; only the last hop to guard is plain HTTP.
    let scheme = forwarded.external.map_or("https", |external| external.scheme);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Ok(address) = HeaderValue::from_str(&forwarded.client.to_string()) {
        headers.insert(X_FORWARDED_FOR, address.clone());
        headers.insert(X_REAL_IP, address);
    }
}

/// Removes from trailers what is removed from headers. `own` are the headers in which this front door names the identity.
pub fn trailers_to_upstream(trailers: &mut HeaderMap, own: &[HeaderName]) {
    strip(trailers, |name| {
        is_hop_by_hop(name)
            || is_protected(name)
            || is_named(name, own)
            || carries_token(name)
            || matches!(name, "cookie" | "cf-connecting-ip")
    });
}

/// Turns the client's headers into those for a backend: removes what must not pass, then sets `X-Forwarded-*`. No header is kept that a backend
/// could take for guard's identity token, in any spelling. The caller sets `Host` and the token in `token_header`. `door` is the front door
/// that authenticated the request, if there is one, and `own` are the headers in which it names the identity.
pub fn to_backend(
    headers: &mut HeaderMap,
    door: Option<&FrontDoor>,
    own: &[HeaderName],
    client: IpAddr,
    token_header: &HeaderName,
) {
    let length = content_length(headers);
    let host = headers.get(HOST).cloned();
    strip_nominated(headers);
    strip(headers, |name| {
        // The application's own `Authorization` passes where the identity token uses another header.
        let is_token = carries_token(name) && (name != AUTHORIZATION || *token_header == AUTHORIZATION);
        let is_ours = is_protected(name) || is_named(name, own);
        is_hop_by_hop(name) || is_ours || is_token || matches!(name, "expect" | "content-length")
    });
    if let Some(door) = door {
        cookies::strip(headers, |name| door.owns_cookie(name));
    }

    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    // A front door serves HTTPS; without one, the client connected by plain HTTP.
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if door.is_some() { "https" } else { "http" }));
    if let Ok(address) = HeaderValue::from_str(&client.to_string()) {
        headers.insert(X_FORWARDED_FOR, address);
    }
}

/// Whether Cloud Run, or a server that does not tell `_` from `-`, could read a token from a header of this name.
fn carries_token(name: &str) -> bool {
    name == AUTHORIZATION || (name.ends_with("authorization") && name.replace('_', "-") == "x-serverless-authorization")
}

/// Turns the upstream's headers into those for the client: removes hop-by-hop headers and those that only guard may write. `upgraded` sets the
/// two headers of a 101.
pub fn to_client(headers: &mut HeaderMap, upgraded: bool) {
    strip_nominated(headers);
    strip(headers, |name| is_hop_by_hop(name) || name == REFUSAL_HEADER.as_str() || name == REQUEST_ID_HEADER.as_str());
    if upgraded {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Whether a request asks for a WebSocket (RFC 6455, 4.1): GET, `Connection` names upgrade, `Upgrade` is websocket alone.
/// Other upgrades, `h2c` for example, are not forwarded: the request is then handled as one without an upgrade.
pub fn wants_websocket<B>(request: &hyper::Request<B>) -> bool {
    let headers = request.headers();
    let upgrade = header_fields::single(headers, &UPGRADE).ok().flatten();
    let websocket = upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket
        && request.method() == hyper::Method::GET
        && request.version() == hyper::Version::HTTP_11
        && headers.get_all(CONNECTION).iter().flat_map(tokens).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Removes every header that a `Connection` line names, except `Host` and `Content-Length`, without which the message would be another one.
fn strip_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        // The most common tokens are no header names: they are skipped without an allocation.
        .filter(|token| !["keep-alive", "close", "upgrade"].iter().any(|everyday| token.eq_ignore_ascii_case(everyday)))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| name != HOST && name != CONTENT_LENGTH)
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split(',').map(str::trim)
}

fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a header has one of these names, where underscores count as dashes.
fn is_named(name: &str, own: &[HeaderName]) -> bool {
    let same = |own: &HeaderName| {
        let (own, name) = (own.as_str().bytes(), name.bytes());
        own.len() == name.len() && own.zip(name).all(|(own, name)| own == if name == b'_' { b'-' } else { name })
    };
    own.iter().any(same)
}

/// Whether only a front door, or guard, may write this header. Underscores count as dashes.
fn is_protected(name: &str) -> bool {
    if name.contains('_') {
        let dashed = name.replace('_', "-");
        return is_protected(&dashed) || is_hop_by_hop(&dashed) || matches!(&*dashed, "content-length" | "host");
    }
    IDENTITY_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || IDENTITY_NAMES.contains(&name)
}

#[cfg(test)]
mod tests;
