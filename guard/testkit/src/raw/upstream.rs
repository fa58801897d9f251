//! Connections of the guard enter, each goes to the test: it sees the very bytes that the guard writes and answers with any bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::RawConn;
use crate::deadline::SOCKET_STEP;
use crate::server::ANY_PORT;

/// A listening socket without a server behind it. It closes when it is dropped.
#[derive(Debug)]
pub struct RawUpstream {
    listener: TcpListener,
}

impl RawUpstream {
    /// Listens on a free port.
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind(ANY_PORT).await.expect("a loopback port can be bound") }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket has an address")
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The next connection; panics when none comes in 20 s.
    pub async fn accept(&self) -> RawConn {
        self.accept_within(SOCKET_STEP).await.expect("somebody connects")
    }

    /// The next connection, or none when nobody connects for so long.
    pub async fn accept_within(&self, patience: Duration) -> Option<RawConn> {
        let (stream, _) = tokio::time::timeout(patience, self.listener.accept()).await.ok()?.expect("a connection is accepted");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Some(RawConn::over(stream))
    }

    /// The address of a port where nobody listens: every connection is refused.
    pub async fn nowhere() -> SocketAddr {
        Self::start().await.addr()
    }
}
