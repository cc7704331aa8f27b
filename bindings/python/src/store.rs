//! `Store`: keeps a database open, and lists what closing it releases.
//!
//! Every handle shares its database's store (PYTHON-3). The store also owns the cursors of iterators, so that
//! `DB.close` releases their memory and files even if the iterators still exist.

use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use crate::errors::drop_detached;
use crate::mutex::{Mutex, lock_detached, take};
use crate::pace::Pace;

/// A core database, which each of its handles holds (PYTHON-3). It is closed when the last handle is dropped.
pub(crate) struct Store {
    /// Empty only while it is dropped.
    db: Option<aidb::DB>,
    walks: Mutex<Walks>,
    pub(crate) pace: Pace,
}

/// The cursors of iterators, which closing the database releases.
#[derive(Default)]
struct Walks {
    all: Vec<Weak<dyn Walking>>,
    /// With this many entries, those of dropped iterators are removed.
    look_at: usize,
}

trait Walking: Send + Sync {
    fn let_go(&self);
}

impl<T: Send> Walking for Mutex<Option<T>> {
    /// Releases the cursor; waits for a call that uses it.
    fn let_go(&self) {
        drop(take(self));
    }
}

impl Store {
    pub(crate) fn new(db: aidb::DB) -> Arc<Store> {
        Arc::new(Store {
            db: Some(db),
            walks: Mutex::new(Walks::default()),
            pace: Pace::default(),
        })
    }

    /// Registers the cursor of an iterator, until the iterator or the database is closed.
    pub(crate) fn hold<T: Send + 'static>(&self, walk: T) -> Arc<Mutex<Option<T>>> {
        let walk = Arc::new(Mutex::new(Some(walk)));
        let held: Arc<dyn Walking> = walk.clone();
        // This fails only in a child whose parent was using it; there the database is closed anyway.
        if let Ok(mut walks) = lock_detached(&self.walks) {
            if walks.all.len() >= walks.look_at {
                walks.all.retain(|walk| walk.strong_count() > 0);
                walks.look_at = 2 * walks.all.len() + 16;
            }
            walks.all.push(Arc::downgrade(&held));
        }
        walk
    }

    /// Closes the database, and releases the cursors of its iterators. Detached.
    pub(crate) fn close(&self) -> aidb::Result<()> {
        let outcome = aidb::DB::close(self);
        let walks = lock_detached(&self.walks).map(|mut walks| mem::take(&mut *walks));
        for walk in walks.iter().flat_map(|walks| &walks.all) {
            if let Some(walk) = walk.upgrade() {
                walk.let_go();
            }
        }
        outcome
    }
}

impl Deref for Store {
    type Target = aidb::DB;

    fn deref(&self) -> &aidb::DB {
        self.db.as_ref().expect("only Drop takes it")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The last handle closes the database: it flushes, and waits for threads.
        drop_detached(self.db.take());
    }
}
