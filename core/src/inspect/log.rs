//! Logs, the batches in them, and SYNCED. Layout: docs/format.md, "WAL", "Batch", "SYNCED".
//!
//! Elsewhere: how a log is read (`wal/reader.rs`), and what a batch is made of (`batch.rs`).

use std::path::{Path, PathBuf};

use super::without_place;
use crate::batch::{self, Operation};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{FileNumber, SequenceNumber};
use crate::wal::{Opened, Reader, Watermark};

/// A write-ahead log, `000012.log`: its records in order.
///
/// Holds the file open, and of its bytes about 1 MiB or one record, whichever is more.
pub struct Log {
    path: PathBuf,
    reader: Reader,
}

/// What a log says of itself in its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogHeader {
    /// The id of its database, which the manifest has, too ([`Edit::database`](super::Edit::database)); `None` in a log of an
    /// earlier build, which did not say.
    pub database: Option<u32>,
    /// Random: the file id in its checksums.
    pub log_id: u64,
    /// Its own number, as in its name.
    pub number: FileNumber,
    /// The log before it; `None` if there is none.
    pub predecessor: Option<Predecessor>,
}

/// What a log says of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Predecessor {
    /// Its number.
    pub number: FileNumber,
    /// The end of its last good record, in bytes: what lies after does not count ([`Log::stop_at`]).
    pub length: u64,
    /// The last sequence number in it or before it.
    pub last_sequence: SequenceNumber,
    /// How many of its bytes were known to be synced; 0 if that was too far back to say.
    pub synced: u64,
}

/// One record of a log: an encoded batch, and where it lies.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// The sequence number of its first operation. Each other one has the number after that of the one before it.
    pub first_sequence: SequenceNumber,
    /// The encoded batch, without the headers of fragments.
    pub payload: &'a [u8],
    /// Where its first fragment begins in the file, in bytes.
    pub offset: u64,
    /// Where its last fragment ends.
    pub end: u64,
    pub(super) path: &'a Path,
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEnd {
    /// The end of the last good record, in bytes.
    pub good_length: u64,
    /// How many bytes a record of the log says were synced; the last sync is known to [`Synced`] only.
    pub synced_up_to: u64,
    /// Whether something lies after `good_length` that is neither a record nor zeros: a write that never finished.
    pub is_torn: bool,
}

impl Log {
    /// Opens the log at `path`. `None` if its creation was never finished, so that it has no record.
    ///
    /// Errors: see the [module](super). `Corruption` if the header is damaged and something was written after it.
    pub fn open(env: &dyn Env, path: &Path) -> Result<Option<Log>> {
        Ok(match Reader::open_any(env, path)? {
            Opened::Log(reader) => Some(Log {
                path: path.to_path_buf(),
                reader,
            }),
            Opened::NeverWritten => None,
        })
    }

    /// What the log says of itself.
    pub fn header(&self) -> LogHeader {
        let header = self.reader.header();
        let before = header.predecessor;
        LogHeader {
            database: (header.database != 0).then_some(header.database),
            log_id: header.log_id,
            number: header.number,
            predecessor: (before.number.0 != 0).then(|| Predecessor {
                number: before.number,
                length: before.length,
                last_sequence: before.last_sequence,
                synced: before.synced(),
            }),
        }
    }

    /// Stops reading at `length` bytes, which the header of the next log gives ([`Predecessor::length`]).
    pub fn stop_at(&mut self, length: u64) {
        self.reader.stop_at(length);
    }

    /// The next record; `None` at the log's end, of which [`Log::end`] tells more.
    ///
    /// Errors: see the [module](super). `Corruption` if a place cannot be read that had been synced; a write that was never
    /// finished is the end and no error. An error is final: every later call answers it again.
    pub fn next_record(&mut self) -> Result<Option<LogRecord<'_>>> {
        let record = self.reader.next()?;
        Ok(record.map(|record| LogRecord {
            first_sequence: record.first_sequence,
            payload: record.payload,
            offset: record.offset,
            end: record.end,
            path: &self.path,
        }))
    }

    /// How the log ended; `None` before [`Log::next_record`] has answered `None`.
    pub fn end(&self) -> Option<LogEnd> {
        let end = self.reader.end()?;
        Some(LogEnd {
            good_length: end.good_length,
            synced_up_to: end.synced_up_to,
            is_torn: end.torn,
        })
    }
}

impl<'a> LogRecord<'a> {
    /// Its operations, in order. Errors: as those of [`operations`], naming the log and where the record begins in it.
    pub fn operations(&self) -> Result<Operations<'a>> {
        let place = Some((self.path, self.offset));
        Operations::new(self.payload, place)
    }
}

/// The operations of an encoded batch, in order. Ends after its first error.
pub struct Operations<'a> {
    operations: batch::Operations<'a>,
    /// The log and the record's offset in it.
    place: Option<(&'a Path, u64)>,
}

impl<'a> Operations<'a> {
    fn new(encoded: &'a [u8], place: Option<(&'a Path, u64)>) -> Result<Operations<'a>> {
        match batch::operations(encoded) {
            Ok(operations) => Ok(Operations { operations, place }),
            Err(error) => Err(placed(error, place)),
        }
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Result<Operation<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.operations.next()?;
        Some(next.map_err(|error| placed(error, self.place)))
    }
}

/// Decodes a batch as a log holds it: `encoded`, any bytes. Copies no key and no value.
///
/// Errors: `Corruption` if it is cut short, a length reaches beyond it, a key is longer than 16 MiB or something follows the
/// last operation; `Unsupported` if a newer AiDb wrote it. What is wrong within an operation is told when that is reached.
pub fn operations(encoded: &[u8]) -> Result<Operations<'_>> {
    Operations::new(encoded, None)
}

fn placed(error: Error, place: Option<(&Path, u64)>) -> Error {
    match (place, error.kind()) {
        (Some((path, offset)), ErrorKind::Internal) => {
            Error::corruption(path, offset, error.message())
        }
        (Some((path, offset)), _) => error.context(format!("{} at byte {offset}", path.display())),
        (None, _) => without_place(error),
    }
}

/// What the file `SYNCED` says: how far a log was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Synced {
    /// The log's number.
    pub number: FileNumber,
    /// The log's own id ([`LogHeader::log_id`]). If the log has another one, this is about another log and means nothing.
    pub log_id: u64,
    /// How many of its bytes a finished sync has covered.
    pub length: u64,
}

impl Synced {
    /// Reads the file at `path`. `None` if it is damaged or of another version: then nothing is known.
    ///
    /// Errors: `Io` if it cannot be read; it may be missing.
    pub fn read(env: &dyn Env, path: &Path) -> Result<Option<Synced>> {
        let found = Watermark::read_at(env, path)?;
        Ok(found.map(|watermark| Synced {
            number: watermark.number,
            log_id: watermark.log_id,
            length: watermark.length,
        }))
    }
}
