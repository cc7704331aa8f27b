//! Seals the active memtable and starts the next log.
//!
//! * SEAL-1  The log of the new memtable names its predecessor's number, final length and last sequence number.
//!           So once such a log may exist, its predecessor gets no more records. If creating the log fails and
//!           it cannot be removed either, the old log is poisoned, and writing continues only in a newer log. A panic
//!           in between stops all writing.
//! * SEAL-2  The new log's header is durable, but not yet its directory entry: the sync group syncs that before
//!           it acknowledges a synced record in the log (SYNC-2), and a flush does so before the manifest names
//!           the log (FLUSH-2).
//!
//! Elsewhere: how many sealed memtables may wait (`tree/flush.rs`, FLUSH-6).

use super::{Commit, Log};
use crate::db::logs::LogFile;
use crate::db::order::StopUnlessDone;
use crate::env::Names;
use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::wal;

impl Commit {
    /// Starts a new log. Unless the active memtable is empty, seals it and starts a new one.
    pub(super) fn seal(&self, log: &mut Log) -> Result<()> {
        if log.is_closed {
            // Another process may have the directory by now.
            return Err(Error::closed("the database"));
        }
        // First, so that nothing has changed if there is no memory for it.
        let memtable = self.tree.new_memtable()?;
        let number = self.tree.new_number();
        let name = Names::made_from_now(self.context.env());
        let predecessor = wal::Predecessor::new(
            log.file.number(),
            log.writer.len(),
            log.last_sequence,
            log.file.synced(),
        );
        // A panic from here on would leave the old log with records that its successor does not know (SEAL-1).
        let half_done = StopUnlessDone::new(&self.order);
        let writer = match self.logs.create(number, predecessor) {
            Ok(writer) => writer,
            Err(error) => {
                self.context
                    .note(format_args!("cannot start a log: {error}"));
                if self.logs.remove(number).is_err() {
                    log.writer.poison(error.clone());
                }
                half_done.done();
                return Err(error);
            }
        };
        debug_assert!(
            writer.predecessor() == predecessor && number > log.file.number(),
            "SEAL-1: it names the log before it, and has a later number"
        );
        let file = LogFile::new(
            number,
            writer.log_id(),
            Arc::clone(writer.file()),
            writer.len(),
            name,
        );
        // First, because a flush may name the log as soon as the memtable is sealed (FLUSH-2).
        self.logs.add(Arc::clone(&file));
        log.memtable = self.tree.seal(memtable, number, log.last_sequence);
        self.context.step("a memtable is sealed");
        debug_assert!(
            log.memtable.is_empty(),
            "COMMIT-5: the next memtable has no record of an older log"
        );
        log.counts.bytes += log.writer.len();
        (log.writer, log.file) = (writer, file);
        half_done.done();
        log.reserved_up_to = 0;
        log.seals_next = false;
        self.tree.ring();
        Ok(())
    }
}
