//! A WebSocket is a pipe that opens with Immich's 101 and not before, carries every byte, and closes with its token.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::admin::metric;
use testkit::issuer::unix_now;
use testkit::wait::eventually;
use testkit::ws::{self, Message, SinkExt as _};
use testkit::{RawClient, RawConn, RawUpstream, TestEnvironment, noise};

/// The key, and the answer to it, are the example of RFC 6455, 1.3.
const ASK: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const SOCKET_IO: &str = "GET /api/socket.io/";

/// A guard in front of an Immich that the test plays itself.
async fn played() -> (TestEnvironment, RawUpstream) {
    let upstream = RawUpstream::start().await;
    let home = TestEnvironment::with(|args| args.upstream = Some(upstream.url())).await;
    (home, upstream)
}

/// Both ends of an open tunnel.
async fn tunnel(home: &TestEnvironment, upstream: &RawUpstream) -> (RawClient, RawConn) {
    let mut client = home.connect().await;
    client.send(home.head(SOCKET_IO, ASK)).await;
    let mut immich = upstream.accept().await;
    immich.read_head().await;
    immich.send(SWITCH).await;
    assert!(client.read_head().await.start_line.contains(" 101 "));
    (client, immich)
}

#[tokio::test]
async fn without_a_proof_no_websocket_and_no_dial() {
    let home = TestEnvironment::start().await;
    assert_eq!(ws::connect(home.guard.address, None).await.err(), Some(401));
    assert_eq!(ws::connect(home.guard.address, Some("open sesame")).await.err(), Some(401));
    assert_eq!(home.immich.dials(), 0);
    assert_eq!(home.guard.metrics.open_tunnels.get(), 0);
}

#[tokio::test]
async fn immich_gets_the_handshake_and_the_client_gets_its_answer() {
    let (home, upstream) = played().await;
    let mut client = home.connect().await;
    client.send(home.head(SOCKET_IO, ASK)).await;
    let mut immich = upstream.accept().await;
    let asked = immich.read_head().await;
    assert_eq!(asked.all("upgrade"), ["websocket"]);
    assert_eq!(asked.all("connection"), ["upgrade"]);
    assert_eq!(asked.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(asked.header("cf-access-jwt-assertion"), None);
    assert_eq!(home.guard.metrics.open_tunnels.get(), 0, "nothing is open before the 101");
    immich.send(SWITCH).await;
    let answer = client.read_head().await;
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.all("upgrade"), ["websocket"]);
    assert_eq!(answer.all("connection"), ["upgrade"]);
}

#[tokio::test]
async fn another_answer_than_101_is_relayed_and_opens_no_way_around_the_proof() {
    let (home, upstream) = played().await;
    let mut client = home.connect().await;
    // What follows the handshake would reach Immich past the guard if the tunnel opened before the 101.
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: photos.example.com\r\n\r\n";
    client.send(home.head(SOCKET_IO, ASK) + smuggled).await;
    let mut immich = upstream.accept().await;
    immich.read_head().await;
    immich.send("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 3\r\n\r\nno!").await;
    let answer = client.read_response().await;
    assert_eq!((answer.status, answer.header("sec-websocket-version"), answer.text().as_str()), (426, Some("8"), "no!"));
    let second = client.read_response().await;
    assert_eq!((second.status, second.header("guard-refusal")), (401, Some("unauthorized")), "it is a request like any other");

    client.send(home.head("GET /after", "")).await;
    assert!(immich.read_head().await.start_line.starts_with("GET /after "), "the next thing that Immich sees was let in");
    assert_eq!(home.guard.metrics.open_tunnels.get(), 0);
}

#[tokio::test]
async fn a_101_that_was_not_asked_for_is_a_502_and_cuts_immich_off() {
    let other = SWITCH.replace("Upgrade: websocket", "Upgrade: h2c");
    for (ask, answer) in [(ASK, &*other), ("", SWITCH), ("", &*other), ("Connection: upgrade\r\nUpgrade: h2c\r\n", &*other)] {
        let (home, upstream) = played().await;
        let mut client = home.connect().await;
        client.send(home.head(SOCKET_IO, ask)).await;
        let mut immich = upstream.accept().await;
        immich.read_head().await;
        immich.send(answer).await;
        let refusal = client.read_response().await;
        assert_eq!((refusal.status, refusal.header("guard-refusal")), (502, Some("upstream-unreachable")), "{ask} {answer}");
        assert_eq!(immich.read_to_end().await.0, b"", "{ask} {answer}");
        assert_eq!(home.guard.metrics.open_tunnels.get(), 0);
    }
}

#[tokio::test]
async fn every_other_upgrade_goes_on_as_a_plain_request() {
    let home = TestEnvironment::start().await;
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    let (both, unnamed) = (ASK.replace("e: websocket", "e: websocket, h2c"), ASK.replace("keep-alive, Upgrade", "keep-alive"));
    let with_body = format!("{ASK}Content-Length: 2\r\n");
    for (line, extra, body) in [
        ("GET /x", h2c, ""),
        ("GET /x", &*both, ""),
        ("GET /x", &*unnamed, ""),
        ("POST /x", ASK, ""),
        ("GET /x", &*with_body, "hi"),
        ("GET /x", "Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n", ""),
    ] {
        let mut client = home.connect().await;
        client.send(home.head(line, extra) + body).await;
        assert_eq!(client.read_response().await.status, 200, "{extra}");
        let seen = home.immich.last_request();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.header(name), None, "{extra}");
        }
    }
}

#[tokio::test]
async fn bytes_that_come_with_a_head_are_not_lost_on_either_side() {
    let (home, upstream) = played().await;
    let mut client = home.connect().await;
    client.send(home.head(SOCKET_IO, ASK) + "first words").await;
    let mut immich = upstream.accept().await;
    immich.read_head().await;
    immich.send(format!("{SWITCH}welcome")).await;
    assert_eq!(immich.read_exact(11).await, b"first words");
    assert!(client.read_head().await.start_line.contains(" 101 "));
    assert_eq!(client.read_exact(7).await, b"welcome");
    client.send("and on").await;
    assert_eq!(immich.read_exact(6).await, b"and on");
}

#[tokio::test]
async fn a_websocket_ends_when_its_key_leaves_the_set_and_not_before() {
    let (home, upstream) = played().await;
    let (mut client, mut immich) = tunnel(&home, &upstream).await;
    // Twice: the first only makes it the previous key, which is published on.
    for is_published in [true, false] {
        let fresh = home.front_door.rotate();
        home.refresh_keys(fresh.kid()).await;

        if is_published {
            client.send("still here").await;
            assert_eq!(immich.read_exact(10).await, b"still here");
        }
    }
    assert_eq!(client.read_to_end().await.0, b"");
    assert_eq!(immich.read_to_end().await.0, b"");
    eventually("the tunnel to be closed", || home.guard.metrics.open_tunnels.get() == 0).await;
}

#[tokio::test]
async fn who_has_said_all_still_hears_the_other() {
    let (home, upstream) = played().await;
    let (mut client, mut immich) = tunnel(&home, &upstream).await;
    client.send("last words").await;
    client.half_close().await;
    assert_eq!(immich.read_to_end().await.0, b"last words");
    immich.send(noise::bytes(0, 300_000)).await;
    drop(immich);
    let (late, error) = client.read_to_end().await;
    assert!(late == noise::bytes(0, 300_000) && error.is_none(), "{} bytes, {error:?}", late.len());

    let (mut client, mut immich) = tunnel(&home, &upstream).await;
    immich.send("last words").await;
    immich.half_close().await;
    assert_eq!(client.read_to_end().await.0, b"last words");
    client.send(noise::bytes(0, 300_000)).await;
    drop(client);
    let (late, error) = immich.read_to_end().await;
    assert!(late == noise::bytes(0, 300_000) && error.is_none(), "{} bytes, {error:?}", late.len());
    eventually("both tunnels to be gone", || home.guard.metrics.open_tunnels.get() == 0).await;
}

#[tokio::test]
async fn who_breaks_off_takes_the_other_along() {
    let (home, upstream) = played().await;
    let (mut client, immich) = tunnel(&home, &upstream).await;
    immich.reset();
    assert_eq!(client.read_to_end().await.0, b"");
    let (client, mut immich) = tunnel(&home, &upstream).await;
    client.reset();
    assert_eq!(immich.read_to_end().await.0, b"");
    eventually("both tunnels to be gone", || home.guard.metrics.open_tunnels.get() == 0).await;
}

#[tokio::test]
async fn frames_of_any_size_come_back_byte_for_byte() {
    let home = TestEnvironment::start().await;
    let mut socket = ws::connect(home.guard.address, Some(&home.token())).await.unwrap();
    let dice = noise::bytes(1 << 40, (1 << 40) + 96 * 4);
    let (mut at, mut sizes) = (0, vec![1, 125, 126, 65_535, 65_536, 1 << 20]);
    // Every power of two up to 1 MiB is as likely a bound as the next.
    sizes.extend(dice.chunks(4).map(|dice| {
        let number = u64::from(u32::from_le_bytes(dice.try_into().unwrap()));
        1 + number % (1 << ((number >> 8) % 21))
    }));
    for size in sizes {
        let message = Message::binary(noise::bytes(at, at + size));
        at += size;
        assert!(ws::exchange(&mut socket, message.clone()).await == message, "{size} bytes from {at}");
    }
}

#[tokio::test]
async fn a_thousand_websockets_echo_at_once_and_are_counted() {
    // A client's, two of the guard's, and Immich's socket for each.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    assert!(limit.maximum.is_none_or(|files| files > 4_200), "this test needs 4200 files, {limit:?}");
    let home = TestEnvironment::start().await;
    let token = home.token();
    let mut sockets = Vec::new();
    for _ in 0..1_000 {
        sockets.push(ws::connect(home.guard.address, Some(&token)).await.unwrap());
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.send(Message::text(number.to_string())).await.unwrap();
    }
    for (number, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(ws::next(socket).await.unwrap().unwrap(), Message::text(number.to_string()));
    }
    assert_eq!(metric(home.guard.admin_address, "guard_open_tunnels").await, "1000");
    assert_eq!(home.immich.open_tunnels(), 1_000);
    drop(sockets);
    home.immich.wait_until("every tunnel to be gone", |state| state.open_tunnels == 0).await;
    eventually("the gauge to be back at 0", || home.guard.metrics.open_tunnels.get() == 0).await;
    assert_eq!(metric(home.guard.admin_address, "guard_open_tunnels").await, "0");
}

#[tokio::test]
async fn a_tunnel_lives_as_long_as_its_token_and_no_longer() {
    let home = TestEnvironment::start().await;
    let mut claims = home.front_door.person("ada@example.com");
    let expires = unix_now() + 3;
    claims["exp"] = expires.into();
    let mut longer = ws::connect(home.guard.address, Some(&home.token())).await.unwrap();
    let mut socket = ws::connect(home.guard.address, Some(&home.front_door.mint(&claims))).await.unwrap();
    let mut echoed = 0;
    // It ends with an error of the socket: a pipe has no frame of its own to say goodbye with.
    while socket.send(Message::text("still here?")).await.is_ok() {
        match ws::next(&mut socket).await {
            Some(Ok(Message::Text(_))) => echoed += 1,
            _ => break,
        }
        assert!(unix_now() < expires + 20, "still open long after its time");
    }
    assert!(unix_now() >= expires, "closed before its time");
    assert!(echoed > 0, "never open");
    home.immich.wait_until("Immich's side to be gone too", |state| state.open_tunnels == 1).await;
    assert_eq!(ws::exchange(&mut longer, Message::text("and I?")).await, Message::text("and I?"));
}

#[tokio::test]
async fn a_silent_tunnel_ends_at_the_expiry_too_with_a_fin_on_both_sides() {
    let (home, upstream) = played().await;
    let mut claims = home.front_door.service("backup.access");
    let expires = unix_now() + 2;
    claims["exp"] = expires.into();
    let token = home.front_door.mint(&claims);
    let mut client = home.connect().await;
    client.send(format!("{SOCKET_IO} HTTP/1.1\r\nHost: a\r\nCf-Access-Jwt-Assertion: {token}\r\n{ASK}\r\n")).await;
    let mut immich = upstream.accept().await;
    immich.read_head().await;
    immich.send(SWITCH).await;
    client.read_head().await;
    for side in [&mut client, &mut immich] {
        let (bytes, error) = side.read_to_end().await;
        assert!(bytes.is_empty() && error.is_none(), "{error:?}");
        assert!(unix_now() >= expires, "closed before its time");
    }
}

#[tokio::test]
async fn a_tunnel_is_counted_as_one_request_with_its_bytes_when_it_ends() {
    let (home, upstream) = played().await;
    let (mut client, mut immich) = tunnel(&home, &upstream).await;
    client.send("hello").await;
    immich.read_exact(5).await;
    immich.send("welcome").await;
    client.read_exact(7).await;
    let metrics = &home.guard.metrics;
    assert_eq!((metrics.passed.get(), metrics.inflight.get(), metrics.open_tunnels.get()), (0, 0, 1));
    drop((client, immich));
    eventually("the tunnel to be gone", || metrics.open_tunnels.get() == 0).await;
    assert_eq!((metrics.passed.get(), metrics.refused.get(), metrics.inflight.get()), (1, 0, 0));
    assert_eq!((metrics.request_body_bytes.get(), metrics.response_body_bytes.get()), (5, 7));
}
