//! Transactions: optimistic and serializable.
//!
//! A transaction reads at a snapshot and keeps its writes to itself. Its commit succeeds only if nothing that it has
//! read was changed by a commit since its snapshot; then all of its reads and writes take place at once, at the place
//! in the order of commits that its batch gets.
//!
//! Locks, all of them leaves: the list of the open transactions, and that of each transaction. Neither is held during
//! input or output.
//!
//! * `transaction.rs`  what users see               * `one_call.rs`  a transaction in one call
//! * `commit.rs`       the comparison and the commit  * `attempts.rs`  trying again after a conflict
//! * `slot.rs`         the state of one
//!
//! * TRANSACTION-1  No key or range that a transaction has read was changed by a commit whose number is after its
//!                  snapshot's and before its own. A change that left the value as it was may go unnoticed.
//! * TRANSACTION-2  A transaction without writes commits without a comparison: it has read one state.
//! * TRANSACTION-3  One that nobody has used for `transaction_timeout` ends; it gives back its snapshot and memory.

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::attempts::pause_after;
pub use self::transaction::{Savepoint, Transaction};

use self::slot::{Ended, Open, Slot};
use super::commit::Commit;
use super::context::Context;
use super::order::Order;
use super::read::Walks;
use super::tree::Tree;
use crate::error::Result;
use crate::memory;
use crate::options::TransactionOptions;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, Weak};

mod attempts;
mod commit;
mod one_call;
mod slot;
mod transaction;

/// How many small allocations a transaction makes that are not checked one by one.
const TRANSACTION_PIECES: usize = 8;

/// See the head of the file.
pub(super) struct Transactions {
    context: Arc<Context>,
    order: Arc<Order>,
    tree: Arc<Tree>,
    commit: Arc<Commit>,
    walks: Arc<Walks>,
    list: Mutex<List>,
    counts: Counts,
}

#[derive(Default)]
struct List {
    /// By their numbers, which ascend with their beginning.
    open: BTreeMap<u64, Weak<Slot>>,
    /// The number of the last one that has begun.
    last: u64,
    /// When the next one may have been unused for too long, on the environment's clock; `None`: no look is due.
    due_micros: Option<u64>,
}

/// Counts since the database was opened.
#[derive(Default)]
struct Counts {
    committed: AtomicU64,
    conflicts: AtomicU64,
    timed_out: AtomicU64,
}

/// Counts of transactions, for the statistics.
#[derive(Debug, Default)]
pub(super) struct TransactionCounts {
    pub(super) open: u64,
    /// Bytes of the reads and writes of the open ones, and of the keys that recent commits have changed.
    pub(super) bytes: u64,
    pub(super) committed: u64,
    pub(super) conflicts: u64,
    pub(super) timed_out: u64,
}

impl Transactions {
    pub(super) fn new(
        order: &Arc<Order>,
        tree: &Arc<Tree>,
        commit: &Arc<Commit>,
        walks: &Arc<Walks>,
    ) -> Transactions {
        Transactions {
            context: Arc::clone(tree.context()),
            order: Arc::clone(order),
            tree: Arc::clone(tree),
            commit: Arc::clone(commit),
            walks: Arc::clone(walks),
            list: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// See `DB::begin_with`.
    pub(super) fn begin(self: &Arc<Self>, options: &TransactionOptions) -> Result<Transaction> {
        self.context.check_open()?;
        memory::room_ahead(TRANSACTION_PIECES, "a transaction")?;
        let now = self.context.env().now_micros();
        // Before its snapshot: every commit after that is known, or known to be forgotten.
        if !options.read_only {
            self.commit.watch()?;
        }
        let unwatch = |_: &_| {
            if !options.read_only {
                self.commit.unwatch();
            }
        };
        let snapshot = self.order.snapshot().inspect_err(unwatch)?;
        let open = Open::new(snapshot, now, options.read_only);
        let mut list = self.list.lock();
        let number = list.last + 1;
        list.last = number;
        let slot = Arc::new(Slot::new(number, open));
        list.open.insert(number, Arc::downgrade(&slot));
        let is_first_due = list.due_micros.is_none() && self.timeout_micros() > 0;
        if is_first_due {
            list.due_micros = Some(now.saturating_add(self.timeout_micros()));
        }
        drop(list);
        if is_first_due {
            self.tree.ring();
        }
        Ok(Transaction::new(Arc::clone(self), slot))
    }

    /// 0 if there is none.
    fn timeout_micros(&self) -> u64 {
        let timeout = self.context.options().transaction_timeout;
        u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)
    }

    /// Ends a transaction unless it has ended, and releases what it holds.
    fn end(&self, slot: &Slot, why: Ended) {
        if let Some(open) = slot.end(why) {
            self.release(slot, *open);
        }
    }

    /// Forgets a transaction that has ended.
    fn release(&self, slot: &Slot, open: Open) {
        self.list.lock().open.remove(&slot.number());
        if !open.is_read_only() {
            self.commit.unwatch();
        }
        // Outside every lock, because it releases a snapshot.
        drop(open);
    }

    /// How long the flush thread may wait before it must look for transactions that nobody uses; `None`: for ever.
    pub(super) fn until_look(&self) -> Option<Duration> {
        let due = self.list.lock().due_micros?;
        let left = due.saturating_sub(self.context.env().now_micros());
        Some(Duration::from_micros(left))
    }

    /// Ends the transactions that nobody has used for too long (TRANSACTION-3), if a look is due.
    pub(super) fn look_around(&self) {
        let now = self.context.env().now_micros();
        let timeout = self.timeout_micros();
        let list = self.list.lock();
        if list.due_micros.is_none_or(|due| now < due) {
            return;
        }
        let slots: Vec<_> = list.open.values().filter_map(Weak::upgrade).collect();
        drop(list);
        let mut oldest = None;
        for slot in slots {
            let used = slot.used_micros(now);
            if used.is_some_and(|used| used.saturating_add(timeout) <= now) {
                self.counts.timed_out.fetch_add(1, Ordering::Relaxed);
                self.context
                    .note(format_args!("transaction {} timed out", slot.number()));
                self.end(&slot, Ended::TimedOut);
            } else if let Some(used) = used {
                oldest = Some(oldest.map_or(used, |oldest: u64| oldest.min(used)));
            }
        }
        let mut list = self.list.lock();
        list.due_micros = match oldest {
            // One that has begun meanwhile is not older.
            _ if list.open.is_empty() => None,
            oldest => Some(oldest.unwrap_or(now).saturating_add(timeout)),
        };
    }

    /// Ends every transaction: the database is closed.
    pub(super) fn close(&self) {
        let open = std::mem::take(&mut self.list.lock().open);
        for slot in open.into_values().filter_map(|slot| slot.upgrade()) {
            self.end(&slot, Ended::WithItsDatabase);
        }
    }

    pub(super) fn counts(&self) -> TransactionCounts {
        let list = self.list.lock();
        let slots: Vec<_> = list.open.values().filter_map(Weak::upgrade).collect();
        drop(list);
        let bytes: usize = slots.iter().map(|slot| slot.bytes()).sum();
        TransactionCounts {
            open: slots.len() as u64,
            bytes: (bytes + self.commit.bytes_of_recent()) as u64,
            committed: self.counts.committed.load(Ordering::Relaxed),
            conflicts: self.counts.conflicts.load(Ordering::Relaxed),
            timed_out: self.counts.timed_out.load(Ordering::Relaxed),
        }
    }
}
