//! Carries out a plan: merges its tables, writes new ones, and returns the version edit that installs them.
//!
//! * JOB-1  Outputs and their directory entries are synced before the edit is returned.
//! * JOB-2  On an error or a stop every output is removed; the inputs are never touched.
//! * JOB-3  All versions of a user key are in one output (VERSION-2).
//! * JOB-4  The entries read match the manifest's facts about the inputs, including bounds and numbers, and the
//!          entries written are those read minus those dropped (LEDGER-1). If a job does not add up, or finds
//!          damage, it is tried once more, bypassing all caches. If it fails again, each input is read by
//!          itself to find the one that does not match the manifest.
//! * JOB-5  A reader that opens an output finds the facts that the edit states (OUTPUT-1); otherwise as for
//!          JOB-4.
//!
//! Elsewhere: the tables being written (`job/output_tables.rs`), which entries stay (`retention.rs`), making the edit
//! durable and deleting the inputs (`db`).

mod grandparents;
mod level_cursor;
mod looks;
mod output_tables;
mod ranges;

use std::ops::ControlFlow;
use std::path::Path;

use self::level_cursor::LevelCursor;
use self::looks::Looks;
use self::output_tables::OutputTables;
use self::ranges::Ranges;
use super::ledger::{Ledger, Reason};
use super::outputs::{check_added, is_as_said, is_of_a_table};
use super::picker::Plan;
use super::readers::Readers;
use super::retention::{Fate, Retention};
use crate::cache::TableCache;
use crate::content::Sum;
use crate::env::{Env, Names};
use crate::error::{Error, Result};
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::iterator::merging::MergingIterator;
use crate::key::{FileNumber, KeyRef, SequenceNumber, ValueKind};
use crate::range_delete::RangeDelete;
use crate::sstable::{Checked, Table, TableOptions, TableSummary};
use crate::sync::Arc;
use crate::version::{FileMeta, LevelIterator, TableInfo, VersionEdit, shorten};

/// Bytes read ahead in each input.
const READAHEAD_BYTES: usize = 256 << 10;
/// The inputs and services of a job.
pub(crate) struct JobContext<'a> {
    pub(crate) env: &'a dyn Env,
    pub(crate) dir: &'a Path,
    pub(crate) tables: &'a Arc<TableCache>,
    pub(crate) table_options: TableOptions,
    /// Numbers at which readers must see the same before and after, ascending. The last is the newest published one.
    pub(crate) visible: Vec<SequenceNumber>,
    /// The same, determined in another way, and later than `visible` (LEDGER-3).
    pub(crate) readers: &'a dyn Fn() -> Readers,
    /// Bytes of an output before the next one is begun.
    pub(crate) target_file_size: u64,
    pub(crate) new_file_number: &'a dyn Fn() -> FileNumber,
    /// Called often; if it returns true the job ends with `Closed`.
    pub(crate) should_stop: &'a dyn Fn() -> bool,
    /// Called with the error of a first try (JOB-4).
    pub(crate) note: &'a dyn Fn(&Error),
}

/// The result of a job.
#[derive(Debug)]
pub(crate) struct Output {
    /// The sum of the written entries minus that of the read ones. The edit changes the content of all tables by
    /// this.
    pub(crate) gained: Sum,
    /// Removes the inputs, adds the outputs.
    pub(crate) edit: VersionEdit,
    /// Bytes of the inputs.
    pub(crate) bytes_read: u64,
    /// Bytes of the outputs.
    pub(crate) bytes_written: u64,
    pub(crate) entries_read: u64,
    pub(crate) entries_written: u64,
}

/// Why a job failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The inputs that no job should try again: the one at fault, or all if it is unknown which one that is.
    pub(crate) set_aside: Vec<FileNumber>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure {
            error,
            set_aside: Vec::new(),
        }
    }
}

/// Carries out `plan` and returns the edit to apply. Nothing refers to the outputs before the edit is applied (JOB-1,
/// JOB-2, JOB-4).
///
/// Errors: `Closed` if `should_stop` returned true, `Corruption` if an input is damaged or does not match the
/// manifest, `Internal` if entries do not add up for another reason, `Io` or `NoSpace`.
pub(crate) fn run(plan: &Plan, context: &JobContext<'_>) -> std::result::Result<Output, Failure> {
    let is_fault = |error: &Error| error.is_unaccounted() || is_of_a_table(error);
    match attempt(plan, context, context.tables) {
        Err(error) if is_fault(&error) => (context.note)(&error),
        outcome => return Ok(outcome?),
    }
    let tables = context.tables.past();
    match attempt(&plan.past_caches(), context, &tables) {
        Err(error) if is_fault(&error) => Err(blame(plan, context, error)),
        outcome => Ok(outcome?),
    }
}

/// Reads every input by itself and blames the one that does not match the manifest. If all match, `error` is a bug in
/// AiDb.
fn blame(plan: &Plan, context: &JobContext<'_>, error: Error) -> Failure {
    let tables = context.tables.past();
    for file in plan.past_caches().inputs() {
        let outcome = tables.open(&file.handle).and_then(|table| contents(&table));
        let found = outcome.map(|found| TableInfo::new(file.number, file.file_id, found));
        let fault = match found {
            Ok(found) if file.agrees_with(&found) => continue,
            Ok(_) => {
                let path = table_path(context.dir, file.number);
                Error::corruption(
                    &path,
                    0,
                    "its entries are not those that the manifest states",
                )
            }
            Err(error) => error,
        };
        let set_aside = is_of_a_table(&fault).then_some(file.number);
        return Failure {
            set_aside: set_aside.into_iter().collect(),
            error: fault,
        };
    }
    Failure {
        // An input that was damaged but no longer is may be tried again.
        set_aside: match error.is_unaccounted() {
            true => plan.inputs().map(|file| file.number).collect(),
            false => Vec::new(),
        },
        error,
    }
}

/// Compares the manifest's facts about an input with the table's first and last key and with its properties.
fn check_ends(file: &FileMeta, table: &Arc<Table>, context: &JobContext<'_>) -> Result<()> {
    if is_as_said(file, table)? {
        return Ok(());
    }
    let path = table_path(context.dir, file.number);
    let what = "its bounds or counts are not what the manifest says";
    Err(Error::corruption(&path, 0, what))
}

/// The entries of a table, read block by block, bypassing the caches.
fn contents(table: &Table) -> Result<TableSummary> {
    let mut damage = None;
    let summary = table.check(&mut |checked| match checked {
        Checked::Block { .. } => ControlFlow::Continue(()),
        Checked::Damage { error, .. } => {
            damage = Some(error);
            ControlFlow::Break(())
        }
    })?;
    match (damage, summary) {
        (None, Some(summary)) => Ok(summary),
        (damage, _) => Err(damage.unwrap_or_else(|| Error::internal("a check ended early"))),
    }
}

/// One try at `plan`, reading its inputs through `tables`.
fn attempt(plan: &Plan, context: &JobContext<'_>, tables: &Arc<TableCache>) -> Result<Output> {
    let names = Names::made_from_now(context.env);
    let mut outputs = OutputTables::new(context, plan.grandparents());
    let merged = merge(plan, context, tables, &mut outputs).and_then(|(read, written)| {
        if !outputs.finished().is_empty() {
            // The edit will refer to these files, so their names must be durable.
            names.sync(context.env, context.dir)?;
        }
        let mut finished = outputs.take_finished();
        shorten(
            &mut finished.iter_mut().collect::<Vec<_>>(),
            Some(plan.range()),
        );
        let output = Output {
            gained: written - read,
            bytes_read: plan.input_bytes(),
            bytes_written: finished.iter().map(|table| table.size).sum(),
            entries_read: read.entries(),
            entries_written: written.entries(),
            edit: VersionEdit::default(),
        };
        let mut edit = plan.removal();
        for mut table in finished {
            table.swept = plan.sweeps_up_to(&context.visible);
            edit.add(plan.output_level(), table);
        }
        debug_assert!(
            edit.added.windows(2).all(|pair| {
                pair[0].1.largest_key().user_key < pair[1].1.smallest_key().user_key
            }),
            "JOB-3: the outputs share no key"
        );
        // Last, so that nothing changes after the check.
        check_added(
            &edit,
            context.table_options.keyspace,
            context.env,
            context.dir,
        )?;
        Ok(Output { edit, ..output })
    });
    if merged.is_err() {
        outputs.remove_all();
    }
    merged
}

/// The facts about the inputs, from the manifest. It has none about a table of format version 1; those come from the
/// table itself.
fn expected(plan: &Plan, tables: &Arc<TableCache>) -> Result<Sum> {
    let sums = plan.inputs().map(|file| match file.content() {
        Some(sum) => Ok(sum),
        None => Ok(contents(&*tables.open(&file.handle)?)?.sum),
    });
    sums.sum()
}

/// All inputs as one iterator. The first and last entries of each are compared with the manifest.
fn open_inputs(
    plan: &Plan,
    context: &JobContext<'_>,
    tables: &Arc<TableCache>,
) -> Result<MergingIterator<LevelIterator>> {
    for file in plan.inputs() {
        check_ends(file, &tables.open(&file.handle)?, context)?;
    }
    let run_over = |files: Vec<Arc<FileMeta>>| {
        LevelIterator::over(files, tables.clone(), false, READAHEAD_BYTES)
    };
    let mut sources = Vec::new();
    match plan.level() {
        0 => sources.extend(plan.upper.iter().map(|file| run_over(vec![file.clone()]))),
        _ => sources.push(run_over(plan.upper.clone())),
    }
    if !plan.lower.is_empty() {
        sources.push(run_over(plan.lower.clone()));
    }
    Ok(MergingIterator::new(sources))
}

/// Merges the inputs into `outputs` and accounts for every entry; returns the sums of the read and of the written
/// ones.
fn merge(
    plan: &Plan,
    context: &JobContext<'_>,
    tables: &Arc<TableCache>,
    outputs: &mut OutputTables<'_>,
) -> Result<(Sum, Sum)> {
    let read = expected(plan, tables)?;
    let mut input = open_inputs(plan, context, tables)?;
    let mut retention = Retention::new(&context.visible, plan.ranges.clone())?
        .with_retiring(plan.retiring.by_level.clone());
    let mut ledger = Ledger::new((context.readers)()).with_ranges(
        plan.retiring.ranges.clone(),
        plan.retiring.by_table.clone(),
        plan.sweeps_up_to(&context.visible),
    );
    let mut ranges = Vec::new();
    // This searches all tables instead of advancing a position (LEDGER-3). If the plan has no list of deeper tables,
    // no key counts as absent.
    let below = plan.below.as_deref().map(Ranges::of);
    let holds_deeper = |key: &[u8]| below.as_ref().is_none_or(|below| below.hold(key));
    let mut deeper: Vec<LevelCursor<'_>> = plan
        .deeper
        .iter()
        .map(|files| LevelCursor::new(files))
        .collect();
    let (mut smallest, mut largest) = (SequenceNumber::MAX, SequenceNumber(0));
    let mut looks = Looks::new(context);
    input.seek_to_first()?;
    while input.valid() {
        let (key, value) = (input.key(), input.value());
        looks.pass(key.user_key.len() + value.len())?;
        let sequence = key.trailer.sequence();
        (smallest, largest) = (smallest.min(sequence), largest.max(sequence));
        let kind = kind_of(key)?;
        ledger.read(key, holds_deeper)?;
        if kind == ValueKind::RangeDelete {
            let range = RangeDelete::of_entry(key.user_key, sequence, value);
            ranges.push(range.map_err(|error| Error::unaccounted(error.message()))?);
        }
        let is_bottom = |user_key: &[u8]| !deeper.iter_mut().any(|level| level.may_hold(user_key));
        match retention.fate(key, kind, is_bottom)? {
            Fate::Keep => {
                for trailer in retention.take_held() {
                    let tombstone = KeyRef::new(key.user_key, trailer);
                    ledger.kept_after_all(Reason::Bottom, tombstone);
                    ledger.written(tombstone)?;
                    outputs.add(tombstone, &[])?;
                }
                ledger.written(key)?;
                outputs.add(key, value)?;
            }
            Fate::Hold => ledger.dropped(Reason::Bottom, key, value),
            Fate::Drop if kind == ValueKind::RangeDelete => {
                ledger.dropped(Reason::Retired, key, value);
            }
            Fate::Drop => ledger.dropped(Reason::Shadowed, key, value),
        }
        input.next()?;
    }
    outputs.finish_open()?;
    let written = outputs
        .finished()
        .iter()
        .filter_map(TableInfo::content)
        .sum();
    ledger.balance(read, written, holds_deeper)?;
    check_numbers(plan, smallest, largest)?;
    check_ranges(plan, ranges)?;
    Ok((read, written))
}

/// Compares the range deletes in the inputs with the manifest's (JOB-4).
fn check_ranges(plan: &Plan, mut found: Vec<RangeDelete>) -> Result<()> {
    let said = plan.inputs().flat_map(|file| file.range_deletes.iter());
    let mut said: Vec<&RangeDelete> = said.collect();
    said.sort_unstable_by_key(|range| range.number);
    found.sort_unstable_by_key(|range| range.number);
    match said.into_iter().eq(&found) {
        true => Ok(()),
        false => Err(Error::unaccounted(
            "the inputs' range deletes are not what the manifest says",
        )),
    }
}

/// The kind of an entry of a table.
#[inline]
fn kind_of(key: KeyRef<'_>) -> Result<ValueKind> {
    key.trailer.kind().ok_or_else(|| {
        let kind = key.trailer.0 as u8;
        Error::unsupported(format!("a table holds an entry of kind {kind}"))
    })
}

/// Compares the smallest and the largest number in the inputs with the manifest's (JOB-4).
fn check_numbers(plan: &Plan, smallest: SequenceNumber, largest: SequenceNumber) -> Result<()> {
    let said = |of: fn(&Arc<FileMeta>) -> SequenceNumber| plan.inputs().map(of);
    if said(|file| file.smallest_sequence).min() != Some(smallest)
        || said(|file| file.largest_sequence).max() != Some(largest)
    {
        let what = "the inputs' smallest and largest numbers are not what the manifest says";
        return Err(Error::unaccounted(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
