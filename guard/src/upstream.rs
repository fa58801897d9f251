//! Connections to one upstream: one small pool a worker, newest first, and the one safe retry. Immich in the clear on the way in, a
//! backend over TLS on the way out, an auth server beside the way in.
//!
//! Own code instead of `hyper_util::client::legacy`: a pool that is a worker's own needs no lock that anyone waits for, and a lease
//! that ends early must cut its connection at once, so that Immich sees a broken message and not a slow one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::Authority;
use crate::serve::sockets;
use crate::telemetry::metrics::Metrics;
use crate::tls::Tls;

/// The most idle connections that one worker keeps.
pub const MAX_IDLE: usize = 256;
/// The read buffer of one connection, in bytes: also what a transfer may hold in memory.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not reached.
    #[error("{upstream} not reached: {error}")]
    Connect {
        /// Where.
        upstream: Authority,
        /// What the system said.
        error: std::io::Error,
    },
    /// Not reached in time, its proof of who it is included.
    #[error("{upstream} not reached within {limit:?}")]
    Timeout {
        /// Where.
        upstream: Authority,
        /// `GUARD_UPSTREAM_TIMEOUT`.
        limit: Duration,
    },
    /// Reached, and broke off before an answer.
    #[error("{upstream} broke off before an answer: {error}")]
    Exchange {
        /// Where.
        upstream: Authority,
        /// What hyper said.
        error: hyper::Error,
    },
}

/// Who is asked, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub authority: Authority,
    /// None: in the clear.
    pub tls: Option<Tls>,
    /// To open a connection.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept: less than the other side keeps it, so that no request meets a closing connection.
    pub idle_limit: Duration,
}

/// The pool of one worker, for requests with bodies of type `B`.
pub struct Upstream<B> {
    target: Target,
    idle: Mutex<Vec<Idle<B>>>,
    metrics: Arc<Metrics>,
}

struct Connection<B> {
    sender: SendRequest<B>,
    task: Task,
}

/// The task that moves a connection's bytes: it ends, and the socket closes, when nobody holds the connection any more.
struct Task(Option<AbortHandle>);

struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

/// A connection that is carrying one exchange. Given back with [`Lease::finish`]; dropped early it is cut.
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
    /// An empty pool.
    pub fn new(target: Target, metrics: Arc<Metrics>) -> Self {
        Self { target, idle: Mutex::default(), metrics }
    }

    /// Sends a request and waits for the head of the answer, without limit of time. Sent again only where nothing was written: a
    /// pooled connection turned out to be closed.
    pub async fn send(self: &Arc<Self>, mut request: Request<B>) -> Result<(Response<Incoming>, Lease<B>), UpstreamError> {
        loop {
            let (connection, reused) = match self.take_idle().await {
                Some(connection) => (connection, true),
                None => (self.dial().await?, false),
            };
            // A lease from the start: whoever drops this future cuts the connection.
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
                        return Err(self.broke_off(error.into_error()));
                    }
                },
            }
        }
    }

    /// Closes what has been idle for too long. Called now and then by the worker.
    pub fn sweep(&self) {
        self.idle().retain(|idle| idle.since.elapsed() < self.target.idle_limit && !idle.connection.sender.is_closed());
    }

    async fn take_idle(&self) -> Option<Connection<B>> {
        loop {
            let Idle { mut connection, since } = self.idle().pop()?;
            // Given back at the end of the answer, it may still have to notice that; where it was closed instead, it errs here.
            if since.elapsed() < self.target.idle_limit && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn dial(&self) -> Result<Connection<B>, UpstreamError> {
        let Target { authority, tls, connect_timeout, .. } = &self.target;
        let connect = async {
            let stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
            sockets::tune(&stream);
            match tls {
                Some(tls) => Ok(self.speak(tls.over(stream).await?).await),
                None => Ok(self.speak(stream).await),
            }
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

    async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection<B>, UpstreamError> {
        let handshake = http1::Builder::new().max_buf_size(BUFFER_BYTES).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| self.broke_off(error))?;
        // How it ends is told to whoever waits for an answer on it.
        let task = tokio::spawn(async move { drop(connection.with_upgrades().await) }).abort_handle();
        Ok(Connection { sender, task: Task(Some(task)) })
    }

    fn broke_off(&self, error: hyper::Error) -> UpstreamError {
        self.metrics.upstream_errors.exchange.inc();
        UpstreamError::Exchange { upstream: self.target.authority.clone(), error }
    }
}

impl<B> Upstream<B> {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Lease<B> {
    /// The exchange is over. `reusable`: both messages have passed whole.
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

    /// The connection became a tunnel: its task ends by itself when it has handed the socket over.
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
