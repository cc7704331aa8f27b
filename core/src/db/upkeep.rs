//! Looks after what nobody writes to any more: memtables that keep garbage alive, tables that are worth compacting though no
//! level is too large, and both again when a snapshot is released or time has passed.
//!
//! No thread polls: what is not worth while now is looked at again when something changes, at a time that is known, or never.
//!
//! * LOOK-1  The active memtable is looked at a while after its first write, as long as writes come. Once none came between
//!           two looks, only the next write starts that again: an idle database wakes nobody.
//! * LOOK-2  Of tables the answer "nothing" stands until the version changes, a compaction ends, a snapshot that it named is
//!           released, a reader meets a long run of garbage, or the time that it named has come.
//! * LOOK-3  A memtable is sealed early for its tombstones only if writers need not wait for that.
//!
//! Elsewhere: what is worth while (`compaction/picker/upkeep.rs`, [`is_worth_a_flush`]).

use std::time::Duration;

use super::shared::{Log, Shared, State};
use crate::compaction::{self, Moment, PickerOptions, Plan};
use crate::content::Sum;
use crate::key::SequenceNumber;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, Weak};
use crate::version::{LEVELS, Version};

/// From the first write into a memtable, or one look at it, to the next.
const LOOK_MICROS: u64 = 20 * 1_000_000;
/// A flush has to give back so many bytes, and this part of all there are.
const LEAST_FREED_BYTES: u64 = 64 << 10;
const LEAST_FREED_DIVISOR: u64 = 20;
/// Tombstones at which a memtable is sealed before it is full, at first; each flush that shows that they hid little of what
/// was in it raises that by the step.
const SEALED_TOMBSTONES: u64 = 1 << 15;
const SEALED_STEP: u64 = 4;
/// Of the entries of a memtable that was sealed early one in so many has to have been dropped.
const DROPPED_DIVISOR: u64 = 4;
/// Tombstones for which a memtable is sealed at once when a reader has met a long run of garbage.
const MET_TOMBSTONES: u64 = 1 << 13;
/// A wait for a time is never shorter: clocks are not exact.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// When the active memtable is looked at next (LOOK-1), and what else the looks go by.
#[derive(Default)]
pub(super) struct Watch {
    due: Mutex<Due>,
    /// See [`SEALED_TOMBSTONES`]; 0 stands for that.
    limit: AtomicU64,
}

#[derive(Default)]
struct Due {
    /// On the environment's clock.
    micros: Option<u64>,
    /// The log's last number at the last look.
    seen: SequenceNumber,
}

impl Watch {
    fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed).max(SEALED_TOMBSTONES)
    }

    /// Learns from the flush of a memtable of whose entries so many were written.
    pub(super) fn learn(&self, memtable: Sum, written: u64) {
        let entries = memtable.entries();
        if memtable.tombstones < SEALED_TOMBSTONES {
            return;
        }
        let dropped = entries.saturating_sub(written);
        let limit = match dropped.saturating_mul(DROPPED_DIVISOR) >= entries {
            true => SEALED_TOMBSTONES,
            false => self.limit().saturating_mul(SEALED_STEP),
        };
        self.limit.store(limit, Ordering::Relaxed);
    }
}

/// That no table is worth a compaction, and until when that is known (LOOK-2).
pub(super) struct Settled {
    version: Weak<Version>,
    /// Microseconds since 1970-01-01 UTC.
    due_micros: Option<u64>,
}

/// Bytes that a flush of a memtable with these entries may free, about: its log, and what its tombstones hide in tables of
/// so many bytes and entries.
fn freed_by_flush(memtable: Sum, log_bytes: u64, table_bytes: u64, table_entries: u64) -> u64 {
    let hidden = memtable.tombstones.min(table_entries);
    let in_tables = u128::from(table_bytes) * u128::from(hidden) / u128::from(table_entries.max(1));
    let dead = memtable.tombstones.min(memtable.puts) * 2 + (memtable.tombstones - hidden);
    let dead = dead.min(memtable.entries());
    let in_log = u128::from(log_bytes) * u128::from(dead) / u128::from(memtable.entries().max(1));
    u64::try_from(in_tables + in_log).unwrap_or(u64::MAX)
}

/// Whether a memtable that nobody fills is worth a flush for what that frees.
fn is_worth_a_flush(memtable: Sum, log_bytes: u64, table_bytes: u64, table_entries: u64) -> bool {
    if memtable.tombstones == 0 {
        return false;
    }
    let freed = freed_by_flush(memtable, log_bytes, table_bytes, table_entries);
    let all = table_bytes.saturating_add(log_bytes);
    freed >= LEAST_FREED_BYTES.max(all / LEAST_FREED_DIVISOR)
}

impl Shared {
    /// Has the active memtable looked at some time after now, and sealed with the next write if it has very many tombstones.
    /// Called with the first write into a memtable, and now and then (LOOK-1).
    pub(super) fn watch_memtable(&self, log: &mut Log) {
        log.seals_next =
            log.memtable.sum().tombstones >= self.watch.limit() && self.has_room_to_seal();
        let mut due = self.watch.due.lock();
        if due.micros.is_none() {
            due.micros = Some(self.env.now_micros().saturating_add(LOOK_MICROS));
            due.seen = SequenceNumber::default();
            drop(due);
            self.doorbell.ring();
        }
    }

    /// How long the flush thread may wait until it is to look at the active memtable; `None`: for ever.
    pub(super) fn until_look(&self) -> Option<Duration> {
        let due = self.watch.due.lock().micros?;
        let left = Duration::from_micros(due.saturating_sub(self.env.now_micros()));
        Some(left)
    }

    /// Does what is due: looks at the active memtable, at tables after a snapshot was released, and at both where a reader
    /// has met a long run of garbage.
    pub(super) fn look_around(&self) {
        self.step("the flush thread looks around");
        let was_released = self.snapshots.take_released();
        let was_met = self.met.take_rung();
        if was_released || was_met {
            self.state.lock().settled = None;
            self.changed.notify_all();
        }
        let due = self.watch.due.lock().micros;
        if was_met || due.is_some_and(|due| due <= self.env.now_micros()) {
            self.look_at_memtable(was_met);
        }
    }

    /// Nothing is due until a later write asks for looks again.
    pub(super) fn look_no_more(&self) {
        self.watch.due.lock().micros = None;
    }

    fn look_at_memtable(&self, was_met: bool) {
        let mut log = self.log.lock();
        if self.check_writable().is_err() || self.log_failure(&log).is_some() {
            self.look_no_more();
            // Whoever writes next asks again.
            log.reserved_up_to = 0;
            return;
        }
        let memtable = log.memtable.sum();
        let version = Arc::clone(&self.superversion.load().version);
        let bytes = (0..LEVELS).map(|level| version.level_bytes(level)).sum();
        let entries = version.all_files().map(|(_, file)| file.entries).sum();
        let is_worth = is_worth_a_flush(memtable, log.writer.len(), bytes, entries)
            || was_met && memtable.tombstones >= MET_TOMBSTONES;
        drop(version);
        if is_worth && self.has_room_to_seal() && !self.must_wait_for_space() {
            self.look_no_more();
            // An error is told to the next writer, as the log is poisoned then, or does not matter.
            let _ = self.seal(&mut log);
            return;
        }
        let mut due = self.watch.due.lock();
        if due.seen == log.last_sequence {
            due.micros = None;
            // The next write asks for looks again.
            log.reserved_up_to = 0;
        } else {
            due.seen = log.last_sequence;
            due.micros = Some(self.env.now_micros().saturating_add(LOOK_MICROS));
        }
    }

    /// A compaction that pays although no level is too large.
    pub(super) fn pick_upkeep(
        &self,
        state: &mut MutexGuard<'_, State>,
        version: &Arc<Version>,
        options: &PickerOptions,
    ) -> Option<Plan> {
        if !version.has_reclaimable() {
            return None;
        }
        let wall_micros = self.env.wall_micros();
        if let Some(settled) = &state.settled
            && settled.version.as_ptr() == Arc::as_ptr(version)
            && settled.due_micros.is_none_or(|due| wall_micros < due)
        {
            return None;
        }
        let met = self.met.key();
        loop {
            // N1.
            let visible = self.snapshots.visible(|| self.publisher.last());
            let moment = Moment {
                visible: &visible,
                wall_micros,
                met: met.as_deref(),
            };
            let found = compaction::pick_upkeep(version, &state.taken(), options, &moment);
            if found.plan.is_some() {
                return found.plan;
            }
            // One that was released meanwhile tells nobody.
            if self.snapshots.await_release(&found.waits_for) {
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
    pub(super) fn until_upkeep(&self, state: &State) -> Option<Duration> {
        let due = state.settled.as_ref()?.due_micros?;
        let left = Duration::from_micros(due.saturating_sub(self.env.wall_micros()));
        Some(left.max(SHORTEST_WAIT))
    }
}
