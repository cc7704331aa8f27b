//! `kill -9` in the middle of writes: what was acknowledged is there, and the rest is a prefix.
//!
//! A child writes operations that a seed decides and says each number behind its acknowledgement. The parent
//! kills it, opens the directory and compares it with a model: for each writer, the state behind some number of
//! its operations, and at least behind every acknowledged one. The next child goes on from there.

use aidb::{DB, WriteBatch, WriteOptions};
use aidb_tests::{Model, Random, Walk};

use crate::child::{self, Role};

const SEED_VARIABLE: &str = "AIDB_CRASH_SEED";

/// The operations number `number` of the writer `writer`: the same in parent and child.
fn operations(seed: u64, writer: u64, number: u64) -> (WriteBatch, WriteOptions) {
    let mut random =
        Random::new(seed ^ (writer << 56) ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    random.next();
    let mut batch = WriteBatch::new();
    let count = match random.below(4) {
        0 => 1 + random.below(20),
        _ => 1,
    };
    for _ in 0..count {
        let key = [vec![writer as u8], random.key()].concat();
        match random.one_in(4) {
            true => batch.delete(&key).unwrap(),
            false => batch.put(&key, &random.value()).unwrap(),
        }
    }
    // The counter makes every number of operations a different state.
    batch
        .put(&[writer as u8, b'#'], &number.to_be_bytes())
        .unwrap();
    let sync = random.one_in(20);
    (batch, WriteOptions { sync })
}

#[test]
#[ignore = "the child of killed_writers_keep_every_acknowledged_write"]
fn writer_child() {
    let (Some(dir), Some(seed), Some(starts)) = (
        child::variable("AIDB_CHILD_DIR"),
        child::variable("AIDB_CHILD_SEED"),
        child::variable("AIDB_CHILD_STARTS"),
    ) else {
        return;
    };
    let seed: u64 = seed.parse().unwrap();
    let db = DB::open(dir, Random::new(seed).options()).unwrap();
    child::say("open");
    std::thread::scope(|scope| {
        for (writer, start) in (0u64..).zip(starts.split(',')) {
            let (db, start) = (db.clone(), start.parse::<u64>().unwrap());
            scope.spawn(move || {
                for number in start.. {
                    let (batch, options) = operations(seed, writer, number);
                    db.write_with(&batch, &options).unwrap();
                    child::say(&format!("{writer} {number}"));
                }
            });
        }
    });
}

#[test]
fn killed_writers_keep_every_acknowledged_write() {
    let (seed, given) = Random::seed_from(SEED_VARIABLE);
    let rounds = if given { 1 } else { 3 };
    for round in 0..rounds {
        // 63 bits: the child reads it back as a decimal number.
        let seed = seed.wrapping_add(round) >> 1 << 1;
        println!(
            "rerun: {SEED_VARIABLE}={seed:#x} cargo test -p aidb-tests --test integration \
             killed_writers_keep_every_acknowledged_write -- --nocapture"
        );
        kill_and_compare(seed);
    }
}

fn kill_and_compare(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(seed);
    let options = Random::new(seed).options();
    let writers = *random.pick(&[1usize, 4]);
    let mut written = vec![0u64; writers];
    let mut models = vec![Model::new(); writers];
    for life in 0..5 {
        let starts: Vec<String> = written.iter().map(u64::to_string).collect();
        let mut role = Role::start(
            "crash::writer_child",
            &[
                ("AIDB_CHILD_DIR", dir.path().display().to_string()),
                ("AIDB_CHILD_SEED", seed.to_string()),
                ("AIDB_CHILD_STARTS", starts.join(",")),
            ],
        );
        let mut acknowledged = written.clone();
        let mut left = 1 + random.below(1500);
        while let Some(said) = role.hear() {
            if let Some((writer, number)) = said.split_once(' ') {
                let (writer, number): (usize, u64) =
                    (writer.parse().unwrap(), number.parse().unwrap());
                assert_eq!(number, acknowledged[writer], "in order");
                acknowledged[writer] = number + 1;
            }
            left = left.saturating_sub(1);
            if left == 0 {
                role.kill();
            }
        }
        assert_eq!(left, 0, "life {life}: the child ended before it was killed");
        drop(role);

        let db = DB::open(dir.path(), options.clone()).unwrap();
        for writer in 0..writers {
            compare(
                &db,
                seed,
                writer,
                &mut written[writer],
                &mut models[writer],
                acknowledged[writer],
            );
        }
        // Half of the lives leave their log to the next recovery untouched, the others flush it.
        if random.one_in(2) {
            db.close().unwrap();
        } else {
            drop(db);
        }
    }
}

/// Moves `model` on from `written` operations to the number that the database holds, and compares the two.
fn compare(
    db: &DB,
    seed: u64,
    writer: usize,
    written: &mut u64,
    model: &mut Model,
    acknowledged: u64,
) {
    let counter = db.get(&[writer as u8, b'#']).unwrap();
    let held = counter.map_or(0, |bytes| {
        u64::from_be_bytes(bytes[..].try_into().unwrap()) + 1
    });
    assert!(
        held == acknowledged || held == acknowledged + 1,
        "writer {writer}: {acknowledged} acknowledged, {held} there"
    );
    while *written < held {
        let (batch, _) = operations(seed, writer as u64, *written);
        model.write(&batch);
        *written += 1;
    }
    let found: Vec<_> = db
        .prefix(&[writer as u8])
        .map(|entry| entry.unwrap())
        .collect();
    assert!(
        found == model.entries(&Walk::default()),
        "writer {writer}: the state is not the one behind {held} operations"
    );
}
