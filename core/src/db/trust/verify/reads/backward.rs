//! Compares a backward cursor with the expected pairs, run by run.

use super::message::ShownPosition;
use super::pair::add_pair;
use super::readers::Pairs;
use crate::content::Sum;
use crate::db::trust::verify::shown::Shown;
use crate::error::Result;
use crate::memory;

/// The bytes and the pairs that a cursor walks backward at a time: what the forward cursor has just read is still
/// cached then.
const RUN_BYTES: u64 = 1 << 20;
pub(super) const RUN_PAIRS: u64 = 4096;

/// A cursor that walks each run of expected pairs backward, and one step beyond it.
pub(super) struct Backward<C> {
    cursor: C,
    run: PairRun,
    /// The last key before the run.
    before: Option<Vec<u8>>,
    differs: bool,
}

/// A run of pairs.
#[derive(Default)]
struct PairRun {
    first: Vec<u8>,
    last: Vec<u8>,
    sum: Sum,
    bytes: u64,
}

impl PairRun {
    fn is_full(&self) -> bool {
        self.bytes >= RUN_BYTES || self.sum.puts >= RUN_PAIRS
    }
}

impl<C: Pairs> Backward<C> {
    pub(super) fn new(cursor: C) -> Backward<C> {
        Backward {
            cursor,
            run: PairRun::default(),
            before: None,
            differs: false,
        }
    }

    /// Adds the next expected pair, in forward order. Compares the run with the cursor once it is full.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        differences: &mut Vec<String>,
    ) -> Result<()> {
        if self.differs {
            return Ok(());
        }
        if self.run.is_full() {
            // Not the last one, since there is this pair.
            let found = self.cursor.seek_for_prev(&self.run.last)?;
            self.look(found, differences)?;
            self.before = Some(std::mem::take(&mut self.run).last);
        }
        let run = &mut self.run;
        debug_assert!(
            run.sum.puts == 0 || &run.last[..] < key,
            "READS-3: the expected pairs ascend"
        );
        if run.sum.puts == 0 {
            memory::replace(&mut run.first, key, "a key")?;
        }
        memory::replace(&mut run.last, key, "a key")?;
        run.bytes += (key.len() + value.len()) as u64;
        add_pair(&mut run.sum, key, value);
        Ok(())
    }

    /// Compares the last run, from the end of the database.
    pub(super) fn finish(&mut self, differences: &mut Vec<String>) -> Result<()> {
        if self.differs {
            return Ok(());
        }
        let found = self.cursor.last()?;
        self.look(found, differences)
    }

    /// Walks a run of pairs. If the cursor is on an entry, it should be the last pair of the run.
    fn look(&mut self, mut found: bool, differences: &mut Vec<String>) -> Result<()> {
        let run = &self.run;
        debug_assert!(
            self.before
                .as_ref()
                .is_none_or(|before| *before < run.first),
            "READS-3: a run begins behind the one before"
        );
        let mut sum = Sum::default();
        let is_at_last = found && self.cursor.key() == run.last;
        while found && run.sum.puts > 0 && self.cursor.key() >= &run.first[..] {
            add_pair(&mut sum, self.cursor.key(), self.cursor.value());
            found = self.cursor.prev()?;
        }
        let next = found.then(|| self.cursor.key());
        let is_empty = run.sum.puts == 0 && next.is_none();
        if is_empty || (is_at_last && sum == run.sum && next == self.before.as_deref()) {
            return Ok(());
        }
        self.differs = true;
        let mut difference = format!(
            "a cursor going backward from {} to {} finds pairs other than the stored ones, {} instead of {}",
            Shown(&run.last),
            Shown(&run.first),
            sum.puts,
            run.sum.puts,
        );
        if next != self.before.as_deref() {
            let (next, before) = (ShownPosition(next), ShownPosition(self.before.as_deref()));
            difference.push_str(&format!("; and then {next}, where {before} is next"));
        }
        differences.push(difference);
        Ok(())
    }
}
