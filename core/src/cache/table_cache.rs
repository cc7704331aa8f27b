//! The table cache: keeps tables open, up to a limit.
//!
//! A version's file metadata embeds an `Arc<TableHandle>`; the handle has the slot with the open table, so a
//! hit is one load. A miss opens the table and registers its handle here. If too many tables are open, a CLOCK
//! over the handles closes those not used recently. Closing frees index, filter, cached blocks and the file.
//!
//! * TABLECACHE-1  At most `max_open_files` slots are full. A table that an iterator or a value still uses stays open
//!                 beyond that until they release it; a lookup in that time gets the same open table, not a second
//!                 descriptor.
//! * TABLECACHE-2  One thread opens a table while others wait: it holds the handle's `opening` lock while it
//!                 opens. No thread holds the ring's lock during I/O.
//! * TABLECACHE-3  A handle that is dropped closes its table; the ring holds handles weakly and forgets them in
//!                 passing.
//! * TABLECACHE-4  If the process has reached its limit of open files, every unused table is closed before an
//!                 open fails because of it.

use std::ops::Deref;
use std::path::PathBuf;

use crate::env::Env;
use crate::error::Result;
use crate::filename::table_path;
use crate::key::{FileNumber, KeyspaceId};
use crate::sstable::{BlockCache, Table};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::over_io::{OverIo, Stage};
use crate::sync::{Arc, ArcSwapOption, Guard, Mutex, Weak};

/// A table that may or may not be open. Part of the file metadata of a version.
pub(crate) struct TableHandle {
    pub(crate) number: FileNumber,
    /// The random id in the file's header.
    pub(crate) file_id: u64,
    /// The file's length in bytes.
    pub(crate) size: u64,
    /// The keyspace that the table belongs to (FILE-4).
    pub(crate) keyspace: KeyspaceId,
    slot: ArcSwapOption<Table>,
    touched: AtomicBool,
    /// Locked while the table is opened. Holds the table that was opened last, which may be in use although its slot
    /// is empty.
    opening: OverIo<Weak<Table>>,
}

impl TableHandle {
    pub(crate) fn new(
        keyspace: KeyspaceId,
        number: FileNumber,
        file_id: u64,
        size: u64,
    ) -> Arc<TableHandle> {
        Arc::new(TableHandle {
            number,
            file_id,
            size,
            keyspace,
            slot: ArcSwapOption::empty(),
            touched: AtomicBool::new(false),
            opening: OverIo::new(Stage::File, Weak::new()),
        })
    }

    /// The table if it is open now.
    pub(crate) fn opened(&self) -> Option<Arc<Table>> {
        self.slot.load_full()
    }

    /// The table for the length of a call, if it is open now.
    pub(crate) fn get(&self) -> Option<TableGuard> {
        let guard = self.slot.load();
        guard.is_some().then(|| {
            self.touch();
            TableGuard(guard)
        })
    }

    /// Notes that the table is in use; writes only if that was not noted yet.
    #[inline]
    fn touch(&self) {
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the table is open now.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.slot.load().is_some()
    }
}

/// An open table for the length of one call; derefs to it. For longer use, take an `Arc` from it.
pub(crate) struct TableGuard(Guard<Option<Arc<Table>>>);

impl Deref for TableGuard {
    type Target = Arc<Table>;

    #[inline]
    fn deref(&self) -> &Arc<Table> {
        // The three places that make a guard check this.
        self.0
            .as_ref()
            .expect("a table guard is made of a full slot")
    }
}

#[derive(Default)]
struct Ring {
    handles: Vec<Weak<TableHandle>>,
    hand: usize,
}

/// See the head of the file.
pub(crate) struct TableCache {
    env: Arc<dyn Env>,
    dir: PathBuf,
    block_cache: Arc<BlockCache>,
    max_open_files: usize,
    ring: Mutex<Ring>,
    opens: AtomicU64,
}

impl TableCache {
    /// A cache of the tables in `dir`; at least one may be open.
    pub(crate) fn new(
        env: Arc<dyn Env>,
        dir: impl Into<PathBuf>,
        block_cache: Arc<BlockCache>,
        max_open_files: usize,
    ) -> Arc<TableCache> {
        Arc::new(TableCache {
            env,
            dir: dir.into(),
            block_cache,
            max_open_files: max_open_files.max(1),
            ring: Mutex::new(Ring::default()),
            opens: AtomicU64::new(0),
        })
    }

    /// A cache for the same directory, with no open table, that keeps no blocks. With new handles, reads through it
    /// come from the files.
    pub(crate) fn past(&self) -> Arc<TableCache> {
        let env = Arc::clone(&self.env);
        TableCache::new(
            env,
            self.dir.clone(),
            BlockCache::new(0),
            self.max_open_files,
        )
    }

    /// The open table of `handle`, for the length of a call. Opens it if necessary.
    #[inline]
    pub(crate) fn get(&self, handle: &Arc<TableHandle>) -> Result<TableGuard> {
        let guard = handle.slot.load();
        if guard.is_some() {
            handle.touch();
            return Ok(TableGuard(guard));
        }
        let table = self.fill(handle)?;
        Ok(TableGuard(Guard::from_inner(Some(table))))
    }

    /// The open table of `handle`, for as long as the reference is kept. Opens it if necessary.
    pub(crate) fn open(&self, handle: &Arc<TableHandle>) -> Result<Arc<Table>> {
        Ok(Arc::clone(&*self.get(handle)?))
    }

    #[cold]
    fn fill(&self, handle: &Arc<TableHandle>) -> Result<Arc<Table>> {
        let mut opening = handle.opening.lock();
        if let Some(table) = handle.slot.load_full() {
            return Ok(table);
        }
        // Room first, so that the limit on open files holds while this one is opened (TABLECACHE-1).
        self.close_down_to(self.max_open_files - 1);
        let table = match opening.upgrade() {
            Some(table) => table,
            None => {
                let table = match self.open_file(handle) {
                    Err(error) if error.is_out_of_files() => {
                        // TABLECACHE-4.
                        self.close_down_to(0);
                        self.open_file(handle)?
                    }
                    outcome => outcome?,
                };
                self.opens.fetch_add(1, Ordering::Relaxed);
                *opening = Arc::downgrade(&table);
                table
            }
        };
        debug_assert!(
            table.file_id() == handle.file_id,
            "TABLECACHE-2: the table is the handle's own"
        );
        handle.touched.store(true, Ordering::Relaxed);
        debug_assert!(
            handle.slot.load().is_none(),
            "TABLECACHE-2: no other thread opens it while its lock is held"
        );
        handle.slot.store(Some(Arc::clone(&table)));
        self.ring.lock().handles.push(Arc::downgrade(handle));
        // Other threads may have opened tables during that.
        self.close_down_to(self.max_open_files);
        Ok(table)
    }

    fn open_file(&self, handle: &TableHandle) -> Result<Arc<Table>> {
        let path = table_path(&self.dir, handle.number);
        let cache = Arc::clone(&self.block_cache);
        let (id, size) = (handle.file_id, handle.size);
        Table::open_in(handle.keyspace, &*self.env, &path, id, size, cache)
    }

    /// Closes tables until at most `count` are open.
    fn close_down_to(&self, count: usize) {
        debug_assert!(
            count <= self.max_open_files,
            "TABLECACHE-1: no more tables than the limit are left open"
        );
        loop {
            let mut ring = self.ring.lock();
            if ring.handles.len() <= count {
                return;
            }
            let closed = ring.evict();
            drop(ring);
            // Frees index, filter and blocks, outside the lock (TABLECACHE-2).
            drop(closed);
        }
    }

    /// Closes every unused table.
    pub(crate) fn close(&self) {
        self.close_down_to(0);
    }

    /// Closes the table of `handle`.
    #[cfg(test)]
    pub(crate) fn evict(&self, handle: &Arc<TableHandle>) {
        let mut ring = self.ring.lock();
        let weak = Arc::downgrade(handle);
        ring.handles.retain(|other| !other.ptr_eq(&weak));
        let closed = handle.slot.swap(None);
        drop(ring);
        drop(closed);
    }

    /// How many tables are open, how many were opened in all, and the memory of their indexes and filters in bytes.
    pub(crate) fn stats(&self) -> TableCacheStats {
        let ring = self.ring.lock();
        let mut stats = TableCacheStats {
            opens: self.opens.load(Ordering::Relaxed),
            ..TableCacheStats::default()
        };
        let handles: Vec<_> = ring.handles.iter().filter_map(Weak::upgrade).collect();
        drop(ring);
        for handle in handles {
            if let Some(table) = &*handle.slot.load() {
                stats.open += 1;
                stats.memory += table.memory();
            }
        }
        stats
    }
}

/// See [`TableCache::stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TableCacheStats {
    pub(crate) open: usize,
    pub(crate) opens: u64,
    pub(crate) memory: usize,
}

impl Ring {
    /// Takes one handle out of the ring, and its table (if it still has one) out of its slot.
    fn evict(&mut self) -> Option<Arc<Table>> {
        let mut spared = self.handles.len();
        loop {
            if self.hand >= self.handles.len() {
                self.hand = 0;
            }
            let handle = self.handles.get(self.hand)?.upgrade();
            if let Some(handle) = &handle
                && spared > 0
                && handle.touched.swap(false, Ordering::Relaxed)
            {
                spared -= 1;
                self.hand += 1;
                continue;
            }
            // The order matters little among few tables, so the last one may get its turn a little earlier.
            self.handles.swap_remove(self.hand);
            self.hand += 1;
            return handle.and_then(|handle| handle.slot.swap(None));
        }
    }
}
