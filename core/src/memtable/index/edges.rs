//! A place sorts like the key that it was made of, however long that is.

use super::*;
use crate::key::{SequenceNumber, ValueKind};

#[test]
fn places_sort_like_their_keys_on_both_sides_of_sixteen_bytes() {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for length in [0, 1, 7, 8, 9, 15, 16, 17, 18, 24, 33] {
        for last in [0, 1, b'a', 0xff] {
            keys.push(vec![b'a'; length]);
            keys.push([&vec![b'a'; length][..], &[last]].concat());
            keys.push([&vec![b'a'; length][..], &[last, 0]].concat());
            keys.push([&vec![0; length][..], &[last]].concat());
        }
    }
    let mut all = Vec::new();
    for key in &keys {
        for number in [1, 2] {
            all.push(KeyRef::new(
                key,
                Trailer::new(SequenceNumber(number), ValueKind::Put),
            ));
        }
    }
    for left in &all {
        for right in &all {
            let places = (Place::of(*left), Place::of(*right));
            let expected = left.cmp(right);
            assert_eq!(places.0.cmp(&places.1), expected, "{left:?} {right:?}");
            assert_eq!(places.0.partial_cmp(&places.1), Some(expected));
            assert_eq!(places.0 == places.1, left == right, "{left:?} {right:?}");
        }
    }
}
