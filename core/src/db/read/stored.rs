//! `Stored`: the entries of a tree that a reader at one number sees.

use super::source::{Kept, Source};
use crate::iterator::merging::MergingIterator;
use crate::iterator::visible::VisibleIterator;

/// See the head of the file.
pub(super) type Stored = VisibleIterator<MergingIterator<Source>>;

/// The owner of the bytes of the entry that is shown; afterwards none is.
pub(super) fn keep_entry_of(stored: &mut Stored) -> Option<Kept> {
    match stored.inner_if_shown() {
        Some(merged) => merged.current_mut().keep_entry(),
        None => stored
            .take_copies()
            .map(|copies| -> Kept { Box::new(copies) }),
    }
}
