//! Walks the entries of one block in the stored form in both directions.
//!
//! * BLOCK-5  The cursor's position only grows in `next` and only shrinks in `prev`, so every walk ends.
//! * BLOCK-6  A cursor holds a counted reference to its block: evicting the block from the cache does not move it.
//!
//! Cost: `next` allocates nothing and copies only the part of a key that is not shared. The first `prev`
//! between two restart points decodes the entries there once; later ones are lookups.
//!
//! Elsewhere: the same over a flat block (`flat_cursor.rs`), and over either (`any_cursor.rs`).

use super::memory::Block;
use super::stored::{ASTRAY, Damage, SHARED_TOO_MUCH, TOO_MUCH_TO_REBUILD};
use crate::key::{KeyRef, Trailer};
use crate::sstable::block_builder::MAX_REBUILT_BYTES;

/// Where the cursor's user key is.
#[derive(Debug, Clone, Copy)]
enum KeyPlace {
    /// In the block, because it shares no bytes.
    Block { start: usize, end: usize },
    /// Rebuilt, in `key`.
    Buffer,
    /// Rebuilt while going backward, in `stretch.keys`.
    Stretch { start: usize, end: usize },
}

/// The entries from a restart point to where the cursor was when it went backward.
#[derive(Default)]
struct Stretch {
    entries: Vec<StretchEntry>,
    keys: Vec<u8>,
    /// The current entry, if the cursor reached it by `prev`.
    position: Option<usize>,
}

#[derive(Clone, Copy)]
struct StretchEntry {
    at: usize,
    key: KeyPlace,
    trailer: Trailer,
    value_start: usize,
    end: usize,
}

/// See the head of the file.
pub(crate) struct BlockCursor {
    block: Block,
    /// The offset of the current entry; `entries_end` when there is none.
    at: usize,
    /// The offset of the next entry.
    end: usize,
    value_start: usize,
    trailer: Trailer,
    place: KeyPlace,
    key: Vec<u8>,
    stretch: Stretch,
}

impl BlockCursor {
    /// A cursor on no entry. Requires a block in the stored form.
    pub(crate) fn new(block: Block) -> BlockCursor {
        let at = block.stored().entries_end();
        BlockCursor {
            block,
            at,
            end: at,
            value_start: at,
            trailer: Trailer::OLDEST,
            place: KeyPlace::Block { start: 0, end: 0 },
            key: Vec::new(),
            stretch: Stretch::default(),
        }
    }

    /// Moves to another block, and there to no entry. Keeps the buffers.
    pub(crate) fn reset(&mut self, block: Block) {
        self.block = block;
        self.invalidate();
    }

    fn invalidate(&mut self) {
        self.at = self.block.stored().entries_end();
        self.end = self.at;
        self.value_start = self.at;
        self.place = KeyPlace::Block { start: 0, end: 0 };
        self.stretch.position = None;
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.at < self.block.stored().entries_end()
    }

    #[inline]
    pub(crate) fn key(&self) -> KeyRef<'_> {
        debug_assert!(self.valid(), "BLOCK-5: on an entry");
        let user_key = match self.place {
            KeyPlace::Block { start, end } => &self.block.bytes()[start..end],
            KeyPlace::Buffer => &self.key[..],
            KeyPlace::Stretch { start, end } => &self.stretch.keys[start..end],
        };
        KeyRef::new(user_key, self.trailer)
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        debug_assert!(self.valid(), "BLOCK-5: on an entry");
        &self.block.bytes()[self.value_start..self.end]
    }

    pub(crate) fn seek_to_first(&mut self) -> Result<(), Damage> {
        self.jump(0)
    }

    pub(crate) fn seek_to_last(&mut self) -> Result<(), Damage> {
        self.invalidate();
        self.prev().map(|_| ())
    }

    /// Moves to the first entry at or after `target`; on none if all are before it.
    pub(crate) fn seek(&mut self, target: KeyRef<'_>) -> Result<(), Damage> {
        let restart = self.block.stored().restart_before(target)?;
        self.jump(restart)?;
        while self.valid() && self.key() < target {
            self.next()?;
        }
        Ok(())
    }

    /// Moves to the entry at a restart point.
    fn jump(&mut self, restart: usize) -> Result<(), Damage> {
        debug_assert!(
            restart < self.block.stored().entries_end(),
            "STORED-1: a restart point is an entry"
        );
        self.invalidate();
        self.end = restart;
        // An entry at a restart point shares no bytes.
        self.place = KeyPlace::Block { start: 0, end: 0 };
        self.step()
    }

    /// Moves to the next entry; to none if this was the last. Requires `valid`.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<(), Damage> {
        debug_assert!(self.valid(), "BLOCK-5: from an entry to the next");
        self.step()
    }

    /// Decodes the entry at `self.end`, whose key shares bytes with the key at `self.place`.
    #[inline]
    fn step(&mut self) -> Result<(), Damage> {
        let at = self.end;
        if at >= self.block.stored().entries_end() {
            self.invalidate();
            return Ok(());
        }
        let entry = match self.block.stored().decode(at) {
            Ok(entry) => entry,
            Err(damage) => {
                self.invalidate();
                return Err(damage);
            }
        };
        let suffix = &self.block.bytes()[entry.suffix_start..entry.suffix_end];
        if entry.shared == 0 {
            self.place = KeyPlace::Block {
                start: entry.suffix_start,
                end: entry.suffix_end,
            };
        } else {
            let known = match self.place {
                KeyPlace::Buffer => {
                    let enough = entry.shared <= self.key.len();
                    self.key.truncate(entry.shared);
                    enough
                }
                KeyPlace::Block { start, end } => {
                    self.key.clear();
                    let known = self.block.bytes()[start..end].get(..entry.shared);
                    self.key.extend_from_slice(known.unwrap_or_default());
                    known.is_some()
                }
                KeyPlace::Stretch { start, end } => {
                    self.key.clear();
                    let known = self.stretch.keys[start..end].get(..entry.shared);
                    self.key.extend_from_slice(known.unwrap_or_default());
                    known.is_some()
                }
            };
            if !known {
                self.invalidate();
                return Err(SHARED_TOO_MUCH.at(at));
            }
            self.key.extend_from_slice(suffix);
            self.place = KeyPlace::Buffer;
        }
        debug_assert!(
            at < entry.value_start
                && entry.value_start <= entry.end
                && entry.end <= self.block.stored().entries_end(),
            "STORED-1, BLOCK-5: it lies within the entries, and the next one begins after it"
        );
        self.stretch.position = None;
        self.at = at;
        self.end = entry.end;
        self.value_start = entry.value_start;
        self.trailer = entry.trailer;
        Ok(())
    }

    /// Moves to the previous entry (from no entry: to the last one), or to none if this was the first.
    ///
    /// Returns whether it is then on an entry.
    pub(crate) fn prev(&mut self) -> Result<bool, Damage> {
        let before = match self.stretch.position {
            Some(position) if position > 0 => position - 1,
            _ => {
                if self.at == 0 {
                    self.invalidate();
                    return Ok(false);
                }
                if let Err(damage) = self.decode_stretch() {
                    self.invalidate();
                    return Err(damage);
                }
                self.stretch.entries.len() - 1
            }
        };
        let entry = self.stretch.entries[before];
        debug_assert!(entry.at < self.at, "BLOCK-5: the position only shrinks");
        self.stretch.position = Some(before);
        self.at = entry.at;
        self.end = entry.end;
        self.value_start = entry.value_start;
        self.trailer = entry.trailer;
        self.place = entry.key;
        Ok(true)
    }

    /// Decodes the entries from the last restart point before `self.at > 0` up to it: at least one.
    fn decode_stretch(&mut self) -> Result<(), Damage> {
        let stored = self.block.stored();
        let Stretch { entries, keys, .. } = &mut self.stretch;
        entries.clear();
        keys.clear();
        let mut at = stored.restart_before_byte(self.at);
        let mut last = KeyPlace::Block { start: 0, end: 0 };
        while at < self.at {
            let entry = stored.decode(at)?;
            if entry.shared > 0 {
                let start = keys.len();
                let (from, to) = match last {
                    KeyPlace::Stretch { start, end } => (start, end),
                    KeyPlace::Block { start, end } => (start, end),
                    KeyPlace::Buffer => (0, 0),
                };
                if entry.shared > to - from {
                    return Err(SHARED_TOO_MUCH.at(at));
                }
                let suffix = &stored.bytes()[entry.suffix_start..entry.suffix_end];
                if start + entry.shared + suffix.len() > MAX_REBUILT_BYTES {
                    return Err(TOO_MUCH_TO_REBUILD.at(at));
                }
                let shared = from..from + entry.shared;
                match last {
                    KeyPlace::Stretch { .. } => keys.extend_from_within(shared),
                    _ => keys.extend_from_slice(&stored.bytes()[shared]),
                }
                keys.extend_from_slice(suffix);
                last = KeyPlace::Stretch {
                    start,
                    end: keys.len(),
                };
            } else {
                last = KeyPlace::Block {
                    start: entry.suffix_start,
                    end: entry.suffix_end,
                };
            }
            entries.push(StretchEntry {
                at,
                key: last,
                trailer: entry.trailer,
                value_start: entry.value_start,
                end: entry.end,
            });
            at = entry.end;
            debug_assert!(
                keys.len() <= MAX_REBUILT_BYTES,
                "BLOCK-3: the rebuilt keys are bounded"
            );
        }
        if at != self.at {
            return Err(ASTRAY.at(self.at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{block_of, four_stretches, trailer};
    use super::*;

    #[test]
    fn going_backward_decodes_a_stretch_once_and_then_looks_it_up() {
        let block = block_of(&four_stretches());
        let mut cursor = BlockCursor::new(block);
        cursor.seek_to_last().unwrap();
        assert_eq!(cursor.stretch.entries.len(), 4);
        // Marks the entries in the stretch, so that `prev` shows where it takes an entry from.
        for entry in &mut cursor.stretch.entries {
            entry.trailer = trailer(99);
        }
        for (key, number) in [(b"o", 99), (b"n", 99), (b"m", 99), (b"l", 7), (b"k", 7)] {
            assert!(cursor.prev().unwrap());
            assert_eq!(cursor.key(), KeyRef::new(key, trailer(number)));
        }
    }
}
