//! Proves that the raw client reads what was framed and reports what went wrong, against an upstream that a test plays itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::ErrorKind;

use testkit::raw::{End, Framing};
use testkit::{RawClient, RawConn, RawUpstream};

async fn pair() -> (RawClient, RawConn) {
    let upstream = RawUpstream::start().await;
    let client = RawClient::connect(upstream.addr()).await;
    (client, upstream.accept().await)
}

#[tokio::test]
async fn the_upstream_sees_the_very_bytes() {
    let (mut client, mut upstream) = pair().await;
    let sent = "GET / HTTP/1.1\r\nhOsT:  a \r\nX: 1\r\nx: 2\r\n\r\n";
    client.send(sent).await;
    let head = upstream.read_head().await;
    assert_eq!(head.raw, sent.as_bytes());
    assert_eq!((head.header("host"), head.all("X")), (Some("a"), vec!["1", "2"]));
}

#[tokio::test]
async fn every_framing_is_read_to_its_end_and_no_further() {
    let (mut client, mut upstream) = pair().await;
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n")
        .await;
    upstream.send("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    drop(upstream);

    assert_eq!(client.read_response().await.status, 100);
    let sized = client.read_response().await;
    assert_eq!((sized.end, sized.text().as_str()), (End::Length, "abc"));
    let chunked = client.read_response().await;
    assert_eq!((chunked.end, chunked.text().as_str(), chunked.complete), (End::Chunked, "ab0123456789", true));
    assert_eq!(chunked.trailers, [("T".to_owned(), "v".to_owned())]);
    assert_eq!(client.read_response().await.end, End::NoBody);
    assert_eq!(client.read_response_to_head().await.header("content-length"), Some("7"));
    let closed = client.read_response().await;
    assert_eq!((closed.end, closed.text().as_str(), closed.complete), (End::Close, "until the end", true));
    assert_eq!(client.try_read_response().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_body_cut_short_is_told() {
    for body in [
        "Content-Length: 5\r\n\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        let (mut client, mut upstream) = pair().await;
        upstream.send(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        drop(upstream);
        let answer = client.read_response().await;
        assert_eq!((answer.complete, answer.text().as_str()), (false, "ab"));
    }
}

#[tokio::test]
async fn half_close_and_reset_are_what_the_peer_sees() {
    let (mut client, mut upstream) = pair().await;
    client.half_close().await;
    assert_eq!(upstream.read_some().await.unwrap(), b"");
    upstream.send("still here").await;
    assert_eq!(client.read_exact(10).await, b"still here");
    client.reset();
    assert_eq!(upstream.read_to_end().await.1.map(|error| error.kind()), None, "nothing follows a FIN");

    let (client, mut upstream) = pair().await;
    client.reset();
    assert_eq!(upstream.read_to_end().await.1.unwrap().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_blind_upload_sees_the_answer_of_a_server_that_reads_on() {
    let (mut client, mut upstream) = pair().await;
    let server = tokio::spawn(async move {
        upstream.read_head().await;
        upstream.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        upstream.half_close().await;
        upstream.read_to_end().await.0.len()
    });
    let upload = client.blind_upload("POST / HTTP/1.1\r\nHost: a\r\n", 20_000_000, Framing::Declared).await;
    assert_eq!((upload.status(), upload.written), (Some(413), 20_000_000));
    drop(client);
    assert_eq!(server.await.unwrap(), 20_000_000);
}

#[tokio::test]
async fn a_blind_upload_misses_the_answer_of_a_server_that_hangs_up() {
    let (mut client, mut upstream) = pair().await;
    let server = tokio::spawn(async move {
        upstream.read_head().await;
        upstream.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
        // Closed with unread bytes: the kernel answers them with RST.
        upstream.read_exact(1_000_000).await;
    });
    let upload = client.blind_upload("POST / HTTP/1.1\r\nHost: a\r\n", 200_000_000, Framing::Chunked).await;
    server.await.unwrap();
    assert!(upload.write_error.is_some() && upload.written < 200_000_000);
    assert_eq!(upload.status(), None);
}

#[tokio::test]
async fn nobody_listens_nowhere() {
    let nowhere = RawUpstream::nowhere().await;
    let refused = tokio::net::TcpStream::connect(nowhere).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
