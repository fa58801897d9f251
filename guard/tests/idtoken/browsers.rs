//! Browser pages, and the check of who sends a request: both off until asked for.

use testkit::environment::door_args;
use testkit::google::Via;
use testkit::{CloudRunSetup, Issuer};

use super::{get, refusal};

const APP: &str = "https://app.example.com";

async fn with_cors() -> CloudRunSetup {
    CloudRunSetup::with(Via::KeyFile, |args| args.cors_origins = Some(APP.to_owned())).await
}

fn preflight(origin: &str) -> String {
    format!(
        "OPTIONS /chat HTTP/1.1\r\nHost: ml-proxy:8080\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: content-type\r\n\r\n"
    )
}

#[tokio::test]
async fn without_a_list_nothing_is_said_of_cors_and_everything_is_the_backends() {
    let abroad = CloudRunSetup::start().await;
    let answer = abroad.ask(get("/", "Origin: http://ml-proxy:8080\r\n")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin"), answer.header("vary")), (200, None, None));
    assert_eq!(abroad.cloud_run.seen().container.len(), 1);
}

/// A browser at home opens any page of the internet, and that page can reach every address at home.
#[tokio::test]
async fn without_a_list_no_page_of_another_site_uses_the_backend() {
    let abroad = CloudRunSetup::start().await;
    let post = "Content-Type: text/plain\r\nContent-Length: 2\r\n";
    for lines in [
        format!("Origin: https://evil.example\r\n{post}"),
        format!("Origin: null\r\n{post}"),
        format!("Origin: http://ml-proxy:8080\r\nOrigin: https://evil.example\r\n{post}"),
        format!("Sec-Fetch-Site: cross-site\r\n{post}"),
        format!("Sec-Fetch-Site: same-site\r\n{post}"),
    ] {
        let refused = abroad.ask(format!("POST /predict HTTP/1.1\r\nHost: ml-proxy:8080\r\n{lines}\r\n{{}}")).await;
        assert_eq!((refused.status, refused.header("guard-refusal")), (403, Some("forbidden")), "{lines}");
    }
    assert_eq!(abroad.ask(preflight("https://evil.example")).await.status, 403);
    // A name that its author points at this address (DNS rebinding): the browser thinks that it is the page's own.
    let rebound = abroad.ask("GET / HTTP/1.1\r\nHost: evil.example:8080\r\nSec-Fetch-Site: same-origin\r\n\r\n").await;
    assert_eq!((rebound.status, rebound.header("guard-refusal")), (421, Some("misdirected")));
    assert!(abroad.cloud_run.seen().container.is_empty(), "nothing reached the backend");
    for lines in ["", "Sec-Fetch-Site: none\r\n", "Sec-Fetch-Site: same-origin\r\nOrigin: http://ml-proxy:8080\r\n"] {
        assert_eq!(abroad.ask(get("/", lines)).await.status, 200, "{lines}");
    }
    let named = CloudRunSetup::with(Via::KeyFile, |args| args.idtoken_hosts = Some("ml.example.com".to_owned())).await;
    assert_eq!(named.ask("GET / HTTP/1.1\r\nHost: ml.example.com\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn a_page_of_the_list_may_ask_and_its_preflight_wakes_nobody() {
    let abroad = with_cors().await;
    let answer = abroad.ask(preflight(APP)).await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", APP),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("access-control-allow-headers", "content-type"),
        ("vary", "origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(abroad.cloud_run.seen().requests, 0);
    let answer = abroad.ask(get("/", &format!("Origin: {APP}\r\n"))).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin"), answer.header("vary")),
        (200, Some(APP), Some("origin"))
    );
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_in_every_way() {
    let abroad = with_cors().await;
    for origin in ["https://evil.example", "null", "http://app.example.com", "https://app.example.com.evil.example"] {
        for request in [
            preflight(origin),
            get("/", &format!("Origin: {origin}\r\n")),
            // The kind that browsers send without asking.
            format!(
                "POST /chat HTTP/1.1\r\nHost: ml-proxy:8080\r\nOrigin: {origin}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
            ),
        ] {
            let answer = abroad.ask(request).await;
            assert_eq!(refusal(&answer), (403, "forbidden"), "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(abroad.cloud_run.seen().requests, 0);
    assert_eq!(abroad.ask(get("/", "")).await.status, 200, "a program has no origin");
}

#[tokio::test]
async fn with_a_front_door_only_the_family_gets_to_the_backend() {
    let issuer = Issuer::start().await;
    let abroad = CloudRunSetup::with(Via::KeyFile, |args| {
        args.door = door_args(&issuer);
        args.door.front_door = Some("cloudflare-access".to_owned());
        args.door.allow_email = Some("ada@example.com".to_owned());
        args.cors_origins = Some(APP.to_owned());
    })
    .await;
    let proof = |email: &str| format!("Cf-Access-Jwt-Assertion: {}\r\n", issuer.token_for(email));
    // The key set may be a moment behind the token.
    let mut answer = abroad.ask(get("/", &proof("ada@example.com"))).await;
    while refusal(&answer).1 == "not-ready" {
        answer = abroad.ask(get("/", &proof("ada@example.com"))).await;
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    let reached = abroad.reached();
    assert!(reached.all("cf-access-jwt-assertion").is_empty(), "the proof is not the backend's");
    assert_eq!(reached.all("x-forwarded-proto"), ["https"]);
    assert_eq!(refusal(&abroad.ask(get("/", "")).await), (401, "unauthorized"));
    assert_eq!(refusal(&abroad.ask(get("/", &proof("eve@example.com"))).await), (403, "forbidden"));
    let own_token = "X-Serverless-Authorization: Bearer x\r\nAuthorization: Bearer x\r\n";
    assert_eq!(refusal(&abroad.ask(get("/", own_token)).await), (401, "unauthorized"));
    assert_eq!(abroad.cloud_run.seen().requests, 1);
    assert_eq!(abroad.ask(preflight(APP)).await.status, 204, "a preflight carries no proof of anything");
}
