//! The constants of the engine at which code takes another way.
//!
//! To add one, write a row here, with the file below `core/src` that defines it. Every random test that can afford
//! sizes and counts near it then draws them. `tests/documents/constants.rs` fails while a constant is neither here nor
//! in its list of constants that change no path, and if a value here differs from the constant's.

/// The unit of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of a key, a value, or something made of them.
    Bytes,
    /// Entries, operations, versions, fragments.
    Count,
}

/// A number at which code takes another way.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// The constant, or a description if no constant has the number.
    pub name: &'static str,
    /// The file below `core/src`; empty if no constant has the number.
    pub file: &'static str,
    /// The number.
    pub value: u64,
    /// The unit.
    pub unit: Unit,
}

const fn bytes(file: &'static str, name: &'static str, value: u64) -> Threshold {
    Threshold {
        name,
        file,
        value,
        unit: Unit::Bytes,
    }
}

const fn count(file: &'static str, name: &'static str, value: u64) -> Threshold {
    Threshold {
        name,
        file,
        value,
        unit: Unit::Count,
    }
}

/// Every threshold; constants first, by file.
pub const THRESHOLDS: &[Threshold] = &[
    bytes(
        "batch.rs",
        "MAX_BATCH_BYTES",
        (1 << 32) - 1 + (16 << 20) + 64,
    ),
    bytes("batch.rs", "MAX_SPARE_BYTES", 4 << 10),
    bytes("memory/slabs.rs", "SLAB_BYTES", 2 << 20),
    bytes("memory/slabs.rs", "PAGE_BYTES", 256 << 10),
    bytes("memory/slabs.rs", "STEP_BYTES", 64),
    bytes("memory/slabs.rs", "MAX_BYTES", 16 << 10),
    bytes("compaction/job.rs", "READAHEAD_BYTES", 256 << 10),
    count("compaction/job/looks.rs", "STOP_ENTRIES", 256),
    bytes("compaction/job/looks.rs", "STOP_BYTES", 1 << 20),
    bytes("compression.rs", "MAX_COMPRESSED_BYTES", 16 << 20),
    bytes("db/trust/checkpoint.rs", "COPY_BYTES", 1 << 20),
    bytes("db/tree/flush.rs", "MIN_COUNTED_BYTES", 1 << 20),
    bytes("db/read/source.rs", "READAHEAD_BYTES", 256 << 10),
    bytes("db/value.rs", "COPIED_BYTES", 512),
    bytes("db/value.rs", "INLINE_BYTES", 118),
    bytes("db/trust/verify/mod.rs", "REPORT_BYTES", 1 << 20),
    bytes(
        "db/trust/verify/reads/mod.rs",
        "SAMPLED_VALUE_BYTES",
        32 << 10,
    ),
    count("db/tree/early_seals.rs", "SEALED_TOMBSTONES", 1 << 15),
    count("db/commit/watch.rs", "MET_TOMBSTONES", 1 << 13),
    count("db/commit/write.rs", "LOCATED_AHEAD", 8),
    bytes("env/os.rs", "RELEASED_BYTES", 2 << 20),
    bytes("env/unix.rs", "PIECE_BYTES", 64 << 10),
    count("iterator/alarm.rs", "LONG_RUN", 1 << 15),
    count("iterator/mod.rs", "RESEEK_AFTER", 8),
    bytes("key.rs", "MAX_KEY_BYTES", 16 << 20),
    bytes("key.rs", "MAX_VALUE_BYTES", (1 << 32) - 1),
    bytes("memory/door.rs", "LARGE_PIECE_BYTES", 4 << 20),
    bytes("memory/kept_key.rs", "LARGE_KEY_BYTES", 1 << 20),
    bytes("memtable/arena.rs", "MIN_CHUNK_BYTES", 4 << 10),
    bytes("memtable/arena.rs", "MAX_CHUNK_BYTES", 1 << 20),
    bytes("memtable/chunk.rs", "MIN_MAPPED_BYTES", 128 << 10),
    count("memtable/leaf.rs", "STEPS_AHEAD", 4),
    count("memtable/load.rs", "AHEAD", 8),
    count("memtable/node.rs", "SLOTS", 64),
    count("memtable/node.rs", "FREED", 8),
    count("memtable/spare_nodes.rs", "ONE_EACH", 16),
    bytes("memtable/node.rs", "WORTHWHILE_SKIP", 4),
    bytes("sstable/block/form.rs", "LARGE_BYTES", 64 << 10),
    bytes("sstable/block_builder.rs", "MAX_REBUILT_BYTES", 64 << 10),
    bytes("sstable/builder.rs", "WRITE_BYTES", 256 << 10),
    bytes("sstable/builder.rs", "WRITEBACK_BYTES", 1 << 20),
    bytes("sstable/builder.rs", "MAX_KEPT_BYTES", 4 << 20),
    count("sstable/builder.rs", "CHECKED_BLOCKS", 64),
    count("sstable/builder.rs", "CHECKED_KEYS", 1024),
    count("sstable/builder.rs", "CHECKED_BLOCK_IN", 8),
    count("sstable/builder.rs", "CHECKED_KEY_IN", 16),
    bytes("sstable/block/flat.rs", "MAX_MEAN_ENTRY", 1 << 10),
    count("sstable/block/flat.rs", "COUNTED_HEADS", 64),
    bytes("sstable/block/flat_cursor.rs", "STEP_AHEAD_BYTES", 512),
    bytes("sstable/block/flat.rs", "EDGE_BYTES", 512),
    count("sstable/block/flat_cursor.rs", "SEEK_LINES", 8),
    bytes("sstable/block/flat.rs", "REPEATS", 1 << 15),
    bytes("sstable/format/raw_block.rs", "MAX_BLOCK_SIZE", 1 << 28),
    bytes(
        "sstable/format/raw_block.rs",
        "MAX_RAW_BLOCK_BYTES",
        (1 << 32) - 1 + (16 << 20) + (2 << 28) + (1 << 20),
    ),
    count("sstable/index.rs", "SEARCHES", 8),
    count("sstable/index.rs", "GROUP", 16),
    bytes("sstable/iter.rs", "FIRST_READAHEAD", 16 << 10),
    bytes("sstable/iter.rs", "RESTING_BYTES", 4 << 20),
    bytes("sstable/iter.rs", "MAX_RESTING_KEY", 64 << 10),
    bytes("sstable/salvage.rs", "SEARCH_BYTES", 256 << 10),
    bytes("version/bounds.rs", "LONG_BOUND_BYTES", 1024),
    bytes(
        "version/manifest/record.rs",
        "SNAPSHOT_RECORD_BYTES",
        256 << 10,
    ),
    count("version/mod.rs", "TOGETHER", 8),
    bytes("version/set.rs", "MIN_ROLL_BYTES", 1 << 20),
    bytes("wal/fragment.rs", "BLOCK_BYTES", 32 << 10),
    bytes("wal/reader/chunk.rs", "CHUNK_BYTES", 1 << 20),
    count("wal/reader/search.rs", "MAX_IDS", 64),
    bytes("wal/writer.rs", "MAX_WRITE_BYTES", 1 << 20),
    bytes("wal/writer.rs", "WRITEBACK_BYTES", 1 << 20),
    bytes("wal/writer.rs", "PAGE_BYTES", 4 << 10),
    bytes("wal/writer.rs", "ZERO_PIECE_BYTES", 16 << 10),
    bytes("wal/writer.rs", "SYNCED_ZERO_PIECE_BYTES", 64 << 10),
    bytes("wal/writer.rs", "MAX_ZERO_AHEAD", 1 << 20),
    bytes("wal/writer.rs", "MIN_ZERO_AHEAD", 4 << 10),
    bytes("wal/writer.rs", "LARGE_RECORD_BYTES", 32 << 10),
    // Numbers without a constant of their own.
    bytes("", "the smallest length that takes two bytes", 1 << 7),
    bytes("", "the smallest length that takes three bytes", 1 << 14),
    bytes("", "the smallest length that takes four bytes", 1 << 21),
    bytes("", "the smallest length that a u8 does not hold", 1 << 8),
    bytes("", "the smallest length that a u16 does not hold", 1 << 16),
    bytes("", "a block size of the random options", 2 << 10),
    bytes("", "a write buffer of the random options", 8 << 10),
];

/// The values in this unit, each once, ascending.
pub(crate) fn values(unit: Unit) -> Vec<u64> {
    let mut values: Vec<u64> = THRESHOLDS
        .iter()
        .filter(|threshold| threshold.unit == unit)
        .map(|threshold| threshold.value)
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}
