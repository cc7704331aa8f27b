//! A span: a run of entries of one flat block between which no other source has an entry. Walking it needs no
//! merge.
//!
//! A step of an iterator over many sources goes through several layers, although the next entry is mostly the
//! neighbour of the current one. If the iterator knows this for a whole run of entries, its user takes a span,
//! walks that, and moves the iterator to the end of the walk afterwards.
//!
//! * SPAN-1  A span is always on an entry within its limits that its reader sees: the newest version of its key
//!           up to the reader's number, and not a tombstone. It refuses a step that would break this.
//! * SPAN-2  The code that sets the limits ensures that no other source has an entry between those within, and
//!           that the key at the lower limit has no newer version before it. Within the limits the block says
//!           where a key begins (LAYOUT-1).
//!
//! Cost: a step reads an offset and the head of an entry.

use std::ops::Range;

use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::sstable::block::{FlatCursor, Spot};

/// See the head of the file.
pub(crate) struct Span {
    cursor: FlatCursor,
    within: Range<usize>,
    /// The newest trailer that its reader sees.
    newest: Trailer,
}

impl Span {
    /// A span from the entry of `cursor` to both ends of its block. Requires `valid`, and that SPAN-1 holds for the
    /// entry.
    pub(super) fn new(cursor: &FlatCursor, sequence: SequenceNumber) -> Span {
        debug_assert!(cursor.valid(), "SPAN-1: it stands on an entry");
        Span {
            within: 0..cursor.count(),
            cursor: cursor.clone(),
            newest: Trailer::visible_at(sequence),
        }
    }

    /// Excludes the block's first entry, unless it is the current one: the previous block may have newer versions of
    /// its key.
    pub(super) fn leave_out_first(&mut self) {
        self.within.start = self.index().min(1);
        debug_assert!(
            self.within.contains(&self.index()),
            "SPAN-1: it stands within its limits"
        );
    }

    /// Excludes the entries before the current one.
    pub(crate) fn begin_here(&mut self) {
        self.within.start = self.index();
        debug_assert!(
            self.within.contains(&self.index()),
            "SPAN-1: it stands within its limits"
        );
    }

    /// Excludes the entries after the current one.
    pub(crate) fn end_here(&mut self) {
        self.within.end = self.index() + 1;
        debug_assert!(
            self.within.contains(&self.index()),
            "SPAN-1: it stands within its limits"
        );
    }

    /// Excludes entries that may not come before another source's `user_key`. The current entry does come
    /// before it.
    #[inline]
    pub(crate) fn end_before_rival(&mut self, user_key: &[u8]) {
        let end = self.cursor.around(user_key).start.max(self.index() + 1);
        self.within.end = self.within.end.min(end);
        debug_assert!(
            self.within.contains(&self.index()),
            "SPAN-1: it stands within its limits"
        );
    }

    /// Excludes entries that may not come after another source's `user_key`. The current entry does come after
    /// it.
    #[inline]
    pub(crate) fn begin_after_rival(&mut self, user_key: &[u8]) {
        let start = self.cursor.around(user_key).end.min(self.index());
        self.within.start = self.within.start.max(start);
        debug_assert!(
            self.within.contains(&self.index()),
            "SPAN-1: it stands within its limits"
        );
    }

    /// Excludes entries < `limit`, which is <= the current entry.
    pub(crate) fn begin_at(&mut self, limit: KeyRef<'_>) {
        let start = self.cursor.lower_bound(limit);
        debug_assert!(start <= self.index(), "SPAN-1: it stands within its limits");
        self.within.start = self.within.start.max(start);
    }

    /// Excludes entries >= `limit`, which is > the current entry.
    pub(crate) fn end_before(&mut self, limit: KeyRef<'_>) {
        let end = self.cursor.lower_bound(limit);
        debug_assert!(end > self.index(), "SPAN-1: it stands within its limits");
        self.within.end = self.within.end.min(end);
    }

    /// Its position in the block.
    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.cursor.index()
    }

    /// The user key of this entry.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.cursor.key().user_key
    }

    /// The value of this entry.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    /// Moves to the next entry. Does not move, and returns false, unless that is certainly the next entry that the
    /// reader sees.
    #[inline]
    pub(crate) fn forward(&mut self) -> bool {
        if self.index() + 1 >= self.within.end {
            return false;
        }
        let spot = self.cursor.after();
        // An older version of the current key is not visible.
        if spot.repeats || !self.sees(spot) {
            return false;
        }
        self.cursor.stand(spot);
        true
    }

    /// Moves to the previous entry. Does not move, and returns false, unless that is certainly the previous entry
    /// that the reader sees.
    #[inline]
    pub(crate) fn backward(&mut self) -> bool {
        if self.index() <= self.within.start {
            return false;
        }
        let spot = self.cursor.before();
        // Going backward, the newest version of a key comes last, so there must be no other version.
        if spot.repeats || !self.sees(spot) {
            return false;
        }
        self.cursor.stand(spot);
        true
    }

    #[inline]
    fn sees(&self, spot: Spot) -> bool {
        debug_assert!(
            self.within.contains(&self.index()),
            "SPAN-1: it stands within its limits"
        );
        spot.trailer <= self.newest && spot.trailer.kind() == Some(ValueKind::Put)
    }
}

#[cfg(test)]
mod tests;
