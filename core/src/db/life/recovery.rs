//! Replays the logs: the writes that were acknowledged before the restart but not yet flushed.
//!
//! The records of the chain of logs go into memtables, in the order in which they were committed.
//!
//! * REPLAY-1  A record that is already in tables is skipped. A log may begin with such records, or have no
//!             others: if a recovery that filled several memtables was interrupted between their flushes, or if
//!             a flush could not name a later log (FLUSH-2).
//! * REPLAY-2  Each operation of every other record is in a memtable, under its number.
//!
//! Elsewhere: which logs are in the chain, and what is an ordinary crash or damage (`wal/chain.rs`); reading
//! them (`wal/chain_reader.rs`); a torn tail or damage within one log (`wal/reader.rs`).

use std::path::Path;

use crate::db::tree::Sealed;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::key::{FileNumber, SequenceNumber, Trailer};
use crate::memtable::Loader;
use crate::sync::Arc;
use crate::wal::{ChainReader, Committed, Expected, Predecessor};

/// The contents of the logs.
pub(in crate::db) struct Recovered {
    /// Memtables of the replayed records, newest first; none is empty.
    pub(in crate::db) sealed: Vec<Arc<Sealed>>,
    /// The end of the chain: what the next log names as its predecessor.
    pub(in crate::db) end: Predecessor,
    /// The logs of the chain, whose bytes may not be durable yet.
    pub(in crate::db) chain: Vec<FileNumber>,
    /// Which database the logs say they belong to, also those after a gap: one that cannot be removed yet is met again.
    /// 0 if none says so.
    pub(in crate::db) database: u32,
}

impl Recovered {
    /// The result for a database that never had a log. `last_sequence`: the last number in its
    /// tables.
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
    let Some(mut reader) = ChainReader::open(env, dir, logs, *expected)? else {
        return Ok(Recovered::of_no_log(expected.last_sequence));
    };
    let mut replay = Replay {
        first: reader.first(),
        memtables: Vec::new(),
        filling: None,
        write_buffer_size,
        last_sequence: SequenceNumber(0),
    };
    while let Some(record) = reader.next()? {
        if record.last_sequence > expected.last_sequence {
            replay.apply(record)?;
        }
    }
    replay.seal()?;
    let end = reader.into_end()?;
    Ok(Recovered {
        sealed: replay.memtables,
        end: end.last,
        chain: end.logs,
        database: end.database,
    })
}

/// Collects records into memtables.
struct Replay {
    /// The oldest log. The names of later ones may be uncertain, so until all are flushed the manifest names only
    /// this one.
    first: FileNumber,
    /// Newest first, without the one being filled.
    memtables: Vec<Arc<Sealed>>,
    filling: Option<Loader>,
    write_buffer_size: u64,
    /// The last number taken.
    last_sequence: SequenceNumber,
}

impl Replay {
    /// Takes a record's operations.
    fn apply(&mut self, record: Committed<'_>) -> Result<()> {
        debug_assert!(
            self.last_sequence < record.first_sequence,
            "REPLAY-2: records come in the order in which they were committed"
        );
        let filling = self.filling()?;
        let held = filling.entries();
        let (path, offset) = (record.path, record.offset);
        let (mut sequence, last) = (record.first_sequence, record.last_sequence);
        let count = record.count as usize;
        for operation in record.into_operations() {
            let operation = operation?;
            let trailer = Trailer::new(sequence, operation.kind);
            filling.add(operation.key, trailer, operation.value)?;
            sequence = sequence.plus(1);
        }
        if filling.entries() != held + count {
            let what = "not every operation of a log record was loaded";
            let place = format_args!("{} at byte {offset}", path.display());
            return Err(Error::unaccounted(what).context(place));
        }
        debug_assert!(sequence == last.plus(1), "REPLAY-2: under its number");
        self.last_sequence = last;
        Ok(())
    }

    /// The memtable for the next record: a new one if the current one is full.
    fn filling(&mut self) -> Result<&mut Loader> {
        let is_full = |loader: &Loader| loader.memory() as u64 >= self.write_buffer_size;
        if self.filling.as_ref().is_some_and(is_full) {
            self.seal()?;
        }
        // Not moved out and back: it is large, and this runs for each record.
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
                let sealed = Sealed::new(memtable, self.first, self.last_sequence);
                debug_assert!(
                    self.memtables
                        .first()
                        .is_none_or(|newest| newest.last_sequence() < sealed.last_sequence()),
                    "REPLAY-2: each operation is in one memtable"
                );
                self.memtables.insert(0, Arc::new(sealed));
            }
        }
        Ok(())
    }
}
