//! `Overlaid`: the entries of a tree with the writes of a transaction over them, and a note of each range that was
//! passed over.
//!
//! * OVERLAID-1  A key that the transaction has written is shown with that write, or not at all if it is a delete or
//!               in a deleted range; every other key as the tree has it.
//! * OVERLAID-2  If an entry of the tree is shown, `stored` is on it. If a write is shown, `stored` is on its first
//!               entry after that key when the last move went up, and on its last entry before it when it went down.
//! * OVERLAID-3  Before a move returns, the keys from where it began to where it ends are noted, both included; to
//!               the cursor's bound if there is no entry.

use std::ops::Bound;

use super::source::Kept;
use super::stored::{Stored, keep_entry_of};
use crate::error::Result;
use crate::memory;
use crate::sync::Arc;
use crate::transaction::Writes;

/// The name of its memory in errors.
const ENTRY: &str = "an entry that a transaction's cursor stands on";

/// What takes a note of the ranges that a cursor has passed over.
pub(in crate::db) trait NoteRanges: Send + Sync {
    /// The number of a new walk.
    fn begin_walk(&self) -> u64;

    /// Notes the keys from `start`, included, to `end`, excluded, next to those that the walk has passed over before.
    /// `None`: no bound. Fails if the transaction has ended.
    fn note_range(&self, walk: u64, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()>;
}

/// The writes that lie over the entries of a tree, and who takes notes.
#[derive(Clone)]
pub(in crate::db) struct Overlay {
    pub(in crate::db) writes: Arc<Writes>,
    pub(in crate::db) notes: Arc<dyn NoteRanges>,
}

/// See the head of the file.
pub(super) struct Overlaid {
    stored: Stored,
    overlay: Overlay,
    /// The bounds of the cursor, to which the noted ranges are cut.
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
    shown: Shown,
    direction: Direction,
    /// Copies of the write that is shown.
    key: Vec<u8>,
    value: Vec<u8>,
    /// Scratch: the key that a step leaves, and the one just after the key that is shown.
    from: Vec<u8>,
    after: Vec<u8>,
    /// The walk since the last seek.
    walk: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Stored,
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Overlaid {
    pub(super) fn new(
        stored: Stored,
        overlay: Overlay,
        lower: Option<&[u8]>,
        upper: Option<&[u8]>,
    ) -> Result<Overlaid> {
        let copy = |bound: Option<&[u8]>| {
            bound
                .map(|bound| memory::copy_of(bound, "a bound"))
                .transpose()
        };
        Ok(Overlaid {
            stored,
            overlay,
            lower: copy(lower)?,
            upper: copy(upper)?,
            shown: Shown::Nothing,
            direction: Direction::Up,
            key: Vec::new(),
            value: Vec::new(),
            from: Vec::new(),
            after: Vec::new(),
            walk: 0,
        })
    }

    pub(super) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    pub(super) fn valid(&self) -> bool {
        self.shown != Shown::Nothing
    }

    pub(super) fn entry(&self) -> (&[u8], &[u8]) {
        match self.shown {
            Shown::Stored => self.stored.entry(),
            Shown::Write => (&self.key, &self.value),
            Shown::Nothing => (&[], &[]),
        }
    }

    pub(super) fn keep_entry(&mut self) -> Option<Kept> {
        match std::mem::replace(&mut self.shown, Shown::Nothing) {
            Shown::Nothing => None,
            Shown::Stored => keep_entry_of(&mut self.stored),
            Shown::Write => {
                let (key, value) = (&mut self.key, &mut self.value);
                Some(Box::new((std::mem::take(key), std::mem::take(value))))
            }
        }
    }

    pub(super) fn seek_to_first(&mut self) -> Result<()> {
        self.begin();
        self.stored.seek_to_first()?;
        self.settle_up(Bound::Unbounded)?;
        self.note_from(None)
    }

    pub(super) fn seek_to_last(&mut self) -> Result<()> {
        self.begin();
        self.stored.seek_to_last()?;
        self.settle_down(Bound::Unbounded)?;
        self.note_to(None)
    }

    pub(super) fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.begin();
        self.stored.seek(key)?;
        self.settle_up(Bound::Included(key))?;
        self.note_from(Some(key))
    }

    pub(super) fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        self.begin();
        self.stored.seek_for_prev(key)?;
        self.settle_down(Bound::Included(key))?;
        let mut after = std::mem::take(&mut self.after);
        let noted = next_key(&mut after, key).and_then(|()| self.note_to(Some(&after)));
        self.after = after;
        noted
    }

    pub(super) fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.begin();
        self.stored.seek_before(key)?;
        self.settle_down(Bound::Excluded(key))?;
        self.note_to(Some(key))
    }

    /// Moves to the next entry; requires `valid`.
    pub(super) fn next(&mut self) -> Result<()> {
        let from = self.leave()?;
        self.advance(&from)?;
        self.settle_up(Bound::Excluded(&from))?;
        let noted = self.note_from(Some(&from));
        self.from = from;
        noted
    }

    /// Moves to the entry before this one; requires `valid`.
    pub(super) fn prev(&mut self) -> Result<()> {
        let from = self.leave()?;
        self.retreat(&from)?;
        self.settle_down(Bound::Excluded(&from))?;
        let noted = self.note_to(Some(&from));
        self.from = from;
        noted
    }

    /// Begins a walk that shows nothing yet.
    fn begin(&mut self) {
        self.shown = Shown::Nothing;
        self.walk = self.overlay.notes.begin_walk();
    }

    /// A copy of the shown key, to move away from; the caller gives it back as `self.from`.
    fn leave(&mut self) -> Result<Vec<u8>> {
        debug_assert!(self.valid(), "OVERLAID-2: a step begins at an entry");
        let mut from = std::mem::take(&mut self.from);
        memory::replace(&mut from, self.entry().0, ENTRY)?;
        Ok(from)
    }

    /// Moves `stored` to its first entry after `from`, the shown key.
    fn advance(&mut self, from: &[u8]) -> Result<()> {
        let shown = std::mem::replace(&mut self.shown, Shown::Nothing);
        match (shown, self.direction) {
            (Shown::Stored, _) => self.stored.next(),
            (_, Direction::Up) => Ok(()),
            (_, Direction::Down) => {
                self.stored.seek(from)?;
                match self.stored.valid() && self.stored.key() == from {
                    true => self.stored.next(),
                    false => Ok(()),
                }
            }
        }
    }

    /// Moves `stored` to its last entry before `from`, the shown key.
    fn retreat(&mut self, from: &[u8]) -> Result<()> {
        let shown = std::mem::replace(&mut self.shown, Shown::Nothing);
        match (shown, self.direction) {
            (Shown::Stored, _) => self.stored.prev(),
            (_, Direction::Down) => Ok(()),
            (_, Direction::Up) => self.stored.seek_before(from),
        }
    }

    /// Shows the smallest entry whose key is within the bound; `stored` is on its first one there.
    fn settle_up(&mut self, from: Bound<&[u8]>) -> Result<()> {
        self.direction = Direction::Up;
        let writes = Arc::clone(&self.overlay.writes);
        let mut write = writes.first_from(from);
        loop {
            let ends = self.pass_deleted_up(&writes)?;
            let Some((key, value)) = write else {
                if ends {
                    return Ok(());
                }
                self.show_stored();
                return Ok(());
            };
            if self.stored.valid() && self.stored.key() < key && !ends {
                self.show_stored();
                return Ok(());
            }
            if self.stored.valid() && self.stored.key() == key {
                self.stored.next()?;
            }
            if let Some(value) = value {
                return self.show_write(key, value);
            }
            write = writes.first_from(Bound::Excluded(key));
        }
    }

    /// Shows the largest entry whose key is within the bound; `stored` is on its last one there.
    fn settle_down(&mut self, to: Bound<&[u8]>) -> Result<()> {
        self.direction = Direction::Down;
        let writes = Arc::clone(&self.overlay.writes);
        let mut write = writes.last_up_to(to);
        loop {
            self.pass_deleted_down(&writes)?;
            let Some((key, value)) = write else {
                self.show_stored();
                return Ok(());
            };
            if self.stored.valid() && self.stored.key() > key {
                self.show_stored();
                return Ok(());
            }
            if self.stored.valid() && self.stored.key() == key {
                self.stored.prev()?;
            }
            if let Some(value) = value {
                return self.show_write(key, value);
            }
            write = writes.last_up_to(Bound::Excluded(key));
        }
    }

    /// Moves `stored` up past entries that range deletes of the transaction delete. Returns whether all that are left
    /// are deleted.
    fn pass_deleted_up(&mut self, writes: &Writes) -> Result<bool> {
        while self.stored.valid()
            && let Some(range) = writes.deleted_range_of(self.stored.key())
        {
            match &range.end {
                Some(end) => self.stored.seek(end)?,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The same down.
    fn pass_deleted_down(&mut self, writes: &Writes) -> Result<()> {
        while self.stored.valid()
            && let Some(range) = writes.deleted_range_of(self.stored.key())
        {
            self.stored.seek_before(&range.start)?;
        }
        Ok(())
    }

    fn show_stored(&mut self) {
        self.shown = match self.stored.valid() {
            true => Shown::Stored,
            false => Shown::Nothing,
        };
        debug_assert!(
            !self.valid() || self.overlay.writes.get(self.stored.key()).is_none(),
            "OVERLAID-1: the transaction has not written the key"
        );
    }

    fn show_write(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        debug_assert!(
            !self.stored.valid() || self.stored.key() != key,
            "OVERLAID-2: `stored` is past the written key"
        );
        memory::replace(&mut self.key, key, ENTRY)?;
        memory::replace(&mut self.value, value, ENTRY)?;
        self.shown = Shown::Write;
        Ok(())
    }

    /// Notes the range from `start` up to the shown entry, or to the upper bound (OVERLAID-3).
    fn note_from(&mut self, start: Option<&[u8]>) -> Result<()> {
        let mut after = std::mem::take(&mut self.after);
        let noted = self.note_up(start, &mut after);
        self.after = after;
        self.hide_if_failed(noted)
    }

    fn note_up(&self, start: Option<&[u8]>, after: &mut Vec<u8>) -> Result<()> {
        let end = match self.valid() {
            true => {
                next_key(after, self.entry().0)?;
                Some(&after[..])
            }
            false => None,
        };
        self.note(start, end)
    }

    /// Notes the range from the shown entry, or from the lower bound, up to `end`, excluded (OVERLAID-3).
    fn note_to(&mut self, end: Option<&[u8]>) -> Result<()> {
        let start = self.valid().then(|| self.entry().0);
        let noted = self.note(start, end);
        self.hide_if_failed(noted)
    }

    fn note(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        let (lower, upper) = (self.lower.as_deref(), self.upper.as_deref());
        let start = start.max(lower);
        let end = match (end, upper) {
            (Some(end), Some(upper)) => Some(end.min(upper)),
            (end, upper) => end.or(upper),
        };
        self.overlay.notes.note_range(self.walk, start, end)
    }

    /// Shows nothing if the range could not be noted: what is not noted was not read.
    fn hide_if_failed(&mut self, noted: Result<()>) -> Result<()> {
        if noted.is_err() {
            self.shown = Shown::Nothing;
        }
        noted
    }
}

/// Makes `after` the smallest key that is larger than `key`.
fn next_key(after: &mut Vec<u8>, key: &[u8]) -> Result<()> {
    memory::replace(after, key, ENTRY)?;
    memory::push(after, 0, ENTRY)
}
