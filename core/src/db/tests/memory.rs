//! Lack of memory at each pass through the door (`memory/door.rs`), on every path.
//!
//! A test walks each path with its first pass failing, then with its second, and so on until a walk meets no failure.
//! After each walk it checks the kind of the error and makes the same call again without reopening. All acknowledged
//! writes must be there, before and after reopening.

use std::time::{Duration, Instant};

use super::*;
use crate::compression::Compression;
use crate::env::test_passes::Passes;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A database, and the writes that it acknowledged.
struct Subject {
    env: MemEnv,
    /// `None` once it is closed.
    db: Option<DB>,
    model: Model,
    /// Whether a checkpoint has succeeded.
    has_copy: bool,
}

/// The work on a path. Called again after a failure, it goes on where it stopped or begins anew.
type Call = fn(&mut Subject) -> Result<()>;

fn options_of(env: &MemEnv) -> Options {
    options(env)
        .write_buffer_size(64 << 10)
        // Large enough for slabs.
        .block_cache_size(32 << 20)
        .compression(Compression::Zstd)
        .level0_compaction_trigger(20)
}

impl Subject {
    /// An open database with tables, with writes that are only in a log, and with an empty cache.
    fn new() -> Subject {
        Subject::closed().opened_copy()
    }

    /// The same, closed.
    fn closed() -> Subject {
        let env = MemEnv::new();
        let mut subject = Subject {
            db: Some(DB::open("/db", options_of(&env)).unwrap()),
            env,
            model: Model::new(),
            has_copy: false,
        };
        for generation in 0..3 {
            for number in 0..60u64 {
                let length = if number == 7 {
                    70_000
                } else {
                    20 * number as usize
                };
                // The large one does not compress.
                let mut random = Random::new(number + generation);
                let value = (0..length).map(|_| random.below(256) as u8).collect();
                subject.put(key(number * (generation + 1)), value).unwrap();
            }
            if generation < 2 {
                subject.db().flush().unwrap();
            }
        }
        subject.db().delete(&key(3)).unwrap();
        subject.model.remove(&key(3));
        subject.db = None;
        subject
    }

    /// A copy of a closed database, open.
    fn opened_copy(&self) -> Subject {
        let mut copy = Subject {
            env: self.env.process_crash(),
            db: None,
            model: self.model.clone(),
            has_copy: self.has_copy,
        };
        copy.open().unwrap();
        copy
    }

    fn open(&mut self) -> Result<()> {
        self.db = None;
        self.db = Some(DB::open("/db", options_of(&self.env))?);
        Ok(())
    }

    fn db(&self) -> &DB {
        self.db.as_ref().unwrap()
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        self.db().put(&key, &value)?;
        self.model.insert(key, value);
        Ok(())
    }

    /// Checks that every way of reading finds all acknowledged writes.
    fn check(&self, db: &DB, context: &str) {
        let expected: Vec<_> = self.model.clone().into_iter().collect();
        assert!(entries(db) == expected, "{context}");
        for (key, value) in &expected {
            assert!(db.get(key).unwrap().unwrap() == *value, "{context}");
        }
        let report = db.verify().unwrap();
        assert!(report.is_ok(), "{context}: {report:?}");
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number:06}").into_bytes()
}

/// Puts the keys of `numbers` that are not there yet, each with a value of `length` bytes.
fn put_missing(subject: &mut Subject, numbers: std::ops::Range<u64>, length: usize) -> Result<()> {
    for number in numbers {
        if !subject.model.contains_key(&key(number)) {
            subject.put(key(number), vec![number as u8; length])?;
        }
    }
    Ok(())
}

fn write_batches(subject: &mut Subject) -> Result<()> {
    for first in [10_000, 11_000, 12_000] {
        let mut batch = WriteBatch::new();
        for number in first..first + 200 {
            batch.put(&key(number), &[7; 90])?;
        }
        subject.db().write(&batch)?;
        for number in first..first + 200 {
            subject.model.insert(key(number), vec![7; 90]);
        }
    }
    Ok(())
}

fn get_each(subject: &mut Subject) -> Result<()> {
    for (key, value) in &subject.model {
        assert!(subject.db().get(key)?.unwrap() == *value);
    }
    Ok(())
}

fn get_many(subject: &mut Subject) -> Result<()> {
    let keys: Vec<_> = subject.model.keys().collect();
    let values = subject.db().get_many(&keys)?;
    assert!(values.iter().flatten().eq(subject.model.values()));
    Ok(())
}

fn walk(subject: &mut Subject) -> Result<()> {
    let forward = subject.db().iter().collect::<Result<Vec<_>>>()?;
    let backward = subject.db().iter().rev().collect::<Result<Vec<_>>>()?;
    let prefixed = subject.db().prefix(b"key").collect::<Result<Vec<_>>>()?;
    assert!(forward.iter().eq(backward.iter().rev()) && forward == prefixed);
    let found = forward.iter().map(|(key, value)| (key, value));
    assert!(found.eq(subject.model.iter()));
    Ok(())
}

fn checkpoint(subject: &mut Subject) -> Result<()> {
    if !subject.has_copy {
        subject.db().checkpoint("/copy")?;
        subject.has_copy = true;
    }
    let copy = DB::open("/copy", options_of(&subject.env))?;
    let found = copy.iter().collect::<Result<Vec<_>>>()?;
    assert!(found.into_iter().eq(subject.model.clone()));
    Ok(())
}

fn verify(subject: &mut Subject) -> Result<()> {
    let report = subject.db().verify()?;
    assert!(report.is_ok(), "{report:?}");
    Ok(())
}

fn repair(subject: &mut Subject) -> Result<()> {
    subject.db = None;
    let options = options_of(&subject.env);
    let report = DB::repair("/db", "/repaired", &options)?;
    assert!(report.is_ok(), "{report:?}");
    Ok(())
}

fn recover(subject: &mut Subject) -> Result<()> {
    subject.open()
}

/// Flushes, and then does the background work that is due.
fn flush(subject: &mut Subject) -> Result<()> {
    subject.db().flush()?;
    while subject.db().run_background_step()? {}
    Ok(())
}

const PATHS: [(&str, Call); 14] = [
    ("open", recover),
    ("put", |subject| put_missing(subject, 1_000..1_070, 100)),
    ("put of a large value", |subject| {
        put_missing(subject, 2_000..2_003, 300_000)
    }),
    ("puts through full memtables", |subject| {
        put_missing(subject, 3_000..3_300, 600)
    }),
    ("delete", |subject| {
        for number in 0..30 {
            subject.db().delete(&key(number))?;
            subject.model.remove(&key(number));
        }
        Ok(())
    }),
    ("batch", write_batches),
    ("get", get_each),
    ("get_many", get_many),
    ("iterate", walk),
    ("flush", flush),
    ("compact", |subject| {
        subject.db().compact_range(None::<&[u8]>, None::<&[u8]>)
    }),
    ("checkpoint", checkpoint),
    ("verify", verify),
    ("repair", repair),
];

/// Walks a path in a copy of `closed`; its `number`-th request for memory fails. Returns whether there was one.
fn walk_path(closed: &Subject, name: &str, call: Call, number: u64) -> bool {
    let context = format!("{name}, pass {number}");
    let mut subject = closed.opened_copy();
    let passes = Passes::fail_at(number);
    let entered = passes.enter();
    let outcome = call(&mut subject);
    drop(entered);
    let failed = passes.failed() > 0;
    if let Err(error) = &outcome {
        assert!(failed, "{context}: {error}");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{context}: {error}");
        call(&mut subject).unwrap_or_else(|error| panic!("{context}, again: {error}"));
    }
    if subject.db.is_none() {
        let repaired = DB::open("/repaired", options_of(&subject.env)).unwrap();
        subject.check(&repaired, &context);
        subject.open().unwrap();
    }
    subject.check(subject.db(), &context);
    // Later acknowledged writes are kept as well.
    subject.put(b"later".to_vec(), b"1".to_vec()).unwrap();
    subject.open().unwrap();
    subject.check(subject.db(), &format!("{context}, reopened"));
    failed
}

#[test]
fn want_of_memory_at_any_pass_is_reported_as_such_and_loses_nothing_and_the_same_call_succeeds_later()
 {
    let closed = Subject::closed();
    for (name, call) in PATHS {
        let mut failures = 0;
        // In a thread of its own, which has no memory left over from before.
        let walk = |number| walk_path(&closed, name, call, number);
        while std::thread::scope(|scope| scope.spawn(|| walk(failures + 1)).join())
            .unwrap_or_else(|_| panic!("{name}, pass {}", failures + 1))
        {
            failures += 1;
        }
        println!("{name}: {failures} passes failed");
        assert!(failures > 0, "{name} asks for no memory");
    }
}

/// COMMIT-3.
#[test]
fn a_put_that_finds_no_memory_is_not_in_the_log() {
    let mut failures = 0;
    loop {
        let mut subject = Subject::new();
        let passes = Passes::fail_at(failures + 1);
        let entered = passes.enter();
        let refused = subject.db().put(b"new", &[1; 3000]).is_err();
        drop(entered);
        if !refused {
            assert!(failures > 2, "the batch, the log's buffer, the memtable");
            break;
        }
        failures += 1;
        subject.open().unwrap();
        assert_eq!(subject.db().get(b"new").unwrap(), None, "pass {failures}");
    }
}

#[test]
fn a_batch_that_finds_no_memory_for_the_leaves_it_splits_is_not_in_the_log() {
    let mut refusals = 0;
    loop {
        let env = MemEnv::new();
        let open = || DB::open("/db", options(&env).write_buffer_size(4 << 20)).unwrap();
        let db = open();
        let mut batch = WriteBatch::new();
        // Keys in order fill the leaves; each key of the batch then splits another leaf.
        for number in 0..300 * 64u32 {
            let key = number.to_be_bytes();
            db.put(&key, b"").unwrap();
            if number % 64 == 32 {
                batch.put(&[&key[..], b"new"].concat(), b"1").unwrap();
            }
        }
        let passes = Passes::fail_at(refusals + 1);
        let entered = passes.enter();
        let outcome = db.write(&batch);
        drop(entered);
        if outcome.is_ok() {
            assert_eq!(passes.failed(), 0, "a request for memory after the record");
            break;
        }
        refusals += 1;
        drop(db);
        let found = open().get(b"\0\0\0\x20new").unwrap();
        assert_eq!(found, None, "pass {refusals}");
    }
    assert!(refusals > 1, "the leaves, the records");
}

#[test]
fn refused_puts_leave_no_memory_behind_in_the_memtable() {
    let subject = Subject::new();
    subject.db().put(b"before", &[1; 1000]).unwrap();
    let memory = || subject.db().rooms().tree.load().memtable_bytes();
    let mut failures = 0;
    loop {
        let before = memory();
        let passes = Passes::fail_at(failures + 1);
        let entered = passes.enter();
        let outcome = subject.db().put(b"refused", &[1; 100_000]);
        drop(entered);
        if outcome.is_ok() {
            break;
        }
        failures += 1;
        // A node that was requested ahead stays.
        assert!(memory() < before + 5_000, "pass {failures}");
    }
    assert!(failures > 2, "the batch, the memtable, the log's buffer");
}

#[test]
fn flush_and_compaction_threads_try_again_when_there_is_memory() {
    let (mut failures, mut number) = (0, 0);
    loop {
        number += 1;
        let passes = Passes::fail_at(0);
        let entered = passes.enter();
        let env = MemEnv::new();
        let options = options_of(&env).manual_background(false);
        let db = DB::open("/db", options.level0_compaction_trigger(2)).unwrap();
        for round in 0..2u8 {
            for key in 0..50u8 {
                db.put(&[key], &[round; 200]).unwrap();
            }
            if round == 1 {
                passes.arm(number);
            }
            if let Err(error) = db.flush() {
                assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                db.flush().unwrap();
            }
        }
        // The compaction of the two tables begins by itself, and again if it fails.
        let tree = &db.rooms().tree;
        let until = Instant::now() + Duration::from_secs(60);
        let mut state = tree.state();
        while tree.load().version().files(0).len() >= 2 {
            let timed_out = state.wait_until(tree.changed(), until).timed_out();
            assert!(
                !timed_out,
                "pass {number}: the compaction was not tried again"
            );
        }
        drop(state);
        passes.arm(0);
        assert!(entries(&db).iter().all(|(_, value)| *value == [1; 200]));
        db.close().unwrap();
        drop(entered);
        if passes.failed() == 0 {
            break;
        }
        failures += 1;
    }
    assert!(failures > 0);
}
