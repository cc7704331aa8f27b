//! The bytes of a log after its header: where fragments can be, and what precedes the payload of each.
//! Layout: docs/format.md, "WAL".
//!
//! Decoders return `None` for bytes that [`FragmentHeader::encode`] did not write for this file and offset; they
//! never panic.

use super::synced::Synced;
use crate::checksum::{crc, id_behind, placed_crc};
use crate::coding::{get_narrow, get_u16, get_u32};
use crate::key::SequenceNumber;

/// No fragment crosses a multiple of this offset.
pub(super) const BLOCK_BYTES: u64 = 32 << 10;

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

/// The checksum of a fragment's payload as it is stored. It does not cover the place, so a writer can compute it
/// before it knows the place. The header's checksum covers it together with the place.
#[inline]
pub(super) fn payload_checksum(stored: &[u8]) -> u32 {
    crc(stored)
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

/// The header before each fragment's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FragmentHeader {
    pub(super) payload_checksum: u32,
    /// The length of the payload as it is stored.
    pub(super) length: u16,
    pub(super) fragment_type: FragmentType,
    /// Whether the record's payload begins with [`HEADER_OF_ONE`](crate::batch::HEADER_OF_ONE), which is not stored.
    /// Only for full fragments.
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

#[cfg(test)]
mod tests;
