//! Replays the logs of a damaged database into temporary tables, skipping damage.
//!
//! * REPAIR-9  Every readable record of a log is used, but no sequence number twice: the first record with a
//!             number counts.
//! * REPAIR-10  Missing parts, within a log or between two, are reported, with their sequence numbers as far as
//!              they are known.
//!
//! Elsewhere: which logs count and up to where (`logs.rs`), reading the intact parts of one (`wal/reader.rs`).

use std::path::{Path, PathBuf};

use super::losses::refuse_newer;
use super::output::Output;
use crate::batch::{Operation, operations};
use crate::content::Sum;
use crate::db::trust::report::{Loss, RepairReport};
use crate::db::trust::verify::count;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::log_path;
use crate::key::{KeyspaceId, SequenceNumber, Trailer};
use crate::memtable::Loader;
use crate::wal::{Expected, Joint, Numbers, Part, Predecessor, Reader, Record, Synced};

/// The records of logs on their way into tables.
pub(super) struct RepairReplay<'a, 'o> {
    /// The damaged directory.
    from: &'a Path,
    expected: Expected,
    write_buffer_size: u64,
    output: &'a mut Output<'o>,
    report: &'a mut RepairReport,
    memtable: Option<Loader>,
    tables: Vec<(PathBuf, Sum)>,
    /// The last number that was read, or that an earlier log is known to have had.
    last: Option<SequenceNumber>,
}

impl<'a, 'o> RepairReplay<'a, 'o> {
    /// Replays logs in the directory `from` into memtables of `write_buffer_size` bytes. `expected`: the facts known
    /// about the logs beforehand.
    pub(super) fn new(
        from: &'a Path,
        expected: Expected,
        write_buffer_size: u64,
        output: &'a mut Output<'o>,
        report: &'a mut RepairReport,
    ) -> RepairReplay<'a, 'o> {
        RepairReplay {
            from,
            expected,
            write_buffer_size,
            output,
            report,
            memtable: None,
            tables: Vec::new(),
            last: None,
        }
    }

    /// Takes what can be read of a log. `reader` stops where the log ceases to count; `last_of_log` is the log's last
    /// number as its successor states it.
    pub(super) fn log(
        &mut self,
        mut reader: Reader,
        last_of_log: Option<SequenceNumber>,
    ) -> Result<()> {
        let path = reader.path().to_path_buf();
        self.note_place(&path, reader.header().predecessor);
        let records = self.report.log_records;
        let mut open: Option<Loss> = None;
        // A memtable takes each number once (IKEY-2).
        let mut numbers = Numbers::default();
        let mut reached = Reader::FIRST_RECORD;
        loop {
            let record = match reader.next_part() {
                Ok(Some(Part::Record(record))) => record,
                Ok(Some(Part::Damage { error, start, end })) => {
                    refuse_newer(error.clone())?;
                    self.close_gap(&mut open, None);
                    let mut loss = Loss::new(path.clone(), start, end, &error);
                    (loss.offset, loss.end) = (start, end);
                    reached = end;
                    loss.first_sequence = self.last.map(|last| last.plus(1));
                    open = Some(loss);
                    continue;
                }
                Ok(None) => break,
                Err(error) => {
                    refuse_newer(error.clone())?;
                    self.close_gap(&mut open, None);
                    open = Some(Loss::new(path.clone(), 0, 0, &error));
                    break;
                }
            };
            let (offset, end, first) = (record.offset, record.end, record.first_sequence);
            debug_assert!(
                reached <= offset && offset < end,
                "REPAIR-9: each part of a log is read once"
            );
            reached = end;
            match last_of(&path, &record, &mut numbers) {
                Ok(last) => {
                    self.close_gap(&mut open, first.0.checked_sub(1).map(SequenceNumber));
                    self.take(&path, &record)?;
                    self.last = self.last.max(Some(last));
                }
                Err(error) => {
                    refuse_newer(error.clone())?;
                    self.close_gap(&mut open, None);
                    let mut loss = Loss::new(path.clone(), offset, end, &error);
                    loss.first_sequence = Some(first);
                    self.report.add(loss);
                }
            }
        }
        let (expected, header) = (&self.expected, reader.header());
        if let Err(error) = expected.check_length(&path, header, reached, Synced::NOTHING)
            && open.is_none()
        {
            let synced = expected.synced(header, Synced::NOTHING);
            let mut loss = Loss::new(path, reached, synced.length(), &error);
            loss.first_sequence = self.last.map(|last| last.plus(1));
            open = Some(loss);
        }
        self.close_gap(&mut open, last_of_log);
        self.report.logs += u64::from(self.report.log_records > records);
        self.flush()
    }

    /// The paths and sums of the temporary tables.
    pub(super) fn finish(self) -> Vec<(PathBuf, Sum)> {
        self.tables
    }

    /// Reports what is missing before the log at `path`, or that the log does not follow the replayed ones.
    fn note_place(&mut self, path: &Path, predecessor: Predecessor) {
        if predecessor.number.0 == 0 {
            return;
        }
        let named = predecessor.last_sequence;
        let joint = self
            .last
            .map(|last| (last, self.expected.joint(last, named)));
        match joint {
            None | Some((_, Joint::Whole)) => {}
            Some((last, Joint::Lacks | Joint::LacksWhatIsInTables)) => {
                // Between the last log that was read and this one.
                let path = log_path(self.from, predecessor.number);
                let what = "the end of this log, or all of it, is missing";
                let error = Error::corruption(&path, 0, what);
                let mut loss = Loss::new(path, 0, 0, &error);
                loss.first_sequence = Some(last.plus(1));
                loss.last_sequence = Some(named);
                self.report.add(loss);
            }
            Some((_, Joint::Exceeds)) => {
                let what = "this log does not follow the one before it";
                let error = Error::corruption(path, 0, what);
                self.report.add(Loss::new(path.to_path_buf(), 0, 0, &error));
            }
        }
        self.last = self.last.max(Some(named));
    }

    /// Takes the operations of a record into the memtable, which becomes a table when it is full.
    fn take(&mut self, path: &Path, record: &Record<'_>) -> Result<()> {
        if self.memtable.is_none() {
            self.memtable = Some(Loader::new(self.write_buffer_size as usize)?);
        }
        let memtable = self
            .memtable
            .as_mut()
            .ok_or_else(|| Error::internal("there is no memtable to fill"))?;
        for (index, operation) in operations(record.payload)?.enumerate() {
            let Operation {
                kind,
                keyspace,
                key,
                value,
            } = operation?;
            if keyspace != KeyspaceId::DEFAULT {
                let what = format!("{}: a write to keyspace {keyspace}", path.display());
                return Err(Error::unsupported(what));
            }
            let trailer = Trailer::new(record.first_sequence.plus(index as u64), kind);
            memtable.add(key, trailer, value)?;
        }
        self.report.log_records += 1;
        if memtable.memory() as u64 >= self.write_buffer_size {
            self.flush()?;
        }
        Ok(())
    }

    /// Reports what is missing before the record that follows number `last`.
    fn close_gap(&mut self, open: &mut Option<Loss>, last: Option<SequenceNumber>) {
        if let Some(mut loss) = open.take() {
            loss.last_sequence = last;
            self.report.add(loss);
        }
    }

    /// Writes the records gathered so far to a temporary table.
    fn flush(&mut self) -> Result<()> {
        if let Some(loader) = self.memtable.take() {
            let memtable = loader.finish()?;
            debug_assert!(
                memtable.sum().entries() == memtable.entries(),
                "REPAIR-7: the sum has every entry that was read"
            );
            if let Some(path) = self.output.write_temporary(&memtable)? {
                self.tables.push((path, memtable.sum()));
            }
        }
        Ok(())
    }
}

/// The last number of a record's operations, if those can all be decoded and numbered.
fn last_of(path: &Path, record: &Record<'_>, numbers: &mut Numbers) -> Result<SequenceNumber> {
    let count = count(record.payload).map_err(|error| match error.kind() {
        ErrorKind::Unsupported => error.context(path.display()),
        _ => Error::corruption(path, record.offset, error.message()),
    })?;
    numbers.take_rising(path, record, count)
}
