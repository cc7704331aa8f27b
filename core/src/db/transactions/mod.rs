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
//! * TRANSACTION-3  One that nobody has used for `transaction_timeout` ends within a quarter of that time; it gives
//!                  back its snapshot and memory.

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

/// How often open transactions are looked at within the timeout: one that nobody uses lives up to this part longer.
const LOOKS_PER_TIMEOUT: u64 = 4;
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
    open: Vec<Option<Weak<Slot>>>,
    /// The free places in `open`.
    free: Vec<usize>,
    /// When they are looked at next, on the environment's clock; `None`: no look is due.
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
        let open = Open::new(snapshot, options.read_only);
        if self.tree.has_no_flush_thread() {
            self.look_around();
        }
        let mut list = self.list.lock();
        let place = list.free_place().inspect_err(unwatch)?;
        let slot = Arc::new(Slot::new(place, open));
        list.open[place] = Some(Arc::downgrade(&slot));
        let is_unwatched = list.due_micros.is_none();
        drop(list);
        if is_unwatched {
            self.look_later();
        }
        Ok(Transaction::new(Arc::clone(self), slot))
    }

    /// Plans a look at the open transactions, unless one is planned.
    fn look_later(&self) {
        let timeout = self.timeout_micros();
        if timeout == 0 {
            return;
        }
        let now = self.context.env().now_micros();
        let mut list = self.list.lock();
        if list.due_micros.is_none() {
            list.due_micros = Some(now.saturating_add(timeout / LOOKS_PER_TIMEOUT));
            drop(list);
            self.tree.ring();
        }
    }

    /// 0 if there is none.
    fn timeout_micros(&self) -> u64 {
        let timeout = self.context.options().transaction_timeout;
        u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)
    }

    /// Ends a transaction unless it has ended, and releases what it holds.
    fn end(&self, slot: &Slot, why: Ended) {
        if let Some(open) = slot.end(why) {
            self.release(slot, open);
        }
    }

    /// Forgets a transaction that has ended.
    fn release(&self, slot: &Slot, open: Open) {
        self.list.lock().remove(slot);
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
        let mut list = self.list.lock();
        if list.due_micros.is_none_or(|due| now < due) {
            return;
        }
        let slots = list.slots();
        list.due_micros = match slots.is_empty() {
            true => None,
            false => Some(now.saturating_add(timeout / LOOKS_PER_TIMEOUT)),
        };
        drop(list);
        for slot in slots {
            if let Some(open) = slot.end_if_unused(now, timeout) {
                self.counts.timed_out.fetch_add(1, Ordering::Relaxed);
                self.context
                    .note(format_args!("transaction {} timed out", slot.number()));
                self.release(&slot, open);
            }
        }
    }

    /// Ends every transaction: the database is closed.
    pub(super) fn close(&self) {
        let slots = self.list.lock().slots();
        for slot in slots {
            self.end(&slot, Ended::WithItsDatabase);
        }
    }

    pub(super) fn counts(&self) -> TransactionCounts {
        let slots = self.list.lock().slots();
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

impl List {
    /// A place for one more transaction.
    fn free_place(&mut self) -> Result<usize> {
        if let Some(place) = self.free.pop() {
            return Ok(place);
        }
        memory::reserve(&mut self.open, 1, "a transaction")?;
        // So that giving a place back needs no memory.
        memory::reserve(&mut self.free, self.open.len() + 1, "a transaction")?;
        self.open.push(None);
        Ok(self.open.len() - 1)
    }

    /// Gives back the place of a transaction.
    fn remove(&mut self, slot: &Slot) {
        if let Some(place) = self.open.get_mut(slot.place())
            && place.take().is_some()
        {
            self.free.push(slot.place());
        }
        debug_assert!(
            self.free.len() <= self.open.len(),
            "ENDED-1: every place is given back once"
        );
    }

    /// The open transactions.
    fn slots(&self) -> Vec<Arc<Slot>> {
        let open = self.open.iter().flatten();
        open.filter_map(Weak::upgrade).collect()
    }
}
