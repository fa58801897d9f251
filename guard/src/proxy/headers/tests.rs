//! What crosses and what does not, for any headers.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::door::{KeysAt, SignedConfig, Signer};
use crate::frontdoor::profile::Profile;
use crate::frontdoor::signed::{KeySource, Signed};
use crate::identity::Identity;
use crate::jwks::Keys;
use crate::telemetry::metrics::Metrics;

fn door() -> FrontDoor {
    let metrics = Arc::new(Metrics::new());
    let jwks = hyper::Uri::from_static("https://keys.example.com/");
    let config = SignedConfig {
        signer: Signer::CloudflareAccess,
        issuers: Some(Vec::new()),
        audiences: Vec::new(),
        keys: KeysAt::Jwks(jwks),
        unverified_email: Vec::new(),
    };
    let keys = KeySource::Jwks(Arc::new(Keys::new(Vec::new(), metrics.clone())));
    FrontDoor::Signed(Signed::new(Arc::new(Profile::of(&config)), keys, metrics))
}

fn somebody() -> Authenticated {
    let identity = Arc::new(Identity::Account { name: "ada".to_owned() });
    Authenticated { identity, expires: 0, consumes_authorization: false, auth_headers: None, key: None }
}

fn crossed(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let own = door().own_headers();
    let forwarded =
        ForwardedInfo { client: "203.0.113.7".parse().unwrap(), external: None, upgrade: false, own: &own, client_header: None };
    to_upstream(&mut headers, &door(), &somebody(), &forwarded);
    headers
}

fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn what_immich_authenticates_by_passes_untouched() {
    let headers = crossed(&[
        ("host", "photos.example.com"),
        ("authorization", "Bearer abc"),
        ("x-api-key", "key"),
        ("x-immich-user-token", "t"),
        ("x-immich-share-key", "s"),
        ("cookie", "immich_access_token=a; immich_auth_type=password"),
        ("range", "bytes=0-1"),
    ]);
    for (name, value) in [
        ("authorization", "Bearer abc"),
        ("x-api-key", "key"),
        ("x-immich-user-token", "t"),
        ("x-immich-share-key", "s"),
        ("cookie", "immich_access_token=a; immich_auth_type=password"),
        ("range", "bytes=0-1"),
        ("host", "photos.example.com"),
        ("x-forwarded-host", "photos.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
    ] {
        assert_eq!(all(&headers, name), [value], "{name}");
    }
}

#[test]
fn identity_headers_of_every_front_door_and_their_twins_are_stripped() {
    for name in [
        "cf-access-jwt-assertion",
        "cf_access_jwt_assertion",
        "cf-access_jwt-assertion",
        "cf-access-authenticated-user-email",
        "cf-access-client-id",
        "cf-access-client-secret",
        "cf-access-token",
        "x-authentik-username",
        "x_authentik_jwt",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-pomerium-jwt-assertion",
        "x-amzn-oidc-data",
        "x-auth-request-email",
        "remote-user",
        "remote_groups",
        "forwarded",
        "x_real_ip",
        "x-client-ip",
        "true-client-ip",
        "x-original-url",
        "tailscale-user-login",
        "x-ms-client-principal-name",
        "transfer_encoding",
        "content_length",
    ] {
        assert!(crossed(&[("host", "a"), (name, "spoof")]).get(name).is_none(), "{name}");
    }
    for name in ["x_forwarded_for", "x-forwarded-user", "x-forwarded-email", "x-forwarded-uri"] {
        let headers = crossed(&[("host", "a"), (name, "spoof")]);
        assert!(headers.values().all(|value| value != "spoof"), "{name}");
    }
}

#[test]
fn the_header_of_each_front_door_is_an_identity_header_at_every_other() {
    for kind in &crate::config::door::FRONT_DOORS {
        let name = kind.evidence.to_lowercase();
        // A front door whose header or server the operator names has no header of its own.
        if name.starts_with("guard_") {
            continue;
        }
        assert!(
            crossed(&[("host", "a"), (&name, "spoof")]).get(&name).is_none(),
            "{name} of {} reaches Immich behind another front door: add its prefix to IDENTITY_PREFIXES",
            kind.name
        );
    }
}

#[test]
fn every_connection_line_is_honoured_and_cannot_remove_the_host() {
    let headers = crossed(&[
        ("host", "photos.example.com"),
        ("connection", "close, x-one"),
        ("connection", "X-Two , host, content-length"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("content-length", "5"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
    ]);
    for name in ["connection", "x-one", "x-two", "keep-alive", "te", "proxy-authorization", "upgrade", "expect"] {
        assert!(headers.get(name).is_none(), "{name}");
    }
    assert_eq!(all(&headers, "x-three"), ["3"]);
    assert_eq!(all(&headers, "host"), ["photos.example.com"]);
    assert_eq!(all(&headers, "content-length"), ["5"]);
}

#[test]
fn only_the_front_doors_cookies_are_taken_out() {
    let cookies = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        let headers = crossed(&lines);
        headers.get_all(hyper::header::COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cookies(&["CF_Authorization=a.b.c; immich_access_token=x; CF_AppSession=1"]), ["immich_access_token=x"]);
    assert_eq!(cookies(&["CF_Authorization=a.b.c"]), Vec::<String>::new());
    assert_eq!(cookies(&["a=1;CF_Authorization=x;b=\"2\""]), ["a=1; b=\"2\""]);
    assert_eq!(cookies(&["CF_Authorization=x", "b=2"]), ["b=2"]);
    assert_eq!(cookies(&["b=CF_Authorization=x; XCF_Authorization=y"]), ["b=CF_Authorization=x; XCF_Authorization=y"]);
    assert_eq!(cookies(&["b=2;  c=3"]), ["b=2;  c=3"], "a line without them stays as it was written");
}

#[test]
fn the_client_address_is_that_of_the_named_header_where_it_is_one_address() {
    let name = HeaderName::from_static("cf-connecting-ip");
    let peer: IpAddr = "10.0.0.9".parse().unwrap();
    let at = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_str(line).unwrap());
        }
        client_address(&headers, Some(&name), peer).to_string()
    };
    assert_eq!(at(&["203.0.113.7"]), "203.0.113.7");
    assert_eq!(at(&["2001:db8::7"]), "2001:db8::7");
    for odd in [&[][..], &["203.0.113.7", "203.0.113.8"], &["203.0.113.7, 1.2.3.4"], &["unknown"], &[""]] {
        assert_eq!(at(odd), "10.0.0.9", "{odd:?}");
    }
}

#[test]
fn a_websocket_is_asked_for_in_one_way_only() {
    let asks = |method: &str, lines: &[(&str, &str)]| {
        let mut request = hyper::Request::builder().method(method);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        wants_websocket(&request.body(()).unwrap())
    };
    assert!(asks("GET", &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]));
    assert!(!asks("POST", &[("connection", "upgrade"), ("upgrade", "websocket")]));
    assert!(!asks("GET", &[("connection", "close"), ("upgrade", "websocket")]));
    assert!(!asks("GET", &[("connection", "upgrade"), ("upgrade", "h2c")]));
    assert!(!asks("GET", &[("connection", "upgrade"), ("upgrade", "websocket, h2c")]));
    assert!(!asks("GET", &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "websocket")]));
}

#[test]
fn immich_cannot_speak_in_guards_name() {
    let mut headers = HeaderMap::new();
    headers.insert("guard-refusal", HeaderValue::from_static("unauthorized"));
    headers.insert("connection", HeaderValue::from_static("keep-alive, x-private"));
    headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
    headers.insert("x-private", HeaderValue::from_static("1"));
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    headers.append("set-cookie", HeaderValue::from_static("b=2"));
    to_client(&mut headers, false);
    assert_eq!(all(&headers, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(headers.len(), 2);
}

proptest! {
    /// For any headers: nothing hop-by-hop, nothing protected but what we set; all else in order, line by line.
    #[test]
    fn any_headers(lines in proptest::collection::vec(("[a-zA-Z][a-zA-Z_-]{0,20}|x[-_]forwarded[-_]for|cf[-_]access[-_][a-z]{1,5}|connection", "[a-z, -]{0,20}"), 0..20)) {
        let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
        let headers = crossed(&lines);
        let nominated: Vec<String> = lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .flat_map(|(_, value)| value.split(',')).map(|token| token.trim().to_owned()).collect();
        for name in headers.keys() {
            let name = name.as_str();
            let ours = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"].contains(&name);
            prop_assert!(ours || !is_protected(name), "{} crossed", name);
            prop_assert!(!is_hop_by_hop(name), "{} crossed", name);
        }
        prop_assert_eq!(all(&headers, "x-forwarded-for"), ["203.0.113.7"]);
        for (name, _) in &lines {
            let lower = name.to_ascii_lowercase();
            let passes = !is_protected(&lower) && !is_hop_by_hop(&lower) && !["expect", "content-length", "cookie"].contains(&&*lower) && !nominated.contains(&lower);
            if passes {
                let sent: Vec<_> = lines.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect();
                prop_assert_eq!(all(&headers, &lower), sent);
            }
        }
    }
}
