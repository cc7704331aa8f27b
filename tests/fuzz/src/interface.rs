//! A database in memory beside a model: bytes in, operations out, every answer compared.
//!
//! The first bytes choose options so small that a few hundred operations use several levels; then each operation
//! takes a byte and its arguments more of them. A key, a value or a batch can ask for a length at a threshold of the engine by
//! its number, and for bytes that compress well or not, so that small inputs reach the ways that large data takes. Background work runs only where the input says so. Beside the calls of the
//! interface the database is closed, left without closing, and loses its power; then what is left must be a state
//! that the model had since the last sync.

use std::sync::{Arc, LazyLock};

use crate::open::STARTED_MICROS;
use aidb::env::MemEnv;
use aidb::{
    Compression, DB, ErrorKind, IterOptions, Options, ReadOptions, Snapshot, WriteBatch,
    WriteOptions,
};
use aidb_test_data::{Fill, Unit, edges_up_to, shown};
use aidb_tests::{Model, ModelCursor, Walk};

const MOST_OPERATIONS: usize = 64;
const MOST_SNAPSHOTS: usize = 4;
/// The largest value and key that an input can ask for in two bytes.
const LARGEST_VALUE: usize = (256 << 10) + 1;
const LARGEST_KEY: usize = (64 << 10) + 1;
/// What an input can ask for in all: beyond this, data is short.
const MOST_DATA: usize = 400 << 10;

/// Sizes and counts on both sides of the thresholds.
static VALUE_LENGTHS: LazyLock<Vec<usize>> =
    LazyLock::new(|| edges_up_to(LARGEST_VALUE, Unit::Bytes));
static KEY_LENGTHS: LazyLock<Vec<usize>> = LazyLock::new(|| edges_up_to(LARGEST_KEY, Unit::Bytes));
static COUNTS: LazyLock<Vec<usize>> = LazyLock::new(|| edges_up_to(300, Unit::Count));

/// Runs the input.
pub fn interface(input: &[u8]) {
    let mut input = Input {
        left: input,
        data: MOST_DATA,
    };
    let mut run = Run::new(&mut input);
    for _ in 0..MOST_OPERATIONS {
        let Some(operation) = input.byte() else {
            break;
        };
        run.step(operation, &mut input);
    }
    run.compare_all();
    run.db().close().expect("a healthy database closes");
    let closed = run.db().get(b"").map(|value| value.is_some());
    assert_eq!(closed.map_err(|error| error.kind()), Err(ErrorKind::Closed));
}

struct Input<'a> {
    left: &'a [u8],
    /// Bytes of keys and values that it may still ask for.
    data: usize,
}

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.left.split_first()?;
        self.left = rest;
        Some(*byte)
    }

    /// A byte, 0 after the end.
    fn number(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0))
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.number() % choices.len()]
    }

    /// A key of up to seven bytes out of few, so that keys meet and share their heads.
    fn key(&mut self) -> Vec<u8> {
        const ALPHABET: [u8; 8] = [0, 1, b'a', b'b', b'c', b'd', 0xfe, 0xff];
        let shape = self.number();
        if shape == 255 {
            return self.long_key();
        }
        let length = shape % 8;
        let mut bits = shape / 8 + 32 * self.number();
        let mut key = Vec::new();
        for _ in 0..length {
            key.push(ALPHABET[bits % 8]);
            bits /= 4;
        }
        key
    }

    /// A length at a threshold, as far as there is data left.
    fn edge(&mut self, lengths: &[usize]) -> usize {
        let length = self.pick(lengths);
        match self.data.checked_sub(length) {
            Some(left) => {
                self.data = left;
                length
            }
            None => 100,
        }
    }

    /// A key of a length at a threshold that shares all but its last byte with others.
    fn long_key(&mut self) -> Vec<u8> {
        let length = self.edge(&KEY_LENGTHS);
        let shape = self.number();
        let fill = [Fill::Constant, Fill::Noise][shape % 2];
        let mut key = fill.bytes(0, length);
        if let Some(last) = key.last_mut() {
            *last = shape as u8 / 2;
        }
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let shape = self.number();
        let length = match shape % 16 {
            0 => 0,
            1 => self.edge(&VALUE_LENGTHS),
            2 => 1200,
            3..6 => 200,
            _ => shape / 4,
        };
        let fill = match length {
            ..100 => Fill::Half,
            _ => self.pick(&Fill::ALL),
        };
        let mut value = fill.bytes(shape as u64, length);
        if let Some(first) = value.first_mut() {
            *first = self.byte().unwrap_or(0);
        }
        value
    }

    /// How many operations a batch has.
    fn operations(&mut self) -> usize {
        match self.number() {
            few @ ..240 => few % 12,
            _ => self.pick(&COUNTS),
        }
    }

    fn maybe_key(&mut self) -> Option<Vec<u8>> {
        (!self.number().is_multiple_of(4)).then(|| self.key())
    }

    fn walk(&mut self) -> Walk {
        let shape = self.number();
        Walk {
            lower: (shape & 1 != 0).then(|| self.key()),
            upper: (shape & 2 != 0).then(|| self.key()),
            prefix: (shape & 12 == 12).then(|| self.key()),
            reverse: shape & 16 != 0,
        }
    }
}

struct Run {
    env: MemEnv,
    options: Options,
    /// `None` only between two lives.
    db: Option<DB>,
    model: Model,
    /// What may be left after a loss of power: the state at the last sync, and that after each batch since.
    synced: Model,
    batches: Vec<WriteBatch>,
    snapshots: Vec<(Snapshot, Model)>,
    /// Other databases that were made. Each has a name of its own: what is destroyed may come back with a loss of power.
    others: usize,
}

impl Run {
    fn new(input: &mut Input<'_>) -> Run {
        const KIB: u64 = 1024;
        let options = Options::new()
            .manual_background(true)
            .write_buffer_size(input.pick(&[4 * KIB, 4 * KIB, 8 * KIB]))
            .block_cache_size(input.pick(&[0, 4 * KIB, 64 * KIB]))
            .block_size(input.pick(&[128, 512, 4 * KIB]))
            .block_restart_interval(input.pick(&[1, 2, 16]))
            .compression(input.pick(&Compression::ALL))
            .bloom_bits_per_key(input.pick(&[0, 5, 10]))
            .max_open_files(input.pick(&[0, 16]))
            .level0_compaction_trigger(input.pick(&[1, 2, 4]))
            .level_base_size(input.pick(&[4 * KIB, 16 * KIB]))
            .level_size_multiplier(input.pick(&[2, 4, 10]))
            .target_file_size(input.pick(&[4 * KIB, 16 * KIB]));
        let env = MemEnv::new();
        env.hold_clock(Some(STARTED_MICROS));
        let db = open(&env, &options);
        Run {
            env,
            options,
            db: Some(db),
            model: Model::new(),
            synced: Model::new(),
            batches: Vec::new(),
            snapshots: Vec::new(),
            others: 0,
        }
    }

    fn db(&self) -> &DB {
        self.db.as_ref().expect("it is open between operations")
    }

    fn step(&mut self, operation: u8, input: &mut Input<'_>) {
        match operation % 32 {
            0..=7 => self.write(1, input),
            8 | 9 => {
                let operations = input.operations();
                self.write(operations, input);
            }
            10..=13 => self.get(input),
            14 => self.get_many(input),
            15..=17 => self.walk(input),
            18 => {
                if self.snapshots.len() == MOST_SNAPSHOTS {
                    self.snapshots.remove(0);
                }
                let snapshot = self.db().snapshot().expect("the database is open");
                self.snapshots.push((snapshot, self.model.clone()));
            }
            19 if !self.snapshots.is_empty() => {
                let which = input.number() % self.snapshots.len();
                self.snapshots.swap_remove(which);
            }
            20 | 21 => {
                self.db().flush().expect("nothing fails");
                self.synced();
            }
            22 => {
                let (start, end) = (input.maybe_key(), input.maybe_key());
                let done = self.db().compact_range(start.as_deref(), end.as_deref());
                done.expect("nothing fails");
            }
            23..=26 => {
                for _ in 0..=input.number() % 4 {
                    self.db().run_background_step().expect("nothing fails");
                }
            }
            27 => {
                self.db().close().expect("nothing fails");
                self.synced();
                self.reopen();
            }
            28 => self.reopen(),
            29 | 30 => self.lose_power(input),
            _ => match operation / 32 {
                0 | 1 => {
                    let verified = self.db().verify().expect("nothing fails");
                    assert!(verified.is_ok(), "{verified:?}");
                }
                2 | 3 => self.copy(),
                4 => self.repair(),
                5 => self.read_only(),
                _ => {
                    let (start, end) = (input.key(), input.key());
                    let size = self.db().approximate_size(Some(&start), Some(&end));
                    assert!(size.expect("nothing fails") < 1 << 24);
                    self.compare_all();
                }
            },
        }
    }

    /// A checkpoint holds everything, makes it durable, opens by itself, and can be destroyed.
    fn copy(&mut self) {
        let dir = self.next_other();
        self.db().checkpoint(&dir).expect("nothing fails");
        self.synced();
        self.is_whole(&dir);
    }

    /// A database that nothing has damaged loses nothing by a repair.
    fn repair(&mut self) {
        self.snapshots.clear();
        self.db = None;
        let options = self.options.clone().env(Arc::new(self.env.clone()));
        let dir = self.next_other();
        let report = DB::repair("/db", &dir, &options).expect("nothing fails");
        assert!(report.is_ok(), "{report:?}");
        self.is_whole(&dir);
        self.reopen();
    }

    fn next_other(&mut self) -> String {
        self.others += 1;
        format!("/other {}", self.others)
    }

    /// Whether another database holds the same; it is destroyed.
    fn is_whole(&self, dir: &str) {
        let options = self.options.clone().env(Arc::new(self.env.clone()));
        let other = DB::open(dir, options.clone()).expect("it opens by itself");
        let found = contents(&other, IterOptions::default());
        assert!(found == self.model, "{dir} differs");
        drop(other);
        DB::destroy(dir, &options).expect("nothing fails");
    }

    /// Opened read-only it shows the same and takes no write.
    fn read_only(&mut self) {
        self.snapshots.clear();
        self.db = None;
        let options = self.options.clone().env(Arc::new(self.env.clone()));
        let read_only = DB::open("/db", options.read_only(true)).expect("nothing fails");
        let found = contents(&read_only, IterOptions::default());
        assert!(found == self.model, "read-only it differs");
        let refused = read_only.put(b"", b"").map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::InvalidArgument));
        drop(read_only);
        self.reopen();
    }

    fn write(&mut self, operations: usize, input: &mut Input<'_>) {
        let mut batch = WriteBatch::new();
        for _ in 0..operations {
            let key = input.key();
            let added = match input.number() % 4 {
                0 => batch.delete(&key),
                _ => batch.put(&key, &input.value()),
            };
            added.expect("keys and values are short");
        }
        let sync = input.number() % 8 == 7;
        let written = self
            .db()
            .write_with(&batch, &WriteOptions::new().sync(sync));
        written.expect("nothing fails");
        self.model.write(&batch);
        self.batches.push(batch);
        if sync {
            self.synced();
        }
    }

    fn synced(&mut self) {
        self.synced = self.model.clone();
        self.batches.clear();
    }

    /// A snapshot, or none: the model to read it with.
    fn view(&self, input: &mut Input<'_>) -> (Option<&Snapshot>, &Model) {
        match self.snapshots.get(input.number() % (MOST_SNAPSHOTS + 2)) {
            Some((snapshot, model)) => (Some(snapshot), model),
            None => (None, &self.model),
        }
    }

    fn get(&self, input: &mut Input<'_>) {
        let (snapshot, model) = self.view(input);
        let key = input.key();
        let options = ReadOptions::new()
            .snapshot(snapshot)
            .fill_cache(input.number().is_multiple_of(2));
        let value = self.db().get_with(&key, &options).expect("nothing fails");
        assert!(value.as_deref() == model.get(&key), "{}", shown(&key));
        let known = self.db().contains_key_with(&key, &options);
        assert_eq!(known.expect("nothing fails"), model.get(&key).is_some());
    }

    fn get_many(&self, input: &mut Input<'_>) {
        let (snapshot, model) = self.view(input);
        let keys: Vec<_> = (0..input.number() % 8).map(|_| input.key()).collect();
        let options = ReadOptions::new().snapshot(snapshot);
        let values = self.db().get_many_with(&keys, &options);
        for (key, value) in keys.iter().zip(values.expect("nothing fails")) {
            assert!(value.as_deref() == model.get(key), "{}", shown(key));
        }
    }

    fn walk(&self, input: &mut Input<'_>) {
        let (snapshot, model) = self.view(input);
        let walk = input.walk();
        let options = IterOptions::new()
            .snapshot(snapshot.cloned())
            .lower_bound(walk.lower.clone())
            .upper_bound(walk.upper.clone())
            .prefix(walk.prefix.clone())
            .reverse(walk.reverse);
        let mut cursor = self.db().cursor(options).expect("nothing fails");
        let mut expected = ModelCursor::new(model, &walk);
        for _ in 0..1 + input.number() % 24 {
            let moved = match input.number() % 12 {
                0 => {
                    expected.first();
                    cursor.first()
                }
                1 => {
                    expected.last();
                    cursor.last()
                }
                2 | 3 => {
                    let key = input.key();
                    expected.seek(&key);
                    cursor.seek(&key)
                }
                4 => {
                    let key = input.key();
                    expected.seek_for_prev(&key);
                    cursor.seek_for_prev(&key)
                }
                5..=8 => {
                    expected.next();
                    cursor.next()
                }
                _ => {
                    expected.prev();
                    cursor.prev()
                }
            };
            let found = moved
                .expect("nothing fails")
                .then(|| (cursor.key(), cursor.value()));
            assert!(
                found == expected.entry(),
                "{} instead of {}",
                found.map_or(String::new(), |(key, _)| shown(key)),
                expected
                    .entry()
                    .map_or(String::new(), |(key, _)| shown(key)),
            );
        }
    }

    /// Everything, now and as of each snapshot.
    fn compare_all(&self) {
        let read = |snapshot: Option<&Snapshot>| {
            let options = IterOptions::new().snapshot(snapshot.cloned());
            contents(self.db(), options)
        };
        assert!(read(None) == self.model, "the contents differ");
        for (snapshot, model) in &self.snapshots {
            assert!(
                read(Some(snapshot)) == *model,
                "what a snapshot sees differs"
            );
        }
    }

    /// Leaves the database as it is, as a process that ends does.
    fn reopen(&mut self) {
        self.snapshots.clear();
        self.db = None;
        self.db = Some(open(&self.env, &self.options));
        self.compare_all();
    }

    fn lose_power(&mut self, input: &mut Input<'_>) {
        self.snapshots.clear();
        self.env = self.env.power_cut(input.number() as u64);
        self.db = Some(open(&self.env, &self.options));
        let left = contents(self.db(), IterOptions::default());
        for batch in &self.batches {
            if self.synced == left {
                break;
            }
            self.synced.write(batch);
        }
        assert!(
            self.synced == left,
            "after a loss of power: no state since the last sync"
        );
        self.model = left;
        self.batches.clear();
    }
}

fn open(env: &MemEnv, options: &Options) -> DB {
    let options = options.clone().env(Arc::new(env.clone()));
    DB::open("/db", options).expect("what a database left opens")
}

fn contents(db: &DB, options: IterOptions) -> Model {
    let mut cursor = db.cursor(options).expect("the database is open");
    let mut model = Model::new();
    while cursor.next().expect("nothing fails") {
        model.put(cursor.key(), cursor.value());
    }
    model
}
