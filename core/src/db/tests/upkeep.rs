//! Tests of the space that upkeep frees by itself: of drained queues, released snapshots and idle databases. The test
//! sets the clock.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::effort::{Effort, within};
use crate::env::PathKind;
use crate::options::ReadOptions;

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * SECOND;
/// The first time on the clock; real clocks do not begin at 0.
const START: u64 = 1000 * HOUR;

fn held() -> MemEnv {
    let env = MemEnv::new();
    env.hold_clock(Some(START));
    env
}

/// Does all background work that is due; returns how many units there were.
fn settle(db: &DB) -> usize {
    let steps = (0..1000).take_while(|_| db.run_background_step().unwrap());
    let count = steps.count();
    assert!(count < 1000, "the work does not end");
    count
}

fn table_bytes(db: &DB) -> u64 {
    let version = Arc::clone(db.rooms().tree.load().version());
    version.all_files().map(|(_, file)| file.size).sum()
}

fn has_reclaimable(db: &DB) -> bool {
    db.rooms().tree.load().version().has_reclaimable()
}

fn key(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

fn fill(db: &DB, keys: std::ops::Range<u32>, byte: u8) {
    for number in keys {
        db.put(&key(number), &[byte; 200]).unwrap();
    }
}

#[test]
fn a_queue_that_was_drained_leaves_no_table_behind() {
    let env = held();
    let db = open(&env);
    for round in 0..20 {
        let keys = round * 100..(round + 1) * 100;
        fill(&db, keys.clone(), 1);
        settle(&db);
        for number in keys {
            db.delete(&key(number)).unwrap();
        }
        db.flush().unwrap();
        settle(&db);
        assert_eq!(table_bytes(&db), 0, "round {round}");
    }
}

/// UPKEEP-1.
#[test]
fn everything_deleted_in_a_deep_tree_comes_back_and_nothing_is_rewritten_for_ever() {
    let env = held();
    let small = options(&env)
        .level_base_size(8 << 10)
        .target_file_size(4 << 10);
    let db = DB::open("/db", small.level_size_multiplier(4)).unwrap();
    fill(&db, 0..1000, 1);
    db.flush().unwrap();
    settle(&db);
    let filled = table_bytes(&db);
    assert!(db.rooms().tree.load().version().deepest_level() >= Some(2));
    for number in 0..1000 {
        db.delete(&key(number)).unwrap();
    }
    db.flush().unwrap();
    settle(&db);
    assert!(
        table_bytes(&db) < filled / 10,
        "{} of {filled}",
        table_bytes(&db)
    );
    assert_eq!(db.iter().count(), 0);
    // After a long time the rest is gone, or too little for a compaction to pay.
    for day in 1..60 {
        env.hold_clock(Some(START + day * 24 * HOUR));
        settle(&db);
    }
    assert!(!has_reclaimable(&db) || table_bytes(&db) < filled / 100);
}

#[test]
fn what_a_snapshot_kept_comes_back_after_its_release() {
    let env = held();
    let db = open(&env);
    fill(&db, 0..200, 1);
    let snapshot = db.snapshot().unwrap();
    fill(&db, 0..200, 2);
    db.compact_range(None, None).unwrap();
    let both = table_bytes(&db);
    assert_eq!(settle(&db), 0, "nothing can be dropped yet");
    let as_of = ReadOptions {
        snapshot: Some(&snapshot),
        ..ReadOptions::default()
    };
    assert_eq!(db.get_with(&key(7), &as_of).unwrap().unwrap(), [1; 200]);
    drop(snapshot);
    assert!(settle(&db) > 0);
    assert!(
        table_bytes(&db) * 10 < both * 6,
        "{} of {both}",
        table_bytes(&db)
    );
    assert!(!has_reclaimable(&db));
    assert_eq!(db.get(&key(7)).unwrap().unwrap(), [2; 200]);
    assert_eq!(settle(&db), 0);
}

/// LOOK-2.
#[test]
fn a_release_wakes_the_threads_that_wait() {
    let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    let with_threads = options(&MemEnv::new()).env(Arc::new(env.clone()));
    let db = DB::open("/db", with_threads.manual_background(false)).unwrap();
    fill(&db, 0..200, 1);
    let snapshot = db.snapshot().unwrap();
    fill(&db, 0..200, 2);
    db.compact_range(None, None).unwrap();
    let (send, receive) = mpsc::channel();
    env.set_hook(Some(Arc::new(move |operation, path: &Path| {
        if operation == Call::Create && path.extension().is_some_and(|end| end == "sst") {
            let _ = send.send(());
        }
    })));
    drop(snapshot);
    let begun = receive.recv_timeout(Duration::from_secs(60));
    begun.expect("a compaction begins without a write");
    env.set_hook(None);
    db.close().unwrap();
}

/// LOOK-1.
#[test]
fn an_idle_memtable_is_flushed_for_what_its_tombstones_hide_and_for_nothing_else() {
    let env = held();
    let large = options(&env)
        .write_buffer_size(16 << 20)
        .compression(crate::Compression::None);
    let db = DB::open("/db", large).unwrap();
    fill(&db, 0..1000, 1);
    let look = |seconds: u64| {
        env.hold_clock(Some(START + seconds * SECOND));
        settle(&db)
    };
    // With puts only, the memtable is checked twice, and then no more.
    assert_eq!((look(19), look(20), look(40)), (0, 0, 0));
    assert_eq!(
        db.rooms().commit.until_look(),
        None,
        "no check is due any more"
    );
    assert_eq!(db.stats().unwrap().flushes, 0);
    db.flush().unwrap();
    for number in 0..1000 {
        db.delete(&key(number)).unwrap();
    }
    assert!(
        db.rooms().commit.until_look().is_some(),
        "the first write asked for a look"
    );
    assert_eq!(look(59), 0);
    assert!(look(60) > 0);
    assert_eq!(table_bytes(&db), 0);
    assert_eq!(db.stats().unwrap().flushes, 2);
    // One tombstone that hides nothing is not worth a flush, but while writes come there is a next check.
    db.delete(&key(1)).unwrap();
    assert_eq!(look(80), 0);
    db.delete(&key(2)).unwrap();
    assert_eq!(look(100), 0);
    assert!(db.rooms().commit.until_look().is_some());
    assert_eq!(look(120), 0);
    assert_eq!(db.rooms().commit.until_look(), None);
    db.put(&key(1), b"").unwrap();
    assert!(
        db.rooms().commit.until_look().is_some(),
        "a write in the same memtable asks again"
    );
}

/// LOOK-3.
#[test]
fn a_memtable_for_which_a_writer_would_have_to_wait_is_not_sealed_early() {
    let env = held();
    let uncompressed = options(&env).compression(crate::Compression::None);
    let db = DB::open("/db", uncompressed.write_buffer_size(64 << 10)).unwrap();
    fill(&db, 0..5000, 1);
    db.flush().unwrap();
    settle(&db);
    let sealed = || db.rooms().tree.load().sealed().len();
    let look = |second| {
        env.hold_clock(Some(START + second * SECOND));
        db.rooms().commit.look_around();
        sealed()
    };
    // No memtable is flushed, until all that may wait do and the active one has tombstones enough.
    let delete = |number| within(&Effort::Unwaiting, || db.delete(&key(number)));
    let deleted = (0..5000)
        .take_while(|&number| delete(number).is_ok())
        .count();
    assert!((100..5000).contains(&deleted), "{deleted}");
    let waiting = sealed();
    assert!(waiting > 0);
    assert_eq!(look(60), waiting, "as many as may wait");
    assert!(db.rooms().commit.until_look().is_some());
    assert!(db.run_background_step().unwrap(), "a flush");
    assert_eq!(sealed(), waiting - 1);
    assert_eq!(look(120), waiting, "there is room for one more");
}

#[test]
fn little_garbage_waits_until_it_is_old() {
    let env = held();
    let large = options(&env).write_buffer_size(1 << 20);
    let db = DB::open("/db", large).unwrap();
    fill(&db, 0..1000, 1);
    for number in 2000..2050 {
        db.delete(&key(number)).unwrap();
    }
    db.flush().unwrap();
    assert_eq!(settle(&db), 0);
    let until = db.rooms().tree.until_upkeep(&db.rooms().tree.state());
    let until = until.expect("it is due some time").as_micros() as u64;
    assert!((12 * HOUR..48 * HOUR).contains(&until), "{until}");
    env.hold_clock(Some(START + until - SECOND));
    assert_eq!(settle(&db), 0);
    env.hold_clock(Some(START + until + SECOND));
    assert!(settle(&db) > 0);
    assert!(!has_reclaimable(&db));
    assert_eq!(db.rooms().tree.until_upkeep(&db.rooms().tree.state()), None);
    // The recorded age outlives the process.
    fill(&db, 0..1000, 3);
    for number in 2000..2050 {
        db.delete(&key(number)).unwrap();
    }
    db.close().unwrap();
    env.hold_clock(Some(START + 200 * HOUR));
    let db = open(&env);
    assert!(settle(&db) > 0);
    assert!(!has_reclaimable(&db));
}

#[test]
fn a_memtable_is_sealed_for_tombstones_that_hide_what_is_in_it_and_learns_when_they_do_not() {
    let env = held();
    let db = DB::open("/db", options(&env).write_buffer_size(64 << 20)).unwrap();
    let flushes = || {
        settle(&db);
        db.stats().unwrap().flushes
    };
    for number in 0..60_000 {
        db.put(&key(number), b"v").unwrap();
        db.delete(&key(number)).unwrap();
    }
    assert_eq!(flushes(), 1);
    db.flush().unwrap();
    // These hide nothing in their memtable. The first memtable is sealed for them, the next is not.
    for number in 0..60_000 {
        db.delete(&key(number)).unwrap();
    }
    let first = flushes();
    assert_eq!(first, 3);
    for number in 0..60_000 {
        db.delete(&key(number)).unwrap();
    }
    assert_eq!(flushes(), first);
    // A reader that has to walk over them causes a flush, and they go.
    assert_eq!(db.iter().count(), 0);
    assert_eq!(flushes(), first + 1);
    assert_eq!(table_bytes(&db), 0);
    assert_eq!(db.iter().rev().count(), 0);
    assert_eq!(flushes(), first + 1);
}

#[test]
fn upkeep_keeps_off_a_disk_that_is_full_and_goes_on_when_there_is_space() {
    let env = held();
    let db = open(&env);
    fill(&db, 0..500, 1);
    db.flush().unwrap();
    settle(&db);
    for number in 0..500 {
        db.delete(&key(number)).unwrap();
    }
    db.flush().unwrap();
    env.set_quota(Some(env.used_bytes()));
    while db.run_background_step().unwrap_or(false) {}
    assert_eq!(db.iter().count(), 0);
    env.set_quota(None);
    settle(&db);
    assert_eq!(table_bytes(&db), 0);
}

/// Long keys, many of which share a prefix that is longer than a kept bound.
fn long_key(random: &mut Random) -> Vec<u8> {
    let alike = [10, 1020, 1024, 1500][random.index(4)];
    let mut key = vec![[b'p', 0xff][random.index(2)]; alike];
    key.extend_from_slice(&(random.index(40) as u16).to_be_bytes());
    key.resize(key.len() + [0, 5, 1024, 1100][random.index(4)], b'z');
    key
}

#[test]
fn equals_a_map_where_keys_are_long_and_alike_for_long() {
    let mut shortened = 0;
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let env = held();
        let tiny = options(&env)
            .write_buffer_size(32 << 10)
            .target_file_size(8 << 10)
            .level_base_size(16 << 10)
            .level_size_multiplier(2);
        let mut db = DB::open("/db", tiny.clone()).unwrap();
        let mut model = BTreeMap::new();
        for step in 0..1500 {
            let key = long_key(&mut random);
            match random.one_in(3) {
                true => {
                    db.delete(&key).unwrap();
                    model.remove(&key);
                }
                false => {
                    let value = vec![step as u8; random.index(300)];
                    db.put(&key, &value).unwrap();
                    model.insert(key.clone(), value);
                }
            }
            let sought = long_key(&mut random);
            assert_eq!(
                db.get(&sought).unwrap().as_deref(),
                model.get(&sought).map(Vec::as_slice),
                "seed {seed}"
            );
            if random.one_in(20) {
                db.run_background_step().unwrap();
            }
            if random.one_in(300) {
                drop(db);
                db = DB::open("/db", tiny.clone()).unwrap();
            }
        }
        let version = Arc::clone(db.rooms().tree.load().version());
        let short =
            |file: &crate::version::TableInfo| file.shortened.smallest || file.shortened.largest;
        shortened += version
            .all_files()
            .filter(|(_, file)| short(&file.info))
            .count();
        drop(version);
        let model: Vec<_> = model.into_iter().collect();
        assert_eq!(entries(&db), model, "seed {seed}");
        let report = db.verify().unwrap();
        assert!(report.is_ok(), "seed {seed}: {:?}", report.damage);
        db.checkpoint("/copy").unwrap();
        assert_eq!(
            entries(&DB::open("/copy", tiny.clone()).unwrap()),
            model,
            "seed {seed}"
        );
        db.compact_range(None, None).unwrap();
        assert_eq!(entries(&db), model, "seed {seed}");
        drop(db);
        let repaired = DB::repair("/db", "/repaired", &tiny).unwrap();
        assert!(repaired.lost.is_empty(), "seed {seed}: {:?}", repaired.lost);
        assert_eq!(
            entries(&DB::open("/repaired", tiny).unwrap()),
            model,
            "seed {seed}"
        );
    }
    assert!(shortened > 10, "{shortened} tables with shortened bounds");
}

#[test]
fn a_manifest_does_not_repeat_long_keys() {
    let env = held();
    let db = DB::open("/db", options(&env).write_buffer_size(2 << 20)).unwrap();
    for number in 0..20 {
        let mut key = vec![b'k'; 1 << 20];
        key[..4].copy_from_slice(&self::key(number));
        db.put(&key, b"v").unwrap();
    }
    db.compact_range(None, None).unwrap();
    let manifests = env.list(Path::new("/db")).unwrap();
    let manifests = manifests.iter().filter(|name| name.starts_with("MANIFEST"));
    let bytes = manifests.map(
        |name| match env.kind(&Path::new("/db").join(name)).unwrap() {
            PathKind::File(bytes) => bytes,
            other => panic!("{name}: {other:?}"),
        },
    );
    let bytes: u64 = bytes.sum();
    assert!((1..256 << 10).contains(&bytes), "{bytes} bytes");
    assert_eq!(db.iter().count(), 20);
}
