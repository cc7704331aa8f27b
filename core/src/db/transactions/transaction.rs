//! `Transaction` and `Savepoint`, as users see them.

use std::ops::RangeBounds;

use super::Transactions;
use super::slot::{Ended, Open, Slot, Use};
use crate::batch::{BatchOperation, WriteBatch, check_key, check_value};
use crate::db::iter::Iter;
use crate::db::read::{Cursor, Overlay};
use crate::db::tree::{Contains, Get};
use crate::db::value::Value;
use crate::error::{Error, Result};
use crate::key::SequenceNumber;
use crate::memory;
use crate::options::{IterOptions, ReadOptions, WriteOptions};
use crate::snapshot::Snapshot;
use crate::sync::Arc;
use crate::transaction::{Undo, Writes};

/// Reads and writes that take place at once, or not at all.
///
/// It reads the database as it was when the transaction began, with its own writes over that. Nobody else sees its
/// writes before [`Transaction::commit`]. The commit fails with `Conflict` if another commit has since changed a key
/// that the transaction has looked up, or made, changed or removed one in a range that it has walked over: so
/// transactions have the effect of running one after the other (they are serializable), in the order of their commits.
/// After a `Conflict` nothing was written: run it again from the beginning, or use
/// [`DB::run_transaction`](crate::DB::run_transaction), which does. Writes alone do not conflict with each other.
///
/// Dropping it rolls it back. It belongs to one thread at a time: a call while another is under way fails with
/// `InvalidArgument`. It may outlive its database: calls then return `Closed`. While it is open, the database keeps the
/// entries that it sees; so one that nobody has used for
/// [`transaction_timeout`](crate::Options::transaction_timeout) is rolled back soon after, and its calls then return
/// `Conflict`.
/// It takes memory for its writes (with savepoints also for those that were overwritten), and up to about 6 MiB for
/// what it has read, besides the bounds of one range; when it has read very much, changes of other keys may count as
/// conflicts too.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
/// # db.put(b"alice", b"9")?;
/// let transaction = db.begin()?;
/// let balance = transaction.get(b"alice")?;
/// transaction.put(b"bob", balance.as_deref().unwrap_or(b"0"))?;
/// transaction.delete(b"alice")?;
/// transaction.commit()?;
/// assert_eq!(db.get(b"bob")?.as_deref(), Some(&b"9"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Transaction {
    room: Arc<Transactions>,
    slot: Arc<Slot>,
}

/// A point within a transaction to which its writes can be taken back: [`Transaction::savepoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savepoint {
    /// The transaction's number.
    transaction: u64,
    number: u64,
}

impl Savepoint {
    /// Its number among the savepoints of its transaction. For the bindings.
    #[doc(hidden)]
    pub fn number(self) -> u64 {
        self.number
    }
}

impl Transaction {
    pub(super) fn new(room: Arc<Transactions>, slot: Arc<Slot>) -> Transaction {
        Transaction { room, slot }
    }

    /// Its number among the transactions since the database was opened.
    pub(super) fn number(&self) -> u64 {
        self.slot.number()
    }

    /// Begins a call: the database and the transaction are open, and no other call is under way.
    fn enter(&self) -> Result<Use<'_>> {
        // First, because a forked child must not touch the locks.
        self.room.context.check_open()?;
        self.slot.enter()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Open) -> Result<T>) -> Result<T> {
        self.slot.with(look)
    }

    /// Fails as every call does once it has ended. Any thread may ask, and asking does not count as using it. For the
    /// bindings.
    #[doc(hidden)]
    pub fn check_open(&self) -> Result<()> {
        self.room.context.check_open()?;
        self.slot.check_open()
    }

    /// The sequence number of the last write that it sees, besides its own.
    ///
    /// Errors: `Closed` if it has ended.
    pub fn sequence(&self) -> Result<SequenceNumber> {
        let _use = self.enter()?;
        self.with(|open| Ok(open.snapshot.sequence()))
    }

    /// The value under `key`, or `None`. Counts as read, unless the transaction has written the key itself.
    ///
    /// Errors: `InvalidArgument` if the key is longer than 16 MiB, `Closed`, `Io`, `Corruption`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let _use = self.enter()?;
        match self.look_up(key)? {
            LookedUp::Written(value) => Ok(value),
            LookedUp::InTree(snapshot) => {
                let options = ReadOptions::new().snapshot(&snapshot);
                self.room.tree.get(key, &options, Get)
            }
        }
    }

    /// The values of many keys, in the order of the keys. Errors as for [`Transaction::get`]; if one key fails, the
    /// call fails.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>> {
        let _use = self.enter()?;
        let mut values = memory::room_for(keys.len(), "the values of many keys")?;
        let mut in_tree = Vec::new();
        let mut places = Vec::new();
        let mut read_at = None;
        for key in keys {
            let key = key.as_ref();
            match self.look_up(key)? {
                LookedUp::Written(value) => values.push(value),
                LookedUp::InTree(snapshot) => {
                    memory::push(&mut in_tree, key, "many keys")?;
                    memory::push(&mut places, values.len(), "many keys")?;
                    values.push(None);
                    read_at = Some(snapshot);
                }
            }
        }
        let options = ReadOptions::new().snapshot(read_at.as_ref());
        let found = match in_tree.is_empty() {
            true => Vec::new(),
            false => self.room.tree.get_many(&in_tree, &options, usize::MAX)?,
        };
        debug_assert!(
            found.len() == places.len(),
            "every key that was not written has an answer from the tree"
        );
        for (place, value) in places.into_iter().zip(found) {
            values[place] = value;
        }
        Ok(values)
    }

    /// Whether `key` has a value. Otherwise as [`Transaction::get`].
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        let _use = self.enter()?;
        match self.look_up(key)? {
            LookedUp::Written(value) => Ok(value.is_some()),
            LookedUp::InTree(snapshot) => {
                let options = ReadOptions::new().snapshot(&snapshot);
                self.room.tree.get(key, &options, Contains)
            }
        }
    }

    /// Where to find `key`; if that is in the tree, it counts as read.
    fn look_up(&self, key: &[u8]) -> Result<LookedUp> {
        check_key(key)?;
        self.with(|open| {
            if let Some(written) = open.writes.get(key) {
                let value = written.map(Value::copied).transpose()?;
                return Ok(LookedUp::Written(value));
            }
            open.note_key(key)?;
            Ok(LookedUp::InTree(open.snapshot.clone()))
        })
    }

    /// Puts `value` (up to 4 GiB - 1) under `key` (up to 16 MiB) when the transaction commits.
    ///
    /// Errors: `InvalidArgument` if one is longer, or the transaction or its database is read-only; `Closed`.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let _use = self.enter()?;
        check_value(value)?;
        self.write_one(key, Some(value))
    }

    /// Removes `key` when the transaction commits. Errors as for [`Transaction::put`].
    pub fn delete(&self, key: &[u8]) -> Result<()> {
        let _use = self.enter()?;
        self.write_one(key, None)
    }

    /// Removes all keys in `[start, end)`, where `None` means no bound, when the transaction commits: those that are
    /// there then, and those that the transaction has written before. Does nothing if the two are equal.
    ///
    /// Errors as for [`Transaction::put`]; also `InvalidArgument` if `end` is before `start`.
    pub fn delete_range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        WriteBatch::of_one(
            |batch| batch.delete_range(start, end),
            |batch| self.write(batch),
        )
    }

    /// Removes all keys that begin with `prefix` when the transaction commits; an empty one removes all keys. Otherwise
    /// as [`Transaction::delete_range`].
    pub fn delete_prefix(&self, prefix: &[u8]) -> Result<()> {
        WriteBatch::of_one(
            |batch| batch.delete_prefix(prefix),
            |batch| self.write(batch),
        )
    }

    /// Adds all operations of `batch` to the transaction. Errors as for [`Transaction::put`]; after one none of them
    /// is in it.
    pub fn write(&self, batch: &WriteBatch) -> Result<()> {
        let _use = self.enter()?;
        self.check_writable()?;
        self.with(|open| {
            let mut passing = Undo::default();
            let (writes, undo) = open.writable()?;
            let undo = undo.unwrap_or(&mut passing);
            let mark = Writes::mark(undo);
            for operation in batch.iter() {
                let written = match operation {
                    BatchOperation::Put { key, value } => {
                        writes.write(key, Some(value), Some(undo))
                    }
                    BatchOperation::Delete { key } => writes.write(key, None, Some(undo)),
                    BatchOperation::DeleteRange { start, end } => {
                        writes.delete_range(start, end, Some(undo))
                    }
                };
                if let Err(error) = written {
                    writes.undo_to(mark, undo);
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    fn write_one(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        check_key(key)?;
        self.check_writable()?;
        self.with(|open| {
            let (writes, undo) = open.writable()?;
            writes.write(key, value, undo)
        })
    }

    fn check_writable(&self) -> Result<()> {
        self.room.context.check_writable()
    }

    /// A cursor over the entries that `options` describes, with the transaction's writes as they are now. What it
    /// passes over counts as read, from where it is placed to where it stands.
    ///
    /// It sees no write that the transaction makes later, and ends with the transaction: moves then fail as calls of
    /// the transaction do. Errors: `InvalidArgument` if `options` has a snapshot; `Closed`.
    pub fn cursor(&self, options: IterOptions) -> Result<Cursor> {
        let _use = self.enter()?;
        if options.snapshot.is_some() {
            return Err(Error::invalid_argument(
                "a transaction reads as of its own beginning: its cursors take no snapshot",
            ));
        }
        let (snapshot, writes) =
            self.with(|open| Ok((open.snapshot.clone(), Arc::clone(&open.writes))))?;
        let notes: Arc<Slot> = Arc::clone(&self.slot);
        let overlay = Overlay { writes, notes };
        self.room.walks.overlaid_cursor(&snapshot, overlay, options)
    }

    /// All entries in key order, from both ends; as [`Transaction::cursor`]. An error is an item, and ends the
    /// iteration.
    pub fn iter(&self) -> Iter {
        Iter::new(self.cursor(IterOptions::default()))
    }

    /// The entries whose keys are in `range`, from both ends; as [`Transaction::iter`].
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        Iter::over_range(&range, |options| self.cursor(options))
    }

    /// The entries whose keys start with `prefix`, from both ends; as [`Transaction::iter`].
    pub fn prefix(&self, prefix: &[u8]) -> Iter {
        Iter::over_prefix(prefix, |options| self.cursor(options))
    }

    /// A point to which [`Transaction::rollback_to`] takes the writes back.
    ///
    /// Errors: `Closed`.
    pub fn savepoint(&self) -> Result<Savepoint> {
        let _use = self.enter()?;
        self.with(|open| {
            let mark = Writes::mark(&open.undo);
            let number = open.last_savepoint + 1;
            memory::push(&mut open.savepoints, (number, mark), "savepoints")?;
            open.last_savepoint = number;
            Ok(Savepoint {
                transaction: self.slot.number(),
                number,
            })
        })
    }

    /// Takes back every write since `savepoint`, and forgets the savepoints after it; it can be used again. What was
    /// read since then still counts as read.
    ///
    /// Errors: `InvalidArgument` if it is of another transaction, or was forgotten; `Closed`.
    pub fn rollback_to(&self, savepoint: Savepoint) -> Result<()> {
        if savepoint.transaction != self.slot.number() {
            return Err(Error::invalid_argument(
                "the savepoint is of another transaction",
            ));
        }
        self.rollback_to_number(savepoint.number)
    }

    /// [`Transaction::rollback_to`] by the savepoint's number. For the bindings.
    #[doc(hidden)]
    pub fn rollback_to_number(&self, savepoint: u64) -> Result<()> {
        let _use = self.enter()?;
        self.with(|open| {
            let known = |(number, _): &(u64, _)| *number == savepoint;
            let Some(at) = open.savepoints.iter().rposition(known) else {
                return Err(Error::invalid_argument(
                    "there is no such savepoint: the transaction was rolled back to an earlier one",
                ));
            };
            let (_, mark) = open.savepoints[at];
            open.undo_to(mark)?;
            open.savepoints.truncate(at + 1);
            Ok(())
        })
    }

    /// Makes the writes visible, all at once; they survive a crash of the process. Ends the transaction.
    ///
    /// Returns the sequence number of its last operation, or of the last write that it sees, if it has no writes.
    /// Without writes it never conflicts. Errors: `Conflict` if what it has read was changed: nothing was written;
    /// otherwise as for [`DB::write`](crate::DB::write). It is
    /// still open only if `OutOfMemory` came before anything was written, or another call was under way.
    pub fn commit(&self) -> Result<SequenceNumber> {
        self.commit_with(&WriteOptions::default())
    }

    /// [`Transaction::commit`] with options.
    pub fn commit_with(&self, options: &WriteOptions) -> Result<SequenceNumber> {
        let _use = self.enter()?;
        self.room.commit(&self.slot, options)
    }

    /// Ends the transaction without writing anything. No error if it has ended, so that it may be called
    /// anywhere.
    pub fn rollback(&self) {
        if !self.room.context.is_foreign() {
            self.room.end(&self.slot, Ended::RolledBack);
        }
    }
}

/// Where a transaction finds a key.
enum LookedUp {
    /// Among its own writes.
    Written(Option<Value>),
    /// In the tree, at this snapshot.
    InTree(Snapshot),
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.rollback();
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({})", self.slot.number())
    }
}
