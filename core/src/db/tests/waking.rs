//! Tests with the database's own threads: waiting threads are woken, also by a failure, and due work gets done
//! without a call.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;

/// A call that takes longer counts as hanging.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Runs `work` on a thread of its own, so that a call which hangs fails the test.
fn within<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(work()));
    receive
        .recv_timeout(MAX_WAIT)
        .unwrap_or_else(|_| panic!("{what} hangs"))
}

fn threaded() -> (FaultEnv, DB) {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let options = options(&env).env(Arc::new(faulty.clone()));
    let db = DB::open("/db", options.manual_background(false)).unwrap();
    (faulty, db)
}

#[test]
fn a_flush_that_fails_wakes_who_waits_for_it_and_the_next_one_tries_again() {
    for _ in 0..5 {
        let (faulty, db) = threaded();
        db.put(b"k", b"v").unwrap();
        let fault = Fault::new(&[Call::Create], libc::EIO);
        faulty.inject(fault.on_path(".sst").always());
        let waiting = db.clone();
        let error = within("a failed flush", move || waiting.flush()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        faulty.clear();
        let waiting = db.clone();
        within("the next flush", move || waiting.flush()).unwrap();
        assert_eq!(db.stats().unwrap().levels[0].tables, 1);
    }
}

/// A sandbox that allows no new threads. Several threads may call all the same, if they are older than the sandbox.
#[test]
fn where_no_thread_can_be_started_callers_flush_and_compact() {
    let faulty = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    faulty.inject(Fault::new(&[Call::Spawn], libc::EPERM).always());
    let options = options(&MemEnv::new())
        .env(Arc::new(faulty.clone()))
        .manual_background(false)
        .level0_compaction_trigger(2)
        .target_file_size(4096);
    let db = DB::open("/db", options.clone()).unwrap();
    assert_eq!(faulty.injected(), 1);
    std::thread::scope(|scope| {
        for writer in 0..3u8 {
            let db = &db;
            scope.spawn(move || {
                for key in 0..100u8 {
                    db.put(&[writer, key], &[key; 500]).unwrap();
                }
                db.flush().unwrap();
            });
        }
    });
    assert_eq!(entries(&db).len(), 300);
    let stats = db.stats().unwrap();
    assert!(stats.levels[0].tables < 4, "{:?}", stats.levels);
    assert!(stats.levels[1].tables > 0, "{:?}", stats.levels);
    db.put(b"last", b"").unwrap();
    let closing = db.clone();
    within("close", move || closing.close()).unwrap();
    // The errors of a system that has no more threads, or no memory for one.
    for code in [libc::EAGAIN, libc::ENOMEM] {
        faulty.clear();
        faulty.inject(Fault::new(&[Call::Spawn], code).always());
        let db = DB::open("/db", options.clone()).unwrap();
        db.put(b"last", b"").unwrap();
        db.flush().unwrap();
        db.close().unwrap();
    }
    // One compaction thread is enough if a second cannot be started; none is not.
    let two = options.clone().background_threads(2);
    for (after, opens) in [(2, true), (1, false)] {
        faulty.clear();
        let before = faulty.injected();
        faulty.inject(Fault::new(&[Call::Spawn], libc::EAGAIN).after(after));
        assert_eq!(DB::open("/db", two.clone()).is_ok(), opens, "after {after}");
        assert_eq!(faulty.injected(), before + 1);
    }
    // Another failure to start one is an error.
    faulty.clear();
    faulty.inject(Fault::new(&[Call::Spawn], libc::EIO));
    assert!(DB::open("/db", options.clone()).is_err());
    assert_eq!(entries(&DB::open("/db", options).unwrap()).len(), 301);
}

#[test]
fn a_sealed_memtable_is_flushed_although_nobody_waits_for_it() {
    for _ in 0..5 {
        let (faulty, db) = threaded();
        db.put(b"k", b"v").unwrap();
        // From here on the flush thread is idle.
        db.flush().unwrap();
        let (send, receive) = mpsc::channel();
        faulty.set_hook(Some(Arc::new(move |operation, path: &Path| {
            if operation == Call::Create && path.extension().is_some_and(|end| end == "sst") {
                let _ = send.send(());
            }
        })));
        for key in 0..4u8 {
            db.put(&[key], &[key; 1500]).unwrap();
        }
        let flushed = receive.recv_timeout(MAX_WAIT);
        flushed.expect("the flush thread flushed the sealed memtable");
        faulty.set_hook(None);
    }
}

/// A database with this many tables in level 0, where every compaction fails. It passes its attempts to `attempt`.
fn where_compactions_fail(
    tables: u8,
    attempt: impl Fn() + Send + Sync + 'static,
) -> (FaultEnv, DB) {
    let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    let options = options(&MemEnv::new()).env(Arc::new(env.clone()));
    let options = options.level0_compaction_trigger(2);
    let db = DB::open("/db", options.clone()).unwrap();
    for table in 0..tables {
        db.put(b"k", &[table]).unwrap();
        db.flush().unwrap();
    }
    drop(db);
    let fault = Fault::new(&[Call::Create], libc::EIO);
    env.inject(fault.on_path(".sst").always());
    env.set_hook(Some(Arc::new(move |operation, path: &Path| {
        if operation == Call::Create && path.extension().is_some_and(|end| end == "sst") {
            attempt();
        }
    })));
    let db = DB::open("/db", options.manual_background(false)).unwrap();
    (env, db)
}

#[test]
fn a_compaction_that_fails_is_not_tried_again_at_once_by_the_other_thread() {
    let (send, receive) = mpsc::channel();
    let (_env, _db) = where_compactions_fail(2, move || {
        let _ = send.send(Instant::now());
        // As on a slow disk: when this attempt fails, the other thread is already in its pause.
        std::thread::sleep(Duration::from_millis(5));
    });
    let attempts: Vec<Instant> = (0..6)
        .map(|_| receive.recv_timeout(MAX_WAIT).expect("it is tried again"))
        .collect();
    // Each of two threads tries at once, after 50 ms, and after 100 ms more.
    let took = attempts[5] - attempts[0];
    assert!(took >= Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_writer_who_is_stopped_gets_the_error_of_a_new_compaction_or_goes_on_at_once() {
    let (env, db) = where_compactions_fail(18, || ());
    let stopped = db.clone();
    let refused = within("a write after a failed compaction", move || {
        stopped.put(b"k", b"v")
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io);
    env.clear();
    let written = within("a write where compactions succeed again", move || {
        db.put(b"k", b"v")
    });
    written.unwrap();
}
