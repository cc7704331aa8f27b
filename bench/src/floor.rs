//! The floor: AiDb must not be slower than LevelDB. README.md beside `src` describes the workloads.
//!
//! `floor` alone starts itself once per store and round and prints the table; `floor run STORE DIRECTORY ENTRIES` is
//! one such child, which prints a line `WORKLOAD SECONDS` for each.

mod leveldb;

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

type Failure = Box<dyn Error>;

const STORES: [&str; 2] = ["aidb", "leveldb"];
const WORKLOADS: [&str; 3] = ["fillrandom", "readrandom", "scan"];

/// What a store must do for the workloads.
trait Store {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure>;
    /// The length of the value, whose bytes were touched.
    fn get(&mut self, key: &[u8]) -> Result<Option<usize>, Failure>;
    /// The number of entries, whose keys and values were touched.
    fn scan(&mut self) -> Result<u64, Failure>;
    /// Compacts everything.
    fn settle(&mut self) -> Result<(), Failure>;
}

struct AiDb(aidb::DB);

impl AiDb {
    fn open(path: &Path) -> Result<AiDb, Failure> {
        let options = aidb::Options::new()
            .write_buffer_size(64 << 20)
            .block_cache_size(256 << 20)
            .block_size(4 << 10)
            .bloom_bits_per_key(10)
            .compression(aidb::Compression::Snappy);
        Ok(AiDb(aidb::DB::open(path, options)?))
    }
}

impl Store for AiDb {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        Ok(self.0.put(key, value)?)
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<usize>, Failure> {
        let value = self.0.get(key)?;
        Ok(value.map(|value| black_box(&value[..]).len()))
    }

    fn scan(&mut self) -> Result<u64, Failure> {
        let mut cursor = self.0.cursor(aidb::IterOptions::default())?;
        let mut count = 0;
        while cursor.next()? {
            black_box((cursor.key(), cursor.value()));
            count += 1;
        }
        Ok(count)
    }

    fn settle(&mut self) -> Result<(), Failure> {
        Ok(self.0.compact_range(None, None)?)
    }
}

fn open(store: &str, path: &Path) -> Result<Box<dyn Store>, Failure> {
    match store {
        "aidb" => Ok(Box::new(AiDb::open(path)?)),
        "leveldb" => Ok(Box::new(leveldb::LevelDb::open(path)?)),
        _ => Err(format!("no store {store}").into()),
    }
}

/// SplitMix64 of a number.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn key(number: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    let mut rest = number;
    for digit in key.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// 100 bytes, the second half a repetition of one byte.
fn value(number: u64) -> [u8; 100] {
    let mut value = [b'x'; 100];
    for (index, chunk) in value[..50].chunks_mut(8).enumerate() {
        let noise = mix(number * 8 + index as u64).to_le_bytes();
        chunk.copy_from_slice(&noise[..chunk.len()]);
    }
    value
}

fn timed(workload: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let started = Instant::now();
    work()?;
    println!("{workload} {}", started.elapsed().as_secs_f64());
    Ok(())
}

fn run(store: &str, path: &Path, entries: u64) -> Result<(), Failure> {
    // A permutation of 0..entries that looks random: a step without a divisor in common with the number of entries.
    let mut step = entries * 6 / 10 + 11;
    while common_divisor(step, entries) != 1 {
        step += 1;
    }
    let mut db = open(store, path)?;
    timed("fillrandom", || {
        for index in 0..entries {
            let number = index * step % entries;
            db.put(&key(number), &value(number))?;
        }
        Ok(())
    })?;
    drop(db);
    let mut db = open(store, path)?;
    db.settle()?;
    let mut read = |seed: u64| -> Result<(), Failure> {
        for index in 0..entries {
            let number = mix(seed + index) % entries;
            if db.get(&key(number))? != Some(100) {
                return Err(format!("{store} lost entry {number}").into());
            }
        }
        Ok(())
    };
    read(1)?;
    timed("readrandom", || read(1 << 40))?;
    timed("scan", || match db.scan()? {
        count if count == entries => Ok(()),
        count => Err(format!("{store} has {count} of {entries} entries").into()),
    })
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

fn number(variable: &str, default: u64) -> Result<u64, Failure> {
    match std::env::var(variable) {
        Ok(text) => Ok(text
            .parse()
            .map_err(|_| format!("{variable}={text} is no number"))?),
        Err(_) => Ok(default),
    }
}

/// The child's times by workload.
fn round(store: &str, entries: u64) -> Result<BTreeMap<String, f64>, Failure> {
    let path = std::env::temp_dir().join(format!("aidb-floor-{}-{store}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let child = Command::new(std::env::current_exe()?)
        .args(["run", store])
        .arg(&path)
        .arg(entries.to_string())
        .output()?;
    let _ = std::fs::remove_dir_all(&path);
    if !child.status.success() {
        return Err(String::from_utf8_lossy(&child.stderr).into_owned().into());
    }
    let said = String::from_utf8(child.stdout)?;
    let times = said.lines().filter_map(|line| {
        let (workload, seconds) = line.split_once(' ')?;
        Some((workload.to_string(), seconds.parse().ok()?))
    });
    Ok(times.collect())
}

/// Median and extremes of rates, in thousands per second.
fn spread(rates: &mut [f64]) -> (f64, String) {
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let (low, high) = (rates[0], rates[rates.len() - 1]);
    (median, format!("{median:.0}k [{low:.0}k-{high:.0}k]"))
}

fn compare() -> Result<(), Failure> {
    let (entries, rounds) = (
        number("BENCH_ENTRIES", 1_000_000)?,
        number("BENCH_ROUNDS", 3)?.max(1),
    );
    let mut rates: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for count in 1..=rounds {
        for store in STORES {
            eprintln!("round {count} of {rounds}: {store}");
            let times = round(store, entries)?;
            for workload in WORKLOADS {
                let seconds = times
                    .get(workload)
                    .ok_or_else(|| format!("{store} skipped {workload}"))?;
                let rate = entries as f64 / seconds / 1e3;
                rates.entry((workload, store)).or_default().push(rate);
            }
        }
    }
    println!("| {entries} entries of 16 + 100 bytes, per second | AiDb | LevelDB | ratio |");
    println!("| --- | ---: | ---: | ---: |");
    for workload in WORKLOADS {
        let mut shown = |store| {
            spread(
                rates
                    .get_mut(&(workload, store))
                    .expect("every round filled it"),
            )
        };
        let (ours, our_text) = shown("aidb");
        let (theirs, their_text) = shown("leveldb");
        println!(
            "| {workload} | {our_text} | {their_text} | {:.2} |",
            ours / theirs
        );
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["run", store, path, entries] => run(store, Path::new(path), entries.parse()?),
        _ => Err("usage: floor, or floor run STORE DIRECTORY ENTRIES".into()),
    }
}
