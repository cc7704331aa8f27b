//! What the builder notices of itself before a table is used.

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

/// Nothing is compressed, so that sizes are known.
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

/// An output, and nothing in it.
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

#[test]
fn a_filter_that_forgot_a_key_among_the_first_or_every_sixteenth_later_one_is_noticed() {
    let hashes: Vec<u64> = (0..1100u32)
        .map(|key| key_hash(&key.to_be_bytes()))
        .collect();
    let path = Path::new("/000001.sst");
    check_filter(filter::build(&hashes, 10).unwrap(), &hashes, path).unwrap();
    for forgotten in [
        0,
        1,
        CHECKED_KEYS - 1,
        CHECKED_KEYS,
        CHECKED_KEYS + CHECKED_KEY_IN,
    ] {
        let mut others = hashes.clone();
        others.remove(forgotten);
        // With a hundred bits a key the filter tells it apart for certain.
        let block = filter::build(&others, 100).unwrap();
        let error = check_filter(block, &hashes, path).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Internal, "{forgotten}");
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
    // A large block is not gathered, and is read back all the same.
    let large = vec![b'x'; WRITE_BYTES];
    write(Compression::None, &large, None).unwrap_err();
}

/// T10: the first 64 blocks, every second later one, and whatever is not compressed.
#[test]
fn spoiled_blocks_are_noticed_among_the_first_in_every_second_later_and_in_all_that_are_stored_as_they_are()
 {
    let build = |compression| {
        let mut builder = builder(TableOptions {
            block_size: 1,
            compression,
            ..TableOptions::default()
        });
        for number in 0..70u64 {
            builder.add(KeyRef::new(&number.to_be_bytes(), put(1)), &[b'v'; 500])?;
        }
        assert_eq!(builder.index.count(), 70, "a block for each entry");
        builder.finish()
    };
    for (compression, passed_over) in [
        (Compression::Snappy, &[65, 67, 69][..]),
        (Compression::None, &[]),
    ] {
        for number in 0..70 {
            let (outcome, spoiled) = while_spoiling(number..number + 1, || build(compression));
            assert_eq!(spoiled, 1);
            let error = outcome.err();
            assert_eq!(error.is_none(), passed_over.contains(&number), "{number}");
            assert!(error.is_none_or(|error| error.is_unaccounted()), "{number}");
        }
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

/// Notes the stretches it is asked to write back: where each begins, and how long it is.
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
        // A piece that is written takes a quarter, and up to a block more.
        assert!((MIB..MIB * 4 / 3).contains(&length), "{stretches:?}");
        end = offset + length;
    }
    assert!(size > 3 * MIB && size - end < MIB, "{stretches:?}");
}
