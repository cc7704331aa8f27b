//! Commits: a batch gets its sequence numbers, then goes into the log, then into the memtable.
//!
//! Locks: the log's, and a leaf for when the memtable is next checked (`locks.rs`). A thread that waits for a flush or
//! for space does not hold the log's, except to start over after a failure (`resume.rs`).
//!
//! * `write.rs`    the commit path                    * `seal.rs`    the next log and memtable
//! * `resume.rs`   recovery from a failed log         * `reserve.rs` refuses writes when the disk is full
//! * `watch.rs`    an idle memtable                   * `log.rs`     what the log's lock guards
//! * `flush.rs`    everything so far made durable     * `recent.rs`  what recent commits have changed

pub(super) use self::log::{Log, LogCounts};
pub(super) use self::recent::Compared;
#[cfg(test)]
pub(super) use self::write::Obstacle;
pub(super) use self::write::{Committed, NotUnchanged, Unchanged};

use self::log::Due;
use self::recent::RecentCommits;
use super::context::Context;
use super::locks::Lock;
#[cfg(test)]
use super::locks::Locked;
use super::logs::{LogPlace, Logs};
use super::order::Order;
use super::space::Space;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::key::SequenceNumber;
use crate::memtable::Memtable;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use crate::transaction::Reads;
use crate::wal;

mod flush;
mod log;
mod recent;
mod reserve;
mod resume;
mod seal;
mod watch;
mod write;

/// See the head of the file.
pub(super) struct Commit {
    context: Arc<Context>,
    order: Arc<Order>,
    space: Arc<Space>,
    logs: Arc<Logs>,
    tree: Arc<Tree>,
    log: Lock<Log>,
    /// The last number that recovery took from logs, while it is not known to be in tables (OPEN-2); otherwise 0.
    recovered: AtomicU64,
    due: Mutex<Due>,
    recent: RecentCommits,
}

impl Commit {
    /// Commits to `log`, its memtable and `tree`. `recovered`: the last number that recovery took from older logs and
    /// that is in no table.
    pub(super) fn new(
        order: &Arc<Order>,
        space: &Arc<Space>,
        logs: &Arc<Logs>,
        tree: &Arc<Tree>,
        log: Lock<Log>,
        recovered: Option<SequenceNumber>,
    ) -> Commit {
        Commit {
            context: Arc::clone(tree.context()),
            order: Arc::clone(order),
            space: Arc::clone(space),
            logs: Arc::clone(logs),
            tree: Arc::clone(tree),
            log,
            recovered: AtomicU64::new(recovered.map_or(0, |last| last.0)),
            due: Mutex::default(),
            recent: RecentCommits::default(),
        }
    }

    /// Counts of commits since opening, and the length of the current log.
    pub(super) fn counts(&self) -> (LogCounts, u64) {
        let log = self.log.lock();
        (log.counts, log.writer.len())
    }

    /// The current log, with its current length, and the log before it.
    pub(super) fn chain(&self) -> (wal::Predecessor, wal::Predecessor) {
        let log = self.log.lock();
        let (number, length) = (log.file.number(), log.writer.len());
        debug_assert!(
            log.writer.predecessor().number < number,
            "SEAL-1: the log before it has a lower number"
        );
        let present = wal::Predecessor::new(number, length, log.last_sequence, log.file.synced());
        (present, log.writer.predecessor())
    }

    /// A transaction begins: from now on [`Commit::compare`] can tell what later commits change, until
    /// [`Commit::unwatch`].
    pub(super) fn watch(&self) -> Result<()> {
        self.recent.watch(|| self.log.lock())
    }

    /// The transaction has ended.
    pub(super) fn unwatch(&self) {
        self.recent.unwatch();
    }

    /// Compares `reads` with the commits after `number`, whether published or not. Takes no lock for long.
    pub(super) fn compare(&self, reads: &Reads, number: SequenceNumber) -> Result<Compared> {
        self.recent.compare(reads, number)
    }

    /// Bytes of memory that the keys of recent commits take.
    pub(super) fn bytes_of_recent(&self) -> usize {
        self.recent.bytes()
    }

    /// Refuses every call from now on; returns whether this call closed the database, not an earlier one. A write that
    /// is acknowledged later was already in the log.
    pub(super) fn close(&self, also: impl FnOnce()) -> bool {
        let _log = self.log.lock();
        let closes = self.context.close();
        if closes {
            also();
        }
        closes
    }

    /// Closes the log's file, frees the keys of recent commits, puts `empty` in place of the log's memtable and returns
    /// the old one. No flush may need it any more.
    pub(super) fn let_go(&self, empty: &Arc<Memtable>) -> Arc<Memtable> {
        self.recent.let_go();
        self.log.lock().let_go(empty)
    }

    /// The error that stopped the current log, if any.
    fn log_failure(&self, log: &Log) -> Option<Error> {
        if let Some(failure) = log.writer.poisoned() {
            return Some(failure.clone());
        }
        if self.logs.has_failed() {
            self.logs.failure()
        } else {
            None
        }
    }

    /// Waits until everything up to `place` survives power loss, and so does what was recovered from older logs
    /// (OPEN-2).
    fn wait_until_durable(&self, place: LogPlace) -> Result<()> {
        let recovered = self.recovered.load(Ordering::Relaxed);
        if recovered > 0 {
            debug_assert!(
                SequenceNumber(recovered) <= self.order.last(),
                "OPEN-2: what recovery took is published from the beginning"
            );
            self.tree.wait_until_flushed(SequenceNumber(recovered))?;
            self.recovered.store(0, Ordering::Relaxed);
        }
        self.logs.wait_until_durable(place)
    }

    /// Access for tests.
    #[cfg(test)]
    pub(super) fn log(&self) -> Locked<'_, Log> {
        self.log.lock()
    }
}
