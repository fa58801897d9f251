//! Checks the framing of a request: the first check, before authentication.
//!
//! RFC 9112 sections 3 and 6, stricter where they leave a choice: one Host line, origin-form only, `Transfer-Encoding` exactly
//! `chunked`, and never both framings. Messages that hyper accepts and normalises are refused here: request smuggling needs a message that
//! two parsers read differently.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request};

use crate::config::External;
use crate::header_fields;
use crate::refusal::{Reason, Refusal};
use crate::serve::head::Ambiguity;

/// Refuses a request that is malformed, ambiguous, or for another host. `seen` is the ambiguity of the raw head, before hyper normalised it.
pub fn check<B>(request: &Request<B>, seen: Option<Ambiguity>, external: Option<&External>) -> Result<(), Refusal> {
    let bad = |cause: &'static str| Err(Refusal::new(Reason::BadRequest, cause));
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Refusal::new(Reason::MethodNotAllowed, "CONNECT or TRACE"));
    }
    if let Some(ambiguity) = seen {
        return bad(ambiguity.cause());
    }
    let uri = request.uri();
    if uri.path_and_query().is_some_and(|target| !target.as_str().is_ascii()) {
        return bad("the target has bytes that are not ASCII");
    }
    if uri.scheme().is_some() || uri.authority().is_some() {
        return bad("the target is not in origin-form");
    }
    if !uri.path().starts_with('/') && (uri.path() != "*" || request.method() != Method::OPTIONS) {
        return bad("the target is not in origin-form");
    }
    let headers = request.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (!coding.as_bytes().eq_ignore_ascii_case(b"chunked")
            || codings.next().is_some()
            || headers.contains_key(CONTENT_LENGTH))
    {
        return bad("Transfer-Encoding is not exactly chunked");
    }
    host(headers, external)
}

/// Checks that there is one Host line, that it is an authority, and that it is the configured one where one is configured.
fn host(headers: &HeaderMap, external: Option<&External>) -> Result<(), Refusal> {
    let Ok(Some(host)) = header_fields::single(headers, &HOST) else {
        return Err(Refusal::new(Reason::BadRequest, "Host is absent or repeated"));
    };
    let Some(host) = host.to_str().ok().filter(|host| is_authority(host)) else {
        return Err(Refusal::new(Reason::BadRequest, "Host is not a host"));
    };
    match external {
        Some(external) if !external.is_host(host) => {
            Err(Refusal::new(Reason::Misdirected, "Host is not that of GUARD_EXTERNAL_URL"))
        }
        _ => Ok(()),
    }
}

/// Whether this is a host name or an address, with a port from 0 to 65535 or none (RFC 9110, 7.2).
fn is_authority(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("", port),
        Some(_) => return false,
        None => host.find(':').map_or((host, ""), |place| host.split_at(place)),
    };
    let is_port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~'))
    };
    // A dot at the end stands for the root of the DNS.
    let is_name = name.is_empty() || name.strip_suffix('.').unwrap_or(name).split('.').all(is_label);
    is_name && !host.starts_with(':') && !host.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

impl External {
    /// Whether a Host line names this host, in any case, with or without the default port of the scheme.
    fn is_host(&self, host: &str) -> bool {
        let own_port = if self.scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(own_port).unwrap_or(host);
        host.eq_ignore_ascii_case(&self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(build: impl FnOnce(hyper::http::request::Builder) -> hyper::http::request::Builder) -> Result<(), u16> {
        let external = External { scheme: "https", host: "photos.example.com".to_owned() };
        let request = build(Request::builder().uri("/api?x=1")).body(()).unwrap();
        check(&request, None, Some(&external)).map_err(|refusal| refusal.reason.status().as_u16())
    }

    #[test]
    fn one_right_host_and_one_framing() {
        assert_eq!(verdict(|r| r.header(HOST, "photos.example.com")), Ok(()));
        assert_eq!(verdict(|r| r.header(HOST, "Photos.Example.com:443")), Ok(()));
        assert_eq!(verdict(|r| r.header(HOST, "photos.example.com").header(TRANSFER_ENCODING, "Chunked")), Ok(()));
        assert_eq!(verdict(|r| r), Err(400));
        assert_eq!(verdict(|r| r.header(HOST, "a").header(HOST, "a")), Err(400));
        assert_eq!(verdict(|r| r.header(HOST, "")), Err(400));
        assert_eq!(verdict(|r| r.header(HOST, "user@photos.example.com")), Err(400));
        assert_eq!(verdict(|r| r.header(HOST, "photos.example.com/x")), Err(400));
        for odd in ["h:abc", "h:99999", "..", "a..b", ".", ":80", "[::1", "[x]:80", "[::1]x", "a b", "h:", "h:-1", "h:+80"] {
            assert_eq!(verdict(|r| r.header(HOST, odd)), Err(400), "{odd}");
        }
        for good in ["[::1]:8080", "localhost.", "immich_server:2283", "192.0.2.1"] {
            assert_eq!(verdict(|r| r.header(HOST, good)), Err(421), "{good}");
        }
        assert_eq!(verdict(|r| r.header(HOST, "other.example.com")), Err(421));
        assert_eq!(verdict(|r| r.header(HOST, "photos.example.com:80")), Err(421));
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "chunked;q=1", "xchunked"] {
            assert_eq!(verdict(|r| r.header(HOST, "photos.example.com").header(TRANSFER_ENCODING, coding)), Err(400), "{coding}");
        }
    }

    #[test]
    fn only_origin_form() {
        let host = "photos.example.com";
        assert_eq!(verdict(|r| r.header(HOST, host).uri("http://photos.example.com/")), Err(400));
        assert_eq!(verdict(|r| r.header(HOST, host).uri("*").method("OPTIONS")), Ok(()));
        assert_eq!(verdict(|r| r.header(HOST, host).uri("*")), Err(400));
        assert_eq!(verdict(|r| r.header(HOST, host).uri("photos.example.com:443").method("CONNECT")), Err(405));
        assert_eq!(verdict(|r| r.header(HOST, host).method("TRACE")), Err(405));
    }
}
