//! Tables. Layout: docs/format.md, "SSTable".
//!
//! Elsewhere: how a table is opened and read (`sstable/reader.rs`), walked (`sstable/iter.rs`) and checked
//! (`sstable/reader/check.rs`); reading a damaged one (`sstable/salvage.rs`, for `DB::repair`).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::compression::Compression;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::iterator::InternalIterator;
use crate::iterator::visible::kind_of;
use crate::key::{SequenceNumber, ValueKind};
use crate::sstable::{self, BlockCache, Checked, TableIterator};
use crate::sync::Arc;

/// An SSTable, `000012.sst`.
///
/// Keeps the file open, and its index and filter in memory: about a hundredth of the file.
pub struct Table {
    path: PathBuf,
    table: Arc<sstable::Table>,
}

/// The properties block of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// How many entries it has, tombstones too.
    pub entries: u64,
    /// How many of them are tombstones.
    pub tombstones: u64,
    /// How many of them are range deletes.
    pub range_deletes: u64,
    /// How many data blocks it has.
    pub data_blocks: u64,
    /// Bytes of user keys, and 8 for each entry: before any compression.
    pub raw_key_bytes: u64,
    /// Bytes of values, before any compression.
    pub raw_value_bytes: u64,
    /// The smallest sequence number of its entries.
    pub smallest_sequence: SequenceNumber,
    /// The largest sequence number of its entries.
    pub largest_sequence: SequenceNumber,
    /// The requested compression; `None` if this build does not know it. Individual blocks may be stored
    /// without it.
    pub compression: Option<Compression>,
    /// When it was made, in microseconds since 1970-01-01 UTC; 0: unknown.
    pub created_micros: u64,
    /// The sum over its entries; `None` in a table of version 1.
    pub content_sum: Option<u64>,
    /// The blocks that a later build added and a reader can do without; their content means nothing to this build.
    pub further_blocks: Vec<FurtherBlock>,
}

/// A block that the properties name, of a kind that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FurtherBlock {
    /// The number of its kind: 8 to 15. A table with a block of an unknown smaller kind is `Unsupported`.
    pub kind: u8,
    /// The offset of its payload in the file, in bytes.
    pub offset: u64,
    /// The length of its payload as it is stored, in bytes.
    pub bytes: u64,
}

/// One entry of a table: one version of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The user key.
    pub key: &'a [u8],
    /// The sequence number of its write.
    pub sequence: SequenceNumber,
    /// Whether it is a put, a tombstone or a range delete.
    pub kind: ValueKind,
    /// The value; empty for a tombstone. For a range delete see [`range_end`](super::range_end).
    pub value: &'a [u8],
}

impl Table {
    /// Opens the table at `path`: reads and checks its header, footer, properties, index and filter.
    ///
    /// Errors: see the [module](super). `Corruption` if one of those is damaged, even if the data blocks are
    /// intact.
    pub fn open(env: &dyn Env, path: &Path) -> Result<Table> {
        let table = sstable::Table::open_any(env, path, BlockCache::new(0))?;
        Ok(Table {
            path: path.to_path_buf(),
            table,
        })
    }

    /// Random; the manifest has it, too ([`AddedTable::file_id`](super::AddedTable::file_id)).
    pub fn file_id(&self) -> u64 {
        self.table.file_id()
    }

    /// Whether it has a Bloom filter.
    pub fn has_filter(&self) -> bool {
        self.table.has_filter()
    }

    /// Its properties.
    pub fn properties(&self) -> Properties {
        let said = self.table.properties();
        let further = said.further.iter().map(|block| FurtherBlock {
            kind: block.kind,
            offset: block.handle.offset,
            bytes: block.handle.length,
        });
        let codec = u8::try_from(said.compression).ok();
        Properties {
            entries: said.entries,
            tombstones: said.tombstones,
            range_deletes: said.range_deletes,
            data_blocks: said.data_blocks,
            raw_key_bytes: said.raw_key_bytes,
            raw_value_bytes: said.raw_value_bytes,
            smallest_sequence: said.smallest_sequence,
            largest_sequence: said.largest_sequence,
            compression: codec.and_then(Compression::from_u8),
            created_micros: said.created_micros,
            content_sum: said.content_sum,
            further_blocks: further.collect(),
        }
    }

    /// All entries in key order, the newest of each key first.
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            path: &self.path,
            // A megabyte is read in a few steps.
            iterator: self.table.iter(false, 256 << 10),
            is_begun: false,
            is_over: false,
        }
    }

    /// Checks every data block, and that the properties are true of the entries. Calls `damage` for each
    /// damaged place with its offset in bytes and the error. Returns whether there is no damage.
    ///
    /// Reads the whole file, with one block in memory at a time. Errors: `OutOfMemory`; damage is not an error.
    pub fn check(&self, mut damage: impl FnMut(u64, Error)) -> Result<bool> {
        let whole = self.table.check(&mut |checked| {
            if let Checked::Damage { offset, error } = checked {
                damage(offset, error);
            }
            ControlFlow::Continue(())
        })?;
        Ok(whole.is_some())
    }
}

/// The entries of a table, in order.
pub struct Entries<'a> {
    path: &'a Path,
    iterator: TableIterator,
    is_begun: bool,
    is_over: bool,
}

impl Entries<'_> {
    /// The next entry, valid until the next call; `None` after the last one, and after an error.
    ///
    /// Keeps one block and at most 256 KiB of read-ahead in memory. Errors: see the [module](super). It does
    /// not check that keys ascend and are in the right block: [`Table::check`] does.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        if self.is_over {
            return Ok(None);
        }
        // Until the next entry has proved good.
        self.is_over = true;
        match std::mem::replace(&mut self.is_begun, true) {
            false => self.iterator.seek_to_first()?,
            true => self.iterator.next()?,
        }
        if !self.iterator.valid() {
            return Ok(None);
        }
        let key = self.iterator.key();
        let kind = kind_of(key.trailer).map_err(|error| error.context(self.path.display()))?;
        self.is_over = false;
        Ok(Some(Entry {
            key: key.user_key,
            sequence: key.trailer.sequence(),
            kind,
            value: self.iterator.value(),
        }))
    }
}
