//! Replays the logs: the writes that were acknowledged before the restart but not yet flushed.
//!
//! The operations of the chain of logs go into memtables of their keyspaces, in the order in which they were
//! committed.
//!
//! * REPLAY-1  What is already in tables is skipped, and so is what was written to a keyspace that was dropped. A log
//!             may begin with such records, or have no others: if a recovery that filled several memtables was
//!             interrupted between their flushes, or if a flush could not name a later log (FLUSH-2).
//! * REPLAY-2  Each other operation is in a memtable of its keyspace, under its number. The operations of a record that
//!             are about the same keyspace are in the same memtable.
//!
//! Elsewhere: which logs are in the chain, and what is an ordinary crash or damage (`wal/chain.rs`); reading
//! them (`wal/chain_reader.rs`); a torn tail or damage within one log (`wal/reader.rs`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::db::tree::Sealed;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::key::{FileNumber, KeyspaceId, SequenceNumber, Trailer};
use crate::memory;
use crate::memtable::Loader;
use crate::sync::Arc;
use crate::version::Flushed;
use crate::wal::{ChainReader, Committed, Expected, Predecessor};

/// The contents of the logs.
pub(in crate::db) struct Recovered {
    /// For each keyspace with replayed operations its memtables, newest first; none is empty.
    pub(in crate::db) sealed: BTreeMap<KeyspaceId, Vec<Arc<Sealed>>>,
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
            sealed: BTreeMap::new(),
            end,
            chain: Vec::new(),
            database: 0,
        }
    }
}

/// Replays the chain of logs in `dir`.
///
/// `logs`: the numbers of all log files. `flushed`: what is in tables already. `write_buffer_size`: bytes of a memtable
/// before the next is begun.
pub(in crate::db) fn replay(
    env: &dyn Env,
    dir: &Path,
    logs: &[FileNumber],
    expected: &Expected,
    flushed: &Flushed,
    write_buffer_size: u64,
) -> Result<Recovered> {
    let Some(mut reader) = ChainReader::open(env, dir, logs, *expected)? else {
        return Ok(Recovered::of_no_log(expected.last_sequence));
    };
    let mut replay = Replay {
        first: reader.first(),
        flushed,
        loads: Vec::new(),
        last: 0,
        write_buffer_size,
        last_sequence: SequenceNumber(0),
    };
    let in_tables = flushed.by_all();
    while let Some(record) = reader.next()? {
        if record.last_sequence > in_tables {
            replay.apply(record)?;
        }
    }
    let sealed = replay.seal_all()?;
    let end = reader.into_end()?;
    Ok(Recovered {
        sealed,
        end: end.last,
        chain: end.logs,
        database: end.database,
    })
}

/// Collects records into memtables.
struct Replay<'a> {
    /// The oldest log. The names of later ones may be uncertain, so until all are flushed the manifest names only
    /// this one.
    first: FileNumber,
    flushed: &'a Flushed,
    /// In the order of their keyspaces.
    loads: Vec<Load>,
    /// The place of the one that was used last.
    last: usize,
    write_buffer_size: u64,
    /// The last number taken.
    last_sequence: SequenceNumber,
}

/// What is loaded of a keyspace.
struct Load {
    keyspace: KeyspaceId,
    /// Up to which number its writes are in tables.
    in_tables: SequenceNumber,
    /// Newest first, without the one being filled.
    memtables: Vec<Arc<Sealed>>,
    filling: Option<Loader>,
    /// The last number of the last record with operations of this keyspace.
    last_sequence: SequenceNumber,
}

impl Replay<'_> {
    /// Takes a record's operations.
    fn apply(&mut self, record: Committed<'_>) -> Result<()> {
        debug_assert!(
            self.last_sequence < record.first_sequence,
            "REPLAY-2: records come in the order in which they were committed"
        );
        let (path, offset) = (record.path, record.offset);
        let (first, size) = (self.first, self.write_buffer_size);
        let (mut sequence, last) = (record.first_sequence, record.last_sequence);
        for operation in record.into_operations() {
            let operation = operation?;
            let load = self.load_of(operation.keyspace);
            let load = load.map_err(|error| match error.kind() {
                ErrorKind::OutOfMemory => error,
                _ => Error::corruption(path, offset, error.message()),
            })?;
            if let Some(load) = load
                && sequence > load.in_tables
            {
                let filling = load.filling(first, last, size)?;
                let held = filling.entries();
                let trailer = Trailer::new(sequence, operation.kind);
                filling.add(operation.key, trailer, operation.value)?;
                if filling.entries() != held + 1 {
                    return Err(unloaded(path, offset));
                }
            }
            sequence = sequence.plus(1);
        }
        self.last_sequence = last;
        match sequence == last.plus(1) {
            true => Ok(()),
            false => Err(unloaded(path, offset)),
        }
    }

    /// What is loaded of `keyspace`; `None` if it was dropped. `Internal` if there never was one with this id.
    fn load_of(&mut self, keyspace: KeyspaceId) -> Result<Option<&mut Load>> {
        // Mostly it is that of the operation before.
        let is_last = |load: &Load| load.keyspace == keyspace;
        if !self.loads.get(self.last).is_some_and(is_last) {
            let place = self
                .loads
                .binary_search_by_key(&keyspace, |load| load.keyspace);
            if let Err(place) = place {
                let Some(in_tables) = self.flushed.by(keyspace)? else {
                    return Ok(None);
                };
                let load = Load {
                    keyspace,
                    in_tables,
                    memtables: Vec::new(),
                    filling: None,
                    last_sequence: SequenceNumber(0),
                };
                memory::reserve(&mut self.loads, 1, "what the logs have of a keyspace")?;
                self.loads.insert(place, load);
            }
            self.last = place.unwrap_or_else(|place| place);
        }
        Ok(self.loads.get_mut(self.last))
    }

    /// Completes all memtables.
    fn seal_all(mut self) -> Result<BTreeMap<KeyspaceId, Vec<Arc<Sealed>>>> {
        for load in &mut self.loads {
            load.seal(self.first)?;
        }
        let loads = self.loads.into_iter();
        let sealed = loads.map(|load| (load.keyspace, load.memtables));
        Ok(sealed
            .filter(|(_, memtables)| !memtables.is_empty())
            .collect())
    }
}

impl Load {
    /// The memtable for an operation of the record with the last number `last`: a new one if it is the first such
    /// operation, and the current one is full. `first`: the oldest log.
    fn filling(
        &mut self,
        first: FileNumber,
        last: SequenceNumber,
        write_buffer_size: u64,
    ) -> Result<&mut Loader> {
        let is_full = |loader: &Loader| loader.memory() as u64 >= write_buffer_size;
        if self.last_sequence != last && self.filling.as_ref().is_some_and(is_full) {
            self.seal(first)?;
        }
        self.last_sequence = last;
        // Not moved out and back: it is large, and this runs for each operation.
        if self.filling.is_none() {
            self.filling = Some(Loader::new(write_buffer_size as usize)?);
        }
        self.filling
            .as_mut()
            .ok_or_else(|| Error::internal("there is no memtable to fill"))
    }

    /// Completes the memtable being filled.
    fn seal(&mut self, first: FileNumber) -> Result<()> {
        if let Some(loader) = self.filling.take() {
            let memtable = loader.finish()?;
            if !memtable.is_empty() {
                let sealed = Sealed::new(memtable, first, self.last_sequence);
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

#[cold]
fn unloaded(path: &Path, offset: u64) -> Error {
    let what = "not every operation of a log record was loaded";
    Error::unaccounted(what).context(format_args!("{} at byte {offset}", path.display()))
}

#[cfg(test)]
mod tests;
