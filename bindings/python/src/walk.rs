//! A place between two entries, over a core cursor, with the entries around it fetched by the chunk.
//!
//! * WINDOW-1  `window` holds entries that are neighbours in the walk; the place is before its entry `at` in the order
//!             in which it was filled (`at == len`: after its last). With an empty window, `place` says where it is.
//! * WINDOW-2  `stands` says where the cursor is: right after the window's last entry, in the direction in which it was
//!             filled, or on that entry; if it is elsewhere, a fetch first seeks that entry's key.
//! * WINDOW-3  A failed fetch is kept and answered again until a seek: an error is never taken for the end.

use std::mem;

use crate::bytes::LARGE_BYTES;
use aidb::{Chunk, Cursor, Effort, Error, Result, is_spent, within};

/// How many entries the first fetch after a start or seek takes. Each further one takes twice as many, up to a
/// maximum.
const FIRST_ENTRIES: usize = 16;
/// The same in a transaction, where entries that are fetched count as read. A fetch of one entry does not move on.
const FIRST_IN_TRANSACTION: usize = 1;
const MAX_ENTRIES: usize = 1024;
/// A fetch ends after this many bytes; one entry may be longer.
const MAX_BYTES: usize = 128 << 10;

/// A direction: the way the cursor walks, or against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Ahead,
    Back,
}

/// Where the walk is while no entry has been fetched.
enum Place {
    /// Before the first entry in walking order.
    Begin,
    /// After the last entry in walking order.
    End,
    /// Between the keys below this one and the rest.
    Below(Vec<u8>),
}

/// Where the cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    AfterLast,
    OnLast,
    Elsewhere,
}

/// Neighbouring entries, in the order in which the cursor passed them.
enum Window {
    Ahead(Chunk),
    Collected(Step, Entries),
}

/// Entries collected as core cannot fill a `Chunk`: against the walking order, or without moving on.
#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    /// As in `Chunk`: where each key and each value ends.
    ends: Vec<(usize, usize)>,
}

impl Entries {
    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let room = key.len() + value.len();
        let reserved = self.bytes.try_reserve(room);
        reserved.map_err(|_| Error::out_of_memory("an entry", room))?;
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        Ok(())
    }
}

impl Window {
    fn filled(&self) -> Step {
        match self {
            Window::Ahead(_) => Step::Ahead,
            Window::Collected(step, _) => *step,
        }
    }

    fn len(&self) -> usize {
        match self {
            Window::Ahead(chunk) => chunk.len(),
            Window::Collected(_, entries) => entries.ends.len(),
        }
    }

    /// All keys and values.
    fn bytes(&self) -> &[u8] {
        match self {
            Window::Ahead(chunk) => chunk.bytes(),
            Window::Collected(_, entries) => &entries.bytes,
        }
    }

    fn entry(&self, index: usize) -> (&[u8], &[u8]) {
        let (bytes, ends) = match self {
            Window::Ahead(chunk) => (chunk.bytes(), chunk.ends()),
            Window::Collected(_, entries) => (&entries.bytes[..], &entries.ends[..]),
        };
        let start = if index == 0 { 0 } else { ends[index - 1].1 };
        let (key_end, value_end) = ends[index];
        (&bytes[start..key_end], &bytes[key_end..value_end])
    }
}

/// See the head of this file.
pub(crate) struct Walk {
    cursor: Cursor,
    reverse: bool,
    place: Place,
    window: Window,
    /// The buffer of an earlier window, to fill again.
    spare: Chunk,
    at: usize,
    stands: Stands,
    first_entries: usize,
    next_entries: usize,
    failed: Option<Error>,
    moves: u64,
}

impl Walk {
    /// A walk that is before the first entry in walking order, with a new cursor, which walks in `reverse` or not.
    /// Fetches nothing yet.
    pub(crate) fn new(cursor: Cursor, reverse: bool) -> Walk {
        Walk::beginning_with(FIRST_ENTRIES, cursor, reverse)
    }

    /// The same with the cursor of a transaction.
    pub(crate) fn in_transaction(cursor: Cursor, reverse: bool) -> Walk {
        Walk::beginning_with(FIRST_IN_TRANSACTION, cursor, reverse)
    }

    fn beginning_with(first_entries: usize, cursor: Cursor, reverse: bool) -> Walk {
        Walk {
            cursor,
            reverse,
            place: Place::Begin,
            window: Window::Ahead(Chunk::new()),
            spare: Chunk::new(),
            at: 0,
            stands: Stands::Elsewhere,
            first_entries,
            next_entries: first_entries,
            failed: None,
            moves: 0,
        }
    }

    /// The next entry in the direction of `step`, if it has been fetched.
    pub(crate) fn fetched(&self, step: Step) -> Option<(&[u8], &[u8])> {
        self.ahead(step).map(|index| self.window.entry(index))
    }

    /// Where in the window the next entry in the direction of `step` is, if it has been fetched.
    #[inline]
    fn ahead(&self, step: Step) -> Option<usize> {
        if self.failed.is_some() {
            return None;
        }
        match step == self.window.filled() {
            true => Some(self.at).filter(|at| *at < self.window.len()),
            false => self.at.checked_sub(1),
        }
    }

    /// Whether any entry that has been fetched may be large.
    #[inline]
    pub(crate) fn may_be_large(&self) -> bool {
        self.window.bytes().len() > LARGE_BYTES
    }

    /// Whether `fetched` has a large value.
    pub(crate) fn is_large(&self, step: Step) -> bool {
        let fetched = self.fetched(step);
        fetched.is_some_and(|(_, value)| value.len() > LARGE_BYTES)
    }

    /// Passes one fetched entry, if the window has one in this direction. Reads no file.
    pub(crate) fn pass(&mut self, step: Step) -> Option<(&[u8], &[u8])> {
        let index = self.ahead(step)?;
        self.at = match step == self.window.filled() {
            true => index + 1,
            false => index,
        };
        self.moves += 1;
        Some(self.window.entry(index))
    }

    /// A number that changes whenever another entry may be the next one.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    /// Fetches entries in the direction of `step` within `effort`, unless the window still has one; false at the end.
    /// If it gives up, or no caller waits for the entries any more, the walk stays where it was.
    pub(crate) fn fetch(&mut self, step: Step, effort: &Effort) -> Result<bool> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let outcome = within(effort, || self.try_fetch(step));
        // A chunk that gave up has copied nothing, and the cursor is where it was. After any other call that gave up,
        // the cursor has moved or is on no entry, even if the chunk was already full.
        let stays = match &outcome {
            Ok(_) => true,
            Err(error) if error.is_given_up() => step == Step::Ahead && self.cursor.valid(),
            Err(error) => {
                self.failed = Some(error.clone());
                false
            }
        };
        if !stays || self.cursor.status().is_err() {
            self.stands = Stands::Elsewhere;
        }
        outcome
    }

    /// Moves between the keys below `target` and the rest.
    pub(crate) fn seek(&mut self, target: Vec<u8>) {
        self.move_to(Place::Below(target));
    }

    /// Moves before the smallest key.
    pub(crate) fn seek_to_start(&mut self) {
        self.move_to(if self.reverse {
            Place::End
        } else {
            Place::Begin
        });
    }

    /// Moves after the largest key.
    pub(crate) fn seek_to_stop(&mut self) {
        self.move_to(if self.reverse {
            Place::Begin
        } else {
            Place::End
        });
    }

    fn move_to(&mut self, place: Place) {
        self.place = place;
        self.moves += 1;
        self.window = Window::Ahead(Chunk::new());
        (self.at, self.stands) = (0, Stands::Elsewhere);
        self.next_entries = self.first_entries;
        self.failed = None;
    }

    fn try_fetch(&mut self, step: Step) -> Result<bool> {
        let ahead_in_window = step == self.window.filled();
        let left = if ahead_in_window {
            self.window.len() - self.at
        } else {
            self.at
        };
        if left > 0 {
            return Ok(true);
        }
        // Until the cursor is where it has to be, the moves may fail half way.
        let stands = match mem::replace(&mut self.stands, Stands::Elsewhere) {
            _ if self.window.len() == 0 => self.start(step)?,
            Stands::AfterLast if ahead_in_window => true,
            Stands::OnLast if ahead_in_window => advance(&mut self.cursor, step)?,
            _ => {
                let edge = if ahead_in_window {
                    self.window.len() - 1
                } else {
                    0
                };
                let key = self.window.entry(edge).0;
                // The walk sees one point in time, so the key is still there.
                self.cursor.seek(key)? && advance(&mut self.cursor, step)?
            }
        };
        if !stands {
            return Ok(false);
        }
        if ahead_in_window {
            self.stands = Stands::AfterLast;
        }
        let is_alone = self.next_entries == 1;
        let window = match step {
            _ if is_alone => Window::Collected(step, self.collect_one()?),
            Step::Ahead => {
                let mut chunk = mem::take(&mut self.spare);
                self.cursor
                    .read_chunk(&mut chunk, self.next_entries, MAX_BYTES)?;
                Window::Ahead(chunk)
            }
            Step::Back => Window::Collected(Step::Back, self.collect_back()?),
        };
        if window.len() == 0 {
            return Ok(false);
        }
        self.moves += 1;
        if let Window::Ahead(used) = mem::replace(&mut self.window, window) {
            self.spare = used;
        }
        self.at = 0;
        self.stands = match is_alone {
            true => Stands::OnLast,
            false => Stands::AfterLast,
        };
        self.next_entries = (self.next_entries * 2).min(MAX_ENTRIES);
        Ok(true)
    }

    /// Moves the cursor from `place` to the first entry in the direction `step`; false if there is none.
    fn start(&mut self, step: Step) -> Result<bool> {
        let target = match (&self.place, step) {
            (Place::Begin, Step::Ahead) => return self.cursor.first(),
            (Place::End, Step::Back) => return self.cursor.last(),
            (Place::Begin, Step::Back) | (Place::End, Step::Ahead) => return Ok(false),
            (Place::Below(target), _) => target,
        };
        let found = match step {
            Step::Ahead => self.cursor.seek(target)?,
            Step::Back => self.cursor.seek_for_prev(target)?,
        };
        // A walk down from below the target does not pass the target itself.
        let descending = (step == Step::Back) != self.reverse;
        if found && descending && self.cursor.key() == target {
            return advance(&mut self.cursor, step);
        }
        Ok(found)
    }

    /// Collects this entry and does not move.
    fn collect_one(&self) -> Result<Entries> {
        let mut entries = Entries::default();
        entries.push(self.cursor.key(), self.cursor.value())?;
        Ok(entries)
    }

    /// Collects this entry and those before it in walking order, and moves before the last collected one. The
    /// counterpart of `Cursor::read_chunk`.
    fn collect_back(&mut self) -> Result<Entries> {
        let mut entries = Entries::default();
        while self.cursor.valid()
            && entries.ends.len() < self.next_entries
            && entries.bytes.len() < MAX_BYTES
            && (entries.ends.is_empty() || !is_spent())
        {
            entries.push(self.cursor.key(), self.cursor.value())?;
            self.cursor.prev()?;
        }
        Ok(entries)
    }
}

/// Moves the cursor one entry in the direction `step`.
fn advance(cursor: &mut Cursor, step: Step) -> Result<bool> {
    match step {
        Step::Ahead => cursor.next(),
        Step::Back => cursor.prev(),
    }
}
