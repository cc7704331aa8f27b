//! Whether a range of keys has changed since a number, as the tree's memtables and tables tell.

use super::Walks;
use super::source::sources;
use crate::effort;
use crate::error::Result;
use crate::iterator::InternalIterator;
use crate::iterator::merging::MergingIterator;
use crate::key::{KeyRef, SequenceNumber, Trailer};
use crate::memory;
use crate::options::IterOptions;
use crate::transaction::KeyRange;

impl Walks {
    /// Whether a key of `range` has an entry with a later number than `since`, or a range delete has one and covers a
    /// part of `range`; of those published before the call. The caller holds a snapshot at or before `since`. May
    /// overlook keys that were made after `since` and then removed.
    ///
    /// Cost: reads all entries of the range.
    pub(in crate::db) fn is_changed(
        &self,
        range: &KeyRange,
        since: SequenceNumber,
    ) -> Result<bool> {
        let copy = |bound: &Vec<u8>| memory::copy_of(bound, "a bound");
        let options = IterOptions {
            lower_bound: Some(copy(&range.start)?),
            upper_bound: range.end.as_ref().map(copy).transpose()?,
            fill_cache: false,
            ..IterOptions::default()
        };
        // SUPERVERSION-2.
        let superversion = self.tree.load_full();
        let published = self.tree.order().last();
        if let Some(mut coverage) = superversion.coverage(published) {
            let mut at = memory::copy_of(&range.start, "a bound")?;
            loop {
                let piece = coverage.at(&at);
                if piece.newest > since {
                    return Ok(true);
                }
                match &piece.end {
                    Some(end) if range.end.as_deref().is_none_or(|last| **end < *last) => {
                        memory::replace(&mut at, end, "a bound")?;
                    }
                    _ => break,
                }
            }
        }
        let mut entries =
            MergingIterator::new(sources(&superversion, self.tree.tables(), &options)?);
        entries.seek(KeyRef::new(&range.start, Trailer::NEWEST))?;
        let mut passed = 0;
        while entries.valid() {
            let key = entries.key();
            if range.end.as_deref().is_some_and(|end| end <= key.user_key) {
                break;
            }
            if key.trailer.sequence() > since {
                return Ok(true);
            }
            passed += 1;
            effort::pass_over(passed)?;
            entries.next()?;
        }
        Ok(false)
    }
}
