//! Applies edits to a version: one at a time while running, a whole manifest at recovery.
//!
//! Only the levels that edits touch are copied. A file that one edit removes from a level and adds to another
//! (a trivial move) stays the same counted file, so that its removal there does not delete it here.

use std::collections::{HashMap, HashSet};

use super::edit::{LEVELS, VersionEdit};
use super::file::{FileMeta, ObsoleteFiles};
use super::{Level, Version};
use crate::error::{Error, Result};
use crate::key::FileNumber;
use crate::memory;
use crate::range_deletes::{RangeDeletes, room_for};
use crate::sync::Arc;

/// No version has more bytes or entries (VERSION-5). So sums over its tables, and what a process adds to them, cannot
/// overflow.
const MAX_COUNT: u64 = u64::MAX / 2;

impl Version {
    /// The version after `edit`, and the files of this version that are not in that one.
    ///
    /// `Internal` if the edit removes a table that is not there, or its result breaks VERSION-2 or VERSION-4.
    pub(crate) fn apply(
        &self,
        edit: &VersionEdit,
        obsolete: &Arc<ObsoleteFiles>,
    ) -> Result<(Version, Vec<Arc<FileMeta>>)> {
        let mut builder = Builder::new(self, obsolete.clone());
        builder.apply(edit)?;
        builder.finish()
    }
}

/// A version in the making.
pub(crate) struct Builder<'a> {
    base: &'a Version,
    /// The files of each touched level.
    levels: [Option<HashMap<FileNumber, Arc<FileMeta>>>; LEVELS],
    removed: HashMap<FileNumber, Arc<FileMeta>>,
    /// Whether a table with range deletes was added or removed.
    changes_ranges: bool,
    obsolete: Arc<ObsoleteFiles>,
}

impl<'a> Builder<'a> {
    /// Starts from `base`. Files that edits add queue themselves in `obsolete` later.
    pub(crate) fn new(base: &'a Version, obsolete: Arc<ObsoleteFiles>) -> Builder<'a> {
        Builder {
            base,
            levels: std::array::from_fn(|_| None),
            removed: HashMap::new(),
            changes_ranges: false,
            obsolete,
        }
    }

    fn level(&mut self, level: usize) -> &mut HashMap<FileNumber, Arc<FileMeta>> {
        self.levels[level].get_or_insert_with(|| {
            let files = self.base.files(level).iter();
            files.map(|file| (file.number, file.clone())).collect()
        })
    }

    /// Applies one edit; `Internal` if it removes a table that is not there, or adds one that is.
    pub(crate) fn apply(&mut self, edit: &VersionEdit) -> Result<()> {
        for &(level, number) in &edit.removed {
            let file = self.level(level).remove(&number).ok_or_else(|| {
                let what = format!("an edit removes table {number}, not in level {level}");
                Error::internal(what)
            })?;
            self.changes_ranges |= !file.range_deletes.is_empty();
            self.removed.insert(number, file);
        }
        for (level, info) in &edit.added {
            let file = match self.removed.remove(&info.number) {
                Some(file) if file.info == *info => file,
                Some(_) => {
                    let what = format!("an edit moves table {} and changes it", info.number);
                    return Err(Error::internal(what));
                }
                None => FileMeta::new(edit.about(), info.clone(), self.obsolete.clone()),
            };
            self.changes_ranges |= !info.range_deletes.is_empty();
            if self.level(*level).insert(info.number, file).is_some() {
                let what = format!("an edit adds table {} again", info.number);
                return Err(Error::internal(what));
            }
        }
        Ok(())
    }

    /// The new version, and the files that were removed for good. `Internal` if VERSION-2, VERSION-4 or VERSION-5
    /// would break.
    pub(crate) fn finish(mut self) -> Result<(Version, Vec<Arc<FileMeta>>)> {
        let mut levels: [Arc<Level>; LEVELS] = self.base.levels.clone();
        for (number, level) in levels.iter_mut().enumerate() {
            let Some(files) = self.levels[number].take() else {
                continue;
            };
            let mut files: Vec<Arc<FileMeta>> = files.into_values().collect();
            match number {
                0 => files
                    .sort_by_key(|file| std::cmp::Reverse((file.largest_sequence, file.number))),
                _ => {
                    files.sort_by(|a, b| a.smallest_key().cmp(&b.smallest_key()));
                    check_disjoint(number, &files)?;
                }
            }
            *level = Arc::new(Level::new(files));
        }
        let range_deletes = match self.changes_ranges {
            true => ranges_of(&levels)?,
            false => self.base.range_deletes.clone(),
        };
        let version = Version {
            levels,
            range_deletes,
        };
        debug_assert!(
            (version.range_deletes()).map_or(0, |ranges| ranges.len())
                == version
                    .all_files()
                    .map(|(_, file)| file.range_deletes.len())
                    .sum::<usize>(),
            "VERSION-6: those of all tables"
        );
        debug_assert!(
            version.files(0).is_sorted_by(|newer, older| {
                (newer.largest_sequence, newer.number) > (older.largest_sequence, older.number)
            }),
            "VERSION-1: newest first"
        );
        let mut numbers = HashSet::new();
        let (mut bytes, mut entries) = (0u64, 0u64);
        for (_, file) in version.all_files() {
            if !numbers.insert(file.number) {
                let what = format!("table {} would be in two levels", file.number);
                return Err(Error::internal(what));
            }
            bytes = bytes.saturating_add(file.size);
            entries = entries.saturating_add(file.entries);
        }
        if bytes.max(entries) > MAX_COUNT {
            return Err(Error::internal("the sizes of its tables are impossible"));
        }
        Ok((version, self.removed.into_values().collect()))
    }
}

/// The range deletes of all tables (VERSION-6).
fn ranges_of(levels: &[Arc<Level>]) -> Result<Option<Arc<RangeDeletes>>> {
    let files = || levels.iter().flat_map(|level| level.files());
    let all = || files().flat_map(|file| file.range_deletes.iter());
    let count = all().count();
    if count == 0 {
        return Ok(None);
    }
    room_for(0, count, 0)?;
    let ranges = memory::collect(all().cloned(), "range deletes")?;
    Ok(Some(Arc::new(RangeDeletes::of(ranges))))
}

/// VERSION-2.
fn check_disjoint(level: usize, files: &[Arc<FileMeta>]) -> Result<()> {
    for pair in files.windows(2) {
        if pair[0].largest_key().user_key >= pair[1].smallest_key().user_key {
            return Err(Error::internal(format!(
                "tables {} and {} of level {level} overlap",
                pair[0].number, pair[1].number
            )));
        }
    }
    Ok(())
}
