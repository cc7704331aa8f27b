//! Concurrent transactions have the effect of running one after the other: random histories, judged by a checker that
//! knows nothing of the engine.
//!
//! The checker gets what each transaction has read and written, and where in the order of commits it is. Each write of
//! a key makes a version. Two transactions depend on each other if one wrote what the other read (it comes first), if
//! one read what the other replaced (it comes first), or if both wrote the key (in the order of the versions).
//! Transactions have an order without contradictions exactly if these dependencies have no cycle (Adya, "Weak
//! Consistency", 1999).
//!
//! `AIDB_TORTURE_SEED` sets the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aidb::{DB, ErrorKind, IterOptions, Options, WriteBatch};
use aidb_tests::{Random, first_seed};

use crate::small_options;

/// A key of these histories, and a value: unique, so that it names the write.
type Key = u8;
type Value = Option<u64>;

/// The keys.
const KEYS: u8 = 10;

/// What a committed transaction did.
#[derive(Clone, Debug, Default)]
struct Done {
    /// The sequence number at which it read.
    begun: u64,
    /// The sequence number of its last write; 0 if it wrote nothing.
    last: u64,
    reads: BTreeMap<Key, Value>,
    writes: BTreeMap<Key, Value>,
}

/// Why a history is not serializable.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The transaction of this index did not read the newest version as of its beginning.
    StaleRead(usize),
    /// These transactions each have to come before the next one, and the last before the first.
    Cycle(Vec<usize>),
}

/// Judges a history: all transactions that wrote, and some that only read.
fn judge(history: &[Done]) -> Result<(), Fault> {
    // For each key its versions: the place in the order of commits, the writer and the value.
    let mut versions: BTreeMap<Key, Vec<(u64, usize, Value)>> = BTreeMap::new();
    for (index, done) in history.iter().enumerate() {
        for (key, value) in &done.writes {
            let of_key = versions.entry(*key).or_default();
            of_key.push((done.last, index, *value));
        }
    }
    versions.values_mut().for_each(|of_key| of_key.sort());
    let mut after = vec![BTreeSet::new(); history.len()];
    for of_key in versions.values() {
        for pair in of_key.windows(2) {
            after[pair[0].1].insert(pair[1].1);
        }
    }
    for (index, done) in history.iter().enumerate() {
        for (key, value) in &done.reads {
            let of_key = versions.get(key).map_or(&[][..], Vec::as_slice);
            let seen = of_key.partition_point(|(last, ..)| *last <= done.begun);
            let read = seen.checked_sub(1).map(|at| of_key[at]);
            if read.and_then(|(.., value)| value) != *value {
                return Err(Fault::StaleRead(index));
            }
            if let Some((_, writer, _)) = read {
                after[writer].insert(index);
            }
            if let Some((_, replacer, _)) = of_key.get(seen) {
                after[index].insert(*replacer);
            }
        }
    }
    for (index, later) in after.iter_mut().enumerate() {
        later.remove(&index);
    }
    cycle(&after).map_or(Ok(()), |cycle| Err(Fault::Cycle(cycle)))
}

/// A cycle of the graph, if there is one.
fn cycle(after: &[BTreeSet<usize>]) -> Option<Vec<usize>> {
    let mut before = vec![0; after.len()];
    for later in after.iter().flatten() {
        before[*later] += 1;
    }
    let mut free: Vec<usize> = (0..after.len()).filter(|at| before[*at] == 0).collect();
    let mut left: BTreeSet<usize> = (0..after.len()).collect();
    while let Some(at) = free.pop() {
        left.remove(&at);
        for later in &after[at] {
            before[*later] -= 1;
            if before[*later] == 0 {
                free.push(*later);
            }
        }
    }
    // Everything that is left has one before it that is left: going back comes round.
    let mut at = *left.first()?;
    let mut path = Vec::new();
    loop {
        if let Some(begin) = path.iter().position(|passed| *passed == at) {
            path.drain(..begin);
            path.reverse();
            return Some(path);
        }
        path.push(at);
        at = *left.iter().find(|other| after[**other].contains(&at))?;
    }
}

fn done(begun: u64, last: u64, reads: &[(Key, Value)], writes: &[(Key, Value)]) -> Done {
    Done {
        begun,
        last,
        reads: reads.iter().copied().collect(),
        writes: writes.iter().copied().collect(),
    }
}

#[test]
fn the_checker_accepts_what_has_an_order_and_finds_what_has_none() {
    let one = done(0, 1, &[], &[(1, Some(10))]);
    let serial = [
        one.clone(),
        done(1, 2, &[(1, Some(10))], &[(1, Some(11))]),
        done(2, 3, &[(1, Some(11)), (2, None)], &[(2, Some(12))]),
        // It has read an old state, and only reads.
        done(1, 0, &[(1, Some(10)), (2, None)], &[]),
    ];
    assert_eq!(judge(&serial), Ok(()));
    // Each reads what the other writes: write skew.
    let skew = [
        done(0, 1, &[(1, None), (2, None)], &[(1, Some(10))]),
        done(0, 2, &[(1, None), (2, None)], &[(2, Some(11))]),
    ];
    assert!(matches!(judge(&skew), Err(Fault::Cycle(cycle)) if cycle.len() == 2));
    // Both add to the same counter.
    let lost_update = [
        one.clone(),
        done(1, 2, &[(1, Some(10))], &[(1, Some(11))]),
        done(1, 3, &[(1, Some(10))], &[(1, Some(12))]),
    ];
    assert!(matches!(judge(&lost_update), Err(Fault::Cycle(_))));
    // A reader makes a contradiction of two writers that have an order without it (Fekete and others, 2004).
    let with_reader = [
        done(0, 1, &[(1, None), (2, None)], &[(1, Some(10))]),
        done(0, 2, &[(2, None)], &[(2, Some(11))]),
        done(1, 0, &[(1, Some(10)), (2, None)], &[]),
    ];
    assert_eq!(judge(&with_reader), Ok(()));
    let mut contradiction = with_reader.to_vec();
    contradiction[0].last = 3;
    contradiction[2] = done(2, 0, &[(1, None), (2, Some(11))], &[]);
    assert!(matches!(judge(&contradiction), Err(Fault::Cycle(cycle)) if cycle.len() == 3));
    let stale = [one, done(1, 2, &[(1, None)], &[])];
    assert_eq!(judge(&stale), Err(Fault::StaleRead(1)));
}

/// How the reads of a transaction are made; the weak ways leave out what makes it serializable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// By the transaction.
    Tracked,
    /// Ranges from a snapshot, which the transaction does not know of.
    RangesUntracked,
    /// All from a snapshot.
    Untracked,
}

/// Counts of a history.
#[derive(Default)]
struct Counts {
    committed: AtomicU64,
    conflicts: AtomicU64,
}

/// The worker of one thread: transactions, and writes without one.
struct Worker<'a> {
    db: &'a DB,
    reads: Reads,
    random: Random,
    next_value: &'a AtomicU64,
    history: &'a Mutex<Vec<Done>>,
    counts: &'a Counts,
}

fn bytes(key: Key) -> [u8; 2] {
    [b'k', key]
}

fn value_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

impl Worker<'_> {
    fn new_value(&mut self) -> u64 {
        self.next_value.fetch_add(1, Ordering::Relaxed)
    }

    fn key(&mut self) -> Key {
        self.random.below(u64::from(KEYS)) as Key
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0 => self.write_alone(),
            1 if self.random.one_in(8) => self.write_much(),
            _ => self.transact(),
        }
    }

    /// A batch that belongs to no transaction.
    fn write_alone(&mut self) {
        let mut done = Done::default();
        let mut batch = WriteBatch::new();
        for _ in 0..1 + self.random.below(3) {
            let key = self.key();
            let value = (!self.random.one_in(3)).then(|| self.new_value());
            match value {
                Some(value) => batch.put(&bytes(key), &value.to_le_bytes()).unwrap(),
                None => batch.delete(&bytes(key)).unwrap(),
            }
            done.writes.insert(key, value);
        }
        done.last = self.db.write(&batch).unwrap().0;
        self.history.lock().unwrap().push(done);
    }

    /// So many other keys that recent commits are forgotten, and a flush.
    fn write_much(&mut self) {
        let mut batch = WriteBatch::new();
        for other in 0..9000u32 {
            batch
                .delete(&[&b"z"[..], &other.to_be_bytes()].concat())
                .unwrap();
        }
        self.db.write(&batch).unwrap();
        self.db.flush().unwrap();
    }

    fn transact(&mut self) {
        let snapshot = self.db.snapshot().unwrap();
        let transaction = self.db.begin().unwrap();
        let mut done = Done {
            begun: match self.reads {
                Reads::Tracked => transaction.sequence().unwrap().0,
                _ => snapshot.sequence().0,
            },
            ..Done::default()
        };
        for _ in 0..1 + self.random.below(5) {
            let key = self.key();
            match self.random.below(5) {
                0 | 1 => {
                    let found = match self.reads {
                        Reads::Untracked => {
                            let options = aidb::ReadOptions::new().snapshot(&snapshot);
                            self.db.get_with(&bytes(key), &options).unwrap()
                        }
                        _ => transaction.get(&bytes(key)).unwrap(),
                    };
                    if !done.writes.contains_key(&key) {
                        let value = found.map(|value| value_of(&value));
                        done.reads.insert(key, value);
                    }
                }
                2 => self.scan(&snapshot, &transaction, &mut done),
                _ => {
                    let value = (!self.random.one_in(4)).then(|| self.new_value());
                    match value {
                        Some(value) => transaction.put(&bytes(key), &value.to_le_bytes()),
                        None => transaction.delete(&bytes(key)),
                    }
                    .unwrap();
                    done.writes.insert(key, value);
                }
            }
            std::thread::yield_now();
        }
        match transaction.commit() {
            Ok(last) => {
                done.last = match done.writes.is_empty() {
                    true => 0,
                    false => last.0,
                };
                self.counts.committed.fetch_add(1, Ordering::Relaxed);
                self.history.lock().unwrap().push(done);
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.counts.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads some keys in a row, those that are absent too.
    fn scan(
        &mut self,
        snapshot: &aidb::Snapshot,
        transaction: &aidb::Transaction,
        done: &mut Done,
    ) {
        let (from, to) = (self.key(), self.key());
        let (from, to) = (from.min(to), from.max(to));
        let options = IterOptions::new()
            .lower_bound(bytes(from).to_vec())
            .upper_bound(bytes(to + 1).to_vec())
            .reverse(self.random.one_in(2));
        let mut cursor = match self.reads {
            Reads::Tracked => transaction.cursor(options).unwrap(),
            _ => self.db.cursor(options.snapshot(snapshot.clone())).unwrap(),
        };
        let mut found = BTreeMap::new();
        while cursor.next().unwrap() {
            found.insert(cursor.key()[1], value_of(cursor.value()));
        }
        for key in from..=to {
            if !done.writes.contains_key(&key) {
                done.reads.insert(key, found.get(&key).copied());
            }
        }
    }
}

/// Runs `threads` threads, and judges what they did.
fn run(seed: u64, reads: Reads, steps: usize) -> (Result<(), Fault>, Counts) {
    const THREADS: u64 = 4;
    let dir = tempfile::tempdir().unwrap();
    let options: Options = small_options();
    let db = DB::open(dir.path().join("db"), options).unwrap();
    let (history, counts) = (Mutex::default(), Counts::default());
    let next_value = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut worker = Worker {
                db: &db,
                reads,
                random: Random::new(seed.wrapping_mul(THREADS).wrapping_add(thread)),
                next_value: &next_value,
                history: &history,
                counts: &counts,
            };
            scope.spawn(move || (0..steps).for_each(|_| worker.step()));
        }
    });
    let history = history.into_inner().unwrap();
    (judge(&history), counts)
}

#[test]
fn concurrent_transactions_have_an_order_without_contradictions() {
    let first = first_seed();
    for seed in first..first + 12 {
        let (verdict, counts) = run(seed, Reads::Tracked, 400);
        assert_eq!(verdict, Ok(()), "AIDB_TORTURE_SEED={seed:#x}");
        let [committed, conflicts] =
            [counts.committed, counts.conflicts].map(AtomicU64::into_inner);
        assert!(
            committed > 100 && conflicts > 10,
            "{committed} commits and {conflicts} conflicts: the threads must meet"
        );
    }
}

/// Without what the transactions take note of, the same histories have contradictions, and the checker finds them.
#[test]
fn without_notes_of_what_was_read_contradictions_are_found() {
    for reads in [Reads::RangesUntracked, Reads::Untracked] {
        let first = first_seed();
        let found = (first..first + 12).any(|seed| {
            let (verdict, _) = run(seed, reads, 400);
            matches!(verdict, Err(Fault::Cycle(_)))
        });
        assert!(found, "no run had a contradiction");
    }
}
