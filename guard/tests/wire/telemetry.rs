//! What the real binary says of itself: one line for each request, the true cause of each refusal, counters that move, and no secret.

use crate::GUARD;
use serde_json::Value;
use testkit::admin;
use testkit::admin::{metric, metric_becomes};
use testkit::process::{Ended, OriginProcess, origin_variables};
use testkit::raw::Response;
use testkit::ws::{self, Message};
use testkit::{Immich, Issuer, RawClient, TestEnvironment};

/// The environment around the real binary.
type Environment = TestEnvironment<Issuer, OriginProcess>;

async fn start(more: &[(&'static str, &str)]) -> Environment {
    TestEnvironment::process(GUARD, more).await
}

/// One request on a connection of its own; `lines` are whole lines.
async fn send(home: &Environment, request_line: &str, lines: &str, body: &str) -> Response {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    home.send(&format!("{request_line} HTTP/1.1\r\nHost: photos.example.com\r\n{length}{lines}\r\n{body}")).await
}

/// Ends the guard in order: everything that it wrote.
async fn end(home: Environment) -> Ended {
    home.guard.process.terminate();
    let ended = home.guard.process.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// Every line, each of which is JSON with a time, a level and a message.
fn parsed(ended: &Ended) -> Vec<Value> {
    let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")) };
    let lines: Vec<Value> = ended.stdout.lines().map(parse).collect();
    for line in &lines {
        assert!(["time", "level", "message"].iter().all(|field| line[field].is_string()), "{line}");
    }
    lines
}

fn only<'l>(lines: &'l [Value], path: &str) -> &'l Value {
    let mut found = lines.iter().filter(|line| line["path"] == path);
    let line = found.next().unwrap_or_else(|| panic!("no line about {path} in {lines:#?}"));
    assert!(found.next().is_none(), "two lines about {path}");
    line
}

#[tokio::test]
async fn each_request_has_one_line_with_who_and_how_much() {
    let home = start(&[]).await;
    let created = send(&home, "POST /api/assets?key=1", &home.assertion(), "twelve bytes").await;
    assert_eq!(send(&home, "GET /api/assets/7/original?size=70000", &home.assertion(), "").await.body.len(), 70_000);
    let service = format!("Cf-Access-Jwt-Assertion: {}\r\n", home.front_door.mint(&home.front_door.service("backup.access")));
    let from = "Cf-Connecting-Ip: 203.0.113.7\r\n";
    assert_eq!(send(&home, "GET /api/server/ping", &format!("{service}{from}"), "").await.status, 200);
    let mut tunnel = ws::connect(home.guard.address, Some(&home.front_door.token_for("ada@example.com"))).await.unwrap();
    assert_eq!(ws::exchange(&mut tunnel, Message::text("hello")).await, Message::text("hello"));
    drop(tunnel);
    metric_becomes(home.guard.admin_address, "guard_open_tunnels", "0").await;
    let sub = home.front_door.person("ada@example.com")["sub"].clone();
    let ended = end(home).await;
    let lines = parsed(&ended);

    // Of a tunnel the bytes on the wire count: a masked frame of 5 bytes has 11, the echo has 7.
    for (path, method, status, bytes_in, bytes_out) in [
        ("/api/assets", "POST", 201, 12, created.body.len()),
        ("/api/assets/7/original", "GET", 200, 0, 70_000),
        ("/api/server/ping", "GET", 200, 0, 14),
        ("/api/socket.io/", "GET", 101, 11, 7),
    ] {
        let line = only(&lines, path);
        assert_eq!((&line["level"], &line["message"]), (&"info".into(), &"request".into()));
        assert_eq!((&line["method"], &line["status"], &line["decision"]), (&method.into(), &status.into(), &"passed".into()));
        assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&bytes_in.into(), &bytes_out.into()), "{line}");
        assert_eq!(line["complete"], true, "{line}");
        assert!(line["ms"].is_u64() && line["id"].is_string(), "{line}");
    }
    assert_eq!(only(&lines, "/api/assets")["who"], sub);
    assert_eq!(only(&lines, "/api/assets")["client"], "127.0.0.1");
    assert_eq!(only(&lines, "/api/server/ping")["who"], "backup.access");
    assert_eq!(only(&lines, "/api/server/ping")["client"], "203.0.113.7");
    assert!(!ended.stdout.contains("ada@example.com"), "an address is in the log only where it is asked for");
}

#[tokio::test]
async fn an_address_is_logged_only_where_it_is_asked_for() {
    let home = start(&[("GUARD_LOG_IDENTITY", "email")]).await;
    assert_eq!(send(&home, "GET /x", &home.assertion(), "").await.status, 200);
    assert_eq!(only(&parsed(&end(home).await), "/x")["who"], "ada@example.com");
}

#[tokio::test]
async fn a_refusal_is_a_warning_with_its_true_cause_under_the_id_that_the_client_got() {
    let home = start(&[("GUARD_MAX_BODY", "5B"), ("GUARD_ALLOW_EMAIL", "ada@example.com")]).await;
    let assertion = |claims: &Value| format!("Cf-Access-Jwt-Assertion: {}\r\n", home.front_door.mint(claims));
    let mut late = home.front_door.person("ada@example.com");
    late["exp"] = 1.into();
    let mut elsewhere = home.front_door.person("ada@example.com");
    elsewhere["aud"] = "another application".into();
    let eve = assertion(&home.front_door.person("eve@example.com"));
    let mut cases = Vec::new();
    for (path, lines, body, status, reason, cause, blame) in [
        ("/none", String::new(), "", 401, "unauthorized", "no assertion header", "client"),
        ("/late", assertion(&late), "", 401, "unauthorized", "expired", "client"),
        ("/elsewhere", assertion(&elsewhere), "", 401, "unauthorized", "audience", "client"),
        ("/eve", eve, "", 403, "forbidden", "GUARD_ALLOW_EMAIL", "client"),
        ("/large", home.assertion(), "sixsix", 413, "body-too-large", "declared 6 bytes, the limit is 5", "client"),
        ("/host", "Host: b\r\n".to_owned(), "", 400, "bad-request", "Host is absent or repeated", "client"),
        ("/api/die-before-head", home.assertion(), "", 502, "upstream-unreachable", "broke off before an answer", "upstream"),
    ] {
        let answer = send(&home, &format!("GET {path}"), &lines, body).await;
        assert_eq!((answer.status, answer.header("guard-refusal")), (status, Some(reason)), "{path}");
        assert!(status == 403 || status == 413 || !answer.text().contains(cause), "{path}: {}", answer.text());
        cases.push((path, answer.header("guard-request-id").unwrap().to_owned(), status, reason, cause, blame));
    }
    let no_http = send(&home, "GET /\x01", "", "").await;
    let lines = parsed(&end(home).await);
    for (path, id, status, reason, cause, blame) in cases {
        let line = only(&lines, path);
        assert_eq!((&line["level"], &line["decision"]), (&"warn".into(), &"refused".into()), "{line}");
        assert_eq!((&line["id"], &line["status"]), (&id.into(), &status.into()), "{line}");
        assert_eq!((&line["reason"], &line["blame"]), (&reason.into(), &blame.into()), "{line}");
        assert!(line["cause"].as_str().unwrap().contains(cause), "{line}");
    }
    let id = no_http.header("guard-request-id").unwrap();
    let line = lines.iter().find(|line| line["id"] == id).expect("what is no HTTP has a line too");
    assert_eq!((no_http.status, &line["level"], &line["reason"]), (400, &"warn".into(), &"bad-request".into()));
}

#[tokio::test]
async fn no_secret_is_ever_written_even_at_trace() {
    for (format, line_of_a_request) in [("json", "\"decision\":\""), ("text", " decision=")] {
        let (issuer, immich) = (Issuer::start().await, Immich::start().await);
        let mut variables = origin_variables(&issuer, &immich.url());
        variables.extend([("GUARD_LOG_FORMAT", format.to_owned()), ("GUARD_LOG", "trace".to_owned())]);
        let OriginProcess { process: guard, address, .. } = OriginProcess::start(GUARD, &variables).await;

        let good = issuer.token_for("ada@example.com");
        let bad = issuer.signer().mint(&serde_json::json!({"email": "SECRET@example.com"}));
        let mut tokens: Vec<&str> = good.split('.').collect();
        tokens.extend(bad.split('.').skip(1));
        for token in [&good, &bad, "SECRET.SECRET.SECRET"] {
            for request in [
                "GET /api/assets/1/original?size=9&key=SECRET",
                "GET /share/SECRET/photos/1?password=SECRET",
                "GET /s/SECRET",
                "GET /api/die-before-head?x=SECRET",
                "GET /api/die-mid-body?x=SECRET",
                "POST /api/socket.io/?token=SECRET",
                "TRACE /x?SECRET",
                "GET http://SECRET:SECRET@photos/x?SECRET",
                "GET /x?SECRET\x01",
            ] {
                let mut client = RawClient::connect(address).await;
                client
                    .send(format!(
                        "{request} HTTP/1.1\r\nHost: photos\r\nCf-Access-Jwt-Assertion: {token}\r\nX-Api-Key: SECRET\r\n\
                         Authorization: Bearer SECRET\r\nCookie: immich_access_token=SECRET; CF_Authorization=SECRET\r\n\
                         X-Immich-Share-Key: SECRET\r\nReferer: https://photos/share/SECRET\r\nUser-Agent: SECRET\r\n\
                         Content-Length: 6\r\n\r\nSECRET"
                    ))
                    .await;
                client.read_response().await;
            }
            let _ = ws::connect_with(address, "/api/socket.io/?t=SECRET", &[("cf-access-jwt-assertion", token)]).await;
        }
        guard.terminate();
        let ended = guard.end().await;
        assert_eq!(ended.code, Some(0));
        let output = ended.stdout + &ended.stderr;
        assert!(output.matches(line_of_a_request).count() >= 20, "{output}");
        assert!(output.contains("/share/***") && output.contains("/s/***"), "{output}");
        for secret in ["SECRET"].iter().chain(&tokens[1..]).chain(&["size=9", "ada@example.com"]) {
            let line = output.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} in {}", line.unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn every_metric_of_the_contract_moves() {
    let home = start(&[]).await;
    send(&home, "POST /api/assets", &home.assertion(), "hello").await;
    let proof = home.assertion();
    for _ in 0..8 {
        send(&home, "GET /api/server/ping", &proof, "").await;
    }
    send(&home, "GET /x", "", "").await;
    send(&home, "GET /api/die-before-head", &proof, "").await;
    let _tunnel = ws::connect(home.guard.address, Some(&home.front_door.token_for("ada@example.com"))).await.unwrap();
    let mut slow = RawClient::connect(home.guard.address).await;
    slow.send(format!("GET /api/slow HTTP/1.1\r\nHost: a\r\n{proof}\r\n")).await;
    home.immich.wait_until("the slow request", |state| state.requests.len() == 12).await;

    let page = admin::get(home.guard.admin_address, "/metrics").await;
    assert!(page.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = page.text();
    for family in [
        "guard_build info",
        "guard_requests counter",
        "guard_refusals counter",
        "guard_assertion_failures counter",
        "guard_request_duration_seconds histogram",
        "guard_request_body_bytes counter",
        "guard_response_body_bytes counter",
        "guard_upstream_errors counter",
        "guard_jwks_fetches counter",
        "guard_jwks_keys gauge",
        "guard_jwks_age_seconds gauge",
        "guard_token_cache counter",
        "guard_open_tunnels gauge",
        "guard_inflight_requests gauge",
    ] {
        assert!(text.contains(&format!("# TYPE {family}\n")), "{family} in\n{text}");
    }
    for (series, value) in [
        (&*format!("guard_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), "1"),
        ("guard_requests_total{decision=\"passed\"}", "9"),
        ("guard_requests_total{decision=\"refused\"}", "2"),
        ("guard_refusals_total{reason=\"unauthorized\"}", "1"),
        ("guard_refusals_total{reason=\"upstream-unreachable\"}", "1"),
        ("guard_refusals_total{reason=\"forbidden\"}", "0"),
        ("guard_assertion_failures_total{cause=\"missing\"}", "1"),
        ("guard_request_duration_seconds_count", "11"),
        ("guard_request_body_bytes_total", "5"),
        ("guard_upstream_errors_total{kind=\"exchange\"}", "1"),
        ("guard_jwks_fetches_total{result=\"ok\"}", "1"),
        ("guard_jwks_fetches_total{result=\"failed\"}", "0"),
        ("guard_jwks_keys", "2"),
        ("guard_open_tunnels", "1"),
        ("guard_inflight_requests", "1"),
    ] {
        metric_becomes(home.guard.admin_address, series, value).await;
    }
    for series in ["guard_response_body_bytes_total", "guard_token_cache_total{result=\"hit\"}", "guard_jwks_age_seconds"] {
        assert!(metric(home.guard.admin_address, series).await.parse::<f64>().unwrap() > 0.0, "{series}");
    }
}

#[tokio::test]
async fn the_admin_port_reads_only_and_the_public_port_knows_none_of_it() {
    let home = TestEnvironment::start().await;
    for (path, kind) in [
        ("/livez", "text/plain"),
        ("/readyz", "text/plain"),
        ("/", "text/html"),
        ("/status.json", "application/json"),
        ("/metrics", "application/"),
    ] {
        let answer = admin::get(home.guard.admin_address, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").is_some_and(|value| value.starts_with(kind)), "{path}");
        let mut public = home.connect().await;
        public.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(public.read_response().await.status, 401, "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let mut client = RawClient::connect(home.guard.admin_address).await;
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
            let answer = client.read_response().await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    assert_eq!(admin::get(home.guard.admin_address, "/api/server/ping").await.status, 404, "it leads nowhere else");
    assert!(admin::get(home.guard.admin_address, "/").await.text().contains("<h1 class=good>Open</h1>"));
    assert_eq!(home.immich.dials(), 0);
}
