//! A pool of connections to one upstream, for one worker. It uses the most recent connection first, and sends a request again only if
//! nothing of it was written.
//!
//! The upstream is Immich (plain HTTP) for inbound requests, a backend (TLS) for outbound requests, or an auth server. It is guard's own
//! code instead of `hyper_util::client::legacy` for two reasons: the pool of one worker needs no contended lock; and a [`Lease`] that is
//! dropped early must close its connection at once, so that Immich sees an aborted message and not a slow one.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::Authority;
use crate::serve::sockets;
use crate::telemetry::metrics::Metrics;
use crate::tls::Tls;

/// The maximum number of idle connections in the pool of one worker.
pub const MAX_IDLE: usize = 256;
/// The size of the read buffer of one connection, in bytes. It also bounds the memory of one transfer.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// The reason why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The upstream was not reached.
    #[error("{upstream} not reached: {error}")]
    Connect {
        /// The address of the upstream.
        upstream: Authority,
        /// The error of the operating system or of TLS.
        error: std::io::Error,
    },
    /// The connection, its TLS handshake included, was not open in time.
    #[error("{upstream} not reached within {limit:?}")]
    Timeout {
        /// The address of the upstream.
        upstream: Authority,
        /// The time limit, such as `GUARD_UPSTREAM_TIMEOUT`.
        limit: Duration,
    },
    /// The connection was lost before the head of the response.
    #[error("{upstream} broke off before an answer: {error}")]
    Exchange {
        /// The address of the upstream.
        upstream: Authority,
        /// The error of the HTTP client.
        error: hyper::Error,
    },
}

/// The address of an upstream, and how to connect to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host and port of the upstream.
    pub authority: Authority,
    /// The TLS settings; none for plain HTTP.
    pub tls: Option<Tls>,
    /// The time limit to open a connection, TLS handshake included.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept. It must be less than the upstream's own limit, so that no request is sent on a connection that
    /// the upstream is closing.
    pub idle_limit: Duration,
}

/// The pool of connections of one worker, for requests with bodies of type `B`.
pub struct Upstream<B> {
    target: Target,
    idle: Mutex<Vec<Idle<B>>>,
    metrics: Arc<Metrics>,
}

struct Connection<B> {
    sender: SendRequest<B>,
    /// A second descriptor of the socket, to look at it while it is idle; none with TLS, where a session ticket may arrive at any time.
    probe: Option<Socket>,
    task: Task,
}

/// The task that reads and writes one connection. Dropping this aborts the task and closes the socket.
struct Task(Option<AbortHandle>);

struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

/// A connection that is in use for one exchange. [`Lease::finish`] returns it to the pool; dropping it closes the connection.
pub struct Lease<B> {
    connection: Option<Connection<B>>,
    pool: Arc<Upstream<B>>,
}

impl<B> Upstream<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Creates an empty pool.
    pub fn new(target: Target, metrics: Arc<Metrics>) -> Self {
        Self { target, idle: Mutex::default(), metrics }
    }

    /// Sends a request and waits, without a time limit, for the head of the response. The request is sent again only if nothing of it was
    /// written because a pooled connection was already closed.
    pub async fn send(self: &Arc<Self>, mut request: Request<B>) -> Result<(Response<Incoming>, Lease<B>), UpstreamError> {
        loop {
            let (connection, reused) = match self.take_idle().await {
                Some(connection) => (connection, true),
                None => (self.dial().await?, false),
            };
            // The lease exists before the request is sent, so that dropping this future closes the connection.
            let mut lease = Lease { connection: Some(connection), pool: self.clone() };
            let Some(connection) = lease.connection.as_mut() else { continue };
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, lease)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => {
                        self.metrics.upstream_errors.retried.inc();
                        request = unsent;
                    }
                    _ => {
                        return Err(self.exchange_error(error.into_error()));
                    }
                },
            }
        }
    }

    /// Closes connections that have been idle for too long. The worker calls it periodically.
    pub fn sweep(&self) {
        self.idle().retain(|idle| idle.since.elapsed() < self.target.idle_limit && !idle.connection.sender.is_closed());
    }

    async fn take_idle(&self) -> Option<Connection<B>> {
        loop {
            let Idle { mut connection, since } = self.idle().pop()?;
            // A connection that was just returned may need a moment to become ready; a closed one returns an error here.
            if since.elapsed() < self.target.idle_limit && connection.is_silent() && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn dial(&self) -> Result<Connection<B>, UpstreamError> {
        let Target { authority, tls, connect_timeout, .. } = &self.target;
        let connect = async {
            let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
            sockets::tune(&stream);
            if let Some(tls) = tls {
                return Ok(self.handshake(tls.over(stream).await?, None).await);
            }
            let probe = Socket::from(stream.as_fd().try_clone_to_owned()?);
            Ok(self.handshake(stream, Some(probe)).await)
        };
        match tokio::time::timeout(*connect_timeout, connect).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                self.metrics.upstream_errors.connect.inc();
                Err(UpstreamError::Connect { upstream: authority.clone(), error })
            }
            Err(_) => {
                self.metrics.upstream_errors.timeout.inc();
                Err(UpstreamError::Timeout { upstream: authority.clone(), limit: *connect_timeout })
            }
        }
    }

    async fn handshake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        probe: Option<Socket>,
    ) -> Result<Connection<B>, UpstreamError> {
        let handshake = http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| self.exchange_error(error))?;
        // The result of the task is dropped: the caller that waits for a response gets the error.
        let task = tokio::spawn(async move { drop(connection.with_upgrades().await) }).abort_handle();
        Ok(Connection { sender, probe, task: Task(Some(task)) })
    }

    fn exchange_error(&self, error: hyper::Error) -> UpstreamError {
        self.metrics.upstream_errors.exchange.inc();
        UpstreamError::Exchange { upstream: self.target.authority.clone(), error }
    }
}

impl<B> Upstream<B> {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Connection<B> {
    /// Whether nothing has arrived on the idle connection. A byte that an upstream sends behind its response would be the beginning of the next
    /// one, which may be another person's (RFC 9112, 9.2: such a connection must not be used).
    fn is_silent(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let Some(probe) = &self.probe else { return true };
        probe.peek(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

impl<B> Lease<B> {
    /// Ends the exchange. `reusable`: the request and the response are complete, so the connection may return to the pool.
    pub fn finish(mut self, reusable: bool) {
        if reusable
            && let Some(connection) = self.connection.take()
            && !connection.sender.is_closed()
        {
            let mut idle = self.pool.idle();
            if idle.len() < MAX_IDLE {
                idle.push(Idle { connection, since: Instant::now() });
            }
        }
    }

    /// Releases a connection that became a tunnel. Its task ends by itself after the upgrade.
    pub fn detach(mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.task.0 = None;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use hyper::body::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_on_which_something_arrived_unasked_is_never_used_again() {
        for stray in [&b""[..], b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let authority = Authority { host: "127.0.0.1".to_owned(), port };
            let (connect_timeout, idle_limit) = (Duration::from_secs(5), Duration::from_secs(60));
            let target = Target { authority, tls: None, connect_timeout, idle_limit };
            let pool = Arc::new(Upstream::<Empty<Bytes>>::new(target, Arc::new(Metrics::new())));
            let (sent, accepted) =
                tokio::join!(pool.send(Request::builder().uri("/").header("host", "a").body(Empty::new()).unwrap()), async {
                    let mut stream = listener.accept().await.unwrap().0;
                    let mut head = [0; 1024];
                    let _ = stream.read(&mut head).await.unwrap();
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    stream
                });
            sent.unwrap().1.finish(true);
            assert_eq!(pool.idle().len(), 1);
            // Without a pause in which hyper could see it: the socket is written to, and the connection is taken at once.
            let mut upstream = accepted.into_std().unwrap();
            std::io::Write::write_all(&mut upstream, stray).unwrap();
            assert_eq!(pool.take_idle().await.is_some(), stray.is_empty(), "{stray:?}");
        }
    }
}
