//! `Transacting`: a transaction of core, as its handle, its iterators and the threads that make calls for it share it.
//!
//! * TURN-1  Core gets one call of a transaction at a time, because whoever makes one holds `turn`. So a call that an
//!           interrupt has abandoned ends before the next one begins, and takes no effect after that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aidb::{Error, Result, SequenceNumber, TransactionOptions, WriteOptions};
use pyo3::prelude::*;

use crate::bytes::LARGE_BYTES;
use crate::errors::{caught, drop_detached, to_python};
use crate::mutex::{Mutex, lock_detached};
use crate::patience::{brief_or, detached, interruptible, lengthy, unless_it_waits, waiting};
use crate::store::Store;

/// See the head of this file.
pub(crate) struct Transacting {
    /// Empty only while it is dropped.
    transaction: Option<aidb::Transaction>,
    store: Arc<Store>,
    turn: Mutex<()>,
    /// Whether a thread of Python is in the middle of a call.
    is_called: AtomicBool,
    /// Whether a call from Python has ended it. A timeout and a close of the database do not count.
    has_ended: AtomicBool,
    /// How many bytes of keys and values were written.
    written_bytes: AtomicUsize,
}

/// A call from Python, while this exists. Another one meanwhile is refused.
struct Call<'a>(&'a AtomicBool);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Transacting {
    pub(crate) fn begin(
        py: Python<'_>,
        store: &Arc<Store>,
        read_only: bool,
    ) -> PyResult<Arc<Transacting>> {
        let options = TransactionOptions::new().read_only(read_only);
        let transaction = detached(py, || store.begin_with(&options))?;
        Ok(Arc::new(Transacting {
            transaction: Some(transaction),
            store: Arc::clone(store),
            turn: Mutex::new(()),
            is_called: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            written_bytes: AtomicUsize::new(0),
        }))
    }

    fn transaction(&self) -> &aidb::Transaction {
        self.transaction.as_ref().expect("only Drop takes it")
    }

    /// Begins a call from Python.
    fn enter(&self, py: Python<'_>) -> PyResult<Call<'_>> {
        // First, because in a forked child a thread of the parent may be in the middle of a call for ever.
        if self.store.is_closed() {
            return Err(to_python(py, &Error::closed("the database")));
        }
        if self.is_called.swap(true, Ordering::Acquire) {
            let error = Error::invalid_argument(
                "the transaction is in use by another thread: each thread needs its own",
            );
            return Err(to_python(py, &error));
        }
        Ok(Call(&self.is_called))
    }

    /// Makes a call on this thread; gives up if an abandoned one is still being made.
    fn at_once<T>(&self, call: impl FnOnce(&aidb::Transaction) -> Result<T>) -> Result<T> {
        match self.turn.try_lock()? {
            Some(_turn) => call(self.transaction()),
            None => Err(Error::given_up()),
        }
    }

    /// Makes a call as soon as no other one is being made.
    fn in_turn<T>(&self, call: impl FnOnce(&aidb::Transaction) -> Result<T>) -> Result<T> {
        let _turn = lock_detached(&self.turn)?;
        call(self.transaction())
    }

    /// Reads in a brief call `here`; if that gives up, with the `owned` call in another thread.
    pub(crate) fn read<T: Send + 'static, F>(
        self: &Arc<Self>,
        py: Python<'_>,
        here: impl FnOnce(&aidb::Transaction) -> Result<T> + Send,
        owned: impl FnOnce() -> PyResult<F>,
    ) -> PyResult<T>
    where
        F: Fn(&aidb::Transaction) -> Result<T> + Send + Sync + 'static,
    {
        let _call = self.enter(py)?;
        brief_or(
            py,
            || self.at_once(here),
            || {
                let (this, read) = (Arc::clone(self), owned()?);
                lengthy(py, move || this.in_turn(&read))
            },
        )
    }

    /// Makes a change of `bytes` bytes in memory: `here`, or if it is large with the `owned` call in another thread.
    pub(crate) fn change<F>(
        self: &Arc<Self>,
        py: Python<'_>,
        bytes: usize,
        here: impl FnOnce(&aidb::Transaction) -> Result<()> + Send,
        owned: impl FnOnce() -> PyResult<F>,
    ) -> PyResult<()>
    where
        F: Fn(&aidb::Transaction) -> Result<()> + Send + Sync + 'static,
    {
        let _call = self.enter(py)?;
        let by_another_thread = || {
            let (this, change) = (Arc::clone(self), owned()?);
            interruptible(py, move |abandoned| {
                this.in_turn(|transaction| {
                    abandoned.check()?;
                    change(transaction)
                })
            })
        };
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        match bytes > LARGE_BYTES {
            true => by_another_thread(),
            false => unless_it_waits(py, || self.at_once(here), by_another_thread),
        }
    }

    /// Commits. An interrupted commit that has not begun to write is rolled back.
    pub(crate) fn commit(self: &Arc<Self>, py: Python<'_>, sync: bool) -> PyResult<SequenceNumber> {
        let _call = self.enter(py)?;
        let options = WriteOptions::new().sync(sync);
        let by_another_thread = || {
            let this = Arc::clone(self);
            waiting(py, move || {
                this.in_turn(|transaction| {
                    let commit = || transaction.commit_with(&options);
                    let outcome = this.store.pace.of(sync, commit);
                    if matches!(&outcome, Err(error) if error.is_given_up()) {
                        transaction.rollback();
                    }
                    outcome
                })
            })
        };
        let commit = |transaction: &aidb::Transaction| {
            let commit = || transaction.commit_with(&options);
            self.store.pace.of(sync, commit)
        };
        let is_large = self.written_bytes.load(Ordering::Relaxed) > LARGE_BYTES;
        let outcome = match is_large || !self.store.pace.is_quick(sync) {
            true => by_another_thread(),
            false => unless_it_waits(py, || self.at_once(commit), by_another_thread),
        };
        let has_ended = outcome.is_ok() || py.detach(|| self.transaction().check_open().is_err());
        self.has_ended.fetch_or(has_ended, Ordering::Relaxed);
        outcome
    }

    /// Rolls back, also while another thread is in the middle of a call. A commit that is being made goes on.
    pub(crate) fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.has_ended.store(true, Ordering::Relaxed);
        let rollback = || {
            self.transaction().rollback();
            Ok(())
        };
        let outcome = py.detach(|| caught(rollback));
        outcome.map_err(|error| to_python(py, &error))
    }

    /// Whether a call from Python has ended it.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Raises the error of a call on an ended transaction, if it has ended in any way.
    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        let outcome = py.detach(|| self.transaction().check_open());
        outcome.map_err(|error| to_python(py, &error))
    }

    /// A number that differs between transactions that exist at the same time.
    pub(crate) fn seed(&self) -> u64 {
        std::ptr::from_ref(self).addr() as u64
    }
}

/// Raises the error of an iterator's step after a call from Python has ended the transaction of the iterator, if it is
/// of one: entries that were read ahead are not given out then.
#[inline]
pub(crate) fn check_not_ended(
    transacting: &Option<Arc<Transacting>>,
    py: Python<'_>,
) -> PyResult<()> {
    match transacting {
        Some(transacting) if transacting.has_ended() => transacting.check_open(py),
        _ => Ok(()),
    }
}

impl Drop for Transacting {
    fn drop(&mut self) {
        // It may have much memory to free.
        drop_detached(self.transaction.take());
    }
}
