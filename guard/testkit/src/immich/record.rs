//! What happens enters, a record of it leaves, for a test to look at or to wait for.

use hyper::Request;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::multipart::StoredFile;

/// The record, and who waits for it to change.
pub(super) type Log = watch::Sender<State>;

/// Everything that has happened.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Every request whose head came, in that order.
    pub requests: Vec<Recorded>,
    /// The assets that came whole.
    pub stored: Vec<Stored>,
    /// Uploads whose end never came.
    pub aborted_uploads: usize,
    /// TCP connections accepted so far.
    pub connections: usize,
    /// TCP connections that are open now, tunnels among them.
    pub open_connections: usize,
    /// Tunnels that are open now: connections that became a WebSocket.
    pub open_tunnels: usize,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its method.
    pub method: String,
    /// Its target as it was in the request line.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Its fields: names in lower case, each line on its own. Lines of one name are in order; names may have moved.
    pub headers: Vec<(String, String)>,
    /// Bytes of its body that were read so far, without framing.
    pub body_bytes: u64,
    /// The end of the body was read.
    pub complete: bool,
    /// The peer was gone before the answer was ready.
    pub cancelled: bool,
}

/// An asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its length. The multipart envelope, if there was one, counts.
    pub bytes: u64,
    /// SHA-256 of the same bytes, in hex.
    pub sha256: String,
    /// Its file, if it came in a form that ended well.
    pub file: Option<StoredFile>,
}

impl Recorded {
    /// The first value of a field, whatever the case of `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    fn of(request: &Request<Incoming>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            version: format!("{:?}", request.version()),
            headers: headers
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body_bytes: 0,
            complete: hyper::body::Body::is_end_stream(request.body()),
            cancelled: false,
        }
    }
}

/// Where a request stands in the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    log: Log,
    index: usize,
}

impl Entry {
    pub(super) fn new(log: &Log, request: &Request<Incoming>) -> Self {
        let mut index = 0;
        log.send_modify(|state| {
            index = state.requests.len();
            state.requests.push(Recorded::of(request));
        });
        Self { log: log.clone(), index }
    }

    pub(super) fn get(&self) -> Recorded {
        self.log.borrow().requests[self.index].clone()
    }

    pub(super) fn modify(&self, change: impl FnOnce(&mut Recorded)) {
        self.log.send_modify(|state| change(&mut state.requests[self.index]));
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }
}

/// Marks a request as cancelled unless an answer was decided on.
#[derive(Debug)]
pub(super) struct Unanswered(pub(super) Option<Entry>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.modify(|request| request.cancelled = true);
        }
    }
}

/// Counts something for as long as it is open.
#[derive(Debug)]
pub(super) struct Count {
    log: Log,
    which: fn(&mut State) -> &mut usize,
}

impl Count {
    pub(super) fn connection(log: &Log) -> Self {
        log.send_modify(|state| state.connections += 1);
        Self::up(log, |state| &mut state.open_connections)
    }

    pub(super) fn tunnel(log: &Log) -> Self {
        Self::up(log, |state| &mut state.open_tunnels)
    }

    fn up(log: &Log, which: fn(&mut State) -> &mut usize) -> Self {
        log.send_modify(|state| *which(state) += 1);
        Self { log: log.clone(), which }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.log.send_modify(|state| *(self.which)(state) -= 1);
    }
}
