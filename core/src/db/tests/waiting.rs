//! Writes that must not wait for others, or must not be made after they have waited.

use super::*;
use crate::db::tree::STOP_FACTOR;
use crate::effort::{Effort, within};
use crate::sync::atomic::{AtomicBool, Ordering};

const VALUE: [u8; 1000] = [7; 1000];

/// Makes the next write wait for `what`: a flush or a compaction.
fn make_wait(db: &DB, what: &str) {
    match what {
        "a flush" => {
            for number in 0u64.. {
                let put = || db.put(&number.to_be_bytes(), &VALUE);
                if within(&Effort::Unwaiting, put).is_err() {
                    break;
                }
            }
        }
        _ => {
            for _ in 0..STOP_FACTOR {
                db.put(b"1", b"").unwrap();
                db.flush().unwrap();
            }
        }
    }
}

/// EFFORT-3.
#[test]
fn a_write_that_would_wait_gives_up_before_any_of_it_is_in_the_log() {
    for what in ["a flush", "a compaction"] {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
        let options = options(&env)
            .env(Arc::new(faulty.clone()))
            .level0_compaction_trigger(1);
        let db = DB::open("/db", options).unwrap();
        make_wait(&db, what);
        let put = || db.put(b"k", &VALUE);
        let state = || {
            let stats = db.stats().unwrap();
            (stats.sequence, stats.batches_written)
        };
        let before = state();
        assert!(
            within(&Effort::Unwaiting, put).unwrap_err().is_given_up(),
            "{what}"
        );
        let ended = Effort::WaitingUntil(Arc::new(AtomicBool::new(true)));
        assert!(within(&ended, put).unwrap_err().is_given_up(), "{what}");
        assert_eq!((db.get(b"k").unwrap(), state()), (None, before), "{what}");

        // The effort ends while the write waits.
        let before = state();
        let end = Arc::new(AtomicBool::new(false));
        let creations = Arc::new(Mutex::new(0));
        faulty.set_hook(Some(Arc::new({
            let (end, creations) = (Arc::clone(&end), Arc::clone(&creations));
            move |operation: Call, path: &Path| {
                if operation == Call::Create && path.extension().is_some_and(|is| is == "sst") {
                    *creations.lock() += 1;
                    end.store(true, Ordering::Relaxed);
                }
            }
        })));
        let waiting = Effort::WaitingUntil(Arc::clone(&end));
        assert!(within(&waiting, put).unwrap_err().is_given_up(), "{what}");
        faulty.set_hook(None);
        assert!(*creations.lock() > 0, "{what}: the write did not wait");
        assert_eq!((db.get(b"k").unwrap(), state()), (None, before), "{what}");

        make_wait(&db, what);
        let waiting = Effort::WaitingUntil(Arc::new(AtomicBool::new(false)));
        within(&waiting, put).unwrap();
        assert!(
            db.get(b"k").unwrap().as_deref() == Some(&VALUE[..]),
            "{what}"
        );
    }
}

#[test]
fn a_write_that_would_have_to_begin_a_new_log_gives_up_first() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    db.put(b"kept", b"").unwrap();
    faulty.inject(Fault::new(&[Call::Sync], libc::EIO).on_path(".log"));
    let synced = WriteOptions { sync: true };
    db.put_with(b"k", b"", &synced).unwrap_err();
    faulty.clear();
    let log = || db.rooms().commit.log().number();
    let (put, failed) = (|| db.put(b"k", b""), log());
    assert!(within(&Effort::Unwaiting, put).unwrap_err().is_given_up());
    let ended = Effort::WaitingUntil(Arc::new(AtomicBool::new(true)));
    assert!(within(&ended, put).unwrap_err().is_given_up());
    assert_eq!(log(), failed);
    let waiting = Effort::WaitingUntil(Arc::new(AtomicBool::new(false)));
    within(&waiting, put).unwrap();
    assert!(log() > failed);
    within(&Effort::Unwaiting, put).unwrap();
}

/// COMMIT-4.
#[test]
fn a_write_that_is_given_up_while_it_waits_for_the_logs_lock_is_not_made() {
    let env = MemEnv::new();
    let db = open(&env);
    let end = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let log = db.rooms().commit.log();
        let abandoned = scope.spawn(|| {
            let waiting = Effort::WaitingUntil(Arc::clone(&end));
            within(&waiting, || db.put(b"k", b"old"))
        });
        // Ending it lets the next write begin.
        end.store(true, Ordering::Relaxed);
        drop(log);
        let outcome = abandoned.join().unwrap();
        assert!(outcome.unwrap_err().is_given_up());
    });
    db.put(b"k", b"new").unwrap();
    let stats = db.stats().unwrap();
    assert_eq!((stats.sequence, stats.batches_written), (1, 1));
}

#[test]
fn memtables_with_large_values_are_sealed_one_at_a_time() {
    let env = MemEnv::new();
    let db = open(&env);
    let large = vec![7; 3 << 20];
    db.put(b"1", &large).unwrap();
    // No memtable waits for its flush yet.
    within(&Effort::Unwaiting, || db.put(b"2", &large)).unwrap();
    let third = within(&Effort::Unwaiting, || db.put(b"3", &large));
    assert!(third.unwrap_err().is_given_up());
    assert_eq!(db.rooms().tree.load().sealed().len(), 1);
    db.put(b"3", &large).unwrap();
    assert_eq!(entries(&db).len(), 3);
}
