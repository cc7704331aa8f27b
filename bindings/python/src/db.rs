//! `DB`: an open database.
//!
//! Elsewhere: what keeps it open (`store.rs`), reading (`reader.rs`) and writing (`writer.rs`).

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::bytes::BytesLike;
use crate::options::{self, path_of};
use crate::patience::{detached, interruptible, locking};
use crate::reader::Reader;
use crate::report;
use crate::store::Store;
use crate::view::{Source, View};
use crate::writer::{Writer, view};

/// An open database: an ordered map from byte-string keys to byte-string values.
///
/// `DB(name, **options)` opens the directory `name` (str, bytes or path-like), creating it unless
/// `create_if_missing=False`. Options are numbers, flags, or text such as `"64MiB"`; `aidb.OPTIONS` lists their
/// names and docs/guide.md explains them; plyvel's `lru_cache_size`, `bloom_filter_bits` and `max_file_size`
/// are other names for `block_cache_size`, `bloom_bits_per_key` and `target_file_size`.
///
/// Raises `LockedError` if it is open already, here or in another process; `InvalidArgumentError` for an unknown
/// option, a value out of range, a missing directory with `create_if_missing=False`, or a directory that is not a
/// database; `CorruptionError`, `UnsupportedError` (a newer format), `IOError`, `NoSpaceError`.
///
/// Any number of threads may use it at once. Close it, or use it in a `with` block; otherwise it is closed when
/// it and all its iterators, snapshots and batches have been dropped. In a child process after `fork` every
/// call raises `ClosedError`; the child may open a database of its own.
///
/// Ctrl-C ends the wait for a call, mostly within 0.2 s. An interrupted read stops and loses nothing. Other
/// calls run to their end: a `flush`, `compact_range` or `close`, and a write of more than 4 MiB, continues in
/// the background, and an `open` closes the database that it opened. docs/guide.md says more.
#[pyclass(frozen, subclass, extends = Writer, weakref, module = "aidb")]
pub(crate) struct DB {
    name: String,
}

#[pymethods]
impl DB {
    #[new]
    #[pyo3(signature = (name, **options))]
    fn new(
        name: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let (name_text, path) = path_of(name)?;
        let options = options::from_keywords(options)?;
        let db = interruptible(name.py(), move |abandoned| {
            locking(&options, abandoned, |options| {
                aidb::DB::open(&path, options)
            })
        })?;
        let view = View {
            store: Store::new(db),
            prefix: Vec::new(),
            source: Source::Now,
        };
        Ok(PyClassInitializer::from(Reader { view })
            .add_subclass(Writer)
            .add_subclass(DB { name: name_text }))
    }

    /// The directory, as it was given.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Closes the database: flushes, stops its threads and unlocks the directory. Closing again is not an
    /// error.
    ///
    /// When it returns, everything written survives a power loss, and memory and files are released, even if
    /// handles still exist; views of values stay valid. Later calls on the database, its iterators, snapshots
    /// and batches raise `ClosedError`. Raises `IOError` or `NoSpaceError` if the flush fails; the database is
    /// closed all the same, and no acknowledged write is lost.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let db = Arc::clone(&view(slf.as_super()).store);
        interruptible(slf.py(), move |_| db.close())
    }

    /// Whether the database has been closed.
    #[getter]
    fn closed(slf: &Bound<'_, Self>) -> bool {
        view(slf.as_super()).store.is_closed()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = exception;
        Self::close(slf)
    }

    /// Writes every write acknowledged so far to tables; when it returns, they survive a power loss.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let db = Arc::clone(&view(slf.as_super()).store);
        interruptible(slf.py(), move |_| db.flush())
    }

    /// Compacts the keys from `start` to `stop` (`None`: no bound; `stop` itself excluded): frees the space of
    /// deleted and overwritten entries that no snapshot sees. The result is durable when it returns.
    #[pyo3(signature = (start=None, stop=None))]
    fn compact_range(
        slf: &Bound<'_, Self>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
    ) -> PyResult<()> {
        let db = Arc::clone(&view(slf.as_super()).store);
        let owned = |key: BytesLike<'_>| key.copy_behind(&[]);
        let (start, stop) = (start.map(owned).transpose()?, stop.map(owned).transpose()?);
        interruptible(slf.py(), move |_| {
            db.compact_range(start.as_deref(), stop.as_deref())
        })
    }

    /// Returns about how many bytes of files the keys from `start` to `stop` (`None`: no bound; `stop` itself excluded)
    /// take; entries still in memory are not counted.
    #[pyo3(signature = (start=None, stop=None))]
    fn approximate_size(
        slf: &Bound<'_, Self>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
    ) -> PyResult<u64> {
        let db = &view(slf.as_super()).store;
        let start = start.as_ref().map(BytesLike::as_slice);
        let stop = stop.as_ref().map(BytesLike::as_slice);
        detached(slf.py(), || db.approximate_size(start, stop))
    }

    /// Returns `approximate_size` of each `(start, stop)` given, as a list.
    #[pyo3(signature = (*ranges))]
    fn approximate_sizes(slf: &Bound<'_, Self>, ranges: &Bound<'_, PyTuple>) -> PyResult<Vec<u64>> {
        ranges
            .iter()
            .map(|range| {
                let (start, stop) = range.extract()?;
                Self::approximate_size(slf, start, stop)
            })
            .collect()
    }

    /// Returns about how many entries have keys from `start` to `stop` (`None`: no bound; `stop` itself excluded); 0 if
    /// `stop` is not after `start`. Of now: snapshots do not count.
    ///
    /// It reads no data block: it adds up what tables and memtables state about themselves, and subtracts one entry
    /// for each tombstone. A table that is partly in the range counts in proportion to its bytes that are; in a
    /// memtable the entries in the range are counted. Exact for everything if no key was overwritten or deleted.
    /// Otherwise each overwritten version that is not compacted away makes it up to one too large, and each tombstone
    /// of an absent key one too small; and a table that is partly in the range may be off by the entries of a data
    /// block for each bound. Bounds may have any length. Cost: microseconds, plus a few for every thousand entries
    /// of memtables in the range.
    #[pyo3(signature = (start=None, stop=None))]
    fn approximate_count(
        slf: &Bound<'_, Self>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
    ) -> PyResult<u64> {
        let db = &view(slf.as_super()).store;
        let start = start.as_ref().map(BytesLike::as_slice);
        let stop = stop.as_ref().map(BytesLike::as_slice);
        detached(slf.py(), || db.approximate_count(start, stop))
    }

    /// Returns the report called `name`, or `None` for an unknown name; docs/guide.md lists the names.
    ///
    /// `name` is `str` or, as in plyvel, `bytes`; the result is of the same type.
    fn get_property<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let db = &view(slf.as_super()).store;
        if let Ok(text) = name.cast::<PyString>() {
            let text: String = text.extract()?;
            let report = detached(py, || db.property(&text))?;
            return Ok(report.map(|report| PyString::new(py, &report).into_any()));
        }
        let Ok(bytes) = name.extract::<BytesLike<'_>>() else {
            return Err(PyTypeError::new_err("a property's name is str or bytes"));
        };
        let Ok(text) = std::str::from_utf8(bytes.as_slice()) else {
            return Ok(None);
        };
        let report = detached(py, || db.property(text))?;
        Ok(report.map(|report| PyBytes::new(py, report.as_bytes()).into_any()))
    }

    /// Returns counters since the database was opened and current sizes as a dict: numbers (bytes unless a name
    /// says otherwise), and under `levels` a list with a dict per level.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let db = &view(slf.as_super()).store;
        let json = detached(py, || Ok(db.stats()?.to_json()))?;
        py.import(intern!(py, "json"))?
            .call_method1(intern!(py, "loads"), (json,))
    }

    /// Makes a consistent copy in the directory `path`, which must be missing, empty, or an incomplete copy, while
    /// reads and writes go on.
    ///
    /// The copy contains everything written before the call, is a database of its own, and survives a loss of
    /// power when this returns. Its tables are hard links where the file system allows that. Raises
    /// `InvalidArgumentError` if `path` is a file or a directory with anything else in it, `LockedError`, `IOError`,
    /// `NoSpaceError`; after an error the call removes what it made. If a crash interrupts it, the incomplete copy
    /// does not open; a new copy into the same directory replaces it, and `destroy_db` removes it.
    fn checkpoint(slf: &Bound<'_, Self>, path: &Bound<'_, PyAny>) -> PyResult<()> {
        let (_, path) = path_of(path)?;
        let db = Arc::clone(&view(slf.as_super()).store);
        interruptible(slf.py(), move |_| db.checkpoint(&path))
    }

    /// Reads every file of the database from disk, bypassing the caches, and checks it, while reads and writes
    /// go on. Then reads all entries at one point through the public read paths and compares. Returns its
    /// findings as a dict.
    ///
    /// `is_ok` tells whether all is well; `damage` lists up to 1000 of the `damaged_places`, each a dict with `file`,
    /// `offset`, `message` and `kind`: damage is reported, not raised. The kind is "Corruption", "Io", "Unsupported",
    /// or "Internal" if the bytes are right but some way of reading does not find them, which is a bug in AiDb.
    /// `progress(bytes_done, bytes_total)` is called about once per MiB; if it returns `False` the verification
    /// ends (`is_complete` is false then), and an exception that it raises is passed on. Raises `ClosedError`,
    /// also if the database is closed during the call. Cost: reads every table seven times; about five of these
    /// mostly come from the system's file cache.
    #[pyo3(signature = (progress=None))]
    fn verify<'py>(
        slf: &Bound<'py, Self>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        report::verify(slf.py(), &view(slf.as_super()).store, progress)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = PyString::new(slf.py(), &slf.get().name).repr()?;
        let state = if Self::closed(slf) { "closed" } else { "open" };
        Ok(format!("<aidb.DB {name} {state}>"))
    }
}

/// Removes the database in the directory `name`: its files, and the directory if nothing else is in it.
///
/// A missing or empty directory is not an error. Raises `LockedError` if it is open anywhere,
/// `InvalidArgumentError` if the directory is not a database, `IOError`. Takes the options of `DB`, as plyvel
/// does.
#[pyfunction]
#[pyo3(signature = (name, **options))]
pub(crate) fn destroy_db(
    name: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let (_, path) = path_of(name)?;
    let options = options::from_keywords(options)?;
    interruptible(name.py(), move |abandoned| {
        locking(&options, abandoned, |options| {
            aidb::DB::destroy(&path, &options)
        })
    })
}
