//! A stand-in for Immich: HTTP/1.1 requests enter and are recorded, answers leave as Immich 3 was seen to give them, and some that
//! only a broken server gives.
//!
//! | request | answer |
//! |---|---|
//! | `GET /page` | a page whose title is `Photos` |
//! | `GET /api/server/ping` | `{"res":"pong"}` |
//! | `POST /api/assets` | 201 when the whole body came; 200 at once for `x-immich-checksum: duplicate` |
//! | `GET /api/server/media-types`, `/api/users/me` | some kinds of files; a person with the quota of [`Immich::set_quota`](Immich::set_quota) |
//! | `POST /api/assets/bulk-upload-check` | each is accepted |
//! | `POST /api/early-401` | 401 after 2.7 MB, `Connection: keep-alive`, the rest is read and thrown away |
//! | `GET`, `HEAD /api/assets/{id}/original?size=N` | N bytes of [`noise`](crate::noise); Range, weak `ETag`, 404 for a bad range |
//! | `GET /api/cookies` | several `Set-Cookie` lines |
//! | `POST /api/sync/stream` | JSON lines as [`Immich::sync_line`] gives them |
//! | `/api/download/archive?size=N` | noise, chunked |
//! | `/api/slow` | after [`Immich::release`] |
//! | `/api/die-mid-body` | half of a declared MiB |
//! | `/api/die-before-head` | nothing |
//! | `/api/socket.io/` | a WebSocket that echoes; 400 without `Upgrade: websocket` |
//! | anything else | 200 with the request as JSON |

mod body;
mod gauge;
mod intake;
mod multipart;
mod record;
mod routes;
pub mod websocket;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::gauge::{Gauge, Gauged};
pub use self::multipart::{Form, StoredFile};
use self::record::{Count, Log};
pub use self::record::{Recorded, State, Stored};
pub use self::routes::{AssetAnswer, DUPLICATE, EARLY_401_AFTER, LAST_MODIFIED};
use crate::deadline::{CONDITION, within};
use crate::server::{ANY_PORT, Server};

/// How the stand-in differs from the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens; a free port of the loopback interface by default. Name the old address to start anew where one was.
    pub listen: SocketAddr,
    /// A connection without a request for so long is closed: 5 s by default, as Node does. `None`: never.
    pub idle: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: ANY_PORT, idle: Some(Duration::from_secs(5)) }
    }
}

/// The stand-in. It stops, and its connections break, when it is dropped.
#[derive(Debug)]
pub struct Immich {
    shared: Arc<Shared>,
    server: Server,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    log: Log,
    idle: Option<Duration>,
    sync: watch::Sender<SyncStream>,
    released: watch::Sender<bool>,
    assets: watch::Sender<AssetAnswer>,
    quota: Mutex<Option<(u64, u64)>>,
    is_signed_out: AtomicBool,
}

/// What every `POST /api/sync/stream` sends, from the first line on.
#[derive(Debug, Default)]
struct SyncStream {
    lines: Vec<String>,
    ended: bool,
}

/// What the requests of one connection share.
struct Connection {
    shared: Arc<Shared>,
    gauge: Arc<Gauge>,
    /// Work that outlives an answer: rests of bodies, tunnels. It dies with the connection's task.
    tasks: Mutex<JoinSet<()>>,
}

impl Immich {
    /// Starts on a free port with the keep-alive of Node.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// Starts as `config` says.
    pub async fn start_with(config: Config) -> Self {
        let shared = Arc::new(Shared {
            log: Log::new(State::default()),
            idle: config.idle,
            sync: watch::Sender::default(),
            released: watch::Sender::new(false),
            assets: watch::Sender::new(AssetAnswer::Store),
            quota: Mutex::new(None),
            is_signed_out: AtomicBool::new(false),
        });
        let all = Arc::clone(&shared);
        let server = Server::start(config.listen, move |stream| serve(stream, Arc::clone(&all))).await;
        Self { shared, server }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Every request whose head came, in that order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.log.borrow().requests.clone()
    }

    /// The latest request; panics when there was none.
    pub fn last_request(&self) -> Recorded {
        self.shared.log.borrow().requests.last().cloned().expect("a request came")
    }

    /// The assets that came whole.
    pub fn stored(&self) -> Vec<Stored> {
        self.shared.log.borrow().stored.clone()
    }

    /// Uploads to `/api/assets` whose end never came.
    pub fn aborted_uploads(&self) -> usize {
        self.shared.log.borrow().aborted_uploads
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.log.borrow().connections
    }

    /// The same, in the words of the side that dials.
    pub fn dials(&self) -> usize {
        self.connections()
    }

    /// TCP connections that are open now, tunnels among them.
    pub fn open_connections(&self) -> usize {
        self.shared.log.borrow().open_connections
    }

    /// Tunnels that are open now: connections that became a WebSocket.
    pub fn open_tunnels(&self) -> usize {
        self.shared.log.borrow().open_tunnels
    }

    /// Waits until `condition` holds; panics with `what` and the last state after 10 s.
    pub async fn wait_until(&self, what: &str, mut condition: impl FnMut(&State) -> bool) {
        let mut changes = self.shared.log.subscribe();
        let met = tokio::time::timeout(CONDITION, changes.wait_for(|state| condition(state))).await.is_ok();
        assert!(met, "Immich waited {} s in vain: {what}: {:#?}", CONDITION.as_secs(), *self.shared.log.borrow());
    }

    /// Adds a line to the sync stream; the line feed is added here. Streams that start later get it too.
    pub fn sync_line(&self, text: &str) {
        self.shared.sync.send_modify(|stream| stream.lines.push(format!("{text}\n")));
    }

    /// Ends all sync streams after the lines so far.
    pub fn sync_end(&self) {
        self.shared.sync.send_modify(|stream| stream.ended = true);
    }

    /// From now on `POST /api/assets` ends like this once the whole body is there.
    pub fn answer_assets(&self, answer: AssetAnswer) {
        self.shared.assets.send_replace(answer);
    }

    /// From now on nobody is signed in: `/api/users/me` answers with 401.
    pub fn sign_everybody_out(&self) {
        self.shared.is_signed_out.store(true, Ordering::Relaxed);
    }

    /// Every person has this quota, and has used so much of it, in bytes.
    pub fn set_quota(&self, quota: Option<(u64, u64)>) {
        *self.shared.quota.lock().unwrap() = quota;
    }

    /// Lets `/api/slow` answer, from now on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Lets `/api/slow` wait again.
    pub fn hold(&self) {
        self.shared.released.send_replace(false);
    }

    /// Stops and returns when the port is closed and every connection is broken.
    pub async fn stop(self) {
        let mut log = self.shared.log.subscribe();
        self.server.stop().await;
        within(CONDITION, "connections to end", log.wait_for(|state| state.open_connections == 0)).await.expect("it is shared");
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _open = Count::connection(&shared.log);
    let idle = shared.idle;
    let gauge = Arc::new(Gauge::default());
    let stream = TokioIo::new(Gauged::new(stream, Arc::clone(&gauge)));
    let connection = Arc::new(Connection { shared, gauge, tasks: Mutex::default() });
    let requests = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&requests);
        async move { routes::serve(&connection, request).await }
    });
    // hyper waits for a head from the end of the last answer on: that is Node's keep-alive timeout.
    let served = http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(idle).serve_connection(stream, service);
    // How a connection ends is seen in what was recorded, not in hyper's error.
    let _ = served.with_upgrades().await;

    let mut rest = std::mem::take(&mut *connection.tasks.lock().unwrap());
    while rest.join_next().await.is_some() {}
}

impl Connection {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().spawn(task);
    }
}
