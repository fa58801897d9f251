//! The state of one connection: what its socket and the service that handles its requests have to know of each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::head::Ambiguity;
use crate::clock;
use crate::memory::Budget;

/// The state of a connection: shared by the socket and the service that handles its requests.
pub struct ConnectionState {
    stage: AtomicU8,
    /// The result of the scan of a head that hyper has not given to the handler yet: [`NOT_SCANNED`], 0, or an ambiguity.
    pub(super) scanned: AtomicU8,
    /// The ambiguity of the current request's head.
    ambiguity: AtomicU8,
    pub(super) unread: AtomicBool,
    /// Whether it has carried an authenticated request.
    known: AtomicBool,
    /// Whether it was asked to close because something else needs its place.
    gives_way: AtomicBool,
    evicted: Notify,
    /// When its last request ended, in milliseconds since the start of the process.
    idle_since: AtomicU64,
    pub(super) budget: Arc<Budget>,
    /// Whether the current request is authenticated.
    pub(super) authenticated: AtomicBool,
    pub(super) refuse: Box<dyn Fn(u16) -> Vec<u8> + Send + Sync>,
}

/// An idle connection, in the order in which they give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It never carried an authenticated request.
    Stranger,
    /// The same, and its first head may be on its way.
    New,
    /// It carried an authenticated request.
    Known,
}

/// How long a connection counts as [`Idle::New`].
pub const NEW_TIME: Duration = Duration::from_millis(250);

/// The connection waits for a request head. If hyper writes a response now, hyper itself refused the head.
pub(super) const AWAITING_HEAD: u8 = 0;
/// The handler is working on a request.
pub(super) const HANDLING: u8 = 1;
/// The response was given to hyper, and may not be written to the socket yet.
pub(super) const RESPONDED: u8 = 2;

/// No head was scanned since the last request began.
pub(super) const NOT_SCANNED: u8 = u8::MAX;

impl ConnectionState {
    /// `refuse` makes the complete response to a head that hyper refused with this status.
    pub fn new(refuse: impl Fn(u16) -> Vec<u8> + Send + Sync + 'static, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            stage: AtomicU8::new(AWAITING_HEAD),
            scanned: AtomicU8::new(NOT_SCANNED),
            ambiguity: AtomicU8::new(0),
            unread: AtomicBool::new(false),
            known: AtomicBool::new(false),
            gives_way: AtomicBool::new(false),
            evicted: Notify::new(),
            idle_since: AtomicU64::new(clock::uptime_millis()),
            budget,
            authenticated: AtomicBool::new(false),
            refuse: Box::new(refuse),
        })
    }

    /// Records that a request head was read, so that the next bytes are not scanned as a head. Call it before the service's future is
    /// polled: hyper may read the first part of the body before that.
    pub fn begin(&self) {
        self.stage.store(HANDLING, Ordering::Release);
        let scanned = match self.scanned.swap(NOT_SCANNED, Ordering::AcqRel) {
            NOT_SCANNED => Ambiguity::Unscanned as u8,
            scanned => scanned,
        };
        self.ambiguity.store(scanned, Ordering::Release);
        self.authenticated.store(false, Ordering::Release);
    }

    /// Records that the current request is authenticated: its client may read the response as slowly as it likes.
    pub fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::Release);
        self.known.store(true, Ordering::Release);
    }

    /// What it is to those that look for a connection to close at `now`, and since when it is idle (both in milliseconds since the start of
    /// the process); none for one at work, and for one that was asked already.
    pub fn idle(&self, now: u64) -> Option<(Idle, u64)> {
        let since = self.idle_since.load(Ordering::Acquire);
        let idle = if self.known.load(Ordering::Acquire) {
            Idle::Known
        } else if u128::from(now.saturating_sub(since)) < NEW_TIME.as_millis() {
            Idle::New
        } else {
            Idle::Stranger
        };
        (self.stage() == AWAITING_HEAD && !self.gives_way.load(Ordering::Acquire)).then_some((idle, since))
    }

    /// Asks the connection to close.
    pub fn give_way(&self) {
        self.gives_way.store(true, Ordering::Release);
        self.evicted.notify_one();
    }

    /// Waits until the connection is asked to close while it is idle.
    pub async fn asked_to_close(&self) {
        loop {
            self.evicted.notified().await;
            if self.stage() == AWAITING_HEAD {
                return;
            }
            // A request has begun in the meantime: it is served.
            self.gives_way.store(false, Ordering::Release);
        }
    }

    /// Records that the response is sent, and that the next head may arrive.
    pub fn await_head(&self) {
        if self.stage.compare_exchange(RESPONDED, AWAITING_HEAD, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.idle_since.store(clock::uptime_millis(), Ordering::Release);
        }
    }

    /// Returns the ambiguity that the scan of the current request's head found, if any.
    pub fn ambiguity(&self) -> Option<Ambiguity> {
        Ambiguity::from_u8(self.ambiguity.swap(0, Ordering::AcqRel))
    }

    /// Records that the response is complete. `unread`: bytes of the request may still arrive, so the connection must linger when it
    /// closes.
    pub fn end(&self, unread: bool) {
        self.stage.store(RESPONDED, Ordering::Release);
        if unread {
            self.unread.store(true, Ordering::Release);
        }
    }

    pub(super) fn stage(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }
}
