//! Tests of range deletes: what they cost and free, by counts, and when they are gone.

use std::collections::BTreeSet;

use aidb_test_data::Fill;

use super::*;
use crate::inspect;
use crate::options::{IterOptions, ReadOptions, WriteOptions};
use crate::version::{Features, LEVELS, Settings, VersionSet};

const SECOND: u64 = 1_000_000;

fn key(number: u32) -> Vec<u8> {
    format!("key {number:08}").into_bytes()
}

fn fill(db: &DB, keys: std::ops::Range<u32>) {
    for number in keys {
        let value = Fill::Noise.bytes(number.into(), 40);
        db.put(&key(number), &value).unwrap();
    }
}

fn settle(db: &DB) -> usize {
    let steps = (0..10_000).take_while(|_| db.run_background_step().unwrap());
    let count = steps.count();
    assert!(count < 10_000, "the work does not end");
    count
}

fn version(db: &DB) -> Arc<crate::version::Version> {
    Arc::clone(db.rooms().tree.load().version())
}

fn range_deletes(db: &DB) -> usize {
    version(db).range_deletes().map_or(0, |ranges| ranges.len())
}

fn table_bytes(db: &DB) -> u64 {
    (0..LEVELS)
        .map(|level| version(db).level_bytes(level))
        .sum()
}

/// Deep and of small tables.
fn deep(env: &MemEnv) -> Options {
    options(env)
        .level_base_size(8 << 10)
        .target_file_size(4 << 10)
        .level_size_multiplier(4)
}

/// COVER-1, LOOKUP-2, MEMTABLE-7.
#[test]
fn what_a_range_delete_covers_is_gone_and_what_is_put_after_it_is_not() {
    let env = MemEnv::new();
    let db = open(&env);
    for key in [&b"a"[..], b"b", b"bb", b"c", b"d"] {
        db.put(key, b"1").unwrap();
    }
    let before = db.snapshot().unwrap();
    let number = db.delete_range(Some(b"b"), Some(b"d")).unwrap();
    assert_eq!(number, before.sequence().plus(1));
    db.put(b"c", b"2").unwrap();
    let mut batch = crate::WriteBatch::new();
    batch.put(b"x", b"1").unwrap();
    batch.delete_prefix(b"x").unwrap();
    batch.put(b"xy", b"2").unwrap();
    db.write(&batch).unwrap();
    let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    let expected = [
        pair(b"a", b"1"),
        pair(b"c", b"2"),
        pair(b"d", b"1"),
        pair(b"xy", b"2"),
    ];
    let past = ReadOptions::new().snapshot(Some(&before));
    // In the memtable, in a table, after compactions, and after another process has opened it.
    let mut db = db;
    for step in 0..4 {
        assert_eq!(entries(&db), expected, "step {step}");
        let keys = [&b"a"[..], b"b", b"bb", b"c", b"d", b"x", b"xy"];
        let found: Vec<_> = keys
            .iter()
            .map(|key| db.get(key).unwrap().is_some())
            .collect();
        assert_eq!(found, [true, false, false, true, true, false, true]);
        let many = db.get_many(&keys).unwrap();
        assert!(many.iter().map(Option::is_some).eq(found), "step {step}");
        assert!(!db.contains_key(b"bb").unwrap() && db.contains_key(b"c").unwrap());
        if step < 3 {
            assert_eq!(
                db.get_with(b"bb", &past).unwrap().as_deref(),
                Some(&b"1"[..])
            );
            let options = IterOptions::new().snapshot(Some(before.clone()));
            let mut cursor = db.cursor(options).unwrap();
            assert!(cursor.seek(b"bb").unwrap() && cursor.key() == b"bb");
        }
        assert!(db.verify().unwrap().is_ok(), "step {step}");
        match step {
            0 => db.flush().unwrap(),
            1 => db.compact_range(None, None).unwrap(),
            _ => {
                drop(db);
                db = open(&env);
            }
        }
    }
}

#[test]
fn an_empty_range_writes_nothing_and_a_reversed_one_is_refused() {
    let env = MemEnv::new();
    let db = open(&env);
    let number = db.put(b"a", b"1").unwrap();
    assert_eq!(db.delete_range(Some(b"a"), Some(b"a")).unwrap(), number);
    assert_eq!(db.delete_range(None, Some(b"")).unwrap(), number);
    let error = db.delete_range(Some(b"b"), Some(b"a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(db.delete_prefix(b"").unwrap(), number.plus(1));
    assert_eq!(entries(&db), []);
}

/// The manifest's path, and whether it names the feature.
fn manifest_and_feature(env: &MemEnv) -> (String, bool) {
    let current = inspect::Current::read(env, "/db/CURRENT".as_ref()).unwrap();
    let path = format!("/db/MANIFEST-{}", current.manifest);
    let mut manifest = inspect::Manifest::open(env, path.as_ref()).unwrap();
    let mut names = Vec::new();
    while let Some(edit) = manifest.next_edit().unwrap() {
        names.extend(edit.features);
    }
    (path, names.contains(&"range-delete".to_string()))
}

/// FEATURE-1.
#[test]
fn the_feature_is_durable_before_the_first_range_delete_is_in_the_log() {
    let env = MemEnv::new();
    let named = || manifest_and_feature(&env).1;
    // As an earlier build left it.
    let dir = Path::new("/db");
    env.create_dir_all(dir).unwrap();
    let (none, last) = (Features::default(), SequenceNumber(0));
    VersionSet::create_from(&env, dir, Vec::new(), last, none, Settings::default()).unwrap();
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    db.delete(b"a").unwrap();
    assert!(!named());
    // The first synced write finds the feature durable, whatever else a power cut takes.
    let log = |db: &DB| db.stats().unwrap().wal_bytes;
    let before = log(&db);
    db.delete_range(None, Some(b"b")).unwrap();
    assert!(named() && log(&db) > before);
    drop(db);
    assert!(named());
}

/// FEATURE-1, SET-6.
#[test]
fn a_range_delete_syncs_the_manifest_only_if_this_process_has_not_named_the_feature() {
    let env = MemEnv::new();
    let db = open(&env);
    let new = manifest_and_feature(&env);
    assert!(new.1, "a new database names it");
    db.delete_range(None, Some(b"b")).unwrap();
    assert_eq!(manifest_and_feature(&env), new);
    drop(db);
    let db = open(&env);
    // What the earlier process wrote may not be on the disk.
    db.delete_range(None, Some(b"b")).unwrap();
    let renewed = manifest_and_feature(&env);
    assert!(renewed.1 && renewed.0 > new.0);
    drop(db);
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    db.flush().unwrap();
    let flushed = manifest_and_feature(&env);
    assert!(flushed.0 > renewed.0);
    db.delete_range(None, Some(b"b")).unwrap();
    assert_eq!(manifest_and_feature(&env), flushed);
}

#[test]
fn deleting_many_entries_is_one_record_and_the_first_after_them_is_found_in_a_few_steps() {
    let env = MemEnv::new();
    let db = DB::open("/db", deep(&env).write_buffer_size(64 << 10)).unwrap();
    fill(&db, 0..20_000);
    db.put(b"z", b"last").unwrap();
    db.flush().unwrap();
    settle(&db);
    let before = db.stats().unwrap();
    db.delete_range(None, Some(b"y")).unwrap();
    let after = db.stats().unwrap();
    assert_eq!(after.operations_written, before.operations_written + 1);
    assert!(after.wal_bytes - before.wal_bytes < 100);
    let read = |moves: &dyn Fn(&mut Cursor) -> bool| {
        let before = db.stats().unwrap();
        let mut cursor = db.cursor(IterOptions::new()).unwrap();
        assert!(moves(&mut cursor) && cursor.key() == b"z");
        let after = db.stats().unwrap();
        after.block_cache_hits + after.block_cache_misses
            - before.block_cache_hits
            - before.block_cache_misses
    };
    // A block or two in each level: no table between the first and the last is looked at.
    let blocks = [
        read(&|cursor| cursor.first().unwrap()),
        read(&|cursor| cursor.seek(&key(7)).unwrap()),
        read(&|cursor| cursor.last().unwrap() && !cursor.prev().unwrap() && cursor.next().unwrap()),
    ];
    assert!(blocks.iter().all(|&blocks| blocks < 40), "{blocks:?}");
}

#[test]
fn whole_tables_go_unread_then_the_edges_are_swept_and_then_the_range_delete_retires() {
    let env = MemEnv::new();
    let db = DB::open("/db", deep(&env)).unwrap();
    fill(&db, 0..3000);
    db.flush().unwrap();
    settle(&db);
    let filled = table_bytes(&db);
    let compacted = || db.stats().unwrap().compaction_bytes_read;
    let before = compacted();
    db.delete_range(Some(&key(100)), Some(&key(2900))).unwrap();
    db.flush().unwrap();
    assert_eq!(range_deletes(&db), 1);
    settle(&db);
    assert_eq!(range_deletes(&db), 0);
    assert_eq!(db.iter().count(), 200);
    assert!(
        table_bytes(&db) < filled / 8,
        "{} of {filled}",
        table_bytes(&db)
    );
    // What was read is the tables at the two edges, in each level.
    assert!(
        compacted() - before < filled / 4,
        "{} of {filled}",
        compacted() - before
    );
    assert!(db.verify().unwrap().is_ok());
    assert_eq!(settle(&db), 0);
}

/// RETIRE-1: the end of a range is not in it.
#[test]
fn a_range_delete_retires_although_a_table_begins_where_it_ends() {
    let env = MemEnv::new();
    let db = DB::open("/db", deep(&env)).unwrap();
    fill(&db, 0..3000);
    db.flush().unwrap();
    db.compact_range(None, None).unwrap();
    settle(&db);
    let superversion = db.rooms().tree.load_full();
    let tables = superversion.version().all_files();
    let mut first: Vec<_> = tables
        .map(|(_, file)| file.smallest_key().user_key.to_vec())
        .collect();
    drop(superversion);
    first.sort();
    let end = &first[first.len() / 2];
    db.delete_range(None, Some(end)).unwrap();
    db.flush().unwrap();
    assert_eq!(range_deletes(&db), 1);
    settle(&db);
    assert_eq!(range_deletes(&db), 0);
    assert_eq!(&db.iter().next().unwrap().unwrap().0, end);
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn about_as_many_entries_are_counted_as_range_deletes_leave() {
    let env = MemEnv::new();
    let db = DB::open("/db", deep(&env)).unwrap();
    let about = || db.approximate_count(None, None).unwrap();
    db.delete_range(None, None).unwrap();
    assert_eq!(about(), 0);
    db.flush().unwrap();
    assert_eq!(about(), 0);
    fill(&db, 0..3000);
    db.flush().unwrap();
    assert_eq!(about(), 3000);
    db.delete_range(None, None).unwrap();
    assert_eq!(about(), 0);
    db.flush().unwrap();
    assert_eq!(about(), 0);
}

#[test]
fn a_snapshot_keeps_what_it_sees_and_its_release_lets_everything_go() {
    let env = MemEnv::new();
    env.hold_clock(Some(1000 * SECOND));
    let db = DB::open("/db", deep(&env)).unwrap();
    fill(&db, 0..1000);
    db.flush().unwrap();
    settle(&db);
    let snapshot = db.snapshot().unwrap();
    db.delete_range(None, None).unwrap();
    db.flush().unwrap();
    settle(&db);
    let past = IterOptions::new().snapshot(Some(snapshot.clone()));
    let walk = |options: IterOptions| {
        let mut cursor = db.cursor(options).unwrap();
        let mut count = 0;
        while cursor.next().unwrap() {
            count += 1;
        }
        count
    };
    assert_eq!((walk(past), walk(IterOptions::new())), (1000, 0));
    assert_eq!(range_deletes(&db), 1);
    drop(snapshot);
    db.rooms().commit.look_around();
    settle(&db);
    assert_eq!((range_deletes(&db), table_bytes(&db)), (0, 0));
}

#[test]
fn a_power_cut_takes_an_unsynced_range_delete_whole_and_a_synced_one_never() {
    for sync in [false, true] {
        let env = MemEnv::new();
        let db = open(&env);
        fill(&db, 0..200);
        db.flush().unwrap();
        db.put(b"synced", b"1").unwrap();
        db.write_with(&crate::WriteBatch::new(), &WriteOptions::new().sync(true))
            .unwrap();
        db.delete_range_with(None, None, &WriteOptions::new().sync(sync))
            .unwrap();
        // Nothing of an unsynced one is in a table.
        settle(&db);
        drop(db);
        let cut = PowerCut {
            bytes: Some(PowerLoss::Everything),
            ..PowerCut::default()
        };
        let db = open(&env.power_cut_as(cut, &mut BTreeSet::new()));
        let expected = if sync { 0 } else { 201 };
        assert_eq!(db.iter().count(), expected, "synced {sync}");
    }
}

#[test]
fn an_idle_memtable_with_a_range_delete_that_frees_much_is_flushed_after_a_while() {
    let env = MemEnv::new();
    env.hold_clock(Some(1000 * SECOND));
    let db = DB::open("/db", deep(&env).write_buffer_size(1 << 20)).unwrap();
    fill(&db, 0..5000);
    db.flush().unwrap();
    settle(&db);
    db.delete_prefix(b"key").unwrap();
    for second in [20, 40] {
        env.hold_clock(Some((1000 + second) * SECOND));
        db.rooms().commit.look_around();
        settle(&db);
    }
    assert_eq!((table_bytes(&db), range_deletes(&db)), (0, 0));
    assert_eq!(entries(&db), []);
}

/// REPAIR-11.
#[test]
fn repair_brings_nothing_back_that_a_range_delete_has_deleted() {
    let env = MemEnv::new();
    let db = DB::open("/db", deep(&env)).unwrap();
    fill(&db, 0..500);
    db.flush().unwrap();
    let snapshot = db.snapshot().unwrap();
    db.delete_range(Some(&key(50)), Some(&key(450))).unwrap();
    db.flush().unwrap();
    fill(&db, 100..110);
    db.delete_range(Some(&key(105)), Some(&key(106))).unwrap();
    let expected = entries(&db);
    assert_eq!(expected.len(), 109);
    drop(snapshot);
    drop(db);
    let report = DB::repair("/db", "/repaired", &options(&env)).unwrap();
    assert!(report.is_ok(), "{report:?}");
    let repaired = DB::open("/repaired", options(&env)).unwrap();
    assert_eq!(entries(&repaired), expected);
    assert!(range_deletes(&repaired) == 0 && repaired.verify().unwrap().is_ok());
}

#[test]
fn a_checkpoint_has_the_range_deletes_of_tables_and_memtables() {
    let env = MemEnv::new();
    let db = open(&env);
    fill(&db, 0..300);
    db.flush().unwrap();
    let snapshot = db.snapshot().unwrap();
    db.delete_range(Some(&key(10)), Some(&key(20))).unwrap();
    db.flush().unwrap();
    db.delete_range(Some(&key(200)), None).unwrap();
    db.checkpoint("/copy").unwrap();
    drop(snapshot);
    let copy = DB::open("/copy", options(&env)).unwrap();
    assert_eq!(entries(&copy), entries(&db));
    assert_eq!(entries(&copy).len(), 190);
    assert!(copy.verify().unwrap().is_ok());
    copy.compact_range(None, None).unwrap();
    settle(&copy);
    assert_eq!((entries(&copy), range_deletes(&copy)), (entries(&db), 0));
}
