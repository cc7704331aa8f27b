//! The lock of a handle that several Python threads may use at once.
//!
//! In a child made by `fork`, a lock that a thread of the parent held stays held: that thread is not there to release it, and
//! what it was changing may be half changed. There the lock is refused with `Closed`, not waited for.

use std::sync::{self, MutexGuard, PoisonError, TryLockError};

use aidb::env::fork_count;
use aidb::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::errors::to_python;

/// What one thread at a time may use.
pub(crate) struct Mutex<T> {
    inner: sync::Mutex<T>,
    /// The process that made it.
    forks: u32,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex {
            inner: sync::Mutex::new(value),
            forks: fork_count(),
        }
    }

    /// The lock if it is free; `None` if it must be waited for. Errors: `Closed` if that would be for ever.
    fn try_lock(&self) -> Result<Option<MutexGuard<'_, T>>> {
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

/// Locks while attached, waiting detached (Y2). The guard must go before anything may run Python code.
pub(crate) fn lock<'a, T>(py: Python<'_>, mutex: &'a Mutex<T>) -> PyResult<MutexGuard<'a, T>> {
    match mutex.try_lock() {
        Ok(Some(guard)) => Ok(guard),
        Ok(None) => mutex
            .inner
            .lock_py_attached(py)
            .map_err(|_| to_python(py, &poisoned())),
        Err(error) => Err(to_python(py, &error)),
    }
}

/// Locks while detached.
pub(crate) fn lock_detached<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    match mutex.try_lock()? {
        Some(guard) => Ok(guard),
        None => mutex.inner.lock().map_err(|_| poisoned()),
    }
}

/// What the mutex of a handle holds, also after a panic, for it to be dropped. `None` in a child whose parent was using it.
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

fn poisoned() -> Error {
    Error::internal("a call on this object panicked earlier")
}
