//! The check of a whole table: everything that opening it did not check.
//!
//! It reads each data block from the file, bypassing the cache, and checks: the checksum; that keys ascend
//! (TABLE-3) and are within the block's fences (FENCE-1); that restart points are entries (BLOCK-1, BLOCK-3);
//! that the filter has the keys (FILTER-1). At the end it checks the properties. It reports damage in a block
//! and continues with the next one, so that it finds every bad block and not only the first.

use std::ops::ControlFlow;

use super::{Table, with_buffers};
use crate::error::{Error, ErrorKind, Result};
use crate::sstable::block::{Damage, LARGE_BYTES};
use crate::sstable::builder::TableSummary;
use crate::sstable::format::{BLOCK_TRAILER_BYTES, BlockKind, Properties, check_block};
use crate::sstable::tally::{Tally, UNKNOWN_KIND};

/// The results of the check.
pub(crate) enum Checked {
    /// Passed after each data block. The entries of a damaged one do not count.
    Block { bytes: u64, entries: u64 },
    /// There is damage in the part that begins at `offset`.
    Damage { offset: u64, error: Error },
}

impl Table {
    /// Compares the stored bytes of each data block with its checksum, without unpacking it.
    ///
    /// Errors: `Corruption` naming the first block that is not what was written; `OutOfMemory`; `Io`.
    pub(crate) fn check_stored(&self) -> Result<()> {
        with_buffers(|buffers| {
            let mut number = 0;
            while number < self.index.len() {
                number += self.check_run(number, &mut buffers.stored)?;
            }
            Ok(())
        })
    }

    /// The same for block `first` and the blocks that are read with it; returns how many these are.
    fn check_run(&self, first: usize, buffer: &mut Vec<u8>) -> Result<usize> {
        let blocks = self.read_run(first, LARGE_BYTES, buffer)?;
        debug_assert!(
            blocks > 0 && first + blocks <= self.index.len(),
            "TABLE-1: a run has a block, and ends with the table"
        );
        for number in first..first + blocks {
            let stored = self.stored_in_run(number, first, buffer);
            let offset = self.index.handle(number).offset;
            check_block(&self.path, self.file_id, offset, BlockKind::Data, stored)?;
        }
        Ok(blocks)
    }

    /// Checks the table block by block; calls `visit` with each block and with all damage; `visit` may end the
    /// check.
    ///
    /// Returns the table's facts, or `None` if it is damaged or the check was ended. An error is the reason why the
    /// check could not go on.
    pub(crate) fn check(
        &self,
        visit: &mut dyn FnMut(Checked) -> ControlFlow<()>,
    ) -> Result<Option<TableSummary>> {
        let mut tally = Tally::default();
        let mut is_whole = true;
        for number in 0..self.index.len() {
            let handle = self.index.handle(number);
            let (offset, before) = (handle.offset, tally.facts.sum.entries());
            let mut entries = 0;
            match self.check_block(number, &mut tally) {
                Ok(()) => entries = tally.facts.sum.entries() - before,
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
        let found = Properties {
            entries: tally.facts.sum.entries(),
            tombstones: tally.facts.sum.tombstones,
            range_deletes: tally.facts.sum.range_deletes,
            raw_key_bytes: tally.facts.key_bytes,
            raw_value_bytes: tally.facts.value_bytes,
            smallest_sequence: tally.facts.smallest_sequence,
            largest_sequence: tally.facts.largest_sequence,
            data_blocks: self.index.len() as u64,
            // A table of version 1 has no sum to compare.
            content_sum: self.properties.content_sum.map(|_| tally.facts.sum.terms),
            ..self.properties.clone()
        };
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
        if !is_whole {
            return Ok(None);
        }
        Ok(Some(TableSummary {
            file_size: self.file_size,
            largest: tally.largest()?,
            smallest_sequence: tally.facts.smallest_sequence,
            largest_sequence: tally.facts.largest_sequence,
            raw_key_bytes: tally.facts.key_bytes,
            raw_value_bytes: tally.facts.value_bytes,
            older_versions: tally.facts.older_versions - tally.facts.older_ranges,
            range_deletes: tally.take_range_deletes(),
            created_micros: self.properties.created_micros,
            sum: tally.facts.sum,
            smallest: tally.smallest()?,
        }))
    }

    fn check_block(&self, number: usize, tally: &mut Tally) -> Result<()> {
        let offset = self.index.handle(number).offset;
        let block = self.fill(number, false)?;
        let outcome = tally.add_block(block.bytes(), |entry| {
            if self.index.find(entry.key) != number {
                return Err(ASTRAY_KEY.at(entry.at).into());
            }
            if self
                .filter
                .as_ref()
                .is_some_and(|filter| !filter.may_contain(entry.key_hash))
            {
                return Err(UNKNOWN_KEY.at(entry.at).into());
            }
            Ok(())
        });
        let reported = |damage: Damage| match damage.what == UNKNOWN_KIND.what {
            true => Error::unsupported(format!(
                "{} at byte {offset}: an entry of a kind that this build does not know",
                self.path.display()
            )),
            false => self.damage(number, damage),
        };
        outcome.map_err(|why| why.into_error(reported))
    }
}

/// A key that lookups would seek in another block (FENCE-1).
const ASTRAY_KEY: Damage = Damage {
    at: 0,
    what: "a key lies outside its block's fences",
};
/// A key that the filter says is absent (FILTER-1).
const UNKNOWN_KEY: Damage = Damage {
    at: 0,
    what: "the filter lacks a key",
};

/// The error if it is about the table; otherwise it ends the check.
fn as_damage(error: Error) -> Result<Error> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::Io | ErrorKind::Unsupported => Ok(error),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
