//! Compactions that sweep: they drop what range deletes cover in tables that stay, and the range deletes that then
//! retire.
//!
//! * SWEEPS-1  Sweeping ends: each such compaction either makes level 0 smaller, or raises the number that a table is
//!             swept up to (SWEPT-1), or retires a range delete.
//!
//! Elsewhere: whole tables (`drops.rs`), and when it is done (`upkeep.rs`).

use std::collections::HashSet;

use super::Files;
use super::retiring::is_alone;
use crate::key::{FileNumber, SequenceNumber};
use crate::range_deletes::Coverage;
use crate::sync::Arc;
use crate::version::{FileMeta, Version};

/// See the head of the file.
pub(super) struct Sweeps<'a> {
    version: &'a Version,
    /// The oldest reader's number.
    reader: SequenceNumber,
    /// What range deletes cover that all readers see, and what all range deletes cover.
    now: Option<Coverage>,
    at_last: Option<Coverage>,
}

/// What a compaction would sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Swept {
    /// Something, now.
    pub(super) now: bool,
    /// Something, if there were no snapshot.
    pub(super) at_last: bool,
}

impl<'a> Sweeps<'a> {
    /// The sweeps in `version`, for readers at `visible`, ascending.
    pub(super) fn new(version: &'a Version, visible: &[SequenceNumber]) -> Sweeps<'a> {
        let reader = visible.first().copied().unwrap_or_default();
        let up_to = |number| Coverage::of(version.range_deletes().cloned().into_iter(), number);
        Sweeps {
            version,
            reader,
            now: up_to(reader),
            at_last: up_to(SequenceNumber::MAX),
        }
    }

    /// What a compaction would sweep whose inputs are `upper` and `lower`.
    pub(super) fn of(&mut self, upper: &[Arc<FileMeta>], lower: &Files) -> Swept {
        let mut swept = Swept::default();
        if self.at_last.is_none() {
            return swept;
        }
        let inputs = || upper.iter().chain(lower);
        let numbers: HashSet<FileNumber> = inputs().map(|file| file.number).collect();
        for file in inputs() {
            swept.now |= has_covered(&mut self.now, file);
            swept.at_last |= has_covered(&mut self.at_last, file);
            for range in &*file.range_deletes {
                if !swept.now && is_alone(range, self.version, &numbers) {
                    swept.at_last = true;
                    swept.now |= range.number <= self.reader;
                }
            }
        }
        swept.at_last |= swept.now;
        swept
    }
}

/// Whether `file` may have an entry that `coverage` covers.
fn has_covered(coverage: &mut Option<Coverage>, file: &FileMeta) -> bool {
    let Some(coverage) = coverage else {
        return false;
    };
    let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
    let known = file.smallest_sequence.max(file.swept);
    let found = coverage.find_piece(first, last, |coverage, key| coverage.at(key).newest > known);
    found == Some(true)
}
