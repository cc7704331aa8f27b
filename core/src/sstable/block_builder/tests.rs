//! Where restart points are, the size of a block while it is built, and how much memory is kept.

use super::*;
use crate::key::{SequenceNumber, Trailer, ValueKind};

fn key(user_key: &[u8]) -> KeyRef<'_> {
    KeyRef::new(user_key, Trailer::new(SequenceNumber(7), ValueKind::Put))
}

/// The offsets in the restart points of a finished block.
fn restarts(bytes: &[u8]) -> Vec<u32> {
    let (rest, count) = bytes.split_last_chunk::<4>().unwrap();
    let table = rest.len() - 4 * u32::from_le_bytes(*count) as usize;
    rest[table..]
        .chunks_exact(4)
        .map(|chunk| u32::from_le_bytes(*chunk.first_chunk().unwrap()))
        .collect()
}

/// BLOCK-1.
#[test]
fn every_interval_of_entries_begins_with_a_restart_point_and_the_size_counts_it() {
    for (interval, expected) in [(0, 10), (1, 10), (2, 5), (3, 4), (9, 2), (10, 1), (11, 1)] {
        let mut builder = BlockBuilder::new(interval);
        // The second round is after a reset.
        for _ in 0..2 {
            assert!(builder.is_empty());
            assert_eq!(builder.size(), 4);
            for entry in 0..10u8 {
                builder.add(0, key(&[entry]), b"vw").unwrap();
                assert!(!builder.is_empty());
                let entries = usize::from(entry) + 1;
                let points = entries.div_ceil(interval.max(1));
                assert_eq!(builder.size(), entries * (3 + 1 + 8 + 2) + 4 * points + 4);
            }
            let size = builder.size();
            let bytes = builder.finish().unwrap();
            assert_eq!(bytes.len(), size);
            let starts = (0..10).step_by(interval.max(1)).map(|entry| entry * 14);
            assert_eq!(restarts(bytes), starts.collect::<Vec<_>>());
            assert_eq!(restarts(bytes).len(), expected);
            builder.reset();
        }
    }
}

/// BLOCK-3. A reader that goes backward relies on it: it refuses a block whose keys take more.
#[test]
fn keys_that_share_bytes_take_64_kib_between_restart_points_and_not_one_byte_more() {
    // Four keys of a quarter each are rebuilt after the first, which is a restart point and does not count.
    for excess in [0, 1] {
        let mut builder = BlockBuilder::new(100);
        let length = (64 << 10) / 4;
        let mut add = |shared: usize, length: usize, last: u8| {
            let mut user_key = vec![b'k'; length];
            user_key[length - 1] = last;
            let before = builder.restarts.len();
            builder.add(shared, key(&user_key), b"").unwrap();
            builder.restarts.len() > before
        };
        assert!(add(0, length, b'a'));
        // This key shares nothing, and so is not rebuilt.
        assert!(!add(0, length, b'b'));
        for last in [b'c', b'd', b'e'] {
            assert!(!add(length - 1, length, last));
        }
        let is_restart = add(length - 1, length + excess, b'f');
        assert_eq!(is_restart, excess == 1);
        // After a restart point the count begins anew.
        if is_restart {
            for last in [b'g', b'h', b'i', b'j'] {
                assert!(!add(length - 1, length, last));
            }
            assert!(add(length - 1, length, b'k'));
        }
    }
}

#[test]
fn a_reset_keeps_the_memory_of_a_usual_block_and_gives_back_that_of_a_huge_one() {
    let limit = 4 << 20;
    for (capacity, is_kept) in [
        (1000, true),
        (limit, true),
        (limit + 1, false),
        (limit * 2, false),
    ] {
        let mut builder = BlockBuilder::new(16);
        builder.bytes = Vec::with_capacity(capacity);
        assert_eq!(builder.bytes.capacity(), capacity);
        builder.reset();
        assert_eq!(builder.bytes.capacity() == capacity, is_kept, "{capacity}");
        assert!(is_kept || builder.bytes.capacity() == 0);
    }
}
