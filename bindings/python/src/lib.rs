//! `aidb._aidb`: the engine as Python classes.
//!
//! Each method converts its arguments, lets the interpreter go, calls core, and converts what comes back; what
//! users import is the package in `python/aidb`, whose stubs (`_aidb.pyi`) are kept by hand and compared by a test.
//!
//! * PYTHON-1  Whatever may touch the disk or wait runs detached from the interpreter ([`errors::detached`]).
//! * PYTHON-2  A lock of ours that is held while attached is only held to copy bytes out, never while Python code can
//!             run; it is waited for detached ([`mutex::lock`]). So no lock is ever held in wait for the interpreter.
//! * PYTHON-3  Every handle keeps its database open ([`db::Store`]); handles may be dropped in any order, and what a
//!             drop has to wait for is waited for detached.
//! * PYTHON-4  No background thread of core calls into Python.
//!
//! A file per noun: `reader.rs` (what a database, a snapshot and a prefixed view share), `writer.rs`, `db.rs`,
//! `snapshot.rs`, `prefixed.rs`, `batch.rs`, `iterator.rs` over `walk.rs`, `raw_iterator.rs`, and the conversions
//! `bytes.rs`, `options.rs`, `errors.rs`, `report.rs`; `mutex.rs` is the lock of handles, `patience.rs` the wait that an
//! interrupt or a cancellation ends, with `helper.rs`, the thread that works meanwhile, and `pace.rs`, which tells when
//! that is not worth it.

mod batch;
mod bytes;
mod db;
mod errors;
mod helper;
mod iterator;
mod mutex;
mod options;
mod pace;
mod patience;
mod prefixed;
mod raw_iterator;
mod reader;
mod report;
mod snapshot;
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
    use crate::prefixed::PrefixedDB;
    #[pymodule_export]
    use crate::raw_iterator::RawIterator;
    #[pymodule_export]
    use crate::reader::Reader;
    #[pymodule_export]
    use crate::report::repair_db;
    #[pymodule_export]
    use crate::snapshot::Snapshot;
    #[pymodule_export]
    use crate::writer::Writer;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("ERROR_KINDS", crate::errors::kinds(module.py())?)?;
        module.add("OPTIONS", crate::options::names(module.py())?)
    }
}
