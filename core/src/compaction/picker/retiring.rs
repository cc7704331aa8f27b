//! Which range deletes of a plan's inputs may retire, as far as tables are concerned: no table but the inputs may have
//! an entry that the range delete covers.
//!
//! * RETIRE-1  A table has no such entry if its bounds do not meet the range, if all its numbers are larger than that
//!             of the range delete, or if it was swept up to that number (SWEPT-1). Nothing else counts as a reason.
//!
//! There are two answers, each found in its own way: one for retention, one for the ledger (LEDGER-4).
//!
//! Elsewhere: the readers (`retention.rs`, `ledger.rs`), and why memtables need no look (`db/tree/flush.rs`, FLUSH-8).

use std::collections::HashSet;

use super::Plan;
use crate::key::{FileNumber, SequenceNumber};
use crate::range_delete::RangeDelete;
use crate::version::{LEVELS, Version};

/// See the head of the file.
#[derive(Debug, Clone, Default)]
pub(in crate::compaction) struct Retiring {
    /// For retention: found level by level. Ascending.
    pub(in crate::compaction) by_level: Vec<SequenceNumber>,
    /// For the ledger: found by looking at every table. Ascending.
    pub(in crate::compaction) by_table: Vec<SequenceNumber>,
    /// The range deletes of the version that meet the inputs, from the lists of the tables.
    pub(in crate::compaction) ranges: Vec<RangeDelete>,
}

impl Retiring {
    /// The answers for `plan`, which was made from `version`.
    pub(super) fn of(plan: &Plan, version: &Version) -> Retiring {
        let inputs: HashSet<FileNumber> = plan.inputs().map(|file| file.number).collect();
        let ranges = || plan.inputs().flat_map(|file| file.range_deletes.iter());
        let numbers = |may: &dyn Fn(&RangeDelete) -> bool| {
            let may_retire = ranges().filter(|range| may(range));
            let mut numbers: Vec<_> = may_retire.map(|range| range.number).collect();
            numbers.sort_unstable();
            numbers
        };
        let (first, last) = plan.range();
        let all = version
            .all_files()
            .flat_map(|(_, file)| file.range_deletes.iter());
        Retiring {
            by_level: numbers(&|range| is_alone(range, version, &inputs)),
            by_table: numbers(&|range| {
                let mut files = version.all_files();
                files.all(|(_, file)| {
                    inputs.contains(&file.number) || !file.may_be_covered_by(range)
                })
            }),
            ranges: all
                .filter(|range| range.meets(first, last))
                .cloned()
                .collect(),
        }
    }
}

/// Whether no table but the inputs may have an entry that `range` covers (RETIRE-1).
pub(super) fn is_alone(
    range: &RangeDelete,
    version: &Version,
    inputs: &HashSet<FileNumber>,
) -> bool {
    (0..LEVELS).all(|level| {
        let files = version.overlapping(level, Some(&range.start), range.end.as_deref());
        let mut others = files.iter().filter(|file| !inputs.contains(&file.number));
        others.all(|file| {
            let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
            // `overlapping` includes a table that begins at the end of the range.
            file.smallest_sequence.max(file.swept) >= range.number || !range.meets(first, last)
        })
    })
}
