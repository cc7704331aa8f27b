//! Rust's turn in the cross-language test; the rules are in README.md beside this file.

use std::collections::BTreeMap;
use std::process::ExitCode;

use aidb::{DB, IterOptions, Options, ReadOptions, Snapshot, WriteBatch};
use aidb_tests::{Unit, edges_up_to};

const MAX_EDGE: usize = 262_145;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
type Failure = Box<dyn std::error::Error>;

fn key(turn: u8, index: u8) -> Vec<u8> {
    vec![turn, index, 0x00, 0xff]
}

/// The entries that the turn writes, beside the deletes.
fn written(turn: u8) -> Entries {
    let mut entries = Entries::new();
    for index in 0..200u8 {
        let length = usize::from(index) * 7 % 50;
        let value = (0..length).map(|at| (31 * usize::from(turn) + usize::from(index) + at) as u8);
        entries.insert(key(turn, index), value.collect());
    }
    entries.insert(vec![0xff, 0xff, turn], Vec::new());
    let pattern = |length: usize| -> Vec<u8> {
        let bytes = (0..length).map(|at| ((usize::from(turn) + at) % 251) as u8);
        bytes.collect()
    };
    entries.insert([b"big".as_slice(), &[turn]].concat(), pattern(100_000));
    for (number, edge) in (0..).zip(edges_up_to(MAX_EDGE, Unit::Bytes)) {
        entries.insert(vec![turn, number, 0x01, 0xff], pattern(edge));
    }
    entries.insert(Vec::new(), vec![turn]);
    entries
}

/// The entries after `turns` turns.
fn expected(turns: u8) -> Entries {
    let mut entries = Entries::new();
    for turn in 0..turns {
        entries.extend(written(turn));
        if turn > 0 {
            entries.remove(&key(turn - 1, 5));
            entries.retain(|found, _| !(key(turn - 1, 190)..key(turn - 1, 200)).contains(found));
        }
    }
    entries
}

fn compare(db: &DB, snapshot: Option<&Snapshot>, expected: &Entries) -> Result<(), Failure> {
    let mut cursor = db.cursor(IterOptions::new().snapshot(snapshot.cloned()))?;
    let options = ReadOptions::new().snapshot(snapshot);
    for (key, value) in expected {
        if !cursor.next()? || cursor.key() != key || cursor.value() != value {
            return Err(format!("the cursor differs at {key:?}").into());
        }
        if db.get_with(key, &options)?.as_deref() != Some(value.as_slice()) {
            return Err(format!("get differs at {key:?}").into());
        }
    }
    match cursor.next()? {
        true => Err(format!("too much: {:?}", cursor.key()).into()),
        false => Ok(()),
    }
}

fn run(path: &str, turn: u8) -> Result<(), Failure> {
    let db = DB::open(path, Options::new())?;
    let before = expected(turn);
    compare(&db, None, &before)?;
    let snapshot = db.snapshot()?;
    let mut batch = WriteBatch::new();
    batch.delete_prefix(&[turn])?;
    for (key, value) in written(turn) {
        batch.put(&key, &value)?;
    }
    if turn > 0 {
        batch.delete(&key(turn - 1, 5))?;
        batch.delete_range(Some(&key(turn - 1, 190)), Some(&key(turn - 1, 200)))?;
    }
    let first = snapshot.sequence();
    let operations = |turn| written(turn).len() as u64 + if turn > 0 { 3 } else { 1 };
    if first.0 != (0..turn).map(operations).sum::<u64>() {
        return Err(format!("the snapshot's number is {first}").into());
    }
    let last = db.write(&batch)?;
    if last != first.plus(operations(turn)) {
        return Err(format!("the batch's number is {last} after {first}").into());
    }
    compare(&db, Some(&snapshot), &before)?;
    let now = expected(turn + 1);
    compare(&db, None, &now)?;
    drop(snapshot);
    db.close()?;
    println!(
        "turn {turn}: Rust   read {} entries and left {}",
        before.len(),
        now.len()
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, turn] = arguments.as_slice() else {
        eprintln!("usage: cross DIRECTORY TURN");
        return ExitCode::FAILURE;
    };
    let Ok(turn) = turn.parse() else {
        eprintln!("{turn} is not a turn");
        return ExitCode::FAILURE;
    };
    match run(path, turn) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turn {turn}: Rust: {error}");
            ExitCode::FAILURE
        }
    }
}
