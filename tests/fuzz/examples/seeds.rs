//! Writes the seed corpus, `corpus/`, from files that the engine writes; the same bytes every time.
//!
//! `cargo run --example seeds` in tests/fuzz, after a change to a format.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aidb::env::{Env, MemEnv};
use aidb::{Compression, DB, Options, WriteBatch, fuzz_checks};
use aidb_test_data::{Fill, Random};
use aidb_tests::history::{Content, History, NAMES, Operation};

fn main() {
    wal_batch_table_manifest();
    blocks();
    options();
    interface();
    directories();
}

fn save(target: &str, name: &str, parts: &[&[u8]]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    std::fs::create_dir_all(&path).expect("the corpus can be written");
    std::fs::write(path.join(name), parts.concat()).expect("the corpus can be written");
}

/// The files, by name, of a database after `work`.
fn files(options: Options, work: impl FnOnce(&DB)) -> Vec<(String, Vec<u8>)> {
    let env = MemEnv::new();
    env.hold_clock(Some(1_700_000_000_000_000));
    let options = options.env(Arc::new(env.clone())).manual_background(true);
    let db = DB::open("/db", options).expect("an empty environment");
    work(&db);
    let mut names = env.list(Path::new("/db")).expect("it exists");
    names.sort();
    let read = |name: &String| {
        let path: PathBuf = Path::new("/db").join(name);
        let file = env.open_read(&path).expect("it is listed");
        let mut bytes = vec![0; file.len().expect("it is open") as usize];
        file.read_at(0, &mut bytes).expect("it is open");
        bytes
    };
    names
        .iter()
        .map(|name| (name.clone(), read(name)))
        .collect()
}

fn batch(entries: u32, value: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for number in 0..entries {
        let key = format!("key{number:03}");
        match number % 5 {
            4 => batch.delete(key.as_bytes()),
            _ => batch.put(key.as_bytes(), &vec![b'v'; value]),
        }
        .expect("keys and values are short");
    }
    batch
}

fn wal_batch_table_manifest() {
    for (name, entries, value) in [
        ("empty", 0, 0),
        ("one", 1, 5),
        ("many", 30, 7),
        ("long", 2, 900),
    ] {
        save(
            "batch",
            name,
            &[&fuzz_checks::encoded_batch(&batch(entries, value))],
        );
    }
    let small = || Options::new().block_size(128).block_restart_interval(4);

    let logs = [("records", 3), ("fragments", 17_000)].map(|(name, value)| {
        let files = files(small(), |db| {
            for entries in [1, 4, 2] {
                let options = aidb::WriteOptions::new().sync(entries == 4);
                let value = if entries == 2 { value } else { 9 };
                db.write_with(&batch(entries, value), &options)
                    .expect("nothing fails");
            }
        });
        (name, files)
    });
    for (name, files) in &logs {
        for (_, bytes) in files.iter().filter(|(name, _)| name.ends_with(".log")) {
            // The engine preallocates the log.
            let written = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            save("wal", name, &[&[0, 0, 0], &bytes[..written]]);
            save(
                "wal",
                &format!("{name}-up-to-a-limit"),
                &[&[2, 90, 0], &bytes[..written.min(400)]],
            );
        }
    }
    for codec in Compression::ALL {
        let options = small().compression(codec);
        let files = files(options, |db| {
            db.write(&batch(3, 5)).expect("nothing fails");
            let _snapshot = db.snapshot().expect("it is open");
            db.write(&batch(20, 40)).expect("nothing fails");
            db.flush().expect("nothing fails");
        });
        for (_, bytes) in files.iter().filter(|(name, _)| name.ends_with(".sst")) {
            save("table", codec.name(), &[&[0], bytes]);
        }
        if codec == Compression::None {
            manifest("one-table", &files);
        }
    }
    for (name, bits) in [("no-filter", 0), ("filter", 10)] {
        let files = files(Options::new().bloom_bits_per_key(bits), |db| {
            db.write(&batch(3, 5)).expect("nothing fails");
            db.flush().expect("nothing fails");
        });
        for (_, bytes) in files.iter().filter(|(name, _)| name.ends_with(".sst")) {
            save("table", name, &[&[0], bytes]);
        }
    }
    manifest("new", &files(small(), |_| ()));
    let reopened = files(small().level0_compaction_trigger(2), |db| {
        for _ in 0..4 {
            db.write(&batch(10, 20)).expect("nothing fails");
            db.flush().expect("nothing fails");
            while db.run_background_step().expect("nothing fails") {}
        }
    });
    manifest("edits", &reopened);
}

fn manifest(name: &str, files: &[(String, Vec<u8>)]) {
    let find = |wanted: &str| {
        let found = files.iter().find(|(name, _)| name == wanted);
        &found.expect("every database has it").1
    };
    let (current, manifest) = (find("CURRENT"), find("MANIFEST-000001"));
    let packed = aidb_fuzz::pack_manifest(manifest);
    save(
        "manifest",
        name,
        &[&[0, current.len() as u8], current, &packed],
    );
    // After head and slots: records of checksum, length and payload.
    let mut records = &packed[aidb_fuzz::PACKED_BYTES..];
    for number in 0.. {
        let Some(length) = records.get(4..8) else {
            break;
        };
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        save(
            "version_edit",
            &format!("{name}-{number}"),
            &[&records[8..8 + length]],
        );
        records = &records[8 + length..];
    }
}

/// Directories with one table, with one log, and with both, of a database that was left open and one that was closed.
fn directories() {
    let small = || Options::new().block_size(128).block_restart_interval(4);
    let write = |db: &DB, entries, value| {
        let options = aidb::WriteOptions::new().sync(true);
        db.write_with(&batch(entries, value), &options)
            .expect("nothing fails");
    };
    let log = files(small(), |db| {
        write(db, 3, 5);
        write(db, 20, 9);
    });
    let both = files(small().bloom_bits_per_key(0), |db| {
        write(db, 20, 30);
        db.flush().expect("nothing fails");
        write(db, 5, 7);
    });
    let compacted = files(small().compression(Compression::Zstd), |db| {
        write(db, 12, 200);
        db.compact_range(None, None).expect("nothing fails");
        db.delete(b"key001").expect("nothing fails");
        db.close().expect("nothing fails");
    });
    for (name, mode, files) in [
        ("log", 0, &log),
        ("log-to-repair", 2, &log),
        ("table-and-log", 4, &both),
        ("table-and-log-to-repair", 2, &both),
        ("damaged", 1, &both),
        ("compacted", 0, &compacted),
    ] {
        save("open", name, &[&directory(files).encode(mode)]);
    }
}

/// The files of a directory that go into the input: the last log and the last table if there are several.
fn directory(files: &[(String, Vec<u8>)]) -> aidb_fuzz::Directory {
    let last = |is_wanted: fn(&str) -> bool| {
        let found = files.iter().rfind(|(name, _)| is_wanted(name));
        let (name, bytes) = found.cloned().unwrap_or_default();
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        // The engine preallocates the log.
        let written = bytes.iter().rposition(|byte| *byte != 0);
        let bytes = bytes[..written.map_or(0, |last| last + 1)].to_vec();
        (digits.parse().unwrap_or(99), bytes)
    };
    let (_, current) = last(|name| name == "CURRENT");
    let (manifest_number, manifest) = last(|name| name.starts_with("MANIFEST-"));
    let (log_number, log) = last(|name| name.ends_with(".log"));
    let (table_number, table) = last(|name| name.ends_with(".sst"));
    aidb_fuzz::Directory {
        numbers: [manifest_number, log_number, table_number],
        current,
        manifest: aidb_fuzz::pack_manifest(&manifest),
        log,
        table,
    }
}

fn blocks() {
    // Entries: shared, suffix and value lengths, suffix, trailer, value; then the restart points and their count.
    let mut raw = Vec::new();
    for number in 0..24u8 {
        let shared = if number % 4 == 0 { 0 } else { 3 };
        let key = [b'k', b'e', b'y', b'a' + number];
        raw.extend([shared, 4 - shared, number]);
        raw.extend(&key[shared as usize..]);
        raw.extend((u64::from(number) << 8 | 1).to_le_bytes());
        raw.extend(vec![b'v'; number.into()]);
    }
    let mut restarts: Vec<u32> = Vec::new();
    let mut at = 0u32;
    for number in 0..24u32 {
        let shared = if number % 4 == 0 { 0 } else { 3 };
        if shared == 0 {
            restarts.push(at);
        }
        at += 3 + (4 - shared) + 8 + number;
    }
    raw.extend(restarts.iter().flat_map(|restart| restart.to_le_bytes()));
    raw.extend((restarts.len() as u32).to_le_bytes());
    assert_eq!(fuzz_checks::block(raw.clone()).ok(), Some(24));
    for codec in Compression::ALL {
        let (number, payload) = fuzz_checks::compress(codec, &raw);
        save("block", codec.name(), &[&[number], &payload]);
    }
}

fn options() {
    let mut every = String::new();
    for name in Options::names() {
        let value = Options::new().get(name).expect("it is listed");
        every.push_str(&format!("{name}={value}\n"));
    }
    save("options", "defaults", &[every.as_bytes()]);
    let units = "write_buffer_size=64MiB\nblock_size=1.5 kib\ncompression=zstd\nread_only=yes\nlock_timeout=250\n";
    save("options", "units", &[units.as_bytes()]);
    save(
        "options",
        "mistakes",
        &[b"block_cach_size=1\ncompression=rar\nblock_size=-1\nx"],
    );
}

/// Histories that have each kind of operation, and some that have large data.
fn interface() {
    let mut random = Random::new(1);
    let mut names = BTreeSet::new();
    let (mut saved, mut large) = (0, 0);
    // A decoded history never has a key that is too long.
    while names.len() < NAMES.len() - 1 || large < 4 {
        let bytes: Vec<u8> = (0..400).map(|_| random.next() as u8).collect();
        let history = History::decode(&bytes);
        let known = names.len();
        names.extend(history.operations.iter().map(Operation::name));
        let is_large = history.operations.iter().any(has_large_noise);
        if names.len() > known || is_large && large < 4 {
            save("interface", &format!("{saved:02}"), &[&bytes]);
            saved += 1;
        }
        large += u32::from(is_large);
    }
}

/// Whether it puts a value of more than 64 KiB that does not compress.
fn has_large_noise(operation: &Operation) -> bool {
    let large = |content: &Content| content.length > 64 << 10 && content.fill == Fill::Noise;
    match operation {
        Operation::Put { value, .. } => large(value),
        Operation::Batch { entries, .. } => entries
            .iter()
            .any(|entry| entry.content().as_ref().is_some_and(large)),
        _ => false,
    }
}
