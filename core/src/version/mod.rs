//! The live tables: versions, the edits between them, and the manifest that stores both.
//!
//! A [`Version`] is one immutable arrangement of tables in seven levels. Readers pin one; a flush or compaction
//! makes the next with an edit.
//!
//! * VERSION-1  Level 0 is sorted newest first (by largest sequence number, then file number); its tables may overlap.
//! * VERSION-2  In each deeper level tables are sorted by key, and no user key is in the range of two of them:
//!              all versions of a key within a level are in one table.
//! * VERSION-3  For one user key, every entry in a level is newer than every entry in any deeper level.
//! * VERSION-4  A file is in a version at most once.
//! * VERSION-6  `range_deletes` has those of all tables, and no others.
//! * VERSION-5  The sum of the bytes of all its tables is at most 2^63 - 1, and so is the sum of their entries.
//!
//! VERSION-1, VERSION-2, VERSION-4 and VERSION-5 are checked whenever an edit is applied, also at recovery; the
//! picker ensures VERSION-3.
//!
//! * `bounds.rs`    short bounds of tables with long keys
//! * `edit.rs`      one change, encoded          * `builder.rs`  edits applied to a version
//! * `table_info.rs`  the facts about a table in an edit   * `field.rs`  reads fields of an edit
//! * `file.rs`      a live file, counted         * `manifest/`   edits on disk
//! * `current.rs`   which manifest is in use    * `file_numbers.rs`  numbers of new files
//! * `keyspaces.rs`  the keyspaces and the tables of each
//! * `settings.rs`  what a keyspace is set to
//! * `features.rs`  what a reader must know besides the format version
//! * `lookup.rs`    steps of a point lookup      * `access.rs`   disk or memory only
//! * `salvage.rs`   what can be read of a damaged manifest
//! * `iter.rs`      walks one level              * `set.rs`      the current version and its durable history
//! * `identity.rs`  whether a directory is AiDb's   * `foreign.rs`  other engines

mod access;
mod bounds;
mod builder;
mod current;
mod edit;
mod ends;
mod features;
mod field;
mod file;
mod file_numbers;
mod foreign;
mod identity;
mod iter;
mod keyspaces;
mod lookup;
mod manifest;
mod salvage;
mod set;
mod settings;
mod table_info;

use std::fmt;
use std::ops::Range;

use crate::cache::TableCache;
use crate::content::Sum;
use crate::error::Result;
use crate::key::{FileNumber, SequenceNumber, Trailer};
use crate::range_deletes::RangeDeletes;
use crate::sstable::{Pending, Sought, Table, TableEntry, TableValue};
use crate::sync::Arc;

pub(crate) use access::{Access, InMemory, Reading};
pub(crate) use bounds::shorten;
pub(crate) use builder::Builder;
pub(crate) use current::read_current_at;
pub(crate) use edit::{LEVELS, VersionEdit};
pub(crate) use features::{Features, Needs};
pub(crate) use file::{FileMeta, ObsoleteFiles};
pub(crate) use file_numbers::FileNumbers;
pub(crate) use identity::{
    Contents, MARK, Owner, belongs, foreign, inspect, is_marked, is_ours, not_a_directory, owner,
};
pub(crate) use iter::LevelIterator;
pub(crate) use keyspaces::Flushed;
pub(crate) use lookup::Need;
use lookup::Rest;
pub(crate) use manifest::ManifestReader;
pub(crate) use salvage::{Salvage, salvage};
pub(crate) use set::VersionSet;
#[cfg(test)]
pub(crate) use set::gain_of;
pub(crate) use settings::Settings;
#[cfg(test)]
pub(crate) use table_info::Reclaimable;
pub(crate) use table_info::TableInfo;

/// How many keys [`Version::feed_together`] takes at once. Each holds a cached block, and a thread has places for
/// eight.
pub(crate) const TOGETHER: usize = 8;

/// The sums over all tables of a version.
pub(crate) struct TotalSum {
    pub(crate) sum: Sum,
    /// Whether the sum has the terms of all tables. Those of a table of format version 1 are not known.
    pub(crate) is_known: bool,
}

/// The tables of one level, in the order of VERSION-1 or VERSION-2.
#[derive(Default)]
pub(crate) struct Level {
    files: Vec<Arc<FileMeta>>,
    /// The first eight bytes of each table's largest user key, big-endian. A search reads these before it touches any
    /// file.
    prefixes: Vec<u64>,
    bytes: u64,
    /// Whether any table has tombstones, range deletes or older versions.
    has_reclaimable: bool,
}

impl Level {
    fn new(files: Vec<Arc<FileMeta>>) -> Level {
        Level {
            prefixes: files
                .iter()
                .map(|file| prefix(file.largest_key().user_key))
                .collect(),
            // Saturates: too many bytes are refused once all levels are known (VERSION-5).
            bytes: files
                .iter()
                .fold(0, |sum, file| file.size.saturating_add(sum)),
            has_reclaimable: files.iter().any(|file| file.has_reclaimable()),
            files,
        }
    }

    /// The tables.
    pub(crate) fn files(&self) -> &[Arc<FileMeta>] {
        &self.files
    }

    /// The index of the first table that reaches to `user_key` or beyond it. Requires VERSION-2.
    fn first_reaching(&self, user_key: &[u8]) -> usize {
        let prefix = prefix(user_key);
        let low = self.prefixes.partition_point(|&p| p < prefix);
        let high = low + self.prefixes[low..].partition_point(|&p| p == prefix);
        low + self.files[low..high].partition_point(|file| file.largest_key().user_key < user_key)
    }

    /// The indexes of the tables that reach into `[start, end]`; `None` is open. Requires VERSION-2.
    fn range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Range<usize> {
        let from = start.map_or(0, |start| self.first_reaching(start));
        let to = end.map_or(self.files.len(), |end| {
            let rest = &self.files[from..];
            from + rest.partition_point(|file| file.smallest_key().user_key <= end)
        });
        debug_assert!(
            from <= to && to <= self.files.len(),
            "VERSION-2: the tables that a range reaches follow one another"
        );
        from..to
    }
}

/// The first eight bytes of `user_key`, padded with zeros, as a number that sorts like the bytes do.
#[inline]
fn prefix(user_key: &[u8]) -> u64 {
    match user_key.first_chunk() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut chunk = [0; 8];
            chunk[..user_key.len()].copy_from_slice(user_key);
            u64::from_be_bytes(chunk)
        }
    }
}

/// Tables for lookups of many keys, kept open from one group of keys to the next.
#[derive(Default)]
pub(crate) struct OpenTables<'a>(Vec<(&'a FileMeta, Arc<Table>)>);

impl<'a> OpenTables<'a> {
    #[inline]
    fn place(&self, file: &FileMeta) -> Option<usize> {
        self.0
            .iter()
            .position(|(other, _)| std::ptr::eq(*other, file))
    }

    /// The place of `file`'s table, if the table may hold the key.
    #[inline]
    fn holding(
        &mut self,
        sought: Sought<'_>,
        file: &'a FileMeta,
        tables: &TableCache,
    ) -> Result<Option<usize>> {
        if let Some(place) = self.place(file) {
            return Ok(self.0[place].1.may_hold(sought).then_some(place));
        }
        let table = tables.get(&file.handle)?;
        if !table.may_hold(sought) {
            return Ok(None);
        }
        debug_assert!(
            self.0.len() < 2 * TOGETHER,
            "LEVEL-1: a group opens at most one table for each key"
        );
        self.0.push((file, Arc::clone(&table)));
        Ok(Some(self.0.len() - 1))
    }
}

/// The live tables at one moment; never changes. Another version shares the unchanged levels, so it is cheap to make.
pub(crate) struct Version {
    levels: [Arc<Level>; LEVELS],
    /// VERSION-6; `None` if there are none.
    range_deletes: Option<Arc<RangeDeletes>>,
}

impl Version {
    /// A version without tables.
    pub(crate) fn empty() -> Version {
        Version {
            levels: std::array::from_fn(|_| Arc::default()),
            range_deletes: None,
        }
    }

    /// The range deletes of all tables; `None` if there are none.
    #[inline]
    pub(crate) fn range_deletes(&self) -> Option<&Arc<RangeDeletes>> {
        self.range_deletes.as_ref()
    }

    /// The tables of `level`, in the order of VERSION-1 or VERSION-2.
    pub(crate) fn files(&self, level: usize) -> &[Arc<FileMeta>] {
        self.levels[level].files()
    }

    /// Every table with its level.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = (usize, &Arc<FileMeta>)> {
        let levels = self.levels.iter().enumerate();
        levels.flat_map(|(level, files)| files.files().iter().map(move |file| (level, file)))
    }

    /// The same tables, in each level in the opposite order.
    #[cfg(test)]
    pub(crate) fn reversed(&self) -> Version {
        let reversed = |level: &Arc<Level>| {
            let files = level.files.iter().rev().cloned();
            Arc::new(Level::new(files.collect()))
        };
        Version {
            levels: self.levels.each_ref().map(reversed),
            range_deletes: self.range_deletes.clone(),
        }
    }

    /// The sums over all tables.
    pub(crate) fn content(&self) -> TotalSum {
        let mut content = TotalSum {
            sum: Sum::default(),
            is_known: true,
        };
        for (_, file) in self.all_files() {
            content.is_known &= file.content_sum.is_some();
            content.sum += file.content().unwrap_or_else(|| file.counts());
        }
        content
    }

    /// Whether table `number` is in it.
    pub(crate) fn holds(&self, number: FileNumber) -> bool {
        self.all_files().any(|(_, file)| file.number == number)
    }

    /// Bytes of the tables of `level`.
    pub(crate) fn level_bytes(&self, level: usize) -> u64 {
        self.levels[level].bytes
    }

    /// Whether any table has tombstones, range deletes, or several versions of a key.
    pub(crate) fn has_reclaimable(&self) -> bool {
        self.levels.iter().any(|level| level.has_reclaimable)
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
    #[inline]
    pub(crate) fn file_for(&self, level: usize, user_key: &[u8]) -> Option<&Arc<FileMeta>> {
        debug_assert!(level > 0, "VERSION-2 holds for the deeper levels only");
        let level = &self.levels[level];
        if level.files.is_empty() {
            return None;
        }
        let file = level.files.get(level.first_reaching(user_key))?;
        debug_assert!(
            file.largest_key().user_key >= user_key,
            "VERSION-2: the first table that reaches the key"
        );
        debug_assert!(
            level.prefixes.len() == level.files.len(),
            "VERSION-2: a prefix for each table"
        );
        (file.smallest_key().user_key <= user_key).then_some(file)
    }

    /// Feeds `lookup` the tables' entries of the key, from its trailer on, until it is done (LOOKUP-1). Reads at most
    /// one table per deeper level.
    #[inline]
    pub(crate) fn feed<A: Access>(
        &self,
        sought: Sought<'_>,
        access: &A,
        lookup: &mut impl FnMut(Trailer, TableEntry<'_>) -> Need,
    ) -> std::result::Result<(), A::Error> {
        // Most lookups are done with the first entry.
        let mut files = self.files(0);
        while let [file, later @ ..] = files {
            files = later;
            if !file.may_answer(sought.key) {
                continue;
            }
            let fed = access.look(&file.handle, sought, |trailer, entry| {
                // Tables may also overlap in sequence numbers, so a later table may have a newer entry (VERSION-1).
                let is_newest = trailer.sequence() >= rival_among(later);
                is_newest.then(|| Rest::after(trailer, lookup(trailer, entry)))
            })?;
            if let Some(fed) = fed {
                let rest = fed.unwrap_or(Rest::From(sought.key.trailer));
                return self.feed_rest(rest, sought, access, lookup);
            }
        }
        for level in 1..LEVELS {
            let Some(file) = self.file_for(level, sought.key.user_key) else {
                continue;
            };
            let fed = access.look(&file.handle, sought, |trailer, entry| {
                Rest::after(trailer, lookup(trailer, entry))
            })?;
            if let Some(rest) = fed {
                return self.feed_rest(rest, sought, access, lookup);
            }
        }
        Ok(())
    }

    /// Feeds `lookup` the entries that it still needs.
    #[inline]
    fn feed_rest<A: Access>(
        &self,
        rest: Rest,
        sought: Sought<'_>,
        access: &A,
        lookup: &mut impl FnMut(Trailer, TableEntry<'_>) -> Need,
    ) -> std::result::Result<(), A::Error> {
        match rest {
            Rest::Nothing => Ok(()),
            Rest::From(trailer) => self.feed_older(sought.from(trailer), access, lookup),
        }
    }

    /// [`Version::feed`], one entry at a time.
    #[cold]
    fn feed_older<A: Access>(
        &self,
        mut sought: Sought<'_>,
        access: &A,
        lookup: &mut dyn FnMut(Trailer, TableEntry<'_>) -> Need,
    ) -> std::result::Result<(), A::Error> {
        for level in 0..LEVELS {
            while let Some((trailer, value)) = self.newest_in(level, sought, access)? {
                let need = lookup(trailer, value.as_entry());
                match Rest::after(trailer, need) {
                    Rest::Nothing => return Ok(()),
                    Rest::From(older) => sought = sought.from(older),
                }
            }
        }
        Ok(())
    }

    /// The newest entry of the key, at or after its trailer, in `level`.
    fn newest_in<A: Access>(
        &self,
        level: usize,
        sought: Sought<'_>,
        access: &A,
    ) -> std::result::Result<Option<(Trailer, TableValue)>, A::Error> {
        let pin = |trailer, entry: TableEntry<'_>| (trailer, entry.pin());
        if level > 0 {
            let file = self.file_for(level, sought.key.user_key);
            return file.map_or(Ok(None), |file| access.look(&file.handle, sought, pin));
        }
        let mut newest: Option<(Trailer, TableValue)> = None;
        for file in self.files(0) {
            // Tables may also overlap in sequence numbers. Stop if no later table has a newer number than this entry
            // (VERSION-1).
            if (newest.as_ref())
                .is_some_and(|(newest, _)| newest.sequence() >= file.largest_sequence)
            {
                break;
            }
            if file.may_answer(sought.key)
                && let Some(found) = access.look(&file.handle, sought, pin)?
                && newest.as_ref().is_none_or(|(newest, _)| found.0 > *newest)
            {
                newest = Some(found);
            }
        }
        Ok(newest)
    }

    /// [`Version::feed`] for up to [`TOGETHER`] keys. Interleaves their steps, so that their waits for memory
    /// overlap. `feed` also gets the key's index in `sought`; keys that are not found are omitted. `open` is kept
    /// from one call to the next.
    pub(crate) fn feed_together<'a>(
        &'a self,
        sought: &[Sought<'_>],
        tables: &TableCache,
        open: &mut OpenTables<'a>,
        fill_cache: bool,
        mut feed: impl FnMut(usize, Trailer, TableEntry<'_>) -> Need,
    ) -> Result<()> {
        debug_assert!(sought.len() <= TOGETHER);
        if open.0.len() > TOGETHER {
            open.0.clear();
        }
        // Per key: its index, the place in `open` of the first table that may have it (and mostly does), and the
        // largest number that a later table of level 0 may have for it.
        let mut asked = [(0, 0, SequenceNumber::default()); TOGETHER];
        let mut count = 0;
        let mut likely = [None; TOGETHER];
        for (&sought, likely) in sought.iter().zip(&mut likely) {
            *likely = self.first_candidate(sought, open);
            if let Some((place, _)) = *likely {
                open.0[place].1.prefetch_filter(sought);
            }
        }
        for (index, (&sought, likely)) in sought.iter().zip(likely).enumerate() {
            let found = match likely {
                Some((place, _)) if open.0[place].1.may_hold(sought) => likely,
                _ => self.first_to_ask(sought, tables, open)?,
            };
            if let Some((place, rival)) = found {
                asked[count] = (index, place, rival);
                count += 1;
            }
        }
        let asked = &asked[..count];
        let lookup = |&(index, place, _): &(usize, usize, _)| (&*open.0[place].1, sought[index]);
        debug_assert!(
            asked.is_sorted_by_key(|(index, ..)| *index),
            "LOOKUP-1: each key is asked for once"
        );
        let Some(first) = asked.first().map(lookup) else {
            return Ok(());
        };
        let mut lookups: [(&Table, Sought<'_>); TOGETHER] = [first; TOGETHER];
        for (filled, asked) in lookups.iter_mut().zip(asked) {
            *filled = lookup(asked);
        }
        let lookups = &lookups[..asked.len()];
        let mut pending: [Option<Pending>; TOGETHER] = Default::default();
        Table::begin_together(lookups, |at, begun| pending[at] = Some(begun));
        for (pending, (_, sought)) in pending.iter_mut().flatten().zip(lookups) {
            pending.prefetch_entry(*sought);
        }
        let lookups = lookups.iter().zip(asked);
        for (pending, ((table, sought), &(index, _, rival))) in
            pending.into_iter().flatten().zip(lookups)
        {
            let sought = *sought;
            let mut lookup = |trailer, entry: TableEntry<'_>| feed(index, trailer, entry);
            let first = table.finish(pending, sought, fill_cache, |trailer, entry| {
                let is_newest = trailer.sequence() >= rival;
                is_newest.then(|| Rest::after(trailer, lookup(trailer, entry)))
            })?;
            // If nothing was fed, all tables are searched.
            let rest = first.flatten().unwrap_or(Rest::From(sought.key.trailer));
            self.feed_rest(rest, sought, &Reading { tables, fill_cache }, &mut lookup)?;
        }
        Ok(())
    }

    /// The likely result of [`Version::first_to_ask`], without reading a filter: the first table whose range has the
    /// key, if that table is already open.
    #[inline]
    fn first_candidate(
        &self,
        sought: Sought<'_>,
        open: &OpenTables<'_>,
    ) -> Option<(usize, SequenceNumber)> {
        let files = self.files(0);
        if let Some(index) = files.iter().position(|file| file.may_answer(sought.key)) {
            let rival = rival_among(&files[index + 1..]);
            return Some((open.place(&files[index])?, rival));
        }
        let file = (1..LEVELS).find_map(|level| self.file_for(level, sought.key.user_key))?;
        Some((open.place(file)?, SequenceNumber::default()))
    }

    /// The place in `open` of the first table whose filter lets the key through, and a number. An entry found there
    /// is the newest one if it is not older than that number.
    #[inline]
    fn first_to_ask<'a>(
        &'a self,
        sought: Sought<'_>,
        tables: &TableCache,
        open: &mut OpenTables<'a>,
    ) -> Result<Option<(usize, SequenceNumber)>> {
        let files = self.files(0);
        for (index, file) in files.iter().enumerate() {
            if file.may_answer(sought.key)
                && let Some(place) = open.holding(sought, file, tables)?
            {
                return Ok(Some((place, rival_among(&files[index + 1..]))));
            }
        }
        for level in 1..LEVELS {
            if let Some(file) = self.file_for(level, sought.key.user_key)
                && let Some(place) = open.holding(sought, file, tables)?
            {
                return Ok(Some((place, SequenceNumber::default())));
            }
        }
        Ok(None)
    }

    /// The largest number of iterators that [`Version::iterators`] has.
    pub(crate) fn most_iterators(&self) -> usize {
        self.files(0).len() + self.deeper_levels().count()
    }

    /// The levels below level 0 that have tables.
    fn deeper_levels(&self) -> impl Iterator<Item = &Arc<Level>> {
        let levels = self.levels[1..].iter();
        levels.filter(|level| !level.files.is_empty())
    }
}

/// The largest number in these tables of level 0.
#[inline]
fn rival_among(files: &[Arc<FileMeta>]) -> SequenceNumber {
    let first = files.first();
    debug_assert!(
        files
            .get(1)
            .zip(first)
            .is_none_or(|(later, first)| later.largest_sequence <= first.largest_sequence),
        "VERSION-1: newest first"
    );
    first.map_or(SequenceNumber(0), |file| file.largest_sequence)
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.levels.iter().map(|level| level.files()))
            .finish()
    }
}

#[cfg(test)]
mod edges;
#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
pub(crate) mod tests;
