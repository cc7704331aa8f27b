//! Tables that compactions set aside, and which other work that holds up.

use aidb_test_data::{Random, Sizes};

use super::*;
use crate::compaction::Plan;
use crate::compression::Compression;
use crate::env::PathKind;
use crate::filename::table_path;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::version::{VersionEdit, gain_of};

/// Makes levels 1 and 2 of a database. Level 1 is too large, overlaps level 2, and all of it is damaged.
fn with_damage_in_level_1(env: &MemEnv) {
    let shape = |base: u64| {
        options(env)
            .compression(Compression::None)
            .write_buffer_size(16 << 10)
            .target_file_size(4 << 10)
            .level0_compaction_trigger(1)
            .level_base_size(base)
            .level_size_multiplier(100)
    };
    let (mut random, sizes) = (Random::new(1), Sizes::new(600, 100));
    for base in [4 << 10, 1 << 30] {
        let db = DB::open("/db", shape(base)).unwrap();
        for number in 0..800u32 {
            let value = random.value_of(&sizes);
            db.put(format!("a{number:05}").as_bytes(), &value).unwrap();
        }
        db.flush().unwrap();
        while db.run_background_step().unwrap() {}
        if base > 4 << 10 {
            let version = Arc::clone(db.rooms().tree.load().version());
            let tables = [1, 2].map(|level| version.files(level).len());
            assert!(tables[0] > 5 && tables[1] > 1, "{tables:?}");
            for file in version.files(1) {
                let path = table_path(Path::new("/db"), file.number);
                let table = env.open_write(&path).unwrap();
                let mut byte = [0];
                table.read_at(100, &mut byte).unwrap();
                table.write_at(100, &[byte[0] ^ 1]).unwrap();
            }
        }
        db.close().unwrap();
    }
}

#[test]
fn damage_in_tables_that_level_0_does_not_need_stops_no_writer() {
    for is_manual in [true, false] {
        let env = MemEnv::new();
        with_damage_in_level_1(&env);
        let options = options(&env)
            .manual_background(is_manual)
            .background_threads(1)
            .block_cache_size(0)
            .write_buffer_size(16 << 10)
            .target_file_size(4 << 10)
            .level0_compaction_trigger(1)
            .level_base_size(4 << 10);
        let db = DB::open("/db", options).unwrap();
        let mut written = 0;
        while db.stats().unwrap().set_aside.len() < 3 {
            db.put(format!("z{written:05}").as_bytes(), &[7; 1000])
                .unwrap_or_else(|error| panic!("put {written}: {error}"));
            written += 1;
            assert!(written < 100_000, "no table is set aside");
        }
        for number in 0..written {
            let found = db.get(format!("z{number:05}").as_bytes()).unwrap();
            assert_eq!(found.as_deref(), Some(&[7; 1000][..]));
        }
    }
}

/// Calls `meddle` once, when a compaction has written its tables.
fn before_an_installation(options: Options, meddle: impl Fn() + Send + Sync + 'static) -> Options {
    let is_done = AtomicBool::new(false);
    let mut options = options;
    options.step_hook = Some(Arc::new(move |step: &str| {
        if step == "a compaction's tables are written" && !is_done.swap(true, Ordering::SeqCst) {
            meddle();
        }
    }));
    options
}

#[test]
fn a_compaction_whose_edit_is_refused_leaves_no_tables_and_is_not_begun_again() {
    let env = MemEnv::new();
    let opened: Arc<Mutex<Option<DB>>> = Arc::default();
    let meddler = Arc::clone(&opened);
    // Another edit removes an input by mistake, so the compaction's edit removes a table that is not there.
    let whole_rounds = options(&env).write_buffer_size(1 << 20);
    let options = before_an_installation(whole_rounds, move || {
        let db = meddler.lock().clone().unwrap();
        let version = Arc::clone(db.rooms().tree.load().version());
        let mut edit = VersionEdit::default();
        edit.remove(0, version.files(0).last().unwrap().number);
        let gained = gain_of(&edit, &version);
        db.rooms().tree.install(edit, gained, |_| {}).unwrap();
    });
    let db = DB::open("/db", options.level0_compaction_trigger(2)).unwrap();
    *opened.lock() = Some(db.clone());
    for round in 0..3u8 {
        for key in 0..50u8 {
            db.put(&[key], &[round; 100]).unwrap();
        }
        db.flush().unwrap();
    }
    // Flushes that are due come first.
    let mut steps = (0..20).map(|_| db.rooms().work());
    let error = steps.find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(!db.stats().unwrap().set_aside.is_empty());
    while db.rooms().work().unwrap() {}
    let version = Arc::clone(db.rooms().tree.load().version());
    let names = env.list(Path::new("/db")).unwrap();
    let tables = names.iter().filter(|name| name.ends_with(".sst")).count();
    assert_eq!(tables, version.all_files().count(), "{names:?}");
    // Otherwise the reference cycle would keep it open.
    *opened.lock() = None;
}

#[test]
fn a_table_in_use_is_not_removed_though_somebody_says_that_nobody_needs_it() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    db.flush().unwrap();
    let version = Arc::clone(db.rooms().tree.load().version());
    let number = version.all_files().next().unwrap().1.number;
    db.rooms().tree.remove_later(number);
    db.rooms().tree.delete_obsolete_tables();
    let table = table_path(Path::new("/db"), number);
    assert_ne!(env.kind(&table).unwrap(), PathKind::Missing);
}

#[test]
fn a_plan_that_was_made_wrongly_changes_nothing_is_reported_and_never_picked_again() {
    // Three tables of level 0 overlap. A plan without the oldest would put a newer entry below an older one.
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).level0_compaction_trigger(3)).unwrap();
    for round in 0..3u8 {
        db.put(b"a", &[round]).unwrap();
        db.put(&[b'b', round], &[round]).unwrap();
        db.flush().unwrap();
    }
    let tree = &db.rooms().tree;
    let before = tree.load_full();
    let version = before.version();
    let numbers: Vec<_> = version.files(0).iter().map(|file| file.number.0).collect();
    assert_eq!(numbers.len(), 3);
    for upper in [&numbers[..1], &numbers[..2], &numbers[1..2]] {
        let plan = Plan::forged(version, [0, 1], upper, &[]);
        tree.state().running().push(plan.running());
        let error = tree.run_compaction(plan).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let words = "a compaction was planned wrongly: table";
        assert!(error.message().starts_with(words), "{error}");
    }
    let after = tree.load_full();
    assert!(
        Arc::ptr_eq(before.version(), after.version()),
        "nothing is installed"
    );
    assert!(tree.state().running().is_empty());
    let stats = db.stats().unwrap();
    let mut left_out: Vec<_> = stats.set_aside.iter().map(|aside| aside.table.0).collect();
    left_out.sort();
    left_out.dedup();
    let mut expected = numbers[..2].to_vec();
    expected.sort();
    assert_eq!(left_out, expected);
    // It is due but left alone, and a caller who asks for it gets the reason.
    assert!(!db.run_background_step().unwrap());
    let error = db.compact_range(None, None).unwrap_err();
    assert!(error.message().contains("planned wrongly"), "{error}");
    assert_eq!(db.get(b"a").unwrap().as_deref(), Some(&[2][..]));
    drop((before, after));
    drop(db);
    // After opening again all is as before, and a right plan is carried out.
    let db = DB::open("/db", options(&env).level0_compaction_trigger(3)).unwrap();
    assert!(db.run_background_step().unwrap());
    assert_eq!(db.rooms().tree.load().version().files(0).len(), 0);
    assert_eq!(db.get(b"a").unwrap().as_deref(), Some(&[2][..]));
}
