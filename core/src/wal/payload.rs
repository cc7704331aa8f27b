//! A batch on its way into a log.

use super::fragment::{payload_checksum, room_at};
use crate::batch::HEADER_OF_ONE;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
