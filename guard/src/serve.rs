//! Listener, workers, timeouts, drain: sockets in, calls of a [`Handler`] out.
//!
//! One accept loop senders connections out in turn, each worker is one thread with a runtime of its own. `SO_REUSEPORT` would do the
//! same without the sender-over, but the kernel spreads the few long-lived connections of cloudflared unevenly.

pub mod drain_counter;
pub mod head;
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
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use drain_counter::{DrainCounter, DrainGuard};
use wire::{ConnectionState, Wire};

/// The most connections at once, tunnels included; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 8192;
/// How long a connection may idle between requests. cloudflared keeps its own for 90 s; below that, a request could meet our FIN and
/// become a 502 (cloudflared's `keepAliveTimeout`).
pub const IDLE_TIME: Duration = Duration::from_secs(120);
/// The largest head, in bytes: the edge carries 32 KB of headers and a URL of 16 KB. Also what a body may hold in a buffer.
pub const HEAD_BYTES: usize = 64 * 1024;
/// The pause after an accept that failed: out of file descriptors, most likely.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long a connection may still ask once the drain has begun: what was on its way gets a refusal. Also one that has request_started before:
/// to cloudflared a connection that closes under a request is a 502, and it sends neither an upload nor a GET a second time.
const DRAIN_IDLE_TIME: Duration = Duration::from_secs(1);
/// How long before the end of the grace tunnels are closed, where requests take all of it.
const TUNNEL_MARGIN: Duration = Duration::from_secs(2);

/// Where the process stands. Order matters: later is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are served.
    Serving,
    /// No new requests; those under way finish.
    Draining,
    /// Tunnels close.
    ClosingTunnels,
    /// Whatever is left is cut.
    Gone,
}

impl Phase {
    /// Waits until the process stands here, or later.
    pub async fn reached(self, phase: &mut watch::Receiver<Self>) {
        // No sender means that the process is past every phase.
        let _ = phase.wait_for(|now| *now >= self).await;
    }
}

/// What answers requests: one a worker.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request.
    fn answer(
        self: Arc<Self>,
        connection: Arc<ConnectionState>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The whole answer to a head that hyper would have refused with this status, as bytes.
    fn refuse_head(&self, peer: IpAddr, status: u16) -> Vec<u8>;

    /// Called every second.
    fn tick(&self);
}

/// The life of one process, shared by all of its parts.
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    stop: Notify,
    connections: DrainCounter,
    /// Open tunnels: they are no connections any more, and are drained last.
    pub tunnels: DrainCounter,
}

impl Lifecycle {
    /// Serving, with nobody inside.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Serving),
            stop: Notify::new(),
            connections: DrainCounter::default(),
            tunnels: DrainCounter::default(),
        })
    }

    /// The phase, to look at or to wait for.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Starts the drain. Calling it again changes nothing.
    pub fn stop(&self) {
        // Not ready at once: the signal's handler is what a readiness probe must see first.
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining;
            }
            serving
        });
        self.stop.notify_one();
    }

    fn advance(&self, next: Phase) {
        self.phase.send_replace(next);
    }
}

/// What a drain had to cut when its grace was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections with a request under way.
    pub connections: i64,
    /// Tunnels.
    pub tunnels: i64,
}

/// A process that serves, on threads of its own.
pub struct Running {
    /// Where it serves.
    pub address: SocketAddr,
    lifecycle: Arc<Lifecycle>,
    control: JoinHandle<Drained>,
}

impl Running {
    /// Starts the drain.
    pub fn stop(&self) {
        self.lifecycle.stop();
    }

    /// Waits for the end of the drain.
    pub fn join(self) -> Drained {
        self.control.join().unwrap_or_default()
    }
}

/// A task that runs beside the workers for as long as the process serves.
pub type Background = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts a thread for every handler and one that accepts, runs `background`, and drains within `grace` when told to stop.
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
                never = accept(listener, senders) => match never {},
                drained = drain(&shared, grace) => drained,
            }
        });
        for thread in threads {
            // A worker that panicked has already said so.
            let _ = thread.join();
        }
        drained
    };
    let control = std::thread::Builder::new().name("control".to_owned()).spawn(control)?;
    Ok(Running { address, lifecycle: lifecycle.clone(), control })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// A connection on its way to a worker: a bare socket, since the worker's runtime has a reactor of its own.
struct AcceptedConnection {
    stream: std::net::TcpStream,
    peer: IpAddr,
    permit: OwnedSemaphorePermit,
}

async fn accept(listener: tokio::net::TcpListener, senders: Vec<mpsc::UnboundedSender<AcceptedConnection>>) -> Infallible {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut turn = senders.iter().cycle();
    loop {
        let (Ok(permit), Some(sender)) = (permits.clone().acquire_owned().await, turn.next()) else {
            return std::future::pending().await;
        };
        match listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            // A worker that is gone drops the socket: the process is ending.
            Ok((stream, peer)) => drop(sender.send(AcceptedConnection { stream, peer: peer.ip().to_canonical(), permit })),
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(error = %error, "cannot accept connections for a moment");
    tokio::time::sleep(ACCEPT_BACKOFF).await;
}

async fn drain(lifecycle: &Lifecycle, grace: Duration) -> Drained {
    lifecycle.stop.notified().await;
    let began = Instant::now();
    tracing::info!(connections = lifecycle.connections.count(), tunnels = lifecycle.tunnels.count(), "draining");
    let requests_until = began + grace.saturating_sub(TUNNEL_MARGIN.min(grace / 4));
    let _ = timeout_at(requests_until, lifecycle.connections.none()).await;
    lifecycle.advance(Phase::ClosingTunnels);
    let _ = timeout_at(began + grace, async {
        lifecycle.connections.none().await;
        lifecycle.tunnels.none().await;
    })
    .await;
    let left = Drained { connections: lifecycle.connections.count(), tunnels: lifecycle.tunnels.count() };
    lifecycle.advance(Phase::Gone);
    tracing::info!(cut_connections = left.connections, cut_tunnels = left.tunnels, "drained");
    left
}

async fn work<H: Handler>(handler: Arc<H>, mut incoming: mpsc::UnboundedReceiver<AcceptedConnection>, lifecycle: Arc<Lifecycle>) {
    let mut phase = lifecycle.phase();
    let mut gone = pin!(Phase::Gone.reached(&mut phase));
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            Some(AcceptedConnection { stream, peer, permit }) = incoming.recv() => match TcpStream::from_std(stream) {
                Ok(stream) => {
                    let guard = ConnectionGuard { _connection: lifecycle.connections.enter(), _permit: permit };
                    tokio::spawn(connection(handler.clone(), stream, peer, lifecycle.phase(), guard));
                }
                Err(error) => pause_after(&error).await,
            },
            _ = seconds.tick() => handler.tick(),
            () = &mut gone => return,
        }
    }
}

/// What a connection holds until it ends.
struct ConnectionGuard {
    _connection: DrainGuard,
    _permit: OwnedSemaphorePermit,
}

async fn connection<H: Handler>(
    handler: Arc<H>,
    stream: TcpStream,
    peer: IpAddr,
    mut phase: watch::Receiver<Phase>,
    _guard: ConnectionGuard,
) {
    sockets::tune(&stream);
    let refuse = {
        let handler = handler.clone();
        move |status| handler.refuse_head(peer, status)
    };
    let connection = ConnectionState::new(refuse);
    let wire = TokioIo::new(Wire::new(stream, connection.clone()));
    let request_started = Arc::new(Notify::new());
    let request_starts = request_started.clone();
    let service = service_fn(move |request| {
        request_starts.notify_one();
        let (handler, connection) = (handler.clone(), connection.clone());
        connection.begin();
        async move { Ok::<_, Infallible>(handler.answer(connection, peer, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME)
        .max_buf_size(HEAD_BYTES)
        // The buffer may grow past its limit before hyper looks at it.
        .max_header_size(HEAD_BYTES)
        .serve_connection(wire, service)
        .with_upgrades();
    let mut served = pin!(served);
    let outcome = tokio::select! {
        biased;
        outcome = served.as_mut() => outcome,
        () = Phase::Draining.reached(&mut phase) => {
            // hyper's graceful shutdown cuts a connection between two requests, also where one is on its way.
            let mut request_starts = pin!(request_started.notified());
            if request_starts.as_mut().enable() {
                // That was before the drain.
                request_starts.set(request_started.notified());
            }
            let ended = tokio::select! {
                biased;
                () = request_starts => None,
                outcome = served.as_mut() => Some(outcome),
                () = tokio::time::sleep(DRAIN_IDLE_TIME) => None,
            };
            if let Some(outcome) = ended {
                outcome
            } else {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    if let Err(error) = outcome {
        // A client that leaves is everyday; a head that is refused has its own line.
        tracing::debug!(error = %error, "connection ended");
    }
}
