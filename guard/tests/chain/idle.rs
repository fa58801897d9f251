//! Connections between the connector and the guard that nobody used for a minute.
//!
//! cloudflared keeps them for 90 s and has no flag for less that would still be the file that we ship; guard keeps them for 120 s. So
//! real time passes here, and the story runs only with `--include-ignored`.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::RawClient;

use crate::sandbox::Sandbox;
use crate::{Chain, StorySetup, shipped};

const IDLE: Duration = Duration::from_secs(65);
const CONNECTIONS: usize = 6;

pub(crate) async fn connections_are_used_again_after_a_minute(setup: StorySetup) {
    let chain = Chain::start(setup).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = chain.connect().await;
        client.send(chain.head("GET /api/slow", "\r\n")).await;
        clients.push(client);
    }
    chain.environment.immich.wait_until("all of them at once", |state| state.requests.len() == CONNECTIONS).await;
    chain.environment.immich.release();
    answered(&mut clients, 200).await;
    let before = connections(&chain.setup.sandbox);
    // What is tested is the time itself.
    tokio::time::sleep(IDLE).await;
    // A POST is what nobody may send twice: one on a connection that has just been closed becomes a 502.
    for client in &mut clients {
        client.send(chain.head("POST /api/assets", "Content-Length: 5\r\n\r\nhello")).await;
    }
    answered(&mut clients, 201).await;
    if let (Some(before), Some(after)) = (before, connections(&chain.setup.sandbox)) {
        assert_eq!((before.len(), &after), (CONNECTIONS, &before), "the same connections");
    }
}

async fn answered(clients: &mut [RawClient], status: u16) {
    for client in clients {
        let answer = client.read_response().await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// The connector's ports of its connections to the guard (`proc_net_tcp`); unknown where others use the same network.
fn connections(site: &Sandbox) -> Option<BTreeSet<u16>> {
    const ESTABLISHED: &str = "01";
    let Sandbox::Pod = site else { return None };
    let (_, guard) = shipped::origin();
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("the pod's sockets");
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let sockets = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote, state) = (port(columns.next()?)?, port(columns.next()?)?, columns.next()?);
        (local == guard && state == ESTABLISHED).then_some(remote)
    });
    Some(sockets.collect())
}
