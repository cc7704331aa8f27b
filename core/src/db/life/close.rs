//! Closing: no new call, the background stopped, everything given back, the directory let go.
//!
//! * CLOSE-1  When `close` returns, what the database had of memory, descriptors and deleted tables is given back, but for
//!            what a call under way on another thread works on until it answers `Closed`, and what was lent: the blocks of
//!            values, and the block, or the chunk of a memtable, of the entry that a cursor stands on.
//! * CLOSE-2  What a closed database shows is empty. Readers look whether it is open after the load of what is shown, so
//!            none of them takes that for an answer.

use super::Database;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::sync::Arc;

/// What to do with what is not yet in tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Unflushed {
    /// Flush it: `close` promises that it survives loss of power.
    Flush,
    /// Leave it in the logs, where it survives the death of the process: the last handle was merely dropped.
    LeaveInLogs,
}

impl Database {
    /// Closes the database; see `DB::close`.
    pub(in crate::db) fn close(&self, unflushed: Unflushed) -> Result<()> {
        let context = &self.context;
        if context.is_foreign() {
            // A child's copy: threads and lock belong to the parent, and a lock here may be held for ever.
            context.close();
            self.walks.close();
            return Ok(());
        }
        let mut closing = self.closing.lock();
        // Under the commit lock: a write that is acknowledged later than this was in the log before.
        if !self.commit.close(|| self.walks.close()) {
            return Ok(());
        }
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
            // What stopped compactions have given back is not left to others.
            self.tree.delete_obsolete_tables();
            self.logs.remove_blank();
            self.tree.adjust_reserve();
            self.tree.leave_reserve();
        }
        self.let_go();
        if !is_read_only {
            // What only cursors kept from being deleted.
            self.tree.delete_obsolete_tables();
        }
        context.let_go();
        closing.lock = None;
        crate::env::return_free_memory();
        outcome
    }

    /// Gives back memory, descriptors and tables, whoever still has a handle, a cursor or a snapshot. What is lent stays with
    /// who has it: a value's block, and that of the entry a cursor stands on.
    fn let_go(&self) {
        // Whoever loads what is shown from here on finds out after the load that the database is closed.
        debug_assert!(
            self.context.check_open().is_err(),
            "CLOSE-2: it says that it is closed before it shows nothing"
        );
        self.walks.let_go();
        let active = Arc::new(Memtable::empty());
        let last = self.commit.let_go(&active);
        self.logs.let_go();
        self.tree.let_go(active, last);
        self.space.let_go();
    }
}
