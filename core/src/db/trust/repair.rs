//! Repair: makes a new database of what can be read of a damaged one.
//!
//! The manifest, or what is left of it, tells which tables and logs count. Logs are replayed, passing over damage,
//! into temporary tables of the new directory; all tables are looked at, block by block; one merge of everything
//! writes the newest entry of each key into fresh tables in the bottom level; CURRENT makes it a database.
//!
//! * REPAIR-1  Nothing in the old directory is changed or removed; it is locked meanwhile, as by a reader.
//! * REPAIR-2  The new directory is no database before everything is in it, durably (`destination.rs`).
//! * REPAIR-3  With a whole manifest only what it names counts: leftovers of compactions and flushed logs would bring
//!             deleted keys back. Without one, every table and log in the directory counts, but those that the edits which
//!             can be read have removed.
//! * REPAIR-4  A log counts up to the length that its successor names, and of several logs with one predecessor only the
//!             newest does: what is after or beside was cut off by an earlier recovery (`recovery.rs`, CHAIN-2).
//! * REPAIR-5  What was written by a newer AiDb is refused, not dropped.
//! * REPAIR-6  A table whose blocks can all be read, and which holds other entries than the manifest or its own properties
//!             say, gives all of them to the new database, and is told.
//! * REPAIR-7  What was read is what was written, and what was dropped as overwritten or as a tombstone (`content.rs`). What
//!             does not add up is no database.
//!
//! A deleted key comes back if the table or record with its tombstone is lost and an older entry is not; or, without a
//! whole manifest, if a crash left a table behind that a compaction had replaced.
//!
//! Elsewhere: reading damaged tables (`sstable/salvage.rs`), logs (`wal/reader.rs`), manifests (`version/salvage.rs`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::{Loss, RepairReport};
use super::verify::count;
use crate::batch::{Operation, operations};
use crate::content::Sum;
use crate::db::life::{Destination, check_path, incomplete, of_another_database};
use crate::env::{Env, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{
    CURRENT, FileKind, INCOMPLETE, LOCK, log_path, parse, table_path, temporary_path,
};
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory;
use crate::memtable::Loader;
use crate::options::Options;
use crate::sstable::{
    Builder, Known, Said, SalvageIterator, SalvagedTable, TableOptions, salvage as salvage_table,
    table_id,
};
use crate::sync::Arc;
use crate::version::{
    LEVELS, Salvage, TableInfo, VersionSet, foreign, is_ours, not_a_directory,
    salvage as salvage_manifest, shorten,
};
use crate::wal::{Part, Predecessor, Reader, Record, Watermark};

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
    let timeout = Duration::from_millis(options.lock_timeout_millis);
    let lock = env.lock(&from, false, timeout)?;
    let outcome = Destination::prepare(Arc::clone(&env), into).and_then(|target| {
        let repair = Repair {
            env: &*env,
            options,
            from: &from,
            into: &target.dir,
            next_file: 1,
            report: RepairReport::default(),
        };
        let mut report = RepairReport::default();
        let outcome = match target.dir.starts_with(&from) {
            // REPAIR-1.
            true => Err(Error::invalid_argument(
                "`into` lies in the damaged directory",
            )),
            false => repair.run(&names).map(|done| report = done),
        };
        target.finish(outcome).map(|()| report)
    });
    if !names.iter().any(|name| name == LOCK) {
        // REPAIR-1. Held while it goes, as `destroy` does; an empty file that stays harms nobody.
        let _ = env.remove_file(&from.join(LOCK));
    }
    drop(lock);
    outcome
}

/// Refuses a folder in which no database was, before anything is done to it (IDENTITY-1).
fn refuse_unless_damaged(env: &dyn Env, from: &Path, names: &[String]) -> Result<()> {
    let is_data = |name: &&String| {
        matches!(
            parse(name),
            Some(FileKind::Table(_) | FileKind::Log(_) | FileKind::Manifest(_) | FileKind::Current)
        )
    };
    let mut data: Vec<&String> = names.iter().filter(is_data).collect();
    // CURRENT first, and the same message whatever the order in which the system lists them.
    data.sort_unstable_by_key(|name| (*name != CURRENT, *name));
    let data = data.first().copied();
    if !is_ours(env, from, names)?
        && let Some(name) = data.or(names.iter().min())
    {
        return Err(foreign(env, from, names, name));
    }
    if names.iter().any(|name| name == INCOMPLETE) {
        // A part of a copy is no damaged database, and its source is better than anything made of it.
        return Err(incomplete(env, from));
    }
    match data {
        Some(_) => Ok(()),
        None => {
            let what = format!("{} holds nothing of a database", from.display());
            Err(Error::invalid_argument(what))
        }
    }
}

struct Repair<'a> {
    env: &'a dyn Env,
    options: &'a Options,
    from: &'a Path,
    into: &'a Path,
    next_file: u64,
    report: RepairReport,
}

impl Repair<'_> {
    fn run(mut self, names: &[String]) -> Result<RepairReport> {
        let manifest = self.read_manifest()?;
        self.report.last_sequence = manifest.last_sequence;
        let mut tables = self.survey_tables(names, &manifest)?;
        let in_tables = tables.iter().map(|table| table.largest_sequence).max();
        let replayed = self.replay_logs(names, &manifest, in_tables.unwrap_or_default())?;
        for (path, sum) in &replayed {
            let mut lost = Vec::new();
            let table = salvage_table(self.env, path, None, &mut lost)?;
            if let Some(lost) = lost.pop() {
                return Err(lost.error);
            }
            let found = table.as_ref().map(|table| table.sum).unwrap_or_default();
            if found != *sum {
                return Err(Error::unaccounted(format!(
                    "the records of a log held {sum}, and the table made of them holds {found}"
                )));
            }
            tables.extend(table);
        }
        for table in &tables {
            let last = &mut self.report.last_sequence;
            *last = table.largest_sequence.max(*last);
        }
        let merged = self.merge(tables)?;
        for (path, _) in &replayed {
            self.env.remove_file(path)?;
        }
        let last_sequence = self.report.last_sequence;
        VersionSet::create_from(self.env, self.into, merged, last_sequence)?;
        Ok(self.report)
    }

    fn read_manifest(&mut self) -> Result<Salvage> {
        let mut faults = Vec::new();
        let manifest = salvage_manifest(self.env, self.from, &mut faults)?;
        let current = self.from.join(CURRENT);
        for fault in faults {
            self.report.add(Loss::new(current.clone(), 0, 0, &fault));
        }
        Ok(manifest)
    }

    /// Looks at every table that counts (REPAIR-3).
    fn survey_tables(
        &mut self,
        names: &[String],
        manifest: &Salvage,
    ) -> Result<Vec<SalvagedTable>> {
        let numbers: BTreeMap<u64, FileNumber> = manifest
            .tables
            .values()
            .map(|table| (table.file_id, table.number))
            .collect();
        let mut missing: HashSet<FileNumber> = manifest.tables.keys().copied().collect();
        let mut tables = Vec::new();
        for name in names {
            let Some(FileKind::Table(named)) = parse(name) else {
                continue;
            };
            let path = self.from.join(name);
            // A file is known by its id, whatever its name has become; if that is damaged, by its name.
            let own = match table_id(self.env, &path) {
                Ok(file_id) => numbers.get(&file_id).copied(),
                Err(error) => {
                    refuse_newer(error)?;
                    Some(named).filter(|named| manifest.tables.contains_key(named))
                }
            };
            let counts = match own {
                Some(_) => true,
                None => !manifest.is_complete && !manifest.removed.contains(&named),
            };
            if !counts {
                continue;
            }
            let info = own.and_then(|number| manifest.tables.get(&number));
            tables.extend(self.survey_table(&path, info)?);
            if let Some(number) = own {
                missing.remove(&number);
            }
        }
        let mut missing: Vec<FileNumber> = missing.into_iter().collect();
        missing.sort_unstable();
        for number in missing {
            let info = &manifest.tables[&number];
            let loss = missing_table(self.from, info, manifest.is_complete)?;
            self.report.add(loss);
        }
        Ok(tables)
    }

    /// Looks at a table of which the manifest says `info`; what can be read of it.
    fn survey_table(
        &mut self,
        path: &Path,
        info: Option<&TableInfo>,
    ) -> Result<Option<SalvagedTable>> {
        let known = info.map(|info| Known {
            file_id: info.file_id,
            size: info.size,
        });
        let mut lost = Vec::new();
        let table = salvage_table(self.env, path, known, &mut lost)?;
        if let Some(table) = &table
            && lost.is_empty()
        {
            self.compare(path, table, info)?;
        }
        for lost in lost {
            let mut loss = Loss::new(path.to_path_buf(), lost.start, lost.end, &lost.error);
            (loss.offset, loss.end) = (lost.start, lost.end);
            let after = lost.after.as_ref().or(info.map(|info| &info.smallest));
            let before = lost.before.as_ref().or(info.map(|info| &info.largest));
            let key_of = |key: Option<&Vec<u8>>| {
                let key = key.and_then(|key| KeyRef::decode(key));
                key.map(user_key_of).transpose()
            };
            loss.smallest_key = key_of(after)?;
            loss.largest_key = key_of(before)?;
            loss.first_sequence = info.map(|info| info.smallest_sequence);
            loss.last_sequence = info.map(|info| info.largest_sequence);
            self.report.add(loss);
        }
        if let Some(table) = &table {
            self.report.tables += 1;
            self.report.table_entries += table.sum.entries();
        }
        Ok(table)
    }

    /// REPAIR-6, for a table whose blocks can all be read.
    fn compare(
        &mut self,
        path: &Path,
        table: &SalvagedTable,
        info: Option<&TableInfo>,
    ) -> Result<()> {
        let manifest = info.map(|info| Said {
            entries: info.entries,
            tombstones: info.tombstones,
            terms: info.content_sum,
        });
        let Some(what) = other_entries(table.sum, manifest, table.said) else {
            return Ok(());
        };
        let mut loss = Loss::new(path.to_path_buf(), 0, 0, &Error::corruption(path, 0, what));
        if let Some(info) = info {
            tell_range(&mut loss, info)?;
        }
        self.report.add(loss);
        Ok(())
    }

    /// Replays the logs that count (REPAIR-3, REPAIR-4) into tables of the new directory: their paths, and what they hold.
    ///
    /// `in_tables`: the largest number in any table.
    fn replay_logs(
        &mut self,
        names: &[String],
        manifest: &Salvage,
        in_tables: SequenceNumber,
    ) -> Result<Vec<(PathBuf, Sum)>> {
        let (logs, unread) = self.open_logs(names, manifest)?;
        let successors: Vec<_> = logs
            .values()
            .map(|reader| reader.header().predecessor)
            .collect();
        let mut replay = Replay {
            memtable: None,
            tables: Vec::new(),
            last: None,
            watermark: Watermark::read(self.env, self.from),
        };
        self.note_unread(&logs, unread, manifest, in_tables);
        if let Some(first) = logs.values().next()
            && (!manifest.is_complete || manifest.log_number.0 == 0)
        {
            self.check_start(first, in_tables);
        }
        for (number, mut reader) in logs {
            let successor = successors.iter().find(|one| one.number == number);
            if let Some(successor) = successor {
                reader.stop_at(successor.length);
            }
            self.replay_log(
                &mut reader,
                &mut replay,
                successor.map(|one| one.last_sequence),
            )?;
            self.flush_replayed(&mut replay)?;
        }
        Ok(replay.tables)
    }

    /// The logs that count (REPAIR-3, REPAIR-4), and those of which nothing can be read.
    fn open_logs(
        &mut self,
        names: &[String],
        manifest: &Salvage,
    ) -> Result<(BTreeMap<FileNumber, Reader>, BTreeSet<FileNumber>)> {
        let mut logs: BTreeMap<FileNumber, Reader> = BTreeMap::new();
        let mut unread = BTreeSet::new();
        for name in names {
            let Some(FileKind::Log(named)) = parse(name) else {
                continue;
            };
            if manifest.is_complete && named < manifest.log_number {
                continue;
            }
            let path = self.from.join(name);
            match Reader::open_damaged(self.env, &path, named) {
                // A copy of a log says the same as the log.
                Ok(Some(reader)) if !reader.header().is_of(manifest.database) => {
                    let error = of_another_database(&path);
                    self.report.add(Loss::new(path, 0, 0, &error));
                }
                Ok(Some(reader)) => {
                    let number = reader.header().number;
                    if number == named || !logs.contains_key(&number) {
                        logs.insert(number, reader);
                    }
                }
                Ok(None) => {
                    unread.insert(named);
                }
                Err(error) => {
                    refuse_newer(error.clone())?;
                    self.report.add(Loss::new(path, 0, 0, &error));
                }
            }
        }
        if manifest.is_complete {
            logs.retain(|number, _| *number >= manifest.log_number);
        }
        drop_superseded(&mut logs);
        Ok((logs, unread))
    }

    /// Notes the logs that the manifest names and that are not among `logs`, and the `unread`. What was in them follows what is in
    /// tables and in the logs before; more is not known.
    fn note_unread(
        &mut self,
        logs: &BTreeMap<FileNumber, Reader>,
        unread: BTreeSet<FileNumber>,
        manifest: &Salvage,
        in_tables: SequenceNumber,
    ) {
        let mut missing = BTreeSet::from([manifest.log_number, manifest.synced_log]);
        missing.retain(|number| {
            let is_needed = number.0 != 0 && *number >= manifest.log_number;
            manifest.is_complete
                && is_needed
                && !logs.contains_key(number)
                && !unread.contains(number)
        });
        let missing = missing
            .into_iter()
            .map(|number| (number, "the manifest names this log, and it is missing"));
        let unread = unread
            .into_iter()
            .map(|number| (number, "no record of this log can be read"));
        for (number, what) in missing.chain(unread) {
            let path = log_path(self.from, number);
            let mut loss = Loss::new(path.clone(), 0, 0, &Error::corruption(&path, 0, what));
            loss.first_sequence = Some(manifest.last_sequence.max(in_tables).plus(1));
            self.report.add(loss);
        }
    }

    /// Notes that what came before the first log is not all in tables, where no manifest tells.
    fn check_start(&mut self, first: &Reader, in_tables: SequenceNumber) {
        let predecessor = first.header().predecessor;
        if in_tables < predecessor.last_sequence {
            let path = first.path();
            let what = "writes before this log are in no table: their table is lost, or they were undone since";
            let mut loss = Loss::new(path.to_path_buf(), 0, 0, &Error::corruption(path, 0, what));
            loss.first_sequence = Some(in_tables.plus(1));
            loss.last_sequence = Some(predecessor.last_sequence);
            self.report.add(loss);
        }
    }

    /// Notes what is missing before the log at `path`, or that it does not follow what was replayed.
    fn note_place(&mut self, path: &Path, predecessor: Predecessor, replay: &mut Replay) {
        let expected = Some(predecessor.last_sequence).filter(|_| predecessor.number.0 != 0);
        if let (Some(last), Some(expected)) = (replay.last, expected)
            && last < expected
        {
            // Between the last log that was read and this one.
            let path = log_path(self.from, predecessor.number);
            let error =
                Error::corruption(&path, 0, "the end of this log, or all of it, is missing");
            let mut loss = Loss::new(path, 0, 0, &error);
            loss.first_sequence = Some(last.plus(1));
            loss.last_sequence = Some(expected);
            self.report.add(loss);
        }
        if let (Some(last), Some(expected)) = (replay.last, expected)
            && last > expected
        {
            let error = Error::corruption(path, 0, "this log does not follow the one before it");
            self.report.add(Loss::new(path.to_path_buf(), 0, 0, &error));
        }
        replay.last = replay.last.max(expected);
    }

    /// Takes the operations of a record into the memtable, which becomes a table when it is full.
    fn take(&mut self, record: &Record<'_>, replay: &mut Replay) -> Result<()> {
        if replay.memtable.is_none() {
            let size = self.options.write_buffer_size as usize;
            replay.memtable = Some(Loader::new(size)?);
        }
        let memtable = replay
            .memtable
            .as_mut()
            .ok_or_else(|| Error::internal("there is no memtable to fill"))?;
        for (index, operation) in operations(record.payload)?.enumerate() {
            let Operation { kind, key, value } = operation?;
            let trailer = Trailer::new(record.first_sequence.plus(index as u64), kind);
            memtable.add(key, trailer, value)?;
        }
        self.report.log_records += 1;
        if memtable.memory() as u64 >= self.options.write_buffer_size {
            self.flush_replayed(replay)?;
        }
        Ok(())
    }

    fn replay_log(
        &mut self,
        reader: &mut Reader,
        replay: &mut Replay,
        last_of_log: Option<SequenceNumber>,
    ) -> Result<()> {
        let path = reader.path().to_path_buf();
        self.note_place(&path, reader.header().predecessor, replay);
        let records = self.report.log_records;
        let mut open: Option<Loss> = None;
        // The last number read from this log: a memtable takes each number once (IKEY-2).
        let mut taken = SequenceNumber(0);
        let mut reached = Reader::FIRST_RECORD;
        loop {
            let record = match reader.next_part() {
                Ok(Some(Part::Record(record))) => record,
                Ok(Some(Part::Damage { error, start, end })) => {
                    refuse_newer(error.clone())?;
                    self.close_gap(&mut open, None);
                    let mut loss = Loss::new(path.clone(), start, end, &error);
                    (loss.offset, loss.end) = (start, end);
                    reached = end;
                    loss.first_sequence = replay.last.map(|last| last.plus(1));
                    open = Some(loss);
                    continue;
                }
                Ok(None) => break,
                Err(error) => {
                    refuse_newer(error.clone())?;
                    self.close_gap(&mut open, None);
                    open = Some(Loss::new(path.clone(), 0, 0, &error));
                    break;
                }
            };
            let (offset, end, first) = (record.offset, record.end, record.first_sequence);
            reached = end;
            match last_of(&record, taken) {
                Ok(last) => {
                    self.close_gap(&mut open, first.0.checked_sub(1).map(SequenceNumber));
                    self.take(&record, replay)?;
                    taken = last;
                    replay.last = replay.last.max(Some(last));
                }
                Err(error) => {
                    let error = match error.kind() {
                        ErrorKind::Unsupported => return Err(error.context(path.display())),
                        _ => Error::corruption(&path, offset, error.message()),
                    };
                    self.close_gap(&mut open, None);
                    let mut loss = Loss::new(path.clone(), offset, end, &error);
                    loss.first_sequence = Some(first);
                    self.report.add(loss);
                }
            }
        }
        let synced = replay.watermark.length_of(reader.header());
        if reached < synced && open.is_none() {
            let what = format!("the log ends, but it was synced up to {synced}");
            let error = Error::corruption(&path, reached, what);
            let mut loss = Loss::new(path, reached, synced, &error);
            loss.first_sequence = replay.last.map(|last| last.plus(1));
            open = Some(loss);
        }
        self.close_gap(&mut open, last_of_log);
        self.report.logs += u64::from(self.report.log_records > records);
        Ok(())
    }

    /// Notes what is missing before the record that follows number `last`.
    fn close_gap(&mut self, open: &mut Option<Loss>, last: Option<SequenceNumber>) {
        if let Some(mut loss) = open.take() {
            loss.last_sequence = last;
            self.report.add(loss);
        }
    }

    /// Writes the records gathered so far to a temporary table.
    fn flush_replayed(&mut self, replay: &mut Replay) -> Result<()> {
        let Some(loader) = replay.memtable.take() else {
            return Ok(());
        };
        let memtable = loader.finish()?;
        let number = self.new_file();
        let path = temporary_path(self.into, number);
        let mut entries = memtable.iter();
        entries.seek_to_first()?;
        if !entries.valid() {
            return Ok(());
        }
        let mut builder = self.begin(&path, self.env.random()?)?;
        while entries.valid() {
            builder.add(entries.key(), entries.value())?;
            entries.next()?;
        }
        builder.finish()?;
        replay.tables.push((path, memtable.sum()));
        Ok(())
    }

    fn new_file(&mut self) -> FileNumber {
        self.next_file += 1;
        FileNumber(self.next_file)
    }

    fn begin(&self, path: &Path, file_id: u64) -> Result<Builder> {
        let options = TableOptions {
            block_size: self.options.block_size as usize,
            block_restart_interval: self.options.block_restart_interval as usize,
            compression: self.options.compression,
            bloom_bits_per_key: self.options.bloom_bits_per_key as u32,
        };
        let file = self.env.create_new(path)?;
        let mut builder = Builder::new(file, path.to_path_buf(), file_id, options)?;
        builder.set_created_micros(self.env.wall_micros());
        Ok(builder)
    }

    /// Writes the newest entry of each key to new tables in the bottom level.
    fn merge(&mut self, tables: Vec<SalvagedTable>) -> Result<Vec<(usize, TableInfo)>> {
        let read = tables.iter().map(|table| table.sum).sum();
        let (mut shadowed, mut tombstones) = (Sum::default(), Sum::default());
        let mut runs: Vec<Run> = Vec::new();
        for tables in into_runs(tables) {
            runs.push(Run::new(self.env, tables)?);
        }
        let mut written = Vec::new();
        let mut open: Option<(FileNumber, u64, Builder)> = None;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let standing = runs.iter().enumerate().filter(|(_, run)| run.valid());
            // The newest entry of the smallest key; equal entries of two files are one.
            let Some((index, run)) = standing.min_by(|(_, a), (_, b)| a.key().cmp(&b.key())) else {
                break;
            };
            let (key, value) = (run.key(), run.value());
            if last.as_deref() == Some(key.user_key) {
                shadowed.add_entry(key.user_key, key.trailer, value);
            } else {
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key.user_key);
                if key.trailer.kind() == Some(ValueKind::Put) {
                    if open.as_ref().is_some_and(|(_, _, builder)| {
                        builder.estimated_size() >= self.options.target_file_size
                    }) {
                        finish(&mut open, &mut written)?;
                    }
                    if open.is_none() {
                        let (number, file_id) = (self.new_file(), self.env.random()?);
                        let builder = self.begin(&table_path(self.into, number), file_id)?;
                        open = Some((number, file_id, builder));
                    }
                    if let Some((_, _, builder)) = &mut open {
                        builder.add(key, value)?;
                        self.report.entries_written += 1;
                    }
                } else {
                    tombstones.add_entry(key.user_key, key.trailer, value);
                }
            }
            runs[index].next(self.env)?;
        }
        finish(&mut open, &mut written)?;
        let tables = written.iter_mut().map(|(_, table)| table);
        shorten(&mut tables.collect::<Vec<_>>(), None);
        let kept = written
            .iter()
            .filter_map(|(_, table)| table.content())
            .sum();
        balance(read, shadowed, tombstones, kept)?;
        Ok(written)
    }
}

/// The last number of a record's operations, if those can all be numbered, and higher than `taken`.
fn last_of(record: &Record<'_>, taken: SequenceNumber) -> Result<SequenceNumber> {
    let count = count(record.payload)?;
    let before = record.first_sequence.0.checked_sub(1);
    let last = before
        .filter(|before| *before >= taken.0)
        .and_then(|before| before.checked_add(count));
    last.filter(|last| *last <= SequenceNumber::MAX.0)
        .map(SequenceNumber)
        .ok_or_else(|| Error::internal("its sequence numbers are impossible"))
}

/// REPAIR-7.
fn balance(read: Sum, shadowed: Sum, tombstones: Sum, written: Sum) -> Result<()> {
    if read - shadowed - tombstones == written {
        return Ok(());
    }
    Err(Error::unaccounted(format!(
        "entries are unaccounted for: of {read}, {shadowed} were dropped as overwritten and {tombstones} as \
         tombstones, and {written} were written"
    )))
}

/// How a table, whose blocks can all be read and hold `found`, is not what is said of it; `None` if it is (REPAIR-6).
fn other_entries(found: Sum, manifest: Option<Said>, properties: Option<Said>) -> Option<String> {
    let said = [
        (manifest, "the manifest says"),
        (properties, "its own properties say"),
    ];
    let mut said = said.into_iter();
    let (said, who) = said.find_map(|(said, who)| {
        let said = said.filter(|said| !said.agrees_with(found))?;
        Some((said, who))
    })?;
    Some(format!(
        "all its blocks can be read, and what they hold is in the new database; but that is {found}, and {who} {said}"
    ))
}

/// Completes the open table.
fn finish(
    open: &mut Option<(FileNumber, u64, Builder)>,
    written: &mut Vec<(usize, TableInfo)>,
) -> Result<()> {
    if let Some((number, file_id, builder)) = open.take() {
        let table = TableInfo::new(number, file_id, builder.finish()?);
        written.push((LEVELS - 1, table));
    }
    Ok(())
}

/// The records of logs on their way into tables.
struct Replay {
    memtable: Option<Loader>,
    tables: Vec<(PathBuf, Sum)>,
    /// The last number read, or known to have been in a log before.
    last: Option<SequenceNumber>,
    watermark: Watermark,
}

/// REPAIR-4.
fn drop_superseded(logs: &mut BTreeMap<FileNumber, Reader>) {
    let headers: Vec<_> = logs.values().map(|reader| *reader.header()).collect();
    let mut superseded: HashSet<FileNumber> = HashSet::new();
    for header in &headers {
        let predecessor = header.predecessor.number;
        let is_older = predecessor.0 != 0
            && headers.iter().any(|other| {
                other.predecessor.number == predecessor && other.number > header.number
            });
        if is_older || superseded.contains(&predecessor) {
            superseded.insert(header.number);
        }
    }
    logs.retain(|number, _| !superseded.contains(number));
}

/// Tables one after the other: no key of one is at or after a key of the next.
struct Run {
    tables: std::vec::IntoIter<SalvagedTable>,
    current: Option<SalvageIterator>,
}

impl Run {
    fn new(env: &dyn Env, tables: Vec<SalvagedTable>) -> Result<Run> {
        let mut run = Run {
            tables: tables.into_iter(),
            current: None,
        };
        run.enter_next(env)?;
        Ok(run)
    }

    fn enter_next(&mut self, env: &dyn Env) -> Result<()> {
        let next = self.tables.next();
        self.current = next
            .map(|table| SalvageIterator::new(env, table))
            .transpose()?;
        Ok(())
    }

    fn valid(&self) -> bool {
        self.current.is_some()
    }

    fn current(&self) -> &SalvageIterator {
        self.current.as_ref().expect("the caller asked `valid`")
    }

    fn key(&self) -> KeyRef<'_> {
        self.current().key()
    }

    fn value(&self) -> &[u8] {
        self.current().value()
    }

    fn next(&mut self, env: &dyn Env) -> Result<()> {
        if let Some(current) = &mut self.current {
            current.next(env)?;
            if !current.valid() {
                self.enter_next(env)?;
            }
        }
        Ok(())
    }
}

/// Arranges tables in few runs.
fn into_runs(mut tables: Vec<SalvagedTable>) -> Vec<Vec<SalvagedTable>> {
    tables.sort_by(|a, b| a.smallest_key().cmp(&b.smallest_key()));
    let mut runs: Vec<Vec<SalvagedTable>> = Vec::new();
    for table in tables {
        let run = runs.iter_mut().find(|run| {
            let last = run.last().expect("no run is empty");
            last.largest_key() < table.smallest_key()
        });
        match run {
            Some(run) => run.push(table),
            None => runs.push(vec![table]),
        }
    }
    runs
}

fn user_key_of(key: KeyRef<'_>) -> Result<Vec<u8>> {
    memory::copy_of(key.user_key, "a key")
}

/// The keys and numbers of a table that is lost.
fn tell_range(loss: &mut Loss, info: &TableInfo) -> Result<()> {
    loss.smallest_key = Some(user_key_of(info.smallest_key())?);
    loss.largest_key = Some(user_key_of(info.largest_key())?);
    loss.first_sequence = Some(info.smallest_sequence);
    loss.last_sequence = Some(info.largest_sequence);
    Ok(())
}

fn missing_table(dir: &Path, info: &TableInfo, is_complete: bool) -> Result<Loss> {
    let path = table_path(dir, info.number);
    let what = match is_complete {
        true => "the manifest names this table, and it is missing",
        false => "the table is missing; perhaps an edit that cannot be read had replaced it",
    };
    let mut loss = Loss::new(path.clone(), 0, 0, &Error::corruption(&path, 0, what));
    tell_range(&mut loss, info)?;
    Ok(loss)
}

/// REPAIR-5; damage and a failing disk are what repair is for, anything else ends it.
fn refuse_newer(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::Io => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::WriteBatch;
    use crate::db::DB;
    use crate::env::{Fault, FaultEnv, MemEnv, Operation};
    use crate::version::gain_of;
    use crate::wal::{Payload, Predecessor, Writer};

    const BAD: &str = "/bad";
    const NEW: &str = "/new";

    fn options(env: &FaultEnv) -> Options {
        Options::new()
            .env(Arc::new(env.clone()))
            .manual_background(true)
            .write_buffer_size(4096)
            .block_size(256)
    }

    /// A database with two tables and a log, not closed.
    fn example(env: &FaultEnv) -> Vec<(Vec<u8>, Vec<u8>)> {
        let db = DB::open(BAD, options(env)).unwrap();
        for key in 0..200u8 {
            db.put(&[key / 2], &[key; 40]).unwrap();
            if key % 80 == 60 {
                db.compact_range(None, None).unwrap();
            }
        }
        db.iter().map(|entry| entry.unwrap()).collect()
    }

    #[test]
    fn a_log_that_gives_numbers_twice_keeps_the_record_that_came_first() {
        let env = MemEnv::new();
        let dir = Path::new(BAD);
        env.create_dir_all(dir).unwrap();
        let before = Predecessor::default();
        let mut log = Writer::create(&env, dir, FileNumber(1), 7, before, 0).unwrap();
        let last = SequenceNumber::MAX.0;
        for (first, value, count) in [
            (1, "a", 1),
            (1, "b", 1),
            (2, "c", 1),
            (last, "d", 2),
            (0, "e", 1),
        ] {
            let mut batch = WriteBatch::new();
            for _ in 0..count {
                batch.put(b"key", value.as_bytes()).unwrap();
            }
            let payload = Payload::new(batch.encoded());
            log.append(SequenceNumber(first), &payload, 0).unwrap();
        }
        let options = Options::new().env(Arc::new(env)).manual_background(true);
        let report = DB::repair(BAD, NEW, &options).unwrap();
        // Three records, and CURRENT.
        let counts = (report.logs, report.log_records, report.lost_places);
        assert_eq!(counts, (1, 2, 4));
        let db = DB::open(NEW, options).unwrap();
        assert_eq!(db.get(b"key").unwrap().as_deref(), Some(&b"c"[..]));
    }

    /// REPAIR-4.
    #[test]
    fn of_logs_with_one_predecessor_the_newest_counts_and_nothing_behind_the_others() {
        let env = MemEnv::new();
        let dir = Path::new("/");
        let mut logs = BTreeMap::new();
        for (number, predecessor) in [(1, 0), (2, 1), (3, 2), (4, 1), (5, 4)] {
            let number = FileNumber(number);
            let before = Predecessor {
                number: FileNumber(predecessor),
                ..Predecessor::default()
            };
            Writer::create(&env, dir, number, 7, before, 0).unwrap();
            let reader = Reader::open_damaged(&env, &log_path(dir, number), number);
            logs.insert(number, reader.unwrap().unwrap());
        }
        drop_superseded(&mut logs);
        let left: Vec<u64> = logs.into_keys().map(|number| number.0).collect();
        assert_eq!(left, [1, 4, 5]);
    }

    /// REPAIR-5.
    #[test]
    fn what_a_newer_version_wrote_ends_a_repair_and_damage_does_not() {
        let path = Path::new("file");
        refuse_newer(Error::corruption(path, 0, "damaged")).unwrap();
        let failing = std::io::Error::from_raw_os_error(libc::EIO);
        refuse_newer(Error::io("read", path, failing)).unwrap();
        for error in [Error::unsupported("newer"), Error::internal("no memory")] {
            let kind = error.kind();
            assert_eq!(refuse_newer(error).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn a_log_that_the_manifest_needs_is_missed_and_one_that_was_flushed_is_not() {
        let disk = MemEnv::new();
        let env = FaultEnv::new(Arc::new(disk.clone()), 0);
        let db = DB::open(BAD, options(&env)).unwrap();
        let synced = crate::options::WriteOptions::synced();
        db.put_with(b"k", b"v", &synced).unwrap();
        db.flush().unwrap();
        drop(db);
        let report = DB::repair(BAD, NEW, &options(&env)).unwrap();
        assert!(report.is_ok(), "{report:?}");
        let dir = Path::new(BAD);
        let mut names = disk.list(dir).unwrap();
        names.retain(|name| name.ends_with(".log"));
        assert_eq!(names.len(), 1);
        disk.remove_file(&dir.join(&names[0])).unwrap();
        let report = DB::repair(BAD, "/other", &options(&env)).unwrap();
        assert_eq!(report.lost_places, 1, "{report:?}");
        let message = &report.lost[0].message;
        assert!(message.contains("the manifest names this log"), "{message}");
    }

    /// REPAIR-6.
    #[test]
    fn a_table_that_is_not_what_the_manifest_says_gives_all_it_has_and_is_told() {
        for spoil in [
            (|info| info.content_sum = Some(7)) as fn(&mut TableInfo),
            |info| info.entries += 1,
        ] {
            let disk = MemEnv::new();
            let env = FaultEnv::new(Arc::new(disk.clone()), 0);
            let expected = example(&env);
            let db = DB::open(BAD, options(&env)).unwrap();
            let superversion = db.rooms().tree.load_full();
            let (level, file) = superversion.version.all_files().next().unwrap();
            let file = Arc::clone(file);
            // The same table under another number, since an edit that removes a table has its file deleted.
            let mut info = file.info.clone();
            info.number = db.rooms().tree.new_number();
            spoil(&mut info);
            let path = table_path(Path::new(BAD), info.number);
            let whole = disk.open_read(&table_path(Path::new(BAD), file.number));
            let mut bytes = vec![0; file.size as usize];
            whole.unwrap().read_at(0, &mut bytes).unwrap();
            let copy = disk.create_new(&path).unwrap();
            copy.write_at(0, &bytes).unwrap();
            let mut edit = crate::version::VersionEdit::default();
            edit.remove(level, file.number);
            edit.add(level, info.clone());
            let gained = gain_of(&edit, &superversion.version);
            db.rooms().tree.install(edit, gained, |_| {}).unwrap();
            let replaced = table_path(Path::new(BAD), file.number);
            drop((file, superversion, db));
            let _ = disk.remove_file(&replaced);

            let report = DB::repair(BAD, NEW, &options(&env)).unwrap();
            assert!(!report.is_ok());
            assert_eq!(report.lost_places, 1, "{report:?}");
            let lost = &report.lost[0];
            assert_eq!((&lost.file, lost.offset, lost.end), (&path, 0, 0));
            assert!(lost.message.contains("the manifest says"), "{lost:?}");
            let largest = Some(info.largest_key().user_key.to_vec());
            assert_eq!(lost.largest_key, largest);
            assert_eq!(lost.last_sequence, Some(info.largest_sequence));
            let db = DB::open(NEW, options(&env)).unwrap();
            let found: Vec<_> = db.iter().map(|entry| entry.unwrap()).collect();
            assert!(found == expected);
            assert!(db.verify().unwrap().is_ok());
        }
    }

    #[test]
    fn entries_are_others_if_their_number_or_their_sum_is_not_what_somebody_says() {
        let found = Sum {
            terms: 5,
            puts: 3,
            tombstones: 1,
        };
        let right = Said {
            entries: 4,
            tombstones: 1,
            terms: Some(5),
        };
        // Of a table of format version 1 no sum is known.
        let older = Said {
            terms: None,
            ..right
        };
        for said in [None, Some(right), Some(older)] {
            assert_eq!(other_entries(found, said, None), None);
            assert_eq!(other_entries(found, None, said), None);
        }
        let wrong = [
            Said {
                entries: 5,
                ..older
            },
            Said {
                tombstones: 2,
                ..right
            },
            Said {
                terms: Some(6),
                ..right
            },
        ];
        for said in wrong {
            let told = other_entries(found, Some(said), Some(right)).unwrap();
            assert!(told.contains("the manifest says"), "{told}");
            let told = other_entries(found, Some(right), Some(said)).unwrap();
            assert!(told.contains("its own properties say"), "{told}");
        }
    }

    /// REPAIR-7.
    #[test]
    fn what_is_read_and_neither_written_nor_rightly_dropped_does_not_add_up() {
        let sum = |numbers: &[u64]| {
            let mut sum = Sum::default();
            for number in numbers {
                let trailer = Trailer::new(SequenceNumber(*number), ValueKind::Put);
                sum.add_entry(b"key", trailer, b"value");
            }
            sum
        };
        let none = Sum::default();
        balance(sum(&[1, 2, 3]), sum(&[1]), sum(&[2]), sum(&[3])).unwrap();
        balance(sum(&[1]), none, none, sum(&[1])).unwrap();
        for (shadowed, tombstones, written) in [
            (none, sum(&[2]), sum(&[3])),
            (sum(&[1]), none, sum(&[3])),
            (sum(&[1]), sum(&[2]), none),
            (sum(&[1]), sum(&[2]), sum(&[3, 3])),
            (sum(&[1]), sum(&[2]), sum(&[4])),
        ] {
            let error = balance(sum(&[1, 2, 3]), shadowed, tombstones, written).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.is_unaccounted());
        }
    }

    /// REPAIR-2.
    #[test]
    fn a_failed_operation_leaves_a_whole_database_or_nothing() {
        let mut failures = 0;
        for nth in 0.. {
            let disk = MemEnv::new();
            let env = FaultEnv::new(Arc::new(disk.clone()), nth);
            let expected = example(&env);
            env.inject(Fault::new(&Operation::ALL, libc::EIO).after(nth));
            let outcome = DB::repair(BAD, NEW, &options(&env));
            let injected = env.injected();
            env.clear();
            match outcome {
                Err(_) => {
                    failures += 1;
                    let left = env.list(Path::new(NEW)).unwrap_or_default();
                    assert!(left.iter().all(|name| name == LOCK), "{nth}: {left:?}");
                    DB::repair(BAD, NEW, &options(&env)).unwrap();
                    let db = DB::open(NEW, options(&env)).unwrap();
                    let found: Vec<_> = db.iter().map(|entry| entry.unwrap()).collect();
                    assert!(found == expected, "operation {nth}");
                }
                Ok(report) => {
                    let db = DB::open(NEW, options(&env)).unwrap();
                    let found: Vec<_> = db.iter().map(|entry| entry.unwrap()).collect();
                    // What could not be read is told.
                    assert!(found == expected || !report.is_ok(), "operation {nth}");
                    // What was durable then is durable now.
                    let cut = FaultEnv::new(Arc::new(disk.power_cut(nth)), 0);
                    let db = DB::open(NEW, options(&cut)).unwrap();
                    assert_eq!(db.iter().count(), found.len());
                }
            }
            if injected == 0 {
                assert!(failures > 20 && nth > 100, "{failures} of {nth}");
                return;
            }
        }
    }
}
