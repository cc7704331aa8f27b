//! Blocks made by hand, as no builder would make them.

use super::*;
use crate::coding::{put_u32, put_varint};
use crate::key::ValueKind;

/// The raw bytes of a block with one restart point: bytes shared, suffix and sequence number of each entry.
fn block(entries: &[(usize, &[u8], u64)]) -> Vec<u8> {
    let mut raw = Vec::new();
    for (shared, suffix, number) in entries {
        put_varint(&mut raw, *shared as u64);
        put_varint(&mut raw, suffix.len() as u64);
        put_varint(&mut raw, 1);
        raw.extend_from_slice(suffix);
        let trailer = Trailer::new(SequenceNumber(*number), ValueKind::Put);
        raw.extend_from_slice(&trailer.0.to_le_bytes());
        raw.push(b'v');
    }
    put_u32(&mut raw, 0);
    put_u32(&mut raw, 1);
    raw
}

fn complaint(tally: &mut Tally, raw: &[u8]) -> Option<&'static str> {
    let outcome = tally.add_block(raw, |_| Ok(()));
    outcome.err().map(|why| why.damage().what)
}

#[test]
fn versions_of_a_key_that_do_not_descend_are_noticed_within_a_block_and_from_one_to_the_next() {
    let newer_first = block(&[(0, b"k", 9), (1, b"", 8)]);
    assert_eq!(complaint(&mut Tally::default(), &newer_first), None);
    for number in [9, 10] {
        let raw = block(&[(0, b"k", 9), (1, b"", number)]);
        assert_eq!(complaint(&mut Tally::default(), &raw), Some(UNORDERED.what));
        let mut tally = Tally::default();
        assert_eq!(complaint(&mut tally, &block(&[(0, b"k", 9)])), None);
        assert_eq!(
            complaint(&mut tally, &block(&[(0, b"k", number)])),
            Some(UNORDERED.what)
        );
        // The failed block is not counted, and the next block is compared with the last good one.
        assert_eq!(tally.facts.sum.entries(), 1);
        assert_eq!(
            complaint(&mut tally, &block(&[(0, b"k", 8), (0, b"l", 1)])),
            None
        );
        assert_eq!(tally.facts.sum.entries(), 3);
    }
    let shorter = block(&[(0, b"kk", 9), (1, b"", 8)]);
    assert_eq!(
        complaint(&mut Tally::default(), &shorter),
        Some(UNORDERED.what)
    );
}

/// TALLY-1.
#[test]
fn keys_that_do_not_ascend_are_noticed_within_a_block_and_from_one_to_the_next() {
    for (smaller, larger) in [
        (&b"a"[..], &b"b"[..]),
        (b"a", b"ab"),
        (b"ab", b"b"),
        (b"", b"a"),
    ] {
        let raw = block(&[(0, larger, 9), (0, smaller, 8)]);
        assert_eq!(complaint(&mut Tally::default(), &raw), Some(UNORDERED.what));
        let mut tally = Tally::default();
        assert_eq!(complaint(&mut tally, &block(&[(0, larger, 9)])), None);
        let next = block(&[(0, smaller, 8)]);
        assert_eq!(complaint(&mut tally, &next), Some(UNORDERED.what));
        let raw = block(&[(0, smaller, 9), (0, larger, 8)]);
        assert_eq!(complaint(&mut Tally::default(), &raw), None);
    }
    // Also if the keys differ after shared bytes.
    let raw = block(&[(0, b"kb", 9), (1, b"a", 8)]);
    assert_eq!(complaint(&mut Tally::default(), &raw), Some(UNORDERED.what));
}

#[test]
fn every_version_behind_the_first_of_its_key_counts_as_older() {
    let mut tally = Tally::default();
    let first = block(&[(0, b"k", 9), (1, b"", 8), (1, b"", 7), (0, b"l", 5)]);
    assert_eq!(complaint(&mut tally, &first), None);
    assert_eq!(tally.facts.older_versions, 2);
    let second = block(&[(0, b"l", 4), (0, b"m", 3), (1, b"", 2)]);
    assert_eq!(complaint(&mut tally, &second), None);
    assert_eq!(tally.facts.older_versions, 4);
}

#[test]
fn the_keys_that_share_bytes_take_64_kib_rebuilt_and_not_a_byte_more() {
    // Keys of 64 bytes, which share all but four.
    let first = [&[b'k'; 60][..], &0u32.to_be_bytes()].concat();
    let suffixes: Vec<[u8; 4]> = (1..=1025u32).map(u32::to_be_bytes).collect();
    let with = |count: usize| {
        let shared = suffixes[..count].iter().map(|suffix| (60, &suffix[..], 1));
        let entries: Vec<_> = std::iter::once((0, &first[..], 1)).chain(shared).collect();
        complaint(&mut Tally::default(), &block(&entries))
    };
    assert_eq!(MAX_REBUILT_BYTES, 1024 * 64);
    assert_eq!(with(1024), None);
    assert_eq!(with(1025), Some(TOO_MUCH_TO_REBUILD.what));
}

#[test]
fn a_fence_lies_behind_the_block_before_and_not_behind_the_first_key_of_its_own() {
    let mut tally = Tally::default();
    assert_eq!(complaint(&mut tally, &block(&[(0, b"a", 9)])), None);
    let key = |user_key, number| {
        KeyRef::new(
            user_key,
            Trailer::new(SequenceNumber(number), ValueKind::Put),
        )
    };
    // There is no key before the first block.
    assert!(tally.is_fence(key(b"", 1)) && tally.is_fence(key(b"a", 9)));
    assert!(!tally.is_fence(key(b"a", 8)));
    assert_eq!(complaint(&mut tally, &block(&[(0, b"c", 5)])), None);
    for (user_key, number, is_fence) in [
        (&b"a"[..], 9, false),
        (b"a", 8, true),
        (b"b", 1, true),
        (b"c", 5, true),
        (b"c", 4, false),
    ] {
        assert_eq!(
            tally.is_fence(key(user_key, number)),
            is_fence,
            "{user_key:?} {number}"
        );
    }
}
