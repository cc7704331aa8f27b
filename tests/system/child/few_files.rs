//! A database of hundreds of tables in a process that may open 64 files: `few-files DIR SEED`.

use std::collections::BTreeMap;

use aidb::{DB, IterOptions, Options};
use aidb_tests::Random;

use crate::say;

const FILES: u64 = 64;
/// The least number of tables, most of them in deeper levels.
const TABLES: u64 = 300;

fn tables(db: &DB) -> u64 {
    let levels = db.stats().unwrap().levels;
    levels.iter().map(|level| level.tables).sum()
}

/// How many files this process has open; `None` if the system does not report it.
fn open_files() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    Some(entries.count() as u64)
}

pub fn run(arguments: &[String]) {
    let [dir, seed] = arguments else {
        panic!("few-files DIR SEED");
    };
    let limit = libc::rlimit {
        rlim_cur: FILES,
        rlim_max: FILES,
    };
    // SAFETY: `limit` is a valid rlimit, which the call only reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut random = Random::new(seed.parse().unwrap());
    let options = Options::new()
        .write_buffer_size(32 << 10)
        .block_size(512)
        .level_base_size(64 << 10)
        .target_file_size(4 << 10)
        .compression(aidb::Compression::None);
    let mut db = DB::open(dir, options.clone()).unwrap();
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let (mut most, mut most_tables) = (0, 0);
    for round in 0..4 {
        // Cursors that stay open during everything that follows, as a program has them.
        let mut cursors: Vec<_> = (0..20)
            .map(|_| db.cursor(IterOptions::default()).unwrap())
            .collect();
        let before: Vec<Vec<u8>> = model.keys().cloned().collect();
        for cursor in &mut cursors {
            cursor.first().unwrap();
        }
        for number in 0..10_000u64 {
            let key = random.below(20_000).to_be_bytes().to_vec();
            if random.one_in(5) {
                db.delete(&key).unwrap();
                model.remove(&key);
            } else {
                let value = vec![number as u8; 60 + random.below(80) as usize];
                db.put(&key, &value).unwrap();
                model.insert(key, value);
            }
            if number.is_multiple_of(64) {
                let key = random.below(20_000).to_be_bytes();
                let got = db.get(&key).unwrap();
                assert_eq!(got.as_deref(), model.get(&key[..]).map(Vec::as_slice));
                most = most.max(open_files().unwrap_or_default());
            }
        }
        most_tables = most_tables.max(tables(&db));
        for cursor in &mut cursors {
            let mut seen = 0;
            while cursor.valid() {
                assert_eq!(cursor.key(), before[seen], "a cursor keeps its view");
                seen += 1;
                cursor.next().unwrap();
            }
            cursor.status().unwrap();
            assert_eq!(seen, before.len());
        }
        drop(cursors);
        match round {
            0 => db.close().unwrap(),
            1 => db.compact_range(None, None).unwrap(),
            2 => {
                let copy = std::path::Path::new(dir).with_extension("copy");
                db.checkpoint(&copy).unwrap();
                // Each database counts descriptors as if it were alone in the process.
                drop(db);
                let copy = DB::open(copy, options.clone()).unwrap();
                assert!(copy.iter().map(|entry| entry.unwrap()).eq(model.clone()));
                let report = copy.verify().unwrap();
                assert!(report.is_ok(), "{report:?}");
                drop(copy);
                db = DB::open(dir, options.clone()).unwrap();
            }
            _ => drop(db.snapshot().unwrap()),
        }
        if round % 2 == 0 {
            // Only one at a time holds the lock.
            drop(db);
            db = DB::open(dir, options.clone()).unwrap();
        }
        assert!(db.iter().map(|entry| entry.unwrap()).eq(model.clone()));
        let mut backwards = db.iter().rev().map(|entry| entry.unwrap());
        assert!(model.iter().rev().all(|(key, value)| {
            let entry = backwards.next().expect("the walk ends early");
            entry.0 == *key && entry.1 == *value
        }));
        for (key, value) in &model {
            assert_eq!(db.get(key).unwrap().as_deref(), Some(&value[..]));
        }
        most = most.max(open_files().unwrap_or_default());
    }
    most_tables = most_tables.max(tables(&db));
    assert!(
        most_tables >= TABLES,
        "there were only {most_tables} tables"
    );
    let rows: u64 = model.len() as u64;
    db.close().unwrap();
    say(&format!(
        "{rows} entries, up to {most_tables} tables, at most {most} of {FILES} files open"
    ));
}
