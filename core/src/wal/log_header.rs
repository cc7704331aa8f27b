//! The header of a log: which log it is, and which one comes before it. Layout: docs/format.md, "WAL".
//!
//! The decoder returns a reason for bytes that [`LogHeader::encode`] did not write, and never panics.
//!
//! Elsewhere: what comes after the header (`fragment.rs`), whether one log follows another (`chain.rs`).

use super::synced::Synced;
use crate::checksum::crc;
use crate::coding::{get_bytes, get_u32, get_u64, put_u32, put_u64};
use crate::key::{FileNumber, SequenceNumber};

/// The first bytes of every log.
const MAGIC: [u8; 8] = *b"AiDb.log";
/// The only version so far.
pub(super) const VERSION: u32 = 1;
pub(super) const FILE_HEADER_BYTES: usize = 64;
const _: () = assert!(FILE_HEADER_BYTES == 8 + 4 + 4 + 8 + 8 + 3 * 8 + 4 + 4);

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
