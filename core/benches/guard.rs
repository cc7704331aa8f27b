//! What does one operation cost, in instructions?
//!
//! Fixed workloads for callgrind, which counts while [`counted`] runs and at no other time: one thread, no background
//! work, keys from a fixed order. `guard` names the workloads, one on a line with the number of operations; `guard
//! WORKLOAD` runs one. scripts/guard.sh divides and compares with core/benches/guard.txt.
//!
//! Instructions are not time: a cache miss counts as one. But they are the same on a busy machine, so that an operation
//! that has become dearer by a few percent shows.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use aidb::{Compression, DB, IterOptions, Options, WriteBatch};

type Failure = Box<dyn Error>;

const ENTRIES: u64 = 20_000;
const MANY_ENTRIES: u64 = 100_000;
const OPERATIONS: u64 = 5_000;
const SEEKS: u64 = 2_000;
const BATCH: u64 = 100;

/// Name and number of operations.
const WORKLOADS: [(&str, u64); 18] = [
    ("put", OPERATIONS),
    ("put-ascending", OPERATIONS),
    ("batch-put", OPERATIONS),
    ("delete", OPERATIONS),
    ("get-put", OPERATIONS),
    ("transaction", OPERATIONS),
    ("get-memtable", OPERATIONS),
    ("get-table", OPERATIONS),
    ("get-missing", OPERATIONS),
    ("get-many", OPERATIONS),
    ("seek", SEEKS),
    ("next", ENTRIES),
    ("prev", ENTRIES),
    ("flush", ENTRIES),
    ("compact", ENTRIES),
    ("fill-compact", ENTRIES),
    ("fill-settle", MANY_ENTRIES),
    ("recovery", ENTRIES),
];

/// The region that callgrind counts. One symbol that is never inlined: scripts/guard.sh gives its name to
/// `--toggle-collect`.
#[inline(never)]
fn counted(work: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    work()
}

fn options() -> Options {
    Options::new()
        .write_buffer_size(64 << 20)
        .block_cache_size(256 << 20)
        .block_size(4 << 10)
        .bloom_bits_per_key(10)
        .compression(Compression::Snappy)
        .manual_background(true)
}

/// Sixteen decimal digits; multiplying by an odd number makes an order of the 32-bit numbers that looks random.
fn scattered(index: u64) -> [u8; 16] {
    ascending(u64::from((index as u32).wrapping_mul(0x9e37_79b1)))
}

fn ascending(mut number: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    for digit in key.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    key
}

/// 100 bytes, half of them hard to compress.
fn value(index: u64) -> [u8; 100] {
    let mut value = [b'x'; 100];
    let mut state = index;
    for byte in &mut value[..50] {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        *byte = (state >> 56) as u8;
    }
    value
}

fn fill(db: &DB) -> Result<(), Failure> {
    fill_with(db, ENTRIES)
}

fn fill_with(db: &DB, entries: u64) -> Result<(), Failure> {
    for index in 0..entries {
        db.put(&scattered(index), &value(index))?;
    }
    Ok(())
}

/// Every entry in one table, whose blocks are in the cache.
fn settle(db: &DB) -> Result<(), Failure> {
    fill(db)?;
    db.flush()?;
    for index in 0..ENTRIES {
        black_box(db.get(&scattered(index))?);
    }
    Ok(())
}

/// Some entry, in another order than they were written in.
fn some(step: u64) -> u64 {
    step * 7919 % ENTRIES
}

fn get(db: &DB) -> Result<(), Failure> {
    counted(&mut || {
        for step in 0..OPERATIONS {
            let found = db.get(&scattered(some(step)))?;
            black_box(found.ok_or("an entry is missing")?.len());
        }
        Ok(())
    })
}

/// The options of a workload's database.
fn options_of(workload: &str) -> Options {
    match workload {
        // Some ten flushes, and compactions on the way.
        "compact" | "fill-compact" => options()
            .write_buffer_size(256 << 10)
            .level_base_size(512 << 10)
            .target_file_size(256 << 10),
        // The same in tables of many more blocks than are checked one by one.
        "fill-settle" => options()
            .write_buffer_size(2 << 20)
            .target_file_size(64 << 20),
        _ => options(),
    }
}

/// The workloads that write to a memtable.
fn write(workload: &str, db: &DB) -> Result<(), Failure> {
    fill(db)?;
    counted(&mut || {
        match workload {
            "put" => {
                for index in ENTRIES..ENTRIES + OPERATIONS {
                    db.put(&scattered(index), &value(index))?;
                }
            }
            "put-ascending" => {
                for index in 0..OPERATIONS {
                    db.put(&ascending(1 << 40 | index), &value(index))?;
                }
            }
            "batch-put" => {
                let mut batch = WriteBatch::new();
                for first in (ENTRIES..ENTRIES + OPERATIONS).step_by(BATCH as usize) {
                    batch.clear();
                    for index in first..first + BATCH {
                        batch.put(&scattered(index), &value(index))?;
                    }
                    db.write(&batch)?;
                }
            }
            "get-put" => {
                for step in 0..OPERATIONS {
                    let key = scattered(some(step));
                    black_box(db.get(&key)?.ok_or("an entry is missing")?.len());
                    db.put(&key, &value(step))?;
                }
            }
            "transaction" => {
                for step in 0..OPERATIONS {
                    let key = scattered(some(step));
                    let transaction = db.begin()?;
                    black_box(transaction.get(&key)?.ok_or("an entry is missing")?.len());
                    transaction.put(&key, &value(step))?;
                    transaction.commit()?;
                }
            }
            _ => {
                for step in 0..OPERATIONS {
                    db.delete(&scattered(some(step)))?;
                }
            }
        }
        Ok(())
    })
}

fn get_missing(db: &DB) -> Result<(), Failure> {
    counted(&mut || {
        for step in 0..OPERATIONS {
            if db.get(&scattered(ENTRIES + step))?.is_some() {
                return Err("an entry that nobody wrote".into());
            }
        }
        Ok(())
    })
}

fn get_many(db: &DB) -> Result<(), Failure> {
    counted(&mut || {
        for first in (0..OPERATIONS).step_by(BATCH as usize) {
            let keys: Vec<_> = (first..first + BATCH)
                .map(|step| scattered(some(step)))
                .collect();
            black_box(db.get_many(&keys)?);
        }
        Ok(())
    })
}

fn seek(db: &DB) -> Result<(), Failure> {
    let mut cursor = db.cursor(IterOptions::default())?;
    counted(&mut || {
        for step in 0..SEEKS {
            cursor.seek(&scattered(some(step)))?;
            black_box(cursor.key());
        }
        Ok(())
    })
}

fn walk(db: &DB, forward: bool) -> Result<(), Failure> {
    let mut cursor = db.cursor(IterOptions::default())?;
    counted(&mut || {
        let mut entries = 0;
        while match forward {
            true => cursor.next()?,
            false => cursor.prev()?,
        } {
            black_box((cursor.key(), cursor.value()));
            entries += 1;
        }
        match entries {
            ENTRIES => Ok(()),
            _ => Err(format!("{entries} of {ENTRIES} entries").into()),
        }
    })
}

fn recover(db: DB, path: &Path, options: Options) -> Result<(), Failure> {
    fill(&db)?;
    // Dropped, not closed: what was written is in the log alone.
    drop(db);
    let mut opened = None;
    counted(&mut || {
        opened = Some(DB::open(path, options.clone())?);
        Ok(())
    })?;
    let db = opened.ok_or("nothing was opened")?;
    db.get(&scattered(0))?.ok_or("an entry is missing")?;
    Ok(())
}

fn run(workload: &str) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("db");
    let options = options_of(workload);
    let db = DB::open(&path, options.clone())?;
    match workload {
        "put" | "put-ascending" | "batch-put" | "delete" | "get-put" | "transaction" => {
            return write(workload, &db);
        }
        "get-memtable" | "flush" | "compact" => fill(&db)?,
        "get-table" | "get-missing" | "get-many" | "seek" | "next" | "prev" => settle(&db)?,
        _ => {}
    }
    match workload {
        "get-memtable" | "get-table" => get(&db),
        "get-missing" => get_missing(&db),
        "get-many" => get_many(&db),
        "seek" => seek(&db),
        "next" | "prev" => walk(&db, workload == "next"),
        "flush" => counted(&mut || Ok(db.flush()?)),
        "compact" => {
            db.flush()?;
            counted(&mut || Ok(db.compact_range(None, None)?))
        }
        // All that a write costs until its entry lies where it stays.
        "fill-compact" => counted(&mut || {
            fill(&db)?;
            Ok(db.compact_range(None, None)?)
        }),
        "fill-settle" => counted(&mut || {
            fill_with(&db, MANY_ENTRIES)?;
            Ok(db.compact_range(None, None)?)
        }),
        "recovery" => recover(db, &path, options),
        _ => Err(format!("no workload {workload}").into()),
    }
}

fn main() -> Result<(), Failure> {
    // `cargo bench` adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    match arguments.next() {
        Some(workload) => run(&workload),
        None => {
            for (workload, operations) in WORKLOADS {
                println!("{workload} {operations}");
            }
            Ok(())
        }
    }
}
