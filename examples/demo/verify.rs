//! Step 4 of the demo: counts every word again without the database, and compares every entry.
//!
//! ```text
//! aidb-demo-verify DATABASE ROOT LIST
//! ```
//!
//! README.md beside this file has the rules for words and keys.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use aidb::{DB, IterOptions, Options};
use indicatif::{ProgressBar, ProgressStyle};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, root, list] = arguments.as_slice() else {
        return Err("usage: aidb-demo-verify DATABASE ROOT LIST".into());
    };
    let list = fs::read_to_string(list)?;
    let files: Vec<&str> = list.lines().collect();

    let bar = ProgressBar::new(files.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "  counting again {bar:40} {pos} of {len} files",
    )?);
    let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut totals: HashMap<String, u64> = HashMap::new();
    for file in bar.wrap_iter(files.iter()) {
        let text = fs::read(Path::new(root).join(file))?;
        let mut counts: HashMap<String, u64> = HashMap::new();
        for word in words(&text) {
            *counts.entry(word).or_default() += 1;
        }
        let all: u64 = counts.values().sum();
        expected.insert(key("", file), all.to_string().into_bytes());
        for (word, count) in counts {
            expected.insert(key(&word, file), count.to_string().into_bytes());
            *totals.entry(word).or_default() += count;
        }
    }
    bar.finish_and_clear();

    let db = DB::open(database, Options::new().create_if_missing(false))?;
    let started = Instant::now();
    let mut cursor = db.cursor(IterOptions::default())?;
    let mut bytes = 0;
    for (key, value) in &expected {
        if !cursor.next()? || cursor.key() != key || cursor.value() != value {
            let found = cursor.key().escape_ascii();
            return Err(format!("{} expected, {found} found", key.escape_ascii()).into());
        }
        bytes += key.len() + value.len();
    }
    if cursor.next()? {
        return Err(format!("{} is too much", cursor.key().escape_ascii()).into());
    }
    let scan = started.elapsed().as_secs_f64();

    // Every hundredth entry by get as well, spread over the whole index.
    let started = Instant::now();
    let mut gets = 0u32;
    for (key, value) in expected.iter().step_by(100) {
        if db.get(key)?.as_deref() != Some(value.as_slice()) {
            return Err(format!("get {} differs", key.escape_ascii()).into());
        }
        gets += 1;
    }
    let get = started.elapsed().as_secs_f64();
    db.close()?;

    let mut top: Vec<(&String, &u64)> = totals.iter().collect();
    top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let top: Vec<String> = top
        .iter()
        .take(8)
        .map(|(word, count)| format!("{word} {count}x"))
        .collect();
    let entries = expected.len();
    println!("Rust:   most frequent: {}", top.join(", "));
    println!(
        "Rust:   {} files, {} words, {} postings: all {entries} entries are as counted again",
        files.len(),
        totals.len(),
        entries - files.len(),
    );
    println!(
        "Rust:   scanned {:.1} MB at {:.1} million entries/s, {gets} gets at {:.0} thousand/s",
        bytes as f64 / 1e6,
        entries as f64 / scan / 1e6,
        f64::from(gets) / get / 1e3,
    );
    Ok(())
}

fn key(word: &str, file: &str) -> Vec<u8> {
    [word.as_bytes(), b"\0", file.as_bytes()].concat()
}

/// The words of a text, in its order.
fn words(text: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        at += 1;
        if !(text[start].is_ascii_alphabetic() || text[start] == b'_') {
            continue;
        }
        while at < text.len() && (text[at].is_ascii_alphanumeric() || text[at] == b'_') {
            at += 1;
        }
        if (2..=64).contains(&(at - start)) {
            let word = String::from_utf8_lossy(&text[start..at]);
            words.push(word.to_ascii_lowercase());
        }
    }
    words
}
