//! Random histories with random options give the same answers as a `BTreeMap`.
//!
//! `AIDB_MODEL_SEED` reruns one history; `AIDB_MODEL_HISTORIES` runs more than the usual number.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aidb::{
    Cursor, DB, IterOptions, MAX_KEY_BYTES, Options, ReadOptions, Snapshot, WriteBatch,
    WriteOptions,
};
use aidb_tests::{Model, ModelCursor, Random, Sizes, Walk, shown};

const SEED_VARIABLE: &str = "AIDB_MODEL_SEED";
/// Histories at once: most of one is waiting for the disk.
const THREADS: usize = 4;

#[test]
fn random_histories_match_a_btreemap() {
    let (seed, given) = Random::seed_from(SEED_VARIABLE);
    let histories = match std::env::var("AIDB_MODEL_HISTORIES") {
        Ok(text) => text.parse().expect("AIDB_MODEL_HISTORIES is a number"),
        Err(_) if given => 1,
        Err(_) => 30,
    };
    let (next, deepest) = (AtomicU64::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let walk = || {
            loop {
                let history = next.fetch_add(1, Ordering::Relaxed);
                if history >= histories {
                    return;
                }
                let levels = run_history(seed.wrapping_add(history));
                deepest.fetch_max(levels, Ordering::Relaxed);
            }
        };
        for _ in 0..THREADS {
            scope.spawn(walk);
        }
    });
    let deepest = deepest.into_inner();
    assert!(
        given || deepest >= 3,
        "the histories must reach level 2 and beyond, not only {deepest} levels"
    );
}

/// Runs the history of a seed; how many levels it reached.
fn run_history(seed: u64) -> usize {
    catch_unwind(AssertUnwindSafe(|| History::new(seed).run())).unwrap_or_else(|panic| {
        eprintln!(
            "rerun: {SEED_VARIABLE}={seed:#x} cargo test -p aidb-tests --test integration \
             random_histories_match_a_btreemap"
        );
        resume_unwind(panic)
    })
}

struct History {
    dir: tempfile::TempDir,
    options: Options,
    db: DB,
    model: Model,
    snapshots: Vec<(Snapshot, Model)>,
    random: Random,
    sizes: Sizes,
    /// Long keys that come again.
    long_keys: Vec<Vec<u8>>,
    steps: u64,
    levels: usize,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let options = aidb_tests::options(&mut random);
        let (sizes, shorter) = Sizes::of_a_history(&mut random);
        let key_sizes = sizes.at_most(MAX_KEY_BYTES);
        let long_keys = (0..3).map(|_| random.long_key(&key_sizes)).collect();
        let db = DB::open(dir.path(), options.clone()).unwrap();
        History {
            dir,
            options,
            db,
            model: Model::new(),
            snapshots: Vec::new(),
            random,
            sizes,
            long_keys,
            steps: 3000 / shorter,
            levels: 0,
        }
    }

    /// Runs the whole history; how many levels were in use at its fullest.
    fn run(mut self) -> usize {
        for _ in 0..self.steps {
            self.step();
        }
        self.compare_all();
        self.reopen();
        self.compare_all();
        self.levels
    }

    fn key(&mut self) -> Vec<u8> {
        match self.random.one_in(40) {
            true => self.random.pick(&self.long_keys).clone(),
            false => self.random.key(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        self.random.value_of(&self.sizes)
    }

    fn step(&mut self) {
        match self.random.below(1000) {
            0..450 => {
                let (key, value) = (self.key(), self.value());
                let sync = self.random.one_in(100);
                self.db
                    .put_with(&key, &value, &WriteOptions::new().sync(sync))
                    .unwrap();
                self.model.put(&key, &value);
            }
            450..550 => {
                let key = self.key();
                self.db.delete(&key).unwrap();
                self.model.delete(&key);
            }
            550..620 => {
                let mut batch = WriteBatch::new();
                let operations = match self.random.one_in(8) {
                    true => self.random.count(300),
                    false => self.random.below(30),
                };
                for _ in 0..operations {
                    let key = self.key();
                    match self.random.one_in(3) {
                        true => batch.delete(&key).unwrap(),
                        false => batch.put(&key, &self.value()).unwrap(),
                    }
                }
                self.db.write(&batch).unwrap();
                self.model.write(&batch);
            }
            620..800 => {
                let key = self.key();
                let found = self.db.get(&key).unwrap();
                assert!(
                    found.as_deref() == self.model.get(&key),
                    "get {}",
                    shown(&key)
                );
                assert_eq!(self.db.contains_key(&key).unwrap(), found.is_some());
            }
            800..850 => {
                let keys: Vec<_> = (0..self.random.below(20)).map(|_| self.key()).collect();
                let found = self.db.get_many(&keys).unwrap();
                assert_eq!(found.len(), keys.len());
                for (key, value) in keys.iter().zip(&found) {
                    assert!(
                        value.as_deref() == self.model.get(key),
                        "get_many {}",
                        shown(key)
                    );
                }
            }
            850..930 => self.walk(),
            930..960 => self.read_snapshot(),
            960..975 => {
                let snapshot = self.db.snapshot().unwrap();
                self.snapshots.push((snapshot, self.model.clone()));
            }
            975..985 if !self.snapshots.is_empty() => {
                let index = self.random.below(self.snapshots.len() as u64) as usize;
                self.snapshots.swap_remove(index);
            }
            985..991 => self.db.flush().unwrap(),
            991..995 => {
                let (start, end) = (self.key(), self.key());
                let whole = self.random.one_in(3);
                let bound = |key: Vec<u8>| (!whole).then_some(key);
                let (start, end) = (bound(start), bound(end));
                self.db
                    .compact_range(start.as_deref(), end.as_deref())
                    .unwrap();
            }
            995..997 => self.reopen(),
            997 => self.compare_all(),
            _ => {
                let stats = self.db.stats().unwrap();
                let used = stats.levels.iter().rposition(|level| level.tables > 0);
                self.levels = self.levels.max(used.map_or(0, |level| level + 1));
            }
        }
    }

    fn reopen(&mut self) {
        self.snapshots.clear();
        if self.random.one_in(2) {
            self.db.close().unwrap();
        }
        // Dropping the only handle closes it too; a new one takes the directory only when the old one is gone.
        let parked = tempfile::tempdir().unwrap();
        self.db = DB::open(parked.path(), Options::new()).unwrap();
        if self.random.one_in(3) {
            self.options = aidb_tests::options(&mut self.random);
        }
        self.db = DB::open(self.dir.path(), self.options.clone()).unwrap();
    }

    /// Every entry, by iterator from both ends, by get, and through every snapshot.
    fn compare_all(&mut self) {
        let expected = self.model.entries(&Walk::default());
        let found: Vec<_> = self.db.iter().map(|entry| entry.unwrap()).collect();
        assert!(found == expected, "iter");
        let mut found: Vec<_> = self.db.iter().rev().map(|entry| entry.unwrap()).collect();
        found.reverse();
        assert!(found == expected, "iter from the back");
        for (key, value) in &expected {
            assert!(self.db.get(key).unwrap().as_deref() == Some(&value[..]));
        }
        for (snapshot, model) in &self.snapshots {
            let mut cursor = self
                .db
                .cursor(IterOptions::new().snapshot(Some(snapshot.clone())))
                .unwrap();
            for (key, value) in model.iter() {
                assert!(cursor.next().unwrap());
                assert!((cursor.key(), cursor.value()) == (key, value), "snapshot");
            }
            assert!(!cursor.next().unwrap());
        }
    }

    fn read_snapshot(&mut self) {
        if self.snapshots.is_empty() {
            return;
        }
        let index = self.random.below(self.snapshots.len() as u64) as usize;
        let (snapshot, model) = self.snapshots[index].clone();
        let options = ReadOptions::new()
            .snapshot(Some(&snapshot))
            .fill_cache(self.random.one_in(2));
        for _ in 0..10 {
            let key = self.key();
            let found = self.db.get_with(&key, &options).unwrap();
            assert!(
                found.as_deref() == model.get(&key),
                "snapshot get {}",
                shown(&key)
            );
        }
    }

    /// Random moves of a cursor with random bounds, beside the model's cursor; sometimes with writes between.
    fn walk(&mut self) {
        let some_key = |this: &mut History| this.random.one_in(3).then(|| this.key());
        let walk = Walk {
            lower: some_key(self),
            upper: some_key(self),
            prefix: some_key(self).map(|mut key| {
                key.truncate(match key.len() {
                    0..1000 => 2,
                    length => length - 2,
                });
                key
            }),
            reverse: self.random.one_in(2),
        };
        let at = match self.random.one_in(3) && !self.snapshots.is_empty() {
            true => Some(self.random.below(self.snapshots.len() as u64) as usize),
            false => None,
        };
        let (snapshot, model) = match at {
            Some(index) => {
                let (snapshot, model) = &self.snapshots[index];
                (Some(snapshot.clone()), model)
            }
            None => (None, &self.model),
        };
        let mut expected = ModelCursor::new(model, &walk);
        let mut cursor = self
            .db
            .cursor(
                IterOptions::new()
                    .snapshot(snapshot)
                    .lower_bound(walk.lower.clone())
                    .upper_bound(walk.upper.clone())
                    .prefix(walk.prefix.clone())
                    .reverse(walk.reverse)
                    .fill_cache(self.random.one_in(2)),
            )
            .unwrap();
        for _ in 0..self.random.below(60) {
            self.move_both(&mut cursor, &mut expected, &walk);
            if self.random.one_in(30) {
                let (key, value) = (self.key(), self.value());
                self.db.put(&key, &value).unwrap();
                self.model.put(&key, &value);
            }
        }
    }

    fn move_both(&mut self, cursor: &mut Cursor, expected: &mut ModelCursor, walk: &Walk) {
        let choice = self.random.below(20);
        let target = self.key();
        let on = match choice {
            0 => {
                expected.first();
                cursor.first()
            }
            1 => {
                expected.last();
                cursor.last()
            }
            2 | 3 => {
                expected.seek(&target);
                cursor.seek(&target)
            }
            4 | 5 => {
                expected.seek_for_prev(&target);
                cursor.seek_for_prev(&target)
            }
            6..12 => {
                expected.prev();
                cursor.prev()
            }
            _ => {
                expected.next();
                cursor.next()
            }
        };
        let found = on.unwrap().then(|| (cursor.key(), cursor.value()));
        assert!(
            found == expected.entry(),
            "move {choice} (to {}), {}: at {:?} instead of {:?}",
            shown(&target),
            if walk.reverse { "downwards" } else { "upwards" },
            found.map(|(key, _)| shown(key)),
            expected.entry().map(|(key, _)| shown(key)),
        );
        assert_eq!(cursor.valid(), found.is_some());
    }
}
