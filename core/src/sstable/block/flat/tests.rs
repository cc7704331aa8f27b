//! Which blocks get a flat form, to the byte, and what the heads show if keys share them.

use super::*;
use crate::key::{SequenceNumber, ValueKind};
use crate::sstable::block::{Block, FlatCursor};
use crate::sstable::block_builder::BlockBuilder;
use crate::sync::Arc;

fn trailer(number: u64) -> Trailer {
    Trailer::new(SequenceNumber(number), ValueKind::Put)
}

/// A block of these user keys, numbers and values with one restart point, in the stored form.
fn stored(entries: &[(&[u8], u64, &[u8])]) -> Block {
    let mut builder = BlockBuilder::new(usize::MAX);
    let mut last: &[u8] = b"";
    for (key, number, value) in entries {
        let shared = common_prefix(last, key);
        let key_ref = KeyRef::new(key, trailer(*number));
        builder.add(shared, key_ref, value).unwrap();
        last = key;
    }
    Block::unchecked(builder.finish().unwrap().to_vec(), &Arc::default()).unwrap()
}

/// A flat block of these user keys, all of number 7 and without a value.
fn flat_of(keys: &[&[u8]]) -> Block {
    let entries: Vec<(&[u8], u64, &[u8])> = keys.iter().map(|key| (*key, 7, &b""[..])).collect();
    stored(&entries).flatten().expect("the block is small")
}

#[test]
fn a_block_is_made_flat_up_to_a_mean_entry_of_one_kibibyte() {
    // Two entries with a head of 10 bytes and a key of one: the mean is rounded down.
    for (values, is_flat) in [
        ([1013, 1013], true),
        ([1013, 1014], true),
        ([1014, 1014], false),
        ([1, 2025], true),
        ([1, 2027], false),
        ([4000, 4000], false),
    ] {
        let (a, b) = (vec![1; values[0]], vec![2; values[1]]);
        let block = stored(&[(b"a", 7, &a), (b"b", 7, &b)]);
        assert_eq!(block.flatten().is_some(), is_flat, "{values:?}");
    }
}

#[test]
fn a_flat_block_takes_65535_bytes_and_not_one_more() {
    for (excess, is_flat) in [(0, true), (1, false)] {
        // For each of 70 entries 4 and 2 bytes in the arrays, and 11 bytes of head and key; 2 bytes more for all.
        let values = u16::MAX as usize - (70 * 6 + 2) - 70 * 11 + excess;
        let (each, last) = (values / 70, values / 70 + values % 70);
        let keys: Vec<[u8; 1]> = (0..70).map(|key| [key]).collect();
        let (short, long) = (vec![0; each], vec![0; last]);
        let entries: Vec<(&[u8], u64, &[u8])> = (keys.iter().enumerate())
            .map(|(at, key)| (&key[..], 7, if at == 69 { &long[..] } else { &short[..] }))
            .collect();
        let flat = stored(&entries).flatten();
        assert_eq!(
            flat.as_ref().map(|flat| flat.bytes().len()),
            is_flat.then_some(65535)
        );
    }
}

#[test]
fn a_flat_block_takes_twice_the_stored_bytes_and_not_one_more() {
    let keys: Vec<Vec<u8>> = (0..10)
        .map(|last| [&[b'k'; 39][..], &[last]].concat())
        .collect();
    let stored_bytes = (3 + 40 + 8) + 9 * (3 + 1 + 8) + 4 + 4;
    let flat_bytes = 10 * 6 + 2 + 10 * (10 + 40);
    // A byte of a value counts once in the flat form, and twice in the size that the flat form may have.
    let values = flat_bytes - 2 * stored_bytes;
    for (values, is_flat) in [(values - 1, false), (values, true)] {
        let (first, second) = (vec![1; values / 2], vec![2; values - values / 2]);
        let mut entries: Vec<(&[u8], u64, &[u8])> =
            keys.iter().map(|key| (&key[..], 7, &b""[..])).collect();
        (entries[0].2, entries[1].2) = (&first, &second);
        let block = stored(&entries);
        assert_eq!(block.bytes().len(), stored_bytes + values);
        let flat = block.flatten().map(|flat| flat.bytes().len());
        assert_eq!(flat, is_flat.then_some(flat_bytes + values));
    }
}

#[test]
fn a_key_of_32_kib_stays_stored() {
    for (length, is_flat) in [
        (usize::from(REPEATS) - 1, true),
        (usize::from(REPEATS), false),
    ] {
        // Many short ones keep the mean entry small.
        let long = vec![b'z'; length];
        let keys: Vec<[u8; 2]> = (0..40).map(|key| [b'a', key]).collect();
        let mut keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        keys.push(&long);
        let entries: Vec<(&[u8], u64, &[u8])> =
            keys.iter().map(|key| (*key, 7, &b""[..])).collect();
        let flat = stored(&entries).flatten();
        assert_eq!(flat.is_some(), is_flat, "{length}");
        if let Some(flat) = flat {
            let found = flat.get(KeyRef::new(&long, Trailer::NEWEST)).unwrap();
            assert_eq!(found.unwrap().0, trailer(7));
        }
    }
}

#[test]
fn a_head_is_the_first_four_bytes_and_sorts_like_them() {
    assert_eq!(head(b""), 0);
    assert_eq!(head(b"a"), 0x6100_0000);
    assert_eq!(head(b"abc"), 0x6162_6300);
    assert_eq!(head(b"abcd"), 0x6162_6364);
    assert_eq!(head(b"abcde"), 0x6162_6364);
    let block = flat_of(&[b"kk", b"kka", b"kkabcde", b"kkb"]);
    let flat = block.flat().unwrap();
    assert_eq!(flat.layout.shared, 2);
    let heads: Vec<u32> = (0..4).map(|index| flat.head(index)).collect();
    assert_eq!(heads, [0, 0x6100_0000, 0x6162_6364, 0x6200_0000]);
}

#[test]
fn only_an_older_version_of_the_key_before_repeats_it() {
    let entries: [(&[u8], u64, &[u8]); 5] = [
        (b"", 9, b"1"),
        (b"", 7, b"2"),
        (b"a", 5, b"3"),
        (b"b", 9, b"4"),
        (b"b", 8, b"5"),
    ];
    let block = stored(&entries).flatten().unwrap();
    let mut cursor = FlatCursor::new(block).ok().unwrap();
    let mut repeats = Vec::new();
    for (index, (key, number, value)) in entries.into_iter().enumerate() {
        cursor.go(index);
        repeats.push(cursor.spot.repeats);
        assert_eq!(cursor.flat().repeats(index), cursor.spot.repeats);
        assert_eq!(cursor.key(), KeyRef::new(key, trailer(number)));
        assert_eq!(cursor.value(), value);
    }
    assert_eq!(repeats, [false, true, false, false, true]);
}

#[test]
fn the_heads_below_one_are_counted_in_blocks_of_every_length_about_where_halving_begins() {
    for count in [1, 2, 63, 64, 65, 66, 127, 128, 129, 130, 257] {
        let keys: Vec<[u8; 2]> = (0..count)
            .map(|key: u16| (2 * key + 1).to_be_bytes())
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let block = flat_of(&keys);
        let flat = block.flat().unwrap();
        for wanted in 0..=2 * u32::from(count) + 1 {
            // The bytes that all keys share are not in the heads. With one key they are the whole key.
            let shift = 16 + 8 * flat.layout.shared as u32;
            let head = if shift == 32 { 0 } else { wanted << shift };
            let expected = (0..usize::from(count)).filter(|index| flat.head(*index) < head);
            assert_eq!(
                flat.heads_below(head),
                expected.count(),
                "{wanted} of {count}"
            );
        }
    }
}

#[test]
fn the_entries_that_may_have_a_key_are_those_with_its_head() {
    let keys: [&[u8]; 8] = [
        b"k:aaaa", b"k:aaaab", b"k:aaaac", b"k:bb", b"k:bbbb1", b"k:bbbb2", b"k:c", b"k:d",
    ];
    let block = flat_of(&keys);
    let flat = block.flat().unwrap();
    assert_eq!(flat.layout.shared, 2);
    for (user_key, expected) in [
        (&b""[..], 0..0),
        (b"k", 0..0),
        (b"a:zz", 0..0),
        (b"k:", 0..0),
        (b"k:a", 0..0),
        (b"k:aaaa", 0..3),
        (b"k:aaaazzz", 0..3),
        (b"k:aaab", 3..3),
        (b"k:bb", 3..4),
        (b"k:bbbb", 4..6),
        (b"k:bbbc", 6..6),
        (b"k:c", 6..7),
        (b"k:d", 7..8),
        (b"k:dd", 8..8),
        (b"l", 8..8),
    ] {
        for near in keys {
            assert_eq!(flat.around(user_key, near), expected, "{user_key:?}");
        }
    }
}

/// The first two offsets come after the last head. Read as a head, they are the head of some key.
#[test]
fn a_key_whose_head_looks_like_the_offsets_is_found_and_missed_like_any_other() {
    // Two entries, the first without key and value: the arrays take 14 bytes, the first entry 10.
    let alike = [0, 14 + 10, 0, 14];
    let looks_alike = |block: &Block| {
        let bytes = block.flat().unwrap().bytes;
        assert_eq!(head_of(&bytes[8..]), head(&alike));
    };
    // It is the last entry.
    let block = flat_of(&[b"", &alike]);
    looks_alike(&block);
    let flat = block.flat().unwrap();
    let cursor = FlatCursor::new(block.clone()).ok().unwrap();
    for (number, expected) in [(9, 1), (7, 1), (5, 2)] {
        let target = KeyRef::new(&alike, trailer(number));
        assert_eq!(cursor.lower_bound(target), expected, "{number}");
        assert_eq!(flat.get(target).is_some(), expected == 1, "{number}");
    }
    assert_eq!(flat.around(&alike, b""), 1..2);
    // It is after the last entry.
    let block = flat_of(&[b"", b"\0"]);
    looks_alike(&block);
    let flat = block.flat().unwrap();
    let cursor = FlatCursor::new(block.clone()).ok().unwrap();
    let target = KeyRef::new(&alike, trailer(9));
    assert_eq!(cursor.lower_bound(target), 2);
    assert_eq!(flat.get(target), None);
    assert_eq!(flat.around(&alike, b""), 2..2);
}
