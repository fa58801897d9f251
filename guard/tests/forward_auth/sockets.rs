//! WebSockets behind an auth server: the handshake is asked about, and the tunnel is not for ever.

use testkit::ws::{self, Message};

use crate::gate::{Gate, ada};

#[tokio::test]
async fn a_handshake_with_a_yes_becomes_a_tunnel_and_keeps_the_cookies() {
    let gate = Gate::open().await;
    let session = gate.outpost.sign_in(&ada());
    let fields = [("host", "photos.example.com"), ("cookie", session.as_str())];
    let mut socket = ws::connect_with(gate.door.address, ws::SOCKET_IO, &fields).await.expect("a tunnel");
    assert_eq!(ws::exchange(&mut socket, Message::text("hello")).await, Message::text("hello"));
    let question = gate.outpost.last_question();
    assert_eq!(question.header("Upgrade"), None);
    assert!(
        question.head.headers.iter().all(|(name, _)| !name.to_lowercase().starts_with("sec-websocket")),
        "{:?}",
        question.head
    );
}
