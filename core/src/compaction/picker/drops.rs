//! Tables that need not be read to be removed (DROP-1): range deletes cover all their entries, or they have nothing but
//! range deletes that retire.
//!
//! Elsewhere: the second look at such a plan (`check.rs`), and the one that the ledger takes elsewhere (`ledger.rs`).

use std::collections::HashSet;

use super::retiring::is_alone;
use super::{Files, Picker, Plan};
use crate::key::{FileNumber, SequenceNumber};
use crate::range_delete::RangeDelete;
use crate::range_deletes::Coverage;
use crate::version::{FileMeta, LEVELS};

/// The tables of one level that can be removed, as a plan that can start now; `None` if there are none. `visible`: the
/// numbers of readers, ascending.
pub(super) fn pick_drop(picker: &Picker<'_>, visible: &[SequenceNumber]) -> Option<Plan> {
    let version = picker.version;
    let ranges = version.range_deletes().cloned();
    let mut coverage = Coverage::of(ranges.into_iter(), SequenceNumber::MAX)?;
    let mut plans = (0..LEVELS).filter_map(|level| {
        let files = version.files(level).iter();
        let free = files.filter(|file| !picker.is_busy(file));
        let mut dropped: Files = free.cloned().collect();
        dropped.retain(|file| match file.range_deletes.is_empty() {
            true => is_covered(&mut coverage, file, visible),
            false => file.range_deletes.len() as u64 == file.entries,
        });
        let mut numbers: HashSet<FileNumber> = dropped.iter().map(|file| file.number).collect();
        // One that stays may be the reason why another must stay.
        let mut before = numbers.len() + 1;
        while numbers.len() < before {
            before = numbers.len();
            let retires = |range: &RangeDelete| {
                visible.first() >= Some(&range.number) && is_alone(range, version, &numbers)
            };
            dropped.retain(|file| file.range_deletes.iter().all(retires));
            numbers = dropped.iter().map(|file| file.number).collect();
        }
        if dropped.is_empty() {
            return None;
        }
        dropped.sort_by(|a, b| a.smallest_key().cmp(&b.smallest_key()));
        let mut plan = Plan::new(version, level, level, dropped, Vec::new());
        plan.is_drop = true;
        Some(plan)
    });
    plans.find(|plan| picker.is_free(plan))
}

/// Whether range deletes cover all entries of `file`, and no reader sees one of them.
fn is_covered(coverage: &mut Coverage, file: &FileMeta, visible: &[SequenceNumber]) -> bool {
    let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
    let [smallest, largest] = [file.smallest_sequence, file.largest_sequence];
    let reader = visible.get(visible.partition_point(|reader| *reader < smallest));
    // A reader is at or after the last published number, which is not before the range delete.
    let is_hidden = |by: SequenceNumber| reader.is_some_and(|reader| by <= *reader);
    let found = coverage.find_piece(first, last, |coverage, key| {
        !coverage.oldest_above(key, largest).is_some_and(is_hidden)
    });
    found == Some(false)
}
