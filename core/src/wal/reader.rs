//! Reads a log, and distinguishes damage from a torn tail. Layout: docs/format.md, "WAL"; written by
//! `writer.rs`.
//!
//! * WAL-6  A record is returned only if every fragment of it is intact, at its own offset, and written under
//!          this file id.
//! * WAL-7  Reading stops at the first fragment that is missing or bad. If any intact fragment of the log, before or
//!          after that place, says that the log was synced beyond the last good record, the place had been synced,
//!          and the reader returns `Corruption` (WAL-3). Otherwise the tail is torn, and the log ends with the last
//!          good record. At the offset where a fragment is expected, an intact header is enough; elsewhere the
//!          payload must be intact too, because among many torn bytes a 32-bit checksum matches by chance too
//!          often.
//! * WAL-8  No length is used before it is compared with the file's length; memory grows only with bytes
//!          actually read.
//!
//! Elsewhere: the bytes in memory (`reader/chunk.rs`), the searches for fragments after damage (`reader/search.rs`).

mod chunk;
mod search;

use std::path::{Path, PathBuf};

use self::chunk::{Chunk, RECORD};
use self::search::{find_first_fragment, find_id, has_data_behind_header, search_synced};
use super::fragment::{
    FIXED_HEADER_BYTES, FragmentHeader, MAX_HEADER_BYTES, fragment_start, payload_checksum,
};
use super::log_header::{BadHeader, FILE_HEADER_BYTES, LogHeader, Predecessor, VERSION};
use super::synced::Synced;
use crate::batch::HEADER_OF_ONE;
use crate::env::{Env, File};
use crate::error::{Error, Result};
use crate::key::{FileNumber, SequenceNumber};
use crate::memory;
use crate::sync::Arc;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) first_sequence: SequenceNumber,
    pub(crate) payload: &'a [u8],
    /// Where its first fragment starts in the file.
    pub(crate) offset: u64,
    /// Where its last fragment ends.
    pub(crate) end: u64,
}

/// What [`Reader::next_part`] finds.
pub(crate) enum Part<'a> {
    Record(Record<'a>),
    /// No record can be read in `[start, end)`.
    Damage {
        error: Error,
        start: u64,
        end: u64,
    },
}

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The end of the last good record. If a limit was set and this is smaller, the log lacks something.
    pub(crate) good_length: u64,
    /// How far the log was synced: the largest value that one of its fragments states.
    pub(crate) synced: Synced,
    /// Whether there are bytes after `good_length` that are neither a record nor zeros.
    pub(crate) torn: bool,
}

/// What [`Reader::open`] found.
#[expect(clippy::large_enum_variant, reason = "one per log, and not kept")]
pub(crate) enum Opened {
    Log(Reader),
    /// The file has no intact header and nothing after the header's place. Its creation was never synced, so it
    /// cannot have had a record, unless another file says otherwise.
    NeverWritten,
}

/// Iterates over a log's records.
pub(crate) struct Reader {
    path: PathBuf,
    header: LogHeader,
    limit: Option<u64>,
    chunk: Chunk,
    /// The end of the last good record.
    good_length: u64,
    synced: Synced,
    /// Whether the rest of the file was already searched for statements of a later sync.
    is_searched: bool,
    /// Whether [`Reader::next_part`] has returned everything.
    is_exhausted: bool,
    /// The payload of a record that was in several fragments, or was stored without its beginning.
    payload: Vec<u8>,
    outcome: Option<Result<LogEnd>>,
}

/// Why there is no fragment where one was expected.
enum Stop {
    /// The file, or its written part, ends here.
    End,
    /// The bytes are not an intact fragment.
    Bad(&'static str),
}

/// A good fragment: its header, where it starts, and where its payload is in the chunk.
struct Fragment {
    header: FragmentHeader,
    offset: u64,
    payload: std::ops::Range<usize>,
}

impl Fragment {
    fn end(&self) -> u64 {
        self.offset + self.header.header_bytes() as u64 + u64::from(self.header.length)
    }
}

impl Reader {
    /// Where the first record begins.
    pub(crate) const FIRST_RECORD: u64 = FILE_HEADER_BYTES as u64;

    /// Opens the log `number` at `path` and checks its header.
    ///
    /// Errors: `Corruption` if the header is damaged although something was written after it, or if it is the
    /// header of another log; `Unsupported` if a newer AiDb wrote it.
    pub(crate) fn open(env: &dyn Env, path: &Path, number: FileNumber) -> Result<Opened> {
        let opened = Reader::open_any(env, path)?;
        if let Opened::Log(reader) = &opened
            && reader.header.number != number
        {
            let message = format!("the header is that of log {}", reader.header.number);
            return Err(Error::corruption(path, 0, message));
        }
        Ok(opened)
    }

    /// [`Reader::open`] for any number in the header.
    pub(crate) fn open_any(env: &dyn Env, path: &Path) -> Result<Opened> {
        let file = env.open_read(path)?;
        let mut bytes = [0; FILE_HEADER_BYTES];
        let read = file.read_at(0, &mut bytes)?;
        if read < bytes.len() {
            return Ok(Opened::NeverWritten);
        }
        let header = match LogHeader::decode(&bytes) {
            Ok(header) => header,
            Err(BadHeader::Checksum) => {
                if has_data_behind_header(&*file)? {
                    let message = "the log's header is damaged: its checksum differs";
                    return Err(Error::corruption(path, 0, message));
                }
                return Ok(Opened::NeverWritten);
            }
            Err(BadHeader::Magic) => {
                return Err(Error::corruption(path, 0, "it is not a log of AiDb"));
            }
            Err(BadHeader::Version(version)) => {
                return Err(newer(path, version));
            }
        };
        if !header.is_possible() {
            let last = header.predecessor.last_sequence;
            let message = format!("the header names the impossible number {last}");
            return Err(Error::corruption(path, 0, message));
        }
        Reader::new(file, path, header).map(Opened::Log)
    }

    /// Opens a log at `path` that [`Reader::open`] refuses: under the number in its header, or without an intact
    /// header. Then the log's id follows from the first record that is otherwise intact, and the predecessor is not
    /// known. `None` if there is no such record.
    ///
    /// For [`Reader::next_part`] only. `Unsupported` as for `open`.
    pub(crate) fn open_damaged(
        env: &dyn Env,
        path: &Path,
        number: FileNumber,
    ) -> Result<Option<Reader>> {
        let file = env.open_read(path)?;
        let mut bytes = [0; FILE_HEADER_BYTES];
        if file.read_at(0, &mut bytes)? == bytes.len() {
            match LogHeader::decode(&bytes) {
                Ok(header) if header.is_possible() => {
                    return Reader::new(file, path, header).map(Some);
                }
                Err(BadHeader::Version(version)) => return Err(newer(path, version)),
                Ok(_) | Err(BadHeader::Checksum | BadHeader::Magic) => {}
            }
        }
        let log_id = match find_id(&*file)? {
            Some(log_id) => log_id,
            None => return Ok(None),
        };
        let header = LogHeader {
            database: 0,
            log_id,
            number,
            predecessor: Predecessor::default(),
        };
        Reader::new(file, path, header).map(Some)
    }

    fn new(file: Arc<dyn File>, path: &Path, header: LogHeader) -> Result<Reader> {
        debug_assert!(
            header.is_possible(),
            "WAL-4: the predecessor's last number is one"
        );
        Ok(Reader {
            chunk: Chunk::new(file)?,
            path: path.to_path_buf(),
            header,
            limit: None,
            good_length: FILE_HEADER_BYTES as u64,
            synced: Synced::NOTHING,
            is_searched: false,
            is_exhausted: false,
            payload: Vec::new(),
            outcome: None,
        })
    }

    /// The log's header.
    pub(crate) fn header(&self) -> &LogHeader {
        &self.header
    }

    /// The log's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Stops reading at `length`, which the successor's header names as this log's final length. Bytes after it never
    /// counted. [`LogEnd::good_length`] shows whether the log reaches it.
    pub(crate) fn stop_at(&mut self, length: u64) {
        self.limit = Some(length);
    }

    /// How the log ended; `None` before [`Reader::next`] has returned `None`.
    pub(crate) fn end(&self) -> Option<LogEnd> {
        match self.outcome {
            Some(Ok(end)) => Some(end),
            _ => None,
        }
    }

    /// The next record; `None` at the end. An error is final: every later call returns it again.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>> {
        let found = self.advance()?;
        Ok(found.map(|found| self.record(found)))
    }

    /// As [`Reader::next`], but leaves it to [`Reader::record`] to return the record. So a caller can go on to
    /// another log where this one ends.
    pub(super) fn advance(&mut self) -> Result<Option<Found>> {
        match &self.outcome {
            Some(Ok(_)) => return Ok(None),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
        self.read_record()
            .inspect_err(|error| self.outcome = Some(Err(error.clone())))
    }

    /// The record that was found last.
    pub(super) fn record(&self, found: Found) -> Record<'_> {
        debug_assert!(found.offset < self.good_length, "WAL-6: a record has bytes");
        Record {
            first_sequence: found.first_sequence,
            payload: match found.in_chunk {
                Some(range) => &self.chunk.bytes()[range],
                None => &self.payload,
            },
            offset: found.offset,
            end: self.good_length,
        }
    }

    /// The next record, or the next place where one is missing or damaged; `None` at the end.
    ///
    /// For callers that want the remains of a damaged log: unlike [`Reader::next`] it goes on after damage. Recovery
    /// must not, because a write in between is lost. An error says why the log cannot be read further.
    pub(crate) fn next_part(&mut self) -> Result<Option<Part<'_>>> {
        if self.is_exhausted {
            return Ok(None);
        }
        let damage = match self.read_record() {
            Ok(Some(found)) => return Ok(Some(Part::Record(self.record(found)))),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let start = self.good_length;
        let torn = self.end().is_some_and(|end| end.torn);
        let end = match self.skip_damage()? {
            Some(offset) => offset,
            None => {
                self.is_exhausted = true;
                let end = self.limit.unwrap_or(self.chunk.file_length());
                if damage.is_none() && !torn && self.limit.is_none_or(|limit| start >= limit) {
                    return Ok(None);
                }
                end
            }
        };
        let error = damage.unwrap_or_else(|| {
            let what = format!("there is no record from here to byte {end}");
            Error::corruption(&self.path, start, what)
        });
        Ok(Some(Part::Damage { error, start, end }))
    }

    /// Goes to the first intact record after the place where reading stopped; returns where it begins.
    fn skip_damage(&mut self) -> Result<Option<u64>> {
        let mut from = fragment_start(self.good_length) + 1;
        let (log_id, limit) = (self.header.log_id, self.limit.unwrap_or(u64::MAX));
        while let Some(offset) = find_first_fragment(&mut self.chunk, log_id, from, limit)? {
            if self.read_fragment(offset)?.is_ok() {
                self.good_length = offset;
                self.outcome = None;
                return Ok(Some(offset));
            }
            from = offset + 1;
        }
        Ok(None)
    }

    fn read_record(&mut self) -> Result<Option<Found>> {
        debug_assert!(
            self.good_length >= Reader::FIRST_RECORD,
            "WAL-8: no record is in the header's place"
        );
        if self.limit.is_some_and(|limit| self.good_length >= limit) {
            return self.finish(false);
        }
        let first = match self.read_fragment(self.good_length)? {
            Ok(fragment) => fragment,
            Err(stop) => return self.stop(self.good_length, stop),
        };
        if !first.header.fragment_type.is_first() {
            return Err(self.misplaced(&first));
        }
        let first_sequence = first.header.first_sequence;
        let mut found = Found {
            first_sequence,
            offset: first.offset,
            in_chunk: None,
        };
        if first.header.fragment_type.is_last() {
            let end = first.end();
            debug_assert!(
                end > self.good_length,
                "WAL-7: each record ends after the one before"
            );
            match first.header.is_bare {
                true => {
                    self.payload.clear();
                    memory::append(&mut self.payload, &HEADER_OF_ONE, RECORD)?;
                    self.extend_payload(&first)?;
                }
                false => found.in_chunk = Some(first.payload),
            }
            self.good_length = end;
            return Ok(Some(found));
        }
        self.payload.clear();
        let mut fragment = first;
        loop {
            self.extend_payload(&fragment)?;
            if fragment.header.fragment_type.is_last() {
                debug_assert!(
                    fragment.end() > self.good_length,
                    "WAL-7: each record ends after the one before"
                );
                self.good_length = fragment.end();
                return Ok(Some(found));
            }
            let end = fragment.end();
            fragment = match self.read_fragment(end)? {
                Ok(fragment) => fragment,
                Err(Stop::End) => {
                    return self.stop(end, Stop::Bad("the record's next fragment is missing"));
                }
                Err(stop) => return self.stop(end, stop),
            };
            if fragment.header.fragment_type.is_first()
                || fragment.header.first_sequence != first_sequence
            {
                return Err(self.misplaced(&fragment));
            }
        }
    }

    fn extend_payload(&mut self, fragment: &Fragment) -> Result<()> {
        let bytes = &self.chunk.bytes()[fragment.payload.clone()];
        memory::append(&mut self.payload, bytes, RECORD)
    }

    /// The error for a fragment out of place. Its checksum is right, so a torn write did not make it: it was written
    /// like this.
    fn misplaced(&self, fragment: &Fragment) -> Error {
        let message = format!(
            "a fragment of type {} cannot follow here",
            fragment.header.fragment_type as u8
        );
        Error::corruption(&self.path, fragment.offset, message)
    }

    /// The fragment that starts after `end`, the end of the one before it.
    fn read_fragment(&mut self, end: u64) -> Result<std::result::Result<Fragment, Stop>> {
        let offset = fragment_start(end);
        let limit = self.limit.unwrap_or(self.chunk.file_length());
        let readable = self.chunk.file_length().min(limit);
        if !self.chunk.is_zero(end, offset.min(readable))? {
            return Ok(Err(Stop::Bad("the unused end of a block is not zero")));
        }
        if offset >= readable {
            return Ok(Err(Stop::End));
        }
        let log_id = self.header.log_id;
        let most_end = readable.min(offset + MAX_HEADER_BYTES as u64);
        let bytes = self.chunk.read(offset, most_end)?;
        if bytes.len() < (most_end - offset) as usize {
            return Ok(Err(Stop::Bad("the file became shorter")));
        }
        if bytes.iter().take(FIXED_HEADER_BYTES).all(|&byte| byte == 0) {
            return Ok(Err(Stop::End));
        }
        let Some(header) = FragmentHeader::decode(bytes, log_id, offset) else {
            let length = FragmentHeader::expected_bytes(bytes);
            let is_cut = length.is_none_or(|length| length > bytes.len());
            return Ok(Err(Stop::Bad(match is_cut {
                true => "the file ends in a fragment header",
                false => "the fragment header's checksum differs",
            })));
        };
        let mut fragment = Fragment {
            header,
            offset,
            payload: 0..0,
        };
        self.synced = self.synced.and(header.synced);
        if fragment.end() > readable {
            return Ok(Err(Stop::Bad("the file ends in a fragment")));
        }
        let header_end = offset + header.header_bytes() as u64;
        let payload = self.chunk.read(header_end, fragment.end())?;
        if payload.len() != header.length as usize {
            return Ok(Err(Stop::Bad("the file became shorter")));
        }
        if payload_checksum(payload) != header.payload_checksum {
            return Ok(Err(Stop::Bad("the payload's checksum differs")));
        }
        fragment.payload = self.chunk.range(header_end, header.length.into());
        debug_assert!(
            fragment.offset >= end && fragment.end() <= readable,
            "WAL-6: it lies between the one before and the end"
        );
        Ok(Ok(fragment))
    }

    /// Ends the log because no good fragment follows at `at`, unless that is damage (WAL-7).
    fn stop(&mut self, at: u64, stop: Stop) -> Result<Option<Found>> {
        let at = fragment_start(at);
        debug_assert!(
            at >= self.good_length,
            "WAL-7: reading stops after the last good record"
        );
        if !self.is_searched {
            search_synced(&mut self.chunk, self.header.log_id, at, &mut self.synced)?;
            self.is_searched = true;
        }
        if self.synced.length() > self.good_length {
            let reason = match stop {
                Stop::End => "the log ends",
                Stop::Bad(reason) => reason,
            };
            let message = format!("{reason}, but it was synced up to {}", self.synced);
            return Err(Error::corruption(&self.path, at, message));
        }
        self.finish(matches!(stop, Stop::Bad(_)))
    }

    fn finish(&mut self, torn: bool) -> Result<Option<Found>> {
        debug_assert!(
            self.synced.length() <= self.good_length || self.limit.is_some(),
            "WAL-7: the synced part is there"
        );
        self.outcome = Some(Ok(LogEnd {
            good_length: self.good_length,
            synced: self.synced,
            torn,
        }));
        Ok(None)
    }
}

/// A record that was read; its payload is in the chunk or in the reader's own buffer.
pub(super) struct Found {
    first_sequence: SequenceNumber,
    offset: u64,
    in_chunk: Option<std::ops::Range<usize>>,
}

fn newer(path: &Path, version: u32) -> Error {
    Error::unsupported(format!(
        "{} has log format {version}; this build reads up to {VERSION}",
        path.display()
    ))
}
