//! The open connections of the process. When memory or connections run out, idle ones give way: first those that never carried an
//! authenticated request, then the one that is idle for the longest time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::connection_state::ConnectionState;

/// How many connections give way at once. More than one, so that a flood of new connections does not search the table for each.
pub const EVICTION_BATCH: usize = 32;

/// The open connections.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    open: Arc<Mutex<HashMap<u64, Arc<ConnectionState>>>>,
    evicted: AtomicU64,
}

/// A connection in the table, until it is dropped.
pub struct Entry {
    id: u64,
    open: Arc<Mutex<HashMap<u64, Arc<ConnectionState>>>>,
}

impl Connections {
    /// Adds a connection.
    pub fn add(&self, connection: Arc<ConnectionState>) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection);
        Entry { id, open: self.open.clone() }
    }

    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The number of connections that had to give way since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Asks up to [`EVICTION_BATCH`] idle connections to close, and returns how many.
    pub fn evict(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle: Vec<_> = open.values().filter_map(|connection| Some((connection.idle_rank()?, connection))).collect();
        let count = idle.len().min(EVICTION_BATCH);
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |(rank, _)| *rank);
        }
        for (_, connection) in &idle[..count] {
            connection.give_way();
        }
        self.evicted.fetch_add(count as u64, Ordering::Relaxed);
        count
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;

    #[test]
    fn strangers_give_way_before_the_family_and_nobody_at_work_does() {
        let connections = Connections::default();
        let state = || ConnectionState::new(|_| Vec::new(), Budget::of(1 << 40));
        let (family, working) = (state(), state());
        family.begin();
        family.set_authenticated();
        family.end(false);
        family.await_head();
        working.begin();
        let strangers: Vec<_> = (0..EVICTION_BATCH).map(|_| state()).collect();
        let entries: Vec<_> =
            [&family, &working].into_iter().chain(&strangers).map(|state| connections.add(state.clone())).collect();
        assert_eq!(connections.evict(), EVICTION_BATCH);
        assert!(strangers.iter().all(|stranger| stranger.idle_rank().is_none()), "each was asked once");
        assert!(family.idle_rank().is_some());
        assert_eq!(connections.evict(), 1, "then the family's idle one");
        assert_eq!((connections.evict(), connections.count(), connections.evicted()), (0, entries.len(), 33));
        drop(entries);
        assert_eq!(connections.count(), 0);
    }
}
