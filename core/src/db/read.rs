//! Point reads: superversion, memtables newest first, then one table per level.

use super::shared::Shared;
use super::superversion::SuperVersion;
use super::value::Value;
use crate::batch::check_key;
use crate::error::{Error, Result};
use crate::iterator::visible::kind_of;
use crate::key::{SequenceNumber, Trailer, ValueKind};
use crate::options::ReadOptions;
use crate::snapshot::Snapshot;
use crate::sstable::TableValue;

/// A value where it was found.
pub(super) enum Found<'a> {
    InMemtable(&'a [u8]),
    InTable(TableValue),
}

impl From<Found<'_>> for Value {
    fn from(found: Found<'_>) -> Value {
        match found {
            Found::InMemtable(bytes) => Value::copied(bytes),
            Found::InTable(value) => Value::from_table(value),
        }
    }
}

impl Shared {
    /// The value of `key`, made into what the caller wants of it while it is still pinned.
    pub(super) fn get<T>(
        &self,
        key: &[u8],
        options: &ReadOptions<'_>,
        make: impl FnOnce(Found<'_>) -> T,
    ) -> Result<Option<T>> {
        self.check_open()?;
        check_key(key)?;
        // U2: first the superversion, then the number.
        let superversion = self.superversion.load();
        let sequence = self.read_sequence(options.snapshot)?;
        Ok(self
            .find(&superversion, key, sequence, options.fill_cache)?
            .map(make))
    }

    /// The values of `keys` as of one point.
    pub(super) fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &ReadOptions<'_>,
    ) -> Result<Vec<Option<Value>>> {
        self.check_open()?;
        let superversion = self.superversion.load_full();
        let sequence = self.read_sequence(options.snapshot)?;
        keys.iter()
            .map(|key| {
                check_key(key.as_ref())?;
                let found = self.find(&superversion, key.as_ref(), sequence, options.fill_cache)?;
                Ok(found.map(Value::from))
            })
            .collect()
    }

    /// The number a read is made at: that of its snapshot, or the last published one.
    pub(super) fn read_sequence(&self, snapshot: Option<&Snapshot>) -> Result<SequenceNumber> {
        match snapshot {
            None => Ok(self.publisher.last()),
            Some(snapshot) if snapshot.belongs_to(&self.snapshots) => Ok(snapshot.sequence()),
            Some(_) => Err(Error::invalid_argument(
                "snapshot was taken of another database",
            )),
        }
    }

    fn find<'a>(
        &self,
        superversion: &'a SuperVersion,
        key: &[u8],
        sequence: SequenceNumber,
        fill_cache: bool,
    ) -> Result<Option<Found<'a>>> {
        let target = Trailer::visible_at(sequence);
        let sealed = superversion.sealed.iter().map(|sealed| &sealed.memtable);
        for memtable in std::iter::once(&superversion.active).chain(sealed) {
            if let Some((trailer, value)) = memtable.get(key, target) {
                return unless_deleted(trailer, Found::InMemtable(value));
            }
        }
        match superversion
            .version
            .get(key, target, &self.tables, fill_cache)?
        {
            Some((trailer, value)) => unless_deleted(trailer, Found::InTable(value)),
            None => Ok(None),
        }
    }
}

fn unless_deleted<'a>(trailer: Trailer, found: Found<'a>) -> Result<Option<Found<'a>>> {
    Ok(match kind_of(trailer)? {
        ValueKind::Put => Some(found),
        ValueKind::Delete => None,
    })
}
