//! The status page and `/status.json`: the numbers are those of the requests that were sent, the last refusals are bounded, and none holds a secret.

use crate::GUARD;
use serde_json::{Value, json};
use testkit::admin::{self, metric_becomes};
use testkit::process::OriginProcess;
use testkit::{Issuer, RawClient, TestEnvironment, outpost, ws};

/// The environment around the real binary.
type Environment = TestEnvironment<Issuer, OriginProcess>;

async fn status(home: &Environment) -> Value {
    let answer = admin::get(home.guard.admin_address, "/status.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.text()).unwrap()
}

fn sum(status: &Value, decision: &str) -> u64 {
    let minutes = status["last_hour"][decision].as_array().unwrap();
    assert_eq!(minutes.len(), 60, "one count for each minute");
    minutes.iter().map(|count| count.as_u64().unwrap()).sum()
}

#[tokio::test]
async fn the_numbers_are_those_of_the_requests_that_were_sent() {
    let home = TestEnvironment::process(GUARD, &[("GUARD_ALLOW_EMAIL", "ada@example.com")]).await;
    let new = status(&home).await;
    assert_eq!((&new["state"], &new["reason"], &new["own_time"]), (&json!("open"), &Value::Null, &Value::Null));
    assert_eq!((sum(&new, "passed"), sum(&new, "refused"), &new["refusals"]), (0, 0, &json!([])));

    for _ in 0..7 {
        assert_eq!(home.get("/api/server/ping", &home.assertion()).await.status, 200);
    }
    for _ in 0..3 {
        assert_eq!(home.get("/x", "").await.status, 401);
    }
    let eve = format!("Cf-Access-Jwt-Assertion: {}\r\n", home.front_door.token_for("eve@example.com"));
    let refused = home.get("/", &eve).await;
    assert_eq!(refused.status, 403);
    let tunnel = ws::connect(home.guard.address, Some(&home.token())).await.unwrap();
    metric_becomes(home.guard.admin_address, "guard_requests_total{decision=\"passed\"}", "7").await;
    metric_becomes(home.guard.admin_address, "guard_inflight_requests", "0").await;

    let now = status(&home).await;
    assert_eq!((sum(&now, "passed"), sum(&now, "refused"), sum(&now, "sign_in")), (7, 4, 0));
    assert_eq!(now["since_start"]["passed"], 7);
    assert_eq!(
        (&now["since_start"]["refusals"]["unauthorized"], &now["since_start"]["refusals"]["forbidden"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(now["in_flight"], json!({"requests": 0, "tunnels": 1, "uploads": 0}));
    assert_eq!((&now["own_time"]["requests"], now["own_time"]["p50_seconds"].as_f64().unwrap() > 0.0), (&json!(7), true));
    assert_eq!((&now["immich"]["good"], now["immich"]["seconds_since_response"].is_u64()), (&json!(true), true));
    assert_eq!((&now["front_door"]["good"], &now["front_door"]["keys"]), (&json!(true), &json!(2)));
    assert_eq!(now["large_uploads"], Value::Null, "they are off");
    let last = &now["refusals"][0];
    assert_eq!(last["id"], refused.header("guard-request-id").unwrap());
    assert_eq!((&last["status"], &last["request"], &last["authenticated"]), (&json!(403), &json!("GET /"), &json!(true)));
    assert_eq!(last["cause"], "verified person is not in GUARD_ALLOW_EMAIL");
    let strangers = &now["refusals"][1];
    assert_eq!((&strangers["count"], &strangers["cause"]), (&json!(3), &json!("no assertion header")));

    let page = admin::get(home.guard.admin_address, "/").await.text();
    for said in [
        "<dd>7</div>",
        "<dd>4</div>",
        "7 passed, 4 refused",
        "0 requests, 1 tunnel",
        "403 forbidden",
        "401 unauthorized · 3 times",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
    drop(tunnel);
}

#[tokio::test]
async fn a_sign_in_redirect_is_neither_passed_nor_refused() {
    let home = TestEnvironment::forward_auth_with(outpost::Config::default(), |_args| {}).await;
    let answer = home.get("/", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n").await;
    assert_eq!(answer.status, 302);
    metric_becomes(home.guard.admin_address, "guard_requests_total{decision=\"sign-in\"}", "1").await;
    let status: Value = serde_json::from_str(&admin::get(home.guard.admin_address, "/status.json").await.text()).unwrap();
    assert_eq!((sum(&status, "sign_in"), sum(&status, "passed"), sum(&status, "refused")), (1, 0, 0));
    assert!(admin::get(home.guard.admin_address, "/").await.text().contains("sent to sign-in<dd>1</div>"));
}

#[tokio::test]
async fn immich_that_is_gone_is_said_at_once() {
    let home = TestEnvironment::process(GUARD, &[]).await;
    assert_eq!(home.get("/api/die-before-head", &home.assertion()).await.status, 502);
    let now = status(&home).await;
    assert_eq!((&now["state"], &now["immich"]["good"]), (&json!("limited"), &json!(false)));
    assert!(
        admin::get(home.guard.admin_address, "/")
            .await
            .text()
            .contains("<h1 class=bad>Open, but impaired</h1><p>Immich does not answer.")
    );
    assert_eq!(home.get("/api/server/ping", &home.assertion()).await.status, 200);
    assert_eq!(status(&home).await["state"], "open");
}

#[tokio::test]
async fn the_last_refusals_are_bounded_and_strangers_do_not_push_out_the_family() {
    let home = TestEnvironment::process(GUARD, &[("GUARD_MAX_BODY", "5B")]).await;
    let large = home.head("POST /api/assets", "Content-Length: 6\r\n");
    assert_eq!(home.send(&large).await.status, 413);
    for number in 0..40 {
        assert_eq!(home.get(&format!("/{number}"), "").await.status, 401);
    }
    metric_becomes(home.guard.admin_address, "guard_inflight_requests", "0").await;
    let now = status(&home).await;
    let requests: Vec<_> = now["refusals"].as_array().unwrap().iter().map(|entry| entry["request"].as_str().unwrap()).collect();
    assert_eq!(requests.len(), 11);
    assert_eq!((requests[0], requests[9], requests[10]), ("GET /39", "GET /30", "POST /api/assets"));
}

#[tokio::test]
async fn neither_the_page_nor_the_json_ever_holds_a_secret() {
    let home = TestEnvironment::process(GUARD, &[("GUARD_ALLOW_EMAIL", "ada@example.com"), ("GUARD_LARGE_UPLOADS", "on")]).await;
    let good = home.token();
    let bad = home.front_door.token_for("eve@example.com");
    for token in [good.as_str(), &bad, "SECRET.SECRET.SECRET"] {
        for request in [
            "GET /api/assets/1/original?key=SECRET",
            "GET /share/SECRET/photos/1?password=SECRET",
            "GET /s/SECRET",
            "GET /u/ada@example.com/eve%40example.com",
            &format!("GET /x/{good}/y"),
            "GET /api/die-before-head?x=SECRET",
            "POST /api/socket.io/?token=SECRET",
            "POST /.guard/uploads?x=SECRET",
            "TRACE /x?SECRET",
            "SECRET /x",
            "GET http://SECRET:SECRET@photos/x?SECRET",
            "GET /x?SECRET\x01",
        ] {
            let mut client = RawClient::connect(home.guard.address).await;
            client
                .send(format!(
                    "{request} HTTP/1.1\r\nHost: photos\r\nCf-Access-Jwt-Assertion: {token}\r\nX-Api-Key: SECRET\r\n\
                     Authorization: Bearer SECRET\r\nCookie: CF_Authorization=SECRET\r\nUser-Agent: SECRET\r\n\
                     Content-Length: 6\r\n\r\nSECRET"
                ))
                .await;
            client.read_response().await;
        }
        metric_becomes(home.guard.admin_address, "guard_inflight_requests", "0").await;
        let said = admin::get(home.guard.admin_address, "/").await.text() + &status(&home).await.to_string();
        assert!(
            token == good || said.contains("/u/***/***") && said.contains("/x/***"),
            "the refusals of {token} are there: {said}"
        );
        let mut secrets = vec!["SECRET", "@example.com", "%40"];
        secrets.extend(good.split('.').chain(bad.split('.')).filter(|part| part.len() > 40));
        for secret in secrets {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
}

#[tokio::test]
async fn the_page_may_use_nothing_but_itself() {
    let home = TestEnvironment::start().await;
    let answer = admin::get(home.guard.admin_address, "/").await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), (Some("nosniff"), Some("no-store")));
    assert!(answer.text().contains("http-equiv=refresh"));
    assert!(!admin::get(home.guard.admin_address, "/?still").await.text().contains("http-equiv=refresh"));
}
