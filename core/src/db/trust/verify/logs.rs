//! Checks the logs with writes that are in no table: every record, and that the logs follow each other.
//!
//! It checks the logs that existed when the verification began (VERIFY-2). If a flush has since made a log
//! superfluous, it skips that log, even if the log is damaged.
//!
//! Elsewhere: the rules by which logs follow each other (`wal/chain.rs`), continuing after damage
//! (`wal/reader.rs`).

use std::ops::ControlFlow;

use super::Walk;
use crate::batch::operations;
use crate::db::life::Database;
use crate::error::{Error, Result};
use crate::filename::log_path;
use crate::key::FileNumber;
use crate::wal::{Joint, Numbers, Opened, Part, Predecessor, Reader};

impl Database {
    /// The logs that hold writes which are not in tables, newest first; each with the part of it that counts.
    pub(super) fn logs(&self) -> Result<Vec<Predecessor>> {
        let (active, mut next) = self.commit.chain();
        let mut logs = match self.context.options().read_only {
            // Nothing is appended to a file on disk.
            true => Vec::new(),
            false => vec![active],
        };
        let expected = self.tree.expected_logs();
        let mut before = active.number;
        // Numbers fall from log to log (CHAIN-2). If a header says otherwise, that is where the chain begins.
        while next.number.0 != 0 && next.number < before && expected.needs(next.number) {
            before = next.number;
            logs.push(next);
            let path = log_path(self.context.dir(), next.number);
            match Reader::open(self.context.env(), &path, next.number) {
                Ok(Opened::Log(reader)) => next = reader.header().predecessor,
                Err(error) if error.is_out_of_memory() => return Err(error),
                // Its damage is reported when it is checked.
                _ => break,
            }
        }
        Ok(logs)
    }
}

impl Walk<'_> {
    /// Checks a log as far as it counts.
    pub(super) fn log(&mut self, log: &Predecessor) -> Result<ControlFlow<()>> {
        let end = self.at.bytes_done + log.length;
        let path = log_path(self.database.context.dir(), log.number);
        self.report.logs += 1;
        let outcome = match Reader::open(self.database.context.env(), &path, log.number) {
            Ok(Opened::Log(reader)) => {
                match self
                    .database
                    .tree
                    .expected_logs()
                    .check_owner(&path, reader.header())
                {
                    Ok(()) => self.records(reader, log)?,
                    Err(error) => Err(error),
                }
            }
            Ok(Opened::NeverWritten) => Err(Error::corruption(&path, 0, "the log has no header")),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(ControlFlow::Continue(())) => {}
            Ok(stop) => return Ok(stop),
            // VERIFY-2.
            Err(_) if self.is_superfluous(log.number) => {}
            Err(error) => self.damage(&path, 0, error)?,
        }
        self.advance_to(end)
    }

    fn is_superfluous(&self, log: FileNumber) -> bool {
        !self.database.tree.expected_logs().needs(log)
    }

    /// Reads a log's records, including those after damage. The inner error concerns the log as a whole.
    fn records(
        &mut self,
        mut reader: Reader,
        log: &Predecessor,
    ) -> Result<Result<ControlFlow<()>>> {
        let path = reader.path().to_path_buf();
        reader.stop_at(log.length);
        let mut numbers = Numbers::after(reader.header().predecessor.last_sequence);
        loop {
            let record = match reader.next_part() {
                Ok(Some(Part::Record(record))) => record,
                // VERIFY-2: the end of a log that is being removed is cut off.
                Ok(Some(Part::Damage { error, .. })) if self.is_superfluous(log.number) => {
                    return Ok(Err(error));
                }
                Ok(Some(Part::Damage { error, start, .. })) => {
                    self.damage(&path, start, error)?;
                    numbers.lose();
                    continue;
                }
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            let offset = record.offset;
            let outcome = count(record.payload)
                .map_err(|error| Error::corruption(&path, offset, error.message()))
                .and_then(|count| numbers.take(&path, &record, count));
            let bytes = record.end - offset;
            match outcome {
                Ok(_) => self.report.records += 1,
                Err(error) if self.is_superfluous(log.number) => return Ok(Err(error)),
                Err(error) => {
                    self.damage(&path, offset, error)?;
                    numbers.lose();
                }
            }
            if self.advance(bytes)?.is_break() {
                return Ok(Ok(ControlFlow::Break(())));
            }
        }
        let expected = self.database.tree.expected_logs();
        let last = numbers.last();
        let joint = last.map(|last| expected.joint(last, log.last_sequence));
        if matches!(joint, Some(Joint::Lacks | Joint::Exceeds)) {
            let what = format!("the log does not end with number {}", log.last_sequence);
            return Ok(Err(Error::corruption(&path, log.length, what)));
        }
        Ok(Ok(ControlFlow::Continue(())))
    }
}

/// Decodes every operation of an encoded batch; returns how many there are.
pub(in crate::db::trust) fn count(payload: &[u8]) -> Result<u64> {
    let mut count = 0;
    for operation in operations(payload)? {
        operation?;
        count += 1;
    }
    Ok(count)
}
