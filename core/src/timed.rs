//! `Timed`: a value that carries times, as the entries of some kinds store it.
//!
//! Layout: docs/format.md, "Times in a value". A byte of flags, the times that it announces, and then the bytes of the
//! value itself.
//!
//! * TIMED-1  A value is read back as it was written, or refused: no flag is ignored, and no time is cut off.
//!
//! Elsewhere: the kinds with such values (`key.rs`).

use crate::coding::{MAX_VARINT_BYTES, get_u8, get_varint, write_varint};
use crate::error::{Error, Result};

/// In the flags: the time of writing follows.
const HAS_WRITTEN: u8 = 1;
/// In the flags: the time of expiry follows.
const HAS_EXPIRES: u8 = 2;

/// The most bytes before the value itself: the flags and two times.
pub(crate) const MAX_HEAD_BYTES: usize = 1 + 2 * MAX_VARINT_BYTES;

/// The value of a timed entry, in its parts. Times are microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Timed<'a> {
    /// When it was written.
    pub(crate) written: Option<u64>,
    /// From when on it is absent.
    pub(crate) expires: Option<u64>,
    /// The value itself.
    pub(crate) bytes: &'a [u8],
}

/// The bytes before the value itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    bytes: [u8; MAX_HEAD_BYTES],
    length: usize,
}

impl Head {
    /// See the type.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<'a> Timed<'a> {
    /// The bytes before the value itself.
    pub(crate) fn head(&self) -> Head {
        let mut head = Head {
            bytes: [0; MAX_HEAD_BYTES],
            length: 1,
        };
        for (flag, time) in [(HAS_WRITTEN, self.written), (HAS_EXPIRES, self.expires)] {
            if let Some(time) = time {
                head.bytes[0] |= flag;
                head.length += write_varint(&mut head.bytes[head.length..], time);
            }
        }
        debug_assert!(
            head.length <= MAX_HEAD_BYTES,
            "TIMED-1: it is written whole"
        );
        head
    }

    /// The parts of an entry's value.
    ///
    /// Errors: `Internal` if it is not the value of a timed entry; the caller knows the place.
    #[inline]
    pub(crate) fn decode(value: &'a [u8]) -> Result<Timed<'a>> {
        let mut bytes = value;
        let times = decode_times(&mut bytes);
        let (written, expires) = times.ok_or_else(|| Error::internal(IMPOSSIBLE))?;
        Ok(Timed {
            written,
            expires,
            bytes,
        })
    }
}

/// What is wrong with a value that is not a timed one.
const IMPOSSIBLE: &str = "the times in a value are impossible";

/// The time of writing and the time of expiry.
type Times = (Option<u64>, Option<u64>);

/// Reads the flags and the times at the front of `input`.
#[inline]
fn decode_times(input: &mut &[u8]) -> Option<Times> {
    let flags = get_u8(input)?;
    if flags & !(HAS_WRITTEN | HAS_EXPIRES) != 0 {
        return None;
    }
    let mut time = |flag| match flags & flag {
        0 => Some(None),
        _ => get_varint(input).map(Some),
    };
    Some((time(HAS_WRITTEN)?, time(HAS_EXPIRES)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [Option<u64>; 7] = [
        None,
        Some(0),
        Some(1),
        Some(127),
        Some(128),
        Some(1 << 50),
        Some(u64::MAX),
    ];

    /// TIMED-1.
    #[test]
    fn every_value_is_read_back_and_no_cut_of_its_times_is() {
        for written in TIMES {
            for expires in TIMES {
                for bytes in [&b""[..], b"\0", b"\x02", b"value"] {
                    let timed = Timed {
                        written,
                        expires,
                        bytes,
                    };
                    let head = timed.head();
                    let value = [head.bytes(), bytes].concat();
                    assert_eq!(Timed::decode(&value).unwrap(), timed);
                    for cut in 0..head.bytes().len() {
                        assert!(Timed::decode(&value[..cut]).is_err(), "{timed:?} to {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_times_fill_the_longest_head() {
        let timed = Timed {
            written: Some(u64::MAX),
            expires: Some(u64::MAX),
            bytes: b"",
        };
        assert_eq!(timed.head().bytes().len(), MAX_HEAD_BYTES);
        assert_eq!(Timed::default().head().bytes(), [0]);
    }

    /// TIMED-1.
    #[test]
    fn unknown_flags_and_times_of_more_than_64_bits_are_refused() {
        for flags in 4..=255 {
            assert!(Timed::decode(&[flags, 1, 1, 1]).is_err(), "{flags}");
        }
        let long = [&[HAS_EXPIRES][..], &[0xff; 9], &[2]].concat();
        assert!(Timed::decode(&long).is_err());
        let good = [&[HAS_EXPIRES][..], &[0xff; 9], &[1]].concat();
        assert_eq!(Timed::decode(&good).unwrap().expires, Some(u64::MAX));
    }
}
