//! Tests of a close while other threads are in the middle of a call, and of what the holders of handles keep after
//! it.

use std::time::Instant;

use super::*;
use crate::env::Hook;
use crate::sync::atomic::{AtomicU64, Ordering};

const WAIT: std::time::Duration = std::time::Duration::from_millis(300);

/// A database of two tables that overlap. Its environment calls `hook` before every operation from now on.
fn with_hook(hook: impl FnOnce(DB, MemEnv) -> Hook) -> (DB, FaultEnv) {
    let disk = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(disk.clone()), 0);
    let db = DB::open("/db", options(&disk).env(Arc::new(faulty.clone()))).unwrap();
    for value in [b"1", b"2"] {
        db.put(b"a", value).unwrap();
        db.put(b"b", value).unwrap();
        db.flush().unwrap();
    }
    faulty.set_hook(Some(hook(db.clone(), disk)));
    (db, faulty)
}

#[test]
fn a_read_that_finds_its_table_gone_behind_a_close_says_closed() {
    type Read = fn(&DB) -> Result<()>;
    let reads: [Read; 2] = [
        |db| db.get(b"a").map(drop),
        |db| db.get_many(&[b"a", b"b"]).map(drop),
    ];
    for read in reads {
        let (db, faulty) = with_hook(|db, disk| {
            Arc::new(move |operation, path: &Path| {
                if operation == Call::Open && path.extension().is_some_and(|kind| kind == "sst") {
                    // The thread that opens the table may not close the database (OVERIO-1).
                    std::thread::scope(|scope| {
                        scope.spawn(|| {
                            db.close().unwrap();
                            DB::destroy("/db", &options(&disk)).unwrap();
                        });
                    });
                }
            })
        });
        assert_eq!(read(&db).unwrap_err().kind(), ErrorKind::Closed);
        faulty.set_hook(None);
    }
}

#[test]
fn a_close_lets_the_lock_go_only_when_a_manual_compaction_has_removed_its_tables() {
    let removed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&removed);
    let (db, faulty) = with_hook(|db, disk| {
        let closer = Mutex::new(None);
        Arc::new(move |operation, path: &Path| {
            if operation == Call::Remove && path.extension().is_some_and(|kind| kind == "sst") {
                closer.lock().get_or_insert_with(|| {
                    let closing = db.clone();
                    std::thread::spawn(move || closing.close())
                });
                // While this thread is here the directory stays locked, however long another opener waits.
                let options = options(&disk).lock_timeout(WAIT);
                let refused = DB::open("/db", options).err().expect("it is locked");
                assert_eq!(refused.kind(), ErrorKind::Locked);
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    // It may fail because the database was closed during it.
    let _ = db.compact_range(None, None);
    assert!(removed.load(Ordering::Relaxed) > 0);
    db.close().unwrap();
    faulty.set_hook(None);
}

/// HOLD-1.
#[test]
fn a_close_waits_for_the_move_of_a_cursor_that_is_under_way() {
    let closers = Arc::new(Mutex::new(None));
    let started = Arc::clone(&closers);
    let (db, faulty) = with_hook(|db, _| {
        Arc::new(move |operation, path: &Path| {
            let is_table = path.extension().is_some_and(|kind| kind == "sst");
            if operation != Call::Open || !is_table {
                return;
            }
            started.lock().get_or_insert_with(|| {
                let closing = db.clone();
                std::thread::spawn(move || closing.close())
            });
            while !db.is_closed() {
                std::thread::yield_now();
            }
            // This thread is inside a move, so closing must not take the walk, and must wait.
            let closer = started.lock().take().expect("put there above");
            let moving = Instant::now();
            while moving.elapsed() < WAIT / 10 {
                assert!(!closer.is_finished(), "it waits for the move");
                std::thread::yield_now();
            }
            *started.lock() = Some(closer);
        })
    });
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    if let Err(error) = cursor.first() {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    let closer = closers.lock().take().expect("a table was opened");
    closer.join().unwrap().unwrap();
    assert_eq!(cursor.next().unwrap_err().kind(), ErrorKind::Closed);
    faulty.set_hook(None);
}

/// Weak references to the tables, memtables and versions that a database has now.
fn held_by(db: &DB) -> Vec<std::sync::Weak<dyn std::any::Any + Send + Sync>> {
    fn weak<T: std::any::Any + Send + Sync>(
        held: &Arc<T>,
    ) -> std::sync::Weak<dyn std::any::Any + Send + Sync> {
        let held: Arc<dyn std::any::Any + Send + Sync> = Arc::clone(held) as _;
        Arc::downgrade(&held)
    }
    let superversion = db.rooms().tree.load_full();
    let mut held = vec![weak(superversion.version()), weak(superversion.active())];
    held.extend(
        superversion
            .sealed()
            .iter()
            .map(|sealed| weak(sealed.memtable())),
    );
    for (_, file) in superversion.version().all_files() {
        held.extend(file.handle.opened().map(|table| weak(&table)));
    }
    held.push(weak(&superversion));
    held
}

/// Puts keys of each sort: in tables whose blocks are flat, in one whose blocks are not, in a memtable, large,
/// overwritten.
fn fill_in_all_ways(db: &DB) {
    for key in 0..200u32 {
        db.put(format!("flat {key:03}").as_bytes(), &[1; 40])
            .unwrap();
        db.put(format!("stored {key:03}").as_bytes(), &[2; 1500])
            .unwrap();
    }
    db.flush().unwrap();
    for value in [1, 2] {
        db.put(b"twice", &[value; 30]).unwrap();
    }
    db.put(b"active", &[3; 50]).unwrap();
    db.put(b"vast", &[4; 100_000]).unwrap();
}

/// CLOSE-1, HOLD-2.
#[test]
fn a_close_takes_everything_from_who_still_has_cursors_but_the_entries_they_stand_on() {
    for last_handle in [false, true] {
        let disk = MemEnv::new();
        let options = options(&disk)
            .write_buffer_size(1 << 20)
            .block_cache_size(40 << 20);
        let db = DB::open("/db", options).unwrap();
        fill_in_all_ways(&db);
        // Blocks become flat when they are read again.
        for _ in 0..3 {
            assert_eq!(entries(&db).len(), 403);
        }
        let snapshot = db.snapshot().unwrap();
        let value = db.get(b"stored 007").unwrap().unwrap();
        let mut cursors = Vec::new();
        for seek in ["flat 050", "stored 050", "active", "vast", "twice"] {
            for (reverse, steps) in [(false, 0), (false, 2), (true, 0), (true, 1)] {
                let options = IterOptions {
                    reverse,
                    ..IterOptions::default()
                };
                let mut cursor = db.cursor(options).unwrap();
                assert!(cursor.seek(seek.as_bytes()).unwrap());
                for _ in 0..steps {
                    cursor.next().unwrap();
                }
                cursors.push(cursor);
            }
        }
        cursors.push(db.cursor(IterOptions::default()).unwrap());
        let mut iter = db.iter();
        iter.next().unwrap().unwrap();
        iter.next_back().unwrap().unwrap();
        let lent: Vec<_> = cursors
            .iter()
            .map(|cursor| {
                (
                    cursor.key().as_ptr(),
                    cursor.key().to_vec(),
                    cursor.value().to_vec(),
                )
            })
            .collect();
        let held = held_by(&db);
        let slabs = db.rooms().tree.block_cache().gauge().clone();
        assert!(held.len() >= 4 && held.iter().all(|held| held.upgrade().is_some()));
        assert_eq!(db.rooms().walks.len(), cursors.len() + 2);
        if last_handle {
            drop(db);
        } else {
            db.close().unwrap();
        }
        let left = held.iter().filter(|held| held.upgrade().is_some()).count();
        assert_eq!(left, 0, "of {}", held.len());
        for (cursor, (at, key, value)) in cursors.iter().zip(&lent) {
            assert_eq!(cursor.key(), key);
            assert_eq!(cursor.value(), value);
            assert!(cursor.key().is_empty() || cursor.key().as_ptr() == *at);
        }
        assert_eq!(value, [2; 1500]);
        assert!(
            slabs.bytes() > 0,
            "lent bytes are counted as long as a holder has them"
        );
        for mut cursor in cursors {
            assert_eq!(cursor.next().unwrap_err().kind(), ErrorKind::Closed);
            assert!(!cursor.valid() && cursor.key().is_empty());
        }
        assert_eq!(iter.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        drop((iter, snapshot, value));
        assert_eq!(slabs.bytes(), 0);
        let mapped = slabs.slabs().map(crate::memory::Slabs::mapped_bytes);
        assert_eq!(mapped, Some(0));
    }
}

/// HOLD-3.
#[test]
fn tables_that_only_a_cursor_kept_from_being_deleted_go_at_the_close() {
    let disk = MemEnv::new();
    let db = open(&disk);
    let tables = || {
        let names = disk.list(Path::new("/db")).unwrap();
        names.iter().filter(|name| name.ends_with(".sst")).count()
    };
    for value in [1, 2] {
        for key in 0..50u8 {
            db.put(&[key], &[value; 40]).unwrap();
        }
        db.flush().unwrap();
    }
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    assert!(cursor.first().unwrap());
    let before = tables();
    db.compact_range(None, None).unwrap();
    assert!(tables() > before, "the cursor keeps the old ones");
    db.close().unwrap();
    assert_eq!(tables(), 1);
    assert_eq!(cursor.key(), [0]);
    assert_eq!(entries(&open(&disk)).len(), 50);
}

/// CLOSE-2.
#[test]
fn what_is_in_flight_over_a_close_never_takes_the_empty_database_for_its_answer() {
    let disk = MemEnv::new();
    for round in 0..200u64 {
        let db = open(&disk);
        db.put(b"k", b"v").unwrap();
        let asked = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (db, asked) = (&db, &asked);
                scope.spawn(move || {
                    loop {
                        let found = match reader {
                            0 => db.get(b"k").map(|value| value.is_some()),
                            1 => db
                                .get_in_memory(b"k", &ReadOptions::default())
                                .map(|answer| answer != Remembered::Absent),
                            _ => db
                                .cursor(IterOptions::default())
                                .and_then(|mut cursor| cursor.first()),
                        };
                        asked.fetch_add(1, Ordering::Relaxed);
                        match found {
                            Ok(found) => assert!(found, "round {round}"),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                                return;
                            }
                        }
                    }
                });
            }
            while asked.load(Ordering::Relaxed) < 6 {
                std::thread::yield_now();
            }
            db.close().unwrap();
        });
    }
}

/// CLOSE-1. A caller that does the background work itself used to begin a flush or a compaction after the close that
/// it overtook had stopped all of it, and so perhaps after the directory was unlocked.
#[test]
fn after_a_stop_no_caller_begins_a_flush_or_a_compaction() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).level0_compaction_trigger(1)).unwrap();
    let tree = &db.rooms().tree;
    db.put(b"a", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"a", &[2; 5000]).unwrap();
    db.put(b"a", b"3").unwrap();
    assert_eq!(tree.load().sealed().len(), 1, "one waits for its flush");
    tree.stop();
    let before = env.list(Path::new("/db")).unwrap();
    assert_eq!(tree.work().unwrap_err().kind(), ErrorKind::Closed);
    assert!(
        tree.pick(&mut tree.state()).is_none(),
        "a compaction is due"
    );
    assert_eq!(env.list(Path::new("/db")).unwrap(), before);
}
