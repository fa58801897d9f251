//! Proves that the stand-in answers, records and dies as it says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use testkit::immich::{Config, DUPLICATE, EARLY_401_AFTER};
use testkit::raw::{End, Framing, Response};
use testkit::{Immich, RawClient, noise};

async fn ask(addr: SocketAddr, request: &str) -> Response {
    let mut client = RawClient::connect(addr).await;
    client.send(request).await;
    client.read_response().await
}

async fn get(immich: &Immich, target: &str, fields: &str) -> Response {
    ask(immich.addr(), &format!("GET {target} HTTP/1.1\r\nHost: photos\r\n{fields}\r\n")).await
}

const POST: &str = "POST /api/assets HTTP/1.1\r\nHost: photos\r\n";

#[tokio::test]
async fn a_whole_upload_is_stored_whatever_its_framing() {
    let immich = Immich::start().await;
    for framing in [Framing::Declared, Framing::Chunked] {
        let mut client = RawClient::connect(immich.addr()).await;
        let upload = client.blind_upload(POST, 3_000_001, framing).await;
        assert_eq!(upload.status(), Some(201));
        assert_eq!(upload.written, 3_000_001);
        assert_eq!(upload.answer.unwrap().json()["status"], "created");
        let stored = immich.stored().pop().unwrap();
        assert_eq!((stored.bytes, stored.sha256), (3_000_001, noise::sha256(3_000_001)));
        assert!(immich.last_request().complete);
    }
    assert_eq!((immich.stored().len(), immich.aborted_uploads()), (2, 0));
}

#[tokio::test]
async fn a_truncated_upload_is_not_stored() {
    let immich = Immich::start().await;
    for (ending, head) in ["Content-Length: 100\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"].iter().enumerate()
    {
        for reset in [false, true] {
            let mut client = RawClient::connect(immich.addr()).await;
            client.send(format!("{POST}{head}")).await;
            let so_far = ending * 2 + usize::from(reset);
            immich.wait_until("three bytes", |state| state.requests.get(so_far).is_some_and(|r| r.body_bytes == 3)).await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            immich.wait_until("the upload to be aborted", |state| state.aborted_uploads == so_far + 1).await;
        }
    }
    assert!(immich.stored().is_empty());
    assert!(immich.requests().iter().all(|request| !request.complete));
}

#[tokio::test]
async fn a_known_checksum_is_answered_before_the_body() {
    let immich = Immich::start().await;
    let head = format!("{POST}x-immich-checksum: {DUPLICATE}\r\nContent-Length: 5\r\n\r\n");
    let mut client = RawClient::connect(immich.addr()).await;
    client.send(head).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("duplicate")));
    client.send("abcdeGET /api/server/ping HTTP/1.1\r\nHost: photos\r\n\r\n").await;
    assert_eq!(client.read_response().await.json()["res"], "pong");
    assert!(immich.stored().is_empty());
}

#[tokio::test]
async fn an_early_401_comes_while_the_client_sends_and_keeps_the_connection() {
    let immich = Immich::start().await;
    let mut client = RawClient::connect(immich.addr()).await;
    let total = EARLY_401_AFTER + 1_000_000;
    client.send(format!("POST /api/early-401 HTTP/1.1\r\nHost: photos\r\nContent-Length: {total}\r\n\r\n")).await;
    client.write_noise(EARLY_401_AFTER, Framing::Declared).await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("keep-alive")));
    client.write_noise(total - EARLY_401_AFTER, Framing::Declared).await;
    client.send("GET /api/server/ping HTTP/1.1\r\nHost: photos\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
    assert_eq!((immich.dials(), immich.requests()[0].body_bytes), (1, total));
}

#[tokio::test]
async fn an_original_can_be_read_in_parts() {
    let immich = Immich::start().await;
    let target = "/api/assets/7/original?size=200000";
    let whole = get(&immich, target, "").await;
    assert_eq!((whole.status, whole.end, whole.header("accept-ranges")), (200, End::Length, Some("bytes")));
    assert_eq!(whole.body, noise::bytes(0, 200_000));
    for (range, first, end) in
        [("100-199999", 100, 200_000), ("199990-", 199_990, 200_000), ("-5", 199_995, 200_000), ("0-9", 0, 10)]
    {
        let part = get(&immich, target, &format!("Range: bytes={range}\r\n")).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, noise::bytes(first, end), "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {first}-{}/200000", end - 1).as_str()));
    }
    assert_eq!(get(&immich, target, "Range: bytes=200000-\r\n").await.status, 404);
    let etag = whole.header("etag").unwrap();
    assert!(etag.starts_with("W/\""));
    let same = get(&immich, target, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((same.status, same.end), (304, End::NoBody));
}

#[tokio::test]
async fn head_tells_the_length_and_sends_no_body() {
    let immich = Immich::start().await;
    let mut client = RawClient::connect(immich.addr()).await;
    for _ in 0..2 {
        client.send("HEAD /api/assets/7/original?size=77 HTTP/1.1\r\nHost: photos\r\n\r\n").await;
        let answer = client.read_response_to_head().await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("77")));
    }
}

#[tokio::test]
async fn cookies_are_separate_lines() {
    let immich = Immich::start().await;
    assert_eq!(get(&immich, "/api/cookies", "").await.all("set-cookie").len(), 3);
}

#[tokio::test]
async fn sync_lines_come_one_by_one() {
    let immich = Immich::start().await;
    let mut client = RawClient::connect(immich.addr()).await;
    client.send("POST /api/sync/stream HTTP/1.1\r\nHost: photos\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(client.read_head().await.header("transfer-encoding"), Some("chunked"));
    for line in ["{\"type\":\"a\"}", "{\"type\":\"b\"}"] {
        immich.sync_line(line);
        let chunk = client.read_through(b"}\n\r\n").await;
        assert!(chunk.ends_with(format!("\r\n{line}\n\r\n").as_bytes()), "{:?}", chunk.escape_ascii());
    }
    immich.sync_end();
    assert_eq!(client.read_through(b"\r\n\r\n").await, b"0\r\n\r\n");
}

#[tokio::test]
async fn an_archive_has_no_length() {
    let immich = Immich::start().await;
    let answer = get(&immich, "/api/download/archive?size=150000", "").await;
    assert_eq!((answer.end, answer.complete), (End::Chunked, true));
    assert_eq!(answer.body, noise::bytes(0, 150_000));
}

#[tokio::test]
async fn slow_waits_for_the_release_and_notices_who_left() {
    let immich = Immich::start().await;
    let mut client = RawClient::connect(immich.addr()).await;
    client.send("GET /api/slow HTTP/1.1\r\nHost: photos\r\n\r\n").await;
    immich.wait_until("the request", |state| state.requests.len() == 1).await;
    drop(client);
    immich.wait_until("the request to be cancelled", |state| state.requests[0].cancelled && state.open_connections == 0).await;

    immich.release();
    assert_eq!(get(&immich, "/api/slow", "").await.status, 200);
    assert!(!immich.last_request().cancelled);
}

#[tokio::test]
async fn dies_after_exactly_half_a_body_or_before_the_head() {
    let immich = Immich::start().await;
    for _ in 0..20 {
        let half = get(&immich, "/api/die-mid-body", "").await;
        assert_eq!((half.status, half.complete, half.body.len()), (200, false, 512 * 1024));
    }
    let mut client = RawClient::connect(immich.addr()).await;
    client.send("GET /api/die-before-head HTTP/1.1\r\nHost: photos\r\n\r\n").await;
    assert!(client.try_read_response().await.is_err());
}

#[tokio::test]
async fn polling_is_refused_where_only_websockets_are_served() {
    let immich = Immich::start().await;
    let answer = get(&immich, "/api/socket.io/?EIO=4&transport=polling", "").await;
    assert_eq!((answer.status, answer.json()["message"].as_str()), (400, Some("Transport unknown")));
}

#[tokio::test]
async fn anything_else_is_echoed_as_it_came() {
    let immich = Immich::start().await;
    let request = "PUT /some%2Fthing?a=b&a=c HTTP/1.1\r\nHost: photos\r\nX-One: 1\r\nX-One: 2\r\nContent-Length: 3\r\n\r\nabc";
    let echo = ask(immich.addr(), request).await.json();
    assert_eq!((echo["method"].as_str(), echo["target"].as_str()), (Some("PUT"), Some("/some%2Fthing?a=b&a=c")));
    let recorded = immich.last_request();
    assert_eq!(recorded.all("X-One"), ["1", "2"]);
    assert_eq!((recorded.version.as_str(), recorded.body_bytes, recorded.complete), ("HTTP/1.1", 3, true));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let immich = Immich::start_with(Config { idle: Some(Duration::from_millis(50)), ..Config::default() }).await;
    let mut client = RawClient::connect(immich.addr()).await;
    client.send("GET /api/server/ping HTTP/1.1\r\nHost: photos\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
    let (rest, error) = client.read_to_end().await;
    assert!(rest.is_empty() && error.is_none(), "{rest:?} {error:?}");
    immich.wait_until("the connection to be gone", |state| state.open_connections == 0).await;
}

#[tokio::test]
async fn a_stopped_stand_in_starts_anew_at_the_same_address() {
    let immich = Immich::start().await;
    let listen = immich.addr();
    let mut client = RawClient::connect(listen).await;
    client.send("GET /api/slow HTTP/1.1\r\nHost: photos\r\n\r\n").await;
    immich.wait_until("the request", |state| state.requests.len() == 1).await;
    immich.stop().await;
    assert!(client.try_read_response().await.is_err());
    let immich = Immich::start_with(Config { listen, ..Config::default() }).await;
    assert_eq!(get(&immich, "/api/server/ping", "").await.status, 200);
}
