//! The leaves of a memtable: nodes of records, and walking from one record to the next.
//!
//! * LEAF-1  A [`Spot`] is the former place of a record. If the leaf has changed since, a search for the
//!           record's key finds its place.
//!
//! Elsewhere: searching, changing and splitting a node (`node.rs`), finding a leaf (`index.rs`).

#![expect(
    unsafe_code,
    reason = "an item is the address of a record; a holder of a memtable can keep its spots"
)]

use super::arena::Record;
use super::node::{Cut, Item, Node, SLOTS};
use crate::key::{KeyRef, Trailer};
use crate::prefetch::prefetch;

/// A step prefetches the record that is this many steps ahead.
const STEPS_AHEAD: usize = 4;
const LINE_BYTES: usize = 64;

/// A node whose items are records.
pub(super) type Leaf = Node<u8>;

/// The first byte of a record.
impl Item for u8 {
    unsafe fn record<'a>(address: *mut u8) -> Option<Record<'a>> {
        // SAFETY: by the caller's promise, which is the same.
        unsafe { Record::from_address(address) }
    }
}

/// A record and where it was found.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) record: Record<'a>,
    leaf: &'a Leaf,
    index: usize,
    /// The leaf's version when the record was at `index`.
    version: u64,
}

impl Leaf {
    /// The first record to the right of the cut if it may have the cut's user key. Same requirement as for `look`.
    pub(super) fn candidate(&self, cut: &Cut<'_>) -> Option<Record<'_>> {
        let seen = self.look(cut, |leaf, count, (index, tied)| {
            if index == count {
                leaf.high()
            } else if tied {
                leaf.record(index)
            } else {
                None
            }
        });
        seen.0
    }

    /// The first record to the right of the cut. Same requirement as for `look`.
    pub(super) fn first_right_of(&self, cut: &Cut<'_>) -> Option<Spot<'_>> {
        let (seen, leaf, version) = self.look(cut, |leaf, count, (index, _)| {
            if index < count {
                (index, leaf.record(index), None)
            } else {
                (index, None, leaf.next())
            }
        });
        match seen {
            (index, Some(record), _) => Some(Spot {
                record,
                leaf,
                index,
                version,
            }),
            (_, None, next) => next.and_then(Leaf::first),
        }
    }

    /// The last record to the left of the cut. Same requirement as for `look`.
    pub(super) fn last_left_of(&self, cut: &Cut<'_>) -> Option<Spot<'_>> {
        let (seen, leaf, version) = self.look(cut, |leaf, _, (index, _)| {
            let index = index.checked_sub(1)?;
            Some((index, leaf.record(index)?))
        });
        debug_assert!(
            seen.is_some() || leaf.low().is_none(),
            "NODE-3: the low bound is a record of the leaf"
        );
        seen.map(|(index, record)| Spot {
            record,
            leaf,
            index,
            version,
        })
    }

    /// How many records there are from `start` up to `end`, which is not to its left. Same requirement as for `look`
    /// with `start`. A leaf that splits meanwhile may be counted as it was before or after.
    ///
    /// Cost: a step per leaf.
    pub(super) fn count_between(&self, start: &Cut<'_>, end: Option<&Cut<'_>>) -> u64 {
        let (before, mut leaf, _) = self.look(start, |_, _, (index, _)| index);
        let mut records = 0;
        while let Some(next) = leaf
            .next()
            .filter(|_| end.is_none_or(|end| leaf.ends_before(end)))
        {
            records += leaf.count();
            leaf = next;
        }
        records += match end {
            // The leaf may have split since it was seen to end after the cut.
            Some(end) => leaf.look(end, |_, _, (index, _)| index).0,
            None => leaf.count(),
        };
        records.saturating_sub(before) as u64
    }

    /// The first record of this leaf and the leaves to its right.
    pub(super) fn first(&self) -> Option<Spot<'_>> {
        loop {
            let version = self.start_reading();
            let (count, record) = (self.count(), self.record(0));
            if self.is_unchanged(version) {
                return record.filter(|_| count > 0).map(|record| Spot {
                    record,
                    leaf: self,
                    index: 0,
                    version,
                });
            }
        }
    }

    /// The last record of all.
    pub(super) fn last(&self) -> Option<Spot<'_>> {
        let mut leaf = self;
        loop {
            let version = leaf.start_reading();
            if let Some(next) = leaf.next() {
                leaf = next;
                continue;
            }
            let index = leaf.count().checked_sub(1);
            let record = index.and_then(|index| leaf.record(index));
            if leaf.is_unchanged(version) {
                return Some(Spot {
                    record: record?,
                    leaf,
                    index: index?,
                    version,
                });
            }
        }
    }
}

impl<'a> Spot<'a> {
    /// The spot of the next record.
    #[inline]
    pub(super) fn next(self) -> Option<Spot<'a>> {
        let Spot { leaf, version, .. } = self;
        let index = self.index + 1;
        if leaf.is_at(version) {
            if index < leaf.count() {
                if let Some(record) = leaf.record(index)
                    && leaf.is_unchanged(version)
                {
                    self.prefetch_record(index.wrapping_add(STEPS_AHEAD));
                    return Some(Spot {
                        record,
                        index,
                        ..self
                    });
                }
            } else {
                let next = leaf.next();
                if leaf.is_unchanged(version) {
                    return next.and_then(Leaf::first);
                }
            }
        }
        // The low bound is at or before this record (NODE-3), so it is left of the cut after the record.
        leaf.first_right_of(&Cut::after(self.record.key()))
    }

    /// The first spot after all records with this one's user key, of which `user_key` is a copy. `Err` if it cannot
    /// be found from this leaf; then the caller must search for the leaf.
    #[inline]
    pub(super) fn after_key<'k>(
        self,
        user_key: &'k [u8],
    ) -> std::result::Result<Option<Spot<'a>>, Cut<'k>> {
        debug_assert!(
            self.record.user_key() == user_key,
            "LEAF-1: the key is that of the spot's record"
        );
        let cut = Cut::after(KeyRef::new(user_key, Trailer::OLDEST));
        // Even if that changes now, the search below finds the right leaf.
        match self.leaf.ends_before(&cut) {
            true => Err(cut),
            // The low bound is at or before this record, so it is left of the cut.
            false => Ok(self.leaf.first_right_of(&cut)),
        }
    }

    /// Prefetches what the next steps forward will read.
    #[inline]
    pub(super) fn prefetch_next(self) {
        for steps in 1..=STEPS_AHEAD {
            self.prefetch_record(self.index.wrapping_add(steps));
        }
    }

    /// Prefetches the record at `index`, or another one if the leaf has none there.
    #[inline]
    fn prefetch_record(self, index: usize) {
        let record = self.leaf.item(index % SLOTS);
        prefetch(record);
        prefetch(record.wrapping_add(LINE_BYTES));
    }

    /// The spot of the record before this one. `Err` if it cannot be found from this leaf; then the caller must
    /// search for the leaf to the left.
    #[inline]
    pub(super) fn previous(self) -> std::result::Result<Option<Spot<'a>>, Cut<'a>> {
        let Spot { leaf, version, .. } = self;
        if self.index > 0
            && leaf.is_at(version)
            && let Some(record) = leaf.record(self.index - 1)
            && leaf.is_unchanged(version)
        {
            self.prefetch_record(self.index.wrapping_sub(1 + STEPS_AHEAD));
            return Ok(Some(Spot {
                record,
                index: self.index - 1,
                ..self
            }));
        }
        let cut = Cut::before(self.record.key());
        if leaf.low() == Some(self.record) {
            return Err(cut);
        }
        // The low bound is before this record, so it is left of the cut.
        Ok(leaf.last_left_of(&cut))
    }

    /// The same spot, for a holder that keeps the memtable alive by other means.
    ///
    /// # Safety
    /// The result must not be used after the memtable is dropped, and must not be passed to code that might.
    pub(super) unsafe fn without_lifetime(self) -> Spot<'static> {
        // SAFETY: only the lifetime changes, and the caller takes care of that.
        unsafe { std::mem::transmute::<Spot<'a>, Spot<'static>>(self) }
    }
}
