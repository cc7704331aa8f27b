//! Keys as the tree stores them: user key, sequence number, kind; and how they sort.
//!
//! * IKEY-1  Internal keys sort by user key ascending (bytewise), then by sequence number descending, then by kind
//!           descending: the newest version of a key comes first.
//! * IKEY-2  One sequence number belongs to one operation, so no two entries of a store share (user key, number).
//! * IKEY-3  Encoded, an internal key is the user key followed by eight little-endian bytes, its trailer:
//!           `sequence number << 8 | kind`. Encoded keys do not sort bytewise: always compare as [`KeyRef`].

use std::cmp::Ordering;
use std::fmt;

use crate::error::Result;
use crate::memory;

/// The longest user key, in bytes (16 MiB).
pub const MAX_KEY_BYTES: usize = 16 << 20;

/// The longest value, in bytes (4 GiB - 1).
pub const MAX_VALUE_BYTES: u64 = u32::MAX as u64;

/// Bytes of a trailer at the end of an encoded internal key.
pub(crate) const TRAILER_BYTES: usize = 8;

/// A sequence number: the place of one write in the order of all writes. 56 bits, from 1; 0 is before the first
/// write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SequenceNumber(pub u64);

impl SequenceNumber {
    /// The largest number: 2^56 - 1. A read at this number sees everything.
    pub const MAX: SequenceNumber = SequenceNumber((1 << 56) - 1);

    /// The number `count` writes later.
    pub fn plus(self, count: u64) -> SequenceNumber {
        SequenceNumber(self.0 + count)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number in a file's name; unique over all files a database ever makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileNumber(pub u64);

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// The id of a keyspace. It is given once: no other keyspace of the database ever gets the id of a dropped one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyspaceId(pub u64);

impl KeyspaceId {
    /// The keyspace that every database has.
    pub const DEFAULT: KeyspaceId = KeyspaceId(0);
}

impl fmt::Display for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kind of an entry: a put, a tombstone or a range delete. Numbers 3 to 5 are reserved (merge, put with expiry,
/// reference to a separated value): a reader refuses them with `Unsupported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum ValueKind {
    /// A tombstone: the key is absent as of this number.
    Delete = 0,
    /// The key has a value as of this number.
    Put = 1,
    /// All keys from this one to the end in the value are absent as of this number.
    RangeDelete = 2,
}

impl ValueKind {
    /// The kind with this number, or `None` if this build does not know it.
    pub(crate) fn from_u8(byte: u8) -> Option<ValueKind> {
        match byte {
            0 => Some(ValueKind::Delete),
            1 => Some(ValueKind::Put),
            2 => Some(ValueKind::RangeDelete),
            _ => None,
        }
    }
}

/// `sequence number << 8 | kind`, the part of an internal key after the user key. Larger is newer.
///
/// The kind is kept as a byte: a trailer from disk may carry one that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Trailer(pub(crate) u64);

impl Trailer {
    /// Sorts before every entry of its user key.
    pub(crate) const NEWEST: Trailer = Trailer(u64::MAX);
    /// Sorts after every entry of its user key.
    pub(crate) const OLDEST: Trailer = Trailer(0);

    pub(crate) fn new(sequence: SequenceNumber, kind: ValueKind) -> Trailer {
        debug_assert!(sequence <= SequenceNumber::MAX, "IKEY-3: seven bytes");
        Trailer(sequence.0 << 8 | kind as u64)
    }

    /// The trailer to seek to for the newest entry that a reader at `sequence` may see.
    pub(crate) fn visible_at(sequence: SequenceNumber) -> Trailer {
        debug_assert!(sequence <= SequenceNumber::MAX, "IKEY-3: seven bytes");
        Trailer(sequence.0 << 8 | 0xff)
    }

    pub(crate) fn sequence(self) -> SequenceNumber {
        SequenceNumber(self.0 >> 8)
    }

    /// The trailer to seek to for the next older entry. `None`: there can be none.
    #[inline]
    pub(crate) fn older(self) -> Option<Trailer> {
        self.0.checked_sub(1).map(Trailer)
    }

    /// The kind, or `None` if this build does not know it.
    pub(crate) fn kind(self) -> Option<ValueKind> {
        ValueKind::from_u8(self.0 as u8)
    }
}

/// A borrowed internal key; `Ord` is the order of the tree (IKEY-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRef<'a> {
    pub(crate) user_key: &'a [u8],
    pub(crate) trailer: Trailer,
}

impl<'a> KeyRef<'a> {
    pub(crate) fn new(user_key: &'a [u8], trailer: Trailer) -> KeyRef<'a> {
        KeyRef { user_key, trailer }
    }

    /// Splits an encoded internal key; `None` if it is shorter than a trailer.
    pub(crate) fn decode(encoded: &'a [u8]) -> Option<KeyRef<'a>> {
        let (user_key, trailer) = encoded.split_last_chunk::<TRAILER_BYTES>()?;
        Some(KeyRef {
            user_key,
            trailer: Trailer(u64::from_le_bytes(*trailer)),
        })
    }

    /// Appends the encoded internal key (IKEY-3). Fails only if there is no memory.
    pub(crate) fn encode_to(self, out: &mut Vec<u8>) -> Result<()> {
        memory::reserve(out, self.user_key.len() + TRAILER_BYTES, "a key")?;
        out.extend_from_slice(self.user_key);
        out.extend_from_slice(&self.trailer.0.to_le_bytes());
        Ok(())
    }

    /// The encoded internal key (IKEY-3). Fails only if there is no memory.
    pub(crate) fn encoded(self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode_to(&mut out)?;
        Ok(out)
    }

    /// The encoded internal key (IKEY-3).
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.encoded().expect("there is memory for a test")
    }
}

/// Whether two user keys are the same. Neighbours mostly differ in their last byte, so that is compared first.
#[inline]
pub(crate) fn is_same_user_key(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.last() == b.last() && a == b
}

/// The first sixteen bytes of `user_key`. They sort like the keys, apart from ties.
#[inline]
pub(crate) fn head_of(user_key: &[u8]) -> (u64, u64) {
    (eight_bytes(user_key, 0), eight_bytes(user_key, 8))
}

/// Eight bytes of `key` from `offset`, big-endian, zeros after its end.
#[inline]
pub(crate) fn eight_bytes(key: &[u8], offset: usize) -> u64 {
    let rest = key.get(offset..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}

impl Ord for KeyRef<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.user_key
            .cmp(other.user_key)
            .then_with(|| other.trailer.cmp(&self.trailer))
    }
}

impl PartialOrd for KeyRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user_key: &[u8], sequence: u64, kind: ValueKind) -> KeyRef<'_> {
        KeyRef::new(user_key, Trailer::new(SequenceNumber(sequence), kind))
    }

    /// IKEY-1.
    #[test]
    fn the_newest_version_of_a_key_sorts_first() {
        let sorted = [
            key(b"", 9, ValueKind::Put),
            key(b"a", 7, ValueKind::Put),
            key(b"a", 7, ValueKind::Delete),
            key(b"a", 3, ValueKind::Put),
            key(b"a\0", 1, ValueKind::Put),
            key(b"b", 8, ValueKind::Delete),
        ];
        for pair in sorted.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        let seek = KeyRef::new(b"a", Trailer::visible_at(SequenceNumber(7)));
        assert!(sorted[0] < seek && seek < sorted[1]);
    }

    /// IKEY-3.
    #[test]
    fn encoding_round_trips_and_short_input_is_refused() {
        let original = key(b"user", 0x1234_5678_9abc, ValueKind::Put);
        let encoded = original.to_vec();
        assert_eq!(encoded.len(), 4 + TRAILER_BYTES);
        assert_eq!(KeyRef::decode(&encoded), Some(original));
        assert_eq!(KeyRef::decode(&encoded[..7]), None);
        assert_eq!(Trailer(5).kind(), None);
    }
}

#[cfg(test)]
mod edges {
    use super::*;

    #[test]
    fn a_keys_head_is_its_first_sixteen_bytes_with_zeros_behind_its_end() {
        for (key, head) in [
            (&b""[..], (0, 0)),
            (b"a", (0x61 << 56, 0)),
            (b"abcdefgh", (0x6162_6364_6566_6768, 0)),
            (b"abcdefghi", (0x6162_6364_6566_6768, 0x69 << 56)),
            (
                b"abcdefgh12345678 and more",
                (0x6162_6364_6566_6768, 0x3132_3334_3536_3738),
            ),
        ] {
            assert_eq!(head_of(key), head, "{key:?}");
        }
        assert_eq!(eight_bytes(b"abcdefgh12", 2), 0x6364_6566_6768_3132);
        assert_eq!(eight_bytes(b"abc", 3), 0);
        assert_eq!(eight_bytes(b"abc", 4), 0);
    }

    #[test]
    fn user_keys_are_the_same_if_every_byte_is() {
        let keys: [&[u8]; 7] = [b"", b"a", b"b", b"ab", b"bb", b"aab", b"abb"];
        for (place, a) in keys.iter().enumerate() {
            for (other, b) in keys.iter().enumerate() {
                assert_eq!(is_same_user_key(a, b), place == other);
            }
        }
    }

    #[test]
    fn a_trailer_is_a_number_above_a_kind() {
        for (number, kind, bits) in [
            (1, ValueKind::Put, 0x101),
            (0x1234_5678_9abc, ValueKind::Delete, 0x12_3456_789a_bc00),
            (SequenceNumber::MAX.0, ValueKind::Put, 0xffff_ffff_ffff_ff01),
        ] {
            let trailer = Trailer::new(SequenceNumber(number), kind);
            assert_eq!(trailer.0, bits);
            assert_eq!(trailer.sequence(), SequenceNumber(number));
            assert_eq!(trailer.kind(), Some(kind));
            // A reader at the number sees the entry, one before it does not.
            assert!(Trailer::visible_at(SequenceNumber(number)) >= trailer);
            assert!(Trailer::visible_at(SequenceNumber(number - 1)) < trailer);
            assert_eq!(
                Trailer::visible_at(SequenceNumber(number)).sequence(),
                SequenceNumber(number)
            );
        }
        assert_eq!(Trailer(0x102).kind(), Some(ValueKind::RangeDelete));
        assert_eq!(Trailer(0x103).kind(), None);
        assert_eq!(Trailer(0x100).older(), Some(Trailer(0xff)));
        assert_eq!(
            (Trailer(1).older(), Trailer::OLDEST.older()),
            (Some(Trailer::OLDEST), None)
        );
        assert_eq!(SequenceNumber(5).plus(3), SequenceNumber(8));
        assert_eq!(FileNumber(7).to_string(), "000007");
    }
}
