//! Counts entries with a cursor that shows neither keys nor values, and says how far it is.

use std::ops::ControlFlow;

use super::Walks;
use super::cursor::Cursor;
use crate::error::Result;
use crate::options::IterOptions;

/// Progress is told after this many entries, or after fewer that have about this many bytes outside of spans: a few
/// milliseconds of work.
const PIECE_ENTRIES: u32 = 1 << 16;
const PIECE_BYTES: usize = 8 << 20;

/// The progress of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CountProgress {
    /// Entries counted so far.
    pub counted: u64,
    /// About how many there are: [`DB::approximate_count`](crate::DB::approximate_count) of the range when the
    /// count began, or `counted` if that is more. In the last report it is the result.
    pub approximate_total: u64,
}

/// Called with the progress of a count; may end it.
type Progress<'a> = &'a mut dyn FnMut(CountProgress) -> ControlFlow<()>;

impl Walks {
    /// Counts the entries that `options` describes; see `DB::count_with`.
    pub(in crate::db) fn count(&self, options: IterOptions, progress: Progress<'_>) -> Result<u64> {
        let options = options.keys(false).values(false);
        let mut cursor = Cursor::open(&self.tree, &self.holds, options)?;
        let (lower, upper) = cursor.bounds();
        let estimate = self.tree.approximate_count(lower, upper)?;
        let mut at = CountProgress::default();
        loop {
            at.counted += u64::from(cursor.count_some(PIECE_ENTRIES, PIECE_BYTES)?);
            at.approximate_total = estimate.max(at.counted);
            let is_over = !cursor.valid();
            if is_over {
                at.approximate_total = at.counted;
            }
            if progress(at).is_break() || is_over {
                return Ok(at.counted);
            }
        }
    }
}
