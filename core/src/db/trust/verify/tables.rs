//! Checks the tables: their bytes, their entries, each way of walking them, and their cached blocks and
//! filters.
//!
//! A table is opened anew, bypassing the caches (VERIFY-1). Then its blocks in the block cache are compared
//! with the file (VERIFY-6).
//!
//! Elsewhere: the raw bytes (`sstable/reader/check.rs`).

use std::ops::ControlFlow;
use std::path::Path;

use super::shown::Shown;
use super::walk::{Way, first_difference, walk};
use super::{Walk, in_proportion};
use crate::content::Sum;
use crate::db::read::READAHEAD_BYTES;
use crate::db::trust::report::Damage;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::table_path;
use crate::key::{KeyRef, SequenceNumber};
use crate::memory;
use crate::sstable::{BlockCache, Checked, Sought, Table, TableSummary};
use crate::sync::Arc;
use crate::version::{FileMeta, TableInfo};

/// After this many cached blocks, progress is reported again.
const CACHED_BLOCKS: usize = 256;

impl Walk<'_> {
    /// Checks a table, and reads it the ways that cursors do (READS-1).
    pub(super) fn table(
        &mut self,
        file: &Arc<FileMeta>,
        number: SequenceNumber,
        cache: &Arc<BlockCache>,
    ) -> Result<ControlFlow<()>> {
        let database = self.database;
        let end = self.at.bytes_done + file.size;
        let path = table_path(database.context.dir(), file.number);
        self.report.tables += 1;
        let (keyspace, env) = (file.handle.keyspace, database.context.env());
        let (id, size, cache) = (file.file_id, file.size, Arc::clone(cache));
        let opened = Table::open_in(keyspace, env, &path, id, size, cache);
        let Some(table) = self.noted(&path, opened)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let summary = match self.blocks(&table, &path)? {
            ControlFlow::Continue(summary) => summary,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        if self
            .cached_blocks(file, &path, summary.is_some())?
            .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let Some(summary) = summary else {
            self.is_comparable = false;
            return Ok(ControlFlow::Continue(()));
        };
        let (expected, bytes) = (
            summary.sum,
            summary
                .raw_key_bytes
                .saturating_add(summary.raw_value_bytes),
        );
        let found = TableInfo::new(file.number, file.file_id, summary);
        if !file.info.agrees_with(&found) {
            let what = "the table's entries are not those that the manifest states";
            let error = Error::corruption(&path, 0, what);
            self.noted::<()>(&path, Err(error))?;
            return Ok(ControlFlow::Continue(()));
        }
        if self.advance_to(end)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let whole = Whole {
            file,
            table: &table,
            path: &path,
            expected,
            bytes,
        };
        for (way, readahead, words) in [
            (Way::Forward, 0, "forward, block by block,"),
            (Way::Forward, READAHEAD_BYTES, "forward, reading ahead,"),
            (Way::Backward, READAHEAD_BYTES, "backward"),
        ] {
            match self.walk_table(&whole, number, (way, readahead), words)? {
                ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => break,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Checks the blocks of a table; returns what it holds, unless it is damaged.
    fn blocks(
        &mut self,
        table: &Table,
        path: &Path,
    ) -> Result<ControlFlow<(), Option<TableSummary>>> {
        let mut failure = None;
        let mut is_ended = false;
        let summary = table.check(&mut |checked| {
            let outcome = match checked {
                Checked::Block { bytes, entries } => {
                    self.report.entries += entries;
                    self.advance(bytes)
                }
                Checked::Damage { offset, error } => {
                    let noted = self.damage(path, offset, error);
                    noted.map(|()| ControlFlow::Continue(()))
                }
            };
            let flow = outcome.unwrap_or_else(|error| {
                failure = Some(error);
                ControlFlow::Break(())
            });
            is_ended |= flow.is_break();
            flow
        })?;
        match (failure, is_ended) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(ControlFlow::Break(())),
            (None, false) => Ok(ControlFlow::Continue(summary)),
        }
    }

    /// Walks a table in direction `way` with this read-ahead, as a cursor does; `words` describe both. Returns
    /// whether it could.
    fn walk_table(
        &mut self,
        whole: &Whole<'_>,
        number: SequenceNumber,
        (way, readahead): (Way, usize),
        words: &str,
    ) -> Result<ControlFlow<(), bool>> {
        let &Whole {
            file, table, path, ..
        } = whole;
        let mut entries = table.iter(false, readahead);
        let is_first = (way, readahead) == (Way::Forward, 0);
        // The filter is in memory, so reading the file does not check it.
        let asked = file.handle.opened().filter(|_| is_first);
        let mut denied: Option<Result<Vec<u8>>> = None;
        let look = |key: KeyRef<'_>| {
            if let Some(asked) = &asked
                && denied.is_none()
                && !asked.may_hold(Sought::new(key.user_key, key.trailer))
            {
                denied = Some(memory::copy_of(key.user_key, "a key"));
            }
        };
        let end = self.at.bytes_done + file.size;
        let outcome = walk(&mut entries, way, number, look, &mut |bytes| {
            let part = in_proportion(bytes, file.size, whole.bytes);
            // A walk that finds too much passes more bytes than the table's blocks have.
            self.advance(part.min(end - self.at.bytes_done))
        });
        if let Some(key) = denied.transpose()? {
            let what = format!(
                "the filter says that {} is absent, but it is there",
                Shown(&key)
            );
            self.misread(path, what)?;
        }
        let found = match self.noted(path, outcome)? {
            Some(Some(found)) => found,
            Some(None) => return Ok(ControlFlow::Break(())),
            None => return Ok(ControlFlow::Continue(false)),
        };
        if found.all != whole.expected {
            let place = self.where_walks_part(table, file);
            let what = format!(
                "a walk {words} finds {}, but the table's blocks have {}: {place}",
                found.all, whole.expected
            );
            self.misread(path, what)?;
        }
        if is_first {
            self.held.seen += found.seen;
            self.held.bytes += found.bytes;
        }
        Ok(ControlFlow::Continue(true))
    }

    /// Compares a table's blocks in the block cache, which readers get, with the file (VERIFY-6). `is_whole`: all of
    /// the file could be read just now.
    fn cached_blocks(
        &mut self,
        file: &Arc<FileMeta>,
        path: &Path,
        is_whole: bool,
    ) -> Result<ControlFlow<()>> {
        let Some(table) = file.handle.opened() else {
            return Ok(ControlFlow::Continue(()));
        };
        for number in 0..table.blocks() {
            match table.cached_block_is_sound(number) {
                Ok(None) => continue,
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    let what = format!("data block {number} differs from its copy in the cache");
                    self.report
                        .add(Damage::new(path.into(), 0, &Error::internal(what)));
                }
                // The check of the file has reported the damaged or unreadable block there.
                Err(error)
                    if !is_whole
                        && matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io) => {}
                Err(error) => {
                    self.noted(path, Err::<(), _>(error))?;
                }
            }
            if number.is_multiple_of(CACHED_BLOCKS) && self.tell()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The place where the two forward walks differ; if they do not, the key range of the table.
    fn where_walks_part(&self, table: &Arc<Table>, file: &FileMeta) -> String {
        let mut one = table.iter(false, 0);
        let mut other = table.iter(false, READAHEAD_BYTES);
        match first_difference(&mut one, &mut other) {
            Ok(Some(difference)) => difference,
            Ok(None) => {
                let [first, last] = [file.smallest_key(), file.largest_key()];
                format!(
                    "somewhere between {} and {}",
                    Shown(first.user_key),
                    Shown(last.user_key)
                )
            }
            Err(error) => error.to_string(),
        }
    }
}

/// A table whose blocks are all intact, to be walked in several ways.
struct Whole<'a> {
    file: &'a Arc<FileMeta>,
    table: &'a Arc<Table>,
    path: &'a Path,
    /// The facts about its blocks' entries, and the bytes of all keys and values in them.
    expected: Sum,
    bytes: u64,
}
