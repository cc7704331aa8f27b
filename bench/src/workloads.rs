//! The workloads, named as in db_bench and YCSB, and how each prepares and runs in its process.
//!
//! A process of its own ([`prepare`]) makes the data of a workload once per engine. Each round copies it, so that every
//! round begins with the same files. Reads begin with a warm cache. Unmeasured work (opening, warming, drawing numbers)
//! happens before the clock starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::data::{Order, Values, key, missing_key, mix};
use crate::engines::{Ability, CACHE_BYTES, Config, Engine, Failure, Kind, Start};
use crate::measure::{
    Measured, Meter, Sample, Until, disk_bytes, measure, peak_memory, wait_until_quiet,
};

/// The value size of all workloads except those of large values.
pub const VALUE_BYTES: usize = 100;
const KEY_BYTES: usize = 16;
/// Ends a fill if the engine is too slow for it; the rate counts the entries written so far.
const MAX_FILL: Duration = Duration::from_secs(30);
const MANY: usize = 100;

/// The contents of the store when a workload opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dataset {
    Nothing,
    /// Every entry, written in random order, compacted, closed.
    Settled,
    /// The files of a killed process: entries in the log alone.
    Killed,
    Values4k,
    Values64k,
}

impl Dataset {
    pub fn name(self) -> &'static str {
        match self {
            Dataset::Nothing => "nothing",
            Dataset::Settled => "settled",
            Dataset::Killed => "killed",
            Dataset::Values4k => "values-4k",
            Dataset::Values64k => "values-64k",
        }
    }

    pub fn from_name(name: &str) -> Option<Dataset> {
        let all = [
            Dataset::Nothing,
            Dataset::Settled,
            Dataset::Killed,
            Dataset::Values4k,
            Dataset::Values64k,
        ];
        all.into_iter().find(|dataset| dataset.name() == name)
    }

    fn value_bytes(self) -> usize {
        match self {
            Dataset::Values4k => 4 << 10,
            Dataset::Values64k => 64 << 10,
            _ => VALUE_BYTES,
        }
    }

    /// How many entries it has if the others have `entries`: about as many bytes, and at a million, 217,000 in the log.
    pub fn entries(self, entries: u64) -> u64 {
        match self {
            Dataset::Values4k => (entries / 20).max(10),
            Dataset::Values64k => (entries / 320).max(10),
            Dataset::Killed => (entries * 217 / 1000).clamp(1, 217_000),
            _ => entries,
        }
    }
}

/// The job of a process.
pub struct Task {
    pub engine: Kind,
    /// The directory of the store.
    pub path: PathBuf,
    pub entries: u64,
    /// How long reads and synced writes run.
    pub seconds: f64,
    pub round: u32,
    /// See [`Config::settings`].
    pub settings: Vec<String>,
}

impl Task {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn config(&self, cache_bytes: usize, synced: bool) -> Config<'_> {
        Config {
            cache_bytes,
            settings: &self.settings,
            synced,
        }
    }

    fn open(&self, cache_bytes: usize, synced: bool) -> Result<Box<dyn Engine>, Failure> {
        self.engine
            .open(&self.path, self.config(cache_bytes, synced))
    }

    fn seed(&self) -> u64 {
        mix(u64::from(self.round))
    }

    /// How long a store must be idle before it counts as settled.
    fn quiet(&self) -> Duration {
        Duration::from_secs_f64((self.seconds / 4.0).clamp(0.02, 0.3))
    }

    fn reading(&self) -> Until {
        Until {
            operations: u64::MAX,
            time: self.time(),
        }
    }
}

fn filling(operations: u64) -> Until {
    Until {
        operations,
        time: MAX_FILL,
    }
}

fn at_once() -> Result<Duration, Failure> {
    Ok(Duration::ZERO)
}

/// A workload: its name, its group, its dataset, and its function.
pub struct Workload {
    pub name: &'static str,
    pub group: Group,
    pub dataset: Dataset,
    /// The unit of its rate.
    pub unit: &'static str,
    /// Its duration without preparation, at a million entries and two seconds of reading, for the estimate.
    pub typical_seconds: f64,
    run: fn(&Task) -> Result<Measured, Failure>,
}

/// The tables and plots of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Writes,
    PointReads,
    Ranges,
    Ycsb,
    LargeValues,
    DataModel,
    Resources,
}

impl Group {
    pub const ALL: [Group; 7] = [
        Group::Writes,
        Group::PointReads,
        Group::Ranges,
        Group::Ycsb,
        Group::LargeValues,
        Group::DataModel,
        Group::Resources,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Group::Writes => "Writes",
            Group::PointReads => "Point reads",
            Group::Ranges => "Ranges",
            Group::Ycsb => "YCSB",
            Group::LargeValues => "Large values",
            Group::DataModel => "Transactions and range deletes",
            Group::Resources => "Recovery, memory, space",
        }
    }

    pub fn file_name(self) -> &'static str {
        match self {
            Group::Writes => "writes",
            Group::PointReads => "point-reads",
            Group::Ranges => "ranges",
            Group::Ycsb => "ycsb",
            Group::LargeValues => "large-values",
            Group::DataModel => "data-model",
            Group::Resources => "resources",
        }
    }
}

macro_rules! workloads {
    ($($name:literal $group:ident $dataset:ident $unit:literal $typical:literal $run:expr;)*) => {
        /// Every workload, in the order of the tables.
        pub const WORKLOADS: &[Workload] = &[$(Workload {
            name: $name,
            group: Group::$group,
            dataset: Dataset::$dataset,
            unit: $unit,
            typical_seconds: $typical,
            run: $run,
        },)*];
    };
}

workloads! {
    "fillseq"             Writes      Nothing   "entries" 5.0  |task| fill(task, Order::ascending(task.entries), 1);
    "fillrandom"          Writes      Nothing   "entries" 7.0  |task| fill(task, random(task), 1);
    "fillrandom-2"        Writes      Nothing   "entries" 9.0  |task| fill(task, random(task), 2);
    "fillsettled"         Writes      Nothing   "entries" 8.0  fill_settled;
    "overwrite"           Writes      Settled   "entries" 7.0  |task| fill(task, random(task), 1);
    "fillbatch-100"       Writes      Nothing   "entries" 4.0  |task| fill_batches(task, 100);
    "fillbatch-1000"      Writes      Nothing   "entries" 4.0  |task| fill_batches(task, 1000);
    "fillsync-1"          Writes      Nothing   "entries" 2.5  |task| fill_synced(task, 1);
    "fillsync-4"          Writes      Nothing   "entries" 2.5  |task| fill_synced(task, 4);
    "fillsync-8"          Writes      Nothing   "entries" 2.5  |task| fill_synced(task, 8);
    "deleterandom"        Writes      Settled   "entries" 6.0  delete_random;
    "readrandom"          PointReads  Settled   "entries" 4.0  |task| read_random(task, 1, CACHE_BYTES);
    "readrandom-2"        PointReads  Settled   "entries" 4.0  |task| read_random(task, 2, CACHE_BYTES);
    "readrandom-4"        PointReads  Settled   "entries" 4.0  |task| read_random(task, 4, CACHE_BYTES);
    "readunsettled"       PointReads  Nothing   "entries" 9.0  read_unsettled;
    "readmissing"         PointReads  Settled   "keys"    4.0  read_missing;
    "multiget-100"        PointReads  Settled   "keys"    4.0  multi_get;
    "readwhilewriting"    PointReads  Settled   "entries" 4.0  read_while_writing;
    "readrandom-tinycache" PointReads Settled   "entries" 4.0  |task| read_random(task, 1, tiny_cache(task));
    "seek-next-10"        Ranges      Settled   "seeks"   4.0  |task| seek(task, 10, false);
    "seek-next-100"       Ranges      Settled   "seeks"   4.0  |task| seek(task, 100, false);
    "seek-prev-10"        Ranges      Settled   "seeks"   4.0  |task| seek(task, 10, true);
    "scan"                Ranges      Settled   "entries" 4.0  |task| scan(task, false);
    "scan-reverse"        Ranges      Settled   "entries" 4.0  |task| scan(task, true);
    "ycsb-a"              Ycsb        Settled   "calls"   4.0  |task| ycsb(task, Mix::A);
    "ycsb-b"              Ycsb        Settled   "calls"   4.0  |task| ycsb(task, Mix::B);
    "ycsb-c"              Ycsb        Settled   "calls"   4.0  |task| ycsb(task, Mix::C);
    "ycsb-d"              Ycsb        Settled   "calls"   4.0  |task| ycsb(task, Mix::D);
    "ycsb-e"              Ycsb        Settled   "calls"   6.0  |task| ycsb(task, Mix::E);
    "ycsb-f"              Ycsb        Settled   "calls"   4.0  |task| ycsb(task, Mix::F);
    "fill-4k"             LargeValues Nothing   "entries" 2.0  |task| fill_large(task, Dataset::Values4k);
    "read-4k"             LargeValues Values4k  "entries" 3.0  |task| read_large(task, Dataset::Values4k);
    "fill-64k"            LargeValues Nothing   "entries" 1.5  |task| fill_large(task, Dataset::Values64k);
    "read-64k"            LargeValues Values64k "entries" 3.0  |task| read_large(task, Dataset::Values64k);
    "get-put"             DataModel   Settled   "calls"   4.0  get_put;
    "txn"                 DataModel   Settled   "calls"   4.0  transactions;
    "delete-range"        DataModel   Settled   "calls"   3.0  delete_range;
    "first-after-delete-range" DataModel Settled "calls"  3.0  first_after_delete_range;
    "open-after-kill"     Resources   Killed    "opens"   1.5  open_after_kill;
}

pub fn workload(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

impl Workload {
    /// Whether the engine can do what it measures.
    pub fn suits(&self, engine: Kind) -> bool {
        match self.name {
            "txn" => engine.can(Ability::Transactions),
            "delete-range" | "first-after-delete-range" => engine.can(Ability::DeleteRange),
            _ => true,
        }
    }

    /// Runs the workload in this process.
    pub fn run(&self, task: &Task) -> Result<Sample, Failure> {
        let memory_before_bytes = peak_memory()?;
        let measured = (self.run)(task)?;
        if measured.operations == 0 {
            return Err(format!("{} did nothing in its time", self.name).into());
        }
        Ok(Sample {
            engine: task.engine,
            workload: self.name.to_string(),
            round: task.round,
            entries: task.entries,
            operations: measured.operations,
            seconds: measured.seconds,
            cpu_seconds: measured.cpu_seconds,
            latency: measured.latency,
            peak_memory_bytes: peak_memory()?,
            memory_before_bytes,
            user_bytes: measured.user_bytes,
            io: measured.io,
            disk_bytes: match self.group {
                Group::Writes | Group::LargeValues => Some(disk_bytes(&task.path)?),
                _ => None,
            },
            companion_rate: measured.companion_rate,
        })
    }
}

/// Makes a dataset in `task.path`.
pub fn prepare(task: &Task, dataset: Dataset) -> Result<(), Failure> {
    let entries = dataset.entries(task.entries);
    let values = Values::new(dataset.value_bytes());
    let order = Order::shuffled(entries, 1);
    let db = task.open(CACHE_BYTES, false)?;
    if dataset == Dataset::Killed {
        for index in 0..entries {
            let number = order.at(index);
            db.put(&key(number), values.of(number))?;
        }
        // SAFETY: this process ends here, as if by kill -9: no destructor runs.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    // In batches: they do not affect the later reads, and transactions of one entry are expensive for some engines.
    let mut first = 0;
    while first < entries {
        let last = (first + 100).min(entries);
        let numbers: Vec<u64> = (first..last).map(|index| order.at(index)).collect();
        put_batch(&*db, &numbers, &values)?;
        first = last;
    }
    db.flush()?;
    db.compact()?;
    wait_until_quiet(task.quiet())?;
    Ok(())
}

fn put_batch(db: &dyn Engine, numbers: &[u64], values: &Values) -> Result<(), Failure> {
    let keys: Vec<[u8; 16]> = numbers.iter().map(|&number| key(number)).collect();
    let entries: Vec<(&[u8], &[u8])> = keys
        .iter()
        .zip(numbers)
        .map(|(key, &number)| (&key[..], values.of(number)))
        .collect();
    db.put_batch(&entries)
}

fn random(task: &Task) -> Order {
    Order::shuffled(task.entries, task.seed())
}

fn fill(task: &Task, order: Order, threads: usize) -> Result<Measured, Failure> {
    fill_values(task, order, threads, VALUE_BYTES, |_| at_once())
}

/// Fills the store; the clock runs until everything is flushed and no compaction is due.
fn fill_settled(task: &Task) -> Result<Measured, Failure> {
    fill_values(task, random(task), 1, VALUE_BYTES, |db| {
        db.flush()?;
        wait_until_quiet(task.quiet())
    })
}

fn fill_values(
    task: &Task,
    order: Order,
    threads: usize,
    value_bytes: usize,
    after: impl FnOnce(&dyn Engine) -> Result<Duration, Failure>,
) -> Result<Measured, Failure> {
    let entries = order.len();
    let values = Values::new(value_bytes);
    let db = task.open(CACHE_BYTES, false)?;
    let share = entries / threads as u64;
    let job = |thread: usize, meter: &mut Meter<'_>| {
        let first = thread as u64 * share;
        for index in first..first + share {
            let number = order.at(index);
            db.put(&key(number), values.of(number))?;
            meter.wrote(KEY_BYTES + value_bytes);
            if !meter.made(1) {
                break;
            }
        }
        Ok(())
    };
    measure(threads, filling(share), job, || after(&*db))
}

fn fill_batches(task: &Task, size: usize) -> Result<Measured, Failure> {
    let order = random(task);
    let values = Values::new(VALUE_BYTES);
    let db = task.open(CACHE_BYTES, false)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        let mut numbers = Vec::with_capacity(size);
        for index in 0..task.entries {
            numbers.push(order.at(index));
            if numbers.len() == size || index + 1 == task.entries {
                put_batch(&*db, &numbers, &values)?;
                meter.wrote(numbers.len() * (KEY_BYTES + VALUE_BYTES));
                if !meter.made(numbers.len() as u64) {
                    break;
                }
                numbers.clear();
            }
        }
        Ok(())
    };
    measure(1, filling(task.entries), job, at_once)
}

fn fill_synced(task: &Task, threads: usize) -> Result<Measured, Failure> {
    let order = random(task);
    let values = Values::new(VALUE_BYTES);
    let db = task.open(CACHE_BYTES, true)?;
    let job = |thread: usize, meter: &mut Meter<'_>| {
        let mut index = thread as u64;
        loop {
            let number = order.at(index);
            db.put(&key(number), values.of(number))?;
            meter.wrote(KEY_BYTES + VALUE_BYTES);
            if !meter.made(1) {
                return Ok(());
            }
            index += threads as u64;
        }
    };
    measure(threads, task.reading(), job, at_once)
}

fn delete_random(task: &Task) -> Result<Measured, Failure> {
    let order = random(task);
    let db = task.open(CACHE_BYTES, false)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        for index in 0..task.entries {
            db.delete(&key(order.at(index)))?;
            meter.wrote(KEY_BYTES);
            if !meter.made(1) {
                break;
            }
        }
        Ok(())
    };
    measure(1, filling(task.entries), job, at_once)
}

/// A cache that holds a thirtieth of the entries.
fn tiny_cache(task: &Task) -> usize {
    task.entries as usize * (KEY_BYTES + VALUE_BYTES) / 30
}

/// Gets a quarter as many random entries as there are: with about 35 in a block, that touches every block.
fn warm(db: &dyn Engine, entries: u64, value_bytes: usize) -> Result<(), Failure> {
    warm_by(|key| db.get(key), entries, value_bytes)
}

/// The same with the caller's get.
fn warm_by(
    get: impl Fn(&[u8]) -> Result<Option<usize>, Failure>,
    entries: u64,
    value_bytes: usize,
) -> Result<(), Failure> {
    let order = Order::uniform(entries, 2);
    let most = match value_bytes {
        VALUE_BYTES => entries / 4,
        _ => entries * 4,
    };
    for index in 0..most {
        let number = order.at(index);
        is_present(number, get(&key(number))?, value_bytes)?;
    }
    Ok(())
}

fn get_present(db: &dyn Engine, number: u64, value_bytes: usize) -> Result<(), Failure> {
    is_present(number, db.get(&key(number))?, value_bytes)
}

/// Fails unless an entry was found whose value has so many bytes.
fn is_present(number: u64, found: Option<usize>, value_bytes: usize) -> Result<(), Failure> {
    match found {
        Some(length) if length == value_bytes => Ok(()),
        Some(length) => Err(format!("entry {number} has {length} bytes").into()),
        None => Err(format!("entry {number} is lost").into()),
    }
}

fn read_random(task: &Task, threads: usize, cache_bytes: usize) -> Result<Measured, Failure> {
    let order = Order::uniform(task.entries, task.seed());
    let db = task.open(cache_bytes, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    read(task, &*db, &order, threads, VALUE_BYTES)
}

/// The threads use the same order, and start far from each other.
fn read(
    task: &Task,
    db: &dyn Engine,
    order: &Order,
    threads: usize,
    value_bytes: usize,
) -> Result<Measured, Failure> {
    let job = |thread: usize, meter: &mut Meter<'_>| {
        let mut index = thread as u64 * order.len() / threads as u64;
        loop {
            get_present(db, order.at(index), value_bytes)?;
            index += 1;
            if !meter.made(1) {
                return Ok(());
            }
        }
    };
    measure(threads, task.reading(), job, at_once)
}

/// Reads right after a fill, during flushes and compactions.
fn read_unsettled(task: &Task) -> Result<Measured, Failure> {
    let order = random(task);
    let values = Values::new(VALUE_BYTES);
    let db = task.open(CACHE_BYTES, false)?;
    let mut first = 0;
    while first < task.entries {
        let last = (first + 100).min(task.entries);
        let numbers: Vec<u64> = (first..last).map(|index| order.at(index)).collect();
        put_batch(&*db, &numbers, &values)?;
        first = last;
    }
    let order = Order::uniform(task.entries, task.seed());
    read(task, &*db, &order, 1, VALUE_BYTES)
}

fn read_missing(task: &Task) -> Result<Measured, Failure> {
    let order = Order::uniform(task.entries, task.seed());
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        let mut index = 0;
        loop {
            if db.get(&missing_key(order.at(index)))?.is_some() {
                return Err("an entry that nobody wrote".into());
            }
            index += 1;
            if !meter.made(1) {
                return Ok(());
            }
        }
    };
    measure(1, task.reading(), job, at_once)
}

fn multi_get(task: &Task) -> Result<Measured, Failure> {
    let order = Order::uniform(task.entries, task.seed());
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        let mut index = 0;
        loop {
            let keys: [[u8; 16]; MANY] = std::array::from_fn(|at| key(order.at(index + at as u64)));
            let asked: [&[u8]; MANY] = std::array::from_fn(|at| &keys[at][..]);
            let found = db.get_many(&asked)?;
            if found != MANY {
                return Err(format!("{found} of {MANY} entries").into());
            }
            index += MANY as u64;
            if !meter.made(MANY as u64) {
                return Ok(());
            }
        }
    };
    measure(1, task.reading(), job, at_once)
}

/// One thread reads; another overwrites 50,000 entries a second, a millisecond's share at a time.
fn read_while_writing(task: &Task) -> Result<Measured, Failure> {
    const PER_MILLISECOND: u64 = 50;
    let order = Order::uniform(task.entries, task.seed());
    let values = Values::new(VALUE_BYTES);
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<(), Failure> {
            let mut index = 0;
            while !done.load(Ordering::Relaxed) {
                let due = started.elapsed().as_millis() as u64 * PER_MILLISECOND;
                while index < due && !done.load(Ordering::Relaxed) {
                    let number = mix(index) % task.entries;
                    db.put(&key(number), values.of(number))?;
                    index += 1;
                }
                written.store(index, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(500));
            }
            Ok(())
        });
        let measured = read(task, &*db, &order, 1, VALUE_BYTES);
        done.store(true, Ordering::Relaxed);
        let rate = written.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        writer.join().map_err(|_| "the writer panicked")??;
        let mut measured = measured?;
        measured.companion_rate = Some(rate);
        Ok(measured)
    })
}

/// A new iterator for each seek, as in an application that answers requests.
fn seek(task: &Task, entries: usize, backwards: bool) -> Result<Measured, Failure> {
    let order = Order::uniform(task.entries, task.seed());
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        let mut index = 0;
        loop {
            let start = key(order.at(index));
            if db.walk(Start::Key(&start), backwards, entries)? == 0 {
                return Err("a seek to an entry found nothing".into());
            }
            index += 1;
            if !meter.made(1) {
                return Ok(());
            }
        }
    };
    measure(1, task.reading(), job, at_once)
}

fn scan(task: &Task, backwards: bool) -> Result<Measured, Failure> {
    let db = task.open(CACHE_BYTES, false)?;
    let walk = || -> Result<u64, Failure> {
        match db.walk(Start::End, backwards, usize::MAX)? as u64 {
            met if met == task.entries => Ok(met),
            met => Err(format!("{met} of {} entries", task.entries).into()),
        }
    };
    walk()?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        while meter.made(walk()?) {}
        Ok(())
    };
    measure(1, task.reading(), job, at_once)
}

/// YCSB's core workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mix {
    A,
    B,
    C,
    D,
    E,
    F,
}

/// One thread. The scrambled Zipf distribution draws the requests; those of D come from the newest entries. A, F and B
/// come before E in YCSB's order, on the same store: E begins over the versions in the memtable after a fifth as many
/// updates as there are entries.
fn ycsb(task: &Task, mix_of: Mix) -> Result<Measured, Failure> {
    const MAX_SCAN: u64 = 100;
    let requests = match mix_of {
        Mix::D => Order::latest(task.entries, task.seed())?,
        _ => Order::zipfian(task.entries, task.seed())?,
    };
    let values = Values::new(VALUE_BYTES);
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let update = |number: u64, meter: &mut Meter<'_>| -> Result<(), Failure> {
        db.put(&key(number), values.of(number))?;
        meter.wrote(KEY_BYTES + VALUE_BYTES);
        Ok(())
    };
    if mix_of == Mix::E {
        for index in 0..task.entries / 5 {
            let number = requests.at(index * 7);
            db.put(&key(number), values.of(number))?;
        }
    }
    let job = |_: usize, meter: &mut Meter<'_>| {
        let (mut index, mut newest) = (0u64, task.entries - 1);
        loop {
            let die = mix(index ^ task.seed()) % 100;
            let number = requests.at(index);
            match mix_of {
                Mix::A if die < 50 => update(number, meter)?,
                Mix::B if die < 5 => update(number, meter)?,
                Mix::D | Mix::E if die < 5 => {
                    newest += 1;
                    update(newest, meter)?;
                }
                Mix::D => get_present(&*db, newest - number.min(newest), VALUE_BYTES)?,
                Mix::E => {
                    let most = mix(index) % MAX_SCAN + 1;
                    db.walk(Start::Key(&key(number)), false, most as usize)?;
                }
                Mix::F if die < 50 => {
                    get_present(&*db, number, VALUE_BYTES)?;
                    update(number, meter)?;
                }
                _ => get_present(&*db, number, VALUE_BYTES)?,
            }
            index += 1;
            if !meter.made(1) {
                return Ok(());
            }
        }
    };
    measure(1, task.reading(), job, at_once)
}

fn fill_large(task: &Task, dataset: Dataset) -> Result<Measured, Failure> {
    let order = Order::shuffled(dataset.entries(task.entries), task.seed());
    fill_values(task, order, 1, dataset.value_bytes(), |_| at_once())
}

fn read_large(task: &Task, dataset: Dataset) -> Result<Measured, Failure> {
    let entries = dataset.entries(task.entries);
    let order = Order::uniform(entries, task.seed());
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, entries, dataset.value_bytes())?;
    read(task, &*db, &order, 1, dataset.value_bytes())
}

/// A get of a random entry and a put of it, with nothing that joins them.
fn get_put(task: &Task) -> Result<Measured, Failure> {
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let values = Values::new(VALUE_BYTES);
    get_and_put(task, |number| {
        get_present(&*db, number, VALUE_BYTES)?;
        db.put(&key(number), values.of(number))
    })
}

/// The same in a transaction.
fn transactions(task: &Task) -> Result<Measured, Failure> {
    let config = task.config(CACHE_BYTES, false);
    let db = task.engine.open_transactions(&task.path, config)?;
    warm_by(|key| db.get(key), task.entries, VALUE_BYTES)?;
    let values = Values::new(VALUE_BYTES);
    get_and_put(task, |number| {
        let found = db.get_and_put(&key(number), values.of(number))?;
        is_present(number, found, VALUE_BYTES)
    })
}

fn get_and_put(
    task: &Task,
    call: impl Fn(u64) -> Result<(), Failure> + Sync,
) -> Result<Measured, Failure> {
    let order = Order::uniform(task.entries, task.seed());
    let job = |_: usize, meter: &mut Meter<'_>| {
        let mut index = 0;
        loop {
            call(order.at(index))?;
            meter.wrote(KEY_BYTES + VALUE_BYTES);
            index += 1;
            if !meter.made(1) {
                return Ok(());
            }
        }
    };
    measure(1, task.reading(), job, at_once)
}

/// Deletes every entry but the last, which must be the first afterwards.
fn delete_range(task: &Task) -> Result<Measured, Failure> {
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        delete_all_but_one(task, &*db)?;
        meter.made(1);
        Ok(())
    };
    let measured = measure(1, filling(1), job, at_once)?;
    one_is_left(&*db)?;
    Ok(measured)
}

/// The first entry after that: a new iterator, which must pass over what was deleted.
fn first_after_delete_range(task: &Task) -> Result<Measured, Failure> {
    let db = task.open(CACHE_BYTES, false)?;
    warm(&*db, task.entries, VALUE_BYTES)?;
    delete_all_but_one(task, &*db)?;
    let job = |_: usize, meter: &mut Meter<'_>| {
        if db.walk(Start::End, false, 1)? != 1 {
            return Err("the entry that was not deleted is lost".into());
        }
        meter.made(1);
        Ok(())
    };
    let measured = measure(1, filling(1), job, at_once)?;
    one_is_left(&*db)?;
    Ok(measured)
}

fn delete_all_but_one(task: &Task, db: &dyn Engine) -> Result<(), Failure> {
    db.delete_range(&key(0), &key(task.entries - 1))
}

fn one_is_left(db: &dyn Engine) -> Result<(), Failure> {
    match db.walk(Start::End, false, 2)? {
        1 => Ok(()),
        met => Err(format!("{met} entries instead of one").into()),
    }
}

/// Measures from the call to the first answer.
fn open_after_kill(task: &Task) -> Result<Measured, Failure> {
    let entries = Dataset::Killed.entries(task.entries);
    let job = |_: usize, meter: &mut Meter<'_>| {
        let db = task.open(CACHE_BYTES, false)?;
        get_present(&*db, 0, VALUE_BYTES)?;
        meter.made(1);
        // The check that everything is there is not measured.
        OPENED.with(|opened| opened.set(Some(db)));
        Ok(())
    };
    let measured = measure(1, filling(1), job, at_once)?;
    let db = OPENED.with(|opened| opened.take()).ok_or("not opened")?;
    for number in 0..entries {
        get_present(&*db, number, VALUE_BYTES)?;
    }
    Ok(measured)
}

thread_local! {
    /// The store that [`open_after_kill`] opened, kept so that the clock does not measure its close.
    static OPENED: std::cell::Cell<Option<Box<dyn Engine>>> = const { std::cell::Cell::new(None) };
}

/// Copies a dataset and waits until the copy is on the disk, so that its writeback does not disturb the measurement.
pub fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => {
                fs::copy(entry.path(), &target)?;
                fs::File::open(&target)?.sync_all()?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_workloads_and_datasets_are_distinct() {
        let mut names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WORKLOADS.len());
        for workload in WORKLOADS {
            let dataset = workload.dataset;
            assert_eq!(Dataset::from_name(dataset.name()), Some(dataset));
        }
    }

    #[test]
    fn a_lost_entry_fails_the_workload() {
        let dir = tempfile::tempdir().unwrap();
        let task = Task {
            engine: Kind::Aidb,
            path: dir.path().join("db"),
            entries: 500,
            seconds: 0.01,
            round: 1,
            settings: Vec::new(),
        };
        prepare(&task, Dataset::Settled).unwrap();
        let db = task.open(CACHE_BYTES, false).unwrap();
        db.delete(&key(3)).unwrap();
        drop(db);
        let failed = workload("scan").unwrap().run(&task).unwrap_err();
        assert_eq!(failed.to_string(), "499 of 500 entries");
    }

    #[test]
    fn a_workload_reports_what_it_did() {
        let dir = tempfile::tempdir().unwrap();
        let task = Task {
            engine: Kind::Aidb,
            path: dir.path().join("db"),
            entries: 1000,
            seconds: 0.01,
            round: 1,
            settings: Vec::new(),
        };
        let sample = workload("fillrandom-2").unwrap().run(&task).unwrap();
        assert_eq!(sample.operations, 1000);
        assert_eq!(sample.user_bytes, 116_000);
        assert!(sample.io.wchar >= 116_000, "{:?}", sample.io);
        assert!(sample.disk_bytes.is_some_and(|bytes| bytes > 0));
    }
}
