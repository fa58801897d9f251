//! Opens listeners and sets the options of TCP sockets, inbound and outbound: `TCP_NODELAY`, keepalive and the accept backlog.
//!
//! `TCP_USER_TIMEOUT` is not set: it also ends a connection whose peer does not read for a while, for example during a paused video.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// The number of connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The idle time after which the kernel sends a keepalive probe.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Opens a non-blocking listener on `address`, for use with tokio.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The reason why a process cannot start to serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("{variable}: cannot listen on {address}: {error}")]
    Bind {
        /// The environment variable that holds the address.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The front door cannot be set up.
    #[error("{0}")]
    FrontDoor(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A thread or a runtime cannot be created.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Opens a listener on `address`; the error names `variable`, where the address was configured.
pub fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listen(address).map_err(|error| StartError::Bind { variable, address, error })
}

/// Sets the options of a connection. Errors are ignored: a connection works without them.
pub fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4));
}
