//! Transactions: what they see, what conflicts, how they end.

use super::*;
use crate::error::Error;
use crate::options::TransactionOptions;

/// A database with the keys `b`, `d`, `f` and `h`, half of them in a table; each is its own value.
fn example(env: &MemEnv) -> DB {
    let db = open(env);
    for key in [b"b", b"f"] {
        db.put(key, key).unwrap();
    }
    db.flush().unwrap();
    for key in [b"d", b"h"] {
        db.put(key, key).unwrap();
    }
    db
}

fn kind<T>(outcome: Result<T>) -> ErrorKind {
    outcome.map(|_| ()).unwrap_err().kind()
}

fn keys(entries: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>>) -> String {
    let keys = entries.map(|entry| String::from_utf8(entry.unwrap().0).unwrap());
    keys.collect()
}

#[test]
fn a_transaction_sees_its_own_writes_and_nobody_else_does_before_the_commit() {
    let env = MemEnv::new();
    let db = example(&env);
    let transaction = db.begin().unwrap();
    let begun = transaction.sequence().unwrap();
    transaction.put(b"c", b"new").unwrap();
    transaction.put(b"d", b"changed").unwrap();
    transaction.delete(b"f").unwrap();
    db.put(b"z", b"later").unwrap();
    assert_eq!(transaction.get(b"c").unwrap().unwrap(), b"new");
    assert_eq!(transaction.get(b"f").unwrap(), None);
    assert!(transaction.contains_key(b"d").unwrap() && !transaction.contains_key(b"f").unwrap());
    assert!(transaction.contains_key(b"h").unwrap() && !transaction.contains_key(b"z").unwrap());
    let values = transaction.get_many(&["b", "c", "f", "z", "h"]).unwrap();
    let values: Vec<_> = values.iter().map(Option::as_deref).collect();
    assert_eq!(
        values,
        [Some(&b"b"[..]), Some(b"new"), None, None, Some(b"h")]
    );
    assert_eq!(keys(transaction.iter()), "bcdh");
    assert_eq!(keys(transaction.iter().rev()), "hdcb");
    assert_eq!(keys(transaction.range("c"..="d")), "cd");
    assert_eq!(keys(transaction.prefix(b"d")), "d");
    assert_eq!(keys(db.iter()), "bdfhz");
    assert_eq!(transaction.sequence().unwrap(), begun);
    // It has walked over `z`.
    assert_eq!(kind(transaction.commit()), ErrorKind::Conflict);
    assert_eq!(keys(db.iter()), "bdfhz");

    let transaction = db.begin().unwrap();
    transaction.put(b"c", b"new").unwrap();
    transaction.delete(b"f").unwrap();
    let last = transaction.commit().unwrap();
    assert_eq!(keys(db.iter()), "bcdhz");
    assert_eq!(db.snapshot().unwrap().sequence(), last);
    drop((transaction, db));
    assert_eq!(keys(open(&env).iter()), "bcdhz");
}

/// TRANSACTION-1 and OVERLAID-3.
#[test]
fn a_commit_conflicts_with_changes_of_what_was_read_and_with_no_others() {
    let env = MemEnv::new();
    let db = example(&env);
    type Step = fn(&Transaction) -> Result<()>;
    let reads: [(Step, &str); 11] = [
        (|t| t.get(b"d").map(|_| ()), "d"),
        (|t| t.get(b"e").map(|_| ()), "e"),
        (|t| t.contains_key(b"f").map(|_| ()), "f"),
        (|t| t.get_many(&["b", "x"]).map(|_| ()), "bx"),
        // What it has written itself is not read.
        (
            |t| {
                t.put(b"c", b"")?;
                t.get(b"c").map(|_| ())
            },
            "",
        ),
        (
            |t| {
                let mut cursor = t.cursor(IterOptions::new())?;
                cursor.seek(b"c").map(|_| ())
            },
            "cd",
        ),
        (
            |t| {
                let mut cursor = t.cursor(IterOptions::new())?;
                cursor.seek(b"c")?;
                cursor.next().map(|_| ())
            },
            "cdef",
        ),
        (
            |t| {
                let mut cursor = t.cursor(IterOptions::new().reverse(true))?;
                cursor.first()?;
                cursor.next().map(|_| ())
            },
            "fghijklmnopqrstuvwxyz",
        ),
        (
            |t| {
                let bounds = IterOptions::new()
                    .lower_bound(b"e".to_vec())
                    .upper_bound(b"g".to_vec());
                let mut cursor = t.cursor(bounds)?;
                while cursor.next()? {}
                Ok(())
            },
            "ef",
        ),
        (
            |t| {
                t.put(b"e", b"")?;
                let mut cursor = t.cursor(IterOptions::new())?;
                cursor.seek_for_prev(b"g")?;
                cursor.prev()?;
                cursor.prev().map(|_| ())
            },
            "defg",
        ),
        (|t| t.prefix(b"q").next().transpose().map(|_| ()), "q"),
    ];
    for (at, (read, expected)) in reads.into_iter().enumerate() {
        for has_forgotten in [false, true] {
            let mut met = String::new();
            for letter in b'a'..=b'z' {
                let transaction = db.begin().unwrap();
                read(&transaction).unwrap();
                transaction.put(b"A", b"").unwrap();
                let before = db.get(&[letter]).unwrap();
                db.put(&[letter], b"other").unwrap();
                if has_forgotten {
                    // Too many keys to remember: the comparison has to look into the tree.
                    let mut many = WriteBatch::new();
                    for number in 0..10_000u32 {
                        many.delete(&[&b"B"[..], &number.to_be_bytes()].concat())
                            .unwrap();
                    }
                    db.write(&many).unwrap();
                    if letter % 2 == 0 {
                        db.flush().unwrap();
                    }
                }
                match transaction.commit() {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        met.push(char::from(letter))
                    }
                    Err(error) => panic!("{error}"),
                }
                drop(transaction);
                match before {
                    Some(value) => db.put(&[letter], &value).unwrap(),
                    None => db.delete(&[letter]).unwrap(),
                };
                db.delete(b"c").unwrap();
                db.delete(b"e").unwrap();
            }
            assert_eq!(met, expected, "read {at}, forgotten: {has_forgotten}");
        }
    }
}

/// TRANSACTION-2.
#[test]
fn a_transaction_without_writes_never_conflicts_and_blind_writes_do_not_either() {
    let env = MemEnv::new();
    let db = example(&env);
    let reader = db.begin().unwrap();
    let options = TransactionOptions::new().read_only(true);
    let read_only = db.begin_with(&options).unwrap();
    let blind = db.begin().unwrap();
    assert_eq!(keys(reader.iter()), keys(read_only.iter()));
    blind.put(b"b", b"blind").unwrap();
    db.put(b"b", b"other").unwrap();
    assert_eq!(reader.get(b"b").unwrap().unwrap(), b"b");
    assert_eq!(read_only.get(b"b").unwrap().unwrap(), b"b");
    assert_eq!(kind(read_only.put(b"b", b"")), ErrorKind::InvalidArgument);
    assert_eq!(reader.commit().unwrap(), SequenceNumber(4));
    assert_eq!(read_only.commit().unwrap(), SequenceNumber(4));
    assert_eq!(blind.commit().unwrap(), SequenceNumber(6));
    assert_eq!(db.get(b"b").unwrap().unwrap(), b"blind");
}

#[test]
fn savepoints_take_back_the_writes_after_them() {
    let env = MemEnv::new();
    let db = example(&env);
    let transaction = db.begin().unwrap();
    transaction.put(b"b", b"1").unwrap();
    let first = transaction.savepoint().unwrap();
    transaction.put(b"b", b"2").unwrap();
    transaction.delete(b"d").unwrap();
    let second = transaction.savepoint().unwrap();
    let mut batch = WriteBatch::new();
    batch.put(b"b", b"3").unwrap();
    batch.put(b"d", b"3").unwrap();
    transaction.write(&batch).unwrap();
    assert_eq!(transaction.get(b"b").unwrap().unwrap(), b"3");
    transaction.rollback_to(second).unwrap();
    assert_eq!(transaction.get(b"b").unwrap().unwrap(), b"2");
    assert_eq!(transaction.get(b"d").unwrap(), None);
    for _ in 0..2 {
        transaction.rollback_to(first).unwrap();
        assert_eq!(transaction.get(b"b").unwrap().unwrap(), b"1");
        assert_eq!(transaction.get(b"d").unwrap().unwrap(), b"d");
        transaction.put(b"b", b"4").unwrap();
    }
    let gone = transaction.rollback_to(second);
    assert_eq!(kind(gone), ErrorKind::InvalidArgument);
    let other_env = MemEnv::new();
    let other = open(&other_env).begin().unwrap().savepoint().unwrap();
    assert_eq!(
        kind(transaction.rollback_to(other)),
        ErrorKind::InvalidArgument
    );
    transaction.commit().unwrap();
    assert_eq!(db.get(b"b").unwrap().unwrap(), b"4");
}

/// ENDED-1.
#[test]
fn an_ended_transaction_says_how_it_ended_and_holds_nothing() {
    let env = MemEnv::new();
    let db = example(&env);
    env.hold_clock(Some(0));
    type End = fn(&MemEnv, &DB, &Transaction);
    let ends: [(End, ErrorKind, &str); 4] = [
        (
            |_, _, t| drop(t.commit()),
            ErrorKind::Closed,
            "was committed",
        ),
        (|_, _, t| t.rollback(), ErrorKind::Closed, "was rolled back"),
        (
            |_, db, t| {
                t.get(b"b").unwrap();
                db.put(b"b", b"").unwrap();
                assert_eq!(kind(t.commit()), ErrorKind::Conflict);
            },
            ErrorKind::Closed,
            "met a conflict",
        ),
        (
            |env, db, _| {
                // Its cursor has moved since the last look.
                for micros in [600_000_000, 1_200_000_000] {
                    env.hold_clock(Some(micros));
                    db.run_background_step().unwrap();
                }
            },
            ErrorKind::Conflict,
            "transaction_timeout",
        ),
    ];
    for (end, expected, words) in ends {
        let transaction = db.begin().unwrap();
        transaction.put(b"new", b"").unwrap();
        let mut cursor = transaction.cursor(IterOptions::new()).unwrap();
        assert!(cursor.next().unwrap());
        assert_eq!(db.stats().unwrap().transactions_open, 1);
        end(&env, &db, &transaction);
        assert_eq!(db.stats().unwrap().transactions_open, 0, "{words}");
        cursor.first().unwrap_err();
        // Even while its cursor exists.
        assert_eq!(db.stats().unwrap().snapshots, 0, "{words}");
        drop(cursor);
        let outcomes = [
            transaction.get(b"b").map(|_| ()),
            transaction.put(b"b", b""),
            transaction.cursor(IterOptions::new()).map(|_| ()),
            transaction.savepoint().map(|_| ()),
            transaction.commit().map(|_| ()),
        ];
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), expected, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        transaction.rollback();
    }
    let stats = db.stats().unwrap();
    assert_eq!(
        (
            stats.transactions_committed,
            stats.transaction_conflicts,
            stats.transactions_timed_out
        ),
        (1, 1, 1)
    );
    let transaction = db.begin().unwrap();
    db.close().unwrap();
    assert_eq!(kind(transaction.get(b"b")), ErrorKind::Closed);
    assert_eq!(kind(transaction.commit()), ErrorKind::Closed);
    assert_eq!(kind(db.begin()), ErrorKind::Closed);
}

/// TRANSACTION-3.
#[test]
fn only_transactions_that_nobody_uses_time_out() {
    let env = MemEnv::new();
    env.hold_clock(Some(0));
    let timeout = std::time::Duration::from_secs(10);
    let db = DB::open("/db", options(&env).transaction_timeout(timeout)).unwrap();
    db.put(b"a", b"").unwrap();
    let begin = || db.begin().unwrap();
    let (unused, getting, walking, late) = (begin(), begin(), begin(), begin());
    let mut cursor = walking.cursor(IterOptions::new()).unwrap();
    let look = |seconds: u64| {
        env.hold_clock(Some(seconds * 1_000_000));
        db.run_background_step().unwrap();
        db.stats().unwrap().transactions_open
    };
    // What was used since the last look counts as used at the look.
    assert_eq!(look(3), 4);
    getting.get(b"a").unwrap();
    cursor.first().unwrap();
    late.put(b"b", b"").unwrap();
    assert_eq!(look(12), 4);
    assert_eq!(look(15), 3);
    assert_eq!(kind(unused.get(b"a")), ErrorKind::Conflict);
    cursor.first().unwrap();
    assert_eq!(look(18), 3);
    assert_eq!(look(26), 1);
    assert_eq!(kind(getting.commit()), ErrorKind::Conflict);
    assert_eq!(kind(late.commit()), ErrorKind::Conflict);
    cursor.first().unwrap();
    walking.put(b"c", b"").unwrap();
    walking.commit().unwrap();
    assert_eq!(look(100), 0);
    // Later ones are looked after, too.
    let unused = begin();
    assert_eq!(look(103), 1);
    assert_eq!(look(112), 1);
    assert_eq!(look(115), 0);
    assert_eq!(kind(unused.get(b"a")), ErrorKind::Conflict);
    drop(db);
    let db = DB::open(
        "/db",
        options(&env).transaction_timeout(std::time::Duration::ZERO),
    )
    .unwrap();
    let kept = db.begin().unwrap();
    env.hold_clock(Some(u64::MAX - 1));
    db.run_background_step().unwrap();
    kept.get(b"a").unwrap();
}

/// OVERLAID-1 and OVERLAID-2: a cursor with writes over a tree walks as one over a tree that has them.
#[test]
fn a_transactions_cursor_walks_as_over_a_tree_that_has_its_writes() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let env = MemEnv::new();
        let db = open(&env);
        let mut model = BTreeMap::new();
        let key = |random: &mut Random| vec![b'a' + random.below(12) as u8];
        for _ in 0..random.below(40) {
            let key = key(&mut random);
            if random.below(4) == 0 {
                db.delete(&key).unwrap();
                model.remove(&key);
            } else {
                let value = vec![b's'; random.below(5) as usize];
                db.put(&key, &value).unwrap();
                model.insert(key, value);
            }
            if random.below(10) == 0 {
                db.flush().unwrap();
            }
        }
        let transaction = db.begin().unwrap();
        for _ in 0..random.below(12) {
            let key = key(&mut random);
            if random.below(3) == 0 {
                transaction.delete(&key).unwrap();
                model.remove(&key);
            } else {
                let value = vec![b'w'; random.below(5) as usize];
                transaction.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        // Nothing of this is seen.
        db.put(b"b", b"others").unwrap();
        let twin_env = MemEnv::new();
        let twin = open(&twin_env);
        for (key, value) in &model {
            twin.put(key, value).unwrap();
        }
        let bound = |random: &mut Random| (random.below(3) == 0).then(|| key(random));
        for _ in 0..6 {
            let options = IterOptions::new()
                .lower_bound(bound(&mut random))
                .upper_bound(bound(&mut random))
                .reverse(random.below(2) == 0);
            let mut walked = transaction.cursor(options.clone()).unwrap();
            let mut expected = twin.cursor(options.clone()).unwrap();
            for step in 0..30 {
                let to = key(&mut random);
                let moves = random.below(9);
                let go = |cursor: &mut Cursor| match moves {
                    0 => cursor.first(),
                    1 => cursor.last(),
                    2 => cursor.seek(&to),
                    3 => cursor.seek_for_prev(&to),
                    4..=6 => cursor.next(),
                    _ => cursor.prev(),
                };
                let place = format!("seed {seed}, step {step}, {options:?}, move {moves} {to:?}");
                assert_eq!(
                    go(&mut walked).unwrap(),
                    go(&mut expected).unwrap(),
                    "{place}"
                );
                assert_eq!(walked.valid(), expected.valid(), "{place}");
                assert_eq!(
                    (walked.key(), walked.value()),
                    (expected.key(), expected.value()),
                    "{place}"
                );
            }
        }
        let all = transaction.iter().map(Result::unwrap);
        assert!(all.eq(model.clone()), "seed {seed}");
        let back = transaction.iter().rev().map(Result::unwrap);
        assert!(back.eq(model.clone().into_iter().rev()), "seed {seed}");
    }
}

#[test]
fn a_cursor_keeps_the_writes_it_began_with_and_its_bytes_after_close() {
    let env = MemEnv::new();
    let db = example(&env);
    let transaction = db.begin().unwrap();
    transaction.put(b"c", b"written").unwrap();
    let mut cursor = transaction.cursor(IterOptions::new()).unwrap();
    transaction.put(b"a", b"later").unwrap();
    transaction.delete(b"c").unwrap();
    assert!(cursor.first().unwrap());
    assert_eq!(cursor.key(), b"b");
    assert!(cursor.next().unwrap());
    assert_eq!((cursor.key(), cursor.value()), (&b"c"[..], &b"written"[..]));
    let snapshot = db.snapshot().unwrap();
    let refused = transaction.cursor(IterOptions::new().snapshot(snapshot));
    assert_eq!(kind(refused), ErrorKind::InvalidArgument);
    db.close().unwrap();
    assert_eq!((cursor.key(), cursor.value()), (&b"c"[..], &b"written"[..]));
    assert_eq!(kind(cursor.next()), ErrorKind::Closed);
}

#[test]
fn one_call_changes_a_key_only_from_what_it_was() {
    let env = MemEnv::new();
    let db = open(&env);
    assert!(!db.compare_and_set(b"k", Some(b""), Some(b"1")).unwrap());
    assert!(db.compare_and_set(b"k", None, Some(b"1")).unwrap());
    assert!(!db.compare_and_set(b"k", None, Some(b"2")).unwrap());
    assert!(!db.put_if_absent(b"k", b"2").unwrap());
    assert!(db.compare_and_set(b"k", Some(b"1"), Some(b"2")).unwrap());
    assert_eq!(db.get_and_put(b"k", b"3").unwrap().unwrap(), b"2");
    assert_eq!(db.get_and_delete(b"k").unwrap().unwrap(), b"3");
    let before = db.snapshot().unwrap().sequence();
    assert_eq!(db.get_and_delete(b"k").unwrap(), None);
    assert!(db.compare_and_set(b"k", None, None).unwrap());
    assert_eq!(db.snapshot().unwrap().sequence(), before.plus(1));
    assert!(db.put_if_absent(b"k", b"4").unwrap());
    assert_eq!(db.get_and_put(b"j", b"5").unwrap(), None);
    assert_eq!(keys(db.iter()), "jk");
}

#[test]
fn a_transaction_is_run_again_after_a_conflict_and_not_after_another_error() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"count", b"0").unwrap();
    let mut tries = 0;
    let run = |attempts: u32, conflicts: u32, tries: &mut u32| {
        *tries = 0;
        db.run_transaction(attempts, |transaction| {
            *tries += 1;
            transaction.get(b"count")?;
            if *tries <= conflicts {
                db.put(b"count", b"other")?;
            }
            transaction.put(b"count", tries.to_string().as_bytes())
        })
    };
    run(3, 2, &mut tries).unwrap();
    assert_eq!(
        (tries, &*db.get(b"count").unwrap().unwrap()),
        (3, &b"3"[..])
    );
    let error = run(3, 3, &mut tries).unwrap_err();
    assert_eq!((tries, error.kind()), (3, ErrorKind::Conflict));
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("after 3 attempts"), "{error}");
    assert_eq!(kind(run(0, 0, &mut tries)), ErrorKind::InvalidArgument);
    let failed: Result<()> = db.run_transaction(9, |transaction| {
        transaction.put(b"count", b"never")?;
        Err(Error::invalid_argument("no"))
    });
    assert_eq!(kind(failed), ErrorKind::InvalidArgument);
    assert_eq!(&*db.get(b"count").unwrap().unwrap(), b"other");
}

/// RECENT-2.
#[test]
fn commits_are_remembered_only_while_somebody_may_ask() {
    let env = MemEnv::new();
    let db = open(&env);
    let bytes = || db.stats().unwrap().transaction_bytes;
    db.put(b"a", b"").unwrap();
    assert_eq!(bytes(), 0);
    drop(db.begin().unwrap());
    db.put(b"a", b"").unwrap();
    assert!(bytes() > 0);
    let mut many = WriteBatch::new();
    for number in 0..10_000u32 {
        many.put(&number.to_be_bytes(), b"").unwrap();
    }
    db.write(&many).unwrap();
    assert_eq!(bytes(), 0);
    // While there is a transaction it goes on.
    let transaction = db.begin().unwrap();
    transaction.get(b"x").unwrap();
    transaction.put(b"y", b"").unwrap();
    db.write(&many).unwrap();
    assert!(bytes() > 0);
    db.put(b"x", b"").unwrap();
    assert_eq!(kind(transaction.commit()), ErrorKind::Conflict);
}

/// RECENT-1: no update is lost, although transactions begin and end at any time.
#[test]
fn counters_that_many_threads_increase_lose_nothing() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 150;
    let env = MemEnv::new();
    let db = open(&env);
    let number = |value: Option<Value>| {
        let text = value.map(|value| String::from_utf8(value.to_vec()).unwrap());
        text.map_or(0, |text| text.parse::<u64>().unwrap())
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let db = &db;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let key = [b'a' + (round % 2) as u8];
                    db.run_transaction(u32::MAX, |transaction| {
                        let count = number(transaction.get(&key)?) + 1;
                        transaction.put(&key, count.to_string().as_bytes())
                    })
                    .unwrap();
                    if (round + thread) % 7 == 0 {
                        drop(db.begin().unwrap());
                        // It fills the memory of recent commits, so that it is switched off.
                        let mut many = WriteBatch::new();
                        for other in 0..9000u32 {
                            many.delete(&other.to_be_bytes()).unwrap();
                        }
                        db.write(&many).unwrap();
                        db.run_background_step().unwrap();
                    }
                }
            });
        }
    });
    for key in [b"a", b"b"] {
        let count = number(db.get(key).unwrap());
        assert_eq!(count, THREADS * ROUNDS / 2);
    }
    assert_eq!(db.stats().unwrap().transactions_committed, THREADS * ROUNDS);
}

#[test]
fn a_closed_database_keeps_no_keys_of_commits_whoever_keeps_its_transactions() {
    let env = MemEnv::new();
    let db = open(&env);
    let transaction = db.begin().unwrap();
    let bytes = || db.rooms().commit.bytes_of_recent();
    db.put(b"a", b"1").unwrap();
    assert!(bytes() > 0);
    assert!(transaction.check_open().is_ok());
    db.close().unwrap();
    assert_eq!(bytes(), 0);
    assert_eq!(kind(transaction.check_open()), ErrorKind::Closed);
    // As by a `begin` that was under way: the database was open when it looked.
    db.rooms().commit.watch().unwrap();
    assert!(bytes() > 0);
    db.rooms().commit.unwatch();
    assert_eq!(bytes(), 0);
}
