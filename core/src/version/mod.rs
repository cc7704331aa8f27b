//! Which files are live: versions, the edits between them, and the manifest that keeps both.
//!
//! A [`Version`] is one immutable arrangement of tables in seven levels. Readers pin one; flush and compaction
//! make the next by an edit.
//!
//! * V1  Level 0 is sorted newest first (by largest sequence number, then file number); its tables may overlap.
//! * V2  In each deeper level tables are sorted by key and no user key lies in the range of two of them: one
//!       table answers for a key, and all versions of a key within a level lie in one table.
//! * V3  For one user key, every entry in a level is newer than every entry in any deeper level.
//! * V4  A file is in a version at most once.
//!
//! V1, V2 and V4 are checked whenever an edit is applied, also at recovery; V3 is the picker's business.
//!
//! * `edit.rs`      one change, encoded          * `builder.rs`  edits applied to a version
//! * `file.rs`      a counted live file          * `manifest.rs` edits on disk, CURRENT
//! * `salvage.rs`   what a damaged one still tells
//! * `iter.rs`      walks one level              * `set.rs`      the current version and its durable history

mod builder;
mod edit;
mod file;
mod iter;
mod manifest;
mod salvage;
mod set;

use std::fmt;
use std::ops::Range;

use crate::cache::TableCache;
use crate::error::Result;
use crate::key::Trailer;
use crate::sstable::TableValue;
use crate::sync::Arc;

pub(crate) use builder::Builder;
pub(crate) use edit::{LEVELS, TableInfo, VersionEdit};
pub(crate) use file::{FileMeta, ObsoleteFiles};
pub(crate) use iter::LevelIterator;
pub(crate) use salvage::{Salvage, salvage};
pub(crate) use set::{Contents, FileNumbers, VersionSet, inspect};

/// The tables of one level, in the order of V1 or V2.
#[derive(Default)]
pub(crate) struct Level {
    files: Vec<Arc<FileMeta>>,
    /// The first eight bytes of each table's largest user key, big-endian: searched before any file is touched.
    prefixes: Vec<u64>,
    bytes: u64,
}

impl Level {
    fn new(files: Vec<Arc<FileMeta>>) -> Level {
        Level {
            prefixes: files
                .iter()
                .map(|file| prefix(file.largest_key().user_key))
                .collect(),
            bytes: files.iter().map(|file| file.size).sum(),
            files,
        }
    }

    /// The tables.
    pub(crate) fn files(&self) -> &[Arc<FileMeta>] {
        &self.files
    }

    /// The index of the first table that reaches to `user_key` or beyond it. Requires V2.
    fn first_reaching(&self, user_key: &[u8]) -> usize {
        let prefix = prefix(user_key);
        let low = self.prefixes.partition_point(|&p| p < prefix);
        let high = low + self.prefixes[low..].partition_point(|&p| p == prefix);
        low + self.files[low..high].partition_point(|file| file.largest_key().user_key < user_key)
    }

    /// The indexes of the tables that reach into `[start, end]`; `None` is open. Requires V2.
    fn range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Range<usize> {
        let from = start.map_or(0, |start| self.first_reaching(start));
        let to = end.map_or(self.files.len(), |end| {
            let rest = &self.files[from..];
            from + rest.partition_point(|file| file.smallest_key().user_key <= end)
        });
        from..to
    }
}

/// The first eight bytes of `user_key`, padded with zeros, as a number that sorts like the bytes do.
fn prefix(user_key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = user_key.len().min(8);
    bytes[..length].copy_from_slice(&user_key[..length]);
    u64::from_be_bytes(bytes)
}

/// The live tables at one moment; never changes. Cheap to derive another from: levels are shared.
pub(crate) struct Version {
    levels: [Arc<Level>; LEVELS],
}

impl Version {
    /// A version without tables.
    pub(crate) fn empty() -> Version {
        Version {
            levels: std::array::from_fn(|_| Arc::default()),
        }
    }

    /// The version after `edit`, and the files that are in this one only.
    ///
    /// `Internal` if the edit removes what is not there, or its result breaks V2 or V4.
    pub(crate) fn apply(
        &self,
        edit: &VersionEdit,
        obsolete: &Arc<ObsoleteFiles>,
    ) -> Result<(Version, Vec<Arc<FileMeta>>)> {
        let mut builder = Builder::new(self, obsolete.clone());
        builder.apply(edit)?;
        builder.finish()
    }

    /// The tables of `level`, in the order of V1 or V2.
    pub(crate) fn files(&self, level: usize) -> &[Arc<FileMeta>] {
        self.levels[level].files()
    }

    /// Every table with its level.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = (usize, &Arc<FileMeta>)> {
        let levels = self.levels.iter().enumerate();
        levels.flat_map(|(level, files)| files.files().iter().map(move |file| (level, file)))
    }

    /// Bytes of the tables of `level`.
    pub(crate) fn level_bytes(&self, level: usize) -> u64 {
        self.levels[level].bytes
    }

    /// The deepest level that has a table.
    #[cfg(test)]
    pub(crate) fn deepest_level(&self) -> Option<usize> {
        (0..LEVELS)
            .rev()
            .find(|&level| !self.files(level).is_empty())
    }

    /// The tables of `level` with user keys in `[start, end]`; `None` is open.
    pub(crate) fn overlapping(
        &self,
        level: usize,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Vec<Arc<FileMeta>> {
        let files = self.files(level);
        if level > 0 {
            return files[self.levels[level].range(start, end)].to_vec();
        }
        let overlapping = files.iter().filter(|file| file.overlaps(start, end));
        overlapping.cloned().collect()
    }

    /// The one table of `level` (1 or deeper) that may hold `user_key`.
    pub(crate) fn file_for(&self, level: usize, user_key: &[u8]) -> Option<&Arc<FileMeta>> {
        debug_assert!(level > 0, "V2 holds for the deeper levels only");
        let level = &self.levels[level];
        let file = level.files.get(level.first_reaching(user_key))?;
        (file.smallest_key().user_key <= user_key).then_some(file)
    }

    /// The newest entry of `user_key` at or behind `trailer`: a value or a tombstone, for the caller to tell by
    /// its trailer.
    ///
    /// `trailer`: [`Trailer::visible_at`] the reader's sequence number. Reads one table per deeper level at most.
    pub(crate) fn get(
        &self,
        user_key: &[u8],
        trailer: Trailer,
        tables: &TableCache,
        fill_cache: bool,
    ) -> Result<Option<(Trailer, TableValue)>> {
        let mut found: Option<(Trailer, TableValue)> = None;
        for file in self.files(0) {
            // Tables may overlap in sequence numbers too; no later one holds anything newer than this.
            if let Some((newest, _)) = &found
                && newest.sequence() >= file.largest_sequence
            {
                break;
            }
            if file.smallest_sequence > trailer.sequence()
                || !file.overlaps(Some(user_key), Some(user_key))
            {
                continue;
            }
            let entry = tables
                .get(&file.handle)?
                .get(user_key, trailer, fill_cache)?;
            if let Some(entry) = entry
                && found.as_ref().is_none_or(|(newest, _)| entry.0 > *newest)
            {
                found = Some(entry);
            }
        }
        if found.is_some() {
            return Ok(found);
        }
        for level in 1..LEVELS {
            let Some(file) = self.file_for(level, user_key) else {
                continue;
            };
            let entry = tables
                .get(&file.handle)?
                .get(user_key, trailer, fill_cache)?;
            if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }

    /// One iterator for each table of level 0 and for each deeper level, as far as they reach into user keys
    /// `[lower, upper]`; `None` is open. They open tables when they first stand in them; `readahead` is in bytes.
    pub(crate) fn iterators(
        &self,
        tables: &Arc<TableCache>,
        fill_cache: bool,
        readahead: usize,
        lower: Option<&[u8]>,
        upper: Option<&[u8]>,
    ) -> Vec<LevelIterator> {
        let mut iterators = Vec::new();
        let mut add = |level: &Arc<Level>, range: Range<usize>| {
            let (level, tables) = (level.clone(), tables.clone());
            iterators.push(LevelIterator::new(
                level, range, tables, fill_cache, readahead,
            ));
        };
        for (index, file) in self.files(0).iter().enumerate() {
            if file.overlaps(lower, upper) {
                add(&self.levels[0], index..index + 1);
            }
        }
        for level in &self.levels[1..] {
            let range = level.range(lower, upper);
            if !range.is_empty() {
                add(level, range);
            }
        }
        iterators
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.levels.iter().map(|level| level.files()))
            .finish()
    }
}

#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
pub(crate) mod tests;
