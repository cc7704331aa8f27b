//! The builder's own mistakes that it notices before a table is used.

use super::spoiling::while_spoiling;
use super::*;
use crate::content::key_hash;
use crate::env::{Env, MemEnv};
use crate::error::ErrorKind;
use crate::key::ValueKind;
use crate::sstable::format::{read_exact, unpack_block};
use crate::sync::Mutex;

const PATH: &str = "/000001.sst";

fn put(sequence: u64) -> Trailer {
    Trailer::new(SequenceNumber(sequence), ValueKind::Put)
}

/// Options without compression, so that sizes are known.
fn plain(block_size: usize) -> TableOptions {
    TableOptions {
        block_size,
        compression: Compression::None,
        ..TableOptions::default()
    }
}

fn builder(options: TableOptions) -> Builder {
    let file = MemEnv::new().create_new(Path::new(PATH)).unwrap();
    Builder::new(file, PathBuf::from(PATH), 7, options).unwrap()
}

/// An empty output.
fn output() -> Output {
    Output {
        file: MemEnv::new().create_new(Path::new(PATH)).unwrap(),
        path: PathBuf::from(PATH),
        file_id: 7,
        buffer: Vec::new(),
        written: 0,
        writeback_from: 0,
        unpacked: Vec::new(),
    }
}

/// The properties in a finished table.
fn properties_of(file: &dyn File) -> Properties {
    let path = Path::new(PATH);
    let at = file.len().unwrap() - FOOTER_BYTES as u64;
    let footer = read_exact(file, path, at, FOOTER_BYTES as u64).unwrap();
    let handle = Footer::decode(path, 7, at, &footer).unwrap().properties;
    let length = handle.length + BLOCK_TRAILER_BYTES as u64;
    let stored = read_exact(file, path, handle.offset, length).unwrap();
    let (kind, mut raw) = (BlockKind::Properties, Vec::new());
    let block = unpack_block(path, 7, handle.offset, kind, &stored, &mut raw, 0).unwrap();
    Properties::decode(&block.into_bytes(), VERSION).unwrap()
}

/// TABLE-10. The facts about a table come from its blocks alone; the added entries are counted separately.
#[test]
fn facts_stated_of_the_blocks_that_are_not_those_of_what_was_added_are_noticed() {
    let written = |spoil: fn(&mut Tally)| {
        let mut builder = builder(plain(4096));
        for (key, number) in [(b"a", 9), (b"a", 7), (b"b", 8)] {
            builder.add(KeyRef::new(key, put(number)), b"v").unwrap();
        }
        builder.finish_block().unwrap();
        spoil(&mut builder.tally);
        builder.finish()
    };
    let summary = written(|_| ()).unwrap();
    assert_eq!(summary.older_versions, 1);
    let numbers = [summary.smallest_sequence, summary.largest_sequence];
    assert_eq!(numbers, [7, 9].map(SequenceNumber));
    let spoils: [fn(&mut Tally); 6] = [
        |tally| tally.facts.older_versions += 1,
        |tally| tally.facts.older_versions -= 1,
        |tally| tally.facts.smallest_sequence = SequenceNumber(8),
        |tally| tally.facts.smallest_sequence = SequenceNumber(6),
        |tally| tally.facts.largest_sequence = SequenceNumber(8),
        |tally| tally.facts.largest_sequence = SequenceNumber(10),
    ];
    for (place, spoil) in spoils.into_iter().enumerate() {
        let error = written(spoil).unwrap_err();
        assert!(error.is_unaccounted(), "{place}: {error}");
    }
}

/// Whether the builder notices a filter that lacks key `forgotten` of 1,100, in the file with this id.
fn is_loss_noticed(file_id: u64, forgotten: usize) -> bool {
    let hashes: Vec<u64> = (0..1100u32)
        .map(|key| key_hash(&key.to_be_bytes()))
        .collect();
    let path = Path::new(PATH);
    let whole = filter::build(&hashes, 10).unwrap();
    check_filter(whole, file_id, &hashes, path).unwrap();
    let mut others = hashes.clone();
    others.remove(forgotten);
    // With a hundred bits per key the filter distinguishes the missing key for certain.
    let block = filter::build(&others, 100).unwrap();
    let outcome = check_filter(block, file_id, &hashes, path);
    outcome.is_err_and(|error| error.is_unaccounted())
}

#[test]
fn a_filter_that_forgot_a_key_among_the_first_is_noticed() {
    for forgotten in [0, 1, CHECKED_KEYS - 1] {
        assert!(is_loss_noticed(7, forgotten), "{forgotten}");
    }
}

/// When the sample was every sixteenth key, a fault that hit the same later keys of every filter was never noticed.
#[test]
fn of_sixteen_later_keys_each_is_missed_by_the_filters_of_some_files_and_by_no_others() {
    const FILES: u64 = 160;
    let of_a_file = |file_id| -> Vec<usize> {
        let row = CHECKED_KEYS..CHECKED_KEYS + CHECKED_KEY_IN as usize;
        row.filter(|key| is_loss_noticed(file_id, *key)).collect()
    };
    let mut noticed = [0; CHECKED_KEY_IN as usize];
    for file_id in 0..FILES {
        let keys = of_a_file(file_id);
        assert_eq!(keys.len(), 1, "{file_id}: {keys:?}");
        noticed[keys[0] - CHECKED_KEYS] += 1;
    }
    assert!(noticed.iter().all(|count| *count >= 2), "{noticed:?}");
}

#[test]
fn what_is_checked_of_a_row_depends_on_the_file_and_on_the_row() {
    for of in [CHECKED_BLOCK_IN, CHECKED_KEY_IN] {
        let of_files: Vec<u64> = (0..64 * of)
            .map(|file_id| sample(file_id, 40, of))
            .collect();
        let of_rows: Vec<u64> = (0..64 * of).map(|row| sample(7, row, of)).collect();
        for drawn in [of_files, of_rows] {
            for place in 0..of {
                let count = drawn.iter().filter(|drawn| **drawn == place).count();
                assert!((32..96).contains(&count), "{place} of {of}: {count} of 64");
            }
        }
    }
}

#[test]
fn a_block_is_read_back_from_the_bytes_that_the_file_gets() {
    let mut output = output();
    let raw = b"twice and twice and twice and twice and twice and twice".repeat(20);
    let mut encoder = Encoder::new(Compression::Snappy);
    let (compression, payload) = encoder.compress(&raw);
    assert_eq!(compression, Compression::Snappy);
    let mut write = |compression, payload: &[u8], known: Option<&[u8]>| {
        let is_raw = |found: &[u8]| match found == raw {
            true => Ok(()),
            false => Err(UNLIKE.into()),
        };
        output.write_block(BlockKind::Data, compression, payload, known, is_raw)
    };
    write(compression, payload, None).unwrap();
    let mut spoiled = payload.to_vec();
    spoiled[4] ^= 1;
    let error = write(compression, &spoiled, None).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Internal);
    // Known bytes stand for a compressed block, never for one that is stored as it is.
    write(compression, &spoiled, Some(&raw)).unwrap();
    write(Compression::None, &raw, Some(b"other")).unwrap();
    write(Compression::None, &spoiled, Some(&raw)).unwrap_err();
    // A large block is not gathered, but is read back all the same.
    let large = vec![b'x'; WRITE_BYTES];
    write(Compression::None, &large, None).unwrap_err();
}

/// The first blocks, and three rows after them; in each row one block is unpacked again.
const BLOCKS: u64 = CHECKED_BLOCKS + 3 * CHECKED_BLOCK_IN;

/// A table of [`BLOCKS`] blocks.
fn build_of_blocks(file_id: u64, compression: Compression) -> Result<TableSummary> {
    let file = MemEnv::new().create_new(Path::new(PATH))?;
    let options = TableOptions {
        block_size: 1,
        compression,
        ..TableOptions::default()
    };
    let mut builder = Builder::new(file, PathBuf::from(PATH), file_id, options)?;
    for number in 0..BLOCKS {
        builder.add(KeyRef::new(&number.to_be_bytes(), put(1)), &[b'v'; 500])?;
    }
    assert_eq!(builder.index.count(), BLOCKS, "a block for each entry");
    builder.finish()
}

/// The blocks of this file that the builder does not notice when they are spoiled.
fn passed_over(file_id: u64, compression: Compression) -> Vec<u64> {
    let is_passed_over = |number: &u64| {
        let build = || build_of_blocks(file_id, compression);
        let (outcome, spoiled) = while_spoiling(*number..number + 1, build);
        assert_eq!(spoiled, 1);
        let error = outcome.err();
        assert!(error.as_ref().is_none_or(Error::is_unaccounted), "{number}");
        error.is_none()
    };
    (0..BLOCKS).filter(is_passed_over).collect()
}

/// The row of a later block, and its place in the row.
fn row_of(number: u64) -> (usize, usize) {
    let later = number - CHECKED_BLOCKS;
    let row = later / CHECKED_BLOCK_IN;
    (row as usize, (later % CHECKED_BLOCK_IN) as usize)
}

/// TABLE-10: the first 64 blocks, one in eight later ones, and every block that is not compressed.
#[test]
fn spoiled_blocks_are_noticed_among_the_first_in_one_of_eight_later_and_in_all_that_are_stored_as_they_are()
 {
    for file_id in 0..16 {
        let missed = passed_over(file_id, Compression::Snappy);
        let mut of_rows = [0; 3];
        missed
            .iter()
            .for_each(|number| of_rows[row_of(*number).0] += 1);
        assert_eq!(
            of_rows,
            [CHECKED_BLOCK_IN - 1; 3],
            "{missed:?} in file {file_id}"
        );
        assert_eq!(passed_over(file_id, Compression::None), [0; 0]);
    }
}

/// When every even block was unpacked, a fault that hit only odd blocks was never noticed.
#[test]
fn no_place_in_a_row_of_blocks_is_passed_over_in_every_file() {
    let mut noticed = [0; CHECKED_BLOCK_IN as usize];
    let files = 0..24;
    for file_id in files.clone() {
        noticed.iter_mut().for_each(|noticed| *noticed += 3);
        for number in passed_over(file_id, Compression::Snappy) {
            noticed[row_of(number).1] -= 1;
        }
    }
    let all: u64 = noticed.iter().sum();
    assert_eq!(all, 3 * files.end, "one in each row");
    assert!(noticed.iter().all(|noticed| *noticed >= 2), "{noticed:?}");
}

/// A builder whose blocks hold one entry each, so that a block is finished as soon as its entry is added.
fn builder_of_blocks(keys: &[&[u8]]) -> Builder {
    let mut builder = builder(plain(1));
    for key in keys {
        builder.add(KeyRef::new(key, put(1)), b"v").unwrap();
    }
    builder
}

/// If a key is before its block's fence, a lookup of it reads the previous block and finds nothing.
#[test]
fn a_fence_behind_its_blocks_first_key_is_noticed() {
    let mut builder = builder(plain(4096));
    builder.add(KeyRef::new(b"a", put(1)), b"v").unwrap();
    builder.finish_block().unwrap();
    builder.add(KeyRef::new(b"b", put(1)), b"v").unwrap();
    builder.block_first.0.replace(b"c", "a key").unwrap();
    let error = builder.finish().unwrap_err();
    assert!(error.is_unaccounted(), "{error}");
}

/// The fence that results if an earlier block's last key is taken for the previous one: lookups of keys in between
/// read the wrong block.
#[test]
fn a_fence_that_does_not_lie_behind_the_block_before_is_noticed() {
    let mut builder = builder_of_blocks(&[b"a", b"bba"]);
    let before = builder.block_before.as_mut().unwrap();
    before.0.replace(b"a", "a key").unwrap();
    let key = KeyRef::new(b"bbb", put(1));
    let error = builder.add(key, b"v").unwrap_err();
    assert!(error.is_unaccounted(), "{error}");
}

#[test]
fn versions_of_a_key_in_two_blocks_have_a_fence_between_them() {
    let mut builder = builder(plain(1));
    for sequence in [9, 8, 3] {
        let key = KeyRef::new(b"k", put(sequence));
        builder.add(key, b"v").unwrap();
    }
    assert_eq!(builder.finish().unwrap().older_versions, 2);
}

#[test]
fn a_filter_that_would_lack_a_key_of_the_blocks_is_refused_before_it_is_made() {
    let spoils: [fn(&mut Vec<u64>); 3] = [
        |hashes| hashes.truncate(2),
        |hashes| hashes[1] = 0,
        |hashes| hashes.push(0),
    ];
    for spoil in spoils {
        let mut builder = builder_of_blocks(&[b"a", b"b", b"c"]);
        spoil(&mut builder.hashes);
        let error = builder.finish().unwrap_err();
        assert!(error.is_unaccounted(), "{error}");
        assert!(error.message().contains("3 user keys"), "{error}");
    }
}

#[test]
fn blocks_that_hold_other_than_what_was_added_are_noticed() {
    let mut builder = builder(plain(4096));
    builder.add(KeyRef::new(b"a", put(1)), b"1").unwrap();
    builder.entries += 1;
    let error = builder.finish().unwrap_err();
    assert!(error.is_unaccounted(), "{error}");
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn a_builder_tells_the_last_user_key_and_keeps_when_the_table_was_made() {
    let file = MemEnv::new().create_new(Path::new(PATH)).unwrap();
    let path = PathBuf::from(PATH);
    let mut builder = Builder::new(file.clone(), path, 7, plain(4096)).unwrap();
    builder.set_created_micros(1_234_567);
    assert_eq!(builder.last_user_key(), b"");
    for (key, sequence) in [
        (&b"long"[..], 9),
        (b"long", 3),
        (b"longer", 5),
        (b"lost", 4),
    ] {
        builder.add(KeyRef::new(key, put(sequence)), b"v").unwrap();
        assert_eq!(builder.last_user_key(), key);
    }
    builder.finish().unwrap();
    assert_eq!(properties_of(&*file).created_micros, 1_234_567);
}

#[test]
fn the_memory_of_an_unpacked_block_is_kept_up_to_four_mib() {
    let limit = 4 << 20;
    for (capacity, kept) in [(1000, 1000), (limit, limit), (limit + 1, 0), (2 * limit, 0)] {
        let mut output = output();
        output.unpacked = Vec::with_capacity(capacity);
        let (kind, compression) = (BlockKind::Data, Compression::None);
        output
            .write_block(kind, compression, b"raw", None, |_| Ok(()))
            .unwrap();
        assert_eq!(output.unpacked.capacity(), kept);
    }
}

/// Notes the stretches that it is asked to write back: where each begins, and how long it is.
#[derive(Default)]
struct Recorder {
    written_back: Mutex<Vec<(u64, u64)>>,
}

impl File for Recorder {
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize> {
        unreachable!()
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn start_writeback(&self, offset: u64, length: u64) {
        self.written_back.lock().push((offset, length));
    }
    fn len(&self) -> Result<u64> {
        unreachable!()
    }
    fn set_len(&self, _: u64) -> Result<()> {
        unreachable!()
    }
    fn allocate(&self, _: u64) -> Result<()> {
        unreachable!()
    }
}

#[test]
fn each_mib_is_written_back_when_it_is_written_and_what_is_left_is_less() {
    const MIB: u64 = 1 << 20;
    let file = Arc::new(Recorder::default());
    let path = PathBuf::from(PATH);
    let mut builder = Builder::new(file.clone(), path, 7, plain(4096)).unwrap();
    for number in 0..900u64 {
        let key = number.to_be_bytes();
        let key = KeyRef::new(&key, put(1));
        builder.add(key, &[b'v'; 4000]).unwrap();
    }
    let size = builder.finish().unwrap().file_size;
    let stretches = file.written_back.lock().clone();
    let mut end = 0;
    for &(offset, length) in &stretches {
        assert_eq!(offset, end, "{stretches:?}");
        // A written piece has a quarter of that, and up to a block more.
        assert!((MIB..MIB * 4 / 3).contains(&length), "{stretches:?}");
        end = offset + length;
    }
    assert!(size > 3 * MIB && size - end < MIB, "{stretches:?}");
}
