//! Text to configuration: the variables of both source designs alone, more than one backend, and everything wrong at once.

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "a flag is text or nothing")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn backends(list: &[&str]) -> IdtokenArgs {
    IdtokenArgs { backend: list.iter().map(|text| (*text).to_owned()).collect(), ..IdtokenArgs::default() }
}

fn problems(args: &IdtokenArgs) -> Vec<&'static str> {
    args.check().err().map(|problems| problems.0.iter().map(|problem| problem.variable).collect()).unwrap_or_default()
}

#[test]
fn the_variables_of_either_source_design_are_enough() {
    for args in [
        IdtokenArgs { upstream_server_url: some("https://my-ml-xyz.run.example"), ..IdtokenArgs::default() },
        IdtokenArgs { backend_url: some("https://my-ml-xyz.run.example"), ..IdtokenArgs::default() },
        IdtokenArgs {
            upstream_server_url: some("https://my-ml-xyz.run.example"),
            backend_url: some("https://my-ml-xyz.run.example"),
            ..IdtokenArgs::default()
        },
    ] {
        let config = args.check().unwrap();
        let [backend] = &config.backends[..] else { panic!("{config:?}") };
        assert_eq!(backend.listen.0.to_string(), "0.0.0.0:8080");
        assert_eq!(backend.audience, "https://my-ml-xyz.run.example");
        assert_eq!((backend.header.as_str(), backend.ping, backend.retry), ("x-serverless-authorization", Ping::Local, true));
        assert_eq!(
            (backend.url.host.as_bytes(), backend.url.https, &*backend.url.base),
            (&b"my-ml-xyz.run.example"[..], true, "")
        );
        assert_eq!(backend.url.authority.port, 443);
        assert_eq!(config.credentials, Place::Metadata("metadata.google.internal".to_owned()));
        assert_eq!((config.max_body, config.inbound.is_none(), config.cors), (Some(33_554_432), true, None));
        assert_eq!(config.process.admin_listen.to_string(), "0.0.0.0:9090");
    }
}

#[test]
fn more_than_one_backend_each_with_its_own_ways() {
    let config = backends(&[
        "127.0.0.1:8081=https://One.example:443/base/;audience=custom",
        "[::1]:8082=http://localhost:9000;header=Authorization;ping=forward;retry=off",
    ])
    .check()
    .unwrap();
    let [one, two] = &config.backends[..] else { panic!("{config:?}") };
    assert_eq!((one.audience.as_str(), &*one.url.base, one.url.host.as_bytes()), ("custom", "/base", &b"one.example"[..]));
    assert_eq!(
        (two.audience.as_str(), two.header.as_str(), two.ping, two.retry),
        ("http://localhost:9000", "authorization", Ping::Forward, false)
    );
    assert_eq!(two.url.host.as_bytes(), b"localhost:9000");
}

#[test]
fn a_path_is_no_part_of_the_audience() {
    let config = backends(&["127.0.0.1:1=https://ml.run.example/v1/"]).check().unwrap();
    assert_eq!(config.backends[0].audience, "https://ml.run.example");
}

#[test]
fn plain_http_to_a_backend_stays_on_this_machine() {
    for (url, good) in [
        ("http://127.0.0.1:1", true),
        ("http://[::1]:1/base", true),
        ("http://10.0.0.1", false),
        ("http://127.0.0.1.example.com", false),
        ("ftp://127.0.0.1", false),
        ("https://user@host.example", false),
        ("https://host.example/?x=1", false),
        ("https://", false),
        ("host.example", false),
        ("", false),
    ] {
        assert_eq!(problems(&backends(&[&format!("127.0.0.1:1={url}")])).is_empty(), good, "{url}");
    }
}

#[test]
fn every_problem_is_listed_at_once_by_name() {
    let mut args = backends(&[
        "nowhere=https://a.example",
        "127.0.0.1:1=http://a.example",
        "127.0.0.1:2=https://a.example;ping=never",
        "127.0.0.1:2=https://a.example;colour=red",
        "127.0.0.1:2=https://a.example;audience=",
        "https://a.example",
    ]);
    args.upstream_server_url = some("http://ml.example");
    args.backend_url = some("https://other.example");
    args.port = some("http");
    args.google_application_credentials = some("/nowhere/key.json");
    args.gce_metadata_host = some("http://metadata");
    args.cors_origins = some("*");
    args.max_body = some("lots");
    args.upstream_timeout = some("soon");
    args.door.front_door = some("ajar");
    args.process.workers = some("0");
    assert_eq!(
        problems(&args),
        [
            "GUARD_IDTOKEN_BACKENDS",
            "GUARD_IDTOKEN_BACKENDS",
            "GUARD_IDTOKEN_BACKENDS",
            "GUARD_IDTOKEN_BACKENDS",
            "GUARD_IDTOKEN_BACKENDS",
            "GUARD_IDTOKEN_BACKENDS",
            "PORT",
            "BACKEND_URL",
            "UPSTREAM_SERVER_URL",
            "GUARD_FRONT_DOOR",
            "GUARD_CORS_ORIGINS",
            "GUARD_MAX_BODY",
            "GUARD_UPSTREAM_TIMEOUT",
            "GUARD_WORKERS",
            "GCE_METADATA_HOST",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ]
    );
}

#[test]
fn nothing_at_all_and_the_same_place_twice() {
    assert_eq!(problems(&IdtokenArgs::default()), ["UPSTREAM_SERVER_URL"]);
    assert_eq!(
        problems(&backends(&["127.0.0.1:1=https://a.example", "127.0.0.1:1=https://b.example"])),
        ["GUARD_IDTOKEN_BACKENDS"]
    );
    let mut args = backends(&["127.0.0.1:1=https://a.example"]);
    args.process.admin_listen = some("127.0.0.1:1");
    assert_eq!(problems(&args), ["GUARD_ADMIN_LISTEN"]);
}

#[test]
fn the_inbound_check_is_off_until_a_front_door_is_named() {
    let mut args = backends(&["127.0.0.1:1=https://a.example"]);
    args.door.front_door = some("cloudflare-access");
    assert_eq!(problems(&args), ["GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"]);
    args.door.access_team = some("family");
    args.door.access_aud = some("a1");
    assert!(args.check().unwrap().inbound.is_some());
}
