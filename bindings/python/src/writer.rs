//! `Writer`: writing, which databases and prefixed views share; and `PrefixedDB`, the part of a database under a key
//! prefix, which a writer makes and which is one.

use std::sync::Arc;

use aidb::WriteOptions;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::batch::WriteBatch;
use crate::bytes::{BytesLike, LARGE_BYTES, to_python, value_to_python};
use crate::errors::to_python as error_to_python;
use crate::one_call::{compare_and_set, get_and_write};
use crate::patience::{detached, unless_it_waits, waiting};
use crate::range::Range;
use crate::reader::Reader;
use crate::snapshot::Snapshot;
use crate::transaction::{self, Transaction};
use crate::view::{Source, View};

/// How many allocations a batch makes besides its operations: the lock around them, and Python's object.
const BATCH_PIECES: usize = 2;

/// The read and write methods: the base class of `DB` and `PrefixedDB`. It cannot be created directly.
///
/// Once its call has returned, a write survives a crash of the process; with `sync=True` it and every write
/// acknowledged before it survive a power loss. Besides the errors of `Reader`, writes raise
/// `InvalidArgumentError` (a key or value is too long) and `NoSpaceError` (free space and write again).
#[pyclass(frozen, subclass, extends = Reader, module = "aidb")]
pub(crate) struct Writer;

/// The part of a writer or reader that all of its subclasses share.
pub(crate) fn view<'a>(writer: &'a Bound<'_, Writer>) -> &'a View {
    &writer.as_super().get().view
}

fn put(
    writer: &Bound<'_, Writer>,
    key: &BytesLike<'_>,
    value: &BytesLike<'_>,
    sync: bool,
) -> PyResult<()> {
    let view = view(writer);
    let (py, options) = (writer.py(), WriteOptions::new().sync(sync));
    let by_another_thread = || {
        let (key, value) = (key.copy_behind(&view.prefix)?, value.shared());
        let db = Arc::clone(&view.store);
        waiting(py, move || {
            db.pace.of(sync, || db.put_with(&key, &value, &options))?;
            Ok(())
        })
    };
    let db = &view.store;
    if value.as_slice().len() > LARGE_BYTES || !db.pace.is_quick(sync) {
        return by_another_thread();
    }
    let (key, value) = (key.behind(&view.prefix)?, value.as_slice());
    let put = || {
        db.pace.of(sync, || db.put_with(&key, value, &options))?;
        Ok(())
    };
    unless_it_waits(py, put, by_another_thread)
}

fn delete(writer: &Bound<'_, Writer>, key: &BytesLike<'_>, sync: bool) -> PyResult<()> {
    let view = view(writer);
    let (py, options) = (writer.py(), WriteOptions::new().sync(sync));
    let by_another_thread = || {
        let (key, db) = (key.copy_behind(&view.prefix)?, Arc::clone(&view.store));
        waiting(py, move || {
            db.pace.of(sync, || db.delete_with(&key, &options))?;
            Ok(())
        })
    };
    let db = &view.store;
    if !db.pace.is_quick(sync) {
        return by_another_thread();
    }
    let key = key.behind(&view.prefix)?;
    let delete = || {
        db.pace.of(sync, || db.delete_with(&key, &options))?;
        Ok(())
    };
    unless_it_waits(py, delete, by_another_thread)
}

/// Another thread makes the call, because the first range delete of a process may wait for the disk.
fn delete_range(writer: &Bound<'_, Writer>, range: Range, sync: bool) -> PyResult<()> {
    let (db, options) = (
        Arc::clone(&view(writer).store),
        WriteOptions::new().sync(sync),
    );
    waiting(writer.py(), move || {
        let (start, end) = range.bounds();
        db.pace
            .of(sync, || db.delete_range_with(start, end, &options))?;
        Ok(())
    })
}

#[pymethods]
impl Writer {
    /// Stores `value` under `key`, replacing any earlier value; `sync` waits until it survives a power loss.
    ///
    /// Ctrl-C raises at once if a put is waiting for a flush, a compaction, space or the disk, or if its value
    /// has more than 4 MiB. The put is then applied before the next write, or never.
    #[pyo3(signature = (key, value, *, sync=false))]
    fn put(
        slf: &Bound<'_, Self>,
        key: BytesLike<'_>,
        value: BytesLike<'_>,
        sync: bool,
    ) -> PyResult<()> {
        put(slf, &key, &value, sync)
    }

    /// Removes `key`; removing an absent key is not an error. `sync` as for `put`.
    #[pyo3(signature = (key, *, sync=false))]
    fn delete(slf: &Bound<'_, Self>, key: BytesLike<'_>, sync: bool) -> PyResult<()> {
        delete(slf, &key, sync)
    }

    /// Removes all keys from `start` to `stop` (`None`: no bound; `stop` itself excluded) with one small write, which
    /// takes no time for each key. Compactions free the space later.
    ///
    /// Removes nothing if the two are equal. Raises `InvalidArgumentError` if `stop` is before `start`; otherwise
    /// errors as for `put`. `sync` and Ctrl-C as for `put`. A `PrefixedDB` removes keys under its prefix only.
    #[pyo3(signature = (start=None, stop=None, *, sync=false))]
    fn delete_range(
        slf: &Bound<'_, Self>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
        sync: bool,
    ) -> PyResult<()> {
        let prefix = &view(slf).prefix;
        let range = Range::of(slf.py(), prefix, start.as_ref(), stop.as_ref())?;
        delete_range(slf, range, sync)
    }

    /// Removes all keys that begin with `prefix`; an empty one removes all keys. Otherwise as `delete_range`.
    #[pyo3(signature = (prefix, *, sync=false))]
    fn delete_prefix(slf: &Bound<'_, Self>, prefix: BytesLike<'_>, sync: bool) -> PyResult<()> {
        let range = Range::of_prefix(slf.py(), &view(slf).prefix, &prefix)?;
        delete_range(slf, range, sync)
    }

    fn __setitem__(
        slf: &Bound<'_, Self>,
        key: BytesLike<'_>,
        value: BytesLike<'_>,
    ) -> PyResult<()> {
        put(slf, &key, &value, false)
    }

    fn __delitem__(slf: &Bound<'_, Self>, key: BytesLike<'_>) -> PyResult<()> {
        delete(slf, &key, false)
    }

    /// Returns an empty `WriteBatch` for this database: its operations are applied together or not at all.
    ///
    /// Used in a `with` block, it is written at the end. If the block raises, the operations added by then are
    /// written all the same, as in plyvel; with `transaction=True` none are. `sync` as for `put`.
    #[pyo3(signature = (transaction=false, sync=false))]
    fn write_batch(slf: &Bound<'_, Self>, transaction: bool, sync: bool) -> PyResult<WriteBatch> {
        let view = view(slf);
        let room = aidb::room_ahead(BATCH_PIECES, "a batch");
        room.map_err(|error| error_to_python(slf.py(), &error))?;
        Ok(WriteBatch::new(
            Arc::clone(&view.store),
            view.prefix.clone(),
            transaction,
            WriteOptions::new().sync(sync),
        ))
    }

    /// Begins a `Transaction`, for a `with` block: it commits at the end of the block, and rolls back if the block
    /// raises.
    ///
    /// `read_only`: it refuses writes; what it reads is not kept in memory, and it never conflicts. `sync`: the commit
    /// waits until it survives a power loss. Raises `ClosedError` and `OutOfMemoryError`.
    #[pyo3(signature = (*, read_only=false, sync=false))]
    fn transaction(
        slf: &Bound<'_, Self>,
        read_only: bool,
        sync: bool,
    ) -> PyResult<Py<Transaction>> {
        Transaction::begin(slf.py(), view(slf), read_only, sync)
    }

    /// Begins a `Transaction`, for use without a block: end it with `commit` or `rollback`. Otherwise as
    /// `transaction`.
    #[pyo3(signature = (*, read_only=false))]
    fn begin(slf: &Bound<'_, Self>, read_only: bool) -> PyResult<Py<Transaction>> {
        Transaction::begin(slf.py(), view(slf), read_only, false)
    }

    /// Calls `f` with a new `Transaction`, commits it, and returns what `f` returned. After a `ConflictError` calls `f`
    /// again from the beginning, with another transaction, up to `attempts` times (at least 1) in all.
    ///
    /// `f` must do nothing that may not be done several times, and neither commits nor rolls back. It pauses before
    /// each new attempt: some 50 microseconds at first, then twice as long each time, at most 20 milliseconds; Ctrl-C
    /// ends it. An exception of `f` other than `ConflictError` rolls the transaction back and is passed on. Raises
    /// `ConflictError` after the last attempt; otherwise errors as for `put`. `sync` as for `put`.
    #[pyo3(signature = (f, attempts=10, *, sync=false))]
    fn run_transaction<'py>(
        slf: &Bound<'py, Self>,
        f: &Bound<'py, PyAny>,
        attempts: i64,
        sync: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        transaction::run(view(slf), f, attempts, sync)
    }

    /// If the value under `key` is `expected` (`None`: the key is absent), makes it `value` (`None`: removes the key).
    /// Returns whether it was. Nobody can change the key in between.
    ///
    /// Never raises `ConflictError`; otherwise errors as for `get` and `put`. `sync` and Ctrl-C as for `put`.
    #[pyo3(signature = (key, expected, value, *, sync=false))]
    fn compare_and_set(
        slf: &Bound<'_, Self>,
        key: BytesLike<'_>,
        expected: Option<BytesLike<'_>>,
        value: Option<BytesLike<'_>>,
        sync: bool,
    ) -> PyResult<bool> {
        let (expected, value) = (expected.as_ref(), value.as_ref());
        compare_and_set(slf.py(), view(slf), &key, expected, value, sync)
    }

    /// Stores `value` under `key` unless the key has a value; returns whether it did. Nobody can change the key in
    /// between. Errors and `sync` as for `compare_and_set`.
    #[pyo3(signature = (key, value, *, sync=false))]
    fn put_if_absent(
        slf: &Bound<'_, Self>,
        key: BytesLike<'_>,
        value: BytesLike<'_>,
        sync: bool,
    ) -> PyResult<bool> {
        compare_and_set(slf.py(), view(slf), &key, None, Some(&value), sync)
    }

    /// Stores `value` under `key` and returns the value that the key had before, or `None`. Nobody can change the key
    /// in between. Errors and `sync` as for `compare_and_set`.
    #[pyo3(signature = (key, value, *, sync=false))]
    fn get_and_put<'py>(
        slf: &Bound<'py, Self>,
        key: BytesLike<'_>,
        value: BytesLike<'_>,
        sync: bool,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let before = get_and_write(slf.py(), view(slf), &key, Some(&value), sync)?;
        let before = before.as_deref();
        before
            .map(|before| value_to_python(slf.py(), before))
            .transpose()
    }

    /// Removes `key` and returns the value that it had, or `None`; then it writes nothing. Nobody can change the key in
    /// between. Errors and `sync` as for `compare_and_set`.
    #[pyo3(signature = (key, *, sync=false))]
    fn get_and_delete<'py>(
        slf: &Bound<'py, Self>,
        key: BytesLike<'_>,
        sync: bool,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let before = get_and_write(slf.py(), view(slf), &key, None, sync)?;
        let before = before.as_deref();
        before
            .map(|before| value_to_python(slf.py(), before))
            .transpose()
    }

    /// Returns a `Snapshot`: reads at this point in the sequence of writes, until it is closed or dropped.
    ///
    /// While it is held, the entries it can see take space on disk, even after they are overwritten or deleted.
    fn snapshot(slf: &Bound<'_, Self>) -> PyResult<Py<Snapshot>> {
        let view = view(slf);
        let db = &view.store;
        let snapshot = detached(slf.py(), || db.snapshot())?;
        Snapshot::new(
            slf.py(),
            Arc::clone(&view.store),
            view.prefix.clone(),
            snapshot,
        )
    }

    /// Returns a `PrefixedDB`: the entries whose keys begin with `prefix`, under their keys without it.
    fn prefixed_db(slf: &Bound<'_, Self>, prefix: BytesLike<'_>) -> PyResult<Py<PrefixedDB>> {
        PrefixedDB::new(slf, &prefix)
    }

    /// Returns this database as a `collections.abc.MutableMapping` of bytes to bytes.
    ///
    /// `iter` yields keys, `del` of an absent key is a `KeyError`, and `len` counts by walking all entries.
    fn mapping<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        py.import(intern!(py, "aidb.mapping"))?
            .getattr(intern!(py, "Mapping"))?
            .call1((slf,))
    }
}

/// The entries of a database whose keys begin with a prefix, under their keys without it; made by
/// `DB.prefixed_db`.
///
/// It is a view: it costs nothing to make and closes with its database. Its reads, batches, iterators,
/// snapshots and transactions see and write only keys under the prefix.
#[pyclass(frozen, extends = Writer, module = "aidb")]
pub(crate) struct PrefixedDB {
    /// The database or prefixed view this was made from.
    parent: Py<Writer>,
}

impl PrefixedDB {
    fn new(parent: &Bound<'_, Writer>, prefix: &BytesLike<'_>) -> PyResult<Py<Self>> {
        let outer = view(parent);
        let view = View {
            store: Arc::clone(&outer.store),
            prefix: prefix.copy_behind(&outer.prefix)?,
            source: Source::Now,
        };
        let layers = PyClassInitializer::from(Reader { view })
            .add_subclass(Writer)
            .add_subclass(PrefixedDB {
                parent: parent.clone().unbind(),
            });
        Py::new(parent.py(), layers)
    }
}

#[pymethods]
impl PrefixedDB {
    /// The whole prefix, from the start of the database's keys.
    #[getter]
    fn prefix<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        to_python(slf.py(), &view(slf.as_super()).prefix)
    }

    /// The `DB` or `PrefixedDB` that this view was made from.
    #[getter]
    fn db(&self, py: Python<'_>) -> Py<Writer> {
        self.parent.clone_ref(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let prefix = Self::prefix(slf)?.repr()?;
        let parent = slf.get().parent.bind(slf.py()).repr()?;
        Ok(format!("<aidb.PrefixedDB {prefix} of {parent}>"))
    }
}
