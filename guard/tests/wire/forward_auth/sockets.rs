//! WebSockets behind an auth server: the handshake is asked about, and the tunnel is not for ever.

use testkit::ws::{self, Message};

use super::requests::{Environment, ada};

#[tokio::test]
async fn a_handshake_with_a_yes_becomes_a_tunnel_and_keeps_the_cookies() {
    let home = Environment::forward_auth().await;
    let session = home.front_door.sign_in(&ada());
    let fields = [("host", "photos.example.com"), ("cookie", session.as_str())];
    let mut socket = ws::connect_with(home.guard.address, ws::SOCKET_IO, &fields).await.expect("a tunnel");
    assert_eq!(ws::exchange(&mut socket, Message::text("hello")).await, Message::text("hello"));
    let question = home.front_door.last_question();
    assert_eq!(question.header("Upgrade"), None);
    assert!(
        question.head.headers.iter().all(|(name, _)| !name.to_lowercase().starts_with("sec-websocket")),
        "{:?}",
        question.head
    );
}
