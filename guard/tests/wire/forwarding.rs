//! What passes, passes as it is: headers but for those that only guard may write, bodies byte for byte and piece by piece, answers as
//! Immich gave them. RFC 9110, 7.6.1 and 15; RFC 9112, 9.3.

use testkit::environment::{args, open};
use testkit::immich::{EARLY_401_AFTER, LAST_MODIFIED};
use testkit::raw::{End, Head};
use testkit::{Behaviour, Immich, Issuer, RawClient, RawConn, RawUpstream, TestEnvironment, noise};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The lines of a head, the first in its place and the fields sorted: their order across names means nothing.
fn lines(head: &Head) -> Vec<String> {
    let text = String::from_utf8(head.raw.clone()).unwrap();
    let mut lines: Vec<String> = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").map(str::to_owned).collect();
    lines[1..].sort();
    lines
}

/// Sends one request with these lines through `home`, answers it, and returns what Immich got.
async fn passed(home: &TestEnvironment, upstream: &RawUpstream, head: &str) -> Head {
    let mut client = home.connect().await;
    client.send(head.replace("Assertion: TOKEN", &format!("Assertion: {}", home.token()))).await;
    let mut server = upstream.accept().await;
    let head = server.read_head().await;
    // The connection does not come back to the pool.
    server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
    head
}

#[tokio::test]
async fn a_request_of_cloudflared_reaches_immich_stripped_and_signed_by_guard() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let head = passed(
        &home,
        &upstream,
        "POST /api/assets?key=s3cret HTTP/1.1\r\n\
         Host: photos.example.com\r\n\
         User-Agent: immich-android/3.2.2\r\n\
         Content-Length: 0\r\n\
         Accept: */*\r\n\
         Accept-Encoding: gzip, br\r\n\
         Authorization: Bearer abc\r\n\
         Cdn-Loop: cloudflare; loops=1\r\n\
         Cf-Access-Authenticated-User-Email: eve@example.com\r\n\
         Cf-Access-Client-Id: id.access\r\n\
         Cf-Access-Client-Secret: s3cret\r\n\
         Cf-Access-Jwt-Assertion: TOKEN\r\n\
         Cf-Connecting-Ip: 203.0.113.7\r\n\
         Cf-Ipcountry: DE\r\n\
         Cf-Ray: 8f1b2c3d4e5f6a7b-FRA\r\n\
         Cf-Visitor: {\"scheme\":\"https\"}\r\n\
         Connection: keep-alive, X-Hop\r\n\
         Cookie: a=1; CF_Authorization=x.y.z; immich_access_token=t0ken;immich_auth_type=password; CF_AppSession=n\r\n\
         Cookie: CF_Authorization=x.y.z\r\n\
         Expect: 100-continue\r\n\
         Forwarded: for=6.6.6.6\r\n\
         Keep-Alive: timeout=5\r\n\
         Proxy-Authorization: Basic eDp5\r\n\
         Proxy-Connection: keep-alive\r\n\
         Remote-User: admin\r\n\
         TE: trailers\r\n\
         True-Client-Ip: 6.6.6.6\r\n\
         Upgrade: h2c\r\n\
         X-Api-Key: k3y\r\n\
         X-Authentik-Email: admin@example.com\r\n\
         X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n\
         X-Forwarded-Host: evil.example\r\n\
         X-Forwarded-Prefix: /evil\r\n\
         X-Forwarded-Proto: http\r\n\
         X_Forwarded_For: 6.6.6.6\r\n\
         X-Hop: dropped\r\n\
         X-Immich-Checksum: abc=\r\n\
         X-Real-Ip: 6.6.6.6\r\n\r\n",
    )
    .await;
    assert_eq!(
        lines(&head),
        [
            "POST /api/assets?key=s3cret HTTP/1.1",
            "accept-encoding: gzip, br",
            "accept: */*",
            "authorization: Bearer abc",
            "cdn-loop: cloudflare; loops=1",
            "cf-connecting-ip: 203.0.113.7",
            "cf-ipcountry: DE",
            "cf-ray: 8f1b2c3d4e5f6a7b-FRA",
            "cf-visitor: {\"scheme\":\"https\"}",
            "content-length: 0",
            "cookie: a=1; immich_access_token=t0ken; immich_auth_type=password",
            "host: photos.example.com",
            "user-agent: immich-android/3.2.2",
            "x-api-key: k3y",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-host: photos.example.com",
            "x-forwarded-proto: https",
            "x-immich-checksum: abc=",
            "x-real-ip: 203.0.113.7",
        ]
    );
}

#[tokio::test]
async fn the_address_is_that_of_cloudflare_or_the_peers_and_never_a_guess() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    for (said, address) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n", "127.0.0.1"),
        ("CF-Connecting-IP: 2001:db8::7\r\n", "2001:db8::7"),
        ("CF-Connecting-IP: 203.0.113.7, 6.6.6.6\r\n", "127.0.0.1"),
        ("CF-Connecting-IP: 203.0.113.7\r\nCF-Connecting-IP: 6.6.6.6\r\n", "127.0.0.1"),
        ("CF-Connecting-IP: 203.0.113.7\r\nConnection: X-Forwarded-For, X-Real-IP, Host, Content-Length\r\n", "203.0.113.7"),
        ("CF-Connecting-IP: somewhere\r\n", "127.0.0.1"),
    ] {
        let head = passed(&home, &upstream, &home.head("GET /", said)).await;
        assert_eq!((head.all("x-forwarded-for"), head.all("x-real-ip")), (vec![address], vec![address]), "{said}");
        assert_eq!(head.all("host"), ["photos.example.com"], "{said}");
    }
}

#[tokio::test]
async fn guard_external_url_decides_the_host_and_what_immich_is_told() {
    let (upstream, home) = {
        let upstream = RawUpstream::start().await;
        let url = upstream.url();
        let home = TestEnvironment::with(|args| {
            args.upstream = Some(url);
            args.external_url = Some("http://Photos.example.com:8080".to_owned());
        });
        (upstream, home.await)
    };
    for host in ["other.example.com", "photos.example.com", "photos.example.com:80", "photos.example.com.:8080", "127.0.0.1"] {
        let mut client = home.connect().await;
        client.send(home.head("GET /", "").replace("photos.example.com", host)).await;
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.header("guard-refusal")), (421, Some("misdirected")), "{host}");
        assert!(answer.header("guard-request-id").is_some(), "{host}");
    }
    let right = home.head("GET /", "X-Forwarded-Host: evil\r\n").replace("photos.example.com", "PHOTOS.example.com:8080");
    let head = passed(&home, &upstream, &right).await;
    assert_eq!(head.all("host"), ["PHOTOS.example.com:8080"]);
    assert_eq!(head.all("x-forwarded-host"), ["photos.example.com:8080"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn an_answer_comes_back_as_it_is_but_for_the_hop() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let mut client = home.connect().await;
    client.send(home.head("GET /x", "Accept-Encoding: gzip\r\n")).await;
    let mut server = upstream.accept().await;
    server.read_head().await;
    let body = "\u{1f}\u{8b} not gzip at all, and nobody looks";
    server.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await;
    server
        .send(format!(
            "HTTP/1.1 203 Whatever\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: {}\r\nContent-Encoding: gzip\r\n\
             Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\nVary: A\r\nvary: b\r\n\
             ETag: W/\"1\"\r\nServer: immich\r\nSet-Cookie: a=1, 2\r\nSet-Cookie: b=2\r\nCache-Control: private, no-transform\r\n\
             Guard-Refusal: forged\r\nGuard-Request-Id: forged\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let answer = client.read_response().await;
    assert_eq!(
        lines(&answer.head),
        [
            "HTTP/1.1 203 Whatever",
            "cache-control: private, no-transform",
            "content-encoding: gzip",
            &format!("content-length: {}", body.len()),
            "date: Wed, 21 Oct 2015 07:28:00 GMT",
            "etag: W/\"1\"",
            "server: immich",
            "set-cookie: a=1, 2",
            "set-cookie: b=2",
            "vary: A",
            "vary: b",
        ]
    );
    assert_eq!(answer.text(), body);
}

#[tokio::test]
async fn ranges_validators_and_head_are_immichs_own() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    let asset = "/api/assets/1/original?size=1000000";
    client.send(home.head(&format!("GET {asset}"), "Range: bytes=1000-70999\r\n")).await;
    let part = client.read_response().await;
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 1000-70999/1000000")));
    assert_eq!((part.header("content-length"), part.header("accept-ranges")), (Some("70000"), Some("bytes")));
    assert!(part.body == noise::bytes(1000, 71_000));
    // Immich answers 404 where RFC 9110 has 416, and that stays so.
    client.send(home.head(&format!("GET {asset}"), "Range: bytes=1000000-\r\n")).await;
    let bad = client.read_response().await;
    assert_eq!((bad.status, bad.header("guard-refusal")), (404, None));
    client.send(home.head(&format!("HEAD {asset}"), "")).await;
    let head = client.read_response_to_head().await;
    assert_eq!(
        (head.status, head.header("content-length"), head.header("last-modified")),
        (200, Some("1000000"), Some(LAST_MODIFIED))
    );
    let etag = head.header("etag").unwrap().to_owned();
    client.send(home.head(&format!("GET {asset}"), &format!("If-None-Match: {etag}\r\n"))).await;
    let same = client.read_response().await;
    assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(etag.as_str()), 0));
    client.send(home.head("GET /api/cookies", "")).await;
    let cookies = client.read_response().await;
    let names: Vec<_> = cookies.all("set-cookie").iter().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["immich_access_token", "immich_auth_type", "immich_is_authenticated"]);
    client.send(home.head("GET /api/download/archive?size=3000000", "")).await;
    let archive = client.read_response().await;
    assert!(archive.complete && archive.end == End::Chunked && archive.body == noise::bytes(0, 3_000_000));
}

#[tokio::test]
async fn an_answer_streams_line_by_line_before_its_end() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    client.send(home.head("POST /api/sync/stream", "Content-Length: 2\r\n")).await;
    client.send("{}").await;
    assert_eq!(client.read_head().await.start_line, "HTTP/1.1 200 OK");
    // The next line is written only when the one before has arrived.
    for line in ["{\"type\":\"first\"}", "{\"type\":\"second\"}", "{\"type\":\"third\"}"] {
        home.immich.sync_line(line);
        let framed = client.read_through(format!("{line}\n\r\n").as_bytes()).await;
        assert_eq!(framed, format!("{:X}\r\n{line}\n\r\n", line.len() + 1).into_bytes());
    }
    home.immich.sync_end();
    assert_eq!(client.read_exact(5).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn an_upload_streams_to_immich_before_its_end() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let mut client = home.connect().await;
    client.send(home.head("POST /api/assets", "Content-Length: 15\r\n")).await;
    let mut server = upstream.accept().await;
    assert_eq!(server.read_head().await.header("content-length"), Some("15"));
    for piece in ["first", "other", "third"] {
        client.send(piece).await;
        assert_eq!(server.read_exact(5).await, piece.as_bytes());
    }
    server.send(OK).await;
    assert_eq!(client.read_response().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_401_of_immich_reaches_a_client_that_is_still_sending() {
    let home = TestEnvironment::start().await;
    // One that waits in the middle of its upload, and one that never looks before its end.
    let length = 30_000_000;
    let mut client = home.connect().await;
    client.send(home.head("POST /api/early-401", &format!("Content-Length: {length}\r\n"))).await;
    client.send(noise::bytes(0, EARLY_401_AFTER)).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.header("guard-refusal"), answer.header("connection")), (401, None, Some("close")));
    assert_eq!(answer.json()["correlationId"], "2spgxhd7", "it is Immich's own");
    assert_eq!(client.read_to_end().await.0, b"");
    home.immich.wait_until("the broken upload to end", |state| state.open_connections == 0).await;
    assert!(!home.immich.last_request().complete);

    let head = home.head("POST /api/early-401", "");
    for framing in [testkit::raw::Framing::Declared, testkit::raw::Framing::Chunked] {
        let sent = home.connect().await.blind_upload(head.strip_suffix("\r\n").unwrap(), length, framing).await;
        assert_eq!(sent.status(), Some(401), "{sent:?}");
    }
}

/// `GET path` on the admin port: the status and the text.
async fn admin(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut client = RawClient::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let answer = client.read_response().await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn without_keys_nobody_passes_and_with_them_the_door_opens() {
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    issuer.behave(Behaviour::Fail(503));
    let door = open(&args(&issuer, &immich.url()));
    issuer.wait_for_fetches(1).await;
    let request = |token: &str| format!("GET /api/server/ping HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n\r\n");
    let token = issuer.token_for("ada@example.com");
    let mut client: RawConn = RawClient::connect(door.address).await;
    client.send(request(&token)).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("not-ready")));
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    assert_eq!(admin(door.admin_address, "/readyz").await.0, 503);
    assert_eq!(admin(door.admin_address, "/livez").await.0, 200);
    assert_eq!(immich.dials(), 0);

    issuer.behave(Behaviour::Serve);
    door.trust_source.ready().await;
    assert_eq!(admin(door.admin_address, "/readyz").await, (200, "ok\n".to_owned()));
    client.send(request(&token)).await;
    assert_eq!(client.read_response().await.status, 200);
    door.stop();
}

#[tokio::test]
async fn old_clients_are_served_in_their_own_version() {
    let home = TestEnvironment::start().await;
    let old = |path: &str, lines: &str| home.head(&format!("GET {path}"), lines).replace("HTTP/1.1", "HTTP/1.0");
    let mut client = home.connect().await;
    for _ in 0..2 {
        client.send(old("/api/server/ping", "Connection: keep-alive\r\n")).await;
        let answer = client.read_response().await;
        assert_eq!((answer.head.start_line.as_str(), answer.header("connection")), ("HTTP/1.0 200 OK", Some("keep-alive")));
        assert_eq!(home.immich.last_request().version, "HTTP/1.1");
    }
    client.send(old("/api/download/archive?size=100000", "")).await;
    let archive = client.read_response().await;
    assert!(archive.end == End::Close && archive.body == noise::bytes(0, 100_000), "HTTP/1.0 knows no chunks");
}

#[tokio::test]
async fn options_of_the_whole_server_passes() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    assert_eq!(passed(&home, &upstream, &home.head("OPTIONS *", "")).await.start_line, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn a_refusal_keeps_the_connection_where_the_request_is_whole() {
    let home = TestEnvironment::start().await;
    let stranger = "Host: a\r\nConnection: keep-alive\r\n";
    let mut client = home.connect().await;
    for head in ["GET / HTTP/1.1", "POST / HTTP/1.1\r\nContent-Length: 0", "DELETE / HTTP/1.1"] {
        client.send(format!("{head}\r\n{stranger}\r\n")).await;
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.header("connection")), (401, None), "{head}");
    }
    // A body that nobody read ends it, also where all of it has come.
    client.send(format!("POST / HTTP/1.1\r\nContent-Length: 5\r\n{stranger}\r\nhello")).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    assert_eq!(client.read_to_end().await.0, b"");
}
