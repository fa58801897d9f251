//! The memory budget of the process. What costs memory reserves its share first: connections, large request heads, requests in flight and
//! tunnels. When the budget is used up, new work is refused with 503, and what runs goes on.
//!
//! The shares are measured: `make bench-attack` prints them.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The share of an open connection, in KiB: its buffers, also while it is idle.
pub const CONNECTION_KIB: u32 = 32;
/// The share of a request head above [`SMALL_HEAD_BYTES`], in KiB.
pub const HEAD_KIB: u32 = 96;
/// A head up to this size is part of the share of its connection, in bytes.
pub const SMALL_HEAD_BYTES: usize = 8 * 1024;
/// The share of a request in flight, in KiB: both sides' buffers when one of them stalls.
pub const TRANSFER_KIB: u32 = 256;
/// The share of a tunnel, in KiB. The share of its connection is released when it opens.
pub const TUNNEL_KIB: u32 = 48;
/// What the process itself uses, in bytes: code, key sets, caches, the admin port.
pub const BASE_BYTES: u64 = 24 * 1024 * 1024;
/// The smallest memory that guard runs in, in bytes.
pub const MIN_MEMORY_BYTES: u64 = 48 * 1024 * 1024;
/// The memory that is assumed where the process has no limit, in bytes.
pub const DEFAULT_MEMORY_BYTES: u64 = 512 * 1024 * 1024;
/// How long the budget counts as used up after it refused something.
const SATURATED_TIME: Duration = Duration::from_secs(5);

/// The number of counters for holders. Two identities with the same counter share one half of the budget.
const HOLDERS: usize = 256;

/// A count of the memory that may still be reserved.
pub struct Budget {
    total_kib: i64,
    left_kib: AtomicI64,
    /// What each holder has reserved.
    held_kib: [AtomicI64; HOLDERS],
    freed: Notify,
    began: Instant,
    /// When the budget refused something last, in milliseconds since `began`, plus 1; 0 = never.
    refused_at: AtomicU64,
}

/// A share of the budget, until it is dropped.
pub struct Reservation {
    budget: Arc<Budget>,
    kib: i64,
    holder: Option<Holder>,
}

/// The identity that a share is for: one identity gets half of the budget at most, so that a token in the wrong hands does not shut out the
/// family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(usize);

impl Holder {
    /// The holder with this identity.
    pub fn of(identity: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        Self(usize::try_from(hasher.finish() % HOLDERS as u64).unwrap_or(0))
    }
}

impl Budget {
    /// The budget of a process that may use `memory` bytes.
    #[must_use]
    pub fn of(memory: u64) -> Arc<Self> {
        let total_kib = i64::try_from(memory.saturating_sub(BASE_BYTES) / 1024).unwrap_or(i64::MAX);
        Arc::new(Self {
            total_kib,
            left_kib: AtomicI64::new(total_kib),
            held_kib: [const { AtomicI64::new(0) }; HOLDERS],
            freed: Notify::new(),
            began: Instant::now(),
            refused_at: AtomicU64::new(0),
        })
    }

    /// Reserves a share; none where the rest is too small.
    pub fn reserve(self: &Arc<Self>, kib: u32) -> Option<Reservation> {
        self.reserve_above(kib, 0)
    }

    /// Reserves the share of a new connection: one quarter of the budget is kept for authenticated requests.
    pub fn reserve_connection(self: &Arc<Self>) -> Option<Reservation> {
        self.reserve_above(CONNECTION_KIB, self.total_kib / 4)
    }

    /// Reserves a share for work of a client that has not shown who it is, such as a large head or a sign-in form: half of the budget is kept
    /// for new connections and for authenticated requests.
    pub fn reserve_for_stranger(self: &Arc<Self>, kib: u32) -> Option<Reservation> {
        self.reserve_above(kib, self.total_kib / 2)
    }

    fn reserve_above(self: &Arc<Self>, kib: u32, floor_kib: i64) -> Option<Reservation> {
        let kib = i64::from(kib);
        let take = |left: i64| (left - kib >= floor_kib).then_some(left - kib);
        let taken = self.left_kib.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.is_ok().then(|| Reservation { budget: self.clone(), kib, holder: None })
    }

    /// Counts a share for a holder; none where the holder would have more than half of the budget. The share is then given back.
    pub fn hold(&self, mut reservation: Reservation, holder: Holder) -> Option<Reservation> {
        let held = self.held_kib[holder.0].fetch_add(reservation.kib, Ordering::AcqRel) + reservation.kib;
        reservation.holder = Some(holder);
        (held <= self.total_kib / 2).then_some(reservation)
    }

    /// Calls `reserve` again each time that a share has come back, until it gives one.
    pub async fn wait_for(&self, reserve: impl Fn() -> Option<Reservation>) -> Reservation {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(reservation) = reserve() {
                return reservation;
            }
            freed.await;
        }
    }

    /// Remembers that something was refused.
    pub fn note_refusal(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.refused_at.store(now + 1, Ordering::Release);
    }

    /// Whether something was refused within the last seconds.
    pub fn is_saturated(&self) -> bool {
        match self.refused_at.load(Ordering::Acquire) {
            0 => false,
            at => self.began.elapsed() < Duration::from_millis(at - 1) + SATURATED_TIME,
        }
    }

    /// The whole budget and its reserved part, in bytes.
    pub fn usage(&self) -> (i64, i64) {
        (self.total_kib * 1024, (self.total_kib - self.left_kib.load(Ordering::Acquire)) * 1024)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(holder) = self.holder {
            self.budget.held_kib[holder.0].fetch_sub(self.kib, Ordering::AcqRel);
        }
        self.budget.left_kib.fetch_add(self.kib, Ordering::AcqRel);
        self.budget.freed.notify_waiters();
    }
}

/// The memory limit of this process's control group, in bytes (cgroups(7), version 2 and version 1); none where there is no limit.
pub fn cgroup_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| read_limit(&fs::read_to_string(path).ok()?))
}

/// Reads a limit: `max`, and the largest number that the kernel writes in version 1, mean none.
fn read_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_is_given_once_and_comes_back() {
        let budget = Budget::of(BASE_BYTES + 1024 * 1024);
        let first = budget.reserve(1000).unwrap();
        assert!(budget.reserve(32).is_none(), "24 KiB are left");
        assert_eq!(budget.usage(), (1024 * 1024, 1000 * 1024));
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { drop(budget.wait_for(|| budget.reserve(500)).await) }
        });
        tokio::task::yield_now().await;
        drop(first);
        waiting.await.unwrap();
        assert_eq!(budget.usage().1, 0);
    }

    #[test]
    fn strangers_leave_room_to_new_connections_and_those_to_authenticated_requests() {
        let budget = Budget::of(BASE_BYTES + 1024 * 1024);
        let work: Vec<_> = std::iter::from_fn(|| budget.reserve_for_stranger(64)).collect();
        assert_eq!(work.len(), 8, "512 of 1024 KiB");
        let connections: Vec<_> = std::iter::from_fn(|| budget.reserve_connection()).collect();
        assert_eq!(connections.len(), 8, "768 of 1024 KiB");
        assert!(budget.reserve(256).is_some());
    }

    #[test]
    fn one_identity_gets_half_of_the_budget_and_the_others_the_rest() {
        let budget = Budget::of(BASE_BYTES + 1024 * 1024);
        let (eve, ada) = (Holder(1), Holder(2));
        let hold = |holder: Holder| budget.reserve(256).and_then(|reservation| budget.hold(reservation, holder));
        let taken: Vec<_> = std::iter::from_fn(|| hold(eve)).collect();
        assert_eq!(taken.len(), 2);
        assert_eq!(budget.usage().1, 512 * 1024, "what was refused is given back");
        let others = (hold(ada), hold(ada));
        assert!(others.0.is_some() && others.1.is_some());
        drop((taken, others));
        assert!(hold(eve).is_some());
        assert_eq!(Holder::of(&"ada"), Holder::of(&"ada"));
    }

    #[tokio::test(start_paused = true)]
    async fn saturation_passes() {
        let budget = Budget::of(0);
        assert!(budget.reserve(1).is_none() && !budget.is_saturated());
        budget.note_refusal();
        assert!(budget.is_saturated());
        tokio::time::advance(SATURATED_TIME).await;
        assert!(!budget.is_saturated());
    }

    #[test]
    fn a_limit_is_a_number_that_a_machine_can_have() {
        assert_eq!(read_limit("134217728\n"), Some(134_217_728));
        assert_eq!(read_limit("max\n"), None);
        assert_eq!(read_limit("9223372036854771712\n"), None);
    }
}
