//! A workload from a seed, and the ledger of what the database must hold at each moment.
//!
//! Every batch also stores its own number under [`COUNTER`], so that each prefix of the batches is a different
//! state and the state that a crash left can be told by one key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use aidb::{DB, Error, IterOptions, Options, Snapshot, WriteBatch, WriteOptions};
use aidb_tests::{Fill, Random, Sizes, Unit, edges_up_to, shown};

/// The key of the number of the last batch; after all others.
pub const COUNTER: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff#";

/// No value of a story is larger, and no key longer, but for the large ones of some stories.
const MAX_VALUE: usize = (1 << 18) + 1;
const MAX_KEY: usize = (1 << 16) + 1;
/// Values and keys that some stories have are of at most so many bytes: what follows is read again and again.
const MAX_OF_ALL: usize = (16 << 20) + 1;
/// Batches after a large value before there is a large key, and before both go again: every state keeps its keys.
const BEFORE_LARGE_KEY: u64 = 2;
const BEFORE_THEY_GO: u64 = 5;

/// The contents after some batch.
#[derive(Clone, Default)]
pub struct State {
    pub number: u64,
    pub entries: BTreeMap<Vec<u8>, Arc<[u8]>>,
}

/// How many stories with large data are told at present: what they hold in memory is no other test's doing.
pub static LARGE_AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// A story with large data is told until this is dropped.
pub struct LargeAtWork;

impl LargeAtWork {
    pub fn begin() -> LargeAtWork {
        LARGE_AT_WORK.fetch_add(1, Ordering::Relaxed);
        LargeAtWork
    }
}

impl Drop for LargeAtWork {
    fn drop(&mut self) {
        LARGE_AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Data far above what a story usually has.
#[derive(Clone, Copy)]
struct Large {
    /// The batch that has the value.
    batch: u64,
    value: usize,
    key: usize,
}

impl Large {
    fn draw(random: &mut Random) -> Large {
        let lengths = edges_up_to(MAX_OF_ALL, Unit::Bytes);
        let lengths = &lengths[lengths.partition_point(|&length| length <= MAX_VALUE)..];
        // Half of them at the limit of keys.
        let mut length = || match random.one_in(2) {
            true => MAX_OF_ALL - random.index(3),
            false => *random.pick(lengths),
        };
        let (value, key) = (length(), length().min(aidb::MAX_KEY_BYTES));
        Large {
            batch: 15 + random.below(20),
            value,
            key,
        }
    }
}

/// Why a call, or a comparison with what must be there, did not succeed.
#[derive(Debug)]
pub enum Mismatch {
    /// It answered an error: whoever knows of a fault knows whether that is right.
    Failed(Error),
    /// It answered something else than what is there.
    Differs(String),
}

impl From<Error> for Mismatch {
    fn from(error: Error) -> Mismatch {
        Mismatch::Failed(error)
    }
}

impl From<Mismatch> for String {
    fn from(mismatch: Mismatch) -> String {
        mismatch.to_string()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Failed(error) => error.fmt(f),
            Mismatch::Differs(what) => f.write_str(what),
        }
    }
}

/// What was committed, and how much of it must survive what.
pub struct Ledger {
    /// The contents after each committed batch, in order; the first is empty.
    pub states: Vec<State>,
    /// The last of `states` that must survive loss of power.
    pub durable: usize,
    /// A batch that is being written or was refused: it may be there, after all of `states`.
    pub extra: Option<State>,
    attempts: u64,
    large: Option<Large>,
    /// Whether large data may be in a file.
    pub holds_large: bool,
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger {
            states: vec![State::default()],
            durable: 0,
            extra: None,
            attempts: 0,
            large: None,
            holds_large: false,
        }
    }

    /// The last committed state.
    pub fn last(&self) -> &State {
        self.states.last().expect("the first is always there")
    }

    /// A batch that `random` decides, of data of these sizes; it is `extra` until it is committed.
    fn next_batch(&mut self, random: &mut Random, sizes: &Sizes) -> WriteBatch {
        self.attempts += 1;
        let mut state = State {
            number: self.attempts,
            entries: self.last().entries.clone(),
        };
        let mut batch = WriteBatch::new();
        let count = match random.below(40) {
            0 => random.count(70),
            1..10 => 1 + random.below(12),
            _ => 1,
        };
        if let Some((key, value)) = self.large_entry(random) {
            self.holds_large = true;
            batch.put(&key, &value).unwrap();
            state.entries.insert(key, value.into());
        }
        if self
            .large
            .is_some_and(|large| self.attempts == large.batch + BEFORE_THEY_GO)
        {
            state.entries.retain(|key, value| {
                let is_large = key.len() > MAX_KEY || value.len() > MAX_VALUE;
                if is_large {
                    batch.delete(key).unwrap();
                }
                !is_large
            });
        }
        for _ in 0..count {
            let key = random.any_key(&sizes.at_most(MAX_KEY));
            if random.one_in(4) {
                batch.delete(&key).unwrap();
                state.entries.remove(&key);
            } else {
                let value = random.value_of(sizes);
                batch.put(&key, &value).unwrap();
                state.entries.insert(key, value.into());
            }
        }
        let number = self.attempts.to_be_bytes();
        batch.put(COUNTER, &number).unwrap();
        state.entries.insert(COUNTER.to_vec(), number[..].into());
        self.extra = Some(state);
        batch
    }

    /// Whether large data was deleted and may be in a file still.
    fn large_is_due(&self) -> bool {
        let last = self
            .large
            .map_or(u64::MAX, |large| large.batch + BEFORE_THEY_GO);
        self.holds_large && self.attempts >= last
    }

    /// The large entry of the batch that is being made, if it has one.
    fn large_entry(&self, random: &mut Random) -> Option<(Vec<u8>, Vec<u8>)> {
        let large = self.large?;
        let (key, value) = match self.attempts.checked_sub(large.batch) {
            Some(0) => (20, large.value),
            Some(BEFORE_LARGE_KEY) => (large.key, 100),
            _ => return None,
        };
        let [of_key, of_value] = [(); 2].map(|()| *random.pick(&Fill::ALL));
        let key = random.key_of(key, of_key);
        Some((key, of_value.bytes(random.next(), value)))
    }

    /// What is in flight has been committed.
    fn commit(&mut self) {
        let state = self.extra.take().expect("a batch was in flight");
        self.states.push(state);
    }

    /// Everything committed survives loss of power.
    pub fn all_durable(&mut self) {
        self.durable = self.states.len() - 1;
    }

    /// Compares `db` with the states from `floor` on; the index of the one it holds (one more than the last:
    /// `extra`).
    pub fn check(&self, db: &DB, floor: usize) -> Result<usize, Mismatch> {
        let number = counter(db)?;
        let found = self.states.iter().position(|state| state.number == number);
        let (index, state) = match (found, &self.extra) {
            (Some(index), _) => (index, &self.states[index]),
            (None, Some(extra)) if extra.number == number => (self.states.len(), extra),
            _ => {
                let what = format!("batch {number} was never committed");
                return Err(Mismatch::Differs(what));
            }
        };
        if index < floor {
            return Err(Mismatch::Differs(format!(
                "lost: batch {number} is the last, {} must be there",
                self.states[floor].number
            )));
        }
        state.compare(db)?;
        Ok(index)
    }
}

impl State {
    /// Whether there are a key and a value larger than a story usually has.
    pub fn has_large(&self) -> (bool, bool) {
        let mut entries = self.entries.iter();
        let key = self.entries.keys().any(|key| key.len() > MAX_KEY);
        (key, entries.any(|(_, value)| value.len() > MAX_VALUE))
    }

    /// Whether `db` holds exactly this.
    pub fn compare(&self, db: &DB) -> Result<(), Mismatch> {
        self.compare_walk(db, IterOptions::default())?;
        match self.entries.keys().next() {
            Some(key) => self.compare_get(db, key),
            None => Ok(()),
        }
    }

    /// Whether a get of `key` answers what is here.
    pub fn compare_get(&self, db: &DB, key: &[u8]) -> Result<(), Mismatch> {
        let got = db.get(key).map_err(|error| error.context("get"))?;
        self.compare_value(key, got.as_deref())
    }

    /// Whether a get of all `keys` at once answers what is here.
    pub fn compare_gets(&self, db: &DB, keys: &[Vec<u8>]) -> Result<(), Mismatch> {
        let got = db
            .get_many(keys)
            .map_err(|error| error.context("get_many"))?;
        let mut pairs = keys.iter().zip(&got);
        pairs.try_for_each(|(key, value)| self.compare_value(key, value.as_deref()))
    }

    fn compare_value(&self, key: &[u8], got: Option<&[u8]>) -> Result<(), Mismatch> {
        let expected = self.entries.get(key).map(|value| &value[..]);
        if got == expected {
            return Ok(());
        }
        Err(Mismatch::Differs(format!(
            "after batch {} a get of {} answers {:?} bytes, expected {:?}",
            self.number,
            shown(key),
            got.map(<[u8]>::len),
            expected.map(<[u8]>::len)
        )))
    }

    /// Whether a walk shows exactly this.
    pub fn compare_walk(&self, db: &DB, options: IterOptions) -> Result<(), Mismatch> {
        let walk = |error: Error| error.context("walk");
        let mut cursor = db.cursor(options).map_err(walk)?;
        let mut expected = self.entries.iter();
        cursor.first().map_err(walk)?;
        while cursor.valid() {
            self.compare_entry(cursor.key(), cursor.value(), expected.next())?;
            cursor.next().map_err(walk)?;
        }
        cursor.status().map_err(walk)?;
        self.compare_end(expected.next())
    }

    /// Whether a walk from the last entry to the first shows exactly this.
    pub fn compare_walk_back(&self, db: &DB) -> Result<(), Mismatch> {
        let walk = |error: Error| error.context("walk back");
        let mut cursor = db.cursor(IterOptions::default()).map_err(walk)?;
        let mut expected = self.entries.iter().rev();
        cursor.last().map_err(walk)?;
        while cursor.valid() {
            self.compare_entry(cursor.key(), cursor.value(), expected.next())?;
            cursor.prev().map_err(walk)?;
        }
        cursor.status().map_err(walk)?;
        self.compare_end(expected.next())
    }

    fn compare_entry(
        &self,
        key: &[u8],
        value: &[u8],
        expected: Option<(&Vec<u8>, &Arc<[u8]>)>,
    ) -> Result<(), Mismatch> {
        if let Some((right_key, right_value)) = expected
            && key == right_key
            && value == &right_value[..]
        {
            return Ok(());
        }
        Err(Mismatch::Differs(format!(
            "after batch {} there is {} = {} bytes, expected {:?}",
            self.number,
            shown(key),
            value.len(),
            expected.map(|(key, value)| (shown(key), value.len()))
        )))
    }

    /// At the end of a walk, which should have shown `expected` next.
    fn compare_end(&self, expected: Option<(&Vec<u8>, &Arc<[u8]>)>) -> Result<(), Mismatch> {
        match expected {
            None => Ok(()),
            Some((key, _)) => Err(Mismatch::Differs(format!(
                "after batch {} {} is missing",
                self.number,
                shown(key)
            ))),
        }
    }
}

/// The number of the last batch in `db`.
pub fn counter(db: &DB) -> Result<u64, Error> {
    let value = db.get(COUNTER).map_err(|error| error.context("get"))?;
    Ok(value.map_or(0, |value| {
        u64::from_be_bytes(value.as_ref().try_into().expect("eight bytes were written"))
    }))
}

/// A database at work.
pub struct Story {
    pub random: Random,
    sizes: Sizes,
    pub ledger: Arc<Mutex<Ledger>>,
    pub options: Options,
    pub db: Option<DB>,
    snapshots: Vec<(Snapshot, State)>,
    /// Whether background work is done in steps.
    pub manual: bool,
    /// Checkpoints that were tried.
    copies: u64,
    /// An error left open whether the batch in flight was committed.
    is_unsure: bool,
}

/// Where every story's database lives.
pub const DIR: &str = "/home/db";

impl Story {
    /// A story over `options`, which name the environment. Nothing is opened yet.
    pub fn new(seed: u64, options: Options) -> Story {
        let mut random = Random::new(seed);
        // Each place of a fault runs the story again, so large data is for few stories.
        let mean = *random.pick(&[100, 300, 700, 3000]);
        Story {
            random,
            sizes: Sizes::new(MAX_VALUE, mean),
            ledger: Arc::new(Mutex::new(Ledger::new())),
            options,
            db: None,
            snapshots: Vec::new(),
            manual: true,
            copies: 0,
            is_unsure: false,
        }
    }

    /// The same story, with a large value and a large key if `is_large`.
    pub fn with_large(mut self, is_large: bool) -> Story {
        if is_large {
            self.ledger().large = Some(Large::draw(&mut self.random));
        }
        self
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Opens the database if it is not open.
    pub fn open(&mut self) -> Result<&DB, Error> {
        if self.db.is_none() {
            self.db = Some(DB::open(DIR, self.options.clone())?);
            if self.settle()? {
                // What open recovered it has synced.
                self.ledger().all_durable();
            }
        }
        Ok(self.db.as_ref().expect("it was just opened"))
    }

    /// Lets go of the database, which is the last to hold it if it was open.
    pub fn leave(&mut self) -> Option<DB> {
        self.snapshots.clear();
        self.db.take()
    }

    /// Finds out whether a batch that answered an error was committed all the same. False if that is not known.
    pub fn settle(&mut self) -> Result<bool, Error> {
        let Some(db) = self.db.as_ref() else {
            return Ok(!self.is_unsure);
        };
        if self.is_unsure {
            let number = counter(db)?;
            let mut ledger = self.ledger.lock().unwrap();
            if ledger
                .extra
                .as_ref()
                .is_some_and(|extra| extra.number == number)
            {
                ledger.commit();
            }
            self.is_unsure = false;
        }
        Ok(true)
    }

    /// One step of the workload.
    pub fn step(&mut self) -> Result<(), Mismatch> {
        let db = self.open()?.clone();
        self.settle()?;
        if self.ledger().large_is_due() {
            // So that no more files are large than it takes.
            self.snapshots.clear();
            db.compact_range(None, None)?;
            let mut ledger = self.ledger();
            ledger.all_durable();
            ledger.holds_large = false;
            return Ok(());
        }
        match self.random.below(100) {
            0..=1 => {
                db.flush()?;
                self.ledger().all_durable();
            }
            2 => {
                db.compact_range(None, None)?;
                self.ledger().all_durable();
            }
            3 => {
                let start = self.random.key();
                db.compact_range(Some(&start), None)?;
                self.ledger().all_durable();
            }
            4..=17 if self.manual => {
                db.run_background_step()?;
            }
            18..=20 => {
                let snapshot = db.snapshot()?;
                let state = self.ledger().last().clone();
                self.snapshots.push((snapshot, state));
            }
            21..=23 if !self.snapshots.is_empty() => {
                let at = self.random.below(self.snapshots.len() as u64) as usize;
                let (snapshot, state) = self.snapshots.swap_remove(at);
                self.check_snapshot(&db, snapshot, &state)?;
            }
            24 => {
                drop(db);
                let db = self.leave().expect("it is open");
                if self.random.one_in(2) {
                    db.close()?;
                    self.ledger().all_durable();
                }
            }
            25 => {
                db.write_with(&WriteBatch::new(), &WriteOptions::synced())?;
                self.ledger().all_durable();
            }
            26 => {
                self.copies += 1;
                let copy = format!("{DIR}-copy-{}", self.copies);
                db.checkpoint(&copy)?;
                self.ledger().all_durable();
                self.check_copy(&copy)?;
                DB::destroy(&copy, &self.options)?;
            }
            _ => {
                let sync = self.random.one_in(8);
                self.write(&db, sync)?;
            }
        }
        Ok(())
    }

    /// Writes the next batch.
    pub fn write(&mut self, db: &DB, sync: bool) -> Result<(), Error> {
        let batch = {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.next_batch(&mut self.random, &self.sizes)
        };
        self.is_unsure = true;
        db.write_with(&batch, &WriteOptions::new().sync(sync))?;
        self.is_unsure = false;
        let mut ledger = self.ledger();
        ledger.commit();
        if sync {
            ledger.all_durable();
        }
        Ok(())
    }

    fn check_snapshot(&self, db: &DB, snapshot: Snapshot, state: &State) -> Result<(), Mismatch> {
        let options = IterOptions::new().snapshot(Some(snapshot));
        state.compare_walk(db, options)
    }

    /// The copy holds what was acknowledged.
    fn check_copy(&self, copy: &str) -> Result<(), Mismatch> {
        let db = DB::open(copy, self.options.clone().create_if_missing(false))?;
        let ledger = self.ledger();
        ledger.last().compare_walk(&db, IterOptions::default())
    }
}
