//! The superversion: memtables and version pinned together for a reader.
//!
//! * SUPERVERSION-1  Every write published so far is in `active`, in one of `sealed`, or in `version`; swaps
//!                   keep this true, because a flush adds the table's version and removes the memtable in one
//!                   store.
//! * SUPERVERSION-2  A reader loads the superversion first and the sequence number second. A compaction drops
//!                   only entries that are hidden at every number published when it began. So a reader's
//!                   superversion has every entry visible at a number that is read later.

use crate::key::{FileNumber, SequenceNumber};
use crate::memtable::Memtable;
use crate::range_deletes::{Coverage, RangeDeletes};
use crate::sync::Arc;
use crate::version::Version;

/// A memtable that takes no more writes and waits for its flush.
pub(in crate::db) struct Sealed {
    pub(super) memtable: Arc<Memtable>,
    /// The oldest log with a record of this memtable.
    pub(super) first_log: FileNumber,
    /// The number of its last write. It may be flushed once this number is published.
    pub(super) last_sequence: SequenceNumber,
}

impl Sealed {
    pub(in crate::db) fn new(
        memtable: Arc<Memtable>,
        first_log: FileNumber,
        last_sequence: SequenceNumber,
    ) -> Sealed {
        Sealed {
            memtable,
            first_log,
            last_sequence,
        }
    }

    #[inline]
    pub(in crate::db) fn memtable(&self) -> &Arc<Memtable> {
        &self.memtable
    }

    #[inline]
    pub(in crate::db) fn last_sequence(&self) -> SequenceNumber {
        self.last_sequence
    }
}

/// Everything that a read looks at, newest first. Immutable; replaced as a whole.
#[derive(Clone)]
pub(in crate::db) struct SuperVersion {
    pub(super) active: Arc<Memtable>,
    /// The oldest log with a record of the active memtable.
    pub(super) active_log: FileNumber,
    /// Newest first.
    pub(super) sealed: Vec<Arc<Sealed>>,
    pub(super) version: Arc<Version>,
}

impl SuperVersion {
    /// What opening found, with an empty memtable for log `active_log`. `sealed`: newest first.
    pub(in crate::db) fn new(
        active: Arc<Memtable>,
        active_log: FileNumber,
        sealed: Vec<Arc<Sealed>>,
        version: Arc<Version>,
    ) -> SuperVersion {
        debug_assert!(
            active.is_empty() && sealed.iter().all(|sealed| !sealed.memtable.is_empty()),
            "SUPERVERSION-1: what was replayed is sealed"
        );
        SuperVersion {
            active,
            active_log,
            sealed,
            version,
        }
    }

    #[inline]
    pub(in crate::db) fn active(&self) -> &Arc<Memtable> {
        &self.active
    }

    /// Newest first.
    #[inline]
    pub(in crate::db) fn sealed(&self) -> &[Arc<Sealed>] {
        &self.sealed
    }

    #[inline]
    pub(in crate::db) fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Whether it has a range delete. If the caller has loaded the published number before, this includes every range
    /// delete up to that number (MEMTABLE-7).
    #[inline]
    pub(super) fn has_range_deletes(&self) -> bool {
        let mut sealed = self.sealed.iter();
        self.version.range_deletes().is_some()
            || self.active.has_range_deletes()
            || sealed.any(|sealed| sealed.memtable.has_range_deletes())
    }

    /// The range deletes of each memtable and of the version.
    fn range_deletes(&self) -> impl Iterator<Item = Arc<RangeDeletes>> {
        let sealed = self.sealed.iter().map(|sealed| &sealed.memtable);
        let memtables = std::iter::once(&self.active).chain(sealed);
        let in_memtables = memtables
            .filter(|memtable| memtable.has_range_deletes())
            .filter_map(|memtable| memtable.range_deletes());
        in_memtables.chain(self.version.range_deletes().cloned())
    }

    /// What range deletes cover for a reader at `sequence`, which was published before this call; `None` if there are
    /// none.
    #[inline]
    pub(in crate::db) fn coverage(&self, sequence: SequenceNumber) -> Option<Coverage> {
        match self.has_range_deletes() {
            true => Coverage::of(self.range_deletes(), sequence),
            false => None,
        }
    }

    /// For a reader at `sequence`, which was published before this call, the number of the newest range delete that
    /// covers `key`; 0 if there is none.
    #[cold]
    pub(super) fn floor_under(&self, key: &[u8], sequence: SequenceNumber) -> SequenceNumber {
        let newest = self.range_deletes();
        let newest = newest.map(|ranges| ranges.newest(key, sequence));
        newest.max().unwrap_or_default()
    }

    /// Bytes of all memtables.
    pub(in crate::db) fn memtable_bytes(&self) -> usize {
        let sealed: usize = self
            .sealed
            .iter()
            .map(|sealed| sealed.memtable.memory())
            .sum();
        self.active.memory() + sealed
    }

    /// The oldest log that has a record of one of these memtables.
    pub(in crate::db) fn oldest_log(&self) -> FileNumber {
        let oldest = self.sealed.last();
        oldest.map_or(self.active_log, |sealed| sealed.first_log)
    }

    /// The oldest log still needed once the oldest sealed memtable is in a table.
    pub(in crate::db) fn log_after_flush(&self) -> FileNumber {
        let waiting = self.sealed.len();
        let needed = match waiting.checked_sub(2) {
            Some(next) => self.sealed[next].first_log,
            None => self.active_log,
        };
        debug_assert!(
            self.sealed
                .last()
                .is_none_or(|oldest| oldest.first_log <= needed),
            "FLUSH-2: no memtable needs an earlier log than an older memtable"
        );
        needed
    }
}
