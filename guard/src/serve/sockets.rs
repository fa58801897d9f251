//! Sockets as guard wants them, on both sides: no delay, dead peers noticed, room in the queue.
//!
//! `TCP_USER_TIMEOUT` is left alone: it also ends a connection whose peer reads nothing for a while, and that is a paused video.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel asks whether an idle peer still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A listener that is ready to be handed to tokio.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Why a process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("{variable}: cannot listen on {address}: {error}")]
    Bind {
        /// The variable that names the address.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The front door cannot be opened.
    #[error("{0}")]
    FrontDoor(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Threads or a runtime could not be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A listener on the address that `variable` names.
pub fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listen(address).map_err(|error| StartError::Bind { variable, address, error })
}

/// Sets what a connection needs. A socket that refuses an option works all the same.
pub fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}
