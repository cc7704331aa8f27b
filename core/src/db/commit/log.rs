//! The current log and its memtable, which the log's lock guards, and when the memtable is next checked.

use crate::db::logs::LogFile;
#[cfg(test)]
use crate::key::FileNumber;
use crate::key::SequenceNumber;
use crate::memtable::Memtable;
use crate::sync::Arc;
use crate::wal;

/// The log being appended to and its memtable.
pub(in crate::db) struct Log {
    pub(super) writer: wal::Writer,
    pub(super) file: Arc<LogFile>,
    pub(super) memtable: Arc<Memtable>,
    /// The number of the last operation in the log.
    pub(super) last_sequence: SequenceNumber,
    /// The reserve is known to suffice until the log has this length (RESERVE-1).
    pub(super) reserved_up_to: u64,
    /// Whether the next write seals the memtable although it is not full (LOOK-3).
    pub(super) seals_next: bool,
    pub(super) counts: LogCounts,
    /// Whether the database is closed, so that nothing more is written.
    pub(super) is_closed: bool,
}

impl Log {
    /// The first log of an open database, still empty.
    pub(in crate::db) fn new(
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

    /// Closes the file, puts `empty` in place of the memtable and returns the old one. No flush may need it
    /// any more.
    pub(super) fn let_go(&mut self, empty: &Arc<Memtable>) -> Arc<Memtable> {
        debug_assert!(!self.is_closed, "CLOSE-1: the log is closed once");
        self.is_closed = true;
        self.writer.let_go();
        self.file.let_go();
        std::mem::replace(&mut self.memtable, Arc::clone(empty))
    }
}

/// Access for tests.
#[cfg(test)]
impl Log {
    pub(in crate::db) fn writer(&mut self) -> &mut wal::Writer {
        &mut self.writer
    }

    pub(in crate::db) fn number(&self) -> FileNumber {
        self.file.number()
    }

    pub(in crate::db) fn last_sequence(&self) -> SequenceNumber {
        self.last_sequence
    }

    pub(in crate::db) fn reserved_up_to(&self) -> u64 {
        self.reserved_up_to
    }
}

/// Counters kept under the log's lock.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::db) struct LogCounts {
    pub(in crate::db) operations: u64,
    /// The ticket of the next commit (`order/publish.rs`).
    pub(in crate::db) batches: u64,
    /// Bytes of the logs before the present one.
    pub(in crate::db) bytes: u64,
}

/// When the active memtable is checked next (LOOK-1), and the other inputs of the checks.
#[derive(Default)]
pub(super) struct Due {
    /// On the environment's clock.
    pub(super) micros: Option<u64>,
    /// The last number of the log when the memtable was last checked.
    pub(super) seen: SequenceNumber,
}
