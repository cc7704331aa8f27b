//! Tests of uncertain names: a sync of the directory has failed, and the names that it should have made durable may
//! be lost, whatever is synced later (NAMES-1 of `env/names.rs`).

use super::*;

struct UncertainNames {
    disk: MemEnv,
    faulty: FaultEnv,
}

impl UncertainNames {
    fn new() -> UncertainNames {
        let disk = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(disk.clone()), 0);
        UncertainNames { disk, faulty }
    }

    fn open(&self) -> DB {
        let options = options(&self.disk).env(Arc::new(self.faulty.clone()));
        DB::open("/db", options).unwrap()
    }

    /// Runs `work` while syncs of directories fail.
    fn failing<T>(&self, work: impl FnOnce() -> Result<T>) {
        self.faulty
            .inject(Fault::new(&[Call::SyncDir], libc::EIO).always());
        assert!(work().is_err());
        self.faulty.clear();
    }

    /// Checks that these keys are there, whichever names a power loss keeps.
    fn keeps(&self, keys: &[&[u8]]) {
        for seed in 0..60 {
            let db = match DB::open("/db", options(&self.disk.power_cut(seed))) {
                Ok(db) => db,
                Err(error) => panic!("cut {seed}: {error}"),
            };
            for key in keys {
                assert!(db.get(key).unwrap().is_some(), "cut {seed}: {key:?}");
            }
        }
    }

    /// A flush whose table and new log are uncertain, then a second try without a new log.
    fn flushed_again(&self) -> DB {
        let db = self.open();
        db.put(b"a", b"1").unwrap();
        self.failing(|| db.flush());
        assert!(db.run_background_step().unwrap());
        db
    }
}

/// FLUSH-2.
#[test]
fn a_flush_does_not_name_a_log_that_may_be_lost_and_keeps_the_one_before() {
    let names = UncertainNames::new();
    let _db = names.flushed_again();
    names.keeps(&[b"a"]);
}

#[test]
fn a_synced_write_does_not_rely_on_a_log_that_may_be_lost() {
    // Once after a flush, so that nothing waits in memory, and once before one.
    let names = UncertainNames::new();
    let db = names.flushed_again();
    db.put_with(b"b", b"2", &WriteOptions::synced()).unwrap();
    names.keeps(&[b"a", b"b"]);
    let names = UncertainNames::new();
    let db = names.open();
    db.put(b"a", b"1").unwrap();
    names.failing(|| db.flush());
    db.put_with(b"b", b"2", &WriteOptions::synced()).unwrap();
    db.put_with(b"c", b"3", &WriteOptions::synced()).unwrap();
    names.keeps(&[b"a", b"b", b"c"]);
}

#[test]
fn what_was_replayed_from_a_log_that_may_be_lost_is_flushed_before_it_is_named() {
    let names = UncertainNames::new();
    let db = names.open();
    for key in 0..4u8 {
        db.put(&[key], &[key; 1500]).unwrap();
    }
    // A second log was begun; its name is uncertain now.
    names.failing(|| db.put_with(b"unsure", b"", &WriteOptions::synced()));
    drop(db);
    let db = names.open();
    assert!(db.run_background_step().unwrap());
    names.keeps(&[&[0]]);
    while db.run_background_step().unwrap() {}
    db.put_with(b"b", b"2", &WriteOptions::synced()).unwrap();
    names.keeps(&[&[0], &[1], &[2], &[3], b"b"]);
}

#[test]
fn a_compaction_and_a_manifest_whose_names_may_be_lost_are_made_again() {
    let names = UncertainNames::new();
    let db = names.open();
    for round in 0..3u8 {
        db.put(&[round], &[round; 100]).unwrap();
        db.put(b"again", &[round; 100]).unwrap();
        db.flush().unwrap();
    }
    names.failing(|| db.compact_range(None, None));
    db.compact_range(None, None).unwrap();
    names.keeps(&[&[0], &[1], &[2], b"again"]);
}

#[test]
fn a_creation_that_may_be_lost_is_confirmed_by_the_next_open() {
    let names = UncertainNames::new();
    let fault = Fault::new(&[Call::SyncDir], libc::EIO).after(1);
    names.faulty.inject(fault);
    let options_of = |env: &FaultEnv| options(&names.disk).env(Arc::new(env.clone()));
    assert!(DB::open("/db", options_of(&names.faulty)).is_err());
    names.faulty.clear();
    // A cut before each change of the next open.
    let cuts = Arc::new(crate::sync::Mutex::new(Vec::new()));
    let (list, disk) = (Arc::clone(&cuts), names.disk.clone());
    names
        .faulty
        .set_hook(Some(Arc::new(move |operation, _: &Path| {
            if Call::CHANGES.contains(&operation) {
                list.lock().extend((0..20).map(|seed| disk.power_cut(seed)));
            }
        })));
    let db = names.open();
    names.faulty.set_hook(None);
    for cut in cuts.lock().iter() {
        DB::open("/db", options(cut)).unwrap();
    }
    db.put_with(b"a", b"1", &WriteOptions::synced()).unwrap();
    names.keeps(&[b"a"]);
}

/// How often a failed write is there after a power loss, if `work` succeeded between the failure and the loss.
fn failed_writes_that_came_back(work: impl Fn(&DB)) -> usize {
    let mut came_back = 0;
    for seed in 0..60 {
        let disk = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(disk.clone()), seed);
        let db = DB::open("/db", options(&disk).env(Arc::new(faulty.clone()))).unwrap();
        for _ in 0..2 {
            // The next log begins in a file of zeros.
            db.put(b"a", b"1").unwrap();
            db.flush().unwrap();
        }
        let fault = Fault::new(&[Call::Write], libc::EIO).on_path(".log");
        faulty.inject(fault.partial());
        // The record ends with a zero byte, so without its last byte it still reads as whole.
        db.put(b"b", b"").unwrap_err();
        work(&db);
        for cut in 0..10 {
            let survivor = open(&disk.power_cut(cut));
            assert_eq!(survivor.get(b"a").unwrap().unwrap(), b"1");
            came_back += usize::from(survivor.get(b"b").unwrap().is_some());
        }
    }
    came_back
}

#[test]
fn a_write_that_failed_does_not_come_back_behind_a_flush_that_had_nothing_to_flush() {
    assert!(failed_writes_that_came_back(|_| ()) > 0);
    assert_eq!(failed_writes_that_came_back(|db| db.flush().unwrap()), 0);
}

/// FLUSH-2. A flush that began right after the seal, before the sync group had the new log, used to take the log's
/// uncertain name for durable.
#[test]
fn a_flush_right_after_a_seal_does_not_name_a_log_that_may_be_lost() {
    let names = UncertainNames::new();
    let sealed: Arc<Mutex<Option<DB>>> = Arc::default();
    let (flushed, faulty) = (Arc::clone(&sealed), names.faulty.clone());
    let mut options = options(&names.disk).env(Arc::new(names.faulty.clone()));
    options.step_hook = Some(Arc::new(move |step: &str| {
        if step != "a memtable is sealed" {
            return;
        }
        let db = flushed.lock().take().expect("one memtable is sealed");
        faulty.inject(Fault::new(&[Call::SyncDir], libc::EIO));
        let env = db.rooms().context.env();
        env.sync_dir(Path::new("/db")).unwrap_err();
        assert!(db.rooms().tree.work().unwrap(), "it flushes");
    }));
    let db = DB::open("/db", options).unwrap();
    db.put(b"a", b"1").unwrap();
    *sealed.lock() = Some(db.clone());
    db.flush().unwrap();
    assert!(sealed.lock().is_none());
    assert!(db.rooms().tree.log_number() < db.rooms().commit.log().number());
    names.keeps(&[b"a"]);
}

/// NEEDS-2. A flush says late which logs its tree needs. If another thread had begun a new log for the idle tree
/// meanwhile, the flush thread used to panic in builds with assertions.
#[test]
fn a_log_that_is_begun_before_a_flush_has_released_the_older_ones_stays() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let held: Arc<Mutex<Option<DB>>> = Arc::default();
    let (taken, disk) = (Arc::clone(&held), faulty.clone());
    let mut options = options(&env).env(Arc::new(faulty.clone()));
    options.step_hook = Some(Arc::new(move |step: &str| {
        let db = match step {
            "a flushed table is shown" => taken.lock().take(),
            _ => None,
        };
        let Some(db) = db else { return };
        disk.inject(Fault::new(&[Call::Write], libc::EIO).on_path(".log"));
        // On another thread, because this one holds the lock of the callers that do the background work.
        let start_over = move || {
            db.put(b"b", b"refused").unwrap_err();
            db.put(b"c", b"3").unwrap();
        };
        std::thread::spawn(start_over).join().unwrap();
    }));
    let db = DB::open("/db", options).unwrap();
    db.put(b"a", b"1").unwrap();
    *held.lock() = Some(db.clone());
    db.flush().unwrap();
    assert!(held.lock().is_none() && faulty.injected() == 1);
    drop(db);
    let again = DB::open("/db", super::options(&env.process_crash())).unwrap();
    assert_eq!(again.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(again.get(b"c").unwrap().unwrap(), b"3");
}
