//! How many bytes the block cache counts, exactly, and which block it evicts for which.

use super::*;
use crate::env::test_passes::Passes;

const MIB: usize = 1 << 20;
/// With these numbers of restart points a block of [`stored`] takes less than its flat form, as much, and more.
const GROWS: u32 = 1;
const STAYS: u32 = 12;
const SHRINKS: u32 = 30;

/// A block of ten entries, each with a value of twenty bytes. Restart points take four bytes and are only in the stored
/// form.
fn stored(cache: &BlockCache, restarts: u32) -> Block {
    let mut raw = Vec::new();
    for key in 0..10u8 {
        raw.extend([0, 1, 20, key]);
        raw.extend(7u64.to_le_bytes());
        raw.extend([key; 20]);
    }
    (0..restarts).for_each(|at| raw.extend(at.to_le_bytes()));
    raw.extend(restarts.to_le_bytes());
    Block::unchecked(raw, cache.gauge()).unwrap()
}

/// A stored block of `bytes` bytes that has no flat form.
fn opaque(cache: &BlockCache, bytes: usize) -> Block {
    let mut raw = vec![0; bytes - 4];
    raw.extend(1u32.to_le_bytes());
    Block::unchecked(raw, cache.gauge()).unwrap()
}

/// A block that lies outside the slabs, if the cache has any.
fn outside(cache: &BlockCache) -> Block {
    opaque(cache, 40 << 10)
}

/// The charges of such a block and of its flat form.
fn charges(restarts: u32) -> (usize, usize) {
    let cache = BlockCache::new(MIB);
    let block = stored(&cache, restarts);
    (block.charge(), block.flatten().unwrap().charge())
}

fn used(cache: &BlockCache) -> usize {
    cache.stats().used
}

fn is_in(slots: &BlockSlots, number: usize, block: &Block) -> bool {
    slots
        .load(number)
        .as_ref()
        .is_some_and(|here| here.is(block))
}

/// Slots of blocks that were missed once each.
fn missed(cache: &BlockCache, blocks: usize) -> Arc<BlockSlots> {
    let slots = cache.slots(blocks).unwrap();
    (0..blocks).for_each(|number| assert!(cache.note_passed(&slots, number, 0) == Passed::Never));
    slots
}

fn was_just_passed(cache: &BlockCache, slots: &BlockSlots, number: usize, charge: usize) -> bool {
    cache.note_passed(slots, number, charge) == Passed::Lately
}

/// A cache of 32 MiB whose slabs have nearly 4 MiB of unused memory: pages of nine sizes, with one piece of each in
/// use. Also returns how large `used` may become before CACHE-7 refuses blocks outside the slabs.
fn with_unused_slabs() -> (Arc<BlockCache>, Vec<Block>, usize) {
    let cache = BlockCache::new(32 * MIB);
    let sizes = [500, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 9_000, 13_000];
    let pieces: Vec<_> = sizes.map(|size| opaque(&cache, size)).into();
    let taken: usize = pieces.iter().map(Block::charge).sum();
    // A charge has 32 bytes for slot and ring in addition to the piece.
    let unused = 4 * MIB - (taken - 9 * 32);
    assert_eq!(cache.gauge().unused(), unused);
    (cache, pieces, 34 * MIB - unused)
}

#[test]
fn the_three_kinds_of_blocks_grow_stay_and_shrink() {
    let difference = |restarts| {
        let (before, after) = charges(restarts);
        after as isize - before as isize
    };
    assert_eq!(
        [GROWS, STAYS, SHRINKS].map(difference),
        [44, 0, -72],
        "17 bytes per entry instead of 12"
    );
}

#[test]
fn slots_take_nine_bytes_a_block() {
    let cache = BlockCache::new(0);
    let memory = |blocks| cache.slots(blocks).unwrap().memory();
    assert_eq!(memory(0), size_of::<BlockSlots>());
    assert_eq!(memory(1000) - memory(0), 9000);
}

#[test]
fn a_block_that_fits_to_the_byte_is_admitted_and_one_byte_more_is_not() {
    type Insert = fn(&BlockCache, &Arc<BlockSlots>, usize, Block) -> Block;
    let ways: [(Insert, u64); 2] = [(BlockCache::insert, 1), (BlockCache::insert_if_room, 0)];
    for (insert, passed) in ways {
        let size = opaque(&BlockCache::new(0), 500).charge();
        for (capacity, there) in [(3 * size, 3), (3 * size - 1, 2)] {
            let cache = BlockCache::new(capacity);
            let slots = cache.slots(3).unwrap();
            (0..there).for_each(|number| _ = cache.note_passed(&slots, number, 0));
            for number in 0..3 {
                let block = opaque(&cache, 500);
                let answer = insert(&cache, &slots, number, block.clone());
                assert!(answer.is(&block), "the caller gets its block in any case");
                assert_eq!(is_in(&slots, number, &block), number < there);
            }
            let stats = cache.stats();
            assert_eq!((stats.used, stats.blocks), (there * size, there));
            assert_eq!((stats.inserts, stats.evictions), (there as u64, 0));
            assert_eq!(stats.passed, passed * (3 - there as u64));
            assert_eq!(stats.refused, 0);
        }
    }
}

#[test]
fn a_block_enters_at_its_second_miss_however_long_ago_the_first_one_was_if_there_is_room() {
    type Insert = fn(&BlockCache, &Arc<BlockSlots>, usize, Block) -> Block;
    let ways: [Insert; 2] = [BlockCache::insert, BlockCache::insert_if_room];
    for insert in ways {
        for periods in [0, 1, 2, 100, 253] {
            let cache = BlockCache::new(MIB);
            let slots = cache.slots(1).unwrap();
            let first = insert(&cache, &slots, 0, stored(&cache, GROWS));
            assert!(
                first.may_flatten(),
                "a block that is not kept is not laid out"
            );
            assert!(slots.load(0).is_none());
            let stats = cache.stats();
            assert_eq!((stats.used, stats.passed, stats.inserts), (0, 1, 0));
            cache
                .passed_bytes
                .fetch_add(periods * MIB, Ordering::Relaxed);
            let second = insert(&cache, &slots, 0, stored(&cache, GROWS));
            assert!(is_in(&slots, 0, &second) && !second.may_flatten());
            let stats = cache.stats();
            assert_eq!((stats.blocks, stats.passed, stats.inserts), (1, 1, 1));
        }
    }
}

#[test]
fn a_block_as_large_as_the_cache_enters_at_its_second_miss_too() {
    let cache = BlockCache::new(opaque(&BlockCache::new(0), 500).charge());
    let slots = cache.slots(1).unwrap();
    for enters in [false, true] {
        let block = cache.insert(&slots, 0, opaque(&cache, 500));
        assert_eq!(is_in(&slots, 0, &block), enters);
    }
    let stats = cache.stats();
    assert_eq!((stats.passed, stats.refused, stats.inserts), (1, 0, 1));
}

#[test]
fn a_ring_has_room_for_as_many_holes_as_entries_before_it_gets_one_more() {
    let cache = BlockCache::new(MIB);
    let slots = cache.slots(40).unwrap();
    let mut ring = Ring::default();
    for number in 0..40 {
        ring.reserve().unwrap();
        assert!(ring.entries.capacity() > number);
        ring.insert(&slots, number, opaque(&cache, 100));
        assert!(ring.holes.capacity() >= ring.entries.len(), "{number}");
    }
}

#[test]
fn a_block_without_memory_for_its_place_is_used_and_not_kept() {
    let cache = BlockCache::new(MIB);
    let slots = missed(&cache, 1);
    let block = opaque(&cache, 500);
    let passes = Passes::fail_at(1);
    let entered = passes.enter();
    let answer = cache.insert(&slots, 0, block.clone());
    drop(entered);
    assert_eq!(passes.failed(), 1);
    assert!(answer.is(&block) && !is_in(&slots, 0, &block));
    let stats = cache.stats();
    assert_eq!((stats.used, stats.blocks, stats.refused), (0, 0, 1));
    cache.insert(&slots, 0, block.clone());
    assert!(is_in(&slots, 0, &block));
}

#[test]
fn a_closed_cache_has_no_block_in_any_slot_and_gives_their_room_back() {
    for capacity in [MIB, 32 * MIB] {
        let cache = BlockCache::new(capacity);
        let slots = missed(&cache, 9);
        for number in 0..9 {
            cache.insert(&slots, number, opaque(&cache, 500));
        }
        assert_eq!(cache.stats().blocks, 9);
        cache.close();
        assert!((0..9).all(|number| slots.load(number).is_none()));
        let stats = cache.stats();
        assert_eq!((stats.used, stats.blocks), (0, 0));
        assert_eq!(cache.gauge().bytes(), 0);
    }
}

#[test]
fn a_scan_for_which_there_is_no_room_counts_as_no_miss() {
    let cache = BlockCache::new(opaque(&BlockCache::new(0), 500).charge());
    let slots = missed(&cache, 2);
    cache.insert(&slots, 0, opaque(&cache, 500));
    let slots = [slots, cache.slots(1).unwrap()];
    cache.insert_if_room(&slots[1], 0, opaque(&cache, 500));
    assert_eq!(cache.stats().passed, 0);
    assert!(cache.note_passed(&slots[1], 0, 0) == Passed::Never);
}

#[test]
fn whoever_comes_second_to_a_slot_gets_the_block_that_is_there() {
    let cache = BlockCache::new(MIB);
    let slots = missed(&cache, 1);
    let first = cache.insert_if_room(&slots, 0, opaque(&cache, 500));
    let before = cache.stats();
    for other in [
        cache.insert_if_room(&slots, 0, opaque(&cache, 900)),
        cache.insert(&slots, 0, opaque(&cache, 900)),
    ] {
        assert!(other.is(&first));
    }
    assert_eq!(cache.stats(), before);
}

#[test]
fn a_block_takes_its_flat_form_at_once_if_there_is_room_for_two() {
    let (size, flat) = charges(GROWS);
    for (room, is_flat) in [(2 * size, true), (2 * size - 1, false), (size, false)] {
        let cache = BlockCache::new(room);
        let slots = missed(&cache, 1);
        let block = cache.insert(&slots, 0, stored(&cache, GROWS));
        assert!(is_in(&slots, 0, &block));
        assert_eq!(!block.may_flatten(), is_flat, "room for {room}");
        assert_eq!(used(&cache), if is_flat { flat } else { size });
    }
}

#[test]
fn the_flat_form_takes_the_place_of_the_stored_one_and_is_counted_instead() {
    for restarts in [GROWS, STAYS, SHRINKS] {
        let (before, after) = charges(restarts);
        let cache = BlockCache::new(before.max(after) + 300);
        let slots = missed(&cache, 20);
        let other = cache.insert_if_room(&slots, 1, opaque(&cache, 100));
        let block = cache.insert_if_room(&slots, 17, stored(&cache, restarts));
        assert_eq!(used(&cache), other.charge() + before);
        let flat = cache.flatten(&slots, 17, &block);
        assert!(is_in(&slots, 17, &flat) && !flat.is(&block));
        let stats = cache.stats();
        assert_eq!(stats.used, other.charge() + after, "{restarts}");
        assert_eq!((stats.blocks, stats.evictions), (2, 0));
        assert_eq!(stats.pinned, block.charge(), "its holder still has it");
        cache.release(&slots);
        assert_eq!((used(&cache), cache.stats().blocks), (0, 0), "CACHE-3");
    }
}

#[test]
fn the_flat_form_of_a_block_that_is_no_longer_there_is_used_and_not_kept() {
    for restarts in [GROWS, STAYS, SHRINKS] {
        let cache = BlockCache::new(10_000);
        let slots = missed(&cache, 2);
        let other = cache.insert_if_room(&slots, 0, opaque(&cache, 700));
        for number in [0, 1] {
            let block = stored(&cache, restarts);
            let flat = cache.flatten(&slots, number, &block);
            assert!(!flat.may_flatten() && !flat.is(&block));
            assert!(is_in(&slots, 0, &other) && slots.load(1).is_none());
            assert_eq!(used(&cache), other.charge(), "{restarts}");
            let again = cache.flatten(&slots, number, &block);
            assert!(again.is(&block), "a flat form is made once");
        }
    }
}

#[test]
fn a_flat_form_that_the_stored_one_has_to_go_for_is_not_kept_either() {
    let (before, _) = charges(GROWS);
    let cache = BlockCache::new(before);
    let slots = missed(&cache, 1);
    let block = cache.insert_if_room(&slots, 0, stored(&cache, GROWS));
    let flat = cache.flatten(&slots, 0, &block);
    assert!(!flat.may_flatten());
    let stats = cache.stats();
    assert_eq!((stats.used, stats.blocks, stats.evictions), (0, 0, 1));
}

#[test]
fn a_flat_form_without_room_leaves_the_stored_one_where_it_is() {
    let (before, after) = charges(GROWS);
    // Another thread, about to insert, has reserved so much that one byte is missing, and no block can be evicted.
    let cache = BlockCache::new(10_000);
    let slots = cache.slots(1).unwrap();
    let block = stored(&cache, GROWS);
    slots.put(0, block.clone());
    assert!(cache.reserve(10_000 - (after - before) + 1, 0));
    cache.flatten(&slots, 0, &block);
    assert!(is_in(&slots, 0, &block));
    assert_eq!(used(&cache), 10_000 - (after - before) + 1);
}

#[test]
fn room_is_reserved_to_the_byte() {
    let cache = BlockCache::new(1000);
    assert!(!cache.reserve(1001, 0), "CACHE-1");
    assert!(cache.reserve(1000, 0));
    assert!(!cache.reserve(1, 0), "others have reserved all of it");
    assert_eq!((used(&cache), cache.stats().evictions), (1000, 0));
}

#[test]
fn as_many_blocks_go_as_room_is_needed_and_no_more() {
    let size = opaque(&BlockCache::new(0), 500).charge();
    for (wanted, gone) in [
        (0, 0),
        (3, 0),
        (100, 0),
        (101, 1),
        (100 + size, 1),
        (101 + size, 2),
        (100 + 3 * size, 3),
        (100 + 4 * size, 4),
    ] {
        let cache = BlockCache::new(4 * size + 100);
        let slots = missed(&cache, 4);
        for number in 0..4 {
            cache.insert_if_room(&slots, number, opaque(&cache, 500));
        }
        assert!(cache.reserve(wanted, slots.shard(0)));
        let stats = cache.stats();
        assert_eq!((stats.evictions, stats.blocks), (gone, 4 - gone as usize));
        assert_eq!(stats.used, (4 - gone as usize) * size + wanted);
    }
}

#[test]
fn room_is_made_in_whichever_shard_there_is_a_block() {
    for home in 0..SHARDS {
        for number in 0..SHARDS {
            let cache = BlockCache::new(1000);
            let slots = missed(&cache, SHARDS);
            cache.insert_if_room(&slots, number, opaque(&cache, 500));
            assert!(cache.reserve(1000, home), "from {home} to {number}");
            assert_eq!((used(&cache), cache.stats().evictions), (1000, 1));
        }
    }
}

#[test]
fn blocks_one_behind_the_other_are_in_different_shards() {
    let cache = BlockCache::new(0);
    for _ in 0..40 {
        let slots = cache.slots(40).unwrap();
        let shards: Vec<_> = (0..40).map(|number| slots.shard(number)).collect();
        for window in shards.windows(SHARDS) {
            let mut window = window.to_vec();
            window.sort_unstable();
            assert!(window.into_iter().eq(0..SHARDS));
        }
    }
}

#[test]
fn a_block_outside_the_slabs_enters_as_long_as_it_and_unused_slabs_take_a_sixteenth_more() {
    let (cache, pieces, most) = with_unused_slabs();
    assert!(most < cache.capacity, "CACHE-7 stops it, not CACHE-1");
    let block = outside(&cache);
    for (used, has_memory) in [(0, true), (most, true), (most + 1, false)] {
        cache.used.store(used, Ordering::Relaxed);
        assert_eq!(cache.has_memory_for(&block), has_memory, "{used}");
        assert!(
            cache.has_memory_for(&pieces[0]),
            "its memory is already in use"
        );
    }

    // The block's own memory counts as used when its room is checked.
    let slots = missed(&cache, 1);
    for (excess, enters) in [(1, false), (0, true)] {
        let before = most - block.charge() + excess;
        cache.used.store(before, Ordering::Relaxed);
        cache.insert_if_room(&slots, 0, block.clone());
        assert_eq!(is_in(&slots, 0, &block), enters);
        let after = before + if enters { block.charge() } else { 0 };
        assert_eq!(used(&cache), after);
    }
}

#[test]
fn a_block_that_is_refused_its_memory_makes_four_others_go() {
    let (cache, mut pieces, most) = with_unused_slabs();
    let slots = missed(&cache, 9 + 1);
    for (number, piece) in pieces.drain(..).enumerate() {
        cache.insert_if_room(&slots, number, piece);
    }
    let held = used(&cache);
    cache.used.store(most + 1, Ordering::Relaxed);
    let block = cache.insert(&slots, 5, outside(&cache));
    assert!(!is_in(&slots, 5, &block));
    let stats = cache.stats();
    assert_eq!((stats.refused, stats.evictions, stats.blocks), (1, 4, 5));
    let there: Vec<_> = (0..9).map(|number| slots.load(number).is_some()).collect();
    assert_eq!(
        there,
        (0..9)
            .map(|number| !(5..9).contains(&number))
            .collect::<Vec<_>>()
    );
    let left: usize = (0..9)
        .filter_map(|number| (*slots.load(number)).as_ref().map(Block::charge))
        .sum();
    assert_eq!(used(&cache), most + 1 - (held - left));
}

#[test]
fn a_flat_form_that_has_no_memory_is_used_and_the_stored_one_stays() {
    let (cache, _pieces, most) = with_unused_slabs();
    let slots = cache.slots(1).unwrap();
    // The stored form fits the largest piece, but the flat form, with four bytes more per entry, does not.
    let mut raw = Vec::new();
    for key in 0..107u8 {
        raw.extend([0, 1, 0x80 | 9, 1, key]);
        raw.extend(7u64.to_le_bytes());
        raw.extend([key; 128 + 9]);
    }
    raw.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    let block = Block::unchecked(raw, cache.gauge()).unwrap();
    assert!(cache.reserve(block.charge(), 0));
    let block = cache.enter(&slots, 0, block);
    // The stored block's piece is now in use.
    let full = most + (16 << 10) + 1;
    cache.used.store(full, Ordering::Relaxed);
    let flat = cache.flatten(&slots, 0, &block);
    assert!(!flat.is(&block) && !flat.is_in_slab());
    assert!(is_in(&slots, 0, &block));
    assert_eq!(used(&cache), full);
}

#[test]
fn the_hand_goes_around_and_spares_each_block_that_was_hit_once() {
    let cache = BlockCache::new(MIB);
    let slots = cache.slots(5).unwrap();
    let mut ring = Ring::default();
    assert!(ring.evict().is_none(), "an empty ring");
    let blocks: Vec<_> = (0..5).map(|_| opaque(&cache, 100)).collect();
    for (number, block) in blocks.iter().enumerate() {
        ring.insert(&slots, number, block.clone());
    }
    let gone = |ring: &mut Ring| {
        let block = ring.evict()?;
        blocks.iter().position(|other| other.is(&block))
    };
    // The hand is at 0, and the first entry that it comes to is 1.
    [1, 2, 4]
        .into_iter()
        .for_each(|number: usize| blocks[number].touch());
    assert_eq!(gone(&mut ring), Some(3));
    assert_eq!(gone(&mut ring), Some(0), "4 was spared");
    assert_eq!(gone(&mut ring), Some(1), "1 and 2 were spared, once");
    // Holes are filled before the ring grows: the last hole first, which is right at the hand.
    ring.insert(&slots, 1, blocks[1].clone());
    assert_eq!(ring.entries.len(), 5);
    assert_eq!(gone(&mut ring), Some(2));
    assert_eq!(gone(&mut ring), Some(4));
    assert_eq!(gone(&mut ring), Some(1));
    assert!(gone(&mut ring).is_none() && ring.is_empty());
}

#[test]
fn a_ring_of_blocks_that_were_all_hit_evicts_the_first_after_a_round() {
    let cache = BlockCache::new(MIB);
    let slots = cache.slots(3).unwrap();
    let mut ring = Ring::default();
    let blocks: Vec<_> = (0..3).map(|_| opaque(&cache, 100)).collect();
    for (number, block) in blocks.iter().enumerate() {
        ring.insert(&slots, number, block.clone());
        block.touch();
    }
    assert!(ring.evict().unwrap().is(&blocks[1]));
    assert!(blocks.iter().all(|block| !block.take_touched()));
}

#[test]
fn a_second_miss_comes_soon_in_the_same_period_or_the_next_one_and_no_later() {
    const CAPACITY: usize = 1000;
    let cache = BlockCache::new(CAPACITY);
    let miss = |slots: &BlockSlots, period: usize| {
        let passed = period * CAPACITY + CAPACITY - 1;
        cache.passed_bytes.store(passed, Ordering::Relaxed);
        was_just_passed(&cache, slots, 0, 1)
    };
    // A byte names the period, so after 255 periods the names repeat.
    for first in 0..600 {
        for later in (0..4).chain([100, 252, 253, 254]) {
            let slots = cache.slots(1).unwrap();
            assert!(!miss(&slots, first), "its first miss, in period {first}");
            assert_eq!(
                miss(&slots, first + later),
                later <= 1,
                "{first}, then {later} later"
            );
        }
    }
}

#[test]
fn a_period_ends_when_what_was_passed_over_would_have_filled_the_cache() {
    let cache = BlockCache::new(1000);
    let slots = cache.slots(4).unwrap();
    assert!(!was_just_passed(&cache, &slots, 0, 600));
    assert!(
        !was_just_passed(&cache, &slots, 1, 600),
        "at 600: still the first period"
    );
    assert!(
        !was_just_passed(&cache, &slots, 2, 799),
        "at 1200: the second one"
    );
    assert!(
        was_just_passed(&cache, &slots, 0, 1),
        "at 1999: the one before"
    );
    assert!(
        !was_just_passed(&cache, &slots, 1, 0),
        "at 2000: two before"
    );
    assert!(was_just_passed(&cache, &slots, 2, 0));
}
