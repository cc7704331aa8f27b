//! Decodes a small database's files, whole and damaged.

use std::path::{Path, PathBuf};

use super::*;
use crate::checksum::placed_crc;
use crate::compression::Compression;
use crate::db::DB;
use crate::env::{Env, MemEnv};
use crate::key::{FileNumber, SequenceNumber, ValueKind};
use crate::options::{Options, WriteOptions};
use crate::sync::Arc;

const KEYS: usize = 400;

fn key(number: usize) -> Vec<u8> {
    format!("key {number:04}").into_bytes()
}

/// A database with a table of a put and a delete per key, and a log of one batch and one synced put.
fn database(env: &MemEnv) -> DB {
    let options = Options::new()
        .env(Arc::new(env.clone()))
        .manual_background(true)
        .block_size(512)
        .compression(Compression::None);
    let db = DB::open("/db", options).unwrap();
    let kept = db.snapshot().unwrap();
    for number in 0..KEYS {
        db.put(&key(number), b"value").unwrap();
    }
    let _seen = db.snapshot().unwrap();
    for number in 0..KEYS {
        db.delete(&key(number)).unwrap();
    }
    db.flush().unwrap();
    drop(kept);
    let mut batch = crate::WriteBatch::new();
    batch.put(b"in the log", b"1").unwrap();
    batch.delete(b"absent").unwrap();
    db.write(&batch).unwrap();
    db.put_with(b"synced", b"2", &WriteOptions::synced())
        .unwrap();
    db
}

/// The files of `/db` of one kind, in the order of their numbers.
fn paths(env: &MemEnv, kind: fn(FileNumber) -> FileKind) -> Vec<PathBuf> {
    let mut names = env.list(Path::new("/db")).unwrap();
    names.retain(|name| {
        file_kind(name).is_some_and(|found| found.number().map(kind) == Some(found))
    });
    names.sort();
    names
        .iter()
        .map(|name| Path::new("/db").join(name))
        .collect()
}

fn last(env: &MemEnv, kind: fn(FileNumber) -> FileKind) -> PathBuf {
    paths(env, kind).pop().unwrap()
}

fn bytes_of(env: &MemEnv, path: &Path) -> Vec<u8> {
    let file = env.open_read(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// An environment with one file of these bytes.
fn file(bytes: &[u8]) -> (MemEnv, PathBuf) {
    let env = MemEnv::new();
    let path = PathBuf::from("/any name");
    env.create_new(&path).unwrap().write_at(0, bytes).unwrap();
    (env, path)
}

fn edits(env: &MemEnv, path: &Path) -> Vec<Edit> {
    let mut manifest = Manifest::open(env, path).unwrap();
    let mut edits = Vec::new();
    while let Some(edit) = manifest.next_edit().unwrap() {
        edits.push(edit);
    }
    assert_eq!(manifest.next_edit().unwrap(), None);
    edits
}

#[test]
fn current_names_the_manifest_and_that_the_table_and_the_database() {
    let env = MemEnv::new();
    let _db = database(&env);
    let current = Current::read(&env, Path::new("/db/CURRENT")).unwrap();
    let path = last(&env, FileKind::Manifest);
    let name = format!("MANIFEST-{}", current.manifest);
    assert_eq!(path, Path::new("/db").join(name));
    let manifest = Manifest::open(&env, &path).unwrap();
    assert_eq!(manifest.file_id(), current.file_id);
    assert_eq!(manifest.length(), bytes_of(&env, &path).len() as u64);

    let edits = edits(&env, &path);
    assert_eq!(edits[0].format_version, Some(2));
    assert_eq!(edits[0].comparator.as_deref(), Some(&b"bytewise"[..]));
    assert!(edits[0].next_file_number.is_some() && edits[0].added.is_empty());
    let edit = edits.last().unwrap();
    let log = Log::open(&env, &last(&env, FileKind::Log))
        .unwrap()
        .unwrap();
    let header = log.header();
    assert!(header.database.is_some());
    assert_eq!(header.database, edits.iter().find_map(|edit| edit.database));
    assert_eq!(edit.log_number, Some(header.number));
    assert_eq!(edit.last_sequence, Some(SequenceNumber(2 * KEYS as u64)));

    let table = Table::open(&env, &last(&env, FileKind::Table)).unwrap();
    let properties = table.properties();
    let [added] = &edit.added[..] else {
        panic!("one table: {edit:?}");
    };
    assert_eq!((added.level, &edit.removed[..]), (0, &[][..]));
    assert_eq!(added.file_id, table.file_id());
    let length = bytes_of(&env, &last(&env, FileKind::Table)).len() as u64;
    assert_eq!(added.bytes, length);
    let bound = |number, sequence| Bound {
        key: key(number),
        sequence: Some(SequenceNumber(sequence)),
    };
    let keys = KEYS as u64;
    assert_eq!(added.smallest, bound(0, keys + 1));
    assert_eq!(added.largest, bound(KEYS - 1, keys));
    assert_eq!((added.entries, added.tombstones), (2 * keys, keys));
    assert_eq!(added.older_versions, Some(keys));
    assert_eq!(
        (properties.entries, properties.tombstones),
        (2 * keys, keys)
    );
    assert!(added.content_sum.is_some());
    assert_eq!(properties.content_sum, added.content_sum);
    for (said, by_the_table) in [
        (added.smallest_sequence, properties.smallest_sequence),
        (added.largest_sequence, properties.largest_sequence),
    ] {
        assert_eq!(said, by_the_table);
    }
    assert_eq!(properties.compression, Some(Compression::None));
    assert_eq!(properties.raw_key_bytes, 2 * keys * (8 + 8));
    assert_eq!(properties.raw_value_bytes, keys * 5);
    assert!(properties.data_blocks > 10 && properties.created_micros > 0);
}

#[test]
fn a_table_tells_every_version_of_a_key_the_newest_first() {
    let env = MemEnv::new();
    let _db = database(&env);
    let table = Table::open(&env, &last(&env, FileKind::Table)).unwrap();
    let mut entries = table.entries();
    for number in 0..KEYS {
        let versions = [
            (ValueKind::Delete, KEYS + number, &b""[..]),
            (ValueKind::Put, number, b"value"),
        ];
        for (kind, before, value) in versions {
            let entry = Entry {
                key: &key(number),
                sequence: SequenceNumber(before as u64 + 1),
                kind,
                value,
            };
            assert_eq!(entries.next_entry().unwrap(), Some(entry));
        }
    }
    assert_eq!(entries.next_entry().unwrap(), None);
    assert_eq!(entries.next_entry().unwrap(), None, "it stays at the end");
    let damage = |offset, error| panic!("{offset}: {error}");
    assert!(table.check(damage).unwrap());
}

#[test]
fn a_log_tells_its_records_their_operations_and_its_predecessor() {
    let env = MemEnv::new();
    let db = database(&env);
    let path = last(&env, FileKind::Log);
    let mut log = Log::open(&env, &path).unwrap().unwrap();
    let record = log.next_record().unwrap().unwrap();
    assert_eq!(record.first_sequence, SequenceNumber(2 * KEYS as u64 + 1));
    let found: Vec<_> = record.operations().unwrap().map(Result::unwrap).collect();
    let reported: Vec<_> = (found.iter())
        .map(|found| (found.kind, found.key, found.value))
        .collect();
    let expected = [
        (ValueKind::Put, &b"in the log"[..], &b"1"[..]),
        (ValueKind::Delete, b"absent", b""),
    ];
    assert_eq!(reported, expected);
    let again: Vec<_> = operations(record.payload)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(again, found);
    let (first, first_end) = (record.offset, record.end);
    assert_eq!(first, 64, "after the header");
    assert!(log.end().is_none(), "not yet");
    let record = log.next_record().unwrap().unwrap();
    assert_eq!(record.first_sequence, SequenceNumber(2 * KEYS as u64 + 3));
    let end = record.end;
    assert_eq!(record.offset, first_end);
    assert!(log.next_record().unwrap().is_none());
    let found = log.end().unwrap();
    assert_eq!((found.good_length, found.is_torn), (end, false));

    let header = log.header();
    let synced = Synced::read(&env, Path::new("/db/SYNCED"))
        .unwrap()
        .unwrap();
    let expected = Synced {
        number: header.number,
        log_id: header.log_id,
        length: end,
    };
    assert_eq!(synced, expected);
    let before = header.predecessor.unwrap();
    assert!(before.number < header.number && before.synced <= before.length);
    assert_eq!(before.last_sequence, SequenceNumber(2 * KEYS as u64));

    let mut log = Log::open(&env, &path).unwrap().unwrap();
    log.stop_at(first_end);
    assert!(log.next_record().unwrap().is_some());
    assert!(
        log.next_record().unwrap().is_none(),
        "bytes after it do not count"
    );
    drop(db);
}

#[test]
fn the_first_log_has_no_predecessor_and_a_log_of_zeros_is_none() {
    let env = MemEnv::new();
    let options = Options::new().env(Arc::new(env.clone()));
    let db = DB::open("/db", options.manual_background(true)).unwrap();
    let log = Log::open(&env, &last(&env, FileKind::Log))
        .unwrap()
        .unwrap();
    assert_eq!(log.header().predecessor, None);
    drop(db);
    let (env, path) = file(&[0; 4096]);
    assert!(Log::open(&env, &path).unwrap().is_none());
}

#[test]
fn a_log_that_ends_within_a_record_is_torn_and_a_damaged_header_before_records_is_corruption() {
    let env = MemEnv::new();
    let _db = database(&env);
    let bytes = bytes_of(&env, &last(&env, FileKind::Log));
    let mut log = Log::open(&env, &last(&env, FileKind::Log))
        .unwrap()
        .unwrap();
    let first_end = log.next_record().unwrap().unwrap().end;
    let end = log.next_record().unwrap().unwrap().end;

    let (env, path) = file(&bytes[..end as usize - 1]);
    let mut log = Log::open(&env, &path).unwrap().unwrap();
    assert!(log.next_record().unwrap().is_some());
    assert!(log.next_record().unwrap().is_none());
    let found = log.end().unwrap();
    assert_eq!((found.good_length, found.is_torn), (first_end, true));

    let mut spoilt = bytes;
    spoilt[3] ^= 1;
    let (env, path) = file(&spoilt);
    let error = Log::open(&env, &path).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
}

#[test]
fn a_damaged_block_is_an_error_of_the_walk_and_one_place_of_the_check() {
    let env = MemEnv::new();
    let _db = database(&env);
    let mut bytes = bytes_of(&env, &last(&env, FileKind::Table));
    bytes[30] ^= 1;
    let (env, path) = file(&bytes);
    let table = Table::open(&env, &path).unwrap();
    let mut entries = table.entries();
    let error = entries.next_entry().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert!(error.message().contains("/any name at byte 24"), "{error}");
    assert_eq!(entries.next_entry().unwrap(), None, "after an error");
    let mut damage = Vec::new();
    let check = table.check(|offset, error| damage.push((offset, error.kind())));
    assert!(!check.unwrap());
    assert_eq!(damage, [(24, ErrorKind::Corruption)]);
}

#[test]
fn an_entry_of_a_later_build_is_unsupported_and_ends_the_walk() {
    let env = MemEnv::new();
    let options = Options::new().env(Arc::new(env.clone()));
    let db = DB::open("/db", options.manual_background(true)).unwrap();
    db.put(b"k", b"v").unwrap();
    db.put(b"l", b"w").unwrap();
    db.flush().unwrap();
    let mut bytes = bytes_of(&env, &last(&env, FileKind::Table));
    let file_id = Table::open(&env, &last(&env, FileKind::Table))
        .unwrap()
        .file_id();
    // The payload has two entries of 13 bytes, a restart point and the count of restart points. The first entry
    // begins with its lengths and key, then its kind.
    let payload = 24..24 + 2 * 13 + 8;
    assert_eq!(bytes[24..29], [0, 1, 1, b'k', 1], "stored as it is");
    bytes[28] = 5;
    let length = (payload.len() as u64).to_le_bytes();
    let covered = [&length[..], &bytes[payload.clone()], &[0]];
    let checksum = placed_crc(file_id, 24, &covered);
    bytes[payload.end + 1..payload.end + 5].copy_from_slice(&checksum.to_le_bytes());
    let (env, path) = file(&bytes);
    let table = Table::open(&env, &path).unwrap();
    let mut entries = table.entries();
    let error = entries.next_entry().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.message().contains("/any name"), "{error}");
    assert_eq!(entries.next_entry().unwrap(), None);
}

#[test]
fn a_file_that_is_too_short_is_corruption_and_a_missing_one_is_io() {
    for length in [0, 10, 24, 87] {
        let env = MemEnv::new();
        let _db = database(&env);
        let bytes = bytes_of(&env, &last(&env, FileKind::Table));
        let (env, path) = file(&bytes[..length]);
        let error = Table::open(&env, &path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{length}: {error}");
    }
    let (env, path) = file(b"");
    for error in [
        Manifest::open(&env, &path).err().unwrap(),
        Current::read(&env, &path).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    }
    assert_eq!(Synced::read(&env, &path).unwrap(), None, "nothing is known");
    let missing = Path::new("/missing");
    for error in [
        Table::open(&env, missing).err().unwrap(),
        Log::open(&env, missing).err().unwrap(),
        Manifest::open(&env, missing).err().unwrap(),
        Current::read(&env, missing).unwrap_err(),
        Synced::read(&env, missing).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
}

#[test]
fn a_damaged_edit_ends_the_manifest() {
    let env = MemEnv::new();
    let _db = database(&env);
    let path = last(&env, FileKind::Manifest);
    let whole = edits(&env, &path).len();
    let mut bytes = bytes_of(&env, &path);
    *bytes.last_mut().unwrap() ^= 1;
    let (env, path) = file(&bytes);
    let mut manifest = Manifest::open(&env, &path).unwrap();
    for _ in 1..whole {
        assert!(manifest.next_edit().unwrap().is_some());
    }
    let error = manifest.next_edit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert_eq!(manifest.next_edit().unwrap(), None);
}

#[test]
fn damage_without_a_file_is_corruption_and_not_a_bug_of_ours() {
    let kind_of_edit = |bytes: &[u8]| Edit::decode(bytes).unwrap_err().kind();
    assert_eq!(kind_of_edit(&[4]), ErrorKind::Corruption, "cut short");
    assert_eq!(kind_of_edit(&[63, 0]), ErrorKind::Unsupported);
    let edit = Edit::decode(&[4, 7, 5, 13, 8, 0, 9]).unwrap();
    assert_eq!(edit.log_number, Some(FileNumber(7)));
    assert_eq!(edit.removed, [(0, FileNumber(9))]);

    let kind_of_batch = |bytes: &[u8]| operations(bytes).err().unwrap().kind();
    assert_eq!(kind_of_batch(&[1]), ErrorKind::Corruption);
    assert_eq!(
        kind_of_batch(&[2, 0, 0, 0, 0, 0, 0]),
        ErrorKind::Unsupported
    );
    let mut cut = operations(&[1, 0, 1, 0, 0, 0, 0, 1, 9]).unwrap();
    let error = cut.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert!(cut.next().is_none());
}

#[test]
fn damage_within_a_record_names_the_log_and_the_record() {
    let path = Path::new("/db/000007.log");
    let record = |payload| LogRecord {
        first_sequence: SequenceNumber(1),
        payload,
        offset: 64,
        end: 80,
        path,
    };
    let short = record(&[1]).operations().err().unwrap();
    assert_eq!(short.kind(), ErrorKind::Corruption);
    let mut cut = record(&[1, 0, 1, 0, 0, 0, 0, 1, 9]).operations().unwrap();
    let cut = cut.next().unwrap().unwrap_err();
    let newer = record(&[2, 0, 0, 0, 0, 0, 0]).operations().err().unwrap();
    assert_eq!(newer.kind(), ErrorKind::Unsupported);
    for error in [short, cut, newer] {
        let message = error.message();
        assert!(
            message.starts_with("/db/000007.log at byte 64: "),
            "{error}"
        );
    }
}

#[test]
fn a_bound_that_was_shortened_has_no_sequence_number() {
    let env = MemEnv::new();
    let options = Options::new().env(Arc::new(env.clone()));
    let db = DB::open("/db", options.manual_background(true)).unwrap();
    db.put(b"a", b"").unwrap();
    db.put(&[b'b'; 3000], b"").unwrap();
    db.flush().unwrap();
    let edits = edits(&env, &last(&env, FileKind::Manifest));
    let added = edits.iter().find_map(|edit| edit.added.first()).unwrap();
    let exact = Bound {
        key: b"a".to_vec(),
        sequence: Some(SequenceNumber(1)),
    };
    assert_eq!(added.smallest, exact);
    assert_eq!(added.largest.sequence, None);
    assert!(added.largest.key.len() < 3000 && added.largest.key > vec![b'b'; 100]);
}
