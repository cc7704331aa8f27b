//! Core's errors as the exceptions of `aidb.errors`, and panics as errors.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aidb::{Error, ErrorKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// The exception class for a kind, by its name in `aidb.errors`.
fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "InvalidArgumentError",
        ErrorKind::Io => "IOError",
        ErrorKind::Corruption => "CorruptionError",
        ErrorKind::Locked => "LockedError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::Closed => "ClosedError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::NoSpace => "NoSpaceError",
        ErrorKind::OutOfMemory => "OutOfMemoryError",
        // The kinds may grow before this table does. A kind that is unknown here is a bug in this package.
        _ => "InternalError",
    }
}

/// Core's kinds as a tuple of `(kind, number, class name)`, for the test that compares them with `aidb.errors`.
pub(crate) fn kinds(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    let rows = ErrorKind::ALL.map(|kind| (kind.name(), kind.code(), class_name(kind)));
    PyTuple::new(py, rows)
}

/// `error` as an instance of its Python class, whose name replaces the kind's words. An error of the operating
/// system has its `errno`, and Python's message shows that number once; a lock error says which process holds
/// the lock.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let os_code = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    let message = error.message();
    match (error.kind(), os_code) {
        (ErrorKind::Io | ErrorKind::NoSpace, Some(code)) => {
            let number = format!(" (os error {code})");
            let message = message.strip_suffix(&number).unwrap_or(message);
            raise(py, class_name(error.kind()), (code, message))
        }
        (ErrorKind::Locked, _) => {
            let holder = error.holder();
            let (pid, host, since) = (
                holder.map(|holder| holder.pid),
                holder.map(|holder| &holder.host),
                holder.map(|holder| &holder.since),
            );
            raise(py, class_name(error.kind()), (message, pid, host, since))
        }
        _ => raise(py, class_name(error.kind()), (message,)),
    }
}

/// The error of a move or read on a raw iterator that is on no entry.
pub(crate) fn iterator_invalid(py: Python<'_>) -> PyErr {
    raise(py, "IteratorInvalidError", ("the iterator is on no entry",))
}

/// Whether an exception, of the engine or of a program, is a `ConflictError`.
pub(crate) fn is_conflict(py: Python<'_>, error: &PyErr) -> bool {
    class_of(py, class_name(ErrorKind::Conflict)).is_ok_and(|class| error.is_instance(py, &class))
}

/// The error after the last of `attempts` attempts, each of which ended with a conflict.
pub(crate) fn conflict_after(py: Python<'_>, attempts: i64, conflict: PyErr) -> PyErr {
    let message = format!("after {attempts} attempts: {}", conflict.value(py));
    let last = raise(py, class_name(ErrorKind::Conflict), (message,));
    last.set_cause(py, Some(conflict));
    last
}

/// The class called `name` in `aidb.errors`.
fn class_of<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "aidb.errors"))?.getattr(name)
}

fn raise<'py>(py: Python<'py>, class: &str, arguments: impl pyo3::call::PyCallArgs<'py>) -> PyErr {
    let instance = class_of(py, class).and_then(|class| class.call1(arguments));
    match instance {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}

/// Runs `call` and returns its result; a panic in it becomes an error.
pub(crate) fn caught<T>(call: impl FnOnce() -> aidb::Result<T>) -> aidb::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(Error::panicked("panic", &*panic)))
}

/// Drops `value`, whose drop may wait for the disk, detached from the interpreter (PYTHON-3). If there is no
/// interpreter to detach from, drops it all the same.
pub(crate) fn drop_detached<T: Send>(value: T) {
    let dropping = || {
        // A panic in a destructor must not cross Python's deallocation.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
    };
    let _ = Python::try_attach(|py| py.detach(dropping));
}
