//! Logs, the batches in them, and SYNCED. Layout: docs/format.md, "WAL", "Batch", "SYNCED".
//!
//! Elsewhere: reading a log (`wal/reader.rs`), and the structure of a batch (`batch.rs`).

use std::path::{Path, PathBuf};

use super::without_place;
use crate::batch::{self, Operation};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{FileNumber, SequenceNumber};
use crate::wal::{Opened, Reader, SyncedLog};

/// A write-ahead log, `000012.log`: its records in order.
///
/// Keeps the file open, and in memory about 1 MiB of it or one record, whichever is more.
pub struct Log {
    path: PathBuf,
    reader: Reader,
}

/// The header of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogHeader {
    /// The id of its database, which is also in the manifest ([`Edit::database`](super::Edit::database));
    /// `None` in a log of an earlier build, which did not store it.
    pub database: Option<u32>,
    /// Random: the file id in its checksums.
    pub log_id: u64,
    /// Its own number, as in its name.
    pub number: FileNumber,
    /// The log before it; `None` if there is none.
    pub predecessor: Option<Predecessor>,
}

/// What a log records about its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Predecessor {
    /// Its number.
    pub number: FileNumber,
    /// The end of its last good record, in bytes: later bytes do not count ([`Log::stop_at`]).
    pub length: u64,
    /// The last sequence number in it or before it.
    pub last_sequence: SequenceNumber,
    /// How many of its bytes were known to be synced; 0 if the distance was too large to store.
    pub synced: u64,
}

/// One record of a log: an encoded batch, and where it lies.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// The sequence number of its first operation. The others have the numbers after it, in order.
    pub first_sequence: SequenceNumber,
    /// The encoded batch, without the headers of fragments.
    pub payload: &'a [u8],
    /// The offset of its first fragment in the file, in bytes.
    pub offset: u64,
    /// The end of its last fragment.
    pub end: u64,
    pub(super) path: &'a Path,
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEnd {
    /// The end of the last good record, in bytes.
    pub good_length: u64,
    /// How many bytes were synced according to the records of the log; only [`Synced`] knows the last sync.
    pub synced_up_to: u64,
    /// Whether there are bytes after `good_length` that are neither a record nor zeros: a write that never
    /// finished.
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

    /// The log's header.
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
                synced: before.synced().length(),
            }),
        }
    }

    /// Stops reading at `length` bytes, which the header of the next log gives ([`Predecessor::length`]).
    pub fn stop_at(&mut self, length: u64) {
        self.reader.stop_at(length);
    }

    /// The next record; `None` at the log's end, which [`Log::end`] describes.
    ///
    /// Errors: see the [module](super). `Corruption` if bytes that had been synced cannot be read; a write that
    /// was never finished is the end and not an error. An error is final: every later call returns it again.
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

    /// How the log ended; `None` until [`Log::next_record`] has returned `None`.
    pub fn end(&self) -> Option<LogEnd> {
        let end = self.reader.end()?;
        Some(LogEnd {
            good_length: end.good_length,
            synced_up_to: end.synced.length(),
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

/// Decodes a batch as stored in a log: `encoded` may be any bytes. Copies no key and no value.
///
/// Errors: `Corruption` if it is cut short, a length reaches beyond it, a key is longer than 16 MiB or something
/// follows the last operation; `Unsupported` if a newer AiDb wrote it. Damage within an operation is reported when that
/// operation is reached.
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

/// The content of the file `SYNCED`: how far a log was synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Synced {
    /// The log's number.
    pub number: FileNumber,
    /// The log's own id ([`LogHeader::log_id`]). If the log has a different id, this is about another log and
    /// means nothing.
    pub log_id: u64,
    /// How many of its bytes a finished sync has covered.
    pub length: u64,
}

impl Synced {
    /// Reads the file at `path`. `None` if it is damaged or has another version: then nothing is known.
    ///
    /// Errors: `Io` if it cannot be read; it may be missing.
    pub fn read(env: &dyn Env, path: &Path) -> Result<Option<Synced>> {
        let found = SyncedLog::read_at(env, path)?;
        Ok(found.map(|log| Synced {
            number: log.number,
            log_id: log.log_id,
            length: log.synced.length(),
        }))
    }
}
