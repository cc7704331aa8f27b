//! `RawIterator`: LevelDB's own iterator, which stands on an entry or on none.

use std::sync::Arc;

use aidb::{Cursor, Error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::{BytesLike, to_python};
use crate::db::Store;
use crate::errors::{detached, drop_detached, iterator_invalid, to_python as error_to_python};
use crate::mutex::{Mutex, lock, lock_detached, take};

/// Walks all entries as LevelDB's own iterator does; from `raw_iterator` of a database, snapshot or prefixed view.
///
/// It stands on an entry or on none; a new one stands on none. A move that passes an end leaves it standing on
/// none. Each move crosses into the engine: for a plain loop `iterator` is faster. Errors as for `Iterator`, and
/// `IteratorInvalidError` for what needs an entry where there is none.
#[pyclass(frozen, weakref, module = "aidb")]
pub(crate) struct RawIterator {
    store: Arc<Store>,
    /// The prefix of the view it was made from: not part of the keys shown.
    prefix: Vec<u8>,
    /// None once closed, it or the database.
    cursor: Arc<Mutex<Option<Cursor>>>,
}

impl RawIterator {
    pub(crate) fn new(store: Arc<Store>, prefix: Vec<u8>, cursor: Cursor) -> RawIterator {
        RawIterator {
            cursor: store.hold(cursor),
            store,
            prefix,
        }
    }

    fn refuse_closed(&self) -> aidb::Result<()> {
        if self.store.is_closed() {
            return Err(Error::closed("the database"));
        }
        Ok(())
    }

    /// Moves the cursor detached. `needs_entry`: only from an entry.
    fn step(
        &self,
        py: Python<'_>,
        needs_entry: bool,
        step: impl FnOnce(&mut Cursor) -> aidb::Result<bool> + Send,
    ) -> PyResult<()> {
        let stood = detached(py, || {
            self.refuse_closed()?;
            let mut cursor = lock_detached(&self.cursor)?;
            let cursor = cursor.as_mut().ok_or_else(closed)?;
            if needs_entry && !cursor.valid() {
                return Ok(false);
            }
            step(cursor)?;
            Ok(true)
        })?;
        if stood {
            Ok(())
        } else {
            Err(iterator_invalid(py))
        }
    }

    /// Copies something out of the entry it stands on.
    fn read<T>(&self, py: Python<'_>, read: impl FnOnce(&Cursor) -> PyResult<T>) -> PyResult<T> {
        self.refuse_closed()
            .map_err(|error| error_to_python(py, &error))?;
        let cursor = lock(py, &self.cursor)?;
        let outcome = match cursor.as_ref() {
            None => Err(error_to_python(py, &closed())),
            Some(cursor) if !cursor.valid() => Ok(None),
            Some(cursor) => read(cursor).map(Some),
        };
        drop(cursor);
        outcome?.ok_or_else(|| iterator_invalid(py))
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
    /// Returns whether it stands on an entry.
    fn valid(&self, py: Python<'_>) -> PyResult<bool> {
        self.refuse_closed()
            .map_err(|error| error_to_python(py, &error))?;
        let valid = lock(py, &self.cursor)?.as_ref().map(Cursor::valid);
        valid.ok_or_else(|| error_to_python(py, &closed()))
    }

    /// Moves to the first entry, or to none if there is none.
    fn seek_to_first(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, false, Cursor::first)
    }

    /// Moves to the last entry, or to none if there is none.
    fn seek_to_last(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, false, Cursor::last)
    }

    /// Moves to the smallest key at or above `target`, or to none if there is none.
    fn seek(&self, py: Python<'_>, target: BytesLike<'_>) -> PyResult<()> {
        let target = target.behind(&self.prefix)?;
        self.step(py, false, |cursor| cursor.seek(&target))
    }

    /// Moves to the next entry, or behind the last one. Raises `IteratorInvalidError` if it stands on none.
    fn next(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, true, Cursor::next)
    }

    /// Moves to the previous entry, or before the first one. Raises `IteratorInvalidError` if it stands on none.
    fn prev(&self, py: Python<'_>) -> PyResult<()> {
        self.step(py, true, Cursor::prev)
    }

    /// Returns the key it stands on. Raises `IteratorInvalidError` if it stands on none.
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.read(py, |cursor| self.shown_key(py, cursor))
    }

    /// Returns the value it stands on. Raises `IteratorInvalidError` if it stands on none.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.read(py, |cursor| to_python(py, cursor.value()))
    }

    /// Returns the `(key, value)` it stands on. Raises `IteratorInvalidError` if it stands on none.
    fn item<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        self.read(py, |cursor| {
            Ok((self.shown_key(py, cursor)?, to_python(py, cursor.value())?))
        })
    }

    /// Lets go of the memory and files it pins; later calls raise `ClosedError`. Closing again is no error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            drop(take(&self.cursor));
            Ok(())
        })
    }

    /// Whether the iterator or its database has been closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.store.is_closed() || lock(py, &self.cursor)?.is_none())
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
        drop_detached(take(&self.cursor));
    }
}
