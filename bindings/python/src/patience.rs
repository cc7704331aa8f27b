//! The ways to call core detached from the interpreter. An interrupt from the keyboard ends the wait for calls that may
//! take long.
//!
//! Python runs its handlers of signals in the main thread, between two of its own instructions; a thread that
//! waits in a call into core would run them only after the call. So the call runs in another thread, and the
//! caller checks for signals while it waits. After an interrupt the call continues to its end, and its result
//! is dropped.
//!
//! Using a thread costs more than most reads. So the caller's thread makes a read within a brief effort, and
//! only a read that gives up is repeated in another thread ([`lengthy`]). After an interrupt its result is not
//! needed, so it gives up too.
//!
//! A write that has to wait is repeated in the same way ([`unless_it_waits`]), and after an interrupt it gives
//! up if it is still waiting.
//!
//! In other threads no handler runs. There a [`Cancellation`] does what the interrupt does here.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use aidb::env::fork_count;
use aidb::{Effort, Error, ErrorKind, Options, within};
use pyo3::exceptions::PyInterruptedError;
use pyo3::prelude::*;

use crate::errors::{caught, to_python};
use crate::helper;

/// This often a waiting caller checks for signals, and an abandoned call checks whether it is abandoned.
const LOOK: Duration = Duration::from_millis(50);

/// Whether a call is abandoned, so that no thread waits for it any more.
#[derive(Clone, Default)]
pub(crate) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails if the call is abandoned. Checked with the lock of a handle held, it keeps a late call from taking
    /// effect after newer ones.
    pub(crate) fn check(&self) -> aidb::Result<()> {
        match self.get() {
            true => Err(Error::given_up()),
            false => Ok(()),
        }
    }

    /// How long a call whose completion is not needed may take.
    pub(crate) fn effort(&self) -> Effort {
        Effort::Until(Arc::clone(&self.0))
    }

    /// How long a write may wait for others.
    fn patience(&self) -> Effort {
        Effort::WaitingUntil(Arc::clone(&self.0))
    }
}

thread_local! {
    /// The cancellation under which this thread makes its calls.
    static CANCELLATION: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Ends the wait for the calls that another thread makes, as an interrupt does in the main thread: for `aidb.aio`,
/// whose threads the interpreter waits for at its end.
#[pyclass(frozen, module = "aidb._aidb")]
pub(crate) struct Cancellation {
    is_cancelled: Arc<AtomicBool>,
}

#[pymethods]
impl Cancellation {
    #[new]
    fn new() -> Cancellation {
        Cancellation {
            is_cancelled: Arc::default(),
        }
    }

    /// Calls `call` without arguments and returns its result. Soon after `cancel`, a call that it waits for in AiDb
    /// raises `InterruptedError`.
    fn run<'py>(&self, call: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        struct Restore(Option<Arc<AtomicBool>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CANCELLATION.set(self.0.take());
            }
        }
        let mine = Some(Arc::clone(&self.is_cancelled));
        let _before = Restore(CANCELLATION.replace(mine));
        call.call0()
    }

    /// Ends the call that `run` waits for. Any thread may call this.
    fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// Raises the exception that a handler of a signal raises, or `InterruptedError` if this thread's calls are
/// cancelled.
pub(crate) fn look(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    let is_cancelled = CANCELLATION.with_borrow(|cancellation| {
        let flag = cancellation.as_ref();
        flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
    });
    match is_cancelled {
        true => Err(PyInterruptedError::new_err("the call was cancelled")),
        false => Ok(()),
    }
}

/// Calls core with the interpreter released (PYTHON-1). A panic there, which would be a bug in AiDb, becomes an
/// `InternalError`.
///
/// Runs handlers of signals first, because a loop that is not written in Python, such as that of `map`, never runs
/// them.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    call: impl FnOnce() -> aidb::Result<T> + Send,
) -> PyResult<T> {
    look(py)?;
    let outcome = py.detach(|| caught(call));
    outcome.map_err(|error| to_python(py, &error))
}

/// Runs `call` detached; raises an exception from [`look`] within [`LOOK`].
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    call: impl Fn(&Abandoned) -> aidb::Result<T> + Send + Sync + 'static,
) -> PyResult<T> {
    look(py)?;
    let abandoned = Abandoned::default();
    let (answer, mut answered) = sync_channel(1);
    let call = Arc::new(call);
    let started = helper::run({
        let (call, abandoned) = (Arc::clone(&call), abandoned.clone());
        Box::new(move || {
            let outcome = caught(|| call(&abandoned));
            // Dropped before the result is sent, because the last reference to a database may go with it.
            drop(call);
            // The caller may not be waiting any more.
            let _ = answer.send(outcome);
        })
    });
    if started.is_err() {
        // Without a thread the call works the same, but cannot be interrupted.
        return detached(py, || call(&abandoned));
    }
    drop(call);
    let forks = fork_count();
    loop {
        if fork_count() != forks {
            // The handler of a signal has forked, and this is the child, which has no such thread.
            return Err(to_python(py, &Error::closed("the database")));
        }
        let waiting = &mut answered;
        match py.detach(move || waiting.recv_timeout(LOOK)) {
            Ok(outcome) => return outcome.map_err(|error| to_python(py, &error)),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(interrupt) = look(py) {
                    abandoned.0.store(true, Ordering::Relaxed);
                    return Err(interrupt);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                let error = Error::internal("a call's thread ended without a result");
                return Err(to_python(py, &error));
            }
        }
    }
}

/// Runs a call that is mostly brief on this thread, like [`detached`]. If it gives up, returns the result of
/// `lengthy`.
#[inline]
pub(crate) fn brief_or<T: Send>(
    py: Python<'_>,
    brief: impl FnOnce() -> aidb::Result<T> + Send,
    lengthy: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    with_effort(py, &Effort::Brief, brief, lengthy)
}

/// Runs a write like [`detached`], unless it has to wait for others; then `waiting` makes it.
#[inline]
pub(crate) fn unless_it_waits<T: Send>(
    py: Python<'_>,
    write: impl FnOnce() -> aidb::Result<T> + Send,
    waiting: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    with_effort(py, &Effort::Unwaiting, write, waiting)
}

#[inline]
fn with_effort<T: Send>(
    py: Python<'_>,
    effort: &Effort,
    call: impl FnOnce() -> aidb::Result<T> + Send,
    otherwise: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    look(py)?;
    let outcome = py.detach(|| caught(|| within(effort, call)));
    match outcome {
        Ok(answer) => Ok(answer),
        Err(error) if error.is_given_up() => otherwise(),
        Err(error) => Err(to_python(py, &error)),
    }
}

/// Runs a read that gave up as a brief call. After an interrupt it gives up for good.
#[cold]
pub(crate) fn lengthy<T: Send + 'static>(
    py: Python<'_>,
    read: impl Fn() -> aidb::Result<T> + Send + Sync + 'static,
) -> PyResult<T> {
    interruptible(py, move |abandoned| within(&abandoned.effort(), &read))
}

/// Runs a write that has to wait for others, or that is large. After an interrupt it is given up while it waits.
#[cold]
pub(crate) fn waiting<T: Send + 'static>(
    py: Python<'_>,
    write: impl Fn() -> aidb::Result<T> + Send + Sync + 'static,
) -> PyResult<T> {
    interruptible(py, move |abandoned| within(&abandoned.patience(), &write))
}

/// Makes a call that waits for a lock as long as `options` allow, unless it is abandoned.
pub(crate) fn locking<T>(
    options: &Options,
    abandoned: &Abandoned,
    call: impl Fn(Options) -> aidb::Result<T>,
) -> aidb::Result<T> {
    let millis = options.get("lock_timeout")?.parse().unwrap_or_default();
    let (started, timeout) = (Instant::now(), Duration::from_millis(millis));
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        match call(options.clone().lock_timeout(left.min(LOOK))) {
            Err(error)
                if error.kind() == ErrorKind::Locked && !left.is_zero() && !abandoned.get() => {}
            outcome => return outcome,
        }
    }
}
