//! Proves that the stand-in answers as Authentik's outpost does, row by row of its table.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::outpost::{Behaviour, Config, Person};
use testkit::raw::Response;
use testkit::{Outpost, RawClient};

const FORWARDED: &str = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: photos.example.com\r\nX-Forwarded-Uri: /photos?a=1\r\n";
const START: &str = "https://sso.family.example/application/o/authorize/?client_id=";

async fn ask(outpost: &Outpost, target: &str, lines: &str) -> Response {
    let mut client = RawClient::connect(outpost.addr()).await;
    client.send(format!("GET /outpost.goauthentik.io{target} HTTP/1.1\r\nHost: photos.example.com\r\n{lines}\r\n")).await;
    client.read_response().await
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

/// `name=value` of the first cookie that an answer sets.
fn cookie(answer: &Response) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// The `state` in a redirect to the provider.
fn state(answer: &Response) -> String {
    answer.header("location").unwrap().split("&state=").nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn nobody_is_sent_to_the_provider_with_a_cookie_of_their_own() {
    let outpost = Outpost::start().await;
    for endpoint in ["/auth/caddy", "/auth/traefik", "/auth/envoy/photos"] {
        let answer = ask(&outpost, endpoint, FORWARDED).await;
        assert_eq!(answer.status, 302, "{endpoint}");
        assert!(answer.header("location").unwrap().starts_with(START), "{answer:?}");
        // sha256("7HGbVWzlqyKkTo5bHSsnwmV0xCVuVvlqAYcR4pV1"), and the scheme is https.
        let cookie = answer.header("set-cookie").unwrap();
        assert!(
            cookie.starts_with("authentik_proxy_69fe8a4c=") && cookie.ends_with("; HttpOnly; Secure; SameSite=Lax"),
            "{cookie}"
        );
        assert_eq!(answer.header("x-authentik-uid"), None);
    }
    let first = ask(&outpost, "/auth/caddy", FORWARDED).await;
    let again = ask(&outpost, "/auth/caddy", &format!("{FORWARDED}Cookie: {}\r\n", cookie(&first))).await;
    assert_eq!((again.status, again.header("set-cookie")), (302, None), "the session that began goes on");
    assert_eq!(outpost.seen().sessions, 4);
}

#[tokio::test]
async fn the_signed_in_are_named() {
    let outpost = Outpost::start().await;
    let session = format!("Cookie: a=1; {}\r\n", outpost.sign_in(&Person::named("Ada")));
    for endpoint in ["/auth/caddy", "/auth/traefik", "/auth/nginx", "/auth/envoy/photos"] {
        let lines = format!("{FORWARDED}X-Original-URI: /photos\r\nUser-Agent: app\r\n{session}");
        let answer = ask(&outpost, endpoint, &lines).await;
        assert_eq!((answer.status, answer.header("x-authentik-email")), (200, Some("ada@example.com")), "{endpoint}");
        assert_eq!(
            (answer.header("x-authentik-groups"), answer.header("user-agent")),
            (Some("family|immich-users"), Some("app"))
        );
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn nginx_gets_401_and_an_error_without_the_original_url() {
    let outpost = Outpost::start().await;
    let answer = ask(&outpost, "/auth/nginx", "X-Original-URL: https://photos.example.com/photos?a=1\r\n").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "unauthorized request\n"));
    assert!(answer.header("set-cookie").is_some());
    for lines in ["", FORWARDED, "X-Original-URL: photos\r\n"] {
        let answer = ask(&outpost, "/auth/nginx", lines).await;
        assert_eq!((answer.status, answer.text().as_str()), (500, "configuration error\n"), "{lines}");
    }
}

#[tokio::test]
async fn an_unknown_host_and_no_url_are_errors_with_their_exact_texts() {
    let outpost = Outpost::start().await;
    for lines in ["X-Forwarded-Host: other.example.com\r\n", "X-Forwarded-Host: photos.example.com:443\r\n"] {
        let answer = ask(&outpost, "/auth/caddy", lines).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/json")));
        assert_eq!(answer.json()["Message"], "no app for hostname");
    }
    let alone = Outpost::start_with(Config { has_neighbour: false, ..Config::default() }).await;
    let lines = FORWARDED.replace("photos.example.com", "other.example.com");
    assert_eq!(ask(&alone, "/auth/caddy", &lines).await.status, 302, "the only application takes every host");
    for lines in ["", "X-Forwarded-Proto: https\r\nX-Forwarded-Uri: /%zz\r\n"] {
        let answer = ask(&outpost, "/auth/caddy", lines).await;
        assert_eq!((answer.status, answer.text().as_str()), (500, "configuration error\n"), "{lines}");
    }
    assert_eq!(ask(&outpost, "/ping", "X-Forwarded-Host: other.example.com\r\n").await.status, 204);
    assert_eq!(ask(&outpost, "/nothing", FORWARDED).await.status, 404);
}

#[tokio::test]
async fn a_sign_in_ends_at_the_callback_or_where_the_question_says_so() {
    let outpost = Outpost::start().await;
    for through_question in [false, true] {
        let begun = ask(&outpost, "/auth/caddy", FORWARDED).await;
        let (cookie, code) = (cookie(&begun), outpost.grant(&Person::named("Ada")));
        let query = format!("X-authentik-auth-callback=true&code={code}&state={}", state(&begun));
        let lines =
            format!("X-Forwarded-Proto: https\r\nX-Forwarded-Host: photos.example.com\r\nX-Forwarded-Uri: /x?{query}\r\n");
        let back = |cookie: &str| {
            let lines = format!("{}Cookie: {cookie}\r\n", if through_question { &lines } else { "" });
            (if through_question { "/auth/caddy".to_owned() } else { format!("/callback?{query}") }, lines)
        };
        let (target, lines) = back("authentik_proxy_69fe8a4c=another");
        assert_eq!(ask(&outpost, &target, &lines).await.status, 400, "in another browser");
        let (target, lines) = back(&cookie);
        let answer = ask(&outpost, &target, &lines).await;
        assert_eq!((answer.status, answer.header("location")), (302, Some("https://photos.example.com/photos?a=1")));
        let signed_in = ask(&outpost, "/auth/caddy", &format!("{FORWARDED}Cookie: {cookie}\r\n")).await;
        assert_eq!(signed_in.header("x-authentik-username"), Some("ada"));
        let out = ask(&outpost, "/sign_out", &format!("Cookie: {cookie}\r\n")).await;
        assert!(out.header("location").unwrap().contains("/end-session/?id_token_hint="), "{out:?}");
        assert_eq!(ask(&outpost, "/auth/caddy", &format!("{FORWARDED}Cookie: {cookie}\r\n")).await.status, 302);
    }
    let begun = ask(&outpost, "/start?rd=https%3A%2F%2Fphotos.example.com%2Falbums", "").await;
    assert!(begun.header("location").unwrap().starts_with(START));
}

#[tokio::test]
async fn a_password_starts_a_session_each_time_but_within_a_minute() {
    let outpost = Outpost::start().await;
    let ada = basic(&outpost.app_password(&Person::named("Ada")));
    let first = ask(&outpost, "/auth/caddy", &format!("{FORWARDED}{ada}")).await;
    assert_eq!((first.status, first.header("x-authentik-username")), (200, Some("ada")));
    let again = ask(&outpost, "/auth/caddy", &format!("{FORWARDED}{ada}")).await;
    assert_eq!((again.status, again.header("set-cookie")), (200, None));
    let seen = outpost.seen();
    assert_eq!((seen.token_requests, seen.logins, seen.sessions), (1, 1, 1));
    outpost.forget_credentials();
    ask(&outpost, "/auth/caddy", &format!("{FORWARDED}{ada}")).await;
    ask(&outpost, "/auth/caddy", &format!("{FORWARDED}{ada}Cookie: {}\r\n", cookie(&first))).await;
    let seen = outpost.seen();
    assert_eq!((seen.token_requests, seen.logins, seen.sessions), (2, 2, 2), "a cookie saves the token request");

    let wrong = ask(&outpost, "/auth/caddy", &format!("{FORWARDED}{}", basic("ada:wrong"))).await;
    assert!(wrong.status == 302 && wrong.header("set-cookie").is_some(), "an app is sent to a page: {wrong:?}");
    let bearer = outpost.access_token(&Person::named("Ada"));
    for lines in [format!("Authorization: Bearer {bearer}\r\n"), basic(&format!("goauthentik.io/token:{bearer}"))] {
        assert_eq!(ask(&outpost, "/auth/caddy", &format!("{FORWARDED}{lines}")).await.status, 200, "{lines}");
    }
    assert_eq!(ask(&outpost, "/auth/caddy", &format!("{FORWARDED}Authorization: Bearer x\r\n")).await.status, 302);
}

#[tokio::test]
async fn a_path_that_needs_no_sign_in_is_200_and_names_nobody() {
    let outpost = Outpost::start_with(Config { skip_paths: vec!["/share/".to_owned()], ..Config::default() }).await;
    let lines = FORWARDED.replace("/photos?a=1", "/share/abc");
    let answer = ask(&outpost, "/auth/caddy", &lines).await;
    assert!(answer.status == 200 && !answer.head.headers.iter().any(|(name, _)| name.starts_with("X-Authentik")), "{answer:?}");
}

#[tokio::test]
async fn it_can_be_away_and_come_back_and_be_silent() {
    let mut outpost = Outpost::start().await;
    let address = outpost.addr();
    outpost.leave().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    outpost.come_back().await;
    outpost.behave(Behaviour::Fail(500));
    assert_eq!(ask(&outpost, "/auth/caddy", FORWARDED).await.status, 500);
    assert_eq!(ask(&outpost, "/ping", "").await.status, 204);
    outpost.behave(Behaviour::HalfBody);
    assert!(!ask(&outpost, "/auth/caddy", FORWARDED).await.complete);
}
