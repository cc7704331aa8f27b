//! `Writes`: the writes of a transaction that is not committed.
//!
//! * WRITES-1  For each key it has the last write only, and a range delete removes the earlier writes of its keys. So
//!             the order does not matter, as long as the range deletes come first: all are committed together.
//! * WRITES-2  After [`Writes::undo_to`] a mark every key has the write that it had when the mark was made, or none.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, Deref};

use crate::batch::WriteBatch;
use crate::error::Result;
use crate::memory;
use crate::sync::Arc;
use crate::transaction::KeyRange;

/// The name of its memory in errors.
const WRITES: &str = "the writes of a transaction";
/// How many small allocations a write makes that are not checked one by one.
const WRITE_PIECES: usize = 6;

/// About the bytes of a key in the map, without its own.
const COPY_BYTES: usize = 128;
/// The most bytes that are allocated with their count, as one of the pieces that are not checked one by one.
const SMALL_BYTES: usize = 2048;

/// Bytes that several maps share.
#[derive(Clone)]
enum Bytes {
    Small(Arc<[u8]>),
    Large(Arc<Vec<u8>>),
}

impl Bytes {
    fn of(bytes: &[u8]) -> Result<Bytes> {
        Ok(match bytes.len() <= SMALL_BYTES {
            true => Bytes::Small(Arc::from(bytes)),
            false => Bytes::Large(Arc::new(memory::copy_of(bytes, WRITES)?)),
        })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Small(bytes) => bytes,
            Bytes::Large(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Bytes) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Bytes) -> Ordering {
        (**self).cmp(&**other)
    }
}

/// The last write to a key: a value, or `None` for a delete.
type Written = Option<Bytes>;

/// A key and its last write, as the methods show them.
type Shown<'a> = (&'a [u8], Option<&'a [u8]>);

/// A point to which writes can be undone: how many changes could be undone when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    changes: usize,
}

/// See the head of the file. Clones share the bytes.
#[derive(Clone, Default)]
pub(crate) struct Writes {
    last: BTreeMap<Bytes, Written>,
    /// Bytes of all keys and values in `last`.
    bytes: usize,
    /// All keys that range deletes delete: disjoint, ascending.
    deleted: Arc<Vec<KeyRange>>,
}

/// What undoes the changes since the oldest mark, oldest first.
#[derive(Default)]
pub(crate) struct Undo(Vec<Change>);

/// What there was before a change.
enum Change {
    /// The write of a key, if it had one.
    Write(Bytes, Option<Written>),
    /// The deleted ranges in whose place there is one now.
    Deleted {
        place: usize,
        removed: Vec<KeyRange>,
    },
}

fn value_length(written: &Written) -> usize {
    written.as_ref().map_or(0, |value| value.len())
}

fn shown<'a>((key, written): (&'a Bytes, &'a Written)) -> Shown<'a> {
    (key, written.as_ref().map(|value| &**value))
}

impl Undo {
    /// Bytes of the keys, values and bounds that it keeps.
    pub(crate) fn bytes(&self) -> usize {
        let changes = self.0.iter().map(|change| match change {
            Change::Write(key, written) => key.len() + written.as_ref().map_or(0, value_length),
            Change::Deleted { removed, .. } => removed.iter().map(KeyRange::bytes).sum(),
        });
        changes.sum()
    }
}

impl Writes {
    /// Records a put, or for `None` a delete. With `undo` the change can be undone.
    pub(crate) fn write(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        undo: Option<&mut Undo>,
    ) -> Result<()> {
        memory::room_ahead(WRITE_PIECES, WRITES)?;
        let key = Bytes::of(key)?;
        let value = value.map(Bytes::of).transpose()?;
        if let Some(Undo(changes)) = undo {
            let before = self.last.get(&key).cloned();
            memory::push(changes, Change::Write(key.clone(), before), WRITES)?;
        }
        self.set(key, Some(value));
        Ok(())
    }

    /// Records a range delete: of `[start, end)`, which has a key. With `undo` the change can be undone.
    pub(crate) fn delete_range(
        &mut self,
        start: &[u8],
        end: Option<&[u8]>,
        undo: Option<&mut Undo>,
    ) -> Result<()> {
        memory::room_ahead(WRITE_PIECES, WRITES)?;
        let mut range = KeyRange {
            start: memory::copy_of(start, WRITES)?,
            end: end.map(|end| memory::copy_of(end, WRITES)).transpose()?,
        };
        let bound = end.map_or(Bound::Unbounded, Bound::Excluded);
        let written = self.last.range::<[u8], _>((Bound::Included(start), bound));
        let inside = memory::collect(written.map(|(key, _)| key.clone()), WRITES)?;
        let mut passing = Vec::new();
        let changes = undo.map_or(&mut passing, |Undo(changes)| changes);
        memory::reserve(changes, inside.len() + 1, WRITES)?;
        if Arc::strong_count(&self.deleted) > 1 {
            self.room_for_copy()?;
        }
        let deleted = Arc::make_mut(&mut self.deleted);
        memory::reserve(deleted, 1, WRITES)?;
        for key in inside {
            let before = self.last.get(&key).cloned();
            changes.push(Change::Write(key.clone(), before));
            self.set(key, None);
        }
        // The new range takes the place of those that it meets, which lie together.
        let deleted = Arc::make_mut(&mut self.deleted);
        let place = deleted.partition_point(|other| other.ends_before(&range.start));
        let met = deleted[place..].partition_point(|other| range.touches(other));
        let removed: Vec<KeyRange> = deleted.drain(place..place + met).collect();
        for other in &removed {
            range = range.joined(other);
        }
        deleted.insert(place, range);
        changes.push(Change::Deleted { place, removed });
        debug_assert!(
            deleted.is_sorted_by(|range, next| !range.touches(next) && range.start < next.start),
            "WRITES-1: deleted ranges are disjoint"
        );
        Ok(())
    }

    /// The deleted range that `key` is in.
    pub(crate) fn deleted_range_of(&self, key: &[u8]) -> Option<&KeyRange> {
        let after = self.deleted.partition_point(|range| *range.start <= *key);
        let last = &self.deleted[after.checked_sub(1)?];
        last.contains(key).then_some(last)
    }

    /// Gives `key` this write, or none.
    fn set(&mut self, key: Bytes, written: Option<Written>) {
        let key_length = key.len();
        let added = written
            .as_ref()
            .map_or(0, |written| key_length + value_length(written));
        let removed = match written {
            Some(written) => self.last.insert(key, written),
            None => self.last.remove(&key),
        };
        let removed = removed.map_or(0, |removed| key_length + value_length(&removed));
        debug_assert!(
            removed <= self.bytes,
            "WRITES-1: the bytes are those of the last writes"
        );
        self.bytes = self.bytes + added - removed;
    }

    /// A mark for the present state. `undo` must get every later change.
    pub(crate) fn mark(undo: &Undo) -> Mark {
        Mark {
            changes: undo.0.len(),
        }
    }

    /// Takes back every change since `mark` (WRITES-2).
    pub(crate) fn undo_to(&mut self, mark: Mark, undo: &mut Undo) {
        debug_assert!(
            mark.changes <= undo.0.len(),
            "WRITES-2: no change from before the mark is missing"
        );
        while undo.0.len() > mark.changes
            && let Some(change) = undo.0.pop()
        {
            match change {
                Change::Write(key, before) => self.set(key, before),
                Change::Deleted { place, removed } => {
                    let deleted = Arc::make_mut(&mut self.deleted);
                    deleted.splice(place..=place, removed);
                }
            }
        }
    }

    /// The last write to `key`: `Some(None)` is a delete.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.last.get(key) {
            Some(written) => Some(written.as_ref().map(|value| &**value)),
            None => self.deleted_range_of(key).map(|_| None),
        }
    }

    /// The first written key within the bounds, with its write.
    pub(crate) fn first_from(&self, from: Bound<&[u8]>) -> Option<Shown<'_>> {
        let mut range = self.last.range::<[u8], _>((from, Bound::Unbounded));
        range.next().map(shown)
    }

    /// The last written key within the bounds, with its write.
    pub(crate) fn last_up_to(&self, to: Bound<&[u8]>) -> Option<Shown<'_>> {
        let mut range = self.last.range::<[u8], _>((Bound::Unbounded, to));
        range.next_back().map(shown)
    }

    /// How many operations it is.
    pub(crate) fn len(&self) -> usize {
        self.last.len() + self.deleted.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_empty() && self.deleted.is_empty()
    }

    /// Bytes of the written keys and values, and of the bounds of deleted ranges.
    pub(crate) fn bytes(&self) -> usize {
        let deleted: usize = self.deleted.iter().map(KeyRange::bytes).sum();
        self.bytes + deleted
    }

    /// Checks that there is memory for a copy, which shares keys and values.
    pub(crate) fn room_for_copy(&self) -> Result<()> {
        let ranges: usize = self.deleted.iter().map(KeyRange::bytes).sum();
        let bytes = self.last.len() * COPY_BYTES + self.deleted.len() * COPY_BYTES + ranges;
        // Freed at once, for the copy to take.
        memory::room_for::<u8>(bytes, WRITES).map(drop)
    }

    /// All of it as one batch: the range deletes, then the writes, each in the order of the keys (WRITES-1).
    pub(crate) fn to_batch(&self) -> Result<WriteBatch> {
        let mut batch = WriteBatch::with_room(self.len(), self.bytes() + self.deleted.len())?;
        for range in &*self.deleted {
            batch.delete_range(Some(&range.start), range.end.as_deref())?;
        }
        for (key, value) in self.last.iter().map(shown) {
            match value {
                Some(value) => batch.put(key, value)?,
                None => batch.delete(key)?,
            }
        }
        debug_assert!(
            batch.len() == self.len(),
            "WRITES-1: one operation for each key"
        );
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
