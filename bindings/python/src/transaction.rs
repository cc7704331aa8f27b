//! `Transaction` and `Savepoint`: reads and writes that take place at once; and running a function in one again and
//! again until it meets no conflict.

use std::sync::{Arc, OnceLock};
use std::thread;

use aidb::{Error, pause_after};
use pyo3::prelude::*;

use crate::batch::WriteBatch;
use crate::bytes::BytesLike;
use crate::errors::{conflict_after, is_conflict, to_python};
use crate::mutex::{lock, lock_detached};
use crate::patience::detached;
use crate::range::Range;
use crate::reader::Reader;
use crate::transacting::Transacting;
use crate::view::{Source, View};

/// Reads and writes that take place at once, or not at all; made by `DB.transaction` and `DB.begin`.
///
/// It reads the database as it was when the transaction began, with its own writes over that; nobody else sees its
/// writes before the commit. A `with` block commits at its end, and rolls back if it raises. The commit raises
/// `ConflictError` if another commit has since changed a key that the transaction has looked up, or made, changed or
/// removed one in a range that it has walked over: so transactions have the effect of running one after the other, in
/// the order of their commits. After a `ConflictError` nothing was written: run it again from the beginning, or use
/// `DB.run_transaction`, which does. Writes alone, and reads alone, never conflict.
///
/// After its end every call except `rollback` raises `ClosedError`, and so do its iterators. It belongs to one thread
/// at a time: a call while another thread is in the middle of one raises `InvalidArgumentError`. It is rolled back
/// when it and its iterators have been dropped, and when the database is closed. While it is open the database keeps
/// the entries that it sees; so one that nobody has used for the option `transaction_timeout` is rolled back, and its
/// calls then raise `ConflictError`. It takes memory for its writes, and up to about 6 MiB for what it has read; when
/// it has read very much, changes of other keys may count as conflicts too. `fill_cache` has an effect on iterators
/// only. A `PrefixedDB`'s transaction reads and writes keys under the prefix.
#[pyclass(frozen, extends = Reader, weakref, module = "aidb")]
pub(crate) struct Transaction {
    /// Shared with the reader of this transaction.
    transacting: Arc<Transacting>,
    /// Whether a commit syncs unless it is told otherwise.
    sync: bool,
    /// The number that the commit returned.
    sequence: OnceLock<u64>,
}

/// A point within a transaction to which `Transaction.rollback_to` takes the writes back; made by
/// `Transaction.savepoint`.
#[pyclass(frozen, module = "aidb")]
pub(crate) struct Savepoint(aidb::Savepoint);

impl Transaction {
    /// Begins a transaction that reads and writes what `view` shows.
    pub(crate) fn begin(
        py: Python<'_>,
        view: &View,
        read_only: bool,
        sync: bool,
    ) -> PyResult<Py<Transaction>> {
        let transacting = Transacting::begin(py, &view.store, read_only)?;
        let view = View {
            store: Arc::clone(&view.store),
            prefix: view.prefix.clone(),
            source: Source::Transaction(Arc::clone(&transacting)),
        };
        let transaction = Transaction {
            transacting,
            sync,
            sequence: OnceLock::new(),
        };
        let layers = PyClassInitializer::from(Reader { view }).add_subclass(transaction);
        Py::new(py, layers)
    }

    fn committed(&self, py: Python<'_>, sync: bool) -> PyResult<u64> {
        let sequence = self.transacting.commit(py, sync)?.0;
        Ok(*self.sequence.get_or_init(|| sequence))
    }
}

fn put(
    transaction: &Bound<'_, Transaction>,
    key: &BytesLike<'_>,
    value: &BytesLike<'_>,
) -> PyResult<()> {
    let prefix = &transaction.as_super().get().view.prefix;
    let bytes = key.as_slice().len() + value.as_slice().len();
    let (whole, here) = (key.behind(prefix)?, value.as_slice());
    transaction.get().transacting.change(
        transaction.py(),
        bytes,
        |transaction| transaction.put(&whole, here),
        || {
            let (key, value) = (key.copy_behind(prefix)?, value.shared());
            Ok(move |transaction: &aidb::Transaction| transaction.put(&key, &value))
        },
    )
}

fn delete(transaction: &Bound<'_, Transaction>, key: &BytesLike<'_>) -> PyResult<()> {
    let prefix = &transaction.as_super().get().view.prefix;
    let whole = key.behind(prefix)?;
    transaction.get().transacting.change(
        transaction.py(),
        whole.len(),
        |transaction| transaction.delete(&whole),
        || {
            let key = key.copy_behind(prefix)?;
            Ok(move |transaction: &aidb::Transaction| transaction.delete(&key))
        },
    )
}

fn delete_range(transaction: &Bound<'_, Transaction>, range: &Range) -> PyResult<()> {
    let delete = |transaction: &aidb::Transaction, range: &Range| {
        let (start, end) = range.bounds();
        transaction.delete_range(start, end)
    };
    transaction.get().transacting.change(
        transaction.py(),
        range.len(),
        |transaction| delete(transaction, range),
        || {
            let range = range.clone();
            Ok(move |transaction: &aidb::Transaction| delete(transaction, &range))
        },
    )
}

#[pymethods]
impl Transaction {
    /// Stores `value` (up to 4 GiB - 1) under `key` (up to 16 MiB) when the transaction commits.
    ///
    /// Raises `InvalidArgumentError` if one is longer, or if the transaction or its database is read-only. If Ctrl-C
    /// interrupts a put of more than 4 MiB, the value has been added or it never will be.
    fn put(slf: &Bound<'_, Self>, key: BytesLike<'_>, value: BytesLike<'_>) -> PyResult<()> {
        put(slf, &key, &value)
    }

    /// Removes `key` when the transaction commits; removing an absent key is not an error. Errors as for `put`.
    fn delete(slf: &Bound<'_, Self>, key: BytesLike<'_>) -> PyResult<()> {
        delete(slf, &key)
    }

    /// Removes all keys from `start` to `stop` (`None`: no bound; `stop` itself excluded) when the transaction commits:
    /// those that are there then, and those that the transaction has written before.
    ///
    /// Removes nothing if the two are equal. Raises `InvalidArgumentError` if `stop` is before `start`; otherwise
    /// errors as for `put`.
    #[pyo3(signature = (start=None, stop=None))]
    fn delete_range(
        slf: &Bound<'_, Self>,
        start: Option<BytesLike<'_>>,
        stop: Option<BytesLike<'_>>,
    ) -> PyResult<()> {
        let prefix = &slf.as_super().get().view.prefix;
        let range = Range::of(slf.py(), prefix, start.as_ref(), stop.as_ref())?;
        delete_range(slf, &range)
    }

    /// Removes all keys that begin with `prefix` when the transaction commits; an empty one removes all keys. Otherwise
    /// as `delete_range`.
    fn delete_prefix(slf: &Bound<'_, Self>, prefix: BytesLike<'_>) -> PyResult<()> {
        let view = &slf.as_super().get().view;
        let range = Range::of_prefix(slf.py(), &view.prefix, &prefix)?;
        delete_range(slf, &range)
    }

    fn __setitem__(
        slf: &Bound<'_, Self>,
        key: BytesLike<'_>,
        value: BytesLike<'_>,
    ) -> PyResult<()> {
        put(slf, &key, &value)
    }

    fn __delitem__(slf: &Bound<'_, Self>, key: BytesLike<'_>) -> PyResult<()> {
        delete(slf, &key)
    }

    /// Adds all operations of a batch to the transaction; they stay in the batch, and their keys are not changed.
    ///
    /// Errors as for `put`; after one, none of the operations is in the transaction.
    fn write(&self, py: Python<'_>, batch: &Bound<'_, WriteBatch>) -> PyResult<()> {
        let operations = &batch.get().operations;
        let bytes = lock(py, operations)?.byte_size();
        self.transacting.change(
            py,
            bytes,
            |transaction| match operations.try_lock()? {
                Some(operations) => transaction.write(&operations),
                // The batch is being written.
                None => Err(Error::given_up()),
            },
            || {
                let operations = Arc::clone(operations);
                Ok(move |transaction: &aidb::Transaction| {
                    transaction.write(&*lock_detached(&operations)?)
                })
            },
        )
    }

    /// Returns a `Savepoint`: a point to which `rollback_to` takes the writes back.
    fn savepoint(&self, py: Python<'_>) -> PyResult<Savepoint> {
        let savepoint = |transaction: &aidb::Transaction| transaction.savepoint();
        let savepoint = self.transacting.read(py, savepoint, || Ok(savepoint))?;
        Ok(Savepoint(savepoint))
    }

    /// Takes back every write since `savepoint`, and forgets the savepoints after it; it can be used again. What was
    /// read since then still counts as read.
    ///
    /// Raises `InvalidArgumentError` if it is of another transaction, or was forgotten.
    fn rollback_to(&self, py: Python<'_>, savepoint: &Bound<'_, Savepoint>) -> PyResult<()> {
        let savepoint = savepoint.get().0;
        let rollback = move |transaction: &aidb::Transaction| transaction.rollback_to(savepoint);
        self.transacting.change(py, 0, rollback, || Ok(rollback))
    }

    /// Makes the writes visible, all at once; they survive a crash of the process. Ends the transaction.
    ///
    /// `sync`: wait until they survive a power loss; `None`: as the transaction was begun. Returns the sequence number
    /// of the last operation, or of the last write that the transaction sees, if it has no writes. Raises
    /// `ConflictError` if what it has read was changed: nothing was written; otherwise errors as for `DB.put`. Only
    /// after `OutOfMemoryError` is it still open. Ctrl-C raises at once if the commit is waiting for a flush, a
    /// compaction, space or the disk, or if there are more than 4 MiB to write; the transaction is then committed or
    /// rolled back before the next call on it, whose error says which.
    #[pyo3(signature = (*, sync=None))]
    fn commit(&self, py: Python<'_>, sync: Option<bool>) -> PyResult<u64> {
        self.committed(py, sync.unwrap_or(self.sync))
    }

    /// Ends the transaction without writing anything. No error if it has ended already. Any thread may call this.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.transacting.rollback(py)
    }

    /// The sequence number that the commit gave to the last operation, as an `int`; `None` before the commit, and if
    /// it failed. Without writes it is the number of the last write that the transaction saw.
    #[getter]
    fn sequence(&self) -> Option<u64> {
        self.sequence.get().copied()
    }

    /// Whether the transaction has ended in any way, or its database has been closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.transacting.check_open(py).is_err()
    }

    /// How many seconds `run_transaction` pauses after conflict number `conflicts` (from 1) of a call.
    fn _pause_after(&self, conflicts: u32) -> f64 {
        pause_after(conflicts, self.transacting.seed()).as_secs_f64()
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
        if !exception_type.is_none() {
            return self.rollback(py);
        }
        // The block may have committed or rolled back itself.
        if self.transacting.has_ended() {
            return Ok(());
        }
        let committed = self.committed(py, self.sync);
        if committed.is_err() {
            self.rollback(py)?;
        }
        committed.map(|_| ())
    }
}

#[pymethods]
impl Savepoint {
    fn __repr__(&self) -> String {
        format!("<aidb.Savepoint {}>", self.0.number())
    }
}

/// See `Writer.run_transaction`.
pub(crate) fn run<'py>(
    view: &View,
    function: &Bound<'py, PyAny>,
    attempts: i64,
    sync: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    if attempts < 1 {
        let message = format!("attempts is {attempts}: it is 1 or more");
        return Err(to_python(py, &Error::invalid_argument(message)));
    }
    let mut conflicts = 0;
    loop {
        let transaction = Transaction::begin(py, view, false, sync)?;
        let outcome = function.call1((&transaction,)).and_then(|answer| {
            transaction.get().committed(py, sync)?;
            Ok(answer)
        });
        let Err(error) = outcome else {
            return outcome;
        };
        let transacting = &transaction.get().transacting;
        transacting.rollback(py)?;
        if !is_conflict(py, &error) {
            return Err(error);
        }
        conflicts += 1;
        if i64::from(conflicts) >= attempts {
            return Err(conflict_after(py, attempts, error));
        }
        let pause = pause_after(conflicts, transacting.seed());
        detached(py, || {
            thread::sleep(pause);
            Ok(())
        })?;
    }
}
