//! What reaches a backend, and what comes back: headers, paths, pings, redirects.

use guard::idtoken::config::IdtokenArgs;
use testkit::google::Via;
use testkit::{CloudRunSetup, RawUpstream};

use super::{get, refusal};

/// Adds options to the only backend.
fn options(args: &mut IdtokenArgs, options: &str) {
    args.backend[0].push_str(options);
}

const SPOOFED: &str = "X-Serverless-Authorization: Bearer spoofed\r\n\
    x-serverless-authorization: Bearer spoofed-twice\r\n\
    X_Serverless_Authorization: Bearer spoofed-by-underscore\r\n\
    X-Serverless_Authorization: Bearer spoofed-by-half\r\n\
    Proxy-Authorization: Bearer spoofed-as-proxy\r\n\
    X-Goog-Authenticated-User-Email: admin@example.com\r\n\
    X-Goog-Iap-Jwt-Assertion: a.b.c\r\n\
    X-Forwarded-For: 6.6.6.6\r\n\
    Connection: X-Serverless-Authorization, Host, X-Hop\r\n\
    X-Hop: dropped\r\n\
    TE: trailers\r\n\
    Expect: 100-continue\r\n";

#[tokio::test]
async fn only_our_token_arrives_and_the_applications_own_authorization_passes() {
    let abroad = CloudRunSetup::start().await;
    let answer = abroad.ask(get("/", &format!("{SPOOFED}Authorization: Bearer the-applications-own\r\nCookie: a=1\r\n"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let reached = abroad.reached();
    let mut names: Vec<_> = reached.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let wanted = [
        "authorization",
        "cookie",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-serverless-authorization",
    ];
    assert_eq!(names, wanted);
    assert_eq!(reached.all("authorization"), ["Bearer the-applications-own"]);
    assert_eq!(reached.all("host"), [abroad.cloud_run.address().to_string()], "the backend's, not the client's");
    assert_eq!(
        (reached.all("x-forwarded-for"), reached.all("x-forwarded-host"), reached.all("x-forwarded-proto")),
        (vec!["127.0.0.1"], vec!["ml-proxy:8080"], vec!["http"])
    );
    assert!(reached.headers.iter().all(|(_, value)| !value.contains("spoofed")), "{reached:?}");
}

#[tokio::test]
async fn with_header_authorization_nothing_else_could_pass_for_the_token() {
    let abroad = CloudRunSetup::with(Via::KeyFile, |args| options(args, ";header=authorization")).await;
    let spoofed = format!("{SPOOFED}Authorization: Bearer spoofed\r\nauthorization: Basic spoofed\r\n");
    assert_eq!(abroad.ask(get("/", &spoofed)).await.status, 200);
    let reached = abroad.reached();
    assert_eq!(reached.all("authorization").len(), 1);
    assert!(reached.headers.iter().all(|(_, value)| !value.contains("spoofed")), "{reached:?}");
    assert!(reached.all("x-serverless-authorization").is_empty() && reached.all("x_serverless_authorization").is_empty());
}

#[tokio::test]
async fn a_trailer_brings_no_token_either() {
    let upstream = RawUpstream::start().await;
    let abroad = CloudRunSetup::with(Via::KeyFile, |args| args.backend = vec![format!("127.0.0.1:0={}", upstream.url())]).await;
    let mut client = abroad.connect().await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Serverless-Authorization, Authorization, X-Sum\r\n\r\n\
             1\r\nx\r\n0\r\nX-Serverless-Authorization: Bearer spoofed\r\nAuthorization: Bearer spoofed\r\nX-Sum: 1\r\n\r\n",
        )
        .await;
    let mut server = upstream.accept().await;
    server.read_head().await;
    let rest = String::from_utf8(server.read_through(b"0\r\n").await).unwrap();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let trailers = String::from_utf8(server.read_through(b"\r\n").await).unwrap();
    assert_eq!(client.read_response().await.status, 200);
    assert!(!format!("{rest}{trailers}").contains("spoofed"), "{rest}{trailers}");
}

#[tokio::test]
async fn the_base_path_is_kept_before_every_path() {
    let abroad = CloudRunSetup::with(Via::KeyFile, |args| options(args, "/base/v1")).await;
    for (path, arrived) in [("/predict?x=%2F", "/base/v1/predict?x=%2F"), ("/", "/base/v1/"), ("//x", "/base/v1//x")] {
        assert_eq!(abroad.ask(get(path, "")).await.status, 200, "{path}");
        assert_eq!(abroad.reached().line, format!("GET {arrived}"));
    }
    for path in ["/../y", "/a/../../y", "/%2e%2e/y", "/..%2fy", "/%252e%252e/y", "/..;/y", "/.\\../y"] {
        assert_eq!(abroad.ask(get(path, "")).await.status, 400, "{path}");
    }
    let star = abroad.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((star.status, abroad.reached().line.as_str()), (200, "OPTIONS /base/v1"));
}

#[tokio::test]
async fn a_ping_is_answered_here_and_wakes_nobody_unless_it_is_to() {
    let abroad = CloudRunSetup::start().await;
    for _ in 0..3 {
        let pong = abroad.ask(get("/ping", "")).await;
        assert_eq!((pong.status, pong.text().as_str()), (200, "pong"));
    }
    let mut client = abroad.connect().await;
    client.send("HEAD /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_response_to_head().await.status, 200);
    assert_eq!((abroad.cloud_run.seen().requests, abroad.cloud_run.seen().connections), (0, 0), "it sleeps on");
    for request in
        [get("/ping/", ""), get("/pings", ""), "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned()]
    {
        assert_eq!(abroad.ask(request).await.status, 200);
    }
    assert_eq!(abroad.cloud_run.seen().container.len(), 3, "what is no ping of Immich is the backend's");

    let forwarding = CloudRunSetup::with(Via::KeyFile, |args| options(args, ";ping=forward")).await;
    assert_eq!(forwarding.ask(get("/ping", "")).await.text(), "pong");
    assert_eq!(forwarding.cloud_run.seen().container.len(), 1);
}

#[tokio::test]
async fn without_a_token_neither_a_ping_nor_a_request_pretends() {
    let abroad = CloudRunSetup::with(Via::Federation, |_args| {}).await;
    assert_eq!(abroad.ask(get("/ping", "")).await.status, 200);
    let down = CloudRunSetup::with(Via::KeyFile, |args| args.gce_metadata_host = None).await;
    assert_eq!(down.ask(get("/ping", "")).await.status, 200, "a good one, so that the next is no accident");

    let nowhere = RawUpstream::nowhere().await;
    let lost = CloudRunSetup::with(Via::Metadata, |args| args.gce_metadata_host = Some(nowhere.to_string())).await;
    for request in
        [get("/ping", ""), get("/", ""), "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned()]
    {
        let answer = lost.ask(request).await;
        assert_eq!(refusal(&answer), (503, "no-token"));
        assert!(answer.header("retry-after").is_some() && answer.text().contains("no identity token"), "{}", answer.text());
        assert!(!answer.text().contains(&nowhere.to_string()), "why is for the log");
    }
    assert_eq!(lost.cloud_run.seen().connections, 0);
}

#[tokio::test]
async fn a_redirect_to_the_backend_itself_leads_through_guard() {
    let abroad = CloudRunSetup::start().await;
    let own = abroad.cloud_run.url();
    for (place, ours) in [
        (format!("{own}/next?x=1"), "/next?x=1"),
        ("https://accounts.example/login".to_owned(), "https://accounts.example/login"),
    ] {
        let answer = abroad.ask(get(&format!("/redirect?to={place}"), "")).await;
        assert_eq!((answer.status, answer.header("location")), (302, Some(ours)));
    }
}

#[tokio::test]
async fn the_head_is_read_as_strictly_as_on_the_way_in() {
    let abroad = CloudRunSetup::start().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ] {
        assert_eq!(abroad.ask(request).await.status, status, "{request}");
    }
    assert_eq!(abroad.cloud_run.seen().requests, 0);
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_a_502_at_once_in_words_of_the_way_out() {
    let nowhere = RawUpstream::nowhere().await;
    let abroad = CloudRunSetup::with(Via::KeyFile, |args| args.backend = vec![format!("127.0.0.1:0=http://{nowhere}")]).await;
    let answer = abroad.ask(get("/", "")).await;
    assert_eq!(refusal(&answer), (502, "upstream-unreachable"));
    assert!(answer.text().contains("backend") && !answer.text().contains("photo"), "{}", answer.text());
}
