//! Asks public resolvers for a name, by DNS over HTTPS in JSON (RFC 8484 names the transport; the JSON is what Cloudflare and Google document), and
//! knows which addresses are Cloudflare's. What this computer's own resolver says may be another network's truth.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The resolvers that are asked: of two companies, so that one of them may be blocked.
pub(super) const RESOLVERS: [&str; 2] = ["https://cloudflare-dns.com/dns-query", "https://dns.google/resolve"];
/// The numbers of the record types (RFC 1035, RFC 3596).
const TYPES: [(&str, u64); 2] = [("A", 1), ("AAAA", 28)];
/// Cloudflare's networks (cloudflare.com/ips, 2026-11).
const CLOUDFLARE: [(&str, u32); 22] = [
    ("173.245.48.0", 20),
    ("103.21.244.0", 22),
    ("103.22.200.0", 22),
    ("103.31.4.0", 22),
    ("141.101.64.0", 18),
    ("108.162.192.0", 18),
    ("190.93.240.0", 20),
    ("188.114.96.0", 20),
    ("197.234.240.0", 22),
    ("198.41.128.0", 17),
    ("162.158.0.0", 15),
    ("104.16.0.0", 13),
    ("104.24.0.0", 14),
    ("172.64.0.0", 13),
    ("131.0.72.0", 22),
    ("2400:cb00::", 32),
    ("2606:4700::", 32),
    ("2803:f800::", 32),
    ("2405:b500::", 32),
    ("2405:8100::", 32),
    ("2a06:98c0::", 29),
    ("2c0f:f248::", 32),
];

/// The addresses of a name, A and AAAA, as a resolver says.
pub(super) async fn addresses(http: &reqwest::Client, resolver: &str, name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (kind, number) in TYPES {
        let request = http.get(format!("{resolver}?name={name}&type={kind}")).header("accept", "application/dns-json");
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        if !response.status().is_success() {
            bail!("status {}", response.status());
        }
        found.extend(answers(&response.bytes().await.map_err(reqwest::Error::without_url)?, number)?);
    }
    found.sort();
    Ok(found)
}

/// The data of the records of a type in an answer. A name that does not exist has none.
fn answers(body: &[u8], kind: u64) -> Result<Vec<String>> {
    let body: Value = serde_json::from_slice(body).context("no DNS answer in JSON")?;
    let status = body["Status"].as_u64().context("no DNS answer in JSON: it has no Status")?;
    // 0 is an answer, 3 that the name does not exist (RFC 1035, 4.1.1).
    if !matches!(status, 0 | 3) {
        bail!("DNS status {status}");
    }
    let records = body["Answer"].as_array().into_iter().flatten().filter(|record| record["type"].as_u64() == Some(kind));
    Ok(records.filter_map(|record| record["data"].as_str()).map(str::to_owned).collect())
}

/// The host name of a resolver.
pub(super) fn name(resolver: &str) -> String {
    host_of(resolver).unwrap_or(resolver).to_owned()
}

/// The host of a URL.
pub(super) fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    if authority.starts_with('[') {
        return authority.strip_prefix('[')?.split(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

/// Whether an address is in a network of Cloudflare's.
pub(super) fn is_cloudflare(address: IpAddr) -> bool {
    CLOUDFLARE.iter().any(|(network, bits)| match (address, network.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(network))) => (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0,
        (IpAddr::V6(address), Ok(IpAddr::V6(network))) => (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0,
        _ => false,
    })
}

/// Whether an address can be reached only from its own network.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_resolvers_are_read() {
        let body = br#"{"Status":0,"TC":false,"Question":[{"name":"photos.example.com","type":1}],"Answer":[
            {"name":"photos.example.com","type":5,"TTL":300,"data":"x.example.com."},
            {"name":"x.example.com","type":1,"TTL":300,"data":"104.16.132.229"}]}"#;
        assert_eq!(answers(body, 1).expect("an answer"), ["104.16.132.229"]);
        assert_eq!(answers(body, 28).expect("an answer"), [""; 0]);
        assert!(answers(br#"{"Status":3}"#, 1).expect("no such name").is_empty());
        assert!(answers(br#"{"Status":2}"#, 1).is_err(), "the server failed: that says nothing about the name");
        assert!(answers(b"<html>", 1).is_err());
    }

    #[test]
    fn addresses_of_cloudflare_are_known_by_their_network() {
        for (address, wanted) in [
            ("104.16.0.1", true),
            ("104.27.255.255", true),
            ("104.28.0.0", false),
            ("172.71.255.255", true),
            ("172.72.0.0", false),
            ("2606:4700::6810:84e5", true),
            ("2606:4701::1", false),
            ("2a06:98c7:ffff::1", true),
            ("2a06:98c8::1", false),
            ("203.0.113.10", false),
        ] {
            assert_eq!(is_cloudflare(address.parse().expect("an address")), wanted, "{address}");
        }
        assert!(CLOUDFLARE.iter().all(|(network, _)| is_cloudflare(network.parse().expect("a network"))));
    }

    #[test]
    fn the_host_of_a_url_has_no_port() {
        assert_eq!(host_of("http://photos.home.arpa:30283/x"), Some("photos.home.arpa"));
        assert_eq!(host_of("http://[2001:db8::1]:30283"), Some("2001:db8::1"));
        assert_eq!(host_of("photos"), None);
    }
}
