//! Watches for an active memtable that gets no more writes, since its tombstones and range deletes may keep garbage
//! alive.
//!
//! No thread polls: work that does not pay now is reconsidered when something changes, at a known time, or
//! never.
//!
//! * LOOK-1  The active memtable is checked some time after its first write, and again as long as writes come.
//!           If none came between two checks, only the next write restarts them: an idle database wakes no
//!           thread.
//! * LOOK-3  A memtable is sealed early for its tombstones only if no writer has to wait for it.
//!
//! Elsewhere: tables (`tree/upkeep.rs`, LOOK-2).

use std::time::Duration;

use super::{Commit, Log};
use crate::content::Sum;
use crate::key::SequenceNumber;
use crate::memtable::Memtable;
use crate::range_deletes::Coverage;
use crate::sync::Arc;
use crate::version::{LEVELS, Version};

/// The time from the first write into a memtable to the first check of it, and from one check to
/// the next.
const LOOK_MICROS: u64 = 20 * 1_000_000;
/// A flush for space must free at least this many bytes, and at least this share of all bytes.
const MIN_FREED_BYTES: u64 = 64 << 10;
const MIN_FREED_DIVISOR: u64 = 20;
/// If a reader has passed a long run of garbage, a memtable with this many tombstones is sealed at once.
const MET_TOMBSTONES: u64 = 1 << 13;

/// About how many bytes a flush of `memtable` may free: those of its log, and those of the entries that its
/// tombstones hide. The tables have `table_bytes` bytes and `table_entries` entries.
fn freed_by_flush(memtable: Sum, log_bytes: u64, table_bytes: u64, table_entries: u64) -> u64 {
    let hidden = memtable.tombstones.min(table_entries);
    let in_tables = u128::from(table_bytes) * u128::from(hidden) / u128::from(table_entries.max(1));
    let dead = memtable.tombstones.min(memtable.puts) * 2 + (memtable.tombstones - hidden);
    let dead = dead.min(memtable.entries());
    let in_log = u128::from(log_bytes) * u128::from(dead) / u128::from(memtable.entries().max(1));
    debug_assert!(
        in_tables <= u128::from(table_bytes) && in_log <= u128::from(log_bytes),
        "no flush frees more than there is"
    );
    u64::try_from(in_tables + in_log).unwrap_or(u64::MAX)
}

/// About how many bytes of tables may go once the range deletes of `memtable` are in a table. All entries of tables are
/// older than they are.
fn covered_bytes(memtable: &Memtable, version: &Version) -> u64 {
    let ranges = memtable.range_deletes();
    let Some(mut coverage) = Coverage::of(ranges.into_iter(), SequenceNumber::MAX) else {
        return 0;
    };
    let covered = version.all_files().map(|(_, file)| {
        let (first, last) = (file.smallest_key().user_key, file.largest_key().user_key);
        let mut has = |is_covered: bool| {
            let found = coverage.find_piece(first, last, |coverage, key| {
                (coverage.at(key).newest > SequenceNumber(0)) == is_covered
            });
            found == Some(true)
        };
        match (has(true), has(false)) {
            (false, _) => 0,
            // How much of it is not known.
            (true, true) => file.size / 2,
            (true, false) => file.size,
        }
    });
    covered.fold(0, u64::saturating_add)
}

/// Whether an idle memtable is worth a flush for the space that it frees. `covered`: about the bytes that its range
/// deletes cover.
fn is_worth_a_flush(
    memtable: Sum,
    covered: u64,
    log_bytes: u64,
    table_bytes: u64,
    table_entries: u64,
) -> bool {
    if memtable.tombstones == 0 && covered == 0 {
        return false;
    }
    let freed = freed_by_flush(memtable, log_bytes, table_bytes, table_entries);
    let freed = freed.saturating_add(covered);
    let all = table_bytes.saturating_add(log_bytes);
    freed >= MIN_FREED_BYTES.max(all / MIN_FREED_DIVISOR)
}

impl Commit {
    /// Schedules a check of the active memtable. If the memtable has very many tombstones, the next write
    /// will seal it. Called with the first write into a memtable, and from time to time (LOOK-1).
    pub(super) fn watch_memtable(&self, log: &mut Log) {
        log.seals_next = log.memtable.sum().tombstones >= self.tree.early_tombstones()
            && self.tree.has_room_to_seal();
        let mut due = self.due.lock();
        if due.micros.is_none() {
            due.micros = Some(self.context.env().now_micros().saturating_add(LOOK_MICROS));
            due.seen = SequenceNumber::default();
            drop(due);
            self.tree.ring();
        }
    }

    /// How long the flush thread may wait before it must check the active memtable; `None`: for ever.
    pub(in crate::db) fn until_look(&self) -> Option<Duration> {
        let due = self.due.lock().micros?;
        let left = Duration::from_micros(due.saturating_sub(self.context.env().now_micros()));
        Some(left)
    }

    /// Makes the checks that are due. The active memtable's comes with time, the tables' when a snapshot was
    /// released, and both when a reader has passed a long run of garbage.
    pub(in crate::db) fn look_around(&self) {
        self.context.step("the flush thread looks around");
        let was_released = self.order.take_released();
        let was_met = self.tree.take_met();
        if was_released || was_met {
            self.tree.unsettle();
        }
        let due = self.due.lock().micros;
        if was_met || due.is_some_and(|due| due <= self.context.env().now_micros()) {
            self.look_at_memtable(was_met);
        }
    }

    /// Makes no check due until a later write asks for checks again.
    pub(in crate::db) fn look_no_more(&self) {
        self.due.lock().micros = None;
    }

    fn look_at_memtable(&self, was_met: bool) {
        let mut log = self.log.lock();
        if self.context.check_writable().is_err() || self.log_failure(&log).is_some() {
            self.look_no_more();
            // The next writer asks again.
            log.reserved_up_to = 0;
            return;
        }
        let memtable = log.memtable.sum();
        let version = Arc::clone(self.tree.load().version());
        let bytes = (0..LEVELS).map(|level| version.level_bytes(level)).sum();
        let entries = version.all_files().map(|(_, file)| file.entries).sum();
        let covered = match log.memtable.has_range_deletes() {
            true => covered_bytes(&log.memtable, &version),
            false => 0,
        };
        let is_worth = is_worth_a_flush(memtable, covered, log.writer.len(), bytes, entries)
            || was_met && memtable.tombstones >= MET_TOMBSTONES;
        drop(version);
        if is_worth && self.tree.has_room_to_seal() && !self.tree.must_wait_for_space() {
            self.look_no_more();
            // If the seal has poisoned the log, the next writer gets the error; any other error does not
            // matter.
            let _ = self.seal(&mut log);
            return;
        }
        let mut due = self.due.lock();
        debug_assert!(
            due.seen <= log.last_sequence,
            "LOOK-1: a check sees what was written before it"
        );
        if due.seen == log.last_sequence {
            due.micros = None;
            // The next write asks for checks again.
            log.reserved_up_to = 0;
        } else {
            due.seen = log.last_sequence;
            due.micros = Some(self.context.env().now_micros().saturating_add(LOOK_MICROS));
        }
    }
}
