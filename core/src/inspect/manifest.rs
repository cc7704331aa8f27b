//! Manifests, their edits, and CURRENT. Layout: docs/format.md, "Manifest", "Version edit", "CURRENT".
//!
//! Elsewhere: reading them (`version/manifest/`, `version/current.rs`, `version/edit.rs`), and applying edits
//! (`version/builder.rs`).

use std::path::Path;

use super::without_place;
use crate::env::Env;
use crate::error::Result;
use crate::key::{FileNumber, KeyspaceId, SequenceNumber, TRAILER_BYTES, Trailer};
use crate::memory;
use crate::range_delete;
use crate::version::{ManifestReader, TableInfo, VersionEdit, read_current_at};

/// The name of its memory in errors.
const EDIT: &str = "an edit of the manifest";

/// The content of the file `CURRENT`: which manifest is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Current {
    /// The number in the manifest's name.
    pub manifest: FileNumber,
    /// The manifest's own id ([`Manifest::file_id`]); a manifest with a different id is not the one in use.
    pub file_id: u64,
}

impl Current {
    /// Reads the file at `path`. Errors: see the [module](super).
    pub fn read(env: &dyn Env, path: &Path) -> Result<Current> {
        let (manifest, file_id) = read_current_at(env, path)?;
        Ok(Current { manifest, file_id })
    }
}

/// A manifest, `MANIFEST-000005`: its edits in order. The tables that they add and do not remove again are the
/// database's tables.
///
/// Keeps the file open, and one edit at a time in memory.
pub struct Manifest {
    reader: ManifestReader,
    is_over: bool,
}

impl Manifest {
    /// Opens the manifest at `path`.
    ///
    /// Errors: see the [module](super). `Corruption` if its head or both slots are damaged, or if it is shorter than
    /// the newer slot says.
    pub fn open(env: &dyn Env, path: &Path) -> Result<Manifest> {
        Ok(Manifest {
            reader: ManifestReader::open_any(env, path)?,
            is_over: false,
        })
    }

    /// Random; also in CURRENT.
    pub fn file_id(&self) -> u64 {
        self.reader.file_id()
    }

    /// How many bytes of the file are valid, from its beginning. After them there may be an append that never
    /// finished.
    pub fn length(&self) -> u64 {
        self.reader.length()
    }

    /// The next edit; `None` after the last one that counts, and after an error.
    ///
    /// Errors: see the [module](super). `Corruption` if a record that counts is damaged or missing.
    pub fn next_edit(&mut self) -> Result<Option<Edit>> {
        if self.is_over {
            return Ok(None);
        }
        // Until this edit has proved good.
        self.is_over = true;
        let Some(edit) = self.reader.next_edit_of_any_feature()? else {
            return Ok(None);
        };
        let edit = Edit::new(edit)?;
        self.is_over = false;
        Ok(Some(edit))
    }
}

/// One change to a database's files. Removals apply before additions.
///
/// A field that is `None` stays as an earlier edit set it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Edit {
    /// The version of the database's format: 1 or 2.
    pub format_version: Option<u64>,
    /// The name of the order of keys: always `bytewise`.
    pub comparator: Option<Vec<u8>>,
    /// The names of the features that the database has from this edit on, in order. A build opens no database with a
    /// feature that it does not know.
    pub features: Vec<String>,
    /// Larger than the id of any keyspace that there has been.
    pub next_keyspace: Option<KeyspaceId>,
    /// No write to a dropped keyspace has a larger number.
    pub last_number: Option<SequenceNumber>,
    /// The database's id. Random, and not 0.
    pub database: Option<u32>,
    /// Logs with a smaller number are not needed.
    pub log_number: Option<FileNumber>,
    /// A log with synced records, which exists unless the log number is larger; 0 if there is none.
    pub synced_log: Option<FileNumber>,
    /// Larger than the number of any file named so far.
    pub next_file_number: Option<FileNumber>,
    /// The keyspace that the fields from `name` on are about; the default one unless the edit names another.
    pub keyspace: KeyspaceId,
    /// The name that the keyspace has from now on, if the edit makes it or names it anew.
    pub name: Option<String>,
    /// What the keyspace is set to from now on: names and values; an empty value unsets.
    pub settings: Vec<(String, String)>,
    /// Whether the keyspace is dropped.
    pub drops: bool,
    /// At least the largest sequence number in any table of the keyspace.
    pub last_sequence: Option<SequenceNumber>,
    /// The tables that it adds.
    pub added: Vec<AddedTable>,
    /// The tables that it removes: the level, 0 to 6, and the number of each.
    pub removed: Vec<(usize, FileNumber)>,
    /// What it says of other keyspaces: of their fields, only those from `keyspace` on are used.
    pub others: Vec<Edit>,
}

/// A table that an edit adds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddedTable {
    /// The level, 0 to 6.
    pub level: usize,
    /// The number in the table's name.
    pub number: FileNumber,
    /// The table's own id ([`Table::file_id`](super::Table::file_id)).
    pub file_id: u64,
    /// The length of the file, in bytes.
    pub bytes: u64,
    /// No key of the table sorts before it.
    pub smallest: Bound,
    /// No key of the table sorts after it.
    pub largest: Bound,
    /// The smallest sequence number of its entries.
    pub smallest_sequence: SequenceNumber,
    /// The largest sequence number of its entries.
    pub largest_sequence: SequenceNumber,
    /// How many entries it has, tombstones too.
    pub entries: u64,
    /// How many of them are tombstones, without range deletes.
    pub tombstones: u64,
    /// The sum over its entries; `None` if a build of format version 1 wrote it.
    pub content_sum: Option<u64>,
    /// Its range deletes, in its order.
    pub range_deletes: Vec<RangeDelete>,
    /// It has no entry that a range delete with this number or a smaller one covers; 0: not known.
    pub swept: SequenceNumber,
    /// How many entries have a newer one of the same key in the table; `None` if unknown, or if the table has
    /// neither such entries nor tombstones.
    pub older_versions: Option<u64>,
}

/// A range delete of a table, as a manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeDelete {
    /// The first deleted key.
    pub start: Vec<u8>,
    /// The first key after the range; `None`: it has no end.
    pub end: Option<Vec<u8>>,
    /// It deletes entries with smaller numbers.
    pub sequence: SequenceNumber,
}

/// The first or the last key of a table, as a manifest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bound {
    /// A user key: that of the table's first or last entry, or a shorter bound that encloses it.
    pub key: Vec<u8>,
    /// The sequence number of that entry; `None` if the key is a shorter one.
    pub sequence: Option<SequenceNumber>,
}

impl Edit {
    /// Decodes `encoded`, the payload of a record of a manifest; any bytes.
    ///
    /// Takes memory for the keys in it and for a description of each table. Errors: `Corruption` if it is cut
    /// short, has a field twice, or has impossible facts about a table; `Unsupported` if a newer AiDb wrote it;
    /// `OutOfMemory`.
    pub fn decode(encoded: &[u8]) -> Result<Edit> {
        VersionEdit::decode(encoded)
            .map_err(without_place)
            .and_then(Edit::new)
    }

    fn new(edit: VersionEdit) -> Result<Edit> {
        let (log_number, synced_log) = (edit.log_number(), edit.synced_log());
        let (keyspace, added) = (edit.about(), edit.added.into_iter());
        let mut others = memory::room_for(edit.others.len(), EDIT)?;
        for part in edit.others {
            others.push(Edit::new(part)?);
        }
        let features = edit.features.names().map(str::to_string);
        let settings = edit.settings.iter();
        let settings = settings.map(|(name, value)| (name.to_string(), value.to_string()));
        Ok(Edit {
            format_version: edit.format_version,
            log_number,
            synced_log,
            features: memory::collect(features, EDIT)?,
            comparator: edit.comparator,
            database: edit.database,
            next_keyspace: edit.next_keyspace,
            last_number: edit.last_number,
            keyspace,
            name: edit.name,
            settings: memory::collect(settings, EDIT)?,
            drops: edit.drops,
            next_file_number: edit.next_file_number,
            last_sequence: edit.last_sequence,
            added: collect_tables(added)?,
            removed: edit.removed,
            others,
        })
    }
}

fn collect_tables(added: impl Iterator<Item = (usize, TableInfo)>) -> Result<Vec<AddedTable>> {
    let mut tables = Vec::new();
    for (level, table) in added {
        let table = AddedTable::new(level, table)?;
        memory::push(&mut tables, table, EDIT)?;
    }
    Ok(tables)
}

impl RangeDelete {
    fn new(range: &range_delete::RangeDelete) -> Result<RangeDelete> {
        let end = range.end.as_deref();
        Ok(RangeDelete {
            start: memory::copy_of(&range.start, EDIT)?,
            end: end.map(|end| memory::copy_of(end, EDIT)).transpose()?,
            sequence: range.number,
        })
    }
}

impl AddedTable {
    fn new(level: usize, table: TableInfo) -> Result<AddedTable> {
        let mut range_deletes = memory::room_for(table.range_deletes.len(), EDIT)?;
        for range in &*table.range_deletes {
            range_deletes.push(RangeDelete::new(range)?);
        }
        Ok(AddedTable {
            range_deletes,
            swept: table.swept,
            level,
            number: table.number,
            file_id: table.file_id,
            bytes: table.size,
            smallest: Bound::new(table.smallest, table.shortened.smallest),
            largest: Bound::new(table.largest, table.shortened.largest),
            smallest_sequence: table.smallest_sequence,
            largest_sequence: table.largest_sequence,
            entries: table.entries,
            tombstones: table.tombstones,
            content_sum: table.content_sum,
            older_versions: table.reclaimable.map(|found| found.older_versions),
        })
    }
}

impl Bound {
    /// A bound from an encoded internal key, which has a trailer (EDIT-2).
    fn new(mut key: Vec<u8>, is_shortened: bool) -> Bound {
        let trailer = key.last_chunk::<TRAILER_BYTES>().copied();
        key.truncate(key.len().saturating_sub(TRAILER_BYTES));
        let sequence = trailer.map(|bytes| Trailer(u64::from_le_bytes(bytes)).sequence());
        Bound {
            key,
            sequence: sequence.filter(|_| !is_shortened),
        }
    }
}
