//! The threads that do the background work: one flushes, several compact.
//!
//! No thread polls: the flush thread waits for its doorbell, and compaction threads for a change of the tree;
//! both also wake at a time when something is due. A failed flush is tried again at the next request.
//!
//! Elsewhere: the work (`tree/`), and when it is due (`commit/watch.rs`, `tree/upkeep.rs`).

use super::Database;
use super::close::Unflushed;
use crate::db::panics::guarded;
use crate::error::Result;
use crate::sync::Arc;

/// Thread names; Linux shows 15 bytes of one.
pub(in crate::db) const FLUSH_THREAD: &str = "aidb-flush";
pub(in crate::db) const COMPACTION_THREAD: &str = "aidb-compact";

/// Starts the flush thread and the compaction threads. On failure stops those that run. In a sandbox that refuses every
/// thread, callers do the background work.
pub(super) fn start_threads(database: &Arc<Database>) -> Result<()> {
    let options = database.context.options();
    if options.read_only || options.manual_background {
        return Ok(());
    }
    let started = try_to_start(database);
    if started.is_err() {
        // The error that is reported is the one that kept a thread from starting.
        let _ = database.close(Unflushed::LeaveInLogs);
    }
    // The recovered memtables are flushed now.
    database.tree.ring();
    started
}

fn try_to_start(database: &Arc<Database>) -> Result<()> {
    let context = &database.context;
    let flusher = Arc::clone(database);
    let run = move || flusher.flush_loop();
    let thread = match context.env().spawn(FLUSH_THREAD, Box::new(run)) {
        Err(error) if error.is_refusal() || error.is_want_of_threads() => {
            context.note(format_args!("callers do the background work: {error}"));
            database.tree.do_without_threads();
            return Ok(());
        }
        outcome => outcome?,
    };
    let mut closing = database.closing.lock();
    debug_assert!(
        closing.threads.is_empty(),
        "COMPACT-1: at most one thread flushes"
    );
    closing.threads.push(thread);
    drop(closing);
    for number in 0..context.options().background_threads {
        let tree = Arc::clone(&database.tree);
        let run = move || tree.compaction_loop();
        let thread = match context.env().spawn(COMPACTION_THREAD, Box::new(run)) {
            Err(error) if number > 0 && error.is_want_of_threads() => {
                context.note(format_args!("{number} threads compact: {error}"));
                break;
            }
            outcome => outcome?,
        };
        database.closing.lock().threads.push(thread);
    }
    Ok(())
}

impl Database {
    /// The flush thread.
    fn flush_loop(&self) {
        // The number of requests that the last flush failed to serve.
        let mut failed_for = None;
        let mut is_stopped = false;
        while !is_stopped {
            match guarded(|| self.flush_round(&mut failed_for)) {
                Ok(ended) => is_stopped = ended,
                Err(panicked) => self.tree.flush_failed(panicked),
            }
        }
    }

    /// Waits for work of the flush thread and does it; returns whether it must stop.
    fn flush_round(&self, failed_for: &mut Option<u64>) -> Result<bool> {
        let until_look = [self.commit.until_look(), self.transactions.until_look()];
        self.tree
            .wait_for_ring(until_look.into_iter().flatten().min());
        self.context.step("the flush thread wakes");
        let looked = guarded(|| {
            self.transactions.look_around();
            self.commit.look_around();
            Ok(())
        });
        if let Err(panicked) = looked {
            // Upkeep stops neither flushes nor the end of this thread, and no thread waits for it. So the next
            // flush reports the failure.
            self.context.note(format_args!("upkeep failed: {panicked}"));
            self.tree.upkeep_failed(panicked);
            self.commit.look_no_more();
        }
        Ok(self.tree.flush_what_waits(failed_for))
    }

    /// Does one piece of background work, if there is any; returns whether there was.
    pub(in crate::db) fn work(&self) -> Result<bool> {
        self.transactions.look_around();
        self.commit.look_around();
        self.tree.work()
    }
}
