//! `aidb._aidb`: the engine as Python classes.
//!
//! Each method converts its arguments, releases the interpreter, calls core, and converts the result. Users
//! import the package in `python/aidb`, whose stubs (`_aidb.pyi`) are written by hand and compared by a test.
//!
//! * PYTHON-1  Whatever may touch the disk or wait runs detached from the interpreter ([`patience::detached`]).
//! * PYTHON-2  While attached, a thread holds one of our locks only to copy bytes out, never while Python code
//!             can run; it waits for a lock detached ([`mutex::lock`]). So no thread waits for the interpreter
//!             while it holds a lock.
//! * PYTHON-3  Every handle keeps its database open ([`store::Store`]); handles may be dropped in any order,
//!             and a drop that must wait does so detached.
//!
//! No background thread of core calls into Python.
//!
//! A file uses those below it only, and a test holds it to that. From the top: the classes `db.rs`; `writer.rs` (what
//! can be written too, and a prefixed view); `transaction.rs`; `batch.rs`, `snapshot.rs`; `reader.rs` (what a database,
//! a snapshot, a transaction and a prefixed view share) and `one_call.rs` over `count.rs` and `view.rs`; `iterator.rs`
//! over `walk.rs`, and `raw_iterator.rs`; `transacting.rs`, the calls of one transaction; `store.rs`, which keeps a
//! database open. Under them the conversions `report.rs`, `options.rs`, `range.rs`, `bytes.rs`, `errors.rs`; `mutex.rs`
//! is the lock of handles, `progress.rs` tells Python how far a call is, `patience.rs` is the wait that an interrupt or
//! a cancellation ends, with `helper.rs`, the thread that does the work, and `pace.rs`, which tells when that is not
//! worth it.

mod batch;
mod bytes;
mod count;
mod db;
mod errors;
mod helper;
mod iterator;
mod mutex;
mod one_call;
mod options;
mod pace;
mod patience;
mod progress;
mod range;
mod raw_iterator;
mod reader;
mod report;
mod snapshot;
mod store;
mod transacting;
mod transaction;
mod view;
mod walk;
mod writer;

use pyo3::prelude::*;

/// The native part of the package `aidb`; import `aidb` instead.
#[pymodule]
mod _aidb {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::batch::WriteBatch;
    #[pymodule_export]
    use crate::bytes::ValueBuffer;
    #[pymodule_export]
    use crate::db::{DB, destroy_db};
    #[pymodule_export]
    use crate::iterator::Iterator;
    #[pymodule_export]
    use crate::patience::Cancellation;
    #[pymodule_export]
    use crate::raw_iterator::RawIterator;
    #[pymodule_export]
    use crate::reader::Reader;
    #[pymodule_export]
    use crate::report::repair_db;
    #[pymodule_export]
    use crate::snapshot::Snapshot;
    #[pymodule_export]
    use crate::transaction::{Savepoint, Transaction};
    #[pymodule_export]
    use crate::writer::{PrefixedDB, Writer};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("ERROR_KINDS", crate::errors::kinds(module.py())?)?;
        module.add("OPTIONS", crate::options::names(module.py())?)
    }
}
