//! Measures the peak memory of each step in the life of large values and keys: `large-value DIR`, `large-values DIR`,
//! `large-keys DIR`.

use std::fs;

use aidb::{DB, Options};
use aidb_tests::Random;

use crate::{not_run, say};

const MIB: u64 = 1 << 20;
const VALUE_BYTES: u64 = 96 * MIB;
/// The write buffer, the block cache, and the rest of a process's memory.
const BUFFERS: u64 = 32 * MIB;

/// A row of /proc/self/status, in bytes.
fn status(row: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(row));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.map_or(0, |kib| kib.parse::<u64>().unwrap() << 10)
}

/// Resets the peak of the process's memory.
fn watch() {
    if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
        not_run(&format!("the peak of memory cannot be reset: {error}"));
    }
}

/// Watches steps, and prints the peak memory of each.
struct Steps {
    before: u64,
    value_bytes: u64,
    over: Vec<String>,
}

impl Steps {
    fn begin(value_bytes: u64) -> Steps {
        watch();
        Steps {
            before: status("VmRSS"),
            value_bytes,
            over: Vec::new(),
        }
    }

    /// Does `work`, which may take the memory of this many `values` beside the buffers.
    fn step(&mut self, name: &str, values: u64, work: impl FnOnce()) {
        watch();
        work();
        let peak = status("VmHWM").saturating_sub(self.before);
        let bytes = self.value_bytes;
        say(&format!(
            "{name}: {} MiB for values of {}",
            peak / MIB,
            bytes / MIB
        ));
        if peak > values * bytes + BUFFERS {
            self.over.push(name.to_owned());
        }
    }

    fn end(self) {
        let over = self.over;
        assert!(over.is_empty(), "more than allowed: {over:?}");
    }
}

fn options() -> Options {
    Options::new()
        .write_buffer_size(4 * MIB)
        .block_cache_size(MIB)
}

/// Incompressible.
fn noise(seed: u64, bytes: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut value = vec![0; bytes as usize];
    for chunk in value.chunks_mut(8) {
        chunk.copy_from_slice(&random.below(u64::MAX).to_le_bytes());
    }
    value
}

pub fn one(arguments: &[String]) {
    let [dir] = arguments else {
        panic!("large-value DIR");
    };
    let value = noise(1, VALUE_BYTES);
    let mut steps = Steps::begin(VALUE_BYTES);
    let db = DB::open(dir, options()).unwrap();
    steps.step("put", 2, || {
        db.put(b"k", &value).unwrap();
    });
    steps.step("flush", 2, || db.flush().unwrap());
    steps.step("get", 2, || {
        assert!(db.get(b"k").unwrap().unwrap() == value)
    });
    steps.step("walk", 2, || {
        let (_, found) = db.iter().next().unwrap().unwrap();
        assert!(found == value);
    });
    steps.step("compact", 2, || db.compact_range(None, None).unwrap());
    steps.step("overwrite", 2, || {
        db.put(b"k", &value).unwrap();
    });
    let mut reopened = None;
    steps.step("recover", 2, || {
        // Without a close only the log has the value.
        drop(db);
        reopened = Some(DB::open(dir, options()).unwrap());
    });
    let db = reopened.unwrap();
    steps.step("flush of the recovered entries", 2, || db.flush().unwrap());
    steps.step("close", 2, || db.close().unwrap());
    steps.end();
}

/// Large values in tables that overlap.
pub fn many(arguments: &[String]) {
    const COUNT: u8 = 8;
    // The allocator returns larger allocations to the system when they are freed.
    const BYTES: u64 = 40 * MIB;
    let [dir] = arguments else {
        panic!("large-values DIR");
    };
    let mut value = noise(1, BYTES);
    let mut steps = Steps::begin(BYTES);
    let options = options().level0_compaction_trigger(u64::from(COUNT) + 1);
    let db = DB::open(dir, options).unwrap();
    // One waits for its flush, which makes a block of it; the next is in a memtable, and the third in its batch.
    steps.step("puts", 4, || {
        for number in 0..COUNT {
            value[0] = number;
            // Keys that lie far apart, so that each table overlaps most of the others.
            db.put(&[number * 3 % COUNT], &value).unwrap();
            db.put(&[number * 3 % COUNT, 0], b"small").unwrap();
            db.put(&[COUNT + number], b"small").unwrap();
        }
    });
    steps.step("flush", 2, || db.flush().unwrap());
    let stats = db.stats().unwrap();
    assert!(stats.flushes >= u64::from(COUNT), "tables that overlap");
    assert_eq!((stats.compactions, stats.trivial_moves), (0, 0));
    // One of them is the caller's copy.
    steps.step("walk", 2, || {
        let large = db.iter().map(|entry| entry.unwrap().1);
        assert_eq!(
            large.filter(|value| value.len() > 10).count(),
            usize::from(COUNT)
        );
    });
    steps.step("walk back", 3, || {
        let large = db.iter().rev().map(|entry| entry.unwrap().1);
        assert_eq!(
            large.filter(|value| value.len() > 10).count(),
            usize::from(COUNT)
        );
    });
    steps.step("verify", 6, || {
        db.verify().unwrap();
    });
    steps.step("compact", 2, || db.compact_range(None, None).unwrap());
    steps.step("close", 2, || db.close().unwrap());
    steps.end();
}

/// Keys of the greatest length, with different beginnings. The measured peaks do not depend on the order of threads:
/// flushes and compactions run while nobody writes, until the last step.
pub fn keys(arguments: &[String]) {
    const COUNT: u64 = 12;
    const BYTES: u64 = 16 * MIB;
    /// How many tables of level 0 are compacted at once.
    const GROUP: u64 = 4;
    let [dir] = arguments else {
        panic!("large-keys DIR");
    };
    let key = |number: u64| noise(number, BYTES);
    let mut steps = Steps::begin(BYTES);
    let alone = options().level0_compaction_trigger(COUNT);
    let db = DB::open(dir, alone).unwrap();
    let put_all = |value: &[u8]| {
        for number in 0..COUNT {
            db.put(&key(number), value).unwrap();
            db.flush().unwrap();
            if number % GROUP == GROUP - 1 {
                db.compact_range(None, None).unwrap();
            }
        }
    };
    // A merge of this many tables holds a block of each, the checks' copy and the output block; both ends of a table's
    // keys are in the version and in the edit of the manifest.
    steps.step("puts", 12, || put_all(b"one"));
    steps.step("overwrites", 14, || put_all(b"two"));
    steps.step("gets", 4, || {
        for number in 0..COUNT {
            let found = db.get(&key(number)).unwrap();
            assert_eq!(found.as_deref(), Some(&b"two"[..]), "{number}");
        }
    });
    steps.step("walk", 5, || {
        let long = db
            .iter()
            .filter(|entry| entry.as_ref().unwrap().0.len() as u64 == BYTES);
        assert_eq!(long.count() as u64, COUNT)
    });
    steps.step("verify", 14, || {
        db.verify().unwrap();
    });
    steps.step("close", 6, || db.close().unwrap());
    let db = DB::open(dir, options()).unwrap();
    // Here the order of threads matters: three memtables, their flush, and compactions of all the tables there are by
    // then.
    steps.step("overwrites while the rest goes on", 20, || {
        for number in 0..COUNT {
            db.put(&key(number), b"three").unwrap();
        }
    });
    steps.end();
}
