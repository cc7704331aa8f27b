//! Keeps a reserve for when the disk is full: which work checks it, and which waits for it.
//!
//! * RESERVE-3  Puts are accepted only while the reserve is whole. It has the space that flushing every
//!              memtable and the largest compaction may need, whatever else fills the disk. If the disk has no
//!              more room than that, no compaction takes more tables than one table needs. Compactions do not
//!              use the part for flushes, and flushes do not use the part for the log and the manifest. So
//!              deletes continue while a compaction that will not fit runs, and if the process is killed the
//!              next open has space.
//! * RESERVE-4  Unless the disk is roomy, only one compaction runs at a time. While the reserve is not whole,
//!              memtables are sealed early, so that deletes use little space before a flush frees some; sealing
//!              waits for a compaction under way. After a flush or a compaction, failed or not, free space is
//!              added to the reserve again.
//! * RESERVE-5  While the disk is roomy, the reserve is small; it grows as free space shrinks. Each step of the
//!              log, of a flush and of a compaction checks it, and so does each put beyond the zeroed part of
//!              the log: zeroing never uses the reserve. (If another program fills a roomy disk while the
//!              database is idle, only the small reserve is left, and no put uses it.)
//! * RESERVE-7  On a disk roomy enough for RESERVE-5, a database that closes keeps only the space for opening
//!              it, some deletes, a flush and a compaction of its tables, if that is less than the small
//!              reserve. So a small database stays small.
//!
//! Elsewhere: how much that is (`space/policy.rs`).

use super::Tree;
use super::state::State;
use crate::db::space::{Needs, largest_compaction};
use crate::error::Result;
use crate::sync::Arc;
use crate::version::Version;

impl Tree {
    /// Sets aside the space that memtables, tables and `coming` bytes of log need; see
    /// [`Space::hold`](crate::db::space::Space::hold).
    pub(in crate::db) fn hold_reserve(&self, coming: u64, or_less: bool) -> Result<()> {
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

    /// Bytes that the largest compaction of `version` may write on a disk that is not roomy.
    fn largest_compaction(&self, version: &Version) -> u64 {
        let tables = version.all_files().filter(|(level, _)| *level >= 2);
        let deeper = tables.map(|(_, file)| file.info.size).collect();
        let upper = version.level_bytes(0) + version.level_bytes(1);
        largest_compaction(upper, deeper, self.context.options().target_file_size)
    }

    /// Called after work that changed the need and the free space. Reserves the needed space again or, on a full
    /// disk, all free space. The next put checks whether that is enough.
    pub(in crate::db) fn adjust_reserve(&self) {
        if let Err(error) = self.hold_reserve(0, true) {
            self.context.note(format_args!("{error}"));
        }
    }

    /// Called at open, before the first write: sets the stall according to how far compaction is behind, and reserves
    /// space.
    pub(in crate::db) fn begin(&self) {
        let version = Arc::clone(&self.superversion.load().version);
        self.stall.update(self.pressure(&version));
        self.adjust_reserve();
    }

    /// Called at close: shrinks the reserve to what the closed database needs (RESERVE-7).
    pub(in crate::db) fn leave_reserve(&self) {
        let version = Arc::clone(&self.superversion.load().version);
        let sizes = version.all_files().map(|(_, file)| file.info.size);
        self.space
            .leave(sizes, self.context.options().target_file_size);
    }

    /// If space is short, waits for the compaction under way, which may free some (RESERVE-4).
    pub(in crate::db) fn wait_for_space(&self) -> Result<()> {
        let mut state = self.state.lock();
        while self.is_short_of_space(&state) {
            self.context.check_open()?;
            state.wait(&self.changed);
        }
        Ok(())
    }

    /// Whether [`Tree::wait_for_space`] would wait.
    pub(in crate::db) fn must_wait_for_space(&self) -> bool {
        !self.space.is_whole() && self.is_short_of_space(&self.state.lock())
    }

    /// Whether a compaction under way may need all the space there is (RESERVE-4).
    pub(super) fn is_short_of_space(&self, state: &State) -> bool {
        !self.space.is_whole() && !state.running.is_empty()
    }

    /// Whether another compaction may begin (RESERVE-4).
    pub(super) fn has_space_to_compact(&self, state: &State) -> bool {
        state.running.is_empty() || self.space.is_roomy()
    }
}
