//! `DB`: the store as its users see it.
//!
//! This file is the public face: each method checks its arguments and that the database is open, then calls the room that
//! does the work. A room is a folder: a value with private fields and its own lock, known by a few doors, which names the
//! rooms below it only. From the top:
//!
//! * `mod.rs`, `iter.rs`, `stats.rs`  the face
//! * `trust/`    checkpoints, verify, repair, and what they answer
//! * `life/`     opening, recovery, closing, destroying; the threads
//! * `read/`     cursors, and what they hold
//! * `commit/`   the commit path: log, memtable, publication
//! * `tree/`     memtables and tables: lookups, flushes, compactions, how writers are slowed
//! * `logs/`     the log's files: how far they are durable, the next one, old ones
//! * `space/`    what is kept free on the disk
//! * `order/`    which numbers are published and pinned
//! * `context.rs`, `info_log.rs`      what all of them know; `locks.rs` the order of their locks
//!
//! * DB-1  A `DB` is a counted reference: clones share one open database, and the last one dropped closes it.
//!         Cursors keep what they read alive, until `close` takes it from them. They and snapshots answer `Closed` then.
//! * DB-2  After `close`, or in a child after `fork`, every call answers `Closed` and touches no lock.

use std::ops::{Bound, ControlFlow, RangeBounds};
use std::path::Path;

use self::life::{Database, Unflushed};
use self::tree::Found;
use crate::batch::WriteBatch;
use crate::error::Result;
use crate::memory;
use crate::options::{IterOptions, Options, ReadOptions, WriteOptions};
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
mod tree;
mod trust;
mod value;

pub use iter::Iter;
pub use read::{Chunk, Cursor};
pub use stats::{LevelStats, SetAside, Stats};
pub use tree::Remembered;
pub use trust::{Damage, Loss, RepairReport, VerifyProgress, VerifyReport};
pub use value::Value;

/// An open database: an ordered map from byte-string keys to byte-string values.
///
/// Keys are up to 16 MiB, values up to 4 GiB - 1; both may be empty; keys sort bytewise. Any number of threads
/// may use one `DB` and its clones at once. Every read sees one point in the sequence of writes; a read that
/// starts after a write was acknowledged sees it. A write without `sync` survives the death of the process; with
/// `sync` it survives loss of power, together with every write acknowledged before it. Any call may answer `OutOfMemory`:
/// nothing has happened then, and the same call succeeds when there is memory.
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
        // Nobody is left to tell; what was acknowledged is in the logs.
        let _ = self.database.close(Unflushed::LeaveInLogs);
    }
}

impl DB {
    /// Opens the database in the directory `path`, recovering what an earlier life left in its logs.
    ///
    /// Errors: `Locked` if another process, or this one, has it open (the message names pid, host and start time);
    /// `InvalidArgument` for options out of range, a missing directory with `create_if_missing` off, or a
    /// non-empty directory that is not a database, naming the other engine where it can be told; `Corruption` naming file
    /// and offset, also for a copy that is not complete, telling what to do; `Unsupported` for a newer format, and for a
    /// path (of the info log too) that begins with a scheme, as `aidb://host/db` does; `Io`, `NoSpace`. Cost: reading the manifest, and the logs since the last flush.
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

    /// What `look` finds, if the database is open before and after that: what a closed one shows is nothing.
    fn while_open<T>(&self, look: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let database = self.rooms();
        let context = &database.context;
        context.check_open()?;
        let found = look(database).map_err(|error| context.closed_or(error))?;
        context.check_open()?;
        Ok(found)
    }

    /// Stores `value` under `key`, replacing what was there.
    ///
    /// Errors: `InvalidArgument` if one is too long; `Closed`; `Io` or `NoSpace` if the log cannot be written, and
    /// then the write may or may not be there after a crash.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put_with(key, value, &WriteOptions::default())
    }

    /// [`DB::put`] with options.
    pub fn put_with(&self, key: &[u8], value: &[u8], options: &WriteOptions) -> Result<()> {
        WriteBatch::of_one(
            |batch| batch.put(key, value),
            |batch| self.write_with(batch, options),
        )
    }

    /// Removes `key`; removing an absent key is no error. Errors as for [`DB::put`].
    pub fn delete(&self, key: &[u8]) -> Result<()> {
        self.delete_with(key, &WriteOptions::default())
    }

    /// [`DB::delete`] with options.
    pub fn delete_with(&self, key: &[u8], options: &WriteOptions) -> Result<()> {
        WriteBatch::of_one(
            |batch| batch.delete(key),
            |batch| self.write_with(batch, options),
        )
    }

    /// Applies `batch`: all of its operations or none, also across a crash. Errors as for [`DB::put`].
    pub fn write(&self, batch: &WriteBatch) -> Result<()> {
        self.write_with(batch, &WriteOptions::default())
    }

    /// [`DB::write`] with options.
    pub fn write_with(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        self.rooms().commit.commit(batch, options)
    }

    /// The value stored under `key`, or `None`.
    ///
    /// Errors: `Closed`; `Corruption` naming file and offset; `Io`. Cost: at most one table per level, most of
    /// them answered by their filter without a read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.get_with(key, &ReadOptions::default())
    }

    /// [`DB::get`] with options. Errors also: `InvalidArgument` for a snapshot of another database.
    pub fn get_with(&self, key: &[u8], options: &ReadOptions<'_>) -> Result<Option<Value>> {
        self.rooms()
            .tree
            .get(key, options, |found| found.into_value())
    }

    /// What memory alone can tell of `key`, for a thread that must not wait, such as one that runs an event loop.
    ///
    /// Reads no file, unpacks no block and takes no lock. `Unknown` is no error: [`DB::get_with`] on another thread
    /// tells, and mostly leaves the block in the cache for the next time. Of `options` the snapshot counts.
    /// Errors: `Closed`; `InvalidArgument` for a key that is too long or a snapshot of another database.
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
    ///     Remembered::Unknown => db.get(b"fruit")?,
    /// };
    /// assert_eq!(value.as_deref(), Some(&b"apple"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_in_memory(&self, key: &[u8], options: &ReadOptions<'_>) -> Result<Remembered> {
        self.rooms().tree.get_in_memory(key, options.snapshot)
    }

    /// The values of many keys, in their order, all as of one point in the sequence of writes.
    ///
    /// Cheaper than as many gets. Errors as for [`DB::get_with`]; one failing key fails the call.
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

    /// [`DB::get_many_with`] that ends early: a few keys after the values have reached `most_bytes` bytes. It answers for
    /// the keys it has looked up, at least one if there is one. For the bindings, which look for signals in a long call.
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
        Ok(self
            .rooms()
            .tree
            .get(key, options, |_: Found<'_>| Ok(()))?
            .is_some())
    }

    /// Pins the present point in the sequence of writes for reads, until it is dropped.
    ///
    /// Errors: `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.rooms().context.check_open()?;
        self.rooms().order.snapshot()
    }

    /// All entries in key order, from both ends. Errors come as items, and end the iteration.
    pub fn iter(&self) -> Iter {
        Iter::new(self.cursor(IterOptions::default()))
    }

    /// The entries whose keys lie in `range`, from both ends: `db.range("a".."b")`.
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        let owned = |bound: Bound<&K>| {
            Ok(match bound {
                Bound::Included(key) => Bound::Included(memory::copy_of(key.as_ref(), "a bound")?),
                Bound::Excluded(key) => Bound::Excluded(memory::copy_of(key.as_ref(), "a bound")?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let options = || {
            Ok(IterOptions {
                lower_bound: lower_bound(owned(range.start_bound())?),
                upper_bound: upper_bound(owned(range.end_bound())?),
                ..IterOptions::default()
            })
        };
        Iter::new(options().and_then(|options| self.cursor(options)))
    }

    /// The entries whose keys start with `prefix`, from both ends.
    pub fn prefix(&self, prefix: &[u8]) -> Iter {
        let options = memory::copy_of(prefix, "a bound").map(|prefix| IterOptions {
            prefix: Some(prefix),
            ..IterOptions::default()
        });
        Iter::new(options.and_then(|options| self.cursor(options)))
    }

    /// A cursor over the entries that `options` describes, standing before the first.
    ///
    /// Errors: `Closed`; `InvalidArgument` for a snapshot of another database.
    pub fn cursor(&self, options: IterOptions) -> Result<Cursor> {
        self.rooms().walks.cursor(options)
    }

    /// Writes everything acknowledged so far to tables, durably; returns when they survive loss of power.
    ///
    /// Errors: `Closed`, `Io`, `NoSpace`; nothing acknowledged is lost by a failed flush. `Internal`, once, after a panic in
    /// the database's own upkeep, which the message says.
    pub fn flush(&self) -> Result<()> {
        self.rooms().commit.flush()
    }

    /// Compacts the keys in `[start, end)`, `None` meaning no bound, so that deleted and overwritten entries that
    /// no snapshot sees give back their space. Returns when it is durable.
    ///
    /// Errors as for [`DB::flush`]; also the reason why a table in the range is left out of compactions
    /// ([`Stats::set_aside`]).
    pub fn compact_range(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<()> {
        self.rooms().compact_range(start, end)
    }

    /// About how many bytes of tables the keys in `[start, end)` take, `None` meaning no bound; what is still in memtables
    /// is not counted.
    ///
    /// Errors: `Closed`, `Io`, `Corruption`.
    pub fn approximate_size(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Result<u64> {
        self.while_open(|database| database.tree.approximate_size(start, end))
    }

    /// A report by name, or `None` for an unknown name; docs/guide.md lists the names.
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

    /// Makes a consistent copy in the directory `path`, which must be missing, empty, or an incomplete copy, while reads and
    /// writes go on.
    ///
    /// The copy holds every write acknowledged before the call, and perhaps some made meanwhile: a prefix of the
    /// sequence of writes. It opens by itself, and neither database changes the other. It is durable when this
    /// returns; after an error what was made is removed. What a crash leaves does not open, and says so; a new copy into the
    /// same directory replaces it, and [`DB::destroy`] removes it. Tables are hard links, so on one file system the copy takes no space until the
    /// two differ; on another one they are copied.
    ///
    /// Errors: `InvalidArgument` if `path` is a file or a directory that is not empty; `Unsupported` if it begins with a
    /// scheme; `Locked` if somebody is making a database there; `Closed`, `Io`, `NoSpace`, `Corruption`. Cost: a flush, and a link or a copy per table.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.rooms().checkpoint(path.as_ref())
    }

    /// Reads everything the database consists of from disk, past the caches, and checks it, while reads and writes
    /// go on: every block of every table (checksum, order of keys, index, filter, and what the manifest says of the
    /// table and of the sum of its entries), the manifest, and the logs' records. Then reads everything as of one
    /// point as you do, with cursors both ways and gets and seeks of a sample of the keys and of all large values, and
    /// compares that with what tables and memtables hold. Says what is damaged, by file and offset; a way of reading
    /// that does not find what is there is damage of the kind `Internal`, and our fault.
    ///
    /// Errors: `Closed` also if the database is closed meanwhile; `Internal` if memory runs out. Damage is no error
    /// but in the report. Cost: in one thread, reads every table seven times, of which the system's file cache mostly
    /// answers five, and puts no block into the block cache; the memory of one table's index, and what a cursor keeps
    /// that is open as long: the memtables and files of the moment it began.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_with(&mut |_| ControlFlow::Continue(()))
    }

    /// [`DB::verify`], telling `progress` how far it has come, about once per MiB; answering
    /// `ControlFlow::Break` ends it, and then the report covers what was looked at.
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

    /// Flushes, stops the background threads and lets the directory go. Every later call answers `Closed`, on
    /// every clone, cursor and snapshot read.
    ///
    /// Memory, descriptors and the tables that only readers kept are given back before this returns, whoever still has handles;
    /// a call under way on another thread keeps what it works on until it answers `Closed`. What was lent stays: a [`Value`]'s
    /// block, and key and value of the entry a [`Cursor`] stands on, until its next move. An environment must not call it
    /// from inside a move of a cursor, which it waits for. Cost beside the flush: looking through what the allocator has free.
    ///
    /// What was acknowledged survives loss of power when this returns `Ok`. Closing again is no error.
    /// Errors: `Io`, `NoSpace`; the database is closed all the same, and nothing acknowledged is lost.
    pub fn close(&self) -> Result<()> {
        self.rooms().close(Unflushed::Flush)
    }

    /// Whether the database has been closed.
    pub fn is_closed(&self) -> bool {
        self.rooms().context.check_open().is_err()
    }

    /// The directory the database lives in.
    pub fn path(&self) -> &Path {
        self.rooms().context.dir()
    }

    /// Removes the database in the directory `path`: its files, and the directory if nothing else is in it.
    ///
    /// Durable when this returns. Damaged and incomplete databases are removed too, and one that is half destroyed. Other
    /// files in the directory stay. Nothing is touched unless a file that only AiDb writes shows that the directory is its
    /// own. A missing or empty directory is no error.
    ///
    /// Errors: `Locked` if it is open anywhere; `InvalidArgument` if the directory is not AiDb's, naming the other engine
    /// where it can be told; `Unsupported` if `path` begins with a scheme; `Io`: call again to finish.
    pub fn destroy(path: impl AsRef<Path>, options: &Options) -> Result<()> {
        life::destroy(path.as_ref(), options)
    }

    /// Makes a new database in the directory `into`, which must be missing, empty, or an incomplete copy, of what can still be read of the
    /// damaged one in `path`, which is not changed.
    ///
    /// Salvages tables block by block and logs record by record, with or without CURRENT and the manifest, and keeps
    /// the newest entry of each key. What could not be read is in the report, by file, range of keys and sequence
    /// numbers; so is a table that was read whole and holds other entries than the manifest or the table itself says,
    /// all of which are kept. A deleted key may come back only if the table or record with its tombstone is lost, or if the
    /// manifest is lost and a crash had left a table behind that was already compacted. First try to open
    /// the database: after an ordinary crash nothing is damaged, and open needs no repair.
    ///
    /// `options`: how the new tables are built; `block_size`, `compression`, `target_file_size` and the like.
    /// Errors: `Locked` if the database is open for writing; `InvalidArgument` if `path` holds nothing of a
    /// database of AiDb, or `into` something; `Corruption` if `path` is an incomplete copy; `Unsupported` if a newer AiDb wrote
    /// it, or a path begins with a scheme; `Io`, `NoSpace` while writing; then `into` is
    /// left empty; `Internal` if what was read is not accounted for in what was written, and then too. Cost: reads every table twice and writes what is live once; memory of one memtable, and a block
    /// per run of tables that do not overlap.
    pub fn repair(
        path: impl AsRef<Path>,
        into: impl AsRef<Path>,
        options: &Options,
    ) -> Result<RepairReport> {
        trust::repair(path.as_ref(), into.as_ref(), options)
    }

    /// Does one piece of background work in a database opened with `manual_background`; whether there was any.
    #[doc(hidden)]
    pub fn run_background_step(&self) -> Result<bool> {
        self.rooms().context.check_open()?;
        self.rooms().work()
    }
}

/// The smallest key that a range's start admits.
fn lower_bound(bound: Bound<Vec<u8>>) -> Option<Vec<u8>> {
    match bound {
        Bound::Included(key) => Some(key),
        Bound::Excluded(key) => Some(successor(key)),
        Bound::Unbounded => None,
    }
}

/// The first key that a range's end keeps out.
fn upper_bound(bound: Bound<Vec<u8>>) -> Option<Vec<u8>> {
    match bound {
        Bound::Included(key) => Some(successor(key)),
        Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

/// The smallest key after `key`.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests;
