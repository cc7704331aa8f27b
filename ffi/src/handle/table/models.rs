//! Models of the handle table: a few threads that make, look up and end handles, in every order.
//!
//! Each comment names changes of the code that the model has to catch.

use std::sync::Arc;

use aidb::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use aidb::sync::checker::check;
use aidb::sync::thread;

use super::Table;

const TAG: u8 = 0xd5;

/// An object that notices when it is used after it was dropped, or dropped twice.
struct Probe {
    id: u64,
    dropped: Arc<AtomicBool>,
    drops: Arc<AtomicU64>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        assert!(!self.dropped.swap(true, SeqCst), "HANDLE-4: dropped twice");
        self.drops.fetch_add(1, SeqCst);
    }
}

/// A table, and a count of its objects that were dropped.
struct Shared {
    table: Table<Probe>,
    drops: Arc<AtomicU64>,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            table: Table::new(),
            drops: Arc::default(),
        })
    }

    fn probe(&self, id: u64) -> Probe {
        Probe {
            id,
            dropped: Arc::default(),
            drops: self.drops.clone(),
        }
    }

    fn insert(&self, id: u64) -> u64 {
        let handle = self.table.insert(TAG, self.probe(id));
        handle.expect("the table has room for as many as a model makes")
    }

    /// Looks `handle` up and, if it is live, uses the object `id` for a while.
    fn use_it(&self, handle: u64, id: u64) -> bool {
        let Some(found) = self.table.get(handle) else {
            assert!(self.table.was_given_out(handle), "a closed handle is known");
            return false;
        };
        assert_eq!(found.id, id, "HANDLE-2: another object's");
        thread::yield_now();
        assert!(
            !found.dropped.load(SeqCst),
            "HANDLE-4: dropped while in use"
        );
        true
    }
}

/// HANDLE-2, HANDLE-4. Fails if a lookup does not compare the whole handle, if a slot is not emptied, or if it is
/// free before it is empty.
#[test]
fn a_handle_finds_its_own_object_or_none_while_slots_are_reused() {
    check("handles: reuse", 4_000, || {
        let shared = Shared::new();
        let handle = shared.insert(1);
        let closed = Arc::new(AtomicBool::new(false));
        let closer = {
            let (shared, closed) = (shared.clone(), closed.clone());
            thread::spawn(move || {
                assert!(shared.table.take(handle).is_some_and(|found| found.id == 1));
                closed.store(true, SeqCst);
                // Most likely this takes the slot that is free now.
                let next = shared.insert(2);
                assert_ne!(next, handle, "HANDLE-3");
                assert!(shared.use_it(next, 2));
                assert!(shared.table.take(next).is_some());
            })
        };
        let maker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let other = shared.insert(3);
                assert!(shared.use_it(other, 3));
                assert!(shared.table.take(other).is_some());
                assert!(!shared.use_it(other, 3), "the handle was closed before");
            })
        };
        for _ in 0..2 {
            let was_closed = closed.load(SeqCst);
            let found = shared.use_it(handle, 1);
            assert!(!(was_closed && found), "a closed handle is found");
        }
        closer.join().unwrap();
        maker.join().unwrap();
        assert!(!shared.use_it(handle, 1));
        assert_eq!(
            shared.drops.load(SeqCst),
            3,
            "HANDLE-4: each is dropped once"
        );
    });
}

/// HANDLE-4. Fails if `take` stores instead of exchanging, or does not check the exchanged value.
#[test]
fn of_several_closers_one_gets_the_object_and_it_is_dropped_once() {
    check("handles: closers", 4_000, || {
        let shared = Shared::new();
        let handle = shared.insert(1);
        let wins = Arc::new(AtomicU64::new(0));
        let threads = [(); 2].map(|()| {
            let (shared, wins) = (shared.clone(), wins.clone());
            thread::spawn(move || {
                if let Some(found) = shared.table.take(handle) {
                    wins.fetch_add(1, SeqCst);
                    thread::yield_now();
                    assert!(!found.dropped.load(SeqCst), "HANDLE-4");
                }
                // They must not close the object that was inserted into the slot since then.
                let own = shared.insert(2);
                assert!(shared.use_it(own, 2));
                assert!(shared.table.take(own).is_some());
            })
        });
        shared.use_it(handle, 1);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(wins.load(SeqCst), 1);
        assert_eq!(shared.drops.load(SeqCst), 3);
    });
}

/// HANDLE-1. Fails if the head of a free list does not count its changes, or a chunk is published before its slots.
#[test]
fn no_two_live_handles_share_a_slot() {
    check("handles: free list", 4_000, || {
        let shared = Shared::new();
        let threads = [10, 20, 30].map(|id| {
            let shared = shared.clone();
            thread::spawn(move || {
                let first = shared.insert(id);
                assert!(shared.table.take(first).is_some());
                let second = shared.insert(id + 1);
                assert!(shared.use_it(second, id + 1), "another handle has the slot");
                second
            })
        });
        let live: Vec<u64> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        for (handle, id) in live.iter().zip([11, 21, 31]) {
            assert!(shared.use_it(*handle, id));
        }
        for handle in live {
            assert!(shared.table.take(handle).is_some());
        }
        assert_eq!(shared.drops.load(SeqCst), 6);
    });
}

/// Fails if a full table gives a slot out twice, or does not take one back.
#[test]
fn a_full_table_refuses_and_has_room_again_after_a_close() {
    check("handles: full", 2_000, || {
        let shared = Shared::new();
        let threads = [1, 2].map(|id| {
            let shared = shared.clone();
            thread::spawn(move || {
                let made: Vec<u64> = (0..3)
                    .filter_map(|_| shared.table.insert(TAG, shared.probe(id)))
                    .collect();
                for handle in &made {
                    assert!(shared.use_it(*handle, id));
                }
                let kept = made.len();
                for handle in made {
                    assert!(shared.table.take(handle).is_some());
                }
                kept
            })
        });
        let kept: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert!(kept >= 4, "of eight slots: {kept}");
        let again: Vec<u64> = (0..8).map(|_| shared.insert(9)).collect();
        assert!(shared.table.insert(TAG, shared.probe(9)).is_none());
        for handle in again {
            assert!(shared.table.take(handle).is_some());
        }
        shared.insert(9);
    });
}
