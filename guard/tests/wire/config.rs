//! The real binary and its configuration: everything wrong is said at once, by variable name, before a port is bound.

use std::net::TcpListener;

use crate::GUARD;
use testkit::admin;
use testkit::process::{OriginProcess, Process, origin_variables};
use testkit::{Issuer, RawClient};

/// Every variable of `guard origin` that the contract names.
const VARIABLES: [&str; 36] = [
    "GUARD_LISTEN",
    "GUARD_ADMIN_LISTEN",
    "GUARD_UPSTREAM",
    "GUARD_FRONT_DOOR",
    "GUARD_ACCESS_TEAM",
    "GUARD_ACCESS_AUD",
    "GUARD_JWKS_URL",
    "GUARD_ALLOW_EMAIL",
    "GUARD_ALLOW_SERVICE",
    "GUARD_MAX_BODY",
    "GUARD_EXTERNAL_URL",
    "GUARD_LAN_URL",
    "GUARD_UPSTREAM_TIMEOUT",
    "GUARD_GRACE",
    "GUARD_WORKERS",
    "GUARD_LOG",
    "GUARD_LOG_FORMAT",
    "GUARD_LOG_IDENTITY",
    "GUARD_ASSERTION_AUDIENCE",
    "GUARD_ASSERTION_ISSUER",
    "GUARD_ASSERTION_HEADER",
    "GUARD_ASSERTION_ALGORITHMS",
    "GUARD_ASSERTION_EMAIL_CLAIM",
    "GUARD_ASSERTION_SECRET_FILE",
    "GUARD_ALB_ARN",
    "GUARD_ALB_CLIENT_ID",
    "GUARD_TRUSTED_PEERS",
    "GUARD_AUTH_URL",
    "GUARD_AUTH_PRESET",
    "GUARD_AUTH_PATH",
    "GUARD_AUTH_IDENTITY_HEADER",
    "GUARD_AUTH_EMAIL_HEADER",
    "GUARD_AUTH_COPY_HEADERS",
    "GUARD_AUTH_OWN_PATH",
    "GUARD_AUTH_SIGN_IN",
    "GUARD_AUTH_COOKIES",
];

/// A port that is taken as long as the listener lives, and its address.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn set<'v>(variables: &[(&'v str, String)], name: &'v str, value: &str) -> Vec<(&'v str, String)> {
    let others = variables.iter().filter(|(known, _)| *known != name).cloned();
    others.chain([(name, value.to_owned())]).collect()
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_by_name_and_before_a_port_is_bound() {
    // Both ports are taken: had guard tried to bind one first, that would be its complaint, and its code 1.
    let ((_public, public), (_admin, admin)) = (taken(), taken());
    let wrong = [
        ("GUARD_UPSTREAM", "https://immich:2283/base"),
        ("GUARD_ACCESS_TEAM", "https://evil.example"),
        ("GUARD_JWKS_URL", "http://keys.example/certs"),
        ("GUARD_ALLOW_EMAIL", "ada"),
        ("GUARD_MAX_BODY", "100 MegaBytes"),
        ("GUARD_EXTERNAL_URL", "photos.example.com"),
        ("GUARD_LAN_URL", "ftp://nas.lan"),
        ("GUARD_UPSTREAM_TIMEOUT", "soon"),
        ("GUARD_GRACE", "-1s"),
        ("GUARD_WORKERS", "0"),
        ("GUARD_LOG", "shout=loud=er"),
        ("GUARD_LOG_FORMAT", "xml"),
        ("GUARD_LOG_IDENTITY", "face"),
    ];
    let mut variables = vec![("GUARD_LISTEN", public), ("GUARD_ADMIN_LISTEN", admin)];
    variables.extend(wrong.map(|(name, value)| (name, value.to_owned())));
    let ended = Process::run(GUARD, &["origin"], &variables).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let line_of = |name: &str| ended.stderr.lines().find(|line| line.trim_start().starts_with(&format!("{name}:")));
    for (name, value) in wrong {
        let line = line_of(name).unwrap_or_else(|| panic!("nothing about {name} in {}", ended.stderr));
        assert!(line.contains(&format!("found {value:?}")) && line.contains("wanted "), "{line}");
    }
    let absent = line_of("GUARD_ACCESS_AUD").expect("what is required is missed");
    assert!(absent.contains("not set"), "{absent}");
    assert!(ended.stderr.contains("14 problems") && ended.stderr.contains("nothing was started"), "{}", ended.stderr);
}

/// Optional values come from a Secret; a misspelt list of addresses would let everyone in.
#[tokio::test]
async fn a_key_of_the_secret_that_nothing_reads_is_refused() {
    let issuer = Issuer::start().await;
    let mut variables = origin_variables(&issuer, "http://127.0.0.1:9");
    variables.push(("GUARD_SECRET_ACCESS_TEAM", "family".to_owned()));
    variables.push(("GUARD_SECRET_ALLOW_EMAILS", "ada@example.com".to_owned()));
    let ended = Process::run(GUARD, &["origin"], &variables).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("ALLOW_EMAILS") && !ended.stderr.contains("ada@example.com"), "{}", ended.stderr);
    variables.pop();
    let OriginProcess { process, .. } = OriginProcess::start(GUARD, &variables).await;
    assert!(!process.stdout().contains("unknown variable"), "{}", process.stdout());
}

#[tokio::test]
async fn without_any_configuration_it_says_what_it_needs() {
    let ended = Process::run(GUARD, &["origin"], &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for name in ["GUARD_UPSTREAM", "GUARD_ACCESS_TEAM", "GUARD_ACCESS_AUD"] {
        assert!(ended.stderr.contains(&format!("{name}: not set")), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("3 problems"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_admin_port_is_never_the_public_one() {
    let issuer = Issuer::start().await;
    let (listener, address) = taken();
    drop(listener);
    let both = set(&origin_variables(&issuer, "http://127.0.0.1:9"), "GUARD_LISTEN", &address);
    let ended = Process::run(GUARD, &["origin"], &set(&both, "GUARD_ADMIN_LISTEN", &address)).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("GUARD_ADMIN_LISTEN: found"), "{}", ended.stderr);
}

#[tokio::test]
async fn wrong_usage_is_2_and_a_question_is_0() {
    for arguments in [&["origin", "--no-such-flag"][..], &["origin", "stray"], &["no-such-command"], &[]] {
        let ended = Process::run(GUARD, arguments, &[]).await;
        assert_eq!(ended.code, Some(2), "{arguments:?} {ended:?}");
        assert!(ended.stderr.contains("Usage: guard"), "{}", ended.stderr);
    }
    let version = Process::run(GUARD, &["--version"], &[]).await;
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), concat!("guard ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[tokio::test]
async fn the_help_names_every_variable_and_shows_no_value() {
    let values = VARIABLES.map(|name| (name, format!("value-of-{}", name.to_lowercase())));
    let help = Process::run(GUARD, &["origin", "--help"], &values).await;
    assert_eq!(help.code, Some(0), "{help:?}");
    // As one line: it is wrapped to the terminal.
    let text = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in VARIABLES {
        let flag = format!("--{}", name.trim_start_matches("GUARD_").to_lowercase().replace('_', "-"));
        assert!(text.contains(&format!("[env: {name}]")), "{name} in {text}");
        assert!(text.contains(&format!("{flag} <")), "{flag} in {text}");
    }
    assert!(!text.contains("value-of"), "a variable may hold what nobody else should read: {text}");
}

#[tokio::test]
async fn a_flag_wins_over_its_variable_and_an_empty_variable_is_none() {
    let issuer = Issuer::start().await;
    let mut variables = set(&origin_variables(&issuer, "https://wrong.example/path"), "GUARD_MAX_BODY", "no size");
    variables.extend([("GUARD_EXTERNAL_URL", String::new()), ("GUARD_GRACE", " ".to_owned())]);
    let immich = testkit::Immich::start().await;
    let flags = ["origin", "--upstream", &immich.url(), "--max-body=5B"];
    let ended = Process::run(GUARD, &flags[..3], &variables).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("1 problem ") && ended.stderr.contains("GUARD_MAX_BODY"), "{}", ended.stderr);

    let guard = Process::start(GUARD, &flags, &variables);
    let OriginProcess { process: _running, address, admin_address } = OriginProcess::ready(guard).await;
    assert_eq!(admin::get(admin_address, "/readyz").await.status, 200);
    for (length, status) in [(5, 201), (6, 413)] {
        let mut client = RawClient::connect(address).await;
        let token = issuer.token_for("ada@example.com");
        client
            .send(format!(
                "POST /api/assets HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\nContent-Length: {length}\r\n\r\n{}",
                "x".repeat(length)
            ))
            .await;
        assert_eq!(client.read_response().await.status, status);
    }
}

#[tokio::test]
async fn a_port_in_use_is_1_and_named() {
    let issuer = Issuer::start().await;
    let (_listener, address) = taken();
    for name in ["GUARD_LISTEN", "GUARD_ADMIN_LISTEN"] {
        let ended =
            Process::run(GUARD, &["origin"], &set(&origin_variables(&issuer, "http://127.0.0.1:9"), name, &address)).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("{name}: cannot listen on {address}")), "{}", ended.stderr);
        assert!(ended.stdout.contains(name), "the log says it too: {}", ended.stdout);
    }
}
