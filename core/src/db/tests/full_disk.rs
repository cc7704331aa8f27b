//! Tests of a full disk: what must still work on it, and that writing goes on once there is room again.

use std::collections::BTreeMap;
use std::path::Path;

use aidb_test_data::{Fill, Random, Sizes};

use super::*;
use crate::compaction::MAX_PLAN_TABLES;
use crate::db::DB;
use crate::db::commit::Obstacle;
use crate::db::space::{MAX_STEP, MIN_STEP};
use crate::effort::{Effort, within};
use crate::env::{Call, Env, FaultEnv, MemEnv, PathKind};
use crate::options::Options;
use crate::sync::atomic::{AtomicU64, Ordering};

const WRITE_BUFFER: u64 = 256 << 10;

fn options(env: &MemEnv) -> Options {
    Options::new()
        .env(Arc::new(env.clone()))
        .write_buffer_size(WRITE_BUFFER)
        .level_base_size(1 << 20)
        .target_file_size(128 << 10)
}

fn open(env: &MemEnv) -> DB {
    DB::open("/db", options(env)).unwrap()
}

/// The sizes of most entries.
const SMALL: Sizes = Sizes::new(1 << 10, 200);
/// Also larger ones: a few fill a write buffer, a log's zeros, or the reserve.
const MIXED: Sizes = Sizes::new(WRITE_BUFFER as usize + 1, 400);

/// A value that does not compress, so that it takes its length on the disk.
fn value(random: &mut Random) -> Vec<u8> {
    let length = match random.one_in(2) {
        true => random.size(&SMALL),
        false => random.index(600),
    };
    Fill::Noise.bytes(random.next(), length)
}

fn key(number: u32) -> Vec<u8> {
    format!("key{number:06}").into_bytes()
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// An entry of any kind and size, mostly with one of the first `keys` keys.
fn any_entry(random: &mut Random, keys: u64) -> (Vec<u8>, Vec<u8>) {
    let key = match random.one_in(50) {
        true => random.long_key(&MIXED),
        false => key(random.below(keys) as u32),
    };
    (key, random.value_of(&MIXED))
}

/// Puts entries that `draw` makes until the disk is full.
fn fill(db: &DB, model: &mut Model, mut draw: impl FnMut() -> (Vec<u8>, Vec<u8>)) {
    loop {
        let (key, value) = draw();
        match db.put(&key, &value) {
            Ok(_) => drop(model.insert(key, value)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                assert!(error.is_retryable());
                return;
            }
        }
    }
}

/// Takes the rest of the disk, as another program might.
fn hog(env: &MemEnv) {
    let path = Path::new("/hog");
    let file = match env.kind(path).unwrap() {
        PathKind::Missing => env.create_new(path).unwrap(),
        _ => env.open_write(path).unwrap(),
    };
    let free = env.free_space(path).unwrap();
    // Another thread may have been faster.
    let _ = file.allocate(file.len().unwrap() + free);
}

/// Bytes of tables.
fn tables(db: &DB) -> u64 {
    let stats = db.stats().unwrap();
    stats.levels.iter().map(|level| level.bytes).sum()
}

fn check(db: &DB, model: &Model) {
    let held: Model = db.iter().map(Result::unwrap).collect();
    assert!(
        held == *model,
        "{} entries, {} expected",
        held.len(),
        model.len()
    );
}

fn on_a_full_disk_of(bytes: u64, seed: u64, is_closed: bool) {
    println!("a disk of {bytes} bytes, seed {seed}, closed: {is_closed}");
    let mut random = Random::new(seed);
    let env = MemEnv::new();
    env.set_quota(Some(bytes));
    let mut model = Model::new();
    let db = open(&env);
    fill(&db, &mut model, || any_entry(&mut random, 100_000));
    let filled: usize = model.values().map(Vec::len).sum();
    assert!(filled as u64 > bytes / 5, "{filled} bytes fitted");
    check(&db, &model);

    // The database opens and reads, whether it was closed or not.
    if is_closed {
        db.close().unwrap();
    }
    drop(db);
    hog(&env);
    let db = open(&env);
    check(&db, &model);

    // It deletes, flushes and compacts.
    let doomed: Vec<_> = model
        .keys()
        .filter(|_| random.below(10) < 7)
        .cloned()
        .collect();
    for key in doomed {
        db.delete(&key).unwrap();
        model.remove(&key);
    }
    check(&db, &model);
    db.flush().unwrap();
    db.compact_range(None, None).unwrap();
    check(&db, &model);
    let live: usize = model
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let held = tables(&db);
    assert!(
        held < live as u64 * 3 / 2,
        "{held} bytes of tables hold {live}"
    );

    // It takes puts again, into the space that compaction has freed.
    let (mut taken, before) = (0, model.len());
    while taken < bytes / 20 {
        let (key, value) = (
            key(100_000 + random.below(1 << 30) as u32),
            value(&mut random),
        );
        db.put(&key, &value).unwrap();
        taken += value.len() as u64;
        model.insert(key, value);
    }
    assert!(model.len() > before);
    check(&db, &model);
    drop(db);
    check(&open(&env), &model);
}

#[test]
fn a_full_disk_still_opens_reads_deletes_and_compacts() {
    // The space left for a log's zeros, a table or a log record decides where the disk becomes full.
    let mut random = Random::new(23);
    for (seed, mebibytes) in (0..).zip([3, 5, 9]) {
        let bytes = (mebibytes << 20) + random.size(&Sizes::new(1 << 20, 1 << 18)) as u64;
        on_a_full_disk_of(bytes, seed, true);
        on_a_full_disk_of(bytes, seed, false);
    }
}

#[test]
fn a_full_disk_compacts_a_few_tombstones_over_many_tables_step_by_step() {
    // The tombstones of a level fit into one plan, but the tables below them do not fit into the reserve.
    let env = MemEnv::new();
    env.set_quota(Some(24 << 20));
    let db = DB::open("/db", options(&env).manual_background(true)).unwrap();
    let (mut random, mut model) = (Random::new(11), Model::new());
    let mut number = 0;
    loop {
        let value = Fill::Noise.bytes(random.next(), 8000);
        match db.put(&key(number), &value) {
            Ok(_) => drop(model.insert(key(number), value)),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
        }
        number += 1;
        while db.run_background_step().unwrap() {}
    }
    hog(&env);
    let doomed: Vec<_> = model.keys().step_by(2).cloned().collect();
    for key in doomed {
        db.delete(&key).unwrap();
        model.remove(&key);
    }
    let before = tables(&db);
    db.compact_range(None, None).unwrap();
    assert!(tables(&db) < before * 2 / 3);
    check(&db, &model);
}

/// RESERVE-4.
#[test]
fn unless_the_disk_is_roomy_one_compaction_runs_at_a_time() {
    let env = MemEnv::new();
    let options = options(&env).manual_background(true);
    let db = DB::open("/db", options.clone()).unwrap();
    let mut random = Random::new(3);
    for number in 0..20_000 {
        db.put(&key(number), &value(&mut random)).unwrap();
    }
    db.compact_range(None, None).unwrap();
    drop(db);
    // Now every table of level 1 is due.
    let db = DB::open("/db", options.level_base_size(64 << 10)).unwrap();
    let picks = |room: u64| {
        env.set_quota(Some(env.used_bytes() + room));
        db.rooms().tree.adjust_reserve();
        let mut state = db.rooms().tree.state();
        let plans: Vec<_> = std::iter::from_fn(|| db.rooms().tree.pick(&mut state)).collect();
        state.running().clear();
        plans.len()
    };
    assert!(picks(1 << 30) > 1);
    assert_eq!(picks(2 << 20), 1);
    assert_eq!(picks(0), 1);
    // A put has to wait for the compaction. It returns before it waits, so that it holds no version while waiting.
    let running = db.rooms().tree.pick(&mut db.rooms().tree.state());
    assert!(running.is_some());
    let mut batch = WriteBatch::new();
    batch.put(b"a", b"1").unwrap();
    let payload = crate::wal::Payload::new(batch.encoded());
    let tried = db.rooms().commit.try_commit(&batch, &payload, None);
    assert!(matches!(tried, Ok(Err(Obstacle::Space))));
    let unwaiting = within(&Effort::Unwaiting, || db.put(b"a", b"1"));
    assert!(unwaiting.unwrap_err().is_given_up());
    assert!(db.get(b"a").unwrap().is_none());
    db.rooms().tree.state().running().clear();
    // Now no compaction is under way that could help.
    let refused = db.put(b"a", b"1").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    env.set_quota(None);
    db.put(b"a", b"1").unwrap();
}

#[test]
fn deletes_on_a_full_disk_zero_no_log_ahead_of_its_records() {
    // Zeros would take more space than a delete, and they would take it from the reserve.
    let env = MemEnv::new();
    env.set_quota(Some(4 << 20));
    let db = DB::open("/db", options(&env).manual_background(true)).unwrap();
    let (mut random, mut model) = (Random::new(5), Model::new());
    fill(&db, &mut model, || {
        (key(random.below(2000) as u32), value(&mut random))
    });
    let newest_log = || {
        let names = env.list(Path::new("/db")).unwrap();
        let logs = names.into_iter().filter(|name| name.ends_with(".log"));
        logs.max().unwrap()
    };
    hog(&env);
    let found = newest_log();
    let mut looked_at = 0;
    // In the end compactions have freed so much that a log may be zeroed again.
    for key in model.keys().cycle().take(5_000) {
        db.delete(key).unwrap();
        let newest = newest_log();
        if newest != found {
            let file = env.open_read(&Path::new("/db").join(newest)).unwrap();
            let mut last = [0];
            file.read_at(file.len().unwrap() - 1, &mut last).unwrap();
            assert_ne!(last, [0], "zeros ahead of the log's records");
            looked_at += 1;
        }
    }
    assert!(looked_at > 100);
}

/// RESERVE-3.
#[test]
fn a_put_on_a_disk_that_others_filled_leaves_the_reserve_alone() {
    // The disk is roomy when the database looks, and full when the next put comes.
    for value_bytes in [10, 3_000, 50_000] {
        let env = MemEnv::new();
        env.set_quota(Some(64 << 20));
        // The log is zeroed in several pieces.
        let options = options(&env).write_buffer_size(8 << 20);
        let db = DB::open("/db", options.manual_background(true)).unwrap();
        db.put(b"a", b"1").unwrap();
        let held = db.stats().unwrap().reserve_bytes;
        assert!(held > 0);
        hog(&env);
        let value = vec![7; value_bytes];
        let refused = (0..10_000).find_map(|number| db.put(&key(number), &value).err());
        assert_eq!(refused.unwrap().kind(), ErrorKind::NoSpace);
        assert_eq!(db.stats().unwrap().reserve_bytes, held, "{value_bytes}");
        for number in 0..200 {
            db.delete(&key(number)).unwrap();
        }
    }
}

#[test]
fn a_flush_that_will_not_fit_leaves_deletes_their_part_and_gives_back_what_it_took() {
    let env = MemEnv::new();
    env.set_quota(Some(64 << 20));
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let options = options(&env).env(Arc::new(faulty.clone()));
    let db = DB::open("/db", options.manual_background(true)).unwrap();
    let mut random = Random::new(9);
    for number in 0..800 {
        db.put(&key(number), &value(&mut random)).unwrap();
    }
    let held = db.stats().unwrap().reserve_bytes;
    hog(&env);
    // At the end of its attempt, when it has taken all the space that it may.
    let (deleting, deleted) = (db.clone(), Arc::new(AtomicU64::new(0)));
    let (count, disk) = (Arc::clone(&deleted), env.clone());
    faulty.set_hook(Some(Arc::new(move |operation, path: &Path| {
        if operation == Call::Remove && path.extension().is_some_and(|kind| kind == "sst") {
            hog(&disk);
            // By another thread: this one holds a lock that comes after the log's.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..200 {
                        deleting.delete(&key(number)).unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            });
        }
    })));
    let refused = db.flush().unwrap_err();
    faulty.set_hook(None);
    assert_eq!(refused.kind(), ErrorKind::NoSpace);
    assert_eq!(deleted.load(Ordering::Relaxed), 200);
    assert!(db.stats().unwrap().reserve_bytes > held / 2);
    assert_eq!(db.iter().count(), 600);
}

#[test]
fn writing_goes_on_by_itself_when_somebody_frees_space() {
    let env = MemEnv::new();
    env.set_quota(Some(3 << 20));
    let (mut random, mut model) = (Random::new(7), Model::new());
    let db = open(&env);
    for _ in 0..3 {
        fill(&db, &mut model, || any_entry(&mut random, 1 << 32));
        hog(&env);
        env.remove_file(Path::new("/hog")).unwrap();
        env.set_quota(Some(env.used_bytes() + (6 << 20)));
        for number in 0..1000 {
            let (key, value) = (key(number), value(&mut random));
            db.put(&key, &value).unwrap();
            model.insert(key, value);
        }
        check(&db, &model);
    }
}

#[test]
fn tables_larger_than_the_target_are_kept_more_in_reserve_for() {
    let env = MemEnv::new();
    let of_target = |bytes| {
        let options = options(&env).target_file_size(bytes);
        DB::open("/db", options.manual_background(true)).unwrap()
    };
    let db = of_target(1 << 20);
    let mut random = Random::new(3);
    for number in 0..60_000 {
        db.put(&key(number), &value(&mut random)).unwrap();
        while db.run_background_step().unwrap() {}
    }
    db.close().unwrap();
    let db = of_target(64 << 10);
    let level = db.stats().unwrap().levels.swap_remove(2);
    let usual = level.bytes / level.tables;
    assert!(usual > 3 * (64 << 10), "{level:?}");
    env.set_quota(Some(env.used_bytes() + level.bytes / 2));
    db.put(b"a", b"1").unwrap();
    let held = db.stats().unwrap().reserve_bytes;
    assert!(
        held > usual * MAX_PLAN_TABLES,
        "{held} for tables of {usual}"
    );
}

/// RESERVE-5.
#[test]
fn a_roomy_disk_holds_a_small_reserve_and_a_narrow_one_what_is_needed() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).manual_background(true)).unwrap();
    let held = || db.stats().unwrap().reserve_bytes;
    assert_eq!(held(), MIN_STEP);
    let mut random = Random::new(1);
    let write = |count: u32, random: &mut Random| {
        for number in 0..count {
            db.put(&key(number), &value(random)).unwrap();
        }
    };
    write(5000, &mut random);
    assert_eq!(held(), MIN_STEP);
    env.set_quota(Some(env.used_bytes() + (3 << 20)));
    write(500, &mut random);
    let tables: u64 = db
        .stats()
        .unwrap()
        .levels
        .iter()
        .map(|level| level.bytes)
        .sum();
    assert!(held() > tables.min(2 << 20), "{} of {tables}", held());
    env.set_quota(None);
    db.flush().unwrap();
    assert_eq!(held(), MIN_STEP);
}

/// RESERVE-7.
#[test]
fn a_small_database_that_was_closed_is_small_and_works_where_others_fill_the_disk() {
    for entries in [1, 10, 1000] {
        let env = MemEnv::new();
        env.set_quota(Some(64 << 20));
        let options = || Options::new().env(Arc::new(env.clone()));
        let db = DB::open("/db", options()).unwrap();
        let mut model = Model::new();
        let mut random = Random::new(entries);
        for number in 0..entries as u32 {
            let (key, value) = (key(number), value(&mut random));
            db.put(&key, &value).unwrap();
            model.insert(key, value);
        }
        assert_eq!(db.stats().unwrap().reserve_bytes, MAX_STEP);
        db.close().unwrap();
        let content: usize = model
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let most = (128 << 10) + 4 * content as u64;
        assert!(
            env.used_bytes() < most,
            "{} for {content}",
            env.used_bytes()
        );

        // More than once: one process must not draw on what the next open needs.
        for _ in 0..4 {
            hog(&env);
            let db = DB::open("/db", options()).unwrap();
            check(&db, &model);
            assert_eq!(db.put(b"new", b"").unwrap_err().kind(), ErrorKind::NoSpace);
            if let Some((key, _)) = model.pop_first() {
                db.delete(&key).unwrap();
            }
            db.flush().unwrap();
            db.compact_range(None, None).unwrap();
            check(&db, &model);
            db.close().unwrap();
        }
        env.remove_file(Path::new("/hog")).unwrap();
        let db = DB::open("/db", options()).unwrap();
        db.put(b"new", b"").unwrap();
        assert_eq!(db.stats().unwrap().reserve_bytes, MAX_STEP);
    }
}

#[test]
fn what_a_small_database_leaves_set_aside_does_not_grow_with_every_table_of_one_entry() {
    for openings in [1, 2, 9, 40] {
        let env = MemEnv::new();
        env.set_quota(Some(64 << 20));
        // Each opening leaves a table.
        let options = Options::new().env(Arc::new(env.clone()));
        let options = options.level0_compaction_trigger(64);
        for opening in 0..openings {
            let db = DB::open("/db", options.clone()).unwrap();
            db.put(b"openings", &[opening]).unwrap();
            db.close().unwrap();
        }
        // A table takes a block, and a little of the manifest and of the reserve.
        let most = (112 << 10) + (6 << 10) * u64::from(openings);
        assert!(env.used_bytes() < most, "{} of {most}", env.used_bytes());
        hog(&env);
        let db = DB::open("/db", options.clone()).unwrap();
        assert_eq!(db.get(b"openings").unwrap().unwrap(), [openings - 1]);
        db.delete(b"openings").unwrap();
        db.flush().unwrap();
        db.compact_range(None, None).unwrap();
        assert_eq!(tables(&db), 0);
        db.close().unwrap();
    }
}

#[test]
fn a_put_within_what_was_set_aside_for_looks_at_the_free_space_alone() {
    let env = MemEnv::new();
    // A log as small as this is not zeroed ahead.
    let db = DB::open("/db", options(&env).write_buffer_size(4096)).unwrap();
    let reserved_up_to = || db.rooms().commit.log().reserved_up_to();
    db.put(b"a", b"1").unwrap();
    let reserved = reserved_up_to();
    assert!(reserved > db.rooms().commit.log().writer().len());
    db.put(b"b", b"2").unwrap();
    assert_eq!(reserved_up_to(), reserved);
}
