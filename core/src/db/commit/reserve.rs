//! Refuses writes that the disk has no room for.
//!
//! Elsewhere: how much must stay free, and why (`tree/reserve.rs`).

use super::{Commit, Log};
use crate::batch::{WriteBatch, operations};
use crate::error::{ErrorKind, Result};
use crate::key::ValueKind;

impl Commit {
    /// Refuses `batch` if it would eat into the reserve (RESERVE-3).
    #[inline]
    pub(super) fn keep_reserve(&self, log: &mut Log, batch: &WriteBatch) -> Result<()> {
        let coming = batch.encoded().len() as u64;
        let end = log.writer.len() + coming;
        let was_seen = end <= log.reserved_up_to && self.space.is_whole();
        if was_seen && (log.writer.has_space_for(coming) || self.space.has_free(coming)) {
            Ok(())
        } else {
            self.extend_reserve(log, batch, end)
        }
    }

    #[cold]
    fn extend_reserve(&self, log: &mut Log, batch: &WriteBatch, end: u64) -> Result<()> {
        self.watch_memtable(log);
        let step = self.space.step();
        let coming = batch.encoded().len() as u64 + step;
        let held = self.tree.hold_reserve(coming, false).or_else(|_| {
            self.tree.delete_obsolete_tables();
            self.tree.hold_reserve(coming, false)
        });
        match held {
            Ok(()) => {
                log.reserved_up_to = end + step;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NoSpace && deletes_only(batch)? => {
                // The zeros would draw on the reserve like records.
                log.writer.stop_zeroing();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn deletes_only(batch: &WriteBatch) -> Result<bool> {
    for operation in operations(batch.encoded())? {
        if operation?.kind == ValueKind::Put {
            return Ok(false);
        }
    }
    Ok(true)
}
