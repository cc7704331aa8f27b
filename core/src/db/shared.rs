//! What all handles, cursors and threads of one open database share, and its locks.
//!
//! Lock order, outermost first; never take one to the left while holding one to its right:
//!
//! ```text
//! closing > log > callers > versions > state > leaf locks (snapshots, sync group, publisher, stall,
//! doorbell, watch, alarm, list of holds)
//! closing > a cursor's hold > caches
//! ```
//!
//! Readers take none of them: a get loads the superversion and the published number. No table is dropped under
//! `state`: [`Shared::show`] hands the replaced superversion back to be dropped after the lock is released.

use std::path::PathBuf;

use super::blank_log::BlankLog;
use super::doorbell::Doorbell;
use super::holds::HoldList;
use super::info_log::InfoLogger;
use super::publish::Publisher;
use super::space::Space;
use super::stall::{Pressure, Stall};
use super::superversion::SuperVersion;
use super::sync_group::{LogFile, SyncGroup};
use super::upkeep::{Settled, Watch};
use crate::cache::TableCache;
use crate::compaction::RunningCompaction;
use crate::env::{DirLock, Env, Thread};
use crate::error::{Error, Result};
use crate::iterator::alarm::Alarm;
use crate::key::{FileNumber, SequenceNumber};
use crate::memtable::{Memtable, SpareChunks};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::snapshot::SnapshotList;
use crate::sstable::BlockCache;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, ArcSwap, Condvar, Mutex, MutexGuard};
use crate::version::{FileNumbers, ObsoleteFiles, Version, VersionSet};
use crate::wal;

/// One open database.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) env: Arc<dyn Env>,
    pub(super) options: Options,
    pub(super) block_cache: Arc<BlockCache>,
    pub(super) tables: Arc<TableCache>,
    /// Memory that flushed memtables leave to the next ones.
    pub(super) spare_chunks: Arc<SpareChunks>,
    pub(super) snapshots: Arc<SnapshotList>,
    /// What cursors hold.
    pub(super) holds: Arc<HoldList>,
    pub(super) superversion: ArcSwap<SuperVersion>,
    pub(super) publisher: Publisher,
    /// The commit lock. `None` in a database opened read-only.
    pub(super) log: Mutex<Log>,
    pub(super) sync_group: SyncGroup,
    /// The file in which the next log is to begin, if it has been made.
    pub(super) blank_log: BlankLog,
    pub(super) space: Space,
    /// The last number that was recovered from logs and is not known to be in tables yet (O2); 0 if there is none.
    pub(super) recovered: AtomicU64,
    /// Held while an edit is made durable and shown, so that edits are shown in their order.
    pub(super) versions: Arc<Mutex<VersionSet>>,
    pub(super) file_numbers: Arc<FileNumbers>,
    pub(super) state: Mutex<State>,
    /// Whether no thread can be started here, so that callers do the background work.
    pub(super) has_no_threads: AtomicBool,
    /// Held by the caller that does it.
    pub(super) callers: Mutex<()>,
    /// Signalled, under `state`, whenever the superversion or `state` changes.
    pub(super) changed: Condvar,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) obsolete: Arc<ObsoleteFiles>,
    pub(super) watch: Watch,
    /// Rung by cursors.
    pub(super) met: Arc<Alarm>,
    pub(super) stall: Stall,
    pub(super) metrics: Metrics,
    pub(super) info_log: InfoLogger,
    pub(super) closed: AtomicBool,
    /// `fork_count` when the database was opened: a child after `fork` sees another one (D2).
    pub(super) forks: u32,
    /// Taken by whoever closes; what only closing takes apart.
    pub(super) closing: Mutex<Closing>,
}

/// The log being appended to and its memtable.
pub(super) struct Log {
    pub(super) writer: wal::Writer,
    pub(super) file: Arc<LogFile>,
    pub(super) memtable: Arc<Memtable>,
    /// The number of the last operation in the log.
    pub(super) last_sequence: SequenceNumber,
    /// Up to this length of the log the reserve is known to suffice (V1).
    pub(super) reserved_up_to: u64,
    /// Whether its memtable is to be sealed before it is full (LOOK-3).
    pub(super) seals_next: bool,
    pub(super) counts: LogCounts,
    /// Nothing is written any more: the database is closed.
    pub(super) is_closed: bool,
}

impl Log {
    /// The first log of a life, which has nothing in it.
    pub(super) fn new(
        writer: wal::Writer,
        file: Arc<LogFile>,
        memtable: Arc<Memtable>,
        last_sequence: SequenceNumber,
    ) -> Log {
        Log {
            writer,
            file,
            memtable,
            last_sequence,
            reserved_up_to: 0,
            seals_next: false,
            counts: LogCounts::default(),
            is_closed: false,
        }
    }

    /// Lets file and memtable go, for good, for an `empty` one. Requires that no flush needs the memtable.
    pub(super) fn let_go(&mut self, empty: &Arc<Memtable>) -> Arc<Memtable> {
        self.is_closed = true;
        self.writer.let_go();
        self.file.let_go();
        std::mem::replace(&mut self.memtable, Arc::clone(empty))
    }
}

/// Counters kept under the log's lock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogCounts {
    pub(super) operations: u64,
    /// The ticket of the next commit (`publish.rs`).
    pub(super) batches: u64,
    /// Bytes of the logs before the present one.
    pub(super) bytes: u64,
}

/// What the background work and those who wait for it share.
#[derive(Default)]
pub(super) struct State {
    pub(super) running: Vec<RunningCompaction>,
    /// Tables that no compaction takes any more, because one with them did not add up or met damage, each with why.
    pub(super) set_aside: Vec<(FileNumber, Error)>,
    /// How many threads change files beside those of running compactions and of the background; `close` waits for them.
    pub(super) tidying: usize,
    /// The error of the last flush, until one succeeds, and how many were tried.
    pub(super) flush_failure: Option<Error>,
    pub(super) flush_attempts: u64,
    /// A panic of upkeep that nobody was told of yet.
    pub(super) upkeep_failure: Option<Error>,
    /// How often somebody wanted a flush: a failed one is tried again when this has grown.
    pub(super) flush_requests: u64,
    /// The failure of the last compaction, until one succeeds.
    pub(super) compaction_failure: Option<CompactionFailure>,
    /// How often a writer had to wait for a compaction: after a failure the next one does not pause when this has grown.
    pub(super) compaction_requests: u64,
    /// That no table is worth a compaction by itself, if that is known.
    pub(super) settled: Option<Settled>,
    /// No compaction starts any more, and running ones stop.
    pub(super) stop_compacting: bool,
    /// No flush starts any more.
    pub(super) stop_flushing: bool,
}

/// Why a compaction failed.
pub(super) struct CompactionFailure {
    pub(super) error: Error,
    /// [`State::compaction_requests`] when it began.
    pub(super) requests: u64,
}

/// What is taken apart at close.
pub(super) struct Closing {
    pub(super) threads: Vec<Box<dyn Thread>>,
    pub(super) lock: Option<Box<dyn DirLock>>,
}

impl Shared {
    /// Refuses every call after close, and in a child after `fork`.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) || crate::env::fork_count() != self.forks {
            return Err(closed_error(self.forks));
        }
        Ok(())
    }

    /// What a call answers that met `error`: if the database was closed meanwhile that it was, since the files may be gone.
    #[cold]
    pub(super) fn closed_or(&self, error: Error) -> Error {
        self.check_open().err().unwrap_or(error)
    }

    /// Refuses writes after close and to a database opened read-only.
    #[inline]
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.options.read_only {
            return Err(Error::invalid_argument(
                "the database was opened with read_only",
            ));
        }
        Ok(())
    }

    /// Replaces the superversion. The caller drops what is returned after it has released `state`.
    #[must_use = "drop it after releasing the lock"]
    pub(super) fn show(
        &self,
        _state: &mut MutexGuard<'_, State>,
        next: SuperVersion,
    ) -> Arc<SuperVersion> {
        let pressure = self.pressure(&next.version);
        let old = self.superversion.swap(Arc::new(next));
        self.stall.update(pressure);
        self.changed.notify_all();
        old
    }

    /// Tells those who wait for a flush that the thread which makes them met `error`.
    pub(super) fn flush_failed(&self, error: Error) {
        let mut state = self.state.lock();
        state.flush_attempts += 1;
        state.flush_failure = Some(error);
        self.changed.notify_all();
    }

    /// Tells those who wait for a compaction that a thread which makes them met `error`.
    pub(super) fn compaction_failed(&self, error: Error) {
        let mut state = self.state.lock();
        state.compaction_failure = Some(CompactionFailure {
            error,
            requests: state.compaction_requests,
        });
        self.changed.notify_all();
    }

    /// How far compaction is behind in `version`.
    pub(super) fn pressure(&self, version: &Version) -> Pressure {
        Pressure::of(version, &self.options, &self.picker_options())
    }

    /// Writes a line to the info log.
    pub(super) fn note(&self, line: std::fmt::Arguments<'_>) {
        self.info_log.write(&*self.env, line);
    }
}

/// What calls on a database answer that was closed, or that another process opened: `forks` is its `fork_count`.
#[cold]
pub(super) fn closed_error(forks: u32) -> Error {
    if crate::env::fork_count() != forks {
        return Error::new(
            crate::error::ErrorKind::Closed,
            "the database was opened before a fork and belongs to the parent process",
        );
    }
    Error::closed("the database")
}
