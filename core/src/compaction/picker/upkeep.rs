//! Compactions that pay although no level is too large: they free entries hidden by tombstones, tombstones that
//! hide nothing, older versions that were kept for a snapshot, and what range deletes cover. Pure, like the
//! picker: clock and snapshots are inputs.
//!
//! A plan pays if it is estimated to free a large enough share of its input. The share is a quarter for fresh
//! garbage and falls with age, so that little garbage is collected too, but seldom. It is an eighth of that
//! after a reader has passed a long run of garbage. So the bytes written per byte freed are bounded while there
//! is much to free.
//!
//! * UPKEEP-1  Picking ends: a table is rewritten in place only for entries that will certainly be dropped, and
//!             those that stay no longer count; a table can move down at most once per level.
//! * UPKEEP-2  Entries that a snapshot keeps are not counted. If only that prevents a plan, the picker returns
//!             the snapshot's number, so that its release leads to another check. It also returns the time at
//!             which garbage will be old enough, even if a snapshot keeps it until then.
//!
//! Elsewhere: when to check (`db/tree/upkeep.rs`).

use super::drops::pick_drop;
use super::sweeps::{Sweeps, Swept};
use super::{Files, Picker, PickerOptions, Plan, RunningCompaction, bytes, level0_groups};
use crate::key::SequenceNumber;
use crate::sync::Arc;
use crate::version::{FileMeta, LEVELS, Version};

/// The share of its input that a plan has to free if the garbage is fresh.
const FRESH_SHARE: f64 = 0.25;
/// Garbage of this age has to be half as much, garbage of twice this age a third, and so on.
const AGE_STEP_MICROS: u64 = 6 * 3600 * 1_000_000;
/// A smaller amount is not worth waiting for.
const MIN_SHARE: f64 = 1.0 / 1024.0;
/// After a reader has passed a long run of garbage, this many times less is enough.
const HURRY: f64 = 8.0;

/// The inputs of upkeep besides the tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'a> {
    /// Sequence numbers of readers, ascending; the last is the newest published one.
    pub(crate) visible: &'a [SequenceNumber],
    /// Microseconds since 1970-01-01 UTC.
    pub(crate) wall_micros: u64,
    /// A user key in a long run of garbage that a reader has passed.
    pub(crate) met: Option<&'a [u8]>,
}

/// The result of [`pick_upkeep`].
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// The plan that pays most.
    pub(crate) plan: Option<Plan>,
    /// Snapshots whose release is a reason to check again.
    pub(crate) waits_for: Vec<SequenceNumber>,
    /// The time, in microseconds since 1970-01-01 UTC, from which another check is worthwhile.
    pub(crate) due_micros: Option<u64>,
}

/// A possible plan, and its estimated results in bytes.
struct Candidate {
    level: usize,
    files: Files,
    is_in_place: bool,
    freed: f64,
    /// The same if there were no snapshot.
    freed_at_last: f64,
    cost: f64,
    /// The newest snapshot that keeps something.
    keeper: Option<SequenceNumber>,
    /// The snapshot that keeps what the plan would sweep.
    sweep_keeper: Option<SequenceNumber>,
}

/// The compaction that pays most and can start beside those `running`. If there is none, what to wait for (UPKEEP-2).
pub(crate) fn pick_upkeep(
    version: &Version,
    running: &[RunningCompaction],
    options: &PickerOptions,
    moment: &Moment<'_>,
) -> Upkeep {
    debug_assert!(
        moment.visible.is_sorted(),
        "SNAPSHOT-1: visible numbers ascend"
    );
    let mut answer = Upkeep::default();
    if !version.has_reclaimable() {
        return answer;
    }
    let picker = Picker::new(version, running, options);
    if let Some(plan) = pick_drop(&picker, moment.visible) {
        answer.plan = Some(plan.ready(version));
        return answer;
    }
    let mut due = Vec::new();
    for candidate in candidates(&picker, moment) {
        let required = required_share(&candidate, moment);
        let share = candidate.freed / candidate.cost;
        debug_assert!(
            required > 0.0 && candidate.cost > 0.0,
            "UPKEEP-1: a due compaction frees something"
        );
        // The required amount is never zero, so a due compaction always frees something.
        if share >= required {
            due.push((share, candidate));
            continue;
        }
        let at_last = candidate.freed_at_last / candidate.cost;
        // Garbage that is too young and also kept by a snapshot waits only for its age. The check at that time
        // names the snapshot, if it still exists.
        let keepers = [candidate.keeper, candidate.sweep_keeper];
        let mut keepers = keepers.into_iter().flatten().peekable();
        let awaited = match keepers.peek().is_some() && at_last >= required {
            true => {
                answer.waits_for.extend(keepers);
                share
            }
            false => at_last,
        };
        if awaited >= MIN_SHARE {
            let steps = FRESH_SHARE / awaited - 1.0;
            // One second later, so that it is certainly due, however numbers were rounded.
            let wait = (steps * AGE_STEP_MICROS as f64) as u64 + 1_000_000;
            // Nothing becomes due if the time is not known.
            let at = created_micros(&candidate.files).map(|made| made.saturating_add(wait));
            answer.due_micros = answer.due_micros.into_iter().chain(at).min();
        }
    }
    due.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut plans = due.into_iter().map(|(_, candidate)| {
        let Candidate { level, files, .. } = candidate;
        match candidate.is_in_place {
            true => Plan::new(version, level, level, files, Vec::new()),
            false => picker.downward(level, files),
        }
    });
    let plan = plans.find(|plan| picker.is_free(plan));
    answer.plan = plan.map(|plan| plan.ready(version));
    answer
}

/// The possible plan for each table, or group of tables of level 0, that has something to free.
fn candidates(picker: &Picker<'_>, moment: &Moment<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut sweeps = Sweeps::new(picker.version, moment.visible);
    for group in level0_groups(picker.version) {
        let (start, end) = super::bounds(group.iter());
        let lower = picker.version.overlapping(1, Some(start), Some(end));
        let swept = sweeps.of(&group, &lower);
        if swept.at_last || group.iter().any(|file| file.has_reclaimable()) {
            let (next, is_bottom) = below(picker.version, 0, &group);
            let candidate = Candidate::new(0, group, &next, is_bottom, false, moment);
            found.push(candidate.sweeping(swept, moment));
        }
    }
    for level in 1..LEVELS {
        let files = picker.version.files(level).iter();
        for file in files.filter(|file| !picker.is_busy(file)) {
            let files = vec![Arc::clone(file)];
            let swept = sweeps.of(&files, &Vec::new());
            if !swept.at_last && !file.has_reclaimable() {
                continue;
            }
            let (next, is_bottom) = below(picker.version, level, &files);
            let candidate = Candidate::new(level, files.clone(), &[], is_bottom, true, moment);
            found.push(candidate.sweeping(swept, moment));
            if !is_bottom && file.tombstones > 0 {
                found.push(Candidate::new(level, files, &next, false, false, moment));
            }
        }
    }
    found
}

/// The tables below `files` of `level` in the first level that has any; and whether tombstones that go down one level
/// have no table below them there.
fn below(version: &Version, level: usize, files: &[Arc<FileMeta>]) -> (Files, bool) {
    let (start, end) = super::bounds(files.iter());
    let mut deeper =
        (level + 1..LEVELS).map(|level| version.overlapping(level, Some(start), Some(end)));
    if level == 0 {
        let next = deeper.next().unwrap_or_default();
        let rest = deeper.find(|files| !files.is_empty());
        let is_bottom = rest.is_none();
        return match next.is_empty() {
            true => (rest.unwrap_or_default(), is_bottom),
            false => (next, is_bottom),
        };
    }
    let next = deeper.find(|files| !files.is_empty());
    let is_bottom = next.is_none();
    (next.unwrap_or_default(), is_bottom)
}

/// Bytes of `count` of a table's entries, as if all had the same size.
fn bytes_of(file: &FileMeta, count: u64) -> f64 {
    debug_assert!(
        count <= file.entries,
        "EDIT-2: a part of the table's entries"
    );
    file.size as f64 * count as f64 / file.entries.max(1) as f64
}

fn puts(file: &FileMeta) -> u64 {
    file.counts().puts
}

/// When the oldest garbage of `files` was last written.
fn created_micros(files: &[Arc<FileMeta>]) -> Option<u64> {
    let known = files.iter().filter_map(|file| file.reclaimable);
    let made = known.map(|found| found.created_micros);
    made.filter(|micros| *micros > 0).min()
}

/// The share of its input that `candidate` has to free.
fn required_share(candidate: &Candidate, moment: &Moment<'_>) -> f64 {
    let made = created_micros(&candidate.files).unwrap_or(moment.wall_micros);
    let age = moment.wall_micros.saturating_sub(made) as f64;
    let required = FRESH_SHARE / (1.0 + age / AGE_STEP_MICROS as f64);
    let is_met = |file: &Arc<FileMeta>| file.overlaps(moment.met, moment.met);
    match moment.met.is_some() && candidate.files.iter().any(is_met) {
        true => required / HURRY,
        false => required,
    }
}

impl Candidate {
    /// Estimates the result of moving `upper` down onto `next`, or of rewriting it in place. `is_bottom`: there
    /// is no data below the outputs.
    fn new(
        level: usize,
        upper: Files,
        next: &[Arc<FileMeta>],
        is_bottom: bool,
        is_in_place: bool,
        moment: &Moment<'_>,
    ) -> Candidate {
        debug_assert!(!upper.is_empty(), "UPKEEP-1: a candidate has a table");
        let tombstones: u64 = upper.iter().map(|file| file.tombstones).sum();
        let older: u64 = upper.iter().map(|file| file.older_versions()).sum();
        let tombstone_bytes: f64 = upper.iter().map(|f| bytes_of(f, f.tombstones)).sum();
        let older_bytes: f64 = upper.iter().map(|f| bytes_of(f, f.older_versions())).sum();
        let largest = upper.iter().map(|file| file.largest_sequence).max();
        let largest = largest.unwrap_or_default();
        let pinned = &moment.visible[..moment.visible.len().saturating_sub(1)];
        let newest_pin = pinned[..pinned.partition_point(|pin| *pin < largest)].last();
        // A tombstone hides at most one put, in an older table: one in a deeper level, or a later one of level 0.
        // Newest first.
        let (mut hiding, mut hidden, mut hidden_bytes, mut free_bytes) = (0u64, 0u64, 0.0, 0.0);
        for (index, file) in upper.iter().chain(next).enumerate() {
            let count = hiding.min(puts(file));
            let bytes = bytes_of(file, count);
            hidden += count;
            hidden_bytes += bytes;
            free_bytes += bytes * unseen_share(file, newest_pin.copied());
            hiding -= count;
            // Tombstones of the lower tables hide nothing in the tables beside them.
            if index < upper.len() {
                hiding += file.tombstones;
            }
        }
        let smallest = upper.iter().map(|file| file.smallest_sequence).min();
        let keeper = newest_pin.filter(|pin| Some(**pin) >= smallest || free_bytes < hidden_bytes);
        let is_kept = keeper.is_some();
        // A tombstone with nothing below it is dropped unless an older version of its key has to stay.
        let staying = tombstones.min(older.saturating_add(hidden)) as f64;
        let bottom_bytes = if is_bottom { tombstone_bytes } else { 0.0 };
        let going = match is_kept {
            true => 1.0 - staying / tombstones.max(1) as f64,
            false => 1.0,
        };
        debug_assert!(
            free_bytes <= hidden_bytes && (0.0..=1.0).contains(&going),
            "UPKEEP-2: snapshots only add to what stays"
        );
        let older_now = if is_kept { 0.0 } else { older_bytes };
        Candidate {
            level,
            is_in_place,
            freed: free_bytes + bottom_bytes * going + older_now,
            freed_at_last: hidden_bytes + bottom_bytes + older_bytes,
            cost: (bytes(&upper) + bytes(next)).max(1) as f64,
            keeper: keeper.copied(),
            sweep_keeper: None,
            files: upper,
        }
    }

    /// The same if it also sweeps. That always pays: as long as a table may have covered entries, range deletes do not
    /// retire, and each read has to look at them.
    fn sweeping(mut self, swept: Swept, moment: &Moment<'_>) -> Candidate {
        let pays = self.cost * FRESH_SHARE;
        if swept.now {
            self.freed = self.freed.max(pays);
        } else if swept.at_last {
            self.sweep_keeper = moment.visible.first().copied();
        }
        if swept.at_last {
            self.freed_at_last = self.freed_at_last.max(pays);
        }
        self
    }
}

/// The share of a table's entries that no snapshot up to `pin` sees, if their numbers are spread evenly.
fn unseen_share(file: &FileMeta, pin: Option<SequenceNumber>) -> f64 {
    let (first, last) = (file.smallest_sequence.0, file.largest_sequence.0);
    debug_assert!(first <= last, "EDIT-2: a table's numbers are in order");
    match pin {
        Some(pin) if pin.0 >= first => {
            last.saturating_sub(pin.0) as f64 / (last - first + 1).max(1) as f64
        }
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests;
