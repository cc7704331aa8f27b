//! Options drawn from a random stream.

use aidb::{Compression, Options};

use crate::Random;

/// Options so small that a few thousand writes use several levels.
pub fn options(random: &mut Random) -> Options {
    const KIB: u64 = 1024;
    let codecs = [
        Compression::None,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    Options::new()
        .write_buffer_size(*random.pick(&[4 * KIB, 8 * KIB, 32 * KIB]))
        .block_cache_size(*random.pick(&[0, 4 * KIB, 256 * KIB]))
        // With the largest blocks, a block of small entries meets the limits that otherwise only a block of one large
        // entry meets.
        .block_size(*random.pick(&[128, 512, 2 * KIB, 4 * KIB, 64 * KIB]))
        .block_restart_interval(*random.pick(&[1, 2, 16]))
        .compression(*random.pick(&codecs))
        .bloom_bits_per_key(*random.pick(&[0, 5, 10]))
        .max_open_files(*random.pick(&[0, 16]))
        .level0_compaction_trigger(*random.pick(&[1, 2, 4]))
        .level_base_size(*random.pick(&[4 * KIB, 16 * KIB, 64 * KIB]))
        .level_size_multiplier(*random.pick(&[2, 4, 10]))
        .target_file_size(*random.pick(&[4 * KIB, 16 * KIB]))
        .background_threads(*random.pick(&[1, 2, 3]))
}
