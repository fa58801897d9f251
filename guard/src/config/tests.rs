//! Text to configuration: what is accepted, and that everything wrong is said at once.

use super::door::{KeysAt, SignedConfig, Signer};
use super::*;

fn good() -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs {
        upstream: some("http://immich-server:2283"),
        door: DoorArgs { access_team: some("family"), access_aud: some("a1,b2"), ..DoorArgs::default() },
        ..OriginArgs::default()
    }
}

fn problems(args: &OriginArgs) -> Vec<&'static str> {
    args.check().err().map(|problems| problems.0.iter().map(|problem| problem.variable).collect()).unwrap_or_default()
}

#[test]
fn the_defaults_are_the_contracts() {
    let config = good().check().unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.process.admin_listen.to_string(), "0.0.0.0:9090");
    assert_eq!(config.max_body, Some(104_857_600));
    assert_eq!(config.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.process.grace, Duration::from_secs(25));
    assert_eq!(config.upstream, Authority { host: "immich-server".to_owned(), port: 2283 });
    let DoorConfig::Signed(SignedConfig { signer: Signer::CloudflareAccess, issuers, audiences, keys: KeysAt::Jwks(jwks) }) =
        config.front_door
    else {
        panic!("another front door: {:?}", config.front_door);
    };
    assert_eq!(issuers.unwrap(), ["https://family.cloudflareaccess.com"]);
    assert_eq!(audiences, ["a1", "b2"]);
    assert_eq!(jwks, "https://family.cloudflareaccess.com/cdn-cgi/access/certs");
}

#[test]
fn three_ways_to_write_a_team_mean_one_issuer() {
    for text in
        ["family", "Family.cloudflareaccess.com", "https://family.cloudflareaccess.com", "https://family.cloudflareaccess.com/"]
    {
        assert_eq!(read::team(text).as_deref(), Ok("family.cloudflareaccess.com"), "{text}");
    }
    assert_eq!(read::team("agency.fed.cloudflareaccess.com").as_deref(), Ok("agency.fed.cloudflareaccess.com"));
    for text in [
        "http://family.cloudflareaccess.com",
        "family.example.com",
        "a b",
        "-a",
        "https://family.cloudflareaccess.com/x",
        ".cloudflareaccess.com",
        "__ACCESS_TEAM__",
    ] {
        assert!(read::team(text).is_err(), "{text}");
    }
}

#[test]
fn every_problem_is_listed_at_once_by_name() {
    let some = |text: &str| Some(text.to_owned());
    let args = OriginArgs {
        listen: some("8080"),
        upstream: some("https://immich"),
        door: DoorArgs {
            access_team: some("not a team"),
            jwks_url: some("http://keys.example.com/certs"),
            allow_email: some("ada"),
            ..DoorArgs::default()
        },
        max_body: some("lots"),
        external_url: some("photos.example.com"),
        lan_url: some("nas"),
        upstream_timeout: some("10"),
        process: ProcessArgs {
            admin_listen: some("nowhere"),
            ca_file: some("/nowhere/ca.pem"),
            grace: some("soon"),
            workers: some("0"),
            log: some("info,,=loud="),
            log_format: some("xml"),
            log_identity: some("name"),
        },
        auth: ForwardAuthArgs::default(),
    };
    assert_eq!(
        problems(&args),
        [
            "GUARD_LISTEN",
            "GUARD_UPSTREAM",
            "GUARD_MAX_BODY",
            "GUARD_EXTERNAL_URL",
            "GUARD_JWKS_URL",
            "GUARD_ACCESS_TEAM",
            "GUARD_ACCESS_AUD",
            "GUARD_ALLOW_EMAIL",
            "GUARD_LAN_URL",
            "GUARD_UPSTREAM_TIMEOUT",
            "GUARD_ADMIN_LISTEN",
            "GUARD_CA_FILE",
            "GUARD_GRACE",
            "GUARD_WORKERS",
            "GUARD_LOG",
            "GUARD_LOG_FORMAT",
            "GUARD_LOG_IDENTITY",
        ]
    );
    let text = args.check().unwrap_err().to_string();
    assert!(text.contains("GUARD_MAX_BODY: found \"lots\", wanted a size"), "{text}");
    assert!(text.contains("GUARD_ACCESS_AUD: not set, wanted the AUD tag"), "{text}");
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let mut args = OriginArgs { max_body: Some(String::new()), ..good() };
    args.door.allow_email = Some("  ".to_owned());
    let config = args.check().unwrap();
    assert!(config.allow.emails.is_empty());
    assert_eq!(config.max_body, Some(DEFAULT_MAX_BODY_BYTES));
    args.door.access_aud = Some(" , ".to_owned());
    assert_eq!(problems(&args), ["GUARD_ACCESS_AUD"]);
}

#[test]
fn plain_http_to_a_key_set_stays_on_this_machine() {
    let at = |text: &str| {
        let mut args = good();
        args.door.jwks_url = Some(text.to_owned());
        problems(&args).is_empty()
    };
    assert!(
        at("https://keys.example.com/certs")
            && at("http://127.0.0.1:9/certs")
            && at("http://[::1]:9/")
            && at("http://localhost/certs")
    );
    assert!(
        !at("http://10.0.0.1/certs")
            && !at("http://127.0.0.1.example.com/certs")
            && !at("http://localhost.example.com/")
            && !at("ftp://127.0.0.1/")
    );
}

#[test]
fn zero_is_no_limit_and_the_external_host_loses_its_own_port() {
    assert_eq!(OriginArgs { max_body: Some("0".to_owned()), ..good() }.check().unwrap().max_body, None);
    let external = |text: &str| read::external(text).map(|external| external.host);
    assert_eq!(external("https://Photos.example.com:443/").as_deref(), Ok("photos.example.com"));
    assert_eq!(external("https://photos.example.com:8443").as_deref(), Ok("photos.example.com:8443"));
    assert!(external("https://photos.example.com/immich").is_err());
}

#[test]
fn the_two_ports_are_never_one() {
    let some = |text: &str| Some(text.to_owned());
    let mut args = OriginArgs { listen: some("0.0.0.0:1"), ..good() };
    args.process.admin_listen = some("0.0.0.0:1");
    assert_eq!(problems(&args), ["GUARD_ADMIN_LISTEN"]);
}
