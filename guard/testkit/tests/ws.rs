//! Proves that the stand-in's WebSocket is one, and that the client says what it was refused with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use testkit::ws::{self, Message, SinkExt as _};
use testkit::{Immich, RawClient, noise};

#[tokio::test]
async fn messages_of_every_length_form_come_back() {
    let immich = Immich::start().await;
    let mut socket = ws::connect(immich.addr(), Some("a-token")).await.unwrap();
    assert_eq!(immich.last_request().header("Cf-Access-Jwt-Assertion"), Some("a-token"));
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let message = Message::binary(noise::bytes(0, length));
        assert_eq!(ws::exchange(&mut socket, message.clone()).await, message, "{length}");
    }
    assert_eq!(ws::exchange(&mut socket, Message::text("42[\"größe\"]")).await, Message::text("42[\"größe\"]"));
    assert_eq!(ws::exchange(&mut socket, Message::Ping("p".into())).await, Message::Pong("p".into()));
    assert_eq!(immich.open_tunnels(), 1);
}

#[tokio::test]
async fn a_close_is_answered_with_a_close() {
    let immich = Immich::start().await;
    let mut socket = ws::connect(immich.addr(), None).await.unwrap();
    socket.send(Message::Close(None)).await.unwrap();
    assert!(matches!(ws::next(&mut socket).await, Some(Ok(Message::Close(_)))));
    assert!(ws::next(&mut socket).await.is_none());
    immich.wait_until("the tunnel to be gone", |state| state.open_tunnels == 0 && state.open_connections == 0).await;
}

#[tokio::test]
async fn what_was_sent_before_a_half_close_still_comes_back() {
    let immich = Immich::start().await;
    let mut client = RawClient::connect(immich.addr()).await;
    let handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    // The key, and the answer below, are the example of RFC 6455, 1.3.
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(format!("GET {} HTTP/1.1\r\nHost: photos\r\n{handshake}{key}\r\n", ws::SOCKET_IO)).await;
    let head = client.read_head().await;
    assert!(head.start_line.contains(" 101 "), "{}", head.start_line);
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // Two fragments of one text, masked with zeros: they come back as two fragments.
    client.send(b"\x01\x82\0\0\0\0ab\x80\x81\0\0\0\0c").await;
    client.half_close().await;
    let (echo, error) = client.read_to_end().await;
    assert_eq!(echo, b"\x01\x02ab\x80\x01c");
    assert!(error.is_none());
}

#[tokio::test]
async fn another_answer_than_101_is_told_by_its_status() {
    let immich = Immich::start().await;
    assert_eq!(ws::connect_with(immich.addr(), "/api/elsewhere", &[]).await.err(), Some(200));
    assert_eq!(ws::connect_with(immich.addr(), ws::SOCKET_IO, &[("upgrade", "h2c")]).await.err(), Some(400));
}
