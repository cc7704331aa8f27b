//! Tests of a close while other threads are in the middle of something.

use super::*;
use crate::env::Hook;
use crate::sync::atomic::{AtomicU64, Ordering};

const WAIT: std::time::Duration = std::time::Duration::from_millis(300);

/// A database of two tables that overlap, whose `hook` is called before every operation from now on.
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
    let reads: [Read; 3] = [
        |db| db.get(b"a").map(drop),
        |db| db.get_many(&[b"a", b"b"]).map(drop),
        |db| db.cursor(IterOptions::default())?.first().map(drop),
    ];
    for read in reads {
        let (db, faulty) = with_hook(|db, disk| {
            Arc::new(move |operation, path: &Path| {
                if operation == Operation::Open
                    && path.extension().is_some_and(|kind| kind == "sst")
                {
                    db.close().unwrap();
                    DB::destroy("/db", &options(&disk)).unwrap();
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
            if operation == Operation::Remove && path.extension().is_some_and(|kind| kind == "sst")
            {
                closer.lock().get_or_insert_with(|| {
                    let closing = db.clone();
                    std::thread::spawn(move || closing.close())
                });
                // While this thread is here the directory is not let go, however long anybody waits.
                let options = options(&disk).lock_timeout(WAIT);
                let refused = DB::open("/db", options).err().expect("it is locked");
                assert_eq!(refused.kind(), ErrorKind::Locked);
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    // Perhaps told that it was closed before it was done.
    let _ = db.compact_range(None, None);
    assert!(removed.load(Ordering::Relaxed) > 0);
    db.close().unwrap();
    faulty.set_hook(None);
}
