//! The host names under which a backend's listener is used. Without a front door, a page on the internet could otherwise point its own name at an
//! address in the home network and read the backend's responses (DNS rebinding).

use hyper::header::{HOST, HeaderMap};

use crate::config::read::unbracketed;
use crate::refusal::{Reason, Refusal};

/// The ends of names that nobody can register on the internet: Kubernetes, RFC 6762 (`.local`), RFC 8375, RFC 6761, ICANN (`.internal`).
const PRIVATE: [&str; 7] = [".svc", ".cluster.local", ".local", ".home.arpa", ".internal", ".localhost", ".test"];

/// The accepted hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads `GUARD_IDTOKEN_HOSTS`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let names: Vec<_> =
            text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect();
        let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if !names.is_empty() && names.iter().all(is_name) {
            Ok(Self(names))
        } else {
            Err("host names without ports, comma-separated, such as ml.example.com".to_owned())
        }
    }

    /// Refuses a request for another host: names of the list, addresses, names of one label and names that nobody can register pass.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_address = unbracketed(name).parse::<std::net::IpAddr>().is_ok();
        let is_private = !name.contains('.') || PRIVATE.iter().any(|end| name.ends_with(end));
        if is_address || is_private || self.0.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(Refusal::new(Reason::Misdirected, "Host is a public name that GUARD_IDTOKEN_HOSTS does not list"))
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn names_that_a_stranger_can_register_pass_only_from_the_list() {
        let check = |hosts: &Hosts, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            hosts.check(&headers).is_ok()
        };
        let none = Hosts::default();
        for host in [
            "ml-proxy:8080",
            "192.0.2.7:3003",
            "[::1]:8080",
            "ml.immich.svc:8080",
            "ml.immich.svc.cluster.local",
            "nas.local",
            "localhost",
        ] {
            assert!(check(&none, host), "{host}");
        }
        for host in ["evil.example.com", "evil.example.com:8080", "evil.com.", "svc.evil.com", "local.evil.com:80"] {
            assert!(!check(&none, host), "{host}");
        }
        let list = Hosts::read("ML.example.com, other.example.com").unwrap();
        assert!(check(&list, "ml.example.com:8080") && !check(&list, "xml.example.com"));
        assert!(Hosts::read("").is_err() && Hosts::read("https://a").is_err() && Hosts::read("*.a").is_err());
    }
}
