//! `Reads`: what a transaction has read, so that a later change of it is noticed.
//!
//! * READSET-1  Every key and range that was noted is covered. A bound on memory makes the reads coarser, so that
//!              changes of other keys count too, but never leaves one out.
//! * READSET-2  Sorted, the ranges are disjoint and ascending.

use crate::content::key_hash;
use crate::error::Result;
use crate::memory;
use crate::transaction::{Changes, KeyRange};

/// The name of its memory in errors.
const READS: &str = "the reads of a transaction";
/// The most keys that are kept one by one.
const MAX_KEYS: usize = 1 << 16;
/// The most bytes of such keys.
const MAX_KEYS_BYTES: usize = 4 << 20;
/// So few are searched one after the other.
const FEW_KEYS: usize = 8;
/// Keys beyond the most are kept as bits, one for all keys whose hashes have the same last bits.
const COARSE_BITS: usize = 1 << 20;
/// The most ranges, and bytes of their bounds, before neighbours become one.
const MAX_RANGES: usize = 1 << 12;
const MAX_RANGE_BYTES: usize = 1 << 20;

/// The number of no walk: a range that was joined from several.
const NO_WALK: u64 = 0;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Reads {
    /// For each key its hash, and where its bytes end in `key_bytes`.
    keys: Vec<(u64, usize)>,
    key_bytes: Vec<u8>,
    /// The hashes of `keys`, if they are not few, ascending, as of the last [`Reads::sort`].
    sorted: Vec<u64>,
    /// Bits of hashes, if there were too many keys.
    coarse: Vec<u64>,
    /// Each with the number of the walk that may still lengthen it.
    ranges: Vec<(u64, KeyRange)>,
    range_bytes: usize,
}

fn bit_of(hash: u64) -> (usize, u64) {
    let bit = hash as usize % COARSE_BITS;
    (bit / 64, 1 << (bit % 64))
}

impl Reads {
    /// Notes that the transaction has looked up `key`.
    pub(crate) fn note_key(&mut self, key: &[u8]) -> Result<()> {
        let hash = key_hash(key);
        if !self.coarse.is_empty() {
            self.note_coarsely(hash);
            return Ok(());
        }
        if self.is_last_key(key) {
            return Ok(());
        }
        if self.is_full(key) {
            self.forget_repeated_keys()?;
        }
        if self.is_full(key) {
            let words = std::iter::repeat_n(0, COARSE_BITS / 64);
            self.coarse = memory::collect(words, READS)?;
            let keys = std::mem::take(&mut self.keys);
            self.key_bytes = Vec::new();
            for (hash, _) in keys {
                self.note_coarsely(hash);
            }
            self.note_coarsely(hash);
            return Ok(());
        }
        self.add_key(hash, key)
    }

    fn add_key(&mut self, hash: u64, key: &[u8]) -> Result<()> {
        memory::reserve(&mut self.keys, 1, READS)?;
        memory::append(&mut self.key_bytes, key, READS)?;
        self.keys.push((hash, self.key_bytes.len()));
        Ok(())
    }

    /// Whether there is no room for `key` among those that are kept one by one.
    fn is_full(&self, key: &[u8]) -> bool {
        self.keys.len() >= MAX_KEYS || self.key_bytes.len() + key.len() > MAX_KEYS_BYTES
    }

    /// Whether `key` was the last one noted.
    fn is_last_key(&self, key: &[u8]) -> bool {
        let start = match self.keys.len() {
            0 => return false,
            1 => 0,
            count => self.keys[count - 2].1,
        };
        self.key_bytes[start..] == *key
    }

    /// Keeps each key once. Keeps them as they are if that would leave more than half of the room taken, because then
    /// it would come to this again soon.
    fn forget_repeated_keys(&mut self) -> Result<()> {
        let mut start = 0;
        let mut places = memory::room_for(self.keys.len(), READS)?;
        for (hash, end) in &self.keys {
            places.push((*hash, start, *end));
            start = *end;
        }
        let key_of = |&(_, start, end): &(u64, usize, usize)| &self.key_bytes[start..end];
        places.sort_unstable_by(|one, other| (one.0, key_of(one)).cmp(&(other.0, key_of(other))));
        places.dedup_by(|next, one| key_of(next) == key_of(one));
        let bytes: usize = places.iter().map(|(_, start, end)| end - start).sum();
        if 2 * places.len() > MAX_KEYS || 2 * bytes > MAX_KEYS_BYTES {
            return Ok(());
        }
        let mut key_bytes = memory::room_for(bytes, READS)?;
        self.keys.clear();
        for (hash, start, end) in places {
            key_bytes.extend_from_slice(&self.key_bytes[start..end]);
            self.keys.push((hash, key_bytes.len()));
        }
        self.key_bytes = key_bytes;
        Ok(())
    }

    fn note_coarsely(&mut self, hash: u64) {
        let (word, bit) = bit_of(hash);
        self.coarse[word] |= bit;
    }

    /// Notes that walk number `walk` has passed over the keys from `start` to `end`, which lie next to those that it
    /// has passed over before, if any.
    pub(crate) fn note_range(
        &mut self,
        walk: u64,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<()> {
        let start = start.unwrap_or_default();
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let known = self.ranges.iter_mut().rev().find(|(of, _)| *of == walk);
        let Some((_, range)) = known else {
            let range = KeyRange {
                start: memory::copy_of(start, READS)?,
                end: end.map(|end| memory::copy_of(end, READS)).transpose()?,
            };
            memory::reserve(&mut self.ranges, 1, READS)?;
            self.range_bytes += range.bytes();
            self.ranges.push((walk, range));
            self.keep_ranges_few();
            return Ok(());
        };
        let before = range.bytes();
        if start < &range.start[..] {
            memory::replace(&mut range.start, start, READS)?;
        }
        match (&mut range.end, end) {
            (Some(own), Some(end)) if end > &own[..] => {
                // First, so that a failure does not shorten the range.
                memory::reserve(own, end.len(), READS)?;
                memory::replace(own, end, READS)?;
            }
            (own @ Some(_), None) => *own = None,
            _ => {}
        }
        self.range_bytes = self.range_bytes + range.bytes() - before;
        self.keep_ranges_few();
        Ok(())
    }

    /// Joins neighbours while there are too many ranges, or too many bytes in their bounds (READSET-1). Walks that
    /// lengthen a joined range begin a new one.
    fn keep_ranges_few(&mut self) {
        if self.ranges.len() <= MAX_RANGES && self.range_bytes <= MAX_RANGE_BYTES {
            return;
        }
        self.sort_ranges();
        loop {
            self.range_bytes = self.ranges.iter().map(|(_, range)| range.bytes()).sum();
            // Halved, so that it does not come to this at each step.
            let is_few =
                self.ranges.len() <= MAX_RANGES / 2 && self.range_bytes <= MAX_RANGE_BYTES / 2;
            if is_few || self.ranges.len() <= 1 {
                return;
            }
            let mut is_second = false;
            self.ranges.dedup_by(|(_, next), (walk, range)| {
                is_second = !is_second;
                if is_second {
                    range.join(std::mem::take(next));
                    *walk = NO_WALK;
                }
                is_second
            });
        }
    }

    /// Makes the ranges disjoint and ascending (READSET-2).
    fn sort_ranges(&mut self) {
        self.ranges
            .sort_unstable_by(|(_, one), (_, other)| one.start.cmp(&other.start));
        self.ranges.dedup_by(|(_, next), (walk, range)| {
            let touch = range.touches(next);
            if touch {
                range.join(std::mem::take(next));
                *walk = NO_WALK;
            }
            touch
        });
    }

    /// Sorts what was noted, as [`Reads::meet`] needs it. More may be noted afterwards.
    pub(crate) fn sort(&mut self) -> Result<()> {
        if self.keys.len() > FEW_KEYS {
            self.sorted = memory::collect(self.keys.iter().map(|(hash, _)| *hash), READS)?;
            self.sorted.sort_unstable();
        }
        self.sort_ranges();
        debug_assert!(
            self.ranges.is_sorted_by(|(_, one), (_, next)| {
                one.end.as_ref().is_some_and(|end| *end < next.start)
            }),
            "READSET-2"
        );
        Ok(())
    }

    /// Whether a key of `changes` was read. Requires that all is sorted.
    pub(crate) fn meet(&self, mut changes: Changes<'_>) -> bool {
        debug_assert!(
            self.sorted.len() == self.keys.len() || self.keys.len() <= FEW_KEYS,
            "READSET-2: nothing was noted since it was sorted"
        );
        changes.any(|(hash, key)| self.has_key(hash) || self.has_in_range(key))
    }

    fn has_key(&self, hash: u64) -> bool {
        if !self.coarse.is_empty() {
            let (word, bit) = bit_of(hash);
            return self.coarse[word] & bit != 0;
        }
        if self.keys.len() <= FEW_KEYS {
            return self.keys.iter().any(|(read, _)| *read == hash);
        }
        self.sorted.binary_search(&hash).is_ok()
    }

    fn has_in_range(&self, key: &[u8]) -> bool {
        let after = self
            .ranges
            .partition_point(|(_, range)| *range.start <= *key);
        let last = after.checked_sub(1).map(|at| &self.ranges[at].1);
        last.is_some_and(|range| range.contains(key))
    }

    /// The keys that were looked up; `None` if they were too many to keep.
    pub(crate) fn keys(&self) -> Option<impl Iterator<Item = &[u8]>> {
        if !self.coarse.is_empty() {
            return None;
        }
        let mut start = 0;
        Some(self.keys.iter().map(move |&(_, end)| {
            let key = &self.key_bytes[start..end];
            start = end;
            key
        }))
    }

    /// The ranges that walks have passed over.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &KeyRange> {
        self.ranges.iter().map(|(_, range)| range)
    }

    /// Whether nothing was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.coarse.is_empty() && self.ranges.is_empty()
    }

    /// Bytes of memory, except for small parts.
    pub(crate) fn bytes(&self) -> usize {
        self.key_bytes.len()
            + self.keys.len() * size_of::<(u64, usize)>()
            + self.coarse.len() * size_of::<u64>()
            + self.ranges.len() * size_of::<(u64, KeyRange)>()
            + self.range_bytes
    }
}

#[cfg(test)]
mod tests;
