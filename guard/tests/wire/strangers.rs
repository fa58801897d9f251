//! What a client without an identity can cost: its connection, its log lines, its messages at odd places.

use serde_json::Value;
use testkit::TestEnvironment;
use testkit::process::OriginProcess;
use testkit::wait::eventually;

use crate::GUARD;

#[tokio::test]
async fn a_pipelined_head_is_checked_like_the_first_one() {
    let home = TestEnvironment::start().await;
    let first = home.head("GET /api/server/ping", "");
    for (name, second) in [
        ("two framings", home.head("POST /api/assets", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n"),
        ("two lengths", home.head("POST /api/assets", "Content-Length: 4\r\nContent-Length: 4\r\n") + "abcd"),
        (
            "a bare LF",
            home.head("GET /api/server/ping", "").replace("Host: photos.example.com\r\n", "Host: photos.example.com\n"),
        ),
    ] {
        for before in [
            first.clone(),
            home.head("POST /api/assets", "Content-Length: 4\r\n") + "abcd",
            home.head("POST /api/assets", "Transfer-Encoding: chunked\r\n") + "4\r\nabcd\r\n0\r\n\r\n",
        ] {
            let mut client = home.connect().await;
            client.send(format!("{before}{second}")).await;
            assert!([200, 201].contains(&client.read_response().await.status), "{name}");
            let refused = client.read_response().await;
            assert_eq!((refused.status, refused.header("connection")), (400, Some("close")), "{name} after {before:?}");
        }
    }
    // Good ones go on, with and without a body, also in pieces.
    let mut client = home.connect().await;
    let upload = home.head("POST /api/assets", "Content-Length: 4\r\n") + "abcd";
    let chunked = home.head("POST /api/assets", "Transfer-Encoding: chunked\r\n") + "4\r\nabcd\r\n0\r\n\r\n";
    let all = format!("{first}{upload}{chunked}{first}");
    for piece in all.as_bytes().chunks(97) {
        client.send(piece).await;
    }
    for status in [200, 201, 201, 200] {
        assert_eq!(client.read_response().await.status, status);
    }
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn the_log_of_strangers_is_capped_in_length_and_in_rate_and_says_what_it_left_out() {
    let home = TestEnvironment::process(GUARD, &[]).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(40_000));
    assert_eq!(home.send(&long).await.status, 401);
    let mut client = home.connect().await;
    for _ in 0..400 {
        client.send("GET /strange HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.read_response().await.status, 401);
    }
    assert_eq!(home.get("/family", &home.assertion()).await.status, 200);
    eventually("the count of what was left out", || home.guard.process.stdout().contains("were not logged one by one")).await;
    let OriginProcess { process, .. } = home.guard;
    process.terminate();
    let entries = lines(&process.end().await.stdout);
    let path = |line: &&Value| line["path"].as_str().unwrap_or_default().to_owned();
    let longest = entries.iter().map(|line| path(&line).len()).max();
    assert!(longest < Some(600), "{longest:?}");
    assert!(entries.iter().any(|line| path(&line).ends_with("(40001 bytes)")));
    let strange = entries.iter().filter(|line| path(line) == "/strange").count();
    let left_out: u64 = entries.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(strange as u64 + left_out, 400, "{strange} lines, {left_out} left out");
    assert!(strange < 350, "{strange}");
    assert!(entries.iter().any(|line| path(&line) == "/family"), "the family's lines are never left out");
}

#[tokio::test]
async fn a_refused_assertion_says_whose_it_was() {
    let home = TestEnvironment::process(GUARD, &[]).await;
    let mut claims = home.front_door.person("ada@example.com");
    claims["aud"] = "the-other-application".into();
    let token = home.front_door.mint(&claims);
    assert_eq!(home.get("/", &format!("Cf-Access-Jwt-Assertion: {token}\r\n")).await.status, 401);
    eventually("its line", || home.guard.process.stdout().contains("the-other-application")).await;
    let log = home.guard.process.stdout();
    assert!(!token.split('.').any(|part| log.contains(part)), "never the token");
}

#[tokio::test]
async fn cookies_of_any_front_door_stay_outside_and_several_lines_become_one() {
    let home = TestEnvironment::start().await;
    let lines = "Cookie: immich_access_token=a\r\nCookie: CF_Authorization=x; authelia_session=y; _oauth2_proxy_0=z\r\n\
                 Cookie: authentik_proxy_1=w; theme=dark\r\n";
    assert_eq!(home.get("/api/server/ping", &format!("{}{lines}", home.assertion())).await.status, 200);
    let seen = home.immich.requests().pop().unwrap();
    assert_eq!(seen.header("cookie"), Some("immich_access_token=a; theme=dark"));
}

#[tokio::test]
async fn the_clients_address_is_believed_only_where_the_connector_says_it() {
    let said = "CF-Connecting-IP: 203.0.113.7\r\n";
    for (name, believed) in [(Some("x-other"), false), (Some("CF-Connecting-IP"), true), (None, true)] {
        let home = TestEnvironment::with(|args| args.client_address_header = name.map(str::to_owned)).await;
        assert_eq!(home.get("/", &format!("{}{said}", home.assertion())).await.status, 200);
        let seen = home.immich.requests().pop().unwrap();
        let wanted = if believed { "203.0.113.7" } else { "127.0.0.1" };
        assert_eq!(seen.header("x-forwarded-for"), Some(wanted), "{name:?}");
        assert_eq!(seen.header("cf-connecting-ip").is_some(), believed, "{name:?}");
    }
}
