//! Indexes of many blocks, in which searches go by groups of heads; and the size that an index states.

use super::*;
use crate::key::{SequenceNumber, ValueKind};

fn key(user_key: &[u8], number: u64) -> KeyRef<'_> {
    KeyRef::new(
        user_key,
        Trailer::new(SequenceNumber(number), ValueKind::Put),
    )
}

/// The index of a table with one entry of number 7 in each block, and its raw bytes.
fn index_of(keys: &[Vec<u8>]) -> (Index, IndexBuilder) {
    let mut builder = IndexBuilder::default();
    let mut last = None;
    for (number, user_key) in keys.iter().enumerate() {
        let offset = 24 + 15 * number as u64;
        let handle = BlockHandle { offset, length: 10 };
        builder.add(last, key(user_key, 7), handle).unwrap();
        last = Some(key(user_key, 7));
    }
    let end = 24 + 15 * keys.len() as u64;
    (
        Index::parse(&builder.finish().unwrap(), 24, end).unwrap(),
        builder,
    )
}

/// Ascending keys. Runs of them share the first eight bytes after the common prefix; the runs begin and end anywhere
/// in the groups that are searched.
fn keys_in_runs(count: usize, run: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let (head, tail) = (2 * (number / run) as u64, number % run);
            [
                &b"p"[..],
                &head.to_be_bytes(),
                b"behind the head",
                &[tail as u8],
            ]
            .concat()
        })
        .collect()
}

#[test]
fn searches_by_groups_agree_with_a_walk_over_all_blocks() {
    for count in [
        1, 2, 15, 16, 17, 18, 31, 32, 33, 34, 48, 49, 65, 100, 240, 500,
    ] {
        for run in [1, 3, 16, 17, 40] {
            let keys = keys_in_runs(count, run);
            let (index, _) = index_of(&keys);
            assert_eq!(index.len(), count);
            let fences: Vec<_> = (1..count)
                .map(|block| {
                    let short = index.short_fence(block - 1);
                    ([&index.prefix[..], short.user_key].concat(), short.trailer)
                })
                .collect();
            let mut targets = keys.clone();
            for key in &keys {
                // Targets between the heads, after the tails, and without a tail.
                let mut between = key.clone();
                between[8] += 1;
                targets.extend([between, [&key[..], b"\0"].concat(), key[..9].to_vec()]);
            }
            targets.extend([
                b"".to_vec(),
                b"p".to_vec(),
                b"q".to_vec(),
                b"o\xff".to_vec(),
            ]);
            let expected = |target: &[u8]| {
                let behind = keys.partition_point(|key| &key[..] <= target);
                // A fence may be shorter than its key, and so be before a target that is before the key.
                let block = behind.saturating_sub(1);
                block..=behind.min(count - 1)
            };
            let queries: Vec<_> = targets
                .iter()
                .map(|target| (&index, key(target, 7)))
                .collect();
            let mut together = vec![usize::MAX; queries.len()];
            Index::find_together(&queries, &mut together);
            for (target, together) in targets.iter().zip(together) {
                let found = index.find(key(target, 7));
                let label = format!("{count} blocks in runs of {run}, {target:?}");
                assert!(expected(target).contains(&found), "{label}: {found}");
                assert_eq!(together, found, "{label}");
                // The right block is the last one whose fence is at or before the target.
                let fences = fences.partition_point(|(user_key, trailer)| {
                    KeyRef::new(user_key, *trailer) <= key(target, 7)
                });
                assert_eq!(found, fences, "{label}");
            }
        }
    }
}

#[test]
fn a_block_begins_between_two_keys_unless_one_key_reaches_into_it() {
    let mut builder = IndexBuilder::default();
    let entries = [
        key(b"a", 7),
        key(b"a", 5),
        key(b"b", 9),
        key(b"c", 3),
        key(b"c", 2),
    ];
    for (number, first) in entries.into_iter().enumerate() {
        let last = number.checked_sub(1).map(|before| entries[before]);
        let offset = 24 + 15 * number as u64;
        builder
            .add(last, first, BlockHandle { offset, length: 10 })
            .unwrap();
    }
    assert_eq!(builder.count(), 5);
    let index = Index::parse(&builder.finish().unwrap(), 24, 24 + 5 * 15).unwrap();
    let known: Vec<bool> = (0..6).map(|block| index.is_between_keys(block)).collect();
    // There is no key before the first block, and no block after the last.
    assert_eq!(known, [false, false, true, true, false, false]);
}

#[test]
fn an_index_says_what_it_takes_in_the_file_and_in_memory() {
    for count in [1, 2, 15, 16, 17, 18, 100] {
        let keys = keys_in_runs(count, 3);
        let (index, builder) = index_of(&keys);
        let raw = builder.finish().unwrap();
        assert_eq!(
            builder.size(),
            raw.len() - 1,
            "everything except the count, which takes a byte"
        );
        let fences = count - 1;
        let rests: usize = (0..fences)
            .map(|place| index.short_fence(place).user_key.len())
            .sum();
        let numbers = 3 * fences + fences / 16 + count + 1;
        let expected = index.prefix.len() + rests + 8 * numbers;
        assert_eq!(index.memory(), expected, "{count} blocks");
    }
}

#[test]
fn a_count_that_the_bytes_have_no_room_for_is_refused_before_memory_is_asked_for() {
    // Each entry takes at least eleven bytes.
    let message = |count: u64, bytes: usize| {
        let mut raw = Vec::new();
        put_varint(&mut raw, count);
        raw.resize(raw.len() + bytes, 0);
        Index::parse(&raw, 24, 24).err().unwrap().damage()
    };
    let refused = "the index's count cannot be right";
    assert_eq!(message(0, 40), refused);
    for (count, bytes) in [(1, 10), (2, 21), (3, 32), (4, 40), (100, 1099)] {
        assert_eq!(message(count, bytes), refused, "{count} in {bytes}");
        assert_ne!(message(count, 11 * count as usize), refused, "{count}");
    }
}

#[test]
fn a_head_is_the_first_eight_bytes_and_sorts_like_them() {
    assert_eq!(head(b""), 0);
    assert_eq!(head(b"a"), 0x6100_0000_0000_0000);
    assert_eq!(head(b"abcdefgh"), 0x6162_6364_6566_6768);
    assert_eq!(head(b"abcdefghi"), head(b"abcdefgh"));
}
