//! Each kind is found, and what looks like it is not. Every sample is put together here, so that this file is clean itself.

use std::iter::repeat_n;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::allow::AllowList;
use super::kind::Kind;
use super::{redact, text};

fn kinds(path: &str, line: &str) -> Vec<Kind> {
    text(path, line).into_iter().map(|hit| hit.kind).collect()
}

/// Letters and digits that look drawn at random.
fn random(length: usize) -> String {
    "q7Zk2Lx9Vb4Nw8Rt6Ym3Hc5Jd1Gf0Ps".chars().cycle().take(length).collect()
}

fn hex(length: usize) -> String {
    "9f2c71b8e04d6a35".chars().cycle().take(length).collect()
}

/// For each kind, lines in which it is found.
pub(crate) fn samples() -> Vec<(Kind, String)> {
    let at = |user: &str, domain: &str| format!("{user}@{domain}");
    let tunnel = |secret: &str| STANDARD.encode(format!("{{\"a\":\"{}\",\"t\":\"x\",\"s\":\"{secret}\"}}", hex(32)));
    vec![
        (Kind::PrivateKey, format!("-----BEGIN {} KEY-----", "RSA PRIVATE")),
        (Kind::PrivateKey, format!("\"private_key\": \"-----BEGIN {} KEY-----\\nMII\"", "PRIVATE")),
        (Kind::AgeKey, format!("{}{}", "AGE-SECRET-KEY-1", random(64).to_uppercase())),
        (Kind::Jwt, format!("{0}{1}.{0}{1}.{1}", "eyJ", random(20))),
        (Kind::TunnelToken, format!("token: {}", tunnel(&random(40)))),
        (Kind::TunnelCredentials, format!("{{\"TunnelSecret\":\"{}\"}}", random(44))),
        (Kind::AccessClientSecret, format!("CF-Access-Client-Secret: {}", hex(64))),
        (Kind::AccessClientSecret, format!("curl -H x:{}{}", "cfast_", random(48))),
        (Kind::AccessAud, format!("GUARD_ACCESS_AUD={}", hex(64))),
        (Kind::AccessAud, format!("audTag: [\"{}\"]", hex(64))),
        (Kind::CloudflareApiToken, format!("CF_API_TOKEN={}", random(40))),
        (Kind::GoogleKey, format!("\"private_key_id\": \"{}\"", hex(40))),
        (Kind::AwsKey, format!("{}{}", "AKIA", random(16).to_uppercase())),
        (Kind::GithubToken, format!("{}{}", "ghp_", random(36))),
        (Kind::GithubToken, format!("{}{}", "github_pat_", random(82))),
        (Kind::Email, at("anna", "miller.family")),
        (Kind::PrivateAddress, format!("server: 192.168.{}", "178.20")),
        (Kind::PrivateAddress, format!("http://10.{}:2283/x", "1.2.3")),
        (Kind::PrivateAddress, format!("[fd12:{}::7]", "3456:789a")),
        (Kind::PrivateAddress, format!("192.168.{}/24", "178.0")),
        (Kind::HomePath, format!("cd /home/{}/photos", "anna")),
        (Kind::HomePath, format!("/Users/{}", "anna.miller")),
        (Kind::Hostname, format!("see https://photos.{}/x", "miller.family")),
        (Kind::Hostname, format!("https://{}.cloudflareaccess.com", "themillers")),
        (Kind::Hostname, format!("CNAME {}.cfargotunnel.com", hex(8))),
    ]
}

#[test]
fn each_kind_is_found() {
    let samples = samples();
    for (kind, line) in &samples {
        assert_eq!(kinds("x.md", line), [*kind], "{line}");
    }
    // Whether a file is encrypted is seen by its name, not by a line: a_file_that_is_named_as_encrypted_is_encrypted.
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Unencrypted) {
        assert!(samples.iter().any(|(sample, _)| *sample == kind), "no sample of {}", kind.label());
    }
    // A bare value is a hostname in YAML only: elsewhere it is a file name, or prose.
    let value = format!("host: photos.{} # at home", "miller.family");
    assert_eq!(kinds("x.yaml", &value), [Kind::Hostname]);
    assert_eq!(kinds("x.md", &value), []);
}

#[test]
fn what_is_everyones_is_not_found() {
    let digest = format!("image: docker.io/cloudflare/cloudflared:1@sha256:{}", hex(64));
    let counted = format!("aud: {}", "0123456789abcdef".repeat(4));
    let repeated = format!("AUD={}", repeat_n('a', 64).collect::<String>());
    for line in [
        digest.as_str(),
        &counted,
        &repeated,
        "anna@example.com family@photos.example.org git@github.com:x/y.git 1+x@users.noreply.github.com",
        "uses: actions/checkout@v4 # cloudflared@.service",
        "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7 10.42.0.7 10.244.1.1:8080 10.96.0.10",
        "192.0.2.7 198.51.100.1 203.0.113.9 2001:db8::1 127.0.0.1 169.254.169.254 8.8.8.8 ::1",
        "https://team.cloudflareaccess.com/cdn-cgi/access/certs https://TEAM.cloudflareaccess.com",
        "http://immich-server.immich.svc.cluster.local:2283 http://nas.lan http://localhost:8080 https://photos.example.com",
        "/home/you/photos /home/USER /data/home/anna /Users/NAME /home/$USER",
        "std::net::Ipv4Addr a::b::c 1:2 12:30:00",
    ] {
        assert_eq!(kinds("x.yaml", line), [], "{line}");
    }
    for line in
        ["name: kustomization.yaml", "key: app.kubernetes.io/name", "- deployment.yaml", "file: start.sh", "kind: v1.37.0"]
    {
        assert_eq!(kinds("x.yaml", line), [], "{line}");
    }
}

#[test]
fn a_marker_needs_a_reason() {
    let address = format!("192.168.{}", "178.20");
    assert_eq!(kinds("x", &format!("{address} # scan:allow the router's own default")), []);
    assert_eq!(kinds("x", &format!("{address} # scan:allow ")), [Kind::PrivateAddress]);
}

#[test]
fn a_finding_has_its_line_and_never_the_secret() {
    let secret = format!("{}{}", "ghp_", random(36));
    let hits = text("x", &format!("one\ntwo {secret}\n"));
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].line, hits[0].redacted.as_str()), (2, "ghp… (40 characters)"));
    assert_eq!(redact("ü"), "ü… (1 characters)");
}

#[test]
fn an_allow_entry_covers_a_kind_below_a_path_and_is_needed() {
    let mut list = AllowList::parse("# tests\njwt guard/tests/ signed by the tests\nemail a.md an author\n").expect("entries");
    assert!(list.covers(Kind::Jwt, "guard/tests/x.rs"));
    assert!(!list.covers(Kind::Jwt, "guard/src/x.rs"));
    assert!(!list.covers(Kind::Email, "guard/tests/x.rs"));
    assert_eq!(list.unused().map(|entry| entry.line).collect::<Vec<_>>(), [3]);
    for (text, wanted) in [("jwt guard/tests/\n", "wanted KIND PATH REASON"), ("jwts x y\n", "wanted one of private-key, jwt")] {
        let error = AllowList::parse(text).err().expect("refused");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn a_file_that_is_named_as_encrypted_is_encrypted() {
    let plain = "kind: Secret\nstringData:\n  POSTGRES_PASSWORD: x\n";
    assert_eq!(kinds("clusters/home/secrets/immich-postgres.sops.yaml", plain), [Kind::Unencrypted]);
    assert_eq!(kinds("clusters/home/secrets/immich-postgres.yaml", plain), []);
    assert_eq!(kinds("a.sops.yaml", "stringData:\n  POSTGRES_PASSWORD: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n"), []);
    assert_eq!(kinds(".sops.yaml", "creation_rules: []\n"), [], "the rules of sops are no Secret");
}
