//! Parsers for the values of variables. Each takes the text and returns the value, or a description of the wanted value.

use std::net::{IpAddr, SocketAddr};

use hyper::Uri;
use hyper::header::HeaderName;
use jsonwebtoken::Algorithm;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tracing_subscriber::filter::Targets;

use crate::config::address::{Authority, External, ServerUrl};
use crate::key;

/// Whether a host is a loopback address: 127.0.0.0/8, `::1`, or `localhost`.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Parses an address to listen on.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an address and a port, such as 0.0.0.0:8080 or [::]:8080".to_owned())
}

/// Parses the address of Immich: plain HTTP, no path.
pub(super) fn upstream(text: &str) -> Result<Authority, String> {
    let wanted = || "http://HOST:PORT without a path (TLS and path prefixes are not supported for Immich)".to_owned();
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let bare = uri.path_and_query().is_none_or(|path| path == "/");
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) if bare && !has_userinfo(&uri) => {
            Ok(Authority { host: unbracketed(host), port: uri.port_u16().unwrap_or(80) })
        }
        _ => Err(wanted()),
    }
}

/// Parses the public address.
pub(super) fn external(text: &str) -> Result<External, String> {
    let wanted = || "a URL without a path, such as https://photos.example.com".to_owned();
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let bare = uri.path_and_query().is_none_or(|path| path == "/");
    let (scheme, port) = match uri.scheme_str() {
        Some("https") => ("https", 443),
        Some("http") => ("http", 80),
        _ => return Err(wanted()),
    };
    let host = uri.host().filter(|host| !host.is_empty() && bare && !has_userinfo(&uri)).ok_or_else(wanted)?.to_ascii_lowercase();
    let host = match uri.port_u16() {
        Some(other) if other != port => format!("{host}:{other}"),
        _ => host,
    };
    Ok(External { scheme, host })
}

/// Parses the URL of a key set: `https`, or `http` to a loopback address.
pub(super) fn key_url(text: &str) -> Result<Uri, String> {
    let wanted = || "https://HOST/PATH, or http:// to a loopback address only".to_owned();
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let host = uri.host().map(unbracketed).unwrap_or_default();
    match uri.scheme_str() {
        Some("https") if !host.is_empty() && !has_userinfo(&uri) => Ok(uri),
        Some("http") if is_loopback(&host) && !has_userinfo(&uri) => Ok(uri),
        _ => Err(wanted()),
    }
}

/// Parses an Access team and returns its domain. `team`, `team.cloudflareaccess.com` and its URL mean the same; teams of US agencies are
/// below `fed.cloudflareaccess.com`.
pub(super) fn team(text: &str) -> Result<String, String> {
    const DOMAIN: &str = ".cloudflareaccess.com";
    let wanted = || "a team name, TEAM.cloudflareaccess.com, or https://TEAM.cloudflareaccess.com".to_owned();
    let text = text.to_ascii_lowercase();
    let host = text.strip_prefix("https://").unwrap_or(&text);
    let host = host.strip_suffix('/').unwrap_or(host);
    let team = host.strip_suffix(DOMAIN).unwrap_or(host);
    let name = team.strip_suffix(".fed").unwrap_or(team);
    let is_label = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label { Ok(format!("{team}{DOMAIN}")) } else { Err(wanted()) }
}

/// Reads the certificates of a PEM file.
pub(super) fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("a PEM file with at least one certificate".to_owned()),
        Err(error) => Err(format!("a readable PEM file with certificates ({error})")),
    }
}

/// Parses the URL of an auth server: `http` or `https`, no path.
pub(super) fn server(text: &str) -> Result<ServerUrl, String> {
    let wanted = || "http://HOST:PORT or https://HOST without a path".to_owned();
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let bare = uri.path_and_query().is_none_or(|path| path == "/");
    let (https, port) = match uri.scheme_str() {
        Some("https") => (true, 443),
        Some("http") => (false, 80),
        _ => return Err(wanted()),
    };
    let host = uri.host().map(unbracketed).filter(|host| !host.is_empty() && bare && !has_userinfo(&uri)).ok_or_else(wanted)?;
    Ok(ServerUrl { https, authority: Authority { host, port: uri.port_u16().unwrap_or(port) } })
}

/// Parses a path, with a query if there is one.
pub(super) fn path(text: &str) -> Result<String, String> {
    let good = text.starts_with('/') && !text.starts_with("//") && text.parse::<Uri>().is_ok();
    if good { Ok(text.to_owned()) } else { Err("a path such as /auth".to_owned()) }
}

/// Parses the name of a header that may hold an identity. Headers with another meaning are refused.
pub(super) fn header(text: &str) -> Result<HeaderName, String> {
    const TAKEN: [&str; 10] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "set-cookie",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    ];
    let wanted = || "the name of a header that has no other meaning, with dashes and without underscores".to_owned();
    let name: HeaderName = text.parse().map_err(|_| wanted())?;
    if TAKEN.contains(&name.as_str()) || name.as_str().contains('_') { Err(wanted()) } else { Ok(name) }
}

/// Parses a list of header names, with the rules of [`header`].
pub(super) fn headers(text: &str) -> Result<Vec<HeaderName>, String> {
    names(text)?.iter().map(|name| header(name)).collect()
}

/// Parses a list of asymmetric signature algorithms.
pub(super) fn algorithms(text: &str) -> Result<Vec<Algorithm>, String> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    const ASYMMETRIC: [Algorithm; 9] = [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA];
    let find = |wanted: &String| ASYMMETRIC.into_iter().find(|known| key::name(*known) == wanted);
    let wanted = || format!("one or more of {}, comma-separated", ASYMMETRIC.map(key::name).join(", "));
    names(text).ok().and_then(|names| names.iter().map(find).collect()).ok_or_else(wanted)
}

/// Parses a list of IP addresses, without ranges.
pub(super) fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let address = |name: &String| name.parse().ok().map(|address: IpAddr| address.to_canonical());
    let addresses: Option<Vec<_>> = names(text)?.iter().map(address).collect();
    addresses
        .filter(|addresses| !addresses.iter().any(IpAddr::is_unspecified))
        .ok_or_else(|| "one or more addresses without ranges, comma-separated, such as 127.0.0.1,::1".to_owned())
}

/// Parses a list with at least one value.
pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let odd = names.iter().any(|name| name.contains(|c: char| c.is_whitespace() || c.is_control()) || name.starts_with("__"));
    if names.is_empty() || odd { Err("one or more values without spaces, comma-separated".to_owned()) } else { Ok(names) }
}

/// Parses a list of names of service tokens and accounts. There are no patterns.
pub(super) fn accounts(text: &str) -> Result<Vec<String>, String> {
    let names = names(text)?;
    let good = names.iter().all(|name| !name.contains(['*', '"', '\'', ';']));
    if good { Ok(names) } else { Err("whole names without patterns or quotes, comma-separated".to_owned()) }
}

/// Parses a list of email addresses and `@domain`s, and returns it in lower case.
pub(super) fn emails(text: &str) -> Result<Vec<String>, String> {
    let wanted = || "addresses or @domains, comma-separated, such as ada@example.com,@family.example".to_owned();
    let addresses = names(text).map_err(|_| wanted())?;
    // An entry that no address can equal would silently let nobody in: patterns, quotes and lists with other separators.
    let is_domain =
        |domain: &str| domain.split('.').all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'));
    let is_local = |local: &str| !local.contains(|c: char| "*\"'()<>[]:;\\".contains(c));
    let is_entry = |name: &String| name.split_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
    if addresses.iter().all(is_entry) {
        Ok(addresses.iter().map(|name| name.to_ascii_lowercase()).collect())
    } else {
        Err(wanted())
    }
}

/// Reads a filter of levels and targets.
pub(super) fn filter(text: &str) -> Result<Targets, String> {
    let wanted = "a level (error, warn, info, debug, trace), or a list such as info,guard::serve=debug";
    text.parse().map_err(|_| wanted.to_owned())
}

/// Removes the brackets of an IPv6 address.
pub(crate) fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

fn has_userinfo(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
}
