//! Decides which entries a flush or a compaction keeps. Pure: sees keys, not tables.
//!
//! Entries come in the order of the tree: for one user key the newest first. Readers exist at certain sequence
//! numbers (`visible`, ascending; the last is the newest number published) and at any later one.
//!
//! * RETENTION-1  An entry stays if some reader sees it: if a visible number is >= its own and < that of the
//!                next newer entry of its key. An entry above all visible numbers stays: its readers are not
//!                known yet.
//! * RETENTION-2  A tombstone that RETENTION-1 keeps is dropped if it hides nothing: no older entry of its key
//!                stays in this compaction, and no deeper level can have the key. A range delete of its key that
//!                stays hides those for it.
//!
//! * RETENTION-3  An entry that a range delete covers is seen only by readers before the range delete (COVER-1): for
//!                RETENTION-1 the oldest such range delete is like a newer entry of the key. Only range deletes count
//!                that are in durable tables, or will be together with the entry.
//! * RETENTION-4  A range delete stays, whatever entries its start key has, unless it retires: no reader is before it,
//!                and no table but the inputs may have an entry that it covers. This compaction drops those in the
//!                inputs, and no memtable has any (FLUSH-8).
//!
//! RETENTION-2 depends on later entries. So tombstones that it might drop are held back until an older entry of
//! their key stays (then they stay too) or the key ends (then they are dropped).

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory::{self, KeptKey};
use crate::range_deletes::{Coverage, RangeDeletes};
use crate::sync::Arc;

/// Whether a reader sees the entry with number `sequence` if the next newer entry of its key has number `newer`
/// (RETENTION-1).
fn is_seen(
    sequence: SequenceNumber,
    newer: Option<SequenceNumber>,
    visible: &[SequenceNumber],
) -> bool {
    debug_assert!(
        newer.is_none_or(|newer| sequence < newer),
        "RETENTION-1: newest first"
    );
    let Some(newer) = newer else {
        return true;
    };
    // The first reader at or after the entry's number.
    match visible.get(visible.partition_point(|&number| number < sequence)) {
        Some(&reader) => reader < newer,
        None => true,
    }
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Write it, after the tombstones of the same key in [`Retention::take_held`].
    Keep,
    /// No reader needs it.
    Drop,
    /// It is a tombstone whose fate depends on older entries of its key.
    Hold,
}

/// Decides which entries stay. Gets them in order. Memory: one key, and at most a trailer for each visible number.
pub(crate) struct Retention {
    visible: Vec<SequenceNumber>,
    user_key: KeptKey,
    has_key: bool,
    /// The number of the entry before this one, if it has the same key.
    newer: Option<SequenceNumber>,
    held: Vec<Trailer>,
    /// Whether no deeper level can hold the key. Determined once, at the key's first tombstone.
    is_bottom: Option<bool>,
    /// RETENTION-3.
    coverage: Option<Coverage>,
    /// The range deletes of which no other table may have a covered entry, ascending (RETENTION-4).
    retiring: Vec<SequenceNumber>,
}

impl Retention {
    /// A retention for readers at `visible` (ascending) and later. `ranges`: the range deletes that count
    /// (RETENTION-3).
    ///
    /// Errors: `OutOfMemory`.
    pub(crate) fn new(
        visible: &[SequenceNumber],
        ranges: Option<Arc<RangeDeletes>>,
    ) -> Result<Retention> {
        debug_assert!(visible.is_sorted(), "SNAPSHOT-1: visible numbers ascend");
        Ok(Retention {
            coverage: Coverage::of(ranges.into_iter(), SequenceNumber::MAX),
            retiring: Vec::new(),
            visible: memory::copy_of(visible, "numbers of snapshots")?,
            user_key: KeptKey::default(),
            has_key: false,
            newer: None,
            held: Vec::new(),
            is_bottom: None,
        })
    }

    /// The same, which drops the range deletes with the numbers `retiring` (ascending) unless a reader is before them
    /// (RETENTION-4).
    pub(super) fn with_retiring(mut self, retiring: Vec<SequenceNumber>) -> Retention {
        debug_assert!(retiring.is_sorted(), "RETENTION-4: numbers ascend");
        self.retiring = retiring;
        self
    }

    /// Whether the range delete with this number retires (RETENTION-4).
    fn retires(&self, number: SequenceNumber) -> bool {
        let is_before_readers = self.visible.first() >= Some(&number);
        is_before_readers && self.retiring.binary_search(&number).is_ok()
    }

    /// Whether the next entry stays by RETENTION-1, RETENTION-3 and RETENTION-4 alone. A flush can decide only this.
    ///
    /// Errors: `Internal`, unaccounted, if the entry does not sort after the previous one.
    #[inline(always)]
    pub(crate) fn keeps(&mut self, key: KeyRef<'_>) -> Result<bool> {
        let order = match self.has_key {
            true => self.user_key.bytes().cmp(key.user_key),
            false => Ordering::Less,
        };
        if order == Ordering::Greater {
            return Err(unordered());
        }
        if order == Ordering::Less {
            self.has_key = true;
            self.user_key.replace(key.user_key, "a key")?;
            self.newer = None;
            // The held tombstone hid nothing (RETENTION-2).
            self.held.clear();
            self.is_bottom = None;
        }
        let sequence = key.trailer.sequence();
        let newer = self.newer.replace(sequence);
        if newer.is_some_and(|newer| sequence >= newer) {
            return Err(unordered());
        }
        if key.trailer.kind() == Some(ValueKind::RangeDelete) {
            return Ok(!self.retires(sequence));
        }
        let covering = match &mut self.coverage {
            Some(coverage) => coverage.oldest_above(key.user_key, sequence),
            None => None,
        };
        let newer = newer.into_iter().chain(covering).min();
        Ok(is_seen(sequence, newer, &self.visible))
    }

    /// Decides about the next entry, which is of this kind.
    ///
    /// `is_bottom` returns whether no deeper level can have a key; it is called with ascending keys.
    pub(super) fn fate(
        &mut self,
        key: KeyRef<'_>,
        kind: ValueKind,
        is_bottom: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Fate> {
        if !self.keeps(key)? {
            return Ok(Fate::Drop);
        }
        if kind == ValueKind::RangeDelete {
            // It hides the older entries of its key from all readers that the held tombstones hide them from.
            self.held.clear();
            return Ok(Fate::Keep);
        }
        let is_published = self.visible.last() >= Some(&key.trailer.sequence());
        if kind == ValueKind::Delete
            && is_published
            && *self
                .is_bottom
                .get_or_insert_with(|| is_bottom(key.user_key))
        {
            debug_assert!(
                self.held.last().is_none_or(|newer| key.trailer < *newer),
                "RETENTION-2: newest first"
            );
            self.held.push(key.trailer);
            debug_assert!(
                self.has_key && self.newer == Some(key.trailer.sequence()),
                "RETENTION-2: what is held has the current key"
            );
            return Ok(Fate::Hold);
        }
        Ok(Fate::Keep)
    }

    /// The held tombstones of the current key, newest first. They must be written before the entry that is kept.
    pub(super) fn take_held(&mut self) -> impl Iterator<Item = Trailer> {
        debug_assert!(
            self.held.is_empty() || self.has_key,
            "RETENTION-2: what is held has the current key"
        );
        self.held.drain(..)
    }
}

/// The error if entries violate IKEY-1 or IKEY-2: the merge, or its input, is at fault.
#[cold]
fn unordered() -> Error {
    Error::unaccounted("entries came out of order")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of one key that stay. `5` stands for a put and `-5` for a tombstone at number 5.
    fn kept(entries: &[i64], visible: &[u64], is_bottom: bool) -> Vec<i64> {
        let visible: Vec<_> = visible
            .iter()
            .map(|&number| SequenceNumber(number))
            .collect();
        let mut retention = Retention::new(&visible, None).unwrap();
        let mut kept = Vec::new();
        for &entry in entries {
            let kind = if entry > 0 {
                ValueKind::Put
            } else {
                ValueKind::Delete
            };
            let trailer = Trailer::new(SequenceNumber(entry.unsigned_abs()), kind);
            let fate = retention.fate(KeyRef::new(b"k", trailer), kind, |_| is_bottom);
            if fate.unwrap() == Fate::Keep {
                let held = retention.take_held();
                kept.extend(held.map(|trailer| -(trailer.sequence().0 as i64)));
                kept.push(entry);
            }
        }
        kept
    }

    /// RETENTION-1.
    #[test]
    fn each_visible_number_keeps_what_it_sees() {
        let ten_to_one = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
        let cases: [(&[i64], &[u64], &[i64]); 10] = [
            (&ten_to_one, &[5, 9], &[10, 9, 5]),
            (&ten_to_one, &[10], &[10]),
            (&ten_to_one, &[99], &[10]),
            (&ten_to_one, &[1, 10], &[10, 1]),
            // Above all visible numbers nothing is dropped.
            (&ten_to_one, &[8], &[10, 9, 8]),
            (&ten_to_one, &[0], &ten_to_one),
            (&ten_to_one, &[], &ten_to_one),
            // A reader between two entries sees the older one; a reader before all of them sees nothing.
            (&[20, 10], &[15, 30], &[20, 10]),
            (&[20, 10], &[5, 30], &[20]),
            (&[20, 10], &[15, 15, 17, 30], &[20, 10]),
        ];
        for (entries, visible, expected) in cases {
            for is_bottom in [false, true] {
                assert_eq!(
                    kept(entries, visible, is_bottom),
                    expected,
                    "{entries:?} at {visible:?}"
                );
            }
        }
    }

    /// RETENTION-2.
    #[test]
    fn a_tombstone_goes_when_nothing_it_hides_is_left() {
        let cases: [(&[i64], &[u64], &[i64], &[i64]); 9] = [
            // (entries, visible numbers, the entries that stay above deeper data, those that stay at the bottom)
            (&[-7], &[9], &[-7], &[]),
            (&[-7, 3], &[9], &[-7], &[]),
            (&[-7, 3], &[5, 9], &[-7, 3], &[-7, 3]),
            // The reader at 2 sees neither entry, so it does not need the tombstone.
            (&[-7, 3], &[2, 9], &[-7], &[]),
            (&[-8, -6, 3], &[7, 9], &[-8, -6], &[]),
            (&[-8, -6, 3], &[4, 7, 9], &[-8, -6, 3], &[-8, -6, 3]),
            (&[9, -7, 3], &[8, 9], &[9, -7], &[9]),
            // It is not known yet which readers will see numbers above all visible ones.
            (&[-7, 3], &[6], &[-7, 3], &[-7, 3]),
            (&[-7], &[6], &[-7], &[-7]),
        ];
        for (entries, visible, above, bottom) in cases {
            assert_eq!(
                kept(entries, visible, false),
                above,
                "{entries:?} at {visible:?}"
            );
            assert_eq!(
                kept(entries, visible, true),
                bottom,
                "{entries:?} at {visible:?}, bottom"
            );
        }
    }

    /// RETENTION-4.
    #[test]
    fn a_range_delete_stays_unless_it_may_retire_and_no_reader_is_before_it() {
        let kept = |entries: &[(u64, ValueKind)], visible: &[u64], retiring: &[u64]| {
            let numbers = |numbers: &[u64]| -> Vec<_> {
                numbers
                    .iter()
                    .map(|number| SequenceNumber(*number))
                    .collect()
            };
            let retention = Retention::new(&numbers(visible), None).unwrap();
            let mut retention = retention.with_retiring(numbers(retiring));
            let mut kept = Vec::new();
            for &(number, kind) in entries {
                let trailer = Trailer::new(SequenceNumber(number), kind);
                let fate = retention.fate(KeyRef::new(b"k", trailer), kind, |_| true);
                if fate.unwrap() == Fate::Keep {
                    kept.extend(retention.take_held().map(|held| held.sequence().0));
                    kept.push(number);
                }
            }
            kept
        };
        use ValueKind::{Delete, Put, RangeDelete};
        // A newer entry of its key is no reason to drop it, and it hides the older ones.
        let entries = [(9, Put), (7, RangeDelete), (5, RangeDelete), (3, Put)];
        assert_eq!(kept(&entries, &[9], &[]), [9, 7, 5]);
        assert_eq!(kept(&entries, &[4, 9], &[]), [9, 7, 5, 3]);
        assert_eq!(kept(&entries, &[9], &[5]), [9, 7]);
        assert_eq!(kept(&entries, &[9], &[5, 7]), [9]);
        assert_eq!(kept(&entries, &[7, 9], &[5, 7]), [9]);
        assert_eq!(kept(&entries, &[6, 9], &[5, 7]), [9, 7]);
        assert_eq!(kept(&entries, &[], &[5, 7]), [9, 7, 5, 3]);
        // A tombstone above it hides nothing that it does not hide.
        assert_eq!(kept(&[(9, Delete), (7, RangeDelete)], &[9], &[]), [7]);
    }

    /// The value that a reader at `reader` sees. At the bottom a tombstone counts as no entry.
    fn sees(entries: &[i64], reader: u64, is_bottom: bool) -> Option<i64> {
        let seen = entries.iter().find(|entry| entry.unsigned_abs() <= reader);
        seen.copied().filter(|&entry| entry > 0 || !is_bottom)
    }

    #[test]
    fn in_every_small_history_readers_see_the_same_and_nothing_unneeded_stays() {
        // Each of five numbers is a put, a tombstone or nothing. Every set of readers from 0 to 5 is tried.
        for history in 0..3i64.pow(5) {
            let digit = |number: i64| history / 3i64.pow(number as u32 - 1) % 3 - 1;
            let numbers = (1..=5i64).rev().filter(|&number| digit(number) != 0);
            let entries: Vec<i64> = numbers.map(|number| number * digit(number)).collect();
            for set in 1..1u32 << 6 {
                let visible: Vec<u64> = (0..6).filter(|number| set >> number & 1 == 1).collect();
                let last = visible[visible.len() - 1];
                for is_bottom in [false, true] {
                    let kept = kept(&entries, &visible, is_bottom);
                    let label = format!("{entries:?} at {visible:?}: {kept:?}");
                    let differ = |a: &[i64], b: &[i64]| {
                        let mut readers = visible.iter().copied().chain(last..7);
                        readers.any(|at| sees(a, at, is_bottom) != sees(b, at, is_bottom))
                    };
                    assert!(!differ(&kept, &entries), "{label}");
                    for (place, &entry) in kept.iter().enumerate() {
                        let mut fewer = kept.clone();
                        fewer.remove(place);
                        // A tombstone over another one that has to stay is kept, although it could be dropped.
                        let over = kept
                            .get(place + 1)
                            .is_some_and(|&next| entry < 0 && next < 0);
                        let is_needed = differ(&fewer, &kept) || entry.unsigned_abs() > last;
                        assert!(is_needed || over, "{label}, {entry}");
                    }
                }
            }
        }
    }
}
