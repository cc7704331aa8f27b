//! Sizes and counts on both sides of the thresholds.
//!
//! A threshold also counts the bytes around a value: the lengths before it, the other entries of its block, the header
//! of its record. So beside the exact sizes -1, 0 and +1 there are some a little below.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::thresholds::{THRESHOLDS, Unit, values};
use crate::{Random, Threshold};

/// How far below a threshold a value may lie and still reach it with the bytes around it.
const SURROUNDINGS: u64 = 64;
/// Small sizes, at which the code changes nothing.
const EVERYDAY: u64 = 120;

static BYTES: LazyLock<Vec<u64>> = LazyLock::new(|| values(Unit::Bytes));
static COUNTS: LazyLock<Vec<u64>> = LazyLock::new(|| values(Unit::Count));

/// The sizes that a test can afford.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    most: usize,
    mean: usize,
}

impl Sizes {
    /// For tests that draw thousands of values.
    pub const USUAL: Sizes = Sizes::new(1 << 19, 700);

    /// No size is above `most`, and the mean is about `mean` at most: thresholds larger than a few times `mean` are
    /// drawn rarely enough for that.
    pub const fn new(most: usize, mean: usize) -> Sizes {
        Sizes { most, mean }
    }

    /// For histories: most draw small sizes and can be long, some draw larger ones and should be short. The second
    /// result is the divisor for the length of the usual history.
    pub fn of_a_history(random: &mut Random) -> (Sizes, u64) {
        match random.below(40) {
            0..28 => (Sizes::new(1 << 17, *random.pick(&[60, 500, 1500])), 1),
            28..39 => (Sizes::new(1 << 19, 8_000), 3),
            _ => (Sizes::new((16 << 20) + 1, 100_000), 12),
        }
    }

    /// The same, with no size above `most`.
    pub fn at_most(self, most: usize) -> Sizes {
        Sizes::new(self.most.min(most), self.mean)
    }

    /// The largest size.
    pub fn most(&self) -> usize {
        self.most
    }
}

/// The sizes right below, at and right above `threshold`.
pub fn edges(threshold: &Threshold) -> [u64; 3] {
    let value = threshold.value;
    [value.saturating_sub(1), value, value.saturating_add(1)]
}

/// The numbers right below, at and right above every threshold of this unit, each once, ascending, up to `most`.
pub fn edges_up_to(most: usize, unit: Unit) -> Vec<usize> {
    let thresholds = THRESHOLDS.iter().filter(|one| one.unit == unit);
    let affordable = thresholds
        .flat_map(edges)
        .filter(|edge| *edge <= most as u64);
    let each_once: BTreeSet<usize> = affordable.map(|edge| edge as usize).collect();
    each_once.into_iter().collect()
}

impl Random {
    /// A size in bytes: small, or near a threshold.
    pub fn size(&mut self, sizes: &Sizes) -> usize {
        let most = sizes.most as u64;
        for _ in 0..4 {
            if !self.one_in(3) {
                break;
            }
            let affordable = BYTES.partition_point(|value| *value <= most.saturating_add(1));
            let value = BYTES[self.index(affordable.max(1))];
            let around = match self.below(5) {
                0 => value - 1,
                1 | 2 => value,
                3 => value + 1,
                _ => value.saturating_sub(self.below(SURROUNDINGS)),
            };
            let is_cheap = around <= 4 * sizes.mean as u64;
            if around <= most && (is_cheap || self.below(around) < 4 * sizes.mean as u64) {
                return around as usize;
            }
        }
        match self.one_in(12) {
            true => 0,
            false => self.below(EVERYDAY.min(most) + 1) as usize,
        }
    }

    /// A count, such as of operations in a batch or versions of a key: small, or near a threshold; at most `most`.
    pub fn count(&mut self, most: u64) -> u64 {
        let affordable = COUNTS.partition_point(|value| *value < most);
        if affordable > 0 && self.one_in(4) {
            let around = (COUNTS[self.index(affordable)] + self.below(3)).saturating_sub(1);
            return around.min(most);
        }
        self.below(6.min(most) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_that_is_affordable_is_met_on_both_sides() {
        let sizes = Sizes::new(300_000, 20_000);
        let mut random = Random::new(5);
        let drawn: BTreeSet<u64> = (0..100_000).map(|_| random.size(&sizes) as u64).collect();
        let bytes = THRESHOLDS
            .iter()
            .filter(|threshold| threshold.unit == Unit::Bytes && threshold.value < 300_000);
        for threshold in bytes {
            for edge in edges(threshold) {
                assert!(drawn.contains(&edge), "{threshold:?}: {edge}");
            }
        }
        let counts: BTreeSet<u64> = (0..20_000).map(|_| random.count(2000)).collect();
        let few = THRESHOLDS
            .iter()
            .filter(|threshold| threshold.unit == Unit::Count && threshold.value < 2000);
        for threshold in few {
            for edge in edges(threshold) {
                assert!(counts.contains(&edge), "{threshold:?}: {edge}");
            }
        }
    }

    #[test]
    fn the_longest_key_and_one_byte_more_are_drawn_where_they_are_affordable() {
        let sizes = Sizes::new((16 << 20) + 1, 1 << 20);
        let mut random = Random::new(5);
        let drawn: BTreeSet<usize> = (0..20_000).map(|_| random.size(&sizes)).collect();
        assert!(drawn.contains(&(16 << 20)) && drawn.contains(&((16 << 20) + 1)));
    }

    #[test]
    fn the_mean_is_not_far_above_what_was_asked_for_and_no_size_is_above_the_most() {
        for (most, mean) in [
            (20_000, 40),
            (1 << 19, 700),
            (1 << 19, 8_000),
            (1 << 24, 100_000),
        ] {
            let mut random = Random::new(9);
            let sizes = Sizes::new(most, mean);
            let drawn: Vec<usize> = (0..50_000).map(|_| random.size(&sizes)).collect();
            let found = drawn.iter().sum::<usize>() / drawn.len();
            assert!(found < mean + 200, "{sizes:?}: {found}");
            assert!(drawn.iter().all(|size| *size <= most), "{sizes:?}");
        }
    }

    #[test]
    fn a_small_most_is_kept_to() {
        let mut random = Random::new(2);
        for most in [0, 1, 2, 5, 63] {
            let sizes = Sizes::new(most, 10);
            assert!((0..1000).all(|_| random.size(&sizes) <= most));
            assert!((0..1000).all(|_| random.count(most as u64) <= most as u64));
        }
    }
}
