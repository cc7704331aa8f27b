//! Random numbers from a seed, and the keys, values and options that tests draw from them.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014):
//! the same seed gives the same test on every machine.

use aidb::{Compression, Options};

/// A stream of numbers that its seed decides.
#[derive(Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// A seed from `variable` (decimal or 0x...), or one that differs from run to run; also whether it was given.
    pub fn seed_from(variable: &str) -> (u64, bool) {
        if let Ok(text) = std::env::var(variable) {
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            match parsed {
                Ok(seed) => return (seed, true),
                Err(_) => panic!("{variable}={text:?}: expected a number"),
            }
        }
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        (Random::new(clock).next(), false)
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless stream, not an iterator"
    )]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `[0, end)`; `end` must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Puts `items` in any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    /// A key from a small, dense set with many common prefixes, the empty key and the bytes 0x00 and 0xff.
    pub fn key(&mut self) -> Vec<u8> {
        const ALPHABET: [u8; 5] = [0x00, b'a', b'b', b'c', 0xff];
        let length = self.below(7);
        (0..length).map(|_| *self.pick(&ALPHABET)).collect()
    }

    /// A value: often short, sometimes empty, now and then larger than a block or than a small memtable.
    pub fn value(&mut self) -> Vec<u8> {
        let length = match self.below(40) {
            0 => 0,
            1 => 20_000,
            2 => 3_000,
            _ => 1 + self.below(120),
        };
        // Half of it compresses, so that blocks of every codec differ from what they hold.
        let noise = self.next().to_le_bytes();
        (0..length as usize)
            .map(|at| if at % 16 < 8 { noise[at % 8] } else { b'.' })
            .collect()
    }

    /// Options so small that a few thousand writes use several levels.
    pub fn options(&mut self) -> Options {
        const KIB: u64 = 1024;
        let codecs = [
            Compression::None,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        Options::new()
            .write_buffer_size(*self.pick(&[4 * KIB, 8 * KIB, 32 * KIB]))
            .block_cache_size(*self.pick(&[0, 4 * KIB, 256 * KIB]))
            .block_size(*self.pick(&[128, 512, 4 * KIB]))
            .block_restart_interval(*self.pick(&[1, 2, 16]))
            .compression(*self.pick(&codecs))
            .bloom_bits_per_key(*self.pick(&[0, 5, 10]))
            .max_open_files(*self.pick(&[0, 16]))
            .level0_compaction_trigger(*self.pick(&[1, 2, 4]))
            .level_base_size(*self.pick(&[4 * KIB, 16 * KIB, 64 * KIB]))
            .level_size_multiplier(*self.pick(&[2, 4, 10]))
            .target_file_size(*self.pick(&[4 * KIB, 16 * KIB]))
            .background_threads(*self.pick(&[1, 2, 3]))
    }
}
