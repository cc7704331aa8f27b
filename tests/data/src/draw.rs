//! Whole keys and values.

use crate::{Fill, Random, Sizes};

/// Long keys begin with one of this many stems of each kind, so that some share nearly all of their bytes and some
/// nothing.
const STEMS: u64 = 3;

/// A key in printable form: it may have megabytes.
pub fn shown(key: &[u8]) -> String {
    const MAX_SHOWN: usize = 40;
    match key.len() > MAX_SHOWN {
        true => format!(
            "{}... ({} bytes)",
            key[..MAX_SHOWN].escape_ascii(),
            key.len()
        ),
        false => key.escape_ascii().to_string(),
    }
}

/// The kind of bytes and the number of the stem at the start of a long key, if it was drawn from one. Two keys with the
/// same stem have nearly all of their bytes in common.
pub fn stem_of(key: &[u8]) -> Option<(Fill, u64)> {
    const ENOUGH: usize = 64;
    if key.len() < ENOUGH {
        return None;
    }
    let begins_with = |fill: Fill, stem| key.starts_with(&fill.bytes(stem, ENOUGH));
    let stems = Fill::ALL
        .into_iter()
        .flat_map(|fill| (0..STEMS).map(move |stem| (fill, stem)));
    stems
        .into_iter()
        .find(|&(fill, stem)| begins_with(fill, stem))
}

impl Random {
    /// A short key from a small, dense set with many common prefixes, the empty key and the bytes 0x00 and 0xff.
    pub fn key(&mut self) -> Vec<u8> {
        const ALPHABET: [u8; 5] = [0x00, b'a', b'b', b'c', 0xff];
        let length = self.below(7);
        (0..length).map(|_| *self.pick(&ALPHABET)).collect()
    }

    /// A key with a length from `sizes`: a stem that a few other keys share, then a short key.
    pub fn long_key(&mut self, sizes: &Sizes) -> Vec<u8> {
        let (length, fill) = (self.size(sizes), *self.pick(&Fill::ALL));
        self.key_of(length, fill)
    }

    /// A key of this length: as much of a stem as there is room for, then a short key.
    pub fn key_of(&mut self, length: usize, fill: Fill) -> Vec<u8> {
        let (tail, stem) = (self.key(), self.below(STEMS));
        let mut key = fill.bytes(stem, length.saturating_sub(tail.len()));
        key.extend_from_slice(&tail[tail.len().saturating_sub(length)..]);
        key
    }

    /// A key: mostly short, one in fifty with a length from `sizes`.
    pub fn any_key(&mut self, sizes: &Sizes) -> Vec<u8> {
        match self.one_in(50) {
            true => self.long_key(sizes),
            false => self.key(),
        }
    }

    /// A value of the usual sizes: often short, sometimes empty, now and then at a threshold.
    pub fn value(&mut self) -> Vec<u8> {
        self.value_of(&Sizes::USUAL)
    }

    /// A value with a length from `sizes`, of any kind of bytes.
    pub fn value_of(&mut self, sizes: &Sizes) -> Vec<u8> {
        let length = self.size(sizes);
        let fill = *self.pick(&Fill::ALL);
        fill.bytes(self.next(), length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_of_a_long_key_is_found_and_a_short_or_foreign_key_has_none() {
        let mut random = Random::new(3);
        for fill in Fill::ALL {
            let key = random.key_of(1000, fill);
            assert_eq!(key.len(), 1000);
            assert_eq!(stem_of(&key).unwrap().0, fill);
        }
        assert_eq!(stem_of(b"key"), None);
        assert_eq!(stem_of(&Fill::Noise.bytes(STEMS, 1000)), None);
    }

    #[test]
    fn long_keys_share_long_beginnings_and_have_the_length_drawn() {
        let sizes = Sizes::new(70_000, 10_000);
        let mut random = Random::new(1);
        let mut keys: Vec<Vec<u8>> = (0..3000).map(|_| random.long_key(&sizes)).collect();
        assert!(keys.iter().all(|key| key.len() <= 70_000));
        assert!(keys.iter().any(|key| key.len() > 65_536));
        keys.sort();
        keys.dedup();
        let shared = |pair: &[Vec<u8>]| {
            let pairs = pair[0].iter().zip(&pair[1]);
            pairs.take_while(|(one, other)| one == other).count()
        };
        let far = keys.windows(2).filter(|pair| shared(pair) > 32_768);
        assert!(far.count() > 10);
    }
}
