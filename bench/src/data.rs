//! Keys, values and the orders in which workloads request them: the same for every engine, from fixed seeds.
//!
//! The tests' generator (`tests/data`) does not make them. Sizes define a workload, and these are db_bench's; the
//! tests' sizes lie at thresholds, and change with them. The tests' kinds of bytes do not change, but none matches
//! db_bench's values, and figures are comparable only as long as codecs and checksums see the same bytes.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::engines::Failure;

/// The skew of YCSB's request distributions.
const ZIPF_EXPONENT: f64 = 0.99;
/// Values are pieces of one text, so making a value costs nothing.
const POOL_BYTES: usize = 1 << 20;
const MAX_VALUE: usize = 64 << 10;
const PIECE: usize = 100;

/// Sixteen decimal digits, as db_bench writes its keys.
pub fn key(mut number: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    for digit in key.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    key
}

/// A key between the keys of `number` and the next entry, which no workload writes.
pub fn missing_key(number: u64) -> [u8; 17] {
    let mut missing = [b'+'; 17];
    missing[..16].copy_from_slice(&key(number));
    missing
}

/// Values that compress to about half: of every 100 bytes, 50 are noise and 50 repeat one letter.
pub struct Values {
    pool: Vec<u8>,
    length: usize,
}

impl Values {
    pub fn new(length: usize) -> Values {
        assert!(length <= MAX_VALUE, "values are pieces of the pool");
        let mut pool = vec![b'x'; POOL_BYTES + MAX_VALUE];
        let mut noise = SmallRng::seed_from_u64(0x5eed);
        for piece in pool.chunks_mut(PIECE) {
            let noisy = piece.len().min(PIECE / 2);
            noise.fill_bytes(&mut piece[..noisy]);
        }
        Values { pool, length }
    }

    pub fn of(&self, number: u64) -> &[u8] {
        let pieces = (POOL_BYTES / PIECE) as u64;
        let start = (number % pieces) as usize * PIECE;
        &self.pool[start..start + self.length]
    }
}

/// An order of requests: numbers of entries, drawn before the clock starts. After its end it starts again.
pub struct Order(Vec<u32>);

impl Order {
    /// Every entry once, at random.
    pub fn shuffled(entries: u64, seed: u64) -> Order {
        let mut numbers: Vec<u32> = (0..entries as u32).collect();
        numbers.shuffle(&mut SmallRng::seed_from_u64(seed));
        Order(numbers)
    }

    /// Every entry once, ascending.
    pub fn ascending(entries: u64) -> Order {
        Order((0..entries as u32).collect())
    }

    /// Any entry, all equally likely.
    pub fn uniform(entries: u64, seed: u64) -> Order {
        let mut random = SmallRng::seed_from_u64(seed);
        Order(draws(entries, || random.random_range(0..entries as u32)))
    }

    /// Few entries often: YCSB's scrambled Zipf distribution, whose favourites lie anywhere in the range of keys.
    pub fn zipfian(entries: u64, seed: u64) -> Result<Order, Failure> {
        let mut random = SmallRng::seed_from_u64(seed);
        let zipf = Zipf::new(entries as f64, ZIPF_EXPONENT)?;
        let rank = || (mix(zipf.sample(&mut random) as u64) % entries) as u32;
        Ok(Order(draws(entries, rank)))
    }

    /// Distances from the newest entry, small ones often: YCSB's "latest".
    pub fn latest(entries: u64, seed: u64) -> Result<Order, Failure> {
        let mut random = SmallRng::seed_from_u64(seed);
        let zipf = Zipf::new(entries as f64, ZIPF_EXPONENT)?;
        let distance = || zipf.sample(&mut random) as u32 - 1;
        Ok(Order(draws(entries, distance)))
    }

    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn at(&self, index: u64) -> u64 {
        u64::from(self.0[(index % self.0.len() as u64) as usize])
    }
}

/// Enough draws that a repetition of them does not matter.
fn draws(entries: u64, mut draw: impl FnMut() -> u32) -> Vec<u32> {
    (0..entries.max(1000)).map(|_| draw()).collect()
}

/// SplitMix64 of a number: repeatable noise.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffled_order_has_every_entry_once() {
        let order = Order::shuffled(1000, 1);
        let mut seen: Vec<u64> = (0..1000).map(|index| order.at(index)).collect();
        assert_ne!(seen, (0..1000).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        assert_eq!(
            order.at(1000),
            order.at(0),
            "the end is followed by the beginning"
        );
    }

    #[test]
    fn a_zipfian_order_has_favourites_and_stays_in_range() {
        let order = Order::zipfian(10_000, 1).unwrap();
        let mut counts = vec![0u32; 10_000];
        for index in 0..10_000 {
            counts[order.at(index) as usize] += 1;
        }
        counts.sort_unstable();
        let favourites: u32 = counts[9_900..].iter().sum();
        assert!(
            favourites > 4_000,
            "one in a hundred has {favourites} of 10,000"
        );
    }

    #[test]
    fn the_latest_order_begins_at_no_distance() {
        let order = Order::latest(1000, 1).unwrap();
        let distances: Vec<u64> = (0..1000).map(|index| order.at(index)).collect();
        assert_eq!(distances.iter().min(), Some(&0));
        assert!(distances.iter().all(|&distance| distance < 1000));
    }

    #[test]
    fn values_compress_to_about_half() {
        let values = Values::new(4096);
        let repeated = values.of(7).iter().filter(|&&byte| byte == b'x').count();
        assert!((2000..2100).contains(&repeated), "{repeated} of 4096");
        assert_eq!(values.of(3).len(), 4096);
        assert_ne!(values.of(1), values.of(2));
    }
}
