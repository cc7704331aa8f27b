//! Publication: making sequence numbers visible to readers, in order.
//!
//! Committers insert into the memtable in parallel; each then waits here until every earlier number is
//! published, and publishes its own. The wait is as long as another thread's memtable insert, so it spins
//! about that long, and parks if the earlier committer must have lost its processor: on busy cores, spinning and
//! yielding on cost more than being woken (a third of the time of two writers, measured).
//!
//! * P1  `published` only grows, and n is published only when the entries of all numbers up to n are in their
//!       memtables.
//! * P2  Once stopped (an insert failed or panicked, so P1 can never advance), every waiter gets an error.

use crate::error::{Error, Result};
use crate::key::SequenceNumber;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, spin_loop, yield_now};

/// Few under the model checker, where parking is what matters.
const SPINS: u32 = if cfg!(shuttle) { 1 } else { 50 };
const YIELDS: u32 = if cfg!(shuttle) { 1 } else { 2 };

/// The last number that readers may see.
pub(super) struct Publisher {
    published: AtomicU64,
    stopped: AtomicBool,
    parked: AtomicUsize,
    lock: Mutex<()>,
    advanced: Condvar,
}

impl Publisher {
    pub(super) fn new(last: SequenceNumber) -> Publisher {
        Publisher {
            published: AtomicU64::new(last.0),
            stopped: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            lock: Mutex::new(()),
            advanced: Condvar::new(),
        }
    }

    /// The last published number.
    #[inline]
    pub(super) fn last(&self) -> SequenceNumber {
        SequenceNumber(self.published.load(Ordering::Acquire))
    }

    /// Publishes the numbers behind `before` up to `last`, after all up to `before` are.
    pub(super) fn publish(&self, before: SequenceNumber, last: SequenceNumber) -> Result<()> {
        debug_assert!(before < last);
        self.wait_for(before)?;
        debug_assert_eq!(self.last(), before, "P1: numbers are published in order");
        self.published.store(last.0, Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock());
            self.advanced.notify_all();
        }
        Ok(())
    }

    /// Waits until `sequence` is published.
    pub(super) fn wait_for(&self, sequence: SequenceNumber) -> Result<()> {
        for round in 0..SPINS + YIELDS {
            if self.last() >= sequence {
                return Ok(());
            }
            if round < SPINS {
                spin_loop();
            } else {
                yield_now();
            }
        }
        let mut guard = self.lock.lock();
        self.parked.fetch_add(1, Ordering::SeqCst);
        // SeqCst on both sides: either this load sees the store, or the publisher sees `parked`.
        while self.published.load(Ordering::SeqCst) < sequence.0 && !self.is_stopped() {
            self.advanced.wait(&mut guard);
        }
        self.parked.fetch_sub(1, Ordering::SeqCst);
        if self.last() >= sequence {
            Ok(())
        } else {
            Err(stopped())
        }
    }

    /// Stops publication for good (P2).
    pub(super) fn stop(&self) {
        let guard = self.lock.lock();
        self.stopped.store(true, Ordering::SeqCst);
        drop(guard);
        self.advanced.notify_all();
    }

    /// Whether publication has been stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// The error of every write after a stop.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_stopped() {
            Err(stopped())
        } else {
            Ok(())
        }
    }
}

fn stopped() -> Error {
    Error::internal(
        "a write failed half way in memory, so no later one can be made; reopen the database",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sync::Arc;

    #[test]
    fn numbers_appear_in_order_whatever_the_order_of_the_threads() {
        let publisher = Arc::new(Publisher::new(SequenceNumber(0)));
        std::thread::scope(|scope| {
            for number in (1..=16u64).rev() {
                let publisher = Arc::clone(&publisher);
                scope.spawn(move || {
                    publisher
                        .publish(SequenceNumber(number - 1), SequenceNumber(number))
                        .unwrap();
                    assert!(publisher.last() >= SequenceNumber(number));
                });
            }
        });
        assert_eq!(publisher.last(), SequenceNumber(16));
    }

    #[test]
    fn a_stop_wakes_those_who_wait_for_a_number_that_never_comes() {
        let publisher = Arc::new(Publisher::new(SequenceNumber(0)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| publisher.publish(SequenceNumber(1), SequenceNumber(2)));
            publisher.stop();
            assert_eq!(
                waiter.join().unwrap().unwrap_err().kind(),
                ErrorKind::Internal
            );
        });
    }
}
