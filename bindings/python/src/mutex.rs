//! The lock of a handle that several Python threads may use at once.
//!
//! In a child made by `fork`, a lock that a thread of the parent held stays held: that thread does not exist
//! there to release it, and its change may be half done. There, taking the lock fails with `Closed` instead of
//! waiting.

use std::sync::{self, Arc, MutexGuard, PoisonError, TryLockError};

use aidb::env::fork_count;
use aidb::{Error, ErrorKind, Result};
use pyo3::prelude::*;

use crate::errors::{drop_detached, to_python};
use crate::patience::{detached, interruptible};

/// A value that one thread at a time may use.
pub(crate) struct Mutex<T> {
    inner: sync::Mutex<T>,
    /// `fork_count` of the process that made it.
    forks: u32,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex {
            inner: sync::Mutex::new(value),
            forks: fork_count(),
        }
    }

    /// Whether a thread of this process holds it.
    fn is_busy(&self) -> bool {
        matches!(self.try_lock(), Ok(None))
    }

    /// The lock if it is free; `None` if the caller must wait for it. Errors: `Closed` if it would wait for ever.
    #[inline]
    pub(crate) fn try_lock(&self) -> Result<Option<MutexGuard<'_, T>>> {
        match self.inner.try_lock() {
            Ok(guard) => Ok(Some(guard)),
            Err(TryLockError::Poisoned(_)) => Err(poisoned()),
            Err(TryLockError::WouldBlock) if self.forks == fork_count() => Ok(None),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Closed,
                "it was in use in the parent process when this one was forked",
            )),
        }
    }
}

/// Locks while attached. If the thread must wait, it waits detached (PYTHON-2) and at most until an interrupt,
/// because a long read may hold the lock. The guard must be dropped before any Python code can run.
#[inline]
pub(crate) fn lock<'a, T: Send + 'static>(
    py: Python<'_>,
    mutex: &'a Arc<Mutex<T>>,
) -> PyResult<MutexGuard<'a, T>> {
    loop {
        match mutex.try_lock() {
            Ok(Some(guard)) => return Ok(guard),
            Ok(None) => wait_for(py, mutex)?,
            Err(error) => return Err(to_python(py, &error)),
        }
    }
}

#[cold]
fn wait_for<T: Send + 'static>(py: Python<'_>, mutex: &Arc<Mutex<T>>) -> PyResult<()> {
    let mutex = Arc::clone(mutex);
    interruptible(py, move |_| lock_detached(&mutex).map(drop))
}

/// Locks while detached.
pub(crate) fn lock_detached<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    match mutex.try_lock()? {
        Some(guard) => Ok(guard),
        None => mutex.inner.lock().map_err(|_| poisoned()),
    }
}

/// The content of a handle's mutex, even after a panic, for dropping it. `None` in a child whose parent was
/// using it.
pub(crate) fn take<T>(mutex: &Mutex<Option<T>>) -> Option<T> {
    match mutex.try_lock() {
        Ok(Some(mut guard)) => guard.take(),
        Err(error) if error.kind() == ErrorKind::Closed => None,
        _ => {
            let guard = mutex.inner.lock();
            guard.unwrap_or_else(PoisonError::into_inner).take()
        }
    }
}

/// Empties the mutex of a handle that is closed. An interrupt ends the wait for a call that uses it; the mutex is
/// emptied all the same.
pub(crate) fn close<T: Send + 'static>(
    py: Python<'_>,
    mutex: &Arc<Mutex<Option<T>>>,
) -> PyResult<()> {
    let empty = |mutex: &Mutex<Option<T>>| {
        drop(take(mutex));
        Ok(())
    };
    if mutex.is_busy() {
        let mutex = Arc::clone(mutex);
        return interruptible(py, move |_| empty(&mutex));
    }
    detached(py, || empty(mutex))
}

/// Empties the mutex of a handle that is dropped. If a call still uses the content, it is dropped with that call.
pub(crate) fn discard<T: Send>(mutex: &Mutex<Option<T>>) {
    if !mutex.is_busy() {
        drop_detached(take(mutex));
    }
}

fn poisoned() -> Error {
    Error::internal("a call on this object panicked earlier")
}
