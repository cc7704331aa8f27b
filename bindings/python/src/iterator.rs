//! `Iterator`: plyvel's iterator, a place between two entries.

use std::sync::Arc;

use aidb::{Effort, Error};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyGenericAlias, PyType};

use crate::bytes::{BytesLike, in_pieces, to_python};
use crate::errors::to_python as error_to_python;
use crate::mutex::{Mutex, close, discard, lock, lock_detached};
use crate::patience::{brief_or, interruptible};
use crate::store::Store;
use crate::transacting::{Transacting, check_not_ended};
use crate::walk::{Step, Walk};

/// Which parts of an entry an iterator yields.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) keys: bool,
    pub(crate) values: bool,
}

/// Visits the entries of a range, in both directions; made by the `iterator` method of a database, snapshot,
/// transaction or prefixed view.
///
/// Its position is between two entries: `next(it)` returns the entry after it and moves past it, `it.prev()`
/// the entry before it; at an end they raise `StopIteration`. `next` ascends, or descends with `reverse=True`.
/// It sees the entries as they were at one point in the sequence of writes. It may raise `ClosedError`,
/// `CorruptionError` and `IOError`; after one of the latter two it stays failed until it seeks. A step
/// interrupted by Ctrl-C loses no entry: the next step returns it. Threads may share it: each entry goes to one
/// of them.
#[pyclass(frozen, weakref, module = "aidb")]
pub(crate) struct Iterator {
    store: Arc<Store>,
    /// The prefix of the view it was made from; the keys it returns do not include it.
    prefix: Vec<u8>,
    shown: Shown,
    /// `None` once the iterator or the database is closed.
    walk: Arc<Mutex<Option<Walk>>>,
    /// The transaction that it is of, which it keeps open.
    transacting: Option<Arc<Transacting>>,
}

impl Iterator {
    pub(crate) fn new(
        store: Arc<Store>,
        prefix: Vec<u8>,
        shown: Shown,
        walk: Walk,
        transacting: Option<Arc<Transacting>>,
    ) -> Iterator {
        Iterator {
            transacting,
            walk: store.hold(walk),
            store,
            prefix,
            shown,
        }
    }

    /// Moves past one entry and returns it. An entry already fetched is returned while attached to the
    /// interpreter. The next chunk is fetched detached; signal handlers run before that, so that an exception
    /// of theirs loses no entry.
    fn step<'py>(&self, py: Python<'py>, step: Step) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            if self.store.is_closed() {
                return Err(error_to_python(py, &aidb::Error::closed("the database")));
            }
            check_not_ended(&self.transacting, py)?;
            let mut walk = lock(py, &self.walk)?;
            let Some(open) = walk.as_mut() else {
                drop(walk);
                return Err(error_to_python(py, &closed()));
            };
            if open.may_be_large() && open.is_large(step) {
                drop(walk);
                match self.pass_large(py, step)? {
                    None => continue,
                    entry => return Ok(entry),
                }
            }
            if let Some((key, value)) = open.pass(step) {
                let key = self.shown.keys.then(|| &key[self.prefix.len()..]);
                let value = self.shown.values.then_some(value);
                let key = key.map(|key| to_python(py, key)).transpose();
                let value = value.map(|value| to_python(py, value)).transpose();
                // Building a tuple may run the garbage collector, so the lock is released first (PYTHON-2).
                drop(walk);
                return self.entry(py, key?, value?).map(Some);
            }
            drop(walk);
            let found = self.fetch(py, step)?;
            // Another thread may take the fetched entries; then the loop fetches again.
            if !found {
                return Ok(None);
            }
        }
    }

    /// Moves past an entry whose value is large. `None` if another thread has passed it in between.
    #[cold]
    fn pass_large<'py>(&self, py: Python<'py>, step: Step) -> PyResult<Option<Bound<'py, PyAny>>> {
        let walk = lock(py, &self.walk)?;
        let Some((open, (key, value))) = walk
            .as_ref()
            .and_then(|open| Some((open, open.fetched(step)?)))
        else {
            return Ok(None);
        };
        let key = self.shown.keys.then(|| &key[self.prefix.len()..]);
        let key = key.map(|key| to_python(py, key)).transpose();
        let (moves, length) = (open.moves(), value.len());
        drop(walk);
        let key = key?;
        let there = |with: &mut dyn FnMut(&mut Walk) -> Option<()>| -> PyResult<bool> {
            let mut walk = lock(py, &self.walk)?;
            let same = walk.as_mut().filter(|walk| walk.moves() == moves);
            Ok(same.and_then(with).is_some())
        };
        let value = in_pieces(py, length, |copy| {
            there(&mut |walk| walk.fetched(step).map(|entry| copy(entry.1)))
        })?;
        // Passed only now, so that an interrupt loses nothing.
        let is_passed = value.is_some() && there(&mut |walk| walk.pass(step).map(|_| ()))?;
        match is_passed {
            true => self.entry(py, key, value).map(Some),
            false => Ok(None),
        }
    }

    /// Fetches entries for `pass`; returns false at the end.
    fn fetch(&self, py: Python<'_>, step: Step) -> PyResult<bool> {
        let fetch = move |walk: &mut Option<Walk>, effort: &Effort| {
            let walk = walk.as_mut().ok_or_else(closed)?;
            walk.fetch(step, effort)
        };
        let brief = || match self.walk.try_lock()? {
            Some(mut walk) => fetch(&mut walk, &Effort::Brief),
            // The lock's holder may take long.
            None => Err(Error::given_up()),
        };
        brief_or(py, brief, || {
            let walk = Arc::clone(&self.walk);
            interruptible(py, move |abandoned| {
                fetch(&mut *lock_detached(&walk)?, &abandoned.effort())
            })
        })
    }

    #[inline]
    fn entry<'py>(
        &self,
        py: Python<'py>,
        key: Option<Bound<'py, PyBytes>>,
        value: Option<Bound<'py, PyBytes>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match (key, value) {
            (Some(key), Some(value)) => (key, value).into_bound_py_any(py),
            (key, value) => key.or(value).into_bound_py_any(py),
        }
    }

    fn place(&self, py: Python<'_>, place: impl FnOnce(&mut Walk) + Send) -> PyResult<()> {
        if self.store.is_closed() {
            return Err(error_to_python(py, &aidb::Error::closed("the database")));
        }
        check_not_ended(&self.transacting, py)?;
        let placed = lock(py, &self.walk)?.as_mut().map(place);
        placed.ok_or_else(|| error_to_python(py, &closed()))
    }
}

fn closed() -> aidb::Error {
    aidb::Error::closed("the iterator")
}

#[pymethods]
impl Iterator {
    /// `Iterator[bytes]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        entry: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls, entry)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.step(py, Step::Ahead)
    }

    /// Moves back past one entry and returns it: after `next` the same one again. Raises `StopIteration` at the
    /// beginning.
    fn prev<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, Step::Back)?
            .ok_or_else(|| pyo3::exceptions::PyStopIteration::new_err(()))
    }

    /// Moves to just before the place of `target` in ascending key order, whether or not the key exists, also
    /// with `reverse`: going up from there, the first entry is the smallest key >= `target`. A target outside
    /// the range moves to that end of the range.
    fn seek(&self, py: Python<'_>, target: BytesLike<'_>) -> PyResult<()> {
        let target = target.copy_behind(&self.prefix)?;
        self.place(py, |walk| walk.seek(target))
    }

    /// Moves before the smallest key of the range, also with `reverse`.
    fn seek_to_start(&self, py: Python<'_>) -> PyResult<()> {
        self.place(py, Walk::seek_to_start)
    }

    /// Moves after the largest key of the range, also with `reverse`.
    fn seek_to_stop(&self, py: Python<'_>) -> PyResult<()> {
        self.place(py, Walk::seek_to_stop)
    }

    /// Releases the memory and files that it pins; later calls raise `ClosedError`. Closing again is not an
    /// error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, &self.walk)
    }

    /// Whether the iterator or its database has been closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.store.is_closed() || lock(py, &self.walk)?.is_none())
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

impl Drop for Iterator {
    fn drop(&mut self) {
        discard(&self.walk);
    }
}
