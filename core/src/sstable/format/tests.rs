//! What is a table by its ends, and what is damage there.

use super::header::HEADER_MAGIC;
use super::*;
use crate::env::{Env, MemEnv};
use crate::error::ErrorKind;

#[test]
fn only_the_magic_at_its_edge_tells_a_table() {
    let [begin, end] = [HEADER_MAGIC, FOOTER_MAGIC];
    let [behind_begin, before_end] = [[&begin[..], b"x"].concat(), [b"x", &end[..]].concat()];
    assert!(begins_table(&begin) && begins_table(&behind_begin));
    assert!(ends_table(&end) && ends_table(&before_end));
    for other in [&b""[..], &begin[1..], &[b"x", &begin[..]].concat()] {
        assert!(!begins_table(other), "{other:?}");
    }
    for other in [&b""[..], &end[1..], &[&end[..], b"x"].concat()] {
        assert!(!ends_table(other), "{other:?}");
    }
}

#[test]
fn header_and_footer_round_trip_and_notice_every_flipped_bit() {
    let path = Path::new("000001.sst");
    let header = encode_header(77);
    assert_eq!(header.len(), HEADER_BYTES);
    assert_eq!(decode_header(path, &header).unwrap(), 77);
    let footer = Footer {
        index: BlockHandle {
            offset: 1,
            length: 2,
        },
        filter: None,
        properties: BlockHandle {
            offset: 3,
            length: 4,
        },
        version: VERSION,
    };
    let encoded = footer.encode(77, 1000);
    assert_eq!(encoded.len(), FOOTER_BYTES);
    assert_eq!(Footer::decode(path, 77, 1000, &encoded).unwrap(), footer);
    assert!(Footer::decode(path, 77, 1001, &encoded).is_err());
    let magic_at = FOOTER_BYTES - FOOTER_MAGIC.len();
    let longer = [&encoded[..magic_at], &[0], &FOOTER_MAGIC].concat();
    assert!(Footer::decode(path, 77, 1000, &longer).is_err());
    assert!(Footer::decode(path, 78, 1000, &encoded).is_err());
    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = header.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = decode_header(path, &damaged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
    }
    for bit in 0..FOOTER_BYTES * 8 {
        let mut damaged = encoded.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = Footer::decode(path, 77, 1000, &damaged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
    }
}

#[test]
fn a_file_that_ends_within_what_is_read_is_damage() {
    let (env, path) = (MemEnv::new(), Path::new("/000001.sst"));
    let file = env.create_new(path).unwrap();
    file.write_at(0, &[7; 10]).unwrap();
    assert_eq!(read_exact(&*file, path, 2, 8).unwrap(), [7; 8]);
    let error = read_exact(&*file, path, 2, 9).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
}
