//! The HTTP/1.1 server: it accepts connections, calls a [`Handler`] for each request, enforces the timeouts, and drains on SIGTERM.
//!
//! One accept loop distributes connections to the workers in turn. Each worker is one thread with its own runtime. `SO_REUSEPORT` would
//! need no accept loop, but the kernel spreads the few long-lived connections of cloudflared unevenly.

mod chunks;
mod connection;
pub mod connection_state;
pub mod connections;
pub mod drain_counter;
pub mod head;
mod lifecycle;
pub mod sockets;
pub mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::memory::Reservation;
use connection::ConnectionGuard;
use connection_state::ConnectionState;
use connections::Whose;
pub use lifecycle::{Drained, Lifecycle, Phase};

/// The maximum number of connections over the limits that are told so at once. Further ones are closed.
const MAX_REFUSED: usize = 64;
/// How long a connection that is over the limits has to read its 503.
const REFUSED_TIME: Duration = Duration::from_secs(1);
/// The pause after a failed `accept`. The usual cause is that no file descriptors are left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Handles the requests of one worker.
pub trait Handler: Send + Sync + 'static {
    /// The body type of the responses.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Handles one request and returns its response.
    fn answer(
        self: Arc<Self>,
        connection: Arc<ConnectionState>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The complete response, as bytes, to a request head that hyper refuses with this status.
    fn refuse_head(&self, peer: IpAddr, status: u16) -> Vec<u8>;

    /// Does periodic work. Called once a second.
    fn tick(&self);
}

/// A running server, on its own threads. Dropping it starts the drain and does not wait for the end.
pub struct Running {
    /// The address on which it listens.
    pub address: SocketAddr,
    lifecycle: Arc<Lifecycle>,
    /// Taken by [`Running::join`].
    control: Option<JoinHandle<Drained>>,
}

impl Running {
    /// Starts the drain.
    pub fn stop(&self) {
        self.lifecycle.stop();
    }

    /// Waits for the end of the drain and returns what was cut.
    pub fn join(mut self) -> Drained {
        self.control.take().and_then(|control| control.join().ok()).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// A task that runs beside the workers for as long as the process serves.
pub type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts one worker thread for each handler, and a control thread that accepts connections, runs `background`, and drains within
/// `grace` after the delay that follows [`Lifecycle::stop`].
pub fn start<H: Handler>(
    listener: TcpListener,
    grace: Duration,
    lifecycle: &Arc<Lifecycle>,
    handlers: Vec<Arc<H>>,
    background: Vec<Background>,
) -> io::Result<Running> {
    let address = listener.local_addr()?;
    let control_runtime = runtime()?;
    let listener = {
        let _reactor = control_runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let first_handler = handlers.first().cloned();
    let mut senders = Vec::new();
    let mut threads = Vec::new();
    for (number, handler) in handlers.into_iter().enumerate() {
        let (sender, incoming) = mpsc::unbounded_channel();
        senders.push(sender);
        let (runtime, lifecycle) = (runtime()?, lifecycle.clone());
        let work = move || runtime.block_on(work(handler, incoming, lifecycle));
        threads.push(std::thread::Builder::new().name(format!("worker-{number}")).spawn(work)?);
    }
    let shared = lifecycle.clone();
    let control = move || {
        let drained = control_runtime.block_on(async {
            for task in background {
                tokio::spawn(task);
            }
            tokio::select! {
                never = accept(listener, senders, shared.clone(), first_handler) => match never {},
                drained = lifecycle::drain(&shared, grace) => drained,
            }
        });
        for thread in threads {
            // A worker that panicked has already written its message.
            let _ = thread.join();
        }
        drained
    };
    let control = std::thread::Builder::new().name("control".to_owned()).spawn(control)?;
    Ok(Running { address, lifecycle: lifecycle.clone(), control: Some(control) })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// An accepted connection that is passed to a worker. It is a plain socket because the worker's runtime has its own reactor.
struct AcceptedConnection {
    stream: std::net::TcpStream,
    peer: IpAddr,
    reservation: Reservation,
}

async fn accept<H: Handler>(
    listener: tokio::net::TcpListener,
    senders: Vec<mpsc::UnboundedSender<AcceptedConnection>>,
    lifecycle: Arc<Lifecycle>,
    handler: Option<Arc<H>>,
) -> Infallible {
    let mut workers = senders.iter().cycle();
    let refused = Arc::new(tokio::sync::Semaphore::new(MAX_REFUSED));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually no file descriptor is left: idle connections hold some.
                lifecycle.open.evict(Whose::Anyones);
                pause_after(&error).await;
                continue;
            }
        };
        let (Some(sender), peer) = (workers.next(), peer.ip().to_canonical()) else { return std::future::pending().await };
        let Some(reservation) = lifecycle.admit().await else {
            if let (Some(handler), Ok(permit)) = (&handler, refused.clone().try_acquire_owned()) {
                let response = handler.refuse_head(peer, 503);
                tokio::spawn(async move {
                    refuse_connection(stream, &response).await;
                    drop(permit);
                });
            }
            continue;
        };
        match stream.into_std() {
            // A worker that has ended drops the socket: the process is ending too.
            Ok(stream) => drop(sender.send(AcceptedConnection { stream, peer, reservation })),
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Sends a response on a connection that is over the limits, and gives the client a moment to read it.
async fn refuse_connection(mut stream: TcpStream, response: &[u8]) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let sent = async {
        stream.write_all(response).await?;
        stream.shutdown().await?;
        let mut discarded = [0; 1024];
        while stream.read(&mut discarded).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whether the client has read it is not known, and changes nothing.
    let _ = tokio::time::timeout(REFUSED_TIME, sent).await;
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(error = %error, "cannot accept connections, retrying");
    tokio::time::sleep(ACCEPT_BACKOFF).await;
}

async fn work<H: Handler>(handler: Arc<H>, mut incoming: mpsc::UnboundedReceiver<AcceptedConnection>, lifecycle: Arc<Lifecycle>) {
    let mut phase = lifecycle.phase();
    let mut gone = pin!(Phase::Gone.reached(&mut phase));
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            Some(AcceptedConnection { stream, peer, reservation }) = incoming.recv() => match TcpStream::from_std(stream) {
                Ok(stream) => {
                    let guard = ConnectionGuard { _connection: lifecycle.connections.enter(), _reservation: reservation };
                    tokio::spawn(connection::serve(handler.clone(), stream, peer, lifecycle.clone(), guard));
                }
                Err(error) => pause_after(&error).await,
            },
            _ = seconds.tick() => handler.tick(),
            () = &mut gone => return,
        }
    }
}
