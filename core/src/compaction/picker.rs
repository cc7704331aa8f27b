//! Decides what to compact next. Pure: makes a plan from a version and the running compactions; touches no
//! file.
//!
//! A level's score is its number of tables over the trigger (level 0) or its bytes over its target (deeper); the
//! highest score of at least 1 goes first. In a deeper level it chooses the table with the least overlap below,
//! relative to its own size: that moves the most data for the least rewriting, and needs no stored position. A
//! table full of tombstones counts as larger, up to three times, because moving it down frees more than it
//! holds.
//!
//! * PICKER-1  No table is in two running compactions.
//! * PICKER-2  No two running compactions write overlapping key ranges into one level, not even into a gap between
//!             tables.
//! * PICKER-3  At most one compaction of level 0 runs. With each table it takes every table of level 0 that
//!             overlaps that one, directly or through others. Otherwise an older entry could pass a newer one
//!             (VERSION-3).
//! * PICKER-4  A plan has all tables of the output level that overlap its range, so that VERSION-2 holds
//!             afterwards. Because all versions of a key in a level are in one table (VERSION-2), no boundary
//!             needs widening for a shared key.
//! * DROP-1  Tables are removed unread only if range deletes of durable tables cover all their entries, and no reader
//!           sees one of them; or if they have range deletes only, and these retire.
//! * PICKER-5  Every chosen plan is checked independently for the purpose of PICKER-3 and PICKER-4
//!             (`picker/check.rs`); a plan that fails there is never carried out.

mod check;
mod drops;
mod retiring;
mod sweeps;
mod upkeep;

use std::collections::HashSet;

use self::retiring::Retiring;
pub(crate) use self::upkeep::{Moment, pick_upkeep};
use crate::content::Sum;
use crate::key::{FileNumber, SequenceNumber};
use crate::range_deletes::RangeDeletes;
use crate::sync::Arc;
use crate::version::{FileMeta, LEVELS, Version, VersionEdit};

/// An output overlaps at most this many target sizes of the level below it, so that its own compaction stays small.
const GRANDPARENT_FACTOR: u64 = 10;
/// [`PickerOptions::max_plan_tables`] while there is disk space.
pub(crate) const PLAN_TABLES: u64 = 25;
/// The most target sizes that a plan for one table takes: the table itself, those that it may overlap, and one more
/// at either end of them.
pub(crate) const MAX_PLAN_TABLES: u64 = GRANDPARENT_FACTOR + 3;
/// How many times its bytes a table of only tombstones counts in addition.
const TOMBSTONE_WEIGHT: f64 = 2.0;
/// A table with nothing below it is rewritten instead of moved if at least one in this many of its entries is a
/// tombstone.
const REWRITTEN_TOMBSTONES: u64 = 4;

/// The most bytes of the level below the output level that one output should overlap.
pub(super) fn max_grandparent_bytes(target_file_size: u64) -> u64 {
    target_file_size.saturating_mul(GRANDPARENT_FACTOR)
}

/// The options that the picker needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PickerOptions {
    /// With this many tables level 0 is due.
    pub(crate) level0_trigger: usize,
    /// Target bytes of level 1.
    pub(crate) level_base_size: u64,
    /// How many times larger each next level's target is.
    pub(crate) level_size_multiplier: u64,
    /// About how many bytes an output table has.
    pub(crate) target_file_size: u64,
    /// A plan is not widened beyond this many target sizes, and a manual one is cut at about that size. Its tables of
    /// the output level count too.
    pub(crate) max_plan_tables: u64,
}

impl PickerOptions {
    /// The bytes above which `level` (1 or deeper) is due.
    pub(crate) fn level_target(&self, level: usize) -> u64 {
        debug_assert!(level > 0, "level 0 is due by its tables, not by its bytes");
        let deeper = level.saturating_sub(1) as u32;
        let factor = self.level_size_multiplier.saturating_pow(deeper);
        self.level_base_size.saturating_mul(factor).max(1)
    }

    fn max_plan_bytes(&self) -> u64 {
        self.target_file_size.saturating_mul(self.max_plan_tables)
    }
}

/// The tables and the range of a compaction that has not ended yet, which others must avoid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningCompaction {
    level: usize,
    output_level: usize,
    files: Vec<FileNumber>,
    smallest: Vec<u8>,
    largest: Vec<u8>,
}

impl RunningCompaction {
    /// Identifies it among the running ones: the number of its first table, because they share no table (PICKER-1).
    pub(crate) fn id(&self) -> FileNumber {
        self.files[0]
    }

    /// Whether `other` may run at the same time (PICKER-1 to PICKER-3).
    pub(crate) fn goes_beside(&self, other: &RunningCompaction) -> bool {
        debug_assert!(
            self.smallest <= self.largest && other.smallest <= other.largest,
            "PICKER-2: a range has its ends in order"
        );
        let is_apart = self.output_level != other.output_level
            || self.largest < other.smallest
            || other.largest < self.smallest;
        is_apart
            && !(self.is_of_level0() && other.is_of_level0())
            && !self.files.iter().any(|file| other.files.contains(file))
    }

    /// An entry that keeps compactions off a table that none should try again. It blocks nothing else.
    pub(crate) fn of_table_set_aside(file: FileNumber) -> RunningCompaction {
        RunningCompaction {
            level: LEVELS,
            output_level: LEVELS,
            files: vec![file],
            smallest: Vec::new(),
            largest: Vec::new(),
        }
    }

    /// Whether it represents a table that was set aside.
    fn is_set_aside(&self) -> bool {
        self.level == LEVELS
    }

    /// Whether it makes level 0 smaller.
    pub(crate) fn is_of_level0(&self) -> bool {
        self.level == 0
    }
}

/// What to compact.
#[derive(Debug)]
pub(crate) struct Plan {
    level: usize,
    output_level: usize,
    /// Tables of `level`, at least one; by key, except of level 0.
    pub(super) upper: Files,
    /// Tables of `output_level`, by key; none if it is the same level.
    pub(super) lower: Files,
    smallest: Vec<u8>,
    largest: Vec<u8>,
    is_trivial_move: bool,
    /// For each level below the output level, the tables that the range touches.
    pub(super) deeper: Vec<Files>,
    /// The same tables, found in another way once the plan is chosen, for the ledger ([`Plan::ready`]).
    pub(super) below: Option<Files>,
    /// Whether its tables are only removed, unread, because range deletes cover all their entries (`drops.rs`).
    is_drop: bool,
    /// The range deletes of the version from which the plan was made.
    pub(super) ranges: Option<Arc<RangeDeletes>>,
    /// What the inputs' range deletes need to retire, once the plan is chosen ([`Plan::ready`]).
    pub(super) retiring: Arc<Retiring>,
    /// If it must not be carried out, why (PICKER-5).
    wrong: Option<String>,
}

impl Plan {
    fn new(
        version: &Version,
        level: usize,
        output_level: usize,
        upper: Files,
        lower: Files,
    ) -> Plan {
        let (smallest, largest) = bounds(upper.iter().chain(&lower));
        let (smallest, largest) = (smallest.to_vec(), largest.to_vec());
        let below = output_level + 1..LEVELS;
        let deeper = below.map(|level| version.overlapping(level, Some(&smallest), Some(&largest)));
        Plan {
            level,
            output_level,
            deeper: deeper.collect(),
            upper,
            lower,
            smallest,
            largest,
            is_trivial_move: false,
            below: None,
            is_drop: false,
            ranges: version.range_deletes().cloned(),
            retiring: Arc::default(),
            wrong: Some("it was not checked".into()),
        }
    }

    /// The same plan with the tables that the ledger needs (LEDGER-3): every table of `version`, from which the plan
    /// was made, that is below the output level and overlaps the range of the inputs. Finds them without relying on
    /// the order of a level. Also checks whether the plan may be carried out (PICKER-5). Called only for the chosen
    /// plan, because it goes through every table.
    pub(super) fn ready(mut self, version: &Version) -> Plan {
        let (first, last) = self.ends();
        let files = version.all_files();
        let files =
            files.filter(|(level, file)| *level > self.output_level && file.overlaps(first, last));
        let below = files.map(|(_, file)| Arc::clone(file)).collect();
        self.below = Some(below);
        debug_assert!(
            self.below.as_ref().map(Vec::len) == Some(self.deeper.iter().map(Vec::len).sum()),
            "LEDGER-3: both ways find the same tables"
        );
        if self.ranges.is_some() {
            self.retiring = Arc::new(Retiring::of(&self, version));
        }
        self.wrong = self.fault(version);
        self
    }

    /// The first and the last user key of all inputs, found by looking at each input.
    fn ends(&self) -> (Option<&[u8]>, Option<&[u8]>) {
        let first = self.inputs().map(|file| file.smallest_key().user_key);
        let last = self.inputs().map(|file| file.largest_key().user_key);
        (first.min(), last.max())
    }

    /// The same plan with new handles, so that its inputs are opened again.
    pub(super) fn past_caches(&self) -> Plan {
        let anew = |files: &Files| files.iter().map(|file| file.past_caches()).collect();
        Plan {
            upper: anew(&self.upper),
            lower: anew(&self.lower),
            smallest: self.smallest.clone(),
            largest: self.largest.clone(),
            deeper: self.deeper.clone(),
            below: self.below.clone(),
            ranges: self.ranges.clone(),
            retiring: self.retiring.clone(),
            wrong: self.wrong.clone(),
            ..*self
        }
    }

    /// The level whose tables go down.
    pub(crate) fn level(&self) -> usize {
        self.level
    }

    /// The level below, or the same one if tables are rewritten in place.
    pub(crate) fn output_level(&self) -> usize {
        self.output_level
    }

    /// Every input.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &Arc<FileMeta>> {
        self.upper.iter().chain(&self.lower)
    }

    /// Bytes of the inputs.
    pub(crate) fn input_bytes(&self) -> u64 {
        bytes(&self.upper) + bytes(&self.lower)
    }

    /// Whether it is one table with nothing in its way, so that [`Plan::trivial_edit`] is enough to move it.
    pub(crate) fn is_trivial_move(&self) -> bool {
        self.is_trivial_move
    }

    /// Whether its tables are only removed, so that [`Plan::drop_edit`] is enough.
    pub(crate) fn is_drop(&self) -> bool {
        self.is_drop
    }

    /// The edit that carries out a drop, and the sum by which it changes the content of all tables.
    pub(crate) fn drop_edit(&self) -> (VersionEdit, Sum) {
        debug_assert!(self.is_drop && self.lower.is_empty(), "DROP-1");
        let content = |file: &Arc<FileMeta>| file.content().unwrap_or_else(|| file.counts());
        let dropped: Sum = self.inputs().map(content).sum();
        (self.removal(), Sum::default() - dropped)
    }

    /// The number up to which its outputs are swept, if these are the numbers of readers, ascending (SWEPT-1).
    pub(super) fn sweeps_up_to(&self, visible: &[SequenceNumber]) -> SequenceNumber {
        let known = self.ranges.as_ref().map(|ranges| ranges.newest_number());
        let oldest_reader = visible.first().copied().unwrap_or_default();
        known.unwrap_or_default().min(oldest_reader)
    }

    /// The smallest and largest user key of the inputs' bounds.
    pub(super) fn range(&self) -> (&[u8], &[u8]) {
        (&self.smallest, &self.largest)
    }

    /// The tables of the level below the output level that the range touches.
    pub(super) fn grandparents(&self) -> &[Arc<FileMeta>] {
        self.deeper.first().map_or(&[], |files| files)
    }

    /// Identifies it among the plans that run at the same time.
    pub(crate) fn id(&self) -> FileNumber {
        self.upper[0].number
    }

    /// The tables and range that other plans must avoid while this one runs.
    pub(crate) fn running(&self) -> RunningCompaction {
        debug_assert!(
            self.smallest <= self.largest && !self.upper.is_empty(),
            "PICKER-2: what runs has a table and a range"
        );
        RunningCompaction {
            level: self.level,
            output_level: self.output_level,
            files: self.inputs().map(|file| file.number).collect(),
            smallest: self.smallest.clone(),
            largest: self.largest.clone(),
        }
    }

    /// The edit that removes the inputs.
    pub(super) fn removal(&self) -> VersionEdit {
        let mut edit = VersionEdit::default();
        for file in &self.upper {
            edit.remove(self.level, file.number);
        }
        for file in &self.lower {
            edit.remove(self.output_level, file.number);
        }
        edit
    }

    /// The edit that carries out a trivial move.
    pub(crate) fn trivial_edit(&self) -> VersionEdit {
        debug_assert!(
            self.is_trivial_move && self.lower.is_empty(),
            "VERSION-2: nothing is in the way of the moved table"
        );
        let mut edit = self.removal();
        for file in &self.upper {
            edit.add(self.output_level, file.info.clone());
        }
        edit
    }

    /// The key from which a compaction of a range continues after this plan: the first user key after the upper
    /// level's inputs.
    pub(crate) fn next_start(&self) -> Vec<u8> {
        debug_assert!(
            !self.upper.is_empty(),
            "PICKER-4: a plan has a table of its level"
        );
        let mut next = bounds(self.upper.iter()).1.to_vec();
        next.push(0);
        next
    }
}

/// The result of [`plan_range`] and [`plan_rewrite`].
#[derive(Debug)]
pub(crate) enum RangePlan {
    /// There is nothing left to do.
    Done,
    /// A running compaction is in the way: call again when one has ended.
    Busy,
    /// A table that was set aside would have to take part.
    SetAside(FileNumber),
    /// Carry this out, then call again from [`Plan::next_start`].
    Ready(Plan),
}

type Files = Vec<Arc<FileMeta>>;

/// The smallest and largest user key of `files`.
fn bounds<'a>(files: impl Iterator<Item = &'a Arc<FileMeta>> + Clone) -> (&'a [u8], &'a [u8]) {
    let smallest = files.clone().map(|file| file.smallest_key().user_key).min();
    let largest = files.map(|file| file.largest_key().user_key).max();
    (smallest.unwrap_or_default(), largest.unwrap_or_default())
}

fn bytes(files: &[Arc<FileMeta>]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

/// The picker's inputs at one moment.
struct Picker<'a> {
    version: &'a Version,
    running: &'a [RunningCompaction],
    busy: HashSet<FileNumber>,
    options: &'a PickerOptions,
}

impl<'a> Picker<'a> {
    fn new(
        version: &'a Version,
        running: &'a [RunningCompaction],
        options: &'a PickerOptions,
    ) -> Picker<'a> {
        let busy = running.iter().flat_map(|other| other.files.iter().copied());
        Picker {
            version,
            running,
            busy: busy.collect(),
            options,
        }
    }

    fn is_busy(&self, file: &FileMeta) -> bool {
        self.busy.contains(&file.number)
    }

    /// Whether a plan keeps PICKER-1 to PICKER-3 with the running compactions.
    fn is_free(&self, plan: &Plan) -> bool {
        let meets = |other: &RunningCompaction| {
            (other.output_level == plan.output_level
                && other.smallest <= plan.largest
                && plan.smallest <= other.largest)
                || (other.level == 0 && plan.level == 0)
        };
        !plan.inputs().any(|file| self.is_busy(file)) && !self.running.iter().any(meets)
    }

    /// An input of `plan` that was set aside, if there is one.
    fn set_aside_input(&self, plan: &Plan) -> Option<FileNumber> {
        let set_aside = self.running.iter().filter(|other| other.is_set_aside());
        let mut numbers = set_aside.flat_map(|other| &other.files).copied();
        numbers.find(|number| plan.inputs().any(|file| file.number == *number))
    }

    /// The result of [`plan_range`] and [`plan_rewrite`] for a plan.
    fn judge(&self, plan: Plan) -> RangePlan {
        match self.set_aside_input(&plan) {
            Some(number) => RangePlan::SetAside(number),
            None if self.is_free(&plan) => RangePlan::Ready(plan.ready(self.version)),
            None => RangePlan::Busy,
        }
    }

    /// The plan that takes `upper` down one level.
    fn downward(&self, level: usize, upper: Files) -> Plan {
        debug_assert!(
            level + 1 < LEVELS && !upper.is_empty(),
            "PICKER-4: tables go down to a level that there is"
        );
        let below = level + 1;
        let (start, end) = bounds(upper.iter());
        let lower = self.version.overlapping(below, Some(start), Some(end));
        let upper = self.widen(level, upper, &lower);
        let is_alone = upper.len() == 1 && lower.is_empty();
        let mut plan = Plan::new(self.version, level, below, upper, lower);
        let limit = max_grandparent_bytes(self.options.target_file_size);
        let is_bottom = plan.deeper.iter().all(Vec::is_empty);
        let would_shrink = |file: &Arc<FileMeta>| {
            is_bottom && file.tombstones.saturating_mul(REWRITTEN_TOMBSTONES) >= file.entries
        };
        plan.is_trivial_move =
            is_alone && bytes(plan.grandparents()) <= limit && !plan.upper.iter().any(would_shrink);
        plan
    }

    /// Adds further tables of the upper level over the same lower tables, if that needs no more lower tables.
    fn widen(&self, level: usize, upper: Files, lower: &[Arc<FileMeta>]) -> Files {
        if lower.is_empty() {
            return upper;
        }
        let (start, end) = bounds(upper.iter().chain(lower));
        let wide = self.touched(level, Some(start), Some(end));
        let (start, end) = bounds(wide.iter());
        let below = self.version.overlapping(level + 1, Some(start), Some(end));
        debug_assert!(
            wide.len() >= upper.len(),
            "PICKER-4: widening leaves no table out"
        );
        let is_better = wide.len() > upper.len()
            && below.len() == lower.len()
            && bytes(&wide) + bytes(lower) <= self.options.max_plan_bytes()
            && !wide.iter().any(|file| self.is_busy(file));
        if is_better { wide } else { upper }
    }

    /// The tables of `level` that reach into the range; for level 0 also those that PICKER-3 demands.
    fn touched(&self, level: usize, start: Option<&[u8]>, end: Option<&[u8]>) -> Files {
        debug_assert!(
            start.zip(end).is_none_or(|(start, end)| start <= end),
            "PICKER-4: a range has its ends in order"
        );
        if level > 0 {
            return self.version.overlapping(level, start, end);
        }
        let mut groups = level0_groups(self.version);
        groups.retain(|group| group.iter().any(|file| file.overlaps(start, end)));
        groups.concat()
    }

    fn pick_level0(&self) -> Option<Plan> {
        if self.running.iter().any(|other| other.level == 0) {
            return None;
        }
        let groups = level0_groups(self.version).into_iter();
        let mut plans = groups.map(|group| self.downward(0, group));
        plans.find(|plan| self.is_free(plan))
    }

    fn pick_deeper(&self, level: usize) -> Option<Plan> {
        debug_assert!(
            level > 0 && level + 1 < LEVELS,
            "PICKER-4: tables go down to a level that there is"
        );
        let files = self.version.files(level).iter();
        let free = files.filter(|file| !self.is_busy(file));
        let mut candidates: Vec<(f64, &Arc<FileMeta>)> =
            free.map(|file| (self.cost(level, file), file)).collect();
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        let candidates = candidates.into_iter();
        let mut plans = candidates.map(|(_, file)| self.downward(level, vec![file.clone()]));
        plans.find(|plan| self.is_free(plan))
    }

    /// Bytes to rewrite for each byte that goes down with `file`.
    fn cost(&self, level: usize, file: &FileMeta) -> f64 {
        let (start, end) = (file.smallest_key().user_key, file.largest_key().user_key);
        let below = bytes(&self.version.overlapping(level + 1, Some(start), Some(end)));
        let deletes = file.tombstones + file.range_deletes.len() as u64;
        let dead = deletes as f64 / file.entries.max(1) as f64;
        below as f64 / (file.size.max(1) as f64 * (1.0 + TOMBSTONE_WEIGHT * dead))
    }

    /// How urgent each level is, not counting tables that are already leaving it.
    fn scores(&self) -> [f64; LEVELS] {
        std::array::from_fn(|level| match level {
            0 => self.version.files(0).len() as f64 / self.options.level0_trigger.max(1) as f64,
            // There is no level below the last one.
            _ if level == LEVELS - 1 => 0.0,
            _ => {
                let leaving = self.running.iter().filter(|other| other.level == level);
                let leaving: HashSet<_> = leaving.flat_map(|other| &other.files).collect();
                let files = self.version.files(level).iter();
                let staying = files.filter(|file| !leaving.contains(&file.number));
                let bytes: u64 = staying.map(|file| file.size).sum();
                bytes as f64 / self.options.level_target(level) as f64
            }
        })
    }
}

/// The tables of level 0 in groups that do not overlap each other, the one with the oldest table first (PICKER-3).
fn level0_groups(version: &Version) -> Vec<Files> {
    let newest_first = version.files(0);
    let mut by_key: Vec<usize> = (0..newest_first.len()).collect();
    by_key.sort_by_key(|&index| newest_first[index].smallest_key().user_key);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut reach: &[u8] = &[];
    for index in by_key {
        let file = &newest_first[index];
        let largest = file.largest_key().user_key;
        match groups.last_mut() {
            Some(group) if file.smallest_key().user_key <= reach => {
                group.push(index);
                reach = reach.max(largest);
            }
            _ => {
                groups.push(vec![index]);
                reach = largest;
            }
        }
    }
    for group in &mut groups {
        group.sort();
    }
    // The oldest table has the largest index.
    groups.sort_by_key(|group| std::cmp::Reverse(group.last().copied()));
    debug_assert!(
        groups.iter().map(Vec::len).sum::<usize>() == newest_first.len(),
        "PICKER-3: every table is in one group"
    );
    debug_assert!(
        groups
            .iter()
            .all(|group| group.is_sorted_by(|newer, older| newer < older)),
        "VERSION-1: newest first"
    );
    let files = |group: Vec<usize>| -> Files {
        let files = group.into_iter().map(|index| newest_first[index].clone());
        files.collect()
    };
    groups.into_iter().map(files).collect()
}

/// How urgent each level's compaction is; 1 and more is due.
pub(crate) fn scores(version: &Version, options: &PickerOptions) -> [f64; LEVELS] {
    Picker::new(version, &[], options).scores()
}

/// About how many bytes must be moved until no level is due. Writers are slowed according to this.
pub(crate) fn debt_bytes(version: &Version, options: &PickerOptions) -> u64 {
    let is_due = version.files(0).len() >= options.level0_trigger.max(1);
    let mut arriving = if is_due { version.level_bytes(0) } else { 0 };
    let mut debt = arriving;
    for level in 1..LEVELS - 1 {
        let bytes = version.level_bytes(level).saturating_add(arriving);
        arriving = bytes.saturating_sub(options.level_target(level));
        debt = debt.saturating_add(arriving);
    }
    debt
}

/// The most urgent compaction that can start beside those `running`; `None` if none is due, or all that are due have
/// to wait for a running one.
pub(crate) fn pick(
    version: &Version,
    running: &[RunningCompaction],
    options: &PickerOptions,
) -> Option<Plan> {
    let picker = Picker::new(version, running, options);
    let mut due: Vec<(f64, usize)> = picker.scores().into_iter().zip(0..).collect();
    due.retain(|(score, _)| *score >= 1.0);
    due.sort_by(|a, b| b.0.total_cmp(&a.0));
    let plan = due.into_iter().find_map(|(_, level)| match level {
        0 => picker.pick_level0(),
        _ => picker.pick_deeper(level),
    });
    plan.map(|plan| plan.ready(version))
}

/// If every way to make level 0 smaller needs a table that was set aside, that table; `None` if some way is open, or
/// will be when a running compaction has ended.
pub(crate) fn level0_waits_for(
    version: &Version,
    running: &[RunningCompaction],
    options: &PickerOptions,
) -> Option<FileNumber> {
    let picker = Picker::new(version, running, options);
    if running.iter().any(RunningCompaction::is_of_level0) {
        return None;
    }
    let mut waits_for = None;
    for group in level0_groups(version) {
        waits_for = Some(picker.set_aside_input(&picker.downward(0, group))?);
    }
    waits_for
}

/// The next step of compacting the user keys `[start, end]` of `level` into the next level.
///
/// A manual compaction calls this for each level above the deepest one that holds the range, from
/// [`Plan::next_start`] on, until `Done`. Then it calls [`plan_rewrite`] for the deepest one.
pub(crate) fn plan_range(
    version: &Version,
    level: usize,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
    running: &[RunningCompaction],
    options: &PickerOptions,
) -> RangePlan {
    if level + 1 >= LEVELS || start.zip(end).is_some_and(|(start, end)| start > end) {
        return RangePlan::Done;
    }
    let picker = Picker::new(version, running, options);
    let mut upper = picker.touched(level, start, end);
    if level > 0 {
        upper = cut(upper, options, |start, end| {
            bytes(&version.overlapping(level + 1, Some(start), Some(end)))
        });
    }
    if upper.is_empty() {
        return RangePlan::Done;
    }
    picker.judge(picker.downward(level, upper))
}

/// The next step of rewriting in place the tables of `level` (1 or deeper) with user keys in `[start, end]`, so that
/// tombstones and old versions are dropped. Tables numbered `before` or later are new enough and stay as they are.
pub(crate) fn plan_rewrite(
    version: &Version,
    level: usize,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
    before: FileNumber,
    running: &[RunningCompaction],
    options: &PickerOptions,
) -> RangePlan {
    debug_assert!(level > 0, "level 0 goes down, it is not rewritten");
    if level == 0 || start.zip(end).is_some_and(|(start, end)| start > end) {
        return RangePlan::Done;
    }
    let files = version.overlapping(level, start, end).into_iter();
    let old = files.skip_while(|file| file.number >= before);
    // Only neighbours, so that the plan's range holds no other table of the level (PICKER-4).
    let files = cut(
        old.take_while(|file| file.number < before).collect(),
        options,
        |_, _| 0,
    );
    if files.is_empty() {
        return RangePlan::Done;
    }
    let plan = Plan::new(version, level, level, files, Vec::new());
    Picker::new(version, running, options).judge(plan)
}

/// The first of `files`, as many as one plan may take, and at least one. `below`: the bytes that a plan for these
/// user keys takes from the output level.
fn cut(mut files: Files, options: &PickerOptions, below: impl Fn(&[u8], &[u8]) -> u64) -> Files {
    debug_assert!(
        files.is_sorted_by(|one, next| one.largest_key().user_key < next.smallest_key().user_key),
        "VERSION-2: disjoint, and in order"
    );
    let mut total = 0u64;
    let fits = files.iter().enumerate().take_while(|(index, file)| {
        total = total.saturating_add(file.size);
        // They are in the order of their keys.
        let (start, end) = (files[0].smallest_key(), file.largest_key());
        let most = options.max_plan_bytes();
        *index == 0 || total.saturating_add(below(start.user_key, end.user_key)) <= most
    });
    let count = fits.count();
    files.truncate(count);
    files
}

#[cfg(test)]
mod tests;
