//! Merges all readable entries: the newest entry of each key goes into the new database, unless it is a
//! tombstone or deleted by a range delete.
//!
//! * REPAIR-7  The entries read are exactly those written plus those dropped as overwritten or as deleted
//!             (`content.rs`). If they do not add up, no database is made.
//! * REPAIR-11  Every range delete that can be read counts: of a table, of a log, or of the manifest's list for a live
//!              table. So what one has deleted comes back only if it is nowhere to be read.

use super::output::Output;
use crate::content::Sum;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::key::{KeyRef, SequenceNumber, ValueKind};
use crate::range_delete::RangeDelete;
use crate::range_sweep::RangeSweep;
use crate::sstable::{SalvageIterator, SalvagedTable};
use crate::version::TableInfo;

/// Writes the newest entry of each key of `tables` to `output`; returns the tables of the new database, and their
/// level. `listed`: the range deletes that the manifest lists.
pub(super) fn merge(
    env: &dyn Env,
    tables: Vec<SalvagedTable>,
    listed: Vec<RangeDelete>,
    mut output: Output<'_>,
) -> Result<Vec<(usize, TableInfo)>> {
    let read = tables.iter().map(|table| table.sum).sum();
    let (mut shadowed, mut deleted) = (Sum::default(), Sum::default());
    let mut ranges = RangeSweep::of(listed);
    let mut runs: Vec<TableRun> = Vec::new();
    for tables in into_runs(tables) {
        runs.push(TableRun::new(env, tables)?);
    }
    let mut last: Option<Vec<u8>> = None;
    loop {
        let on_entries = runs.iter().enumerate().filter(|(_, run)| run.valid());
        // The newest entry of the smallest key. Equal entries of two files count as one.
        let Some((index, run)) = on_entries.min_by(|(_, a), (_, b)| a.key().cmp(&b.key())) else {
            break;
        };
        let (key, value) = (run.key(), run.value());
        debug_assert!(
            last.as_deref().is_none_or(|last| last <= key.user_key),
            "SAVED-2: a merge ascends"
        );
        let number = key.trailer.sequence();
        ranges.advance(key.user_key);
        if key.trailer.kind() == Some(ValueKind::RangeDelete) {
            ranges.begin(RangeDelete::of_entry(key.user_key, number, value)?);
        }
        if last.as_deref() == Some(key.user_key) {
            shadowed.add_entry(key.user_key, key.trailer, value);
        } else {
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key.user_key);
            let is_put = key.trailer.kind() == Some(ValueKind::Put);
            if is_put && !ranges.deletes(number, SequenceNumber::MAX) {
                output.add(key, value)?;
            } else {
                deleted.add_entry(key.user_key, key.trailer, value);
            }
        }
        runs[index].next(env)?;
    }
    let written = output.finish()?;
    let kept = written
        .iter()
        .filter_map(|(_, table)| table.content())
        .sum();
    balance(read, shadowed, deleted, kept)?;
    Ok(written)
}

/// REPAIR-7.
fn balance(read: Sum, shadowed: Sum, deleted: Sum, written: Sum) -> Result<()> {
    if read - shadowed - deleted == written {
        return Ok(());
    }
    Err(Error::unaccounted(format!(
        "entries are unaccounted for: of {read}, {shadowed} were dropped as overwritten and {deleted} as \
         deleted, and {written} were written"
    )))
}

/// Tables one after the other: no key of one is at or after a key of the next.
struct TableRun {
    tables: std::vec::IntoIter<SalvagedTable>,
    current: Option<SalvageIterator>,
}

impl TableRun {
    fn new(env: &dyn Env, tables: Vec<SalvagedTable>) -> Result<TableRun> {
        let mut run = TableRun {
            tables: tables.into_iter(),
            current: None,
        };
        run.enter_next(env)?;
        Ok(run)
    }

    fn enter_next(&mut self, env: &dyn Env) -> Result<()> {
        let next = self.tables.next();
        self.current = next
            .map(|table| SalvageIterator::new(env, table))
            .transpose()?;
        Ok(())
    }

    fn valid(&self) -> bool {
        self.current.is_some()
    }

    fn current(&self) -> &SalvageIterator {
        self.current.as_ref().expect("the caller asked `valid`")
    }

    fn key(&self) -> KeyRef<'_> {
        self.current().key()
    }

    fn value(&self) -> &[u8] {
        self.current().value()
    }

    fn next(&mut self, env: &dyn Env) -> Result<()> {
        debug_assert!(self.valid(), "REPAIR-7: the entry was read");
        if let Some(current) = &mut self.current {
            current.next(env)?;
            if !current.valid() {
                self.enter_next(env)?;
            }
        }
        Ok(())
    }
}

/// Arranges tables in few runs.
fn into_runs(mut tables: Vec<SalvagedTable>) -> Vec<Vec<SalvagedTable>> {
    tables.sort_by(|a, b| a.smallest_key().cmp(&b.smallest_key()));
    let mut runs: Vec<Vec<SalvagedTable>> = Vec::new();
    for table in tables {
        let run = runs.iter_mut().find(|run| {
            let last = run.last().expect("no run is empty");
            last.largest_key() < table.smallest_key()
        });
        match run {
            Some(run) => run.push(table),
            None => runs.push(vec![table]),
        }
    }
    debug_assert!(
        runs.iter()
            .all(|run| run.is_sorted_by(|one, next| one.largest_key() < next.smallest_key())),
        "SAVED-2: a run ascends"
    );
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::key::Trailer;

    /// REPAIR-7.
    #[test]
    fn what_is_read_and_neither_written_nor_rightly_dropped_does_not_add_up() {
        let sum = |numbers: &[u64]| {
            let mut sum = Sum::default();
            for number in numbers {
                let trailer = Trailer::new(SequenceNumber(*number), ValueKind::Put);
                sum.add_entry(b"key", trailer, b"value");
            }
            sum
        };
        let none = Sum::default();
        balance(sum(&[1, 2, 3]), sum(&[1]), sum(&[2]), sum(&[3])).unwrap();
        balance(sum(&[1]), none, none, sum(&[1])).unwrap();
        for (shadowed, tombstones, written) in [
            (none, sum(&[2]), sum(&[3])),
            (sum(&[1]), none, sum(&[3])),
            (sum(&[1]), sum(&[2]), none),
            (sum(&[1]), sum(&[2]), sum(&[3, 3])),
            (sum(&[1]), sum(&[2]), sum(&[4])),
        ] {
            let error = balance(sum(&[1, 2, 3]), shadowed, tombstones, written).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.is_unaccounted());
        }
    }
}
