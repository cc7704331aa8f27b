//! `DB`: an open database, and `Store`, what keeps it open.

use std::mem;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::bytes::BytesLike;
use crate::errors::{detached, drop_detached};
use crate::mutex::{Mutex, lock_detached, take};
use crate::options;
use crate::pace::Pace;
use crate::patience::{interruptible, locking};
use crate::reader::{Reader, View};
use crate::report;
use crate::writer::{Writer, view};

/// A core database that every handle of it holds (PYTHON-3): it is closed when the last one goes.
pub(crate) struct Store {
    /// Empty only while it is dropped.
    db: Option<aidb::DB>,
    walks: Mutex<Walks>,
    pub(crate) pace: Pace,
}

/// What iterators hold, which nobody reads any more once the database is closed.
#[derive(Default)]
struct Walks {
    all: Vec<Weak<dyn Walking>>,
    /// Those that are gone are forgotten when there are so many.
    look_at: usize,
}

trait Walking: Send + Sync {
    fn let_go(&self);
}

impl<T: Send> Walking for Mutex<Option<T>> {
    /// Waits for a call that uses it.
    fn let_go(&self) {
        drop(take(self));
    }
}

impl Store {
    fn new(db: aidb::DB) -> Arc<Store> {
        Arc::new(Store {
            db: Some(db),
            walks: Mutex::new(Walks::default()),
            pace: Pace::default(),
        })
    }

    /// Gives an iterator what it walks, until the iterator or the database is closed.
    pub(crate) fn hold<T: Send + 'static>(&self, walk: T) -> Arc<Mutex<Option<T>>> {
        let walk = Arc::new(Mutex::new(Some(walk)));
        let held: Arc<dyn Walking> = walk.clone();
        // In a child whose parent was at it, the database is closed anyhow.
        if let Ok(mut walks) = lock_detached(&self.walks) {
            if walks.all.len() >= walks.look_at {
                walks.all.retain(|walk| walk.strong_count() > 0);
                walks.look_at = 2 * walks.all.len() + 16;
            }
            walks.all.push(Arc::downgrade(&held));
        }
        walk
    }

    /// Closes the database, and lets go of what its iterators hold. Detached.
    pub(crate) fn close(&self) -> aidb::Result<()> {
        let outcome = aidb::DB::close(self);
        let walks = lock_detached(&self.walks).map(|mut walks| mem::take(&mut *walks));
        for walk in walks.iter().flat_map(|walks| &walks.all) {
            if let Some(walk) = walk.upgrade() {
                walk.let_go();
            }
        }
        outcome
    }
}

impl Deref for Store {
    type Target = aidb::DB;

    fn deref(&self) -> &aidb::DB {
        self.db.as_ref().expect("only Drop takes it")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The last handle closes the database: it flushes, and waits for threads.
        drop_detached(self.db.take());
    }
}

/// An open database: an ordered map from byte-string keys to byte-string values.
///
/// `DB(name, **options)` opens the directory `name` (str, bytes or path-like), creating it unless
/// `create_if_missing=False`. Options are numbers, flags, or text such as `"64MiB"`; `aidb.OPTIONS` lists their
/// names and docs/guide.md their meaning; plyvel's `lru_cache_size`, `bloom_filter_bits` and `max_file_size` are
/// other names for `block_cache_size`, `bloom_bits_per_key` and `target_file_size`.
///
/// Raises `LockedError` if it is open already, here or in another process; `InvalidArgumentError` for an unknown
/// option, a value out of range, a missing directory with `create_if_missing=False`, or a directory that is not a
/// database; `CorruptionError`, `UnsupportedError` (a newer format), `IOError`, `NoSpaceError`.
///
/// Any number of threads may use it at once. Close it, or use it in a `with` block; a database that is dropped
/// without that is closed when its last iterator, snapshot and batch are gone too. In a child process after `fork`
/// every call raises `ClosedError`; the child may open a database of its own.
///
/// Ctrl-C ends the wait for a call, mostly within 0.2 s. A read gives up then, and nothing of it is lost. Anything else is done to
/// its end: a `flush`, `compact_range` or `close`, and a write of more than 4 MiB, goes on in the background, and an `open`
/// closes what it has opened. docs/guide.md says more.
#[pyclass(frozen, subclass, extends = Writer, weakref, module = "aidb")]
pub(crate) struct DB {
    name: String,
}

/// A path argument as text for people and as the path for the operating system.
pub(crate) fn path_of(name: &Bound<'_, PyAny>) -> PyResult<(String, PathBuf)> {
    let text = name
        .py()
        .import(intern!(name.py(), "os"))?
        .call_method1(intern!(name.py(), "fsdecode"), (name,))?;
    let path: PathBuf = text.extract()?;
    Ok((path.display().to_string(), path))
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
            pinned: None,
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

    /// Closes the database: flushes, stops its threads and lets the directory go. Closing again is no error.
    ///
    /// When it returns, everything written survives loss of power, and memory and files are given back, whoever still has
    /// handles; views of values stay. Later calls on the database, its iterators, snapshots and batches raise `ClosedError`. Raises `IOError` or `NoSpaceError` if the flush fails; the
    /// database is closed all the same, and nothing acknowledged is lost.
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

    /// Writes everything acknowledged so far to tables; when it returns, that survives loss of power.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let db = Arc::clone(&view(slf.as_super()).store);
        interruptible(slf.py(), move |_| db.flush())
    }

    /// Compacts the keys from `start` to `stop` (`None`: no bound; `stop` itself excluded), so that deleted and
    /// overwritten entries that no snapshot sees give back their space. Returns when that is durable.
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
    /// take; what is still in memory is not counted.
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

    /// Returns a report by its `name`, or `None` for an unknown name; docs/guide.md lists the names.
    ///
    /// `name` is `str` or, as in plyvel, `bytes`; the answer is of the same type.
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

    /// Returns counters since open and sizes now as a dict: numbers (bytes unless a name says otherwise), and
    /// under `levels` a list with a dict per level.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let db = &view(slf.as_super()).store;
        let json = detached(py, || Ok(db.stats()?.to_json()))?;
        py.import(intern!(py, "json"))?
            .call_method1(intern!(py, "loads"), (json,))
    }

    /// Makes a consistent copy in the directory `path`, which must be missing or empty, while reads and writes go on.
    ///
    /// The copy holds everything written before the call, opens by itself, and survives loss of power when this
    /// returns. Its tables are hard links where the file system allows that. Raises `InvalidArgumentError` if
    /// `path` is a file or a directory that is not empty, `LockedError`, `IOError`, `NoSpaceError`; what was made is
    /// removed then.
    fn checkpoint(slf: &Bound<'_, Self>, path: &Bound<'_, PyAny>) -> PyResult<()> {
        let (_, path) = path_of(path)?;
        let db = Arc::clone(&view(slf.as_super()).store);
        interruptible(slf.py(), move |_| db.checkpoint(&path))
    }

    /// Reads everything the database consists of from disk, past the caches, and checks it, while reads and writes
    /// go on; then reads everything as of one point as you do, and compares. Returns what was found as a dict.
    ///
    /// `is_ok` tells whether all is well; `damage` lists up to 1000 of the `damaged_places`, each a dict with `file`,
    /// `offset`, `message` and `kind`: damage is reported, not raised. The kind is "Corruption", "Io", "Unsupported",
    /// or "Internal" if the bytes are right and a way of reading does not find what is there, which is a fault of AiDb.
    /// `progress(bytes_done, bytes_total)` is called about once per MiB; if it returns `False` the verification ends
    /// (`is_complete` is false then), and what it raises is raised. Raises `ClosedError`, also if the database is closed
    /// meanwhile. Cost: reads every table seven times, of which the system's file cache mostly answers five.
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
/// A missing or empty directory is no error. Raises `LockedError` if it is open anywhere, `InvalidArgumentError` if
/// the directory is not a database, `IOError`. Options as for `DB`, for plyvel's sake.
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
