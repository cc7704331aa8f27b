//! The files of the new database: their numbers, and the writing of its tables.
//!
//! * SAVED-1  Each file has a number of its own, from 2 on: 1 is that of a new database's first manifest.
//! * SAVED-2  The tables of the new database are in the bottom level, and no key is in two of them.
//!
//! Elsewhere: the manifest and CURRENT (`version/set.rs`), what makes the directory a database (`life/destination.rs`).

use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::filename::{table_path, temporary_path};
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, KeyspaceId};
use crate::memtable::Memtable;
use crate::options::Options;
use crate::sstable::{Builder, TableOptions};
use crate::sync::Arc;
use crate::version::{LEVELS, TableInfo, shorten};

/// Writes the tables of a new database.
pub(super) struct Output<'a> {
    env: &'a dyn Env,
    options: &'a Options,
    into: &'a Path,
    /// The number given out last (SAVED-1).
    last_number: FileNumber,
    open: Option<Open>,
    written: Vec<(usize, TableInfo)>,
}

/// The user key in an encoded internal one.
fn user_key(encoded: &[u8]) -> Option<&[u8]> {
    KeyRef::decode(encoded).map(|key| key.user_key)
}

/// A table that is being written.
struct Open {
    number: FileNumber,
    file_id: u64,
    builder: Builder,
}

impl<'a> Output<'a> {
    /// Writes into the directory `into`, which holds no table.
    pub(super) fn new(env: &'a dyn Env, options: &'a Options, into: &'a Path) -> Output<'a> {
        Output {
            env,
            options,
            into,
            last_number: FileNumber(1),
            open: None,
            written: Vec::new(),
        }
    }

    /// Writes all entries of `memtable` to a temporary table, which is not part of the new database. Returns its
    /// path, or `None` if there are no entries.
    pub(super) fn write_temporary(&mut self, memtable: &Arc<Memtable>) -> Result<Option<PathBuf>> {
        debug_assert!(
            self.open.is_none() && self.written.is_empty(),
            "SAVED-2: temporary tables come before the merge"
        );
        let mut entries = memtable.iter();
        entries.seek_to_first()?;
        if !entries.valid() {
            return Ok(None);
        }
        let path = temporary_path(self.into, self.new_number());
        let mut builder = self.begin(&path, self.env.random()?)?;
        while entries.valid() {
            builder.add(entries.key(), entries.value())?;
            entries.next()?;
        }
        builder.finish()?;
        Ok(Some(path))
    }

    /// Adds the next entry. Entries come in the order of their keys, one per key.
    pub(super) fn add(&mut self, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
        let target = self.options.target_file_size;
        let is_full = |open: &Open| open.builder.estimated_size() >= target;
        if self.open.as_ref().is_some_and(is_full) {
            self.complete()?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin_table()?);
        }
        let open = self.open.as_mut();
        let open = open.ok_or_else(|| Error::internal("there is no table to write to"))?;
        debug_assert!(
            open.builder.entries() == 0 || open.builder.last_user_key() < key.user_key,
            "SAVED-2"
        );
        open.builder.add(key, value)
    }

    /// Completes the tables; returns those of the new database, and their level.
    pub(super) fn finish(mut self) -> Result<Vec<(usize, TableInfo)>> {
        self.complete()?;
        debug_assert!(
            self.written
                .is_sorted_by(|(_, a), (_, b)| user_key(&a.largest) < user_key(&b.smallest)),
            "SAVED-2"
        );
        let tables = self.written.iter_mut().map(|(_, table)| table);
        shorten(&mut tables.collect::<Vec<_>>(), None);
        Ok(self.written)
    }

    fn complete(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            debug_assert!(
                self.written
                    .last()
                    .is_none_or(|(_, before)| before.number < open.number),
                "SAVED-1: each table has a number of its own"
            );
            let table = TableInfo::new(open.number, open.file_id, open.builder.finish()?);
            self.written.push((LEVELS - 1, table));
        }
        Ok(())
    }

    fn begin_table(&mut self) -> Result<Open> {
        let (number, file_id) = (self.new_number(), self.env.random()?);
        Ok(Open {
            number,
            file_id,
            builder: self.begin(&table_path(self.into, number), file_id)?,
        })
    }

    fn new_number(&mut self) -> FileNumber {
        self.last_number = FileNumber(self.last_number.0 + 1);
        debug_assert!(self.last_number.0 >= 2, "SAVED-1");
        self.last_number
    }

    fn begin(&self, path: &Path, file_id: u64) -> Result<Builder> {
        let options = TableOptions {
            keyspace: KeyspaceId::DEFAULT,
            block_size: self.options.block_size as usize,
            block_restart_interval: self.options.block_restart_interval as usize,
            compression: self.options.compression,
            bloom_bits_per_key: self.options.bloom_bits_per_key as u32,
        };
        let file = self.env.create_new(path)?;
        let mut builder = Builder::new(file, path.to_path_buf(), file_id, options)?;
        builder.set_created_micros(self.env.wall_micros());
        Ok(builder)
    }
}
