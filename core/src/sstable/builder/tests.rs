//! What the builder notices of itself before a table is used.

use super::*;
use crate::content::key_hash;
use crate::env::{Env, MemEnv};

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
    let env = MemEnv::new();
    let file = env.create_new(Path::new("/000001.sst")).unwrap();
    let mut output = Output {
        file,
        path: PathBuf::from("/000001.sst"),
        file_id: 7,
        buffer: Vec::new(),
        written: 0,
        writeback_from: 0,
        unpacked: Vec::new(),
    };
    let raw = b"twice and twice and twice and twice and twice and twice".repeat(20);
    let mut encoder = Encoder::new(Compression::Snappy);
    let (compression, payload) = encoder.compress(&raw);
    assert_eq!(compression, Compression::Snappy);
    let mut write = |compression, payload: &[u8], known: Option<&[u8]>| {
        let is_raw = |found: &[u8]| match found == raw {
            true => Ok(()),
            false => Err(UNLIKE),
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
