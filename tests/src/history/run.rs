//! Runs a history against the engine and checks every answer.
//!
//! * RUN-1  On files in memory the history alone decides what happens: there are no threads, the clock stands still,
//!          and random bits come from a seed. In a real directory the engine has its threads, and nothing can fail. A
//!          test that brings its own disk ([`Run::over`]) decides about both.
//! * RUN-2  A call may fail only if a fault was injected while it ran, and with the error kind of that fault. A
//!          [`Judge`] that knows more of the faults may decide otherwise.
//! * RUN-3  An answer without an error is right, whatever else failed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Fill, Model, ModelCursor, Random, Walk, shown, stem_of};
use aidb::env::{Call, Env, FaultEnv, MemEnv, OsEnv};
use aidb::{
    Chunk, CountOptions, Cursor, DB, Error, ErrorKind, IterOptions, Options, ReadOptions,
    Remembered, SequenceNumber, Snapshot, WriteBatch, WriteOptions,
};

use super::compare::{
    Differs, contents, difference, get_differs, gets_differ, value_differs, walk_differs,
};
use super::operation::{
    Dealt, End, Entry, FaultPlan, History, Move, Operation, batch_of, operations,
};
use super::possible::Possible;

mod transactions;

use self::transactions::OpenTransaction;

/// The place where a history runs.
#[derive(Clone, Debug)]
pub enum Place {
    /// On files in memory.
    Memory,
    /// In this empty directory, with the engine's own threads; only for histories without faults.
    Directory(PathBuf),
}

/// Counts over all histories.
#[derive(Default)]
pub struct Tally {
    /// By [`Operation::name`].
    pub operations: BTreeMap<&'static str, u64>,
    /// By the failing call, and by the manner: EIO, ENOSPC, once, sticky, in part.
    pub faults: BTreeMap<String, u64>,
    /// All injected faults.
    pub injected: u64,
    /// Losses of power.
    pub power_cuts: u64,
    /// Opens that failed because of a fault.
    pub opens_failed: u64,
    /// Writes that failed because of a fault.
    pub writes_failed: u64,
    /// Lookups in memory only: those that could not answer, and those that could.
    pub in_memory: [u64; 2],
    /// Commits of transactions with writes: those that met a conflict, and those that did not.
    pub commits: [u64; 2],
    /// The most levels in use.
    pub deepest: usize,
    /// The kinds of data written.
    pub data: Written,
}

/// The kinds of data that were written and acknowledged.
#[derive(Default)]
pub struct Written {
    /// Of keys and values.
    pub lengths: BTreeSet<Dealt>,
    /// Operations in a batch.
    pub counts: BTreeSet<usize>,
    /// The fills of values longer than a few bytes, and the stems of long keys.
    pub fills: BTreeSet<Fill>,
    /// See `fills`.
    pub stems: BTreeSet<(Fill, u64)>,
    /// Batches with values that compress and others that do not.
    pub mixed_batches: u64,
}

/// Longer values show how they were made.
const TELLING: usize = 64;

impl Written {
    fn add(&mut self, entries: &[Entry]) {
        let contents = || entries.iter().filter_map(Entry::content);
        let keys = entries.iter().filter_map(Entry::key);
        self.stems.extend(keys.clone().filter_map(stem_of));
        self.lengths.extend(keys.map(|key| Dealt::Key(key.len())));
        self.lengths
            .extend(contents().map(|content| Dealt::Value(content.length)));
        self.counts.insert(entries.len());
        let telling = contents().filter(|content| content.length > TELLING);
        let fills: BTreeSet<Fill> = telling.map(|content| content.fill).collect();
        let is_mixed = fills.contains(&Fill::Noise) && fills.len() > 1;
        self.mixed_batches += u64::from(is_mixed);
        self.fills.extend(fills);
    }

    fn join(&mut self, other: &Written) {
        self.lengths.extend(&other.lengths);
        self.counts.extend(&other.counts);
        self.fills.extend(&other.fills);
        self.stems.extend(&other.stems);
        self.mixed_batches += other.mixed_batches;
    }
}

impl Tally {
    /// Adds the counts of another history.
    pub fn add(&mut self, other: &Tally) {
        for (name, count) in &other.operations {
            *self.operations.entry(name).or_default() += count;
        }
        for (name, count) in &other.faults {
            *self.faults.entry(name.clone()).or_default() += count;
        }
        self.injected += other.injected;
        self.power_cuts += other.power_cuts;
        self.opens_failed += other.opens_failed;
        self.writes_failed += other.writes_failed;
        for (count, more) in self.in_memory.iter_mut().zip(other.in_memory) {
            *count += more;
        }
        for (count, more) in self.commits.iter_mut().zip(other.commits) {
            *count += more;
        }
        self.deepest = self.deepest.max(other.deepest);
        self.data.join(&other.data);
    }
}

/// A result whose error says in words what is wrong.
pub type Checked<T> = Result<T, String>;

/// Decides whether a call may answer as it does.
pub trait Judge {
    /// A call begins.
    fn begin(&self) {}

    /// `call` has succeeded, or failed with `error`; while it ran, `injected` operations on the disk failed on purpose.
    fn judge(&self, call: &str, error: Option<&Error>, injected: u64) -> Checked<()>;
}

/// RUN-2.
struct Usual;

impl Judge for Usual {
    fn judge(&self, call: &str, error: Option<&Error>, injected: u64) -> Checked<()> {
        match error.map(|error| (error, error.kind())) {
            None => Ok(()),
            Some((error, _)) if injected == 0 => Err(format!(
                "{call} failed although no fault was injected: {error}"
            )),
            Some((_, ErrorKind::Io | ErrorKind::NoSpace)) => Ok(()),
            Some((error, _)) => Err(format!("{call} turned a fault into another error: {error}")),
        }
    }
}

/// Runs the history under the options of one side. Returns a digest of each answer, and the counts.
pub fn run(history: &History, side: u64, place: &Place) -> Checked<(Vec<u64>, Tally)> {
    let mut run = Run::new(history, side, place);
    for (at, operation) in history.operations.iter().enumerate() {
        run.step(operation)
            .map_err(|what| format!("operation {at}, {}: {what}", printed(operation)))?;
    }
    run.finish()
        .map_err(|what| format!("after the last operation: {what}"))?;
    Ok((run.answers, run.tally))
}

/// An operation in printable form: keys may have megabytes.
pub fn printed(operation: &Operation) -> String {
    const MAX_SHOWN: usize = 2000;
    let mut text = format!("{operation:?}");
    if text.len() > MAX_SHOWN {
        let rest = text.len() - MAX_SHOWN;
        // Debug prints bytes and names in ASCII.
        text.truncate(MAX_SHOWN);
        text.push_str(&format!("... and {rest} characters more"));
    }
    text
}

/// The options for a number, so small that a few hundred writes reach several levels.
pub fn options(number: u64) -> Options {
    let mut random = Random::new(number);
    let options = crate::options(&mut random);
    let buffer = *random.pick(&[4 << 10, 4 << 10, 8 << 10, 32 << 10, 1 << 20]);
    options
        .write_buffer_size(buffer)
        .bloom_bits_per_key(random.below(17))
        .manual_background(true)
}

/// The two sides draw different options from the same number.
fn options_of(number: u64, side: u64) -> Options {
    options(number.wrapping_add(side.wrapping_mul(0x9e37_79b9)))
}

struct OpenCursor {
    cursor: Cursor,
    model: ModelCursor,
    keys: bool,
    values: bool,
}

/// A running history.
pub struct Run {
    /// The directory of the database and its copies.
    root: PathBuf,
    /// The files, if they are in memory.
    memory: Option<MemEnv>,
    disk: Arc<dyn Env>,
    faults: FaultEnv,
    /// The active faults, to tell which of them strikes.
    plans: Vec<FaultPlan>,
    /// How many faults are counted already: those of earlier environments and so many of this one.
    counted: u64,
    judge: Arc<dyn Judge>,
    /// Calls that returned an error.
    failed: Cell<u64>,
    db: Option<DB>,
    /// The first contents of the open database have been read: `possible` knows them.
    is_read: bool,
    side: u64,
    options: Options,
    /// Background work runs in steps.
    is_manual: bool,
    possible: Arc<Mutex<Possible>>,
    /// The contents that a read-only open found. The next ordinary open must find them too.
    looked: Option<Model>,
    snapshots: Vec<(Snapshot, Arc<Model>)>,
    cursors: Vec<OpenCursor>,
    transactions: Vec<OpenTransaction>,
    checkpoints: u64,
    /// Every key of a write, whether it succeeded or not.
    written: HashSet<Vec<u8>>,
    /// Each of them was put once, and none was deleted.
    has_only_new_keys: bool,
    answers: Vec<u64>,
    tally: Tally,
}

fn quiet_disk(disk: &MemEnv) {
    disk.hold_clock(Some(1));
}

/// A number that represents an answer.
pub fn digest(answer: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    answer.hash(&mut hasher);
    hasher.finish()
}

impl Run {
    fn new(history: &History, side: u64, place: &Place) -> Run {
        let options = options_of(history.options, side);
        match place {
            Place::Memory => {
                let memory = MemEnv::new();
                quiet_disk(&memory);
                let faults = FaultEnv::new(Arc::new(memory.clone()), 0);
                Run {
                    side,
                    ..Run::over("/", memory, faults, options, None)
                }
            }
            Place::Directory(directory) => {
                let disk: Arc<dyn Env> = Arc::new(OsEnv::new());
                let faults = FaultEnv::new(Arc::clone(&disk), 0);
                let run = Run::over(directory, MemEnv::new(), faults, options, None);
                Run {
                    side,
                    memory: None,
                    disk,
                    ..run.with_threads()
                }
            }
        }
    }

    /// A database at `root/db` on `memory`, beneath `faults`, under `options`; background work runs in steps.
    pub fn over(
        root: impl Into<PathBuf>,
        memory: MemEnv,
        faults: FaultEnv,
        options: Options,
        judge: Option<Arc<dyn Judge>>,
    ) -> Run {
        Run {
            root: root.into(),
            faults,
            disk: Arc::new(memory.clone()),
            memory: Some(memory),
            plans: Vec::new(),
            counted: 0,
            judge: judge.unwrap_or(Arc::new(Usual)),
            failed: Cell::new(0),
            db: None,
            is_read: false,
            side: 0,
            is_manual: true,
            options: options.manual_background(true),
            possible: Arc::default(),
            looked: None,
            snapshots: Vec::new(),
            cursors: Vec::new(),
            transactions: Vec::new(),
            checkpoints: 0,
            written: HashSet::new(),
            has_only_new_keys: true,
            answers: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The options for a number.
    fn options(&self, number: u64) -> Options {
        options_of(number, self.side).manual_background(self.is_manual)
    }

    /// The possible contents of the database.
    pub fn possible(&self) -> MutexGuard<'_, Possible> {
        self.possible
            .lock()
            .expect("a panic has failed the test already")
    }

    /// The same, for a test that looks at the disk during a call.
    pub fn shared_possible(&self) -> Arc<Mutex<Possible>> {
        Arc::clone(&self.possible)
    }

    /// Whether the database is open and its first contents have been read.
    pub fn is_ready(&self) -> bool {
        self.db.is_some() && self.is_read
    }

    /// Threads do the background work.
    pub fn with_threads(mut self) -> Run {
        self.options = self.options.manual_background(false);
        self.is_manual = false;
        self
    }

    fn dir(&self) -> PathBuf {
        self.root.join("db")
    }

    /// The files of the database, with injected faults.
    fn env(&self) -> Arc<dyn Env> {
        match self.memory {
            Some(_) => Arc::new(self.faults.clone()),
            None => Arc::clone(&self.disk),
        }
    }

    /// Another directory beside the database's.
    fn next_copy(&mut self) -> PathBuf {
        self.checkpoints += 1;
        self.root.join(format!("copy-{}", self.checkpoints))
    }

    /// Does one operation. Returns whether none of its calls failed.
    pub fn step(&mut self, operation: &Operation) -> Checked<bool> {
        let failed = self.failed.get();
        *self.tally.operations.entry(operation.name()).or_default() += 1;
        match operation {
            Operation::Inject(plans) => self.inject(plans),
            Operation::ClearFaults => self.clear_faults(),
            Operation::Reopen {
                end,
                options,
                look_first,
                faults,
            } => self.reopen(*end, *options, *look_first, faults)?,
            Operation::Repair => self.repair()?,
            _ => {
                // An earlier open failed: this one may fail too, while faults last.
                self.open()?;
                if let Some(db) = self.db.clone().filter(|_| self.is_read) {
                    self.on_open(&db, operation)?;
                }
            }
        }
        self.count_faults();
        Ok(self.failed.get() == failed)
    }

    fn on_open(&mut self, db: &DB, operation: &Operation) -> Checked<()> {
        match operation {
            Operation::Put { key, value, sync } => {
                let options = WriteOptions::new().sync(*sync);
                let entries = [Entry::Put(key.clone(), *value)];
                self.write(db, &entries, *sync, || {
                    db.put_with(key, &value.bytes(), &options)
                })
            }
            Operation::Delete { key, sync } => {
                let options = WriteOptions::new().sync(*sync);
                let entries = [Entry::Delete(key.clone())];
                self.write(db, &entries, *sync, || db.delete_with(key, &options))
            }
            Operation::DeleteRange { start, end, sync } => {
                let options = WriteOptions::new().sync(*sync);
                let entries = [Entry::DeleteRange(start.clone(), end.clone())];
                self.write(db, &entries, *sync, || {
                    db.delete_range_with(start.as_deref(), end.as_deref(), &options)
                })
            }
            Operation::DeletePrefix { prefix, sync } => {
                let options = WriteOptions::new().sync(*sync);
                let entries = [Entry::DeletePrefix(prefix.clone())];
                self.write(db, &entries, *sync, || {
                    db.delete_prefix_with(prefix, &options)
                })
            }
            Operation::Batch { entries, sync } => {
                let batch = batch_of(entries).map_err(|error| error.to_string())?;
                let options = WriteOptions::new().sync(*sync);
                self.write(db, entries, *sync, || db.write_with(&batch, &options))
            }
            Operation::Get {
                key,
                snapshot,
                fill_cache,
            } => self.get(db, key, *snapshot, *fill_cache),
            Operation::GetMany { keys, snapshot } => self.get_many(db, keys, *snapshot),
            Operation::Begin { read_only } => self.begin_transaction(db, *read_only),
            Operation::Within { transaction, steps } => {
                self.within_transaction(*transaction, steps)
            }
            Operation::Commit { transaction, sync } => {
                self.commit_transaction(db, *transaction, *sync)
            }
            Operation::RollBack(transaction) => self.roll_back(*transaction),
            Operation::Snapshot => {
                let snapshot = self.sure("snapshot", db.snapshot())?;
                let model = self.possible().now();
                self.snapshots.push((snapshot, model));
                Ok(())
            }
            Operation::DropSnapshot(at) => {
                if self.snapshots.is_empty() {
                    return Ok(());
                }
                let at = at % self.snapshots.len();
                let (snapshot, model) = self.snapshots.swap_remove(at);
                self.read_at(db, &snapshot, &model)
            }
            Operation::OpenCursor {
                walk,
                snapshot,
                keys,
                values,
                fill_cache,
            } => {
                let (snapshot, model) = self.at(*snapshot);
                let options = IterOptions::new()
                    .snapshot(snapshot)
                    .lower_bound(walk.lower.clone())
                    .upper_bound(walk.upper.clone())
                    .prefix(walk.prefix.clone())
                    .reverse(walk.reverse)
                    .keys(*keys)
                    .values(*values)
                    .fill_cache(*fill_cache);
                let model = ModelCursor::new(&model, walk);
                let cursor = self.sure("cursor", db.cursor(options))?;
                self.cursors.push(OpenCursor {
                    cursor,
                    model,
                    keys: *keys,
                    values: *values,
                });
                Ok(())
            }
            Operation::MoveCursor { cursor, moves } => self.move_cursor(*cursor, moves),
            Operation::DropCursor(at) => {
                if !self.cursors.is_empty() {
                    self.cursors.swap_remove(at % self.cursors.len());
                }
                Ok(())
            }
            Operation::Iterate {
                lower,
                upper,
                from_the_back,
            } => self.iterate(db, lower, upper, from_the_back),
            Operation::Count {
                walk,
                snapshot,
                fill_cache,
            } => self.count(db, walk, *snapshot, *fill_cache),
            Operation::Flush => self.durably("flush", || db.flush()),
            Operation::Compact { start, end } => self.durably("compact_range", || {
                db.compact_range(start.as_deref(), end.as_deref())
            }),
            Operation::BackgroundSteps(steps) => {
                let steps = if self.is_manual { *steps } else { 0 };
                for _ in 0..steps {
                    if self.call("background step", || db.run_background_step())? == Some(false) {
                        break;
                    }
                }
                self.measure(db);
                Ok(())
            }
            Operation::Checkpoint {
                options,
                read_only,
                cut,
            } => self.checkpoint(db, *options, *read_only, *cut),
            Operation::Report => {
                let size = self.call("approximate_size", || {
                    db.approximate_size(Some(b"a"), Some(b"b"))
                })?;
                let levels = self.sure("stats", db.stats())?.levels;
                let all: u64 = levels.iter().map(|level| level.bytes).sum();
                // The threads may have replaced the tables by now.
                if self.is_manual && size.is_some_and(|size| size > all) {
                    return Err(format!("a range takes {size:?} of {all} bytes"));
                }
                self.sure("property", db.property("aidb.stats"))?;
                self.measure(db);
                Ok(())
            }
            Operation::Compare => self.compare(db),
            Operation::Verify => {
                let before = self.faults.injected();
                match self.call("verify", || db.verify())? {
                    Some(report) if !report.is_ok() && self.faults.injected() == before => {
                        Err(format!("verify: {report:?}"))
                    }
                    _ => Ok(()),
                }
            }
            Operation::Refuse { length } => self.refuse(db, *length),
            Operation::Inject(_)
            | Operation::ClearFaults
            | Operation::Reopen { .. }
            | Operation::Repair => Ok(()),
        }
    }

    /// RUN-2: the call's answer, or `None` if it failed because of a fault.
    fn call<T>(&self, call: &str, work: impl FnOnce() -> aidb::Result<T>) -> Checked<Option<T>> {
        self.judge.begin();
        let before = self.faults.injected();
        let outcome = work();
        let injected = self.faults.injected() - before;
        self.judge.judge(call, outcome.as_ref().err(), injected)?;
        self.failed
            .set(self.failed.get() + u64::from(outcome.is_err()));
        Ok(outcome.ok())
    }

    /// RUN-3: reads and compares, unless the read fails because of a fault.
    fn read(&self, how: &str, read: impl FnOnce() -> aidb::Result<Differs>) -> Checked<()> {
        match self.call(how, read)? {
            Some(Some(what)) => Err(format!("{how}: {what}")),
            _ => Ok(()),
        }
    }

    fn read_at(&self, db: &DB, snapshot: &Snapshot, model: &Model) -> Checked<()> {
        self.read("walk", || walk_differs(db, model, Some(snapshot), false))
            .map_err(|what| format!("at snapshot {}: {what}", snapshot.sequence()))
    }

    /// Reads in every way from a ready database: walks, the first key and `keys`, alone and at once. Returns whether
    /// all of it worked.
    pub fn read_some(&self, keys: &[Vec<u8>]) -> Checked<bool> {
        let db = self.db.as_ref().expect("it is ready");
        let failed = self.failed.get();
        let model = self.possible().now();
        self.read("walk", || walk_differs(db, &model, None, false))?;
        self.read("walk back", || walk_differs(db, &model, None, true))?;
        let first = model.iter().next().map(|(key, _)| key);
        for key in first.into_iter().chain(keys.iter().map(Vec::as_slice)) {
            self.read("get", || get_differs(db, &model, key))?;
        }
        self.read("get_many", || gets_differ(db, &model, keys))?;
        Ok(self.failed.get() == failed)
    }

    /// The answer of a call that does not use the disk.
    fn sure<T>(&self, call: &str, outcome: aidb::Result<T>) -> Checked<T> {
        outcome.map_err(|error| format!("{call} failed: {error}"))
    }

    /// The snapshot, if one is asked for, and the contents at it.
    fn at(&self, snapshot: Option<usize>) -> (Option<Snapshot>, Arc<Model>) {
        match snapshot {
            Some(at) if !self.snapshots.is_empty() => {
                let (snapshot, model) = &self.snapshots[at % self.snapshots.len()];
                (Some(snapshot.clone()), Arc::clone(model))
            }
            _ => (None, self.possible().now()),
        }
    }

    fn write(
        &mut self,
        db: &DB,
        entries: &[Entry],
        sync: bool,
        write: impl FnOnce() -> aidb::Result<SequenceNumber>,
    ) -> Checked<()> {
        for entry in entries {
            self.has_only_new_keys &= match entry {
                Entry::Put(key, _) => self.written.insert(key.clone()),
                _ => false,
            };
        }
        let number = |outcome: aidb::Result<Snapshot>| self.sure("snapshot", outcome);
        let first = number(db.snapshot())?.sequence().0;
        let count = operations(entries) as u64;
        if count > 0 {
            self.possible().begin(entries);
        }
        // A conflict is an answer, whatever else fails.
        let mut is_refused = false;
        let outcome = self.call("write", || match write() {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                is_refused = true;
                Ok(SequenceNumber(first))
            }
            outcome => outcome,
        })?;
        let taken = number(db.snapshot())?.sequence().0 - first;
        if is_refused {
            self.possible().refused();
            return match taken {
                0 => Ok(()),
                _ => Err("a write that was refused is seen".to_string()),
            };
        }
        self.tell_transactions(entries, taken != 0);
        if taken != 0 && taken != count {
            return Err(format!("{taken} of {count} operations are seen"));
        }
        if taken != 0 {
            self.possible().seen();
        }
        match outcome {
            Some(_) if taken != count => {
                return Err("the write was acknowledged and is not seen".to_string());
            }
            Some(last) if last.0 != first + taken => {
                return Err(format!(
                    "the write of {taken} after {first} answered {last}"
                ));
            }
            Some(_) => {
                self.tally.data.add(entries);
                if sync {
                    self.possible().all_durable();
                }
            }
            None => self.tally.writes_failed += 1,
        }
        Ok(())
    }

    fn durably(&mut self, call: &str, work: impl FnOnce() -> aidb::Result<()>) -> Checked<()> {
        // An open database whose contents have not been read may hold less than the readers saw.
        if self.call(call, work)?.is_some() && self.is_read {
            self.possible().all_durable();
        }
        Ok(())
    }

    fn get(
        &mut self,
        db: &DB,
        key: &[u8],
        snapshot: Option<usize>,
        fill_cache: bool,
    ) -> Checked<()> {
        let (snapshot, model) = self.at(snapshot);
        let options = ReadOptions::new()
            .snapshot(snapshot.as_ref())
            .fill_cache(fill_cache);
        self.get_in_memory(db, &model, key, &options)?;
        let found = self.call("get", || db.get_with(key, &options))?;
        let held = self.call("contains_key", || db.contains_key_with(key, &options))?;
        if let Some(found) = &found
            && let Some(what) = value_differs(&model, key, found.as_deref())
        {
            return Err(format!("get: {what}"));
        }
        if held.is_some_and(|held| held != model.get(key).is_some()) {
            return Err(format!("contains_key answered {held:?}"));
        }
        let answer = digest(found.as_ref().map(|found| found.as_deref()));
        self.answers.push(answer);
        Ok(())
    }

    /// A lookup in memory only is right if it answers, and no fault can make it fail, because it reads no file. Which
    /// keys it can answer for depends on the options, so this is no answer of the history.
    fn get_in_memory(
        &mut self,
        db: &DB,
        model: &Model,
        key: &[u8],
        options: &ReadOptions<'_>,
    ) -> Checked<()> {
        let found = self.sure("get_in_memory", db.get_in_memory(key, options))?;
        let value = match &found {
            Remembered::Value(value) => Some(&value[..]),
            Remembered::Absent => None,
            _ => {
                self.tally.in_memory[0] += 1;
                return Ok(());
            }
        };
        self.tally.in_memory[1] += 1;
        match value_differs(model, key, value) {
            Some(what) => Err(format!("get_in_memory: {what}")),
            None => Ok(()),
        }
    }

    fn get_many(&mut self, db: &DB, keys: &[Vec<u8>], snapshot: Option<usize>) -> Checked<()> {
        let (snapshot, model) = self.at(snapshot);
        let options = ReadOptions::new().snapshot(snapshot.as_ref());
        let found = self.call("get_many", || db.get_many_with(keys, &options))?;
        let Some(found) = found else { return Ok(()) };
        if found.len() != keys.len() {
            return Err(format!("{} answers for {} keys", found.len(), keys.len()));
        }
        for (key, value) in keys.iter().zip(&found) {
            if let Some(what) = value_differs(&model, key, value.as_deref()) {
                return Err(format!("get_many: {what}"));
            }
        }
        let answer: Vec<_> = found.iter().map(|value| value.as_deref()).collect();
        let answer = digest(answer);
        self.answers.push(answer);
        Ok(())
    }

    fn move_cursor(&mut self, at: usize, moves: &[Move]) -> Checked<()> {
        if self.cursors.is_empty() {
            return Ok(());
        }
        let at = at % self.cursors.len();
        let mut open = self.cursors.swap_remove(at);
        for step in moves {
            let before = self.faults.injected();
            let moved = self
                .move_one(&mut open, step)
                .map_err(|what| format!("{step:?}: {what}"))?;
            let Some(answer) = moved else {
                // After an error the cursor has no place until the next absolute move.
                if self.faults.injected() == before {
                    return Err(format!("{step:?} failed although no fault was injected"));
                }
                if open.cursor.valid() || open.cursor.status().is_ok() || open.cursor.next().is_ok()
                {
                    return Err(format!("{step:?} failed, and the cursor forgot it"));
                }
                return Ok(());
            };
            self.answers.push(answer);
        }
        self.cursors.push(open);
        Ok(())
    }

    /// Moves cursor and model. Returns a digest of their place, or `None` after an error.
    fn move_one(&self, open: &mut OpenCursor, step: &Move) -> Checked<Option<u64>> {
        let OpenCursor {
            cursor,
            model,
            keys,
            values,
        } = open;
        let (keys, values) = (*keys, *values);
        let visible = |key: &[u8], value: &[u8]| {
            let key = if keys { key.to_vec() } else { Vec::new() };
            let value = if values { value.to_vec() } else { Vec::new() };
            (key, value)
        };
        if let Move::Chunk(most) = step {
            return self.read_chunk(cursor, model, *most, visible);
        }
        let moved = self.call("move", || match step {
            Move::First => {
                model.first();
                cursor.first()
            }
            Move::Last => {
                model.last();
                cursor.last()
            }
            Move::Seek(key) => {
                model.seek(key);
                cursor.seek(key)
            }
            Move::SeekForPrev(key) => {
                model.seek_for_prev(key);
                cursor.seek_for_prev(key)
            }
            Move::Next => {
                model.next();
                cursor.next()
            }
            Move::Prev | Move::Chunk(_) => {
                model.prev();
                cursor.prev()
            }
        })?;
        let Some(on) = moved else {
            return Ok(None);
        };
        let found = on.then(|| visible(cursor.key(), cursor.value()));
        let expected = model.entry().map(|(key, value)| visible(key, value));
        if found != expected || cursor.valid() != on {
            let key =
                |entry: &Option<(Vec<u8>, Vec<u8>)>| entry.as_ref().map(|(key, _)| shown(key));
            return Err(format!(
                "stands at {:?} instead of {:?}, or its value is wrong",
                key(&found),
                key(&expected)
            ));
        }
        Ok(Some(digest(found)))
    }

    /// As [`Self::move_one`], over this many entries at once.
    fn read_chunk(
        &self,
        cursor: &mut Cursor,
        model: &mut ModelCursor,
        most: usize,
        visible: impl Fn(&[u8], &[u8]) -> (Vec<u8>, Vec<u8>),
    ) -> Checked<Option<u64>> {
        if model.is_new() {
            model.first();
        }
        let mut expected = Vec::new();
        while expected.len() < most
            && let Some((key, value)) = model.entry()
        {
            expected.push(visible(key, value));
            model.next();
        }
        let mut chunk = Chunk::new();
        let outcome = self.call("read_chunk", || {
            cursor.read_chunk(&mut chunk, most, usize::MAX)
        })?;
        if outcome.is_none() {
            return Ok(None);
        }
        let found: Vec<_> = chunk
            .iter()
            .map(|(k, v)| (k.to_vec(), v.to_vec()))
            .collect();
        if found != expected {
            return Err(format!(
                "{} entries, expected {}, or others",
                found.len(),
                expected.len()
            ));
        }
        // A read after the chunk may have failed already: the next move reports it.
        match cursor.status() {
            Ok(()) => Ok(Some(digest(found))),
            Err(_) => Ok(None),
        }
    }

    fn iterate(
        &mut self,
        db: &DB,
        lower: &Option<Vec<u8>>,
        upper: &Option<Vec<u8>>,
        from_the_back: &[bool],
    ) -> Checked<()> {
        use std::ops::Bound;
        let bound = (
            lower.clone().map_or(Bound::Unbounded, Bound::Included),
            upper.clone().map_or(Bound::Unbounded, Bound::Excluded),
        );
        let walk = Walk {
            lower: lower.clone(),
            upper: upper.clone(),
            ..Walk::default()
        };
        let expected = self.possible().now().entries(&walk);
        let found = self.call("iterate", || {
            let mut iter = db.range::<Vec<u8>>(bound);
            let (mut front, mut back) = (Vec::new(), Vec::new());
            for from_the_back in from_the_back.iter().copied() {
                let (item, to) = match from_the_back {
                    true => (iter.next_back(), &mut back),
                    false => (iter.next(), &mut front),
                };
                let Some(item) = item else { break };
                to.push(item?);
            }
            for item in iter {
                front.push(item?);
            }
            front.extend(back.into_iter().rev());
            Ok(front)
        })?;
        let Some(front) = found else { return Ok(()) };
        if front != expected {
            return Err(format!(
                "{} entries, expected {}, or others",
                front.len(),
                expected.len()
            ));
        }
        self.answers.push(digest(front));
        Ok(())
    }

    fn count(
        &mut self,
        db: &DB,
        walk: &Walk,
        snapshot: Option<usize>,
        fill_cache: bool,
    ) -> Checked<()> {
        let (start, end) = (walk.lower.as_deref(), walk.upper.as_deref());
        let (snapshot, model) = self.at(snapshot);
        let options = CountOptions::new()
            .snapshot(snapshot.as_ref())
            .prefix(walk.prefix.as_deref())
            .fill_cache(fill_cache);
        let counted = self.call("count", || {
            db.count_with(start, end, &options, &mut |_| ControlFlow::Continue(()))
        })?;
        let expected = model.entries(walk).len() as u64;
        if let Some(counted) = counted {
            if counted != expected {
                return Err(format!("{counted} entries counted, expected {expected}"));
            }
            self.answers.push(counted);
        }
        self.call("approximate_count", || db.approximate_count(start, end))?;
        let all = self.call("approximate_count", || db.approximate_count(None, None))?;
        let expected = self.possible().now().len() as u64;
        match all {
            Some(all) if self.has_only_new_keys && all != expected => Err(format!(
                "about {all} entries, although nothing is hidden and there are {expected}"
            )),
            _ => Ok(()),
        }
    }

    fn checkpoint(&mut self, db: &DB, number: u64, read_only: bool, cut: u64) -> Checked<()> {
        let path = self.next_copy();
        if self.call("checkpoint", || db.checkpoint(&path))?.is_none() {
            return Ok(());
        }
        self.possible().all_durable();
        // Power fails before the copy is destroyed.
        let after_cut = self.memory.as_ref().map(|memory| memory.power_cut(cut));
        after_cut.iter().for_each(quiet_disk);
        let options = self.options(number).read_only(read_only);
        self.holds_all(&path, options.clone().env(self.env()), "now")?;
        if let Some(after_cut) = after_cut {
            let options = options.env(Arc::new(after_cut));
            self.surely_holds_all(&path, options, "after a power cut")?;
        }
        Ok(())
    }

    /// As [`Self::holds_all`], where no fault is active.
    fn surely_holds_all(&self, path: &Path, options: Options, when: &str) -> Checked<()> {
        let failed = self.failed.get();
        self.holds_all(path, options, when)?;
        match self.failed.get() == failed {
            true => Ok(()),
            false => Err(format!(
                "the copy {when} cannot be opened, read and destroyed"
            )),
        }
    }

    /// A copy opens on its own and holds what the database holds; then the test destroys it.
    fn holds_all(&self, path: &Path, options: Options, when: &str) -> Checked<()> {
        let about = |what: String| format!("the copy {when}: {what}");
        let open = || DB::open(path, options.clone().create_if_missing(false));
        let Some(copy) = self.call("open", open).map_err(about)? else {
            return Ok(());
        };
        let model = self.possible().now();
        self.read("walk", || walk_differs(&copy, &model, None, false))
            .map_err(about)?;
        drop(copy);
        let destroyed = self.call("destroy", || DB::destroy(path, &options));
        destroyed.map(drop).map_err(about)
    }

    /// Repair loses nothing of an undamaged database, even if the process has died.
    fn repair(&mut self) -> Checked<()> {
        if !self.is_read || !self.plans.is_empty() || !self.possible().is_certain() {
            return Ok(());
        }
        self.end_life(End::Drop)?;
        let path = self.next_copy();
        let options = self.options.clone().env(Arc::clone(&self.disk));
        let report = DB::repair(self.dir(), &path, &options);
        let report = report.map_err(|error| format!("repair: {error}"))?;
        if !report.is_ok() {
            return Err(format!("repair: {report:?}"));
        }
        self.surely_holds_all(&path, options, "made by repair")?;
        self.open()
    }

    /// The engine rejects keys of `length` bytes at any time, and nothing changes.
    fn refuse(&self, db: &DB, length: usize) -> Checked<()> {
        let key = vec![b'k'; length];
        let mut batch = WriteBatch::new();
        for outcome in [
            db.put(&key, b"v").map(drop),
            db.delete(&key).map(drop),
            batch.put(&key, b"v"),
            batch.delete(&key),
        ] {
            match outcome {
                Err(error) if error.kind() == ErrorKind::InvalidArgument => {}
                Err(error) => return Err(format!("a long key caused another error: {error}")),
                Ok(()) => return Err(format!("a key of {length} bytes was accepted")),
            }
        }
        match batch.is_empty() {
            true => Ok(()),
            false => Err("a batch kept an operation that it refused".to_string()),
        }
    }

    fn measure(&mut self, db: &DB) {
        if let Ok(stats) = db.stats() {
            let deepest = stats.levels.iter().rposition(|level| level.tables > 0);
            self.tally.deepest = self.tally.deepest.max(deepest.map_or(0, |at| at + 1));
        }
    }

    /// Compares everything, now and at every snapshot, by walks and by gets.
    fn compare(&mut self, db: &DB) -> Checked<()> {
        let model = self.possible().now();
        if let Some(found) = self.call("iterate", || contents(db))?
            && found != *model
        {
            return Err(difference(&model, &found));
        }
        let backward = self.call("iterate backward", || db.iter().rev().collect())?;
        if let Some(backward) = backward {
            let mut backward: Vec<_> = backward;
            backward.reverse();
            if backward != model.entries(&Walk::default()) {
                return Err("a walk backward differs from one forward".to_string());
            }
        }
        for (key, _) in model.iter() {
            self.read("get", || get_differs(db, &model, key))?;
        }
        for (snapshot, model) in &self.snapshots {
            self.read_at(db, snapshot, model)?;
        }
        Ok(())
    }

    fn reopen(
        &mut self,
        end: End,
        options: Option<u64>,
        look_first: bool,
        faults: &[FaultPlan],
    ) -> Checked<()> {
        self.end_life(end)?;
        if let Some(number) = options {
            self.options = self.options(number);
        }
        if look_first
            && self
                .disk
                .list(&self.dir())
                .is_ok_and(|names| !names.is_empty())
        {
            self.look()?;
        }
        self.count_faults();
        if !faults.is_empty() {
            self.inject(faults);
        }
        self.open()
    }

    /// Ends a life of the database; the next operation that needs it opens it again.
    pub fn end_life(&mut self, end: End) -> Checked<()> {
        if let End::PowerCut { seed } = end {
            let Some(memory) = &self.memory else {
                return Err("a directory of the machine loses no power".to_string());
            };
            let after = memory.power_cut(seed);
            quiet_disk(&after);
            // The old life ends on the old disk, which nobody reads any more.
            self.snapshots.clear();
            self.cursors.clear();
            self.transactions.clear();
            self.db = None;
            self.is_read = false;
            self.replace_disk(after, seed);
            self.possible().power_cut();
            // The power loss may have removed what a read-only open saw.
            self.looked = None;
            self.tally.power_cuts += 1;
            return Ok(());
        }
        let Some(db) = self.db.take() else {
            return Ok(());
        };
        if end == End::Close {
            self.durably("close", || db.close())?;
            let closed = |outcome: Option<aidb::Error>| {
                outcome.is_some_and(|error| error.kind() == ErrorKind::Closed)
            };
            if !closed(db.get(b"a").err()) || !closed(db.put(b"a", b"b").err()) {
                return Err("a closed database answers".to_string());
            }
            for open in &mut self.cursors {
                if !closed(open.cursor.first().err()) {
                    return Err("a cursor of a closed database moves".to_string());
                }
            }
            self.transactions_are_closed()?;
        }
        self.transactions.clear();
        self.cursors.clear();
        self.snapshots.clear();
        self.is_read = false;
        Ok(())
    }

    fn replace_disk(&mut self, disk: MemEnv, seed: u64) {
        self.count_faults();
        self.disk = Arc::new(disk.clone());
        self.faults = FaultEnv::new(Arc::clone(&self.disk), seed);
        self.plans.clear();
        self.counted = 0;
        self.memory = Some(disk);
    }

    /// Opens read-only, without faults, and keeps the contents for the ordinary open that follows.
    fn look(&mut self) -> Checked<()> {
        let options = self.options.clone().env(Arc::clone(&self.disk));
        let db = match DB::open(self.dir(), options.read_only(true)) {
            Ok(db) => db,
            // If the creation was cut short, the database holds nothing, and only a writer may create it.
            Err(error) if error.kind() == ErrorKind::InvalidArgument && self.is_empty() => {
                return Ok(());
            }
            Err(error) => return Err(format!("read-only open: {error}")),
        };
        let found = contents(&db).map_err(|error| format!("read-only iterate: {error}"))?;
        let refused = db.put(b"a", b"b").err();
        if refused.is_none_or(|error| error.kind() != ErrorKind::InvalidArgument) {
            return Err("a read-only database took a write".to_string());
        }
        self.looked = Some(found);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.possible().now().is_empty()
    }

    /// Opens the database, if it is not open, and reads its contents.
    pub fn open(&mut self) -> Checked<()> {
        if self.db.is_none() {
            let options = self.options.clone().env(self.env());
            self.db = self.call("open", || DB::open(self.dir(), options))?;
            self.tally.opens_failed += u64::from(self.db.is_none());
        }
        let Some(db) = self.db.as_ref().filter(|_| !self.is_read) else {
            return Ok(());
        };
        let Some(found) = self.call("iterate", || contents(db))? else {
            return Ok(());
        };
        if let Some(looked) = self.looked.take()
            && looked != found
        {
            let difference = difference(&looked, &found);
            return Err(format!("a read-only open saw something else: {difference}"));
        }
        let had_faults = self.faults.injected() > 0;
        self.possible().reopened(&found, had_faults)?;
        self.is_read = true;
        Ok(())
    }

    fn inject(&mut self, plans: &[FaultPlan]) {
        self.count_faults();
        self.faults.clear();
        for plan in plans {
            self.faults.inject(plan.fault());
        }
        self.plans = plans.to_vec();
    }

    fn clear_faults(&mut self) {
        self.count_faults();
        self.faults.clear();
        self.plans.clear();
    }

    /// Counts the faults injected since the last time; by kind only if one fault alone can have struck.
    fn count_faults(&mut self) {
        let injected = self.faults.injected();
        let new = injected - self.counted;
        self.counted = injected;
        self.tally.injected += new;
        if let ([plan], 1..) = (&self.plans[..], new) {
            let code = if plan.code == libc::EIO {
                "EIO"
            } else {
                "ENOSPC"
            };
            let often = if plan.times == u64::MAX {
                "sticky"
            } else {
                "once"
            };
            let mut names = vec![
                format!("{:?}", plan.call),
                code.to_string(),
                often.to_string(),
            ];
            if plan.partial {
                names.push("in part".to_string());
            }
            for name in names {
                *self.tally.faults.entry(name).or_default() += new;
            }
        }
    }

    /// Without faults everything works again, and survives a reopening; no file is left over.
    fn finish(&mut self) -> Checked<()> {
        self.clear_faults();
        self.open()?;
        let db = self.db.clone().ok_or("open failed without faults")?;
        self.compare(&db)?;
        self.durably("flush", || db.flush())?;
        self.compare(&db)?;
        self.durably("compact_range", || db.compact_range(None, None))?;
        self.compare(&db)?;
        drop(db);
        self.reopen(End::Close, None, true, &[])?;
        let db = self.db.clone().ok_or("open failed without faults")?;
        self.compare(&db)?;
        if self.is_manual {
            while self.sure("background step", db.run_background_step())? {}
        }
        self.measure(&db);
        let left = self.possible().now();
        let left: Vec<_> = left.iter().collect();
        let left = digest(left);
        self.answers.push(left);
        match self.is_manual {
            true => self.needs_every_file(&db),
            // The threads may be at work.
            false => Ok(()),
        }
    }

    fn needs_every_file(&self, db: &DB) -> Checked<()> {
        let names = self.sure("list", self.disk.list(&self.dir()))?;
        let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
        let levels = self.sure("stats", db.stats())?.levels;
        let tables: u64 = levels.iter().map(|level| level.tables).sum();
        match count(".log") == 1 && count(".sst") as u64 == tables {
            true => Ok(()),
            false => Err(format!("{tables} tables, and superfluous files: {names:?}")),
        }
    }
}

/// The name of a failing call in the counts.
pub fn fault_name(call: Call) -> String {
    format!("{call:?}")
}
