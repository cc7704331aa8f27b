//! The readers whose view a compaction must not change, as those know them who check it.

use std::ops::Range;

use crate::key::SequenceNumber;

/// The readers (LEDGER-3). This list is made after the numbers that retention uses. A reader that came in between
/// reads at a number that was already published; one that is gone needs nothing.
pub(crate) struct Readers {
    /// Any reader may read at this number or a later one.
    pub(crate) published: SequenceNumber,
    /// Numbers of snapshots, in any order.
    pub(crate) pinned: Vec<SequenceNumber>,
}

impl Readers {
    /// Whether one of them may read before this number.
    pub(super) fn are_before(&self, number: SequenceNumber) -> bool {
        self.published < number || self.pinned.iter().any(|pinned| *pinned < number)
    }

    /// Whether one of them may read at one of these numbers.
    pub(super) fn are_in(&self, numbers: &Range<SequenceNumber>) -> bool {
        self.published < numbers.end || self.pinned.iter().any(|pinned| numbers.contains(pinned))
    }
}
