//! Tests of the database on files in memory. Background work runs only when the test says so.

mod closing;
mod counting;
mod full_disk;
mod golden;
mod killed;
mod left_out;
mod memory;
mod misread;
mod opening;
mod ranges;
mod recovering;
mod refused;
mod reports;
mod spoiled;
mod transactions;
mod uncertain_names;
mod upkeep;
mod waiting;
mod waking;
mod walking;

use std::collections::BTreeMap;
use std::path::PathBuf;

use aidb_test_data::Random;

use super::*;
use crate::env::{Call, Env, Fault, FaultEnv, MemEnv, PowerCut, PowerLoss};
use crate::error::ErrorKind;
use crate::filename::BLANK_LOG_TMP;
use crate::sync::Mutex;
use crate::sync::over_io::{OverIo, Stage};

fn options(env: &MemEnv) -> Options {
    Options::new()
        .env(Arc::new(env.clone()))
        .manual_background(true)
        .write_buffer_size(4096)
}

fn open(env: &MemEnv) -> DB {
    DB::open("/db", options(env)).unwrap()
}

fn entries(db: &DB) -> Vec<(Vec<u8>, Vec<u8>)> {
    db.iter().map(Result::unwrap).collect()
}

#[test]
fn what_was_put_is_there_in_memory_after_a_flush_and_after_reopening() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"b", b"2").unwrap();
    db.put(b"", b"").unwrap();
    db.put(b"a", b"1").unwrap();
    db.delete(b"b").unwrap();
    let expected = vec![(b"".to_vec(), b"".to_vec()), (b"a".to_vec(), b"1".to_vec())];
    assert_eq!(entries(&db), expected);
    db.flush().unwrap();
    assert_eq!(entries(&db), expected);
    assert_eq!(db.get(b"b").unwrap(), None);
    drop(db);
    let db = open(&env);
    assert_eq!(entries(&db), expected);
    db.put(b"c", b"3").unwrap();
    drop(db);
    let db = open(&env);
    assert_eq!(db.get(b"c").unwrap().unwrap(), b"3");
    db.close().unwrap();
    assert_eq!(db.get(b"c").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(open(&env).get(b"c").unwrap().unwrap(), b"3");
}

#[test]
fn both_ends_of_an_iterator_meet_once() {
    let env = MemEnv::new();
    let db = open(&env);
    for key in 0..10u8 {
        db.put(&[key], &[key]).unwrap();
    }
    for front in 0..=10 {
        let mut iter = db.iter();
        let mut seen: Vec<u8> = iter
            .by_ref()
            .take(front)
            .map(|entry| entry.unwrap().0[0])
            .collect();
        let back: Vec<u8> = iter.rev().map(|entry| entry.unwrap().0[0]).collect();
        seen.extend(back.into_iter().rev());
        assert_eq!(seen, (0..10).collect::<Vec<u8>>(), "{front} from the front");
    }
    let range = db.range([3u8].as_slice()..=[5u8].as_slice());
    assert_eq!(
        range.map(|entry| entry.unwrap().0[0]).collect::<Vec<_>>(),
        [3, 4, 5]
    );
}

#[test]
fn logs_and_tables_that_are_not_needed_go_away() {
    let env = MemEnv::new();
    let db = open(&env);
    for round in 0..50u32 {
        for key in 0..40u32 {
            db.put(&key.to_be_bytes(), &[round as u8; 50]).unwrap();
        }
    }
    db.flush().unwrap();
    while db.run_background_step().unwrap() {}
    let names = env.list(std::path::Path::new("/db")).unwrap();
    let logs = names.iter().filter(|name| name.ends_with(".log")).count();
    let tables = names.iter().filter(|name| name.ends_with(".sst")).count();
    assert_eq!(logs, 1, "{names:?}");
    assert!(tables <= 4, "{names:?}");
    assert_eq!(entries(&db).len(), 40);
}

/// FILE-2.
#[test]
fn a_reader_that_lets_the_last_version_with_a_table_go_leaves_the_file_to_others() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    for byte in 0..2 {
        db.put(b"k", &[byte; 50]).unwrap();
        db.flush().unwrap();
    }
    assert_eq!(db.get(b"k").unwrap().unwrap(), [1; 50], "tables are open");
    let reader = Arc::clone(db.rooms().tree.load().version());
    db.compact_range(None, None).unwrap();
    let tables = || {
        let names = env.list(Path::new("/db")).unwrap();
        names.iter().filter(|name| name.ends_with(".sst")).count()
    };
    assert_eq!(tables(), 3);
    faulty.set_hook(Some(Arc::new(|call, _: &Path| panic!("FILE-2: {call:?}"))));
    // OVERIO-1 is checked: under this lock no other is taken that may be held during disk work.
    let held = OverIo::new(Stage::File, ());
    let held = held.lock();
    drop(reader);
    drop(held);
    faulty.set_hook(None);
    assert_eq!(tables(), 3);
    while db.run_background_step().unwrap() {}
    db.rooms().tree.delete_obsolete_tables();
    assert_eq!(tables(), 1);
}

#[test]
fn memory_alone_answers_what_is_in_it_and_reads_nothing() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
    let open = |cache| {
        let options = options(&env).env(Arc::new(faulty.clone()));
        DB::open("/db", options.block_cache_size(cache)).unwrap()
    };
    let ask = |db: &DB, key: &[u8]| db.get_in_memory(key, &ReadOptions::default()).unwrap();
    let value = |bytes: &[u8]| Remembered::Value(Value::copied(bytes).unwrap());
    let db = open(1 << 20);
    db.put(b"a", b"1").unwrap();
    let before = db.snapshot().unwrap();
    db.delete(b"a").unwrap();
    assert_eq!(ask(&db, b"a"), Remembered::Absent);
    let at = ReadOptions {
        snapshot: Some(&before),
        ..Default::default()
    };
    assert_eq!(db.get_in_memory(b"a", &at).unwrap(), value(b"1"));
    let other = DB::open("/other", options(&env)).unwrap();
    let error = other.get_in_memory(b"a", &at).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    drop(before);
    db.put(b"b", &[7; 3000]).unwrap();
    db.close().unwrap();
    let error = db.get_in_memory(b"a", &ReadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);

    // A value in a table is known after two gets have missed its block, if the cache then keeps the block.
    for (cache, then) in [(1 << 20, value(&[7; 3000])), (0, Remembered::Unknown)] {
        let db = open(cache);
        faulty.inject(Fault::new(&[Call::Read], libc::EIO));
        assert_eq!(ask(&db, b"b"), Remembered::Unknown, "the table is not open");
        assert_eq!(faulty.injected(), 0, "nothing was read");
        faulty.clear();
        assert_eq!(db.get(b"b").unwrap().unwrap(), [7; 3000]);
        assert_eq!(
            ask(&db, b"b"),
            Remembered::Unknown,
            "the block was missed once"
        );
        assert_eq!(db.get(b"b").unwrap().unwrap(), [7; 3000]);
        faulty.inject(Fault::new(&[Call::Read], libc::EIO));
        assert_eq!(ask(&db, b"b"), then);
        assert_eq!(
            ask(&db, b"c"),
            Remembered::Absent,
            "the filter rules it out"
        );
        assert_eq!(faulty.injected(), 0, "nothing was read");
        faulty.clear();
        db.close().unwrap();
    }
}

/// SEAL-1. A seal that failed after it had created its log used to leave that log, whose header states the
/// predecessor's length at that time as the final one. Writes went on in the predecessor, and recovery cut it off at
/// the stated length. The header may be on the disk although its sync failed, and the name may come back if its
/// removal was not synced.
#[test]
fn a_log_whose_creation_failed_does_not_cut_off_what_its_predecessor_got_later() {
    let cases: [(Call, &[Call]); 4] = [
        (Call::Sync, &[]),
        (Call::Sync, &[Call::Remove]),
        (Call::Sync, &[Call::SyncDir]),
        (Call::Write, &[]),
    ];
    for (operation, then) in cases {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
        let options = options(&env).env(Arc::new(faulty.clone()));
        let db = DB::open("/db", options.clone()).unwrap();
        // Synced, so that the name of the log needs no later sync.
        db.put_with(b"before", b"1", &WriteOptions::synced())
            .unwrap();
        faulty.inject(Fault::new(&[operation], libc::EIO).on_path(".log"));
        faulty.inject(Fault::new(then, libc::EIO));
        db.flush().unwrap_err();
        faulty.clear();
        assert_eq!(faulty.injected(), 1 + then.len() as u64);
        db.put_with(b"behind", b"2", &WriteOptions::synced())
            .unwrap();
        drop(db);
        let cuts = (0..60).map(|seed| env.power_cut(seed));
        for (seed, survivor) in cuts.chain([env.clone()]).enumerate() {
            let case = format!("{operation:?} {then:?} cut {seed}");
            let db = open(&survivor);
            let found = |key: &[u8]| db.get(key).unwrap().map(|value| value.to_vec());
            assert_eq!(found(b"before").as_deref(), Some(&b"1"[..]), "{case}");
            assert_eq!(found(b"behind").as_deref(), Some(&b"2"[..]), "{case}");
        }
    }
}

#[test]
fn a_flush_that_finds_a_failed_append_waits_for_its_tables_all_the_same() {
    // Resuming after a failed append starts a new log and flushes nothing; flush used to return after that.
    for seed in 0..20 {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), seed);
        let options = options(&env).env(Arc::new(faulty.clone()));
        let db = DB::open("/db", options).unwrap();
        db.put(b"acknowledged", b"1").unwrap();
        faulty.inject(Fault::new(&[Call::Write], libc::EIO).on_path(".log"));
        db.put(b"lost", &[0; 100]).unwrap_err();
        faulty.clear();
        db.flush().unwrap();
        let survivor = open(&env.power_cut(seed));
        assert_eq!(survivor.get(b"acknowledged").unwrap().unwrap(), b"1");
    }
}

/// CHAIN-4. If the newest log was removed, with a synced write in it, that used to look like a crash before the log
/// was durable.
#[test]
fn a_missing_log_that_held_a_synced_write_is_damage() {
    let env = MemEnv::new();
    let db = open(&env);
    // Fills the memtable, so that the next write seals it: two logs are needed.
    db.put(b"first", &[1; 5000]).unwrap();
    db.put_with(b"second", b"2", &WriteOptions::synced())
        .unwrap();
    drop(db);
    let dir = std::path::Path::new("/db");
    let mut logs: Vec<String> = env.list(dir).unwrap();
    logs.retain(|name| name.ends_with(".log"));
    logs.sort();
    assert_eq!(logs.len(), 2);
    env.remove_file(&dir.join(&logs[1])).unwrap();
    let error = DB::open("/db", options(&env)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains(&logs[1]), "{error}");
}

#[test]
fn opening_removes_a_manifest_with_a_torn_tail_once() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"k", b"v").unwrap();
    db.flush().unwrap();
    drop(db);
    let manifest = std::path::Path::new("/db/MANIFEST-000001");
    let file = env.open_write(manifest).unwrap();
    file.write_at(file.len().unwrap(), &[7; 3]).unwrap();
    // The first edit goes to a new manifest, and the old one is gone before open looks for orphans.
    let db = open(&env);
    assert_eq!(db.get(b"k").unwrap().unwrap(), b"v");
    assert!(
        !env.list(std::path::Path::new("/db"))
            .unwrap()
            .contains(&"MANIFEST-000001".into())
    );
}

#[test]
fn a_recovery_that_is_interrupted_between_two_flushes_of_one_log_goes_on_later() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(1 << 20)).unwrap();
    for key in 0..400u32 {
        db.put(&key.to_be_bytes(), &[key as u8; 100]).unwrap();
    }
    let expected = entries(&db);
    drop(db);
    // One log, and a memtable now holds only a part of it.
    for flushes in [1, 2, 1] {
        let db = open(&env);
        for _ in 0..flushes {
            assert!(db.run_background_step().unwrap());
        }
        assert_eq!(entries(&db), expected);
        drop(db);
    }
    let db = open(&env);
    assert_eq!(entries(&db), expected);
    db.flush().unwrap();
    assert_eq!(entries(&db), expected);
    // Recovery replayed no record that is already in a table (REPLAY-1).
    assert_eq!(db.verify().unwrap().entries, 400);
    db.compact_range(None, None).unwrap();
    assert_eq!(entries(&db), expected);
}

#[test]
fn tables_that_nobody_reads_are_closed_where_no_more_files_may_be_opened() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    for key in 0..3u8 {
        db.put(&[key], b"v").unwrap();
        db.flush().unwrap();
    }
    drop(db);
    for code in [libc::EMFILE, libc::ENFILE] {
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        let open = |db: &DB| db.stats().unwrap().open_tables;
        for key in 0..2u8 {
            db.get(&[key]).unwrap().unwrap();
        }
        let before = open(&db);
        assert!(before > 0);
        let injected = faulty.injected();
        faulty.inject(Fault::new(&[Call::Open], code).on_path(".sst"));
        db.get(&[2]).unwrap().unwrap();
        assert_eq!(faulty.injected(), injected + 1);
        assert_eq!(open(&db), 1, "the others made room");
    }
}

#[test]
fn a_recovery_that_is_interrupted_behind_a_flush_over_two_logs_goes_on_later() {
    // The recovered memtable holds all of the first log and a part of the second. After its flush both are still
    // needed, and the numbers in tables reach beyond the first log's end. That does not contradict the second log's
    // header.
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(16 << 10)).unwrap();
    for key in 0..250u32 {
        db.put(&key.to_be_bytes(), &[key as u8; 100]).unwrap();
    }
    let expected = entries(&db);
    drop(db);
    let logs = |env: &MemEnv| {
        let names = env.list(Path::new("/db")).unwrap();
        names.iter().filter(|name| name.ends_with(".log")).count()
    };
    assert!(logs(&env) >= 2, "the first log is full and nothing flushed");
    for _ in 0..3 {
        let db = DB::open("/db", options(&env).write_buffer_size(24 << 10)).unwrap();
        assert_eq!(entries(&db), expected);
        db.run_background_step().unwrap();
        assert_eq!(entries(&db), expected);
        drop(db);
    }
    assert_eq!(entries(&open(&env)), expected);
}

/// OPEN-2.
#[test]
fn a_synced_write_behind_a_recovery_does_not_rely_on_a_sync_that_failed_before_it() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    faulty.inject(Fault::new(&[Call::Sync], libc::EIO).on_path(".log"));
    db.put(b"a", b"1").unwrap();
    db.put_with(b"b", b"2", &WriteOptions::synced())
        .unwrap_err();
    drop(db);
    // The pages that the failed sync left unwritten are still readable, and the kernel takes them for clean.
    let db = open(&env);
    db.put_with(b"c", b"3", &WriteOptions::synced()).unwrap();
    for seed in 0..20 {
        assert_eq!(entries(&open(&env.power_cut(seed))).len(), 3);
    }
}

/// OPEN-1, SET-6.
#[test]
fn a_recovery_makes_durable_what_it_found_before_it_removes_anything() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    let killed = Arc::new(crate::sync::Mutex::new(Vec::new()));
    let (list, mem) = (Arc::clone(&killed), env.clone());
    faulty.set_hook(Some(Arc::new(move |_, _: &Path| {
        list.lock().push(mem.process_crash())
    })));
    for round in 0..3u8 {
        db.put(&[round], b"kept").unwrap();
        db.flush().unwrap();
    }
    db.compact_range(None, None).unwrap();
    faulty.set_hook(None);
    for killed in killed.lock().iter() {
        let found = entries(&open(killed)).len();
        let cut = PowerCut {
            bytes: Some(PowerLoss::Everything),
            names: Some(PowerLoss::Nothing),
            seed: 0,
        };
        let after = killed.power_cut_as(cut, &mut std::collections::BTreeSet::new());
        assert_eq!(entries(&open(&after)).len(), found);
    }
}

#[test]
fn an_empty_synced_batch_resumes_like_any_other_write() {
    // The call used to return the old failure until something else was written.
    for operation in [Call::Write, Call::Sync] {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        db.put(b"a", b"1").unwrap();
        faulty.inject(Fault::new(&[operation], libc::EIO).on_path(".log"));
        db.put_with(b"b", b"2", &WriteOptions::synced())
            .unwrap_err();
        db.write_with(&WriteBatch::new(), &WriteOptions::synced())
            .unwrap();
        let survivor = open(&env.power_cut(3));
        assert_eq!(survivor.get(b"a").unwrap().unwrap(), b"1");
    }
}

#[test]
fn verify_compares_the_manifest_with_what_the_database_knows() {
    let env = MemEnv::new();
    let db = open(&env);
    let dir = std::path::Path::new("/db");
    let manifest = || {
        let names = env.list(dir).unwrap();
        let name = names.into_iter().find(|name| name.starts_with("MANIFEST"));
        dir.join(name.unwrap())
    };
    let bytes_of = |path: &std::path::Path| {
        let file = env.open_read(path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    };
    db.put(b"a", b"1").unwrap();
    db.flush().unwrap();
    let (path, older) = (manifest(), bytes_of(&manifest()));
    db.put(b"b", b"2").unwrap();
    db.flush().unwrap();
    assert_eq!(manifest(), path);
    assert!(db.verify().unwrap().is_ok());
    // The bytes are a whole manifest, but an older one.
    let file = env.open_write(&path).unwrap();
    file.set_len(0).unwrap();
    file.write_at(0, &older).unwrap();
    let report = db.verify().unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    let message = &report.damage[0].message;
    assert!(
        message.contains("contents are not what was written"),
        "{message}"
    );
}

#[test]
fn a_panic_under_the_logs_lock_stops_writing_and_loses_nothing() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    db.put(b"a", b"1").unwrap();
    faulty.set_hook(Some(Arc::new(|operation, path: &std::path::Path| {
        let is_log = path.extension().is_some_and(|end| end == "log");
        assert!(operation != Call::Write || !is_log, "as asked for");
    })));
    let hit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.put(b"b", b"2")));
    assert!(hit.is_err());
    faulty.set_hook(None);
    // The end of the log is now unknown.
    let error = db.put(b"c", b"3").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().contains("reopen"), "{error}");
    assert_eq!(db.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(entries(&db).len(), 1);
    let _ = db.close();
    let again = open(&env);
    assert_eq!(again.get(b"a").unwrap().unwrap(), b"1");
    again.put(b"c", b"3").unwrap();
}

/// SEAL-1. A panic once the next log exists used to leave the old log with further records. Its successor does not know
/// them, so the next open left them out.
#[test]
fn a_panic_in_the_middle_of_a_seal_stops_writing_and_loses_nothing() {
    let mut panics = 0;
    for nth in 0.. {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
        let left = Arc::new(Mutex::new(None));
        let (calls, steps) = (Arc::clone(&left), Arc::clone(&left));
        let pass = |left: &Mutex<Option<u32>>| {
            let mut left = left.lock();
            match *left {
                Some(0) => {
                    *left = None;
                    drop(left);
                    panic!("as asked for");
                }
                Some(more) => *left = Some(more - 1),
                None => {}
            }
        };
        faulty.set_hook(Some(Arc::new(move |_, _: &std::path::Path| pass(&calls))));
        let mut options = options(&env).env(Arc::new(faulty.clone()));
        options.step_hook = Some(Arc::new(move |_: &str| pass(&steps)));
        let db = DB::open("/db", options).unwrap();
        let sync = WriteOptions::synced();
        db.put_with(b"a", &[1; 5000], &sync).unwrap();
        *left.lock() = Some(nth);
        // The memtable is full, so this seals it.
        let put = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.put_with(b"b", b"2", &sync)
        }));
        let panicked = put.is_err();
        panics += u32::from(panicked);
        *left.lock() = None;
        faulty.set_hook(None);
        let acknowledged = db.put_with(b"c", b"3", &sync).is_ok();
        let disks = [env.process_crash(), env.power_cut(u64::from(nth))];
        let closed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| db.close()));
        assert!(closed.is_ok(), "{nth}");
        for disk in disks.into_iter().chain([env]) {
            let again = open(&disk);
            assert_eq!(again.get(b"a").unwrap().unwrap(), [1; 5000], "{nth}");
            let found = |key| again.get(key).unwrap().is_some();
            assert!(found(b"b") || !matches!(put, Ok(Ok(_))), "{nth}");
            assert!(found(b"c") || !acknowledged, "{nth}");
        }
        if !panicked {
            break;
        }
    }
    assert!(panics >= 6, "{panics}");
}

#[test]
fn a_synced_record_at_the_end_of_a_log_with_an_unsynced_successor_is_no_torn_tail() {
    let env = MemEnv::new();
    let db = open(&env);
    // Fills the memtable: the next write goes to a new log, and only its header records the sync.
    db.put_with(b"a", &[1; 5000], &WriteOptions::synced())
        .unwrap();
    db.put(b"b", b"2").unwrap();
    drop(db);
    let mut logs = env.list(std::path::Path::new("/db")).unwrap();
    logs.retain(|name| name.ends_with(".log"));
    logs.sort();
    assert_eq!(logs.len(), 2);
    let path = std::path::Path::new("/db").join(&logs[0]);
    env.open_write(&path).unwrap().write_at(3000, b"?").unwrap();
    let error = DB::open("/db", options(&env)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains(&logs[0]), "{error}");
}

#[test]
fn a_sync_that_fails_fails_the_call_that_needs_it() {
    // Each call may rely only on what it has synced, file or directory.
    type Step = fn(&DB) -> Result<()>;
    let calls: [(&str, Step); 4] = [
        ("put", |db| {
            db.put_with(b"new", b"v", &WriteOptions::synced()).map(drop)
        }),
        ("flush", |db| db.flush()),
        ("compact", |db| db.compact_range(None, None)),
        ("checkpoint", |db| db.checkpoint("/copy")),
    ];
    for operation in [Call::Sync, Call::SyncDir] {
        for (name, call) in calls {
            let mut failures = 0;
            for nth in 0.. {
                let env = MemEnv::new();
                let faulty = FaultEnv::new(Arc::new(env.clone()), nth);
                let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
                for key in 0..40u8 {
                    db.put(&[key % 20], &[key; 100]).unwrap();
                    if key == 20 {
                        db.compact_range(None, None).unwrap();
                    }
                }
                let paths = Arc::new(Mutex::new(Vec::new()));
                let seen = Arc::clone(&paths);
                faulty.set_hook(Some(Arc::new(move |what, path: &std::path::Path| {
                    if what == operation {
                        seen.lock().push(path.to_path_buf());
                    }
                })));
                faulty.inject(Fault::new(&[operation], libc::EIO).after(nth));
                let outcome = call(&db);
                let injected = faulty.injected();
                faulty.clear();
                faulty.set_hook(None);
                // A log can do without a file made ahead.
                let is_needed = |path: &PathBuf| !path.ends_with(BLANK_LOG_TMP);
                let hit = paths.lock().get(nth as usize).cloned();
                assert_eq!(
                    outcome.is_err(),
                    injected == 1 && hit.as_ref().is_some_and(is_needed),
                    "{name}, {operation:?} {nth}"
                );
                if injected == 0 {
                    break;
                }
                failures += 1;
                // The call returned the error, and earlier acknowledged writes are still there.
                db.flush().unwrap();
                let survivor = open(&env.power_cut(nth));
                assert_eq!(
                    survivor.get(&[19]).unwrap().as_deref(),
                    Some(&[39; 100][..])
                );
            }
            assert!(failures > 0, "{name} has no {operation:?} that could fail");
        }
    }
}
