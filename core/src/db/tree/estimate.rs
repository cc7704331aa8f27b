//! Estimates how many entries a range has, from the counts that tables and memtables keep. Reads no data block.

use super::Tree;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::range_deletes::Coverage;
use crate::sync::Arc;
use crate::version::{FileMeta, LEVELS};

impl Tree {
    /// See `DB::approximate_count`.
    pub(in crate::db) fn approximate_count(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<u64> {
        if start.zip(end).is_some_and(|(start, end)| start >= end) {
            return Ok(0);
        }
        let superversion = self.load_full();
        let sealed = superversion.sealed.iter().map(|sealed| &sealed.memtable);
        let memtables = std::iter::once(&superversion.active).chain(sealed);
        let mut balance: i128 = memtables
            .map(|memtable| balance_of_memtable(memtable, start, end))
            .sum();
        let mut coverage = superversion.coverage(self.order.last());
        for level in 0..LEVELS {
            for file in superversion.version.overlapping(level, start, end) {
                if is_covered(&mut coverage, &file) {
                    continue;
                }
                balance += self.balance_of_table(&file, start, end)?;
            }
        }
        // Tombstones of absent keys count as if they hid something.
        Ok(u64::try_from(balance.max(0)).unwrap_or(u64::MAX))
    }

    /// The part of the table's balance that lies in the range.
    fn balance_of_table(
        &self,
        file: &Arc<FileMeta>,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<i128> {
        let (smallest, largest) = (file.smallest_key().user_key, file.largest_key().user_key);
        if end.is_some_and(|end| end <= smallest) {
            return Ok(0);
        }
        // A newer entry hides an older version. A tombstone hides an older version here or an entry elsewhere.
        let hidden = file.tombstones.max(file.older_versions());
        let unseen = file.tombstones + file.range_deletes.len() as u64;
        let balance = i128::from(file.entries) - i128::from(unseen) - i128::from(hidden);
        let start = start.filter(|start| *start > smallest);
        let end = end.filter(|end| *end <= largest);
        if start.is_none() && end.is_none() {
            return Ok(balance);
        }
        let (part, whole) = self.tables.open(&file.handle)?.approximate_part(start, end);
        Ok(in_part(balance, part, whole))
    }
}

/// Whether range deletes delete all entries of a table.
fn is_covered(coverage: &mut Option<Coverage>, file: &FileMeta) -> bool {
    let Some(coverage) = coverage else {
        return false;
    };
    let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
    let newest = file.largest_sequence;
    let uncovered = |coverage: &mut Coverage, key: &[u8]| coverage.at(key).newest <= newest;
    coverage.find_piece(first, last, uncovered) == Some(false)
}

/// The part of the memtable's balance that lies in the range: its puts, minus one for each tombstone.
fn balance_of_memtable(memtable: &Memtable, start: Option<&[u8]>, end: Option<&[u8]>) -> i128 {
    let (entries, sum) = (memtable.entries(), memtable.sum());
    let unseen = 2 * i128::from(sum.tombstones) + i128::from(sum.range_deletes);
    let balance = i128::from(entries) - unseen;
    match (start, end) {
        (None, None) => balance,
        _ => in_part(balance, memtable.entries_between(start, end), entries),
    }
}

/// `balance` in proportion to `part` of `whole`, rounded; `part` is at most the whole.
fn in_part(balance: i128, part: u64, whole: u64) -> i128 {
    let (part, whole) = (i128::from(part.min(whole)), i128::from(whole.max(1)));
    (2 * balance * part + whole).div_euclid(2 * whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_rounded_and_never_more_than_the_whole() {
        assert_eq!(in_part(10, 3, 3), 10);
        assert_eq!(in_part(10, 4, 3), 10);
        assert_eq!(in_part(10, 1, 3), 3);
        assert_eq!(in_part(10, 2, 3), 7);
        assert_eq!(in_part(-10, 1, 2), -5);
        assert_eq!(in_part(10, 0, 0), 0);
    }
}
