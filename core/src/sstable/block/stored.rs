//! The stored form of a data block: its raw bytes as they are on the disk, decoded entry by entry. The inverse is
//! `sstable/block_builder.rs`, whose BLOCK-1 to BLOCK-4 hold for every block that we wrote. Layout: docs/format.md,
//! "SSTable".
//!
//! The bytes passed their checksum, but are not trusted: each entry is checked as it is decoded, and an invalid
//! one is [`Damage`], never a panic or an endless loop. `reader.rs` turns it into `Corruption` with file and
//! offset. This file does not check that entries ascend (`tally.rs` does): entries out of order give wrong
//! results, not undefined behaviour.
//!
//! * STORED-1  Every range of a decoded entry is within the block's entries, and the next entry begins after
//!             it.
//!
//! Elsewhere: the memory of the bytes (`memory.rs`); iteration (`cursor.rs`).

use std::ops::Range;

use crate::coding::get_varint;
use crate::key::{KeyRef, TRAILER_BYTES, Trailer};
use crate::memory::Undecoded;

/// The damage in a block's raw bytes, and its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

impl Damage {
    pub(crate) fn at(self, at: usize) -> Damage {
        Damage { at, ..self }
    }
}

impl From<Damage> for Undecoded<Damage> {
    fn from(damage: Damage) -> Self {
        Undecoded::Damaged(damage)
    }
}

pub(crate) const SHARED_AT_RESTART: Damage = Damage {
    at: 0,
    what: "an entry at a restart point shares bytes",
};
pub(crate) const SHARED_TOO_MUCH: Damage = Damage {
    at: 0,
    what: "an entry shares more bytes than the key before has",
};
pub(crate) const ASTRAY: Damage = Damage {
    at: 0,
    what: "entries do not end where the next restart point is",
};

pub(crate) const TOO_MUCH_TO_REBUILD: Damage = Damage {
    at: 0,
    what: "the keys after a restart point are too long",
};

/// One entry as it is stored.
pub(in crate::sstable) struct StoredEntry<'a> {
    /// The bytes its user key shares with the one before.
    pub(in crate::sstable) shared: usize,
    pub(in crate::sstable) suffix: &'a [u8],
    pub(in crate::sstable) trailer: Trailer,
    pub(in crate::sstable) value: &'a [u8],
}

/// One entry as it lies in the block.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryLayout {
    pub(super) shared: usize,
    pub(super) suffix_start: usize,
    pub(super) suffix_end: usize,
    pub(super) trailer: Trailer,
    pub(super) value_start: usize,
    /// The end of the value and start of the next entry.
    pub(super) end: usize,
}

/// The raw bytes of a block in the stored form, wherever they are. Its restart points are checked.
#[derive(Clone, Copy)]
pub(in crate::sstable) struct Stored<'a> {
    bytes: &'a [u8],
    restarts: u32,
}

impl<'a> Stored<'a> {
    /// Checks the restart points.
    pub(in crate::sstable) fn parse(bytes: &'a [u8]) -> Result<Stored<'a>, Damage> {
        let restarts = check_restarts(bytes)?;
        Ok(Stored { bytes, restarts })
    }

    /// Bytes that [`Stored::parse`] has accepted before, with their number of restart points.
    #[inline]
    pub(super) fn parsed(bytes: &'a [u8], restarts: u32) -> Stored<'a> {
        debug_assert!(
            bytes.len() > 4 * (restarts as usize + 1),
            "FORM-1: entries and restart points fit into the block"
        );
        debug_assert!(restarts > 0, "FORM-1: a stored block has a restart point");
        Stored { bytes, restarts }
    }

    /// How many restart points there are.
    pub(super) fn restart_count(self) -> u32 {
        self.restarts
    }

    /// All bytes, with the restart points.
    #[inline]
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The end of the entries and start of the restart points.
    #[inline]
    pub(in crate::sstable) fn entries_end(self) -> usize {
        self.bytes.len() - 4 * (self.restarts as usize + 1)
    }

    /// The offsets of entries in the restart points, ascending.
    pub(in crate::sstable) fn restarts(self) -> impl Iterator<Item = usize> {
        let points = &self.bytes[self.entries_end()..self.bytes.len() - 4];
        let point = |bytes: &[u8]| {
            bytes
                .first_chunk()
                .map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        points
            .chunks_exact(4)
            .map(move |bytes| point(bytes) as usize)
    }

    /// The entry at `at < entries_end`, and the offset of the next one.
    #[inline(always)]
    pub(in crate::sstable) fn entry(self, at: usize) -> Result<(StoredEntry<'a>, usize), Damage> {
        let entry = decode_entry(&self.bytes[..self.entries_end()], at)?;
        let stored = StoredEntry {
            shared: entry.shared,
            suffix: &self.bytes[entry.suffix_start..entry.suffix_end],
            trailer: entry.trailer,
            value: &self.bytes[entry.value_start..entry.end],
        };
        Ok((stored, entry.end))
    }

    /// The entries, as far as they can be decoded.
    pub(super) fn entries(self) -> impl Iterator<Item = Result<StoredEntry<'a>, Damage>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.entries_end() {
                return None;
            }
            let entry = self.entry(at);
            at = entry.as_ref().map_or(self.entries_end(), |(_, end)| *end);
            Some(entry.map(|(entry, _)| entry))
        })
    }

    /// The ranges of the entry at `at < entries_end`.
    #[inline]
    pub(super) fn decode(self, at: usize) -> Result<EntryLayout, Damage> {
        decode_entry(&self.bytes[..self.entries_end()], at)
    }

    /// Restart point `index`.
    fn restart(self, index: usize) -> usize {
        debug_assert!(
            index < self.restarts as usize,
            "FORM-1: one of its restart points"
        );
        let at = self.entries_end() + 4 * index;
        let bytes = &self.bytes[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
    }

    /// The last restart point before `at > 0`.
    pub(super) fn restart_before_byte(self, at: usize) -> usize {
        debug_assert!(at > 0, "BLOCK-1: the first restart point is before it");
        let (mut low, mut high) = (0, self.restarts as usize);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.restart(middle) < at {
                low = middle;
            } else {
                high = middle;
            }
        }
        debug_assert!(
            self.restart(low) < at,
            "BLOCK-1: the restart point is before it"
        );
        self.restart(low)
    }

    /// The last restart point whose key is before `target`, or the first one.
    pub(super) fn restart_before(self, target: KeyRef<'_>) -> Result<usize, Damage> {
        let (mut low, mut high) = (0, self.restarts as usize);
        // The restart point at `low` is before the target (or is the first), the one at `high` is not.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let at = self.restart(middle);
            let entry = self.decode(at)?;
            if entry.shared != 0 {
                return Err(SHARED_AT_RESTART.at(at));
            }
            let user_key = &self.bytes[entry.suffix_start..entry.suffix_end];
            if KeyRef::new(user_key, entry.trailer) < target {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(self.restart(low))
    }

    /// The first entry >= `target`, if it has the same user key: its trailer and the place of its value.
    ///
    /// Rebuilds no key. `matched` is the number of bytes that the previous entry has in common with the target; if an
    /// entry shares more bytes than that, it compares like the previous entry.
    pub(super) fn get(self, target: KeyRef<'_>) -> Result<Option<(Trailer, Range<usize>)>, Damage> {
        let wanted = target.user_key;
        let mut at = self.restart_before(target)?;
        let mut matched = 0;
        let mut length = 0;
        let mut first = true;
        while at < self.entries_end() {
            let entry = self.decode(at)?;
            if first && entry.shared != 0 {
                return Err(SHARED_AT_RESTART.at(at));
            }
            first = false;
            if entry.shared > length {
                return Err(SHARED_TOO_MUCH.at(at));
            }
            let suffix = &self.bytes[entry.suffix_start..entry.suffix_end];
            length = entry.shared + suffix.len();
            if entry.shared <= matched {
                let rest = &wanted[entry.shared..];
                let common = common_prefix(suffix, rest);
                matched = entry.shared + common;
                match (suffix.get(common), rest.get(common)) {
                    (None, None) if entry.trailer <= target.trailer => {
                        return Ok(Some((entry.trailer, entry.value_start..entry.end)));
                    }
                    (Some(_), None) => return Ok(None),
                    (Some(have), Some(want)) if have > want => return Ok(None),
                    _ => {}
                }
            }
            at = entry.end;
        }
        Ok(None)
    }
}

/// Checks the restart points of a stored block; returns how many there are.
fn check_restarts(bytes: &[u8]) -> Result<u32, Damage> {
    let damage = |at, what| Err(Damage { at, what });
    let Some((body, count)) = bytes.split_last_chunk::<4>() else {
        return damage(0, "a block shorter than its restart count");
    };
    let restarts = u32::from_le_bytes(*count) as usize;
    let entries_end = restarts
        .checked_mul(4)
        .and_then(|table| body.len().checked_sub(table));
    let Some(entries_end) = entries_end else {
        return damage(
            body.len(),
            "more restart points than the block has room for",
        );
    };
    let mut previous = None;
    for (index, restart) in body[entries_end..].chunks_exact(4).enumerate() {
        let restart = u32::from_le_bytes([restart[0], restart[1], restart[2], restart[3]]);
        let ascends = match previous {
            None => restart == 0,
            Some(previous) => restart > previous,
        };
        if !ascends || restart as usize >= entries_end {
            return damage(entries_end + 4 * index, "restart points do not ascend");
        }
        previous = Some(restart);
    }
    if previous.is_none() {
        return damage(entries_end, "a block without restart points");
    }
    Ok(restarts as u32)
}

/// Decodes the entry at `at`, which is less than the length of `entries`; every range in it lies within them.
#[inline(always)]
fn decode_entry(entries: &[u8], at: usize) -> Result<EntryLayout, Damage> {
    debug_assert!(
        at < entries.len(),
        "STORED-1: an entry begins before the end of all"
    );
    let rest = &entries[at..];
    let (shared, suffix, value, header) = match *rest {
        [shared, suffix, value, ..] if (shared | suffix | value) < 0x80 => {
            (u64::from(shared), u64::from(suffix), u64::from(value), 3)
        }
        _ => lengths(rest).ok_or(Damage {
            at,
            what: "an entry's lengths are cut short",
        })?,
    };
    let what = "an entry longer than its block";
    let room = (rest.len() - header) as u64;
    if suffix > room || value > room - suffix || room - suffix - value < TRAILER_BYTES as u64 {
        return Err(Damage { at, what });
    }
    let suffix_start = at + header;
    let suffix_end = suffix_start + suffix as usize;
    let value_start = suffix_end + TRAILER_BYTES;
    let trailer = entries[suffix_end..]
        .first_chunk::<TRAILER_BYTES>()
        .ok_or(Damage { at, what })?;
    debug_assert!(
        value_start + value as usize <= entries.len(),
        "STORED-1: the value lies within the entries"
    );
    Ok(EntryLayout {
        shared: usize::try_from(shared).map_err(|_| Damage { at, what })?,
        suffix_start,
        suffix_end,
        trailer: Trailer(u64::from_le_bytes(*trailer)),
        value_start,
        end: value_start + value as usize,
    })
}

/// The three lengths at the head of an entry, and the bytes they take.
#[cold]
fn lengths(rest: &[u8]) -> Option<(u64, u64, u64, usize)> {
    let mut input = rest;
    let shared = get_varint(&mut input)?;
    let suffix = get_varint(&mut input)?;
    let value = get_varint(&mut input)?;
    Some((shared, suffix, value, rest.len() - input.len()))
}

/// How many bytes `a` and `b` have in common at their beginnings.
#[inline]
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut done = 0;
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let differ = u64_of(a) ^ u64_of(b);
        if differ != 0 {
            return done + (differ.trailing_zeros() / 8) as usize;
        }
        done += 8;
    }
    let rest = a[done..].iter().zip(&b[done..]);
    done + rest.take_while(|(a, b)| a == b).count()
}

#[inline]
fn u64_of(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
