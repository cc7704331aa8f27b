//! Appends records to a log. Layout: docs/format.md, "WAL"; the inverse of this file is `reader.rs`.
//!
//! One append is one `write_at` (for payloads up to about 1 MiB), so it can run under the database's log lock.
//! The writer never syncs after [`Writer::create`]: the holder of [`Writer::file`] syncs outside that lock, and
//! calls [`Writer::poison`] if the sync fails (WAL-1).
//!
//! The writer zeroes the file a little ahead of the records. A sync then finds the length unchanged and need
//! not write metadata, and a small write into an existing page takes half the time of one that grows the file.
//! It zeroes small pieces: after pieces of 1 MiB Linux uses page-cache folios that slow every later small write
//! down (measured: 1.7 instead of 0.75 µs).
//!
//! If no thread syncs, the writer does not zero ahead of large records and does not ask the kernel to write
//! back. Such a log is deleted when its memtable is flushed, before it has to be on the disk, and writing it
//! back would only delay the table's bytes (docs/decisions/0030).

use std::path::Path;

use super::fragment::{
    BLOCK_BYTES, FragmentHeader, FragmentType, MAX_HEADER_BYTES, fragment_start, payload_checksum,
    room_at,
};
use super::log_header::{FILE_HEADER_BYTES, LogHeader, LogId, Predecessor};
use super::payload::Payload;
use super::synced::Synced;
use crate::env::{ClosedFile, EngineOnly, Env, File};
use crate::error::{Error, Result};
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber};
use crate::memory;
use crate::sync::Arc;

/// A write of more bytes is cut, so that a huge payload is not copied whole.
const MAX_WRITE_BYTES: usize = 1 << 20;
/// If the log is synced, each time this many bytes have been appended the kernel is asked to write them back.
const WRITEBACK_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4 << 10;
/// A put that needs zeros writes this many.
const ZERO_PIECE_BYTES: u64 = 16 << 10;
/// The same if the log is synced: the first sync after new zeros writes metadata too.
const SYNCED_ZERO_PIECE_BYTES: u64 = 64 << 10;
/// A file is zeroed at most this far ahead.
const MAX_ZERO_AHEAD: u64 = 1 << 20;
/// Fewer zeros than this are not worth a write.
const MIN_ZERO_AHEAD: u64 = 4 << 10;
/// For records of at least this many bytes, zeros cost more than they save, unless the records are synced.
const LARGE_RECORD_BYTES: u64 = 32 << 10;

static ZEROS: [u8; SYNCED_ZERO_PIECE_BYTES as usize] = [0; SYNCED_ZERO_PIECE_BYTES as usize];

/// Writes one log. Not shared: the database keeps it under its log lock.
pub(crate) struct Writer {
    file: Arc<dyn File>,
    header: LogHeader,
    /// The end of the last good record.
    len: u64,
    /// The file's bytes in `[len, zeroed)` are zeros.
    zeroed: u64,
    zero_ahead: u64,
    /// The log is expected to end about here, so no zeros are written beyond.
    expected_len: u64,
    writeback_from: u64,
    buffer: Vec<u8>,
    poison: Option<Error>,
}

/// A file of zeros, or an empty one, in which a log is to begin. Its name is not durable.
pub(crate) struct Blank {
    number: FileNumber,
    file: Arc<dyn File>,
    /// How many durable zeros it holds.
    zeros: u64,
}

impl Blank {
    /// Creates a file with durable zeros at `path`, which is not a log's path.
    pub(crate) fn create(env: &dyn Env, path: &Path) -> Result<()> {
        let file = env.create_new(path)?;
        file.write_if_room(0, &ZEROS, EngineOnly)?;
        file.sync()
    }

    /// Opens such a file after it got the name of log `number` in `dir`.
    pub(crate) fn open(env: &dyn Env, dir: &Path, number: FileNumber) -> Result<Blank> {
        let file = env.open_write(&log_path(dir, number))?;
        Ok(Blank {
            number,
            file,
            zeros: ZEROS.len() as u64,
        })
    }

    /// Creates an empty file for log `number` in `dir`.
    fn empty(env: &dyn Env, dir: &Path, number: FileNumber) -> Result<Blank> {
        let file = env.create_new(&log_path(dir, number))?;
        Ok(Blank {
            number,
            file,
            zeros: 0,
        })
    }
}

impl Writer {
    /// Creates the log `number` in `dir` and syncs its header. It survives a power loss only after the caller
    /// has synced `dir`.
    ///
    /// `expected_len` is about how many bytes the log will get, to limit the zeroing ahead.
    pub(crate) fn create(
        env: &dyn Env,
        dir: &Path,
        number: FileNumber,
        id: impl Into<LogId>,
        predecessor: Predecessor,
        expected_len: u64,
    ) -> Result<Writer> {
        let blank = Blank::empty(env, dir, number)?;
        Writer::create_in(blank, id, predecessor, expected_len)
    }

    /// Like [`Writer::create`], but in an existing file.
    pub(crate) fn create_in(
        blank: Blank,
        id: impl Into<LogId>,
        predecessor: Predecessor,
        expected_len: u64,
    ) -> Result<Writer> {
        let Blank {
            number,
            file,
            zeros,
        } = blank;
        let LogId { database, log } = id.into();
        let header = LogHeader {
            database,
            log_id: log,
            number,
            predecessor,
        };
        file.write_at(0, &header.encode())?;
        file.sync()?;
        let zero_ahead = match (expected_len / 8).min(MAX_ZERO_AHEAD) {
            small if small < MIN_ZERO_AHEAD => 0,
            ahead => ahead,
        };
        let len = FILE_HEADER_BYTES as u64;
        Ok(Writer {
            file,
            header,
            len,
            zeroed: zeros.max(len),
            zero_ahead,
            expected_len,
            writeback_from: 0,
            buffer: Vec::new(),
            poison: None,
        })
    }

    /// Appends one record; returns its end, the log's new length.
    ///
    /// `synced`: how far a finished sync has covered this log (WAL-3). Any error poisons the log (WAL-1).
    /// [`Writer::reserve`] must have reserved the memory.
    pub(crate) fn append(
        &mut self,
        first_sequence: SequenceNumber,
        payload: &Payload<'_>,
        synced: Synced,
    ) -> Result<u64> {
        if let Some(error) = &self.poison {
            return Err(error.clone());
        }
        debug_assert!(
            synced.length() <= self.len,
            "SYNCED-1: only bytes of the log are synced"
        );
        debug_assert!(
            FILE_HEADER_BYTES as u64 <= self.len && self.len <= self.zeroed,
            "WAL-2: nothing but zeros follows the last record"
        );
        match self.write_record(first_sequence, payload, synced) {
            Ok(end) => {
                let is_large = end - self.len >= LARGE_RECORD_BYTES;
                let is_syncing = synced.and(self.header.predecessor.synced()) > Synced::NOTHING;
                debug_assert!(
                    end > self.len && self.poison.is_none(),
                    "WAL-1: records follow one another until one fails"
                );
                self.len = end;
                self.zeroed = self.zeroed.max(end);
                debug_assert!(
                    self.writeback_from < self.len,
                    "WAL-1: the kernel writes back what was appended"
                );
                if is_syncing {
                    self.zero_ahead(SYNCED_ZERO_PIECE_BYTES);
                    self.start_writeback();
                } else if !is_large {
                    self.zero_ahead(ZERO_PIECE_BYTES);
                }
                Ok(end)
            }
            Err(error) => {
                self.poison(error.clone());
                Err(error)
            }
        }
    }

    /// Reserves the memory for appending `payload`. If there is none, nothing has changed, and later appends may
    /// succeed.
    #[inline]
    pub(crate) fn reserve(&mut self, payload: &Payload<'_>) -> Result<()> {
        // Per block, and for the first and the last one, a header, or zeros where none fits.
        const _: () = assert!(BLOCK_BYTES as usize / 512 >= 2 * MAX_HEADER_BYTES);
        let length = payload.encoded().len();
        let most = (length + length / 512 + 4 * MAX_HEADER_BYTES).min(MAX_WRITE_BYTES);
        self.buffer.clear();
        memory::reserve(&mut self.buffer, most, "a record of a log")
    }

    fn write_record(
        &mut self,
        first_sequence: SequenceNumber,
        payload: &Payload<'_>,
        synced: Synced,
    ) -> Result<u64> {
        let room = room_at(fragment_start(self.len));
        let (mut rest, is_bare) = match payload.stored.len() as u64 <= room {
            true => (payload.stored, payload.is_bare()),
            false => (payload.encoded(), false),
        };
        let mut is_first = true;
        // The buffer holds the bytes `[written, written + buffer.len())` of the file.
        let mut written = self.len;
        self.buffer.clear();
        loop {
            let end = written + self.buffer.len() as u64;
            let start = fragment_start(end);
            self.buffer
                .resize(self.buffer.len() + (start - end) as usize, 0);
            let length = rest.len().min(room_at(start) as usize);
            let (piece, tail) = rest.split_at(length);
            rest = tail;
            let is_last = rest.is_empty();
            let header = FragmentHeader {
                payload_checksum: match is_first && is_last {
                    true => payload.checksum,
                    false => payload_checksum(piece),
                },
                length: length as u16,
                fragment_type: FragmentType::new(is_first, is_last),
                is_bare,
                first_sequence,
                synced,
            };
            debug_assert_eq!(header.payload_checksum, payload_checksum(piece));
            let header = header.encode(self.header.log_id, start);
            debug_assert!(
                start / BLOCK_BYTES
                    == (start + (header.as_bytes().len() + length) as u64 - 1) / BLOCK_BYTES,
                "WAL-6: no fragment crosses a block"
            );
            self.buffer.extend_from_slice(header.as_bytes());
            self.buffer.extend_from_slice(piece);
            is_first = false;
            let is_full =
                self.buffer.len() + MAX_HEADER_BYTES + room_at(0) as usize > MAX_WRITE_BYTES;
            if is_last || is_full {
                debug_assert!(
                    self.buffer.len() <= MAX_WRITE_BYTES,
                    "WAL-8: a write has a bounded length"
                );
                self.file.write_at(written, &self.buffer)?;
                written += self.buffer.len() as u64;
                self.buffer.clear();
            }
            if is_last {
                debug_assert!(
                    rest.is_empty() && self.buffer.is_empty(),
                    "WAL-6: every byte of the record was written"
                );
                return Ok(written);
            }
        }
    }

    /// Keeps the file zeroed ahead of the records, by at most one piece per append: no append waits for all of it.
    fn zero_ahead(&mut self, piece: u64) {
        debug_assert!(
            self.len <= self.zeroed,
            "WAL-2: zeros follow the last record"
        );
        let target = (self.len + self.zero_ahead).min(self.expected_len);
        let piece = piece.min(self.zero_ahead);
        // Pieces end with a page, so that the next one does not touch a page twice.
        let end = (self.zeroed + piece) / PAGE_BYTES * PAGE_BYTES;
        if piece == 0 || end > target || end <= self.zeroed {
            return;
        }
        let zeros = &ZEROS[..(end - self.zeroed) as usize];
        match self.file.write_if_room(self.zeroed, zeros, EngineOnly) {
            Ok(()) => self.zeroed = end,
            // Most likely the disk is full. Records may still fit into the existing zeros; their own writes will
            // show.
            Err(_) => self.zero_ahead = 0,
        }
    }

    /// Closes the file; the log gets no more records.
    pub(crate) fn let_go(&mut self) {
        self.file = Arc::new(ClosedFile);
        self.buffer = Vec::new();
    }

    /// Writes no more zeros, because on a full disk the space is for records.
    pub(crate) fn stop_zeroing(&mut self) {
        self.zero_ahead = 0;
    }

    /// Whether a record with `payload` bytes fits into the zeros, so that the disk has space for it.
    #[inline]
    pub(crate) fn has_space_for(&self, payload: u64) -> bool {
        // The header of each fragment, and the bytes that may stay unused at the end of the current block.
        let headers = (payload / BLOCK_BYTES + 3) * MAX_HEADER_BYTES as u64;
        self.len.saturating_add(payload + headers) <= self.zeroed
    }

    fn start_writeback(&mut self) {
        let length = self.len - self.writeback_from;
        if length >= WRITEBACK_BYTES {
            self.file.start_writeback(self.writeback_from, length);
            self.writeback_from = self.len;
        }
    }

    /// Makes every later append fail with `error`; the first call counts (WAL-1).
    pub(crate) fn poison(&mut self, error: Error) {
        self.poison.get_or_insert(error);
    }

    /// The error that poisoned the log, if one did.
    pub(crate) fn poisoned(&self) -> Option<&Error> {
        self.poison.as_ref()
    }

    /// The end of the last good record, also when the log is poisoned. A successor names it as this log's length
    /// (WAL-4).
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The log's file, for syncing it outside the lock that guards this writer.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The log's number.
    pub(crate) fn number(&self) -> FileNumber {
        self.header.number
    }

    /// The log before this one.
    pub(crate) fn predecessor(&self) -> Predecessor {
        self.header.predecessor
    }

    /// The log's random id.
    pub(crate) fn log_id(&self) -> u64 {
        self.header.log_id
    }
}
