//! Checkpoints: copies that open on their own, made during writes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aidb::{DB, ErrorKind, WriteBatch};

use crate::{all, get, small_options};

const WRITERS: usize = 4;

fn key(writer: usize, number: u64) -> Vec<u8> {
    format!("{writer}/{number:08}").into_bytes()
}

/// CHECKPOINT-1, CHECKPOINT-2.
#[test]
fn a_checkpoint_made_while_four_threads_write_holds_a_prefix_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path().join("db"), small_options()).unwrap();
    let stop = AtomicBool::new(false);
    let acknowledged: [AtomicU64; WRITERS] = Default::default();
    std::thread::scope(|scope| {
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Two operations that a copy must have both or not at all.
                    let mut batch = WriteBatch::new();
                    batch
                        .put(&key(writer, number), &[writer as u8; 60])
                        .unwrap();
                    batch.put(&[writer as u8], &number.to_be_bytes()).unwrap();
                    db.write(&batch).unwrap();
                    acknowledged.store(number + 1, Ordering::Release);
                }
            });
        }
        for round in 0..6 {
            let before: Vec<u64> = acknowledged
                .iter()
                .map(|count| count.load(Ordering::Acquire))
                .collect();
            let path = dir.path().join(format!("copy-{round}"));
            db.checkpoint(&path).unwrap();
            let copy = DB::open(&path, small_options()).unwrap();
            assert!(copy.verify().unwrap().is_ok());
            let entries: BTreeMap<_, _> = all(&copy).into_iter().collect();
            let mut count = 0;
            for (writer, &before) in before.iter().enumerate() {
                let last = entries.get(&vec![writer as u8]);
                let length = last.map_or(0, |last| {
                    u64::from_be_bytes(last.as_slice().try_into().unwrap()) + 1
                });
                assert!(length >= before, "writer {writer}: {length} of {before}");
                assert!((0..length).all(|number| entries.contains_key(&key(writer, number))));
                count += length as usize + usize::from(last.is_some());
            }
            assert_eq!(entries.len(), count, "nothing after the prefixes");
            // The copy is a database of its own.
            copy.put(b"copy", b"only").unwrap();
            copy.compact_range(None, None).unwrap();
            assert_eq!(get(&db, b"copy"), None);
            copy.close().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn a_copy_outlives_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = DB::open(&path, small_options()).unwrap();
    for number in 0..2000 {
        db.put(&key(0, number), &[7; 50]).unwrap();
    }
    let copy_path = dir.path().join("not yet there").join("copy");
    db.checkpoint(&copy_path).unwrap();
    let expected = all(&db);
    for number in 0..2000 {
        db.delete(&key(0, number)).unwrap();
    }
    db.compact_range(None, None).unwrap();
    db.close().unwrap();
    DB::destroy(&path, &small_options()).unwrap();
    assert!(!path.exists());
    let copy = DB::open(&copy_path, small_options()).unwrap();
    assert_eq!(all(&copy), expected);
}

#[test]
fn an_empty_database_has_an_empty_copy() {
    let (dir, db) = crate::small_db();
    let path = dir.path().join("copy");
    db.checkpoint(&path).unwrap();
    let options = small_options().create_if_missing(false);
    assert_eq!(all(&DB::open(&path, options).unwrap()), []);
}

#[test]
fn files_and_full_directories_are_no_place_for_a_checkpoint() {
    let (dir, db) = crate::small_db();
    let file = dir.path().join("file");
    std::fs::write(&file, b"mine").unwrap();
    for path in [&file, dir.path(), db.path()] {
        let error = db.checkpoint(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}
