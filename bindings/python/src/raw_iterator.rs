//! `RawIterator`: LevelDB's own iterator, which stands on an entry or on none.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aidb::{Cursor, Effort, Error, within};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::{BytesLike, LARGE_BYTES, in_pieces, to_python};
use crate::errors::{iterator_invalid, to_python as error_to_python};
use crate::mutex::{Mutex, close, discard, lock, lock_detached};
use crate::patience::{brief_or, interruptible};
use crate::store::Store;
use crate::transacting::{Transacting, check_not_ended};

/// Visits all entries with the interface of LevelDB's iterator; made by `raw_iterator` of a database, snapshot,
/// transaction or prefixed view.
///
/// It is on an entry or on none; a new one is on none. A move past an end leaves it on none, as does a move
/// that Ctrl-C interrupts after it has begun. Each move calls into the engine: for a plain loop `iterator` is
/// faster. Errors as for `Iterator`, and `IteratorInvalidError` if a call needs an entry and there is none.
#[pyclass(frozen, weakref, module = "aidb")]
pub(crate) struct RawIterator {
    store: Arc<Store>,
    /// The prefix of the view it was made from; the keys it returns do not include it.
    prefix: Vec<u8>,
    /// `None` once the iterator or the database is closed.
    stand: Arc<Mutex<Option<Stand>>>,
    /// Whether it is on no entry because a move was interrupted. Only a move that holds the lock clears this.
    is_lost: Arc<AtomicBool>,
    /// The transaction that it is of, which it keeps open.
    transacting: Option<Arc<Transacting>>,
}

/// A cursor that can resume a move that it gave up.
struct Stand {
    cursor: Cursor,
    /// The key from which the last step started.
    from: Vec<u8>,
    /// Whether the cursor gave up that step.
    gave_up: bool,
    /// Counts the moves.
    moves: u64,
}

enum Move<'a> {
    First,
    Last,
    Seek(Cow<'a, [u8]>),
    Next,
    Prev,
}

impl Move<'_> {
    fn needs_entry(&self) -> bool {
        matches!(self, Move::Next | Move::Prev)
    }

    fn to_owned(&self) -> Move<'static> {
        match self {
            Move::First => Move::First,
            Move::Last => Move::Last,
            Move::Seek(target) => Move::Seek(Cow::Owned(target.to_vec())),
            Move::Next => Move::Next,
            Move::Prev => Move::Prev,
        }
    }
}

impl Stand {
    /// [`Stand::go`], unless it is on no entry and the move needs one.
    fn go_unless_lost(
        &mut self,
        to: &Move<'_>,
        effort: &Effort,
        is_lost: &AtomicBool,
    ) -> aidb::Result<bool> {
        if to.needs_entry() && is_lost.load(Ordering::Relaxed) {
            return Ok(false);
        }
        is_lost.store(false, Ordering::Relaxed);
        self.go(to, effort)
    }

    /// Makes a move within `effort`; false if the move needs an entry and there is none. If it gives up, the next
    /// move makes the step first.
    fn go(&mut self, to: &Move<'_>, effort: &Effort) -> aidb::Result<bool> {
        self.moves += 1;
        let is_at_hand = match to {
            Move::Next => self.cursor.next_at_hand(),
            Move::Prev => self.cursor.prev_at_hand(),
            _ => false,
        };
        if is_at_hand {
            return Ok(true);
        }
        let resumes = to.needs_entry() && self.gave_up;
        if to.needs_entry() && !resumes {
            if !self.cursor.valid() {
                return Ok(false);
            }
            let key = self.cursor.key();
            self.from.clear();
            aidb::reserve(&mut self.from, key.len(), "a key")?;
            self.from.extend_from_slice(key);
        }
        let Stand { cursor, from, .. } = self;
        let moved = within(effort, || {
            // The cursor sees one point in time, so the key is still there.
            if resumes && !cursor.seek(from)? {
                return Ok(false);
            }
            match to {
                Move::First => cursor.first(),
                Move::Last => cursor.last(),
                Move::Seek(target) => cursor.seek(target),
                Move::Next => cursor.next(),
                Move::Prev => cursor.prev(),
            }
        });
        let gave_up = matches!(&moved, Err(error) if error.is_given_up());
        self.gave_up = gave_up && to.needs_entry();
        moved.map(|_| true)
    }
}

impl RawIterator {
    pub(crate) fn new(
        store: Arc<Store>,
        prefix: Vec<u8>,
        cursor: Cursor,
        transacting: Option<Arc<Transacting>>,
    ) -> RawIterator {
        RawIterator {
            stand: store.hold(Stand {
                cursor,
                from: Vec::new(),
                gave_up: false,
                moves: 0,
            }),
            store,
            prefix,
            is_lost: Arc::default(),
            transacting,
        }
    }

    fn refuse_closed(&self) -> aidb::Result<()> {
        if self.store.is_closed() {
            return Err(Error::closed("the database"));
        }
        Ok(())
    }

    /// Makes a move, detached.
    fn go(&self, py: Python<'_>, to: Move<'_>) -> PyResult<()> {
        check_not_ended(&self.transacting, py)?;
        let brief = || {
            self.refuse_closed()?;
            match self.stand.try_lock()? {
                Some(mut stand) => {
                    let stand = stand.as_mut().ok_or_else(closed)?;
                    stand.go_unless_lost(&to, &Effort::Brief, &self.is_lost)
                }
                // The lock's holder may take long.
                None => Err(Error::given_up()),
            }
        };
        let moved = brief_or(py, brief, || {
            let (stand, to) = (Arc::clone(&self.stand), to.to_owned());
            let is_lost = Arc::clone(&self.is_lost);
            let moved = interruptible(py, move |abandoned| {
                let mut stand = lock_detached(&stand)?;
                // Another thread may have moved it after this move was abandoned.
                abandoned.check()?;
                let stand = stand.as_mut().ok_or_else(closed)?;
                stand.go_unless_lost(&to, &abandoned.effort(), &is_lost)
            });
            // It is unknown how far the abandoned move came.
            if moved.is_err() {
                self.is_lost.store(true, Ordering::Relaxed);
            }
            moved
        })?;
        match moved {
            true => Ok(()),
            false => Err(iterator_invalid(py)),
        }
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Copies a part of the current entry.
    fn read<T>(&self, py: Python<'_>, read: impl FnOnce(&Stand) -> PyResult<T>) -> PyResult<T> {
        self.refuse_closed()
            .map_err(|error| error_to_python(py, &error))?;
        let stand = lock(py, &self.stand)?;
        let outcome = stand.as_ref().map(|stand| {
            let stands = !self.is_lost() && stand.cursor.valid();
            stands.then(|| read(stand)).transpose()
        });
        // Making an error may run Python code, so the lock is released first (PYTHON-2).
        drop(stand);
        let outcome = outcome.ok_or_else(|| error_to_python(py, &closed()))?;
        outcome?.ok_or_else(|| iterator_invalid(py))
    }

    /// Copies the current entry if its value is large, or was.
    #[cold]
    fn large_entry<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        loop {
            let (key, moves, length) = self.read(py, |stand| {
                let key = self.shown_key(py, &stand.cursor)?;
                Ok((key, stand.moves, stand.cursor.value().len()))
            })?;
            let value = in_pieces(py, length, |copy| {
                self.read(py, |stand| {
                    let is_there = stand.moves == moves;
                    is_there.then(|| copy(stand.cursor.value()));
                    Ok(is_there)
                })
            })?;
            // Another thread, or the handler of a signal, may have moved it.
            if let Some(value) = value {
                return Ok((key, value));
            }
        }
    }

    fn shown_key<'py>(&self, py: Python<'py>, cursor: &Cursor) -> PyResult<Bound<'py, PyBytes>> {
        to_python(py, &cursor.key()[self.prefix.len()..])
    }
}

fn closed() -> Error {
    Error::closed("the iterator")
}

#[pymethods]
impl RawIterator {
    /// Returns whether it is on an entry.
    fn valid(&self, py: Python<'_>) -> PyResult<bool> {
        self.refuse_closed()
            .map_err(|error| error_to_python(py, &error))?;
        let stand = lock(py, &self.stand)?;
        let valid = stand.as_ref().map(|stand| stand.cursor.valid());
        drop(stand);
        let valid = valid.ok_or_else(|| error_to_python(py, &closed()))?;
        Ok(valid && !self.is_lost())
    }

    /// Moves to the first entry, or to none if there is none.
    fn seek_to_first(&self, py: Python<'_>) -> PyResult<()> {
        self.go(py, Move::First)
    }

    /// Moves to the last entry, or to none if there is none.
    fn seek_to_last(&self, py: Python<'_>) -> PyResult<()> {
        self.go(py, Move::Last)
    }

    /// Moves to the smallest key >= `target`, or to none if there is none.
    fn seek(&self, py: Python<'_>, target: BytesLike<'_>) -> PyResult<()> {
        let target = target.behind(&self.prefix)?;
        self.go(py, Move::Seek(target))
    }

    /// Moves to the next entry, or past the last one. Raises `IteratorInvalidError` if it is on none.
    fn next(&self, py: Python<'_>) -> PyResult<()> {
        self.go(py, Move::Next)
    }

    /// Moves to the previous entry, or before the first one. Raises `IteratorInvalidError` if it is on none.
    fn prev(&self, py: Python<'_>) -> PyResult<()> {
        self.go(py, Move::Prev)
    }

    /// Returns the key of the current entry. Raises `IteratorInvalidError` if it is on none.
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.read(py, |stand| self.shown_key(py, &stand.cursor))
    }

    /// Returns the value of the current entry. Raises `IteratorInvalidError` if it is on none.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let value = self.read(py, |stand| match stand.cursor.value() {
            large if large.len() > LARGE_BYTES => Ok(None),
            value => to_python(py, value).map(Some),
        })?;
        value.map_or_else(|| Ok(self.large_entry(py)?.1), Ok)
    }

    /// Returns the current `(key, value)`. Raises `IteratorInvalidError` if it is on none.
    fn item<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let item = self.read(py, |stand| match stand.cursor.value() {
            large if large.len() > LARGE_BYTES => Ok(None),
            value => Ok(Some((
                self.shown_key(py, &stand.cursor)?,
                to_python(py, value)?,
            ))),
        })?;
        item.map_or_else(|| self.large_entry(py), Ok)
    }

    /// Releases the memory and files that it pins; later calls raise `ClosedError`. Closing again is not an
    /// error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, &self.stand)
    }

    /// Whether the iterator or its database has been closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.store.is_closed() || lock(py, &self.stand)?.is_none())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = exception;
        self.close(py)
    }
}

impl Drop for RawIterator {
    fn drop(&mut self) {
        discard(&self.stand);
    }
}
