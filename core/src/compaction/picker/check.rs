//! Checks a plan from the version alone, with other rules than the picker's. A wrong plan would let an older
//! entry pass a newer one (VERSION-3), or remove a table that was not read, and nothing later would notice.
//!
//! * CHECK-1  Every table of the version is checked by its own bounds; the check relies on no order within a
//!            level and on no group.
//! * CHECK-2  A table that is not an input may overlap the range only if every newer entry stays above every
//!            older one: in a level that no entry passes, or in level 0 if all its entries are newer than those
//!            of the inputs below it.
//!
//! * CHECK-3  A table may be removed unread only if the ranges of some range deletes, put one after the other,
//!            enclose it, each newer than all of it and seen by every reader that could see an entry of it; or if
//!            it has range deletes only, and they may retire.
//!
//! Elsewhere: the handling of a wrong plan (`db/tree/compact.rs`).

use std::collections::HashSet;

use super::{Files, Plan};
use crate::compaction::readers::Readers;
use crate::error::{Error, Result};
use crate::key::FileNumber;
use crate::sync::Arc;
use crate::version::{FileMeta, LEVELS, Version, VersionEdit};

/// The error for a plan or an edit that must not be carried out.
fn wrongly_planned(what: &str) -> Error {
    Error::internal(format!("a compaction was planned wrongly: {what}"))
}

impl Plan {
    /// `Internal` if it must not be carried out (PICKER-5).
    pub(crate) fn check(&self) -> Result<()> {
        match &self.wrong {
            Some(what) => Err(wrongly_planned(what)),
            None => Ok(()),
        }
    }

    /// Checks `edit`, which is to show the plan's result. `Internal` if it removes anything but the plan's inputs,
    /// adds to another level, or, as a trivial move, adds a table other than the one it removes.
    pub(crate) fn check_edit(&self, edit: &VersionEdit) -> Result<()> {
        match self.fault_of(edit) {
            Some(what) => Err(wrongly_planned(&what)),
            None => Ok(()),
        }
    }

    fn fault_of(&self, edit: &VersionEdit) -> Option<String> {
        let removed: HashSet<_> = edit.removed.iter().copied().collect();
        let upper = self.upper.iter().map(|file| (self.level, file.number));
        let lower = (self.lower.iter()).map(|file| (self.output_level, file.number));
        let inputs: HashSet<_> = upper.chain(lower).collect();
        if let Some((level, number)) = removed.difference(&inputs).next() {
            return Some(format!(
                "its edit removes table {number} of level {level}, which it does not read"
            ));
        }
        if let Some((level, number)) = inputs.difference(&removed).next() {
            return Some(format!(
                "its edit leaves table {number} in level {level}, which it reads"
            ));
        }
        let mut added = edit.added.iter();
        if let Some((level, table)) = added.find(|(level, _)| *level != self.output_level) {
            return Some(format!(
                "its edit adds table {} to level {level}",
                table.number
            ));
        }
        let added = edit.added.iter().map(|(_, table)| table);
        let moved = self.upper.iter().map(|file| &file.info);
        (self.is_trivial_move && !added.eq(moved))
            .then(|| "its edit adds a table other than the one it moves".into())
    }

    /// If the plan, made from `version`, must not be carried out, the reason (CHECK-1, CHECK-2).
    pub(super) fn fault(&self, version: &Version) -> Option<String> {
        let numbers = |files: &Files| -> HashSet<FileNumber> {
            files.iter().map(|file| file.number).collect()
        };
        let (upper, lower) = (numbers(&self.upper), numbers(&self.lower));
        let count = upper.len() + lower.len();
        if upper.is_empty() || count != self.inputs().count() || !upper.is_disjoint(&lower) {
            return Some("it takes no table of its level, or one twice".into());
        }
        if self.output_level < self.level || self.output_level >= LEVELS {
            let (from, to) = (self.level, self.output_level);
            return Some(format!("it goes from level {from} to level {to}"));
        }
        let (first, last) = self.ends();
        if (first, last) != (Some(&self.smallest[..]), Some(&self.largest[..])) {
            return Some("the range it claims is not that of its inputs".into());
        }
        if self.is_trivial_move && (count > 1 || self.output_level == self.level) {
            return Some("it is not a move of one table".into());
        }
        let mut found = 0;
        for (level, file) in version.all_files() {
            let is_input = (level == self.level && upper.contains(&file.number))
                || (level == self.output_level && lower.contains(&file.number));
            if is_input {
                found += 1;
            } else if !self.is_drop && file.overlaps(first, last) && self.must_have(level, file) {
                return Some(format!(
                    "table {} of level {level} overlaps the inputs from level {} to level {}, but is not one of them",
                    file.number, self.level, self.output_level
                ));
            }
        }
        debug_assert!(
            found <= count,
            "VERSION-4: each input is in the version once"
        );
        (found != count).then(|| "an input is not in its level".into())
    }

    /// `Internal` if a table of a drop may have an entry that one of `readers` sees (CHECK-3). They are determined
    /// after those that the picker knew.
    pub(crate) fn check_drop(&self, readers: &Readers) -> Result<()> {
        let must_stay = |file: &&Arc<FileMeta>| match file.range_deletes.is_empty() {
            true => !self.is_buried(file, readers),
            false => !self.may_all_retire(file, readers),
        };
        match self.inputs().find(must_stay) {
            None => Ok(()),
            Some(file) => Err(wrongly_planned(&format!(
                "table {} is to be removed, but a reader may see its entries",
                file.number
            ))),
        }
    }

    fn is_buried(&self, file: &FileMeta, readers: &Readers) -> bool {
        let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
        let mut ranges: Vec<_> = (self.retiring.ranges.iter())
            .filter(|range| {
                let numbers = file.smallest_sequence..range.number;
                range.number > file.largest_sequence && !readers.are_in(&numbers)
            })
            .collect();
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        let mut reached = first;
        for range in ranges.into_iter().filter(|range| range.meets(first, last)) {
            if *range.start > *reached {
                return false;
            }
            match range.end.as_deref() {
                Some(end) if end <= last => reached = reached.max(end),
                _ => return true,
            }
        }
        false
    }

    fn may_all_retire(&self, file: &FileMeta, readers: &Readers) -> bool {
        let mut ranges = file.range_deletes.iter();
        file.entries == file.range_deletes.len() as u64
            && ranges.all(|range| {
                self.retiring.by_table.binary_search(&range.number).is_ok()
                    && !readers.are_before(range.number)
            })
    }

    /// Whether the plan would have to take `file` of `level`, which reaches into its range and is not an input
    /// (CHECK-2).
    fn must_have(&self, level: usize, file: &FileMeta) -> bool {
        if level == self.level && level != self.output_level {
            let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
            // A table of this level between the inputs is not passed. It matters only if an input overlaps it and it
            // may have older entries.
            return self.upper.iter().any(|input| {
                let is_older = file.smallest_sequence <= input.largest_sequence;
                is_older && input.overlaps(Some(first), Some(last))
            });
        }
        // The plan moves entries into this level, or past it.
        (self.level..=self.output_level).contains(&level)
    }

    /// A plan that the picker would never make, checked like a chosen one.
    #[cfg(test)]
    pub(crate) fn forged(
        version: &Version,
        [level, output_level]: [usize; 2],
        upper: &[u64],
        lower: &[u64],
    ) -> Plan {
        let files = |numbers: &[u64]| -> Files {
            let found = numbers.iter().map(|number| {
                let mut files = version.all_files();
                let found = files.find(|(_, file)| file.number.0 == *number);
                found.expect("a table of the version").1.clone()
            });
            found.collect()
        };
        let (upper, lower) = (files(upper), files(lower));
        Plan::new(version, level, output_level, upper, lower).ready(version)
    }
}
