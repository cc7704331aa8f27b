//! Walks a memtable in both directions while other threads insert into it.
//!
//! * MEMTABLE-6  The iterator is on a record. Records never move, so the record's key defines the position, whatever
//!               other threads insert. If the leaf has changed, a step searches for the neighbour of that key, so no
//!               record is skipped or seen twice.
//!
//! Between two calls it holds no lock and pins nothing; it only keeps the memtable alive.

#![expect(
    unsafe_code,
    reason = "the iterator refers to a record of the memtable that it keeps alive itself"
)]

use super::Memtable;
use super::chunk::KeptChunk;
use super::leaf::Spot;
use super::node::Cut;
use crate::error::Result;
use crate::iterator::InternalIterator;
use crate::key::KeyRef;
use crate::sync::Arc;

/// See the head of the file.
pub(crate) struct MemtableIterator {
    /// Its position, inside `memtable`: valid as long as that lives, although the type says `'static`.
    spot: Option<Spot<'static>>,
    memtable: Arc<Memtable>,
}

impl Memtable {
    /// An iterator over all entries. It is on no entry until its first seek, and keeps the memtable alive.
    pub(crate) fn iter(self: &Arc<Self>) -> MemtableIterator {
        MemtableIterator::new(Arc::clone(self))
    }
}

impl MemtableIterator {
    fn new(memtable: Arc<Memtable>) -> MemtableIterator {
        MemtableIterator {
            spot: None,
            memtable,
        }
    }

    /// Extends the lifetime of a spot, for a holder of its memtable.
    fn keep(spot: Option<Spot<'_>>) -> Option<Spot<'static>> {
        // SAFETY: called only with spots of `self.memtable`, which lives as long as `self.spot`. The slices that
        // `key` and `value` return borrow `self`.
        spot.map(|spot| unsafe { spot.without_lifetime() })
    }

    /// Takes the memory of the current record; afterwards the iterator is on no entry.
    pub(crate) fn keep_entry(&mut self) -> Option<Arc<KeptChunk>> {
        let spot = self.spot.take()?;
        self.memtable.index.keep(spot.record)
    }

    fn here(&self) -> Spot<'_> {
        self.spot.expect("the caller has checked `valid`")
    }
}

impl InternalIterator for MemtableIterator {
    fn valid(&self) -> bool {
        self.spot.is_some()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.spot = Self::keep(self.memtable.index.first());
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.spot = Self::keep(self.memtable.index.last());
        Ok(())
    }

    fn seek(&mut self, target: KeyRef<'_>) -> Result<()> {
        self.spot = Self::keep(self.memtable.index.first_right_of(&Cut::before(target)));
        debug_assert!(
            self.spot.is_none_or(|spot| target <= spot.record.key()),
            "MEMTABLE-6: the record is at or after the target"
        );
        if let Some(spot) = self.spot {
            spot.prefetch_next();
        }
        Ok(())
    }

    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()> {
        self.spot = Self::keep(self.memtable.index.last_left_of(&Cut::after(target)));
        debug_assert!(
            self.spot.is_none_or(|spot| spot.record.key() <= target),
            "MEMTABLE-6: the record is at or before the target"
        );
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let before = self.spot;
        self.spot = Self::keep(self.here().next());
        debug_assert!(
            self.spot
                .zip(before)
                .is_none_or(|(spot, before)| before.record.key() < spot.record.key()),
            "MEMTABLE-6: the next record is after this one"
        );
        Ok(())
    }

    #[inline]
    fn next_key(&mut self, user_key: &[u8]) -> Result<()> {
        self.next()?;
        if self
            .spot
            .is_none_or(|spot| spot.record.user_key() != user_key)
        {
            return Ok(());
        }
        // There are more versions, perhaps very many. Search the leaf for their end, or else the directory.
        let spot = match self.here().after_key(user_key) {
            Ok(spot) => spot,
            Err(cut) => self.memtable.index.first_right_of(&cut),
        };
        self.spot = Self::keep(spot);
        debug_assert!(
            self.spot
                .is_none_or(|spot| user_key < spot.record.user_key()),
            "MEMTABLE-6: every version of the key is passed"
        );
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        let before = self.spot;
        let spot = match self.here().previous() {
            Ok(spot) => spot,
            Err(cut) => self.memtable.index.last_left_of(&cut),
        };
        self.spot = Self::keep(spot);
        debug_assert!(
            self.spot
                .zip(before)
                .is_none_or(|(spot, before)| spot.record.key() < before.record.key()),
            "MEMTABLE-6: the record is before this one"
        );
        Ok(())
    }

    #[inline]
    fn key(&self) -> KeyRef<'_> {
        self.here().record.key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.here().record.value()
    }
}
