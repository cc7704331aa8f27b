//! A workload from a seed, and the ledger of what the database must hold at each moment.
//!
//! Every batch also stores its own number under [`COUNTER`], so that each prefix of the batches is a different
//! state and the state that a crash left can be told by one key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aidb::{DB, Error, ErrorKind, IterOptions, Options, Snapshot, WriteBatch, WriteOptions};
use aidb_tests::Random;

/// The key of the number of the last batch; behind all others.
pub const COUNTER: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff#";

/// The contents after some batch.
#[derive(Clone, Default)]
pub struct State {
    pub number: u64,
    pub entries: BTreeMap<Vec<u8>, Arc<[u8]>>,
}

/// What was committed, and how much of it must survive what.
pub struct Ledger {
    /// The contents after each committed batch, in order; the first is empty.
    pub states: Vec<State>,
    /// The last of `states` that must survive loss of power.
    pub durable: usize,
    /// A batch that is being written or was refused: it may be there, behind all of `states`.
    pub extra: Option<State>,
    attempts: u64,
}

impl Ledger {
    pub fn new() -> Ledger {
        Ledger {
            states: vec![State::default()],
            durable: 0,
            extra: None,
            attempts: 0,
        }
    }

    /// The last committed state.
    pub fn last(&self) -> &State {
        self.states.last().expect("the first is always there")
    }

    /// A batch that `random` decides; it is `extra` until it is committed.
    fn next_batch(&mut self, random: &mut Random) -> WriteBatch {
        self.attempts += 1;
        let mut state = State {
            number: self.attempts,
            entries: self.last().entries.clone(),
        };
        let mut batch = WriteBatch::new();
        let count = match random.below(4) {
            0 => 1 + random.below(12),
            _ => 1,
        };
        for _ in 0..count {
            let key = random.key();
            if random.one_in(4) {
                batch.delete(&key).unwrap();
                state.entries.remove(&key);
            } else {
                let value = random.value();
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
    pub fn check(&self, db: &DB, floor: usize) -> Result<usize, String> {
        let number = counter(db).map_err(|error| format!("get: {error}"))?;
        let found = self.states.iter().position(|state| state.number == number);
        let (index, state) = match (found, &self.extra) {
            (Some(index), _) => (index, &self.states[index]),
            (None, Some(extra)) if extra.number == number => (self.states.len(), extra),
            _ => return Err(format!("batch {number} was never committed")),
        };
        if index < floor {
            return Err(format!(
                "lost: batch {number} is the last, {} must be there",
                self.states[floor].number
            ));
        }
        state.compare(db)?;
        Ok(index)
    }
}

impl State {
    /// Whether `db` holds exactly this.
    pub fn compare(&self, db: &DB) -> Result<(), String> {
        self.compare_walk(db, IterOptions::default())?;
        if let Some((key, value)) = self.entries.iter().next() {
            let got = db.get(key).map_err(|error| format!("get: {error}"))?;
            if got.as_deref() != Some(value) {
                return Err(format!("get of {} differs", key.escape_ascii()));
            }
        }
        Ok(())
    }

    /// Whether a walk shows exactly this.
    pub fn compare_walk(&self, db: &DB, options: IterOptions) -> Result<(), String> {
        let walk = |error: Error| format!("walk: {error}");
        let mut cursor = db.cursor(options).map_err(walk)?;
        let mut expected = self.entries.iter();
        cursor.first().map_err(walk)?;
        while cursor.valid() {
            match expected.next() {
                Some((key, value)) if cursor.key() == key && cursor.value() == &value[..] => {}
                other => {
                    return Err(format!(
                        "after batch {} there is {} = {} bytes, expected {:?}",
                        self.number,
                        cursor.key().escape_ascii(),
                        cursor.value().len(),
                        other.map(|(key, value)| (key.escape_ascii().to_string(), value.len()))
                    ));
                }
            }
            cursor.next().map_err(walk)?;
        }
        cursor.status().map_err(walk)?;
        match expected.next() {
            None => Ok(()),
            Some((key, _)) => Err(format!(
                "after batch {} {} is missing",
                self.number,
                key.escape_ascii()
            )),
        }
    }
}

/// The number of the last batch in `db`.
pub fn counter(db: &DB) -> Result<u64, Error> {
    let value = db.get(COUNTER)?;
    Ok(value.map_or(0, |value| {
        u64::from_be_bytes(value.as_ref().try_into().expect("eight bytes were written"))
    }))
}

/// A database at work.
pub struct Story {
    pub random: Random,
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
        Story {
            random: Random::new(seed),
            ledger: Arc::new(Mutex::new(Ledger::new())),
            options,
            db: None,
            snapshots: Vec::new(),
            manual: true,
            copies: 0,
            is_unsure: false,
        }
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
    pub fn step(&mut self) -> Result<(), Error> {
        let db = self.open()?.clone();
        self.settle()?;
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
                self.snapshots.clear();
                drop(db);
                let db = self.db.take().expect("it is open");
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
            ledger.next_batch(&mut self.random)
        };
        self.is_unsure = true;
        db.write_with(&batch, &WriteOptions { sync })?;
        self.is_unsure = false;
        let mut ledger = self.ledger();
        ledger.commit();
        if sync {
            ledger.all_durable();
        }
        Ok(())
    }

    fn check_snapshot(&self, db: &DB, snapshot: Snapshot, state: &State) -> Result<(), Error> {
        let options = IterOptions {
            snapshot: Some(snapshot),
            ..IterOptions::default()
        };
        or_fault("a snapshot", state.compare_walk(db, options))
    }

    /// The copy holds what was acknowledged.
    fn check_copy(&self, copy: &str) -> Result<(), Error> {
        let db = DB::open(copy, self.options.clone().create_if_missing(false))?;
        let compared = self
            .ledger()
            .last()
            .compare_walk(&db, IterOptions::default());
        or_fault("a copy", compared)
    }
}

/// The error of a fault that was in the way of a comparison: the caller knows whether that is right.
fn or_fault(of: &str, compared: Result<(), String>) -> Result<(), Error> {
    match compared {
        Err(what) if what.contains("no space") => Err(Error::new(ErrorKind::NoSpace, what)),
        Err(what) if what.starts_with("walk: ") => Err(Error::new(ErrorKind::Io, what)),
        Err(what) => panic!("{of} shows something else: {what}"),
        Ok(()) => Ok(()),
    }
}
