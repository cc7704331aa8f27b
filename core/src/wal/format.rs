//! The bytes of a log: file header, fragment header, and their checksums. Layout: docs/format.md, "WAL".
//!
//! Decoders return `None` or a reason for bytes that [`LogHeader::encode`] or [`FragmentHeader::encode`] did
//! not write for this file and offset; they never panic.

use super::synced::Synced;
use crate::batch::HEADER_OF_ONE;
use crate::checksum::{crc, id_behind, placed_crc};
use crate::coding::{get_bytes, get_narrow, get_u16, get_u32, get_u64, put_u32, put_u64};
use crate::key::{FileNumber, SequenceNumber};

/// No fragment crosses a multiple of this offset.
pub(super) const BLOCK_BYTES: u64 = 32 << 10;

/// The first bytes of every log.
pub(super) const MAGIC: [u8; 8] = *b"AiDb.log";
/// The only version so far.
pub(super) const VERSION: u32 = 1;
pub(super) const FILE_HEADER_BYTES: usize = 64;
const _: () = assert!(FILE_HEADER_BYTES == 8 + 4 + 4 + 8 + 8 + 3 * 8 + 4 + 4);

/// The length of the fields with which every fragment's header begins, up to the control byte. That byte is never 0,
/// so the fields are never all zeros.
pub(super) const FIXED_HEADER_BYTES: usize = 11;
const CONTROL_OFFSET: usize = FIXED_HEADER_BYTES - 1;
/// In the control byte: `is_bare`.
const BARE: u8 = 4;
const _: () = assert!(FIXED_HEADER_BYTES == 4 + 4 + 2 + 1);

/// The length of the longest header: after the control byte it has a sequence number, and how far the log was synced.
/// A block's rest must have room for it.
pub(super) const MAX_HEADER_BYTES: usize = 26;
const _: () = assert!(MAX_HEADER_BYTES == FIXED_HEADER_BYTES + 7 + 8);
const _: () = assert!(SequenceNumber::MAX.0 < 1 << (7 * 8));

/// The log before a log, and how much of it counts. All zero if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Predecessor {
    pub(crate) number: FileNumber,
    /// The end of its last good record; later bytes do not count.
    pub(crate) length: u64,
    /// The last sequence number in that log or before it.
    pub(crate) last_sequence: SequenceNumber,
    /// How many bytes at its end were not known to be synced when the next log was made.
    pub(crate) unsynced: u32,
}

impl Predecessor {
    /// A log that ends at `length`.
    pub(crate) fn new(
        number: FileNumber,
        length: u64,
        last_sequence: SequenceNumber,
        synced: Synced,
    ) -> Predecessor {
        debug_assert!(
            last_sequence <= SequenceNumber::MAX,
            "WAL-4: the last number is one"
        );
        Predecessor {
            number,
            length,
            last_sequence,
            unsynced: synced.unsynced_of(length),
        }
    }

    /// How far it was known to be synced when the next log was made.
    pub(crate) fn synced(&self) -> Synced {
        Synced::all_but(self.unsynced, self.length)
    }
}

/// The identity of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogId {
    /// Which database it belongs to.
    pub(crate) database: u32,
    /// Random.
    pub(crate) log: u64,
}

/// For a log that does not name its database.
#[cfg(any(test, feature = "internals"))]
impl From<u64> for LogId {
    fn from(log: u64) -> LogId {
        LogId { database: 0, log }
    }
}

/// The header of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogHeader {
    /// Which database it belongs to; 0 if an earlier build made it, which named none.
    pub(crate) database: u32,
    /// Random, and part of every checksum, so that records of an earlier log in the same file are not mistaken for
    /// this log's.
    pub(crate) log_id: u64,
    pub(crate) number: FileNumber,
    pub(crate) predecessor: Predecessor,
}

/// Why bytes are not the header of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// The checksum is wrong: never completely written, or damaged.
    Checksum,
    /// Intact, but not a log.
    Magic,
    /// Intact, but of this newer version.
    Version(u32),
}

impl LogHeader {
    /// Whether it may be a log of `database`. Either id may be 0, which means unknown.
    pub(crate) fn is_of(&self, database: u32) -> bool {
        self.database == 0 || database == 0 || self.database == database
    }

    /// Whether the predecessor's last sequence number is a possible one.
    pub(super) fn is_possible(&self) -> bool {
        self.predecessor.last_sequence <= SequenceNumber::MAX
    }

    pub(super) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, self.database);
        put_u64(&mut out, self.log_id);
        put_u64(&mut out, self.number.0);
        put_u64(&mut out, self.predecessor.number.0);
        put_u64(&mut out, self.predecessor.length);
        put_u64(&mut out, self.predecessor.last_sequence.0);
        put_u32(&mut out, self.predecessor.unsynced);
        let checksum = crc(&out);
        put_u32(&mut out, checksum);
        out.try_into().expect("the fields add up to the constant")
    }

    pub(super) fn decode(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<LogHeader, BadHeader> {
        LogHeader::decode_fields(bytes).unwrap_or(Err(BadHeader::Checksum))
    }

    fn decode_fields(bytes: &[u8]) -> Option<Result<LogHeader, BadHeader>> {
        let (mut covered, mut checksum) = bytes.split_at_checked(FILE_HEADER_BYTES - 4)?;
        if get_u32(&mut checksum)? != crc(covered) {
            return None;
        }
        let input = &mut covered;
        if get_bytes(input, MAGIC.len() as u64)? != MAGIC {
            return Some(Err(BadHeader::Magic));
        }
        let version = get_u32(input)?;
        if version != VERSION {
            return Some(Err(BadHeader::Version(version)));
        }
        Some(Ok(LogHeader {
            database: get_u32(input)?,
            log_id: get_u64(input)?,
            number: FileNumber(get_u64(input)?),
            predecessor: Predecessor {
                number: FileNumber(get_u64(input)?),
                length: get_u64(input)?,
                last_sequence: SequenceNumber(get_u64(input)?),
                unsynced: get_u32(input)?,
            },
        }))
    }
}

/// Whether a file that begins with `head` is a log, of whatever version.
pub(crate) fn begins_log(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Which part of its record a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FragmentType {
    Full = 0,
    First = 1,
    Middle = 2,
    Last = 3,
}

impl FragmentType {
    pub(super) fn new(is_first: bool, is_last: bool) -> FragmentType {
        match (is_first, is_last) {
            (true, true) => FragmentType::Full,
            (true, false) => FragmentType::First,
            (false, false) => FragmentType::Middle,
            (false, true) => FragmentType::Last,
        }
    }

    fn of_control(control: u8) -> FragmentType {
        match control & 3 {
            0 => FragmentType::Full,
            1 => FragmentType::First,
            2 => FragmentType::Middle,
            _ => FragmentType::Last,
        }
    }

    pub(super) fn is_first(self) -> bool {
        matches!(self, FragmentType::Full | FragmentType::First)
    }

    pub(super) fn is_last(self) -> bool {
        matches!(self, FragmentType::Full | FragmentType::Last)
    }
}

/// The checksum of a fragment's payload as it is stored. It does not cover the place, so a writer can compute it
/// before it knows the place. The header's checksum covers it together with the place.
#[inline]
pub(super) fn payload_checksum(stored: &[u8]) -> u32 {
    crc(stored)
}

/// An encoded batch on its way into a log, with all that can be computed before its place is known. A commit makes it
/// before it takes the log's lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload<'a> {
    encoded: &'a [u8],
    /// The bytes to store if the batch fits in one fragment: all, or those after [`HEADER_OF_ONE`].
    pub(super) stored: &'a [u8],
    /// The checksum of `stored`; 0 if that is too long for any fragment.
    pub(super) checksum: u32,
}

impl<'a> Payload<'a> {
    #[inline]
    pub(crate) fn new(encoded: &'a [u8]) -> Payload<'a> {
        let stored = encoded.strip_prefix(&HEADER_OF_ONE).unwrap_or(encoded);
        let checksum = match stored.len() as u64 <= room_at(0) {
            true => payload_checksum(stored),
            false => 0,
        };
        Payload {
            encoded,
            stored,
            checksum,
        }
    }

    /// The whole batch.
    #[inline]
    pub(crate) fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        self.stored.len() < self.encoded.len()
    }
}

/// The header before each fragment's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentHeader {
    pub(super) payload_checksum: u32,
    /// The length of the payload as it is stored.
    pub(super) length: u16,
    pub(super) fragment_type: FragmentType,
    /// Whether the record's payload begins with [`HEADER_OF_ONE`], which is not stored. Only for full fragments.
    pub(super) is_bare: bool,
    pub(super) first_sequence: SequenceNumber,
    pub(super) synced: Synced,
}

/// The bytes of a header.
pub(super) struct EncodedHeader {
    bytes: [u8; MAX_HEADER_BYTES],
    length: usize,
}

impl EncodedHeader {
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl FragmentHeader {
    #[inline]
    pub(super) fn encode(&self, log_id: u64, offset: u64) -> EncodedHeader {
        debug_assert!(self.first_sequence <= SequenceNumber::MAX);
        debug_assert!(!self.is_bare || self.fragment_type == FragmentType::Full);
        let mut bytes = [0u8; MAX_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.payload_checksum.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.length.to_le_bytes());
        bytes[CONTROL_OFFSET] = self.control();
        // Both numbers are written as eight bytes. The second one overwrites the surplus bytes of the first, and its
        // own surplus is after the header.
        let synced = FIXED_HEADER_BYTES + self.sequence_bytes();
        bytes[FIXED_HEADER_BYTES..][..8].copy_from_slice(&self.first_sequence.0.to_le_bytes());
        bytes[synced..][..8].copy_from_slice(&self.synced.length().to_le_bytes());
        let length = synced + self.synced_bytes();
        let checksum = placed_crc(log_id, offset, &[&bytes[4..length]]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        debug_assert!(
            length == self.header_bytes() && length <= MAX_HEADER_BYTES,
            "WAL-6: the header has its length"
        );
        debug_assert!(
            FragmentHeader::expected_bytes(&bytes) == Some(length),
            "WAL-6: the control byte tells the header's length"
        );
        debug_assert!(
            bytes[CONTROL_OFFSET] != 0,
            "WAL-7: no header begins with zeros alone"
        );
        EncodedHeader { bytes, length }
    }

    /// The control byte: what else the header holds, and so how long it is. Never 0.
    #[inline]
    fn control(&self) -> u8 {
        self.fragment_type as u8
            | if self.is_bare { BARE } else { 0 }
            | (self.sequence_bytes() as u8) << 3
            | (self.synced_bytes() as u8 / 4) << 6
    }

    #[inline]
    fn sequence_bytes(&self) -> usize {
        let bits = u64::BITS - self.first_sequence.0.leading_zeros();
        (bits.div_ceil(8) as usize).clamp(1, 7)
    }

    #[inline]
    fn synced_bytes(&self) -> usize {
        match self.synced.length() {
            0 => 0,
            1..=0xffff_ffff => 4,
            _ => 8,
        }
    }

    /// Bytes of the header itself.
    #[inline]
    pub(super) fn header_bytes(&self) -> usize {
        FIXED_HEADER_BYTES + self.sequence_bytes() + self.synced_bytes()
    }

    /// The length of a header that begins `bytes`, by its control byte; `None` if `bytes` end before that.
    pub(super) fn expected_bytes(bytes: &[u8]) -> Option<usize> {
        let control = usize::from(*bytes.get(CONTROL_OFFSET)?);
        let length = FIXED_HEADER_BYTES + (control >> 3 & 7) + 4 * (control >> 6);
        Some(length.min(MAX_HEADER_BYTES))
    }

    /// The fields of `bytes` if they may begin with a header at `offset` of a log. Checks only what is cheap, not the
    /// checksum, because a search tries every byte of a file.
    #[inline]
    fn parse(bytes: &[u8], offset: u64) -> Option<FragmentHeader> {
        let control = *bytes.get(CONTROL_OFFSET)?;
        let fragment_type = FragmentType::of_control(control);
        let is_bare = control & BARE != 0;
        let (sequence_bytes, synced_bytes) = (control >> 3 & 7, 4 * (control >> 6));
        if sequence_bytes == 0 || synced_bytes > 8 || is_bare && fragment_type != FragmentType::Full
        {
            return None;
        }
        let mut input = bytes.get(4..)?;
        let payload_checksum = get_u32(&mut input)?;
        let length = get_u16(&mut input)?;
        let room = room_at(offset);
        if room == 0 || u64::from(length) > room {
            return None;
        }
        let mut input = bytes.get(FIXED_HEADER_BYTES..)?;
        let header = FragmentHeader {
            payload_checksum,
            length,
            fragment_type,
            is_bare,
            first_sequence: SequenceNumber(get_narrow(&mut input, sequence_bytes)?),
            synced: Synced::up_to(get_narrow(&mut input, synced_bytes)?),
        };
        // No number is wider than necessary, and the synced length that a record states is before the record (WAL-3).
        let is_possible = header.control() == control && header.synced.length() <= offset;
        is_possible.then_some(header)
    }

    /// The header at `offset` of the log, or `None` if `bytes` do not begin with it.
    #[inline]
    pub(super) fn decode(bytes: &[u8], log_id: u64, offset: u64) -> Option<FragmentHeader> {
        FragmentHeader::decode_sought(bytes, log_id, offset, |_| true)
    }

    /// Like [`FragmentHeader::decode`], but also `None` if the header is not one that is sought. Checks that before
    /// the checksum.
    #[inline]
    fn decode_sought(
        bytes: &[u8],
        log_id: u64,
        offset: u64,
        is_sought: impl FnOnce(&FragmentHeader) -> bool,
    ) -> Option<FragmentHeader> {
        let header = FragmentHeader::parse(bytes, offset).filter(is_sought)?;
        let (checksum, covered) = header.checksum_and_covered(bytes)?;
        debug_assert!(
            covered.len() + 4 == header.header_bytes(),
            "WAL-6: the checksum covers the header"
        );
        (checksum == placed_crc(log_id, offset, &[covered])).then_some(header)
    }

    /// Whether `bytes` begin with the header of a record's first fragment at `offset` of the log.
    #[inline]
    pub(super) fn begins_record(bytes: &[u8], log_id: u64, offset: u64) -> bool {
        let is_first = |header: &FragmentHeader| header.fragment_type.is_first();
        FragmentHeader::decode_sought(bytes, log_id, offset, is_first).is_some()
    }

    /// How far the log was synced according to the fragment with which `bytes` begin, at `offset`, if that is beyond
    /// `known`.
    ///
    /// The fragment must be there with its payload, and both checksums must be right: among the bytes of a torn log a
    /// single 32-bit checksum is right by chance too often.
    #[inline]
    pub(super) fn find_synced(
        bytes: &[u8],
        log_id: u64,
        offset: u64,
        known: Synced,
    ) -> Option<Synced> {
        let is_news = |header: &FragmentHeader| header.synced > known;
        let header = FragmentHeader::decode_sought(bytes, log_id, offset, is_news)?;
        header.has_payload(bytes).then_some(header.synced)
    }

    /// The log's id, if a fragment with an intact payload begins at `bytes`, which are at `offset` of the log.
    ///
    /// The payload's checksum covers no id, so it can distinguish a fragment from noise when the id is unknown.
    pub(super) fn find_id(bytes: &[u8], offset: u64) -> Option<u64> {
        let header = FragmentHeader::parse(bytes, offset)?;
        let (checksum, covered) = header.checksum_and_covered(bytes)?;
        (header.length > 0 && header.has_payload(bytes))
            .then(|| id_behind(checksum, offset, &[covered]))
    }

    /// The header's checksum, and the bytes that it covers apart from the place.
    #[inline]
    fn checksum_and_covered<'a>(&self, bytes: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let mut covered = bytes.get(..self.header_bytes())?;
        let checksum = get_u32(&mut covered)?;
        Some((checksum, covered))
    }

    /// Whether the payload follows the header, which `bytes` begin with.
    #[inline]
    fn has_payload(&self, bytes: &[u8]) -> bool {
        let behind = bytes.get(self.header_bytes()..).unwrap_or(&[]);
        let payload = behind.get(..usize::from(self.length));
        payload.is_some_and(|payload| payload_checksum(payload) == self.payload_checksum)
    }
}

/// How many payload bytes a fragment at `offset` can have; 0 if none can start there.
#[inline]
pub(super) fn room_at(offset: u64) -> u64 {
    (BLOCK_BYTES - offset % BLOCK_BYTES).saturating_sub(MAX_HEADER_BYTES as u64)
}

/// Where the next fragment starts if the last one ended at `offset`: right there, or at the next block if the rest of
/// this one cannot hold the longest header and one byte. The skipped bytes are zero.
#[inline]
pub(super) fn fragment_start(offset: u64) -> u64 {
    match room_at(offset) {
        0 => offset.next_multiple_of(BLOCK_BYTES),
        _ => offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FragmentHeader {
        FragmentHeader {
            payload_checksum: payload_checksum(b"x"),
            length: 1,
            fragment_type: FragmentType::Full,
            is_bare: true,
            first_sequence: SequenceNumber(7),
            synced: Synced::up_to(64),
        }
    }

    /// Each number that is the smallest or the largest of its width, with that width.
    fn sequences() -> Vec<(u64, usize)> {
        let ends = |width: usize| {
            let smallest = if width == 1 {
                0
            } else {
                1 << (8 * (width - 1))
            };
            [(smallest, width), ((1 << (8 * width)) - 1, width)]
        };
        (1..=7).flat_map(ends).collect()
    }

    /// Where records can begin in a log that is longer than 4 GiB.
    const FAR: u64 = 1 << 40;
    const MARKS: [(u64, usize); 5] = [(0, 0), (1, 4), (u32::MAX as u64, 4), (1 << 32, 8), (FAR, 8)];

    /// Makes the header's checksum right for `bytes` as they are.
    fn sealed(mut bytes: Vec<u8>, log_id: u64, offset: u64) -> Vec<u8> {
        let checksum = placed_crc(log_id, offset, &[&bytes[4..]]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_fragment_header_is_good_at_its_place_only() {
        let header = header();
        let bytes = header.encode(5, 100);
        let bytes = bytes.as_bytes();
        assert_eq!(FragmentHeader::decode(bytes, 5, 100), Some(header));
        assert_eq!(FragmentHeader::decode(bytes, 6, 100), None);
        assert_eq!(FragmentHeader::decode(bytes, 5, 101), None);
    }

    #[test]
    fn numbers_of_every_width_come_back_and_no_flipped_bit_does() {
        use FragmentType::{First, Full, Last, Middle};
        let kinds = [Full, First, Middle, Last].map(|kind| (kind, false));
        for (fragment_type, is_bare) in kinds.into_iter().chain([(Full, true)]) {
            for (sequence, width) in sequences() {
                for (synced, mark) in MARKS {
                    let header = FragmentHeader {
                        fragment_type,
                        is_bare,
                        first_sequence: SequenceNumber(sequence),
                        synced: Synced::up_to(synced),
                        ..header()
                    };
                    let encoded = header.encode(5, FAR);
                    let bytes = encoded.as_bytes();
                    assert_eq!(bytes.len(), FIXED_HEADER_BYTES + width + mark);
                    assert_eq!(header.header_bytes(), bytes.len());
                    assert_eq!(FragmentHeader::expected_bytes(bytes), Some(bytes.len()));
                    assert_eq!(FragmentHeader::decode(bytes, 5, FAR), Some(header));
                    let more = [bytes, &[0xff; 40]].concat();
                    assert_eq!(FragmentHeader::decode(&more, 5, FAR), Some(header));
                    for cut in 0..bytes.len() {
                        assert_eq!(FragmentHeader::decode(&bytes[..cut], 5, FAR), None);
                    }
                    for bit in 0..bytes.len() * 8 {
                        let mut flipped = more.clone();
                        flipped[bit / 8] ^= 1 << (bit % 8);
                        assert_eq!(FragmentHeader::decode(&flipped, 5, FAR), None, "bit {bit}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_control_byte_that_no_writer_makes_is_of_no_header() {
        // The checksum is right, and the header is as long as the control byte says.
        let good = header().encode(5, FAR).as_bytes().to_vec();
        let mut accepted = 0;
        for control in 0..=255u8 {
            let (width, mark) = (control >> 3 & 7, control >> 6);
            let is_one = width > 0 && mark < 3 && (control & BARE == 0 || control & 3 == 0);
            let mut bytes = good[..FIXED_HEADER_BYTES].to_vec();
            bytes[CONTROL_OFFSET] = control;
            // As large as the width requires, but not larger than the offset.
            bytes.extend(vec![1; width.into()]);
            bytes.extend([1; 5].iter().chain(&[0; 7]).take(4 * usize::from(mark)));
            let decoded = FragmentHeader::decode(&sealed(bytes, 5, FAR), 5, FAR);
            assert_eq!(decoded.is_some(), is_one, "{control:#010b}");
            accepted += usize::from(is_one);
        }
        assert_eq!(accepted, 5 * 7 * 3);
    }

    #[test]
    fn a_number_wider_than_it_must_be_is_of_no_header() {
        let bytes_of = |sequence: u64, width: usize, mark: u64, mark_width: usize| {
            let mut bytes = header().encode(5, FAR).as_bytes()[..FIXED_HEADER_BYTES].to_vec();
            bytes[CONTROL_OFFSET] = (width << 3 | (mark_width / 4) << 6) as u8;
            bytes.extend(&sequence.to_le_bytes()[..width]);
            bytes.extend(&mark.to_le_bytes()[..mark_width]);
            sealed(bytes, 5, FAR)
        };
        for (sequence, needed) in sequences() {
            for width in needed..=7 {
                let decoded = FragmentHeader::decode(&bytes_of(sequence, width, 0, 0), 5, FAR);
                assert_eq!(decoded.is_some(), width == needed, "{sequence} in {width}");
            }
        }
        for (mark, needed) in MARKS {
            for width in [0, 4, 8].into_iter().filter(|width| *width >= needed) {
                let decoded = FragmentHeader::decode(&bytes_of(1, 1, mark, width), 5, FAR);
                assert_eq!(decoded.is_some(), width == needed, "{mark} in {width}");
            }
        }
    }

    #[test]
    fn a_fragment_knows_no_sync_of_what_is_behind_it() {
        for (synced, is_one) in [(100, true), (101, false)] {
            let header = FragmentHeader {
                synced: Synced::up_to(synced),
                ..header()
            };
            let encoded = header.encode(5, 100);
            let decoded = FragmentHeader::decode(encoded.as_bytes(), 5, 100);
            assert_eq!(decoded.is_some(), is_one);
        }
    }

    #[test]
    fn a_fragment_is_whole_only_with_its_payload() {
        let header = header();
        let bytes = [header.encode(5, 100).as_bytes(), b"xyz"].concat();
        let whole = header.header_bytes() + 1;
        let find = |bytes: &[u8]| FragmentHeader::find_synced(bytes, 5, 100, Synced::up_to(63));
        assert_eq!(find(&bytes), Some(Synced::up_to(64)));
        assert_eq!(find(&bytes[..whole]), Some(Synced::up_to(64)));
        assert_eq!(find(&bytes[..whole - 1]), None);
        assert_eq!(
            FragmentHeader::find_synced(&bytes, 5, 100, Synced::up_to(64)),
            None
        );
        let mut other = bytes.clone();
        other[whole - 1] = b'y';
        assert_eq!(find(&other), None);
        assert_eq!(FragmentHeader::decode(&other, 5, 100), Some(header));
        // A fragment with an empty payload has only a header, from which no id follows.
        let empty = FragmentHeader {
            payload_checksum: payload_checksum(b""),
            length: 0,
            ..header
        };
        assert_eq!(
            find(empty.encode(5, 100).as_bytes()),
            Some(Synced::up_to(64))
        );
        let find_id = |bytes: &[u8]| FragmentHeader::find_id(bytes, 100);
        assert_eq!(find_id(empty.encode(5, 100).as_bytes()), None);
        assert_eq!(find_id(&other), None);
        let id = find_id(&bytes).unwrap();
        assert_eq!(FragmentHeader::decode(&bytes, id, 100), Some(header));
    }

    #[test]
    fn only_the_usual_beginning_of_a_batch_is_left_out() {
        let of_one = [&HEADER_OF_ONE[..], b"operation"].concat();
        let mut of_two = of_one.clone();
        of_two[2] = 2;
        for (encoded, stored) in [
            (&of_one[..], &b"operation"[..]),
            (&of_two, &of_two),
            (&HEADER_OF_ONE, b""),
            (&HEADER_OF_ONE[..6], &HEADER_OF_ONE[..6]),
            (b"", b""),
        ] {
            let payload = Payload::new(encoded);
            assert_eq!((payload.encoded(), payload.stored), (encoded, stored));
            assert_eq!(payload.checksum, payload_checksum(stored));
            assert_eq!(payload.is_bare(), encoded != stored);
        }
    }

    #[test]
    fn a_fragment_longer_than_its_block_is_none() {
        for offset in [64, 100, BLOCK_BYTES - 40] {
            let room = room_at(offset);
            for (length, is_one) in [(room, true), (room + 1, false), (0xffff, false)] {
                let length = length as u16;
                let encoded = FragmentHeader { length, ..header() }.encode(5, offset);
                let decoded = FragmentHeader::decode(encoded.as_bytes(), 5, offset);
                assert_eq!(decoded.is_some(), is_one, "{length} bytes at {offset}");
            }
        }
        for (offset, is_one) in [(BLOCK_BYTES - 27, true), (BLOCK_BYTES - 26, false)] {
            let empty = FragmentHeader {
                length: 0,
                ..header()
            };
            let encoded = empty.encode(5, offset);
            let decoded = FragmentHeader::decode(encoded.as_bytes(), 5, offset);
            assert_eq!(decoded.is_some(), is_one, "no fragment starts at {offset}");
        }
    }

    #[test]
    fn a_file_header_is_intact_or_refused() {
        let header = LogHeader {
            database: 0,
            log_id: 1,
            number: FileNumber(2),
            predecessor: Predecessor {
                number: FileNumber(1),
                length: 99,
                last_sequence: SequenceNumber(3),
                unsynced: 7,
            },
        };
        let bytes = header.encode();
        assert_eq!(LogHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(LogHeader::decode(&flipped), Err(BadHeader::Checksum));
        }
        let mut newer = bytes;
        newer[8] = 2;
        let checksum = crc(&newer[..60]);
        newer[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(LogHeader::decode(&newer), Err(BadHeader::Version(2)));
    }

    #[test]
    fn a_block_tail_that_holds_no_header_and_byte_is_skipped() {
        let header = MAX_HEADER_BYTES as u64;
        assert_eq!(fragment_start(64), 64);
        assert_eq!(
            fragment_start(BLOCK_BYTES - header - 1),
            BLOCK_BYTES - header - 1
        );
        assert_eq!(fragment_start(BLOCK_BYTES - header), BLOCK_BYTES);
        assert_eq!(fragment_start(BLOCK_BYTES - 1), BLOCK_BYTES);
        assert_eq!(fragment_start(BLOCK_BYTES), BLOCK_BYTES);
    }
}
