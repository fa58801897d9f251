//! The HTTP/1.1 server: it accepts connections, calls a [`Handler`] for each request, enforces the timeouts, and drains on SIGTERM.
//!
//! One accept loop distributes connections to the workers in turn. Each worker is one thread with its own runtime. `SO_REUSEPORT` would
//! need no accept loop, but the kernel spreads the few long-lived connections of cloudflared unevenly.

mod chunks;
pub mod connection_state;
pub mod connections;
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
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::memory::{Budget, Holder, Reservation};
use connection_state::ConnectionState;
use connections::{Connections, Whose};
use drain_counter::{DrainCounter, DrainGuard};
use wire::Wire;

/// The maximum number of open connections, whatever the memory. For further ones idle connections give way, else they get 503.
pub const MAX_CONNECTIONS: usize = 8192;
/// How long new work waits for idle connections to give way.
const ROOM_TIME: Duration = Duration::from_millis(500);
/// The maximum number of connections over the limits that are told so at once. Further ones are closed.
const MAX_REFUSED: usize = 64;
/// How long a connection that is over the limits has to read its 503.
const REFUSED_TIME: Duration = Duration::from_secs(1);
/// How long a connection may be idle between requests. cloudflared keeps idle connections for 90 s (its `keepAliveTimeout`). If this
/// were shorter, cloudflared could send a request on a connection that guard is closing, and the client would get a 502.
pub const IDLE_TIME: Duration = Duration::from_secs(120);
/// The largest request head, in bytes: Cloudflare's edge allows 32 KB of headers and a URL of 16 KB. Also the size of the read buffer of
/// a body.
pub const HEAD_BYTES: usize = 64 * 1024;
/// The pause after a failed `accept`. The usual cause is that no file descriptors are left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long a connection may still send a request after the drain has begun; such a request is refused with 503. This also holds for a
/// connection that had requests before: if it closed under a request, cloudflared would answer 502, and it does not repeat the request.
const DRAIN_IDLE_TIME: Duration = Duration::from_secs(1);
/// How long before the end of the grace period tunnels are closed, if requests are still in flight then.
const TUNNEL_MARGIN: Duration = Duration::from_secs(2);

/// The phase of the process's life. The order of the variants is the order in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are served.
    Serving,
    /// Requests are served, and each connection is closed after its next response, or when it stays unused: who keeps connections opens the
    /// next one elsewhere.
    Leaving,
    /// New requests are refused; requests in flight finish.
    Draining,
    /// Tunnels are being closed.
    ClosingTunnels,
    /// The remaining connections are cut.
    Gone,
}

impl Phase {
    /// Waits until the process is in this phase or a later one.
    pub async fn reached(self, phase: &mut watch::Receiver<Self>) {
        // The sender is gone only when the process has passed every phase.
        let _ = phase.wait_for(|now| *now >= self).await;
    }
}

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

/// The phase of the process and its open connections, shared by all of its parts.
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    stop: Notify,
    /// How long requests are still served after [`Lifecycle::stop`].
    drain_delay: Duration,
    connections: DrainCounter,
    /// The open connections, to close idle ones when their place is needed.
    pub open: Connections,
    /// The memory that may be used.
    pub budget: Arc<Budget>,
    /// Open tunnels. They are not counted as connections, and are drained last.
    pub tunnels: DrainCounter,
}

impl Lifecycle {
    /// A process that serves and has no connections yet. Once it is told to stop, it serves for `drain_delay` longer.
    #[must_use]
    pub fn new(budget: Arc<Budget>, drain_delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            open: Connections::default(),
            budget,
            phase: watch::Sender::new(Phase::Serving),
            stop: Notify::new(),
            drain_delay,
            connections: DrainCounter::default(),
            tunnels: DrainCounter::default(),
        })
    }

    /// The current phase, to read or to wait for.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Starts the drain, or the delay before it. Calling it again changes nothing.
    pub fn stop(&self) {
        // The phase changes here and not in the control thread: a readiness probe has to fail as soon as the signal is handled.
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = if self.drain_delay.is_zero() { Phase::Draining } else { Phase::Leaving };
            }
            serving
        });
        self.stop.notify_one();
    }

    /// Reserves memory for new work. Where there is none left, idle connections give way first; none where that does not help in time.
    pub async fn make_room(&self, kib: u32) -> Option<Reservation> {
        self.room_by(Whose::Anyones, || self.budget.reserve(kib)).await
    }

    async fn room_by(&self, whose: Whose, reserve: impl Fn() -> Option<Reservation>) -> Option<Reservation> {
        if let Some(reservation) = reserve() {
            return Some(reservation);
        }
        self.open.evict(whose);
        let reservation = tokio::time::timeout(ROOM_TIME, self.budget.wait_for(reserve)).await.ok();
        if reservation.is_none() {
            self.budget.note_refusal();
        }
        reservation
    }

    /// Reserves memory for work of a client that has not shown who it is.
    pub async fn make_room_for_stranger(&self, kib: u32) -> Option<Reservation> {
        self.room_by(Whose::Strangers, || self.budget.reserve_for_stranger(kib)).await
    }

    /// Reserves memory for work of this identity.
    pub async fn make_room_for(&self, kib: u32, holder: Holder) -> Option<Reservation> {
        let reservation = self.make_room(kib).await?;
        self.budget.hold(reservation, holder)
    }

    /// Reserves a place for a new connection.
    async fn admit(&self) -> Option<Reservation> {
        if self.open.count() >= MAX_CONNECTIONS && self.open.evict(Whose::Anyones) == 0 {
            self.budget.note_refusal();
            return None;
        }
        self.room_by(Whose::Anyones, || self.budget.reserve_connection()).await
    }

    fn advance(&self, next: Phase) {
        self.phase.send_replace(next);
    }
}

/// The number of connections and tunnels that were still open at the end of the grace period, and were cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections with a request in flight.
    pub connections: i64,
    /// Tunnels.
    pub tunnels: i64,
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
                drained = drain(&shared, grace) => drained,
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

async fn drain(lifecycle: &Lifecycle, grace: Duration) -> Drained {
    lifecycle.stop.notified().await;
    if !lifecycle.drain_delay.is_zero() {
        let (connections, tunnels) = (lifecycle.connections.count(), lifecycle.tunnels.count());
        tracing::info!(connections, tunnels, seconds = lifecycle.drain_delay.as_secs_f64(), "leaving");
        tokio::time::sleep(lifecycle.drain_delay).await;
        lifecycle.advance(Phase::Draining);
    }
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
            Some(AcceptedConnection { stream, peer, reservation }) = incoming.recv() => match TcpStream::from_std(stream) {
                Ok(stream) => {
                    let guard = ConnectionGuard { _connection: lifecycle.connections.enter(), _reservation: reservation };
                    tokio::spawn(connection(handler.clone(), stream, peer, lifecycle.clone(), guard));
                }
                Err(error) => pause_after(&error).await,
            },
            _ = seconds.tick() => handler.tick(),
            () = &mut gone => return,
        }
    }
}

/// Counts a connection until it is dropped.
struct ConnectionGuard {
    _connection: DrainGuard,
    _reservation: Reservation,
}

async fn connection<H: Handler>(
    handler: Arc<H>,
    stream: TcpStream,
    peer: IpAddr,
    lifecycle: Arc<Lifecycle>,
    _guard: ConnectionGuard,
) {
    let mut phase = lifecycle.phase();
    let phase_of_responses = phase.clone();
    sockets::tune(&stream);
    let refuse = {
        let handler = handler.clone();
        move |status| handler.refuse_head(peer, status)
    };
    let connection = ConnectionState::new(refuse, lifecycle.budget.clone());
    let _entry = lifecycle.open.add(connection.clone());
    let state = connection.clone();
    let wire = TokioIo::new(Wire::new(stream, connection.clone()));
    let request_started = Arc::new(Notify::new());
    let request_starts = request_started.clone();
    let service = service_fn(move |request| {
        request_starts.notify_one();
        let (handler, connection) = (handler.clone(), connection.clone());
        connection.begin();
        let phase = phase_of_responses.clone();
        async move {
            let mut response = handler.answer(connection, peer, request).await;
            if *phase.borrow() >= Phase::Leaving && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // RFC 9112, section 9.6: the client sends its next request on another connection, and none is lost between the two.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
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
        () = state.asked_to_close() => {
            // Closed in order if nothing arrives in the meantime; a head that is only half there is cut.
            served.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN_IDLE_TIME, served.as_mut()).await.unwrap_or(Ok(()))
        }
        () = Phase::Leaving.reached(&mut phase) => {
            // hyper's graceful shutdown closes an idle connection at once, even if the client has just sent a request on it: a client that
            // uses it gets time to do so.
            let mut request_starts = pin!(request_started.notified());
            let was_used = request_starts.as_mut().enable();
            if was_used {
                // This notification is of a request before.
                request_starts.set(request_started.notified());
            }
            let unused = async {
                if was_used && *phase.borrow() == Phase::Leaving {
                    // Well before the drain, so that no request finds this connection then.
                    tokio::time::sleep(lifecycle.drain_delay / 2).await;
                } else {
                    Phase::Draining.reached(&mut phase).await;
                    tokio::time::sleep(DRAIN_IDLE_TIME).await;
                }
            };
            let (outcome, is_unused) = tokio::select! {
                biased;
                () = request_starts => (None, false),
                outcome = served.as_mut() => (Some(outcome), false),
                () = unused => (None, true),
            };
            if let Some(outcome) = outcome {
                outcome
            } else {
                // The response to a request closes its connection by itself, and a graceful shutdown would take an upgrade away.
                if is_unused || *phase.borrow() >= Phase::Draining {
                    served.as_mut().graceful_shutdown();
                }
                served.await
            }
        }
    };
    if let Err(error) = outcome {
        // Clients often disconnect, and a refused head has its own log line.
        tracing::debug!(error = %error, "connection ended");
    }
}
