//! Handles close in any order, on any thread, during calls; a closed handle returns `Closed`.

use std::sync::atomic::{AtomicU64, Ordering};

use aidb::{DB, ErrorKind, IterOptions, ReadOptions, Result};

use crate::{small_db, small_options};

/// How many writes are acknowledged before a close with calls in flight.
const WRITES_BEFORE_CLOSE: u64 = 1000;

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// DB-1.
#[test]
fn the_last_clone_that_is_dropped_closes_the_database() {
    let (dir, db) = small_db();
    let twin = db.clone();
    db.put(b"k", b"v").unwrap();
    drop(db);
    assert_eq!(twin.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
    let path = dir.path().join("db");
    assert_eq!(
        kind(DB::open(&path, small_options())),
        Some(ErrorKind::Locked)
    );
    drop(twin);
    let db = DB::open(&path, small_options()).unwrap();
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
}

/// DB-2.
#[test]
fn every_call_behind_close_answers_closed() {
    let (_dir, db) = small_db();
    for number in 0..1000u32 {
        db.put(&number.to_be_bytes(), &[1; 30]).unwrap();
    }
    let snapshot = db.snapshot().unwrap();
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    assert!(cursor.next().unwrap());
    let twin = db.clone();
    db.close().unwrap();
    db.close().unwrap();
    assert!(twin.is_closed());
    let closed = Some(ErrorKind::Closed);
    assert_eq!(kind(twin.put(b"k", b"v")), closed);
    assert_eq!(kind(twin.delete(b"k")), closed);
    assert_eq!(kind(twin.get(b"k")), closed);
    assert_eq!(kind(twin.get_many(&[b"k"])), closed);
    assert_eq!(kind(twin.snapshot()), closed);
    assert_eq!(kind(twin.cursor(IterOptions::default())), closed);
    assert_eq!(kind(twin.flush()), closed);
    assert_eq!(kind(twin.compact_range(None, None)), closed);
    assert_eq!(kind(twin.approximate_size(Some(b"a"), Some(b"b"))), closed);
    assert_eq!(kind(twin.approximate_count(None, None)), closed);
    assert_eq!(kind(twin.count(None, None)), closed);
    assert_eq!(kind(twin.count(Some(b"b"), Some(b"a"))), closed);
    assert_eq!(kind(twin.stats()), closed);
    assert_eq!(kind(twin.property("stats")), closed);
    assert_eq!(kind(cursor.seek(b"k")), closed);
    assert_eq!(kind(cursor.next()), closed);
    let options = ReadOptions::new().snapshot(Some(&snapshot));
    assert_eq!(kind(twin.get_with(b"k", &options)), closed);
    let mut iter = twin.iter();
    assert_eq!(iter.next().map(kind), Some(closed));
    assert!(iter.next().is_none(), "an error ends the iteration");
}

#[test]
fn close_lets_the_directory_go_while_handles_live() {
    let (dir, db) = small_db();
    db.put(b"k", b"v").unwrap();
    let snapshot = db.snapshot().unwrap();
    let cursor = db.cursor(IterOptions::default()).unwrap();
    db.close().unwrap();
    let again = DB::open(dir.path().join("db"), small_options()).unwrap();
    assert_eq!(crate::get(&again, "k").unwrap(), b"v");
    drop((again, cursor, snapshot, db));
}

#[test]
fn close_with_calls_in_flight_ends_them_with_closed() {
    for _ in 0..10 {
        let (dir, db) = small_db();
        let written = &AtomicU64::new(0);
        let acknowledged = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4u32)
                .map(|worker| {
                    let db = db.clone();
                    scope.spawn(move || {
                        for number in 0u32.. {
                            let key = [worker.to_be_bytes(), number.to_be_bytes()].concat();
                            match db.put(&key, &[9; 50]) {
                                Ok(_) => _ = written.fetch_add(1, Ordering::Relaxed),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                                    return number;
                                }
                            }
                            match db.get(&key) {
                                Ok(value) => assert!(value.is_some()),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                                    return number + 1;
                                }
                            }
                        }
                        unreachable!("the database closes before 2^32 writes")
                    })
                })
                .collect();
            while written.load(Ordering::Relaxed) < WRITES_BEFORE_CLOSE
                && workers.iter().all(|worker| !worker.is_finished())
            {
                std::thread::yield_now();
            }
            db.close().unwrap();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect::<Vec<u32>>()
        });
        let db = DB::open(dir.path().join("db"), small_options()).unwrap();
        for (worker, count) in (0u32..).zip(acknowledged) {
            for number in 0..count {
                let key = [worker.to_be_bytes(), number.to_be_bytes()].concat();
                assert!(db.contains_key(&key).unwrap(), "{worker} {number}");
            }
        }
    }
}
