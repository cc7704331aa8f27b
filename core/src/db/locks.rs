//! The order in which a thread may take locks. There are three classes of them; a lock of one class comes before
//! those of the next.
//!
//! Ranked, outermost first; a thread never takes one while it holds one below it, or the same one again:
//!
//! 1. [`Rank::Closing`]   of `life/`, held for as long as closing takes
//! 2. [`Rank::Log`]       of `commit/`: the log and the right to append to it
//! 3. [`Rank::Callers`]   of `tree/`: the caller that does background work
//! 4. [`Rank::Versions`]  of `tree/`: the manifest, while an edit is made durable and published
//! 5. [`Rank::State`]     of `tree/`: shared by background work and the threads that wait for it
//!
//! Held over input and output (`sync/over_io.rs`, OVERIO-1): a cursor's hold, during a move; and after it one of the
//! reserve's file, the syncs of directories, the info log's file and the handle of a table that is being opened. The
//! table of the directories that this process has locked (`env/os_lock.rs`) is one too, for open and the end of close;
//! it is the process's own, and nothing checks it.
//!
//! Leaves, held for a few instructions without input and output: the locks of the sync group, the files that it syncs,
//! the publisher, the snapshots, the stall, the doorbell, the alarm, the list of holds, the next check of the memtable,
//! the last failed sync of a directory, the file numbers to delete, the file SYNCED, the caches, slabs and arenas. A
//! thread that holds one takes no other lock, with two exceptions: in a memtable's arena the spare nodes come before
//! the newest chunk, and that before the spare chunks; a part of the block cache comes before the slabs.
//!
//! Readers take no ranked lock.
//!
//! * RANK-1  In builds with assertions, taking a ranked lock checks it against those that the thread already holds.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::sync::process::{AtomicU32, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, WaitTimeoutResult};

/// See the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Rank {
    Closing,
    Log,
    Callers,
    Versions,
    State,
}

/// The locks of one database. Only locks of one family have an order: an environment may open another database in the
/// middle of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family(u32);

impl Family {
    pub(super) fn new() -> Family {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Family(COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// A lock with a place in the order.
    pub(super) fn lock<T>(self, rank: Rank, value: T) -> Lock<T> {
        Lock {
            place: (self, rank),
            mutex: Mutex::new(value),
        }
    }
}

/// A mutex with a place in the order.
pub(super) struct Lock<T> {
    place: (Family, Rank),
    mutex: Mutex<T>,
}

impl<T> Lock<T> {
    /// Waits for the lock. In builds with assertions, panics if the thread holds a lock that comes after
    /// it in the order.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, T> {
        let entered = Entered::at(self.place);
        Locked {
            guard: self.mutex.lock(),
            _entered: entered,
        }
    }
}

/// A [`Lock`] that is held.
pub(super) struct Locked<'a, T> {
    // Dropped before `_entered`: the lock is released first, and then no longer counts as held.
    guard: MutexGuard<'a, T>,
    _entered: Entered,
}

impl<T> Locked<'_, T> {
    /// Releases the lock until `condition` is signalled; it may also wake without a signal.
    pub(super) fn wait(&mut self, condition: &Condvar) {
        condition.wait(&mut self.guard);
    }

    /// [`Locked::wait`] for at most `limit`.
    pub(super) fn wait_for(&mut self, condition: &Condvar, limit: Duration) -> WaitTimeoutResult {
        condition.wait_for(&mut self.guard, limit)
    }

    /// [`Locked::wait`] until `end` at most.
    pub(super) fn wait_until(&mut self, condition: &Condvar, end: Instant) -> WaitTimeoutResult {
        condition.wait_until(&mut self.guard, end)
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Records that this thread holds a lock, or waits for it (RANK-1); empty in builds without assertions. The
/// model checker runs all of its threads in one system thread.
#[cfg(any(not(debug_assertions), shuttle))]
struct Entered;

#[cfg(any(not(debug_assertions), shuttle))]
impl Entered {
    #[inline(always)]
    fn at(_: (Family, Rank)) -> Entered {
        Entered
    }
}

#[cfg(all(debug_assertions, not(shuttle)))]
struct Entered((Family, Rank));

#[cfg(all(debug_assertions, not(shuttle)))]
thread_local! {
    /// The locks that this thread holds. Its type needs no drop, because threads take locks to their very
    /// end.
    static HELD: std::cell::Cell<[Option<(Family, Rank)>; 16]> = const { std::cell::Cell::new([None; 16]) };
}

#[cfg(all(debug_assertions, not(shuttle)))]
impl Entered {
    fn at((family, rank): (Family, Rank)) -> Entered {
        crate::sync::over_io::assert_none_is_held();
        let mut held = HELD.get();
        let of_this = held.iter().flatten().filter(|(other, _)| *other == family);
        if let Some((_, last)) = of_this.max_by_key(|(_, rank)| *rank) {
            assert!(*last < rank, "RANK-1: {rank:?} is locked after {last:?}");
        }
        let free = held.iter_mut().find(|place| place.is_none());
        debug_assert!(free.is_some(), "RANK-1: every lock that is held is checked");
        if let Some(free) = free {
            *free = Some((family, rank));
        }
        HELD.set(held);
        Entered((family, rank))
    }
}

/// In builds with assertions, panics with `why` if the thread holds a ranked lock.
#[cfg(any(not(debug_assertions), shuttle))]
#[inline(always)]
pub(super) fn assert_none_is_held(_why: &str) {}

#[cfg(all(debug_assertions, not(shuttle)))]
pub(super) fn assert_none_is_held(why: &str) {
    let held = HELD.get();
    let first = held.iter().flatten().next();
    assert!(first.is_none(), "{why}: {first:?}");
}

#[cfg(all(debug_assertions, not(shuttle)))]
impl Drop for Entered {
    fn drop(&mut self) {
        let mut held = HELD.get();
        let place = held.iter_mut().find(|place| **place == Some(self.0));
        debug_assert!(
            place.is_some(),
            "RANK-1: the thread that took the lock releases it"
        );
        if let Some(place) = place {
            *place = None;
        }
        HELD.set(held);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_their_order_and_let_go_in_any() {
        let family = Family::new();
        let [log, versions, state] =
            [Rank::Log, Rank::Versions, Rank::State].map(|rank| family.lock(rank, ()));
        let (held_log, held_versions) = (log.lock(), versions.lock());
        drop(held_log);
        let held_state = state.lock();
        drop((held_versions, held_state));
        let _held = (log.lock(), state.lock());
        let another = Family::new().lock(Rank::Closing, ());
        let _of_another_database = another.lock();
    }

    #[test]
    #[should_panic(expected = "RANK-1: Log is locked after State")]
    fn a_lock_that_comes_before_one_that_is_held_is_refused() {
        let family = Family::new();
        let (log, state) = (family.lock(Rank::Log, ()), family.lock(Rank::State, ()));
        let _state = state.lock();
        let _log = log.lock();
    }

    #[test]
    #[should_panic(expected = "RANK-1: State is locked after State")]
    fn the_same_lock_is_not_taken_again() {
        let state = Family::new().lock(Rank::State, ());
        let _state = state.lock();
        let _again = state.lock();
    }
}
