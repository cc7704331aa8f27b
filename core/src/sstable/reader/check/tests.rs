//! A check compares each property of a table with the entries.

use std::path::Path;

use aidb_test_data::Fill;

use super::*;
use crate::compression::Compression;
use crate::env::{Env, MemEnv};
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::sstable::BlockCache;
use crate::sstable::{Builder, TableOptions};
use crate::sync::Arc;

fn table() -> Table {
    let env = MemEnv::new();
    let path = Path::new("/000001.sst");
    let file = env.create_new(path).unwrap();
    let mut builder = Builder::new(file, path.to_owned(), 1, TableOptions::default()).unwrap();
    for number in 0..50u64 {
        let kind = match number % 5 {
            0 => ValueKind::Delete,
            _ => ValueKind::Put,
        };
        let trailer = Trailer::new(SequenceNumber(number + 1), kind);
        let value = [7; 20];
        let value = if kind == ValueKind::Put {
            &value[..]
        } else {
            b""
        };
        let key = number.to_be_bytes();
        builder.add(KeyRef::new(&key, trailer), value).unwrap();
    }
    let summary = builder.finish().unwrap();
    let table = Table::open(&env, path, 1, summary.file_size, BlockCache::new(0)).unwrap();
    Arc::into_inner(table).unwrap()
}

/// The messages of the damage that a check of the table finds.
fn damage(table: &Table) -> Vec<String> {
    let mut messages = Vec::new();
    let found = table.check(&mut |checked| {
        if let Checked::Damage { error, .. } = checked {
            messages.push(error.message().to_owned());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(found.unwrap().is_some(), messages.is_empty());
    messages
}

#[test]
fn each_property_that_follows_from_the_entries_is_compared_with_them() {
    assert_eq!(damage(&table()), [""; 0]);
    let changes: [fn(&mut Properties); 8] = [
        |properties| properties.entries += 1,
        |properties| properties.tombstones += 1,
        |properties| properties.raw_key_bytes += 1,
        |properties| properties.raw_value_bytes += 1,
        |properties| properties.smallest_sequence.0 += 1,
        |properties| properties.largest_sequence.0 += 1,
        |properties| properties.data_blocks += 1,
        |properties| properties.content_sum = properties.content_sum.map(|sum| sum ^ 1),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut table = table();
        change(&mut table.properties);
        let messages = damage(&table);
        assert_eq!(messages.len(), 1, "change {index}: {messages:?}");
        assert!(messages[0].contains("the properties are"), "{messages:?}");
    }
}

#[test]
fn every_stored_block_is_compared_with_its_checksum_and_the_one_that_differs_is_named() {
    let env = MemEnv::new();
    let path = Path::new("/000001.sst");
    let file = env.create_new(path).unwrap();
    let options = TableOptions {
        compression: Compression::None,
        ..TableOptions::default()
    };
    let mut builder = Builder::new(file, path.to_owned(), 1, options).unwrap();
    // More blocks than are read at once, one of them larger than one read.
    for number in 0..50u8 {
        let length = if number == 20 { LARGE_BYTES } else { 4000 };
        let trailer = Trailer::new(SequenceNumber(1), ValueKind::Put);
        let value = Fill::Noise.bytes(number.into(), length);
        builder
            .add(KeyRef::new(&[number], trailer), &value)
            .unwrap();
    }
    let size = builder.finish().unwrap().file_size;
    let table = Table::open(&env, path, 1, size, BlockCache::new(0)).unwrap();
    let blocks = table.index.len();
    assert!(blocks > 3 * LARGE_BYTES / 8192, "{blocks}");
    table.check_stored().unwrap();
    let file = env.open_write(path).unwrap();
    for number in 0..blocks {
        let handle = table.index.handle(number);
        let end = handle.offset + handle.length + BLOCK_TRAILER_BYTES as u64;
        for at in [handle.offset, handle.offset + handle.length / 2, end - 1] {
            let mut byte = [0];
            file.read_at(at, &mut byte).unwrap();
            file.write_at(at, &[byte[0] ^ 1]).unwrap();
            let error = table.check_stored().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
            assert_eq!(error.place().unwrap().1, handle.offset, "{error}");
            file.write_at(at, &byte).unwrap();
        }
    }
    table.check_stored().unwrap();
}
