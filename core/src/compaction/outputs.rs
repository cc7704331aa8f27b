//! Compares finished tables with the facts that an edit will state about them.
//!
//! * OUTPUT-1  Before a flush's or a compaction's edit becomes durable, each table that it adds has been opened
//!             as a reader opens it, bypassing all caches, and has the counts, sum, numbers and bounds that the
//!             edit states; and the checksum of every data block in the file is right.
//!
//! So a wrong footer, index or property, or a misdirected write, costs a second try instead of an unusable
//! table. The entries in the blocks were accounted for when the blocks were built: here only the first and the
//! last block are decompressed.

use std::path::Path;

use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::key::{KeyRef, KeyspaceId};
use crate::sstable::{BlockCache, Table};
use crate::sync::Arc;
use crate::version::{TableInfo, VersionEdit};

/// Opens each table that `edit` adds to `keyspace`, all in `dir`, and compares it with the edit's facts (OUTPUT-1).
///
/// Errors: `Internal`, as for entries that do not add up, if a table is unusable or a different one; `Io`.
pub(crate) fn check_added(
    edit: &VersionEdit,
    keyspace: KeyspaceId,
    env: &dyn Env,
    dir: &Path,
) -> Result<()> {
    for (_, said) in &edit.added {
        let path = table_path(dir, said.number);
        let (id, size, cache) = (said.file_id, said.size, BlockCache::new(0));
        let opened = Table::open_in(keyspace, env, &path, id, size, cache);
        let is_so = opened.and_then(|table| {
            table.check_stored()?;
            Ok(is_as_said(said, &table)? && table.content_sum() == said.content_sum)
        });
        let fault = match is_so {
            Ok(true) => continue,
            Ok(false) => "its bounds or counts are not those of its entries",
            Err(ref error) if is_of_a_table(error) => error.message(),
            Err(error) => return Err(error),
        };
        return Err(Error::unaccounted(format!(
            "{} was written but must not be used: {fault}",
            path.display()
        )));
    }
    Ok(())
}

/// Whether the first and last key and the properties of `table` match the manifest's facts `said`.
///
/// Sums are not compared here; reading an input determines its sum.
pub(super) fn is_as_said(said: &TableInfo, table: &Arc<Table>) -> Result<bool> {
    let (Some(first), Some(last)) = (end_of(table, false)?, end_of(table, true)?) else {
        return Ok(false);
    };
    let bounds = KeyRef::decode(&first).zip(KeyRef::decode(&last));
    Ok(
        bounds.is_some_and(|(first, last)| said.bounds_are(first, last))
            && table.counts()
                == (
                    said.entries,
                    said.tombstones,
                    said.range_deletes.len() as u64,
                )
            && table.numbers() == [said.smallest_sequence, said.largest_sequence],
    )
}

/// The first or the last key of `table`, encoded. Releases the key's block, which may have many megabytes.
fn end_of(table: &Arc<Table>, is_last: bool) -> Result<Option<Vec<u8>>> {
    let mut entries = table.iter(false, 0);
    match is_last {
        true => entries.seek_to_last()?,
        false => entries.seek_to_first()?,
    }
    entries.valid().then(|| entries.key().encoded()).transpose()
}

/// Whether a table is the cause: it is damaged, or holds something that this build does not know.
pub(super) fn is_of_a_table(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests;
