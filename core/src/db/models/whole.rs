//! Models of the whole database: on files in memory, with its own flush and compaction threads.
//!
//! Buffers are as small as possible, so that a few writes cause seals, flushes and compactions.

use crate::batch::WriteBatch;
use crate::compression::Compression;
use crate::db::DB;
use crate::env::MemEnv;
use crate::error::ErrorKind;
use crate::options::{IterOptions, Options, ReadOptions, WriteOptions};
use crate::sync::checker::check;
use crate::sync::{Arc, thread};

const PAD: usize = 1500;

fn options(env: &MemEnv) -> Options {
    Options::new()
        .env(Arc::new(env.clone()))
        .compression(Compression::None)
        .write_buffer_size(4096)
        .block_cache_size(0)
        .level0_compaction_trigger(2)
        .background_threads(1)
}

fn environment() -> MemEnv {
    let env = MemEnv::new();
    env.hold_clock(Some(0));
    env
}

/// A value that contains its number, and is long enough to fill a buffer soon.
fn value(number: u64) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(PAD, b'.');
    bytes
}

fn number_of(value: Option<impl std::ops::Deref<Target = [u8]>>) -> u64 {
    value.map_or(0, |bytes| {
        u64::from_be_bytes(bytes[..8].try_into().unwrap())
    })
}

fn get(db: &DB, key: &[u8]) -> u64 {
    number_of(db.get(key).unwrap())
}

/// Both halves of a pair, read as of one point.
fn pair(db: &DB, name: u8) -> (u64, u64) {
    let mut found = db.get_many(&[[name, 0], [name, 1]]).unwrap().into_iter();
    let mut next = || number_of(found.next().unwrap());
    (next(), next())
}

fn batch(name: u8, number: u64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(&[name, 0], &value(number)).unwrap();
    batch.put(&[name, 1], &number.to_be_bytes()).unwrap();
    batch
}

/// Read-your-writes, whole batches, stable snapshots, numbers that only grow, and no lost wakeup, over seals,
/// flushes and a compaction. Fails if `commit` publishes before it inserts; if `flush_memtable` shows the version
/// before it takes the memtable out in the same store, or the other way round; if a seal does not ring the doorbell
/// or `install` does not notify.
#[test]
fn two_writers_and_a_reader_agree() {
    check("database", 60, || {
        let env = environment();
        let db = DB::open("/db", options(&env)).unwrap();
        let writers = [b'a', b'b'].map(|name| {
            let db = db.clone();
            thread::spawn(move || {
                for number in 1..=4 {
                    db.write(&batch(name, number)).unwrap();
                    assert_eq!(pair(&db, name), (number, number), "read your writes");
                }
            })
        });
        let mut seen = [0; 2];
        for _ in 0..4 {
            for (name, seen) in [b'a', b'b'].into_iter().zip(&mut seen) {
                let (first, second) = pair(&db, name);
                assert_eq!(first, second, "a batch is seen whole");
                assert!(first >= *seen, "a number that was seen stays visible");
                *seen = first;
            }
            let snapshot = db.snapshot().unwrap();
            let as_of = ReadOptions {
                snapshot: Some(&snapshot),
                ..ReadOptions::default()
            };
            let at = |key: &[u8]| number_of(db.get_with(key, &as_of).unwrap());
            let before = [at(b"a\0"), at(b"b\0")];
            assert!(before[0] >= seen[0] && before[1] >= seen[1]);
            thread::yield_now();
            assert_eq!(
                [at(b"a\x01"), at(b"b\x01")],
                before,
                "a snapshot stands still"
            );
        }
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        db.close().unwrap();
        drop(db);
        let db = DB::open("/db", options(&env).manual_background(true)).unwrap();
        assert_eq!((pair(&db, b'a'), pair(&db, b'b')), ((4, 4), (4, 4)));
    });
}

/// SUPERVERSION-2. Fails if the read takes its number before its superversion.
fn a_read_beside_a_flush(name: &str, finds: fn(&DB) -> bool) {
    check(name, 200, move || {
        let env = environment();
        let db = DB::open("/db", options(&env).manual_background(true)).unwrap();
        db.put(b"k", b"one").unwrap();
        let writer = {
            let db = db.clone();
            thread::spawn(move || {
                db.put(b"k", b"two").unwrap();
                db.flush().unwrap();
            })
        };
        for _ in 0..40 {
            assert!(finds(&db), "the key was never deleted");
        }
        writer.join().unwrap();
    });
}

/// ORDER-1, SUPERVERSION-1.
#[test]
fn a_get_beside_a_flush_finds_the_newest_version_it_may_see() {
    a_read_beside_a_flush("get and flush", |db| db.get(b"k").unwrap().is_some());
}

#[test]
fn a_multi_get_beside_a_flush_finds_the_newest_version_it_may_see() {
    a_read_beside_a_flush("multi-get and flush", |db| {
        db.get_many(&[b"k"]).unwrap()[0].is_some()
    });
}

#[test]
fn a_cursor_beside_a_flush_finds_the_newest_version_it_may_see() {
    a_read_beside_a_flush("cursor and flush", |db| {
        let mut cursor = db.cursor(IterOptions::default()).unwrap();
        cursor.first().unwrap()
    });
}

/// COMMIT-1. If `close` finds a write in the log that is not yet in the memtable, the write will be acknowledged, so
/// `close` flushes it too. Fails if `flush_all` does not wait for its publication.
#[test]
fn a_close_flushes_a_write_that_is_still_between_log_and_memtable() {
    check("close in commit", 300, || {
        let env = environment();
        let db = DB::open("/db", options(&env)).unwrap();
        let writer = {
            let db = db.clone();
            thread::spawn(move || db.put(b"k", b"v").is_ok())
        };
        db.close().unwrap();
        let acknowledged = writer.join().unwrap();
        drop(db);
        for seed in 0..3 {
            let after = env.power_cut(seed);
            let db = DB::open("/db", options(&after).manual_background(true)).unwrap();
            assert_eq!(db.get(b"k").unwrap().is_some(), acknowledged);
        }
    });
}

/// Writes acknowledged before a close are there afterwards, and every call ends. Fails if `close` does not notify the
/// flush and compaction threads, or sets `closed` without the commit lock.
#[test]
fn a_close_beside_writers_keeps_what_was_acknowledged() {
    check("close", 100, || {
        let env = environment();
        let db = DB::open("/db", options(&env)).unwrap();
        let writers = [b'a', b'b'].map(|name| {
            let db = db.clone();
            thread::spawn(move || {
                for number in 1..=3 {
                    match db.write(&batch(name, number)) {
                        Ok(_) => {}
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                            return number - 1;
                        }
                    }
                }
                3
            })
        });
        db.close().unwrap();
        assert_eq!(db.get(b"a\0").unwrap_err().kind(), ErrorKind::Closed);
        let acknowledged = writers.map(|writer| writer.join().unwrap());
        drop(db);
        let after = env.power_cut(7);
        let db = DB::open("/db", options(&after).manual_background(true)).unwrap();
        for (name, number) in [b'a', b'b'].into_iter().zip(acknowledged) {
            assert_eq!(
                pair(&db, name),
                (number, number),
                "acknowledged, then closed"
            );
        }
    });
}

/// SEAL-2. Synced writes survive a power loss from the moment they are acknowledged, even while other threads
/// switch the log. Fails if `seal` tells the sync group of the new log only after appends go there, if `sync_all`
/// skips the earlier logs, or if a log is deleted before the edit that no longer needs it is durable.
#[test]
fn a_synced_write_survives_loss_of_power_beside_a_seal() {
    check("synced", 100, || {
        let env = environment();
        let db = DB::open("/db", options(&env)).unwrap();
        let others = {
            let db = db.clone();
            thread::spawn(move || {
                for number in 1..=4 {
                    db.write(&batch(b'b', number)).unwrap();
                }
            })
        };
        let mut cuts = Vec::new();
        for number in 1..=3 {
            db.write_with(&batch(b'a', number), &WriteOptions::synced())
                .unwrap();
            let other = get(&db, b"b\0");
            let cut = env.power_cut(number * 31 + other);
            cuts.push((number, cut));
        }
        others.join().unwrap();
        db.close().unwrap();
        drop(db);
        for (number, cut) in cuts {
            let db = DB::open("/db", options(&cut).manual_background(true)).unwrap();
            assert_eq!(pair(&db, b'a'), (number, number), "synced, then lost");
            let (first, second) = pair(&db, b'b');
            assert_eq!(first, second, "a batch is whole after a power loss");
        }
    });
}
