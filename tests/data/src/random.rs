//! A stream of random numbers from a seed.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014):
//! the same seed gives the same test on every machine.

/// A stream of numbers from a seed, or from given bytes.
#[derive(Clone, Debug)]
pub struct Random {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    State(u64),
    /// The bytes that are left.
    Bytes(std::collections::VecDeque<u8>),
}

/// The seed of a test that was given none.
const USUAL_SEED: u64 = 0x2026_1130;

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Random {
        Random {
            source: Source::State(seed),
        }
    }

    /// The stream that `bytes` spell, for a fuzzer: each number takes as many bytes as its bound has. After the last
    /// byte all numbers are 0.
    pub fn of_bytes(bytes: &[u8]) -> Random {
        Random {
            source: Source::Bytes(bytes.iter().copied().collect()),
        }
    }

    /// Whether no bytes are left; a seed never runs out.
    pub fn is_exhausted(&self) -> bool {
        matches!(&self.source, Source::Bytes(bytes) if bytes.is_empty())
    }

    /// A seed from `variable` (decimal or 0x...), or the usual one: a test that passes today passes tomorrow. Also
    /// whether the variable was set.
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
        (USUAL_SEED, false)
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless stream, not an iterator"
    )]
    pub fn next(&mut self) -> u64 {
        let state = match &mut self.source {
            Source::State(state) => state,
            Source::Bytes(_) => return self.number_of(8),
        };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `count` of the bytes.
    fn number_of(&mut self, count: u32) -> u64 {
        let Source::Bytes(bytes) = &mut self.source else {
            return self.next();
        };
        (0..count).fold(0, |number, _| {
            number << 8 | u64::from(bytes.pop_front().unwrap_or(0))
        })
    }

    /// A number in `[0, end)`; `end` must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let bits = u64::BITS - (end - 1).leading_zeros();
        self.number_of(bits.div_ceil(8)) % end
    }

    /// An index into `length` items; there must be at least one.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.index(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_as_they_are_needed_and_then_all_is_zero() {
        let mut random = Random::of_bytes(&[7, 1, 44, 3, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(random.below(1), 0, "which takes none");
        assert_eq!(random.below(256), 7);
        assert_eq!(random.below(257), 300 % 257);
        assert_eq!(random.next(), 3 << 56);
        assert!(!random.is_exhausted());
        assert_eq!(random.index(4), 1, "5 modulo 4");
        assert!(random.is_exhausted());
        assert_eq!([random.next(), random.below(9)], [0, 0]);
        assert!(!Random::new(0).is_exhausted());
    }

    /// DATA-1.
    #[test]
    fn a_seed_gives_the_published_numbers_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let numbers = [(); 3].map(|()| random.next());
        // From Vigna's splitmix64.c with this seed.
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
