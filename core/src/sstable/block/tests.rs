//! Blocks one entry at a time: the lengths at which decoding takes another way, which damage is reported and where,
//! how many bytes a block counts as, and how little of it a lookup reads.

use super::*;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::memory::MemoryGauge;
use crate::sstable::block_builder::{BlockBuilder, MAX_REBUILT_BYTES};
use crate::sync::Arc;

pub(super) fn trailer(number: u64) -> Trailer {
    Trailer::new(SequenceNumber(number), ValueKind::Put)
}

/// The stored bytes of a block of these user keys and values, all of number 7.
fn stored(entries: &[(&[u8], &[u8])], restart_interval: usize) -> Vec<u8> {
    let mut builder = BlockBuilder::new(restart_interval);
    let mut last: &[u8] = b"";
    for (key, value) in entries {
        let shared = common_prefix(last, key);
        builder
            .add(shared, KeyRef::new(key, trailer(7)), value)
            .unwrap();
        last = key;
    }
    builder.finish().unwrap().to_vec()
}

pub(super) fn block_of(bytes: &[u8]) -> Block {
    Block::unchecked(bytes.to_vec(), &Arc::default()).unwrap()
}

/// Sixteen one-byte keys with no value, a restart point at every fourth: entries of 12 bytes.
pub(super) fn four_stretches() -> Vec<u8> {
    let keys: Vec<[u8; 1]> = (b'a'..b'q').map(|key| [key]).collect();
    let entries: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (&key[..], &b""[..])).collect();
    let bytes = stored(&entries, 4);
    assert_eq!(bytes.len(), 16 * 12 + 4 * 4 + 4);
    bytes
}

fn seek_key(user_key: &[u8]) -> KeyRef<'_> {
    KeyRef::new(user_key, Trailer::NEWEST)
}

/// A length from 128 on takes a second byte. The three lengths of an entry are read together if none of them does.
#[test]
fn entries_read_the_same_on_both_sides_of_every_length_that_takes_another_byte() {
    let lengths = [0, 1, 126, 127, 128, 129, 255, 256, 16383, 16384];
    for shared in lengths {
        for suffix in lengths {
            for value in lengths {
                let first = vec![b'a'; shared];
                let second = [vec![b'a'; shared], vec![b'b'; suffix]].concat();
                let (short, long) = (vec![1; value / 2], vec![2; value]);
                let mut entries: Vec<(&[u8], &[u8])> = vec![(&first, &short)];
                if suffix > 0 {
                    entries.push((&second, &long));
                } else {
                    entries[0].1 = &long;
                }
                let label = format!("{shared} shared, {suffix} more, value of {value}");
                let block = block_of(&stored(&entries, 16));
                let mut cursor = BlockCursor::new(block.clone());
                cursor.seek_to_first().unwrap();
                for (key, value) in &entries {
                    assert!(cursor.valid(), "{label}");
                    assert_eq!(
                        (cursor.key().user_key, cursor.value()),
                        (*key, *value),
                        "{label}"
                    );
                    let found = block.get(seek_key(key)).unwrap();
                    let found = found.map(|(_, range)| block.slice(range));
                    assert_eq!(found, Some(*value), "{label}");
                    cursor.next().unwrap();
                }
                assert!(!cursor.valid(), "{label}");
                for (key, value) in entries.iter().rev() {
                    assert!(cursor.prev().unwrap(), "{label}");
                    assert_eq!(
                        (cursor.key().user_key, cursor.value()),
                        (*key, *value),
                        "{label}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_lookup_and_a_seek_read_restart_points_and_one_stretch_only() {
    let mut bytes = four_stretches();
    // The second entry of each stretch but the third shares more bytes than the previous key has.
    for stretch in [0, 1, 3] {
        bytes[(4 * stretch + 1) * 12] = 5;
    }
    let block = block_of(&bytes);
    for key in [b"j", b"k", b"l"] {
        assert!(block.get(seek_key(key)).unwrap().is_some());
        let mut cursor = BlockCursor::new(block.clone());
        cursor.seek(seek_key(key)).unwrap();
        assert_eq!(cursor.key().user_key, key);
    }
    // Lookups in the other stretches find the damage, at its place.
    for (key, at) in [(b"c", 12), (b"g", 5 * 12), (b"o", 13 * 12)] {
        let what = SHARED_TOO_MUCH.what;
        let damage = Damage { at, what };
        assert_eq!(block.get(seek_key(key)), Err(damage));
        let mut cursor = BlockCursor::new(block.clone());
        assert_eq!(cursor.seek(seek_key(key)), Err(damage));
        assert!(!cursor.valid());
    }
    // A walk backward finds it first.
    let mut cursor = BlockCursor::new(block);
    let (at, what) = (13 * 12, SHARED_TOO_MUCH.what);
    assert_eq!(cursor.seek_to_last(), Err(Damage { at, what }));
}

#[test]
fn damage_to_restart_points_is_reported_with_its_byte() {
    let refused = |bytes: &[u8]| {
        Block::unchecked(bytes.to_vec(), &Arc::default())
            .err()
            .unwrap()
    };
    for length in 0..4 {
        let what = "a block shorter than its restart count";
        assert_eq!(refused(&vec![0; length]), Damage { at: 0, what });
    }
    let good = four_stretches();
    let with_restart = |index: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[16 * 12 + 4 * index..][..4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let what = "restart points do not ascend";
    for (index, value) in [
        (0, 1),
        (0, 48),
        (1, 0),
        (2, 48),
        (2, 47),
        (3, 96),
        (3, 16 * 12),
        (3, u32::MAX),
    ] {
        let at = 16 * 12 + 4 * index;
        let damage = Damage { at, what };
        assert_eq!(
            refused(&with_restart(index, value)),
            damage,
            "{index}: {value}"
        );
    }
    // A point that keeps the order passes, although no entry may begin there.
    block_of(&with_restart(3, 97));
    block_of(&with_restart(3, 16 * 12 - 1));

    let counted = |count: u32| {
        let mut bytes = good.clone();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&count.to_le_bytes());
        bytes
    };
    let what = "a block without restart points";
    let at = good.len() - 4;
    assert_eq!(refused(&counted(0)), Damage { at, what });
    let what = "more restart points than the block has room for";
    for count in [at as u32 / 4 + 1, u32::MAX] {
        assert_eq!(refused(&counted(count)), Damage { at, what }, "{count}");
    }
}

/// STORED-1.
#[test]
fn an_entry_cut_anywhere_is_damage_at_its_first_byte() {
    // One entry with key "ab" and value "xyz", after an entry of twelve bytes. Raised lengths end after the entries.
    let bytes = stored(&[(b"a", b""), (b"bc", b"xyz")], 1);
    let with = |place: usize, length: u8| {
        let mut bytes = bytes.clone();
        bytes[12 + place] = length;
        let block = block_of(&bytes);
        let mut cursor = BlockCursor::new(block);
        cursor.seek_to_first().unwrap();
        cursor.next().map(|()| cursor.value().len())
    };
    let what = "an entry longer than its block";
    let damage = Err(Damage { at: 12, what });
    // (which byte is the length, the largest length that fits)
    for (place, most) in [(1, 2), (2, 3)] {
        assert_eq!(with(place, most), Ok(3));
        for length in [most + 1, most + 3, most + 8, most + 9, 100, 127] {
            assert_eq!(with(place, length), damage, "byte {place}: {length}");
        }
    }
    // Lengths whose last byte is missing.
    let mut cut = vec![0x80; 2];
    cut.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
    let what = "an entry's lengths are cut short";
    let mut cursor = BlockCursor::new(block_of(&cut));
    assert_eq!(cursor.seek_to_first(), Err(Damage { at: 0, what }));
}

/// BLOCK-7, BLOCK-8, GAUGE-1.
#[test]
fn a_block_counts_its_bytes_and_what_lies_around_them_until_nobody_holds_it() {
    // 64 bytes of head, 16 of the allocator, 24 for the cache's ring, and 8 for the slot.
    let around = 64 + 16 + 32;
    for length in [
        LARGE_BYTES - 1,
        LARGE_BYTES,
        LARGE_BYTES + 1,
        3 * LARGE_BYTES,
    ] {
        let gauge: Arc<MemoryGauge> = Arc::default();
        let mut bytes = vec![0; length - 8];
        bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        let block = Block::unchecked(bytes.clone(), &gauge).unwrap();
        assert_eq!(block.bytes(), &bytes[..]);
        // A large block keeps the allocation that its bytes came in.
        assert_eq!(
            block.large.len(),
            if length > 64 << 10 { length } else { 0 }
        );
        assert_eq!(block.charge(), length + around);
        assert_eq!(gauge.bytes(), length + around);
        assert!(!block.is_in_slab());
        let other = block.clone();
        drop(block);
        assert_eq!(gauge.bytes(), length + around);
        drop(other);
        assert_eq!(gauge.bytes(), 0);
    }
}

#[test]
fn a_block_is_itself_and_no_other_of_the_same_bytes() {
    let bytes = four_stretches();
    let block = block_of(&bytes);
    assert!(block.is(&block.clone()));
    assert!(!block.is(&block_of(&bytes)));
}

/// FORM-2.
#[test]
fn a_block_may_be_made_flat_once_and_a_flat_one_never() {
    let block = block_of(&four_stretches());
    assert!(block.may_flatten() && block.layout().is_none());
    let flat = block.flatten().unwrap();
    assert!(!block.may_flatten());
    assert!(block.flatten().is_none());
    assert!(!flat.may_flatten() && flat.layout().is_some());
    assert!(flat.flatten().is_none());
    // Neither is a block for which an earlier try failed.
    let long: [&[u8]; 2] = [&[b'a'; 3000], &[b'b'; 3000]];
    let block = block_of(&stored(&long.map(|key| (key, &b""[..])), 1));
    assert!(block.may_flatten());
    assert!(block.flatten().is_none());
    assert!(!block.may_flatten());
}

#[test]
fn a_touch_is_taken_once() {
    let block = block_of(&four_stretches());
    assert!(!block.take_touched());
    block.touch();
    block.touch();
    assert!(block.take_touched());
    assert!(!block.take_touched());
    block.touch();
    assert!(block.take_touched());
    // A flat block counts as hit, because the block was hit before it was made flat.
    let flat = block.flatten().unwrap();
    assert!(flat.take_touched());
    assert!(!flat.take_touched());
}

#[test]
fn the_bytes_that_two_keys_have_in_common_are_counted_across_words() {
    let a: Vec<u8> = (0..40).collect();
    for common in 0..40 {
        let mut b = a.clone();
        b[common] ^= 0x80;
        assert_eq!(common_prefix(&a, &b), common);
        assert_eq!(common_prefix(&a[..common], &a), common);
        assert_eq!(common_prefix(&a, &a[..common]), common);
        let mut b = a.clone();
        b[common] ^= 1;
        assert_eq!(common_prefix(&b, &a), common);
    }
}

#[test]
fn a_block_that_is_too_much_to_rebuild_is_damage_going_backward_at_its_byte() {
    // Three keys after a restart point share all but one byte. Rebuilt they take exactly what BLOCK-3 allows, or one
    // byte more.
    for excess in [0, 1] {
        let length = MAX_REBUILT_BYTES / 2 + excess - 1;
        let first = vec![b'a'; length];
        let mut bytes = Vec::new();
        let mut entry = |shared: usize, suffix: &[u8]| {
            let at = bytes.len();
            crate::coding::put_varint(&mut bytes, shared as u64);
            crate::coding::put_varint(&mut bytes, suffix.len() as u64);
            crate::coding::put_varint(&mut bytes, 0);
            bytes.extend_from_slice(suffix);
            bytes.extend_from_slice(&trailer(7).0.to_le_bytes());
            at
        };
        entry(0, &first);
        entry(length, b"b");
        let third = entry(length, b"c");
        entry(0, b"d");
        bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        let block = Block::unchecked(bytes, &Arc::default()).unwrap();
        let mut cursor = BlockCursor::new(block);
        let outcome = cursor.seek_to_last();
        match excess {
            0 => {
                outcome.unwrap();
                assert!(cursor.prev().unwrap());
                assert_eq!(cursor.key().user_key, [&first[..], b"c"].concat());
            }
            _ => assert_eq!(outcome, Err(TOO_MUCH_TO_REBUILD.at(third))),
        }
    }
}

#[test]
fn a_small_block_of_a_large_cache_lies_in_its_slabs_and_a_large_one_does_not() {
    let cache = crate::sstable::BlockCache::new(1 << 30);
    let gauge = cache.gauge();
    if gauge.slabs().is_none() {
        return;
    }
    let small = Block::unchecked(four_stretches(), gauge).unwrap();
    assert!(small.is_in_slab());
    let mut bytes = vec![0; LARGE_BYTES];
    bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
    let large = Block::unchecked(bytes, gauge).unwrap();
    assert!(!large.is_in_slab());
}

#[test]
fn blocks_hold_the_same_only_if_every_entry_is_equal_and_none_is_left() {
    type Entries<'a> = Vec<(&'a [u8], &'a [u8])>;
    let whole: Entries<'_> = vec![(b"a", b"1"), (b"b", b"2"), (b"c", b"3")];
    let same = |other: Entries<'_>| {
        let block = |entries: &Entries<'_>| block_of(&stored(entries, 2));
        let one_way = hold_the_same(block(&whole), block(&other));
        assert_eq!(hold_the_same(block(&other), block(&whole)), one_way);
        one_way
    };
    assert!(same(whole.clone()));
    assert!(!same(whole[..2].to_vec()), "one entry less");
    for index in 0..whole.len() {
        let mut other = whole.clone();
        other[index].1 = b"x";
        assert!(!same(other), "another value at {index}");
    }
    assert!(!same(vec![(b"a", b"1"), (b"b", b"2"), (b"d", b"3")]));
    let flat = block_of(&stored(&whole, 2)).flatten().unwrap();
    assert!(hold_the_same(flat, block_of(&stored(&whole, 1))));
}
