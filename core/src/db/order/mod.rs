//! The order of writes as readers see it: which sequence numbers are published, and which are pinned.
//!
//! Locks: those of the publisher and of the list of snapshots; both are leaves, so no other lock is taken under
//! them.
//!
//! * ORDER-1  A reader loads the superversion first and takes its number second (SUPERVERSION-2); a compaction
//!            reads the visible numbers before it drops an entry.

use crate::compaction::Readers;
use crate::error::{Error, Result};
use crate::key::SequenceNumber;
use crate::memory;
use crate::snapshot::{Snapshot, SnapshotList};
use crate::sync::Arc;

use self::publish::Publisher;
pub(super) use self::stop::StopUnlessDone;

#[cfg(all(test, shuttle))]
mod models;
mod publish;
mod stop;

/// How many allocations a snapshot makes: its pin, and a node of the list.
const SNAPSHOT_PIECES: usize = 2;

/// See the head of the file.
pub(super) struct Order {
    publisher: Publisher,
    snapshots: Arc<SnapshotList>,
}

impl Order {
    /// An order in which everything up to `last` is published. It calls `wake` after the release of a snapshot that
    /// held a compaction back.
    pub(super) fn new(last: SequenceNumber, wake: impl Fn() + Send + Sync + 'static) -> Order {
        Order {
            publisher: Publisher::new(last),
            snapshots: Arc::new(SnapshotList::new(wake)),
        }
    }

    /// The last published number.
    #[inline]
    pub(super) fn last(&self) -> SequenceNumber {
        self.publisher.last()
    }

    /// The number at which to read: the snapshot's, or the last published one, which is at or after that of every
    /// acknowledged write.
    // Always inlined: the call would be one percent of a get.
    #[inline(always)]
    pub(super) fn read_at(&self, snapshot: Option<&Snapshot>) -> Result<SequenceNumber> {
        match snapshot {
            None => self.publisher.read_point(),
            Some(snapshot) if snapshot.belongs_to(&self.snapshots) => {
                debug_assert!(
                    snapshot.sequence() <= self.publisher.last(),
                    "SNAPSHOT-1: what a snapshot sees is published"
                );
                Ok(snapshot.sequence())
            }
            Some(_) => Err(Error::invalid_argument(
                "the snapshot is of another database",
            )),
        }
    }

    /// [`Order::read_at`] for a reader that must not wait; `None` if it would have to.
    pub(super) fn read_now(&self, snapshot: Option<&Snapshot>) -> Result<Option<SequenceNumber>> {
        match snapshot {
            None => Ok(self.publisher.read_point_now()),
            Some(_) => self.read_at(snapshot).map(Some),
        }
    }

    /// Publishes the numbers up to `last` of the commit with this ticket, now or as soon as all earlier commits are
    /// published.
    #[inline]
    pub(super) fn publish(&self, ticket: u64, last: SequenceNumber) -> Result<()> {
        self.publisher.publish(ticket, last)
    }

    /// Waits until `sequence` is published.
    pub(super) fn wait_for(&self, sequence: SequenceNumber) -> Result<()> {
        self.publisher.wait_for(sequence)
    }

    /// Stops publication, and with it all writing, until the database is reopened.
    pub(super) fn stop(&self) {
        self.publisher.stop();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.publisher.is_stopped()
    }

    /// The error of every write after a stop.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        self.publisher.check()
    }

    /// Pins the last published number.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        // Waits before it takes the list's lock. The snapshot also sees what is published in between.
        self.publisher.read_point()?;
        memory::room_ahead(SNAPSHOT_PIECES, "a snapshot")?;
        Ok(self.pin())
    }

    /// [`Order::snapshot`] without the wait, of what is published now.
    pub(super) fn pin(&self) -> Snapshot {
        self.snapshots.pin(|| self.publisher.last())
    }

    /// Another snapshot at the number of the oldest one.
    pub(super) fn pin_oldest(&self) -> Option<Snapshot> {
        self.snapshots.pin_oldest()
    }

    /// How many snapshots there are.
    pub(super) fn snapshots(&self) -> usize {
        self.snapshots.len()
    }

    /// The sequence numbers of readers, ascending; the last is the newest published one (SNAPSHOT-1).
    pub(super) fn visible(&self) -> Vec<SequenceNumber> {
        self.snapshots.visible(|| self.publisher.last())
    }

    /// The possible readers now, for a ledger.
    pub(super) fn readers(&self) -> Readers {
        Readers {
            // While a snapshot is missing from the list, there may be a reader at any number.
            published: match self.snapshots.is_whole() {
                true => self.publisher.last(),
                false => SequenceNumber(0),
            },
            pinned: self.snapshots.pinned(),
        }
    }

    /// Asks for a wake-up at the next release of any of `numbers`; false if one of them is no longer pinned.
    pub(super) fn await_release(&self, numbers: &[SequenceNumber]) -> bool {
        debug_assert!(
            numbers
                .iter()
                .all(|number| *number <= self.publisher.last()),
            "SNAPSHOT-4: only published numbers are pinned"
        );
        self.snapshots.await_release(numbers)
    }

    /// Whether an awaited number was released since the last call.
    pub(super) fn take_released(&self) -> bool {
        self.snapshots.take_released()
    }

    /// Spoils the list of snapshots: removes this one from it.
    #[cfg(test)]
    pub(super) fn forget(&self, sequence: SequenceNumber) {
        self.snapshots.forget(sequence);
    }
}
