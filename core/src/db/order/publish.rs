//! Publication: making sequence numbers visible to readers, in order.
//!
//! Commits get tickets 0, 1, 2 and so on, in the order of their sequence numbers, and insert into the memtable
//! in parallel. A commit that has finished inserting publishes its own numbers, and those of later commits that
//! finished before it. If an earlier commit is not finished, a commit leaves its numbers to that one and
//! returns: a writer never waits for another writer's insert. So a write may be acknowledged a moment before it
//! is published, and a read that begins in that moment waits for it. The wait is as long as another thread's
//! insert: the reader spins about that long, and then parks, because that thread must have lost its processor.
//!
//! * PUBLISH-1  `published` only grows, and n is published only when the entries of all numbers up to n are in their
//!              memtables.
//! * PUBLISH-2  Once stopped (because an insert failed or panicked, so that `published` can never advance, or
//!              because durable tables were not published in memory), every waiter gets an error.
//! * PUBLISH-3  A number from [`Publisher::read_point`] is >= that of every write acknowledged before the call.

use crate::error::{Error, Result};
use crate::key::SequenceNumber;
use crate::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use crate::sync::{Condvar, Mutex, spin_loop, yield_now};

/// Only one under the model checker, which is to explore parking.
const SPINS: u32 = if cfg!(shuttle) { 1 } else { 50 };
const YIELDS: u32 = if cfg!(shuttle) { 1 } else { 2 };
/// How far a commit may be ahead of the first one that has not inserted; one further ahead waits. Few under the model
/// checker, so that some do wait.
const SLOTS: u64 = if cfg!(shuttle) { 2 } else { 256 };

/// The last number that readers may see.
pub(super) struct Publisher {
    published: AtomicU64,
    /// The last number that was acknowledged before it was published.
    acknowledged: AtomicU64,
    /// How many commits are published or about to be. This is the ticket of the first commit that may not have
    /// inserted.
    next: AtomicU64,
    /// A commit that has inserted, in the slot of its ticket.
    inserted: Box<[Slot]>,
    stopped: AtomicBool,
    parked: AtomicUsize,
    lock: Mutex<()>,
    advanced: Condvar,
}

#[derive(Default)]
struct Slot {
    /// One more than the ticket that last filled the slot.
    filled: AtomicU64,
    /// The last number of that commit.
    last: AtomicU64,
}

impl Publisher {
    pub(super) fn new(last: SequenceNumber) -> Publisher {
        Publisher {
            published: AtomicU64::new(last.0),
            acknowledged: AtomicU64::new(last.0),
            next: AtomicU64::new(0),
            inserted: (0..SLOTS).map(|_| Slot::default()).collect(),
            stopped: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            lock: Mutex::new(()),
            advanced: Condvar::new(),
        }
    }

    /// The last published number.
    #[inline]
    pub(super) fn last(&self) -> SequenceNumber {
        SequenceNumber(self.published.load(Acquire))
    }

    /// The last published number, after waiting until every write acknowledged so far is published (PUBLISH-3).
    #[inline]
    pub(super) fn read_point(&self) -> Result<SequenceNumber> {
        match self.read_point_now() {
            Some(published) => Ok(published),
            None => {
                let acknowledged = SequenceNumber(self.acknowledged.load(Acquire));
                self.wait_for(acknowledged)?;
                let published = self.last();
                debug_assert!(published >= acknowledged, "PUBLISH-3");
                Ok(published)
            }
        }
    }

    /// [`Publisher::read_point`] if it would not wait; otherwise `None`.
    #[inline]
    pub(super) fn read_point_now(&self) -> Option<SequenceNumber> {
        let published = self.last();
        let acknowledged = SequenceNumber(self.acknowledged.load(Acquire));
        (acknowledged <= published).then_some(published)
    }

    /// Publishes the numbers up to `last` of the commit with this ticket, now or as soon as all earlier commits are
    /// published.
    pub(super) fn publish(&self, ticket: u64, last: SequenceNumber) -> Result<()> {
        debug_assert!(
            self.next.load(Acquire) <= ticket,
            "PUBLISH-1: a ticket publishes once"
        );
        if self.next.load(Acquire) == ticket {
            // No other commit publishes now: earlier ones have published, and later ones wait for this one.
            debug_assert!(
                self.published.load(Relaxed) < last.0,
                "PUBLISH-1: the number only grows"
            );
            self.published.store(last.0, Release);
            self.next.store(ticket + 1, Release);
            // Either the loads below see that another thread has inserted or parked, or that thread sees these
            // stores.
            fence(SeqCst);
            self.publish_inserted();
            self.wake();
            return Ok(());
        }
        self.wait_until(|| ticket - self.next.load(SeqCst) < SLOTS)?;
        let slot = self.slot(ticket);
        debug_assert!(
            slot.filled.load(Relaxed) <= ticket,
            "PUBLISH-1: the commit that had the slot before is published"
        );
        slot.last.store(last.0, Relaxed);
        // SeqCst here and at the load of the slot: either the earlier commit sees this slot filled, or this commit
        // sees that it is next.
        slot.filled.store(ticket + 1, SeqCst);
        if self.publish_inserted() {
            self.wake();
        }
        if self.last() < last {
            self.acknowledged.fetch_max(last.0, SeqCst);
        }
        Ok(())
    }

    /// Publishes the next commits as far as they have inserted; returns whether there was one.
    fn publish_inserted(&self) -> bool {
        let mut any = false;
        let mut next = self.next.load(SeqCst);
        loop {
            let slot = self.slot(next);
            if slot.filled.load(SeqCst) != next + 1 {
                return any;
            }
            let last = slot.last.load(Relaxed);
            match self.next.compare_exchange(next, next + 1, SeqCst, SeqCst) {
                // The slot still belonged to this ticket when `last` was read, because it is used again only after
                // `next` has moved.
                Ok(_) => {
                    self.published.fetch_max(last, SeqCst);
                    any = true;
                    next += 1;
                }
                Err(now) => next = now,
            }
        }
    }

    fn slot(&self, ticket: u64) -> &Slot {
        &self.inserted[(ticket % SLOTS) as usize]
    }

    /// Wakes the threads that wait for a change of `next` or `published`.
    #[inline]
    fn wake(&self) {
        if self.parked.load(SeqCst) > 0 {
            drop(self.lock.lock());
            self.advanced.notify_all();
        }
    }

    /// Waits until `sequence` is published.
    pub(super) fn wait_for(&self, sequence: SequenceNumber) -> Result<()> {
        self.wait_until(|| self.published.load(SeqCst) >= sequence.0)
    }

    #[inline]
    fn wait_until(&self, done: impl Fn() -> bool) -> Result<()> {
        if done() {
            return Ok(());
        }
        self.wait_long(done)
    }

    #[cold]
    fn wait_long(&self, done: impl Fn() -> bool) -> Result<()> {
        for round in 0..SPINS + YIELDS {
            if done() {
                return Ok(());
            }
            if round < SPINS {
                spin_loop();
            } else {
                yield_now();
            }
        }
        let mut guard = self.lock.lock();
        self.parked.fetch_add(1, SeqCst);
        // SeqCst on both sides: either `done` sees the change, or the thread that made it sees `parked`.
        while !done() && !self.is_stopped() {
            self.advanced.wait(&mut guard);
        }
        self.parked.fetch_sub(1, SeqCst);
        if done() { Ok(()) } else { Err(stopped()) }
    }

    /// Stops publication for good (PUBLISH-2).
    pub(super) fn stop(&self) {
        let guard = self.lock.lock();
        self.stopped.store(true, SeqCst);
        drop(guard);
        self.advanced.notify_all();
    }

    /// Whether publication has been stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
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
        "a write or flush failed halfway in memory, so all later ones are refused; reopen the database",
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
                        .publish(number - 1, SequenceNumber(number))
                        .unwrap();
                    let seen = publisher.read_point().unwrap();
                    assert!(seen >= SequenceNumber(number), "PUBLISH-3");
                });
            }
        });
        assert_eq!(publisher.last(), SequenceNumber(16));
    }

    #[test]
    fn a_commit_behind_one_that_is_not_done_leaves_its_numbers_to_it() {
        let publisher = Publisher::new(SequenceNumber(10));
        publisher.publish(1, SequenceNumber(15)).unwrap();
        publisher.publish(2, SequenceNumber(16)).unwrap();
        assert_eq!(publisher.last(), SequenceNumber(10), "PUBLISH-1");
        assert_eq!(publisher.read_point_now(), None, "PUBLISH-3");
        publisher.publish(0, SequenceNumber(12)).unwrap();
        assert_eq!(publisher.last(), SequenceNumber(16));
        assert_eq!(publisher.read_point_now(), Some(SequenceNumber(16)));
        assert_eq!(publisher.read_point().unwrap(), SequenceNumber(16));
    }

    #[test]
    fn as_many_commits_as_there_are_slots_may_be_ahead_and_one_more_waits() {
        let publisher = Publisher::new(SequenceNumber(0));
        for ticket in 1..=SLOTS - 1 {
            publisher
                .publish(ticket, SequenceNumber(ticket + 1))
                .unwrap();
        }
        std::thread::scope(|scope| {
            let ahead = scope.spawn(|| publisher.publish(SLOTS, SequenceNumber(SLOTS + 1)));
            while publisher.parked.load(SeqCst) == 0 {
                yield_now();
            }
            assert_eq!(publisher.last(), SequenceNumber(0), "PUBLISH-1");
            publisher.publish(0, SequenceNumber(1)).unwrap();
            ahead.join().unwrap().unwrap();
        });
        assert_eq!(publisher.last(), SequenceNumber(SLOTS + 1));
    }

    #[test]
    fn a_stop_wakes_those_who_wait_for_a_number_that_never_comes() {
        let publisher = Publisher::new(SequenceNumber(0));
        publisher.publish(1, SequenceNumber(2)).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| publisher.read_point());
            publisher.stop();
            let error = waiter.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
        });
    }
}
