//! Point reads: superversion, memtables newest first, then one table per level.
//!
//! * LOOKUP-2  If a range delete covers the key, the lookup gets the entries from the range delete on, and no older
//!             ones (COVER-1).

use std::ops::ControlFlow;

use super::Tree;
use super::superversion::SuperVersion;
use crate::batch::check_key;
use crate::db::value::Value;
use crate::error::{Error, Result};
use crate::iterator::visible::kind_of;
use crate::key::{SequenceNumber, Trailer, ValueKind};
use crate::memory;
use crate::options::ReadOptions;
use crate::range_deletes::Coverage;
use crate::snapshot::Snapshot;
use crate::sstable::{Sought, TableEntry, Unread};
use crate::sync::Arc;
use crate::version::{Access, InMemory, LEVELS, Need, OpenTables, Reading, TOGETHER};

/// The result of a lookup in memory only: [`DB::get_in_memory`](crate::DB::get_in_memory).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Remembered {
    /// The key has this value.
    Value(Value),
    /// The key has no value.
    Absent,
    /// The lookup would have to read a file or wait: use a get.
    Unknown,
}

/// A value at the place where it was found.
pub(in crate::db) enum Found<'a> {
    InMemtable(&'a [u8]),
    InTable(TableEntry<'a>),
}

/// A point lookup, which gets the entries of its key (LOOKUP-1). Most are done with the first; one that
/// collects entries continues with older ones.
pub(in crate::db) trait Lookup {
    type Answer;

    /// Takes an entry, whose kind is in the trailer; returns the result if the lookup is done.
    fn feed(&mut self, trailer: Trailer, value: Found<'_>) -> ControlFlow<Result<Self::Answer>>;

    /// Its result if there are no more entries.
    fn end(self) -> Result<Self::Answer>;
}

/// The value, if the newest entry has one.
pub(in crate::db) struct Get;

impl Lookup for Get {
    type Answer = Option<Value>;

    // Without this the call would move the value once more.
    #[inline(always)]
    fn feed(&mut self, trailer: Trailer, value: Found<'_>) -> ControlFlow<Result<Option<Value>>> {
        ControlFlow::Break(match kind_of(trailer) {
            Ok(ValueKind::Put) => value.into_value().map(Some),
            Ok(ValueKind::Delete | ValueKind::RangeDelete) => Ok(None),
            Err(error) => Err(error),
        })
    }

    #[inline]
    fn end(self) -> Result<Option<Value>> {
        Ok(None)
    }
}

/// Whether the newest entry has a value.
pub(in crate::db) struct Contains;

impl Lookup for Contains {
    type Answer = bool;

    #[inline]
    fn feed(&mut self, trailer: Trailer, _: Found<'_>) -> ControlFlow<Result<bool>> {
        ControlFlow::Break(kind_of(trailer).map(|kind| match kind {
            ValueKind::Put => true,
            ValueKind::Delete | ValueKind::RangeDelete => false,
        }))
    }

    #[inline]
    fn end(self) -> Result<bool> {
        Ok(false)
    }
}

/// A lookup that gets no entries below `floor`, which a range delete deletes (LOOKUP-2).
struct Above<L> {
    /// `None` once it is done.
    lookup: Option<L>,
    floor: SequenceNumber,
}

impl<L: Lookup> Above<L> {
    fn new(lookup: L, floor: SequenceNumber) -> Above<L> {
        Above {
            lookup: Some(lookup),
            floor,
        }
    }
}

impl<L: Lookup> Lookup for Above<L> {
    type Answer = L::Answer;

    fn feed(&mut self, trailer: Trailer, value: Found<'_>) -> ControlFlow<Result<L::Answer>> {
        debug_assert!(self.lookup.is_some(), "LOOKUP-2: it is not done");
        match &mut self.lookup {
            Some(lookup) if trailer.sequence() >= self.floor => lookup.feed(trailer, value),
            lookup => ControlFlow::Break(end_of(lookup.take())),
        }
    }

    fn end(self) -> Result<L::Answer> {
        end_of(self.lookup)
    }
}

fn end_of<L: Lookup>(lookup: Option<L>) -> Result<L::Answer> {
    lookup
        .ok_or_else(|| Error::internal("a lookup ended twice"))?
        .end()
}

impl Found<'_> {
    /// The value, on its own. Fails only if there is no memory.
    #[inline(always)]
    fn into_value(self) -> Result<Value> {
        match self {
            Found::InMemtable(bytes) => Value::copied(bytes),
            Found::InTable(entry) => Value::from_table(entry),
        }
    }
}

impl Tree {
    /// The result of `lookup` for `key`.
    pub(in crate::db) fn get<L: Lookup>(
        &self,
        key: &[u8],
        options: &ReadOptions<'_>,
        lookup: L,
    ) -> Result<L::Answer> {
        // SUPERVERSION-2: first the superversion, then the number. `check_open` comes after both loads, because a
        // closed database has an empty superversion.
        let superversion = self.superversion.load();
        self.context.check_open()?;
        check_key(key)?;
        let sequence = self.order.read_at(options.snapshot)?;
        if superversion.has_range_deletes() {
            return self.look_up_above(&superversion, key, sequence, options.fill_cache, lookup);
        }
        self.look_up(&superversion, key, sequence, options.fill_cache, lookup)
    }

    /// The number of the last published write that changed `key`, a range delete of it included; 0: there is none. May
    /// overlook writes that made and removed a key that no snapshot sees.
    pub(in crate::db) fn newest_number(&self, key: &[u8]) -> Result<SequenceNumber> {
        // As in `get`.
        let superversion = self.superversion.load();
        self.context.check_open()?;
        let sequence = self.order.read_at(None)?;
        let floor = superversion.floor_under(key, sequence);
        let newest = self.look_up(&superversion, key, sequence, false, NewestNumber)?;
        Ok(newest.max(floor))
    }

    /// [`Tree::look_up`] where there are range deletes (LOOKUP-2).
    // Apart, so that it costs the usual lookup no registers.
    #[cold]
    #[inline(never)]
    fn look_up_above<L: Lookup>(
        &self,
        superversion: &SuperVersion,
        key: &[u8],
        sequence: SequenceNumber,
        fill_cache: bool,
        lookup: L,
    ) -> Result<L::Answer> {
        let floor = superversion.floor_under(key, sequence);
        let lookup = Above::new(lookup, floor);
        self.look_up(superversion, key, sequence, fill_cache, lookup)
    }

    /// The result of `lookup` for `key` in `superversion` at `sequence`.
    #[inline(always)]
    fn look_up<L: Lookup>(
        &self,
        superversion: &SuperVersion,
        key: &[u8],
        sequence: SequenceNumber,
        fill_cache: bool,
        mut lookup: L,
    ) -> Result<L::Answer> {
        let target = Trailer::visible_at(sequence);
        let target = match feed_memtables(superversion, key, target, &mut lookup) {
            ControlFlow::Break(answer) => return answer,
            ControlFlow::Continue(target) => target,
        };
        let access = Reading {
            tables: &self.tables,
            fill_cache,
        };
        // Filled where the entry is found: a value is large to move.
        let mut answer = None;
        feed_tables(superversion, key, target, &access, &mut lookup, &mut answer)
            .map_err(|error| self.context.closed_or(error))?;
        answer.unwrap_or_else(|| lookup.end())
    }

    /// [`Tree::get`] from memory only: it does not wait and reads no file.
    pub(in crate::db) fn get_in_memory(
        &self,
        key: &[u8],
        snapshot: Option<&Snapshot>,
    ) -> Result<Remembered> {
        // As in `get`, `check_open` comes after the load.
        let superversion = self.superversion.load();
        self.context.check_open()?;
        check_key(key)?;
        let sequence = self.order.read_now(snapshot)?;
        let Some(sequence) = sequence else {
            return Ok(Remembered::Unknown);
        };
        let remembered = match superversion.has_range_deletes() {
            true => {
                let floor = superversion.floor_under(key, sequence);
                remember(&superversion, key, sequence, Above::new(Get, floor))
            }
            false => remember(&superversion, key, sequence, Get),
        };
        match remembered {
            Ok(value) => Ok(value.map_or(Remembered::Absent, Remembered::Value)),
            Err(Unread::NotInMemory) => Ok(Remembered::Unknown),
            Err(Unread::Failed(error)) => Err(self.context.closed_or(error)),
        }
    }

    /// The values of `keys` as of one point. Ends early, a few keys after the values have reached `most_bytes` bytes.
    pub(in crate::db) fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &ReadOptions<'_>,
        most_bytes: usize,
    ) -> Result<Vec<Option<Value>>> {
        // Held for longer than the lookups of one key, so the reference is counted. Otherwise as for one key.
        let superversion = self.superversion.load_full();
        self.context.check_open()?;
        let sequence = self.order.read_at(options.snapshot)?;
        let target = Trailer::visible_at(sequence);
        let mut coverage = superversion.coverage(sequence);
        let mut values = memory::room_for(keys.len(), "the values of many keys")?;
        let mut open = OpenTables::default();
        // Small, and of a fixed size.
        let mut left = Vec::with_capacity(TOGETHER);
        let mut places = [0; TOGETHER];
        // LOOKUP-2, for each key in `left`.
        let mut floors = [SequenceNumber(0); TOGETHER];
        let mut bytes = 0;
        for keys in keys.chunks(TOGETHER) {
            left.clear();
            for key in keys {
                let key = key.as_ref();
                check_key(key)?;
                let floor = floor_of(&mut coverage, key);
                values.push(
                    match feed_memtables_above(&superversion, key, target, floor) {
                        ControlFlow::Break(answer) => answer?,
                        ControlFlow::Continue(target) => {
                            places[left.len()] = values.len();
                            floors[left.len()] = floor;
                            left.push(Sought::new(key, target));
                            None
                        }
                    },
                );
            }
            let version = &superversion.version;
            let mut failed = None;
            let note = |index: usize, trailer: Trailer, entry: TableEntry<'_>| {
                if trailer.sequence() < floors[index] {
                    // LOOKUP-2: the key has no value.
                    return Need::Nothing;
                }
                match Get.feed(trailer, Found::InTable(entry)) {
                    ControlFlow::Break(Ok(value)) => values[places[index]] = value,
                    ControlFlow::Break(Err(error)) => failed = Some(error),
                    ControlFlow::Continue(()) => return Need::Older,
                }
                Need::Nothing
            };
            version
                .feed_together(&left, &self.tables, &mut open, options.fill_cache, note)
                .map_err(|error| self.context.closed_or(error))?;
            if let Some(error) = failed {
                return Err(error);
            }
            let these = values[values.len() - keys.len()..].iter().flatten();
            bytes += these.map(|value| value.len()).sum::<usize>();
            if bytes >= most_bytes {
                break;
            }
        }
        debug_assert!(
            values.len() <= keys.len() && values.is_empty() == keys.is_empty(),
            "every call answers for a key, and for no other"
        );
        Ok(values)
    }

    /// See `DB::approximate_size`.
    pub(in crate::db) fn approximate_size(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<u64> {
        if start.zip(end).is_some_and(|(start, end)| start >= end) {
            return Ok(0);
        }
        let version = Arc::clone(&self.superversion.load().version);
        let mut bytes = 0;
        for level in 0..LEVELS {
            for file in version.overlapping(level, start, end) {
                let (smallest, largest) = (file.smallest_key(), file.largest_key());
                let is_inside = start.is_none_or(|start| smallest.user_key >= start)
                    && end.is_none_or(|end| largest.user_key < end);
                bytes += if is_inside {
                    file.size
                } else {
                    let table = self.tables.open(&file.handle)?;
                    let from = start.map_or(0, |start| table.approximate_offset_of(start));
                    let to = end.map_or(file.size, |end| table.approximate_offset_of(end));
                    to.saturating_sub(from)
                };
            }
        }
        Ok(bytes)
    }
}

/// The number of a key's newest entry.
struct NewestNumber;

impl Lookup for NewestNumber {
    type Answer = SequenceNumber;

    fn feed(&mut self, trailer: Trailer, _: Found<'_>) -> ControlFlow<Result<SequenceNumber>> {
        ControlFlow::Break(Ok(trailer.sequence()))
    }

    fn end(self) -> Result<SequenceNumber> {
        Ok(SequenceNumber(0))
    }
}

/// [`feed_memtables`] for a get that gets no entries below `floor`.
#[inline(always)]
fn feed_memtables_above(
    superversion: &SuperVersion,
    key: &[u8],
    target: Trailer,
    floor: SequenceNumber,
) -> ControlFlow<Result<Option<Value>>, Trailer> {
    match floor {
        SequenceNumber(0) => feed_memtables(superversion, key, target, &mut Get),
        floor => feed_memtables(superversion, key, target, &mut Above::new(Get, floor)),
    }
}

/// [`SuperVersion::floor_under`], for a reader with this coverage.
#[inline]
fn floor_of(coverage: &mut Option<Coverage>, key: &[u8]) -> SequenceNumber {
    match coverage {
        Some(coverage) => coverage.at(key).newest,
        None => SequenceNumber(0),
    }
}

/// The result of `lookup` for `key` in `superversion` at `sequence`, from memory only.
fn remember<L: Lookup>(
    superversion: &SuperVersion,
    key: &[u8],
    sequence: SequenceNumber,
    mut lookup: L,
) -> std::result::Result<L::Answer, Unread> {
    let target = Trailer::visible_at(sequence);
    let mut answer = None;
    match feed_memtables(superversion, key, target, &mut lookup) {
        ControlFlow::Break(value) => answer = Some(value),
        ControlFlow::Continue(target) => {
            feed_tables(
                superversion,
                key,
                target,
                &InMemory,
                &mut lookup,
                &mut answer,
            )?;
        }
    }
    answer
        .unwrap_or_else(|| lookup.end())
        .map_err(Unread::Failed)
}

/// Passes the tables' entries of `key` at or after `target` to `lookup`, newest first; `answer` gets its result.
#[inline(always)]
fn feed_tables<L: Lookup, A: Access>(
    superversion: &SuperVersion,
    key: &[u8],
    target: Trailer,
    access: &A,
    lookup: &mut L,
    answer: &mut Option<Result<L::Answer>>,
) -> std::result::Result<(), A::Error> {
    let mut feed = |trailer, entry: TableEntry<'_>| feed_entry(lookup, trailer, entry, answer);
    let sought = Sought::new(key, target);
    superversion.version.feed(sought, access, &mut feed)
}

/// Passes an entry of a table to `lookup`, and keeps its result.
// Not inlined: several places call it, and so the code exists once.
#[inline(never)]
fn feed_entry<L: Lookup>(
    lookup: &mut L,
    trailer: Trailer,
    entry: TableEntry<'_>,
    answer: &mut Option<Result<L::Answer>>,
) -> Need {
    match lookup.feed(trailer, Found::InTable(entry)) {
        ControlFlow::Break(done) => {
            *answer = Some(done);
            Need::Nothing
        }
        ControlFlow::Continue(()) => Need::Older,
    }
}

/// Passes the memtables' entries to `lookup`, newest first; returns its result, or the point from which it
/// continues in the tables.
#[inline(always)]
fn feed_memtables<L: Lookup>(
    superversion: &SuperVersion,
    key: &[u8],
    mut target: Trailer,
    lookup: &mut L,
) -> ControlFlow<Result<L::Answer>, Trailer> {
    let sealed = superversion.sealed.iter().map(|sealed| &sealed.memtable);
    // The count includes everything published before the number was read, so a memtable that counts as empty has
    // nothing to show.
    let memtables = std::iter::once(&superversion.active)
        .chain(sealed)
        .filter(|memtable| !memtable.is_empty());
    for memtable in memtables {
        while let Some((trailer, value)) = memtable.get(key, target) {
            debug_assert!(
                trailer.sequence() <= target.sequence(),
                "LOOKUP-1: the reader sees the entry, and it is older than the last one"
            );
            lookup.feed(trailer, Found::InMemtable(value))?;
            match trailer.older() {
                Some(older) => target = older,
                None => break,
            }
        }
    }
    ControlFlow::Continue(target)
}

#[cfg(test)]
mod tests;
