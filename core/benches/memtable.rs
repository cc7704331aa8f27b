//! What does an operation on the memtable cost, and what did the leaves gain over a skip list node per entry?
//!
//! 500,000 entries of 16-byte keys and 100-byte values in memory, one and two threads, three rounds on fresh memtables:
//! nanoseconds per operation, the median of the rounds with the least and the most. Beside the memtable stands
//! crossbeam's `SkipMap` with a boxed key and value per entry.
//!
//! `cargo bench -p aidb --features internals --bench memtable`; about half a minute.

use std::cmp::Reverse;
use std::hint::black_box;
use std::time::Instant;

use aidb::MeasuredMemtable;
use crossbeam_skiplist::SkipMap;

const ENTRIES: u64 = 500_000;
const ROUNDS: usize = 3;
const VALUE: [u8; 100] = [7; 100];

/// What both structures can do.
trait Store: Sync {
    fn insert(&self, key: &[u8], sequence: u64);
    fn get(&self, key: &[u8]) -> bool;
    fn scan(&self, forward: bool) -> u64;
    fn bytes(&self) -> Option<usize>;
}

impl Store for MeasuredMemtable {
    fn insert(&self, key: &[u8], sequence: u64) {
        MeasuredMemtable::insert(self, key, sequence, &VALUE);
    }

    fn get(&self, key: &[u8]) -> bool {
        MeasuredMemtable::get(self, key).is_some()
    }

    fn scan(&self, forward: bool) -> u64 {
        MeasuredMemtable::scan(self, forward)
    }

    fn bytes(&self) -> Option<usize> {
        Some(self.memory())
    }
}

/// User key, then the newest version first.
type BoxedKey = (Box<[u8]>, Reverse<u64>);

#[derive(Default)]
struct NodePerEntry(SkipMap<BoxedKey, Box<[u8]>>);

impl Store for NodePerEntry {
    fn insert(&self, key: &[u8], sequence: u64) {
        self.0.insert((key.into(), Reverse(sequence)), VALUE.into());
    }

    fn get(&self, key: &[u8]) -> bool {
        let found = self
            .0
            .lower_bound(std::ops::Bound::Included(&(key.into(), Reverse(u64::MAX))));
        found.is_some_and(|entry| *entry.key().0 == *key && entry.value()[0] == VALUE[0])
    }

    fn scan(&self, forward: bool) -> u64 {
        let mut entries = 0;
        let mut count = |key: &[u8], value: &[u8]| {
            black_box((key[0], value[0]));
            entries += 1;
        };
        match forward {
            true => self
                .0
                .iter()
                .for_each(|entry| count(&entry.key().0, entry.value())),
            false => self
                .0
                .iter()
                .rev()
                .for_each(|entry| count(&entry.key().0, entry.value())),
        }
        entries
    }

    fn bytes(&self) -> Option<usize> {
        None
    }
}

/// The key of an entry: sixteen decimal digits, in random order or ascending.
fn key_of(index: u64, random: bool) -> [u8; 16] {
    let mut number = match random {
        // Odd, so a bijection of the 32-bit numbers.
        true => u64::from((index as u32).wrapping_mul(0x9e37_79b1)) % 4_000_000_000,
        false => index,
    };
    let mut key = [b'0'; 16];
    for digit in key.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    key
}

fn nanoseconds(operations: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / operations as f64
}

fn fill(store: &dyn Store, threads: u64, random: bool) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for index in (thread..ENTRIES).step_by(threads as usize) {
                    store.insert(&key_of(index, random), index + 1);
                }
            });
        }
    });
}

fn round(new: &dyn Fn() -> Box<dyn Store>) -> Vec<(&'static str, f64)> {
    let mut figures = Vec::new();
    let store = new();
    let store = &*store;
    let mut measure = |name, work: &dyn Fn()| figures.push((name, nanoseconds(ENTRIES, work)));
    measure("insert, random", &|| fill(store, 1, true));
    measure("get, found", &|| {
        for step in 0..ENTRIES {
            let index = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ENTRIES;
            assert!(store.get(&key_of(index, true)));
        }
    });
    measure("get, absent", &|| {
        for step in 0..ENTRIES {
            let index = ENTRIES + step;
            black_box(store.get(&key_of(index, true)));
        }
    });
    measure("scan forwards", &|| assert_eq!(store.scan(true), ENTRIES));
    measure("scan backwards", &|| assert_eq!(store.scan(false), ENTRIES));
    if let Some(bytes) = store.bytes() {
        figures.push(("bytes per entry", bytes as f64 / ENTRIES as f64));
    }
    for (name, threads, random) in [
        ("insert, ascending", 1, false),
        ("insert, random, 2 threads (wall)", 2, true),
    ] {
        let store = new();
        figures.push((
            name,
            nanoseconds(ENTRIES, || fill(&*store, threads, random)),
        ));
    }
    figures
}

fn main() {
    type New = Box<dyn Fn() -> Box<dyn Store>>;
    let stores: [(&str, New); 2] = [
        (
            "memtable",
            Box::new(|| Box::new(MeasuredMemtable::new(64 << 20))),
        ),
        (
            "SkipMap, a node per entry",
            Box::new(|| Box::new(NodePerEntry::default())),
        ),
    ];
    for (name, new) in stores {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| round(&*new)).collect();
        println!("{name}, {ENTRIES} entries, ns per operation");
        for (figure, (what, _)) in rounds[0].iter().enumerate() {
            let mut values: Vec<f64> = rounds.iter().map(|round| round[figure].1).collect();
            values.sort_by(f64::total_cmp);
            println!(
                "  {what:34}{:8.0} [{:.0}-{:.0}]",
                values[ROUNDS / 2],
                values[0],
                values[ROUNDS - 1]
            );
        }
    }
}
