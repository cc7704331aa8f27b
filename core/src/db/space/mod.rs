//! Space on the disk: how much is free, how much is reserved for when the disk is full, and which work uses the
//! reserve.
//!
//! When the disk is full, deletes, flushes, compactions, a new log, an edit of the manifest and opening use the
//! reserve (`env/reserve.rs`). Puts do not: they get `NoSpace` first (`db/tree/reserve.rs`). `policy.rs`
//! decides how much is reserved.

use std::path::Path;

use crate::env::{DirSyncs, Env, Reserve, ReservingEnv, Share};
use crate::error::Result;
use crate::filename::RESERVE;
use crate::options::Options;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

pub(super) use self::policy::{Needs, largest_compaction};
use self::policy::{Sizes, SpacePlan, left_at_close, plan};

mod policy;

/// The smallest reserve, as a part of the write buffer. It is also the number of log bytes between two checks of the
/// disk.
const STEP_DIVISOR: u64 = 64;
pub(super) const MIN_STEP: u64 = 64 << 10;
pub(super) const MAX_STEP: u64 = 1 << 20;
/// While the reserve is not whole, a memtable is sealed at this part of a unit in log bytes. The logs of three
/// memtables, and the part that flushes may not draw on, are then less than the smallest reserve.
const EARLY_SEAL_DIVISOR: u64 = 8;

/// See the head of the file.
pub(super) struct Space {
    reserve: Arc<Reserve>,
    /// Whether the disk had room for the largest compactions when the reserve was last adjusted (SPACE-2).
    is_roomy: AtomicBool,
    flush_env: Arc<dyn Env>,
    compaction_env: Arc<dyn Env>,
}

impl Space {
    /// The space of the database in `dir`, with the reserve that an earlier process left in `home`; and the
    /// environment in which all but flushes and compactions write. Both use one count of failed directory syncs.
    pub(super) fn open(
        env: &Arc<dyn Env>,
        home: &Arc<dyn Env>,
        dir: &Path,
        options: &Options,
    ) -> Result<(Space, Arc<dyn Env>)> {
        let step = (options.write_buffer_size / STEP_DIVISOR).clamp(MIN_STEP, MAX_STEP);
        let reserve = Reserve::open(Arc::clone(home), dir.join(RESERVE), step)?;
        let dir_syncs = Arc::new(DirSyncs::default());
        let reserving = |share| -> Arc<dyn Env> {
            let (env, reserve) = (Arc::clone(env), Arc::clone(&reserve));
            Arc::new(ReservingEnv::new(
                env,
                reserve,
                share,
                Arc::clone(&dir_syncs),
            ))
        };
        let space = Space {
            is_roomy: AtomicBool::new(false),
            flush_env: reserving(Share::AboveLeast),
            compaction_env: reserving(Share::AboveFloor),
            reserve: Arc::clone(&reserve),
        };
        Ok((space, reserving(Share::All)))
    }

    /// The environment of flushes. They may not draw on the part of the reserve that deletes and the next open need.
    pub(super) fn for_flushes(&self) -> &dyn Env {
        &*self.flush_env
    }

    /// The environment of compactions. They may not draw on the part that flushes need, either (SPACE-3).
    pub(super) fn for_compactions(&self) -> &dyn Env {
        &*self.compaction_env
    }

    /// Bytes set aside now.
    pub(super) fn bytes(&self) -> u64 {
        self.reserve.bytes()
    }

    /// Space is checked and reserved for this many bytes of the log at a time.
    pub(super) fn step(&self) -> u64 {
        self.reserve.piece()
    }

    /// Whether the reserve is whole.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        self.reserve.is_whole()
    }

    /// Whether the disk had room for the largest compactions (SPACE-2) at the last check.
    pub(super) fn is_roomy(&self) -> bool {
        self.is_whole() && self.is_roomy.load(Ordering::Relaxed)
    }

    /// Whether the disk has room for `bytes` without the reserve.
    #[cold]
    pub(super) fn has_free(&self, bytes: u64) -> bool {
        self.reserve.free_space() >= bytes.saturating_add(self.step())
    }

    /// Whether to seal a memtable with `log_bytes` bytes of log before it is full. This happens while the reserve is
    /// not whole, so that deletes use little space before a flush returns it.
    pub(super) fn seals_early(&self, log_bytes: u64) -> bool {
        !self.is_whole() && log_bytes >= self.reserve.unit() / EARLY_SEAL_DIVISOR
    }

    /// Sets aside what `needs` asks for; with `or_less`, on a full disk, whatever there is. `NoSpace` if that is not
    /// all of it.
    pub(super) fn hold(&self, needs: Needs, or_less: bool) -> Result<()> {
        let free = self.reserve.free_space();
        let sizes = Sizes {
            piece: self.reserve.piece(),
            unit: self.reserve.unit(),
        };
        let SpacePlan {
            target,
            floor,
            is_roomy,
        } = plan(free, needs, sizes);
        debug_assert!(floor <= target, "SPACE-3: the floor is a part of it");
        self.is_roomy.store(is_roomy, Ordering::Relaxed);
        self.reserve.set_floor(floor);
        self.reserve.hold(target, free, or_less).map_err(|error| {
            error.context(format_args!(
                "{free} bytes are free, and {target} are kept in reserve for deletes, flushes and compactions, \
                 which still work"
            ))
        })
    }

    /// On a roomy disk, shrinks the reserve to what a closed database with tables of these sizes needs.
    pub(super) fn leave(&self, tables: impl Iterator<Item = u64>, target_file_size: u64) {
        if self.is_roomy() {
            self.reserve.leave(left_at_close(tables, target_file_size));
        }
    }

    /// Closes the reserve's file.
    pub(super) fn let_go(&self) {
        self.reserve.let_go();
    }
}
