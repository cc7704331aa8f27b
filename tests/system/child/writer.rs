//! Writes until it is killed, and reports its steps: `writer DIR SEED WRITERS LIFE OFFSET`.
//!
//! Lines: `clock S`, the wall clock; `opening`, `open N...`, the batches found of each writer; `did W N`, an
//! acknowledged batch; `begin WHAT`, `end WHAT` around a call other than a write; `closing`, `closed`.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aidb::{DB, WriteBatch, WriteOptions};
use aidb_tests::history::batch_of;
use aidb_tests::{Random, options, work};

use crate::{clock, say};

pub fn run(arguments: &[String]) {
    let [dir, seed, writers, life, offset] = arguments else {
        panic!("writer DIR SEED WRITERS LIFE OFFSET");
    };
    let dir = Path::new(dir);
    let (seed, writers): (u64, u64) = (seed.parse().unwrap(), writers.parse().unwrap());
    let life: u64 = life.parse().unwrap();
    clock::shift(offset.parse().unwrap());
    let now = SystemTime::now();
    let seconds = match now.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    };
    say(&format!("clock {seconds}"));
    let mut random = Random::new(seed ^ life.rotate_left(32));
    let mut copies = 0;
    loop {
        say("opening");
        let db = DB::open(dir, options(&mut Random::new(seed))).unwrap();
        let counts: Vec<u64> = (0..writers)
            .map(|writer| work::held(&db, writer).unwrap())
            .collect();
        let text: Vec<String> = counts.iter().map(u64::to_string).collect();
        say(&format!("open {}", text.join(" ")));
        let last = counts
            .iter()
            .map(|count| count + 1 + random.below(700))
            .collect();
        write(&db, seed, &counts, last, &mut random, |keeper| {
            copies += 1;
            let name = format!("copy-{life}-{copies}");
            keeper.checkpoint(dir.parent().unwrap().join(&name), &name);
        });
        say("closing");
        match random.one_in(2) {
            true => db.close().unwrap(),
            false => drop(db),
        }
        say("closed");
    }
}

/// Lets every writer go from its count to its last, and makes other calls beside them.
fn write(
    db: &DB,
    seed: u64,
    counts: &[u64],
    last: Vec<u64>,
    random: &mut Random,
    mut checkpoint: impl FnMut(&Keeper<'_>),
) {
    let busy = AtomicUsize::new(counts.len());
    std::thread::scope(|scope| {
        for (writer, (&first, last)) in (0u64..).zip(counts.iter().zip(last)) {
            let busy = &busy;
            scope.spawn(move || {
                for number in first..last {
                    let (entries, sync) = work::batch(seed, writer, number);
                    let batch = batch_of(&entries).unwrap();
                    let options = WriteOptions::new().sync(sync);
                    db.write_with(&batch, &options).unwrap();
                    say(&format!("did {writer} {number}"));
                }
                busy.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let keeper = Keeper { db };
        while busy.load(Ordering::SeqCst) > 0 {
            match random.below(10) {
                0..=2 => keeper.call("flush", || db.flush().unwrap()),
                3..=4 => {
                    let start = [random.below(counts.len() as u64) as u8];
                    keeper.call("compact", || db.compact_range(Some(&start), None).unwrap());
                }
                5 => checkpoint(&keeper),
                6..=7 => keeper.call("sync", || {
                    db.write_with(&WriteBatch::new(), &WriteOptions::synced())
                        .unwrap();
                }),
                8 => clock::shift(random.below(1 << 31) as i64 - (1 << 30)),
                _ => keeper.call("walk", || assert!(db.iter().all(|entry| entry.is_ok()))),
            }
        }
    });
}

/// Makes the calls other than writes.
struct Keeper<'a> {
    db: &'a DB,
}

impl Keeper<'_> {
    fn call(&self, what: &str, work: impl FnOnce()) {
        say(&format!("begin {what}"));
        work();
        say(&format!("end {what}"));
    }

    fn checkpoint(&self, path: impl AsRef<Path>, name: &str) {
        self.call(name, || self.db.checkpoint(path).unwrap());
    }
}
