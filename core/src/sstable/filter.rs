//! A Bloom filter over the user keys of a table: it shows that a key is absent without reading a data block.
//!
//! Layout: docs/format.md, "SSTable"; why one flat filter and not cache-line blocks: docs/decisions/0011.
//! The hash (`content::key_hash`), the two numbers derived from it and the mapping to bits are part of the format and
//! never change within a filter version.
//!
//! * FILTER-1  The filter never reports an added key absent.
//! * FILTER-2  The rate of false positives follows the textbook formula `(1 - e^(-kn/m))^k` (a test holds it to
//!             20 %).
//!
//! Source: Kirsch & Mitzenmacher, "Less Hashing, Same Performance: Building a Better Bloom Filter" (2006).

use crate::coding::{get_u8, get_u32};
use crate::error::Error;
use crate::memory;
use crate::prefetch::prefetch;

/// The layout that this build writes and reads.
const FILTER_VERSION: u8 = 1;
/// Version, probes, two reserved bytes, four reserved bytes.
const HEAD_BYTES: usize = 8;
/// The most probes a key can take.
const MAX_PROBES: u8 = 30;

/// The bits of one key: `probes` numbers in `[0, bits)`, by double hashing and multiply-shift range reduction.
#[inline]
fn positions(hash: u64, probes: u8, bits: u64) -> impl Iterator<Item = u64> {
    // An odd step from an independent mix of the hash: successive positions never repeat at once.
    let step = ((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(32) | 1;
    let mut place = hash;
    (0..probes).map(move |_| {
        let position = (u128::from(place) * u128::from(bits)) >> 64;
        place = place.wrapping_add(step);
        position as u64
    })
}

/// The number of probes with the fewest false positives at `bits_per_key`: `bits_per_key * ln 2`, rounded.
fn best_probes(bits_per_key: u32) -> u8 {
    let probes = (f64::from(bits_per_key) * std::f64::consts::LN_2).round();
    probes.clamp(1.0, f64::from(MAX_PROBES)) as u8
}

/// The name of its memory in errors.
const FILTER: &str = "a table's filter";

/// The filter block of the keys with these hashes, `bits_per_key > 0`. Fails only if there is no memory.
pub(crate) fn build(hashes: &[u64], bits_per_key: u32) -> crate::error::Result<Vec<u8>> {
    debug_assert!(bits_per_key > 0, "FILTER-2: a filter has bits for its keys");
    let probes = best_probes(bits_per_key);
    let bits = (hashes.len() as u64)
        .saturating_mul(u64::from(bits_per_key))
        .max(64);
    let no_memory = |_| Error::out_of_memory(FILTER, usize::MAX);
    let bytes = usize::try_from(bits.div_ceil(8)).map_err(no_memory)?;
    let bits = bytes as u64 * 8;
    let mut words = memory::room_for(bytes.div_ceil(8), FILTER)?;
    words.resize(bytes.div_ceil(8), 0);
    match probes {
        // The default. It is so frequent that a constant number of rounds pays.
        7 => set(&mut words, hashes, 7, bits),
        _ => set(&mut words, hashes, probes, bits),
    }
    let mut out = memory::room_for(HEAD_BYTES + 8 * words.len(), FILTER)?;
    out.extend_from_slice(&[FILTER_VERSION, probes, 0, 0, 0, 0, 0, 0]);
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.truncate(HEAD_BYTES + bytes);
    Ok(out)
}

/// Sets the bits of every key. Some bits of the last word may be after the filter's end.
#[inline(always)]
fn set(words: &mut [u64], hashes: &[u64], probes: u8, bits: u64) {
    debug_assert!(
        bits.div_ceil(64) <= words.len() as u64,
        "FILTER-1: every bit has its place"
    );
    for hash in hashes {
        for position in positions(*hash, probes, bits) {
            words[(position / 64) as usize] |= 1 << (position % 64);
        }
    }
}

/// Why a filter block cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterError {
    Damaged,
    /// A layout of a later build.
    Version(u8),
}

/// The filter of an open table.
pub(crate) struct Filter {
    /// The filter block as stored.
    block: Vec<u8>,
    probes: u8,
    bits: u64,
}

impl Filter {
    /// Checks and takes a filter block.
    pub(crate) fn parse(block: Vec<u8>) -> Result<Filter, FilterError> {
        let mut input = &block[..];
        let version = get_u8(&mut input).ok_or(FilterError::Damaged)?;
        if version != FILTER_VERSION {
            return Err(FilterError::Version(version));
        }
        let probes = get_u8(&mut input).ok_or(FilterError::Damaged)?;
        let reserved = input.get(..2).ok_or(FilterError::Damaged)?;
        let mut rest = &input[2..];
        let reserved_word = get_u32(&mut rest).ok_or(FilterError::Damaged)?;
        let usable = (1..=MAX_PROBES).contains(&probes)
            && reserved == [0, 0]
            && reserved_word == 0
            && rest.len() >= 8;
        if !usable {
            return Err(FilterError::Damaged);
        }
        let bits = rest.len() as u64 * 8;
        Ok(Filter {
            block,
            probes,
            bits,
        })
    }

    /// Whether the key with this hash may have been added. `false` is certain (FILTER-1). Cost: one to `probes` bits.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let array = &self.block[HEAD_BYTES..];
        debug_assert!(
            array.len() as u64 * 8 == self.bits,
            "FILTER-1: every bit has its place"
        );
        positions(hash, self.probes, self.bits)
            .all(|position| array[(position / 8) as usize] >> (position % 8) & 1 == 1)
    }

    /// Prefetches the bits of the key with this hash.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let array = self.block[HEAD_BYTES..].as_ptr();
        for position in positions(hash, self.probes, self.bits) {
            prefetch(array.wrapping_add((position / 8) as usize));
        }
    }

    /// Bytes of memory that the filter takes.
    pub(crate) fn memory(&self) -> usize {
        self.block.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::key_hash;

    fn filter_of(keys: impl Iterator<Item = Vec<u8>>, bits_per_key: u32) -> Filter {
        let hashes: Vec<u64> = keys.map(|key| key_hash(&key)).collect();
        Filter::parse(build(&hashes, bits_per_key).unwrap()).unwrap()
    }

    fn decimal(number: u64) -> Vec<u8> {
        format!("{number:016}").into_bytes()
    }

    #[test]
    fn every_step_from_one_position_to_the_next_is_odd() {
        for hash in (1..=64).map(|number: u64| number.wrapping_mul(0x9e37_79b9)) {
            // With `u64::MAX` bits a position is the running number less one, so positions differ by as much as those
            // numbers.
            let positions: Vec<u64> = positions(hash, 3, u64::MAX).collect();
            for pair in positions.windows(2) {
                assert_eq!(pair[1].wrapping_sub(pair[0]) % 2, 1, "of {hash}");
            }
        }
    }

    #[test]
    fn the_measured_rate_is_the_textbook_rate() {
        let keys = 200_000u64;
        let absent = 4_000_000u64;
        for bits_per_key in [5u32, 10, 16] {
            let filter = filter_of((0..keys).map(decimal), bits_per_key);
            for key in 0..keys {
                assert!(filter.may_contain(key_hash(&decimal(key))), "FILTER-1");
            }
            let mut wrong = 0;
            let mut buffer = [0u8; 16];
            for key in keys..keys + absent {
                buffer[..8].copy_from_slice(&key.to_be_bytes());
                wrong += u64::from(filter.may_contain(key_hash(&buffer)));
            }
            let measured = wrong as f64 / absent as f64;
            let k = f64::from(filter.probes);
            let load = k * keys as f64 / filter.bits as f64;
            let theory = (1.0 - (-load).exp()).powf(k);
            let ratio = measured / theory;
            println!(
                "{bits_per_key} bits: measured {measured:.6}, theory {theory:.6}, ratio {ratio:.3}"
            );
            assert!(
                (0.8..1.2).contains(&ratio),
                "FILTER-2 at {bits_per_key} bits: {ratio}"
            );
        }
    }

    #[test]
    fn small_filters_hold_every_key_and_know_most_others() {
        for keys in [0u64, 1, 2, 10, 100] {
            let filter = filter_of((0..keys).map(decimal), 10);
            for key in 0..keys {
                assert!(filter.may_contain(key_hash(&decimal(key))), "FILTER-1");
            }
            let wrong = (1000..2000)
                .filter(|key| filter.may_contain(key_hash(&decimal(*key))))
                .count();
            assert!(wrong < 100, "{wrong} of 1000 with {keys} keys");
        }
    }

    #[test]
    fn the_hash_and_its_bits_are_those_of_format_version_1() {
        // Published vectors of XXH3-64 with seed 0.
        assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
        let filter = build(&[key_hash(b"a"), key_hash(b"b")], 10).unwrap();
        let bits = [0x18, 0x81, 0xa2, 0x80, 0x20, 0x02, 0x10, 0x06];
        assert_eq!(filter[..8], [1, 7, 0, 0, 0, 0, 0, 0]);
        assert_eq!(filter[8..], bits, "{filter:02x?}");
    }

    #[test]
    fn damaged_filters_are_refused() {
        let block = build(&[1, 2, 3], 10).unwrap();
        for cut in 0..block.len() {
            let cut = block[..cut].to_vec();
            assert!(cut.len() >= 16 || Filter::parse(cut).is_err());
        }
        for (at, value, error) in [
            (0, 2, FilterError::Version(2)),
            (1, 0, FilterError::Damaged),
            (1, 31, FilterError::Damaged),
            (2, 1, FilterError::Damaged),
            (7, 1, FilterError::Damaged),
        ] {
            let mut block = block.clone();
            block[at] = value;
            assert_eq!(Filter::parse(block).err(), Some(error));
        }
    }
}
