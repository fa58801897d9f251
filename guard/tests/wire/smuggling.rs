//! One message is one message: what two parsers could read differently is refused before Immich is dialled, or reaches Immich in one
//! framing only. Raw bytes in, raw bytes out; RFC 9112 sections 2.2, 3, 5 and 6, RFC 9110 section 7.2.

use testkit::{RawConn, TestEnvironment};

/// What every request here carries: a proof, so that nothing but its framing can be why it is refused.
fn proof(home: &TestEnvironment) -> String {
    format!("Cf-Access-Jwt-Assertion: {}\r\n", home.token())
}

/// Sends `bytes`, and reads a refusal with everything that the contract promises of one. The connection is closed behind it.
async fn is_refused(home: &TestEnvironment, name: &str, bytes: impl AsRef<[u8]>, status: u16, reason: &str) {
    let mut client = home.connect().await;
    client.send(bytes).await;
    refusal_and_close(&mut client, name, status, reason).await;
}

/// The refusal, and the close behind it.
async fn refusal_and_close(client: &mut RawConn, name: &str, status: u16, reason: &str) {
    refusal(client, name, status, reason).await;
    let (rest, error) = client.read_to_end().await;
    assert!(rest.is_empty() && error.is_none(), "{name}: {error:?} after {:?}", rest.escape_ascii().to_string());
}

async fn refusal(client: &mut RawConn, name: &str, status: u16, reason: &str) {
    let answer = client.read_response().await;
    assert_eq!(answer.status, status, "{name}: {}", answer.text());
    assert_eq!(answer.all("guard-refusal"), [reason], "{name}");
    let id = answer.header("guard-request-id").unwrap_or_default().to_owned();
    assert!(!id.is_empty(), "{name}: no request id");
    assert_eq!(answer.json()["correlationId"], id, "{name}");
    assert_eq!(answer.json()["statusCode"], status, "{name}");
}

/// Nobody at all reached Immich: not a byte, not a connection.
fn immich_saw_nothing(home: &TestEnvironment) {
    assert_eq!(home.immich.dials(), 0, "Immich was dialled: {:#?}", home.immich.requests());
}

/// What a client tries to hide behind the message that guard is to misread.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_body_with_two_lengths_or_an_unclear_one_is_refused() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "transfer-encoding: CHUNKED\r\nX: y\r\ncontent-length: 0\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 0\r\nContent-Length: 48\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ] {
        let request = format!("POST /api/assets HTTP/1.1\r\nHost: a\r\n{proof}{lines}\r\n0\r\n\r\n{HIDDEN}");
        is_refused(&home, lines, request, 400, "bad-request").await;
    }
    let old = format!("POST /api/assets HTTP/1.0\r\nHost: a\r\n{proof}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    is_refused(&home, "chunked in HTTP/1.0", old, 400, "bad-request").await;
    immich_saw_nothing(&home);
}

#[tokio::test]
async fn a_line_that_two_parsers_read_differently_is_refused() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    for lines in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tTransfer-Encoding: chunked\r\n",
        "X: a\nY: b\r\n",
        "X: a\n",
        "X: a\rY: b\r\n",
        "X : a\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Leading: space\r\n",
        "X: a\0b\r\n",
        "X\0: a\r\n",
        "X: a\x01b\r\n",
        "no colon\r\n",
        ": no name\r\n",
        "X(y): z\r\n",
    ] {
        let request = format!("POST /api/assets HTTP/1.1\r\nHost: a\r\n{proof}{lines}\r\n{HIDDEN}");
        is_refused(&home, lines, request, 400, "bad-request").await;
    }
    let bare = format!("GET / HTTP/1.1\nHost: a\n{}\n", proof.replace("\r\n", "\n"));
    is_refused(&home, "every line ends in LF", bare, 400, "bad-request").await;
    immich_saw_nothing(&home);
}

#[tokio::test]
async fn a_target_or_a_host_that_is_not_one_clear_host_is_refused() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    for (first, hosts) in [
        ("GET HTTP://a/ HTTP/1.1", "Host: a\r\n"),
        ("GET a:80 HTTP/1.1", "Host: a\r\n"),
        ("GET * HTTP/1.1", "Host: a\r\n"),
        ("GET api HTTP/1.1", "Host: a\r\n"),
        ("GET /a b HTTP/1.1", "Host: a\r\n"),
        ("GET /\0 HTTP/1.1", "Host: a\r\n"),
        ("G@T\x7f / HTTP/1.1", "Host: a\r\n"),
        ("GET / HTTP/1.2", "Host: a\r\n"),
        ("GET / HTTP/2.0", "Host: a\r\n"),
        ("GET /", "Host: a\r\n"),
        ("\x16\x03\x01\x02", "Host: a\r\n"),
        ("GET / HTTP/1.1", ""),
        ("GET / HTTP/1.0", ""),
        ("GET / HTTP/1.1", "Host:\r\n"),
        ("GET / HTTP/1.1", "Host:  \r\n"),
        ("GET / HTTP/1.1", "Host: a\r\nHost: a\r\n"),
        ("GET / HTTP/1.1", "Host: a\r\nhOST: b\r\n"),
        ("GET / HTTP/1.1", "Host: a, b\r\n"),
        ("GET / HTTP/1.1", "Host: a b\r\n"),
        ("GET / HTTP/1.1", "Host: user@a\r\n"),
        ("GET / HTTP/1.1", "Host: a/b\r\n"),
        ("GET / HTTP/1.1", "Host: a:b:c\r\n"),
    ] {
        let request = format!("{first}\r\n{hosts}{proof}\r\n");
        is_refused(&home, &request, &request, 400, "bad-request").await;
    }
    immich_saw_nothing(&home);
}

#[tokio::test]
async fn connect_and_trace_are_not_allowed_and_the_connection_goes_on() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    let mut client = home.connect().await;
    for first in ["CONNECT a:443", "TRACE /", "CONNECT /", "TRACE *"] {
        client.send(format!("{first} HTTP/1.1\r\nHost: a:443\r\n{proof}\r\n")).await;
        refusal(&mut client, first, 405, "method-not-allowed").await;
    }
    immich_saw_nothing(&home);
    client.send(home.head("GET /api/server/ping", "")).await;
    assert_eq!(client.read_response().await.status, 200);
}

#[tokio::test]
async fn a_connection_that_begins_in_http_2_is_closed() {
    let home = TestEnvironment::start().await;
    let mut client = home.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 400);
    assert_eq!(client.read_to_end().await.0, b"");
    immich_saw_nothing(&home);
}

#[tokio::test]
async fn a_flood_of_headers_is_431() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    let request = |target: &str, lines: &str| format!("GET /{target} HTTP/1.1\r\nHost: a\r\n{proof}{lines}\r\n");
    for (name, request) in [
        ("101 lines", request("", &"X: y\r\n".repeat(99))),
        ("5000 lines", request("", &"X: y\r\n".repeat(5000))),
        ("70 KB in one line", request("", &format!("X: {}\r\n", "y".repeat(70_000)))),
        ("70 KB in 14 lines", request("", &format!("X: {}\r\n", "y".repeat(5_000)).repeat(14))),
        ("65 KiB in 13 lines", request("", &format!("X: {}\r\n", "y".repeat(5_000)).repeat(13))),
        ("a target of 70 KB", request(&"t".repeat(70_000), "")),
        ("a target of 65 534 bytes", request(&"t".repeat(65_533), "")),
        ("a query of 1 MB", request(&format!("?{}", "q".repeat(1_000_000)), "")),
    ] {
        is_refused(&home, name, request, 431, "headers-too-large").await;
    }
    immich_saw_nothing(&home);
    // What the edge can send passes: 32 KB of headers and a target of 16 KB.
    let mut client = home.connect().await;
    client.send(request(&"t".repeat(16_000), &format!("X: {}\r\n", "y".repeat(1_000)).repeat(31))).await;
    assert_eq!(client.read_response().await.status, 200);
}

#[tokio::test]
async fn a_body_that_breaks_its_own_framing_is_refused_and_never_whole_at_immich() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    let post = |framing: &str, body: &str| format!("POST /api/assets HTTP/1.1\r\nHost: a\r\n{proof}{framing}\r\n\r\n{body}");
    for body in [
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "xyz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";ext\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello, and more than five\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    ] {
        let request = post("Transfer-Encoding: chunked", &format!("{body}{HIDDEN}"));
        is_refused(&home, body, request, 400, "bad-request").await;
    }
    let endless = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(20_000));
    is_refused(&home, "an extension of 20 KB", post("Transfer-Encoding: chunked", &endless), 400, "bad-request").await;
    for (name, request) in [
        ("shorter than declared", post("Content-Length: 50", "hello")),
        ("nothing of what was declared", post("Content-Length: 50", "")),
        ("no last chunk", post("Transfer-Encoding: chunked", "5\r\nhello\r\n")),
        ("half a chunk", post("Transfer-Encoding: chunked", "5\r\nhel")),
    ] {
        let mut client = home.connect().await;
        client.send(request).await;
        client.half_close().await;
        refusal_and_close(&mut client, name, 400, "bad-request").await;
    }
    // Immich takes connections in turn: behind this answer lie all the broken ones.
    let mut client = home.connect().await;
    client.send(home.head("GET /api/server/ping", "")).await;
    assert_eq!(client.read_response().await.status, 200);
    home.immich.wait_until("the broken connections to end", |state| state.open_connections <= 1).await;
    assert_eq!(home.immich.stored(), [], "a broken body was stored");
    for request in home.immich.requests() {
        assert!(request.target == "/api/server/ping" || !request.complete, "{request:#?}");
    }
}

/// What guard adds to every request here.
const ADDED: &str = "x-forwarded-host: a\r\nx-forwarded-proto: https\r\nx-forwarded-for: 127.0.0.1\r\nx-real-ip: 127.0.0.1\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Reads as many bytes as `expected` has, and compares.
async fn sees(upstream: &mut RawConn, expected: &str) {
    let seen = upstream.read_exact(expected.len()).await;
    assert_eq!(String::from_utf8_lossy(&seen), expected);
}

#[tokio::test]
async fn what_is_passed_reaches_immich_in_one_plain_framing() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let proof = proof(&home);
    let mut client = home.connect().await;
    // Chunk extensions and the case of names go; values, the target and its dots, slashes and escapes stay as they are.
    client
        .send(format!(
            "\r\nPOST //a/../b/./C%2f%00?x=%20&Y//..#part HTTP/1.1\r\nhOST: a\r\n{proof}TRANSFER-encoding:\tCHUNKED \r\n\
             X-Mixed-CASE:  VaLue \u{e9}  \r\nx-empty:\r\n\r\n\
             5;ext=1;b=\"q\"\r\nhello\r\n0000006\r\n world\r\n000;last\r\n\r\n"
        ))
        .await;
    let mut server = upstream.accept().await;
    let head = server.read_head().await;
    assert_eq!(
        String::from_utf8_lossy(&head.raw),
        format!(
            "POST //a/../b/./C%2f%00?x=%20&Y//.. HTTP/1.1\r\nhost: a\r\nx-empty: \r\nx-mixed-case: VaLue \u{e9}\r\n{ADDED}\
             transfer-encoding: chunked\r\n\r\n"
        )
    );
    let body = server.read_through(b"0\r\n\r\n").await;
    assert_eq!(without_chunks(&body), b"hello world");
    server.send(OK).await;
    assert_eq!(client.read_response().await.text(), "ok");
}

#[tokio::test]
async fn trailers_carry_no_identity_and_only_what_was_announced() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let mut client = home.connect().await;
    let announced = "Trailer: X-Sum, Cf-Access-Jwt-Assertion, X_Forwarded_For, X-Real-IP, Cookie, Content-Length\r\n";
    let framing = format!("{announced}Transfer-Encoding: chunked\r\n");
    client.send(home.head("POST /x", &framing).replace("photos.example.com", "a")).await;
    client
        .send(
            "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\nCf-Access-Jwt-Assertion: x.y.z\r\nX_Forwarded_For: 6.6.6.6\r\n\
             X-Real-IP: 6.6.6.6\r\nCookie: CF_Authorization=x\r\nContent-Length: 9\r\n\r\n",
        )
        .await;
    let mut server = upstream.accept().await;
    server.read_head().await;
    sees(&mut server, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n").await;
    server.send(OK).await;
    assert_eq!(client.read_response().await.status, 200);
}

#[tokio::test]
async fn pipelined_requests_go_one_by_one_and_whole() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let proof = proof(&home);
    let mut client = home.connect().await;
    client
        .send(format!(
            "GET /one HTTP/1.1\r\nHost: a\r\n{proof}\r\nPOST /two HTTP/1.1\r\nHost: a\r\n{proof}Content-Length: 5\r\n\r\nhello\
             GET /three HTTP/1.1\r\nHost: a\r\n\r\nGET /four HTTP/1.1\r\nHost: a\r\n{proof}\r\n"
        ))
        .await;
    let mut server = upstream.accept().await;
    for expected in [
        format!("GET /one HTTP/1.1\r\nhost: a\r\n{ADDED}\r\n"),
        format!("POST /two HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{ADDED}\r\nhello"),
        format!("GET /four HTTP/1.1\r\nhost: a\r\n{ADDED}\r\n"),
    ] {
        sees(&mut server, &expected).await;
        server.send(OK).await;
    }
    for (number, status) in [200, 200, 401, 200].into_iter().enumerate() {
        assert_eq!(client.read_response().await.status, status, "request {number}: each needs a proof of its own");
    }
}

#[tokio::test]
async fn an_ambiguous_request_behind_another_in_one_write_smuggles_nothing() {
    let (home, upstream) = TestEnvironment::before_raw_upstream().await;
    let proof = proof(&home);
    let one = format!("GET /one HTTP/1.1\r\nHost: a\r\n{proof}\r\n");
    let hidden = format!("GET /hidden HTTP/1.1\r\nHost: a\r\n{proof}\r\n");
    for (lines, body) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    ] {
        let mut client = home.connect().await;
        client.send(format!("{one}POST /two HTTP/1.1\r\nHost: a\r\n{proof}{lines}\r\n{body}{hidden}")).await;
        let mut server = upstream.accept().await;
        sees(&mut server, &format!("GET /one HTTP/1.1\r\nhost: a\r\n{ADDED}\r\n")).await;
        server.send(OK).await;
        assert_eq!(client.read_response().await.status, 200);
        // Refused like a first one, and the connection closes: what follows is nobody's request.
        let last = client.read_response().await;
        assert_eq!((last.status, last.header("connection")), (400, Some("close")));
        assert_eq!(client.read_to_end().await.0, b"");
        // One worker has one pool: the next request of another client is the next thing on the same connection.
        let mut other = home.connect().await;
        other.send(format!("GET /end HTTP/1.1\r\nHost: a\r\n{proof}\r\n")).await;
        sees(&mut server, &format!("GET /end HTTP/1.1\r\nhost: a\r\n{ADDED}\r\n")).await;
        server.send(OK).await;
        assert_eq!(other.read_response().await.status, 200);
        server.half_close().await;
        drop(other);
    }
}

#[tokio::test]
async fn the_bytes_of_a_body_are_never_taken_for_a_head() {
    let home = TestEnvironment::start().await;
    let proof = proof(&home);
    for body in ["{\n  \"a\": 1\n}\n\n", "a\nb", "Content-Length: 1\r\ncontent-length: 2\r\n\r\n", "x: y\n"] {
        // hyper's first read ends exactly behind the head, and its second, of the body, comes before the handler is polled.
        let head = format!("POST /api/x HTTP/1.1\r\nHost: a\r\n{proof}Content-Length: {}\r\nX-Pad: ", body.len());
        let pad = "p".repeat(8192 - head.len() - "\r\n\r\n".len());
        let mut client = home.connect().await;
        client.send(format!("{head}{pad}\r\n\r\n{body}")).await;
        assert_eq!(client.read_response().await.status, 200, "{body:?}");
        client.send(home.head("GET /api/server/ping", "")).await;
        assert_eq!(client.read_response().await.status, 200, "the request behind {body:?}");
    }
}

#[tokio::test]
async fn a_pipelined_head_may_be_cut_anywhere() {
    let home = TestEnvironment::start().await;
    let second = home.head("GET /api/server/ping", "");
    for cut in [0, 1, 40, second.find('\n').unwrap(), second.len() - 3, second.len() - 2, second.len() - 1] {
        let mut client = home.connect().await;
        client.send(format!("{}{}", home.head("GET /api/server/ping", ""), &second[..cut])).await;
        assert_eq!(client.read_response().await.status, 200);
        client.send(&second[cut..]).await;
        assert_eq!(client.read_response().await.status, 200, "cut at {cut}");
    }
}

/// The payload of a chunked body without extensions or trailers.
fn without_chunks(mut framed: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    loop {
        let line = framed.windows(2).position(|two| two == b"\r\n").expect("a size line");
        let size = usize::from_str_radix(std::str::from_utf8(&framed[..line]).expect("digits"), 16).expect("a size");
        if size == 0 {
            return payload;
        }
        payload.extend_from_slice(&framed[line + 2..line + 2 + size]);
        framed = &framed[line + 2 + size + 2..];
    }
}
