//! `Slot`: the state of one transaction, which its handle, its cursors and the list of open transactions share.
//!
//! * ENDED-1  A transaction ends once. What it held is taken out of the slot then, so that it is released whoever
//!           still has the slot.

use crate::db::read::NoteRanges;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::Snapshot;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, process};
use crate::transaction::{Mark, Reads, Undo, Writes};

/// How many transactions have begun in this process, in any database.
static BEGUN: process::AtomicU64 = process::AtomicU64::new(0);

/// See the head of the file.
pub(super) struct Slot {
    number: u64,
    /// Its place in the list of open transactions.
    place: usize,
    /// Whether a call is under way.
    is_busy: AtomicBool,
    /// The walks that its cursors have begun.
    walks: AtomicU64,
    state: Mutex<State>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "most are open, and a box would be one more allocation for each transaction"
)]
enum State {
    Open(Open),
    /// Its commit has what it holds.
    Committing,
    Ended(Ended),
}

/// Why a transaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Committed,
    RolledBack,
    /// Its commit met a conflict.
    Conflicted,
    /// Its commit failed.
    Failed,
    TimedOut,
    WithItsDatabase,
}

/// What an open transaction holds.
pub(super) struct Open {
    pub(super) snapshot: Snapshot,
    /// Shared with cursors, which keep the writes as they were when the cursor was made.
    pub(super) writes: Arc<Writes>,
    pub(super) undo: Undo,
    /// The savepoints, oldest first, with their numbers.
    pub(super) savepoints: Vec<(u64, Mark)>,
    /// The number of the last savepoint.
    pub(super) last_savepoint: u64,
    pub(super) reads: Reads,
    /// When it was last used, as of the last look, on the environment's clock.
    used_micros: u64,
    /// Whether it was used since the last look.
    is_used: bool,
    is_read_only: bool,
}

impl Open {
    pub(super) fn new(snapshot: Snapshot, is_read_only: bool) -> Open {
        Open {
            snapshot,
            writes: Arc::default(),
            undo: Undo::default(),
            savepoints: Vec::new(),
            last_savepoint: 0,
            reads: Reads::default(),
            used_micros: 0,
            is_used: true,
            is_read_only,
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Its writes, to change them, and what must get the changes if they may have to be taken back. Fails for a
    /// read-only one.
    pub(super) fn writable(&mut self) -> Result<(&mut Writes, Option<&mut Undo>)> {
        if self.is_read_only {
            return Err(Error::invalid_argument(
                "the transaction was begun with read_only",
            ));
        }
        self.own_writes()?;
        let undo = (!self.savepoints.is_empty()).then_some(&mut self.undo);
        Ok((Arc::make_mut(&mut self.writes), undo))
    }

    /// Takes back the writes since `mark`.
    pub(super) fn undo_to(&mut self, mark: Mark) -> Result<()> {
        self.own_writes()?;
        Arc::make_mut(&mut self.writes).undo_to(mark, &mut self.undo);
        Ok(())
    }

    /// Makes sure that there is memory for a copy of the writes, if a cursor shares them.
    fn own_writes(&self) -> Result<()> {
        match Arc::strong_count(&self.writes) {
            1 => Ok(()),
            _ => self.writes.room_for_copy(),
        }
    }

    /// Notes the lookup of a key, unless nothing will be compared.
    pub(super) fn note_key(&mut self, key: &[u8]) -> Result<()> {
        match self.is_read_only {
            true => Ok(()),
            false => self.reads.note_key(key),
        }
    }
}

impl Ended {
    /// The error of a call on such a transaction.
    fn error(self) -> Error {
        let closed = |how: &str| {
            Error::new(
                ErrorKind::Closed,
                format!("the transaction has ended: it {how}"),
            )
        };
        match self {
            Ended::Committed => closed("was committed"),
            Ended::RolledBack => closed("was rolled back"),
            Ended::Conflicted => closed("met a conflict"),
            Ended::Failed => closed("could not be committed"),
            Ended::TimedOut => Error::new(
                ErrorKind::Conflict,
                "the transaction was not used for longer than transaction_timeout, and was rolled back; run it again",
            ),
            Ended::WithItsDatabase => Error::closed("the database"),
        }
    }
}

/// A call on a transaction, while this exists. Another call meanwhile is refused.
pub(super) struct Use<'a>(&'a Slot);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Release);
    }
}

impl Slot {
    pub(super) fn new(place: usize, open: Open) -> Slot {
        Slot {
            number: BEGUN.fetch_add(1, process::Ordering::Relaxed) + 1,
            place,
            is_busy: AtomicBool::new(false),
            walks: AtomicU64::new(0),
            state: Mutex::new(State::Open(open)),
        }
    }

    /// Its number among the transactions of this process.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Its place in the list of open transactions.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Begins a call. Fails if another thread is in the middle of one.
    pub(super) fn enter(&self) -> Result<Use<'_>> {
        match self.is_busy.swap(true, Ordering::Acquire) {
            true => Err(Error::invalid_argument(
                "the transaction is in use by another thread: each thread needs its own",
            )),
            false => Ok(Use(self)),
        }
    }

    /// Uses what an open transaction holds.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Open) -> Result<T>) -> Result<T> {
        match &mut *self.state.lock() {
            State::Open(open) => {
                open.is_used = true;
                look(open)
            }
            State::Committing => Err(Error::invalid_argument(
                "the transaction is being committed",
            )),
            State::Ended(why) => Err(why.error()),
        }
    }

    /// The error of a call if it has ended. Looking is no use of it.
    pub(super) fn check_open(&self) -> Result<()> {
        match &*self.state.lock() {
            State::Open(_) | State::Committing => Ok(()),
            State::Ended(why) => Err(why.error()),
        }
    }

    /// Takes what it holds, to commit it.
    pub(super) fn take(&self) -> Result<Open> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Committing) {
            State::Open(open) => Ok(open),
            State::Committing => Err(Error::invalid_argument(
                "the transaction is being committed",
            )),
            State::Ended(why) => {
                *state = State::Ended(why);
                Err(why.error())
            }
        }
    }

    /// Gives back what [`Slot::take`] took: the commit did nothing and may be tried again.
    pub(super) fn put_back(&self, open: Open) {
        let mut state = self.state.lock();
        debug_assert!(
            matches!(*state, State::Committing),
            "ENDED-1: only the commit ends it"
        );
        *state = State::Open(open);
    }

    /// Ends it after [`Slot::take`].
    pub(super) fn end_commit(&self, why: Ended) {
        let mut state = self.state.lock();
        debug_assert!(
            matches!(*state, State::Committing),
            "ENDED-1: only the commit ends it"
        );
        *state = State::Ended(why);
    }

    /// Ends it unless it has ended or is being committed; returns what it held.
    pub(super) fn end(&self, why: Ended) -> Option<Open> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Ended(why)) {
            State::Open(open) => Some(open),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Ends it if it is open and nobody has used it for `timeout`; returns what it held. One that was used since the
    /// last look counts as used now, so that its calls need not read the clock.
    pub(super) fn end_if_unused(&self, now_micros: u64, timeout_micros: u64) -> Option<Open> {
        let mut state = self.state.lock();
        let State::Open(open) = &mut *state else {
            return None;
        };
        if std::mem::take(&mut open.is_used) {
            open.used_micros = now_micros;
        }
        if open.used_micros.saturating_add(timeout_micros) > now_micros {
            return None;
        }
        match std::mem::replace(&mut *state, State::Ended(Ended::TimedOut)) {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Bytes of its reads and writes.
    pub(super) fn bytes(&self) -> usize {
        match &*self.state.lock() {
            State::Open(open) => open.writes.bytes() + open.undo.bytes() + open.reads.bytes(),
            _ => 0,
        }
    }
}

impl NoteRanges for Slot {
    fn begin_walk(&self) -> u64 {
        self.walks.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn note_range(&self, walk: u64, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        self.with(|open| match open.is_read_only {
            true => Ok(()),
            false => open.reads.note_range(walk, start, end),
        })
    }
}
