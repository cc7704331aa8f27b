//! The flat form of a data block: a cached block is converted to it when it is hit again.
//!
//! The stored form is small and slow: a reader decodes an entry's neighbours to find it, and a backward walk
//! decodes them twice. The flat form has every key in full, and arrays to find it:
//!
//! ```text
//! bytes             field
//! 4 * count         heads     of each key, the four bytes after what all keys share, as a number; zeros if it ends
//! 2 * (count + 1)   offsets   where each entry begins, and where the last one ends
//!                   entries   trailer (8), length of the user key (2), user key, value; the length's highest bit
//!                             is set if the entry before has the same user key
//! ```
//!
//! It exists in memory only. All numbers are little-endian.
//!
//! * LAYOUT-1  Its entries are those of the stored block, in the same ascending order. A block with damaged or
//!             unsorted entries stays in the stored form, which reports the damage when a reader reaches it.
//! * LAYOUT-2  It takes less than 64 KiB, and at most twice the memory of the stored form; each key has less
//!             than 32 KiB. A block whose keys share many bytes keeps the stored form.
//! * LAYOUT-3  `shared` is the number of leading bytes that the first and the last user key, and so all of
//!             them, have in common.
//!
//! Cost: a lookup reads the heads, one offset and one entry; a seek the same and now and then a second entry.
//!
//! Elsewhere: its memory (`memory.rs`); its cursor (`flat_cursor.rs`).

use std::cmp::Ordering;
use std::ops::Range;

use super::stored::{Stored, common_prefix};
use crate::key::{KeyRef, TRAILER_BYTES, Trailer};
use crate::memory;
use crate::prefetch::{prefetch, prefetch_byte};

/// The trailer, and the length of the user key.
pub(super) const ENTRY_HEAD_BYTES: usize = TRAILER_BYTES + 2;
/// If entries are larger than this on average, the block is not worth copying, because there are few to decode.
const MAX_MEAN_ENTRY: usize = 1 << 10;
/// A search halves the heads until at most this many are left, and counts those one by one.
const COUNTED_HEADS: usize = 64;

/// How many bytes a walk prefetches when it enters a block.
const EDGE_BYTES: usize = 512;
pub(super) const LINE_BYTES: usize = 64;

/// A flag in an entry's length: the previous entry has the same user key.
const REPEATS: u16 = 1 << 15;

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    Backward,
}

/// How a flat block's bytes are divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) count: usize,
    /// LAYOUT-3.
    pub(super) shared: usize,
}

/// An entry of a flat block.
#[derive(Clone, Copy)]
struct FlatEntry<'a> {
    key: KeyRef<'a>,
    /// Where its value is in the block's bytes.
    value_start: usize,
    end: usize,
}

/// The bytes of a flat block with their layout.
#[derive(Clone, Copy)]
pub(super) struct Flat<'a> {
    pub(super) bytes: &'a [u8],
    layout: Layout,
}

/// Lays the entries of a block out in `bytes`, overwriting them. `None` if LAYOUT-1 or LAYOUT-2 forbid it, or there
/// is no memory.
pub(super) fn lay_out(stored: Stored<'_>, bytes: &mut Vec<u8>) -> Option<Layout> {
    let (count, entry_bytes) = measure(stored)?;
    let entries_start = 4 * count + 2 * (count + 1);
    let total = entries_start.checked_add(entry_bytes)?;
    let is_worthwhile = count > 0 && entry_bytes / count <= MAX_MEAN_ENTRY;
    if !is_worthwhile || total > usize::from(u16::MAX) || total > 2 * stored.bytes().len() {
        return None;
    }
    bytes.clear();
    memory::reserve_exact(bytes, total, "a flat block").ok()?;
    bytes.resize(entries_start, 0);
    write_entries(stored, count, bytes)?;
    debug_assert_eq!(
        bytes.len(),
        total,
        "LAYOUT-2: the block has the measured size"
    );
    Some(write_heads(count, bytes))
}

/// How many entries there are, and the bytes that they take in the flat form.
fn measure(stored: Stored<'_>) -> Option<(usize, usize)> {
    let (mut count, mut entry_bytes) = (0usize, 0usize);
    let mut previous = 0;
    for entry in stored.entries() {
        let entry = entry.ok()?;
        if entry.shared > previous {
            return None;
        }
        previous = entry.shared + entry.suffix.len();
        if previous >= usize::from(REPEATS) {
            return None;
        }
        entry_bytes = entry_bytes.checked_add(ENTRY_HEAD_BYTES + previous + entry.value.len())?;
        count += 1;
    }
    Some((count, entry_bytes))
}

/// Appends the `count` entries, and sets the offsets; `None` if the keys do not ascend (LAYOUT-1).
fn write_entries(stored: Stored<'_>, count: usize, bytes: &mut Vec<u8>) -> Option<()> {
    let offset_at = |index: usize| 4 * count + 2 * index;
    let mut last = 0..0;
    let mut last_trailer = Trailer::NEWEST;
    for (index, entry) in stored.entries().enumerate() {
        let entry = entry.ok()?;
        let at = bytes.len();
        bytes[offset_at(index)..][..2].copy_from_slice(&(at as u16).to_le_bytes());
        let length = entry.shared + entry.suffix.len();
        debug_assert!(
            entry.shared <= last.len(),
            "BLOCK-2: a key shares bytes that the one before has"
        );
        debug_assert!(
            length < usize::from(REPEATS),
            "LAYOUT-2: the length leaves a bit for the flag"
        );
        bytes.extend_from_slice(&entry.trailer.0.to_le_bytes());
        bytes.extend_from_slice(&(length as u16).to_le_bytes());
        bytes.extend_from_within(last.start..last.start + entry.shared);
        bytes.extend_from_slice(entry.suffix);
        let user_key = at + ENTRY_HEAD_BYTES..at + ENTRY_HEAD_BYTES + length;
        let before = KeyRef::new(&bytes[last], last_trailer);
        let key = KeyRef::new(&bytes[user_key.clone()], entry.trailer);
        if index > 0 && before >= key {
            return None;
        }
        if index > 0 && before.user_key == key.user_key {
            let length = length as u16 | REPEATS;
            bytes[at + TRAILER_BYTES..][..2].copy_from_slice(&length.to_le_bytes());
        }
        bytes.extend_from_slice(entry.value);
        (last, last_trailer) = (user_key, entry.trailer);
    }
    let end = bytes.len() as u16;
    bytes[offset_at(count)..][..2].copy_from_slice(&end.to_le_bytes());
    Some(())
}

/// Finds how many bytes all keys share (LAYOUT-3), and sets the heads. There must be an entry.
fn write_heads(count: usize, bytes: &mut [u8]) -> Layout {
    debug_assert!(count > 0, "LAYOUT-1: there is an entry");
    let flat = Flat {
        bytes,
        layout: Layout { count, shared: 0 },
    };
    let first = flat.entry(0).key.user_key;
    let shared = common_prefix(first, flat.entry(count - 1).key.user_key);
    let layout = Layout { count, shared };
    for index in 0..count {
        let flat = Flat { bytes, layout };
        let user_key = flat.entry(index).key.user_key;
        debug_assert!(
            user_key.starts_with(&flat.entry(0).key.user_key[..shared]),
            "LAYOUT-3: all keys share these bytes"
        );
        let head = head(&user_key[shared..]);
        bytes[4 * index..][..4].copy_from_slice(&head.to_le_bytes());
    }
    debug_assert!(
        (1..count).all(|index| head_of(&bytes[4 * (index - 1)..]) <= head_of(&bytes[4 * index..])),
        "LAYOUT-1: heads ascend like their keys"
    );
    layout
}

/// The first four bytes as a number that sorts like them; equal for "a" and "a\0".
#[inline]
fn head(bytes: &[u8]) -> u32 {
    match bytes.first_chunk() {
        Some(chunk) => u32::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 4];
            chunk[..bytes.len()].copy_from_slice(bytes);
            u32::from_be_bytes(chunk)
        }
    }
}

impl<'a> Flat<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8], layout: Layout) -> Flat<'a> {
        Flat { bytes, layout }
    }

    #[inline]
    pub(super) fn offset(self, index: usize) -> usize {
        debug_assert!(
            index <= self.layout.count,
            "LAYOUT-1: an entry, or the end of the last one"
        );
        let at = 4 * self.layout.count + 2 * index;
        usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    #[inline]
    fn entry(self, index: usize) -> FlatEntry<'a> {
        debug_assert!(index < self.layout.count, "LAYOUT-1: one of its entries");
        let (at, end) = (self.offset(index), self.offset(index + 1));
        let bytes = &self.bytes[at..end];
        let trailer = bytes
            .first_chunk()
            .map_or(0, |chunk| u64::from_le_bytes(*chunk));
        let length = u16::from_le_bytes([bytes[8], bytes[9]]) & !REPEATS;
        let length = usize::from(length);
        let key_end = ENTRY_HEAD_BYTES + length;
        FlatEntry {
            key: KeyRef::new(&bytes[ENTRY_HEAD_BYTES..key_end], Trailer(trailer)),
            value_start: at + key_end,
            end,
        }
    }

    /// Entry `index`, whose bytes are `[at, end)`.
    #[inline]
    pub(super) fn spot(self, index: usize, at: usize, end: usize) -> Spot {
        let (trailer, length) = match self.bytes[at..end].first_chunk::<ENTRY_HEAD_BYTES>() {
            Some([trailer @ .., low, high]) => (
                u64::from_le_bytes(*trailer),
                u16::from_le_bytes([*low, *high]),
            ),
            None => (0, 0),
        };
        debug_assert!(
            at + ENTRY_HEAD_BYTES + usize::from(length & !REPEATS) <= end,
            "LAYOUT-1: a key lies within its entry"
        );
        Spot {
            index,
            trailer: Trailer(trailer),
            repeats: length & REPEATS != 0,
            at,
            value_start: at + ENTRY_HEAD_BYTES + usize::from(length & !REPEATS),
            end,
        }
    }

    /// Whether entry `index` has the user key of the one before it.
    #[inline]
    pub(super) fn repeats(self, index: usize) -> bool {
        // The highest bit of the length is in its second byte.
        self.bytes[self.offset(index) + TRAILER_BYTES + 1] >= 0x80
    }

    /// The number of heads below `wanted`; they ascend.
    #[inline]
    fn heads_below(self, wanted: u32) -> usize {
        let mut heads = &self.bytes[..4 * self.layout.count];
        let mut before = 0;
        while heads.len() > 4 * COUNTED_HEADS {
            let middle = heads.len() / 8 * 4;
            if head_of(&heads[middle..middle + 4]) < wanted {
                before += middle / 4;
                heads = &heads[middle..];
            } else {
                heads = &heads[..middle];
            }
        }
        let below = heads
            .chunks_exact(4)
            .map(|head| u32::from(head_of(head) < wanted));
        before + below.sum::<u32>() as usize
    }

    #[inline]
    fn head(self, index: usize) -> u32 {
        head_of(&self.bytes[4 * index..4 * index + 4])
    }

    /// `low` plus the number of entries before `target`, among those from `low` on that have the head `wanted`.
    #[inline]
    fn skip_equal_heads(self, low: usize, wanted: u32, target: KeyRef<'_>) -> usize {
        let mut high = low;
        while high < self.layout.count && self.head(high) == wanted {
            high += 1;
        }
        let mut low = low;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle).key < target {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The first entry at or after `target`, if it has the same user key: its trailer, and where its value is.
    #[inline]
    pub(super) fn get(self, target: KeyRef<'_>) -> Option<(Trailer, Range<usize>)> {
        self.get_from(self.first_with_head(target), target)
    }

    /// [`Flat::get`] from the result of [`Flat::first_with_head`].
    #[inline]
    pub(super) fn get_from(
        self,
        low: usize,
        target: KeyRef<'_>,
    ) -> Option<(Trailer, Range<usize>)> {
        // The head may lead anywhere if the key lacks the shared bytes; then no entry has the key.
        let wanted = head(target.user_key.get(self.layout.shared..)?);
        debug_assert!(
            low >= self.layout.count || self.head(low) >= wanted,
            "LAYOUT-1: heads ascend"
        );
        debug_assert!(
            low == 0 || self.head(low - 1) < wanted,
            "LAYOUT-1: no entry before has this head"
        );
        if low >= self.layout.count || self.head(low) != wanted {
            return None;
        }
        let mut entry = self.entry(low);
        if entry.key.user_key != target.user_key || entry.key.trailer > target.trailer {
            let index = self.skip_equal_heads(low, wanted, target);
            if index >= self.layout.count {
                return None;
            }
            entry = self.entry(index);
            if entry.key.user_key != target.user_key {
                return None;
            }
        }
        Some((entry.key.trailer, entry.value_start..entry.end))
    }

    /// The first entry whose head is not below that of `target`; `count` if there is none.
    #[inline]
    pub(super) fn first_with_head(self, target: KeyRef<'_>) -> usize {
        let rest = target.user_key.get(self.layout.shared..);
        self.heads_below(head(rest.unwrap_or_default()))
    }

    /// Prefetches the first cache lines of entry `index`, or of the last one.
    #[inline]
    pub(super) fn prefetch(self, index: usize) {
        let at = self.offset(index.min(self.layout.count - 1));
        let entry = self.bytes[at..].as_ptr();
        for line in 0..3 {
            prefetch(entry.wrapping_add(64 * line));
        }
    }

    /// Prefetches the offsets and the entries at one end.
    #[inline]
    pub(super) fn prefetch_edge(self, way: Way) {
        let entries = 6 * self.layout.count;
        let start = match way {
            Way::Forward => 4 * self.layout.count,
            Way::Backward => {
                prefetch_byte(self.bytes, entries);
                self.bytes.len().saturating_sub(EDGE_BYTES)
            }
        };
        for at in (start..start + EDGE_BYTES).step_by(LINE_BYTES) {
            prefetch_byte(self.bytes, at);
        }
    }

    /// The index of the first entry at or after `target`; `count` if there is none.
    pub(super) fn lower_bound(self, target: KeyRef<'_>) -> usize {
        let Layout { count, shared } = self.layout;
        debug_assert!(count > 0, "LAYOUT-1: there is an entry");
        let user_key = target.user_key;
        let wanted = head(user_key.get(shared..).unwrap_or_default());
        let low = self.heads_below(wanted);
        // Any entry has the shared bytes; this one is needed next.
        let near = self.entry(low.min(count - 1)).key.user_key;
        match compare_shared(user_key, near, shared) {
            Ordering::Less => 0,
            Ordering::Greater => count,
            Ordering::Equal => self.skip_equal_heads(low, wanted, target),
        }
    }

    /// What the heads show: how many entries certainly have user keys < `user_key`, and up to which entry a key may
    /// be <= it. `near` is the user key of any entry.
    #[inline]
    pub(super) fn around(self, user_key: &[u8], near: &[u8]) -> Range<usize> {
        let Layout { count, shared } = self.layout;
        match compare_shared(user_key, near, shared) {
            Ordering::Less => 0..0,
            Ordering::Greater => count..count,
            Ordering::Equal => {
                let wanted = head(&user_key[shared..]);
                let below = self.heads_below(wanted);
                let mut end = below;
                while end < count && self.head(end) == wanted {
                    end += 1;
                }
                below..end
            }
        }
    }
}

/// Compares the first `shared` bytes of `user_key` with those of `near`, which has all of them.
#[inline]
fn compare_shared(user_key: &[u8], near: &[u8], shared: usize) -> Ordering {
    debug_assert!(
        near.len() >= shared,
        "LAYOUT-3: every key has the shared bytes"
    );
    user_key[..shared.min(user_key.len())].cmp(&near[..shared])
}

#[inline]
fn head_of(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// A cursor's position in a flat block.
#[derive(Clone, Copy)]
pub(in crate::sstable) struct Spot {
    pub(super) index: usize,
    pub(in crate::sstable) trailer: Trailer,
    /// Whether the previous entry has the same user key.
    pub(in crate::sstable) repeats: bool,
    /// Where its bytes are.
    pub(super) at: usize,
    pub(super) value_start: usize,
    pub(super) end: usize,
}

#[cfg(test)]
mod tests;
