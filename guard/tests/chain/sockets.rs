//! A WebSocket through the whole chain.

use testkit::issuer::unix_now;
use testkit::ws::{self, Message};

use crate::{Chain, StorySetup};

pub(crate) async fn a_websocket_echoes_until_its_token_expires(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let mut claims = chain.environment.front_door.person("ada@example.com");
    let expires = unix_now() + 3;
    claims["exp"] = expires.into();
    let mut short = ws::connect(chain.edge.front(), Some(&chain.environment.front_door.mint(&claims))).await.unwrap();
    let mut long =
        ws::connect(chain.edge.front(), Some(&chain.environment.front_door.token_for("ada@example.com"))).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
        assert_eq!(ws::exchange(&mut short, message.clone()).await, message);
    }
    assert_eq!(chain.environment.immich.open_tunnels(), 2);
    // Nothing is sent any more: what ends it is the clock.
    let end = ws::next(&mut short).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    assert!(unix_now() >= expires, "closed before its time");
    chain.environment.immich.wait_until("Immich's side to be gone too", |state| state.open_tunnels == 1).await;
    assert_eq!(ws::exchange(&mut long, Message::text("and I?")).await, Message::text("and I?"));
}

pub(crate) async fn a_websocket_without_a_proof_is_401(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    assert_eq!(ws::connect(chain.edge.front(), None).await.err(), Some(401));
    assert_eq!(chain.environment.immich.dials(), 0);
}
