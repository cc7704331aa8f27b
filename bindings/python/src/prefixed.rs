//! `PrefixedDB`: the part of a database under a key prefix.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::{BytesLike, to_python};
use crate::reader::{Reader, View};
use crate::writer::{Writer, view};

/// The entries of a database whose keys begin with a prefix, by the rest of their keys; from `DB.prefixed_db`.
///
/// It is a view: it costs nothing to make, closes with its database, and reads, batches, iterators and snapshots
/// made from it see and write only keys under the prefix.
#[pyclass(frozen, extends = Writer, module = "aidb")]
pub(crate) struct PrefixedDB {
    /// The database or prefixed view this was made from.
    parent: Py<Writer>,
}

impl PrefixedDB {
    pub(crate) fn new(parent: &Bound<'_, Writer>, prefix: &BytesLike<'_>) -> PyResult<Py<Self>> {
        let outer = view(parent);
        let view = View {
            store: Arc::clone(&outer.store),
            prefix: prefix.copy_behind(&outer.prefix)?,
            pinned: None,
        };
        let layers = PyClassInitializer::from(Reader { view })
            .add_subclass(Writer)
            .add_subclass(PrefixedDB {
                parent: parent.clone().unbind(),
            });
        Py::new(parent.py(), layers)
    }
}

#[pymethods]
impl PrefixedDB {
    /// The whole prefix, from the start of the database's keys.
    #[getter]
    fn prefix<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        to_python(slf.py(), &view(slf.as_super()).prefix)
    }

    /// The `DB` or `PrefixedDB` that this view was made from.
    #[getter]
    fn db(&self, py: Python<'_>) -> Py<Writer> {
        self.parent.clone_ref(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let prefix = Self::prefix(slf)?.repr()?;
        let parent = slf.get().parent.bind(slf.py()).repr()?;
        Ok(format!("<aidb.PrefixedDB {prefix} of {parent}>"))
    }
}
