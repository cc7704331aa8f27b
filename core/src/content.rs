//! Content sums: a few bytes that account for entries from the batch to the last table.
//!
//! Each operation has a digest of its kind, key and value, and each entry a term, which is its digest mixed with its
//! sequence number. A sum is the total of its terms, so it does not depend on their order, and sums of parts
//! add up to the sum of the whole. A flush and a compaction compare: the input, minus the dropped entries, must
//! be the output.
//!
//! Layout and definition, to compute the same sums elsewhere: docs/format.md, "Content sums".
//!
//! * SUM-1  Two different collections of entries have the same sum with a chance of 2^-64: so a lost, repeated
//!          or changed entry, or one with the value of another, is noticed.
//! * SUM-2  The digest is computed where an operation enters, from the caller's arguments, and stays with it
//!          from there. If it is computed again, it is from the resulting bytes: a decoded block, a record.
//!
//! Elsewhere: the comparisons (`db/tree/flush.rs`, `compaction/job.rs`, `db/trust/verify/`).

use std::ops::{AddAssign, Sub};

use twox_hash::XxHash3_64;

use crate::key::{SequenceNumber, Trailer, ValueKind};

/// Distinguishes the kinds in a digest: odd, and far from every small number.
const KIND_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// The constant that is combined with the hash of a value before the hash of its key.
const VALUE_MASK: u64 = 0xa076_1d64_78bd_642f;
/// Spreads consecutive sequence numbers over all bits.
const SEQUENCE_STEP: u64 = 0xd1b5_4a32_d192_ed03;

/// The hash of a user key, which filters use too: XXH3-64, seed 0.
#[inline]
pub(crate) fn key_hash(user_key: &[u8]) -> u64 {
    XxHash3_64::oneshot(user_key)
}

/// The digest of an operation, and the hash of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Content {
    pub(crate) key_hash: u64,
    digest: u64,
}

impl Content {
    /// Digests an operation; `value` is empty for a tombstone. Cost: reads every byte once, some 5 GB/s and more.
    #[inline]
    pub(crate) fn of(kind: ValueKind, user_key: &[u8], value: &[u8]) -> Content {
        let key_hash = key_hash(user_key);
        let key = key_hash ^ (kind as u64 + 1).wrapping_mul(KIND_STEP);
        let value = XxHash3_64::oneshot(value) ^ VALUE_MASK;
        // Combines both halves of the product, so that each bit of either factor changes half of the bits.
        let product = u128::from(key) * u128::from(value);
        Content {
            key_hash,
            digest: product as u64 ^ (product >> 64) as u64 ^ key,
        }
    }

    /// The term that the entry with this sequence number adds to a sum.
    #[inline]
    pub(crate) fn term(self, sequence: SequenceNumber) -> u64 {
        // The finalizer of SplitMix64: a change of any input bit changes half of the output bits.
        let mut mixed = self
            .digest
            .wrapping_add(sequence.0.wrapping_mul(SEQUENCE_STEP));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The sum over some entries, and how many entries of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    pub(crate) terms: u64,
    pub(crate) puts: u64,
    pub(crate) tombstones: u64,
    pub(crate) range_deletes: u64,
}

impl Sum {
    /// Adds an entry.
    #[inline]
    pub(crate) fn add(&mut self, kind: ValueKind, content: Content, sequence: SequenceNumber) {
        self.terms = self.terms.wrapping_add(content.term(sequence));
        self.puts += u64::from(kind == ValueKind::Put);
        self.tombstones += u64::from(kind == ValueKind::Delete);
        self.range_deletes += u64::from(kind == ValueKind::RangeDelete);
    }

    /// Adds an entry that was read. Does not add one of an unknown kind, and then returns `false`.
    #[inline]
    pub(crate) fn add_entry(&mut self, user_key: &[u8], trailer: Trailer, value: &[u8]) -> bool {
        let Some(kind) = trailer.kind() else {
            return false;
        };
        let content = Content::of(kind, user_key, value);
        self.add(kind, content, trailer.sequence());
        true
    }

    /// Entries of every kind.
    pub(crate) fn entries(self) -> u64 {
        self.puts
            .wrapping_add(self.tombstones)
            .wrapping_add(self.range_deletes)
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.terms = self.terms.wrapping_add(other.terms);
        self.puts = self.puts.wrapping_add(other.puts);
        self.tombstones = self.tombstones.wrapping_add(other.tombstones);
        self.range_deletes = self.range_deletes.wrapping_add(other.range_deletes);
    }
}

impl Sub for Sum {
    type Output = Sum;

    /// May wrap, because by mistake more entries may be dropped than there were.
    fn sub(self, other: Sum) -> Sum {
        Sum {
            terms: self.terms.wrapping_sub(other.terms),
            puts: self.puts.wrapping_sub(other.puts),
            tombstones: self.tombstones.wrapping_sub(other.tombstones),
            range_deletes: self.range_deletes.wrapping_sub(other.range_deletes),
        }
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Sum>>(parts: I) -> Sum {
        let mut whole = Sum::default();
        parts.for_each(|part| whole += part);
        whole
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sum {
            terms,
            puts,
            tombstones,
            range_deletes,
        } = self;
        write!(f, "{puts} puts")?;
        match range_deletes {
            0 => write!(f, " and {tombstones} deletes")?,
            _ => write!(
                f,
                ", {tombstones} deletes and {range_deletes} range deletes"
            )?,
        }
        write!(f, " with sum {terms:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(entries: &[(ValueKind, &[u8], &[u8], u64)]) -> Sum {
        let mut sum = Sum::default();
        for (kind, key, value, sequence) in entries {
            let trailer = Trailer::new(SequenceNumber(*sequence), *kind);
            assert!(sum.add_entry(key, trailer, value));
        }
        sum
    }

    /// SUM-1.
    #[test]
    fn whatever_differs_in_one_entry_or_between_two_shows_in_the_sum() {
        use ValueKind::{Delete, Put};
        let base: [(ValueKind, &[u8], &[u8], u64); 3] = [
            (Put, b"a", b"1", 7),
            (Put, b"b", b"2", 8),
            (Delete, b"c", b"", 9),
        ];
        let others: [&[(ValueKind, &[u8], &[u8], u64)]; 10] = [
            &base[..2],
            &[base[0], base[1], base[2], base[2]],
            &[base[0], base[0], base[2]],
            // Changes that must be noticed: exchanged values, numbers or kinds; bytes moved from the key to the
            // value.
            &[(Put, b"a", b"2", 7), (Put, b"b", b"1", 8), base[2]],
            &[(Put, b"a", b"1", 8), (Put, b"b", b"2", 7), base[2]],
            &[(Put, b"b", b"1", 7), (Put, b"a", b"2", 8), base[2]],
            &[base[0], (Delete, b"b", b"", 8), (Put, b"c", b"2", 9)],
            &[base[0], base[1], (Put, b"c", b"", 9)],
            &[(Put, b"a1", b"", 7), base[1], base[2]],
            &[(Put, b"", b"a1", 7), base[1], base[2]],
        ];
        for other in others {
            assert_ne!(sum(other), sum(&base), "{other:?}");
        }
        let turned = [base[2], base[0], base[1]];
        assert_eq!(sum(&turned), sum(&base));
        let mut parts = sum(&base[..1]);
        parts += sum(&base[1..]);
        assert_eq!(parts, sum(&base));
        assert_eq!(parts - sum(&base[..1]), sum(&base[1..]));
    }

    #[test]
    fn a_sum_counts_the_entries_of_each_kind_and_leaves_out_those_of_unknown_kind() {
        use ValueKind::{Delete, Put, RangeDelete};
        let puts = sum(&[(Put, b"a", b"1", 7), (Put, b"b", b"2", 8)]);
        assert_eq!((puts.puts, puts.tombstones, puts.entries()), (2, 0, 2));
        let tombstones = [(Delete, &b"c"[..], &b""[..], 9); 3];
        let tombstones = sum(&tombstones);
        let counts = (tombstones.puts, tombstones.tombstones);
        assert_eq!((counts, tombstones.entries()), ((0, 3), 3));
        let range_deletes = sum(&[(RangeDelete, b"a", b"\x01", 8)]);
        assert_eq!(range_deletes.entries(), 1);
        let mut whole: Sum = [puts, tombstones, range_deletes].into_iter().sum();
        assert_eq!((whole.puts, whole.tombstones, whole.entries()), (2, 3, 6));
        assert_eq!(whole.range_deletes, 1);
        assert_eq!(whole - tombstones - range_deletes, puts);
        let before = whole;
        assert!(!whole.add_entry(b"d", Trailer(0xff), b"3"));
        assert_eq!(whole, before);
    }

    #[test]
    fn a_sum_in_a_message_says_how_many_of_each_kind_and_all_digits() {
        let sum = Sum {
            terms: 0xab_0000_00cd,
            puts: 2,
            tombstones: 1,
            range_deletes: 0,
        };
        let text = "2 puts and 1 deletes with sum 000000ab000000cd";
        assert_eq!(sum.to_string(), text);
        let sum = Sum {
            range_deletes: 3,
            ..sum
        };
        let text = "2 puts, 1 deletes and 3 range deletes with sum 000000ab000000cd";
        assert_eq!(sum.to_string(), text);
    }

    #[test]
    fn every_bit_of_an_entry_changes_about_half_of_its_term() {
        let term = |key: &[u8], value: &[u8], sequence| {
            sum(&[(ValueKind::Put, key, value, sequence)]).terms
        };
        for length in [1, 8, 16, 17, 128, 129, 240, 241, 1000, 70_000] {
            let (key, value) = (vec![3u8; length.min(300)], vec![5u8; length]);
            let whole = term(&key, &value, 1 << 40);
            let mut flips = Vec::new();
            for bit in (0..8 * value.len()).step_by(1 + length / 16) {
                let mut other = value.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                flips.push(whole ^ term(&key, &other, 1 << 40));
            }
            for bit in (0..8 * key.len()).step_by(1 + length / 16) {
                let mut other = key.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                flips.push(whole ^ term(&other, &value, 1 << 40));
            }
            flips.extend((0..56).map(|bit| whole ^ term(&key, &value, 1 << 40 ^ 1 << bit)));
            let changed: u32 = flips.iter().map(|flip| flip.count_ones()).sum();
            let mean = f64::from(changed) / flips.len() as f64;
            assert!(
                (28.0..36.0).contains(&mean),
                "{length} bytes: {mean} of 64 bits"
            );
            assert!(
                flips.iter().all(|flip| flip.count_ones() > 8),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn the_documented_example_is_what_is_computed() {
        let (_, text) = include_str!("../../docs/format.md")
            .split_once("<!-- replay: content sum -->")
            .unwrap();
        let line = text.lines().find(|line| line.contains("term")).unwrap();
        let (_, documented) = line.rsplit_once("0x").unwrap();
        let computed = sum(&[(ValueKind::Put, b"k", b"vv", 7)]).terms;
        assert_eq!(documented.trim(), format!("{computed:016x}"));
    }
}
