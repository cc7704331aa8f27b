//! The sources of a merge: memtables, and the tables of a level.

use crate::cache::TableCache;
use crate::db::tree::SuperVersion;
use crate::error::Result;
use crate::iterator::InternalIterator;
use crate::key::{KeyRef, SequenceNumber};
use crate::memory;
use crate::memtable::MemtableIterator;
use crate::options::IterOptions;
use crate::sstable::Span;
use crate::sync::Arc;
use crate::version::LevelIterator;

/// The most bytes that a cursor reads ahead. It begins with one block, then reads a few at a time, because most
/// cursors stop after a few entries.
pub(in crate::db) const READAHEAD_BYTES: usize = 256 << 10;

/// An owner that keeps the bytes of one entry in place.
pub(super) type Kept = Box<dyn Send>;

/// One sorted span. An enum instead of a trait object: its moves are the inner loop of every scan.
pub(in crate::db) enum Source {
    Memtable(MemtableIterator),
    Tables(LevelIterator),
}

/// Every sorted run of a superversion that may have entries within the bounds, newest first.
pub(in crate::db) fn sources(
    superversion: &SuperVersion,
    tables: &Arc<TableCache>,
    options: &IterOptions,
) -> Result<Vec<Source>> {
    let version = superversion.version();
    let sealed = superversion.sealed().iter().map(|sealed| sealed.memtable());
    let memtables = std::iter::once(superversion.active())
        .chain(sealed)
        .filter(|memtable| !memtable.is_empty());
    let most = memtables.clone().count() + version.most_iterators();
    // One allocation, because most cursors live for a few entries only.
    let mut sources = memory::room_for(most, "what a cursor reads")?;
    for memtable in memtables {
        sources.push(Source::Memtable(memtable.iter()));
    }
    version.iterators(
        tables,
        options.fill_cache,
        READAHEAD_BYTES,
        options.lower_bound.as_deref(),
        options.upper_bound.as_deref(),
        |level| sources.push(Source::Tables(level)),
    );
    Ok(sources)
}

impl Source {
    /// No entry near the current one is older than this number: none that a span from here has. Requires `valid`.
    pub(super) fn oldest(&self) -> SequenceNumber {
        match self {
            Source::Memtable(_) => SequenceNumber(0),
            Source::Tables(tables) => tables.smallest_sequence(),
        }
    }

    /// A span of the entries around the current one; none for a memtable. Requires `valid`, and that a reader
    /// at `sequence` sees the current entry.
    pub(super) fn span(&self, sequence: SequenceNumber) -> Option<Span> {
        match self {
            Source::Memtable(_) => None,
            Source::Tables(tables) => tables.span(sequence),
        }
    }

    /// Takes the owner of the current entry's bytes; afterwards the source is on no entry. Requires `valid`.
    pub(super) fn keep_entry(&mut self) -> Option<Kept> {
        debug_assert!(
            self.valid(),
            "HOLD-2: there is an entry whose bytes are lent"
        );
        match self {
            Source::Memtable(memtable) => {
                (memtable.keep_entry()).map(|chunk| -> Kept { Box::new(chunk) })
            }
            Source::Tables(tables) => {
                (tables.keep_entry()).map(|block| -> Kept { Box::new(block) })
            }
        }
    }

    /// Moves to the place where a span from this source has ended.
    pub(super) fn resume(&mut self, span: &Span) {
        match self {
            Source::Memtable(_) => debug_assert!(false, "no span is from a memtable"),
            Source::Tables(tables) => tables.resume(span.index()),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            Source::Memtable($inner) => $call,
            Source::Tables($inner) => $call,
        }
    };
}

impl InternalIterator for Source {
    #[inline]
    fn valid(&self) -> bool {
        delegate!(self, inner => inner.valid())
    }

    fn seek_to_first(&mut self) -> Result<()> {
        delegate!(self, inner => inner.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        delegate!(self, inner => inner.seek_to_last())
    }

    fn seek(&mut self, target: KeyRef<'_>) -> Result<()> {
        delegate!(self, inner => inner.seek(target))
    }

    fn seek_for_prev(&mut self, target: KeyRef<'_>) -> Result<()> {
        delegate!(self, inner => inner.seek_for_prev(target))
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        delegate!(self, inner => inner.next())
    }

    #[inline]
    fn next_key(&mut self, user_key: &[u8]) -> Result<()> {
        delegate!(self, inner => inner.next_key(user_key))
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        delegate!(self, inner => inner.prev())
    }

    fn is_among_older(&self, below: SequenceNumber) -> bool {
        delegate!(self, inner => inner.is_among_older(below))
    }

    fn pass_older(&mut self, below: SequenceNumber, end: Option<&[u8]>) -> Result<()> {
        delegate!(self, inner => inner.pass_older(below, end))
    }

    fn pass_older_back(&mut self, below: SequenceNumber, start: Option<&[u8]>) -> Result<()> {
        delegate!(self, inner => inner.pass_older_back(below, start))
    }

    #[inline]
    fn key(&self) -> KeyRef<'_> {
        delegate!(self, inner => inner.key())
    }

    #[inline]
    fn value(&self) -> &[u8] {
        delegate!(self, inner => inner.value())
    }

    #[inline]
    fn entry(&self) -> (&[u8], &[u8]) {
        delegate!(self, inner => inner.entry())
    }

    #[inline]
    fn is_heavy(&self) -> bool {
        delegate!(self, inner => inner.is_heavy())
    }

    fn rest(&mut self) {
        delegate!(self, inner => inner.rest());
    }

    #[inline]
    fn wake(&mut self) -> Result<()> {
        delegate!(self, inner => inner.wake())
    }

    #[inline]
    fn is_known_first_of_key(&self) -> bool {
        delegate!(self, inner => inner.is_known_first_of_key())
    }

    #[inline]
    fn is_known_last_of_key(&self) -> bool {
        delegate!(self, inner => inner.is_known_last_of_key())
    }
}
