//! A snapshot sees exactly its point in the sequence of writes, whatever happens to the files.

use aidb::{DB, ErrorKind, IterOptions, ReadOptions, Snapshot, WriteBatch};

use crate::{get, small_db, small_options};

fn get_at(db: &DB, key: &str, snapshot: &Snapshot) -> Option<Vec<u8>> {
    let options = ReadOptions::new().snapshot(Some(snapshot));
    let value = db.get_with(key.as_bytes(), &options).unwrap();
    value.map(aidb::Value::into_vec)
}

fn all_at(db: &DB, snapshot: &Snapshot) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = db
        .cursor(IterOptions::new().snapshot(Some(snapshot.clone())))
        .unwrap();
    let mut entries = Vec::new();
    while cursor.next().unwrap() {
        entries.push((cursor.key().to_vec(), cursor.value().to_vec()));
    }
    entries
}

#[test]
fn a_snapshot_keeps_its_view_across_flush_compaction_and_delete() {
    let (_dir, db) = small_db();
    db.put(b"kept", b"old").unwrap();
    db.put(b"removed", b"old").unwrap();
    let snapshot = db.snapshot().unwrap();
    db.put(b"kept", b"new").unwrap();
    db.delete(b"removed").unwrap();
    db.put(b"added", b"new").unwrap();
    for step in 0..3 {
        assert_eq!(get_at(&db, "kept", &snapshot).unwrap(), b"old", "{step}");
        assert_eq!(get_at(&db, "removed", &snapshot).unwrap(), b"old");
        assert_eq!(get_at(&db, "added", &snapshot), None);
        assert_eq!(all_at(&db, &snapshot).len(), 2);
        assert_eq!(get(&db, "kept").unwrap(), b"new");
        assert_eq!(get(&db, "removed"), None);
        match step {
            0 => db.flush().unwrap(),
            _ => db.compact_range(None, None).unwrap(),
        }
    }
}

#[test]
fn many_snapshots_each_keep_their_own_view() {
    let (_dir, db) = small_db();
    let mut held = Vec::new();
    for round in 0..40u32 {
        for number in 0..50u32 {
            let key = format!("key{:02}", (number * 7 + round) % 60);
            match (number + round) % 5 {
                0 => db.delete(key.as_bytes()).unwrap(),
                _ => db.put(key.as_bytes(), &[round as u8; 100]).unwrap(),
            };
        }
        let snapshot = db.snapshot().unwrap();
        let view = all_at(&db, &snapshot);
        held.push((snapshot, view));
        match round % 8 {
            3 => db.flush().unwrap(),
            7 => db.compact_range(None, None).unwrap(),
            _ => {}
        }
        if round % 5 == 4 {
            held.remove(held.len() / 2);
        }
        for (snapshot, view) in &held {
            assert!(all_at(&db, snapshot) == *view, "round {round}");
        }
    }
}

/// CURSOR-1.
#[test]
fn an_iterator_keeps_its_view_across_compaction() {
    let (_dir, db) = small_db();
    for number in 0..3000u32 {
        db.put(&number.to_be_bytes(), &[1; 32]).unwrap();
    }
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    assert!(cursor.first().unwrap());
    for number in 0..3000u32 {
        db.delete(&number.to_be_bytes()).unwrap();
    }
    db.compact_range(None, None).unwrap();
    let mut seen = 1u32;
    while cursor.next().unwrap() {
        assert_eq!(cursor.key(), seen.to_be_bytes());
        assert_eq!(cursor.value(), [1; 32]);
        seen += 1;
    }
    assert_eq!(seen, 3000);
    assert_eq!(db.iter().count(), 0);
}

#[test]
fn what_no_snapshot_sees_gives_its_space_back() {
    let (_dir, db) = small_db();
    let snapshot = db.snapshot().unwrap();
    for round in 0..10u8 {
        for number in 0..500u32 {
            let noise = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let value = [noise.to_le_bytes().to_vec(), vec![round; 8]].concat();
            db.put(&number.to_be_bytes(), &value).unwrap();
        }
    }
    drop(snapshot);
    db.compact_range(None, None).unwrap();
    let entries = |db: &DB| -> u64 {
        let stats = db.stats().unwrap();
        stats.levels.iter().map(|level| level.entries).sum()
    };
    assert_eq!(entries(&db), 500, "one version per key is left");
    for number in 0..500u32 {
        db.delete(&number.to_be_bytes()).unwrap();
    }
    db.compact_range(None, None).unwrap();
    assert_eq!(entries(&db), 0, "tombstones are gone at the bottom");
}

#[test]
fn a_snapshot_of_another_database_is_refused() {
    let (_first, db) = small_db();
    let (_second, other) = small_db();
    let snapshot = other.snapshot().unwrap();
    let options = ReadOptions::new().snapshot(Some(&snapshot));
    let error = db.get_with(b"k", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = db
        .cursor(IterOptions::new().snapshot(Some(snapshot)))
        .err()
        .expect("a foreign snapshot");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_batch_is_seen_whole_or_not_at_all_by_readers_beside_it() {
    let (_dir, db) = small_db();
    let rounds = 3000u32;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..rounds {
                let mut batch = WriteBatch::new();
                for key in ["a", "m", "z"] {
                    batch.put(key.as_bytes(), &round.to_be_bytes()).unwrap();
                }
                db.write(&batch).unwrap();
            }
        });
        let mut last = Vec::new();
        while !writer.is_finished() {
            let values = db.get_many(&["z", "m", "a"]).unwrap();
            let values: Vec<Vec<u8>> = values
                .into_iter()
                .flatten()
                .map(aidb::Value::into_vec)
                .collect();
            assert!(values.is_empty() || values.len() == 3);
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]));
            if let Some(value) = values.first() {
                assert!(*value >= last, "the past does not come back");
                last.clone_from(value);
            }
        }
    });
    assert_eq!(get(&db, "m").unwrap(), (rounds - 1).to_be_bytes());
}

#[test]
fn dropping_a_snapshot_behind_its_database_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), small_options()).unwrap();
    let snapshot = db.snapshot().unwrap();
    let twin = snapshot.clone();
    drop(db);
    drop(snapshot);
    std::thread::spawn(move || drop(twin)).join().unwrap();
}
