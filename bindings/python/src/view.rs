//! `View`: the keys that a database, a snapshot, a transaction or a prefixed view reads, and at which point in time.
//!
//! The classes above it (`reader.rs`, `writer.rs`, `snapshot.rs`, `transaction.rs`) read only by their view.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use aidb::{Cursor, IterOptions, ReadOptions, Value};
use pyo3::prelude::*;

use crate::bytes::BytesLike;
use crate::errors::to_python;
use crate::iterator::{Iterator, Shown};
use crate::mutex::{Mutex, lock};
use crate::patience::{brief_or, detached, lengthy};
use crate::store::Store;
use crate::transacting::Transacting;
use crate::walk::Walk;

/// What a reader reads: a database, or its keys under a prefix, from a source. An empty prefix means all keys.
pub(crate) struct View {
    pub(crate) store: Arc<Store>,
    pub(crate) prefix: Vec<u8>,
    pub(crate) source: Source,
}

/// Which state of the database is read.
pub(crate) enum Source {
    /// The newest.
    Now,
    /// That of a snapshot, which `Snapshot.close` removes.
    Snapshot(Arc<Mutex<Option<aidb::Snapshot>>>),
    /// That of a transaction, with its writes.
    Transaction(Arc<Transacting>),
}

impl View {
    /// The snapshot to read at, or `ClosedError` if it has been closed.
    pub(crate) fn snapshot(&self, py: Python<'_>) -> PyResult<Option<aidb::Snapshot>> {
        let Source::Snapshot(pinned) = &self.source else {
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
    ) -> PyResult<Option<Value>> {
        let snapshot = self.snapshot(py)?;
        let key = key.behind(&self.prefix)?;
        if let Source::Transaction(transacting) = &self.source {
            let here = |transaction: &aidb::Transaction| transaction.get(&key);
            return transacting.read(py, here, || {
                let key = copy_of(py, &key)?;
                Ok(move |transaction: &aidb::Transaction| transaction.get(&key))
            });
        }
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

    /// The values of the first of `keys`, of at least one if there is any. A call that reads as of now keeps the
    /// `point` in time in between: it reads many keys in pieces, all as of one point.
    pub(crate) fn read_first_of(
        &self,
        py: Python<'_>,
        keys: &[Cow<'_, [u8]>],
        fill_cache: bool,
        most_bytes: usize,
        point: &OnceLock<aidb::Snapshot>,
    ) -> PyResult<Vec<Option<Value>>> {
        let owned = || -> PyResult<Vec<Cow<'static, [u8]>>> {
            let owned = keys.iter().map(|key| Ok(Cow::Owned(copy_of(py, key)?)));
            owned.collect()
        };
        if let Source::Transaction(transacting) = &self.source {
            let read = |transaction: &aidb::Transaction, keys: &[Cow<'_, [u8]>]| {
                transaction.check_open()?;
                transaction.get_many(keys)
            };
            return transacting.read(
                py,
                |transaction| read(transaction, keys),
                || {
                    let owned = owned()?;
                    Ok(move |transaction: &aidb::Transaction| read(transaction, &owned))
                },
            );
        }
        let read = move |db: &Store, keys: &[Cow<'_, [u8]>], at: Option<&aidb::Snapshot>| {
            let options = ReadOptions::new().snapshot(at).fill_cache(fill_cache);
            db.get_first_of(keys, &options, most_bytes)
        };
        if point.get().is_none()
            && let Some(pinned) = self.snapshot(py)?
        {
            point.get_or_init(|| pinned);
        }
        let db = &self.store;
        let brief = || {
            if keys.len() > 1 && point.get().is_none() {
                let now = db.snapshot()?;
                point.get_or_init(|| now);
            }
            read(db, keys, point.get())
        };
        brief_or(py, brief, || {
            let (db, keys, point) = (Arc::clone(db), owned()?, point.get().cloned());
            lengthy(py, move || read(&db, &keys, point.as_ref()))
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
        let cursor = self.cursor(py, &options)?;
        let walk = match self.transacting() {
            None => Walk::new(cursor, options.reverse),
            Some(_) => Walk::in_transaction(cursor, options.reverse),
        };
        let db = Arc::clone(&self.store);
        let transacting = self.transacting().cloned();
        Ok(Iterator::new(
            db,
            self.prefix.clone(),
            shown,
            walk,
            transacting,
        ))
    }

    pub(crate) fn cursor(&self, py: Python<'_>, options: &IterOptions) -> PyResult<Cursor> {
        let Some(transacting) = self.transacting() else {
            return detached(py, || self.store.cursor(options.clone()));
        };
        let here = |transaction: &aidb::Transaction| transaction.cursor(options.clone());
        transacting.read(py, here, || {
            let options = options.clone();
            Ok(move |transaction: &aidb::Transaction| transaction.cursor(options.clone()))
        })
    }

    /// The transaction that is read, if any.
    pub(crate) fn transacting(&self) -> Option<&Arc<Transacting>> {
        match &self.source {
            Source::Transaction(transacting) => Some(transacting),
            Source::Now | Source::Snapshot(_) => None,
        }
    }
}

/// A key for another thread.
pub(crate) fn copy_of(py: Python<'_>, key: &[u8]) -> PyResult<Vec<u8>> {
    aidb::copy_of(key, "a key").map_err(|error| to_python(py, &error))
}
