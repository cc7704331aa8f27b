//! Writing again after a failed append or sync, without reopening.
//!
//! * A failed append: it is unknown whether the record counts, so nothing may follow it in its log. A new log
//!   names the length up to which the old one is good. Writing continues in the new log once its name is
//!   durable: otherwise the failed record might count after a power loss.
//! * A failed sync: no log can be trusted any more, because a later sync may report success for pages that the
//!   kernel has dropped. The memtables still have every acknowledged write, so all of them are flushed, and the
//!   edit that drops the logs is made durable, before the failure is cleared. A failed sync of the directory is
//!   treated the same way if the name of a log depends on it.
//!
//! Each later write tries this until it succeeds; until then it returns the failure of the current log. Reads
//! continue.

use super::{Commit, Log};
use crate::content::Sum;
use crate::db::locks::Locked;
use crate::db::logs::LogFile;
use crate::error::Result;
use crate::sync::Arc;
use crate::version::VersionEdit;

/// Memtables that failures may seal before one of them must be flushed.
const MAX_SEALED_BY_FAILURES: usize = 8;

impl Commit {
    /// Starts over with a new log if the current one has failed. If that is not possible yet, returns the error
    /// of the old failure.
    pub(super) fn resume(&self, mut log: Locked<'_, Log>) -> Result<()> {
        let Some(failure) = self.log_failure(&log) else {
            return Ok(());
        };
        self.context
            .note(format_args!("trying to write again after: {failure}"));
        self.order.wait_for(log.last_sequence)?;
        if let Err(error) = self.start_over(&mut log) {
            self.context
                .note(format_args!("still cannot write: {error}"));
            return Err(failure);
        }
        self.context
            .note(format_args!("writing again, log {}", log.file.number()));
        Ok(())
    }

    fn start_over(&self, log: &mut Log) -> Result<()> {
        let sync_failed = self.logs.has_failed();
        let may_vanish = log.file.may_vanish(self.context.env());
        if may_vanish {
            // Each try begins a new log, so sync first: while syncs fail there is no new log.
            self.context.env().sync_dir(self.context.dir())?;
        }
        // A new log that an earlier try has started will do.
        if log.writer.poisoned().is_some() || may_vanish || !log.memtable.is_empty() {
            if self.tree.load().sealed().len() >= MAX_SEALED_BY_FAILURES {
                self.tree.wait_until_flushed(log.last_sequence)?;
            }
            self.seal(log)?;
            if let Err(error) = log.file.sync_name(self.context.env(), self.context.dir()) {
                log.writer.poison(error.clone());
                return Err(error);
            }
        }
        if sync_failed {
            self.tree.wait_until_flushed(log.last_sequence)?;
            self.begin_with(&log.file)?;
            debug_assert!(
                log.memtable.is_empty() && self.tree.load().sealed().is_empty(),
                "SYNC-3: every acknowledged write is in a table"
            );
            self.logs.restart(Arc::clone(&log.file));
        }
        Ok(())
    }

    /// Makes the manifest name `log` as the oldest one needed, unless a flush has done so (FLUSH-2). Everything older
    /// is in tables.
    fn begin_with(&self, log: &LogFile) -> Result<()> {
        if self.tree.log_number() >= log.number() {
            return Ok(());
        }
        let durable = log.sync_name(self.context.env(), self.context.dir())?;
        let mut edit = VersionEdit::default();
        edit.begin_logs_with(&durable);
        self.tree.install(edit, Sum::default(), |_| {})?;
        debug_assert!(
            self.tree.log_number() == log.number(),
            "FLUSH-2: under the log's lock there is no later log to name"
        );
        self.logs.note_all_flushed(log.number());
        Ok(())
    }
}
