//! Tests of tables that are spoiled after their builder has checked them, and before the manifest names them.

use super::*;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A database of three keys, each written twice. The first writes are in a table.
fn begun() -> (MemEnv, FaultEnv, DB) {
    let disk = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(disk.clone()), 0);
    let db = DB::open("/db", options(&disk).env(Arc::new(faulty.clone()))).unwrap();
    for value in [b"1", b"2"] {
        for key in [b"a", b"b", b"c"] {
            db.put(key, value).unwrap();
        }
        if value == b"1" {
            db.flush().unwrap();
        }
    }
    (disk, faulty, db)
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "sst")
}

/// Does `work` while the first `most` tables to be synced get a wrong last byte; returns how many did.
fn while_footers_are_spoiled<T>(
    most: u64,
    disk: &MemEnv,
    faulty: &FaultEnv,
    work: impl FnOnce() -> T,
) -> (T, u64) {
    let spoiled = Arc::new(AtomicU64::new(0));
    let (count, disk) = (Arc::clone(&spoiled), disk.clone());
    faulty.set_hook(Some(Arc::new(move |operation, path: &Path| {
        if operation == Call::Sync && is_table(path) && count.load(Ordering::Relaxed) < most {
            count.fetch_add(1, Ordering::Relaxed);
            let file = disk.open_write(path).unwrap();
            let (at, mut byte) = (file.len().unwrap() - 1, [0]);
            file.read_at(at, &mut byte).unwrap();
            file.write_at(at, &[byte[0] ^ 1]).unwrap();
        }
    })));
    let outcome = work();
    faulty.set_hook(None);
    (outcome, spoiled.load(Ordering::Relaxed))
}

fn tables(disk: &MemEnv) -> usize {
    let names = disk.list(Path::new("/db")).unwrap();
    names.iter().filter(|name| name.ends_with(".sst")).count()
}

fn check_values(db: &DB) {
    let expected = [b"a", b"b", b"c"].map(|key| (key.to_vec(), b"2".to_vec()));
    assert_eq!(entries(db), expected);
}

/// FLUSH-4. The builder had checked every block, but the table that the manifest named could not be opened.
#[test]
fn a_flushed_table_that_nobody_can_open_is_written_again_and_never_named_by_the_manifest() {
    let (disk, faulty, db) = begun();
    let (outcome, spoiled) = while_footers_are_spoiled(u64::MAX, &disk, &faulty, || db.flush());
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(spoiled, 2, "it is tried once more");
    assert_eq!(tables(&disk), 1);
    check_values(&db);
    let (outcome, spoiled) = while_footers_are_spoiled(1, &disk, &faulty, || db.flush());
    outcome.unwrap();
    assert_eq!((spoiled, tables(&disk)), (1, 2));
    check_values(&db);
    db.close().unwrap();
    check_values(&open(&disk));
}

/// JOB-5.
#[test]
fn a_compacted_table_that_nobody_can_open_is_written_again_and_never_takes_its_inputs_place() {
    for (most, is_well) in [(1, true), (u64::MAX, false)] {
        let (disk, faulty, db) = begun();
        db.flush().unwrap();
        let compact = || db.compact_range(None, None);
        let (outcome, spoiled) = while_footers_are_spoiled(most, &disk, &faulty, compact);
        assert_eq!(outcome.is_ok(), is_well, "{outcome:?}");
        assert_eq!(spoiled, most.min(2));
        assert_eq!(tables(&disk), if is_well { 1 } else { 2 });
        check_values(&db);
        db.close().unwrap();
        check_values(&open(&disk));
    }
}

/// LEDGER-3. Retention and the ledger both rely on the list of snapshots.
#[test]
fn while_a_snapshot_is_lost_from_the_list_nothing_is_dropped() {
    let disk = MemEnv::new();
    let db = open(&disk);
    db.put(b"key", b"seen").unwrap();
    let snapshot = db.snapshot().unwrap();
    db.put(b"key", b"newer").unwrap();
    db.rooms().order.forget(snapshot.sequence());
    let error = db.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    let seen = |db: &DB| {
        let options = ReadOptions {
            snapshot: Some(&snapshot),
            ..ReadOptions::default()
        };
        db.get_with(b"key", &options).unwrap().unwrap().to_vec()
    };
    assert_eq!(seen(&db), b"seen");
    drop(snapshot);
    db.flush().unwrap();
    assert_eq!(&*db.get(b"key").unwrap().unwrap(), b"newer");
}
