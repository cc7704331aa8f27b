//! Reads the records of a chain of logs in turn: all committed batches, in the order of their sequence numbers.
//!
//! The rules are those of `chain.rs`. A broken rule is an error, and no record after it is returned. Opening
//! replays the logs in this way. Any other reader that wants every write in order begins at the log with the
//! first of them, and skips the records that it already has.
//!
//! * WALK-1  Every needed log is opened before any record is returned; if one cannot be opened, reading fails.
//! * WALK-2  A record is returned only after all records before it. The end is known once [`ChainReader::next`]
//!           has returned `None`; by then the dropped records after it have been checked (CHAIN-3).
//!
//! Elsewhere: reading what is left of a damaged chain (`db/trust/repair`, by [`Reader::next_part`]).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use super::chain::{Ended, Expected, LogChain, Numbers};
use super::log_header::Predecessor;
use super::reader::{Found, Opened, Reader};
use super::synced::Synced;
use crate::batch::{Operation, Operations, operations};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber};

/// Walks a chain from its first log to its end.
pub(crate) struct ChainReader {
    chain: LogChain,
    /// The log that is being read: the last of `walked`.
    current: Reader,
    /// The logs that have not been walked. Not all of them have to be in the chain.
    others: BTreeMap<FileNumber, Reader>,
    walked: Vec<FileNumber>,
    numbers: Numbers,
    end: Option<Predecessor>,
}

/// A record that counts.
pub(crate) struct Committed<'a> {
    /// The log that the record is in, and its offset there.
    pub(crate) path: &'a Path,
    pub(crate) offset: u64,
    /// The number of its first operation.
    pub(crate) first_sequence: SequenceNumber,
    /// The number of its last operation. If it has none, the number before `first_sequence`.
    pub(crate) last_sequence: SequenceNumber,
    operations: Operations<'a>,
}

/// The end of a chain that was walked.
pub(crate) struct ChainEnd {
    /// The last log, which the next log must name as its predecessor.
    pub(crate) last: Predecessor,
    /// The logs of the chain, in order.
    pub(crate) logs: Vec<FileNumber>,
    /// The id of the database that the logs name, including logs outside the chain; 0 if none names one.
    pub(crate) database: u32,
}

impl<'a> Committed<'a> {
    /// Its operations, decoded one by one. An error is final.
    pub(crate) fn into_operations(self) -> impl Iterator<Item = Result<Operation<'a>>> {
        let (path, offset) = (self.path, self.offset);
        let operations = self.operations;
        operations.map(move |operation| operation.map_err(|error| placed(error, path, offset)))
    }
}

impl ChainReader {
    /// Opens those of `logs` in `dir` that are needed; `None` if the database never had a log.
    ///
    /// Skips a file without a header: it was never durable. If that log is needed, the chain lacks it. A later log may
    /// name it, if a sync of the header failed, its process was killed, and power was lost after the next open.
    pub(crate) fn open(
        env: &dyn Env,
        dir: &Path,
        logs: &[FileNumber],
        expected: Expected,
    ) -> Result<Option<ChainReader>> {
        let mut chain = LogChain::new(dir, expected);
        let mut others = BTreeMap::new();
        for &number in logs.iter().filter(|number| expected.needs(**number)) {
            let path = log_path(dir, number);
            if let Opened::Log(reader) = Reader::open(env, &path, number)? {
                expected.check_owner(&path, reader.header())?;
                chain.add(*reader.header());
                others.insert(number, reader);
            }
        }
        let Some(first) = chain.first()?.copied() else {
            return Ok(None);
        };
        let current = take(&mut others, first.number)?;
        let mut reader = ChainReader {
            chain,
            current,
            others,
            walked: Vec::new(),
            numbers: Numbers::after(first.predecessor.last_sequence),
            end: None,
        };
        reader.enter(first.number);
        Ok(Some(reader))
    }

    /// The log that the chain begins with.
    pub(crate) fn first(&self) -> FileNumber {
        self.walked[0]
    }

    /// The end of the chain.
    pub(crate) fn into_end(self) -> Result<ChainEnd> {
        let database = self.chain.database();
        let (logs, last) = (self.walked, self.end);
        let last = last.ok_or_else(|| Error::internal("the end of the logs was not reached"))?;
        debug_assert!(
            logs.is_sorted_by(|before, after| before < after),
            "CHAIN-2: numbers rise along the chain"
        );
        debug_assert!(
            logs.last() == Some(&last.number),
            "WALK-2: the chain ends with the log that was walked last"
        );
        Ok(ChainEnd {
            last,
            logs,
            database,
        })
    }

    /// The next record; `None` at the end. Must not be called after an error.
    pub(crate) fn next(&mut self) -> Result<Option<Committed<'_>>> {
        loop {
            if self.end.is_some() {
                return Ok(None);
            }
            debug_assert!(
                self.walked.last() == Some(&self.current.header().number),
                "WALK-2: the log that is read is the last one walked"
            );
            match self.current.advance()? {
                Some(found) => return self.committed(found).map(Some),
                None => self.go_on()?,
            }
        }
    }

    fn committed(&mut self, found: Found) -> Result<Committed<'_>> {
        let record = self.current.record(found);
        let (path, offset) = (self.current.path(), record.offset);
        self.numbers.check(path, &record)?;
        let operations = operations(record.payload).map_err(|error| placed(error, path, offset))?;
        let count = operations.left();
        let last_sequence = self.numbers.take(path, &record, u64::from(count))?;
        debug_assert!(
            last_sequence.0 + 1 == record.first_sequence.0 + u64::from(count),
            "CHAIN-5: one number for each operation"
        );
        debug_assert!(record.offset < record.end, "WAL-6: a record has bytes");
        Ok(Committed {
            path,
            offset,
            first_sequence: record.first_sequence,
            last_sequence,
            operations,
        })
    }

    /// Goes from a log that was read to its end to the next one, or to the end of the chain.
    fn go_on(&mut self) -> Result<()> {
        debug_assert!(self.end.is_none(), "WALK-2: a chain ends once");
        let header = *self.current.header();
        let (length, records) = match self.current.end() {
            Some(end) => (end.good_length, end.synced),
            None => return Err(Error::internal("a log was left before its end")),
        };
        let expected = *self.chain.expected();
        let synced = expected.check_length(self.current.path(), &header, length, records)?;
        let ended = Ended {
            number: header.number,
            length,
            last_sequence: self.numbers.last().unwrap_or_default(),
        };
        if let Some(successor) = self.chain.after(&ended)?.copied() {
            self.current = take(&mut self.others, successor.number)?;
            self.numbers = Numbers::after(successor.predecessor.last_sequence);
            self.enter(successor.number);
            return Ok(());
        }
        let after = (Bound::Excluded(ended.number), Bound::Unbounded);
        for (&number, later) in self.others.range_mut(after) {
            while later.next()?.is_some() {}
            debug_assert!(
                later.end().is_some(),
                "WALK-2: a dropped log was read to its end"
            );
            let synced = later.end().map_or(Synced::NOTHING, |end| end.synced);
            self.chain.check_dropped(&ended, number, synced)?;
        }
        self.chain.check_holds_synced(&self.walked)?;
        let last_sequence = ended.last_sequence.max(expected.last_sequence);
        let end = Predecessor::new(ended.number, length, last_sequence, synced);
        debug_assert!(
            end.synced() <= synced,
            "SYNCED-3: a header does not state more than is synced"
        );
        self.end = Some(end);
        Ok(())
    }

    /// Begins with the log `number`, which is already the current one.
    fn enter(&mut self, number: FileNumber) {
        debug_assert!(
            !self.others.contains_key(&number),
            "WALK-2: a log is walked once"
        );
        debug_assert!(
            self.current.header().number == number,
            "WALK-2: the log is the current one"
        );
        debug_assert!(
            self.walked.last().is_none_or(|before| *before < number),
            "CHAIN-2: numbers rise along the chain"
        );
        self.walked.push(number);
        if let Some(successor) = self.chain.successor(number) {
            self.current.stop_at(successor.predecessor.length);
        }
    }
}

fn take(readers: &mut BTreeMap<FileNumber, Reader>, number: FileNumber) -> Result<Reader> {
    let reader = readers.remove(&number);
    reader.ok_or_else(|| Error::internal("the chain holds a log that was not opened"))
}

/// Adds to the error of an undecodable batch where in a log it is. Its checksum was right, so its writer or the log
/// is at fault.
fn placed(error: Error, path: &Path, offset: u64) -> Error {
    match error.kind() {
        ErrorKind::Unsupported | ErrorKind::OutOfMemory => {
            error.context(format_args!("{} at byte {offset}", path.display()))
        }
        _ => Error::corruption(path, offset, error.message()),
    }
}

#[cfg(test)]
mod tests;
