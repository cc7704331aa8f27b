//! Closing: no new call, the background stopped, everything given back, the directory let go.
//!
//! * CLOSE-1  When `close` returns, what the database had of memory, descriptors and deleted tables is given back, but for
//!            what a call under way on another thread works on until it answers `Closed`, and what was lent: the blocks of
//!            values, and the block, or the chunk of a memtable, of the entry that a cursor stands on.
//! * CLOSE-2  What a closed database shows is empty. Readers look whether it is open behind the load of what is shown, so
//!            none of them takes that for an answer.

use super::shared::Shared;
use super::superversion::SuperVersion;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::version::Version;

/// What to do with what is not yet in tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unflushed {
    /// Flush it: `close` promises that it survives loss of power.
    Flush,
    /// Leave it in the logs, where it survives the death of the process: the last handle was merely dropped.
    LeaveInLogs,
}

impl Shared {
    /// Closes the database; see `DB::close`.
    pub(super) fn close(&self, unflushed: Unflushed) -> Result<()> {
        if crate::env::fork_count() != self.forks {
            // A child's copy: threads and lock belong to the parent, and a lock here may be held for ever.
            self.closed.store(true, Ordering::Release);
            self.holds.close();
            return Ok(());
        }
        let mut closing = self.closing.lock();
        {
            // Under the commit lock: a write that is acknowledged later than this was in the log before.
            let _log = self.log.lock();
            if self.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            self.holds.close();
        }
        self.note(format_args!("closing"));
        drop(self.state.lock());
        self.changed.notify_all();
        let outcome = if unflushed == Unflushed::Flush && !self.options.read_only {
            self.flush_all()
        } else {
            Ok(())
        };
        {
            let mut state = self.state.lock();
            state.stop_compacting = true;
            state.stop_flushing = true;
            self.changed.notify_all();
        }
        self.doorbell.ring();
        {
            // Manual compactions run in their callers' threads: they must be over before the lock is let go.
            let mut state = self.state.lock();
            while !state.running.is_empty() || state.tidying > 0 {
                self.changed.wait(&mut state);
            }
        }
        for thread in closing.threads.drain(..) {
            thread.join();
        }
        if !self.options.read_only {
            // What stopped compactions have given back is not left to others.
            self.delete_obsolete_tables();
            self.remove_blank_log();
            self.adjust_reserve();
            self.leave_reserve();
        }
        self.let_go();
        if !self.options.read_only {
            // What only cursors kept from being deleted.
            self.delete_obsolete_tables();
        }
        self.info_log.let_go();
        closing.lock = None;
        crate::env::return_free_memory();
        outcome
    }

    /// Gives back memory, descriptors and tables, whoever still has a handle, a cursor or a snapshot. What is lent stays with
    /// who has it: a value's block, and that of the entry a cursor stands on.
    fn let_go(&self) {
        // Whoever loads what is shown from here on finds out behind that that the database is closed.
        debug_assert!(self.closed.load(Ordering::Acquire));
        self.holds.let_go();
        let active = Arc::new(Memtable::empty());
        let memtable = self.log.lock().let_go(&active);
        self.sync_group.let_go();
        let mut versions = self.versions.lock();
        let version = versions.let_go();
        let mut state = self.state.lock();
        let empty = SuperVersion {
            active,
            active_log: self.superversion.load().active_log,
            sealed: Vec::new(),
            version: Arc::new(Version::empty()),
        };
        let shown = self.show(&mut state, empty);
        drop(state);
        drop(versions);
        // Before the memtables go, or it would keep their memory.
        self.spare_chunks.close();
        drop((memtable, version, shown));
        self.tables.close();
        self.block_cache.close();
        self.space.let_go();
    }
}
