//! Put, get, delete, batches and multi-get: before and after a flush, with every kind of key and value.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aidb::{
    Compression, CountOptions, DB, ErrorKind, MAX_KEY_BYTES, Options, SequenceNumber, WriteBatch,
    WriteOptions,
};
use aidb_tests::Fill;

use crate::{all, get, small_db};

#[test]
fn a_value_is_read_back_before_and_behind_flush_and_compaction() {
    let (_dir, db) = small_db();
    db.put(b"fruit", b"apple").unwrap();
    assert_eq!(get(&db, "fruit").unwrap(), b"apple");
    db.flush().unwrap();
    assert_eq!(get(&db, "fruit").unwrap(), b"apple");
    db.put(b"fruit", b"pear").unwrap();
    assert_eq!(get(&db, "fruit").unwrap(), b"pear");
    db.compact_range(None, None).unwrap();
    assert_eq!(get(&db, "fruit").unwrap(), b"pear");
    db.delete(b"fruit").unwrap();
    assert_eq!(get(&db, "fruit"), None);
    db.compact_range(None, None).unwrap();
    assert_eq!(get(&db, "fruit"), None);
    assert!(all(&db).is_empty());
}

#[test]
fn empty_and_binary_keys_and_values_are_ordinary() {
    let (_dir, db) = small_db();
    let keys: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a\0b", b"\xff", b"\xff\xff"];
    for (index, key) in keys.iter().enumerate() {
        db.put(key, &vec![index as u8; index]).unwrap();
    }
    for round in 0..2 {
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(get(&db, key), Some(vec![index as u8; index]), "{round}");
        }
        let walked: Vec<_> = all(&db).into_iter().map(|(key, _)| key).collect();
        assert_eq!(walked, keys.map(<[u8]>::to_vec));
        db.flush().unwrap();
    }
    db.delete(b"").unwrap();
    assert_eq!(get(&db, ""), None);
    assert_eq!(all(&db).len(), 5);
}

#[test]
fn deleting_an_absent_key_is_no_error() {
    let (_dir, db) = small_db();
    db.delete(b"nothing").unwrap();
    assert!(!db.contains_key(b"nothing").unwrap());
}

#[test]
fn the_last_operation_of_a_batch_wins() {
    let (_dir, db) = small_db();
    let mut batch = WriteBatch::new();
    batch.put(b"k", b"1").unwrap();
    batch.delete(b"k").unwrap();
    batch.put(b"k", b"2").unwrap();
    batch.put(b"gone", b"1").unwrap();
    batch.delete(b"gone").unwrap();
    db.write(&batch).unwrap();
    assert_eq!(get(&db, "k").unwrap(), b"2");
    assert_eq!(get(&db, "gone"), None);
    db.write(&WriteBatch::new()).unwrap();
    db.write_with(&WriteBatch::new(), &WriteOptions::synced())
        .unwrap();
}

/// A batch of `count` operations, every third of which is a delete.
fn batch_of(count: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for number in 0..count {
        match number % 3 {
            2 => batch.delete(b"k").unwrap(),
            _ => batch.put(&[number as u8], &vec![7; number]).unwrap(),
        }
    }
    batch
}

#[test]
fn a_write_answers_the_number_of_its_last_operation() {
    let (dir, db) = small_db();
    let newest = |db: &DB| db.snapshot().unwrap().sequence();
    assert_eq!(db.write(&WriteBatch::new()).unwrap(), SequenceNumber(0));
    let mut expected = 0;
    for round in 0..3 {
        for options in [WriteOptions::new(), WriteOptions::synced()] {
            expected += 1;
            let put = db.put_with(b"k", b"v", &options).unwrap();
            assert_eq!((put.0, newest(&db)), (expected, put));
            expected += 1;
            let deleted = db.delete_with(b"never there", &options).unwrap();
            assert_eq!((deleted.0, newest(&db)), (expected, deleted));
            // The engine locates some operations together before it inserts them: also the numbers around that.
            for count in [1, 2, 7, 8, 9, 100] {
                expected += count as u64;
                let written = db.write_with(&batch_of(count), &options).unwrap();
                assert_eq!((written.0, newest(&db)), (expected, written));
            }
            let empty = db.write_with(&WriteBatch::new(), &options).unwrap();
            assert_eq!(empty.0, expected, "it takes no number");
        }
        match round {
            0 => db.flush().unwrap(),
            _ => db.compact_range(None, None).unwrap(),
        }
    }
    let refused = db.put(&vec![0; MAX_KEY_BYTES + 1], b"v");
    assert!(refused.is_err());
    db.close().unwrap();
    let db = DB::open(dir.path().join("db"), Options::new()).unwrap();
    assert_eq!(db.put(b"k", b"v").unwrap().0, expected + 1);
}

#[test]
fn the_numbers_of_writers_at_once_do_not_overlap_and_leave_no_gap() {
    let (_dir, db) = small_db();
    let (db, per_thread) = (&db, 200);
    let mut written: Vec<(u64, usize)> = std::thread::scope(|scope| {
        let threads = [1, 2, 5, 9].map(|count| {
            scope.spawn(move || {
                let batch = batch_of(count);
                let write = |_| {
                    let number = db.write(&batch).unwrap();
                    let seen = db.snapshot().unwrap().sequence();
                    assert!(seen >= number, "a snapshot taken later sees it");
                    (number.0, count)
                };
                (0..per_thread).map(write).collect::<Vec<_>>()
            })
        });
        let of_each = threads.map(|thread| thread.join().unwrap());
        of_each.concat()
    });
    written.sort();
    let mut last = 0;
    for (number, count) in written {
        last += count as u64;
        assert_eq!(number, last);
    }
    assert_eq!(last, per_thread * (1 + 2 + 5 + 9));
}

#[test]
fn get_many_answers_in_the_order_of_its_keys() {
    let (_dir, db) = small_db();
    for number in 0..500u32 {
        db.put(&number.to_be_bytes(), &number.to_le_bytes())
            .unwrap();
    }
    let keys: Vec<[u8; 4]> = [499u32, 0, 777, 250, 0].map(u32::to_be_bytes).to_vec();
    let values = db.get_many(&keys).unwrap();
    let values: Vec<Option<Vec<u8>>> = values
        .into_iter()
        .map(|value| value.map(aidb::Value::into_vec))
        .collect();
    let expected = [Some(499u32), Some(0), None, Some(250), Some(0)]
        .map(|n| n.map(|n| n.to_le_bytes().into()));
    assert_eq!(values, expected);
}

#[test]
fn a_value_larger_than_a_memtable_is_kept() {
    let (dir, db) = small_db();
    let big: Vec<u8> = (0..5_000_000u32).map(|at| (at / 7) as u8).collect();
    db.put(b"big", &big).unwrap();
    db.put(b"small", b"1").unwrap();
    assert!(get(&db, "big").unwrap() == big);
    db.compact_range(None, None).unwrap();
    assert!(get(&db, "big").unwrap() == big);
    db.close().unwrap();
    let db = aidb::DB::open(dir.path().join("db"), crate::small_options()).unwrap();
    assert!(get(&db, "big").unwrap() == big);
    assert_eq!(get(&db, "small").unwrap(), b"1");
}

#[test]
fn a_key_of_16_mib_works_and_a_longer_one_is_refused() {
    let (_dir, db) = small_db();
    let mut key = vec![b'k'; MAX_KEY_BYTES];
    db.put(&key, b"long").unwrap();
    assert_eq!(get(&db, &key).unwrap(), b"long");
    db.flush().unwrap();
    assert_eq!(get(&db, &key).unwrap(), b"long");
    assert_eq!(all(&db)[0].0.len(), MAX_KEY_BYTES);
    key.push(b'k');
    for error in [
        db.put(&key, b"").unwrap_err(),
        db.delete(&key).unwrap_err(),
        db.get(&key).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

#[test]
fn a_count_is_exact_and_an_estimate_is_so_without_overwrites_and_deletes() {
    let (_dir, db) = small_db();
    let count = |start, end| {
        let (start, end): (Option<&[u8]>, Option<&[u8]>) = (start, end);
        let about = db.approximate_count(start, end).unwrap();
        (about, db.count(start, end).unwrap())
    };
    assert_eq!(count(None, None), (0, 0));
    for number in 0..2000u32 {
        db.put(&number.to_be_bytes(), &[7; 20]).unwrap();
    }
    assert_eq!(count(None, None), (2000, 2000));
    db.flush().unwrap();
    let middle = 1000u32.to_be_bytes();
    let (about, exact) = count(None, Some(&middle));
    assert_eq!(exact, 1000);
    assert!((900..1100).contains(&about), "{about}");
    // Backward, empty and absent ranges have no entries.
    assert_eq!(count(Some(b"b"), Some(b"a")), (0, 0));
    assert_eq!(count(Some(&middle), Some(&middle)), (0, 0));
    assert_eq!(count(Some(b"x"), Some(b"y")), (0, 0));
    // A bound may be longer than a key.
    let long = vec![0xff; aidb::MAX_KEY_BYTES + 1];
    assert_eq!(count(None, Some(&long)), (2000, 2000));
    let snapshot = db.snapshot().unwrap();
    db.delete(&middle).unwrap();
    assert_eq!(count(None, None), (1999, 1999));
    let counted = |db: &DB, options: CountOptions<'_>| {
        db.count_with(None, None, &options, &mut |_| ControlFlow::Continue(()))
    };
    let before = CountOptions::new().snapshot(&snapshot);
    assert_eq!(counted(&db, before).unwrap(), 2000);
    let few = CountOptions::new().prefix(&middle[..3]);
    assert_eq!(counted(&db, few).unwrap(), 255);
    let (_dir, other) = small_db();
    let error = counted(&other, before).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn approximate_size_grows_with_what_was_flushed() {
    let (_dir, db) = small_db();
    for number in 0..2000u32 {
        let noise = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        db.put(&number.to_be_bytes(), &noise.to_le_bytes().repeat(4))
            .unwrap();
    }
    db.flush().unwrap();
    let whole = db.approximate_size(Some(b""), Some(b"\xff")).unwrap();
    let half = db
        .approximate_size(Some(&0u32.to_be_bytes()), Some(&1000u32.to_be_bytes()))
        .unwrap();
    assert!(whole > 20_000, "{whole}");
    assert!(
        half > whole / 4 && half < whole * 3 / 4,
        "{half} of {whole}"
    );
    assert_eq!(db.approximate_size(Some(b"x"), Some(b"y")).unwrap(), 0);
    // An absent bound excludes nothing, on each side.
    assert_eq!(db.approximate_size(None, None).unwrap(), whole);
    assert_eq!(db.approximate_size(None, Some(b"\xff")).unwrap(), whole);
    let middle = 1000u32.to_be_bytes();
    let (below, above) = (
        db.approximate_size(None, Some(&middle)).unwrap(),
        db.approximate_size(Some(&middle), None).unwrap(),
    );
    assert!(
        below > 0 && above > 0 && below + above >= whole,
        "{below} and {above} of {whole}"
    );
}

#[test]
fn stats_count_writes_and_flushes() {
    let (_dir, db) = small_db();
    for number in 0..100u32 {
        db.put(&number.to_be_bytes(), b"value").unwrap();
    }
    db.flush().unwrap();
    let stats = db.stats().unwrap();
    assert_eq!(stats.operations_written, 100);
    assert!(stats.flushes >= 1);
    let entries: u64 = stats.levels.iter().map(|level| level.entries).sum();
    assert_eq!(entries, 100);
    assert!(stats.to_json().contains("\"operations_written\""));
    assert_eq!(db.property("no.such.property").unwrap(), None);
}

#[test]
fn large_keys_and_values_that_do_not_compress_stay_beside_small_ones_that_do() {
    // With default options: the engine once read a block above 64 KiB that was stored uncompressed as the block before
    // it, so walks left out its entries, and compactions then dropped them.
    for compression in [Compression::Snappy, Compression::None] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new().compression(compression);
        let mut entries = BTreeMap::new();
        for number in 0..200u64 {
            let key = format!("{number:06}").into_bytes();
            match number % 20 {
                7 => entries.insert(
                    [key, Fill::Noise.bytes(number, 100_000)].concat(),
                    b"long key".to_vec(),
                ),
                19 => entries.insert(key, Fill::Noise.bytes(number, 100_000)),
                _ => entries.insert(key, vec![b'd'; 6000]),
            };
        }
        let db = DB::open(dir.path().join("db"), options.clone()).unwrap();
        for (key, value) in &entries {
            db.put(key, value).unwrap();
        }
        let whole = |db: &DB, when: &str| {
            assert!(all(db).iter().map(|(k, v)| (k, v)).eq(&entries), "{when}");
            let backward = db.iter().rev().map(|entry| entry.unwrap());
            assert!(backward.eq(entries.clone().into_iter().rev()), "{when}");
            for (key, value) in &entries {
                assert!(get(db, key).as_ref() == Some(value), "{when}");
            }
        };
        db.flush().unwrap();
        whole(&db, "after a flush");
        db.close().unwrap();
        let db = DB::open(dir.path().join("db"), options).unwrap();
        db.compact_range(None, None).unwrap();
        whole(&db, "after a compaction");
        assert!(db.verify().unwrap().is_ok());
    }
}
