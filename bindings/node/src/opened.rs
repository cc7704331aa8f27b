//! `Opened`: a database that JavaScript may have opened, and the rules for closing it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use aidb::{DB, Error, Result};

/// The database itself, shared with its jobs and with the port that closes it when its thread ends.
#[derive(Default)]
pub(crate) struct Opened {
    db: OnceLock<DB>,
    /// Whether its JavaScript thread has ended. Then an open that finishes late closes the database at once.
    abandoned: AtomicBool,
}

impl Opened {
    /// The database, or `Closed` before `open` has returned.
    pub(crate) fn get(&self) -> Result<&DB> {
        self.db.get().ok_or_else(|| Error::closed("the database"))
    }

    /// The database that `open` has opened.
    pub(crate) fn set(&self, db: DB) {
        if self.db.set(db).is_ok() && self.abandoned.load(Ordering::SeqCst) {
            self.close_quietly();
        }
    }

    /// Whether there is something to close.
    pub(crate) fn is_open(&self) -> bool {
        self.db.get().is_some_and(|db| !db.is_closed())
    }

    /// Closes the database for a thread that has ended.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
        self.close_quietly();
    }

    /// Closes the database when no caller waits for it.
    pub(crate) fn close_quietly(&self) {
        if let Some(db) = self.db.get() {
            // No caller is left to get the error; every acknowledged write is in the log all the same.
            let _ = db.close();
        }
    }
}
