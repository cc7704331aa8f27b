//! The life of an open database: its rooms, from opening to closing, and the background threads.
//!
//! `locks.rs` has the order of the locks.

use super::commit::Commit;
use super::context::Context;
use super::locks::Lock;
use super::logs::Logs;
use super::order::Order;
use super::read::Walks;
use super::space::Space;
use super::transactions::Transactions;
use super::tree::Tree;
use crate::env::{DirLock, Thread};
use crate::error::Result;
use crate::sync::Arc;

mod background;
mod close;
mod destination;
mod destroy;
mod location;
mod open;
mod recovery;

#[cfg(test)]
pub(super) use self::background::{COMPACTION_THREAD, FLUSH_THREAD};
pub(super) use self::close::Unflushed;
pub(super) use self::destination::{Destination, incomplete};
pub(super) use self::destroy::destroy;
pub(super) use self::location::check_path;
pub(super) use self::open::open;
#[cfg(test)]
pub(super) use self::recovery::replay;

/// One open database: its rooms. Each room uses only the rooms below it.
pub(super) struct Database {
    pub(super) transactions: Arc<Transactions>,
    pub(super) walks: Arc<Walks>,
    pub(super) commit: Arc<Commit>,
    pub(super) tree: Arc<Tree>,
    pub(super) logs: Arc<Logs>,
    pub(super) space: Arc<Space>,
    pub(super) order: Arc<Order>,
    pub(super) context: Arc<Context>,
    /// The thread that closes takes this lock.
    closing: Lock<Closing>,
}

/// The parts that closing takes apart.
struct Closing {
    threads: Vec<Box<dyn Thread>>,
    lock: Option<Box<dyn DirLock>>,
}

impl Closing {
    /// The parts of a database that has no threads yet.
    fn of(lock: Box<dyn DirLock>) -> Closing {
        Closing {
            threads: Vec::new(),
            lock: Some(lock),
        }
    }
}

impl Database {
    /// Compacts a range of keys; see `DB::compact_range`.
    pub(super) fn compact_range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        self.context.check_writable()?;
        self.commit.flush_all()?;
        self.tree.compact_range(start, end)
    }
}
