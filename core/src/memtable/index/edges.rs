//! A place sorts like the key from which it was made, however long that is; and how much memory the index takes.

use aidb_test_data::Random;

use super::*;
use crate::key::{SequenceNumber, ValueKind};
use crate::memtable::node::SLOTS;
use crate::memtable::record_bytes;
use crate::memtable::tests::allocated_and_freed;

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
            let places = (KeyPosition::of(*left), KeyPosition::of(*right));
            let expected = left.cmp(right);
            assert_eq!(places.0.cmp(&places.1), expected, "{left:?} {right:?}");
            assert_eq!(places.0.partial_cmp(&places.1), Some(expected));
            assert_eq!(places.0 == places.1, left == right, "{left:?} {right:?}");
        }
    }
}

fn insert(index: &Index, leaf: &Leaf, key: &[u8], trailer: Trailer) {
    let mut room = index.reserve(record_bytes(key.len(), 0), 1).unwrap();
    index.insert(&mut room, leaf, key, trailer, b"").unwrap();
}

/// An index of these keys, inserted in this order.
fn index_of(numbers: impl Iterator<Item = u32>) -> Index {
    let index = Index::new(1 << 20, Arena::spare_chunks(1 << 20, 0));
    for number in numbers {
        let key = number.to_be_bytes();
        let trailer = Trailer::new(SequenceNumber(1), ValueKind::Put);
        let leaf = index.leaf_for(&Cut::before(KeyRef::new(&key, trailer)));
        insert(&index, leaf, &key, trailer);
    }
    index
}

/// Looks at all nodes of a chain but the first, at their bounds, and at all items; returns how many nodes there are.
fn all_in_arena<T: Item>(index: &Index, first: &Node<T>) -> usize {
    let nodes = std::iter::successors(Some(first), |node| node.next());
    for (number, node) in nodes.clone().enumerate() {
        assert!(number == 0 || index.arena.holds(node), "NODE-1: a node");
        for bound in [node.low(), node.high()].into_iter().flatten() {
            assert!(index.arena.holds(bound.address()), "NODE-1: a bound");
        }
        for item in (0..node.count()).map(|at| node.item(at)) {
            assert!(index.arena.holds(item), "NODE-1: an item");
        }
    }
    nodes.count()
}

/// NODE-1, INDEX-1.
#[test]
fn every_address_in_the_index_is_one_of_the_arena() {
    let count = 200 * SLOTS as u32;
    // Ascending, and in an order that splits nodes everywhere.
    for step in [1, 7919] {
        let index = index_of((0..count).map(|number| number * step % count));
        assert!(all_in_arena(&index, &index.first) > 100);
        assert!(all_in_arena(&index, &index.first_branch) > 1);
        let mut places = 0;
        for node in index.directory.iter(nothing_removed()) {
            let (place, branch) = (node.key(), node.value());
            assert!(index.arena.holds(place.user_key), "INDEX-1: a key");
            assert!(index.arena.holds(branch.0), "NODE-1: a branch");
            places += 1;
        }
        assert_eq!(places, index.directory.len());
        assert!(places > 0);
    }
    let elsewhere = [0u8; 64];
    assert!(!index_of(0..100).arena.holds(&elsewhere));
}

/// LEAF-1.
#[test]
fn a_node_tells_whether_anything_was_inserted_since_it_was_read() {
    let index = index_of(0..3);
    let leaf = &index.first;
    let before = leaf.start_reading();
    assert!(leaf.is_at(before) && leaf.is_unchanged(before));
    let trailer = Trailer::new(SequenceNumber(2), ValueKind::Put);
    insert(&index, leaf, b"key", trailer);
    assert!(!leaf.is_at(before) && !leaf.is_unchanged(before), "NODE-2");
    let after = leaf.start_reading();
    assert!(leaf.is_at(after) && leaf.is_unchanged(after));
}

#[test]
fn an_empty_index_takes_a_leaf_and_a_branch() {
    let index = index_of(0..0);
    assert_eq!(index.memory(), size_of::<Leaf>() + size_of::<Branch>());
}

#[test]
fn a_node_of_the_directory_takes_on_average_what_is_said() {
    let keys: Vec<_> = (0..20_000u32).map(u32::to_be_bytes).collect();
    let guard = epoch::pin();
    let directory = SkipList::new(epoch::default_collector().clone());
    let before = allocated_and_freed().0;
    for key in &keys {
        let place = KeyPosition::of(KeyRef::new(key, Trailer::NEWEST));
        let node = directory.get_or_insert(place, BranchAddress(ptr::null()), &guard);
        node.release(&guard);
    }
    let mean = (allocated_and_freed().0 - before) / keys.len();
    let said = DIRECTORY_NODE_BYTES;
    assert!(
        said.abs_diff(mean) * 10 < mean,
        "{said} is said, {mean} taken"
    );
}

#[test]
fn keys_that_come_in_order_leave_full_leaves() {
    let count = 100 * SLOTS as u32;
    let ways: [Box<dyn Iterator<Item = u32>>; 2] = [Box::new(0..count), Box::new((0..count).rev())];
    for numbers in ways {
        let index = index_of(numbers);
        let leaves = std::iter::successors(Some(&*index.first), |leaf| leaf.next());
        let partial = leaves.filter(|leaf| leaf.count() < SLOTS).count();
        assert!(partial <= 2, "{partial} leaves have room");
    }
}

#[test]
fn keys_that_descend_to_the_right_of_a_full_leaf_share_leaves() {
    let full = SLOTS as u32;
    let others = 100 * full;
    let above = full + others;
    let ascending_by = |run: u32| {
        (0..others / run)
            .rev()
            .flat_map(move |first| (0..run).map(move |next| full + first * run + next))
    };
    for run in [1, 2, 3, 8, 9] {
        let index = index_of((0..full).chain([above]).chain(ascending_by(run)));
        let leaves = std::iter::successors(Some(&*index.first), |leaf| leaf.next()).count();
        let expected = others as usize / SLOTS;
        assert!(
            leaves <= expected * 7 + 4,
            "{leaves} leaves, in runs of {run}"
        );
    }
}

/// How many leaves were made of the nodes that an index allocates ahead.
fn leaves_taken(index: &Index) -> usize {
    std::iter::successors(Some(&*index.first), |leaf| leaf.next()).count() - 1
}

/// SPARE-2.
#[test]
fn a_batch_claims_memory_for_as_many_leaves_as_it_can_split() {
    let full = 200 * SLOTS as u32;
    let before = |number: u32| number * 0x1_0000;
    // The last key of each leaf, the first, one in the middle; then keys that split the leaves once more.
    let of_each = |slot: u32| (0..full).filter(move |number| number % SLOTS as u32 == slot);
    let zigzag = (0..400u32).flat_map(|pair| [0u32, 1].map(|next| 0x8000 - 2 * pair + next));
    let mut random = Random::new(29);
    let drawn: Vec<_> = (0..20_000)
        .map(|_| random.below(u64::from(before(full))) as u32)
        .collect();
    let last = of_each(SLOTS as u32 - 1);
    let ways: [(&str, Vec<u32>); 6] = [
        (
            "ends",
            last.clone().map(|number| before(number) + 1).collect(),
        ),
        (
            "middles",
            of_each(31).map(|number| before(number) + 1).collect(),
        ),
        (
            "ends, ascending and descending",
            last.flat_map(|number| [3, 2, 1, 4, 5, 6].map(|next| before(number) + next))
                .collect(),
        ),
        (
            "pairs that descend",
            zigzag
                .map(|number| before(SLOTS as u32 - 1) + number)
                .collect(),
        ),
        ("drawn", drawn),
        (
            "behind all",
            (0..1000).map(|number| before(full) + number).collect(),
        ),
    ];
    let mut split = 0;
    for (name, keys) in ways {
        for operations in [1, 2, 16, 17, 18, 100, 1_000, usize::MAX] {
            let index = index_of((0..full).map(before));
            assert!(leaves_taken(&index) >= 199);
            for batch in keys.chunks(operations.min(keys.len())) {
                let room_bytes = record_bytes(4, 0) * batch.len();
                let taken = leaves_taken(&index);
                let mut room = index.reserve(room_bytes, batch.len()).unwrap();
                for number in batch {
                    let key = number.to_be_bytes();
                    let trailer = Trailer::new(SequenceNumber(2), ValueKind::Put);
                    let leaf = index.leaf_for(&Cut::before(KeyRef::new(&key, trailer)));
                    index.insert(&mut room, leaf, &key, trailer, b"").unwrap();
                }
                let taken = leaves_taken(&index) - taken;
                assert!(
                    taken <= room.claim,
                    "{name}: a batch of {} claimed {} leaves and made {taken}",
                    batch.len(),
                    room.claim
                );
                split += taken;
            }
        }
    }
    assert!(split > 1000);
}
