//! `Cursor`: a position in the visible entries, which every language's iterators are built on.
//!
//! * CURSOR-1  The cursor holds the superversion it began with, so what it walks never changes under it, until the database is
//!             closed: then that is taken from it, but for the entry it stands on (`holds.rs`).
//! * CURSOR-2  The inner iterator stands on an entry within the bounds whenever `place` is `On`.
//! * CURSOR-3  Only then there may be a span, which begins where the inner iterator stands. While there is one, it has the
//!             current entry, and the inner iterator is told of that before it moves on.

use super::holds::{HoldList, Lease, Walk};
use super::source::sources;
use crate::db::tree::{SuperVersion, Tree};
use crate::effort;
use crate::error::{Error, ErrorKind, Result};
use crate::iterator::merging::{MergingIterator, Reach};
use crate::iterator::visible::VisibleIterator;
use crate::key::{KeyRef, SequenceNumber, Trailer};
use crate::memory;
use crate::options::IterOptions;
use crate::sstable::Span;
use crate::sync::Arc;

/// Pieces of memory that a cursor takes and does not ask for one by one.
const CURSOR_PIECES: usize = 16;

/// A position in the entries of a database as of one point in the sequence of writes.
///
/// A new cursor stands before the first entry. A move returns whether the cursor then stands on an entry; `next`
/// on a new cursor goes to the first, `prev` to the last. Past an end it stands nowhere and remembers which end:
/// only the move back returns. After an error it stands nowhere and every `next` or `prev` answers that error,
/// as does [`Cursor::status`], until the next `seek`, `first` or `last`. It keeps memtables and tables alive:
/// drop it when done. Errors of moves: `Io`, `Corruption`, `Closed`.
///
/// [`DB::close`](crate::DB::close) takes memtables and tables from every cursor, on whichever thread that is; a move under
/// way ends first. Key and value that the cursor stands on stay until its next move, which answers `Closed`.
pub struct Cursor {
    lease: Lease,
    stand: Stand,
}

/// Where a cursor is, and what it needs to know to move. It moves a [`Walk`] that it is lent for that.
struct Stand {
    holds: Arc<HoldList>,
    sequence: SequenceNumber,
    options: IterOptions,
    span: Option<Span>,
    place: Place,
    error: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    New,
    BeforeFirst,
    On,
    BehindLast,
}

/// A move on the tree's own order; `reverse` swaps their meaning before they get here.
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
        // SUPERVERSION-2: first the superversion, then the number. That of a closed database is empty, and no cursor is made of
        // it.
        let superversion = tree.load_full();
        let sequence = tree.order().read_at(options.snapshot.as_ref())?;
        let options = with_prefix_as_bounds(options)?;
        Cursor::at(tree, holds, superversion, sequence, options)
    }

    /// A cursor over what `superversion` holds at `sequence`, which has to have every entry up to it. `Closed` if the database
    /// is.
    pub(super) fn at(
        tree: &Arc<Tree>,
        holds: &Arc<HoldList>,
        superversion: Arc<SuperVersion>,
        sequence: SequenceNumber,
        options: IterOptions,
    ) -> Result<Cursor> {
        memory::room_ahead(CURSOR_PIECES, "a cursor")?;
        let merged = MergingIterator::new(sources(&superversion, tree.tables(), &options)?);
        let lease = holds.lease(Walk {
            tree: Arc::clone(tree),
            superversion,
            entries: VisibleIterator::new(merged, sequence).with_alarm(tree.met()),
        })?;
        let stand = Stand {
            holds: Arc::clone(holds),
            sequence,
            options,
            span: None,
            place: Place::New,
            error: None,
        };
        Ok(Cursor { lease, stand })
    }

    /// A new cursor over the same entries, walking the other way. `Closed` if the database is.
    pub(in crate::db) fn reversed_twin(&self) -> Result<Cursor> {
        let Stand {
            sequence, options, ..
        } = &self.stand;
        let options = IterOptions {
            reverse: !options.reverse,
            ..options.clone()
        };
        let over = self.lease.walks_over();
        let (tree, superversion) = over.ok_or_else(|| Error::closed("the database"))?;
        let holds = &self.stand.holds;
        Cursor::at(&tree, holds, superversion, *sequence, options)
    }

    /// Moves to the first entry in walking order.
    pub fn first(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        self.lease.with(|walk| stand.first(walk))
    }

    /// Moves to the last entry in walking order.
    pub fn last(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        self.lease.with(|walk| stand.last(walk))
    }

    /// Moves to the first entry at or after `key` in walking order (with `reverse`: the largest at or before it).
    pub fn seek(&mut self, key: &[u8]) -> Result<bool> {
        let to = match self.stand.options.reverse {
            true => Move::AtOrBelow(key),
            false => Move::AtOrAbove(key),
        };
        let stand = &mut self.stand;
        self.lease
            .with(|walk| stand.go(walk, to, Place::BehindLast))
    }

    /// Moves to the last entry at or before `key` in walking order (with `reverse`: the smallest at or after it).
    pub fn seek_for_prev(&mut self, key: &[u8]) -> Result<bool> {
        let to = match self.stand.options.reverse {
            true => Move::AtOrAbove(key),
            false => Move::AtOrBelow(key),
        };
        let stand = &mut self.stand;
        self.lease
            .with(|walk| stand.go(walk, to, Place::BeforeFirst))
    }

    /// Moves one entry on in walking order.
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

    /// Moves one entry back in walking order.
    #[inline]
    pub fn prev(&mut self) -> Result<bool> {
        let stand = &mut self.stand;
        match stand.step_in_span(stand.options.reverse) {
            true => Ok(true),
            false => self.lease.with(|walk| stand.prev_beyond_span(walk)),
        }
    }

    /// [`Cursor::next`] where that is at hand, neither read nor searched for; otherwise nothing is changed.
    #[doc(hidden)]
    #[inline]
    pub fn next_at_hand(&mut self) -> bool {
        self.stand.step_in_span(!self.stand.options.reverse)
    }

    /// [`Cursor::prev`] where that is at hand.
    #[doc(hidden)]
    #[inline]
    pub fn prev_at_hand(&mut self) -> bool {
        self.stand.step_in_span(self.stand.options.reverse)
    }

    /// Whether the cursor stands on an entry.
    #[inline]
    pub fn valid(&self) -> bool {
        self.stand.valid()
    }

    /// The key, until the next move; empty if the cursor stands nowhere or was made without keys.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.stand.span {
            _ if !self.valid() || !self.stand.options.keys => &[],
            Some(span) => span.key(),
            None => self.lease.key(),
        }
    }

    /// The value, until the next move; empty if the cursor stands nowhere or was made without values.
    #[inline]
    pub fn value(&self) -> &[u8] {
        match &self.stand.span {
            _ if !self.valid() || !self.stand.options.values => &[],
            Some(span) => span.value(),
            None => self.lease.value(),
        }
    }

    /// The error that the last move ended with, if any.
    pub fn status(&self) -> Result<()> {
        self.stand.status()
    }

    /// Copies this entry and those after it in walking order into `chunk` (which is cleared first), until it
    /// holds `max_entries` or at least `max_bytes` bytes, and moves after the last one copied. A new cursor
    /// starts at the first entry. Returns the number copied; 0 only at the end (or for `max_entries` 0).
    ///
    /// The way for bindings to cross their border once per many entries.
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
            if stand.place == Place::New {
                stand.first(walk)?;
            }
            while stand.valid() && chunk.len() < max_entries {
                let (key, value) = stand.entry(walk)?;
                match chunk.push(key, value) {
                    // What there is, is enough; it stands on the next one.
                    Err(error) if error.is_given_up() && !chunk.is_empty() => break,
                    pushed => pushed?,
                }
                // The last entry copied is left behind even when it filled the chunk.
                let moved = stand.next(walk);
                // Not asked at every entry: that would be a good part of a copy.
                let is_enough = chunk.len().is_multiple_of(4) && effort::is_spent();
                if chunk.bytes.len() >= max_bytes || (is_enough && moved.is_ok()) {
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
}

impl Stand {
    fn first(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        let to = match self.options.reverse {
            true => Move::Largest,
            false => Move::Smallest,
        };
        self.go(walk, to, Place::BehindLast)
    }

    fn last(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        let to = match self.options.reverse {
            true => Move::Smallest,
            false => Move::Largest,
        };
        self.go(walk, to, Place::BeforeFirst)
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
        match self.place {
            Place::New | Place::BeforeFirst => self.first(walk),
            Place::BehindLast => self.holds.check_open().map(|()| false),
            Place::On => {
                let to = match self.options.reverse {
                    true => Move::Down,
                    false => Move::Up,
                };
                self.go(walk, to, Place::BehindLast)
            }
        }
    }

    fn prev_beyond_span(&mut self, walk: &mut Option<Walk>) -> Result<bool> {
        self.status()?;
        match self.place {
            Place::New | Place::BehindLast => self.last(walk),
            Place::BeforeFirst => self.holds.check_open().map(|()| false),
            Place::On => {
                let to = match self.options.reverse {
                    true => Move::Up,
                    false => Move::Down,
                };
                self.go(walk, to, Place::BeforeFirst)
            }
        }
    }

    #[inline]
    fn valid(&self) -> bool {
        self.place == Place::On
    }

    fn status(&self) -> Result<()> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The entry it stands on, as far as the options want it. Requires `valid`; `Closed` if the walk was taken.
    #[inline]
    fn entry<'a>(&'a self, walk: &'a Option<Walk>) -> Result<(&'a [u8], &'a [u8])> {
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

    /// Takes a step on the tree's own order within the span; whether it could.
    #[inline]
    fn step_in_span(&mut self, up: bool) -> bool {
        debug_assert!(
            self.span.is_none() || self.valid(),
            "CURSOR-3: a span has the current entry"
        );
        match &mut self.span {
            Some(span) if self.holds.check_open().is_ok() => match up {
                true => span.forward(),
                false => span.backward(),
            },
            _ => false,
        }
    }

    /// Leaves the span for a step that it cannot take, or begins one for a step; whether that is taken.
    fn change_spans(&mut self, walk: &mut Walk, up: bool) -> bool {
        match self.span.take() {
            Some(span) => {
                if let Some(merged) = walk.entries.standing() {
                    merged.current_mut().resume(&span);
                }
                false
            }
            None => {
                self.span = self.begin_span(walk);
                let stepped = self.step_in_span(up);
                if !stepped {
                    // It still stands where the inner iterator does.
                    self.span = None;
                }
                stepped
            }
        }
    }

    /// The span from where the inner iterator stands, within the bounds and the reach of one source.
    fn begin_span(&self, walk: &mut Walk) -> Option<Span> {
        let merged = walk.entries.standing()?;
        let mut span = merged.current().span(self.sequence)?;
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
                    span.begin_behind_rival(rival.user_key);
                }
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

    /// Carries out a move; where the cursor is if it finds no entry.
    fn go(&mut self, walk: &mut Option<Walk>, to: Move<'_>, otherwise: Place) -> Result<bool> {
        let moved = match (self.holds.check_open(), walk.as_mut()) {
            (Ok(()), Some(walk)) => {
                match to {
                    Move::Up | Move::Down => {
                        if self.change_spans(walk, matches!(to, Move::Up)) {
                            return Ok(true);
                        }
                    }
                    _ => self.span = None,
                }
                self.go_within_bounds(walk, to)
            }
            (open, _) => open.and(Err(Error::closed("the database"))),
        };
        self.place = otherwise;
        self.error = None;
        match moved {
            Ok(true) => {
                debug_assert!(
                    walk.as_ref().is_some_and(|walk| walk.entries.valid()),
                    "CURSOR-2: the inner iterator stands on an entry"
                );
                self.place = Place::On;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => {
                // If it was closed meanwhile the files may be gone.
                let error = self.holds.check_open().err().unwrap_or(error);
                if error.kind() == ErrorKind::Closed {
                    // Nothing is walked any more.
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
        let key = entries.key();
        Ok(lower.is_none_or(|lower| lower <= key) && upper.is_none_or(|upper| key < upper))
    }
}

/// Turns a prefix into bounds, together with those already there.
fn with_prefix_as_bounds(mut options: IterOptions) -> Result<IterOptions> {
    if let Some(prefix) = options.prefix.take() {
        if let Some(behind) = behind_prefix(&prefix)? {
            options.upper_bound = Some(match options.upper_bound.take() {
                Some(upper) => upper.min(behind),
                None => behind,
            });
        }
        options.lower_bound = Some(match options.lower_bound.take() {
            Some(lower) => lower.max(prefix),
            None => prefix,
        });
    }
    Ok(options)
}

/// The smallest key after all that start with `prefix`; `None` if there is none.
fn behind_prefix(prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(last) = prefix.iter().rposition(|byte| *byte != 0xff) else {
        return Ok(None);
    };
    let mut behind = memory::copy_of(&prefix[..=last], "a bound")?;
    behind[last] += 1;
    Ok(Some(behind))
}

/// What memory for it is called.
const CHUNK: &str = "many entries";

/// Many entries in one buffer; reused between calls it costs no allocation.
#[derive(Debug, Default, Clone)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// For each entry, where its key and its value end in `bytes`; a key starts where the last value ended.
    ends: Vec<(usize, usize)>,
}

impl Chunk {
    /// An empty chunk.
    pub fn new() -> Chunk {
        Chunk::default()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // The chunk may have room for it.
        effort::spend(key.len() + value.len())?;
        memory::reserve(&mut self.bytes, key.len() + value.len(), CHUNK)?;
        memory::reserve(&mut self.ends, 1, CHUNK)?;
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        Ok(())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All keys and values, one after the other in the order of the entries.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For each entry, the offsets in [`Chunk::bytes`] where its key and its value end.
    pub fn ends(&self) -> &[(usize, usize)] {
        &self.ends
    }

    /// The entries as `(key, value)`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(key_end, value_end)| {
            let entry = (&self.bytes[start..key_end], &self.bytes[key_end..value_end]);
            start = value_end;
            entry
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_ff_bytes_has_no_end() {
        assert_eq!(behind_prefix(b"ab").unwrap(), Some(b"ac".to_vec()));
        assert_eq!(behind_prefix(b"a\xff\xff").unwrap(), Some(b"b".to_vec()));
        assert_eq!(behind_prefix(b"\xff\xff").unwrap(), None);
        assert_eq!(behind_prefix(b"").unwrap(), None);
    }

    #[test]
    fn prefix_and_bounds_both_hold() {
        let options = with_prefix_as_bounds(IterOptions {
            prefix: Some(b"b".to_vec()),
            lower_bound: Some(b"a".to_vec()),
            upper_bound: Some(b"bb".to_vec()),
            ..IterOptions::default()
        })
        .unwrap();
        assert_eq!(options.lower_bound.as_deref(), Some(&b"b"[..]));
        assert_eq!(options.upper_bound.as_deref(), Some(&b"bb"[..]));
    }
}
