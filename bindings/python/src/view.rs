//! `View`: the keys that a database, a snapshot or a prefixed view reads, and at which point in time.
//!
//! The classes above it (`reader.rs`, `writer.rs`, `snapshot.rs`) differ only in their view.

use std::sync::Arc;

use aidb::{IterOptions, ReadOptions};
use pyo3::prelude::*;

use crate::bytes::BytesLike;
use crate::errors::to_python;
use crate::iterator::{Iterator, Shown};
use crate::mutex::{Mutex, lock};
use crate::patience::{brief_or, detached, lengthy};
use crate::store::Store;
use crate::walk::Walk;

/// What a reader reads: a database, or its keys under a prefix, now or as of a snapshot. An empty prefix means all
/// keys.
pub(crate) struct View {
    pub(crate) store: Arc<Store>,
    pub(crate) prefix: Vec<u8>,
    /// The snapshot to read at, which `Snapshot.close` removes; `None` to read as of now.
    pub(crate) pinned: Option<Arc<Mutex<Option<aidb::Snapshot>>>>,
}

impl View {
    /// The snapshot to read at, or `ClosedError` if it has been closed.
    pub(crate) fn snapshot(&self, py: Python<'_>) -> PyResult<Option<aidb::Snapshot>> {
        let Some(pinned) = &self.pinned else {
            return Ok(None);
        };
        match &*lock(py, pinned)? {
            Some(snapshot) => Ok(Some(snapshot.clone())),
            None => Err(to_python(py, &aidb::Error::closed("the snapshot"))),
        }
    }

    pub(crate) fn read(
        &self,
        py: Python<'_>,
        key: &BytesLike<'_>,
        fill_cache: bool,
    ) -> PyResult<Option<aidb::Value>> {
        let snapshot = self.snapshot(py)?;
        let key = key.behind(&self.prefix)?;
        let read = move |db: &Store, key: &[u8], snapshot: &Option<aidb::Snapshot>| {
            let options = ReadOptions::new()
                .snapshot(snapshot.as_ref())
                .fill_cache(fill_cache);
            db.get_with(key, &options)
        };
        let brief = || read(&self.store, &key, &snapshot);
        brief_or(py, brief, || {
            let (db, key) = (Arc::clone(&self.store), copy_of(py, &key)?);
            let snapshot = snapshot.clone();
            lengthy(py, move || read(&db, &key, &snapshot))
        })
    }

    /// Options of a cursor over everything the view shows.
    pub(crate) fn cursor_options(&self, py: Python<'_>, fill_cache: bool) -> PyResult<IterOptions> {
        Ok(IterOptions::new()
            .snapshot(self.snapshot(py)?)
            .prefix((!self.prefix.is_empty()).then(|| self.prefix.clone()))
            .fill_cache(fill_cache))
    }

    pub(crate) fn walk(
        &self,
        py: Python<'_>,
        options: IterOptions,
        shown: Shown,
    ) -> PyResult<Iterator> {
        let db = Arc::clone(&self.store);
        let walk = detached(py, || Walk::new(&db, options))?;
        Ok(Iterator::new(db, self.prefix.clone(), shown, walk))
    }
}

/// A key for another thread.
pub(crate) fn copy_of(py: Python<'_>, key: &[u8]) -> PyResult<Vec<u8>> {
    aidb::copy_of(key, "a key").map_err(|error| to_python(py, &error))
}
