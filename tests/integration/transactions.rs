//! Transactions as programs use them: queues, counters, accounts, and handles that end in any order.

use std::collections::BTreeSet;
use std::sync::Mutex;

use aidb::{DB, ErrorKind, IterOptions, Options, Transaction, WriteOptions};

use crate::{all, get, small_db};

/// Takes the first job of the queue.
fn take(db: &DB, attempts: u32) -> aidb::Result<Option<Vec<u8>>> {
    db.run_transaction(attempts, |transaction| {
        let first = transaction.prefix(b"job/").next().transpose()?;
        if let Some((key, _)) = &first {
            transaction.delete(key)?;
        }
        Ok(first.map(|(key, _)| key))
    })
}

#[test]
fn fifty_takers_of_a_queue_get_every_job_once() {
    let (_dir, db) = small_db();
    let jobs: BTreeSet<Vec<u8>> = (0..50u8)
        .map(|job| vec![b'j', b'o', b'b', b'/', job])
        .collect();
    for job in &jobs {
        db.put(job, b"").unwrap();
    }
    let taken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let job = take(&db, 10_000).unwrap().unwrap();
                taken.lock().unwrap().push(job);
            });
        }
    });
    let taken = taken.into_inner().unwrap();
    assert_eq!(taken.len(), 50);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), jobs);
    assert_eq!(take(&db, 1).unwrap(), None);
    assert!(all(&db).is_empty());
}

#[test]
fn sixteen_threads_on_one_key_all_make_progress() {
    let (_dir, db) = small_db();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..25 {
                    db.run_transaction(10_000, |transaction| {
                        let count = transaction.get(b"hot")?;
                        let count =
                            count.map_or(0, |count| count[0] as u16 * 256 + count[1] as u16);
                        transaction.put(b"hot", &(count + 1).to_be_bytes())
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(get(&db, b"hot"), Some(400u16.to_be_bytes().to_vec()));
}

#[test]
fn money_moves_between_accounts_and_none_is_made() {
    let (_dir, db) = small_db();
    let amount = |value: Option<aidb::Value>| value.map_or(0, |value| value[0]);
    for account in 0..4u8 {
        db.put(&[account], &[100]).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let db = &db;
            scope.spawn(move || {
                for round in 0..60u8 {
                    let (from, to) = ([(thread + round) % 4], [(thread + 3 * round + 1) % 4]);
                    db.run_transaction(10_000, |transaction| {
                        let left = amount(transaction.get(&from)?);
                        if left < 7 || from == to {
                            return Ok(());
                        }
                        let there = amount(transaction.get(&to)?);
                        transaction.put(&from, &[left - 7])?;
                        transaction.put(&to, &[there + 7])
                    })
                    .unwrap();
                    let sum: u32 = all(db).iter().map(|(_, value)| u32::from(value[0])).sum();
                    assert_eq!(sum, 400);
                }
            });
        }
    });
}

/// What it has read is compared, however long it was open, and in whatever way its cursor still stands.
#[test]
fn a_cursor_that_is_still_open_has_read_what_it_passed() {
    let (_dir, db) = small_db();
    for key in 0..100u8 {
        db.put(&[key], &[key]).unwrap();
    }
    let begin = || {
        let transaction = db.begin().unwrap();
        let mut cursor = transaction.cursor(IterOptions::new()).unwrap();
        for _ in 0..10 {
            assert!(cursor.next().unwrap());
        }
        transaction.put(b"mine", b"").unwrap();
        (transaction, cursor)
    };
    let (transaction, mut cursor) = begin();
    db.put(&[10], b"beyond").unwrap();
    transaction.commit().unwrap();
    assert_eq!(cursor.next().unwrap_err().kind(), ErrorKind::Closed);
    let (transaction, cursor) = begin();
    db.put(&[9], b"passed").unwrap();
    drop(cursor);
    let conflict = transaction.commit().unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert!(conflict.is_retryable());
}

#[test]
fn a_committed_transaction_is_there_after_reopening_and_an_open_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let open = || DB::open(dir.path().join("db"), Options::new()).unwrap();
    let db = open();
    let (committed, left) = (db.begin().unwrap(), db.begin().unwrap());
    for transaction in [&committed, &left] {
        assert!(!transaction.contains_key(b"b").unwrap());
    }
    committed.put(b"a", b"1").unwrap();
    left.put(b"b", b"2").unwrap();
    committed.commit_with(&WriteOptions::synced()).unwrap();
    // The handles outlive their database, in any order.
    drop(db);
    assert_eq!(left.get(b"a").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(left.commit().unwrap_err().kind(), ErrorKind::Closed);
    let db = open();
    drop((left, committed));
    assert_eq!(all(&db), [(b"a".to_vec(), b"1".to_vec())]);
}

#[test]
fn a_transaction_belongs_to_one_thread_at_a_time() {
    let (_dir, db) = small_db();
    let transaction = db.begin().unwrap();
    let refusals = Mutex::new(0);
    let use_it = |transaction: &Transaction| {
        for round in 0..2000u16 {
            match transaction.put(&round.to_be_bytes(), b"") {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
                    *refusals.lock().unwrap() += 1;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| use_it(&transaction));
        scope.spawn(|| use_it(&transaction));
    });
    transaction.commit().unwrap();
    assert!(all(&db).len() <= 2000);
}

#[test]
fn a_transaction_reads_a_read_only_database_and_writes_nothing_there() {
    let (dir, db) = small_db();
    db.put(b"a", b"1").unwrap();
    db.close().unwrap();
    let db = DB::open(dir.path().join("db"), Options::new().read_only(true)).unwrap();
    let transaction = db.begin().unwrap();
    assert_eq!(&*transaction.get(b"a").unwrap().unwrap(), b"1");
    let refused = transaction.put(b"a", b"2").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    transaction.commit().unwrap();
    let refused = db.put_if_absent(b"b", b"").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}
