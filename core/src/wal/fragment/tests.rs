//! Which bytes are the header of a fragment, and at which places.

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
