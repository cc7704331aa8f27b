//! Point reads: superversion, memtables newest first, then one table per level.

use super::Tree;
use super::superversion::SuperVersion;
use crate::batch::check_key;
use crate::db::value::Value;
use crate::error::Result;
use crate::iterator::visible::kind_of;
use crate::key::{Trailer, ValueKind};
use crate::memory;
use crate::options::ReadOptions;
use crate::snapshot::Snapshot;
use crate::sstable::{Sought, TableEntry, Unread};
use crate::sync::Arc;
use crate::version::{InMemory, LEVELS, OpenTables, Reading, TOGETHER};

/// A value where it was found.
pub(in crate::db) enum Found<'a> {
    InMemtable(&'a [u8]),
    InTable(TableEntry<'a>),
}

/// What memory alone can tell of a key: [`DB::get_in_memory`](crate::DB::get_in_memory).
#[derive(Debug, Clone, PartialEq)]
pub enum Remembered {
    /// The key has this value.
    Value(Value),
    /// The key has no value.
    Absent,
    /// The answer would have to be read or waited for: only a get can tell.
    Unknown,
}

impl Found<'_> {
    /// The value, on its own. Fails only for want of memory.
    #[inline]
    pub(in crate::db) fn into_value(self) -> Result<Value> {
        match self {
            Found::InMemtable(bytes) => Value::copied(bytes),
            Found::InTable(entry) => Value::from_table(entry),
        }
    }
}

impl Tree {
    /// The value of `key`, made into what the caller wants of it while it is still where it was found.
    pub(in crate::db) fn get<T>(
        &self,
        key: &[u8],
        options: &ReadOptions<'_>,
        make: impl Fn(Found<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        // SUPERVERSION-2: first the superversion, then the number. After both loads it is open: what a closed database shows is
        // nothing.
        let superversion = self.superversion.load();
        self.context.check_open()?;
        check_key(key)?;
        let target = Trailer::visible_at(self.order.read_at(options.snapshot)?);
        if let Some((trailer, value)) = find_in_memtables(&superversion, key, target) {
            return unless_deleted(trailer, || make(Found::InMemtable(value)));
        }
        let sought = Sought::new(key, target);
        // Noted here and not passed up: a value is large to move.
        let mut made = None;
        let note = |_, entry: TableEntry<'_>| made = Some(make(Found::InTable(entry)));
        let lookup = Reading {
            tables: &self.tables,
            fill_cache: options.fill_cache,
        };
        let version = &superversion.version;
        let found = version
            .get(sought, &lookup, note)
            .map_err(|error| self.context.closed_or(error))?;
        match found.map(|(trailer, ())| kind_of(trailer)).transpose()? {
            Some(ValueKind::Put) => made.transpose(),
            Some(ValueKind::Delete) | None => Ok(None),
        }
    }

    /// [`Tree::get`] as far as memory can answer it: waits for nobody and reads nothing.
    pub(in crate::db) fn get_in_memory(
        &self,
        key: &[u8],
        snapshot: Option<&Snapshot>,
    ) -> Result<Remembered> {
        // As in `get`: after the load it is open.
        let superversion = self.superversion.load();
        self.context.check_open()?;
        check_key(key)?;
        let sequence = self.order.read_now(snapshot)?;
        let Some(sequence) = sequence else {
            return Ok(Remembered::Unknown);
        };
        let target = Trailer::visible_at(sequence);
        let found = match find_in_memtables(&superversion, key, target) {
            Some((trailer, value)) => Some((trailer, Value::copied(value)?)),
            None => {
                let sought = Sought::new(key, target);
                let found = superversion
                    .version
                    .get(sought, &InMemory, |_, entry| Value::from_table(entry));
                match found {
                    Ok(found) => found
                        .map(|(trailer, value)| Ok((trailer, value?)))
                        .transpose()?,
                    Err(Unread::NotInMemory) => return Ok(Remembered::Unknown),
                    Err(Unread::Failed(error)) => return Err(self.context.closed_or(error)),
                }
            }
        };
        Ok(match found {
            Some((trailer, value)) => {
                unless_deleted(trailer, || Ok(value))?.map_or(Remembered::Absent, Remembered::Value)
            }
            None => Remembered::Absent,
        })
    }

    /// The values of `keys` as of one point. Ends early, a few keys after the values have reached `most_bytes` bytes.
    pub(in crate::db) fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &ReadOptions<'_>,
        most_bytes: usize,
    ) -> Result<Vec<Option<Value>>> {
        // Held for longer than the lookups of one key: counted. After that, as for one key.
        let superversion = self.superversion.load_full();
        self.context.check_open()?;
        let target = Trailer::visible_at(self.order.read_at(options.snapshot)?);
        let mut values = memory::room_for(keys.len(), "the values of many keys")?;
        let mut open = OpenTables::default();
        // Small and of one size.
        let mut left = Vec::with_capacity(TOGETHER);
        let mut places = [0; TOGETHER];
        let mut bytes = 0;
        for keys in keys.chunks(TOGETHER) {
            left.clear();
            for key in keys {
                let key = key.as_ref();
                check_key(key)?;
                let found = find_in_memtables(&superversion, key, target);
                values.push(match found {
                    Some((trailer, value)) => unless_deleted(trailer, || Value::copied(value))?,
                    None => {
                        places[left.len()] = values.len();
                        left.push(Sought::new(key, target));
                        None
                    }
                });
            }
            let version = &superversion.version;
            let note = |index: usize, trailer, entry: TableEntry<'_>| {
                values[places[index]] = unless_deleted(trailer, || Value::from_table(entry))?;
                Ok(())
            };
            version
                .get_together(&left, &self.tables, &mut open, options.fill_cache, note)
                .map_err(|error| self.context.closed_or(error))?;
            let these = values[values.len() - keys.len()..].iter().flatten();
            bytes += these.map(|value| value.len()).sum::<usize>();
            if bytes >= most_bytes {
                break;
            }
        }
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

/// The newest entry of `key` at or after `target` in the memtables, newest memtable first.
#[inline]
fn find_in_memtables<'a>(
    superversion: &'a SuperVersion,
    key: &[u8],
    target: Trailer,
) -> Option<(Trailer, &'a [u8])> {
    let sealed = superversion.sealed.iter().map(|sealed| &sealed.memtable);
    // Whatever was published before the number was read is counted: an empty memtable has nothing to show.
    std::iter::once(&superversion.active)
        .chain(sealed)
        .filter(|memtable| !memtable.is_empty())
        .find_map(|memtable| memtable.get(key, target))
}

fn unless_deleted<T>(trailer: Trailer, found: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    match kind_of(trailer)? {
        ValueKind::Put => found().map(Some),
        ValueKind::Delete => Ok(None),
    }
}
