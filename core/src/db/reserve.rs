//! How much space is set aside for a full disk, and who must not draw on it.
//!
//! Deletes, flushes, compactions, a new log, an edit of the manifest and opening draw on the reserve
//! (`env/reserve.rs`) when the disk is full. Puts do not: they get `NoSpace` first.
//!
//! * V3  Puts are taken only while the reserve is whole: it holds what flushing every memtable and the largest
//!       compaction may need, beside whatever else fills the disk. Where the disk has not room for more than that, no
//!       compaction takes more tables than one table needs. Compactions leave flushes their part, and flushes the log and the
//!       manifest theirs: while one that will not fit runs, deletes go on, and the next open has space if it is killed.
//! * V4  Unless the disk is roomy one compaction runs at a time. While the reserve is not whole memtables are sealed early, so
//!       that deletes use little space before a flush returns it; they wait for a compaction under way. After a flush or a
//!       compaction, failed or not, what is free is set aside again.
//! * V5  A disk with room for it many times over holds a small one only: the rest is taken as the room shrinks.
//!       Each step of log, flush and compaction looks, and each put that goes beyond what the log has zeroed: zeros never draw on
//!       the reserve. (So if something else fills a roomy disk while the database is idle, the small reserve is all there
//!       is, and no put takes it.)
//! * V7  Where there is room for V5, a database that closes leaves what opening it, some deletes, a flush and a compaction of its tables
//!       need, if that is less than the small reserve: small databases are small.

use std::path::Path;

use super::shared::{Log, Shared, State};
use crate::batch::{WriteBatch, operations};
use crate::compaction::LARGEST_PLAN_TABLES;
use crate::env::{Env, Reserve, SMALLEST_UNIT};
use crate::error::{ErrorKind, Result};
use crate::filename::RESERVE;
use crate::key::ValueKind;
use crate::options::Options;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::version::{LEVELS, Version};

/// The small reserve of V5, also the bytes of log between two looks, as a part of the write buffer.
const STEP_DIVISOR: u64 = 64;
const SMALLEST_STEP: u64 = 64 << 10;
const LARGEST_STEP: u64 = 1 << 20;
/// What a database that closes leaves beside room for its tables (V7): the next life's log and flushes get a half of all of it.
const LEFT_BYTES: u64 = 2 * SMALLEST_UNIT;
/// What a file takes at least.
const FILE_BYTES: u64 = 4 << 10;
/// Bytes of log at which a memtable is sealed while the reserve is not whole, as a part of a unit (V4): the logs of three
/// memtables and what flushes leave alone are less than the smallest reserve.
const EARLY_SEAL_DIVISOR: u64 = 8;
/// A disk has room if so many times the reserve is free (V5).
const ROOMY_FACTOR: u64 = 4;

/// The reserve of the database in `dir`, as it was left.
pub(super) fn open(env: &Arc<dyn Env>, dir: &Path, options: &Options) -> Result<Arc<Reserve>> {
    let step = (options.write_buffer_size / STEP_DIVISOR).clamp(SMALLEST_STEP, LARGEST_STEP);
    Reserve::open(Arc::clone(env), dir.join(RESERVE), step)
}

impl Shared {
    /// Refuses `batch` if it would eat into the reserve (V3).
    #[inline]
    pub(super) fn keep_reserve(&self, log: &mut Log, batch: &WriteBatch) -> Result<()> {
        let coming = batch.encoded().len() as u64;
        let end = log.writer.len() + coming;
        let was_seen = end <= log.reserved_up_to && self.reserve.is_whole();
        if was_seen && (log.writer.has_space_for(coming) || self.is_free(coming)) {
            Ok(())
        } else {
            self.extend_reserve(log, batch, end)
        }
    }

    /// Whether the disk has room for `bytes` without the reserve.
    #[cold]
    fn is_free(&self, bytes: u64) -> bool {
        self.reserve.free_space() >= bytes.saturating_add(self.reserve.piece())
    }

    #[cold]
    fn extend_reserve(&self, log: &mut Log, batch: &WriteBatch, end: u64) -> Result<()> {
        self.watch_memtable(log);
        let step = self.reserve.piece();
        let coming = batch.encoded().len() as u64 + step;
        let held = self.hold_reserve(coming, false).or_else(|_| {
            self.delete_obsolete_tables();
            self.hold_reserve(coming, false)
        });
        match held {
            Ok(()) => {
                log.reserved_up_to = end + step;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NoSpace && deletes_only(batch)? => {
                // They would draw on the reserve like records.
                log.writer.stop_zeroing();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the reserve as large as memtables, tables and `coming` bytes more ask for; see [`Reserve::hold`].
    fn hold_reserve(&self, coming: u64, or_less: bool) -> Result<()> {
        let superversion = self.superversion.load_full();
        let sealed = superversion.sealed.iter().map(|sealed| &sealed.memtable);
        let memtables = sealed.chain([&superversion.active]);
        let unflushed: u64 = memtables.map(|memtable| memtable.memory() as u64).sum();
        let flushing = (self.reserve.piece() + unflushed).saturating_add(coming);
        let needed = flushing.saturating_add(self.largest_compaction(&superversion.version));
        let free = self.reserve.free_space();
        let is_roomy = free >= needed.saturating_mul(ROOMY_FACTOR);
        self.is_roomy.store(is_roomy, Ordering::Relaxed);
        let target = match is_roomy {
            true => self.reserve.piece(),
            false => needed,
        };
        let is_flushed = superversion.active.is_empty() && superversion.sealed.is_empty();
        let floor = match is_flushed && self.reserve.unit() < self.reserve.piece() {
            // An empty memtable takes memory too, more than a small database leaves on the disk.
            true => self.reserve.unit().saturating_add(coming),
            false => flushing,
        };
        self.reserve.set_floor(floor.min(target));
        self.reserve.hold(target, free, or_less).map_err(|error| {
            error.context(format_args!(
                "{free} bytes are free, and {target} are kept in reserve for deletes, flushes and compactions, \
                 which still work"
            ))
        })
    }

    /// Whether the disk had room for the largest compactions (V5) when it was looked at last.
    pub(super) fn is_roomy(&self) -> bool {
        self.reserve.is_whole() && self.is_roomy.load(Ordering::Relaxed)
    }

    /// Bytes that the largest compaction may write where the disk is not roomy: level 0 and level 1, and some tables of deeper levels.
    fn largest_compaction(&self, version: &Version) -> u64 {
        let deeper: u64 = (2..LEVELS).map(|level| version.level_bytes(level)).sum();
        // Tables may be larger than the target: moved from level 0, or from a life with another one.
        let tables = version.all_files().filter(|(level, _)| *level >= 2);
        let mut sizes: Vec<u64> = tables.map(|(_, file)| file.info.size).collect();
        let some = LARGEST_PLAN_TABLES as usize;
        if sizes.len() > some {
            // Asked at every step of the log: not sorted, as there may be many.
            sizes.select_nth_unstable_by(some, |a, b| b.cmp(a));
            sizes.truncate(some);
        }
        let largest = sizes.iter().sum();
        let some = self
            .options
            .target_file_size
            .saturating_mul(LARGEST_PLAN_TABLES)
            .max(largest);
        version.level_bytes(0) + version.level_bytes(1) + deeper.min(some)
    }

    /// Sets aside again what is needed or, on a full disk, what there is, after work that has changed both. The next
    /// put will see if that is too little.
    pub(super) fn adjust_reserve(&self) {
        if let Err(error) = self.hold_reserve(0, true) {
            self.note(format_args!("{error}"));
        }
    }

    /// Leaves no more set aside than this database needs (V7); it is closing.
    pub(super) fn leave_reserve(&self) {
        if !self.is_roomy() {
            return;
        }
        let version = Arc::clone(&self.superversion.load().version);
        let tables = version.all_files().map(|(_, file)| file.info.size);
        // Written anew, each rounded up, and named in the manifest.
        let rewritten = tables.map(|size| size.next_multiple_of(FILE_BYTES) + FILE_BYTES);
        self.reserve.leave(LEFT_BYTES + 2 * rewritten.sum::<u64>());
    }

    /// Waits for the compaction under way if space is short: it may return some (V4).
    pub(super) fn wait_for_space(&self) -> Result<()> {
        let mut state = self.state.lock();
        while self.is_short_of_space(&state) {
            self.check_open()?;
            self.changed.wait(&mut state);
        }
        Ok(())
    }

    /// Whether [`Shared::wait_for_space`] would wait.
    pub(super) fn must_wait_for_space(&self) -> bool {
        !self.reserve.is_whole() && self.is_short_of_space(&self.state.lock())
    }

    /// Whether a compaction under way may need all the space there is (V4).
    pub(super) fn is_short_of_space(&self, state: &State) -> bool {
        !self.reserve.is_whole() && !state.running.is_empty()
    }

    /// Whether another compaction may begin (V4).
    pub(super) fn has_space_to_compact(&self, state: &State) -> bool {
        state.running.is_empty() || self.is_roomy()
    }

    /// Whether the memtable of `log` is sealed before it is full (V4).
    pub(super) fn seals_early(&self, log: &Log) -> bool {
        !self.reserve.is_whole() && log.writer.len() >= self.reserve.unit() / EARLY_SEAL_DIVISOR
    }
}

fn deletes_only(batch: &WriteBatch) -> Result<bool> {
    for operation in operations(batch.encoded())? {
        if operation?.kind != ValueKind::Delete {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
