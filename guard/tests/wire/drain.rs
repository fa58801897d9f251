//! SIGTERM: what is under way is finished to its last byte, nothing new is let in, tunnels are closed in time, and what is stuck is cut.

use std::net::SocketAddr;

use crate::GUARD;
use guard::serve::Drained;
use testkit::admin;
use testkit::process::{OriginProcess, origin_variables};
use testkit::raw::Response;
use testkit::wait::eventually;
use testkit::ws::{self, Message};
use testkit::{Immich, Issuer, RawClient, TestEnvironment, noise};
use tokio::net::TcpStream;

const MIB: u64 = 1024 * 1024;

/// A guard with this grace.
async fn with_grace(grace: &str) -> TestEnvironment {
    TestEnvironment::with(|args| args.process.grace = Some(grace.to_owned())).await
}

/// All but the empty line.
fn head(issuer: &Issuer, request_line: &str) -> String {
    let token = issuer.token_for("ada@example.com");
    format!("{request_line} HTTP/1.1\r\nHost: photos.example.com\r\nCf-Access-Jwt-Assertion: {token}\r\n")
}

fn assert_draining(answer: &Response) {
    assert_eq!((answer.status, answer.header("guard-refusal")), (503, Some("not-ready")));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.header("connection"), Some("close"), "the next request belongs elsewhere");
}

/// Two uploads, a download, 50 tunnels and an idle connection, and `stop` in the midst of them: it returns when the drain has begun.
async fn nothing_is_lost(
    issuer: &Issuer,
    immich: &Immich,
    address: SocketAddr,
    admin_address: SocketAddr,
    stop: impl AsyncFnOnce(),
) {
    let connect = async || RawClient::connect(address).await;
    let asset = noise::bytes(0, 8 * MIB);
    let half = asset.len() / 2;
    let mut upload = connect().await;
    upload.send(head(issuer, "POST /api/assets") + &format!("Content-Length: {}\r\n\r\n", asset.len())).await;
    upload.send(&asset[..half]).await;
    let mut chunked = connect().await;
    chunked.send(head(issuer, "POST /api/assets") + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    // Far more than the sockets between Immich and here can hold.
    let mut download = connect().await;
    download.send(head(issuer, &format!("GET /api/assets/1/original?size={}", 48 * MIB)) + "\r\n").await;
    assert!(download.read_head().await.start_line.contains(" 200 "));
    let mut downloaded = download.read_exact(1_000).await;
    let mut idle = connect().await;
    idle.send(head(issuer, "GET /api/server/ping") + "\r\n").await;
    assert_eq!(idle.read_response().await.status, 200);
    let mut tunnels = Vec::new();
    let token = issuer.token_for("ada@example.com");
    for _ in 0..50 {
        tunnels.push(ws::connect(address, Some(&token)).await.unwrap());
    }
    immich.wait_until("both uploads to have come", |state| state.requests.len() == 54).await;
    assert_eq!(admin::get(admin_address, "/readyz").await.status, 200);

    stop().await;
    assert_eq!(admin::get(admin_address, "/readyz").await.status, 503, "at once");
    assert_eq!(admin::get(admin_address, "/livez").await.status, 200, "a drain is no reason to be killed");
    let (rest, error) = idle.read_to_end().await;
    assert!(rest.is_empty() && error.is_none(), "an idle connection is closed in order: {error:?}");
    let mut late = connect().await;
    late.send(head(issuer, "GET /api/server/ping") + "\r\n").await;
    assert_draining(&late.read_response().await);
    for tunnel in &mut tunnels {
        assert_eq!(ws::exchange(tunnel, Message::text("still here?")).await, Message::text("still here?"));
    }

    upload.send(&asset[half..]).await;
    assert_eq!(upload.read_response().await.status, 201);
    chunked.send("6\r\n world\r\n0\r\n\r\n").await;
    assert_eq!(chunked.read_response().await.status, 201);
    downloaded.extend(download.read_exact(48 * 1024 * 1024 - downloaded.len()).await);
    assert!(downloaded == noise::bytes(0, 48 * MIB));
    for mut tunnel in tunnels {
        let end = ws::next(&mut tunnel).await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    }
    assert_eq!(immich.stored().iter().map(|asset| asset.bytes).collect::<Vec<_>>(), [8 * MIB, 11]);
    assert_eq!(immich.stored()[0].sha256, noise::sha256(8 * MIB));
    assert_eq!(immich.aborted_uploads(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_no_byte_of_what_is_under_way_and_closes_tunnels_behind_it() {
    let home = with_grace("60s").await;
    let (address, admin_address) = (home.guard.address, home.guard.admin_address);
    nothing_is_lost(&home.front_door, &home.immich, address, admin_address, async || home.guard.stop()).await;
    assert_eq!(home.drain().await.0, Drained { connections: 0, tunnels: 0 });
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_during_a_drain_is_told_so_and_not_just_cut_off() {
    let home = with_grace("60s").await;
    let mut slow = home.connect().await;
    slow.send(head(&home.front_door, "GET /api/slow") + "\r\n").await;
    home.immich.wait_until("the request that keeps the drain going", |state| state.requests.len() == 1).await;
    let mut silent = home.connect().await;
    let mut half_said = home.connect().await;
    half_said.send("GET /api/server/ping HTTP/1.1\r\nHost: photos").await;
    // Answered on a third connection: both of the others have been handed to a worker before it, or lie before it in its queue.
    for _ in 0..4 {
        let mut after = home.connect().await;
        after.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(after.read_response().await.status, 401);
    }

    home.guard.stop();
    silent.send(head(&home.front_door, "GET /api/server/ping") + "\r\n").await;
    assert_draining(&silent.read_response().await);
    half_said.send(".example.com\r\n\r\n").await;
    assert_draining(&half_said.read_response().await);
    for _ in 0..50 {
        let mut late = home.connect().await;
        late.send(head(&home.front_door, "GET /api/server/ping") + "\r\n").await;
        assert_draining(&late.read_response().await);
        assert_eq!(late.read_to_end().await.0, b"");
    }
    home.immich.release();
    assert_eq!(slow.read_response().await.status, 200);
    assert_eq!(home.drain().await.0, Drained { connections: 0, tunnels: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_its_way_on_a_kept_connection_is_answered() {
    let home = with_grace("60s").await;
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut client = home.connect().await;
        client.send(head(&home.front_door, "GET /api/server/ping") + "\r\n").await;
        assert_eq!(client.read_response().await.status, 200);
        kept.push(client);
    }
    home.guard.stop();
    for client in &mut kept {
        // The drain has begun, and a client cannot know.
        client.send(head(&home.front_door, "GET /api/server/ping") + "\r\n").await;
        assert_draining(&client.read_response().await);
        assert_eq!(client.read_to_end().await.0, b"");
    }
    assert_eq!(home.drain().await.0, Drained { connections: 0, tunnels: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_drain_every_request_is_served_and_is_the_last_one_of_its_connection() {
    // Longer than any test: only the end of the process ends it.
    let home = TestEnvironment::with(|args| args.process.drain_delay = Some("1h".to_owned())).await;
    let ping = head(&home.front_door, "GET /api/server/ping") + "\r\n";
    let mut kept = home.connect().await;
    kept.send(&ping).await;
    assert_eq!(kept.read_response().await.header("connection"), None, "before the signal");
    let mut upload = home.connect().await;
    upload.send(head(&home.front_door, "POST /api/assets") + "Content-Length: 10\r\n\r\nhello").await;
    let token = home.front_door.token_for("ada@example.com");
    let mut tunnel = ws::connect(home.guard.address, Some(&token)).await.unwrap();
    home.immich.wait_until("all of them", |state| state.requests.len() == 3).await;

    home.guard.stop();
    assert_eq!(admin::get(home.guard.admin_address, "/readyz").await.status, 503, "a Service sends new connections elsewhere");
    let mut new = home.connect().await;
    new.send(&ping).await;
    kept.send(&ping).await;
    upload.send("world").await;
    for (client, status) in [(&mut kept, 200), (&mut new, 200), (&mut upload, 201)] {
        let answer = client.read_response().await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        assert_eq!(client.read_to_end().await.0, b"", "closed behind its answer");
    }
    assert_eq!(ws::exchange(&mut tunnel, Message::text("still here?")).await, Message::text("still here?"));
    let mut another = ws::connect(home.guard.address, Some(&token)).await.unwrap();
    assert_eq!(ws::exchange(&mut another, Message::text("new")).await, Message::text("new"), "an upgrade keeps its connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drain_follows_its_delay() {
    let home = TestEnvironment::with(|args| args.process.drain_delay = Some("10ms".to_owned())).await;
    let mut slow = home.connect().await;
    slow.send(head(&home.front_door, "GET /api/slow") + "\r\n").await;
    let mut kept = home.connect().await;
    kept.send(head(&home.front_door, "GET /api/server/ping") + "\r\n").await;
    assert_eq!(kept.read_response().await.status, 200);
    home.immich.wait_until("the request that keeps the drain going", |state| state.requests.len() == 2).await;
    home.guard.stop();
    assert_eq!(kept.read_to_end().await.0, b"", "an unused connection is closed in order");
    loop {
        let mut client = home.connect().await;
        client.send(head(&home.front_door, "GET /api/server/ping") + "\r\n").await;
        let answer = client.read_response().await;
        if answer.status == 200 {
            assert_eq!(answer.header("connection"), Some("close"));
            continue;
        }
        assert_draining(&answer);
        break;
    }
    home.immich.release();
    assert_eq!(slow.read_response().await.status, 200);
    assert_eq!(home.drain().await.0, Drained { connections: 0, tunnels: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_does_not_hold_up_the_drain() {
    let home = with_grace("60s").await;
    let mut silent = [home.connect().await, home.connect().await];
    home.guard.stop();
    for client in &mut silent {
        assert_eq!(client.read_to_end().await.0, b"");
    }
    assert_eq!(home.drain().await.0, Drained { connections: 0, tunnels: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stuck_when_the_grace_is_over_is_cut_and_counted() {
    let home = with_grace("2s").await;
    let mut stuck = home.connect().await;
    stuck.send(head(&home.front_door, "GET /api/slow") + "\r\n").await;
    let mut upload = home.connect().await;
    upload.send(head(&home.front_door, "POST /api/assets") + "Content-Length: 10\r\n\r\nhello").await;
    let mut tunnel = ws::connect(home.guard.address, Some(&home.front_door.token_for("ada@example.com"))).await.unwrap();
    home.immich.wait_until("all of them", |state| state.requests.len() == 3).await;

    home.guard.stop();
    let (drained, immich) = home.drain().await;
    assert_eq!(drained, Drained { connections: 2, tunnels: 0 }, "a tunnel never waits for the end");
    assert!(stuck.try_read_response().await.is_err());
    assert!(upload.try_read_response().await.is_err());
    assert!(!matches!(ws::next(&mut tunnel).await, Some(Ok(_))));
    immich.wait_until("Immich to have half an upload", |state| state.aborted_uploads == 1 && state.stored.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_does_the_same_on_sigterm_and_ends_with_0() {
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    let mut variables = origin_variables(&issuer, &immich.url());
    variables.push(("GUARD_GRACE", "60s".to_owned()));
    let OriginProcess { process: guard, address, admin_address } = OriginProcess::start(GUARD, &variables).await;
    let terminate = async || {
        guard.terminate();
        eventually("the signal to be noticed", || guard.stdout().contains("draining")).await;
    };
    nothing_is_lost(&issuer, &immich, address, admin_address, terminate).await;
    let ended = guard.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let last = ended.stdout.lines().last().unwrap_or_default();
    assert!(last.contains("\"cut_connections\":0") && last.contains("\"cut_tunnels\":0"), "{last}");
}

#[tokio::test]
async fn a_second_sigterm_ends_the_binary_at_once_with_1() {
    let (issuer, immich) = (Issuer::start().await, Immich::start().await);
    // Several: a second signal that comes right behind the first was lost every other time.
    for round in 1..=4 {
        let OriginProcess { process: guard, address, admin_address } =
            OriginProcess::start(GUARD, &origin_variables(&issuer, &immich.url())).await;
        let mut client = RawClient::connect(address).await;
        client.send(head(&issuer, "GET /api/slow") + "\r\n").await;
        immich.wait_until("the request to have come", |state| state.requests.len() == round).await;
        let mut probe = RawClient::connect(admin_address).await;
        guard.terminate();
        // As soon as anyone can know that the first was noticed.
        loop {
            probe.send("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
            if probe.read_response().await.status == 503 {
                break;
            }
        }
        guard.terminate();
        assert_eq!(guard.end().await.code, Some(1), "round {round}");
        assert!(client.try_read_response().await.is_err());
    }
}
