//! Which logs of a damaged database count, up to which length, and what is known to be missing of them.
//!
//! * REPAIR-8  With a whole manifest only the logs that it needs count: flushed ones would bring deleted keys back.
//!             Without one every log in the directory does.
//! * REPAIR-4  A log counts up to the length that its successor names; the part that an earlier recovery cut
//!             off does not count (CHAIN-2, CHAIN-3).
//!
//! Elsewhere: how logs follow each other (`wal/chain.rs`), their records (`replay.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::losses::refuse_newer;
use crate::db::trust::report::{Loss, RepairReport};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::filename::{FileKind, log_path, parse};
use crate::key::{FileNumber, SequenceNumber};
use crate::version::Salvage;
use crate::wal::{Expected, LogChain, Predecessor, Reader, SyncedLog};

/// The logs that count.
pub(super) struct Logs {
    chain: LogChain,
    readers: BTreeMap<FileNumber, Reader>,
}

impl Logs {
    /// Opens the logs that count, of the files `names` in the directory `from`. `in_tables`: the largest number in
    /// any table. What is missing goes to `report`.
    pub(super) fn open(
        env: &dyn Env,
        from: &Path,
        names: &[String],
        manifest: &Salvage,
        in_tables: SequenceNumber,
        report: &mut RepairReport,
    ) -> Result<Logs> {
        // Without a whole manifest every log counts, and no log is reported missing.
        let named = |log| match manifest.is_complete {
            true => log,
            false => FileNumber(0),
        };
        let expected = Expected {
            needed: named(manifest.log_number),
            synced_log: named(manifest.synced_log),
            synced_file: SyncedLog::read(env, from),
            last_sequence: in_tables,
            database: manifest.database,
        };
        let mut search = LogSearch {
            env,
            from,
            expected,
            readers: BTreeMap::new(),
            unread: BTreeSet::new(),
            report,
        };
        search.open(names)?;
        let mut chain = LogChain::new(from, expected);
        for reader in search.readers.values() {
            chain.add(*reader.header());
        }
        let cut_off = chain.cut_off();
        search.readers.retain(|number, _| !cut_off.contains(number));
        debug_assert!(
            search.readers.keys().all(|number| expected.needs(*number)),
            "REPAIR-8: a log under another name is not needed by that name"
        );
        search.note_unread(manifest.last_sequence.max(in_tables));
        search.check_start();
        Ok(Logs {
            chain,
            readers: search.readers,
        })
    }

    /// The facts that were known about the logs beforehand.
    pub(super) fn expected(&self) -> &Expected {
        self.chain.expected()
    }

    /// A reader for each log in order, which stops where the log ceases to count, with what the log's successor
    /// states about it.
    pub(super) fn into_readers(self) -> impl Iterator<Item = (Reader, Option<Predecessor>)> {
        let chain = self.chain;
        self.readers.into_iter().map(move |(number, mut reader)| {
            let successor = chain.successor(number).map(|header| header.predecessor);
            if let Some(successor) = successor {
                reader.stop_at(successor.length);
            }
            (reader, successor)
        })
    }
}

/// A search for logs in a directory.
struct LogSearch<'a> {
    env: &'a dyn Env,
    from: &'a Path,
    expected: Expected,
    readers: BTreeMap<FileNumber, Reader>,
    /// Logs that exist, but from which nothing can be read.
    unread: BTreeSet<FileNumber>,
    report: &'a mut RepairReport,
}

impl LogSearch<'_> {
    /// Opens those that are needed (REPAIR-8).
    fn open(&mut self, names: &[String]) -> Result<()> {
        for name in names {
            let Some(FileKind::Log(named)) = parse(name) else {
                continue;
            };
            if !self.expected.needs(named) {
                continue;
            }
            let path = self.from.join(name);
            match Reader::open_damaged(self.env, &path, named) {
                Ok(Some(reader)) => {
                    let number = reader.header().number;
                    let is_new = number == named || !self.readers.contains_key(&number);
                    if let Err(error) = self.expected.check_owner(&path, reader.header()) {
                        self.report.add(Loss::new(path, 0, 0, &error));
                    } else if self.expected.needs(number) && is_new {
                        // A copy of a log has the same contents, so either will do.
                        self.readers.insert(number, reader);
                    }
                }
                Ok(None) => {
                    self.unread.insert(named);
                }
                Err(error) => {
                    refuse_newer(error.clone())?;
                    self.report.add(Loss::new(path, 0, 0, &error));
                }
            }
        }
        Ok(())
    }

    /// Reports the logs that the manifest names but that are missing, and those that cannot be read at all. Their
    /// writes came after those in tables (up to `in_tables`) and in the earlier logs; more is not known.
    fn note_unread(&mut self, in_tables: SequenceNumber) {
        let mut missing = self.expected.named();
        missing.retain(|log| !self.readers.contains_key(log) && !self.unread.contains(log));
        let missing = missing
            .into_iter()
            .map(|number| (number, "the manifest names this log, but it is missing"));
        let unread = std::mem::take(&mut self.unread)
            .into_iter()
            .map(|number| (number, "no record of this log can be read"));
        for (number, what) in missing.chain(unread) {
            let path = log_path(self.from, number);
            let mut loss = Loss::new(path.clone(), 0, 0, &Error::corruption(&path, 0, what));
            loss.first_sequence = Some(in_tables.plus(1));
            self.report.add(loss);
        }
    }

    /// Without a manifest, reports if not all writes before the first log are in tables (CHAIN-8).
    fn check_start(&mut self) {
        let first = self.readers.values().next();
        if let Some(first) = first.filter(|_| self.expected.needed.0 == 0)
            && let Some((from, to)) = self.expected.lost_before(first.header())
        {
            let path = first.path();
            let what = "writes before this log are in no table: their table is lost, or they were undone since";
            let mut loss = Loss::new(path.to_path_buf(), 0, 0, &Error::corruption(path, 0, what));
            loss.first_sequence = Some(from);
            loss.last_sequence = Some(to);
            self.report.add(loss);
        }
    }
}
