//! Verification if the bytes on disk are right, but reads do not find the entries, or the manifest differs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::*;
use crate::compression::Compression;
use crate::content::Sum;
use crate::filename::table_path;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::sstable::Builder;
use crate::version::{FileMeta, TableInfo, VersionEdit, gain_of};

const PAIRS: u8 = 40;
const VALUE_BYTES: usize = 100_000;

fn only_table(db: &DB) -> (usize, Arc<FileMeta>) {
    let superversion = db.rooms().tree.load_full();
    let mut files = superversion.version().all_files();
    let (level, file) = files.next().unwrap();
    assert!(files.next().is_none(), "one table");
    (level, Arc::clone(file))
}

fn bytes_of(env: &MemEnv, path: &Path) -> Vec<u8> {
    let file = env.open_read(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn overwrite(env: &MemEnv, path: &Path, bytes: &[u8]) {
    env.open_write(path).unwrap().write_at(0, bytes).unwrap();
}

/// A table of some megabytes, alone in its database, and its path.
fn large_table(env: &MemEnv) -> (DB, PathBuf) {
    let options = options(env)
        .write_buffer_size(64 << 20)
        .compression(Compression::None);
    let db = DB::open("/db", options).unwrap();
    for key in 0..PAIRS {
        db.put(&[key], &[key; VALUE_BYTES]).unwrap();
    }
    db.flush().unwrap();
    let (_, file) = only_table(&db);
    let path = table_path(db.rooms().context.dir(), file.number);
    (db, path)
}

/// The bytes of a valid table with this one's id and layout, in which one value differs.
fn with_another_value(env: &MemEnv, db: &DB) -> Vec<u8> {
    let (_, file) = only_table(db);
    let path = PathBuf::from("/other");
    let options = db.rooms().tree.table_options();
    let made = env.create_new(&path).unwrap();
    let mut builder = Builder::new(made, path.clone(), file.file_id, options).unwrap();
    for key in 0..PAIRS {
        let trailer = Trailer::new(SequenceNumber(u64::from(key) + 1), ValueKind::Put);
        let mut value = vec![key; VALUE_BYTES];
        if key == PAIRS / 2 {
            value[777] ^= 1;
        }
        builder.add(KeyRef::new(&[key], trailer), &value).unwrap();
    }
    assert_eq!(builder.finish().unwrap().file_size, file.size);
    bytes_of(env, &path)
}

/// READS-4.
#[test]
fn reads_that_find_other_entries_than_the_check_of_the_blocks_did_are_our_fault() {
    // From one point of the verification to another the file serves other bytes, which are as valid as the first. The
    // check of the raw bytes is the first seventh; three walks of the table follow, then the merge and the cursors.
    for (from, to, words) in [
        (1.1, 2.0, "a walk forward, block by block, finds"),
        (2.1, 3.0, "a walk forward, reading ahead, finds"),
        (3.1, 4.0, "a walk backward finds"),
        (4.1, 7.0, "a merge of all tables and memtables finds"),
    ] {
        let env = MemEnv::new();
        let (db, path) = large_table(&env);
        let (right, wrong) = (bytes_of(&env, &path), with_another_value(&env, &db));
        let size = right.len() as f64;
        let report = db.verify_with(&mut |at| {
            let done = at.bytes_done as f64 / size;
            let is_spoiled = from <= done && done < to;
            overwrite(&env, &path, if is_spoiled { &wrong } else { &right });
            ControlFlow::Continue(())
        });
        let report = report.unwrap();
        assert!(!report.is_ok() && report.is_complete, "{words}");
        let reported = report.damage.iter().find(|one| one.message.contains(words));
        let reported = reported.unwrap_or_else(|| panic!("{words}: {report:?}"));
        assert!(
            report
                .damage
                .iter()
                .all(|one| one.kind == ErrorKind::Internal)
        );
        let is_of_table = words.starts_with("a walk");
        assert_eq!(reported.file == path, is_of_table, "{reported:?}");
        // The message says where the walks differ, or between which keys.
        let is_placed =
            reported.message.contains("after \"") || reported.message.contains("between \"");
        assert_eq!(is_placed, is_of_table, "{reported:?}");
        overwrite(&env, &path, &right);
        assert!(db.verify().unwrap().is_ok());
    }
}

#[test]
fn a_table_with_another_sum_than_the_manifest_says_is_damage_by_name() {
    let env = MemEnv::new();
    let (db, path) = large_table(&env);
    let (level, file) = only_table(&db);
    // The same table under another number, because the file of a table that an edit removes gets deleted.
    let mut info = file.info.clone();
    info.number = db.rooms().tree.new_number();
    info.content_sum = info.content_sum.map(|sum| sum ^ 1);
    let copy = table_path(db.rooms().context.dir(), info.number);
    let made = env.create_new(&copy).unwrap();
    made.write_at(0, &bytes_of(&env, &path)).unwrap();
    let mut edit = VersionEdit::default();
    edit.remove(level, file.number);
    edit.add(level, info);
    drop(file);
    let gained = gain_of(&edit, db.rooms().tree.load().version());
    db.rooms().tree.install(edit, gained, |_| {}).unwrap();
    let report = db.verify().unwrap();
    assert_eq!(report.damaged_places, 1, "{report:?}");
    let damage = &report.damage[0];
    assert_eq!((&damage.file, damage.kind), (&copy, ErrorKind::Corruption));
    assert!(damage.message.contains("the manifest states"), "{damage:?}");
}

/// MEMTABLE-5, SUM-2.
#[test]
fn a_sealed_memtable_that_does_not_hold_what_was_inserted_is_our_fault() {
    let env = MemEnv::new();
    let db = open(&env);
    // Without a background thread the memtables wait for their flush.
    for key in 0..200u8 {
        if db.rooms().tree.load().sealed().is_empty() {
            db.put(&[key], &[key; 100]).unwrap();
        }
    }
    assert!(db.verify().unwrap().is_ok());
    let mut sum = Sum::default();
    let trailer = Trailer::new(SequenceNumber(1), ValueKind::Delete);
    sum.add_entry(b"never inserted", trailer, b"");
    db.rooms().tree.load().sealed()[0].memtable().account(sum);
    let report = db.verify().unwrap();
    assert_eq!(report.damaged_places, 1, "{report:?}");
    let damage = &report.damage[0];
    assert_eq!(damage.kind, ErrorKind::Internal);
    assert!(damage.message.contains("sealed memtable"), "{damage:?}");
}

/// FLUSH-3.
#[test]
fn a_flush_of_other_entries_than_were_inserted_is_refused_and_leaves_no_table() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"inserted", b"1").unwrap();
    let mut sum = Sum::default();
    let trailer = Trailer::new(SequenceNumber(2), ValueKind::Put);
    sum.add_entry(b"never inserted", trailer, b"2");
    db.rooms().tree.load().active().account(sum);
    let refused = db.flush().unwrap_err();
    assert!(refused.is_unaccounted(), "{refused}");
    assert_eq!(db.stats().unwrap().levels[0].tables, 0);
    let names = env.list(Path::new("/db")).unwrap();
    assert!(
        names.iter().all(|name| !name.ends_with(".sst")),
        "{names:?}"
    );
}

/// VERIFY-1.
#[test]
fn a_verification_puts_no_block_into_the_cache() {
    let env = MemEnv::new();
    let db = open(&env);
    for key in 0..200u8 {
        db.put(&[key], &[key; 100]).unwrap();
    }
    db.flush().unwrap();
    drop(db);
    let db = open(&env);
    assert!(db.verify().unwrap().is_ok());
    assert_eq!(db.rooms().tree.block_cache().stats().used, 0);
    // It does not count as a miss either: a block enters the cache at its second miss.
    db.get(&[7]).unwrap();
    assert_eq!(db.rooms().tree.block_cache().stats().used, 0);
    db.get(&[7]).unwrap();
    assert!(db.rooms().tree.block_cache().stats().used > 0);
}

/// VERIFY-3.
#[test]
fn a_read_that_fails_is_damage_and_never_ends_a_verification() {
    // The reads that compare a cached block with the file count too.
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
    for key in 0..20u8 {
        db.put(&[key], &[key; 500]).unwrap();
    }
    db.flush().unwrap();
    for key in 0..20u8 {
        db.get(&[key]).unwrap();
    }
    let mut reported = 0;
    for nth in 0.. {
        let before = faulty.injected();
        faulty.inject(Fault::new(&[Call::Read], libc::EIO).after(nth));
        let report = db
            .verify()
            .unwrap_or_else(|error| panic!("read {nth}: {error}"));
        faulty.clear();
        if faulty.injected() == before {
            assert!(report.is_ok(), "{report:?}");
            break;
        }
        let damage = report.damage.iter();
        reported += damage.filter(|one| one.kind == ErrorKind::Io).count();
    }
    assert!(reported > 5, "{reported} of the reads were reported");
}

#[test]
fn the_records_behind_one_with_a_wrong_number_are_looked_at_too() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    let batch = WriteBatch::of_put(b"b", b"2").unwrap();
    for number in [50, 51] {
        let payload = crate::wal::Payload::new(batch.encoded());
        let mut log = db.rooms().commit.log();
        let number = SequenceNumber(number);
        log.writer()
            .append(number, &payload, crate::wal::Synced::NOTHING)
            .unwrap();
    }
    let report = db.verify().unwrap();
    assert_eq!((report.logs, report.records), (1, 2), "{report:?}");
    let message = &report.damage[0].message;
    assert!(
        message.contains("begins with number 50, expected 2"),
        "{message}"
    );
}

/// A table that a faulty AiDb might have written: the newest versions of the keys of `db`'s only table, and nothing
/// older.
fn without_older_versions(env: &MemEnv, db: &DB, newest: &[(Vec<u8>, u64)]) -> VersionEdit {
    let (level, file) = only_table(db);
    let number = db.rooms().tree.new_number();
    let path = table_path(db.rooms().context.dir(), number);
    let made = env.create_new(&path).unwrap();
    let mut builder = Builder::new(made, path, 7, db.rooms().tree.table_options()).unwrap();
    for (key, sequence) in newest {
        let trailer = Trailer::new(SequenceNumber(*sequence), ValueKind::Put);
        builder.add(KeyRef::new(key, trailer), &[2; 1000]).unwrap();
    }
    let mut edit = VersionEdit::default();
    edit.remove(level, file.number);
    edit.add(level, TableInfo::new(number, 7, builder.finish().unwrap()));
    edit
}

/// VERIFY-5.
#[test]
fn what_gets_at_a_snapshot_do_not_find_is_our_fault_although_the_newest_is_right() {
    let env = MemEnv::new();
    let options = options(&env)
        .write_buffer_size(1 << 20)
        .compression(Compression::None);
    let db = DB::open("/db", options).unwrap();
    let keys: Vec<Vec<u8>> = (0..PAIRS).map(|key| vec![key]).collect();
    for key in &keys {
        db.put(key, &[1; 1000]).unwrap();
    }
    let snapshot = db.snapshot().unwrap();
    let mut newest = Vec::new();
    for key in &keys {
        db.put(key, &[2; 1000]).unwrap();
        newest.push((key.clone(), db.snapshot().unwrap().sequence().0));
    }
    db.flush().unwrap();
    assert!(db.verify().unwrap().is_ok());
    // Between the walks of the tables and the gets the older versions vanish, as if a compaction had dropped them.
    let mut is_spoiled = false;
    let report = db.verify_with(&mut |at| {
        if at.bytes_done > at.bytes_total / 2 && !is_spoiled {
            is_spoiled = true;
            let edit = without_older_versions(&env, &db, &newest);
            let gained = gain_of(&edit, db.rooms().tree.load().version());
            db.rooms().tree.install(edit, gained, |_| {}).unwrap();
        }
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    let number = snapshot.sequence();
    for words in ["a get of \"", "a get of many keys"] {
        let words = format!("at number {number}, which a snapshot pins, {words}");
        let reported = report.damage.iter().any(|one| one.message.contains(&words));
        assert!(reported, "{words}: {report:?}");
    }
    assert_eq!(report.damaged_places, 2, "{report:?}");
    assert!(
        report
            .damage
            .iter()
            .all(|one| one.kind == ErrorKind::Internal)
    );
    assert_eq!(db.get(&keys[0]).unwrap().as_deref(), Some(&[2; 1000][..]));
}

#[test]
fn a_database_read_at_a_snapshot_of_what_was_changed_deleted_and_added_since_is_whole() {
    for is_flushed in [false, true] {
        let env = MemEnv::new();
        let db = DB::open("/db", options(&env).write_buffer_size(1 << 20)).unwrap();
        let mut random = Random::new(7);
        let mut snapshots = Vec::new();
        for round in 0..4u64 {
            for _ in 0..300 {
                let key = random.below(400).to_be_bytes();
                match random.below(4) {
                    0 => db.delete(&key).unwrap(),
                    _ => db.put(&key, &[round as u8; 30]).unwrap(),
                };
            }
            if is_flushed {
                db.flush().unwrap();
            }
            snapshots.push(db.snapshot().unwrap());
        }
        while !snapshots.is_empty() {
            let report = db.verify().unwrap();
            assert!(report.is_ok(), "{} held: {report:?}", snapshots.len());
            snapshots.remove(0);
        }
        assert!(db.verify().unwrap().is_ok());
    }
}

/// VERIFY-6.
#[test]
fn a_filter_in_memory_that_denies_a_key_of_its_table_is_our_fault() {
    let env = MemEnv::new();
    let (db, path) = large_table(&env);
    let file_id = only_table(&db).1.file_id;
    let right = bytes_of(&env, &path);
    let options = db.rooms().tree.table_options();
    drop(db);
    // When readers open the table they get one with other keys and another filter.
    let other = PathBuf::from("/other");
    let made = env.create_new(&other).unwrap();
    let mut builder = Builder::new(made, other.clone(), file_id, options).unwrap();
    for key in 0..PAIRS {
        let trailer = Trailer::new(SequenceNumber(u64::from(key) + 1), ValueKind::Put);
        let key = [key + 100];
        builder
            .add(KeyRef::new(&key, trailer), &[key[0]; VALUE_BYTES])
            .unwrap();
    }
    assert_eq!(builder.finish().unwrap().file_size, right.len() as u64);
    overwrite(&env, &path, &bytes_of(&env, &other));
    let db = open(&env);
    // It has no such key, but readers open it to find that out.
    assert!(db.get(&[PAIRS - 1]).unwrap().is_none());
    overwrite(&env, &path, &right);
    let report = db.verify().unwrap();
    let reported = report
        .damage
        .iter()
        .find(|one| one.message.contains("the filter says that"));
    let reported = reported.unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(
        (&reported.file, reported.kind),
        (&path, ErrorKind::Internal)
    );
}

#[test]
fn a_memtables_filter_that_denies_a_key_it_holds_is_our_fault() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env)).unwrap();
    db.put(b"a", b"1").unwrap();
    db.put(b"a", b"2").unwrap();
    db.delete(b"b").unwrap();
    assert!(db.verify().unwrap().is_ok());
    db.rooms().tree.load().active().forget_filter();
    assert_eq!(
        db.get(b"a").unwrap(),
        None,
        "the fault that verify has to find"
    );
    let report = db.verify().unwrap();
    let is_told = report.damage.iter().any(|damage| {
        damage.kind == ErrorKind::Internal && damage.message.contains("do not find 3 entries")
    });
    assert!(is_told, "{report:?}");
}

/// A header of a log that names a later log as the one before it, with a right checksum, used to keep a verification
/// busy for ever.
#[test]
fn a_verification_ends_although_a_log_names_itself_as_the_one_before() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    let number = db.rooms().commit.log().number();
    drop(db);
    let file = env
        .open_write(&crate::filename::log_path(Path::new("/db"), number))
        .unwrap();
    let mut header = [0; 64];
    file.read_at(0, &mut header).unwrap();
    header.copy_within(24..32, 32);
    let checksum = crate::checksum::crc(&header[..60]);
    header[60..].copy_from_slice(&checksum.to_le_bytes());
    file.write_at(0, &header).unwrap();
    let db = DB::open("/db", options(&env).read_only(true)).unwrap();
    assert_eq!(db.get(b"a").unwrap().unwrap(), b"1");
    db.verify().unwrap();
}
