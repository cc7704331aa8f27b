//! Whole tables: built, opened, walked and damaged, against a sorted list.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use aidb_test_data::{Fill, Random, Sizes};

use super::block::LARGE_BYTES;
use super::format::{
    BLOCK_TRAILER_BYTES, BlockHandle, BlockKind, FOOTER_BYTES, Footer, FurtherBlock, HEADER_BYTES,
    Properties, block_trailer, open_block, read_exact,
};
use super::iter::{MAX_RESTING_KEY, RESTING_BYTES};
use super::tail::Tail;
use super::*;
use crate::checksum::placed_crc;
use crate::compression::Compression;
use crate::content::Sum;
use crate::env::{Env, MemEnv};
use crate::error::{ErrorKind, Result};
use crate::inspect;
use crate::iterator::InternalIterator;
use crate::key::{KeyRef, KeyspaceId, SequenceNumber, Trailer, ValueKind};
use crate::range_delete::RangeDelete;
use crate::sstable::BlockCache;
use crate::sync::Arc;

const FILE_ID: u64 = 0x0123_4567_89ab_cdef;

/// The result of checking a whole table, or the first damage.
fn check(table: &Table) -> Result<TableSummary> {
    let mut damage = None;
    let summary = table.check(&mut |checked| match checked {
        Checked::Block { .. } => ControlFlow::Continue(()),
        Checked::Damage { error, .. } => {
            damage = Some(error);
            ControlFlow::Break(())
        }
    })?;
    match damage {
        Some(error) => Err(error),
        None => Ok(summary.unwrap()),
    }
}

/// Encoded internal keys and values, sorted.
type Model = Vec<(Vec<u8>, Vec<u8>)>;

fn key_of(encoded: &[u8]) -> KeyRef<'_> {
    KeyRef::decode(encoded).unwrap()
}

/// Sizes that tests can afford which look at each byte of a table.
const SMALL: Sizes = Sizes::new(5000, 130);

/// Random entries of small sizes.
fn random_model(dice: &mut Random, count: usize) -> Model {
    random_model_of(dice, count, &SMALL)
}

/// Random entries: keys that share much or little, the empty key, several versions, tombstones, and values of any
/// content.
fn random_model_of(dice: &mut Random, count: usize, sizes: &Sizes) -> Model {
    let mut model = Model::new();
    let mut sequence = 1;
    while model.len() < count {
        let mut user_key = b"some/common/prefix/"[..dice.below(20) as usize].to_vec();
        for _ in 0..dice.below(12) {
            user_key.push([0, 1, b'a', b'b', 0xff][dice.below(5) as usize]);
        }
        if dice.one_in(30) {
            user_key = dice.long_key(sizes);
        }
        let versions = match dice.below(6) {
            0 => dice.count(40),
            _ => 1,
        };
        for _ in 0..versions {
            sequence += 1 + dice.below(3);
            let kind = match dice.below(5) {
                0 => ValueKind::Delete,
                1 if dice.one_in(4) => ValueKind::RangeDelete,
                _ => ValueKind::Put,
            };
            let value = match kind {
                ValueKind::Put => dice.value_of(sizes),
                ValueKind::Delete => Vec::new(),
                ValueKind::RangeDelete => match dice.one_in(2) {
                    true => vec![1],
                    false => [&[0], &user_key[..user_key.len().min(1000)], &[0xff; 32]].concat(),
                },
            };
            let key = KeyRef::new(&user_key, Trailer::new(SequenceNumber(sequence), kind));
            model.push((key.to_vec(), value));
        }
    }
    model.sort_by(|a, b| key_of(&a.0).cmp(&key_of(&b.0)));
    model
}

fn build(env: &MemEnv, path: &Path, model: &Model, options: TableOptions) -> TableSummary {
    let file = env.create_new(path).unwrap();
    let mut builder = Builder::new(file, path.to_owned(), FILE_ID, options).unwrap();
    for (key, value) in model {
        builder.add(key_of(key), value).unwrap();
    }
    builder.finish().unwrap()
}

fn open(env: &MemEnv, path: &Path, size: u64, cache: &Arc<BlockCache>) -> Result<Arc<Table>> {
    Table::open(env, path, FILE_ID, size, Arc::clone(cache))
}

fn in_memory() -> (MemEnv, PathBuf) {
    let env = MemEnv::new();
    env.create_dir_all(Path::new("/db")).unwrap();
    (env, PathBuf::from("/db/000001.sst"))
}

/// The result of `Table::get` according to the model.
fn lookup<'a>(model: &'a Model, target: KeyRef<'_>) -> Option<(Trailer, &'a [u8])> {
    let at = model.partition_point(|(key, _)| key_of(key) < target);
    let (key, value) = model.get(at)?;
    let key = key_of(key);
    (key.user_key == target.user_key).then_some((key.trailer, &value[..]))
}

/// A target at an entry, right beside one, or somewhere else.
fn random_target(dice: &mut Random, model: &Model) -> Vec<u8> {
    let mut target = model[dice.below(model.len() as u64) as usize].0.clone();
    let at = target.len() - 8;
    match dice.below(6) {
        0 => {}
        1 => target[at + 1] = target[at + 1].wrapping_add(1),
        2 => target[at + 1] = target[at + 1].wrapping_sub(1),
        3 => target.splice(at.., u64::MAX.to_le_bytes()).for_each(drop),
        4 => target.insert(at, dice.below(256) as u8),
        _ => drop(target.remove(dice.below(at as u64 + 1) as usize)),
    }
    if target.len() < 8 {
        target.push(0);
    }
    target
}

fn all_options() -> Vec<TableOptions> {
    let mut all = Vec::new();
    for (index, block_size) in [1, 100, 700, 4096, 1 << 20].into_iter().enumerate() {
        for (other, block_restart_interval) in [1, 2, 16, 1000].into_iter().enumerate() {
            all.push(TableOptions {
                keyspace: KeyspaceId::DEFAULT,
                block_size,
                block_restart_interval,
                compression: Compression::ALL[(index + other) % 4],
                bloom_bits_per_key: [10, 0, 5][(index + other) % 3],
            });
        }
    }
    all
}

/// A table with one data block, and `further` blocks of these kinds and contents after its index. `list` changes the
/// list of these blocks in the properties.
fn with_further(
    further: &[(u8, &[u8])],
    list: impl Fn(&mut Vec<FurtherBlock>),
) -> Result<Arc<Table>> {
    let env = MemEnv::new();
    write_with_further(&env, Path::new("/000001.sst"), further, list)
}

/// The same, in the file at `path`.
fn write_with_further(
    env: &MemEnv,
    path: &Path,
    further: &[(u8, &[u8])],
    list: impl Fn(&mut Vec<FurtherBlock>),
) -> Result<Arc<Table>> {
    let file_id = 7;
    let file = env.create_new(path).unwrap();
    let mut builder = Builder::new(file.clone(), path.into(), file_id, TableOptions::default())?;
    let trailer = Trailer::new(SequenceNumber(3), ValueKind::Put);
    builder.add(KeyRef::new(b"k", trailer), b"v")?;
    let size = builder.finish()?.file_size;

    let footer_at = size - FOOTER_BYTES as u64;
    let footer = read_exact(&*file, path, footer_at, FOOTER_BYTES as u64)?;
    let mut footer = Footer::decode(path, file_id, footer_at, &footer)?;
    let BlockHandle { offset, length } = footer.properties;
    let stored = read_exact(&*file, path, offset, length + BLOCK_TRAILER_BYTES as u64)?;
    let raw = open_block(path, file_id, offset, BlockKind::Properties, stored)?;
    let mut properties = Properties::decode(&raw, footer.version).unwrap();
    let mut at = offset;
    for (kind, payload) in further {
        let crc = placed_crc(
            file_id,
            at,
            &[&(payload.len() as u64).to_le_bytes(), payload, &[kind << 4]],
        );
        file.write_at(
            at,
            &[payload, &[kind << 4][..], &crc.to_le_bytes()].concat(),
        )?;
        let handle = BlockHandle {
            offset: at,
            length: payload.len() as u64,
        };
        properties.further.push(FurtherBlock {
            kind: *kind,
            handle,
        });
        at = handle.end().unwrap();
    }
    list(&mut properties.further);
    let payload = properties.encode();
    let trailer = block_trailer(
        file_id,
        at,
        BlockKind::Properties,
        Compression::None,
        &payload,
    );
    file.write_at(at, &[&payload, &trailer[..]].concat())?;
    footer.properties = BlockHandle {
        offset: at,
        length: payload.len() as u64,
    };
    let footer_at = footer.properties.end().unwrap();
    file.write_at(footer_at, &footer.encode(file_id, footer_at))?;
    let size = footer_at + FOOTER_BYTES as u64;
    Table::from_file(file, path, file_id, size, BlockCache::new(1 << 20))
}

#[test]
fn further_blocks_that_may_be_skipped_are_and_others_are_unsupported() {
    let as_it_is = |_: &mut Vec<FurtherBlock>| {};
    for further in [
        &[][..],
        &[(8, &b"later"[..])],
        &[(15, b""), (8, b"x"), (9, b"y")],
    ] {
        let table = with_further(further, as_it_is).unwrap();
        let found = table.get(b"k", Trailer::NEWEST, true).unwrap();
        assert_eq!(
            found.map(|(_, value)| value.to_vec()).as_deref(),
            Some(&b"v"[..])
        );
        let checked = table.check(&mut |_| ControlFlow::Continue(())).unwrap();
        assert!(checked.is_some(), "{further:?}");
    }
    for kind in 4..8 {
        let error = with_further(&[(8, b"x"), (kind, b"needed")], as_it_is)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(
            error.message().contains(&format!("a block of kind {kind}")),
            "{error}"
        );
    }
}

#[test]
fn further_blocks_are_shown() {
    let (env, path) = (MemEnv::new(), Path::new("/000001.sst"));
    write_with_further(&env, path, &[(8, b"later"), (15, b"")], |_| {}).unwrap();
    let table = inspect::Table::open(&env, path).unwrap();
    let shown = table.properties().further_blocks;
    let first = shown[0].offset;
    let after = first + 5 + BLOCK_TRAILER_BYTES as u64;
    let found: Vec<_> = shown
        .iter()
        .map(|block| (block.kind, block.offset, block.bytes))
        .collect();
    assert_eq!(found, [(8, first, 5), (15, after, 0)]);
    let bytes = env.open_read(path).unwrap();
    let mut payload = [0; 5];
    bytes.read_at(first, &mut payload).unwrap();
    assert_eq!(&payload, b"later");
}

/// TABLE-1 and TABLE-2.
#[test]
fn further_blocks_that_leave_a_gap_or_are_not_what_the_list_says_are_damage() {
    type Spoil = fn(&mut Vec<FurtherBlock>);
    let spoils: [Spoil; 9] = [
        |list| list.clear(),
        |list| list.truncate(1),
        |list| *list = vec![list[1]],
        |list| list.swap(0, 1),
        |list| list[1].handle.length -= 1,
        |list| list[1].handle.offset += 1,
        |list| list[0].handle.length = u64::MAX,
        |list| list[0].kind = 9,
        |list| list[0].kind = 3,
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let error = with_further(&[(8, b"first"), (10, b"second")], spoil)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{number}: {error}");
    }
}

#[test]
fn a_table_answers_like_the_sorted_list_it_was_built_from() {
    for (round, options) in all_options().into_iter().enumerate() {
        let seed = 0x7ab1e + round as u64;
        println!("seed {seed:#x}, {options:?}");
        let mut dice = Random::new(seed);
        let (count, sizes) = [
            (1, Sizes::new(1 << 19, 50_000)),
            (2, Sizes::new(1 << 19, 50_000)),
            (50, Sizes::new(1 << 19, 8_000)),
            (800, Sizes::USUAL),
        ][round % 4];
        let model = random_model_of(&mut dice, count, &sizes);
        let (env, path) = in_memory();
        let summary = build(&env, &path, &model, options);
        let cache = BlockCache::new([0, 3000, 1 << 20][round % 3]);
        let table = open(&env, &path, summary.file_size, &cache).unwrap();
        assert_eq!(check(&table).unwrap(), summary);
        assert_eq!(summary.sum.entries(), model.len() as u64);
        assert_eq!(summary.smallest, model[0].0);
        assert_eq!(summary.largest, model[model.len() - 1].0);
        let tombstones = model
            .iter()
            .filter(|(key, _)| key_of(key).trailer.kind() == Some(ValueKind::Delete));
        assert_eq!(summary.sum.tombstones, tombstones.count() as u64);

        let mut iterator = table.iter(round % 2 == 0, (round % 3) * 8192);
        iterator.seek_to_first().unwrap();
        for (key, value) in &model {
            assert!(iterator.valid());
            assert_eq!(
                (iterator.key(), iterator.value()),
                (key_of(key), &value[..])
            );
            iterator.next().unwrap();
        }
        assert!(!iterator.valid());
        iterator.seek_to_last().unwrap();
        for (key, value) in model.iter().rev() {
            assert!(iterator.valid());
            assert_eq!(
                (iterator.key(), iterator.value()),
                (key_of(key), &value[..])
            );
            iterator.prev().unwrap();
        }
        assert!(!iterator.valid());

        for _ in 0..600 {
            let target = random_target(&mut dice, &model);
            let target = key_of(&target);
            let found = table.get(target.user_key, target.trailer, dice.below(2) == 0);
            let found = found.unwrap();
            let found = found
                .as_ref()
                .map(|(trailer, value)| (*trailer, &value[..]));
            assert_eq!(found, lookup(&model, target), "{target:?}");
            if found.is_some() {
                assert!(table.may_hold(Sought::new(target.user_key, target.trailer)));
            }
        }
        walk_at_random(&mut dice, &model, &mut iterator);
    }
}

#[test]
fn a_block_stored_as_it_is_is_never_taken_for_what_was_unpacked_before_it() {
    // A compressed block leaves its bytes in the thread's buffer. The next block in a run, if uncompressed and too
    // large to be copied, used to be made from that buffer instead of its own bytes, so that its entry was lost to
    // readers.
    let mut dice = Random::new(1);
    for compression in Compression::ALL {
        for large in [LARGE_BYTES - 64, LARGE_BYTES, LARGE_BYTES + 1, 100_000] {
            let mut noise = |length| Fill::Noise.bytes(dice.next(), length);
            let entry = |key: &[u8], sequence, value: Vec<u8>| {
                let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
                (KeyRef::new(key, trailer).to_vec(), value)
            };
            let long_key: Vec<u8> = [b"6".to_vec(), noise(large)].concat();
            let model = vec![
                entry(b"1", 1, vec![b'x'; 6000]),
                entry(b"2", 2, noise(large)),
                entry(b"3", 3, vec![b'x'; 6000]),
                entry(b"4", 4, noise(large)),
                entry(b"5", 5, vec![b'y'; 2 * large]),
                entry(&long_key, 6, vec![b'x'; 6000]),
                entry(b"7", 7, noise(large)),
            ];
            let (env, path) = in_memory();
            let options = TableOptions {
                compression,
                ..TableOptions::default()
            };
            let summary = build(&env, &path, &model, options);
            let cache = BlockCache::new(0);
            let table = open(&env, &path, summary.file_size, &cache).unwrap();
            for readahead in [0, 1 << 20] {
                let mut iterator = table.iter(false, readahead);
                iterator.seek_to_first().unwrap();
                for (key, value) in &model {
                    assert!(iterator.valid(), "{compression}, {large} bytes");
                    assert_eq!(iterator.key(), key_of(key), "{compression}, {large} bytes");
                    assert!(iterator.value() == value, "{compression}, {large} bytes");
                    iterator.next().unwrap();
                }
                assert!(!iterator.valid());
            }
        }
    }
}

#[test]
fn large_keys_and_values_that_do_not_compress_are_read_through_the_cache_again_and_again() {
    // A block is missed, missed again, laid out, hit. A thread's buffer never takes the place of a block.
    let mut dice = Random::new(2);
    for compression in Compression::ALL {
        for large in [
            LARGE_BYTES - 1,
            LARGE_BYTES,
            LARGE_BYTES + 1,
            100_000,
            16 << 20,
        ] {
            if large == 16 << 20 && !matches!(compression, Compression::None | Compression::Snappy)
            {
                continue;
            }
            // Also whole blocks of about the largest size that is copied.
            for less in [0, 30] {
                let mut noise = || Fill::Noise.bytes(dice.next(), large - less);
                let short = |length| Fill::Text.bytes(3, length);
                // Pairs of key and value. Large are the value, the key, or both; the keys share nothing, or all but
                // the last bytes.
                let (common, both) = (noise(), noise());
                let model: Model = [
                    (vec![0], short(6000)),
                    (vec![1], noise()),
                    (numbered(2, noise()), short(6000)),
                    (numbered(3, noise()), short(0)),
                    (vec![4], noise()),
                    (numbered(5, both.clone()), both),
                    (ending(numbered(6, common.clone()), 1), short(10)),
                    (ending(numbered(6, common.clone()), 2), noise()),
                    (ending(numbered(6, common), 3), short(2 * LARGE_BYTES)),
                    (vec![7], short(60)),
                ]
                .into_iter()
                // A few of the largest are enough.
                .take(if large == 16 << 20 { 4 } else { usize::MAX })
                .zip(1..)
                .map(|((key, value), number)| {
                    let trailer = Trailer::new(SequenceNumber(number), ValueKind::Put);
                    (KeyRef::new(&key, trailer).to_vec(), value)
                })
                .collect();
                for capacity in [1 << 20, 256 << 20] {
                    read_through_a_cache(&model, compression, capacity);
                }
            }
        }
    }
}

#[test]
fn an_iterator_that_rests_on_a_heavy_block_holds_its_key_alone_and_wakes_on_the_same_entry() {
    let mut dice = Random::new(0x4e57);
    let mut filled = |key: &[u8], sequence, length, fill: Fill| {
        let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
        let value = fill.bytes(dice.next(), length);
        (KeyRef::new(key, trailer).to_vec(), value)
    };
    let texts = [RESTING_BYTES - 1, RESTING_BYTES, RESTING_BYTES + 1].map(|length| {
        let key = format!("0{length}");
        let entry = filled(key.as_bytes(), 10, length, Fill::Text);
        (entry, length > RESTING_BYTES)
    });
    let mut entry = |key: &[u8], sequence, length| filled(key, sequence, length, Fill::Noise);
    let long = |first: u8, length| [vec![first], vec![b'k'; length - 1]].concat();
    // (the entry, whether its block is released)
    let noises = [
        (entry(b"0a", 9, RESTING_BYTES - 1), false),
        (entry(b"1", 9, RESTING_BYTES), false),
        (entry(b"2", 8, RESTING_BYTES + 1), true),
        (entry(b"2", 7, RESTING_BYTES + 1), true),
        (entry(b"3", 6, 100), false),
        (
            entry(&long(b'3', MAX_RESTING_KEY - 1), 5, RESTING_BYTES + 1),
            true,
        ),
        (
            entry(&long(b'4', MAX_RESTING_KEY), 5, RESTING_BYTES + 1),
            true,
        ),
        (
            entry(&long(b'5', MAX_RESTING_KEY + 1), 4, RESTING_BYTES + 1),
            false,
        ),
        (entry(b"6", 3, 3 * RESTING_BYTES), true),
        (entry(b"7", 2, 1), false),
    ];
    let entries: Vec<_> = texts.into_iter().chain(noises).collect();
    let model: Model = entries.iter().map(|(entry, _)| entry.clone()).collect();
    let (env, path) = in_memory();
    // Each entry has a block of its own.
    let options = TableOptions {
        block_size: 1,
        compression: Compression::Snappy,
        ..TableOptions::default()
    };
    let summary = build(&env, &path, &model, options);
    let cache = BlockCache::new(0);
    let table = open(&env, &path, summary.file_size, &cache).unwrap();
    let held = || table.gauge().bytes();
    let idle = held();
    for readahead in [0, 1 << 20] {
        let mut iterator = table.iter(true, readahead);
        let is_at = |iterator: &TableIterator, (key, value): &(Vec<u8>, Vec<u8>)| {
            iterator.valid() && iterator.key() == key_of(key) && iterator.value() == value
        };
        iterator.seek_to_first().unwrap();
        for (entry, is_given_back) in &entries {
            assert!(is_at(&iterator, entry));
            let before = held();
            assert!(before >= idle + entry.1.len() && before < idle + entry.1.len() + (1 << 20));
            assert_eq!(iterator.is_heavy(), *is_given_back);
            if *is_given_back {
                iterator.rest();
                iterator.rest();
                assert!(!iterator.is_heavy());
            }
            assert_eq!(held() < before, *is_given_back);
            assert!(held() == before || held() < idle + MAX_RESTING_KEY + (1 << 20));
            assert!(iterator.valid() && iterator.key() == key_of(&entry.0));
            iterator.wake().unwrap();
            iterator.wake().unwrap();
            assert!(is_at(&iterator, entry));
            assert_eq!(held(), before);
            iterator.next().unwrap();
        }
        assert!(!iterator.valid());
        iterator.seek_to_last().unwrap();
        for (entry, is_given_back) in entries.iter().rev() {
            assert_eq!(iterator.is_heavy(), *is_given_back);
            if *is_given_back {
                iterator.rest();
            }
            iterator.wake().unwrap();
            assert!(is_at(&iterator, entry));
            iterator.prev().unwrap();
        }
        assert!(!iterator.valid());
        // A seek needs no waking before; it reads the block again.
        for (from, _) in &entries {
            for (to, _) in &entries {
                iterator.seek(key_of(&from.0)).unwrap();
                if iterator.is_heavy() {
                    iterator.rest();
                }
                iterator.seek_for_prev(key_of(&to.0)).unwrap();
                iterator.wake().unwrap();
                assert!(is_at(&iterator, to));
            }
        }
    }
}

#[test]
fn a_large_block_of_many_entries_is_held_while_others_are_in_front() {
    // The block would be read again for each of its entries.
    let mut dice = Random::new(0x4e58);
    let mut noise = |length| Fill::Noise.bytes(dice.next(), length);
    let model: Model = (0..64u8)
        .map(|number| {
            let trailer = Trailer::new(SequenceNumber(1), ValueKind::Put);
            (KeyRef::new(&[number], trailer).to_vec(), noise(100_000))
        })
        .collect();
    let (env, path) = in_memory();
    let options = TableOptions {
        block_size: 16 << 20,
        compression: Compression::None,
        ..TableOptions::default()
    };
    let summary = build(&env, &path, &model, options);
    let table = open(&env, &path, summary.file_size, &BlockCache::new(0)).unwrap();
    assert_eq!(table.blocks(), 1);
    let mut iterator = table.iter(false, 0);
    iterator.seek_to_first().unwrap();
    for _ in &model {
        assert!(iterator.valid() && !iterator.is_heavy());
        iterator.next().unwrap();
    }
    assert!(!iterator.valid() && !iterator.is_heavy());
}

#[test]
fn an_iterator_that_rests_is_not_stepped_and_what_it_does_not_find_again_is_damage() {
    let heavy = |sequence| {
        let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
        let value = Fill::Noise.bytes(sequence, RESTING_BYTES + 1);
        (KeyRef::new(b"k", trailer).to_vec(), value)
    };
    let options = || TableOptions {
        compression: Compression::None,
        ..TableOptions::default()
    };
    let (env, path) = in_memory();
    let summary = build(&env, &path, &vec![heavy(2), heavy(1)], options());
    let cache = BlockCache::new(0);
    let table = open(&env, &path, summary.file_size, &cache).unwrap();
    let mut iterator = table.iter(false, 0);
    iterator.seek_to_first().unwrap();
    iterator.rest();
    assert_eq!(iterator.next().unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(iterator.prev().unwrap_err().kind(), ErrorKind::Internal);
    iterator.wake().unwrap();
    iterator.rest();

    // Meanwhile the file was replaced by another table, whose first entry has another number.
    let other = PathBuf::from("/db/000002.sst");
    let summary = build(&env, &other, &vec![heavy(3), heavy(1)], options());
    let mut image = vec![0; summary.file_size as usize];
    let (from, to) = (env.open_read(&other), env.open_write(&path).unwrap());
    from.unwrap().read_at(0, &mut image).unwrap();
    to.write_at(0, &image).unwrap();
    let error = iterator.wake().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("000001.sst"), "{error}");
    assert!(!iterator.valid());
    // A bad byte in the file is noticed too.
    iterator.seek_to_first().unwrap();
    iterator.rest();
    let at = HEADER_BYTES + 100;
    to.write_at(at as u64, &[image[at] ^ 1]).unwrap();
    assert_eq!(iterator.wake().unwrap_err().kind(), ErrorKind::Corruption);
    assert!(!iterator.valid());
}

/// `key` with `number` as its first byte, which decides its place.
fn numbered(number: u8, mut key: Vec<u8>) -> Vec<u8> {
    key[0] = number;
    key
}

/// `key` with `last` as its last byte.
fn ending(mut key: Vec<u8>, last: u8) -> Vec<u8> {
    *key.last_mut().unwrap() = last;
    key
}

/// Walks both ways and gets, several times.
fn read_through_a_cache(model: &Model, compression: Compression, capacity: usize) {
    let (env, path) = in_memory();
    let options = TableOptions {
        compression,
        ..TableOptions::default()
    };
    let summary = build(&env, &path, model, options);
    for first in 0..3 {
        let cache = BlockCache::new(capacity);
        let table = open(&env, &path, summary.file_size, &cache).unwrap();
        for round in 0..5 {
            let mut iterator = table.iter(true, [0, 1 << 20][round % 2]);
            match (first + round) % 3 {
                0 => {
                    iterator.seek_to_first().unwrap();
                    for (key, value) in model {
                        assert!(iterator.valid() && iterator.key() == key_of(key));
                        assert!(iterator.value() == value, "{compression}, round {round}");
                        iterator.next().unwrap();
                    }
                }
                1 => {
                    iterator.seek_to_last().unwrap();
                    for (key, value) in model.iter().rev() {
                        assert!(iterator.valid() && iterator.key() == key_of(key));
                        assert!(iterator.value() == value, "{compression}, round {round}");
                        iterator.prev().unwrap();
                    }
                }
                _ => {
                    for (key, value) in model {
                        let user_key = key_of(key).user_key;
                        let found = table.get(user_key, Trailer::NEWEST, true).unwrap();
                        assert!(&*found.unwrap().1 == value, "{compression}, round {round}");
                    }
                }
            }
            assert!(!iterator.valid());
        }
    }
}

/// The entries that a reader at `sequence` sees: the newest version of each key up to that, unless it is a tombstone.
fn seen_at(model: &Model, sequence: SequenceNumber) -> Vec<&(Vec<u8>, Vec<u8>)> {
    let up_to = model
        .iter()
        .filter(|(key, _)| key_of(key).trailer.sequence() <= sequence);
    let mut newest: Vec<&(Vec<u8>, Vec<u8>)> = Vec::new();
    for entry in up_to {
        let before = newest.last().map(|(key, _)| key_of(key).user_key);
        if before != Some(key_of(&entry.0).user_key) {
            newest.push(entry);
        }
    }
    newest.retain(|(key, _)| key_of(key).trailer.kind() == Some(ValueKind::Put));
    newest
}

#[test]
fn a_span_shows_what_its_reader_sees_and_stops_where_that_is_uncertain() {
    let (mut forward, mut backward, mut stops) = (0, 0, 0);
    for (round, options) in all_options().into_iter().enumerate() {
        let mut dice = Random::new(0x59a9 + round as u64);
        let model = random_model(&mut dice, 800);
        let (env, path) = in_memory();
        let summary = build(&env, &path, &model, options);
        let cache = BlockCache::new(64 << 20);
        let table = open(&env, &path, summary.file_size, &cache).unwrap();
        for (key, _) in model.iter().chain(&model) {
            let key = key_of(key);
            table.get(key.user_key, key.trailer, true).unwrap();
        }
        let newest = model
            .iter()
            .map(|(key, _)| key_of(key).trailer.sequence().0);
        let newest = newest.max().unwrap();
        let mut iterator = table.iter(true, 0);
        for walk in 0..400 {
            let sequence = match walk % 2 {
                0 => SequenceNumber(newest),
                _ => SequenceNumber(dice.below(newest) + 1),
            };
            let seen = seen_at(&model, sequence);
            if seen.is_empty() {
                continue;
            }
            let mut at = dice.below(seen.len() as u64) as usize;
            iterator.seek(key_of(&seen[at].0)).unwrap();
            let Some(mut span) = iterator.span(sequence) else {
                continue;
            };
            let lowest = dice.below(at as u64 + 1) as usize;
            let limit = at + 1 + dice.below((seen.len() - at) as u64) as usize;
            match walk % 4 {
                0 => span.begin_here(),
                1 => span.end_here(),
                2 => span.begin_at(key_of(&seen[lowest].0)),
                _ if limit < seen.len() => span.end_before(key_of(&seen[limit].0)),
                _ => {}
            }
            let within = match walk % 4 {
                0 => at..seen.len(),
                1 => 0..at + 1,
                2 => lowest..seen.len(),
                _ => 0..limit,
            };
            for _ in 0..100 {
                if dice.below(10) < 5 + walk % 2 {
                    let stepped = span.forward();
                    at += usize::from(stepped);
                    forward += usize::from(stepped);
                    stops += usize::from(!stepped);
                } else {
                    let stepped = span.backward();
                    at -= usize::from(stepped);
                    backward += usize::from(stepped);
                    stops += usize::from(!stepped);
                }
                assert!(within.contains(&at));
                let (key, value) = seen[at];
                assert_eq!(
                    (span.key(), span.value()),
                    (key_of(key).user_key, &value[..])
                );
            }
            iterator.resume(span.index());
            assert_eq!(iterator.key(), key_of(&seen[at].0));
        }
    }
    let few = forward.min(backward).min(stops);
    assert!(
        few > 10_000,
        "{forward} steps forward, {backward} back, {stops} not taken"
    );
}

/// Seeks and turns at any point, beside a position in the model.
fn walk_at_random(dice: &mut Random, model: &Model, iterator: &mut TableIterator) {
    let mut position: Option<usize> = None;
    for _ in 0..2000 {
        match (dice.below(12), position) {
            (0, _) => {
                let target = random_target(dice, model);
                iterator.seek(key_of(&target)).unwrap();
                let at = model.partition_point(|(key, _)| key_of(key) < key_of(&target));
                position = (at < model.len()).then_some(at);
            }
            (1, _) => {
                let target = random_target(dice, model);
                iterator.seek_for_prev(key_of(&target)).unwrap();
                let behind = model.partition_point(|(key, _)| key_of(key) <= key_of(&target));
                position = behind.checked_sub(1);
            }
            (2..7, Some(at)) => {
                iterator.next().unwrap();
                position = (at + 1 < model.len()).then_some(at + 1);
            }
            (7.., Some(at)) => {
                iterator.prev().unwrap();
                position = at.checked_sub(1);
            }
            (roll, None) if roll % 2 == 0 => {
                iterator.seek_to_first().unwrap();
                position = Some(0);
            }
            (_, None) => {
                iterator.seek_to_last().unwrap();
                position = Some(model.len() - 1);
            }
        }
        assert_eq!(iterator.valid(), position.is_some());
        if let Some(at) = position {
            let (key, value) = &model[at];
            assert_eq!(
                (iterator.key(), iterator.value()),
                (key_of(key), &value[..])
            );
            assert_eq!(iterator.entry(), (key_of(key).user_key, &value[..]));
        }
    }
}

/// TABLE-6.
#[test]
fn a_flipped_byte_anywhere_is_corruption_or_harmless() {
    for (round, compression) in Compression::ALL.into_iter().enumerate() {
        let mut dice = Random::new(0xf11b + round as u64);
        let model = random_model(&mut dice, 60);
        let (env, path) = in_memory();
        let options = TableOptions {
            block_size: 300,
            compression,
            ..TableOptions::default()
        };
        let summary = build(&env, &path, &model, options);
        let file = env.open_write(&path).unwrap();
        let mut original = vec![0; summary.file_size as usize];
        file.read_at(0, &mut original).unwrap();
        for at in 0..original.len() {
            file.write_at(at as u64, &[original[at] ^ (1 << dice.below(8))])
                .unwrap();
            let cache = BlockCache::new(1 << 20);
            let error = match open(&env, &path, summary.file_size, &cache) {
                Err(error) => error,
                Ok(table) => {
                    // Everything that is read without an error is right.
                    let mut iterator = table.iter(true, 0);
                    let mut moved = iterator.seek_to_first();
                    for (key, value) in &model {
                        if moved.is_err() {
                            assert!(!iterator.valid());
                            break;
                        }
                        assert_eq!(
                            (iterator.key(), iterator.value()),
                            (key_of(key), &value[..])
                        );
                        moved = iterator.next();
                    }
                    check(&table).expect_err("TABLE-1: every byte is checked")
                }
            };
            assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}: {error}");
            assert!(error.message().contains("000001.sst at byte"), "{error}");
            file.write_at(at as u64, &original[at..at + 1]).unwrap();
        }
        // Cut short, extended, or another file's table.
        let cache = BlockCache::new(0);
        for length in [
            0,
            1,
            23,
            24,
            87,
            88,
            summary.file_size - 1,
            summary.file_size + 1,
        ] {
            file.set_len(length).unwrap();
            for expected in [length, summary.file_size] {
                let error = open(&env, &path, expected, &cache).map(|_| ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corruption);
            }
        }
        file.set_len(summary.file_size).unwrap();
        file.write_at(0, &original).unwrap();
        open(&env, &path, summary.file_size, &cache).unwrap();
        let other = Table::open(&env, &path, FILE_ID + 1, summary.file_size, cache);
        assert!(other.map(|_| ()).unwrap_err().message().contains("id"));
    }
}

/// A table of a few blocks. Each is read `reads` times after its first miss, and so is in the cache; with 0 none is
/// read.
fn cached_table(reads: usize) -> Arc<Table> {
    cached_table_of(20, reads)
}

/// The same with values of `value_bytes` bytes.
fn cached_table_of(value_bytes: usize, reads: usize) -> Arc<Table> {
    let (env, path) = in_memory();
    let model: Model = (0..100u64)
        .map(|number| {
            let trailer = Trailer::new(SequenceNumber(number + 1), ValueKind::Put);
            let key = KeyRef::new(&number.to_be_bytes(), trailer).to_vec();
            (key, vec![number as u8; value_bytes])
        })
        .collect();
    let options = TableOptions {
        block_size: 300,
        ..TableOptions::default()
    };
    let summary = build(&env, &path, &model, options);
    let table = open(&env, &path, summary.file_size, &BlockCache::new(1 << 20)).unwrap();
    // Blocks enter the cache at their second miss.
    let rounds = if reads > 0 { reads + 1 } else { 0 };
    for number in (0..table.blocks()).cycle().take(rounds * table.blocks()) {
        table.block(number, true).unwrap();
    }
    table
}

/// Data block `number` of such a table in the stored form.
fn stored_block(number: usize) -> Block {
    let block = cached_table(0).block(number, false).unwrap();
    assert!(block.may_flatten());
    block
}

#[test]
fn a_cached_block_is_compared_with_the_file_in_both_forms() {
    for reads in [1, 3] {
        let table = cached_table(reads);
        for number in 0..table.blocks() {
            assert_eq!(table.cached_block_is_sound(number).unwrap(), Some(true));
        }
    }
    assert_eq!(cached_table(0).cached_block_is_sound(0).unwrap(), None);
    let table = cached_table(1);
    let ready = table.block(1, true).unwrap();
    assert!(!ready.may_flatten());
    // A block of another table with the same id, at the same place.
    let other = cached_table_of(21, 1).block(1, true).unwrap();
    for (block, is_sound) in [(stored_block(1), true), (other, false), (ready, true)] {
        table.put_in_slot(1, block);
        assert_eq!(table.cached_block_is_sound(1).unwrap(), Some(is_sound));
    }
}

#[test]
fn what_memory_answers_it_answers_from_a_block_that_is_ready_and_never_wrongly() {
    let sought = |table: &Table, number: u64| {
        let key = number.to_be_bytes();
        table.get_in_memory(Sought::new(&key, Trailer::NEWEST), |_, entry| {
            entry.to_vec()
        })
    };
    assert!(matches!(
        sought(&cached_table(0), 0),
        Err(Unread::NotInMemory)
    ));
    let table = cached_table(3);
    let ready = table.block(0, true).unwrap();
    table.put_in_slot(0, stored_block(0));
    assert!(matches!(sought(&table, 0), Err(Unread::NotInMemory)));
    table.put_in_slot(0, ready);
    for number in 0..100 {
        let found = sought(&table, number).unwrap_or_else(|_| panic!("{number}"));
        assert_eq!(found, Some(vec![number as u8; 20]));
    }
    assert!(matches!(sought(&table, 100), Ok(None)));
}

#[test]
fn an_entry_is_kept_once_and_the_walk_stands_nowhere_then() {
    // Once with blocks in the stored form, and once with flat ones.
    for reads in [0, 1] {
        let mut walk = cached_table(reads).iter(false, 0);
        walk.seek_to_first().unwrap();
        let kept = walk.keep_entry();
        assert!(kept.is_some() && !walk.valid());
        assert!(walk.keep_entry().is_none());
    }
}

/// TABLE-11.
#[test]
fn a_block_in_the_place_of_another_is_never_handed_out() {
    let table = cached_table(1);
    table.put_in_slot(1, table.block(2, true).unwrap());
    assert_eq!(table.cached_block_is_sound(1).unwrap(), Some(false));
    let is_refused = |error: Option<crate::error::Error>| {
        let kind = error.map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Internal));
    };
    is_refused(table.cached_block(1).err());
    is_refused(table.block(1, true).err());
    let mut keys = (0..100u64).map(|number| number.to_be_bytes());
    let key = keys
        .find(|key| table.find_block(KeyRef::new(key, Trailer::NEWEST)) == 1)
        .unwrap();
    is_refused(table.get(&key, Trailer::NEWEST, true).err());
    let mut walk = table.iter(true, 0);
    walk.seek_to_first().unwrap();
    let failed = std::iter::repeat_with(|| walk.next()).find_map(Result::err);
    is_refused(failed);
}

/// A footer with a good checksum may still name parts that do not exist.
#[test]
fn a_table_says_what_its_entries_come_to() {
    let (env, path) = in_memory();
    let cache = Arc::new(BlockCache::new(0));
    for seed in 0..20 {
        let model = random_model(&mut Random::new(seed), 50);
        let summary = build(&env, &path, &model, TableOptions::default());
        let table = open(&env, &path, summary.file_size, &cache).unwrap();
        let trailers = || model.iter().map(|(key, _)| key_of(key).trailer);
        let of_kind = |kind| {
            let entries = trailers().filter(|trailer| trailer.kind() == Some(kind));
            entries.count() as u64
        };
        let tombstones = of_kind(ValueKind::Delete);
        let range_deletes = of_kind(ValueKind::RangeDelete);
        let counts = (model.len() as u64, tombstones, range_deletes);
        assert_eq!(table.counts(), counts, "seed {seed}");
        let entries = model.iter().map(|(key, value)| (key_of(key), value));
        let ranges = entries.filter_map(|(key, value)| {
            let is_range = key.trailer.kind() == Some(ValueKind::RangeDelete);
            let number = key.trailer.sequence();
            is_range.then(|| RangeDelete::of_entry(key.user_key, number, value).unwrap())
        });
        assert_eq!(
            summary.range_deletes,
            ranges.collect::<Vec<_>>(),
            "seed {seed}"
        );
        let mut sum = Sum::default();
        for (key, value) in &model {
            let KeyRef { user_key, trailer } = key_of(key);
            assert!(sum.add_entry(user_key, trailer, value));
        }
        assert_eq!(summary.sum, sum, "seed {seed}");
        assert_eq!(table.content_sum(), Some(sum.terms), "seed {seed}");
        let numbers = || trailers().map(Trailer::sequence);
        let ends = [numbers().min().unwrap(), numbers().max().unwrap()];
        assert_eq!(table.numbers(), ends, "seed {seed}");
        env.remove_file(&path).unwrap();
    }
}

/// TAIL-1.
#[test]
fn an_index_and_properties_that_are_not_of_one_table_are_refused() {
    let (env, path) = in_memory();
    let model = random_model(&mut Random::new(7), 50);
    let options = TableOptions {
        block_size: 100,
        ..TableOptions::default()
    };
    let size = build(&env, &path, &model, options).file_size;
    let file = env.open_read(&path).unwrap();
    let tail = Tail::read(&*file, &path, FILE_ID, size).unwrap();
    let (index, properties) = (tail.index().unwrap(), tail.properties().unwrap());
    tail.check_together(&properties, &index).unwrap();
    for data_blocks in [properties.data_blocks - 1, properties.data_blocks + 1] {
        let other = Properties {
            data_blocks,
            ..properties.clone()
        };
        let error = tail.check_together(&other, &index).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    }
}

#[test]
fn a_footer_whose_parts_do_not_follow_one_another_is_damage() {
    let (env, path) = in_memory();
    let model = random_model(&mut Random::new(3), 50);
    let size = build(&env, &path, &model, TableOptions::default()).file_size;
    let mut bytes = vec![0; size as usize];
    env.open_read(&path)
        .unwrap()
        .read_at(0, &mut bytes)
        .unwrap();
    let at = size - FOOTER_BYTES as u64;
    let good = Footer::decode(&path, FILE_ID, at, &bytes[at as usize..]).unwrap();
    let open_with = |spoil: &dyn Fn(&mut Footer), more: usize| {
        let mut footer = good;
        spoil(&mut footer);
        let mut bytes = bytes[..at as usize].to_vec();
        bytes.extend(footer.encode(FILE_ID, at));
        bytes.resize(bytes.len() + more, 0);
        let env = MemEnv::new();
        env.create_dir_all(Path::new("/db")).unwrap();
        env.create_new(&path).unwrap().write_at(0, &bytes).unwrap();
        open(&env, &path, size, &BlockCache::new(1 << 20)).map(|_| ())
    };
    assert!(open_with(&|_| (), 0).is_ok());
    let error = open_with(&|_| (), 1).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption, "a byte after the end");
    for value in [0, 1, at, size, u64::MAX - 4, u64::MAX] {
        let spoils: [&dyn Fn(&mut Footer); 5] = [
            &|footer| footer.index.offset = value,
            &|footer| footer.index.length = value,
            &|footer| footer.properties.offset = value,
            &|footer| footer.properties.length = value,
            &|footer| footer.filter.as_mut().unwrap().length = value,
        ];
        for (which, spoil) in spoils.iter().enumerate() {
            let error = open_with(spoil, 0).err();
            let kind = error.map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::Corruption), "{which}: {value}");
        }
    }
}

/// Bytes after a good checksum are not trusted either.
#[test]
fn a_malformed_block_is_damage_and_never_panics() {
    let mut dice = Random::new(0xb10c);
    let gauge = Arc::default();
    let mut builder = block_builder::BlockBuilder::new(3);
    let model = random_model(&mut dice, 40);
    let mut last: &[u8] = b"";
    for (key, value) in &model {
        let key = key_of(key);
        let shared = block::common_prefix(last, key.user_key);
        builder.add(shared, key, value).unwrap();
        last = key.user_key;
    }
    let bytes = builder.finish().unwrap().to_vec();
    let mut damages = 0;
    for round in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=dice.below(3) {
            let at = match dice.below(3) {
                0 => damaged.len() as u64 - 1 - dice.below(40),
                _ => dice.below(damaged.len() as u64),
            };
            damaged[at as usize] = match dice.below(3) {
                0 => 0xff,
                1 => dice.below(4) as u8,
                _ => dice.below(256) as u8,
            };
        }
        if round % 7 == 0 {
            damaged.truncate(dice.below(damaged.len() as u64) as usize);
        }
        let Ok(block) = Block::unchecked(damaged, &gauge) else {
            damages += 1;
            continue;
        };
        let mut cursor = block::BlockCursor::new(block.clone());
        let target = random_target(&mut dice, &model);
        let mut steps = 0;
        let mut outcome = cursor.seek_to_first();
        while outcome.is_ok() && cursor.valid() {
            let _ = (cursor.key(), cursor.value());
            outcome = cursor.next();
            steps += 1;
            assert!(steps <= bytes.len(), "BLOCK-5");
        }
        damages += usize::from(outcome.is_err());
        let mut outcome = cursor.seek_to_last();
        while outcome.is_ok() && cursor.valid() {
            let _ = (cursor.key(), cursor.value());
            outcome = cursor.prev().map(|_| ());
            steps += 1;
            assert!(steps <= 2 * bytes.len(), "BLOCK-5");
        }
        let _ = cursor.seek(key_of(&target));
        if cursor.valid() {
            let _ = cursor.prev();
        }
        let _ = block.get(key_of(&target)).map(|found| {
            found.map(|(_, range)| block.slice(range).len());
        });
    }
    assert!(damages > 5_000, "only {damages} of 20,000 noticed");
    assert_eq!(gauge.bytes(), 0, "every block gave its memory back");
}

#[test]
fn a_restart_point_between_two_entries_fails_the_check() {
    let model: Model = [&b"aaaa"[..], b"aabb", b"aacc", b"aadd"]
        .into_iter()
        .map(|user_key| {
            let trailer = Trailer::new(SequenceNumber(7), ValueKind::Put);
            (KeyRef::new(user_key, trailer).to_vec(), b"vvvv".to_vec())
        })
        .collect();
    let (env, path) = in_memory();
    let options = TableOptions {
        block_restart_interval: 2,
        compression: Compression::None,
        bloom_bits_per_key: 0,
        ..TableOptions::default()
    };
    let size = build(&env, &path, &model, options).file_size;
    let file = env.open_write(&path).unwrap();
    let mut bytes = vec![0; size as usize];
    file.read_at(0, &mut bytes).unwrap();
    // There is one data block: header, payload, trailer, index. Its last restart point is before the count.
    let footer = bytes.len() - FOOTER_BYTES;
    let index = u64::from_le_bytes(*bytes[footer..].first_chunk().unwrap()) as usize;
    let payload = HEADER_BYTES..index - BLOCK_TRAILER_BYTES;
    let restart = payload.end - 8;
    let second = u32::from_le_bytes(*bytes[restart..].first_chunk().unwrap());
    let third = second + 3 + 4 + 8 + 4;
    for wrong in [second - 1, second + 1, third, third + 1] {
        bytes[restart..restart + 4].copy_from_slice(&wrong.to_le_bytes());
        let offset = payload.start as u64;
        let raw = &bytes[payload.clone()];
        let trailer = block_trailer(FILE_ID, offset, BlockKind::Data, Compression::None, raw);
        bytes[payload.end..index].copy_from_slice(&trailer);
        file.write_at(0, &bytes).unwrap();
        let table = open(&env, &path, size, &BlockCache::new(0)).unwrap();
        let error = check(&table).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    }
}

#[test]
fn the_check_compares_entries_with_their_order_the_index_the_filter_and_the_properties() {
    let keys = [&b"kaaa"[..], b"kbbb", b"kccc", b"kddd"];
    let entry = |user_key: &&[u8]| {
        let trailer = Trailer::new(SequenceNumber(7), ValueKind::Put);
        (KeyRef::new(user_key, trailer).to_vec(), b"vvvv".to_vec())
    };
    let model: Model = keys.iter().map(entry).collect();
    // The result of a check after an edit of the first data block and its checksum.
    let edited_of = |block_size: usize, edit: &dyn Fn(&mut [u8])| {
        let (env, path) = in_memory();
        let options = TableOptions {
            block_size,
            block_restart_interval: 1,
            compression: Compression::None,
            ..TableOptions::default()
        };
        let size = build(&env, &path, &model, options).file_size;
        let file = env.open_write(&path).unwrap();
        let mut bytes = vec![0; size as usize];
        file.read_at(0, &mut bytes).unwrap();
        let sealed = |raw: &[u8]| {
            let offset = HEADER_BYTES as u64;
            block_trailer(FILE_ID, offset, BlockKind::Data, Compression::None, raw)
        };
        let ends = |end: &usize| bytes[*end..].starts_with(&sealed(&bytes[HEADER_BYTES..*end]));
        let payload = HEADER_BYTES..(HEADER_BYTES..bytes.len()).find(ends).unwrap();
        edit(&mut bytes[payload.clone()]);
        let trailer = sealed(&bytes[payload.clone()]);
        bytes[payload.end..payload.end + BLOCK_TRAILER_BYTES].copy_from_slice(&trailer);
        file.write_at(0, &bytes).unwrap();
        let table = open(&env, &path, size, &BlockCache::new(0)).unwrap();
        check(&table).map_err(|error| error.to_string())
    };
    let place = |payload: &[u8], key: &[u8]| {
        let mut windows = payload.windows(key.len());
        windows.position(|window| window == key).unwrap()
    };
    let put = |payload: &mut [u8], old: &[u8], new: &[u8]| {
        let at = place(payload, old);
        payload[at..at + new.len()].copy_from_slice(new);
    };
    let edited = |edit: &dyn Fn(&mut [u8])| edited_of(4096, edit);
    edited(&|_| ()).unwrap();
    let swapped = edited(&|payload| {
        let (second, third) = (place(payload, keys[1]), place(payload, keys[2]));
        payload[second..second + 4].copy_from_slice(keys[2]);
        payload[third..third + 4].copy_from_slice(keys[1]);
    });
    assert!(swapped.unwrap_err().contains("do not ascend"));
    // With one block per entry, the first block gets the second one's key.
    let outside = edited_of(1, &|payload| put(payload, keys[0], keys[1]));
    assert!(outside.unwrap_err().contains("outside its block's fences"));
    let unknown = edited(&|payload| put(payload, keys[1], b"kbbc"));
    assert!(unknown.unwrap_err().contains("the filter lacks a key"));
    let renumbered = edited(&|payload| {
        let behind = place(payload, keys[1]) + 4;
        let sequence = payload[behind..behind + 8]
            .iter()
            .position(|&byte| byte == 7);
        payload[behind + sequence.unwrap()] = 9;
    });
    assert!(renumbered.unwrap_err().contains("properties"));
}

/// TALLY-2.
#[test]
fn the_check_tells_of_every_block_and_of_damage_once_and_ends_when_it_is_told_to() {
    let (env, path) = in_memory();
    let model: Model = (0..4u64)
        .map(|number| {
            let trailer = Trailer::new(SequenceNumber(number + 1), ValueKind::Put);
            let key = KeyRef::new(&number.to_be_bytes(), trailer).to_vec();
            (key, vec![b'v'; 100])
        })
        .collect();
    let options = TableOptions {
        block_size: 200,
        compression: Compression::None,
        ..TableOptions::default()
    };
    let size = build(&env, &path, &model, options).file_size;
    // The reports of a check: the bytes and entries of a block, or where damage is. The check is ended after `most`
    // reports.
    let reported = |most: usize| {
        let table = open(&env, &path, size, &BlockCache::new(0)).unwrap();
        assert_eq!(table.blocks(), 2);
        let mut reported = Vec::new();
        let summary = table.check(&mut |checked| {
            reported.push(match checked {
                Checked::Block { bytes, entries } => (bytes, Some(entries)),
                Checked::Damage { offset, error } => {
                    assert_eq!(error.kind(), ErrorKind::Corruption);
                    (offset, None)
                }
            });
            match reported.len() == most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        (reported, summary.unwrap().is_some())
    };
    // Three lengths, a key, a trailer and a value for each of two entries; one restart point and the count.
    let block = 2 * (3 + 8 + 8 + 100) - 7 + 8 + BLOCK_TRAILER_BYTES as u64;
    let (whole, first) = ((block, Some(2)), HEADER_BYTES as u64);
    assert_eq!(reported(9), (vec![whole, whole], true));
    assert_eq!(reported(1), (vec![whole], false));
    let file = env.open_write(&path).unwrap();
    file.write_at(first + 50, b"x").unwrap();
    let damaged = [(first, None), (block, Some(0)), whole];
    // The properties differ because of the lost entries; that is not reported as further damage.
    assert_eq!(reported(9), (damaged.to_vec(), false));
    for most in [1, 2] {
        assert_eq!(reported(most), (damaged[..most].to_vec(), false));
    }
}

/// TABLE-3.
#[test]
fn keys_out_of_order_are_refused_and_the_builder_stays_failed() {
    let put = |sequence| Trailer::new(SequenceNumber(sequence), ValueKind::Put);
    let cases: [(&[u8], u64, &[u8], u64); 5] = [
        (b"b", 1, b"a", 2),
        (b"a", 1, b"a", 1),
        (b"a", 1, b"a", 2),
        (b"aa", 1, b"a", 2),
        (b"a", 1, b"", 9),
    ];
    for (first, first_sequence, second, second_sequence) in cases {
        let (env, path) = in_memory();
        let file = env.create_new(&path).unwrap();
        let options = TableOptions::default();
        let mut builder = Builder::new(file, path, FILE_ID, options).unwrap();
        builder
            .add(KeyRef::new(first, put(first_sequence)), b"1")
            .unwrap();
        let second = KeyRef::new(second, put(second_sequence));
        let error = builder.add(second, b"2").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let behind = KeyRef::new(b"z", put(9));
        assert!(builder.add(behind, b"3").is_err(), "TABLE-5");
        assert!(builder.finish().is_err(), "TABLE-5");
    }
    let (env, path) = in_memory();
    let file = env.create_new(&path).unwrap();
    let builder = Builder::new(file, path, FILE_ID, TableOptions::default()).unwrap();
    assert!(builder.finish().is_err(), "a table needs an entry");
}

#[test]
fn long_keys_and_values_stand_alone_and_fences_stay_short() {
    let (env, path) = in_memory();
    let trailer = Trailer::new(SequenceNumber(5), ValueKind::Put);
    let long = |tail: u8| [vec![b'k'; 100_000], vec![tail; 3]].concat();
    let mut keys: Vec<Vec<u8>> = (0..6).map(long).collect();
    keys.extend((0..50u8).map(|tail| vec![b'x', tail]));
    keys.push([vec![b'y'; 2_000_000], vec![1]].concat());
    keys.push([vec![b'z'; 3_000_000], vec![1]].concat());
    let mut model: Model = keys
        .iter()
        .map(|key| (KeyRef::new(key, trailer).to_vec(), vec![7; key.len() / 2]))
        .collect();
    model.sort_by(|a, b| key_of(&a.0).cmp(&key_of(&b.0)));
    let options = TableOptions {
        compression: Compression::None,
        ..TableOptions::default()
    };
    let summary = build(&env, &path, &model, options);
    let cache = BlockCache::new(1 << 20);
    let table = open(&env, &path, summary.file_size, &cache).unwrap();
    assert_eq!(check(&table).unwrap(), summary);
    assert_eq!(table.blocks(), 9, "each long entry has a block of its own");
    assert!(
        table.memory() < 600_000,
        "{} bytes: only keys that share 100,000 bytes need long fences",
        table.memory()
    );
    let mut iterator = table.iter(true, 1 << 20);
    iterator.seek_to_last().unwrap();
    for (key, value) in model.iter().rev() {
        assert_eq!(
            (iterator.key(), iterator.value()),
            (key_of(key), &value[..])
        );
        iterator.prev().unwrap();
    }
    assert!(cache.stats().used <= 1 << 20);
}

#[test]
fn offsets_grow_with_the_key() {
    let mut dice = Random::new(3);
    let model = random_model(&mut dice, 500);
    let (env, path) = in_memory();
    let summary = build(&env, &path, &model, TableOptions::default());
    let cache = BlockCache::new(0);
    let table = open(&env, &path, summary.file_size, &cache).unwrap();
    let mut last = 0;
    for (key, _) in &model {
        let offset = table.approximate_offset_of(key_of(key).user_key);
        assert!(offset >= last && offset < summary.file_size);
        last = offset;
    }
    assert!(last > 0);
}

/// The bytes of the hex block after the marker in docs/format.md. Text after two spaces is a remark.
fn documented_table() -> Vec<u8> {
    let document = include_str!("../../../docs/format.md");
    let (_, behind) = document
        .split_once("<!-- replay: sstable -->")
        .expect("docs/format.md has the marker");
    let example = behind.split("```").nth(1).expect("a code block follows");
    example
        .lines()
        .flat_map(|line| line.split("  ").next().unwrap_or("").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_documented_example_is_what_the_builder_writes_and_the_reader_reads() {
    let entry = |user_key: &[u8], sequence, kind, value: &[u8]| {
        let trailer = Trailer::new(SequenceNumber(sequence), kind);
        (KeyRef::new(user_key, trailer).to_vec(), value.to_vec())
    };
    let model = vec![
        entry(b"app", 9, ValueKind::Put, b"one"),
        entry(b"apple", 5, ValueKind::Delete, b""),
        entry(b"cat", 7, ValueKind::Put, b"two"),
    ];
    let options = TableOptions {
        keyspace: KeyspaceId::DEFAULT,
        block_size: 36,
        block_restart_interval: 16,
        compression: Compression::None,
        bloom_bits_per_key: 10,
    };
    let (env, path) = in_memory();
    let summary = build(&env, &path, &model, options);
    let mut built = vec![0; summary.file_size as usize];
    let file = env.open_read(&path).unwrap();
    file.read_at(0, &mut built).unwrap();
    let documented = documented_table();
    let hex: Vec<String> = built.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(built == documented, "built:\n{}", hex.join(" "));

    let table = open(&env, &path, summary.file_size, &BlockCache::new(0)).unwrap();
    assert_eq!(check(&table).unwrap(), summary);
    assert_eq!(table.blocks(), 2);
    let (trailer, value) = table.get(b"cat", Trailer::NEWEST, true).unwrap().unwrap();
    assert_eq!(
        (trailer.sequence(), &*value),
        (SequenceNumber(7), &b"two"[..])
    );
}

/// A block of `model`, in the stored form.
fn block_of(model: &Model, restart_interval: usize) -> Vec<u8> {
    let mut builder = block_builder::BlockBuilder::new(restart_interval);
    let mut last: &[u8] = b"";
    for (key, value) in model {
        let key = key_of(key);
        let shared = block::common_prefix(last, key.user_key);
        builder.add(shared, key, value).unwrap();
        last = key.user_key;
    }
    builder.finish().unwrap().to_vec()
}

#[test]
fn a_flat_block_answers_like_the_sorted_list_it_was_built_from() {
    let gauge = Arc::default();
    let mut flattened = 0;
    for seed in 0x1f1a7..0x1f1a7 + 300 {
        let mut dice = Random::new(seed);
        let count = 1 + dice.below(if seed % 3 == 0 { 700 } else { 40 });
        let mut model = random_model(&mut dice, count as usize);
        for (_, value) in &mut model {
            match seed % 5 {
                // Around the mean entry size above which copying does not pay.
                0 => value.resize(960 + dice.index(80), b'v'),
                _ => value.truncate(200),
            }
        }
        if seed % 2 == 0 {
            // Keys that share many bytes, which are left out of the heads.
            for (key, _) in &mut model {
                key.splice(..0, *b"tables/7/rows/");
            }
        }
        let raw = block_of(&model, 1 + dice.below(20) as usize);
        let stored = Block::unchecked(raw, &gauge).unwrap();
        let Some(flat) = stored.flatten() else {
            // A user key's trailer is part of the encoded key.
            let entries = model.iter();
            let flat: usize = entries
                .map(|(key, value)| 8 + key.len() + value.len())
                .sum();
            let stored = stored.bytes().len();
            assert!(
                flat > 2 * stored - 16 || flat > 65_000 || flat / model.len() >= 1 << 10,
                "LAYOUT-2, seed {seed:#x}"
            );
            continue;
        };
        flattened += 1;
        assert!(stored.flatten().is_none(), "the flat form is made once");
        assert!(flat.bytes().len() <= 2 * stored.bytes().len(), "LAYOUT-2");
        let Ok(mut cursor) = block::FlatCursor::new(flat.clone()) else {
            panic!("it is flat");
        };
        cursor.seek_to_first();
        for (at, (key, value)) in model.iter().enumerate() {
            let is_other =
                |(other, _): &(Vec<u8>, Vec<u8>)| key_of(other).user_key != key_of(key).user_key;
            let before = at.checked_sub(1).and_then(|at| model.get(at));
            assert_eq!(cursor.is_first_of_key(), before.map(is_other));
            assert_eq!(cursor.is_last_of_key(), model.get(at + 1).map(is_other));
            assert!(cursor.valid() && cursor.key() == key_of(key) && cursor.value() == value);
            cursor.next();
        }
        assert!(!cursor.valid());
        cursor.seek_to_last();
        for (key, value) in model.iter().rev() {
            assert!(cursor.valid() && cursor.key() == key_of(key) && cursor.value() == value);
            cursor.prev();
        }
        assert!(!cursor.valid());
        for _ in 0..300 {
            let target = random_target(&mut dice, &model);
            let target = key_of(&target);
            let expected = lookup(&model, target);
            let found = flat.get(target).unwrap();
            let found = found.map(|(trailer, range)| (trailer, flat.slice(range)));
            assert_eq!(found, expected, "seed {seed:#x}, {target:?}");
            cursor.seek(target);
            let at = model.partition_point(|(key, _)| key_of(key) < target);
            assert_eq!(cursor.valid(), at < model.len(), "seed {seed:#x}");
            if cursor.valid() {
                assert_eq!(cursor.key(), key_of(&model[at].0), "seed {seed:#x}");
            }
        }
    }
    assert!(flattened > 200, "only {flattened} of 300");
    assert_eq!(gauge.bytes(), 0, "every block gave its memory back");
}

#[test]
fn a_block_that_is_damaged_unordered_or_much_larger_as_a_whole_stays_stored() {
    let gauge = Arc::default();
    let entry = |user_key: &[u8], sequence| {
        let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
        (KeyRef::new(user_key, trailer).to_vec(), b"v".to_vec())
    };
    let is_flattened = |raw: Vec<u8>| Block::unchecked(raw, &gauge).unwrap().flatten().is_some();
    let ordered: Model = vec![entry(b"a", 2), entry(b"a", 1), entry(b"b", 9)];
    assert!(is_flattened(block_of(&ordered, 2)));
    let unordered: Model = vec![entry(b"a", 1), entry(b"a", 2), entry(b"b", 9)];
    assert!(!is_flattened(block_of(&unordered, 2)), "LAYOUT-1");
    let mut damaged = block_of(&ordered, 16);
    // The second entry begins with the number of shared bytes: more than the first key has.
    let second = 3 + 1 + 8 + 1;
    assert_eq!(damaged[second], 1);
    damaged[second] = 7;
    assert!(!is_flattened(damaged), "LAYOUT-1");
    let shared = [b'k'; 400];
    let keys = (0..50u8).map(|last| [&shared[..], &[last]].concat());
    let long: Model = keys.map(|key| entry(&key, 1)).collect();
    assert!(!is_flattened(block_of(&long, 16)), "LAYOUT-2");
    let huge: Model = (0..70u8)
        .map(|last| (entry(&[last], 1).0, vec![0; 1000]))
        .collect();
    assert!(!is_flattened(block_of(&huge, 16)), "LAYOUT-2");
}

/// A raw block of these entries (shared bytes, suffix, value), with one restart point.
fn raw_block(entries: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
    let mut raw = Vec::new();
    for (number, (shared, suffix, value)) in entries.iter().enumerate() {
        raw.extend_from_slice(&[*shared, suffix.len() as u8, value.len() as u8]);
        raw.extend_from_slice(suffix);
        let sequence = SequenceNumber(100 - number as u64);
        raw.extend_from_slice(&Trailer::new(sequence, ValueKind::Put).0.to_le_bytes());
        raw.extend_from_slice(value);
    }
    raw.extend_from_slice(&0u32.to_le_bytes());
    raw.extend_from_slice(&1u32.to_le_bytes());
    raw
}

#[test]
fn a_lookup_in_a_whole_block_with_impossible_lengths_answers_damage() {
    let cache = BlockCache::new(0);
    let get = |raw: Vec<u8>, user_key: &[u8]| {
        let block = super::block::Block::unchecked(raw, cache.gauge()).unwrap();
        let target = KeyRef::new(user_key, Trailer::NEWEST);
        let found = block.get(target).map_err(|damage| damage.what)?;
        Ok::<_, &str>(found.map(|(_, range)| block.slice(range).to_vec()))
    };
    let good = raw_block(&[(0, b"ab", b"1"), (1, b"c", b"2")]);
    assert_eq!(get(good, b"ac").unwrap().unwrap(), b"2");
    // An entry that shares more bytes than the previous key has.
    let shares = raw_block(&[(0, b"ab", b"1"), (3, b"c", b"2")]);
    assert!(get(shares.clone(), b"ac").is_err());
    assert!(get(shares, b"abxc").is_err());
    // An entry at a restart point that shares bytes.
    assert!(get(raw_block(&[(1, b"ab", b"1")]), b"ab").is_err());
    // An entry, a suffix and a value that end after the entries.
    for at in [1, 2] {
        let mut raw = raw_block(&[(0, b"ab", b"1")]);
        for length in [3, 12, 100, 127] {
            raw[at] = length;
            assert!(get(raw.clone(), b"ab").is_err(), "byte {at} is {length}");
        }
    }
}

#[test]
fn a_file_too_short_for_a_table_is_refused_before_it_is_read() {
    let shortest = HEADER_BYTES + FOOTER_BYTES;
    for length in [0, 1, HEADER_BYTES, FOOTER_BYTES, shortest - 1] {
        let (env, path) = in_memory();
        let file = env.create_new(&path).unwrap();
        file.write_at(0, &vec![0; length]).unwrap();
        let opened = open(&env, &path, length as u64, &BlockCache::new(0));
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption);
        let said = format!("the file has {length} bytes");
        assert!(error.message().contains(&said), "{error}");
    }
}
