//! Keeping space for when the disk is full: who looks, and who waits.
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
//!
//! Elsewhere: how much that is (`space/policy.rs`).

use super::shared::{Log, Shared, State};
use super::space::{Needs, largest_compaction};
use crate::batch::{WriteBatch, operations};
use crate::error::{ErrorKind, Result};
use crate::key::ValueKind;
use crate::sync::Arc;
use crate::version::Version;

impl Shared {
    /// Refuses `batch` if it would eat into the reserve (V3).
    #[inline]
    pub(super) fn keep_reserve(&self, log: &mut Log, batch: &WriteBatch) -> Result<()> {
        let coming = batch.encoded().len() as u64;
        let end = log.writer.len() + coming;
        let was_seen = end <= log.reserved_up_to && self.space.is_whole();
        if was_seen && (log.writer.has_space_for(coming) || self.space.has_free(coming)) {
            Ok(())
        } else {
            self.extend_reserve(log, batch, end)
        }
    }

    #[cold]
    fn extend_reserve(&self, log: &mut Log, batch: &WriteBatch, end: u64) -> Result<()> {
        self.watch_memtable(log);
        let step = self.space.step();
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

    /// Sets aside what memtables, tables and `coming` bytes of log ask for; see [`Space::hold`](super::space::Space::hold).
    fn hold_reserve(&self, coming: u64, or_less: bool) -> Result<()> {
        let superversion = self.superversion.load_full();
        let sealed = superversion.sealed.iter().map(|sealed| &sealed.memtable);
        let memtables = sealed.chain([&superversion.active]);
        let needs = Needs {
            unflushed: memtables.map(|memtable| memtable.memory() as u64).sum(),
            is_flushed: superversion.active.is_empty() && superversion.sealed.is_empty(),
            coming,
            largest_compaction: self.largest_compaction(&superversion.version),
        };
        self.space.hold(needs, or_less)
    }

    /// Bytes that the largest compaction of `version` may write where the disk is not roomy.
    fn largest_compaction(&self, version: &Version) -> u64 {
        let tables = version.all_files().filter(|(level, _)| *level >= 2);
        let deeper = tables.map(|(_, file)| file.info.size).collect();
        let upper = version.level_bytes(0) + version.level_bytes(1);
        largest_compaction(upper, deeper, self.options.target_file_size)
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
        let version = Arc::clone(&self.superversion.load().version);
        let sizes = version.all_files().map(|(_, file)| file.info.size);
        self.space.leave(sizes, self.options.target_file_size);
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
        !self.space.is_whole() && self.is_short_of_space(&self.state.lock())
    }

    /// Whether a compaction under way may need all the space there is (V4).
    pub(super) fn is_short_of_space(&self, state: &State) -> bool {
        !self.space.is_whole() && !state.running.is_empty()
    }

    /// Whether another compaction may begin (V4).
    pub(super) fn has_space_to_compact(&self, state: &State) -> bool {
        state.running.is_empty() || self.space.is_roomy()
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
