//! Snapshots: sequence numbers that readers have pinned.
//!
//! * SNAPSHOT-1  A number is registered before any compaction that starts later decides which entries no reader
//!               can see: both happen under the list's lock ([`SnapshotList::pin`], [`SnapshotList::visible`]).
//! * SNAPSHOT-2  A snapshot holds its number until its last clone is dropped, even after its database is
//!               closed.
//! * SNAPSHOT-4  A compaction that a number held back can ask to be woken once when it is released
//!               ([`SnapshotList::await_release`]). The request and the release happen under the same lock, so
//!               no release is missed.
//! * SNAPSHOT-3  A snapshot dropped in a forked child touches nothing: a thread that exists only in the parent
//!               may hold the list's lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::key::SequenceNumber;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};

/// A fixed point in the order of all writes, at which reads can be made.
///
/// A read at it sees exactly the writes acknowledged before it was taken, whatever is flushed, compacted or
/// deleted afterwards. It is cheap to clone (a counted reference) and to drop, on any thread, before or after
/// its database. While it is held, the entries that it can see take space on disk.
#[derive(Clone)]
pub struct Snapshot {
    pin: Arc<Pin>,
}

struct Pin {
    list: Arc<SnapshotList>,
    sequence: SequenceNumber,
}

impl Drop for Pin {
    fn drop(&mut self) {
        // SNAPSHOT-3.
        if crate::env::fork_count() == self.list.forks {
            self.list.release(self.sequence);
        }
    }
}

impl Snapshot {
    /// The sequence number of the last write that the snapshot sees.
    pub fn sequence(&self) -> SequenceNumber {
        self.pin.sequence
    }

    /// Whether `list` is the list in which this snapshot is registered.
    pub(crate) fn belongs_to(&self, list: &Arc<SnapshotList>) -> bool {
        Arc::ptr_eq(&self.pin.list, list)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({})", self.sequence())
    }
}

/// The sequence numbers pinned in one database, and how often each is pinned.
pub(crate) struct SnapshotList {
    pinned: Mutex<Pinned>,
    /// Whether an awaited number was released (SNAPSHOT-4).
    is_released: AtomicBool,
    /// Called after such a release. It runs wherever a snapshot is dropped, so it must not lock or block.
    wake: Box<dyn Fn() + Send + Sync>,
    /// `fork_count` of the process that it belongs to (SNAPSHOT-3).
    forks: u32,
}

#[derive(Default)]
struct Pinned {
    counts: BTreeMap<SequenceNumber, usize>,
    /// How many snapshots there are.
    total: usize,
    awaited: BTreeSet<SequenceNumber>,
}

impl SnapshotList {
    /// An empty list that calls `wake` when an awaited number is released.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> SnapshotList {
        SnapshotList {
            pinned: Mutex::default(),
            is_released: AtomicBool::new(false),
            wake: Box::new(wake),
            forks: crate::env::fork_count(),
        }
    }

    /// Pins the number that `latest` reads under the list's lock (SNAPSHOT-1).
    pub(crate) fn pin(self: &Arc<Self>, latest: impl FnOnce() -> SequenceNumber) -> Snapshot {
        let mut pinned = self.pinned.lock();
        let sequence = latest();
        debug_assert!(
            pinned.counts.len() <= pinned.total,
            "SNAPSHOT-2: every pinned number has its snapshot"
        );
        pinned.total += 1;
        *pinned.counts.entry(sequence).or_insert(0) += 1;
        Snapshot {
            pin: Arc::new(Pin {
                list: Arc::clone(self),
                sequence,
            }),
        }
    }

    /// Pins the oldest pinned number once more.
    pub(crate) fn pin_oldest(self: &Arc<Self>) -> Option<Snapshot> {
        let mut pinned = self.pinned.lock();
        let pinned = &mut *pinned;
        let (sequence, count) = pinned.counts.iter_mut().next()?;
        debug_assert!(*count > 0, "SNAPSHOT-2: it was pinned");
        *count += 1;
        pinned.total += 1;
        Some(Snapshot {
            pin: Arc::new(Pin {
                list: Arc::clone(self),
                sequence: *sequence,
            }),
        })
    }

    fn release(&self, sequence: SequenceNumber) {
        let mut pinned = self.pinned.lock();
        debug_assert!(pinned.total > 0, "SNAPSHOT-2: the snapshot was counted");
        pinned.total = pinned.total.wrapping_sub(1);
        let Some(count) = pinned.counts.get_mut(&sequence) else {
            return;
        };
        debug_assert!(*count > 0, "SNAPSHOT-2: it was pinned");
        *count -= 1;
        if *count > 0 {
            return;
        }
        pinned.counts.remove(&sequence);
        if pinned.awaited.remove(&sequence) {
            drop(pinned);
            self.is_released.store(true, Ordering::Release);
            (self.wake)();
        }
    }

    /// Asks for a wake-up at the next release of any of `numbers`; replaces the former request. False if one of
    /// them is no longer pinned.
    pub(crate) fn await_release(&self, numbers: &[SequenceNumber]) -> bool {
        let mut pinned = self.pinned.lock();
        pinned.awaited.clear();
        for number in numbers {
            if !pinned.counts.contains_key(number) {
                return false;
            }
            pinned.awaited.insert(*number);
        }
        true
    }

    /// Whether an awaited number was released since the last call.
    pub(crate) fn take_released(&self) -> bool {
        self.is_released.swap(false, Ordering::Acquire)
    }

    /// The numbers that a compaction starting now must keep visible, ascending: every pinned one and, last, the
    /// number that `latest` reads under the list's lock (SNAPSHOT-1).
    pub(crate) fn visible(&self, latest: impl FnOnce() -> SequenceNumber) -> Vec<SequenceNumber> {
        let pinned = self.pinned.lock();
        let latest = latest();
        let mut numbers: Vec<_> = pinned
            .counts
            .keys()
            .copied()
            .filter(|number| *number < latest)
            .collect();
        numbers.push(latest);
        numbers
    }

    /// Every pinned number, unchecked.
    pub(crate) fn pinned(&self) -> Vec<SequenceNumber> {
        self.pinned.lock().counts.keys().copied().collect()
    }

    /// Removes a number, to simulate a bug.
    #[cfg(test)]
    pub(crate) fn forget(&self, sequence: SequenceNumber) {
        self.pinned.lock().counts.remove(&sequence);
    }

    /// Whether the numbers are exactly those of the existing snapshots.
    pub(crate) fn is_whole(&self) -> bool {
        let pinned = self.pinned.lock();
        pinned.counts.values().sum::<usize>() == pinned.total
    }

    /// How many different numbers are pinned.
    pub(crate) fn len(&self) -> usize {
        self.pinned.lock().counts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SNAPSHOT-2.
    #[test]
    fn a_number_is_pinned_until_the_last_clone_goes() {
        let list = Arc::new(SnapshotList::new(|| ()));
        let first = list.pin(|| SequenceNumber(3));
        let twin = first.clone();
        let other = list.pin(|| SequenceNumber(3));
        let latest = || SequenceNumber(9);
        assert_eq!(list.visible(latest), [SequenceNumber(3), SequenceNumber(9)]);
        drop((first, other));
        assert_eq!(list.visible(latest), [SequenceNumber(3), SequenceNumber(9)]);
        let again = list.pin_oldest().unwrap();
        drop(twin);
        assert_eq!(list.visible(latest), [SequenceNumber(3), SequenceNumber(9)]);
        assert_eq!(again.sequence(), SequenceNumber(3));
        drop(again);
        assert_eq!(list.visible(latest), [SequenceNumber(9)]);
        assert_eq!(list.len(), 0);
        assert!(list.pin_oldest().is_none());
    }
}

#[cfg(test)]
mod edges {
    use super::*;

    /// SNAPSHOT-4.
    #[test]
    fn only_the_last_release_of_an_awaited_number_is_reported_and_once() {
        let woken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&woken);
        let list = Arc::new(SnapshotList::new(move || {
            flag.store(true, Ordering::Relaxed)
        }));
        let pin = |number| list.pin(|| SequenceNumber(number));
        let (three, again, five) = (pin(3), pin(3), pin(5));
        assert!(!list.await_release(&[SequenceNumber(3), SequenceNumber(4)]));
        assert!(list.await_release(&[SequenceNumber(3)]));
        drop((three, five));
        assert!(!woken.load(Ordering::Relaxed) && !list.take_released());
        drop(again);
        assert!(woken.load(Ordering::Relaxed) && list.take_released() && !list.take_released());
        // After a release no request is left.
        drop(pin(3));
        assert!(!list.take_released());
    }

    #[test]
    fn numbers_that_are_lost_from_the_list_show() {
        let list = Arc::new(SnapshotList::new(|| ()));
        let pin = |number| list.pin(|| SequenceNumber(number));
        assert!(list.is_whole());
        let held = (pin(3), pin(3), pin(5), list.pin_oldest());
        assert!(list.is_whole());
        list.forget(SequenceNumber(5));
        assert!(!list.is_whole());
        drop(held);
        assert!(list.is_whole());
    }

    #[test]
    fn a_snapshot_knows_its_number_and_its_list_which_counts_different_numbers() {
        let [list, other] = [(); 2].map(|()| Arc::new(SnapshotList::new(|| ())));
        let held: Vec<_> = [3, 5, 3, 8]
            .map(|number| list.pin(|| SequenceNumber(number)))
            .into();
        assert_eq!(list.len(), 3);
        assert_eq!(held[1].sequence(), SequenceNumber(5));
        assert!(held[0].belongs_to(&list) && !held[0].belongs_to(&other));
        // Pinned numbers at or after the latest one count once, as the latest.
        for (latest, expected) in [(8, vec![3, 5, 8]), (5, vec![3, 5]), (9, vec![3, 5, 8, 9])] {
            let visible = list.visible(|| SequenceNumber(latest));
            let visible: Vec<u64> = visible.iter().map(|number| number.0).collect();
            assert_eq!(visible, expected);
        }
    }
}
