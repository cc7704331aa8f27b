//! Walks the entries of a flat block in both directions.
//!
//! * FLAT-1  The cursor is on an entry of its block, whose index is below the count, or on none.
//!
//! It holds a counted reference to its block (BLOCK-6). Cost: a step reads one offset and one entry.
//!
//! Elsewhere: walking a run of entries known to be visible (`sstable/span.rs`), which starts from the cursor's
//! spots.

use std::ops::Range;

use super::flat::{ENTRY_HEAD_BYTES, Flat, LINE_BYTES, Layout, Spot};
use super::memory::Block;
use crate::key::{KeyRef, Trailer};
use crate::prefetch::prefetch_byte;

/// How far ahead a step prefetches.
const STEP_AHEAD_BYTES: usize = 512;
/// How many cache lines a seek prefetches after the entry that it finds.
const SEEK_LINES: usize = 8;

/// See the head of the file.
#[derive(Clone)]
pub(crate) struct FlatCursor {
    block: Block,
    layout: Layout,
    /// Its index is `layout.count` if the cursor is on no entry.
    pub(super) spot: Spot,
}

impl FlatCursor {
    /// A cursor on no entry; returns the block if it is not flat.
    pub(in crate::sstable) fn new(block: Block) -> Result<FlatCursor, Block> {
        let Some(layout) = block.layout() else {
            return Err(block);
        };
        Ok(FlatCursor {
            block,
            layout,
            spot: Spot {
                index: layout.count,
                trailer: Trailer::OLDEST,
                repeats: false,
                at: 0,
                value_start: 0,
                end: 0,
            },
        })
    }

    #[inline]
    pub(super) fn flat(&self) -> Flat<'_> {
        Flat::new(self.block.bytes(), self.layout)
    }

    #[inline]
    pub(in crate::sstable) fn valid(&self) -> bool {
        self.spot.index < self.layout.count
    }

    #[inline]
    pub(in crate::sstable) fn key(&self) -> KeyRef<'_> {
        debug_assert!(self.valid(), "FLAT-1: on an entry");
        let Spot {
            at,
            trailer,
            value_start,
            ..
        } = self.spot;
        let bytes = self.block.bytes();
        KeyRef::new(&bytes[at + ENTRY_HEAD_BYTES..value_start], trailer)
    }

    #[inline]
    pub(in crate::sstable) fn value(&self) -> &[u8] {
        debug_assert!(self.valid(), "FLAT-1: on an entry");
        &self.block.bytes()[self.spot.value_start..self.spot.end]
    }

    /// The number of entries in the block.
    pub(in crate::sstable) fn count(&self) -> usize {
        self.layout.count
    }

    /// The number of entries before the current one; the number of all if the cursor is on none.
    #[inline]
    pub(in crate::sstable) fn index(&self) -> usize {
        self.spot.index
    }

    /// Moves to entry `index`; to none if that is `count`.
    #[inline]
    pub(in crate::sstable) fn go(&mut self, index: usize) {
        debug_assert!(
            index <= self.layout.count,
            "FLAT-1: on an entry, or on none"
        );
        self.spot.index = index;
        if index < self.layout.count {
            let flat = self.flat();
            self.spot = flat.spot(index, flat.offset(index), flat.offset(index + 1));
        }
    }

    /// The spot of the next entry. Requires that there is one.
    #[inline]
    pub(in crate::sstable) fn after(&self) -> Spot {
        debug_assert!(
            self.spot.index + 1 < self.layout.count,
            "FLAT-1: there is a next entry"
        );
        let (flat, index) = (self.flat(), self.spot.index + 1);
        prefetch_byte(flat.bytes, self.spot.end + STEP_AHEAD_BYTES);
        flat.spot(index, self.spot.end, flat.offset(index + 1))
    }

    /// The spot of the previous entry. Requires that there is one.
    #[inline]
    pub(in crate::sstable) fn before(&self) -> Spot {
        debug_assert!(
            self.spot.index > 0 && self.valid(),
            "FLAT-1: there is a previous entry"
        );
        let (flat, index) = (self.flat(), self.spot.index - 1);
        prefetch_byte(flat.bytes, self.spot.at.wrapping_sub(STEP_AHEAD_BYTES));
        flat.spot(index, flat.offset(index), self.spot.at)
    }

    /// Moves to a spot that came from [`FlatCursor::after`] or [`FlatCursor::before`].
    #[inline]
    pub(in crate::sstable) fn stand(&mut self, spot: Spot) {
        debug_assert!(
            spot.index.abs_diff(self.spot.index) == 1,
            "SPAN-1: a step leads to a neighbour"
        );
        debug_assert!(spot.index < self.layout.count, "FLAT-1: on an entry");
        self.spot = spot;
    }

    pub(in crate::sstable) fn seek_to_first(&mut self) {
        self.go(0);
    }

    pub(in crate::sstable) fn seek_to_last(&mut self) {
        debug_assert!(self.layout.count > 0, "LAYOUT-1: there is an entry");
        self.go(self.layout.count - 1);
    }

    /// Moves to the first entry at or after `target`; on none if all are before it.
    pub(in crate::sstable) fn seek(&mut self, target: KeyRef<'_>) {
        // The heads lead to the offsets, and both are needed, so prefetch them together.
        let offsets = 4 * self.layout.count;
        prefetch_byte(self.block.bytes(), offsets);
        prefetch_byte(self.block.bytes(), offsets + LINE_BYTES);
        let index = self.lower_bound(target);
        self.go(index);
        // Prefetch the entries of a short walk in either direction.
        for line in 1..=SEEK_LINES {
            let bytes = self.block.bytes();
            prefetch_byte(bytes, self.spot.at.wrapping_add(line * LINE_BYTES));
        }
    }

    /// The number of entries before `target`.
    pub(in crate::sstable) fn lower_bound(&self, target: KeyRef<'_>) -> usize {
        self.flat().lower_bound(target)
    }

    /// How many entries certainly have user keys < `user_key`, and up to which entry a key may be <= it. Cheaper than
    /// [`FlatCursor::lower_bound`]. Requires `valid`.
    #[inline]
    pub(in crate::sstable) fn around(&self, user_key: &[u8]) -> Range<usize> {
        debug_assert!(self.valid(), "FLAT-1: on an entry");
        self.flat().around(user_key, self.key().user_key)
    }

    #[inline]
    pub(in crate::sstable) fn next(&mut self) {
        debug_assert!(self.valid(), "FLAT-1");
        if self.spot.index + 1 < self.layout.count {
            self.spot = self.after();
        } else {
            self.spot.index = self.layout.count;
        }
    }

    /// Moves to the previous entry; to none if this was the first. Requires `valid`.
    #[inline]
    pub(in crate::sstable) fn prev(&mut self) {
        debug_assert!(self.valid(), "FLAT-1");
        if self.spot.index > 0 {
            self.spot = self.before();
        } else {
            self.spot.index = self.layout.count;
        }
    }

    /// Whether the previous entry has another user key; `None` if that entry is in another block. Requires `valid`.
    #[inline]
    pub(in crate::sstable) fn is_first_of_key(&self) -> Option<bool> {
        debug_assert!(self.valid(), "FLAT-1: on an entry");
        (self.spot.index > 0).then_some(!self.spot.repeats)
    }

    /// Whether the next entry has another user key; `None` if that entry is in another block. Requires `valid`.
    #[inline]
    pub(in crate::sstable) fn is_last_of_key(&self) -> Option<bool> {
        debug_assert!(self.valid(), "FLAT-1: on an entry");
        let next = self.spot.index + 1;
        (next < self.layout.count).then(|| !self.flat().repeats(next))
    }
}
