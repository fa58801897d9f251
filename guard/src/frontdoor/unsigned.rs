//! Authenticates requests by an unsigned header, trusted from exact addresses only. For a proxy on the same machine that cannot sign.
//!
//! Tailscale Serve ("Identity headers") and Azure App Service ("Work with user identities") set such headers, and remove those that a
//! client sends. guard cannot check that they do so: it can check only the address.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName};

use super::decision::{Authenticated, RequestHead, TUNNEL_LIFETIME_SECONDS};
use crate::header_fields;
use crate::identity::Identity;
use crate::refusal::{Reason, Refusal};

/// The longest accepted name, in bytes.
const MAX_NAME_BYTES: usize = 320;

/// The check of an unsigned header: its name, and the addresses from which it is trusted.
pub struct Unsigned {
    header: HeaderName,
    peers: Vec<IpAddr>,
}

impl Unsigned {
    /// Trusts `header` from `peers`.
    pub fn new(header: HeaderName, peers: Vec<IpAddr>) -> Self {
        Self { header, peers }
    }

    /// The name of the header.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Authenticates a request by its header, if it comes from a trusted address.
    pub fn identify(&self, head: &RequestHead<'_>) -> Result<Authenticated, Refusal> {
        let refuse = |cause: &'static str| Err(Refusal::new(Reason::Unauthorized, cause));
        // A dual-stack socket shows an IPv4 address as an IPv6 one.
        if !self.peers.contains(&head.peer.to_canonical()) {
            return refuse("the request is not from an address in GUARD_TRUSTED_PEERS");
        }
        let Some(name) = only_name(head.headers, &self.header) else {
            return refuse("the unsigned header is absent, repeated or not a name");
        };
        let email = name.contains('@').then(|| name.to_owned());
        Ok(Authenticated {
            identity: Arc::new(Identity::of_account(name.to_owned(), email, None)),
            expires: head.now.saturating_add(TUNNEL_LIFETIME_SECONDS),
            consumes_authorization: false,
            auth_headers: None,
            key: None,
        })
    }
}

/// Returns the value of the only line with this name, if it is a valid name: UTF-8, no control characters, not too long.
pub(super) fn only_name<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Option<&'h str> {
    let line = header_fields::single(headers, header).ok()??;
    let name = std::str::from_utf8(line.as_bytes()).ok()?.trim();
    let is_valid = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    is_valid.then_some(name)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use hyper::{Method, Uri};

    use super::*;

    #[test]
    fn only_the_exact_address_is_believed() {
        let door = Unsigned::new(HeaderName::from_static("tailscale-user-login"), vec!["127.0.0.1".parse().unwrap()]);
        let ask = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("tailscale-user-login", HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            let head = RequestHead {
                method: &Method::GET,
                uri: &Uri::from_static("/"),
                headers: &headers,
                peer: peer.parse().unwrap(),
                client: [127, 0, 0, 1].into(),
                now: 1_000,
            };
            door.identify(&head).map(|authenticated| (*authenticated.identity).clone()).map_err(|refusal| refusal.reason)
        };
        let ada =
            Identity::Person { sub: "ada@example.com".to_owned(), email: "ada@example.com".to_owned(), email_is_verified: true };
        assert_eq!(ask("127.0.0.1", &["ada@example.com"]), Ok(ada.clone()));
        assert_eq!(ask("::ffff:127.0.0.1", &["ada@example.com"]), Ok(ada));
        assert_eq!(ask("127.0.0.1", &["ada"]), Ok(Identity::Account { name: "ada".to_owned() }));
        assert_eq!(ask("127.0.0.1", &["zoë"]), Ok(Identity::Account { name: "zoë".to_owned() }));
        assert_eq!(ask("127.0.0.2", &["ada@example.com"]), Err(Reason::Unauthorized));
        assert_eq!(ask("::1", &["ada@example.com"]), Err(Reason::Unauthorized));
        assert_eq!(ask("127.0.0.1", &[]), Err(Reason::Unauthorized));
        assert_eq!(ask("127.0.0.1", &["ada@example.com", "eve@example.com"]), Err(Reason::Unauthorized));
        for name in ["", "   ", "a\tb", "a\u{85}b", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(ask("127.0.0.1", &[name]), Err(Reason::Unauthorized), "{name:?}");
        }
    }
}
