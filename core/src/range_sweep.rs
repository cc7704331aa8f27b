//! `RangeSweep`: the range deletes that cover one key after the other, by the simplest rule.
//!
//! It is the second way to know what is deleted, for code that checks others: the ledger, `verify` and `repair`. It
//! shares nothing with that of readers and of retention (`range_deletes.rs`).
//!
//! * SWEEP-1  Keys come in ascending order. After `advance` it knows exactly the range deletes that have the key, by
//!            their numbers.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::key::SequenceNumber;
use crate::range_delete::RangeDelete;
use crate::sync::Arc;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct RangeSweep {
    /// Those that have not begun, the next one last.
    coming: Vec<RangeDelete>,
    /// Numbers of those that have begun and not ended.
    covering: BTreeSet<SequenceNumber>,
    /// When they end, without those that have no end.
    ends: BinaryHeap<Reverse<(Arc<[u8]>, SequenceNumber)>>,
}

impl RangeSweep {
    /// These range deletes, in any order.
    pub(crate) fn of(mut ranges: Vec<RangeDelete>) -> RangeSweep {
        ranges.sort_unstable_by(|one, other| other.start.cmp(&one.start));
        RangeSweep {
            coming: ranges,
            ..RangeSweep::default()
        }
    }

    /// Adds one that begins at the key which comes next.
    pub(crate) fn begin(&mut self, range: RangeDelete) {
        self.covering.insert(range.number);
        if let Some(end) = range.end {
            self.ends.push(Reverse((end, range.number)));
        }
    }

    /// Goes on to `key`, which is at or after the last one.
    pub(crate) fn advance(&mut self, key: &[u8]) {
        while let Some(range) = self.coming.pop_if(|range| *range.start <= *key) {
            self.begin(range);
        }
        while let Some(Reverse((end, number))) = self.ends.peek()
            && **end <= *key
        {
            self.covering.remove(number);
            self.ends.pop();
        }
    }

    /// The numbers of those that delete an entry of the current key with this number, for a reader at `reader`.
    pub(crate) fn deleting(
        &self,
        number: SequenceNumber,
        reader: SequenceNumber,
    ) -> impl Iterator<Item = &SequenceNumber> {
        let range = (number < reader).then(|| self.covering.range(number.plus(1)..=reader));
        range.into_iter().flatten()
    }

    /// Whether an entry of the current key with this number is deleted for a reader at `reader`.
    pub(crate) fn deletes(&self, number: SequenceNumber, reader: SequenceNumber) -> bool {
        self.deleting(number, reader).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use aidb_test_data::Random;

    use super::*;

    /// SWEEP-1.
    #[test]
    fn at_each_key_it_knows_the_range_deletes_that_have_it() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let ranges: Vec<_> = (1..=random.below(12))
                .map(|number| {
                    let start = random.below(20) as u8;
                    let end = start + 1 + random.below(10) as u8;
                    RangeDelete {
                        start: Arc::from(&[start][..]),
                        end: (random.below(4) > 0).then(|| Arc::from(&[end][..])),
                        number: SequenceNumber(number),
                    }
                })
                .collect();
            let mut known = RangeSweep::of(ranges.clone());
            let mut met = RangeSweep::default();
            for key in 0..32u8 {
                for range in ranges.iter().filter(|range| *range.start == [key]) {
                    met.begin(range.clone());
                }
                if random.below(3) == 0 {
                    continue;
                }
                let number = SequenceNumber(random.below(12));
                let reader = SequenceNumber(random.below(14));
                let is_deleted = ranges.iter().any(|range| {
                    range.covers(&[key]) && number < range.number && range.number <= reader
                });
                for sweep in [&mut known, &mut met] {
                    sweep.advance(&[key]);
                    assert_eq!(
                        sweep.deletes(number, reader),
                        is_deleted,
                        "seed {seed} {key}"
                    );
                }
            }
        }
    }
}
