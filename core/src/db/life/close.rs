//! Closing: refuses new calls, stops the background threads, releases memory and files, and unlocks the
//! directory.
//!
//! * CLOSE-1  When `close` returns, the database's memory, descriptors and deleted tables are released. The
//!            exceptions are whatever a call under way on another thread uses until it returns `Closed`, and
//!            lent bytes: the blocks of values, and the block or memtable chunk with a cursor's current entry.
//! * CLOSE-2  A closed database publishes an empty superversion. Readers check whether it is open after they
//!            load the superversion, so none of them returns a result from the empty one.

use super::Database;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::sync::Arc;

/// What to do with writes that are not yet in tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Unflushed {
    /// Flush it: `close` promises that it survives power loss.
    Flush,
    /// Leave it in the logs, where it survives the death of the process: the last handle was merely dropped.
    LeaveInLogs,
}

impl Database {
    /// Closes the database; see `DB::close`.
    pub(in crate::db) fn close(&self, unflushed: Unflushed) -> Result<()> {
        let context = &self.context;
        if context.is_foreign() {
            // This is a child's copy after `fork`. The threads and the directory's lock belong to the
            // parent, and a mutex here may be locked for ever.
            context.close();
            self.walks.close();
            return Ok(());
        }
        let mut closing = self.closing.lock();
        // This takes the log's lock, so a write that is acknowledged later was already in the log.
        if !self.commit.close(|| self.walks.close()) {
            return Ok(());
        }
        debug_assert!(
            closing.lock.is_some(),
            "CLOSE-1: the directory is locked until here"
        );
        context.note(format_args!("closing"));
        self.tree.wake_all();
        let is_read_only = context.options().read_only;
        let outcome = match unflushed {
            Unflushed::Flush if !is_read_only => self.commit.flush_all(),
            _ => Ok(()),
        };
        self.tree.stop();
        for thread in closing.threads.drain(..) {
            thread.join();
        }
        if !is_read_only {
            // Claims the disk space that stopped compactions have freed, before other programs do.
            self.tree.delete_obsolete_tables();
            self.logs.remove_blank();
            self.tree.adjust_reserve();
            self.tree.leave_reserve();
        }
        self.let_go();
        if !is_read_only {
            // Now also the tables that only cursors kept.
            self.tree.delete_obsolete_tables();
        }
        context.let_go();
        closing.lock = None;
        crate::env::return_free_memory();
        outcome
    }

    /// Releases memory, descriptors and tables, even if handles, cursors or snapshots still exist. Lent bytes
    /// stay with their holders: a value's block, and the block of a cursor's current entry.
    fn let_go(&self) {
        // A reader that loads the superversion from here on sees after the load that the database is closed.
        debug_assert!(
            self.context.check_open().is_err(),
            "CLOSE-2: the database is marked closed before it shows nothing"
        );
        self.transactions.close();
        self.walks.let_go();
        let active = Arc::new(Memtable::empty());
        let last = self.commit.let_go(&active);
        self.logs.let_go();
        self.tree.let_go(active, last);
        self.tree.tables().close();
        self.tree.block_cache().close();
        self.space.let_go();
    }
}
