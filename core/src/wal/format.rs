//! The bytes of a log: file header, fragment header, and their checksums. Layout: docs/format.md, "WAL".
//!
//! Decoders answer `None` or a reason for bytes that were not written by [`LogHeader::encode`] or
//! [`FragmentHeader::encode`] for this place; they never panic.

use crate::checksum::{crc, id_behind, placed_crc};
use crate::coding::{get_bytes, get_u8, get_u32, get_u64, put_u32, put_u64};
use crate::key::{FileNumber, SequenceNumber};

/// No fragment crosses a multiple of this offset.
pub(super) const BLOCK_BYTES: u64 = 32 << 10;

/// The first bytes of every log.
pub(super) const MAGIC: [u8; 8] = *b"AiDb.log";
/// The only version there is.
pub(super) const VERSION: u32 = 1;
pub(super) const FILE_HEADER_BYTES: usize = 64;
const _: () = assert!(FILE_HEADER_BYTES == 8 + 4 + 4 + 8 + 8 + 3 * 8 + 4 + 4);

pub(super) const FRAGMENT_HEADER_BYTES: usize = 32;
const _: () = assert!(FRAGMENT_HEADER_BYTES == 4 + 4 + 4 + 1 + 3 + 8 + 8);

/// The log before a log: what of it counts. All zero if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Predecessor {
    pub(crate) number: FileNumber,
    /// The end of its last good record; what lies behind does not count.
    pub(crate) length: u64,
    /// The last sequence number in it or before it.
    pub(crate) last_sequence: SequenceNumber,
    /// How many of its last bytes were not known to be synced when the log behind it was made.
    pub(crate) unsynced: u32,
}

impl Predecessor {
    /// A log that ends at `length`, of which `synced` bytes are known to be durable.
    pub(crate) fn new(
        number: FileNumber,
        length: u64,
        last_sequence: SequenceNumber,
        synced: u64,
    ) -> Predecessor {
        Predecessor {
            number,
            length,
            last_sequence,
            unsynced: u32::try_from(length.saturating_sub(synced)).unwrap_or(u32::MAX),
        }
    }

    /// How many of its bytes were known to be durable; 0 if that is too far back to say.
    pub(crate) fn synced(&self) -> u64 {
        match self.unsynced {
            u32::MAX => 0,
            unsynced => self.length.saturating_sub(u64::from(unsynced)),
        }
    }
}

/// What a log says of itself in its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogHeader {
    /// Random; folded into every checksum, so that an earlier life of the same file is not mistaken for this one.
    pub(crate) log_id: u64,
    pub(crate) number: FileNumber,
    pub(crate) predecessor: Predecessor,
}

/// Why bytes are no header of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// The checksum fails: never completely written, or damaged.
    Checksum,
    /// Intact, but not a log.
    Magic,
    /// Intact, but of this newer version.
    Version(u32),
}

impl LogHeader {
    /// Whether the numbers in it are such that a log can follow on.
    pub(super) fn is_possible(&self) -> bool {
        self.predecessor.last_sequence <= SequenceNumber::MAX
    }

    pub(super) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, 0);
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
        get_u32(input)?;
        Some(Ok(LogHeader {
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

/// Which part of its record a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FragmentType {
    Full = 1,
    First = 2,
    Middle = 3,
    Last = 4,
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

    fn from_u8(byte: u8) -> Option<FragmentType> {
        match byte {
            1 => Some(FragmentType::Full),
            2 => Some(FragmentType::First),
            3 => Some(FragmentType::Middle),
            4 => Some(FragmentType::Last),
            _ => None,
        }
    }

    pub(super) fn is_first(self) -> bool {
        matches!(self, FragmentType::Full | FragmentType::First)
    }

    pub(super) fn is_last(self) -> bool {
        matches!(self, FragmentType::Full | FragmentType::Last)
    }
}

/// The checksum of a fragment's payload. It knows no place, so a writer can compute it before it has one; the
/// header's checksum covers it together with the place.
#[inline]
pub(crate) fn payload_checksum(payload: &[u8]) -> u32 {
    crc(payload)
}

/// What stands before each fragment's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentHeader {
    pub(super) payload_checksum: u32,
    pub(super) length: u32,
    pub(super) fragment_type: FragmentType,
    pub(super) first_sequence: SequenceNumber,
    pub(super) synced_up_to: u64,
}

impl FragmentHeader {
    #[inline]
    pub(super) fn encode(&self, log_id: u64, offset: u64) -> [u8; FRAGMENT_HEADER_BYTES] {
        let mut out = [0u8; FRAGMENT_HEADER_BYTES];
        out[4..8].copy_from_slice(&self.payload_checksum.to_le_bytes());
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12] = self.fragment_type as u8;
        out[16..24].copy_from_slice(&self.first_sequence.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.synced_up_to.to_le_bytes());
        let checksum = placed_crc(log_id, offset, &[&out[4..]]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The header at `offset` of the log, or `None` if these are not its bytes.
    pub(super) fn decode(
        bytes: &[u8; FRAGMENT_HEADER_BYTES],
        log_id: u64,
        offset: u64,
    ) -> Option<FragmentHeader> {
        let mut input = &bytes[..];
        let checksum = get_u32(&mut input)?;
        let covered = input;
        let payload_checksum = get_u32(&mut input)?;
        let length = get_u32(&mut input)?;
        let fragment_type = FragmentType::from_u8(get_u8(&mut input)?)?;
        // The cheap conditions come first: a search for headers asks at every byte of a file.
        if get_bytes(&mut input, 3)? != [0; 3]
            || u64::from(length) > room_at(offset)
            || checksum != placed_crc(log_id, offset, &[covered])
        {
            return None;
        }
        Some(FragmentHeader {
            payload_checksum,
            length,
            fragment_type,
            first_sequence: SequenceNumber(get_u64(&mut input)?),
            synced_up_to: get_u64(&mut input)?,
        })
    }
}

impl FragmentHeader {
    /// The log's id, if a fragment with an intact payload begins at `bytes`, which are at `offset` of the log.
    ///
    /// The payload's checksum covers no id, so it tells a fragment from noise when the id is not known.
    pub(super) fn find_id(bytes: &[u8], offset: u64) -> Option<u64> {
        let (header, rest) = bytes.split_first_chunk::<FRAGMENT_HEADER_BYTES>()?;
        FragmentType::from_u8(header[12])?;
        let mut input = &header[..];
        let checksum = get_u32(&mut input)?;
        let covered = input;
        let payload_crc = get_u32(&mut input)?;
        let length = get_u32(&mut input)?;
        let payload = rest.get(..length as usize)?;
        let is_plausible = header[13..16] == [0; 3] && length > 0;
        (is_plausible && payload_checksum(payload) == payload_crc)
            .then(|| id_behind(checksum, offset, &[covered]))
    }
}

/// How many payload bytes a fragment at `offset` can have; 0 if none can start there.
#[inline]
pub(super) fn room_at(offset: u64) -> u64 {
    (BLOCK_BYTES - offset % BLOCK_BYTES).saturating_sub(FRAGMENT_HEADER_BYTES as u64)
}

/// Where the next fragment starts if the last one ended at `offset`: there, or at the next block if the rest of
/// this one cannot hold a header and a byte. The bytes skipped are zero.
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
            first_sequence: SequenceNumber(7),
            synced_up_to: 64,
        }
    }

    #[test]
    fn a_fragment_header_is_good_at_its_place_only() {
        let bytes = header().encode(5, 100);
        assert_eq!(FragmentHeader::decode(&bytes, 5, 100), Some(header()));
        assert_eq!(FragmentHeader::decode(&bytes, 6, 100), None);
        assert_eq!(FragmentHeader::decode(&bytes, 5, 101), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FragmentHeader::decode(&flipped, 5, 100), None, "bit {bit}");
        }
    }

    #[test]
    fn a_fragment_longer_than_its_block_is_none() {
        for offset in [64, 100, BLOCK_BYTES - 40] {
            for (more, is_one) in [(0, true), (1, false), (u64::from(u32::MAX >> 1), false)] {
                let length = (room_at(offset) + more) as u32;
                let bytes = FragmentHeader { length, ..header() }.encode(5, offset);
                let decoded = FragmentHeader::decode(&bytes, 5, offset);
                assert_eq!(decoded.is_some(), is_one, "{length} bytes at {offset}");
            }
        }
    }

    #[test]
    fn a_file_header_is_intact_or_refused() {
        let header = LogHeader {
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
        let header = FRAGMENT_HEADER_BYTES as u64;
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
