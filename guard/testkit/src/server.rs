//! An address and a handler enter, a TCP server leaves: it accepts until its handle is dropped, and then its connections die with it.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Any free port of the loopback interface.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Binds `listen` and gives every accepted connection to `serve`.
    pub(crate) async fn start<S, F>(listen: SocketAddr, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::over(TcpListener::bind(listen).await.expect("a loopback port can be bound"), serve)
    }

    /// Gives every connection that this listener accepts to `serve`.
    pub(crate) fn over<S, F>(listener: TcpListener, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = tokio::spawn(accept(listener, serve));
        Self { address, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops and returns only when the port is closed and every connection is gone.
    pub(crate) async fn stop(mut self) {
        self.accepting.abort();
        // Cancelled is what was asked for; a panic of the accept loop has already been printed.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<S, F>(listener: TcpListener, serve: S)
where
    S: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone again before it is accepted is no event.
                if let Ok((stream, _)) = accepted {
                    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
                    connections.spawn(serve(stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A listener on a free port of loopback, not blocking.
pub(crate) fn loopback() -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
