//! The rules by which logs follow each other. This file decides from headers and records already read; it
//! touches no file.
//!
//! Each log names its predecessor and that log's final length and last sequence number (docs/format.md, "WAL";
//! decision 0002). Readers of logs ask here which logs count, up to which length, and which comes next. If a
//! rule is broken, the reader decides what to do: opening refuses the database (`chain_reader.rs`), `repair`
//! saves the records beyond and reports the loss, `verify` reports the damage and continues.
//!
//! * CHAIN-1  The log that the manifest names begins the chain, and exists with a whole header (FLUSH-2): anything else
//!            is damage.
//! * CHAIN-2  A log's successor has a higher number. If several logs name the same predecessor, the one with
//!            the highest number counts: the others, and their successors, are logs that an earlier recovery
//!            cut off but was killed before it could delete.
//! * CHAIN-3  If a log ends before the length that its successor names, there is a gap. After an ordinary crash
//!            no record after a gap was acknowledged as synced, so those records are dropped. If one of them
//!            was synced, or if the successor says that the missing part was, the gap is damage. A log counts
//!            up to the length that its successor names.
//! * CHAIN-4  The chain contains the log that the manifest knows to have synced records (SYNC-2), unless that is older.
//! * CHAIN-5  Sequence numbers are consecutive, within a log and from one log to the next.
//! * CHAIN-6  A log may end with a smaller number than its successor says if the lost records are in tables: it
//!            was already torn when that successor was made, and its records had been flushed before.
//! * CHAIN-7  No log ends before the offset up to which it was synced according to its own records or the file
//!            SYNCED.
//! * CHAIN-8  The manifest knows of all writes made before the first log that is needed. Otherwise an old
//!            manifest restored together with its CURRENT would pass for the whole database, and so would a
//!            manifest that dropped a log too early.
//! * CHAIN-9  A log whose database id differs from the manifest's is not part of the chain: it was copied
//!            there.
//!
//! Elsewhere: the numbers of records (`chain/numbers.rs`), telling a torn tail from damage within one log
//! (`reader.rs`).

mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) use self::numbers::Numbers;

use super::log_header::LogHeader;
use super::synced::Synced;
use super::synced_file::SyncedLog;
use crate::error::{Error, Result};
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber};

/// What is known about the logs before they are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// The first log of the chain; 0 in a database that never had a log, and without a manifest.
    pub(crate) needed: FileNumber,
    /// The newest log that has synced records according to the manifest, or 0.
    pub(crate) synced_log: FileNumber,
    /// The content of the file SYNCED.
    pub(crate) synced_file: SyncedLog,
    /// The last number in tables.
    pub(crate) last_sequence: SequenceNumber,
    /// The id of the database; 0 if not known.
    pub(crate) database: u32,
}

impl Expected {
    /// Whether `log` may have writes that are in no table. Older logs are not read.
    pub(crate) fn needs(&self, log: FileNumber) -> bool {
        log >= self.needed
    }

    /// The logs that the manifest names. If one of them is not there, it is lost (CHAIN-1, CHAIN-4).
    pub(crate) fn named(&self) -> BTreeSet<FileNumber> {
        let named = [self.needed, self.synced_log].into_iter();
        named.filter(|log| log.0 != 0 && self.needs(*log)).collect()
    }

    /// Refuses the log at `path` with this header if it is another database's (CHAIN-9).
    pub(crate) fn check_owner(&self, path: &Path, header: &LogHeader) -> Result<()> {
        match header.is_of(self.database) {
            true => Ok(()),
            false => {
                let what = "this is a log of another database";
                Err(Error::corruption(path, 0, what))
            }
        }
    }

    /// How far the log with this header is known to be synced. `records`: what its own records say about that.
    pub(crate) fn synced(&self, header: &LogHeader, records: Synced) -> Synced {
        records.and(self.synced_file.of(header))
    }

    /// Refuses the log at `path` with this header if its end, `length`, is before the end of its synced part
    /// (CHAIN-7). Otherwise returns how far it is known to be synced. `records`: what its own records say about that.
    pub(crate) fn check_length(
        &self,
        path: &Path,
        header: &LogHeader,
        length: u64,
        records: Synced,
    ) -> Result<Synced> {
        let synced = self.synced(header, records);
        synced.check_reached(path, length).map(|()| synced)
    }

    /// The first and the last of the numbers that were given out before the log with this header and that no table
    /// has (CHAIN-8). If the log is the first of a chain, they are lost.
    pub(crate) fn lost_before(
        &self,
        header: &LogHeader,
    ) -> Option<(SequenceNumber, SequenceNumber)> {
        let (before, known) = (header.predecessor.last_sequence, self.last_sequence);
        (before > known).then(|| (known.plus(1), before))
    }

    /// How a log whose last number is `ended` fits its successor, which states `named` as that number.
    pub(crate) fn joint(&self, ended: SequenceNumber, named: SequenceNumber) -> Joint {
        match () {
            () if ended == named => Joint::Whole,
            () if ended > named => Joint::Exceeds,
            () if named <= self.last_sequence => Joint::LacksWhatIsInTables,
            () => Joint::Lacks,
        }
    }
}

/// How the last number of a log fits the one that its successor states (CHAIN-5, CHAIN-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    Whole,
    /// The log ends earlier, and tables have the numbers that it lacks.
    LacksWhatIsInTables,
    /// The log ends earlier, and the numbers that it lacks are lost.
    Lacks,
    /// The log has numbers that its successor gives out again.
    Exceeds,
}

/// The headers of the logs that are there, and how the logs follow each other.
pub(crate) struct LogChain {
    dir: PathBuf,
    expected: Expected,
    headers: BTreeMap<FileNumber, LogHeader>,
}

/// How a log ended that was read up to where it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) number: FileNumber,
    /// The end of its last good record.
    pub(crate) length: u64,
    /// The last number in this log or before it.
    pub(crate) last_sequence: SequenceNumber,
}

impl LogChain {
    /// An empty chain for the database in `dir`.
    pub(crate) fn new(dir: &Path, expected: Expected) -> LogChain {
        LogChain {
            dir: dir.to_path_buf(),
            expected,
            headers: BTreeMap::new(),
        }
    }

    /// What was known before the logs were read.
    pub(crate) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Adds a log that is there. It must be needed, and belong to this database.
    pub(crate) fn add(&mut self, header: LogHeader) {
        debug_assert!(
            !self.headers.contains_key(&header.number),
            "CHAIN-2: a number names one log"
        );
        debug_assert!(
            header.is_of(self.expected.database),
            "CHAIN-9: only its own logs are in a chain"
        );
        self.headers.insert(header.number, header);
    }

    /// The id of the database that the logs name, including logs outside the chain; 0 if none names one.
    pub(crate) fn database(&self) -> u32 {
        let named = self.headers.values().map(|header| header.database);
        named.max().unwrap_or_default()
    }

    /// The log that the chain begins with (CHAIN-1, CHAIN-8); `None` if there never was one.
    pub(crate) fn first(&self) -> Result<Option<&LogHeader>> {
        let needed = self.expected.needed;
        let first = match needed.0 {
            0 => self.headers.values().next(),
            _ => self.headers.get(&needed),
        };
        let Some(first) = first else {
            if needed.0 == 0 {
                return Ok(None);
            }
            let what = "the manifest names this log, but it is missing or has no header";
            return Err(Error::corruption(&self.path(needed), 0, what));
        };
        if self.expected.lost_before(first).is_some() {
            let (before, known) = (first.predecessor.last_sequence, self.expected.last_sequence);
            let what = format!("{before} writes came before it, but the manifest knows of {known}");
            return Err(Error::corruption(&self.path(first.number), 0, what));
        }
        Ok(Some(first))
    }

    /// The log that follows `number` (CHAIN-2). Its header states up to where `number` counts (CHAIN-3).
    pub(crate) fn successor(&self, number: FileNumber) -> Option<&LogHeader> {
        let mut newest_first = self.headers.values().rev();
        newest_first.find(|header| header.predecessor.number == number && header.number > number)
    }

    /// The logs that an earlier recovery cut off, for callers that read logs outside the chain (CHAIN-2).
    pub(crate) fn cut_off(&self) -> BTreeSet<FileNumber> {
        let mut cut_off = BTreeSet::new();
        for header in self.headers.values() {
            let before = header.predecessor.number;
            let has_rival = before.0 != 0
                && self.headers.values().any(|other| {
                    other.predecessor.number == before && other.number > header.number
                });
            if has_rival || cut_off.contains(&before) {
                cut_off.insert(header.number);
            }
        }
        cut_off
    }

    /// The log that follows the one that `ended`. `None` if the chain ends there, because it has no successor or with
    /// a gap (CHAIN-3). Then the reader must pass each log with a higher number to [`LogChain::check_dropped`], and
    /// the chain to [`LogChain::check_holds_synced`].
    pub(crate) fn after(&self, ended: &Ended) -> Result<Option<&LogHeader>> {
        debug_assert!(
            self.headers.contains_key(&ended.number),
            "CHAIN-2: the log that ended is one of the chain"
        );
        let Some(successor) = self.successor(ended.number) else {
            return Ok(None);
        };
        let said = successor.predecessor;
        if said.length != ended.length {
            let path = self.path(ended.number);
            said.synced().check_reached(&path, ended.length)?;
            return Ok(None);
        }
        match self.expected.joint(ended.last_sequence, said.last_sequence) {
            Joint::Whole | Joint::LacksWhatIsInTables => Ok(Some(successor)),
            Joint::Lacks | Joint::Exceeds => {
                let what = format!(
                    "the log ends with number {}, its successor says {}",
                    ended.last_sequence, said.last_sequence
                );
                let path = self.path(ended.number);
                Err(Error::corruption(&path, ended.length, what))
            }
        }
    }

    /// The chain ends with the log that `ended`. Refuses this if any part of `later`, a log after it, was synced
    /// (CHAIN-3).
    pub(crate) fn check_dropped(
        &self,
        ended: &Ended,
        later: FileNumber,
        synced: Synced,
    ) -> Result<()> {
        debug_assert!(
            later > ended.number,
            "CHAIN-3: what is dropped comes after the end"
        );
        if synced == Synced::NOTHING {
            return Ok(());
        }
        let later = self.path(later);
        let what = format!(
            "the log ends here, but {} after it was synced",
            later.display()
        );
        let path = self.path(ended.number);
        Err(Error::corruption(&path, ended.length, what))
    }

    /// Refuses a chain, of the logs `walked`, that lacks the log which the manifest says was synced (CHAIN-4).
    pub(crate) fn check_holds_synced(&self, walked: &[FileNumber]) -> Result<()> {
        debug_assert!(
            walked.is_sorted_by(|before, after| before < after),
            "CHAIN-2: numbers rise along the chain"
        );
        let synced = self.expected.synced_log;
        if self.expected.named().contains(&synced) && !walked.contains(&synced) {
            let why = match self.headers.contains_key(&synced) {
                true => "the logs before it do not lead to it",
                false => "it is missing or has no header",
            };
            let what = format!("the manifest says that this log was synced, but {why}");
            return Err(Error::corruption(&self.path(synced), 0, what));
        }
        Ok(())
    }

    fn path(&self, number: FileNumber) -> PathBuf {
        log_path(&self.dir, number)
    }
}

#[cfg(test)]
mod tests;
