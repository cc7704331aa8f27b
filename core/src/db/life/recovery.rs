//! Replaying the logs: what the last life acknowledged and had not yet flushed.
//!
//! Logs form a chain: each names its predecessor, that one's final length, and its last sequence number. Replay
//! walks it from the log the manifest names and stops where a crash cut it.
//!
//! * CHAIN-1  The chain's first log exists with a whole header (FLUSH-2): anything else is damage.
//! * CHAIN-2  Of several logs that name the same predecessor the one with the highest number counts: the others are
//!            what an earlier recovery cut off and was killed before it could delete.
//! * CHAIN-3  A log that ends before the length its successor names is a gap. After an ordinary crash nothing after a
//!            gap was acknowledged as synced, so it is dropped; if something after it was synced, or the successor knows
//!            that what is missing was, it is damage.
//! * CHAIN-4  The chain contains the log that the manifest knows to have synced records (SYNC-2), unless that is older.
//! * CHAIN-5  Sequence numbers follow on without a hole.
//! * CHAIN-6  Logs may begin with records that are in tables already, or hold nothing else: a recovery that filled several
//!            memtables was interrupted between their flushes, or a flush could not name a later log (FLUSH-2). They are
//!            passed over, or missed if a log has lost its end.
//! * CHAIN-7  No log ends before the place up to which the file SYNCED says it was synced.
//! * CHAIN-8  No more was written before the first log that is needed than the manifest knows of. Otherwise an older
//!            manifest in the place of the newest, with its CURRENT, would pass for the whole database, and so would one
//!            that let a log go too early.
//!
//! Elsewhere: telling a torn tail from damage within one log (`wal/reader.rs`).
//! * CHAIN-9  A log that names another database than the manifest is none of this chain, and refused: somebody has put it
//!            there.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::batch::operations;
use crate::db::tree::Sealed;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber, Trailer};
use crate::memtable::Loader;
use crate::sync::Arc;
use crate::wal::{LogHeader, Opened, Predecessor, Reader, Watermark};

/// What the logs held.
pub(in crate::db) struct Recovered {
    /// Memtables of the replayed records, newest first; none is empty.
    pub(in crate::db) sealed: Vec<Arc<Sealed>>,
    /// The end of the chain: what the next log names as its predecessor.
    pub(in crate::db) end: Predecessor,
    /// The logs of the chain, whose bytes may not be durable yet.
    pub(in crate::db) chain: Vec<FileNumber>,
    /// Which database the logs say they belong to, those after a gap too: one that cannot be removed yet is met again. 0: none.
    pub(in crate::db) database: u32,
}

impl Recovered {
    /// Of a database that never had a log, with this number the last in its tables.
    fn of_no_log(last_sequence: SequenceNumber) -> Recovered {
        let end = Predecessor {
            last_sequence,
            ..Predecessor::default()
        };
        Recovered {
            sealed: Vec::new(),
            end,
            chain: Vec::new(),
            database: 0,
        }
    }
}

/// What is known of the logs before they are read.
pub(in crate::db) struct Expected {
    /// Where the chain begins; 0 in a database that never had a log.
    pub(in crate::db) needed: FileNumber,
    /// A log with synced records, or 0.
    pub(in crate::db) synced: FileNumber,
    pub(in crate::db) watermark: Watermark,
    /// The last number in tables.
    pub(in crate::db) last_sequence: SequenceNumber,
    /// Which database it is; 0: not known.
    pub(in crate::db) database: u32,
}

/// Replays the chain of logs in `dir`.
///
/// `logs`: the numbers of all log files. `write_buffer_size`: bytes of a memtable before the next is begun.
pub(in crate::db) fn replay(
    env: &dyn Env,
    dir: &Path,
    logs: &[FileNumber],
    expected: &Expected,
    write_buffer_size: u64,
) -> Result<Recovered> {
    let mut readers = open_logs(env, dir, logs, expected)?;
    let Some(first) = first_of_chain(dir, &readers, expected)? else {
        return Ok(Recovered::of_no_log(expected.last_sequence));
    };
    let mut replay = Replay {
        first,
        memtables: Vec::new(),
        filling: None,
        write_buffer_size,
        last_sequence: readers[&first].header().predecessor.last_sequence,
        in_tables: expected.last_sequence,
    };
    let mut chain = vec![first];
    loop {
        let number = chain[chain.len() - 1];
        let path = log_path(dir, number);
        let successor = successor_of(number, &readers);
        let reader = readers
            .get_mut(&number)
            .expect("the chain holds opened logs only");
        if let Some(successor) = &successor {
            reader.stop_at(successor.predecessor.length);
        }
        let (length, synced_up_to) = replay.read(reader)?;
        let synced_up_to = synced_up_to.max(expected.watermark.length_of(reader.header()));
        refuse_if_missing(synced_up_to, &path, length)?;
        match successor.filter(|successor| successor.predecessor.length == length) {
            Some(successor) => {
                debug_assert!(
                    chain.last().is_none_or(|last| *last < successor.number),
                    "CHAIN-2: the numbers of a chain ascend"
                );
                let named = successor.predecessor.last_sequence;
                replay.go_on_behind(named, || (path, length))?;
                chain.push(successor.number);
            }
            None => {
                // CHAIN-3.
                let named = successor.map_or(0, |successor| successor.predecessor.synced());
                refuse_if_missing(named, &path, length)?;
                // Without a successor there may still be logs whose predecessor is gone.
                for (_, later) in readers.range_mut((Bound::Excluded(number), Bound::Unbounded)) {
                    refuse_if_synced(later, &path, length)?;
                }
                refuse_if_not_in(&chain, expected, dir)?;
                replay.seal()?;
                let last_sequence = replay.last_sequence.max(replay.in_tables);
                let named = readers.values().map(|reader| reader.header().database);
                let database = named.max().unwrap_or_default();
                return Ok(Recovered {
                    sealed: replay.memtables,
                    end: Predecessor::new(number, length, last_sequence, synced_up_to),
                    chain,
                    database,
                });
            }
        }
    }
}

/// What a log is that names another database (CHAIN-9).
pub(in crate::db) fn of_another_database(path: &Path) -> Error {
    Error::corruption(path, 0, "this is a log of another database")
}

/// Readers of those of `logs` that are needed and have a whole header.
fn open_logs(
    env: &dyn Env,
    dir: &Path,
    logs: &[FileNumber],
    expected: &Expected,
) -> Result<BTreeMap<FileNumber, Reader>> {
    let mut readers = BTreeMap::new();
    for &number in logs.iter().filter(|number| **number >= expected.needed) {
        let path = log_path(dir, number);
        if let Opened::Log(reader) = Reader::open(env, &path, number)? {
            if !reader.header().is_of(expected.database) {
                return Err(of_another_database(&path));
            }
            readers.insert(number, reader);
        }
    }
    Ok(readers)
}

/// The log that the chain begins with (CHAIN-1, CHAIN-8); `None` if there never was one.
fn first_of_chain(
    dir: &Path,
    readers: &BTreeMap<FileNumber, Reader>,
    expected: &Expected,
) -> Result<Option<FileNumber>> {
    let first = match expected.needed {
        FileNumber(0) => match readers.keys().next() {
            Some(first) => *first,
            None => return Ok(None),
        },
        needed => needed,
    };
    let path = log_path(dir, first);
    let Some(reader) = readers.get(&first) else {
        let what = "the manifest names this log, and it is missing or has no header";
        return Err(Error::corruption(&path, 0, what));
    };
    let (before, known) = (
        reader.header().predecessor.last_sequence,
        expected.last_sequence,
    );
    if before > known {
        let what = format!("{before} writes came before it, and the manifest knows of {known}");
        return Err(Error::corruption(&path, 0, what));
    }
    Ok(Some(first))
}

/// The header of the log that follows `number` (CHAIN-2).
fn successor_of(number: FileNumber, readers: &BTreeMap<FileNumber, Reader>) -> Option<LogHeader> {
    let headers = readers.values().rev().map(|reader| *reader.header());
    headers
        .into_iter()
        .find(|header| header.predecessor.number == number && header.number > number)
}

/// CHAIN-3, CHAIN-7: refuses the log at `path` that ends at `length` if it was synced further than that.
fn refuse_if_missing(synced_up_to: u64, path: &Path, length: u64) -> Result<()> {
    match synced_up_to > length {
        true => {
            let what = format!("the log ends, but it was synced up to {synced_up_to}");
            Err(Error::corruption(path, length, what))
        }
        false => Ok(()),
    }
}

/// CHAIN-4.
fn refuse_if_not_in(chain: &[FileNumber], expected: &Expected, dir: &Path) -> Result<()> {
    let synced = expected.synced;
    if synced >= expected.needed && synced != FileNumber(0) && !chain.contains(&synced) {
        let what = "the manifest says that this log was synced, and it is not there";
        return Err(Error::corruption(&log_path(dir, synced), 0, what));
    }
    Ok(())
}

/// CHAIN-3: refuses the gap at `length` of the log at `path` if `later`, after it, has synced records.
fn refuse_if_synced(later: &mut Reader, path: &Path, length: u64) -> Result<()> {
    while later.next()?.is_some() {}
    if later.end().is_some_and(|end| end.synced_up_to > 0) {
        let what = format!(
            "the log ends here, but {} after it was synced",
            later.path().display()
        );
        return Err(Error::corruption(path, length, what));
    }
    Ok(())
}

/// Collects records into memtables.
struct Replay {
    /// The oldest log. The names of later ones may be in doubt, so only this one is named until all are flushed.
    first: FileNumber,
    /// Newest first; the one being filled is not among them.
    memtables: Vec<Arc<Sealed>>,
    filling: Option<Loader>,
    write_buffer_size: u64,
    last_sequence: SequenceNumber,
    /// The last number in tables (CHAIN-6).
    in_tables: SequenceNumber,
}

impl Replay {
    /// Applies a log's records; the length up to which they are good, and the largest watermark.
    fn read(&mut self, reader: &mut Reader) -> Result<(u64, u64)> {
        let path = reader.path().to_path_buf();
        while let Some(record) = reader.next()? {
            let expected = self.last_sequence.plus(1);
            if record.first_sequence != expected {
                let what = format!(
                    "the record begins with number {}, expected {expected}",
                    record.first_sequence
                );
                return Err(Error::corruption(&path, record.offset, what));
            }
            let operations =
                operations(record.payload).map_err(|error| place(error, &path, record.offset))?;
            let last = self.last_sequence.plus(u64::from(operations.left()));
            if last > SequenceNumber::MAX {
                let what = format!("the record ends with the impossible number {last}");
                return Err(Error::corruption(&path, record.offset, what));
            }
            if last <= self.in_tables {
                self.last_sequence = last;
                continue;
            }
            let count = operations.left() as usize;
            let filling = self.filling()?;
            let held = filling.entries();
            let mut sequence = expected;
            for operation in operations {
                let operation = operation.map_err(|error| place(error, &path, record.offset))?;
                let trailer = Trailer::new(sequence, operation.kind);
                filling.add(operation.key, trailer, operation.value)?;
                sequence = sequence.plus(1);
            }
            if filling.entries() != held + count {
                let what = "not every operation of a log record was loaded";
                let place = format_args!("{} at byte {}", path.display(), record.offset);
                return Err(Error::unaccounted(what).context(place));
            }
            debug_assert!(sequence == last.plus(1), "CHAIN-5: without a hole");
            self.last_sequence = last;
        }
        let end = reader.end();
        Ok(end.map_or((0, 0), |end| (end.good_length, end.synced_up_to)))
    }

    /// Goes on after a log, given by its path and end, whose successor says that `named` is the last number before it. A log
    /// that was torn when that successor was made ends earlier, if what it lost is in tables.
    fn go_on_behind(
        &mut self,
        named: SequenceNumber,
        log: impl FnOnce() -> (PathBuf, u64),
    ) -> Result<()> {
        let ended = self.last_sequence;
        if named != ended && (named < ended || named > self.in_tables) {
            let (path, end) = log();
            let what = format!("the log ends with number {ended}, its successor says {named}");
            return Err(Error::corruption(&path, end, what));
        }
        self.last_sequence = named;
        Ok(())
    }

    /// What the next record goes to: a new memtable if the one being filled is full.
    fn filling(&mut self) -> Result<&mut Loader> {
        let is_full = |loader: &Loader| loader.memory() as u64 >= self.write_buffer_size;
        if self.filling.as_ref().is_some_and(is_full) {
            self.seal()?;
        }
        // Not moved: it is large, and this is asked for each record.
        if self.filling.is_none() {
            self.filling = Some(Loader::new(self.write_buffer_size as usize)?);
        }
        self.filling
            .as_mut()
            .ok_or_else(|| Error::internal("there is no memtable to fill"))
    }

    /// Completes the memtable being filled.
    fn seal(&mut self) -> Result<()> {
        if let Some(loader) = self.filling.take() {
            let memtable = loader.finish()?;
            if !memtable.is_empty() {
                let sealed = Sealed {
                    memtable,
                    first_log: self.first,
                    last_sequence: self.last_sequence,
                };
                self.memtables.insert(0, Arc::new(sealed));
            }
        }
        Ok(())
    }
}

/// Says where in a log an undecodable batch is: its checksum was right, so its writer or the log is at fault.
fn place(error: Error, path: &Path, offset: u64) -> Error {
    match error.kind() {
        ErrorKind::Unsupported | ErrorKind::OutOfMemory => {
            error.context(format_args!("{} at byte {offset}", path.display()))
        }
        _ => Error::corruption(path, offset, error.message()),
    }
}
