//! Both caches, over real tables in memory.

use std::path::{Path, PathBuf};

use aidb_test_data::{Random, Sizes};

use super::*;
use crate::compression::Compression;
use crate::env::{Call, Env, Fault, FaultEnv, MemEnv};
use crate::error::ErrorKind;
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, KeyspaceId, SequenceNumber, Trailer, ValueKind};
use crate::sstable::{Block, BlockCache, Builder, Table, TableOptions};
use crate::sync::Arc;

const DIR: &str = "/db";
/// The number of entries of each table; each has its own block.
const BLOCKS: u64 = 100;

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// A table of [`BLOCKS`] blocks of about 1 KiB.
fn build(env: &MemEnv, number: u64) -> Arc<TableHandle> {
    env.create_dir_all(Path::new(DIR)).unwrap();
    let path = table_path(Path::new(DIR), FileNumber(number));
    let options = TableOptions {
        block_size: 512,
        compression: Compression::None,
        ..TableOptions::default()
    };
    let file = env.create_new(&path).unwrap();
    let mut builder = Builder::new(file, path, number, options).unwrap();
    for entry in 0..BLOCKS {
        let trailer = Trailer::new(SequenceNumber(entry + 1), ValueKind::Put);
        let value = vec![number as u8; 1000];
        builder
            .add(KeyRef::new(&key(entry), trailer), &value)
            .unwrap();
    }
    let size = builder.finish().unwrap().file_size;
    TableHandle::new(KeyspaceId::DEFAULT, FileNumber(number), number, size)
}

fn open(env: &MemEnv, number: u64, cache: &Arc<BlockCache>) -> Arc<Table> {
    let handle = build(env, number);
    let path = table_path(Path::new(DIR), FileNumber(number));
    let table = Table::open(env, &path, number, handle.size, Arc::clone(cache)).unwrap();
    assert_eq!(table.blocks() as u64, BLOCKS);
    table
}

fn read(table: &Table, entry: u64, fill_cache: bool) {
    let found = table.get(&key(entry), Trailer::NEWEST, fill_cache);
    assert_eq!(found.unwrap().unwrap().1.len(), 1000);
}

#[test]
fn reads_fill_the_cache_up_to_its_capacity_and_no_further() {
    let env = MemEnv::new();
    let cache = BlockCache::new(50_000);
    let tables: Vec<_> = (1..4).map(|number| open(&env, number, &cache)).collect();
    for round in 0..3 {
        for entry in 0..BLOCKS {
            for table in &tables {
                read(table, entry, true);
                let stats = cache.stats();
                assert!(stats.used <= 50_000, "CACHE-1, round {round}");
            }
        }
    }
    let stats = cache.stats();
    assert!(
        stats.used > 45_000,
        "the capacity is made use of: {stats:?}"
    );
    assert_eq!(stats.hits + stats.misses, 3 * 3 * BLOCKS);
    assert_eq!(stats.inserts + stats.passed, stats.misses);
    assert!(stats.passed > 0, "it was full: {stats:?}");
    assert_eq!(stats.inserts - stats.evictions, stats.blocks as u64);
    assert_eq!((stats.pinned, stats.refused), (0, 0));
    drop(tables);
    let stats = cache.stats();
    assert_eq!(
        (stats.used, stats.pinned, stats.blocks),
        (0, 0, 0),
        "CACHE-3"
    );
}

/// One byte of entries, one restart point, and the count of restart points.
const MIN_BYTES: usize = 9;

/// A stored block of `bytes` bytes with one restart point; its entries make no sense.
fn block(cache: &BlockCache, bytes: usize) -> Block {
    let mut raw = vec![0; bytes - 4];
    raw.extend_from_slice(&1u32.to_le_bytes());
    Block::unchecked(raw, cache.gauge()).unwrap()
}

#[test]
fn a_shift_of_block_sizes_takes_no_more_memory_than_the_cache_may_have() {
    // Blocks of one size fill the slabs. Blocks of another size find no piece until whole pages have become empty.
    const CAPACITY: usize = 32 << 20;
    let cache = BlockCache::new(CAPACITY);
    let mut random = Random::new(3);
    let odd = Sizes::new(20 << 10, 1_000);
    let mut most = 0;
    let mut phases = Vec::new();
    for bytes in [1_000, 3_000, 9_000, 1_500] {
        let blocks = 4 * CAPACITY / bytes;
        let slots = cache.slots(blocks).unwrap();
        for number in 0..blocks {
            // A full cache admits at the second miss.
            let bytes = match random.one_in(16) {
                true => random.size(&odd).max(MIN_BYTES),
                false => bytes,
            };
            for _ in 0..2 {
                cache.insert(&slots, number, block(&cache, bytes));
            }
            if let Some(block) = &*slots.load(random.index(number + 1)) {
                // Some stay longer than others, so that pages do not become empty in turn.
                block.touch();
            }
            most = most.max(cache.stats().used + cache.gauge().unused());
        }
        let stats = cache.stats();
        assert!(stats.used <= CAPACITY, "CACHE-1");
        assert!(
            stats.used > CAPACITY / 2,
            "blocks of {bytes} bytes take the others' place: {stats:?}"
        );
        phases.push(slots);
    }
    // The blocks' places in rings count in `used`, and their number changes with the sizes.
    let limit = CAPACITY + CAPACITY / 16 + CAPACITY / 32;
    assert!(most <= limit, "CACHE-7: {most}");
    assert!(cache.stats().refused > 0, "no size ever lacked pieces");
    for slots in &phases {
        cache.release(slots);
    }
}

#[test]
fn a_scan_without_fill_cache_uses_cached_blocks_and_adds_none() {
    let env = MemEnv::new();
    let cache = BlockCache::new(1 << 20);
    let table = open(&env, 1, &cache);
    for entry in (0..10).flat_map(|entry| [entry, entry]) {
        read(&table, entry, true);
    }
    let before = cache.stats();
    for readahead in [0, 64 << 10] {
        let mut iterator = table.iter(false, readahead);
        iterator.seek_to_first().unwrap();
        let mut entries = 0;
        while iterator.valid() {
            entries += 1;
            iterator.next().unwrap();
        }
        assert_eq!(entries, BLOCKS);
    }
    let after = cache.stats();
    assert_eq!(after.inserts, 10);
    assert_eq!(after.hits - before.hits, 2 * 10);
    assert_eq!(after.misses - before.misses, 2 * (BLOCKS - 10));
}

#[test]
fn a_block_that_is_hit_again_and_again_stays() {
    let env = MemEnv::new();
    let cache = BlockCache::new(40_000);
    let table = open(&env, 1, &cache);
    (0..2).for_each(|_| read(&table, 0, true));
    for round in 0..20 {
        for entry in (1..BLOCKS).flat_map(|entry| [entry, entry]) {
            read(&table, entry, true);
            assert!(
                table.cached_block(0).unwrap().is_some(),
                "round {round}, entry {entry}"
            );
        }
    }
    assert!(cache.stats().evictions > 1000);
}

#[test]
fn a_full_cache_admits_a_block_at_its_second_miss_if_that_comes_soon() {
    let env = MemEnv::new();
    let cache = BlockCache::new(40_000);
    let [table, other] = [1, 2].map(|number| open(&env, number, &cache));
    (0..BLOCKS).for_each(|entry| read(&table, entry, true));
    let there = |entry| table.is_cached(entry as usize);
    let first: Vec<_> = (0..BLOCKS).filter(|&entry| there(entry)).collect();
    assert_eq!(first, (0..first.len() as u64).collect::<Vec<_>>());
    assert_eq!(cache.stats().evictions, 0);

    // Rounds over much more than the cache holds. The blocks that are there stay, except a few: those make room for
    // larger flat forms of others, or for blocks of the first round that come again early in the second.
    for table in (0..10).flat_map(|_| [&table, &other]) {
        (0..BLOCKS).for_each(|entry| read(table, entry, true));
    }
    let stats = cache.stats();
    assert!(stats.evictions <= 15, "{stats:?}");
    assert!(stats.hits >= 9 * first.len() as u64, "{stats:?}");

    // Two misses in short succession.
    let late = BLOCKS - 1;
    read(&table, late, true);
    read(&table, late - 5, true);
    assert!(!there(late));
    read(&table, late, true);
    assert!(there(late));

    // A new set of blocks that fits is there after two rounds, whichever blocks were hit before.
    let set = || BLOCKS / 2..BLOCKS / 2 + 20;
    (0..3).for_each(|_| set().for_each(|entry| read(&table, entry, true)));
    assert!(set().all(there));
}

#[test]
fn a_block_larger_than_the_capacity_is_not_admitted_but_read() {
    let env = MemEnv::new();
    for capacity in [0, 1000] {
        let cache = BlockCache::new(capacity);
        let table = open(&env, 1 + capacity as u64, &cache);
        read(&table, 5, true);
        read(&table, 5, true);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.refused), (0, 2, 2));
        assert_eq!((stats.used, stats.pinned), (0, 0));
    }
}

#[test]
fn evicted_blocks_that_are_still_held_are_counted_as_pinned() {
    let env = MemEnv::new();
    let cache = BlockCache::new(10_000);
    let table = open(&env, 1, &cache);
    read(&table, 7, true);
    let (_, value) = table.get(&key(7), Trailer::NEWEST, true).unwrap().unwrap();
    assert_eq!(cache.stats().pinned, 0);
    for entry in (20..BLOCKS).flat_map(|entry| [entry; 4]) {
        read(&table, entry, true);
    }
    assert!(!table.is_cached(7));
    assert_eq!(cache.stats().pinned, value.pinned_bytes());
    assert_eq!(value[0], 1, "TABLE-7: the value outlives the eviction");
    drop(value);
    assert_eq!(cache.stats().pinned, 0);
}

/// BLOCK-6.
#[test]
fn the_block_under_a_cursor_stays_where_it_is_when_the_cache_evicts_it() {
    let env = MemEnv::new();
    let cache = BlockCache::new(10_000);
    let table = open(&env, 1, &cache);
    for _ in 0..2 {
        read(&table, 7, true);
    }
    let mut cursor = table.iter(true, 0);
    let wanted = key(7);
    cursor.seek(KeyRef::new(&wanted, Trailer::NEWEST)).unwrap();
    let value = cursor.value().as_ptr_range();
    assert!(table.is_cached(7));
    for entry in (20..BLOCKS).flat_map(|entry| [entry; 4]) {
        read(&table, entry, true);
    }
    assert!(!table.is_cached(7));
    assert_eq!(cursor.value().as_ptr_range(), value);
    assert_eq!(cursor.key().user_key, wanted);
    assert_eq!(cursor.value(), [1; 1000]);
    cursor.next().unwrap();
    assert_eq!(cursor.key().user_key, key(8));
}

/// CACHE-4.
#[cfg(not(shuttle))]
#[test]
fn no_part_of_the_cache_is_locked_while_a_file_is_read() {
    use crate::sync::atomic::{AtomicUsize, Ordering};

    let env = MemEnv::new();
    let cache = BlockCache::new(20_000);
    let handle = build(&env, 1);
    let faulty = FaultEnv::new(Arc::new(env), 0);
    let reads = Arc::new(AtomicUsize::new(0));
    faulty.set_hook(Some(Arc::new({
        let (cache, reads) = (Arc::clone(&cache), Arc::clone(&reads));
        move |call, _: &Path| {
            assert!(!cache.is_locked(), "CACHE-4: {call:?}");
            reads.fetch_add(usize::from(call == Call::Read), Ordering::Relaxed);
        }
    })));
    let path = table_path(Path::new(DIR), handle.number);
    let table = Table::open(&faulty, &path, 1, handle.size, Arc::clone(&cache)).unwrap();
    for entry in (0..BLOCKS).flat_map(|entry| [entry; 3]) {
        read(&table, entry, true);
    }
    let mut cursor = table.iter(true, 64 << 10);
    cursor.seek_to_first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
    assert!(cache.stats().evictions > 0 && cache.stats().inserts > 0);
    assert!(reads.load(Ordering::Relaxed) as u64 > BLOCKS);
}

#[test]
fn threads_share_a_small_cache_while_tables_come_and_go() {
    let env = MemEnv::new();
    let cache = BlockCache::new(60_000);
    let shared = open(&env, 1, &cache);
    let handles: Vec<_> = (2..6).map(|number| build(&env, number)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (env, cache, shared, handles) = (&env, &cache, &shared, &handles);
            scope.spawn(move || {
                let handle = &handles[thread as usize];
                let path = table_path(Path::new(DIR), handle.number);
                for round in 0..60 {
                    let id = handle.file_id;
                    let cache = Arc::clone(cache);
                    let own = Table::open(env, &path, id, handle.size, cache).unwrap();
                    for step in 0..60 {
                        let entry = (step * 37 + round * 11 + thread) % BLOCKS;
                        read(shared, entry, true);
                        read(&own, entry, true);
                    }
                }
            });
        }
    });
    let stats = cache.stats();
    assert!(stats.used <= 60_000);
    assert_eq!(stats.blocks, shared.slots_in_use(), "CACHE-2, CACHE-3");
    drop(shared);
    let stats = cache.stats();
    assert_eq!((stats.used, stats.pinned, stats.blocks), (0, 0, 0));
}

fn table_cache(env: &MemEnv, max_open_files: usize) -> Arc<TableCache> {
    let env: Arc<dyn Env> = Arc::new(env.clone());
    TableCache::new(
        env,
        PathBuf::from(DIR),
        BlockCache::new(1 << 20),
        max_open_files,
    )
}

#[test]
fn at_most_so_many_tables_are_open_and_used_ones_stay() {
    let env = MemEnv::new();
    let handles: Vec<_> = (1..11).map(|number| build(&env, number)).collect();
    let tables = table_cache(&env, 4);
    for round in 0..3 {
        for handle in &handles[1..] {
            let table = tables.get(handle).unwrap();
            read(&table, 3, true);
            drop(table);
            read(&tables.get(&handles[0]).unwrap(), 4, true);
            let open = handles.iter().filter(|handle| handle.is_open()).count();
            assert!(open <= 4, "TABLECACHE-1, round {round}: {open}");
            assert_eq!(tables.stats().open, open);
        }
    }
    let stats = tables.stats();
    assert_eq!(stats.opens, 1 + 3 * 9, "table 1 was opened once: {stats:?}");
    assert!(stats.memory > 4 * 1000);
}

#[test]
fn the_hand_closes_the_first_table_that_was_not_used_since_it_passed() {
    let env = MemEnv::new();
    let handles: Vec<_> = (0..8).map(|number| build(&env, number + 1)).collect();
    let tables = table_cache(&env, 3);
    let mut closed = Vec::new();
    for (number, handle) in handles.iter().enumerate() {
        let open = |handles: &[Arc<TableHandle>]| -> Vec<usize> {
            (0..number)
                .filter(|&other| handles[other].is_open())
                .collect()
        };
        let before = open(&handles);
        tables.get(handle).unwrap();
        let after = open(&handles);
        closed.extend(before.into_iter().filter(|other| !after.contains(other)));
    }
    // Opening counts as a use, so the hand goes around once before it closes the first table. The last table takes
    // the place of a closed one and gets its turn earlier, so 4 is closed before 3.
    assert_eq!(closed, [0, 1, 2, 4, 3]);
}

#[test]
fn room_is_made_before_a_table_is_opened_and_no_more_than_that() {
    let env = MemEnv::new();
    let handles: Vec<_> = (1..4).map(|number| build(&env, number)).collect();
    for (most, open) in [(3, 2), (4, 3)] {
        let tables = table_cache(&env, most);
        for handle in &handles {
            tables.get(handle).unwrap();
        }
        let missing = TableHandle::new(KeyspaceId::DEFAULT, FileNumber(9), 9, handles[0].size);
        assert!(tables.open(&missing).is_err());
        assert_eq!(tables.stats().open, open, "TABLECACHE-1: of {most}");
        handles.iter().for_each(|handle| tables.evict(handle));
    }
}

#[test]
fn every_table_is_closed_where_the_process_may_open_no_more_files() {
    let env = MemEnv::new();
    let handles: Vec<_> = (1..4).map(|number| build(&env, number)).collect();
    let faulty = FaultEnv::new(Arc::new(env), 0);
    let blocks = BlockCache::new(0);
    let tables = TableCache::new(Arc::new(faulty.clone()), PathBuf::from(DIR), blocks, 10);
    for handle in &handles[..2] {
        tables.get(handle).unwrap();
    }
    faulty.inject(Fault::new(&[Call::Open], libc::EMFILE));
    tables.get(&handles[2]).unwrap();
    assert_eq!(faulty.injected(), 1);
    assert_eq!(tables.stats().open, 1, "TABLECACHE-4");
}

#[test]
fn a_closed_table_lives_on_in_its_iterator() {
    let env = MemEnv::new();
    let handle = build(&env, 1);
    let tables = table_cache(&env, 1);
    let table = tables.open(&handle).unwrap();
    let mut iterator = table.iter(true, 0);
    drop(table);
    tables.evict(&handle);
    assert!(!handle.is_open());
    assert_eq!(tables.stats().open, 0);
    iterator.seek_to_first().unwrap();
    assert_eq!(iterator.key().user_key, key(0));
    drop(iterator);
    read(&tables.get(&handle).unwrap(), 0, true);
    assert_eq!(tables.stats().opens, 2);
}

#[test]
fn a_table_that_an_iterator_still_uses_is_not_opened_a_second_time() {
    let env = MemEnv::new();
    let handle = build(&env, 1);
    let tables = table_cache(&env, 1);
    let iterator = tables.open(&handle).unwrap().iter(true, 0);
    tables.evict(&handle);
    read(&tables.get(&handle).unwrap(), 0, true);
    assert_eq!(
        tables.stats().opens,
        1,
        "TABLECACHE-1: one descriptor serves both"
    );
    drop(iterator);
    tables.evict(&handle);
    read(&tables.get(&handle).unwrap(), 0, true);
    assert_eq!(tables.stats().opens, 2);
}

#[test]
fn a_dropped_handle_closes_its_table_and_makes_room() {
    let env = MemEnv::new();
    let tables = table_cache(&env, 2);
    for number in 1..20 {
        let handle = build(&env, number);
        read(&tables.get(&handle).unwrap(), 0, true);
    }
    assert_eq!(tables.stats().open, 0, "TABLECACHE-3");
}

#[test]
fn threads_open_a_table_once() {
    let env = MemEnv::new();
    let handles: Vec<_> = (1..9).map(|number| build(&env, number)).collect();
    let tables = table_cache(&env, 100);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for handle in &handles {
                    read(&tables.get(handle).unwrap(), 9, true);
                }
            });
        }
    });
    assert_eq!(tables.stats().opens, 8, "TABLECACHE-2");
    // Even with room for only two, every answer is right.
    let tables = table_cache(&env, 2);
    let handles: Vec<_> = handles
        .iter()
        .map(|handle| {
            TableHandle::new(
                KeyspaceId::DEFAULT,
                handle.number,
                handle.file_id,
                handle.size,
            )
        })
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (handles, tables) = (&handles, &tables);
            scope.spawn(move || {
                for step in 0..200 {
                    let handle = &handles[(step * 5 + thread) % 8];
                    read(&tables.get(handle).unwrap(), step as u64 % BLOCKS, true);
                }
            });
        }
    });
    assert!(tables.stats().open <= 2);
}

#[test]
fn a_missing_or_foreign_table_is_an_error_and_is_tried_again() {
    let env = MemEnv::new();
    let handle = build(&env, 1);
    let tables = table_cache(&env, 2);
    let missing = TableHandle::new(KeyspaceId::DEFAULT, FileNumber(2), 2, handle.size);
    assert!(tables.open(&missing).is_err());
    let foreign = TableHandle::new(KeyspaceId::DEFAULT, FileNumber(1), 99, handle.size);
    let error = tables.open(&foreign).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    let path = table_path(Path::new(DIR), FileNumber(1));
    let moved = table_path(Path::new(DIR), FileNumber(2));
    env.rename(&path, &moved).unwrap();
    let found = TableHandle::new(KeyspaceId::DEFAULT, FileNumber(2), 1, handle.size);
    assert!(tables.open(&found).is_ok());
    assert!(tables.open(&handle).is_err());
}

/// FILE-4.
#[test]
fn a_table_of_another_keyspace_is_damage() {
    let env = MemEnv::new();
    env.create_dir_all(Path::new(DIR)).unwrap();
    let tables = table_cache(&env, 2);
    for own in [0, 7] {
        let (number, keyspace) = (FileNumber(own + 1), KeyspaceId(own));
        let path = table_path(Path::new(DIR), number);
        let options = TableOptions {
            keyspace,
            ..TableOptions::default()
        };
        let file = env.create_new(&path).unwrap();
        let mut builder = Builder::new(file, path, number.0, options).unwrap();
        let trailer = Trailer::new(SequenceNumber(1), ValueKind::Put);
        builder.add(KeyRef::new(b"key", trailer), b"value").unwrap();
        let size = builder.finish().unwrap().file_size;
        for said in [0, 7, 8] {
            let handle = TableHandle::new(KeyspaceId(said), number, number.0, size);
            match tables.open(&handle) {
                Ok(_) => assert_eq!(said, own),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                    assert!(
                        said != own && error.message().contains("keyspace"),
                        "{error}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_block_that_is_hit_again_takes_its_flat_form_and_the_bound_holds() {
    let env = MemEnv::new();
    for capacity in [8_000, 30_000, 1 << 20] {
        let cache = BlockCache::new(capacity);
        let table = open(&env, 1 + capacity as u64, &cache);
        for round in 0..4 {
            for entry in (0..BLOCKS).chain((0..BLOCKS).rev()) {
                read(&table, entry, true);
                assert!(cache.stats().used <= capacity, "CACHE-1, round {round}");
            }
        }
        let flat = (0..table.blocks()).filter(|&number| {
            let block = table.cached_block(number).unwrap();
            block.is_some_and(|block| !block.may_flatten())
        });
        assert!(flat.count() >= 5, "of {capacity} bytes");
        assert_eq!(cache.stats().blocks, table.slots_in_use(), "CACHE-2");
        drop(table);
        let stats = cache.stats();
        assert_eq!(
            (stats.used, stats.pinned, stats.blocks),
            (0, 0, 0),
            "CACHE-3"
        );
    }
}

#[test]
fn a_scan_longer_than_the_cache_drives_nobody_out() {
    let env = MemEnv::new();
    let cache = BlockCache::new(40_000);
    let tables = [open(&env, 1, &cache), open(&env, 2, &cache)];
    for _ in 0..2 {
        (0..30).for_each(|entry| read(&tables[0], entry, true));
    }
    let before = cache.stats();
    let scan = || {
        let mut iterator = tables[1].iter(true, 64 << 10);
        iterator.seek_to_first().unwrap();
        while iterator.valid() {
            iterator.next().unwrap();
        }
        iterator
    };
    let iterator = scan();
    let once = cache.stats();
    assert_eq!(once.misses - before.misses, BLOCKS);
    assert_eq!(
        once.blocks, before.blocks,
        "a block that is read once takes no room"
    );
    assert!(
        once.pinned >= 30 << 10,
        "TABLE-8: the memory that it holds is counted"
    );
    drop(iterator);
    assert_eq!(cache.stats().pinned, 0);
    drop(scan());
    let after = cache.stats();
    // The first one or two blocks are read one by one, until it is known to be a scan.
    assert!(after.evictions - before.evictions <= 2);
    assert!(after.blocks > before.blocks, "the free room is used");
    let there = (0..30).filter(|&number| tables[0].is_cached(number));
    assert!(there.count() >= 28);
}
