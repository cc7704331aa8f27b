//! Finds tables that are worth compacting although no level is too large; checks again when a snapshot is
//! released or time has passed.
//!
//! No thread polls: work that does not pay now is reconsidered when something changes, at a known time, or
//! never.
//!
//! * LOOK-2  Once the answer is "nothing to do", tables are not checked again until the version changes, a
//!           compaction ends, a snapshot named in the answer is released, a reader finds a long run of garbage,
//!           or the time named in the answer comes.
//!
//! Elsewhere: what is worth compacting (`compaction/picker/upkeep.rs`), and the memtable (`commit/watch.rs`).

use std::time::Duration;

use super::Tree;
use super::state::{Settled, State};
use crate::compaction::{self, Moment, PickerOptions, Plan};
use crate::db::locks::Locked;
use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::version::Version;

/// A wait for a point in time is never shorter than this, because clocks are not exact.
const MIN_WAIT: Duration = Duration::from_secs(1);

impl Tree {
    /// Tombstones at which a memtable is sealed before it is full.
    pub(in crate::db) fn early_tombstones(&self) -> u64 {
        self.early_seals.limit()
    }

    /// Whether a reader has met a long run of garbage since the last call.
    pub(in crate::db) fn take_met(&self) -> bool {
        self.met.take_rung()
    }

    /// Schedules another check of the tables (LOOK-2).
    pub(in crate::db) fn unsettle(&self) {
        self.state.lock().settled = None;
        self.changed.notify_all();
    }

    /// Keeps `panicked`, a panic of upkeep, for the next flush to report, because no thread waits for upkeep.
    pub(in crate::db) fn upkeep_failed(&self, panicked: Error) {
        self.state.lock().upkeep_failure = Some(panicked);
    }

    /// Fails, once, if upkeep has panicked.
    pub(in crate::db) fn report_upkeep_failure(&self) -> Result<()> {
        match self.state.lock().upkeep_failure.take() {
            Some(panicked) => Err(panicked.context(format_args!(
                "the flush succeeded, but background work failed"
            ))),
            None => Ok(()),
        }
    }

    /// A compaction that pays although no level is too large.
    pub(super) fn pick_upkeep(
        &self,
        state: &mut Locked<'_, State>,
        version: &Arc<Version>,
        options: &PickerOptions,
    ) -> Option<Plan> {
        if !version.has_reclaimable() {
            return None;
        }
        let wall_micros = self.context.env().wall_micros();
        if let Some(settled) = &state.settled
            && settled.version.as_ptr() == Arc::as_ptr(version)
            && settled.due_micros.is_none_or(|due| wall_micros < due)
        {
            return None;
        }
        let met = self.met.key();
        loop {
            // SNAPSHOT-1.
            let visible = self.order.visible();
            let moment = Moment {
                visible: &visible,
                wall_micros,
                met: met.as_deref(),
            };
            let found = compaction::pick_upkeep(version, &state.taken(), options, &moment);
            if found.plan.is_some() {
                return found.plan;
            }
            // A snapshot that was already released causes no wake-up.
            if self.order.await_release(&found.waits_for) {
                self.met.forget();
                state.settled = Some(Settled {
                    version: Arc::downgrade(version),
                    due_micros: found.due_micros,
                });
                return None;
            }
        }
    }

    /// How long compaction threads may wait until a table becomes old enough; `None`: for ever.
    pub(in crate::db) fn until_upkeep(&self, state: &State) -> Option<Duration> {
        let due = state.settled.as_ref()?.due_micros?;
        let left = Duration::from_micros(due.saturating_sub(self.context.env().wall_micros()));
        Some(left.max(MIN_WAIT))
    }
}
