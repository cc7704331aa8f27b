//! How whole tables are cut into blocks, and what their iterators read, to the byte.

use std::path::{Path, PathBuf};

use super::filter::{Filter, build};
use super::format::{FOOTER_BYTES, Footer};
use super::*;
use crate::compression::Compression;
use crate::env::{Call, Env, FaultEnv, MemEnv};
use crate::iterator::InternalIterator;
use crate::key::{KeyRef, MAX_KEY_BYTES, SequenceNumber, Trailer, ValueKind};
use crate::sstable::BlockCache;
use crate::sync::Arc;

const FILE_ID: u64 = 7;

fn trailer(number: u64) -> Trailer {
    Trailer::new(SequenceNumber(number), ValueKind::Put)
}

fn options(block_size: usize) -> TableOptions {
    TableOptions {
        block_size,
        compression: Compression::None,
        ..TableOptions::default()
    }
}

/// A disk in memory that counts reads, and a table on it.
struct Disk {
    env: FaultEnv,
    path: PathBuf,
}

impl Disk {
    fn new() -> Disk {
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 1);
        env.create_dir_all(Path::new("/db")).unwrap();
        Disk {
            env,
            path: PathBuf::from("/db/000001.sst"),
        }
    }

    fn builder(&self, options: TableOptions) -> Builder {
        let file = self.env.create_new(&self.path).unwrap();
        Builder::new(file, self.path.clone(), FILE_ID, options).unwrap()
    }

    fn open(&self, cache_bytes: usize) -> Arc<Table> {
        let size = self.env.open_read(&self.path).unwrap().len().unwrap();
        let cache = BlockCache::new(cache_bytes);
        Table::open(&self.env, &self.path, FILE_ID, size, cache).unwrap()
    }

    fn reads(&self) -> u64 {
        self.env.count(Call::Read)
    }
}

/// Builds a table of entries with one-byte keys and values of these lengths; returns in which block each entry is.
fn blocks_of(block_size: usize, values: &[usize]) -> Vec<usize> {
    let disk = Disk::new();
    let mut builder = disk.builder(options(block_size));
    for (number, value) in values.iter().enumerate() {
        let key = [number as u8];
        builder
            .add(KeyRef::new(&key, trailer(7)), &vec![b'v'; *value])
            .unwrap();
    }
    builder.finish().unwrap();
    let table = disk.open(0);
    (0..values.len())
        .map(|number| table.find_block(KeyRef::new(&[number as u8], Trailer::NEWEST)))
        .collect()
}

#[test]
fn an_entry_of_a_block_or_more_stands_alone() {
    // Key and trailer take nine bytes.
    for (value, alone) in [(990, false), (991, true), (992, true), (5000, true)] {
        let blocks = blocks_of(1000, &[10, value, 10]);
        let expected = if alone { [0, 1, 2] } else { [0, 0, 1] };
        assert_eq!(blocks, expected, "a value of {value}");
    }
}

#[test]
fn a_block_ends_before_an_entry_too_many_only_if_it_is_seven_eighths_full() {
    // An entry takes 12 bytes and its value (13 from 128 on); a restart point and the count take 8.
    let first = |size: usize| size - 8 - 13;
    for (size, second, together) in [
        // A block of less than seven eighths of 800 bytes takes any next entry.
        (699, 700, true),
        (699, 92, true),
        // From seven eighths on it takes only an entry that still fits, not counting lengths and trailer.
        (700, 91, true),
        (700, 92, false),
        (700, 600, false),
        (799, 1, false),
        (791, 0, true),
        (792, 0, false),
    ] {
        let blocks = blocks_of(800, &[first(size), second]);
        let expected = usize::from(!together);
        assert_eq!(blocks, [0, expected], "{size} and a value of {second}");
    }
    // A full block ends after its last entry.
    assert_eq!(blocks_of(800, &[first(800), 0]), [0, 1]);
}

#[test]
fn a_key_of_the_largest_size_is_taken_and_a_larger_one_is_refused() {
    let disk = Disk::new();
    let mut builder = disk.builder(options(4096));
    let key = vec![b'k'; MAX_KEY_BYTES + 1];
    let largest = KeyRef::new(&key[..MAX_KEY_BYTES], trailer(7));
    builder.add(largest, b"v").unwrap();
    let error = builder
        .add(KeyRef::new(&key, trailer(7)), b"v")
        .unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Internal);
}

/// The length of the filter's block; 0 if there is none.
fn filter_bytes(disk: &Disk) -> u64 {
    let file = disk.env.open_read(&disk.path).unwrap();
    let at = file.len().unwrap() - FOOTER_BYTES as u64;
    let mut footer = [0; FOOTER_BYTES];
    file.read_at(at, &mut footer).unwrap();
    let footer = Footer::decode(&disk.path, FILE_ID, at, &footer).unwrap();
    footer.filter.map_or(0, |filter| filter.length)
}

#[test]
fn the_filter_has_each_user_key_once_and_the_empty_one_too() {
    let filter_of = |keys: &[(&[u8], u64)], bloom_bits_per_key| {
        let disk = Disk::new();
        let mut builder = disk.builder(TableOptions {
            bloom_bits_per_key,
            ..options(4096)
        });
        for (key, number) in keys {
            builder
                .add(KeyRef::new(key, trailer(*number)), b"v")
                .unwrap();
        }
        builder.finish().unwrap();
        let table = disk.open(0);
        for (key, _) in keys {
            assert!(table.may_hold(Sought::new(key, Trailer::NEWEST)), "{key:?}");
        }
        filter_bytes(&disk)
    };
    let one = filter_of(&[(b"a", 1)], 10);
    let versions: Vec<(&[u8], u64)> = (1..=500).rev().map(|number| (&b"a"[..], number)).collect();
    assert_eq!(filter_of(&versions, 10), one);
    let keys: Vec<[u8; 2]> = (0..500u16).map(|key| key.to_be_bytes()).collect();
    let keys: Vec<(&[u8], u64)> = keys.iter().map(|key| (&key[..], 1)).collect();
    assert!(filter_of(&keys, 10) >= 500 * 10 / 8);
    filter_of(&[(b"", 9), (b"", 8), (b"x", 1)], 10);
    filter_of(&[(b"", 9)], 10);
    assert_eq!(filter_of(&keys, 0), 0);
}

#[test]
fn the_size_that_is_estimated_on_the_way_is_about_that_of_the_file() {
    for bloom_bits_per_key in [0, 10] {
        for count in [1, 10, 300, 3000] {
            let disk = Disk::new();
            let mut builder = disk.builder(TableOptions {
                bloom_bits_per_key,
                ..options(1000)
            });
            for number in 0..count {
                let key = format!("{number:05}");
                builder
                    .add(KeyRef::new(key.as_bytes(), trailer(7)), b"value")
                    .unwrap();
            }
            let estimated = builder.estimated_size();
            let size = builder.finish().unwrap().file_size;
            // The properties and the trailers of the last blocks are not counted.
            let missing = size as i64 - estimated as i64;
            assert!((0..400).contains(&missing), "{missing} of {size}");
        }
    }
}

#[test]
fn a_scan_reads_ahead_twice_as_much_each_time_up_to_its_limit_and_a_seek_begins_anew() {
    let disk = Disk::new();
    let mut builder = disk.builder(options(1000));
    let key = |number: usize| format!("{number:05}").into_bytes();
    // One block for each entry.
    for number in 0..200 {
        builder
            .add(KeyRef::new(&key(number), trailer(7)), &[b'v'; 1000])
            .unwrap();
    }
    builder.finish().unwrap();
    let table = disk.open(0);
    let block_bytes = table.approximate_offset_of(&key(1)) - table.approximate_offset_of(&key(0));
    // The numbers of the blocks at which a scan from `start` reads.
    let read_at = |readahead: usize, start: usize| {
        let mut iterator = table.iter(false, readahead);
        iterator
            .seek(KeyRef::new(&key(start), Trailer::NEWEST))
            .unwrap();
        let mut read_at = vec![start];
        for number in start + 1..200 {
            let before = disk.reads();
            iterator.next().unwrap();
            assert_eq!(iterator.key().user_key, key(number));
            assert_eq!(iterator.value().len(), 1000);
            if disk.reads() > before {
                assert_eq!(disk.reads(), before + 1);
                read_at.push(number);
            }
        }
        iterator.next().unwrap();
        assert!(!iterator.valid());
        read_at
    };
    assert_eq!(read_at(0, 0), (0..200).collect::<Vec<_>>());
    for (start, readahead) in [
        (0, 1),
        (0, 16 << 10),
        (0, 40 << 10),
        (7, 64 << 10),
        (150, 1 << 20),
    ] {
        let mut expected = vec![start];
        let (mut next, mut window) = (start + 1, 16 << 10);
        while next < 200 {
            expected.push(next);
            next += window / block_bytes as usize;
            window = (window * 2).min(readahead.max(16 << 10));
        }
        assert_eq!(
            read_at(readahead, start),
            expected,
            "{readahead} from {start}"
        );
    }
    // After a seek it reads one block, then the small window again.
    let mut iterator = table.iter(false, 64 << 10);
    let mut reads = Vec::new();
    for start in [0, 100, 50] {
        let before = disk.reads();
        iterator
            .seek(KeyRef::new(&key(start), Trailer::NEWEST))
            .unwrap();
        reads.push(disk.reads() - before);
        (0..16).for_each(|_| iterator.next().unwrap());
        reads.push(disk.reads() - before);
    }
    assert_eq!(reads, [1, 3, 1, 3, 1, 3]);
    // The second block follows the first, so it is read together with later ones, and the third needs no read.
    let before = disk.reads();
    for start in [180, 181, 185] {
        iterator
            .seek(KeyRef::new(&key(start), Trailer::NEWEST))
            .unwrap();
        assert_eq!(iterator.key().user_key, key(start));
    }
    assert_eq!(disk.reads() - before, 2);
}

#[test]
fn a_filter_takes_the_memory_of_its_block() {
    for keys in [1, 100, 10_000] {
        let hashes: Vec<u64> = (0..keys).collect();
        let block = build(&hashes, 10).unwrap();
        let length = block.len();
        let memory = Filter::parse(block).unwrap().memory();
        assert!(
            (length..length + 64).contains(&memory),
            "{memory} for {length}"
        );
    }
}

#[test]
fn a_table_goes_out_in_pieces_of_a_quarter_mebibyte_and_counts_its_entries() {
    for (value, entries) in [(1000, 2000), (300 << 10, 7)] {
        let disk = Disk::new();
        let mut builder = disk.builder(options(4096));
        let before = disk.env.count(Call::Write);
        for number in 0..entries {
            assert_eq!(builder.entries(), number);
            let key = format!("{number:05}");
            builder
                .add(KeyRef::new(key.as_bytes(), trailer(7)), &vec![b'v'; value])
                .unwrap();
        }
        assert_eq!(builder.entries(), entries);
        let size = builder.finish().unwrap().file_size;
        let writes = disk.env.count(Call::Write) - before;
        let pieces = size / (256 << 10);
        // A block as large as a piece is written by itself, right after the bytes gathered before it.
        assert!(
            (pieces..=2 * pieces + 2).contains(&writes),
            "{writes} for {size} bytes"
        );
    }
}

#[test]
fn an_iterator_claims_of_a_key_what_is_true_and_knows_it_within_a_flat_block() {
    let disk = Disk::new();
    let mut builder = disk.builder(options(300));
    let mut entries = Vec::new();
    for key in 0..200u64 {
        let key_text = format!("{key:05}");
        for number in (1..=1 + key % 5).rev() {
            entries.push((key_text.clone(), number));
        }
    }
    for (key, number) in &entries {
        let key = KeyRef::new(key.as_bytes(), trailer(*number));
        builder.add(key, b"value").unwrap();
    }
    builder.finish().unwrap();
    let mut known = Vec::new();
    // A block that is not kept stays in the stored form; one that is kept becomes flat when it is hit again.
    let (none, kept) = (disk.open(0), disk.open(1 << 20));
    for table in [&none, &kept, &kept, &kept] {
        let mut counts = (0, 0);
        let mut iterator = table.iter(true, 0);
        iterator.seek_to_first().unwrap();
        for (place, (key, number)) in entries.iter().enumerate() {
            assert_eq!(
                iterator.key(),
                KeyRef::new(key.as_bytes(), trailer(*number))
            );
            let has_key =
                |other: Option<&(String, u64)>| other.is_some_and(|other| other.0 == *key);
            let before = place.checked_sub(1).and_then(|before| entries.get(before));
            let is_first = !has_key(before);
            let is_last = !has_key(entries.get(place + 1));
            assert!(is_first || !iterator.is_known_first_of_key(), "{place}");
            assert!(is_last || !iterator.is_known_last_of_key(), "{place}");
            counts.0 += usize::from(iterator.is_known_first_of_key());
            counts.1 += usize::from(iterator.is_known_last_of_key());
            iterator.next().unwrap();
        }
        known.push(counts);
    }
    assert_eq!(known[0], (0, 0), "the stored form does not know");
    // It is known for all but the table's first and last key.
    assert_eq!(known[3], (199, 199));
}

#[test]
fn lookups_alone_and_together_find_what_is_there_and_the_filter_knows_most_that_is_not() {
    let disk = Disk::new();
    let mut builder = disk.builder(options(300));
    let key = |number: usize| format!("{number:05}").into_bytes();
    for number in 0..300 {
        let value = format!("value of {number}");
        builder
            .add(KeyRef::new(&key(2 * number), trailer(7)), value.as_bytes())
            .unwrap();
    }
    builder.finish().unwrap();
    let table = disk.open(1 << 20);
    let keys: Vec<_> = (0..600).map(key).collect();
    let sought: Vec<_> = (keys.iter())
        .map(|key| Sought::new(key, Trailer::NEWEST))
        .collect();
    let expected = |number: usize| {
        let value = format!("value of {}", number / 2).into_bytes();
        number.is_multiple_of(2).then_some(value)
    };
    // Three times: from the file, from the cache, from the flat form; and once more with prefetched entries.
    for asks_ahead in [false, false, false, true] {
        for count in [1, 7, 8, 9, 17, 600] {
            let together: Vec<_> = sought[..count].iter().map(|one| (&*table, *one)).collect();
            let mut begun = Vec::new();
            Table::begin_together(&together, |place, pending| begun.push((place, pending)));
            assert!(begun.iter().map(|(place, _)| *place).eq(0..count));
            for (place, mut pending) in begun {
                if asks_ahead {
                    pending.prefetch_entry(sought[place]);
                }
                let found = table.finish(pending, sought[place], true, |_, entry| entry.to_vec());
                assert_eq!(found.unwrap(), expected(place), "{place} of {count}");
            }
        }
        for (number, sought) in sought.iter().enumerate() {
            let found = table.get_with(*sought, true, |_, entry| entry.to_vec());
            assert_eq!(found.unwrap(), expected(number));
        }
    }
    let held = sought.iter().filter(|sought| table.may_hold(**sought));
    assert!((300..330).contains(&held.count()));
}

#[test]
fn the_memory_of_an_open_table_counts_its_index_its_filter_and_a_place_for_each_block() {
    let memory_of = |blocks: usize, bloom_bits_per_key| {
        let disk = Disk::new();
        let mut builder = disk.builder(TableOptions {
            bloom_bits_per_key,
            ..options(1)
        });
        for number in 0..blocks {
            let key = format!("{number:05}");
            builder
                .add(KeyRef::new(key.as_bytes(), trailer(7)), b"")
                .unwrap();
        }
        builder.finish().unwrap();
        (disk.open(0).memory() as u64, filter_bytes(&disk))
    };
    let (without, _) = memory_of(1000, 0);
    let (with, filter) = memory_of(1000, 10);
    assert!((filter..filter + 64).contains(&(with - without)));
    // Each block takes in the index four numbers, the last bytes of a fence, and a sixteenth of another number; and a
    // slot.
    let (one, _) = memory_of(1, 0);
    let each = (without - one) as f64 / 999.0;
    assert!((42.0..80.0).contains(&each), "{each} bytes for each block");
}

#[test]
fn a_file_too_short_for_a_table_is_damage() {
    for length in 0..200 {
        let disk = Disk::new();
        let file = disk.env.create_new(&disk.path).unwrap();
        file.set_len(length).unwrap();
        let opened = Table::open(&disk.env, &disk.path, FILE_ID, length, BlockCache::new(0));
        let error = opened.err().unwrap();
        assert_eq!(
            error.kind(),
            crate::error::ErrorKind::Corruption,
            "{length}"
        );
    }
}
