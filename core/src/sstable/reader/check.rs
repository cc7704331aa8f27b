//! The check of a whole table: everything that opening it did not look at.
//!
//! Each data block is read from the file, past the cache, and checked: its checksum, that keys ascend (T3) and lie
//! within the block's fences (N1), that its restart points are entries (B1, B3), that the filter knows them (F1);
//! and at the end that the properties are true. Damage in a block is told and the next block is looked at: every bad
//! block is found, not the first one only.

use std::ops::ControlFlow;

use super::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyRef, SequenceNumber, TRAILER_BYTES, ValueKind};
use crate::sstable::block::{ASTRAY, BlockCursor, Damage, SHARED_AT_RESTART, TOO_MUCH_TO_REBUILD};
use crate::sstable::block_builder::MAX_REBUILT_BYTES;
use crate::sstable::builder::TableSummary;
use crate::sstable::format::{BLOCK_TRAILER_BYTES, Properties};

/// What the check has come to.
pub(crate) enum Checked {
    /// A data block is behind it; of a damaged one no entry counts.
    Block { bytes: u64, entries: u64 },
    /// Something is wrong with what begins at `offset`.
    Damage { offset: u64, error: Error },
}

/// What the entries so far say.
struct Walk {
    found: Properties,
    smallest: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl Table {
    /// Checks the table block by block; `visit` is told of each block and of all damage, and may end the check.
    ///
    /// Returns what the table holds, or `None` if it is damaged or the check was ended. An error says why the
    /// check could not go on.
    pub(crate) fn check(
        &self,
        visit: &mut dyn FnMut(Checked) -> ControlFlow<()>,
    ) -> Result<Option<TableSummary>> {
        let mut walk = Walk {
            found: Properties {
                smallest_sequence: SequenceNumber::MAX,
                data_blocks: self.index.len() as u64,
                compression: self.properties.compression,
                created_micros: self.properties.created_micros,
                keyspace: self.properties.keyspace,
                ..Properties::default()
            },
            smallest: None,
            last: None,
        };
        let mut is_whole = true;
        for number in 0..self.index.len() {
            let handle = self.index.handle(number);
            let (offset, before) = (handle.offset, walk.found.entries);
            let mut entries = 0;
            match self.check_block(number, &mut walk) {
                Ok(()) => entries = walk.found.entries - before,
                Err(error) => {
                    is_whole = false;
                    let error = as_damage(error)?;
                    if visit(Checked::Damage { offset, error }).is_break() {
                        return Ok(None);
                    }
                }
            }
            let bytes = handle.length + BLOCK_TRAILER_BYTES as u64;
            if visit(Checked::Block { bytes, entries }).is_break() {
                return Ok(None);
            }
        }
        let found = walk.found;
        if is_whole && found != self.properties {
            is_whole = false;
            let what = format!(
                "the properties are {:?}, the entries say {found:?}",
                self.properties
            );
            let offset = self.file_size;
            let error = Error::corruption(&self.path, offset, what);
            if visit(Checked::Damage { offset, error }).is_break() {
                return Ok(None);
            }
        }
        Ok(is_whole.then(|| TableSummary {
            file_size: self.file_size,
            entries: found.entries,
            tombstones: found.tombstones,
            smallest: walk.smallest.unwrap_or_default(),
            largest: walk.last.unwrap_or_default(),
            smallest_sequence: found.smallest_sequence,
            largest_sequence: found.largest_sequence,
            raw_key_bytes: found.raw_key_bytes,
            raw_value_bytes: found.raw_value_bytes,
        }))
    }

    fn check_block(&self, number: usize, walk: &mut Walk) -> Result<()> {
        let offset = self.index.handle(number).offset;
        let wrong = |what: &str| Error::corruption(&self.path, offset, what);
        let step = |moved: std::result::Result<(), Damage>| {
            moved.map_err(|damage| self.damage(number, damage))
        };
        let block = self.fill(number, false)?;
        let mut cursor = BlockCursor::new(block.clone());
        step(cursor.seek_to_first())?;
        // Lookups and walks backward begin at restart points, so those must be entries (B1, B3).
        let mut restarts = block.restarts().peekable();
        let mut rebuilt = 0;
        let found = &mut walk.found;
        while cursor.valid() {
            let (at, key) = (cursor.offset(), cursor.key());
            let is_restart = restarts.next_if_eq(&at).is_some();
            match cursor.is_shared() {
                true if is_restart => return Err(self.damage(number, SHARED_AT_RESTART.at(at))),
                true => rebuilt += key.user_key.len(),
                false if is_restart => rebuilt = 0,
                false => {}
            }
            if rebuilt > MAX_REBUILT_BYTES {
                return Err(self.damage(number, TOO_MUCH_TO_REBUILD.at(at)));
            }
            let previous = walk.last.as_deref().and_then(KeyRef::decode);
            if previous.is_some_and(|previous| previous >= key) {
                return Err(wrong("T3: keys do not ascend"));
            }
            if self.index.find(key) != number {
                return Err(wrong("N1: a key lies outside its block's fences"));
            }
            if !self.may_contain(key.user_key) {
                return Err(wrong("F1: the filter does not know a key"));
            }
            let Some(kind) = key.trailer.kind() else {
                return Err(Error::unsupported(format!(
                    "{} at byte {offset}: an entry of kind {}",
                    self.path.display(),
                    key.trailer.0 as u8
                )));
            };
            found.entries += 1;
            found.tombstones += u64::from(kind == ValueKind::Delete);
            found.raw_key_bytes += (key.user_key.len() + TRAILER_BYTES) as u64;
            found.raw_value_bytes += cursor.value().len() as u64;
            let sequence = key.trailer.sequence();
            found.smallest_sequence = found.smallest_sequence.min(sequence);
            found.largest_sequence = found.largest_sequence.max(sequence);
            if walk.smallest.is_none() {
                walk.smallest = Some(key.to_vec());
            }
            let last = walk.last.get_or_insert_default();
            last.clear();
            key.encode_to(last);
            step(cursor.next())?;
        }
        match restarts.next() {
            Some(astray) => Err(self.damage(number, ASTRAY.at(astray))),
            None => Ok(()),
        }
    }
}

/// The error if it is about the table; otherwise it ends the check.
fn as_damage(error: Error) -> Result<Error> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::Io | ErrorKind::Unsupported => Ok(error),
        _ => Err(error),
    }
}
