//! Finds identifiers of a home: hostnames, addresses, e-mail addresses and home directories.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::kind::Kind;

/// Public domains that the docs and manifests use. A domain matches itself and all names below it.
const PUBLIC: &[&str] = &[
    "example.com",
    "example.org",
    "example.net",
    "kubernetes.io",
    "k8s.io",
    "fluxcd.io",
    "immich.app",
    "immich.cloud",
    "github.com",
    "githubusercontent.com",
    "github.io",
    "github.blog",
    "ghcr.io",
    "docker.io",
    "docker.com",
    "quay.io",
    "gcr.io",
    "cloudflare.com",
    "cloudflare-dns.com",
    "dns.google",
    "cloudflare.net",
    "googleapis.com",
    "google.com",
    "google.internal",
    "rust-lang.org",
    "rustup.rs",
    "crates.io",
    "docs.rs",
    "ietf.org",
    "rfc-editor.org",
    "w3.org",
    "apache.org",
    "schemastore.org",
    "json-schema.org",
    "tus.io",
    "embarkstudios.github.io",
    "kernel.org",
    "debian.org",
    "opencontainers.org",
    "prometheus.io",
    "goauthentik.io",
    "postgresql.org",
    "go.dev",
    "k3s.io",
    "pypi.org",
    "ui.com",
    "slsa.dev",
    "cyclonedx.org",
    "renovatebot.com",
    "reproducible-builds.org",
    "pomerium.com",
    "huggingface.co",
    "amazonaws.com",
    "amazon.com",
    "gstatic.com",
];

/// Domains below which each account has its own name.
const ACCOUNTS: &[&str] = &["cloudflareaccess.com", "cfargotunnel.com"];
const EXAMPLE_ACCOUNTS: &[&str] =
    &["team", "example", "your-team", "yourteam", "my-team", "other", "home", "demo", "family", "agency", "stranger"];

/// Top-level domains for local use, and those that RFC 2606 and RFC 6761 reserve.
const LOCAL: &[&str] = &["lan", "local", "internal", "arpa", "test", "example", "invalid", "localhost", "svc"];

/// Top-level domains that homes use. Outside a URL, a word with another ending is usually a file name.
const TOP_LEVEL: &[&str] = &[
    "com", "org", "net", "io", "dev", "app", "me", "info", "xyz", "cloud", "family", "house", "online", "site", "tech", "one",
    "page", "club", "life", "photos", "pictures", "co", "tv", "cc", "eu", "de", "at", "ch", "uk", "ie", "fr", "nl", "be", "it",
    "es", "pl", "cz", "se", "no", "dk", "fi", "us", "ca", "au",
];

/// Names of home directories that do not identify a person.
const GENERIC_HOMES: &[&str] = &[
    "you",
    "user",
    "username",
    "name",
    "me",
    "runner",
    "guest",
    "example",
    "alice",
    "bob",
    "nonroot",
    "node",
    "vscode",
    "linuxbrew",
];

/// Well-known address blocks, and the defaults of k3s, kubeadm, `MicroK8s` and Talos.
const KNOWN_BLOCKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "10.42.0.0/16",
    "10.43.0.0/16",
    "10.96.0.0/12",
    "10.152.183.0/24",
    "10.244.0.0/16",
    "fc00::/7",
    "fc00:db8:10::/56",
    "fc00:db8:20::/112",
    "fd00::/8",
    "fd00:10:244::/56",
    "fd00:10:96::/112",
];

/// Suffixes of systemd units, whose names may contain an `@`.
const UNITS: &[&str] = &["service", "mount", "timer", "socket"];

/// Returns the identifiers on a line. `words` are the words of this line.
pub(super) fn find(line: &str, words: &[&str], is_yaml: bool) -> Vec<(Kind, String)> {
    let mut hits = Vec::new();
    for word in words.iter().flat_map(|word| word.split('=')).filter(|word| word.contains(['.', ':', '@'])) {
        hits.extend(email(word).map(|it| (Kind::Email, it.to_owned())));
        hits.extend(address(word).map(|it| (Kind::PrivateAddress, it.to_owned())));
        hits.extend(url_host(word).filter(|host| is_private_host(host, false)).map(|it| (Kind::Hostname, it.to_owned())));
        hits.extend(account_host(word).map(|it| (Kind::Hostname, it.to_owned())));
    }
    if is_yaml {
        hits.extend(yaml_value(line).filter(|host| is_private_host(host, true)).map(|it| (Kind::Hostname, it.to_owned())));
    }
    hits.extend(home(line).map(|it| (Kind::HomePath, it.to_owned())));
    hits
}

fn below(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether a name is that of a home. A bare one, outside a URL, counts only below a top-level domain that homes use.
pub(crate) fn is_private_host(host: &str, bare: bool) -> bool {
    let host = host.to_ascii_lowercase();
    let labels: Vec<_> = host.split('.').collect();
    let Some(top) = labels.last().filter(|_| labels.len() > 1) else { return false };
    let well_formed =
        labels.iter().all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    let is_name = top.len() > 1 && top.bytes().all(|b| b.is_ascii_alphabetic());
    let known = LOCAL.contains(top) || PUBLIC.iter().chain(ACCOUNTS).any(|domain| below(&host, domain));
    well_formed && is_name && !known && (!bare || TOP_LEVEL.contains(top))
}

fn url_host(word: &str) -> Option<&str> {
    let (_, rest) = word.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?;
    host.split(':').next().map(|host| host.trim_end_matches('.'))
}

/// Returns a name below one of [`ACCOUNTS`].
fn account_host(word: &str) -> Option<&str> {
    let host = word.rsplit("://").next()?.split(['/', ':']).next()?.trim_matches('.');
    let account = ACCOUNTS.iter().find_map(|domain| host.strip_suffix(domain)?.strip_suffix('.'))?;
    let last = account.rsplit('.').find(|label| *label != "fed")?;
    // TEAM and TUNNEL_ID are placeholders for the reader.
    let filled_in = last.contains(|c: char| c.is_ascii_lowercase());
    let last = last.to_ascii_lowercase();
    (filled_in && !EXAMPLE_ACCOUNTS.contains(&last.as_str())).then_some(host)
}

/// Returns the value of `key: value` or `- value`.
fn yaml_value(line: &str) -> Option<&str> {
    let line = line.split(" #").next().unwrap_or(line).trim();
    let value = line.split_once(": ").map_or_else(|| line.strip_prefix("- "), |(_, value)| Some(value))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

fn email(word: &str) -> Option<&str> {
    let word = word.trim_matches(['.', ':', '/', '-']);
    let (user, domain) = word.split_once('@')?;
    let domain = domain.split([':', '/']).next()?;
    let user = user.rsplit([':', '/']).next()?;
    let top = domain.rsplit('.').next().filter(|top| *top != domain)?;
    let is_name = top.len() > 1 && top.bytes().all(|b| b.is_ascii_alphabetic()) && !UNITS.contains(&top);
    let domain = &domain.to_ascii_lowercase();
    let top = domain.rsplit('.').next().unwrap_or_default();
    let free = LOCAL.contains(&top)
        || ["example.com", "example.org", "example.net", "noreply.github.com"].iter().any(|it| below(domain, it));
    (!user.is_empty() && is_name && !free && user != "git").then_some(word)
}

fn address(word: &str) -> Option<&str> {
    let word = word.trim_matches(['.', '-', '_', '@', '+']).trim_end_matches([':', '/']);
    let host = word.rsplit("://").next()?;
    if !host.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    if KNOWN_BLOCKS.contains(&host) {
        return None;
    }
    let plain = host.split('/').next()?;
    let v4 = plain.split(':').find_map(|part| part.parse::<Ipv4Addr>().ok());
    if let Some(address) = v4 {
        return (address.is_private() && !is_of_a_cluster(address)).then_some(word);
    }
    let v6: Ipv6Addr = plain.parse().ok()?;
    v6.is_unique_local().then_some(word)
}

/// Whether an address says nothing about a home: of a cluster's own network, this machine's, or one of documentation.
pub(crate) fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            is_of_a_cluster(v4) || v4.is_loopback() || v4.is_unspecified() || v4.is_documentation() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.segments()[..2] == [0x2001, 0xdb8],
    }
}

/// Whether an address belongs to the pods or Services of k3s or kubeadm, which are the same in every home.
fn is_of_a_cluster(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    a == 10 && (matches!(b, 42 | 43 | 244) || (96..112).contains(&b))
}

fn home(line: &str) -> Option<&str> {
    ["/home/", "/Users/"].iter().find_map(|root| {
        line.match_indices(root).find_map(|(start, _)| {
            // `/data/home/x` is not a home directory.
            if line[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
                return None;
            }
            let rest = &line[start + root.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).unwrap_or(rest.len());
            let name = rest[..end].trim_matches('.');
            let generic = name.len() < 2 || name.bytes().all(|b| !b.is_ascii_lowercase()) || GENERIC_HOMES.contains(&name);
            (!generic).then(|| &line[start..start + root.len() + end])
        })
    })
}
