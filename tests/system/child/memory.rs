//! Compares a process's memory with the memory that the database reports: `memory DIR`, and before it `memory-fill DIR`
//! in a process of its own, because the process may keep memory that it has freed.

use aidb::{DB, IterOptions, Options};
use aidb_tests::Random;

use crate::{not_run, say};

const ENTRIES: u64 = 300_000;
/// Cursors that scan at once.
const CURSORS: u64 = 500;
/// Enough entries that each cursor reads ahead.
const SCANNED: usize = 1000;

fn key(number: u64) -> Vec<u8> {
    format!("{number:016}").into_bytes()
}

pub fn fill(arguments: &[String]) {
    let db = DB::open(&arguments[0], Options::new()).unwrap();
    let mut random = Random::new(1);
    for number in 0..ENTRIES {
        let half: Vec<u8> = (0..50).map(|_| random.below(256) as u8).collect();
        db.put(&key(number), &[half, vec![0; 50]].concat()).unwrap();
    }
    db.compact_range(None, None).unwrap();
    db.close().unwrap();
}

/// The process's resident memory in bytes; `None` if the system does not report it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Fails unless the two have grown alike, up to a tenth and two MiB: the allocator's and the first slab's.
fn compare(db: &DB, before: (u64, u64), when: &str) {
    let said = reported(db) - before.1;
    let held = resident().unwrap() - before.0;
    say(&format!("{when}: {held} bytes held, {said} reported"));
    let differ = held.abs_diff(said);
    assert!(differ < held / 10 + (2 << 20), "{when}: {differ}");
}

fn reported(db: &DB) -> u64 {
    let text = db.property("aidb.approximate-memory-usage").unwrap();
    text.unwrap().parse().unwrap()
}

pub fn run(arguments: &[String]) {
    let db = DB::open(&arguments[0], Options::new()).unwrap();
    let Some(held) = resident() else {
        not_run("/proc/self/status does not report it");
    };
    let before = (held, reported(&db));
    assert_eq!(db.iter().count() as u64, ENTRIES);
    compare(&db, before, "walked");
    let mut random = Random::new(2);
    for part in 0..8 {
        for _ in 0..20_000 {
            let found = db.get(&key(random.below(ENTRIES))).unwrap();
            assert!(found.is_some());
        }
        compare(&db, before, &format!("gets {part}"));
    }
    drop(db);

    // A tiny cache, so that cursors read ahead and hold their own blocks.
    let db = DB::open(&arguments[0], Options::new().block_cache_size(1 << 20)).unwrap();
    let before = (resident().unwrap(), reported(&db));
    let cursors: Vec<_> = (0..CURSORS)
        .map(|number| {
            let mut cursor = db.cursor(IterOptions::default()).unwrap();
            cursor.seek(&key(number * (ENTRIES / CURSORS))).unwrap();
            let steps = (0..SCANNED).take_while(|_| cursor.next().unwrap());
            assert!(steps.count() > 0);
            cursor
        })
        .collect();
    let said = reported(&db) - before.1;
    say(&format!("{} cursors: {said} bytes reported", cursors.len()));
    assert!(said > CURSORS * (16 << 10), "read-ahead counts");
    assert!(said < 64 << 20, "and is bounded");
    // The process reuses the memory that the first database has freed, so only the excess over it shows.
    let held = resident().unwrap().saturating_sub(before.0);
    assert!(held < said / 10 * 11 + (2 << 20), "{held} bytes held");
}
