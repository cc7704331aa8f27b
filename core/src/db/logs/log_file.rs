//! A log as the sync group sees it, and the places in the sequence of logs.
//!
//! Its length, and how far it is synced, are read without a lock. Elsewhere: when a log is synced, and the invariants
//! named SYNC (`sync_group.rs`).

use std::path::Path;

use crate::env::{ClosedFile, Env, File, Names};
use crate::error::Result;
use crate::key::FileNumber;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use crate::wal::{DurableLog, Synced};

/// A place in the sequence of logs. It stands for everything in earlier logs, and this log's bytes
/// below `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::db) struct LogPlace {
    pub(super) log: FileNumber,
    pub(super) offset: u64,
}

impl LogPlace {
    #[inline]
    pub(in crate::db) fn offset(self) -> u64 {
        self.offset
    }
}

/// Records in the manifest that a log, whose name is durable, has synced records (SYNC-2).
pub(in crate::db) type NoteSynced = dyn Fn(&DurableLog) -> Result<()> + Send + Sync;

/// A log as the group sees it.
pub(in crate::db) struct LogFile {
    number: FileNumber,
    log_id: u64,
    /// Closed with the database.
    file: Mutex<Arc<dyn File>>,
    /// Bytes appended; the committing thread stores it under the log's lock.
    end: AtomicU64,
    /// The value that [`LogFile::synced`] returns.
    synced: AtomicU64,
    /// The point in time at which its name was made.
    name: Names,
    /// Whether its name is durable and the manifest records that it has synced records (SYNC-2).
    is_noted: AtomicBool,
}

impl LogFile {
    /// A log of `end` bytes, none of them synced.
    pub(in crate::db) fn new(
        number: FileNumber,
        log_id: u64,
        file: Arc<dyn File>,
        end: u64,
        name: Names,
    ) -> Arc<LogFile> {
        Arc::new(LogFile {
            number,
            log_id,
            file: Mutex::new(file),
            end: AtomicU64::new(end),
            synced: AtomicU64::new(Synced::NOTHING.length()),
            name,
            is_noted: AtomicBool::new(false),
        })
    }

    #[inline]
    pub(in crate::db) fn number(&self) -> FileNumber {
        self.number
    }

    /// The id that its records' checksums depend on, as the file SYNCED names it.
    pub(super) fn log_id(&self) -> u64 {
        self.log_id
    }

    /// The place `offset` bytes into it.
    #[inline]
    pub(in crate::db) fn place(&self, offset: u64) -> LogPlace {
        LogPlace {
            log: self.number,
            offset,
        }
    }

    pub(in crate::db) fn set_end(&self, end: u64) {
        debug_assert!(
            self.end.load(Ordering::Relaxed) <= end,
            "WAL-1: a log only grows"
        );
        self.end.store(end, Ordering::Release);
    }

    /// How far it is known to be synced. Its next records carry this, and so does the log after it.
    pub(in crate::db) fn synced(&self) -> Synced {
        Synced::up_to(self.synced.load(Ordering::Relaxed))
    }

    /// Whether its name may be lost although its contents are synced (SYNC-2).
    pub(in crate::db) fn may_vanish(&self, env: &dyn Env) -> bool {
        !self.is_noted.load(Ordering::Relaxed) && self.name.are_uncertain(env)
    }

    /// Closes its file.
    pub(in crate::db) fn let_go(&self) {
        let file = std::mem::replace(&mut *self.file.lock(), Arc::new(ClosedFile));
        drop(file);
    }

    /// Makes its name durable.
    pub(in crate::db) fn sync_name(&self, env: &dyn Env, dir: &Path) -> Result<DurableLog> {
        Ok(DurableLog::new(self.number, self.name.sync(env, dir)?))
    }

    /// Syncs it and, for the first time, its name; returns its length when that began (SYNC-2).
    pub(super) fn sync(&self, env: &dyn Env, dir: &Path, note: &NoteSynced) -> Result<u64> {
        let end = self.end.load(Ordering::Acquire);
        let file = Arc::clone(&*self.file.lock());
        file.sync()?;
        if !self.is_noted.load(Ordering::Relaxed) {
            note(&self.sync_name(env, dir)?)?;
            self.is_noted.store(true, Ordering::Relaxed);
        }
        self.synced.fetch_max(end, Ordering::Relaxed);
        debug_assert!(
            self.synced().length() <= self.end.load(Ordering::Acquire),
            "SYNCED-1: only what was appended is durable"
        );
        Ok(end)
    }
}
