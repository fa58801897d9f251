//! SIGTERM to a connector, and to the guard, while requests are under way.

use std::net::SocketAddr;

use testkit::edge::NO_TUNNEL;
use testkit::raw::Response;
use testkit::ws::{self, Message};
use testkit::{Issuer, RawClient, noise};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connector::Connector;
use crate::{Chain, StorySetup, head, open};
use testkit::admin;
use testkit::wait::eventually;

const MIB: u64 = 1024 * 1024;
/// Clients under load, each with a connection of its own.
const CLIENTS: usize = 8;

pub(crate) async fn a_connector_that_leaves_finishes_what_is_under_way(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let asset = noise::bytes(0, 8 * MIB);
    let half = asset.len() / 2;
    let mut upload = chain.connect().await;
    upload.send(chain.head("POST /api/assets", &format!("Content-Length: {}\r\n\r\n", asset.len()))).await;
    upload.send(&asset[..half]).await;
    let mut slow = chain.connect().await;
    slow.send(chain.head("GET /api/slow", "\r\n")).await;
    // More than all windows and sockets on the way can hold.
    let mut download = chain.connect().await;
    download.send(chain.head(&format!("GET /api/assets/1/original?size={}", 64 * MIB), "\r\n")).await;
    download.read_head().await;
    let mut downloaded = download.read_exact(1_000).await;
    let mut socket =
        ws::connect(chain.edge.front(), Some(&chain.environment.front_door.token_for("ada@example.com"))).await.unwrap();
    chain.environment.immich.wait_until("all of them", |state| state.requests.len() == 4).await;

    chain.connector.process.terminate();
    chain.edge.wait_for_tunnels(0).await;
    let mut late = chain.connect().await;
    late.send(chain.head("GET /api/server/ping", "\r\n")).await;
    assert_eq!(late.read_response().await.status, NO_TUNNEL, "with one connector there is nobody for new requests");

    assert_eq!(ws::exchange(&mut socket, Message::text("still here?")).await, Message::text("still here?"));
    upload.send(&asset[half..]).await;
    assert_eq!(upload.read_response().await.status, 201);
    chain.environment.immich.release();
    assert_eq!(slow.read_response().await.status, 200);
    downloaded.extend(download.read_exact(64 * 1024 * 1024 - downloaded.len()).await);
    assert!(downloaded == noise::bytes(0, 64 * MIB));
    drop(socket);
    chain.connector.end().await;
    assert_eq!(chain.environment.immich.stored()[0].sha256, noise::sha256(8 * MIB));
    assert_eq!(chain.environment.immich.aborted_uploads(), 0);
}

pub(crate) async fn no_request_is_lost_when_a_connector_is_replaced(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let load = Load::start(chain.edge.front(), &chain.environment.front_door);
    load.wait_for(4 * CLIENTS).await;
    // As the Deployment rolls: the new one is connected before the old one leaves.
    let successor = Connector::start(chain.setup.which, &chain.setup.sandbox, &chain.edge, 1);
    chain.edge.wait_for_tunnels(2).await;
    chain.connector.process.terminate();
    chain.connector.end().await;
    load.wait_for(4 * CLIENTS).await;
    let answers = load.stop().await;
    assert!(answers.iter().all(|answer| answer.status / 100 == 2), "{:?}", tally(&answers));
    assert_eq!(chain.environment.immich.aborted_uploads(), 0);
    drop(successor);
}

pub(crate) async fn a_guard_that_drains_loses_nothing_and_its_successor_is_found(setup: StorySetup) {
    let chain = Chain::with(setup, &[("GUARD_GRACE", "60s")]).await;
    let mut slow = chain.connect().await;
    slow.send(chain.head("GET /api/slow", "\r\n")).await;
    let load = Load::start(chain.edge.front(), &chain.environment.front_door);
    load.wait_for(4 * CLIENTS).await;

    chain.environment.guard.process.terminate();
    eventually("the signal to be noticed", || chain.environment.guard.process.stdout().contains("draining")).await;
    assert_eq!(admin::get(chain.environment.guard.admin_address, "/readyz").await.status, 503);
    // What keeps the drain open is the slow request: all of these come in the midst of it.
    load.wait_for(4 * CLIENTS).await;
    let answers = load.stop().await;
    for answer in &answers {
        let draining = answer.status == 503 && answer.header("guard-refusal") == Some("not-ready");
        // cloudflared makes a 502 of a connection that closes under a request, and tries none again: not even a GET.
        assert!(answer.status / 100 == 2 || draining, "{:?}: {answer:?}", tally(&answers));
    }
    assert!(answers.iter().any(|answer| answer.status == 503), "{:?}", tally(&answers));
    chain.environment.immich.release();
    assert_eq!(slow.read_response().await.status, 200);
    let ended = chain.environment.guard.process.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(chain.environment.immich.aborted_uploads(), 0);

    if let crate::sandbox::Sandbox::Pod = chain.setup.sandbox {
        let mut client = RawClient::connect(chain.edge.front()).await;
        client.send(head(&chain.environment.front_door, "GET /api/server/ping", "\r\n")).await;
        let answer = client.read_response().await;
        assert_eq!(answer.status, 502, "nobody listens");
        assert_eq!(answer.header("cf-cloudflared-response-meta"), Some(r#"{"src":"cloudflared"}"#), "{answer:?}");
        let _successor = open(&chain.setup, &chain.environment.front_door, &chain.environment.immich, &[]).await;
        client.send(head(&chain.environment.front_door, "GET /api/server/ping", "\r\n")).await;
        assert_eq!(client.read_response().await.status, 200, "the connector finds the new guard by itself");
    }
}

/// Clients that each send one request after the other: uploads of both framings and downloads.
struct Load {
    clients: JoinSet<Vec<Response>>,
    answered: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
}

impl Load {
    fn start(front: SocketAddr, issuer: &Issuer) -> Self {
        let (count, answered) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let body = String::from_utf8(vec![b'x'; 20_000]).unwrap();
        let requests = [
            head(issuer, "GET /api/assets/1/original?size=200000", "\r\n"),
            head(issuer, "POST /api/assets", &format!("Content-Length: 20000\r\n\r\n{body}")),
            head(issuer, "POST /api/assets", &format!("Transfer-Encoding: chunked\r\n\r\n4e20\r\n{body}\r\n0\r\n\r\n")),
        ];
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (requests, count, stopped) = (requests.clone(), count.clone(), stopped.clone());
            clients.spawn(async move {
                let mut client = RawClient::connect(front).await;
                let mut answers = Vec::new();
                for request in requests.iter().cycle().skip(number) {
                    client.send(request).await;
                    let mut answer = client.read_response().await;
                    assert!(answer.complete, "{answer:?}");
                    answer.body.clear();
                    answers.push(answer);
                    count.send_modify(|count| *count += 1);
                    if *stopped.borrow() {
                        break;
                    }
                }
                answers
            });
        }
        Self { clients, answered, stop }
    }

    /// Waits until so many more requests have been answered.
    async fn wait_for(&self, more: usize) {
        let mut answered = self.answered.clone();
        let goal = *answered.borrow() + more;
        let met = tokio::time::timeout(std::time::Duration::from_secs(30), answered.wait_for(|count| *count >= goal)).await;
        assert!(met.is_ok_and(|met| met.is_ok()), "{goal} answers, {} came", *self.answered.borrow());
    }

    /// Every answer.
    async fn stop(self) -> Vec<Response> {
        self.stop.send_replace(true);
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

/// How often each status came, and from whom.
fn tally(answers: &[Response]) -> std::collections::BTreeMap<String, usize> {
    let mut tally = std::collections::BTreeMap::new();
    for answer in answers {
        let source = answer.header("cf-cloudflared-response-meta").unwrap_or("the edge");
        *tally.entry(format!("{} of {source}", answer.status)).or_default() += 1;
    }
    tally
}
