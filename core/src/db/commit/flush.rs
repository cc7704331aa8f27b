//! Makes everything acknowledged so far durable: in the logs, or in tables.
//!
//! Elsewhere: the flush of one memtable (`tree/flush.rs`), and of all of them after a failed sync (`resume.rs`).

use super::Commit;
use crate::error::Result;

impl Commit {
    /// Makes everything acknowledged so far durable, in the logs.
    pub(super) fn sync_all(&self) -> Result<()> {
        let place = {
            let mut log = self.log.lock();
            self.context.check_open()?;
            while self.log_failure(&log).is_some() {
                self.resume(log)?;
                log = self.log.lock();
            }
            debug_assert!(
                log.file.synced().length() <= log.writer.len(),
                "SYNCED-1: only what was appended is durable"
            );
            log.file.place(log.writer.len())
        };
        self.wait_until_durable(place)
    }

    /// Makes everything acknowledged so far durable in tables; see `DB::flush`.
    pub(in crate::db) fn flush(&self) -> Result<()> {
        self.context.check_writable()?;
        self.flush_all()?;
        self.tree.report_upkeep_failure()
    }

    /// Seals the active memtable if it holds anything, and waits until all memtables are in durable
    /// tables.
    pub(in crate::db) fn flush_all(&self) -> Result<()> {
        let mut log = self.log.lock();
        while self.log_failure(&log).is_some() {
            // After a failed append this flushes nothing by itself.
            self.resume(log)?;
            log = self.log.lock();
        }
        // Wait for writes that are in the log and not yet in the memtable: `close` lets them be acknowledged, so
        // the flush must include them.
        self.order.wait_for(log.last_sequence)?;
        debug_assert!(
            self.order.last() == log.last_sequence,
            "PUBLISH-1: under the log's lock nothing more is published than was appended"
        );
        if !log.memtable.is_empty() {
            self.seal(&mut log)?;
        }
        let last = log.last_sequence;
        drop(log);
        self.tree.wait_until_flushed(last)
    }
}
