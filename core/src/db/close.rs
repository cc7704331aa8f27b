//! Closing: no new call, the background stopped, the directory let go.

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
            return Ok(());
        }
        let mut closing = self.closing.lock();
        {
            // Under the commit lock: a write that is acknowledged later than this was in the log before.
            let _log = self.log.lock();
            if self.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
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
        }
        let mut state = self.state.lock();
        let empty = SuperVersion {
            active: Arc::new(Memtable::new(0)),
            active_log: self.superversion.load().active_log,
            sealed: Vec::new(),
            version: Arc::new(Version::empty()),
        };
        let last = self.show(&mut state, empty);
        drop(state);
        drop(last);
        self.spare_chunks.clear();
        closing.lock = None;
        outcome
    }
}
