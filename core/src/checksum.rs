//! CRC-32 (the IEEE polynomial, as in zlib), through `crc32fast`.
//!
//! Every checksum on disk covers the bytes, their type, their length, and the place they belong to: the random
//! 64-bit id of their file and their offset in it. So a block that is intact but in the wrong place, or a
//! record left over from an earlier life of a recycled file, fails its check like a flipped bit does.

/// The checksum of `parts`, one after the other, at `offset` of the file with id `file_id`.
pub(crate) fn placed_crc(file_id: u64, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place(file_id, offset));
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn place(file_id: u64, offset: u64) -> [u8; 16] {
    let mut place = [0u8; 16];
    place[..8].copy_from_slice(&file_id.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    place
}

/// The checksum of `bytes` alone.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The checksum of a piece that begins at a known place and whose end is sought. It covers the length as eight bytes,
/// the bytes, and a tail. Adding a byte costs the same however many came before.
pub(crate) struct OpenEnded {
    place: [u8; 16],
    bytes: crc32fast::Hasher,
    length: u64,
}

impl OpenEnded {
    /// An empty piece at `offset` of the file with id `file_id`.
    pub(crate) fn new(file_id: u64, offset: u64) -> OpenEnded {
        OpenEnded {
            place: place(file_id, offset),
            bytes: crc32fast::Hasher::new(),
            length: 0,
        }
    }

    /// Adds the next bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The result of [`placed_crc`] for the length, the bytes so far, and `tail`.
    pub(crate) fn crc(&self, tail: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.place);
        hasher.update(&self.length.to_le_bytes());
        let mut rest = self.bytes.clone();
        rest.update(tail);
        hasher.combine(&rest);
        hasher.finalize()
    }
}

/// A file id under which `parts` at `offset` have this checksum: for files whose stored id is damaged.
///
/// A checksum depends on the id only through the 32 bits of state after it, and undoing the checksum byte by byte
/// leads to that state. So the returned id may differ from the original one, but works as well: every checksum in the
/// file is the same under both. By itself it proves nothing; a second checksum of the file does.
pub(crate) fn id_behind(checksum: u32, offset: u64, parts: &[&[u8]]) -> u64 {
    let mut state = !checksum;
    for part in parts.iter().rev() {
        state = part
            .iter()
            .rev()
            .fold(state, |state, byte| back(state, *byte));
    }
    for byte in offset.to_le_bytes().iter().rev() {
        state = back(state, *byte);
    }
    // The id is four zero bytes, then the four bytes that lead from there to the state.
    let zeros = !crc(&[0; 4]);
    let last = (0..4).fold(state, |state, _| back(state, 0)) ^ zeros;
    u64::from(last) << 32
}

/// The state of a CRC-32 before `byte` took it to `state`.
fn back(state: u32, byte: u8) -> u32 {
    // The upper byte of a table entry differs for each index, and the upper byte of the later state comes only from
    // the entry.
    let index = (0..=255u8).find(|index| entry(*index) >> 24 == state >> 24);
    let index = index.expect("the upper bytes of the table are a permutation");
    (state ^ entry(index)) << 8 | u32::from(index ^ byte)
}

/// Entry `index` of the table with which a CRC-32 adds a byte.
fn entry(index: u8) -> u32 {
    (0..8).fold(u32::from(index), |entry, _| match entry & 1 {
        1 => entry >> 1 ^ 0xedb8_8320,
        _ => entry >> 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_ended_checksum_is_that_of_the_whole() {
        let mut growing = OpenEnded::new(7, 4096);
        for (length, piece) in [(0u64, &b""[..]), (3, b"abc"), (5, b"de")] {
            growing.extend(piece);
            let whole = &b"abcde"[..length as usize];
            let expected = placed_crc(7, 4096, &[&length.to_le_bytes(), whole, b"t"]);
            assert_eq!(growing.crc(b"t"), expected);
        }
    }

    #[test]
    fn an_id_can_be_distinguished_from_what_it_protects() {
        for (id, offset) in [(0, 0), (u64::MAX, 1 << 40), (0x0123_4567_89ab_cdef, 4096)] {
            let first = placed_crc(id, offset, &[b"some", b" bytes"]);
            let other = placed_crc(id, offset + 99, &[b"others, and more of them"]);
            let reported = id_behind(first, offset, &[b"some", b" bytes"]);
            assert_eq!(placed_crc(reported, offset, &[b"some bytes"]), first);
            let check = placed_crc(reported, offset + 99, &[b"others, and more of them"]);
            assert_eq!(check, other);
            let wrong = id_behind(first ^ 1, offset, &[b"some bytes"]);
            let check = placed_crc(wrong, offset + 99, &[b"others, and more of them"]);
            assert_ne!(check, other);
        }
    }

    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc(b""), 0);
    }

    #[test]
    fn the_place_is_part_of_the_checksum() {
        let here = placed_crc(1, 2, &[b"ab", b"c"]);
        assert_eq!(here, placed_crc(1, 2, &[b"abc"]));
        assert_ne!(here, placed_crc(2, 2, &[b"abc"]));
        assert_ne!(here, placed_crc(1, 3, &[b"abc"]));
    }
}
