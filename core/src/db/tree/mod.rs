//! The tree: memtables and tables, the superversion that readers see, flushes and compactions.
//!
//! There is one value for each tree. It gives commits the memtables to insert into. For each memtable it knows the
//! oldest log with a record of it, so that a flush can say which logs this tree no longer needs. Caches, logs, the
//! manifest and file numbers are those of the database, and its trees share them. One thread flushes all trees.
//!
//! Locks: `callers`, `versions`, `state` (`locks.rs`), and the leaves of `stall` and the doorbell. Readers take none: a
//! get loads the superversion and the published number. No table is dropped under `state`: [`Tree::show`] returns the
//! replaced superversion, to be dropped after the lock is released.
//!
//! * `superversion.rs`  what a reader pins           * `lookup.rs`   point reads
//! * `flush.rs`         memtable to table             * `compact.rs`  tables to tables
//! * `wait.rs`          waiting for either            * `install.rs`  edits, on disk and for readers
//! * `upkeep.rs`        compactions for garbage only  * `stall.rs`    how fast writers are admitted
//! * `files.rs`         removing tables               * `reserve.rs`  disk space that flushes and compactions need
//! * `state.rs`         the state shared by background work and the threads that wait for it
//! * `early_seals.rs`   how many tombstones justify sealing a memtable
//! * `manifest.rs`      what other rooms ask of the manifest
//! * `features.rs`      features that are named in the manifest before something needs them

use std::time::Duration;

use self::early_seals::EarlySeals;
use self::stall::{Pressure, Stall};
pub(super) use self::superversion::{Sealed, SuperVersion};
use super::context::Context;
use super::doorbell::Doorbell;
use super::locks::{Family, Lock, Locked, Rank};
use super::logs::{Logs, TreeId};
use super::order::Order;
use super::space::Space;
use crate::cache::TableCache;
use crate::compaction::{self, PickerOptions};
use crate::error::{Error, Result};
use crate::iterator::alarm::Alarm;
use crate::key::{FileNumber, KeyspaceId, SequenceNumber};
use crate::memtable::{Memtable, SpareChunks};
use crate::sstable::{BlockCache, TableOptions};
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{Arc, ArcSwap, Condvar, Guard};
use crate::version::{FileNumbers, ObsoleteFiles, Version, VersionSet};

mod compact;
mod early_seals;
mod estimate;
mod features;
mod files;
mod flush;
mod install;
mod lookup;
mod manifest;
mod reserve;
mod stall;
mod state;
mod superversion;
mod upkeep;
mod wait;

pub use self::lookup::Remembered;
pub(super) use self::lookup::{Contains, Get};
pub(super) use self::stall::STOP_FACTOR;
pub(super) use self::state::State;

/// See the head of the file.
pub(super) struct Tree {
    context: Arc<Context>,
    order: Arc<Order>,
    space: Arc<Space>,
    logs: Arc<Logs>,
    /// By which the logs know this tree.
    id: TreeId,
    /// By which the manifest knows it.
    keyspace: KeyspaceId,
    block_cache: Arc<BlockCache>,
    tables: Arc<TableCache>,
    /// Memory that flushed memtables leave to the next ones.
    spare_chunks: Arc<SpareChunks>,
    superversion: ArcSwap<SuperVersion>,
    /// Held while an edit is made durable and shown, so that edits are shown in order.
    versions: Arc<Lock<VersionSet>>,
    file_numbers: Arc<FileNumbers>,
    state: Lock<State>,
    /// Signalled, under `state`, whenever the superversion or `state` changes.
    changed: Condvar,
    /// Whether no thread can be started here, so that callers do the background work.
    has_no_threads: AtomicBool,
    /// Held by the caller that does the background work.
    callers: Lock<()>,
    doorbell: Arc<Doorbell>,
    obsolete: Arc<ObsoleteFiles>,
    /// The alarm that cursors ring.
    met: Arc<Alarm>,
    stall: Stall,
    early_seals: EarlySeals,
    /// The features that this process has named in the manifest: [`Needs`], in bits.
    named_features: AtomicU8,
}

/// What all trees of a database share.
pub(super) struct Common {
    pub(super) context: Arc<Context>,
    pub(super) order: Arc<Order>,
    pub(super) space: Arc<Space>,
    pub(super) logs: Arc<Logs>,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) locks: Family,
    pub(super) block_cache: Arc<BlockCache>,
    pub(super) tables: Arc<TableCache>,
    pub(super) versions: Arc<Lock<VersionSet>>,
    pub(super) file_numbers: Arc<FileNumbers>,
    pub(super) obsolete: Arc<ObsoleteFiles>,
}

impl Tree {
    /// The tree of `keyspace`. It begins with `superversion`, whose memtables came from `spare_chunks`.
    pub(super) fn new(
        common: Common,
        keyspace: KeyspaceId,
        superversion: SuperVersion,
        spare_chunks: Arc<SpareChunks>,
    ) -> Tree {
        let to_ring = Arc::clone(&common.doorbell);
        Tree {
            context: common.context,
            order: common.order,
            space: common.space,
            id: common.logs.add_tree(superversion.oldest_log()),
            logs: common.logs,
            keyspace,
            block_cache: common.block_cache,
            tables: common.tables,
            spare_chunks,
            superversion: ArcSwap::from_pointee(superversion),
            versions: common.versions,
            file_numbers: common.file_numbers,
            state: common.locks.lock(Rank::State, State::default()),
            changed: Condvar::new(),
            has_no_threads: AtomicBool::new(false),
            callers: common.locks.lock(Rank::Callers, ()),
            met: Alarm::new(move || to_ring.ring()),
            doorbell: common.doorbell,
            obsolete: common.obsolete,
            stall: Stall::new(),
            early_seals: EarlySeals::default(),
            named_features: AtomicU8::new(0),
        }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    /// The current superversion, for a short time.
    #[inline]
    pub(super) fn load(&self) -> Guard<Arc<SuperVersion>> {
        self.superversion.load()
    }

    /// The current superversion, for any length of time.
    #[inline]
    pub(super) fn load_full(&self) -> Arc<SuperVersion> {
        self.superversion.load_full()
    }

    pub(super) fn tables(&self) -> &Arc<TableCache> {
        &self.tables
    }

    pub(super) fn block_cache(&self) -> &BlockCache {
        &self.block_cache
    }

    /// The alarm that cursors ring after a long run of garbage.
    pub(super) fn met(&self) -> Arc<Alarm> {
        Arc::clone(&self.met)
    }

    /// A number that no file has ever had.
    pub(super) fn new_number(&self) -> FileNumber {
        self.file_numbers.allocate()
    }

    /// An empty memtable. Fails only if there is no memory.
    pub(super) fn new_memtable(&self) -> Result<Arc<Memtable>> {
        let size = self.context.options().write_buffer_size as usize;
        Memtable::recycling(size, Arc::clone(&self.spare_chunks)).map(Arc::new)
    }

    /// Directs writes to log `number` from now on. Unless the active memtable is empty, seals it, with `last` as the
    /// number of its last write, and makes `memtable` the active one. Returns the active memtable. Called under the
    /// log's lock.
    pub(super) fn seal(
        &self,
        memtable: Arc<Memtable>,
        number: FileNumber,
        last: SequenceNumber,
    ) -> Arc<Memtable> {
        let mut state = self.state.lock();
        state.flush_requests += 1;
        let mut next = (**self.superversion.load()).clone();
        debug_assert!(next.active_log < number, "WAL-2: a log is a new file");
        debug_assert!(
            memtable.is_empty(),
            "SUPERVERSION-1: a memtable gets its first write when it is active"
        );
        debug_assert!(
            self.order.last() <= last,
            "SUPERVERSION-1: no later write is published"
        );
        if !next.active.is_empty() {
            let sealed = Sealed {
                memtable: std::mem::replace(&mut next.active, memtable),
                first_log: next.active_log,
                last_sequence: last,
            };
            next.sealed.insert(0, Arc::new(sealed));
        }
        if next.active.is_empty() && next.sealed.is_empty() {
            self.logs.note_idle(self.id, number);
        }
        next.active_log = number;
        let active = Arc::clone(&next.active);
        let replaced = self.show(&mut state, next);
        drop(state);
        drop(replaced);
        active
    }

    /// Replaces the superversion. The caller drops the returned one after it has released `state`.
    #[must_use = "drop it after releasing the lock"]
    fn show(&self, _state: &mut Locked<'_, State>, next: SuperVersion) -> Arc<SuperVersion> {
        debug_assert!(
            next.sealed.is_sorted_by(|newer, older| {
                newer.last_sequence > older.last_sequence && newer.first_log >= older.first_log
            }),
            "SUPERVERSION-1: newest first"
        );
        debug_assert!(
            next.sealed
                .first()
                .is_none_or(|newest| newest.first_log <= next.active_log),
            "FLUSH-2: the oldest log with a record of each memtable"
        );
        let shown = self.superversion.load();
        debug_assert!(
            next.active_log >= shown.active_log && next.sealed.len() <= shown.sealed.len() + 1,
            "SUPERVERSION-1: one memtable is sealed at a time, and none becomes active again"
        );
        drop(shown);
        let pressure = self.pressure(&next.version);
        let old = self.superversion.swap(Arc::new(next));
        self.stall.update(pressure);
        self.changed.notify_all();
        old
    }

    /// Microseconds that writers have waited.
    pub(super) fn stall_micros(&self) -> u64 {
        self.stall.micros()
    }

    /// How far compaction is behind in `version`.
    fn pressure(&self, version: &Version) -> Pressure {
        Pressure::of(version, self.context.options(), &self.picker_options())
    }

    /// The options that the picker needs.
    pub(super) fn picker_options(&self) -> PickerOptions {
        let options = self.context.options();
        PickerOptions {
            level0_trigger: options.level0_compaction_trigger as usize,
            level_base_size: options.level_base_size,
            level_size_multiplier: options.level_size_multiplier,
            target_file_size: options.target_file_size,
            max_plan_tables: match self.space.is_roomy() {
                true => compaction::PLAN_TABLES,
                false => compaction::MAX_PLAN_TABLES,
            },
        }
    }

    /// How new tables are built.
    pub(super) fn table_options(&self) -> TableOptions {
        let options = self.context.options();
        TableOptions {
            keyspace: self.keyspace,
            block_size: options.block_size as usize,
            block_restart_interval: options.block_restart_interval as usize,
            compression: options.compression,
            bloom_bits_per_key: options.bloom_bits_per_key as u32,
        }
    }

    /// Bytes of memory that memtables take, including the chunks kept for the next ones.
    pub(super) fn memtable_bytes(&self) -> usize {
        self.superversion.load().memtable_bytes() + self.spare_chunks.bytes()
    }

    /// The tables that compactions skip, each with the reason.
    pub(super) fn tables_set_aside(&self) -> Vec<(FileNumber, Error)> {
        self.state.lock().set_aside.clone()
    }

    /// Makes callers do the background work from now on.
    pub(super) fn do_without_threads(&self) {
        self.has_no_threads.store(true, Ordering::Relaxed);
    }

    /// Whether no thread does the background work.
    fn works_in_callers(&self) -> bool {
        self.context.options().manual_background || self.has_no_threads.load(Ordering::Relaxed)
    }

    /// Whether no thread runs that looks at what is due.
    pub(super) fn has_no_flush_thread(&self) -> bool {
        self.context.options().read_only || self.has_no_threads.load(Ordering::Relaxed)
    }

    /// Wakes the thread that flushes.
    pub(super) fn ring(&self) {
        self.doorbell.ring();
    }

    /// Called by the flush thread: waits until it is woken, at most for `limit`.
    pub(super) fn wait_for_ring(&self, limit: Option<Duration>) {
        self.doorbell.wait(limit);
    }

    /// Wakes all threads that wait for flushes or compactions, so that they see that the database is closed.
    pub(super) fn wake_all(&self) {
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Makes the background threads stop, and waits for flushes and compactions that run in callers' threads.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop_compacting = true;
        state.stop_flushing = true;
        self.changed.notify_all();
        drop(state);
        self.doorbell.ring();
        // A caller that flushes holds this lock; one that takes it later sees the stop.
        drop(self.callers.lock());
        // Manual compactions run in their callers' threads: they must end before the lock is released.
        let mut state = self.state.lock();
        while !state.running.is_empty() || state.tidying > 0 {
            state.wait(&self.changed);
        }
    }

    /// Releases memory and tables, and `last`, the memtable that took the writes. Shows `active`, an
    /// empty memtable, from now on.
    pub(super) fn let_go(&self, active: Arc<Memtable>, last: Arc<Memtable>) {
        let mut versions = self.versions.lock();
        let version = versions.let_go();
        let mut state = self.state.lock();
        let empty = SuperVersion {
            active,
            active_log: self.superversion.load().active_log,
            sealed: Vec::new(),
            version: Arc::new(Version::empty()),
        };
        let shown = self.show(&mut state, empty);
        drop(state);
        drop(versions);
        // Before the memtables go; otherwise it would keep their memory.
        self.spare_chunks.close();
        drop((last, version, shown));
    }
}

/// Access for tests, to internals that the other methods hide.
#[cfg(test)]
impl Tree {
    pub(super) fn state(&self) -> Locked<'_, State> {
        self.state.lock()
    }

    pub(super) fn changed(&self) -> &Condvar {
        &self.changed
    }

    pub(super) fn remove_later(&self, table: FileNumber) {
        self.obsolete.push(table);
    }

    pub(super) fn add_stall_micros(&self, micros: u64) {
        self.stall.add_micros(micros);
    }
}
