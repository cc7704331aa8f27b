//! `WriteBatch`: several writes applied together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aidb::{Error, SequenceNumber, WriteOptions};
use pyo3::prelude::*;

use crate::bytes::{BytesLike, LARGE_BYTES};
use crate::errors::to_python;
use crate::mutex::{Mutex, lock, lock_detached};
use crate::patience::{interruptible, unless_it_waits, waiting};
use crate::range::Range;
use crate::store::Store;

/// Instead of a sequence number: there was no write yet, or it failed.
const UNWRITTEN: u64 = u64::MAX;
const _: () = assert!(UNWRITTEN > SequenceNumber::MAX.0);

/// Puts, deletes and range deletes that are applied together, all or none, even if there is a crash; made by
/// `DB.write_batch`.
///
/// For one key the last operation wins. Used in a `with` block, it is written when the block ends. If the block
/// raises, it is written all the same, unless it was made with `transaction=True`: then it is cleared. Keys of
/// a `PrefixedDB`'s batch are under its prefix. It takes memory for its keys and values, at most 4 GiB
/// together.
#[pyclass(frozen, weakref, module = "aidb")]
pub(crate) struct WriteBatch {
    store: Arc<Store>,
    prefix: Vec<u8>,
    transaction: bool,
    options: WriteOptions,
    pub(crate) operations: Arc<Mutex<aidb::WriteBatch>>,
    /// The sequence number that the last write returned, or [`UNWRITTEN`].
    sequence: AtomicU64,
}

impl WriteBatch {
    pub(crate) fn new(
        store: Arc<Store>,
        prefix: Vec<u8>,
        transaction: bool,
        options: WriteOptions,
    ) -> WriteBatch {
        WriteBatch {
            store,
            prefix,
            transaction,
            options,
            operations: Arc::new(Mutex::new(aidb::WriteBatch::new())),
            sequence: AtomicU64::new(UNWRITTEN),
        }
    }

    /// Adds to the operations. Fails at once if the database is closed, because they could never be written.
    fn add(
        &self,
        py: Python<'_>,
        add: impl FnOnce(&mut aidb::WriteBatch) -> aidb::Result<()>,
    ) -> PyResult<()> {
        if self.store.is_closed() {
            return Err(to_python(py, &Error::closed("the database")));
        }
        self.change(py, add)
    }

    fn add_range(&self, py: Python<'_>, range: &Range) -> PyResult<()> {
        let (start, end) = range.bounds();
        self.add(py, |batch| batch.delete_range(start, end))
    }

    fn written(&self, py: Python<'_>) -> PyResult<SequenceNumber> {
        let (store, options) = (&self.store, self.options);
        let by_another_thread = || {
            let (store, operations) = (Arc::clone(store), Arc::clone(&self.operations));
            waiting(py, move || write(&store, &operations, &options))
        };
        let is_large = lock(py, &self.operations)?.byte_size() >= LARGE_BYTES;
        if is_large || !store.pace.is_quick(options.sync) {
            return by_another_thread();
        }
        let write = || write(store, &self.operations, &options);
        unless_it_waits(py, write, by_another_thread)
    }

    fn change(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut aidb::WriteBatch) -> aidb::Result<()>,
    ) -> PyResult<()> {
        py.check_signals()?;
        let outcome = change(&mut *lock(py, &self.operations)?);
        outcome.map_err(|error| to_python(py, &error))
    }
}

/// Writes the batch that the lock guards, and holds the lock during that. Returns the number of the last operation.
fn write(
    store: &Store,
    operations: &Mutex<aidb::WriteBatch>,
    options: &WriteOptions,
) -> aidb::Result<SequenceNumber> {
    let operations = lock_detached(operations)?;
    let write = || store.write_with(&operations, options);
    store.pace.of(options.sync, write)
}

#[pymethods]
impl WriteBatch {
    /// Adds a put of `value` under `key`. Raises `InvalidArgumentError` if one is too long, `ClosedError` if
    /// the database is closed; the batch is then unchanged. If Ctrl-C interrupts a put of more than 4 MiB, the
    /// value has been added or it never will be.
    fn put(&self, py: Python<'_>, key: BytesLike<'_>, value: BytesLike<'_>) -> PyResult<()> {
        if value.as_slice().len() > LARGE_BYTES {
            // First only the check of `add`; then another thread makes the copy.
            self.add(py, |_| Ok(()))?;
            let (key, value) = (key.copy_behind(&self.prefix)?, value.shared());
            let operations = Arc::clone(&self.operations);
            return interruptible(py, move |abandoned| {
                let mut operations = lock_detached(&operations)?;
                abandoned.check()?;
                operations.put(&key, &value)
            });
        }
        let key = key.behind(&self.prefix)?;
        self.add(py, |batch| batch.put(&key, value.as_slice()))
    }

    /// Adds a delete of `key`. Raises `InvalidArgumentError` if it is too long, `ClosedError` if the database is
    /// closed.
    fn delete(&self, py: Python<'_>, key: BytesLike<'_>) -> PyResult<()> {
        let key = key.behind(&self.prefix)?;
        self.add(py, |batch| batch.delete(&key))
    }

    /// Adds a delete of all keys from `start` to `stop` (`None`: no bound; `stop` itself excluded), but not of those
    /// that the batch puts later. Adds nothing if the two are equal.
    ///
    /// Raises `InvalidArgumentError` if `stop` is before `start`; otherwise errors as for `delete`.
    #[pyo3(signature = (start=None, stop=None))]
    fn delete_range(
        &self,
        py: Python<'_>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
    ) -> PyResult<()> {
        let range = Range::of(py, &self.prefix, start.as_ref(), stop.as_ref())?;
        self.add_range(py, &range)
    }

    /// Adds a delete of all keys that begin with `prefix`; an empty one deletes all keys. Otherwise as `delete_range`.
    fn delete_prefix(&self, py: Python<'_>, prefix: BytesLike<'_>) -> PyResult<()> {
        let range = Range::of_prefix(py, &self.prefix, &prefix)?;
        self.add_range(py, &range)
    }

    /// Adds all operations of another batch, `source`, after those of this one. Their keys are not changed.
    fn append(&self, py: Python<'_>, source: &Bound<'_, WriteBatch>) -> PyResult<()> {
        let source = &source.get().operations;
        // Copies first, because `source` may be this batch, and because two locks at once could be taken in two
        // orders.
        let copy_of = |source: &aidb::WriteBatch| {
            let mut copy = aidb::WriteBatch::new();
            copy.append(source).map(|()| copy)
        };
        let operations = lock(py, source)?;
        if operations.byte_size() > LARGE_BYTES {
            drop(operations);
            self.add(py, |_| Ok(()))?;
            let (source, operations) = (Arc::clone(source), Arc::clone(&self.operations));
            return interruptible(py, move |abandoned| {
                let added = copy_of(&*lock_detached(&source)?)?;
                let mut operations = lock_detached(&operations)?;
                abandoned.check()?;
                operations.append(&added)
            });
        }
        let added = copy_of(&operations);
        drop(operations);
        let added = added.map_err(|error| to_python(py, &error))?;
        self.add(py, |batch| batch.append(&added))
    }

    /// Removes all operations.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.change(py, |batch| {
            batch.clear();
            Ok(())
        })
    }

    /// Applies the operations to the database, all or none; they stay in the batch. An empty batch is not an
    /// error.
    ///
    /// Errors as for `DB.put`; after `IOError` or `NoSpaceError` the batch may or may not be there after a
    /// crash. Ctrl-C raises at once if the write is waiting for a flush, a compaction, space or the disk, or if
    /// the batch has more than 4 MiB. The batch is then applied before the next write, or
    /// never.
    fn write(&self, py: Python<'_>) -> PyResult<()> {
        self.sequence.store(UNWRITTEN, Ordering::Relaxed);
        let written = self.written(py)?;
        self.sequence.store(written.0, Ordering::Relaxed);
        Ok(())
    }

    /// The sequence number that the last `write`, or the end of the block, gave to the last operation, as an
    /// `int`; a batch of n operations has the n numbers that end there. `None` before the first write and after
    /// one that failed.
    ///
    /// Numbers begin at 1 and have 56 bits. A snapshot sees the batch if the snapshot's `sequence` is at least
    /// this. An empty batch takes no number; it gets the newest one that readers see.
    #[getter]
    fn sequence(&self) -> Option<u64> {
        let sequence = self.sequence.load(Ordering::Relaxed);
        (sequence != UNWRITTEN).then_some(sequence)
    }

    /// Returns the bytes that the batch takes in the log; in memory it takes 24 more for each operation except the
    /// first.
    fn approximate_size(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(lock(py, &self.operations)?.byte_size())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(lock(py, &self.operations)?.len())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exception, traceback);
        if self.transaction && !exception_type.is_none() {
            self.clear(py)
        } else {
            self.write(py)
        }
    }
}
