//! `DB`: the public interface of the store.
//!
//! Each method here checks its arguments and that the database is open, then calls the room that does the work.
//! A room is a directory: a value with private fields and its own lock, which has a few entry points and uses only
//! the rooms below it. From the top:
//!
//! * `mod.rs`, `iter.rs`, `stats.rs`  the public interface
//! * `trust/`    checkpoints, verify, repair, and their reports
//! * `life/`     opening, recovery, closing, destroying; the background threads
//! * `transactions/`  reads and writes that take place at once
//! * `read/`     cursors, and the data they pin
//! * `commit/`   the commit path: log, memtable, publication
//! * `tree/`     memtables and tables: lookups, flushes, compactions, stalls
//! * `logs/`     the log files: how far they are synced, the next one, old ones
//! * `space/`    the disk space that is kept free
//! * `order/`    which sequence numbers are published and pinned
//! * `context.rs`, `info_log.rs`      shared by all rooms; `locks.rs` has the order of their locks
//!
//! * DB-1  A `DB` is a counted reference: clones share one open database, and the last one dropped closes it.
//!         Cursors keep the data they read alive until `close` takes it from them; after that they and
//!         snapshots return `Closed`.
//! * DB-2  After `close`, or in a child after `fork`, every call returns `Closed` and touches no lock.

use std::ops::{ControlFlow, RangeBounds};
use std::path::Path;

use self::life::{Database, Unflushed};
use self::tree::{Contains, Get};
use crate::batch::WriteBatch;
use crate::error::Result;
use crate::key::SequenceNumber;
use crate::memory;
use crate::options::{
    CountOptions, IterOptions, Options, ReadOptions, TransactionOptions, WriteOptions,
};
use crate::snapshot::Snapshot;
use crate::sync::Arc;

mod commit;
mod context;
mod doorbell;
mod info_log;
mod iter;
mod json;
mod life;
mod locks;
mod logs;
#[cfg(all(test, shuttle))]
mod models;
mod order;
mod panics;
mod read;
mod space;
mod stats;
mod transactions;
mod tree;
mod trust;
mod value;

pub use iter::Iter;
pub use read::{Chunk, CountProgress, Cursor};
pub use stats::{LevelStats, SetAside, Stats};
#[doc(hidden)]
pub use transactions::pause_after;
pub use transactions::{Savepoint, Transaction};
pub use tree::Remembered;
pub use trust::{Damage, Loss, RepairReport, VerifyProgress, VerifyReport};
pub use value::Value;

/// An open database: an ordered map from byte-string keys to byte-string values.
///
/// Keys have at most 16 MiB, values at most 4 GiB - 1; both may be empty; keys sort bytewise. Any number of
/// threads may use one `DB` and its clones at once. Every read sees the entries as they were at one point in
/// the sequence of writes; a read that starts after a write was acknowledged sees that write. A write without
/// `sync` survives a crash of the process; with `sync` it and every write acknowledged before it survive a loss
/// of power. Any call may return `OutOfMemory`: then it had no effect, and the same call succeeds once there is
/// memory.
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
/// db.put(b"fruit", b"apple")?;
/// assert_eq!(db.get(b"fruit")?.as_deref(), Some(&b"apple"[..]));
/// db.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DB {
    handle: Arc<Handle>,
}

/// Closes the database when the last clone of its `DB` is dropped.
struct Handle {
    database: Arc<Database>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // No caller is left to get the error; all acknowledged writes are in the logs.
        let _ = self.database.close(Unflushed::LeaveInLogs);
    }
}

impl DB {
    /// Opens the database in the directory `path` and recovers the writes that are only in its logs.
    ///
    /// Errors: `Locked` if another process, or this one, has it open (the message names pid, host and start time);
    /// `InvalidArgument` for options out of range, a missing directory with `create_if_missing` off, or a
    /// non-empty directory that is not a database (the message names the engine it belongs to, if it is a known
    /// one); `Corruption` naming file and offset, also for an incomplete copy (the message says what to do);
    /// `Unsupported` for a newer format, and for a path (of the info log too) that begins with a scheme, such
    /// as `aidb://host/db`; `Io`, `NoSpace`. Cost: reading the manifest, and the logs since the last flush.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<DB> {
        let database = life::open(path.as_ref(), options)?;
        Ok(DB {
            handle: Arc::new(Handle { database }),
        })
    }

    #[inline]
    fn rooms(&self) -> &Database {
        &self.handle.database
    }

    /// The result of `look` if the database is open both before and after it, because a closing database shows
    /// nothing reliable.
    fn while_open<T>(&self, look: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let database = self.rooms();
        let context = &database.context;
        context.check_open()?;
        let found = look(database).map_err(|error| context.closed_or(error))?;
        context.check_open()?;
        Ok(found)
    }

    /// Stores `value` under `key`, replacing any earlier value. Returns the write's sequence number, as
    /// [`DB::write`] does.
    ///
    /// Errors: `InvalidArgument` if one is too long; `Closed`; `Io` or `NoSpace` if the log cannot be written:
    /// the write may or may not be there after a crash.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<SequenceNumber> {
        self.put_with(key, value, &WriteOptions::default())
    }

    /// [`DB::put`] with options.
    pub fn put_with(
        &self,
        key: &[u8],
        value: &[u8],
        options: &WriteOptions,
    ) -> Result<SequenceNumber> {
        WriteBatch::of_one(
            |batch| batch.put(key, value),
            |batch| self.write_with(batch, options),
        )
    }

    /// Removes `key`. Removing an absent key is not an error; it is still a write with a sequence number.
    /// Errors as for [`DB::put`].
    pub fn delete(&self, key: &[u8]) -> Result<SequenceNumber> {
        self.delete_with(key, &WriteOptions::default())
    }

    /// [`DB::delete`] with options.
    pub fn delete_with(&self, key: &[u8], options: &WriteOptions) -> Result<SequenceNumber> {
        WriteBatch::of_one(
            |batch| batch.delete(key),
            |batch| self.write_with(batch, options),
        )
    }

    /// Deletes all keys in `[start, end)`, where `None` means no bound. Returns the write's sequence number, as
    /// [`DB::write`] does; it takes none if `start` and `end` are equal.
    ///
    /// It is one small write, however many keys it deletes: it takes no time for each. Compactions free the space
    /// later. Errors as for [`DB::put`]; also `InvalidArgument` if `end` is before `start`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// db.put(b"2023-12-31", b"old")?;
    /// db.put(b"2024-01-01", b"new")?;
    /// db.delete_range(None, Some(b"2024"))?;
    /// assert_eq!(db.iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<SequenceNumber> {
        self.delete_range_with(start, end, &WriteOptions::default())
    }

    /// [`DB::delete_range`] with options.
    pub fn delete_range_with(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        options: &WriteOptions,
    ) -> Result<SequenceNumber> {
        WriteBatch::of_one(
            |batch| batch.delete_range(start, end),
            |batch| self.write_with(batch, options),
        )
    }

    /// Deletes all keys that begin with `prefix`; an empty one deletes all keys. Otherwise as [`DB::delete_range`].
    pub fn delete_prefix(&self, prefix: &[u8]) -> Result<SequenceNumber> {
        self.delete_prefix_with(prefix, &WriteOptions::default())
    }

    /// [`DB::delete_prefix`] with options.
    pub fn delete_prefix_with(
        &self,
        prefix: &[u8],
        options: &WriteOptions,
    ) -> Result<SequenceNumber> {
        WriteBatch::of_one(
            |batch| batch.delete_prefix(prefix),
            |batch| self.write_with(batch, options),
        )
    }

    /// Applies `batch`: all of its operations or none, even if there is a crash.
    ///
    /// Returns the sequence number of its last operation: the operations of a batch of `n` have the `n`
    /// consecutive numbers that end there. A snapshot sees the batch if [`Snapshot::sequence`] is at least that
    /// number; every snapshot taken after this returns does. An empty batch takes no number; for it this
    /// returns the newest number that readers see. Errors as for [`DB::put`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// let mut batch = aidb::WriteBatch::new();
    /// batch.put(b"fruit", b"apple")?;
    /// batch.delete(b"grain")?;
    /// let number = db.write(&batch)?;
    /// assert_eq!(db.snapshot()?.sequence(), number);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&self, batch: &WriteBatch) -> Result<SequenceNumber> {
        self.write_with(batch, &WriteOptions::default())
    }

    /// [`DB::write`] with options.
    pub fn write_with(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<SequenceNumber> {
        self.rooms().commit.commit(batch, options)
    }

    /// The value stored under `key`, or `None`.
    ///
    /// Errors: `Closed`; `Corruption` naming file and offset; `Io`. Cost: at most one table per level (more in
    /// level 0); filters rule out most of them without a read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.get_with(key, &ReadOptions::default())
    }

    /// [`DB::get`] with options. Errors also: `InvalidArgument` for a snapshot of another database.
    pub fn get_with(&self, key: &[u8], options: &ReadOptions<'_>) -> Result<Option<Value>> {
        self.rooms().tree.get(key, options, Get)
    }

    /// Looks up `key` in memory only, for a thread that must not wait, such as one that runs an event loop.
    ///
    /// Reads no file, decompresses no block and takes no lock. `Unknown` is not an error: call [`DB::get_with`]
    /// on another thread, which mostly leaves the block in the cache for the next time. Of `options` only the
    /// snapshot is used. Errors: `Closed`; `InvalidArgument` for a key that is too long or a snapshot of
    /// another database.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// use aidb::{ReadOptions, Remembered};
    ///
    /// db.put(b"fruit", b"apple")?;
    /// let value = match db.get_in_memory(b"fruit", &ReadOptions::default())? {
    ///     Remembered::Value(value) => Some(value),
    ///     Remembered::Absent => None,
    ///     _ => db.get(b"fruit")?,
    /// };
    /// assert_eq!(value.as_deref(), Some(&b"apple"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_in_memory(&self, key: &[u8], options: &ReadOptions<'_>) -> Result<Remembered> {
        self.rooms().tree.get_in_memory(key, options.snapshot)
    }

    /// The values of many keys, in the order of the keys, all read at one point in the sequence of writes.
    ///
    /// Cheaper than a get for each. Errors as for [`DB::get_with`]; if one key fails, the call fails.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>> {
        self.get_many_with(keys, &ReadOptions::default())
    }

    /// [`DB::get_many`] with options.
    pub fn get_many_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &ReadOptions<'_>,
    ) -> Result<Vec<Option<Value>>> {
        self.rooms().tree.get_many(keys, options, usize::MAX)
    }

    /// [`DB::get_many_with`] that ends early: a few keys after the values have reached `most_bytes` bytes. It
    /// returns results for the keys it has looked up, at least one if there is any. For the bindings, which
    /// check for signals during a long call.
    #[doc(hidden)]
    pub fn get_first_of<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        options: &ReadOptions<'_>,
        most_bytes: usize,
    ) -> Result<Vec<Option<Value>>> {
        self.rooms().tree.get_many(keys, options, most_bytes)
    }

    /// Whether `key` has a value. Errors as for [`DB::get`].
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        self.contains_key_with(key, &ReadOptions::default())
    }

    /// [`DB::contains_key`] with options.
    pub fn contains_key_with(&self, key: &[u8], options: &ReadOptions<'_>) -> Result<bool> {
        self.rooms().tree.get(key, options, Contains)
    }

    /// Pins the current point in the sequence of writes for reads, until the snapshot is dropped.
    ///
    /// Errors: `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.rooms().context.check_open()?;
        self.rooms().order.snapshot()
    }

    /// Begins a transaction: reads and writes that take place at once, or not at all.
    ///
    /// Errors: `Closed`; `OutOfMemory`.
    pub fn begin(&self) -> Result<Transaction> {
        self.begin_with(&TransactionOptions::default())
    }

    /// [`DB::begin`] with options.
    pub fn begin_with(&self, options: &TransactionOptions) -> Result<Transaction> {
        self.rooms().transactions.begin(options)
    }

    /// Runs `work` in a transaction and commits it; after a `Conflict` runs it again from the beginning, in a new
    /// transaction, up to `attempts` times (at least 1) in all.
    ///
    /// It pauses before each new attempt: some 50 microseconds at first, then twice as long each time, at most 20
    /// milliseconds. An error of `work` other than `Conflict` rolls the transaction back and is returned. Other errors:
    /// `Conflict` after the last attempt; those of [`DB::write`]; `InvalidArgument` for no attempts.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// # db.put(b"jobs/1", b"sweep")?;
    /// let job = db.run_transaction(10, |transaction| {
    ///     let Some(first) = transaction.prefix(b"jobs/").next().transpose()? else {
    ///         return Ok(None);
    ///     };
    ///     transaction.delete(&first.0)?;
    ///     Ok(Some(first))
    /// })?;
    /// assert_eq!(job, Some((b"jobs/1".to_vec(), b"sweep".to_vec())));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_transaction<T>(
        &self,
        attempts: u32,
        work: impl FnMut(&Transaction) -> Result<T>,
    ) -> Result<T> {
        self.run_transaction_with(attempts, &WriteOptions::default(), work)
    }

    /// [`DB::run_transaction`] with options for its commit.
    pub fn run_transaction_with<T>(
        &self,
        attempts: u32,
        options: &WriteOptions,
        work: impl FnMut(&Transaction) -> Result<T>,
    ) -> Result<T> {
        self.rooms().transactions.run(attempts, options, work)
    }

    /// If the value under `key` is `expected` (`None`: the key is absent), makes it `value` (`None`: removes the key).
    /// Returns whether it was. Nobody can change the key in between.
    ///
    /// Errors as for [`DB::put`] and [`DB::get`]; never `Conflict`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// assert!(db.compare_and_set(b"leader", None, Some(b"alice"))?);
    /// assert!(!db.compare_and_set(b"leader", None, Some(b"bob"))?);
    /// assert!(db.compare_and_set(b"leader", Some(b"alice"), None)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<bool> {
        self.compare_and_set_with(key, expected, value, &WriteOptions::default())
    }

    /// [`DB::compare_and_set`] with options.
    pub fn compare_and_set_with(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        options: &WriteOptions,
    ) -> Result<bool> {
        let transactions = &self.rooms().transactions;
        transactions.compare_and_set(key, expected, value, options)
    }

    /// Stores `value` under `key` unless the key has a value; returns whether it did. Nobody can change the key in
    /// between. Errors as for [`DB::compare_and_set`].
    pub fn put_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        self.put_if_absent_with(key, value, &WriteOptions::default())
    }

    /// [`DB::put_if_absent`] with options.
    pub fn put_if_absent_with(
        &self,
        key: &[u8],
        value: &[u8],
        options: &WriteOptions,
    ) -> Result<bool> {
        self.compare_and_set_with(key, None, Some(value), options)
    }

    /// Stores `value` under `key` and returns the value that the key had before. Nobody can change the key in
    /// between. Errors as for [`DB::compare_and_set`].
    pub fn get_and_put(&self, key: &[u8], value: &[u8]) -> Result<Option<Value>> {
        self.get_and_put_with(key, value, &WriteOptions::default())
    }

    /// [`DB::get_and_put`] with options.
    pub fn get_and_put_with(
        &self,
        key: &[u8],
        value: &[u8],
        options: &WriteOptions,
    ) -> Result<Option<Value>> {
        let transactions = &self.rooms().transactions;
        transactions.get_and_write(key, Some(value), options)
    }

    /// Removes `key` and returns the value that it had; writes nothing if it had none. Nobody can change the key in
    /// between. Errors as for [`DB::compare_and_set`].
    pub fn get_and_delete(&self, key: &[u8]) -> Result<Option<Value>> {
        self.get_and_delete_with(key, &WriteOptions::default())
    }

    /// [`DB::get_and_delete`] with options.
    pub fn get_and_delete_with(&self, key: &[u8], options: &WriteOptions) -> Result<Option<Value>> {
        self.rooms().transactions.get_and_write(key, None, options)
    }

    /// All entries in key order, from both ends. An error is an item, and ends the iteration.
    pub fn iter(&self) -> Iter {
        Iter::new(self.cursor(IterOptions::default()))
    }

    /// The entries whose keys are in `range`, from both ends: `db.range("a".."b")`.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        Iter::over_range(&range, |options| self.cursor(options))
    }

    /// The entries whose keys start with `prefix`, from both ends.
    pub fn prefix(&self, prefix: &[u8]) -> Iter {
        Iter::over_prefix(prefix, |options| self.cursor(options))
    }

    /// A cursor over the entries that `options` describes, positioned before the first.
    ///
    /// Errors: `Closed`; `InvalidArgument` for a snapshot of another database.
    pub fn cursor(&self, options: IterOptions) -> Result<Cursor> {
        self.rooms().walks.cursor(options)
    }

    /// Writes every write acknowledged so far to tables; when it returns, they survive a power loss.
    ///
    /// Errors: `Closed`, `Io`, `NoSpace`; a failed flush loses no acknowledged write. `Internal`, once, after a
    /// panic in the database's background work; the message says so.
    pub fn flush(&self) -> Result<()> {
        self.rooms().commit.flush()
    }

    /// Compacts the keys in `[start, end)`, where `None` means no bound: frees the space of deleted and
    /// overwritten entries that no snapshot sees. The result is durable when this returns.
    ///
    /// Errors as for [`DB::flush`]; also the reason why compactions skip a table in the range
    /// ([`Stats::set_aside`]).
    pub fn compact_range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        self.rooms().compact_range(start, end)
    }

    /// About how many bytes the keys in `[start, end)` take in tables, where `None` means no bound; entries
    /// still in memtables are not counted.
    ///
    /// Errors: `Closed`, `Io`, `Corruption`.
    pub fn approximate_size(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<u64> {
        self.while_open(|database| database.tree.approximate_size(start, end))
    }

    /// About how many entries have keys in `[start, end)`, where `None` means no bound; 0 if `end` is not after
    /// `start`. Of now: snapshots do not count.
    ///
    /// It reads no data block: it adds up what tables and memtables state about themselves. A table that is partly
    /// in the range counts in proportion to its bytes that are, where each bound is taken to be in the middle of
    /// its block. In a memtable the entries in the range are counted, and the memtable's share of tombstones is
    /// assumed for them. For each tombstone, or if there are more of them for each older version that a snapshot
    /// kept in a table, one entry is subtracted.
    ///
    /// Exact for everything if no key was overwritten or deleted. Otherwise each overwritten version that is not
    /// compacted away, and not in the same table as the newer one, makes the result one too large, and each
    /// tombstone of an absent key one too small. What a range delete has deleted does not count in tables that it
    /// covers as a whole, and still counts elsewhere until it is flushed and compacted away. In a table that is
    /// partly in the range, the result may be off by the entries of a data block for each bound, more if large and
    /// small entries are mixed.
    ///
    /// Bounds may have any length. Errors: `Closed`; `Io`, `Corruption` if a table at a bound cannot be opened.
    /// Cost: microseconds, plus a few for every thousand entries of memtables in the range; it opens the
    /// tables at the bounds if they are not open.
    pub fn approximate_count(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<u64> {
        self.while_open(|database| database.tree.approximate_count(start, end))
    }

    /// How many entries have keys in `[start, end)`, where `None` means no bound, at one point in the sequence of
    /// writes; 0 if `end` is not after `start`.
    ///
    /// Exact: it walks all of them, like a cursor without keys and values, and puts no block into the block cache.
    /// It copies no value. Values in memtables and in cached blocks are not touched; a block that is not in the
    /// cache is read, checked and unpacked as a whole, with the values in it, because that is what its checksum
    /// covers. Bounds may have any length. Errors: `Closed`, also if the database is closed during the call;
    /// `Io`, `Corruption`. Cost: some tenths of a microsecond for an entry in memory; otherwise reading the
    /// tables once.
    pub fn count(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<u64> {
        let options = CountOptions::new();
        self.count_with(start, end, &options, &mut |_| ControlFlow::Continue(()))
    }

    /// [`DB::count`] with options, that calls `progress` after about every 65,536 entries, earlier if they are
    /// large, and at the end. If `progress` returns `ControlFlow::Break`, the count ends and the result is what
    /// was counted so far.
    ///
    /// Errors also: `InvalidArgument` for a snapshot of another database.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// use aidb::CountOptions;
    ///
    /// db.put(b"fruit/apple", b"red")?;
    /// let options = CountOptions::new().prefix(&b"fruit/"[..]);
    /// let fruits = db.count_with(None, None, &options, &mut |at| {
    ///     eprintln!("{} of about {}", at.counted, at.approximate_total);
    ///     std::ops::ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(fruits, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_with(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
        options: &CountOptions<'_>,
        progress: &mut dyn FnMut(CountProgress) -> ControlFlow<()>,
    ) -> Result<u64> {
        let owned = |bound: Option<&[u8]>| {
            let copy = bound.map(|bound| memory::copy_of(bound, "a bound"));
            copy.transpose()
        };
        let options = IterOptions::new()
            .snapshot(options.snapshot.cloned())
            .lower_bound(owned(start)?)
            .upper_bound(owned(end)?)
            .prefix(owned(options.prefix)?)
            .fill_cache(options.fill_cache);
        self.rooms().walks.count(options, progress)
    }

    /// The report called `name`, or `None` for an unknown name; docs/guide.md lists the names.
    ///
    /// Errors: `Closed`.
    pub fn property(&self, name: &str) -> Result<Option<String>> {
        self.while_open(|database| Ok(database.property(name)))
    }

    /// Counters and sizes of this open database.
    ///
    /// Errors: `Closed`.
    pub fn stats(&self) -> Result<Stats> {
        self.while_open(|database| Ok(database.stats()))
    }

    /// Makes a consistent copy in the directory `path`, which must be missing, empty, or an incomplete copy, while
    /// reads and writes go on.
    ///
    /// The copy contains every write acknowledged before the call, and perhaps some made during it: a prefix of
    /// the sequence of writes. It is a database of its own; neither changes the other. It is durable when this
    /// returns; after an error the call removes what it made. If a crash interrupts it, the incomplete copy
    /// does not open, and the error says so; a new copy into the same directory replaces it, and
    /// [`DB::destroy`] removes it. Tables are hard links, so on the same file system the copy takes no space
    /// until the two databases differ; to another file system they are copied.
    ///
    /// Errors: `InvalidArgument` if `path` is a file or a directory that is not empty; `Unsupported` if it begins
    /// with a scheme; `Locked` if another process or thread is making a database there; `Closed`, `Io`, `NoSpace`,
    /// `Corruption`. Cost: a flush, and a link or a copy per table.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.rooms().checkpoint(path.as_ref())
    }

    /// Reads every file of the database from disk, bypassing the caches, and checks it, while reads and writes
    /// go on: every block of every table (checksum, order of keys, index, filter, and the manifest's facts
    /// about the table, including the sum of its entries), the manifest, and the records of the logs. Then
    /// reads all entries at one point through the public read paths (cursors in both directions, gets and seeks
    /// of a sample of the keys and of all large values) and compares them with the contents of tables and
    /// memtables. Reports damage by file and offset. If some way of reading does not find an entry that is
    /// there, that is damage of the kind `Internal`: a bug in AiDb.
    ///
    /// Errors: `Closed` also if the database is closed during the call; `OutOfMemory`. Damage is in the report
    /// and is not an error. Cost: one thread reads every table seven times; about five of these mostly come
    /// from the system's file cache; no block goes into the block cache. It takes the memory of one table's
    /// index, and pins, as a cursor does, the memtables and files from when it began.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(&mut |_| ControlFlow::Continue(()))
    }

    /// [`DB::verify`] that calls `progress` about once per MiB. If `progress` returns `ControlFlow::Break`, the
    /// verification ends, and the report covers the part that was checked.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = aidb::DB::open(dir.path(), aidb::Options::new())?;
    /// let report = db.verify_with(&mut |progress| {
    ///     eprintln!("{} of {} bytes", progress.bytes_done, progress.bytes_total);
    ///     std::ops::ControlFlow::Continue(())
    /// })?;
    /// for damage in &report.damage {
    ///     println!("{} at byte {}: {}", damage.file.display(), damage.offset, damage.message);
    /// }
    /// assert!(report.is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify_with(
        &self,
        progress: &mut dyn FnMut(VerifyProgress) -> ControlFlow<()>,
    ) -> Result<VerifyReport> {
        self.rooms().verify(progress)
    }

    /// Flushes, stops the background threads and unlocks the directory. Every later call on any clone or
    /// cursor, and every read at a snapshot, returns `Closed`.
    ///
    /// Before this returns, it frees memory and descriptors and deletes tables that only readers kept, even if
    /// handles still exist. A call under way on another thread keeps what it is using until it returns
    /// `Closed`. Lent bytes stay valid: the block of a [`Value`], and the key and value of a [`Cursor`]'s
    /// current entry until its next move. An environment must not call this from inside a move of a cursor,
    /// because it waits for that move. Cost besides the flush: a pass over the allocator's free memory.
    ///
    /// When this returns `Ok`, every acknowledged write survives a power loss. Closing again is not an
    /// error. Errors: `Io`, `NoSpace`; the database is closed all the same, and no acknowledged write is lost.
    pub fn close(&self) -> Result<()> {
        self.rooms().close(Unflushed::Flush)
    }

    /// Whether the database has been closed.
    pub fn is_closed(&self) -> bool {
        self.rooms().context.check_open().is_err()
    }

    /// The directory of the database.
    pub fn path(&self) -> &Path {
        self.rooms().context.dir()
    }

    /// Removes the database in the directory `path`: its files, and the directory if nothing else is in it.
    ///
    /// The removal is durable when this returns. It also removes damaged, incomplete and half-destroyed
    /// databases. Other files in the directory stay. It changes nothing unless the directory contains a file
    /// that only AiDb writes. A missing or empty directory is not an error.
    ///
    /// Errors: `Locked` if it is open anywhere; `InvalidArgument` if the directory is not AiDb's (the message
    /// names the engine it belongs to, if it is a known one); `Unsupported` if `path` begins with a scheme;
    /// `Io`, after which another call finishes the removal.
    pub fn destroy(path: impl AsRef<Path>, options: &Options) -> Result<()> {
        life::destroy(path.as_ref(), options)
    }

    /// Makes a new database in the directory `into`, which must be missing, empty, or an incomplete copy, from
    /// what can still be read of the damaged one in `path`, which it does not change.
    ///
    /// Salvages tables block by block and logs record by record, with or without CURRENT and the manifest, and
    /// keeps the newest entry of each key. The report lists what could not be read, by file, range of keys and
    /// sequence numbers. It also lists every table that was read completely but whose entries are not those
    /// that the manifest or the table itself states; all of its entries are kept. A deleted key can come back
    /// only if the table or log record with its tombstone is lost, or if the manifest is lost and a crash had
    /// left behind a table that was already compacted. Try to open the database first: after an ordinary crash
    /// nothing is damaged, and opening needs no repair.
    ///
    /// `options`: how the new tables are built; `block_size`, `compression`, `target_file_size` and the like.
    /// Errors: `Locked` if the database is open for writing; `InvalidArgument` if `path` contains no part of an
    /// AiDb database, or `into` is not empty; `Corruption` if `path` is an incomplete copy; `Unsupported` if a
    /// newer AiDb wrote it, or a path begins with a scheme; `Io`, `NoSpace` if writing fails; `Internal` if the
    /// entries written are not those that were read. After these three `into` is empty. Cost: reads every table
    /// twice and writes each live entry once; takes the memory of one memtable, and one block per run of tables
    /// that do not overlap.
    pub fn repair(
        path: impl AsRef<Path>,
        into: impl AsRef<Path>,
        options: &Options,
    ) -> Result<RepairReport> {
        trust::repair(path.as_ref(), into.as_ref(), options)
    }

    /// Does one unit of background work in a database opened with `manual_background`; returns whether there
    /// was any.
    #[doc(hidden)]
    pub fn run_background_step(&self) -> Result<bool> {
        self.rooms().context.check_open()?;
        self.rooms().work()
    }
}

#[cfg(test)]
mod tests;
