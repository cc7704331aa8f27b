//! Tables that differ from an edit's facts, or that cannot be opened.

use super::*;
use crate::env::MemEnv;
use crate::key::{FileNumber, KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::sstable::{Builder, TableOptions};
use crate::version::shorten;

const DIR: &str = "/db";
const NUMBER: FileNumber = FileNumber(7);
const FILE_ID: u64 = 99;

/// A disk with a table of these user keys, and the edit that adds it. The first key is deleted.
fn written(keys: &[&[u8]]) -> (MemEnv, VersionEdit) {
    let env = MemEnv::new();
    env.create_dir_all(Path::new(DIR)).unwrap();
    let path = table_path(Path::new(DIR), NUMBER);
    let file = env.create_new(&path).unwrap();
    let options = TableOptions {
        block_size: 1,
        ..TableOptions::default()
    };
    let mut builder = Builder::new(file, path, FILE_ID, options).unwrap();
    for (key, number) in keys.iter().zip(10..) {
        let kind = match number {
            10 => ValueKind::Delete,
            _ => ValueKind::Put,
        };
        let trailer = Trailer::new(SequenceNumber(number), kind);
        let value: &[u8] = if number == 10 { b"" } else { b"value" };
        builder.add(KeyRef::new(key, trailer), value).unwrap();
    }
    let mut table = TableInfo::new(NUMBER, FILE_ID, builder.finish().unwrap());
    shorten(&mut [&mut table], None);
    let mut edit = VersionEdit::default();
    edit.add(1, table);
    (env, edit)
}

fn check(env: &MemEnv, edit: &VersionEdit) -> Result<()> {
    check_added(edit, KeyspaceId::DEFAULT, env, Path::new(DIR))
}

fn key(user_key: &[u8], number: u64) -> Vec<u8> {
    let trailer = Trailer::new(SequenceNumber(number), ValueKind::Put);
    KeyRef::new(user_key, trailer).encoded().unwrap()
}

/// OUTPUT-1.
#[test]
fn every_fact_that_an_edit_has_wrong_about_its_table_is_noticed() {
    let (env, right) = written(&[b"b", b"c", b"d"]);
    check(&env, &right).unwrap();
    let error = check_added(&right, KeyspaceId(1), &env, Path::new(DIR)).unwrap_err();
    assert!(error.is_unaccounted() && error.message().contains("keyspace"));
    type Spoil = fn(&mut TableInfo);
    let spoils: [(&str, Spoil); 10] = [
        ("largest, narrow", |table| table.largest = key(b"c", 11)),
        ("largest, wide", |table| table.largest = key(b"e", 12)),
        ("smallest, narrow", |table| table.smallest = key(b"c", 11)),
        ("smallest, wide", |table| table.smallest = key(b"a", 10)),
        ("entries", |table| table.entries += 1),
        ("tombstones", |table| table.tombstones -= 1),
        ("sum", |table| table.content_sum = Some(7)),
        ("largest number", |table| {
            table.largest_sequence = SequenceNumber(11)
        }),
        ("smallest number", |table| {
            table.smallest_sequence = SequenceNumber(11)
        }),
        ("size", |table| table.size -= 1),
    ];
    for (what, spoil) in spoils {
        let mut edit = right.clone();
        spoil(&mut edit.added[0].1);
        let error = check(&env, &edit).expect_err(what);
        assert!(error.is_unaccounted(), "{what}: {error}");
    }
}

#[test]
fn shortened_bounds_have_to_enclose_their_table_and_need_not_meet_it() {
    let long = |byte| [byte; 3000];
    let (env, right) = written(&[&long(b'b'), b"c", &long(b'd')]);
    let shortened = right.added[0].1.shortened;
    assert!(shortened.smallest && shortened.largest);
    check(&env, &right).unwrap();
    let spoils: [fn(&mut TableInfo); 2] = [
        |table| table.smallest = key(b"c", 11),
        |table| table.largest = key(b"c", 11),
    ];
    for spoil in spoils {
        let mut edit = right.clone();
        spoil(&mut edit.added[0].1);
        assert!(check(&env, &edit).unwrap_err().is_unaccounted());
    }
}

/// A table that another file replaced, or whose bytes changed, after the builder wrote it.
#[test]
fn every_byte_of_the_blocks_that_is_another_in_the_file_is_noticed() {
    let (env, edit) = written(&[b"b", b"c", b"d", b"e"]);
    let path = table_path(Path::new(DIR), NUMBER);
    let file = env.open_write(&path).unwrap();
    // Four blocks of one entry each, after the header.
    for at in 40..160 {
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 1]).unwrap();
        let error = check(&env, &edit).expect_err("another byte");
        assert!(error.is_unaccounted(), "byte {at}: {error}");
        file.write_at(at, &byte).unwrap();
    }
    check(&env, &edit).unwrap();
}

#[test]
fn blocks_are_compared_with_their_checksums_whatever_their_size() {
    let large = 64 << 10;
    for size in [1, large - 1, large, large + 1, 1 << 20] {
        let env = MemEnv::new();
        let path = Path::new("/7.sst");
        let file = env.create_new(path).unwrap();
        let options = TableOptions::default();
        let mut builder = Builder::new(file, path.to_path_buf(), FILE_ID, options).unwrap();
        let value = aidb_test_data::Fill::Noise.bytes(7, size);
        for number in 0..4 {
            let trailer = Trailer::new(SequenceNumber(9), ValueKind::Put);
            builder
                .add(KeyRef::new(&[number], trailer), &value)
                .unwrap();
        }
        let written = builder.finish().unwrap();
        let open =
            || Table::open(&env, path, FILE_ID, written.file_size, BlockCache::new(0)).unwrap();
        open().check_stored().unwrap();
        let file = env.open_write(path).unwrap();
        for at in [40, 40 + 2 * size as u64] {
            let mut byte = [0];
            file.read_at(at, &mut byte).unwrap();
            file.write_at(at, &[!byte[0]]).unwrap();
            let error = open().check_stored().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption, "{size}, byte {at}");
            file.write_at(at, &byte).unwrap();
        }
    }
}

#[test]
fn a_table_that_cannot_be_opened_is_a_fault_of_ours_and_a_missing_one_is_not() {
    let (env, edit) = written(&[b"b", b"c", b"d"]);
    let path = table_path(Path::new(DIR), NUMBER);
    let size = edit.added[0].1.size;
    // The footer, then the parts before it.
    for from_end in [1, 100, 150] {
        let file = env.open_write(&path).unwrap();
        let at = size - from_end;
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 1]).unwrap();
        let error = check(&env, &edit).unwrap_err();
        assert!(error.is_unaccounted(), "{from_end}: {error}");
        file.write_at(at, &byte).unwrap();
        check(&env, &edit).unwrap();
    }
    env.remove_file(&path).unwrap();
    let error = check(&env, &edit).unwrap_err();
    assert!(!error.is_unaccounted(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Io);
}
