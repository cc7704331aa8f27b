//! The bytes of a value: how well it compresses decides which way the code takes with a block.

use crate::Random;

/// A way to make the bytes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fill {
    /// One byte over and over: compresses to nearly nothing.
    Constant,
    /// Words of a short list: compresses to a third or so.
    Text,
    /// Eight bytes of noise, eight dots: near the eighth that a block must shrink by to be stored compressed.
    Half,
    /// Noise, which no codec shrinks.
    Noise,
    /// Runs of up to a thousand bytes, of one byte or of noise in turn.
    Runs,
}

impl Fill {
    /// Every kind.
    pub const ALL: [Fill; 5] = [
        Fill::Constant,
        Fill::Text,
        Fill::Half,
        Fill::Noise,
        Fill::Runs,
    ];

    /// `length` bytes that `seed` decides.
    pub fn bytes(self, seed: u64, length: usize) -> Vec<u8> {
        let mut random = Random::new(seed);
        let mut bytes = Vec::with_capacity(length);
        match self {
            Fill::Constant => bytes.resize(length, random.next() as u8),
            Fill::Text => {
                const WORDS: [&str; 8] = [
                    "level ", "table ", "block ", "key ", "of a ", "value, ", "the ", "log. ",
                ];
                while bytes.len() < length {
                    bytes.extend_from_slice(random.pick::<&str>(&WORDS).as_bytes());
                }
            }
            Fill::Half => {
                while bytes.len() < length {
                    bytes.extend_from_slice(&random.next().to_le_bytes());
                    bytes.extend_from_slice(b"........");
                }
            }
            Fill::Noise => noise(&mut random, length, &mut bytes),
            Fill::Runs => {
                while bytes.len() < length {
                    let run = bytes.len() + 1 + random.index(1000);
                    match random.one_in(2) {
                        true => bytes.resize(run, random.next() as u8),
                        false => noise(&mut random, run, &mut bytes),
                    }
                }
            }
        }
        bytes.truncate(length);
        bytes
    }
}

/// Adds noise up to `length` bytes, or a few more.
fn noise(random: &mut Random, length: usize, bytes: &mut Vec<u8>) {
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_length_asked_for_and_its_seed_decides_it() {
        for fill in Fill::ALL {
            for length in [0, 1, 7, 8, 9, 1000, 65_537] {
                let bytes = fill.bytes(length as u64, length);
                assert_eq!(bytes.len(), length, "{fill:?}");
                assert!(bytes == fill.bytes(length as u64, length), "{fill:?}");
            }
        }
    }

    #[test]
    fn the_kinds_differ_in_how_often_a_byte_repeats_the_one_before() {
        let repeats = |fill: Fill| {
            let bytes = fill.bytes(3, 100_000);
            bytes.windows(2).filter(|pair| pair[0] == pair[1]).count()
        };
        assert_eq!(repeats(Fill::Constant), 99_999);
        assert!(repeats(Fill::Noise) < 1000);
        assert!((30_000..70_000).contains(&repeats(Fill::Half)));
        assert!((20_000..80_000).contains(&repeats(Fill::Runs)));
    }
}
