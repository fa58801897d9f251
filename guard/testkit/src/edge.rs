//! A stand-in for Cloudflare's edge: requests of a test enter by HTTP/1.1, go down the tunnel that a connector has dialled, and the
//! connector's answers leave.
//!
//! cloudflared dials the edge by TLS and is then the HTTP/2 *server* on that connection; the edge is the client. What is known of
//! the protocol is in cloudflared's own `connection` package; Cloudflare's side is not public, so this is its mirror image:
//!
//! | step | on the wire |
//! |---|---|
//! | dial | TLS, server name `h2.cftunnel.com`, no ALPN |
//! | register | a stream with `Cf-Cloudflared-Proxy-Connection-Upgrade: control-stream`, Cap'n Proto inside |
//! | request | a stream each; fields as an edge sets them |
//! | WebSocket | `Cf-Cloudflared-Proxy-Connection-Upgrade: websocket`; a 200 means 101 |
//! | answer | the origin's fields in `cf-cloudflared-response-headers`: base64 `name:value` joined by `;` |
//! | leave | the control stream ends; no new request goes there, and the last answer closes the connection |
//!
//! Hostnames are told apart where a test wants it ([`Edge::route`]): the testkit's connector names its tunnel in its answer to the control stream.
//! The real one does so inside its registration, which is not read: with it, every connection takes every hostname.
//!
//! Nothing is buffered: a body moves as fast as its slower side.

mod certificate;
mod fields;
mod front;
mod registration;
mod tunnel;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::deadline::{CONDITION, within};
use crate::server::{ANY_PORT, Server};

/// The only client that this edge has: the address in `CF-Connecting-IP`, of a range for documentation (RFC 5737).
pub const CLIENT: &str = "203.0.113.7";
/// The edge's own: no connector is there (Cloudflare's error 1033).
pub const NO_TUNNEL: u16 = 530;
/// The edge's own: the tunnel broke before an answer. A 502 is always cloudflared's or the guard's.
pub const TUNNEL_BROKE: u16 = 520;

/// The stand-in. It stops, and its connections break, when it is dropped.
#[derive(Debug)]
pub struct Edge {
    shared: Arc<Shared>,
    tunnels: Server,
    front: Server,
    authority: String,
}

/// What both sides of the edge share.
#[derive(Debug, Default)]
struct Shared {
    usable: watch::Sender<Vec<Usable>>,
    serial: AtomicU64,
    /// Hostnames that belong to one tunnel, as a DNS record says it.
    routes: Mutex<Vec<(String, String)>>,
}

/// A connection that takes requests.
#[derive(Clone, Debug)]
struct Usable {
    id: u64,
    /// The tunnel, where the connector names it.
    tunnel: Option<String>,
    requests: SendRequest<Bytes>,
}

impl Edge {
    /// Starts with an authority of its own, on free ports.
    pub async fn start() -> Self {
        Self::over(TcpListener::bind(ANY_PORT).await.expect("a loopback port can be bound")).await
    }

    /// The same, but connectors dial this listener.
    pub async fn over(connectors: TcpListener) -> Self {
        let shared = Arc::new(Shared::default());
        let certificate = certificate::issue();
        let acceptor = certificate.acceptor;
        let all = Arc::clone(&shared);
        let tunnels = Server::over(connectors, move |stream| tunnel::serve(stream, acceptor.clone(), Arc::clone(&all)));
        let all = Arc::clone(&shared);
        let front = Server::start(ANY_PORT, move |stream| front::serve(stream, Arc::clone(&all))).await;
        Self { shared, tunnels, front, authority: certificate.authority }
    }

    /// Where clients send their requests, by plain HTTP/1.1.
    pub fn front(&self) -> SocketAddr {
        self.front.address()
    }

    /// Where connectors dial, by TLS.
    pub fn address(&self) -> SocketAddr {
        self.tunnels.address()
    }

    /// The certificate of the authority that vouches for it, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// From now on requests for this host go to this tunnel, and no others do: what `cloudflared tunnel route dns` makes.
    pub fn route(&self, host: &str, tunnel: &str) {
        self.shared.routes.lock().unwrap().push((host.to_owned(), tunnel.to_owned()));
    }

    /// Waits until exactly so many connections take requests; panics after 10 s.
    pub async fn wait_for_tunnels(&self, count: usize) {
        let mut usable = self.shared.usable.subscribe();
        let what = format!("{count} tunnels, {} there", usable.borrow().len());
        within(CONDITION, &what, usable.wait_for(|usable| usable.len() == count)).await.expect("the edge is alive");
    }
}

impl Shared {
    fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The connections for a host take turns.
    fn choose(&self, host: &str) -> Option<Usable> {
        let turn = usize::try_from(self.next()).expect("fewer requests than memory");
        let routes = self.routes.lock().unwrap();
        let wanted = routes.iter().find(|(name, _)| name == host).map(|(_, tunnel)| tunnel);
        let takes = |usable: &&Usable| match (&usable.tunnel, wanted) {
            (None, _) => true,
            (Some(tunnel), Some(wanted)) => tunnel == wanted,
            (Some(tunnel), None) => routes.iter().all(|(_, routed)| routed != tunnel),
        };
        let usable = self.usable.borrow();
        let usable: Vec<_> = usable.iter().filter(takes).collect();
        usable.get(turn % usable.len().max(1)).copied().cloned()
    }
}
