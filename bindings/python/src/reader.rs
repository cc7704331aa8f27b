//! `Reader`: reading, which databases, snapshots, transactions and prefixed views share.

use std::sync::{Arc, OnceLock};

use aidb::{ReadOptions, Remembered};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyMemoryView};

use crate::bytes::{BytesLike, ValueBuffer, to_python, value_to_python};
use crate::count;
use crate::errors::{caught, to_python as error_to_python};
use crate::iterator::{Iterator, Shown};
use crate::patience::look;
use crate::raw_iterator::RawIterator;
use crate::view::View;

/// `get_many` looks up at most this many keys before it checks for signals.
const MANY: usize = 128;
/// It also checks after this many bytes of values, because values may have any size.
const MANY_BYTES: usize = 4 << 20;

/// The read methods: the base class of `DB`, `PrefixedDB`, `Snapshot` and `Transaction`. It cannot be created directly.
///
/// Keys are bytes-like objects up to 16 MiB, values up to 4 GiB - 1; both may be empty; keys sort bytewise. Any
/// number of threads may read at once. Any call may raise `ClosedError` (the database or snapshot was closed),
/// `CorruptionError` (bytes on disk are not what was written), `IOError` and `TypeError`.
#[pyclass(frozen, subclass, module = "aidb")]
pub(crate) struct Reader {
    pub(crate) view: View,
}

#[pymethods]
impl Reader {
    /// Returns the value stored under `key` as `bytes`, or `default` if there is none.
    ///
    /// `fill_cache`: keep blocks read from disk in the block cache. `verify_checksums` is accepted for programs
    /// written for plyvel and has no effect: checksums are always verified. Cost: at most one table per level
    /// (more in level 0); filters rule out most of them without a read; the value is copied once.
    #[pyo3(signature = (key, default=None, *, fill_cache=true, verify_checksums=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: BytesLike<'py>,
        default: Option<Bound<'py, PyAny>>,
        fill_cache: bool,
        verify_checksums: Option<bool>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _ = verify_checksums;
        match self.view.read(py, &key, fill_cache)? {
            Some(value) => Ok(Some(value_to_python(py, &value)?.into_any())),
            None => Ok(default),
        }
    }

    /// Returns what `get` returns if memory alone is enough, otherwise `unknown`. It reads no file and does not
    /// wait, so a thread that runs an event loop can call it.
    #[pyo3(signature = (key, default, unknown))]
    fn _get_in_memory<'py>(
        &self,
        py: Python<'py>,
        key: BytesLike<'py>,
        default: Bound<'py, PyAny>,
        unknown: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.view.transacting().is_some() {
            return Ok(unknown);
        }
        let snapshot = self.view.snapshot(py)?;
        let options = ReadOptions::new().snapshot(snapshot.as_ref());
        let key = key.behind(&self.view.prefix)?;
        let remembered = caught(|| self.view.store.get_in_memory(&key, &options));
        match remembered.map_err(|error| error_to_python(py, &error))? {
            Remembered::Value(value) => Ok(to_python(py, &value)?.into_any()),
            Remembered::Absent => Ok(default),
            _ => Ok(unknown),
        }
    }

    /// Returns the values of `keys`, an iterable of bytes-like objects, as a list in their order, with
    /// `default` for an absent key, all read at one point in the sequence of writes.
    ///
    /// Cheaper than as many gets: the interpreter is released once. `fill_cache` as for `get`.
    #[pyo3(signature = (keys, default=None, *, fill_cache=true))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        fill_cache: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut wanted: Vec<BytesLike<'_>> = Vec::new();
        for key in keys.try_iter()? {
            if wanted.len().is_multiple_of(MANY) {
                look(py)?;
            }
            aidb::reserve(&mut wanted, 1, "keys").map_err(|error| error_to_python(py, &error))?;
            wanted.push(key?.extract()?);
        }
        let room = aidb::room_for(wanted.len(), "keys");
        let mut keys = room.map_err(|error| error_to_python(py, &error))?;
        for key in &wanted {
            keys.push(key.behind(&self.view.prefix)?);
        }
        let point = OnceLock::new();
        let list = PyList::empty(py);
        // In pieces, with a check for interrupts in between. Also without keys, so that a closed database raises its
        // error.
        let mut rest = &keys[..];
        loop {
            let piece = &rest[..rest.len().min(MANY)];
            let view = &self.view;
            let values = view.read_first_of(py, piece, fill_cache, MANY_BYTES, &point)?;
            rest = &rest[values.len()..];
            for value in values {
                match value {
                    Some(value) => list.append(value_to_python(py, &value)?)?,
                    None => list.append(&default)?,
                }
            }
            if rest.is_empty() {
                return Ok(list);
            }
        }
    }

    /// Returns the value stored under `key` as a read-only `memoryview`, or `default` if there is none.
    ///
    /// The bytes are not copied into a Python object: until it is released, the view holds the value, or for a
    /// large value its block in the cache. This pays for values of some KiB and more. `fill_cache` as for
    /// `get`.
    #[pyo3(signature = (key, default=None, *, fill_cache=true))]
    fn get_view<'py>(
        &self,
        py: Python<'py>,
        key: BytesLike<'py>,
        default: Option<Bound<'py, PyAny>>,
        fill_cache: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.view.read(py, &key, fill_cache)? {
            Some(value) => {
                let buffer = Bound::new(py, ValueBuffer(value))?;
                Ok(Some(PyMemoryView::from(&buffer)?.into_any()))
            }
            None => Ok(default),
        }
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        key: BytesLike<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.view.read(py, &key, true)? {
            Some(value) => Ok(value_to_python(py, &value)?.into_any()),
            None => Err(PyKeyError::new_err(to_python(py, key.as_slice())?.unbind())),
        }
    }

    fn __contains__(&self, py: Python<'_>, key: BytesLike<'_>) -> PyResult<bool> {
        Ok(self.view.read(py, &key, true)?.is_some())
    }

    /// Returns an `Iterator` over the entries from `start` to `stop` whose keys begin with `prefix`.
    ///
    /// It yields `(key, value)`, or only the parts that `include_key` and `include_value` ask for (`None` for
    /// neither), in ascending key order, or descending with `reverse`; `start` is the smaller bound in either
    /// case. `include_start` and `include_stop` say whether the bounds themselves belong to the range. With
    /// `prefix` and bounds, an entry must satisfy both (plyvel refuses that). It sees the entries as they were
    /// at one point in the sequence of writes: at this call, or at the snapshot. `fill_cache` and
    /// `verify_checksums` as for `get`.
    ///
    /// A transaction's iterator sees the transaction's writes as they are at this call, and ends with the transaction.
    /// The first step after it is made or has sought reads only the entry that it returns. Later ones read ahead about
    /// as many entries as it has passed, and these count as read, too.
    ///
    /// Cost: it fetches entries in chunks of up to 1,024 entries or 128 KiB. Close it, or use it in a `with`
    /// block, to release early the memory and files that it pins.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the keywords of plyvel's iterator"
    )]
    #[pyo3(signature = (reverse=false, start=None, stop=None, include_start=true, include_stop=false, prefix=None,
        include_key=true, include_value=true, verify_checksums=None, fill_cache=true))]
    fn iterator(
        &self,
        py: Python<'_>,
        reverse: bool,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
        include_start: bool,
        include_stop: bool,
        prefix: Option<BytesLike<'_>>,
        include_key: bool,
        include_value: bool,
        verify_checksums: Option<bool>,
        fill_cache: bool,
    ) -> PyResult<Iterator> {
        let _ = verify_checksums;
        let bound = |key: BytesLike<'_>, behind: bool| {
            let mut key = key.copy_behind(&self.view.prefix)?;
            if behind {
                // The smallest key after `key`.
                key.push(0);
            }
            Ok::<_, PyErr>(key)
        };
        let mut options = self.view.cursor_options(py, fill_cache)?;
        options.reverse = reverse;
        options.values = include_value;
        options.lower_bound = start.map(|key| bound(key, !include_start)).transpose()?;
        options.upper_bound = stop.map(|key| bound(key, include_stop)).transpose()?;
        if let Some(prefix) = prefix {
            let whole = prefix.copy_behind(&self.view.prefix)?;
            options.prefix = (!whole.is_empty()).then_some(whole);
        }
        let shown = Shown {
            keys: include_key,
            values: include_value,
        };
        self.view.walk(py, options, shown)
    }

    /// Returns a `RawIterator` over all entries, with LevelDB's interface. It is on no entry yet.
    #[pyo3(signature = (verify_checksums=None, fill_cache=true))]
    fn raw_iterator(
        &self,
        py: Python<'_>,
        verify_checksums: Option<bool>,
        fill_cache: bool,
    ) -> PyResult<RawIterator> {
        let _ = verify_checksums;
        let options = self.view.cursor_options(py, fill_cache)?;
        let view = &self.view;
        let cursor = view.cursor(py, &options)?;
        let (db, prefix) = (Arc::clone(&view.store), view.prefix.clone());
        let transacting = view.transacting().cloned();
        Ok(RawIterator::new(db, prefix, cursor, transacting))
    }

    /// Returns how many entries have keys from `start` to `stop` (`None`: no bound; `stop` itself excluded) and begin
    /// with `prefix`, at one point in the sequence of writes; 0 if `stop` is not after `start`.
    ///
    /// Exact: it walks all of them, like an iterator without keys and values. It copies no value, and those in memory
    /// are not touched; a block that is not in the cache is read and checked as a whole, with the values in it, and
    /// with `fill_cache` stays in the cache. Bounds may have any length. `progress(counted, approximate_total)` is
    /// called in this thread, after about every 65,536 entries, earlier if they are large, and at the end; if it
    /// returns `False`, the result is what was counted so far, and an exception that it raises is passed on. Raises
    /// `ClosedError` also if the database is closed during the call. Ctrl-C ends the count; if there is a `progress`,
    /// when that is called.
    #[pyo3(signature = (start=None, stop=None, *, prefix=None, fill_cache=false, progress=None))]
    fn count(
        &self,
        py: Python<'_>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
        prefix: Option<BytesLike<'_>>,
        fill_cache: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<u64> {
        let range = (start, stop);
        count::count(py, &self.view, range, prefix, fill_cache, progress)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Iterator> {
        self.items(py)
    }

    /// Returns an `Iterator` over all keys, ascending.
    fn keys(&self, py: Python<'_>) -> PyResult<Iterator> {
        let mut options = self.view.cursor_options(py, true)?;
        options.values = false;
        let shown = Shown {
            keys: true,
            values: false,
        };
        self.view.walk(py, options, shown)
    }

    /// Returns an `Iterator` over all values, in the order of their keys.
    fn values(&self, py: Python<'_>) -> PyResult<Iterator> {
        let options = self.view.cursor_options(py, true)?;
        let shown = Shown {
            keys: false,
            values: true,
        };
        self.view.walk(py, options, shown)
    }

    /// Returns an `Iterator` over all `(key, value)` pairs, in the order of their keys.
    fn items(&self, py: Python<'_>) -> PyResult<Iterator> {
        let options = self.view.cursor_options(py, true)?;
        let shown = Shown {
            keys: true,
            values: true,
        };
        self.view.walk(py, options, shown)
    }
}
