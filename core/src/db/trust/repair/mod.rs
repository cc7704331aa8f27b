//! Repair: makes a new database from what can be read of a damaged one.
//!
//! The manifest, or what is left of it, says which tables and logs count (`survey.rs`, `logs.rs`). Logs are
//! replayed into temporary tables of the new directory, skipping damage (`replay.rs`). All tables are checked
//! block by block. One merge of everything writes the newest entry of each key into new tables in the bottom
//! level (`merge.rs`, `output.rs`). CURRENT makes it a database.
//!
//! * REPAIR-1  Repair changes and removes nothing in the old directory, and holds its lock as a reader.
//! * REPAIR-2  The new directory is not a database before everything in it is durable
//!             (`life/destination.rs`).
//!
//! `survey.rs` and `logs.rs` state what counts (REPAIR-3, REPAIR-4, REPAIR-6, REPAIR-8), `losses.rs` what is
//! refused (REPAIR-5), and `merge.rs` that every entry is accounted for (REPAIR-7).
//!
//! A deleted key comes back if the table or record with its tombstone is lost and an older entry is not; or,
//! without an intact manifest, if a crash had left behind a table that a compaction had replaced.
//!
//! Elsewhere: reading damaged tables (`sstable/salvage.rs`), logs (`wal/reader.rs`), how logs follow each other
//! (`wal/chain.rs`), manifests (`version/salvage.rs`).

mod logs;
mod losses;
mod merge;
mod output;
mod replay;
mod survey;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use self::logs::Logs;
use self::merge::merge;
use self::output::Output;
use self::replay::RepairReplay;
use self::survey::Survey;
use super::report::{Loss, RepairReport};
use crate::content::Sum;
use crate::db::life::{Destination, check_path, incomplete};
use crate::env::{Env, PathKind};
use crate::error::{Error, Result};
use crate::filename::{CURRENT, FileKind, INCOMPLETE, LOCK, parse};
use crate::key::SequenceNumber;
use crate::memory;
use crate::options::Options;
use crate::sstable::{SalvagedTable, salvage as salvage_table};
use crate::sync::Arc;
use crate::version::{
    Salvage, VersionSet, foreign, is_ours, not_a_directory, salvage as salvage_manifest,
};

/// Repairs the database in `from` into the new directory `into`; see `DB::repair`.
pub(in crate::db) fn repair(from: &Path, into: &Path, options: &Options) -> Result<RepairReport> {
    options.validate()?;
    check_path(from)?;
    check_path(into)?;
    let env = Arc::clone(&options.env);
    if env.kind(from)? != PathKind::Directory {
        return Err(not_a_directory(&*env, from));
    }
    let from = env.canonical(from)?;
    let names = env.list(&from)?;
    refuse_unless_damaged(&*env, &from, &names)?;
    let lock = env.lock(&from, false, options.lock_timeout)?;
    let outcome = Destination::prepare(Arc::clone(&env), into).and_then(|target| {
        let repair = Repair {
            env: &*env,
            options,
            from: &from,
            into: &target.dir,
            report: RepairReport::default(),
        };
        let mut report = RepairReport::default();
        let outcome = match target.dir.starts_with(&from) {
            // REPAIR-1.
            true => Err(Error::invalid_argument(
                "`into` is inside the damaged directory",
            )),
            false => repair.run(&names).map(|done| report = done),
        };
        target.finish(outcome).map(|()| report)
    });
    if !names.iter().any(|name| name == LOCK) {
        // REPAIR-1. The lock is held while its file is removed, as in `destroy`; an empty file that stays does
        // no harm.
        let _ = env.remove_file(&from.join(LOCK));
    }
    drop(lock);
    outcome
}

/// Refuses a directory that never held a database, before changing anything in it (IDENTITY-1).
fn refuse_unless_damaged(env: &dyn Env, from: &Path, names: &[String]) -> Result<()> {
    let is_data = |name: &&String| {
        matches!(
            parse(name),
            Some(FileKind::Table(_) | FileKind::Log(_) | FileKind::Manifest(_) | FileKind::Current)
        )
    };
    let mut data: Vec<&String> = names.iter().filter(is_data).collect();
    // CURRENT first, and then a fixed order, so that the message does not depend on the system's order.
    data.sort_unstable_by_key(|name| (*name != CURRENT, *name));
    let data = data.first().copied();
    if !is_ours(env, from, names)?
        && let Some(name) = data.or(names.iter().min())
    {
        return Err(foreign(env, from, names, name));
    }
    if names.iter().any(|name| name == INCOMPLETE) {
        // An incomplete copy is not a damaged database, and its source is better than anything made from it.
        return Err(incomplete(env, from));
    }
    match data {
        Some(_) => Ok(()),
        None => {
            let what = format!("{} holds no part of an AiDb database", from.display());
            Err(Error::invalid_argument(what))
        }
    }
}

/// A repair under way.
struct Repair<'a> {
    env: &'a dyn Env,
    options: &'a Options,
    from: &'a Path,
    into: &'a Path,
    report: RepairReport,
}

impl Repair<'_> {
    fn run(mut self, names: &[String]) -> Result<RepairReport> {
        let (env, report) = (self.env, &mut self.report);
        let manifest = read_manifest(env, self.from, report)?;
        report.last_sequence = manifest.last_sequence;
        let mut tables = Survey::new(env, self.from, &manifest, report).tables(names)?;
        let in_tables = tables.iter().map(|table| table.largest_sequence).max();
        let mut output = Output::new(env, self.options, self.into);
        let replayed = self.replay(names, &manifest, in_tables.unwrap_or_default(), &mut output)?;
        for (path, sum) in &replayed {
            tables.extend(replayed_table(env, path, *sum)?);
        }
        for table in &tables {
            let last = &mut self.report.last_sequence;
            *last = table.largest_sequence.max(*last);
        }
        let listed = manifest
            .tables
            .values()
            .flat_map(|table| &*table.range_deletes);
        let listed = memory::collect(listed.cloned(), "range deletes")?;
        let merged = merge(env, tables, listed, output)?;
        self.report.entries_written = merged.iter().map(|(_, table)| table.entries).sum();
        for (path, _) in &replayed {
            env.remove_file(path)?;
        }
        let last_sequence = self.report.last_sequence;
        let (features, settings) = (manifest.features, manifest.settings);
        VersionSet::create_from(env, self.into, merged, last_sequence, features, settings)?;
        Ok(self.report)
    }

    /// Replays the logs that count into temporary tables; returns the tables' paths and sums.
    fn replay(
        &mut self,
        names: &[String],
        manifest: &Salvage,
        in_tables: SequenceNumber,
        output: &mut Output<'_>,
    ) -> Result<Vec<(PathBuf, Sum)>> {
        let report = &mut self.report;
        let logs = Logs::open(self.env, self.from, names, manifest, in_tables, report)?;
        let size = self.options.write_buffer_size;
        let mut replay = RepairReplay::new(self.from, *logs.expected(), size, output, report);
        for (reader, successor) in logs.into_readers() {
            replay.log(reader, successor.map(|successor| successor.last_sequence))?;
        }
        Ok(replay.finish())
    }
}

fn read_manifest(env: &dyn Env, from: &Path, report: &mut RepairReport) -> Result<Salvage> {
    let mut faults = Vec::new();
    let manifest = salvage_manifest(env, from, &mut faults)?;
    let current = from.join(CURRENT);
    for fault in faults {
        report.add(Loss::new(current.clone(), 0, 0, &fault));
    }
    Ok(manifest)
}

/// Opens the temporary table at `path`, made of records that held `sum`. It was just written, so it must be whole.
fn replayed_table(env: &dyn Env, path: &Path, sum: Sum) -> Result<Option<SalvagedTable>> {
    let mut lost = Vec::new();
    let table = salvage_table(env, path, None, &mut lost)?;
    if let Some(lost) = lost.pop() {
        return Err(lost.error);
    }
    let found = table.as_ref().map(|table| table.sum).unwrap_or_default();
    match found == sum {
        true => Ok(table),
        false => Err(Error::unaccounted(format!(
            "the records of a log held {sum}, and the table made of them holds {found}"
        ))),
    }
}
