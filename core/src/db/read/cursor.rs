//! `Cursor`: a position in the visible entries. The iterators of every language are built on it.
//!
//! * CURSOR-1  The cursor holds the superversion it began with, so the entries it walks never change. Closing
//!             the database takes the superversion away, but leaves the bytes of the current entry
//!             (`holds.rs`).
//! * CURSOR-2  Whenever `position` is `On`, the inner iterator is on an entry within the bounds.
//! * CURSOR-3  Only then may there be a span; it begins at the inner iterator's entry. While there is a span,
//!             the current entry is in it, and the inner iterator moves there before it takes its next step.

use super::chunk::Chunk;
use super::entries::Entries;
use super::holds::{HoldList, Lease, Walk};
use super::overlaid::{Overlaid, Overlay};
use super::prefix::with_prefix_as_bounds;
use super::source::sources;
use crate::db::tree::{SuperVersion, Tree};
use crate::effort;
use crate::error::{Error, ErrorKind, Result};
use crate::iterator::InternalIterator;
use crate::iterator::merging::{MergingIterator, Reach};
use crate::iterator::visible::VisibleIterator;
use crate::key::{KeyRef, SequenceNumber, Trailer};
use crate::memory;
use crate::options::IterOptions;
use crate::snapshot::Snapshot;
use crate::sstable::Span;
use crate::sync::Arc;

/// How many allocations of a cursor are not checked one by one.
const CURSOR_PIECES: usize = 16;

/// A position in the entries of a database as they were at one point in the sequence of writes.
///
/// A new cursor is before the first entry. A move returns whether the cursor is then on an entry; on a new
/// cursor `next` goes to the first entry and `prev` to the last. Past an end it is on no entry and remembers
/// which end; the opposite move goes back to the entry at that end. After an error it is on no entry, and
/// `next`, `prev` and [`Cursor::status`] return that error until the next `seek`, `first` or `last`. It keeps
/// memtables and tables alive: drop it when done. Errors of moves: `Io`, `Corruption`, `Closed`.
///
/// [`DB::close`](crate::DB::close) takes memtables and tables from every cursor, whatever its thread, after any
/// move under way ends. The current key and value stay until the cursor's next move, which returns `Closed`.
pub struct Cursor {
    lease: Lease,
    stand: Stand,
}

/// Where a cursor is, and what it needs to move. It is lent a [`Walk`] for each move.
struct Stand {
    holds: Arc<HoldList>,
    sequence: SequenceNumber,
    options: IterOptions,
    span: Option<Span>,
    position: CursorPosition,
    error: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CursorPosition {
    New,
    BeforeFirst,
    On,
    BehindLast,
}

/// A move in the tree's own order; `reverse` has already been applied.
#[derive(Clone, Copy)]
enum Move<'a> {
    Smallest,
    Largest,
    AtOrAbove(&'a [u8]),
    AtOrBelow(&'a [u8]),
    Up,
    Down,
}

impl Cursor {
    pub(super) fn open(
        tree: &Arc<Tree>,
        holds: &Arc<HoldList>,
        options: IterOptions,
    ) -> Result<Cursor> {
        tree.context().check_open()?;
        // SUPERVERSION-2: first the superversion, then the number. A closed database has an empty superversion; no
        // cursor is made of that.
        let superversion = tree.load_full();
        let sequence = tree.order().read_at(options.snapshot.as_ref())?;
        let options = with_prefix_as_bounds(options)?;
        Cursor::at(tree, holds, superversion, sequence, options, None)
    }

    /// A cursor over the entries as of `snapshot`, with the writes of a transaction over them.
    pub(super) fn open_overlaid(
        tree: &Arc<Tree>,
        holds: &Arc<HoldList>,
        snapshot: &Snapshot,
        overlay: Overlay,
        options: IterOptions,
    ) -> Result<Cursor> {
        tree.context().check_open()?;
        // As in `open`.
        let superversion = tree.load_full();
        let sequence = tree.order().read_at(Some(snapshot))?;
        // The superversion keeps what the snapshot sees (CURSOR-1), so the cursor need not hold the snapshot.
        let options = with_prefix_as_bounds(options)?;
        Cursor::at(tree, holds, superversion, sequence, options, Some(overlay))
    }

    /// A cursor over the entries of `superversion` at `sequence`. The superversion must contain every entry up
    /// to that number. `Closed` if the database is closed.
    pub(super) fn at(
        tree: &Arc<Tree>,
        holds: &Arc<HoldList>,
        superversion: Arc<SuperVersion>,
        sequence: SequenceNumber,
        options: IterOptions,
        overlay: Option<Overlay>,
    ) -> Result<Cursor> {
        debug_assert!(
            sequence <= tree.order().last(),
            "SUPERVERSION-2: the superversion has every entry up to a published number"
        );
        memory::room_ahead(CURSOR_PIECES, "a cursor")?;
        let merged = MergingIterator::new(sources(&superversion, tree.tables(), &options)?);
        let stored = VisibleIterator::new(merged, sequence)
            .with_alarm(tree.met())
            .copying_values(options.values)
            .with_coverage(superversion.coverage(sequence));
        let entries = match overlay {
            None => Entries::Stored(stored),
            Some(overlay) => {
                let (lower, upper) = (&options.lower_bound, &options.upper_bound);
                let overlaid = Overlaid::new(stored, overlay, lower.as_deref(), upper.as_deref())?;
                Entries::Overlaid(Box::new(overlaid))
            }
        };
        let lease = holds.lease(Walk {
            tree: Arc::clone(tree),
            superversion,
            entries,
        })?;
        let stand = Stand {
            holds: Arc::clone(holds),
            sequence,
            options,
            span: None,
            position: CursorPosition::New,
            error: None,
        };
        Ok(Cursor { lease, stand })
    }

    /// A new cursor over the same entries in the opposite order. `Closed` if the database is closed.
    pub(in crate::db) fn reversed_twin(&self) -> Result<Cursor> {
        let Stand {
            sequence, options, ..
        } = &self.stand;
        let options = IterOptions {
            reverse: !options.reverse,
            ..options.clone()
        };
        let over = self.lease.walks_over();
        let (tree, superversion, overlay) = over.ok_or_else(|| Error::closed("the database"))?;
        let holds = &self.stand.holds;
        Cursor::at(&tree, holds, superversion, *sequence, options, overlay)
    }

    /// Moves to the first entry in the cursor's order.
    pub fn first(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        self.lease.with(|walk| stand.first(walk))
    }

    /// Moves to the last entry in the cursor's order.
    pub fn last(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        self.lease.with(|walk| stand.last(walk))
    }

    /// Moves to the first entry at or after `key` in the cursor's order: the smallest key >= `key`, or with
    /// `reverse` the largest key <= `key`.
    pub fn seek(&mut self, key: &[u8]) -> Result<bool> {
        let to = match self.stand.options.reverse {
            true => Move::AtOrBelow(key),
            false => Move::AtOrAbove(key),
        };
        let stand = &mut self.stand;
        self.lease
            .with(|walk| stand.go(walk, to, CursorPosition::BehindLast))
    }

    /// Moves to the last entry at or before `key` in the cursor's order: the largest key <= `key`, or with
    /// `reverse` the smallest key >= `key`.
    pub fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        let to = match self.stand.options.reverse {
            true => Move::AtOrAbove(key),
            false => Move::AtOrBelow(key),
        };
        let stand = &mut self.stand;
        self.lease
            .with(|walk| stand.go(walk, to, CursorPosition::BeforeFirst))
    }

    /// Moves to the next entry in the cursor's order.
    #[expect(
        clippy::should_implement_trait,
        reason = "it lends its entry, which Iterator cannot"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        match stand.step_in_span(!stand.options.reverse) {
            true => Ok(true),
            false => self.lease.with(|walk| stand.next_beyond_span(walk)),
        }
    }

    /// Moves to the previous entry in the cursor's order.
    #[inline]
    pub fn prev(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        match stand.step_in_span(stand.options.reverse) {
            true => Ok(true),
            false => self.lease.with(|walk| stand.prev_beyond_span(walk)),
        }
    }

    /// [`Cursor::next`] if that entry is at hand, without a read or a search; otherwise changes nothing.
    #[doc(hidden)]
    #[inline]
    pub fn next_at_hand(&mut self) -> bool {
        self.stand.step_in_span(!self.stand.options.reverse)
    }

    /// [`Cursor::prev`] if that entry is at hand.
    #[doc(hidden)]
    #[inline]
    pub fn prev_at_hand(&mut self) -> bool {
        self.stand.step_in_span(self.stand.options.reverse)
    }

    /// Whether the cursor is on an entry.
    #[inline]
    pub fn valid(&self) -> bool {
        self.stand.valid()
    }

    /// The key of the current entry, valid until the next move; empty if the cursor is on no entry or was made
    /// without keys.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.stand.span {
            _ if !self.valid() || !self.stand.options.keys => &[],
            Some(span) => span.key(),
            None => self.lease.key(),
        }
    }

    /// The value of the current entry, valid until the next move; empty if the cursor is on no entry or was
    /// made without values.
    #[inline]
    pub fn value(&self) -> &[u8] {
        match &self.stand.span {
            _ if !self.valid() || !self.stand.options.values => &[],
            Some(span) => span.value(),
            None => self.lease.value(),
        }
    }

    /// The error of the last move, if any.
    pub fn status(&self) -> Result<()> {
        self.stand.status()
    }

    /// Copies the current entry and those after it in the cursor's order into `chunk` (which is cleared first),
    /// until it has `max_entries` entries or at least `max_bytes` bytes, and moves to the entry after the last
    /// one copied. A new cursor starts at the first entry. Returns the number copied; 0 only at the end (or for
    /// `max_entries` 0).
    ///
    /// With it a binding crosses the language boundary once for many entries.
    pub fn read_chunk(
        &mut self,
        chunk: &mut Chunk,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<usize> {
        chunk.clear();
        let stand = &mut self.stand;
        self.lease.with(|walk| {
            stand.status()?;
            if stand.position == CursorPosition::New {
                stand.first(walk)?;
            }
            while stand.valid() && chunk.len() < max_entries {
                let (key, value) = stand.entry(walk)?;
                match chunk.push(key, value) {
                    // The chunk has enough; the cursor is on the next entry.
                    Err(error) if error.is_given_up() && !chunk.is_empty() => break,
                    pushed => pushed?,
                }
                // The cursor moves past the last entry copied even if that one filled the chunk.
                let moved = stand.next(walk);
                // Not checked at every entry, because the check costs a good part of a copy.
                let is_enough = chunk.len().is_multiple_of(4) && effort::is_spent();
                if chunk.bytes().len() >= max_bytes || (is_enough && moved.is_ok()) {
                    break;
                }
                match moved {
                    Err(error) if error.is_given_up() => break,
                    moved => _ = moved?,
                }
            }
            Ok(chunk.len())
        })
    }

    /// Counts the current entry and those after it in the cursor's order, until there are `most_entries` or those
    /// outside of spans have at least `most_bytes` bytes, and moves past them. A new cursor starts at the first
    /// entry. Touches no value. Returns the number counted; 0 only at the end.
    pub(super) fn count_some(&mut self, most_entries: u32, most_bytes: usize) -> Result<u32> {
        let stand = &mut self.stand;
        self.lease.with(|walk| {
            stand.status()?;
            if stand.position == CursorPosition::New {
                stand.first(walk)?;
            }
            let (mut counted, mut bytes) = (0, 0);
            while stand.valid() && counted < most_entries && bytes < most_bytes {
                if let (None, Some(walk)) = (&stand.span, &walk) {
                    let (key, value) = walk.entries.entry();
                    bytes += key.len() + value.len();
                }
                counted += 1;
                effort::pass_over(counted)?;
                stand.next(walk)?;
            }
            Ok(counted)
        })
    }

    /// The bounds of the walk, the prefix included.
    pub(super) fn bounds(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        let IterOptions {
            lower_bound,
            upper_bound,
            ..
        } = &self.stand.options;
        (lower_bound.as_deref(), upper_bound.as_deref())
    }
}

impl Stand {
    fn first(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        let to = match self.options.reverse {
            true => Move::Largest,
            false => Move::Smallest,
        };
        self.go(walk, to, CursorPosition::BehindLast)
    }

    fn last(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        let to = match self.options.reverse {
            true => Move::Smallest,
            false => Move::Largest,
        };
        self.go(walk, to, CursorPosition::BeforeFirst)
    }

    #[inline]
    fn next(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        match self.step_in_span(!self.options.reverse) {
            true => Ok(true),
            false => self.next_beyond_span(walk),
        }
    }

    fn next_beyond_span(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        self.status()?;
        match self.position {
            CursorPosition::New | CursorPosition::BeforeFirst => self.first(walk),
            CursorPosition::BehindLast => self.holds.check_open().map(|()| false),
            CursorPosition::On => {
                let to = match self.options.reverse {
                    true => Move::Down,
                    false => Move::Up,
                };
                self.go(walk, to, CursorPosition::BehindLast)
            }
        }
    }

    fn prev_beyond_span(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        self.status()?;
        match self.position {
            CursorPosition::New | CursorPosition::BehindLast => self.last(walk),
            CursorPosition::BeforeFirst => self.holds.check_open().map(|()| false),
            CursorPosition::On => {
                let to = match self.options.reverse {
                    true => Move::Up,
                    false => Move::Down,
                };
                self.go(walk, to, CursorPosition::BeforeFirst)
            }
        }
    }

    #[inline]
    fn valid(&self) -> bool {
        self.position == CursorPosition::On
    }

    fn status(&self) -> Result<()> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The parts of the current entry that the options ask for. Requires `valid`; `Closed` if closing has taken
    /// the walk.
    #[inline]
    fn entry<'a>(&'a self, walk: &'a Option<Walk>) -> Result<(&'a [u8], &'a [u8])> {
        debug_assert!(self.valid(), "CURSOR-2: the cursor is on an entry");
        let (key, value) = match (&self.span, walk) {
            (Some(span), _) => (span.key(), span.value()),
            (None, Some(walk)) => walk.entries.entry(),
            (None, None) => return Err(Error::closed("the database")),
        };
        Ok((
            if self.options.keys { key } else { &[] },
            if self.options.values { value } else { &[] },
        ))
    }

    /// Takes a step in the tree's own order within the span; returns whether it could.
    #[inline]
    fn step_in_span(&mut self, up: bool) -> bool {
        debug_assert!(
            self.span.is_none() || self.valid(),
            "CURSOR-3: a span has the current entry"
        );
        match &mut self.span {
            Some(span) if self.holds.check_open().is_ok() => {
                let stepped = match up {
                    true => span.forward(),
                    false => span.backward(),
                };
                debug_assert!(
                    !stepped || is_within_bounds(&self.options, span.key()),
                    "CURSOR-3: a span ends at the bounds"
                );
                stepped
            }
            _ => false,
        }
    }

    /// Leaves the span for a step that goes beyond it, or begins a span with a step; returns whether the step
    /// was taken.
    fn change_spans(&mut self, walk: &mut Walk, up: bool) -> bool {
        match self.span.take() {
            Some(span) => {
                let merged = walk.entries.spannable();
                debug_assert!(
                    merged.is_some(),
                    "CURSOR-3: the inner iterator stayed where the span begins"
                );
                if let Some(merged) = merged {
                    merged.current_mut().resume(&span);
                    debug_assert!(
                        merged.current().key().user_key == span.key(),
                        "CURSOR-3: the inner iterator is on the current entry"
                    );
                }
                false
            }
            None => {
                self.span = self.begin_span(walk);
                let stepped = self.step_in_span(up);
                if !stepped {
                    // The cursor is still on the inner iterator's entry.
                    self.span = None;
                }
                stepped
            }
        }
    }

    /// The span from the inner iterator's entry, within the bounds and up to where another source has an entry. Range
    /// deletes cover none of its entries (VISIBLE-4).
    fn begin_span(&self, walk: &mut Walk) -> Option<Span> {
        let stored = walk.entries.stored()?;
        let oldest = stored.inner_if_shown()?.current().oldest();
        let piece = stored.covered_piece().cloned();
        if piece.as_ref().is_some_and(|piece| oldest < piece.newest) {
            return None;
        }
        let merged = stored.inner_if_shown()?;
        let mut span = merged.current().span(self.sequence)?;
        debug_assert!(
            span.key() == merged.current().key().user_key,
            "CURSOR-3: a span begins at the inner iterator's entry"
        );
        match merged.reach() {
            Reach::Everything => {}
            Reach::Forward(rival) => {
                span.begin_here();
                if let Some(rival) = rival {
                    span.end_before_rival(rival.user_key);
                }
            }
            Reach::Backward(rival) => {
                span.end_here();
                if let Some(rival) = rival {
                    span.begin_after_rival(rival.user_key);
                }
            }
        }
        if let Some(piece) = piece {
            if let Some(start) = &piece.start {
                span.begin_at(KeyRef::new(start, Trailer::NEWEST));
            }
            if let Some(end) = &piece.end {
                span.end_before(KeyRef::new(end, Trailer::NEWEST));
            }
        }
        if let Some(lower) = &self.options.lower_bound {
            span.begin_at(KeyRef::new(lower, Trailer::NEWEST));
        }
        if let Some(upper) = &self.options.upper_bound {
            span.end_before(KeyRef::new(upper, Trailer::NEWEST));
        }
        Some(span)
    }

    /// Makes a move; returns the cursor's position if there is no entry.
    fn go(
        &mut self,
        walk: &mut Option<Walk>,
        to: Move<'_>,
        otherwise: CursorPosition,
    ) -> Result<bool> {
        let moved = match (self.holds.check_open(), walk.as_mut()) {
            (Ok(()), Some(walk)) => {
                match to {
                    Move::Up | Move::Down => {
                        debug_assert!(self.valid(), "CURSOR-2: a step begins at an entry");
                        if self.change_spans(walk, matches!(to, Move::Up)) {
                            return Ok(true);
                        }
                    }
                    _ => self.span = None,
                }
                self.go_within_bounds(walk, to)
            }
            (Err(error), _) => Err(error),
            // The walk of an ended transaction: its error says how it ended.
            (Ok(()), None) => {
                let ended = self.error.take();
                Err(ended.unwrap_or_else(|| Error::closed("the database")))
            }
        };
        self.position = otherwise;
        self.error = None;
        match moved {
            Ok(true) => {
                debug_assert!(
                    walk.as_ref().is_some_and(|walk| walk.entries.valid()),
                    "CURSOR-2: the inner iterator stands on an entry"
                );
                self.position = CursorPosition::On;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => {
                // If the database was closed during the move, its files may be gone.
                let error = self.holds.check_open().err().unwrap_or(error);
                if error.kind() == ErrorKind::Closed {
                    // The walk is gone.
                    self.span = None;
                    *walk = None;
                }
                self.error = Some(error.clone());
                Err(error)
            }
        }
    }

    fn go_within_bounds(&self, walk: &mut Walk, to: Move<'_>) -> Result<bool> {
        let (lower, upper) = (
            self.options.lower_bound.as_deref(),
            self.options.upper_bound.as_deref(),
        );
        if let (Some(lower), Some(upper)) = (lower, upper)
            && lower >= upper
        {
            return Ok(false);
        }
        let entries = &mut walk.entries;
        match to {
            Move::Smallest => match lower {
                Some(lower) => entries.seek(lower)?,
                None => entries.seek_to_first()?,
            },
            Move::Largest => match upper {
                Some(upper) => entries.seek_before(upper)?,
                None => entries.seek_to_last()?,
            },
            Move::AtOrAbove(key) => entries.seek(lower.map_or(key, |lower| lower.max(key)))?,
            Move::AtOrBelow(key) => match upper {
                Some(upper) if upper <= key => entries.seek_before(upper)?,
                _ => entries.seek_for_prev(key)?,
            },
            Move::Up => entries.next()?,
            Move::Down => entries.prev()?,
        }
        if !entries.valid() {
            return Ok(false);
        }
        if lower.is_none() && upper.is_none() {
            return Ok(true);
        }
        Ok(is_within_bounds(&self.options, entries.entry().0))
    }
}

fn is_within_bounds(options: &IterOptions, key: &[u8]) -> bool {
    let (lower, upper) = (&options.lower_bound, &options.upper_bound);
    lower.as_deref().is_none_or(|lower| lower <= key)
        && upper.as_deref().is_none_or(|upper| key < upper)
}
