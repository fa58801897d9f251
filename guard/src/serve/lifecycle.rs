//! The life of the process: it serves, leaves, drains, and is gone. What is open is counted here, and new work gets its place here.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::connections::{Connections, Whose};
use super::drain_counter::DrainCounter;
use crate::memory::{Budget, Holder, Reservation};

/// The maximum number of open connections, whatever the memory. For further ones idle connections give way, else they get 503.
const MAX_CONNECTIONS: usize = 8192;
/// How long new work waits for idle connections to give way.
const ROOM_TIME: Duration = Duration::from_millis(500);
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

/// The phase of the process and its open connections, shared by all of its parts.
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    stop: Notify,
    /// How long requests are still served after [`Lifecycle::stop`].
    pub(super) drain_delay: Duration,
    pub(super) connections: DrainCounter,
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

    /// The current phase.
    pub(super) fn now(&self) -> Phase {
        *self.phase.borrow()
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
    pub(super) async fn admit(&self) -> Option<Reservation> {
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

/// Waits for [`Lifecycle::stop`], and drains within `grace` after the delay that follows it.
pub(super) async fn drain(lifecycle: &Lifecycle, grace: Duration) -> Drained {
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
