//! Mixed load from eight threads, with a model beside each.
//!
//! Every thread owns the keys that start with its number and knows their values. Besides, all threads write pairs of
//! shared keys in one batch, and every reader must find the two equal. `AIDB_SOAK_SECONDS` sets the duration (20 if
//! unset), `AIDB_LOAD_SEED` the seed.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aidb::{DB, IterOptions, Options, ReadOptions, WriteBatch, WriteOptions};
use aidb_tests::{Model, Random, Sizes, Walk};

const THREADS: u64 = 8;
const LONG_KEYS: Sizes = Sizes::new((1 << 16) + 1, 2000);
const SEED_VARIABLE: &str = "AIDB_LOAD_SEED";

fn options() -> Options {
    Options::new()
        .write_buffer_size(256 << 10)
        .block_cache_size(1 << 20)
        .level_base_size(1 << 20)
        .level_size_multiplier(4)
        .target_file_size(128 << 10)
}

#[test]
fn eight_threads_of_mixed_load_agree_with_their_models() {
    let seconds: u64 = match std::env::var("AIDB_SOAK_SECONDS") {
        Ok(text) => text.parse().expect("AIDB_SOAK_SECONDS is a number"),
        Err(_) => 20,
    };
    let (seed, _) = Random::seed_from(SEED_VARIABLE);
    println!(
        "rerun: {SEED_VARIABLE}={seed:#x} AIDB_SOAK_SECONDS={seconds} cargo test -p aidb-tests --test integration \
         eight_threads_of_mixed_load -- --nocapture"
    );
    let dir = tempfile::tempdir().unwrap();
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let operations = AtomicU64::new(0);
    let mut models = vec![Model::new(); THREADS as usize];
    let mut life = 0;
    // Each life opens the database, loads it for a quarter of the time, and closes it or drops it.
    while Instant::now() < deadline {
        let db = DB::open(dir.path(), options()).unwrap();
        for (owner, model) in models.iter().enumerate() {
            compare(&db, owner as u64, model);
        }
        let end = deadline.min(Instant::now() + Duration::from_secs(1 + seconds / 4));
        let start = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for (owner, model) in models.iter_mut().enumerate() {
                let (db, start, operations) = (db.clone(), &start, &operations);
                let random = Random::new(seed ^ (owner as u64) << 32 ^ life);
                scope.spawn(move || {
                    start.wait();
                    let worker = Worker {
                        db,
                        owner: owner as u64,
                        model,
                        random,
                    };
                    operations.fetch_add(worker.run(end), Ordering::Relaxed);
                });
            }
        });
        if life % 2 == 0 {
            db.close().unwrap();
        }
        life += 1;
    }
    let db = DB::open(dir.path(), options()).unwrap();
    for (owner, model) in models.iter().enumerate() {
        compare(&db, owner as u64, model);
    }
    let operations = operations.into_inner();
    println!("{operations} operations in {seconds} s and {life} lives agree with the models");
    assert!(operations > 1000);
}

fn compare(db: &DB, owner: u64, model: &Model) {
    let found: Vec<_> = db
        .prefix(&[owner as u8])
        .map(|entry| entry.unwrap())
        .collect();
    assert!(
        found == model.entries(&Walk::default()),
        "thread {owner}: the database differs from its model"
    );
}

struct Worker<'a> {
    db: DB,
    owner: u64,
    model: &'a mut Model,
    random: Random,
}

impl Worker<'_> {
    fn run(mut self, end: Instant) -> u64 {
        let mut operations = 0;
        while Instant::now() < end {
            for _ in 0..20 {
                self.step();
            }
            operations += 20;
        }
        operations
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.random.below(5000) as u16;
        let [high, low] = number.to_be_bytes();
        let mut key = vec![self.owner as u8, high, low];
        // A few keys are long; a key always has the same length.
        if number.is_multiple_of(100) {
            key.extend(Random::new(u64::from(number)).long_key(&LONG_KEYS));
        }
        key
    }

    fn step(&mut self) {
        match self.random.below(1000) {
            0..350 => {
                let (key, value) = (self.key(), self.random.value());
                let sync = self.random.one_in(200);
                self.db
                    .put_with(&key, &value, &WriteOptions::new().sync(sync))
                    .unwrap();
                self.model.put(&key, &value);
            }
            350..450 => {
                let key = self.key();
                self.db.delete(&key).unwrap();
                self.model.delete(&key);
            }
            450..500 => self.write_batch(),
            500..560 => self.write_pair(),
            560..620 => self.read_pair(),
            620..900 => {
                let key = self.key();
                let found = self.db.get(&key).unwrap();
                assert_eq!(found.as_deref(), self.model.get(&key), "{key:?}");
            }
            900..970 => {
                let keys: Vec<_> = (0..10).map(|_| self.key()).collect();
                let found = self.db.get_many(&keys).unwrap();
                for (key, value) in keys.iter().zip(&found) {
                    assert_eq!(value.as_deref(), self.model.get(key), "{key:?}");
                }
            }
            970..995 => self.walk(),
            995..998 => self.hold_snapshot(),
            998 => self.db.flush().unwrap(),
            _ if self.random.one_in(20) => {
                let (start, end) = (self.key(), self.key());
                self.db.compact_range(Some(&start), Some(&end)).unwrap();
            }
            _ => {}
        }
    }

    fn write_batch(&mut self) {
        let mut batch = WriteBatch::new();
        for _ in 0..1 + self.random.below(50) {
            let key = self.key();
            match self.random.one_in(4) {
                true => batch.delete(&key).unwrap(),
                false => batch.put(&key, &self.random.value()).unwrap(),
            }
        }
        self.db.write(&batch).unwrap();
        self.model.write(&batch);
    }

    /// Two shared keys far apart, with one value.
    fn pair(&mut self) -> [[u8; 2]; 2] {
        let pair = self.random.below(50) as u8;
        [[0xf0, pair], [0xfe, pair]]
    }

    fn write_pair(&mut self) {
        let mut batch = WriteBatch::new();
        let value = self.random.next().to_le_bytes();
        for key in self.pair() {
            batch.put(&key, &value).unwrap();
        }
        self.db.write(&batch).unwrap();
    }

    fn read_pair(&mut self) {
        let keys = self.pair();
        let found = self.db.get_many(&keys).unwrap();
        assert_eq!(
            found[0].as_deref(),
            found[1].as_deref(),
            "half a batch was seen"
        );
    }

    fn walk(&mut self) {
        let (from, reverse) = (self.key(), self.random.one_in(2));
        let mut cursor = self
            .db
            .cursor(
                IterOptions::new()
                    .prefix(Some(vec![self.owner as u8]))
                    .reverse(reverse),
            )
            .unwrap();
        let walk = Walk {
            prefix: Some(vec![self.owner as u8]),
            reverse,
            ..Walk::default()
        };
        let expected = self.model.entries(&walk);
        let mut on = cursor.seek(&from).unwrap();
        let behind = |key: &Vec<u8>| match reverse {
            false => *key >= from,
            true => *key <= from,
        };
        for (key, value) in expected.iter().filter(|(key, _)| behind(key)).take(100) {
            assert!(on, "the cursor ended before {key:?}");
            assert_eq!((cursor.key(), cursor.value()), (&key[..], &value[..]));
            on = cursor.next().unwrap();
        }
    }

    fn hold_snapshot(&mut self) {
        let snapshot = self.db.snapshot().unwrap();
        let held = self.model.clone();
        for _ in 0..50 {
            let (key, value) = (self.key(), self.random.value());
            self.db.put(&key, &value).unwrap();
            self.model.put(&key, &value);
            let options = ReadOptions::new().snapshot(Some(&snapshot));
            let found = self.db.get_with(&key, &options).unwrap();
            assert_eq!(found.as_deref(), held.get(&key), "a snapshot changed");
        }
    }
}
