//! The state that the lock `state` guards, shared by a tree's background work and the threads that wait for it.

use std::borrow::Cow;

use crate::compaction::RunningCompaction;
use crate::error::Error;
use crate::key::FileNumber;
use crate::sync::Weak;
use crate::version::Version;

/// The state shared by the background work and the threads that wait for it.
#[derive(Default)]
pub(in crate::db) struct State {
    pub(super) running: Vec<RunningCompaction>,
    /// Tables that compactions skip, because an earlier compaction of them did not add up or met damage; each with
    /// the reason.
    pub(super) set_aside: Vec<(FileNumber, Error)>,
    /// How many threads change files, not counting running compactions and background threads. `close` waits for
    /// them.
    pub(super) tidying: usize,
    /// The error of the last flush, until one succeeds; and how many flushes were tried.
    pub(super) flush_failure: Option<Error>,
    pub(super) flush_attempts: u64,
    /// A panic of upkeep that has not been reported yet.
    pub(super) upkeep_failure: Option<Error>,
    /// The number of flush requests. A failed flush is tried again when this has grown.
    pub(super) flush_requests: u64,
    /// The failure of the last compaction, until one succeeds.
    pub(super) compaction_failure: Option<CompactionFailure>,
    /// How often a writer had to wait for a compaction. If this has grown, the next compaction after a failure begins
    /// without a pause.
    pub(super) compaction_requests: u64,
    /// Set if it is known that no table is worth a compaction by itself.
    pub(super) settled: Option<Settled>,
    /// Whether no compaction may start any more, and running ones must stop.
    pub(super) stop_compacting: bool,
    /// Whether no flush may start any more.
    pub(super) stop_flushing: bool,
}

/// Why a compaction failed.
pub(super) struct CompactionFailure {
    pub(super) error: Error,
    /// [`State::compaction_requests`] when it began.
    pub(super) requests: u64,
}

impl State {
    /// Marks a compaction as running.
    pub(super) fn mark(&mut self, compaction: RunningCompaction) {
        debug_assert!(
            !self.stop_compacting,
            "CLOSE-1: after a stop no compaction begins"
        );
        debug_assert!(
            self.running
                .iter()
                .all(|other| compaction.goes_beside(other)),
            "PICKER-1, PICKER-2, PICKER-3: it keeps off running compactions"
        );
        self.running.push(compaction);
    }

    /// The plans and tables that a new compaction must avoid: running compactions, and tables set aside.
    pub(super) fn taken(&self) -> Cow<'_, [RunningCompaction]> {
        if self.set_aside.is_empty() {
            return Cow::Borrowed(&self.running);
        }
        let set_aside = self.set_aside.iter();
        let set_aside = set_aside.map(|(number, _)| RunningCompaction::of_table_set_aside(*number));
        Cow::Owned(self.running.iter().cloned().chain(set_aside).collect())
    }

    pub(super) fn why_set_aside(&self, number: FileNumber) -> Error {
        let found = self.set_aside.iter().find(|(other, _)| *other == number);
        found.map_or_else(
            || Error::internal(format!("table {number} was set aside")),
            |(_, error)| error.clone(),
        )
    }
}

/// Access for tests.
#[cfg(test)]
impl State {
    pub(in crate::db) fn running(&mut self) -> &mut Vec<RunningCompaction> {
        &mut self.running
    }

    pub(in crate::db) fn set_aside(&mut self) -> &mut Vec<(FileNumber, Error)> {
        &mut self.set_aside
    }

    pub(in crate::db) fn has_failed_to_compact(&self) -> bool {
        self.compaction_failure.is_some()
    }
}

/// States that no table is worth a compaction, and until when (LOOK-2).
pub(super) struct Settled {
    pub(super) version: Weak<Version>,
    /// Microseconds since 1970-01-01 UTC.
    pub(super) due_micros: Option<u64>,
}
