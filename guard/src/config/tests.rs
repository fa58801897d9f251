//! Tests of the configuration: which values are accepted, and that all problems are reported at once.

use super::door::{KeysAt, SignedConfig, Signer};
use super::*;

fn good() -> OriginArgs {
    let some = |text: &str| Some(text.to_owned());
    OriginArgs {
        upstream: some("http://immich-server:2283"),
        door: FrontDoorArgs { access_team: some("family"), access_aud: some("a1,b2"), ..FrontDoorArgs::default() },
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
    assert_eq!((config.process.drain_delay, config.process.grace), (Duration::ZERO, Duration::from_secs(25)));
    assert_eq!(config.upstream, Authority { host: "immich-server".to_owned(), port: 2283 });
    let FrontDoorConfig::Signed(SignedConfig {
        signer: Signer::CloudflareAccess,
        issuers,
        audiences,
        keys: KeysAt::Jwks(jwks),
        ..
    }) = config.front_door
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
        door: FrontDoorArgs {
            access_team: some("not a team"),
            jwks_url: some("http://keys.example.com/certs"),
            allow_email: some("ada"),
            ..FrontDoorArgs::default()
        },
        max_body: some("lots"),
        external_url: some("photos.example.com"),
        client_address_header: some("x_client"),
        lan_url: some("nas"),
        upstream_timeout: some("10"),
        process: ProcessArgs {
            admin_listen: some("nowhere"),
            ca_file: some("/nowhere/ca.pem"),
            drain_delay: some("5"),
            grace: some("soon"),
            workers: some("0"),
            memory: some("1MiB"),
            log: some("info,,=loud="),
            log_format: some("xml"),
            log_identity: some("name"),
        },
        auth: ForwardAuthArgs::default(),
        uploads: UploadsArgs { large_uploads: some("yes"), large_uploads_max: some("0"), large_uploads_idle: some("0s") },
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
            "GUARD_CLIENT_ADDRESS_HEADER",
            "GUARD_LAN_URL",
            "GUARD_UPSTREAM_TIMEOUT",
            "GUARD_LARGE_UPLOADS",
            "GUARD_LARGE_UPLOADS_MAX",
            "GUARD_LARGE_UPLOADS_IDLE",
            "GUARD_ADMIN_LISTEN",
            "GUARD_CA_FILE",
            "GUARD_DRAIN_DELAY",
            "GUARD_GRACE",
            "GUARD_WORKERS",
            "GUARD_MEMORY",
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

/// The arguments of a front door other than the default.
fn behind(front_door: &str, change: impl FnOnce(&mut OriginArgs)) -> OriginArgs {
    let mut args = OriginArgs { upstream: Some("http://immich-server:2283".to_owned()), ..OriginArgs::default() };
    args.door.front_door = Some(front_door.to_owned());
    change(&mut args);
    args
}

fn signed(args: &OriginArgs) -> SignedConfig {
    match args.check().unwrap().front_door {
        FrontDoorConfig::Signed(signed) => signed,
        other => panic!("another front door: {other:?}"),
    }
}

#[test]
fn each_front_door_names_all_that_it_lacks() {
    for (front_door, wanted) in [
        ("cloudflare-access", &["GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"][..]),
        ("google-iap", &["GUARD_ASSERTION_AUDIENCE"]),
        ("pomerium", &["GUARD_ASSERTION_AUDIENCE", "GUARD_JWKS_URL"]),
        ("aws-alb", &["GUARD_ALB_ARN", "GUARD_ALB_CLIENT_ID"]),
        ("authentik-proxy", &["GUARD_ASSERTION_SECRET_FILE", "GUARD_ASSERTION_ISSUER", "GUARD_ASSERTION_AUDIENCE"]),
        (
            "signed-header",
            &[
                "GUARD_ASSERTION_HEADER",
                "GUARD_ASSERTION_ALGORITHMS",
                "GUARD_ASSERTION_ISSUER",
                "GUARD_ASSERTION_AUDIENCE",
                "GUARD_JWKS_URL",
            ],
        ),
        ("forward-auth", &["GUARD_AUTH_URL", "GUARD_EXTERNAL_URL"]),
        ("unsigned-header", &["GUARD_ASSERTION_HEADER", "GUARD_TRUSTED_PEERS"]),
        ("authentik", &["GUARD_FRONT_DOOR"]),
    ] {
        assert_eq!(problems(&behind(front_door, |_args| {})), wanted, "{front_door}");
    }
}

#[test]
fn the_keys_of_each_front_door_are_where_its_vendor_serves_them() {
    let some = |text: &str| Some(text.to_owned());
    let iap = behind("google-iap", |args| args.door.assertion.assertion_audience = some("/projects/1/apps/family"));
    assert!(matches!(signed(&iap).keys, KeysAt::Jwks(uri) if uri == "https://www.gstatic.com/iap/verify/public_key-jwk"));
    assert_eq!(signed(&iap).issuers.unwrap(), ["https://cloud.google.com/iap"]);

    let alb = |arn: &str, keys: Option<&str>| {
        behind("aws-alb", |args| {
            args.door.assertion.alb_arn = some(arn);
            args.door.assertion.alb_client_id = some("client");
            args.door.jwks_url = keys.map(str::to_owned);
        })
    };
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/family/50dc6c495c0c9188";
    let at = |args: &OriginArgs| match signed(args).keys {
        KeysAt::PemPerKid(base) => base,
        other => panic!("{other:?}"),
    };
    assert_eq!(at(&alb(arn, None)), "https://public-keys.auth.elb.eu-west-1.amazonaws.com");
    assert_eq!(at(&alb(arn, Some("https://keys.example.com/alb"))), "https://keys.example.com/alb");
    // In other partitions the address differs, so it has to be configured.
    assert_eq!(problems(&alb(&arn.replace("arn:aws:", "arn:aws-us-gov:"), None)), ["GUARD_JWKS_URL"]);
    for bad in ["family", "arn:aws:s3:::family", &arn.replace("eu-west-1", "evil.example/x"), &arn.replace("/app/", "/net/")] {
        assert_eq!(problems(&alb(bad, None)), ["GUARD_ALB_ARN"], "{bad}");
    }

    let pomerium = behind("pomerium", |args| {
        args.door.assertion.assertion_audience = some("photos.example.com");
        args.door.jwks_url = some("https://photos.example.com/.well-known/pomerium/jwks.json");
    });
    assert_eq!(signed(&pomerium).issuers.unwrap(), ["photos.example.com", "https://photos.example.com/"]);
}

#[test]
fn a_value_that_would_open_too_much_is_refused() {
    let some = |text: &str| Some(text.to_owned());
    let header = |header: &str, algorithms: &str| {
        problems(&behind("signed-header", |args| {
            args.door.assertion = door::AssertionArgs {
                assertion_header: some(header),
                assertion_algorithms: some(algorithms),
                assertion_issuer: some("https://gateway.example.com"),
                assertion_audience: some("photos"),
                ..door::AssertionArgs::default()
            };
            args.door.jwks_url = some("https://gateway.example.com/jwks");
        }))
    };
    assert_eq!(header("X-Gateway-Token", "ES256,EdDSA"), [""; 0]);
    for bad in ["HS256", "none", "ES256,HS256", "es256", "ES512", ""] {
        assert_eq!(header("X-Gateway-Token", bad), ["GUARD_ASSERTION_ALGORITHMS"], "{bad}");
    }
    for bad in ["Authorization", "Cookie", "Host", "X_Gateway_Token", "X Gateway"] {
        assert_eq!(header(bad, "ES256"), ["GUARD_ASSERTION_HEADER"], "{bad}");
    }
    let peers = |peers: &str| {
        problems(&behind("unsigned-header", |args| {
            args.door.assertion.assertion_header = some("Tailscale-User-Login");
            args.door.trusted_peers = some(peers);
        }))
    };
    assert_eq!(peers("127.0.0.1, ::1"), [""; 0]);
    for bad in ["10.0.0.0/8", "0.0.0.0", "::", "localhost", "127.0.0.1,*"] {
        assert_eq!(peers(bad), ["GUARD_TRUSTED_PEERS"], "{bad}");
    }
}

#[test]
fn a_shared_secret_is_long_enough_and_is_never_printed() {
    let path = std::env::temp_dir().join(format!("guard-short-secret-{}", std::process::id()));
    let with = |secret: &str| {
        std::fs::write(&path, secret).unwrap();
        behind("authentik-proxy", |args| {
            args.door.assertion.assertion_secret_file = Some(path.to_string_lossy().into_owned());
            args.door.assertion.assertion_issuer = Some("https://auth.example.com/application/o/immich-gate/".to_owned());
            args.door.assertion.assertion_audience = Some("client".to_owned());
        })
        .check()
    };
    for short in ["", "\n", "short-and-secret\n"] {
        let text = with(short).unwrap_err().to_string();
        assert!(text.contains("GUARD_ASSERTION_SECRET_FILE") && text.contains("at least 32 bytes"), "{text}");
        assert!(!text.contains("short-and-secret"), "{text}");
    }
    let config = with("0123456789abcdef0123456789abcdef\n").unwrap();
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "{config:?}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn presets_are_what_their_products_document_and_a_variable_wins() {
    let some = |text: &str| Some(text.to_owned());
    let asked = |preset: &str, change: fn(&mut ForwardAuthArgs)| {
        let args = behind("forward-auth", |args| {
            args.external_url = some("https://photos.example.com");
            args.auth = ForwardAuthArgs {
                auth_url: some("http://auth.example.com:9000"),
                auth_preset: some(preset),
                ..ForwardAuthArgs::default()
            };
            change(&mut args.auth);
        });
        match args.check().unwrap().front_door {
            FrontDoorConfig::ForwardAuth(auth) => auth,
            other => panic!("another front door: {other:?}"),
        }
    };
    for (preset, path, identity, own) in [
        ("authentik", "/outpost.goauthentik.io/auth/caddy", "x-authentik-uid", Some("/outpost.goauthentik.io/")),
        ("oauth2-proxy", "/oauth2/auth", "x-auth-request-user", Some("/oauth2/")),
        ("authelia", "/api/authz/forward-auth", "remote-user", None),
        ("tinyauth", "/api/auth/traefik", "remote-user", None),
    ] {
        let auth = asked(preset, |_args| {});
        assert_eq!((auth.path.as_str(), auth.identity.as_str(), auth.own_path.as_deref()), (path, identity, own), "{preset}");
        assert!(!auth.copy.iter().any(|name| name.as_str().contains("jwt") || name.as_str().contains("token")), "{preset}");
    }
    let own = asked("authentik", |auth| {
        auth.auth_path = Some("/outpost.goauthentik.io/auth/nginx".to_owned());
        auth.auth_identity_header = Some("X-Who".to_owned());
    });
    assert_eq!((own.path.as_str(), own.identity.as_str()), ("/outpost.goauthentik.io/auth/nginx", "x-who"));
    assert_eq!(own.name.as_str(), "x-who", "whoever names people anew, names accounts so too");
}

#[test]
fn an_auth_server_that_could_let_anyone_in_is_refused() {
    let some = |text: &str| Some(text.to_owned());
    let with = |change: fn(&mut OriginArgs)| {
        problems(&behind("forward-auth", |args| {
            args.external_url = some("https://photos.example.com");
            args.auth.auth_url = some("http://auth.example.com:9000");
            change(args);
        }))
    };
    assert_eq!(with(|_args| {}), [""; 0]);
    for (wanted, change) in [
        (&["GUARD_AUTH_URL"][..], (|args| args.auth.auth_url = Some("http://auth/outpost".to_owned())) as fn(&mut OriginArgs)),
        (&["GUARD_AUTH_URL"], |args| args.auth.auth_url = Some("auth:9000".to_owned())),
        (&["GUARD_AUTH_URL"], |args| args.auth.auth_url = Some("http://user:secret@auth".to_owned())),
        (&["GUARD_AUTH_PRESET"], |args| args.auth.auth_preset = Some("authentic".to_owned())),
        (&["GUARD_AUTH_PATH", "GUARD_AUTH_IDENTITY_HEADER"], |args| args.auth.auth_preset = Some("custom".to_owned())),
        (&["GUARD_AUTH_PATH"], |args| args.auth.auth_path = Some("auth".to_owned())),
        (&["GUARD_AUTH_PATH"], |args| args.auth.auth_path = Some("//evil.example/auth".to_owned())),
        (&["GUARD_AUTH_IDENTITY_HEADER"], |args| args.auth.auth_identity_header = Some("Host".to_owned())),
        (&["GUARD_AUTH_COPY_HEADERS"], |args| args.auth.auth_copy_headers = Some("X-A,Cookie".to_owned())),
        (&["GUARD_AUTH_OWN_PATH"], |args| args.auth.auth_own_path = Some("/".to_owned())),
        (&["GUARD_AUTH_OWN_PATH"], |args| args.auth.auth_own_path = Some("/api/".to_owned())),
        (&["GUARD_AUTH_OWN_PATH"], |args| args.auth.auth_own_path = Some("/api/assets/".to_owned())),
        (&["GUARD_AUTH_OWN_PATH"], |args| args.auth.auth_own_path = Some("/oauth2".to_owned())),
        (&["GUARD_AUTH_SIGN_IN"], |args| args.auth.auth_sign_in = Some("http://evil.example/".to_owned())),
        (&["GUARD_AUTH_SIGN_IN"], |args| args.auth.auth_sign_in = Some("//evil.example/".to_owned())),
        (&["GUARD_AUTH_COOKIES"], |args| args.auth.auth_cookies = Some("*".to_owned())),
        (&["GUARD_AUTH_COOKIES"], |args| args.auth.auth_cookies = Some("immich_*".to_owned())),
        (&["GUARD_AUTH_COOKIES"], |args| args.auth.auth_cookies = Some("im*".to_owned())),
        (&["GUARD_AUTH_EMAIL_HEADER"], |args| {
            args.auth.auth_preset = Some("custom".to_owned());
            args.auth.auth_path = Some("/auth".to_owned());
            args.auth.auth_identity_header = Some("Remote-User".to_owned());
            args.door.allow_email = Some("ada@example.com".to_owned());
        }),
    ] {
        assert_eq!(with(change), wanted);
    }
}
