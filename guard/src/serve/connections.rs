//! The open connections of the process. When memory or connections run out, idle ones give way: first those that never carried an
//! authenticated request, and of those the one that is idle for the longest time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::connection_state::{ConnectionState, Idle};
use crate::clock;

/// How many connections give way at once. More than one, so that a flood of new connections does not search the table for each.
pub const EVICTION_BATCH: usize = 32;

/// The open connections.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    open: Arc<Mutex<HashMap<u64, Arc<ConnectionState>>>>,
    evicted: AtomicU64,
}

/// Which idle connections give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Only those that never carried an authenticated request.
    Strangers,
    /// Those first, then the others.
    Anyones,
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
    pub fn evict(&self, whose: Whose) -> usize {
        self.evict_at(clock::uptime_millis(), whose)
    }

    fn evict_at(&self, now: u64, whose: Whose) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut strangers, mut new, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for connection in open.values() {
            match connection.idle(now) {
                Some((Idle::Stranger, since)) => strangers.push((since, connection)),
                Some((Idle::New, since)) => new.push((since, connection)),
                Some((Idle::Known, since)) if whose == Whose::Anyones => known.push((since, connection)),
                _ => {}
            }
        }
        // Of the new ones the younger half stays: a good client's is among them, and a flood's become old at once.
        let groups = [(strangers.len(), strangers), (new.len() / 2, new), (known.len(), known)];
        let Some((most, mut group)) = groups.into_iter().find(|(most, _)| *most > 0) else { return 0 };
        let count = most.min(EVICTION_BATCH);
        if count < group.len() {
            group.select_nth_unstable_by_key(count, |(since, _)| *since);
        }
        for (_, connection) in &group[..count] {
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
    use super::super::connection_state::NEW_TIME;
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
        let later = clock::uptime_millis() + u64::try_from(NEW_TIME.as_millis()).unwrap();
        assert_eq!(connections.evict_at(later, Whose::Strangers), EVICTION_BATCH);
        assert!(strangers.iter().all(|stranger| stranger.idle(later).is_none()), "each was asked once");
        assert!(family.idle(later).is_some());
        assert_eq!(connections.evict_at(later, Whose::Strangers), 0);
        assert_eq!(connections.evict_at(later, Whose::Anyones), 1, "then the family's idle one");
        assert_eq!(connections.evict_at(later, Whose::Anyones), 0);
        assert_eq!((connections.count(), connections.evicted()), (entries.len(), 33));
        drop(entries);
        assert_eq!(connections.count(), 0);
    }

    #[test]
    fn a_new_connection_whose_head_may_be_on_its_way_gives_way_last_of_all_strangers() {
        let connections = Connections::default();
        let states: Vec<_> = (0..10).map(|_| ConnectionState::new(|_| Vec::new(), Budget::of(1 << 40))).collect();
        let _entries: Vec<_> = states.iter().map(|state| connections.add(state.clone())).collect();
        let now = clock::uptime_millis();
        let evicted: Vec<_> =
            std::iter::from_fn(|| Some(connections.evict_at(now, Whose::Anyones)).filter(|count| *count > 0)).collect();
        assert_eq!(evicted, [5, 2, 1, 1], "a flood of new ones makes room, and the last one stays");
    }
}
