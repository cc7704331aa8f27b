//! Tests of the whole memtable: against a `BTreeMap`, beside concurrent writers, and of its count of memory.

#![expect(unsafe_code, reason = "counting the bytes that the allocator provides")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Release};

use std::ops::Bound;

use aidb_test_data::{Fill, Random, Sizes};

use super::*;
use crate::env::{MAPPED, UNMAPPED};
use crate::iterator::InternalIterator;
use crate::key::{SequenceNumber, ValueKind};

/// Counts the bytes that each thread allocates and frees, for the test of `memory`.
struct CountingAllocator;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static FREED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

// SAFETY: passes every call on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + taken(layout));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        FREED.set(FREED.get() + taken(layout));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(address, layout) }
    }
}

/// The bytes that this thread has allocated or mapped until now, and those that it has freed or unmapped.
pub(super) fn allocated_and_freed() -> (usize, usize) {
    (ALLOCATED.get() + MAPPED.get(), FREED.get() + UNMAPPED.get())
}

/// How much memory an allocation takes: malloc keeps eight bytes before it, and rounds up to multiples of sixteen.
fn taken(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16)
}

/// The keys that a test draws from. Each variant is a shape that an index may get wrong.
#[derive(Debug, Clone, Copy)]
enum Keys {
    /// Sixteen decimal digits.
    Digits,
    /// Zero to five bytes, each 0, 1 or 255: many keys are prefixes of others, and one is empty.
    Prefixes,
    /// Up to forty random bytes.
    Binary,
    /// A shared beginning of 3, 30 or 300 bytes, then few digits.
    SharedPrefix,
    /// Ten keys, so each has thousands of versions.
    Hot,
    /// A counter, upwards.
    Ascending,
    /// A counter, downwards.
    Descending,
    /// Lengths around the thresholds, with keys that share nearly everything or nothing.
    Long,
}

/// Keys and values around every threshold up to the largest chunk; the large ones are rare.
const SIZES: Sizes = Sizes::new((1 << 20) + 1, 300);
const LONG_KEYS: Sizes = Sizes::new(70_000, 500);

const ALL_KEYS: [Keys; 8] = [
    Keys::Digits,
    Keys::Prefixes,
    Keys::Binary,
    Keys::SharedPrefix,
    Keys::Hot,
    Keys::Ascending,
    Keys::Descending,
    Keys::Long,
];

impl Keys {
    fn draw(self, random: &mut Random, step: u64) -> Vec<u8> {
        match self {
            Keys::Digits => format!("{:016}", random.index(100_000)).into_bytes(),
            Keys::Prefixes => (0..random.index(6))
                .map(|_| [0u8, 1, 255][random.index(3)])
                .collect(),
            Keys::Binary => (0..random.index(41)).map(|_| random.next() as u8).collect(),
            Keys::SharedPrefix => {
                let mut key = vec![b'p'; [3, 30, 300][random.index(3)]];
                key.extend_from_slice(format!("{:04}", random.index(3_000)).as_bytes());
                key
            }
            Keys::Hot => vec![b'h', random.index(10) as u8],
            Keys::Ascending => format!("key{step:09}").into_bytes(),
            Keys::Descending => format!("key{:09}", 999_999_999 - step).into_bytes(),
            Keys::Long => random.long_key(&LONG_KEYS),
        }
    }
}

type ModelKey = (Vec<u8>, Reverse<Trailer>);
type Model = BTreeMap<ModelKey, Vec<u8>>;

fn trailer(sequence: u64, kind: ValueKind) -> Trailer {
    Trailer::new(SequenceNumber(sequence), kind)
}

/// Inserts one drawn entry into both; its value begins with its sequence number.
fn insert_one(memtable: &Memtable, model: &mut Model, keys: Keys, random: &mut Random, step: u64) {
    let key = keys.draw(random, step);
    let sequence = step + 1;
    let (kind, value) = match random.index(5) {
        0 => (ValueKind::Delete, Vec::new()),
        _ => {
            let mut value = sequence.to_string().into_bytes();
            let length = random.size(&SIZES);
            value.extend(Fill::Runs.bytes(sequence, length.saturating_sub(value.len())));
            (ValueKind::Put, value)
        }
    };
    let trailer = trailer(sequence, kind);
    memtable.insert(&key, trailer, &value).unwrap();
    model.insert((key, Reverse(trailer)), value);
}

fn same(iterator: &MemtableIterator, expected: Option<(&ModelKey, &Vec<u8>)>) {
    match expected {
        None => assert!(
            !iterator.valid(),
            "stands on {:?}, expected the end",
            iterator.key()
        ),
        Some(((key, Reverse(trailer)), value)) => {
            assert!(iterator.valid(), "at the end, expected {key:?} {trailer:?}");
            assert_eq!(iterator.key(), KeyRef::new(key, *trailer));
            assert_eq!(iterator.value(), &value[..]);
        }
    }
}

fn check_gets(memtable: &Memtable, model: &Model, keys: Keys, random: &mut Random, steps: u64) {
    for _ in 0..500 {
        let step = random.next() % (steps + 10);
        let key = keys.draw(random, step);
        let seek = Trailer::visible_at(SequenceNumber(random.next() % (steps + 10)));
        let expected = model
            .range((key.clone(), Reverse(seek))..)
            .next()
            .filter(|((found, _), _)| *found == key)
            .map(|((_, Reverse(trailer)), value)| (*trailer, &value[..]));
        assert_eq!(memtable.get(&key, seek), expected, "{key:?} {seek:?}");
    }
}

#[test]
fn an_empty_memtable_has_nothing_anywhere() {
    let memtable = Arc::new(Memtable::new(4096));
    assert!(memtable.is_empty());
    assert_eq!(memtable.entries(), 0);
    assert_eq!(memtable.get(b"", Trailer::NEWEST), None);
    assert!(memtable.memory() < 4096);
    let mut iterator = memtable.iter();
    assert!(!iterator.valid());
    iterator.seek_to_first().unwrap();
    assert!(!iterator.valid());
    iterator.seek_to_last().unwrap();
    assert!(!iterator.valid());
    iterator.seek(KeyRef::new(b"a", Trailer::NEWEST)).unwrap();
    assert!(!iterator.valid());
    iterator
        .seek_for_prev(KeyRef::new(b"a", Trailer::OLDEST))
        .unwrap();
    assert!(!iterator.valid());
}

#[test]
fn a_read_at_a_number_sees_the_version_of_that_number() {
    let memtable = Memtable::new(1 << 20);
    memtable
        .insert(b"k", trailer(3, ValueKind::Put), b"three")
        .unwrap();
    memtable
        .insert(b"k", trailer(7, ValueKind::Delete), b"")
        .unwrap();
    memtable
        .insert(b"k", trailer(9, ValueKind::Put), b"")
        .unwrap();
    memtable
        .insert(b"k\0", trailer(1, ValueKind::Put), b"other")
        .unwrap();
    let at = |sequence| memtable.get(b"k", Trailer::visible_at(SequenceNumber(sequence)));
    assert_eq!(at(2), None);
    assert_eq!(at(3), Some((trailer(3, ValueKind::Put), &b"three"[..])));
    assert_eq!(at(6), Some((trailer(3, ValueKind::Put), &b"three"[..])));
    assert_eq!(at(8), Some((trailer(7, ValueKind::Delete), &b""[..])));
    assert_eq!(at(100), Some((trailer(9, ValueKind::Put), &b""[..])));
    assert_eq!(memtable.entries(), 4);
}

#[test]
fn stepping_over_a_key_lands_behind_all_its_versions_in_one_leaf_or_many() {
    for versions in [1, 2, 3, 50, 70, 1_000] {
        let memtable = Arc::new(Memtable::new(1 << 20));
        for sequence in 1..=versions {
            for key in [&b"before"[..], b"hot", b"later"] {
                memtable
                    .insert(key, trailer(sequence, ValueKind::Put), b"value")
                    .unwrap();
            }
        }
        let mut iterator = memtable.iter();
        for from in 1..=versions {
            let target = KeyRef::new(b"hot", trailer(from, ValueKind::Put));
            iterator.seek(target).unwrap();
            assert_eq!(iterator.key(), target);
            iterator.next_key(b"hot").unwrap();
            let later = KeyRef::new(b"later", trailer(versions, ValueKind::Put));
            assert_eq!(iterator.key(), later, "from {from} of {versions} versions");
            iterator.next_key(b"later").unwrap();
            assert!(!iterator.valid(), "from {from} of {versions} versions");
        }
    }
}

/// NODE-4.
#[test]
fn every_shape_of_keys_reads_as_a_btreemap_does() {
    for keys in ALL_KEYS {
        for seed in 0..3 {
            println!("{keys:?} seed {seed}");
            let mut random = Random::new(seed);
            let steps = [300, 3_000, 10_000][seed as usize];
            let memtable = Arc::new(Memtable::new(1 << 20));
            let mut model = Model::new();
            for step in 0..steps {
                insert_one(&memtable, &mut model, keys, &mut random, step);
            }
            check_gets(&memtable, &model, keys, &mut random, steps);
            assert_eq!(memtable.entries(), model.len() as u64);

            let mut iterator = memtable.iter();
            iterator.seek_to_first().unwrap();
            for expected in &model {
                same(&iterator, Some(expected));
                iterator.next().unwrap();
            }
            assert!(!iterator.valid());
            iterator.seek_to_last().unwrap();
            for expected in model.iter().rev() {
                same(&iterator, Some(expected));
                iterator.prev().unwrap();
            }
            assert!(!iterator.valid());
        }
    }
}

/// Walks at random and compares with the model after every move; `insert` in a hundred moves insert instead.
fn walk(keys: Keys, seed: u64, moves: usize, insert: usize) {
    println!("walk({keys:?}, {seed}, {moves}, {insert})");
    let mut random = Random::new(seed ^ 0x5eed);
    let memtable = Arc::new(Memtable::new(64 << 10));
    let mut model = Model::new();
    let mut step = 0;
    while step < 1_000 {
        insert_one(&memtable, &mut model, keys, &mut random, step);
        step += 1;
    }
    let mut iterator = memtable.iter();
    let mut forward = true;
    for _ in 0..moves {
        if random.index(100) < insert {
            insert_one(&memtable, &mut model, keys, &mut random, step);
            step += 1;
            continue;
        }
        if random.index(20) == 0 {
            forward = !forward;
        }
        let action = random.index(100);
        if action >= 8 && iterator.valid() {
            let at = iterator.key();
            let at = (at.user_key.to_vec(), Reverse(at.trailer));
            if forward && random.index(4) == 0 {
                iterator.next_key(&at.0).unwrap();
                let behind = Bound::Excluded((at.0, Reverse(Trailer::OLDEST)));
                same(&iterator, model.range((behind, Bound::Unbounded)).next());
            } else if forward {
                iterator.next().unwrap();
                same(
                    &iterator,
                    model.range((Bound::Excluded(at), Bound::Unbounded)).next(),
                );
            } else {
                iterator.prev().unwrap();
                same(&iterator, model.range(..at).next_back());
            }
            continue;
        }
        let target_step = random.next() % step;
        let key = keys.draw(&mut random, target_step);
        let trailer = match random.index(3) {
            0 => Trailer::NEWEST,
            1 => Trailer::OLDEST,
            _ => trailer(random.next() % (step + 2), ValueKind::Put),
        };
        let target = (key.clone(), Reverse(trailer));
        match action % 4 {
            0 => {
                iterator.seek(KeyRef::new(&key, trailer)).unwrap();
                same(&iterator, model.range(target..).next());
            }
            1 => {
                iterator.seek_for_prev(KeyRef::new(&key, trailer)).unwrap();
                same(&iterator, model.range(..=target).next_back());
            }
            2 => {
                iterator.seek_to_first().unwrap();
                same(&iterator, model.iter().next());
            }
            _ => {
                iterator.seek_to_last().unwrap();
                same(&iterator, model.iter().next_back());
            }
        }
    }
}

#[test]
fn a_random_walk_goes_as_in_a_btreemap() {
    for keys in ALL_KEYS {
        for seed in 0..3 {
            walk(keys, seed, 6_000, 0);
        }
    }
}

/// MEMTABLE-6, LEAF-1.
#[test]
fn a_random_walk_between_inserts_goes_as_in_a_btreemap() {
    for keys in ALL_KEYS {
        for seed in 0..3 {
            walk(keys, seed, 6_000, 30);
        }
    }
}

#[test]
fn large_records_keep_their_bytes() {
    let memtable = Memtable::new(64 << 10);
    let key = vec![7u8; 5 << 20];
    let value = vec![9u8; 20 << 20];
    memtable
        .insert(&key, trailer(1, ValueKind::Put), &value)
        .unwrap();
    memtable
        .insert(&key[1..], trailer(2, ValueKind::Put), b"v")
        .unwrap();
    let (_, found) = memtable.get(&key, Trailer::NEWEST).unwrap();
    assert!(found == value);
    let (_, found) = memtable.get(&key[1..], Trailer::NEWEST).unwrap();
    assert_eq!(found, b"v");
    assert!(memtable.memory() >= 30 << 20 && memtable.memory() < 31 << 20);
}

#[test]
fn memory_is_what_the_allocator_gave_within_a_tenth() {
    // A thread's first use of the skip list allocates memory that belongs to the thread.
    let first = Memtable::new(0);
    first
        .insert(b"k", trailer(1, ValueKind::Put), b"v")
        .unwrap();
    drop(first);
    for (limit, value_bytes, keys) in [
        (64 << 10, 20, Keys::Digits),
        (1 << 20, 0, Keys::Binary),
        (4 << 20, 1_000, Keys::Digits),
        (16 << 20, 100, Keys::Ascending),
        (64 << 20, 100, Keys::Digits),
        (64 << 20, 40_000, Keys::Digits),
    ] {
        let mut random = Random::new(11);
        let value = vec![1u8; value_bytes];
        // Counts only what the memtable's own calls allocate, not what they free: that may be memory that threads of
        // other tests left with their epochs.
        let before = allocated_and_freed().0;
        let memtable = Box::new(Memtable::new(limit));
        let mut held = allocated_and_freed().0 - before;
        let mut last = memtable.memory();
        let mut step = 0;
        while last < limit {
            let key = keys.draw(&mut random, step);
            step += 1;
            let before = allocated_and_freed().0;
            memtable
                .insert(&key, trailer(step, ValueKind::Put), &value)
                .unwrap();
            held += allocated_and_freed().0 - before;
            assert!(memtable.memory() >= last, "MEMTABLE-3: memory shrank");
            last = memtable.memory();
        }
        let before = allocated_and_freed().1;
        drop(memtable);
        // A hundredth may belong to the epochs of threads that have ended, because an insert may put it on their
        // list.
        assert!(
            allocated_and_freed().1 - before >= held - held / 100,
            "not all memory was given back"
        );
        let (said, held) = (last as f64, held as f64);
        println!(
            "limit {limit}, values of {value_bytes}: says {said}, held {held}, {step} entries"
        );
        assert!(
            (said - held).abs() <= 0.1 * held,
            "MEMTABLE-3: says {said}, held {held}"
        );
    }
}

#[test]
fn an_empty_memtable_says_what_it_and_its_filter_take() {
    let memtable = Memtable::new(1 << 20);
    // The filter is a sixty-fourth of the write buffer.
    let own = size_of::<Memtable>() + (16 << 10);
    assert_eq!(memtable.memory() - memtable.index.memory(), own);
}

#[test]
fn spare_chunks_are_freed_when_they_are_cleared_and_with_whoever_has_them_last() {
    for is_cleared in [false, true] {
        let before = allocated_and_freed();
        let spare = Arena::spare_chunks(1 << 20, 1 << 20);
        let arena = Arena::new(1 << 20, Arc::clone(&spare));
        while arena.memory() < 1_000_000 {
            let trailer = trailer(1, ValueKind::Put);
            arena.write(b"key", trailer, &[1; 1000]).unwrap();
        }
        drop(arena);
        let kept = spare.bytes();
        assert!(kept > 200_000);
        let freed = allocated_and_freed().1;
        if is_cleared {
            spare.clear();
            assert!(allocated_and_freed().1 - freed >= kept);
        }
        drop(spare);
        let after = allocated_and_freed();
        assert_eq!(after.1 - before.1, after.0 - before.0);
    }
}

/// Readers run beside writers and check that published entries are there, whole and in order.
///
/// Writer `w` inserts keys of its own shape in a random order; the value repeats key and number. After an insert it
/// publishes its count. A reader takes the counts first, and must then find everything that they cover.
fn stress(seed: u64, writers: u64, keys: u64, hot: bool) {
    println!("stress({seed}, {writers}, {keys}, {hot})");
    let memtable = Arc::new(Memtable::new(64 << 20));
    let published: Vec<AtomicU64> = (0..writers).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    // Each writer's order of inserts is a bijection of 0..2^k.
    let key_of = |writer: u64, index: u64| -> Vec<u8> {
        if hot {
            return vec![b'h', (index % 7) as u8];
        }
        let scattered = index.wrapping_mul(0x9e37_79b1) % keys.next_power_of_two();
        let number = if seed.is_multiple_of(2) {
            scattered
        } else {
            index
        };
        format!("user{number:012}-{writer}").into_bytes()
    };
    let sequence_of = |writer: u64, index: u64| index * writers + writer + 1;
    let value_of = |key: &[u8], sequence: u64| {
        let mut value = key.to_vec();
        value.extend_from_slice(&sequence.to_le_bytes());
        value
    };
    std::thread::scope(|scope| {
        let mut inserting = Vec::new();
        for writer in 0..writers {
            let (memtable, published) = (&memtable, &published);
            inserting.push(scope.spawn(move || {
                for index in 0..keys {
                    let key = key_of(writer, index);
                    let sequence = sequence_of(writer, index);
                    let value = value_of(&key, sequence);
                    let trailer = trailer(sequence, ValueKind::Put);
                    memtable.insert(&key, trailer, &value).unwrap();
                    published[writer as usize].store(index + 1, Release);
                }
            }));
        }
        for reader in 0..2u64 {
            let (memtable, published, done) = (&memtable, &published, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed * 31 + reader);
                loop {
                    let last_round = done.load(Acquire);
                    let counts: Vec<u64> =
                        published.iter().map(|count| count.load(Acquire)).collect();
                    for _ in 0..200 {
                        let writer = random.next() % writers;
                        let count = counts[writer as usize];
                        if count == 0 {
                            continue;
                        }
                        let index = random.next() % count;
                        let (key, sequence) = (key_of(writer, index), sequence_of(writer, index));
                        let found = memtable.get(&key, trailer(sequence, ValueKind::Put));
                        let (found_trailer, value) =
                            found.expect("MEMTABLE-1: a published entry is lost");
                        assert_eq!(found_trailer, trailer(sequence, ValueKind::Put));
                        assert_eq!(value, value_of(&key, sequence));
                    }
                    let mut iterator = memtable.iter();
                    if (random.next() + reader).is_multiple_of(2) {
                        iterator.seek_to_first().unwrap();
                        check_scan(&mut iterator, &counts, writers, true);
                    } else {
                        iterator.seek_to_last().unwrap();
                        check_scan(&mut iterator, &counts, writers, false);
                    }
                    if last_round {
                        break;
                    }
                }
            });
        }
        for thread in inserting {
            thread.join().unwrap();
        }
        done.store(true, Release);
    });
    assert_eq!(memtable.entries(), writers * keys);
}

/// Walks to the end; every step must be strictly in order, whole, and all of `counts` must have been seen.
fn check_scan(iterator: &mut MemtableIterator, counts: &[u64], writers: u64, forward: bool) {
    let mut seen = vec![0u64; counts.len()];
    let mut last: Option<(Vec<u8>, Trailer)> = None;
    let mut steps = 0u64;
    while iterator.valid() {
        let key = iterator.key();
        if let Some((last_key, last_trailer)) = &last {
            let last_key = KeyRef::new(last_key, *last_trailer);
            let in_order = if forward {
                last_key < key
            } else {
                last_key > key
            };
            assert!(in_order, "{last_key:?} then {key:?}");
        }
        let sequence = key.trailer.sequence().0;
        let value = iterator.value();
        assert_eq!(&value[..key.user_key.len()], key.user_key);
        assert_eq!(&value[key.user_key.len()..], sequence.to_le_bytes());
        let (writer, index) = ((sequence - 1) % writers, (sequence - 1) / writers);
        if index < counts[writer as usize] {
            seen[writer as usize] += 1;
        }
        last = Some((key.user_key.to_vec(), key.trailer));
        // Turning around and back again must return to the same entry.
        steps += 1;
        if steps.is_multiple_of(97) {
            let here = last.clone().unwrap();
            let turned = if forward {
                iterator.prev()
            } else {
                iterator.next()
            };
            turned.unwrap();
            let here_key = KeyRef::new(&here.0, here.1);
            let before = if forward {
                Ordering::Less
            } else {
                Ordering::Greater
            };
            while iterator.valid() && iterator.key().cmp(&here_key) == before {
                let back = if forward {
                    iterator.next()
                } else {
                    iterator.prev()
                };
                back.unwrap();
            }
            if !iterator.valid() {
                // The entry was the first in this direction, so there was no entry to turn to.
                iterator.seek(here_key).unwrap();
            }
            assert_eq!(iterator.key(), here_key);
        }
        let step = if forward {
            iterator.next()
        } else {
            iterator.prev()
        };
        step.unwrap();
    }
    assert_eq!(seen, counts, "MEMTABLE-1: a scan missed published entries");
}

#[test]
fn readers_beside_writers_see_all_that_was_published() {
    for (seed, writers) in [(0, 2), (1, 2), (2, 4), (3, 3)] {
        stress(seed, writers, 20_000, false);
    }
}

#[test]
fn readers_beside_writers_of_few_keys_see_every_version() {
    for (seed, writers) in [(4, 2), (5, 3)] {
        stress(seed, writers, 10_000, true);
    }
}
