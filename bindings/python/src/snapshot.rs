//! `Snapshot`: reads at one point in the sequence of writes.

use std::sync::Arc;

use aidb::SequenceNumber;
use pyo3::prelude::*;

use crate::mutex::{Mutex, close, discard, lock};
use crate::reader::Reader;
use crate::store::Store;
use crate::view::{Source, View};

/// Reads at one point in the sequence of writes, whatever is written, flushed or compacted later; made by
/// `DB.snapshot` or `PrefixedDB.snapshot`.
///
/// Close it, or use it in a `with` block: until then, the old values it can see take space on disk. Iterators
/// made from it still see the same entries.
#[pyclass(frozen, extends = Reader, weakref, module = "aidb")]
pub(crate) struct Snapshot {
    /// Shared with the reader of this snapshot, which reads at it.
    pinned: Arc<Mutex<Option<aidb::Snapshot>>>,
    sequence: SequenceNumber,
}

impl Snapshot {
    pub(crate) fn new(
        py: Python<'_>,
        store: Arc<Store>,
        prefix: Vec<u8>,
        snapshot: aidb::Snapshot,
    ) -> PyResult<Py<Self>> {
        let sequence = snapshot.sequence();
        let pinned = Arc::new(Mutex::new(Some(snapshot)));
        let view = View {
            store,
            prefix,
            source: Source::Snapshot(Arc::clone(&pinned)),
        };
        let layers =
            PyClassInitializer::from(Reader { view }).add_subclass(Snapshot { pinned, sequence });
        Py::new(py, layers)
    }
}

#[pymethods]
impl Snapshot {
    /// Releases the snapshot; later reads raise `ClosedError`. Closing again is not an error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, &self.pinned)
    }

    /// `close` by the name that LevelDB gives it.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.close(py)
    }

    /// Whether the snapshot or its database has been closed.
    #[getter]
    fn closed(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let gone = lock(slf.py(), &slf.get().pinned)?.is_none();
        Ok(gone || slf.as_super().get().view.store.is_closed())
    }

    /// The sequence number of the last write that the snapshot sees, as an `int`: from 1, 56 bits; 0 if it sees
    /// none. Still readable after the snapshot is closed.
    #[getter]
    fn sequence(&self) -> u64 {
        self.sequence.0
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = exception;
        self.close(py)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        discard(&self.pinned);
    }
}
