//! Repairs of whole databases, with logs and tables that ordinary use never leaves.

use super::*;
use crate::batch::WriteBatch;
use crate::db::DB;
use crate::env::{Call, Fault, FaultEnv, MemEnv};
use crate::filename::table_path;
use crate::key::FileNumber;
use crate::version::{TableInfo, gain_of};
use crate::wal::{Payload, Predecessor, Synced, Writer};

const BAD: &str = "/bad";
const NEW: &str = "/new";

fn options(env: &FaultEnv) -> Options {
    Options::new()
        .env(Arc::new(env.clone()))
        .manual_background(true)
        .write_buffer_size(4096)
        .block_size(256)
}

/// A database with two tables and a log, not closed.
fn example(env: &FaultEnv) -> Vec<(Vec<u8>, Vec<u8>)> {
    let db = DB::open(BAD, options(env)).unwrap();
    for key in 0..200u8 {
        db.put(&[key / 2], &[key; 40]).unwrap();
        if key % 80 == 60 {
            db.compact_range(None, None).unwrap();
        }
    }
    db.iter().map(|entry| entry.unwrap()).collect()
}

/// REPAIR-9.
#[test]
fn a_log_that_gives_numbers_twice_keeps_the_record_that_came_first() {
    let env = MemEnv::new();
    let dir = Path::new(BAD);
    env.create_dir_all(dir).unwrap();
    let before = Predecessor::default();
    let mut log = Writer::create(&env, dir, FileNumber(1), 7, before, 0).unwrap();
    let last = SequenceNumber::MAX.0;
    for (first, value, count) in [
        (1, "a", 1),
        (1, "b", 1),
        (2, "c", 1),
        (last, "d", 2),
        (0, "e", 1),
    ] {
        let mut batch = WriteBatch::new();
        for _ in 0..count {
            batch.put(b"key", value.as_bytes()).unwrap();
        }
        let payload = Payload::new(batch.encoded());
        log.append(SequenceNumber(first), &payload, Synced::NOTHING)
            .unwrap();
    }
    let options = Options::new().env(Arc::new(env)).manual_background(true);
    let report = DB::repair(BAD, NEW, &options).unwrap();
    // Three records, and CURRENT.
    let counts = (report.logs, report.log_records, report.lost_places);
    assert_eq!(counts, (1, 2, 4));
    let db = DB::open(NEW, options).unwrap();
    assert_eq!(db.get(b"key").unwrap().as_deref(), Some(&b"c"[..]));
}

/// REPAIR-4.
#[test]
fn what_an_earlier_recovery_cut_off_and_what_lies_behind_a_logs_end_does_not_come_back() {
    let env = MemEnv::new();
    let dir = Path::new(BAD);
    env.create_dir_all(dir).unwrap();
    let create = |number, predecessor| {
        Writer::create(&env, dir, FileNumber(number), number, predecessor, 0).unwrap()
    };
    let put = |log: &mut Writer, number, key: &[u8]| {
        let batch = WriteBatch::of_put(key, b"value").unwrap();
        let payload = Payload::new(batch.encoded());
        log.append(SequenceNumber(number), &payload, Synced::NOTHING)
            .unwrap();
    };
    let mut first = create(1, Predecessor::default());
    put(&mut first, 1, b"first");
    let end = Predecessor::new(
        FileNumber(1),
        first.len(),
        SequenceNumber(1),
        Synced::NOTHING,
    );
    put(&mut first, 2, b"behind the end");
    put(&mut create(2, end), 2, b"cut off");
    put(&mut create(3, end), 2, b"last");
    let options = Options::new().env(Arc::new(env)).manual_background(true);
    let report = DB::repair(BAD, NEW, &options).unwrap();
    // Only CURRENT is lost.
    let counts = (report.logs, report.log_records, report.lost_places);
    assert_eq!(counts, (2, 2, 1), "{report:?}");
    let db = DB::open(NEW, options).unwrap();
    let keys: Vec<_> = db.iter().map(|entry| entry.unwrap().0).collect();
    assert_eq!(keys, [b"first".to_vec(), b"last".to_vec()]);
}

/// REPAIR-8.
#[test]
fn a_log_that_the_manifest_needs_is_missed_and_one_that_was_flushed_is_not() {
    let disk = MemEnv::new();
    let env = FaultEnv::new(Arc::new(disk.clone()), 0);
    let db = DB::open(BAD, options(&env)).unwrap();
    let synced = crate::options::WriteOptions::synced();
    db.put_with(b"k", b"v", &synced).unwrap();
    db.flush().unwrap();
    drop(db);
    let report = DB::repair(BAD, NEW, &options(&env)).unwrap();
    assert!(report.is_ok(), "{report:?}");
    let dir = Path::new(BAD);
    let mut names = disk.list(dir).unwrap();
    names.retain(|name| name.ends_with(".log"));
    assert_eq!(names.len(), 1);
    disk.remove_file(&dir.join(&names[0])).unwrap();
    let report = DB::repair(BAD, "/other", &options(&env)).unwrap();
    assert_eq!(report.lost_places, 1, "{report:?}");
    let message = &report.lost[0].message;
    assert!(message.contains("the manifest names this log"), "{message}");
}

/// REPAIR-6.
#[test]
fn a_table_that_is_not_what_the_manifest_says_gives_all_it_has_and_is_reported() {
    for spoil in [
        (|info| info.content_sum = Some(7)) as fn(&mut TableInfo),
        |info| info.entries += 1,
    ] {
        let disk = MemEnv::new();
        let env = FaultEnv::new(Arc::new(disk.clone()), 0);
        let expected = example(&env);
        let db = DB::open(BAD, options(&env)).unwrap();
        let superversion = db.rooms().tree.load_full();
        let (level, file) = superversion.version().all_files().next().unwrap();
        let file = Arc::clone(file);
        // The same table under another number, because the file of a table that an edit removes gets deleted.
        let mut info = file.info.clone();
        info.number = db.rooms().tree.new_number();
        spoil(&mut info);
        let path = table_path(Path::new(BAD), info.number);
        let whole = disk.open_read(&table_path(Path::new(BAD), file.number));
        let mut bytes = vec![0; file.size as usize];
        whole.unwrap().read_at(0, &mut bytes).unwrap();
        let copy = disk.create_new(&path).unwrap();
        copy.write_at(0, &bytes).unwrap();
        let mut edit = crate::version::VersionEdit::default();
        edit.remove(level, file.number);
        edit.add(level, info.clone());
        let gained = gain_of(&edit, superversion.version());
        db.rooms().tree.install(edit, gained, |_| {}).unwrap();
        let replaced = table_path(Path::new(BAD), file.number);
        drop((file, superversion, db));
        let _ = disk.remove_file(&replaced);

        let report = DB::repair(BAD, NEW, &options(&env)).unwrap();
        assert!(!report.is_ok());
        assert_eq!(report.lost_places, 1, "{report:?}");
        let lost = &report.lost[0];
        assert_eq!((&lost.file, lost.offset, lost.end), (&path, 0, 0));
        assert!(lost.message.contains("the manifest says"), "{lost:?}");
        let largest = Some(info.largest_key().user_key.to_vec());
        assert_eq!(lost.largest_key, largest);
        assert_eq!(lost.last_sequence, Some(info.largest_sequence));
        let db = DB::open(NEW, options(&env)).unwrap();
        let found: Vec<_> = db.iter().map(|entry| entry.unwrap()).collect();
        assert!(found == expected);
        assert!(db.verify().unwrap().is_ok());
    }
}

/// REPAIR-2.
#[test]
fn a_failed_operation_leaves_a_whole_database_or_nothing() {
    let mut failures = 0;
    for nth in 0.. {
        let disk = MemEnv::new();
        let env = FaultEnv::new(Arc::new(disk.clone()), nth);
        let expected = example(&env);
        env.inject(Fault::new(&Call::ALL, libc::EIO).after(nth));
        let outcome = DB::repair(BAD, NEW, &options(&env));
        let injected = env.injected();
        env.clear();
        match outcome {
            Err(_) => {
                failures += 1;
                let left = env.list(Path::new(NEW)).unwrap_or_default();
                assert!(left.iter().all(|name| name == LOCK), "{nth}: {left:?}");
                DB::repair(BAD, NEW, &options(&env)).unwrap();
                let db = DB::open(NEW, options(&env)).unwrap();
                let found: Vec<_> = db.iter().map(|entry| entry.unwrap()).collect();
                assert!(found == expected, "operation {nth}");
            }
            Ok(report) => {
                let db = DB::open(NEW, options(&env)).unwrap();
                let found: Vec<_> = db.iter().map(|entry| entry.unwrap()).collect();
                // The report lists what could not be read.
                assert!(found == expected || !report.is_ok(), "operation {nth}");
                // Everything that was durable before the call is still durable.
                let cut = FaultEnv::new(Arc::new(disk.power_cut(nth)), 0);
                let db = DB::open(NEW, options(&cut)).unwrap();
                assert_eq!(db.iter().count(), found.len());
            }
        }
        if injected == 0 {
            assert!(failures > 20 && nth > 100, "{failures} of {nth}");
            return;
        }
    }
}
