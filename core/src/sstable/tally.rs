//! Computes a table's facts (counts, bounds, sums) from the raw bytes of its data blocks in order.
//!
//! The builder passes it each block as it will be read, and the check of a table each block as it was read. So
//! a table's facts and its sum come from bytes that a reader gets, never from what the writer intended.
//!
//! * TALLY-1  A block that it accepts is well formed: every entry is within it, the restart points are entries,
//!            and internal keys ascend strictly, also from one block to the next (BLOCK-1 to BLOCK-3, TABLE-3).
//! * TALLY-2  After an error it counts nothing of the block that failed, but continues with the next one.

use std::cmp::Ordering;

use crate::content::{Content, Sum};
use crate::key::{KeyRef, SequenceNumber, TRAILER_BYTES, Trailer, ValueKind};
use crate::memory::{self, KeptKey, Undecoded};
use crate::range_delete::{RangeDelete, end_in};
use crate::range_deletes::room_for;
use crate::sstable::block::{
    ASTRAY, Damage, SHARED_AT_RESTART, SHARED_TOO_MUCH, Stored, StoredEntry, TOO_MUCH_TO_REBUILD,
};
use crate::sstable::block_builder::MAX_REBUILT_BYTES;

/// An entry that does not sort after the one before it.
pub(super) const UNORDERED: Damage = Damage {
    at: 0,
    what: "keys do not ascend",
};
/// An entry of a kind that this build does not know; the code that makes the message looks up its number.
pub(super) const UNKNOWN_KIND: Damage = Damage {
    at: 0,
    what: "an entry of an unknown kind",
};

/// A range delete whose value is not one (RANGE-1).
const NO_RANGE: Damage = Damage {
    at: 0,
    what: "a range delete has an impossible end",
};

/// The name of its memory in errors.
const KEY: &str = "a key";

/// See the head of the file.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) facts: Facts,
    /// The first entry's key.
    smallest_user_key: KeptKey,
    smallest_trailer: Option<Trailer>,
    last_user_key: KeptKey,
    last_trailer: Option<Trailer>,
    /// The last key before the last added block, and that block's first key.
    before_user_key: KeptKey,
    before_trailer: Option<Trailer>,
    first_user_key: KeptKey,
    first_trailer: Option<Trailer>,
    /// The entries that are range deletes.
    range_deletes: Vec<RangeDelete>,
}

/// The counts and sums.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) sum: Sum,
    /// Bytes of user keys and trailers.
    pub(super) key_bytes: u64,
    pub(super) value_bytes: u64,
    /// Entries whose key has a newer entry in the table.
    pub(super) older_versions: u64,
    /// Those of them that are range deletes: no newer entry of their key makes them garbage.
    pub(super) older_ranges: u64,
    /// The smallest sequence number; before the first block the largest possible one.
    pub(super) smallest_sequence: SequenceNumber,
    pub(super) largest_sequence: SequenceNumber,
    /// The sum of the hashes of the distinct user keys, modulo 2^64.
    pub(super) key_hashes: u64,
}

/// An entry as `visit` sees it.
pub(super) struct TalliedEntry<'a> {
    pub(super) key: KeyRef<'a>,
    pub(super) key_hash: u64,
    /// Whether there is no previous entry, or it has another user key.
    pub(super) is_first_of_key: bool,
    pub(super) at: usize,
}

impl Tally {
    /// Adds the block with these raw bytes. `visit` sees each entry, and may report damage.
    pub(super) fn add_block(
        &mut self,
        raw: &[u8],
        visit: impl FnMut(TalliedEntry<'_>) -> Result<(), Undecoded<Damage>>,
    ) -> Result<(), Undecoded<Damage>> {
        self.before_user_key
            .replace(self.last_user_key.bytes(), KEY)?;
        self.before_trailer = self.last_trailer;
        let before = self.facts;
        let ranges_before = self.range_deletes.len();
        let outcome = self.walk(raw, visit);
        if outcome.is_err() {
            self.facts = before;
            self.range_deletes.truncate(ranges_before);
            std::mem::swap(&mut self.last_user_key, &mut self.before_user_key);
            self.last_trailer = self.before_trailer;
        }
        debug_assert!(
            outcome.is_err() || self.facts.smallest_sequence <= self.facts.largest_sequence,
            "TALLY-1: a block has an entry"
        );
        debug_assert!(
            self.facts.sum.entries() >= before.sum.entries(),
            "TALLY-2: a block takes no entry away"
        );
        outcome
    }

    /// Whether `fence` is between the last added block and the entries before it (FENCE-1).
    pub(super) fn is_fence(&self, fence: KeyRef<'_>) -> bool {
        let before = key_of(&self.before_user_key, self.before_trailer);
        let first = key_of(&self.first_user_key, self.first_trailer);
        before.is_none_or(|before| before < fence) && first.is_some_and(|first| fence <= first)
    }

    /// Distinct user keys.
    pub(super) fn user_keys(&self) -> u64 {
        debug_assert!(
            self.facts.older_versions <= self.facts.sum.entries(),
            "TALLY-1: a key has one newest version"
        );
        self.facts.sum.entries() - self.facts.older_versions
    }

    // Never inlined, because its callers' values would take the registers that it needs.
    #[inline(never)]
    fn walk(
        &mut self,
        raw: &[u8],
        mut visit: impl FnMut(TalliedEntry<'_>) -> Result<(), Undecoded<Damage>>,
    ) -> Result<(), Undecoded<Damage>> {
        let block = Stored::parse(raw)?;
        let mut restarts = block.restarts();
        let mut next_restart = restarts.next();
        let (mut at, mut rebuilt) = (0, 0);
        let is_first_block = self.last_trailer.is_none();
        while at < block.entries_end() {
            let (entry, end) = block.entry(at)?;
            debug_assert!(
                at < end && end <= block.entries_end(),
                "STORED-1: the next entry begins after it"
            );
            let is_restart = next_restart == Some(at);
            if is_restart {
                next_restart = restarts.next();
                rebuilt = 0;
            }
            if entry.shared > 0 {
                if is_restart {
                    return Err(SHARED_AT_RESTART.at(at).into());
                }
                rebuilt += entry.shared + entry.suffix.len();
                if rebuilt > MAX_REBUILT_BYTES {
                    return Err(TOO_MUCH_TO_REBUILD.at(at).into());
                }
            }
            let is_first_of_key = self.follow(&entry, at)?;
            let Some(kind) = entry.trailer.kind() else {
                return Err(UNKNOWN_KIND.at(at).into());
            };
            let user_key = self.last_user_key.bytes();
            let content = Content::of(kind, user_key, entry.value);
            let key = KeyRef::new(user_key, entry.trailer);
            let bytes = (user_key.len(), entry.value.len());
            let sequence = entry.trailer.sequence();
            (self.facts).add(kind, content, sequence, bytes, is_first_of_key);
            if kind == ValueKind::RangeDelete {
                note_range(&mut self.range_deletes, key, entry.value, at)?;
            }
            if at == 0 {
                self.first_user_key.replace(key.user_key, KEY)?;
                self.first_trailer = Some(key.trailer);
                if is_first_block {
                    self.smallest_user_key.replace(key.user_key, KEY)?;
                    self.smallest_trailer = Some(key.trailer);
                }
            }
            visit(TalliedEntry {
                key,
                key_hash: content.key_hash,
                is_first_of_key,
                at,
            })?;
            at = end;
        }
        if let Some(astray) = next_restart {
            return Err(ASTRAY.at(astray).into());
        }
        Ok(())
    }

    /// Makes the key of the entry at `at` the last key, after which it must sort; returns whether the user key is a
    /// new one.
    // Inlined, because the call would cost a flush one instruction in a hundred.
    #[inline(always)]
    fn follow(&mut self, entry: &StoredEntry<'_>, at: usize) -> Result<bool, Undecoded<Damage>> {
        let Some(rest) = self.last_user_key.bytes().get(entry.shared..) else {
            return Err(SHARED_TOO_MUCH.at(at).into());
        };
        // The unshared bytes decide the order, mostly the first one; then the trailer.
        let is_first_of_key = match (rest.first(), entry.suffix.first()) {
            (Some(last), Some(this)) if last < this => true,
            _ => match (rest.cmp(entry.suffix), self.last_trailer) {
                (_, None) | (Ordering::Less, _) => true,
                (Ordering::Equal, Some(last)) if entry.trailer < last => false,
                _ => return Err(UNORDERED.at(at).into()),
            },
        };
        self.last_user_key
            .rebuild(entry.shared, entry.suffix, KEY)?;
        self.last_trailer = Some(entry.trailer);
        debug_assert!(
            self.last_user_key.bytes().len() == entry.shared + entry.suffix.len(),
            "TALLY-1: the whole key is kept"
        );
        Ok(is_first_of_key)
    }

    /// The entries that are range deletes, in order. Leaves none.
    pub(super) fn take_range_deletes(&mut self) -> Vec<RangeDelete> {
        std::mem::take(&mut self.range_deletes)
    }

    /// The first entry's key, encoded; empty before the first block.
    pub(super) fn smallest(&self) -> crate::error::Result<Vec<u8>> {
        let smallest = key_of(&self.smallest_user_key, self.smallest_trailer);
        smallest.map_or(Ok(Vec::new()), KeyRef::encoded)
    }

    /// The last entry's key, encoded; empty before the first block.
    pub(super) fn largest(&self) -> crate::error::Result<Vec<u8>> {
        let last = key_of(&self.last_user_key, self.last_trailer);
        last.map_or(Ok(Vec::new()), KeyRef::encoded)
    }
}

/// Adds the range delete of an entry at `at`.
#[cold]
fn note_range(
    ranges: &mut Vec<RangeDelete>,
    key: KeyRef<'_>,
    value: &[u8],
    at: usize,
) -> Result<(), Undecoded<Damage>> {
    if end_in(key.user_key, value).is_err() {
        return Err(NO_RANGE.at(at).into());
    }
    room_for(0, 1, key.user_key.len() + value.len())?;
    let range = RangeDelete::of_entry(key.user_key, key.trailer.sequence(), value)?;
    memory::push(ranges, range, KEY)?;
    Ok(())
}

/// The internal key of these two parts; `None` before the first block.
fn key_of(user_key: &KeptKey, trailer: Option<Trailer>) -> Option<KeyRef<'_>> {
    trailer.map(|trailer| KeyRef::new(user_key.bytes(), trailer))
}

impl Facts {
    /// Adds an entry whose key and value have so many `bytes`.
    #[inline(always)]
    fn add(
        &mut self,
        kind: ValueKind,
        content: Content,
        sequence: SequenceNumber,
        bytes: (usize, usize),
        is_first_of_key: bool,
    ) {
        self.sum.add(kind, content, sequence);
        self.key_bytes += (bytes.0 + TRAILER_BYTES) as u64;
        self.value_bytes += bytes.1 as u64;
        match is_first_of_key {
            true => self.key_hashes = self.key_hashes.wrapping_add(content.key_hash),
            false => {
                self.older_versions += 1;
                self.older_ranges += u64::from(kind == ValueKind::RangeDelete);
            }
        }
        self.smallest_sequence = self.smallest_sequence.min(sequence);
        self.largest_sequence = self.largest_sequence.max(sequence);
    }
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            sum: Sum::default(),
            key_bytes: 0,
            value_bytes: 0,
            older_versions: 0,
            older_ranges: 0,
            smallest_sequence: SequenceNumber::MAX,
            largest_sequence: SequenceNumber(0),
            key_hashes: 0,
        }
    }
}

#[cfg(test)]
mod tests;
