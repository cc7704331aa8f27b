//! `Entries`: what a cursor walks, which is the entries of a tree, or those with the writes of a transaction over them.

use super::overlaid::{Overlaid, Overlay};
use super::source::{Kept, Source};
use super::stored::{Stored, keep_entry_of};
use crate::error::Result;
use crate::iterator::merging::MergingIterator;

/// See the head of the file.
pub(super) enum Entries {
    Stored(Stored),
    /// Boxed, because it is much larger, and most cursors have no transaction.
    Overlaid(Box<Overlaid>),
}

macro_rules! delegate {
    ($self:ident, $entries:ident => $call:expr) => {
        match $self {
            Entries::Stored($entries) => $call,
            Entries::Overlaid($entries) => $call,
        }
    };
}

impl Entries {
    /// The merged sources, if they are on the shown entry and a span of them shows what comes next. The caller may move
    /// them to another entry to show.
    #[inline]
    pub(super) fn spannable(&mut self) -> Option<&mut MergingIterator<Source>> {
        // Over an overlay there is none: between two entries of the tree there may be one that was written.
        self.stored()?.inner_if_shown()
    }

    /// The entries of the tree, if nothing lies over them.
    #[inline]
    pub(super) fn stored(&mut self) -> Option<&mut Stored> {
        match self {
            Entries::Stored(stored) => Some(stored),
            Entries::Overlaid(_) => None,
        }
    }

    /// What lies over the entries of the tree, if anything does.
    pub(super) fn overlay(&self) -> Option<&Overlay> {
        match self {
            Entries::Stored(_) => None,
            Entries::Overlaid(overlaid) => Some(overlaid.overlay()),
        }
    }

    /// The owner of the shown entry's bytes; afterwards no entry is shown.
    pub(super) fn keep_entry(&mut self) -> Option<Kept> {
        match self {
            Entries::Stored(stored) => keep_entry_of(stored),
            Entries::Overlaid(overlaid) => overlaid.keep_entry(),
        }
    }

    #[inline]
    pub(super) fn valid(&self) -> bool {
        delegate!(self, entries => entries.valid())
    }

    /// Key and value; requires `valid`.
    #[inline]
    pub(super) fn entry(&self) -> (&[u8], &[u8]) {
        delegate!(self, entries => entries.entry())
    }

    #[inline]
    pub(super) fn seek_to_first(&mut self) -> Result<()> {
        delegate!(self, entries => entries.seek_to_first())
    }

    #[inline]
    pub(super) fn seek_to_last(&mut self) -> Result<()> {
        delegate!(self, entries => entries.seek_to_last())
    }

    /// Moves to the first entry at or after `key`.
    #[inline]
    pub(super) fn seek(&mut self, key: &[u8]) -> Result<()> {
        delegate!(self, entries => entries.seek(key))
    }

    /// Moves to the last entry at or before `key`.
    #[inline]
    pub(super) fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        delegate!(self, entries => entries.seek_for_prev(key))
    }

    /// Moves to the last entry before `key`.
    #[inline]
    pub(super) fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        delegate!(self, entries => entries.seek_before(key))
    }

    /// Moves to the next entry; requires `valid`.
    #[inline]
    pub(super) fn next(&mut self) -> Result<()> {
        delegate!(self, entries => entries.next())
    }

    /// Moves to the entry before this one; requires `valid`.
    #[inline]
    pub(super) fn prev(&mut self) -> Result<()> {
        delegate!(self, entries => entries.prev())
    }
}
