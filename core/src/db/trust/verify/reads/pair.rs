//! Sums of keys and values as readers see them, without sequence numbers.

use crate::content::Sum;
use crate::key::{SequenceNumber, Trailer, ValueKind};

/// Adds a pair, with sequence number 0: a cursor does not show the number.
pub(super) fn add_pair(sum: &mut Sum, key: &[u8], value: &[u8]) {
    sum.add_entry(key, Trailer::new(SequenceNumber(0), ValueKind::Put), value);
}

pub(super) fn pair_sum(key: &[u8], value: &[u8]) -> Sum {
    let mut sum = Sum::default();
    add_pair(&mut sum, key, value);
    sum
}
