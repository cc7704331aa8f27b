//! What can be read of a log after it was written, torn, damaged or recycled.

mod edges;

use crate::wal::reader::LogEnd;
use std::path::Path;

use aidb_test_data::{Fill, Unit, edges_up_to};

use super::fragment::{
    BLOCK_BYTES, FIXED_HEADER_BYTES, FragmentHeader, FragmentType, MAX_HEADER_BYTES,
    payload_checksum, room_at,
};
use super::log_header::FILE_HEADER_BYTES;
use super::*;
use crate::batch::HEADER_OF_ONE;
use crate::checksum::id_behind;
use crate::env::{Call, Env, Fault, FaultEnv, MemEnv, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber};
use crate::sync::Arc;

const NUMBER: FileNumber = FileNumber(7);
const ID: u64 = 0x0123_4567_89ab_cdef;
const HEADER: u64 = FILE_HEADER_BYTES as u64;
/// The length of the header of a fragment with a sequence number below 256 that states no sync.
const SHORT_HEADER: u64 = FIXED_HEADER_BYTES as u64 + 1;

fn dir() -> &'static Path {
    Path::new("/")
}

fn create(env: &MemEnv) -> Writer {
    Writer::create(env, dir(), NUMBER, ID, Predecessor::default(), 0).unwrap()
}

/// Appends a record; returns the log's new length.
fn append(writer: &mut Writer, sequence: u64, payload: &[u8], synced: u64) -> Result<u64> {
    writer.append(
        SequenceNumber(sequence),
        &Payload::new(payload),
        Synced::up_to(synced),
    )
}

fn bytes_of(env: &MemEnv) -> Vec<u8> {
    let path = log_path(dir(), NUMBER);
    let PathKind::File(length) = env.kind(&path).unwrap() else {
        panic!("no log");
    };
    let mut bytes = vec![0; length as usize];
    let file = env.open_read(&path).unwrap();
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// An environment whose log has these bytes.
fn with_bytes(bytes: &[u8]) -> MemEnv {
    let env = MemEnv::new();
    let file = env.create_new(&log_path(dir(), NUMBER)).unwrap();
    file.write_at(0, bytes).unwrap();
    env
}

type Records = Vec<(u64, Vec<u8>)>;

/// All records, or those before an error; and the log's end, or the error.
fn read(env: &MemEnv, limit: Option<u64>) -> (Records, Result<LogEnd>) {
    let mut records = Vec::new();
    let mut reader = match Reader::open(env, &log_path(dir(), NUMBER), NUMBER) {
        Ok(Opened::Log(reader)) => reader,
        Ok(Opened::NeverWritten) => return (records, Err(Error::internal("never written"))),
        Err(error) => return (records, Err(error)),
    };
    if let Some(limit) = limit {
        reader.stop_at(limit);
    }
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                assert!(record.offset < record.end);
                records.push((record.first_sequence.0, record.payload.to_vec()));
            }
            Ok(None) => {
                assert_eq!(reader.next().unwrap(), None);
                return (records, Ok(reader.end().unwrap()));
            }
            Err(error) => {
                let again = reader.next().unwrap_err();
                assert_eq!(again.to_string(), error.to_string());
                assert_eq!(reader.end(), None);
                return (records, Err(error));
            }
        }
    }
}

/// `length` bytes, whose kind and content depend on `seed`.
fn payload(length: usize, seed: usize) -> Vec<u8> {
    Fill::ALL[seed % Fill::ALL.len()].bytes(seed as u64, length)
}

#[test]
fn records_of_every_size_around_the_block_edge_and_every_threshold_come_back() {
    let edge = room_at(HEADER) as usize;
    let full = room_at(0) as usize;
    let around = |size: usize| size - 40..size + 40;
    let sizes = around(edge).chain(around(full)).chain(around(edge + full));
    let known = edges_up_to((2 << 20) + 1, Unit::Bytes);
    assert!(known.contains(&((256 << 10) - 1)));
    for size in sizes.chain([0, 3_000_000]).chain(known) {
        for beginning in [&b""[..], &HEADER_OF_ONE] {
            let env = MemEnv::new();
            let mut writer = create(&env);
            let mut expected = Vec::new();
            for (seed, size) in [size, 1, 0, size, 5].into_iter().enumerate() {
                let payload = [beginning, &payload(size, seed)].concat();
                let sequence = seed as u64 * 10;
                let end = append(&mut writer, sequence, &payload, 0);
                assert_eq!(end.unwrap(), writer.len());
                expected.push((sequence, payload));
            }
            let (records, end) = read(&env, None);
            assert!(records == expected, "size {size}");
            let end = end.unwrap();
            assert_eq!((end.good_length, end.torn), (writer.len(), false));
        }
    }
}

#[test]
fn a_put_of_116_bytes_takes_133_of_the_log() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    let batch = crate::WriteBatch::of_put(&[b'k'; 16], &[b'v'; 100]).unwrap();
    for (sequence, synced, bytes) in [
        (1, 0, 131),
        (1_000_000, 0, 133),
        (SequenceNumber::MAX.0, 0, 137),
        (1_000_000, HEADER, 137),
    ] {
        let before = writer.len();
        let end = append(&mut writer, sequence, batch.encoded(), synced);
        assert_eq!(end.unwrap() - before, bytes, "number {sequence}");
    }
}

#[test]
fn a_batch_that_must_be_split_is_stored_with_its_beginning() {
    let room = room_at(HEADER) as usize;
    let second_block = BLOCK_BYTES + SHORT_HEADER;
    for (operation_bytes, length) in [
        (0, HEADER + SHORT_HEADER),
        (room - 1, HEADER + SHORT_HEADER + room as u64 - 1),
        (room, HEADER + SHORT_HEADER + room as u64),
        (room + 1, second_block + HEADER_OF_ONE.len() as u64 + 1),
    ] {
        let payload = [&HEADER_OF_ONE[..], &payload(operation_bytes, 1)].concat();
        let env = MemEnv::new();
        let mut writer = create(&env);
        append(&mut writer, 1, &payload, 0).unwrap();
        assert_eq!(writer.len(), length, "{operation_bytes} bytes");
        append(&mut writer, 2, b"another", 0).unwrap();
        let (records, end) = read(&env, None);
        assert!(records == [(1, payload), (2, b"another".to_vec())]);
        assert_eq!(end.unwrap().good_length, writer.len());
    }
}

#[test]
fn numbers_and_synced_lengths_of_every_width_come_back() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    let mut expected = Vec::new();
    let mut synced = 0;
    for bits in 0..56 {
        for sequence in [1 << bits, (1 << bits) - 1, SequenceNumber::MAX.0 >> bits] {
            let payload = [&HEADER_OF_ONE[..], &payload(bits, bits)].concat();
            synced = append(&mut writer, sequence, &payload, synced).unwrap();
            expected.push((sequence, payload));
        }
    }
    let (records, end) = read(&env, None);
    assert!(records == expected);
    let end = end.unwrap();
    assert_eq!((end.good_length, end.torn), (synced, false));
    assert!(end.synced.length() > HEADER);
}

#[test]
fn a_log_of_every_record_size_fills_its_blocks() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    let mut expected = Vec::new();
    let mut synced = 0;
    for size in (0..2000).step_by(3) {
        let payload = payload(size, size);
        let len = append(&mut writer, size as u64, &payload, synced).unwrap();
        if size % 5 == 0 {
            synced = len;
        }
        expected.push((size as u64, payload));
    }
    let (records, end) = read(&env, None);
    assert!(records == expected);
    assert!(end.unwrap().synced > Synced::NOTHING);
}

/// Writes three short records; the third states that the first was synced. Returns the ends of all three.
fn small_log(env: &MemEnv) -> [u64; 3] {
    let mut writer = create(env);
    let one = append(&mut writer, 1, b"one", 0).unwrap();
    let two = append(&mut writer, 2, b"second", 0).unwrap();
    let three = append(&mut writer, 3, b"third", one).unwrap();
    [one, two, three]
}

/// WAL-6.
#[test]
fn every_flipped_bit_is_noticed_and_distinguished_from_a_torn_tail() {
    let env = MemEnv::new();
    let [one, two, three] = small_log(&env);
    let good = bytes_of(&env);
    let (all, _) = read(&env, None);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let at = bit as u64 / 8;
        let (records, end) = read(&with_bytes(&bytes), None);
        let end = end.map_err(|error| error.kind());
        if at < one {
            // The header, and the part that the third record states as synced.
            assert_eq!(end, Err(ErrorKind::Corruption), "bit {bit}");
            assert!(records.is_empty());
        } else {
            let (good_length, count) = if at < two { (one, 1) } else { (two, 2) };
            let end = end.unwrap();
            assert_eq!(
                (end.good_length, end.torn),
                (good_length, true),
                "bit {bit}"
            );
            assert_eq!(records, all[..count]);
        }
    }
    assert_eq!(good.len() as u64, three);
}

#[test]
fn damage_names_the_file_and_the_offset() {
    let env = MemEnv::new();
    small_log(&env);
    let mut bytes = bytes_of(&env);
    bytes[(HEADER + SHORT_HEADER) as usize] ^= 1;
    let error = read(&with_bytes(&bytes), None).1.unwrap_err().to_string();
    assert!(error.contains("000007.log at byte 64:"), "{error}");
}

#[test]
fn a_log_cut_at_every_byte_keeps_its_whole_records() {
    let env = MemEnv::new();
    let ends = small_log(&env);
    let good = bytes_of(&env);
    let (all, _) = read(&env, None);
    for length in 0..good.len() as u64 {
        let (records, end) = read(&with_bytes(&good[..length as usize]), None);
        if length < HEADER {
            assert_eq!(
                end.unwrap_err().kind(),
                ErrorKind::Internal,
                "never written"
            );
            continue;
        }
        let count = ends.iter().filter(|&&end| end <= length).count();
        assert_eq!(records, all[..count], "cut to {length}");
        let end = end.unwrap();
        let good_length = [HEADER].iter().chain(&ends).rfind(|&&end| end <= length);
        assert_eq!(end.good_length, *good_length.unwrap());
        assert_eq!(end.torn, end.good_length != length);
    }
}

/// WAL-7.
#[test]
fn zeroed_out_records_below_what_was_synced_are_corruption() {
    let env = MemEnv::new();
    let [one, two, _] = small_log(&env);
    let mut bytes = bytes_of(&env);
    bytes[HEADER as usize..one as usize].fill(0);
    let error = read(&with_bytes(&bytes), None).1.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    let mut bytes = bytes_of(&env);
    bytes[one as usize..two as usize].fill(0);
    let end = read(&with_bytes(&bytes), None).1.unwrap();
    assert_eq!(
        end.good_length, one,
        "no record states that the second was synced"
    );
}

#[test]
fn a_later_sync_known_many_blocks_on_turns_a_torn_record_into_corruption() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    let first = append(&mut writer, 1, &payload(100, 0), 0).unwrap();
    for sequence in 2..60 {
        let long = payload(50_000, 1);
        append(&mut writer, sequence, &long, 0).unwrap();
    }
    let without = bytes_of(&env);
    append(&mut writer, 60, b"knows", first).unwrap();
    let with = bytes_of(&env);
    for (bytes, is_corrupt) in [(without, false), (with, true)] {
        let mut bytes = bytes.clone();
        bytes[(HEADER + SHORT_HEADER) as usize + 40] ^= 4;
        let end = read(&with_bytes(&bytes), None).1;
        assert_eq!(end.is_err(), is_corrupt);
    }
}

/// A fragment that states a sync up to `synced`, as it is written at `offset`.
fn knowing_fragment(log_id: u64, offset: u64, payload: &[u8], synced: u64) -> Vec<u8> {
    let header = FragmentHeader {
        payload_checksum: payload_checksum(payload),
        length: payload.len() as u16,
        fragment_type: FragmentType::Full,
        is_bare: false,
        first_sequence: SequenceNumber(9),
        synced: Synced::up_to(synced),
    };
    [header.encode(log_id, offset).as_bytes(), payload].concat()
}

#[test]
fn among_torn_bytes_only_a_whole_fragment_tells_of_a_sync() {
    // Enough noise after a torn tail holds headers whose checksum is right by chance.
    let env = MemEnv::new();
    let mut writer = create(&env);
    let good = append(&mut writer, 1, b"good", 0).unwrap();
    let mut bytes = bytes_of(&env);
    let noise = Fill::Noise.bytes(0x706e, (4 << 20) - bytes.len());
    bytes.extend(noise);
    let is_corrupt = |bytes: &[u8]| match read(&with_bytes(bytes), None).1 {
        Ok(end) => {
            assert_eq!((end.good_length, end.torn), (good, true));
            assert_eq!(end.synced, Synced::NOTHING);
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corruption);
            true
        }
    };
    assert!(!is_corrupt(&bytes));
    bytes.truncate(1_200_000);
    let length = bytes.len() as u64;
    let payload = payload(100, 5);
    let whole = knowing_fragment(ID, length, &payload, good + 1).len() as u64;
    let most = (MAX_HEADER_BYTES + payload.len()) as u64;
    for at in [
        good + 1,
        good + 5000,
        // At the last place that one block, and one chunk of blocks, can hold, and at the first of the next.
        BLOCK_BYTES - most,
        BLOCK_BYTES + 1,
        (1 << 20) - most,
        1 << 20,
        (1 << 20) + 1,
        length - whole,
    ] {
        let fragment = knowing_fragment(ID, at, &payload, good + 1);
        let with = |fragment: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at as usize..][..fragment.len()].copy_from_slice(fragment);
            bytes
        };
        assert!(is_corrupt(&with(&fragment)), "byte {at}");
        let header_only = &fragment[..fragment.len() - payload.len()];
        assert!(!is_corrupt(&with(header_only)), "byte {at}");
        let mut damaged = fragment.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(!is_corrupt(&with(&damaged)), "byte {at}");
        let elsewhere = knowing_fragment(ID, at + 1, &payload, good + 1);
        assert!(!is_corrupt(&with(&elsewhere)), "byte {at}");
        let of_another_log = knowing_fragment(ID + 1, at, &payload, good + 1);
        assert!(!is_corrupt(&with(&of_another_log)), "byte {at}");
        let knows_nothing_new = knowing_fragment(ID, at, &payload, 0);
        assert!(!is_corrupt(&with(&knows_nothing_new)), "byte {at}");
        let mut cut = with(&fragment);
        cut.truncate((at + whole) as usize - 1);
        assert!(!is_corrupt(&cut), "cut at byte {at}");
    }
    // At the place where a fragment is expected, its header is enough.
    let mut damaged = knowing_fragment(ID, good, &payload, good);
    *damaged.last_mut().unwrap() ^= 1;
    bytes[good as usize..][..damaged.len()].copy_from_slice(&damaged);
    let end = read(&with_bytes(&bytes), None).1.unwrap();
    assert_eq!((end.good_length, end.synced), (good, Synced::up_to(good)));
}

#[test]
fn a_fragment_behind_zeros_is_found_although_its_header_begins_with_zeros() {
    for zeros in 0..40 {
        let offset = HEADER + 500 + zeros;
        // Only the checksum depends on the log's id, so there is an id for which the checksum is 0.
        let bytes = knowing_fragment(ID, offset, b"", HEADER + 1);
        let log_id = id_behind(0, offset, &[&bytes[4..]]);
        let fragment = knowing_fragment(log_id, offset, b"", HEADER + 1);
        assert!(
            fragment[..FIXED_HEADER_BYTES - 1]
                .iter()
                .all(|byte| *byte == 0)
        );
        for torn in [0, 1] {
            let env = MemEnv::new();
            let none = Predecessor::default();
            Writer::create(&env, dir(), NUMBER, log_id, none, 0).unwrap();
            let mut bytes = bytes_of(&env);
            bytes.resize(HEADER as usize + 500, torn);
            bytes.resize(offset as usize, 0);
            bytes.extend(&fragment);
            let error = read(&with_bytes(&bytes), None).1.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption);
        }
    }
}

#[test]
fn a_pre_zeroed_tail_is_the_end_and_no_damage() {
    for size in [32 << 10, 1 << 20, 64 << 20] {
        let env = MemEnv::new();
        let none = Predecessor::default();
        let mut writer = Writer::create(&env, dir(), NUMBER, ID, none, size).unwrap();
        for sequence in 0..200 {
            let payload = payload(150, sequence);
            append(&mut writer, sequence as u64, &payload, 0).unwrap();
        }
        let length = bytes_of(&env).len() as u64;
        assert!(length > writer.len() || size == 32 << 10);
        assert!(
            length <= writer.len().max(size),
            "zeros beyond the expected length"
        );
        let (records, end) = read(&env, None);
        let end = end.unwrap();
        assert_eq!(records.len(), 200);
        assert_eq!((end.good_length, end.torn), (writer.len(), false));
    }
}

#[test]
fn a_large_record_is_zeroed_for_only_where_somebody_syncs() {
    let env = MemEnv::new();
    let none = Predecessor::default();
    let mut writer = Writer::create(&env, dir(), NUMBER, ID, none, 64 << 20).unwrap();
    let large = payload(100_000, 1);
    let large = Payload::new(&large);
    writer
        .append(SequenceNumber(1), &large, Synced::NOTHING)
        .unwrap();
    assert_eq!(bytes_of(&env).len() as u64, writer.len());
    let synced = Synced::up_to(writer.len());
    writer.append(SequenceNumber(2), &large, synced).unwrap();
    assert!(bytes_of(&env).len() as u64 > writer.len());
    // What is known about the log before counts too.
    let predecessor = Predecessor::new(FileNumber(3), 4096, SequenceNumber(0), Synced::up_to(4000));
    let env = MemEnv::new();
    let mut writer = Writer::create(&env, dir(), NUMBER, ID, predecessor, 64 << 20).unwrap();
    writer
        .append(SequenceNumber(1), &large, Synced::NOTHING)
        .unwrap();
    assert!(bytes_of(&env).len() as u64 > writer.len());
}

/// WAL-6.
#[test]
fn records_of_an_earlier_life_are_not_read() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    for sequence in 0..50 {
        let old = payload(100, 9);
        let len = writer.len();
        append(&mut writer, sequence, &old, len).unwrap();
    }
    let old = bytes_of(&env);
    let env = MemEnv::new();
    let none = Predecessor::default();
    let mut writer = Writer::create(&env, dir(), NUMBER, ID + 1, none, 0).unwrap();
    append(&mut writer, 900, &payload(100, 3), 0).unwrap();
    // The new log covers the beginning of the old one, so the old log's later records are still at their places.
    let mut bytes = bytes_of(&env);
    bytes.extend_from_slice(&old[bytes.len()..]);
    let (records, end) = read(&with_bytes(&bytes), None);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].0, 900);
    let end = end.unwrap();
    assert_eq!(
        (end.good_length, end.synced),
        (writer.len(), Synced::NOTHING)
    );
}

/// WAL-6.
#[test]
fn a_record_in_the_wrong_place_is_not_read() {
    let env = MemEnv::new();
    let [one, two, _] = small_log(&env);
    let bytes = bytes_of(&env);
    let mut moved = bytes[..one as usize].to_vec();
    moved.extend_from_slice(&bytes[HEADER as usize..one as usize]);
    assert_eq!(read(&with_bytes(&moved), None).0.len(), 1);
    moved.truncate(one as usize);
    moved.extend_from_slice(&bytes[one as usize..two as usize]);
    assert_eq!(read(&with_bytes(&moved), None).0.len(), 2);
}

#[test]
fn a_limit_ends_the_log_and_a_log_short_of_it_shows() {
    let env = MemEnv::new();
    let [one, two, three] = small_log(&env);
    for (limit, length, count) in [
        (HEADER, HEADER, 0),
        (one, one, 1),
        (two, two, 2),
        (two + 5, two, 2),
        // After the header, within the payload.
        (three - 1, two, 2),
        (three, three, 3),
        (three + 100, three, 3),
    ] {
        let (records, end) = read(&env, Some(limit));
        assert_eq!(records.len(), count);
        assert_eq!(end.unwrap().good_length, length, "limit {limit}");
    }
}

/// WAL-1.
#[test]
fn a_failed_append_poisons_and_the_good_length_stays() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    let end = append(&mut writer, 1, b"a", 0).unwrap();
    writer.poison(Error::internal("first"));
    writer.poison(Error::internal("second"));
    let error = append(&mut writer, 2, b"b", 0).unwrap_err();
    assert_eq!(error.message(), "first");
    assert_eq!(writer.poisoned().unwrap().message(), "first");
    assert_eq!(writer.len(), end);
}

#[test]
fn whatever_write_fails_the_log_holds_the_acknowledged_records() {
    for failing in 0.. {
        let mem = MemEnv::new();
        let env = FaultEnv::new(Arc::new(mem.clone()), failing);
        let fault = Fault::new(&[Call::Write], libc::EIO).after(failing);
        env.inject(fault.always().partial());
        let none = Predecessor::default();
        let Ok(mut writer) = Writer::create(&env, dir(), NUMBER, ID, none, 64 << 10) else {
            assert_eq!(failing, 0, "only the first write belongs to the creation");
            continue;
        };
        let mut expected = Vec::new();
        for sequence in 0..6 {
            let payload = payload(1_500_000 * (sequence as usize % 2) + 10, 1);
            match append(&mut writer, sequence, &payload, 0) {
                Ok(end) => assert_eq!(end, writer.len()),
                Err(_) => {
                    assert!(writer.poisoned().is_some());
                    break;
                }
            }
            expected.push((sequence, payload));
        }
        let good = writer.len();
        let (records, end) = read(&mem, Some(good));
        assert!(records == expected, "write {failing}");
        assert_eq!(end.unwrap().good_length, good);
        if env.injected() == 0 {
            assert!(failing > 8, "the walk ended early");
            return;
        }
    }
}

/// WAL-4.
#[test]
fn the_header_names_the_predecessor_and_must_match_the_name() {
    let env = MemEnv::new();
    let predecessor = Predecessor {
        number: FileNumber(3),
        length: 4096,
        last_sequence: SequenceNumber(77),
        unsynced: 0,
    };
    let writer = Writer::create(&env, dir(), NUMBER, ID, predecessor, 0).unwrap();
    assert_eq!((writer.number(), writer.log_id()), (NUMBER, ID));
    assert_eq!(writer.predecessor(), predecessor);
    assert_eq!(writer.file().len().unwrap(), HEADER);
    let path = log_path(dir(), NUMBER);
    let Ok(Opened::Log(reader)) = Reader::open(&env, &path, NUMBER) else {
        panic!("a fresh log opens");
    };
    assert_eq!(reader.header().predecessor, predecessor);
    assert_eq!(reader.path(), path);
    let error = Reader::open(&env, &path, FileNumber(8)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
}

#[test]
fn a_header_that_names_an_impossible_number_is_damage_and_its_records_are_found() {
    for last in [SequenceNumber::MAX.0 + 1, u64::MAX] {
        let env = MemEnv::new();
        let predecessor = Predecessor {
            number: FileNumber(3),
            last_sequence: SequenceNumber(last),
            ..Predecessor::default()
        };
        let mut writer = Writer::create(&env, dir(), NUMBER, ID, predecessor, 0).unwrap();
        append(&mut writer, 1, b"x", 0).unwrap();
        let path = log_path(dir(), NUMBER);
        let error = Reader::open(&env, &path, NUMBER).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption);
        let mut reader = Reader::open_damaged(&env, &path, NUMBER).unwrap().unwrap();
        assert_eq!(reader.header().predecessor, Predecessor::default());
        let part = reader.next_part().unwrap().unwrap();
        assert!(matches!(part, Part::Record(record) if record.payload == b"x"));
    }
}

#[test]
fn the_id_of_a_log_without_a_header_is_found_in_the_first_fragment_of_any_block() {
    let env = MemEnv::new();
    let none = Predecessor::default();
    let mut writer = Writer::create(&env, dir(), NUMBER, ID, none, 0).unwrap();
    // Ends a few bytes into the second block.
    append(&mut writer, 1, &payload(BLOCK_BYTES as usize, 1), 0).unwrap();
    let mut bytes = bytes_of(&env);
    let second = BLOCK_BYTES as usize;
    assert!(
        (second + 20..second + 120).contains(&bytes.len()),
        "{}",
        bytes.len()
    );
    bytes[..second].fill(0x5a);
    let path = log_path(dir(), NUMBER);
    let reader = Reader::open_damaged(&with_bytes(&bytes), &path, NUMBER).unwrap();
    // It may differ from the writer's id, because many ids give the same 32-bit checksum.
    let id = reader.unwrap().header().log_id;
    assert!(FragmentHeader::decode(&bytes[second..], id, second as u64).is_some());
}

#[test]
fn a_log_that_was_let_go_takes_no_record() {
    let env = MemEnv::new();
    let none = Predecessor::default();
    let mut writer = Writer::create(&env, dir(), NUMBER, ID, none, 0).unwrap();
    append(&mut writer, 1, b"x", 0).unwrap();
    writer.let_go();
    let error = append(&mut writer, 2, b"y", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(read(&env, None).0, [(1, b"x".to_vec())]);
}

#[test]
fn only_the_magic_at_its_beginning_tells_a_log() {
    let env = MemEnv::new();
    let none = Predecessor::default();
    Writer::create(&env, dir(), NUMBER, ID, none, 0).unwrap();
    let bytes = bytes_of(&env);
    assert!(begins_log(&bytes) && !begins_log(&bytes[1..]) && !begins_log(b""));
}

#[test]
fn a_torn_header_is_never_written_only_if_nothing_is_behind_it() {
    let zeros = with_bytes(&[0; 5000]);
    let open = |env: &MemEnv| Reader::open(env, &log_path(dir(), NUMBER), NUMBER);
    assert!(matches!(open(&zeros), Ok(Opened::NeverWritten)));
    let mut bytes = vec![0; 100_000];
    bytes[99_999] = 1;
    let error = open(&with_bytes(&bytes)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
}

#[test]
fn a_power_cut_leaves_a_prefix_with_everything_synced() {
    for seed in 0..300 {
        let env = MemEnv::new();
        let expected_len = if seed % 2 == 0 { 0 } else { 256 << 10 };
        let none = Predecessor::default();
        let mut writer = Writer::create(&env, dir(), NUMBER, ID, none, expected_len).unwrap();
        env.sync_dir(dir()).unwrap();
        let (mut synced, mut synced_records) = (0, 0);
        let mut expected = Vec::new();
        for sequence in 0..20u64 {
            let payload = payload(700 + 3000 * (sequence as usize % 3), sequence as usize);
            append(&mut writer, sequence, &payload, synced).unwrap();
            expected.push((sequence, payload));
            if sequence % 7 == seed % 7 {
                writer.file().sync().unwrap();
                (synced, synced_records) = (writer.len(), expected.len());
            }
        }
        let (records, end) = read(&env.power_cut(seed), None);
        let end = end.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(records.len() >= synced_records, "seed {seed}");
        assert!(records[..] == expected[..records.len()], "seed {seed}");
        assert!(end.good_length >= synced);
    }
}

/// WAL-8.
#[test]
fn arbitrary_bytes_never_panic() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    for sequence in 0..8 {
        let payload = payload(9000, sequence);
        append(&mut writer, sequence as u64, &payload, 0).unwrap();
    }
    let good = bytes_of(&env);
    let mut state = 1u64;
    let mut next = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % end
    };
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..1 + next(4) {
            let (from, to) = (next(bytes.len()), next(bytes.len()));
            let length = next(200).min(bytes.len() - from.max(to));
            match next(3) {
                0 => bytes.copy_within(from..from + length, to),
                1 => bytes[from..from + length].fill(next(256) as u8),
                _ => bytes.truncate(from.max(1)),
            }
        }
        let (records, _) = read(&with_bytes(&bytes), None);
        for (sequence, bytes) in records {
            assert!(bytes == payload(9000, sequence as usize));
        }
    }
}

/// The bytes of the fenced hex block after `marker` in docs/format.md. Text after two spaces is a remark.
fn documented_bytes(marker: &str) -> Vec<u8> {
    let text = include_str!("../../../docs/format.md");
    let (_, text) = text.split_once(marker).expect("the marker is there");
    let block = text.split("```").nth(1).expect("a fenced block follows it");
    let lines = block.lines().skip(1);
    let digits = lines.flat_map(|line| line.split("  ").next().unwrap_or("").split(' '));
    let bytes = digits.filter(|digits| !digits.is_empty());
    bytes
        .map(|digits| u8::from_str_radix(digits, 16).unwrap())
        .collect()
}

#[test]
fn the_documented_example_is_what_is_written_and_read() {
    let env = MemEnv::new();
    let predecessor = Predecessor {
        number: FileNumber(5),
        length: 4096,
        last_sequence: SequenceNumber(41),
        unsynced: 96,
    };
    let mut writer = Writer::create(&env, dir(), NUMBER, ID, predecessor, 0).unwrap();
    let mut batch = crate::WriteBatch::new();
    batch.put(b"k", b"hi").unwrap();
    let end = append(&mut writer, 42, batch.encoded(), 0).unwrap();
    append(&mut writer, 43, b"", end).unwrap();
    let documented = documented_bytes("<!-- replay: wal -->");
    assert_eq!(hex(&bytes_of(&env)), hex(&documented));
    let (records, end) = read(&with_bytes(&documented), None);
    assert_eq!(records[0], (42, batch.encoded().to_vec()));
    assert_eq!(records.len(), 2);
    assert!(!end.unwrap().torn);
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).map(|line| {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn records_behind_damage_are_found_and_those_before_are_not_repeated() {
    let env = MemEnv::new();
    let mut writer = create(&env);
    let mut ends = vec![HEADER];
    for number in 0..60u64 {
        // Some take several fragments.
        let mut payload = vec![number as u8; if number % 7 == 3 { 70_000 } else { 300 }];
        if number % 2 == 0 {
            // The first bytes of a batch of one operation are not stored.
            payload = [&HEADER_OF_ONE[..], &payload].concat();
        }
        ends.push(append(&mut writer, number + 1, &payload, 0).unwrap());
    }
    let whole = bytes_of(&env);
    for step in 0..200u64 {
        let mut bytes = whole.clone();
        let mut hit = Vec::new();
        for round in 0..3u64 {
            let at = HEADER + (step * 7919 + round * 104_729) * 31 % (ends[60] - HEADER);
            bytes[at as usize] ^= 0x20;
            hit.push(at);
        }
        if step % 4 == 0 {
            // The id is found without the header.
            bytes[..HEADER as usize].fill(0);
        }
        let env = with_bytes(&bytes);
        let path = log_path(dir(), NUMBER);
        let mut reader = Reader::open_damaged(&env, &path, NUMBER).unwrap().unwrap();
        let mut found = Vec::new();
        let mut gaps = Vec::new();
        while let Some(part) = reader.next_part().unwrap() {
            match part {
                Part::Record(record) => {
                    let last = record.payload.last().unwrap();
                    assert_eq!(u64::from(*last) + 1, record.first_sequence.0);
                    let is_bare = record.payload.starts_with(&HEADER_OF_ONE);
                    assert_eq!(is_bare, last % 2 == 0);
                    found.push(record.first_sequence.0 as usize);
                }
                Part::Damage { start, end, .. } => gaps.push(start..end),
            }
        }
        let is_hit = |record: &usize| {
            let range = ends[record - 1]..ends[*record];
            hit.iter().any(|at| range.contains(at))
        };
        let expected: Vec<usize> = (1..=60).filter(|record| !is_hit(record)).collect();
        // A bit in the unused end of a block costs nothing.
        assert!(
            expected.iter().all(|record| found.contains(record)),
            "step {step}"
        );
        assert!(found.is_sorted_by(|a, b| a < b), "step {step}");
        for record in 1..=60 {
            let is_told = gaps.iter().any(|gap| gap.contains(&ends[record - 1]));
            assert!(
                found.contains(&record) || is_told,
                "step {step}: {record} {gaps:?}"
            );
        }
    }
}

#[test]
fn intact_fragments_that_make_no_record_are_corruption() {
    use FragmentType::{First, Full, Last, Middle};
    let log_of = |fragments: &[(FragmentType, u64)]| {
        let env = MemEnv::new();
        create(&env);
        let mut bytes = bytes_of(&env);
        for &(fragment_type, first_sequence) in fragments {
            let header = FragmentHeader {
                payload_checksum: payload_checksum(b"piece"),
                length: 5,
                fragment_type,
                is_bare: false,
                first_sequence: SequenceNumber(first_sequence),
                synced: Synced::NOTHING,
            };
            bytes.extend_from_slice(header.encode(ID, bytes.len() as u64).as_bytes());
            bytes.extend_from_slice(b"piece");
        }
        read(&with_bytes(&bytes), None)
    };
    let (records, end) = log_of(&[(First, 1), (Middle, 1), (Last, 1), (Full, 2)]);
    assert_eq!((records.len(), end.unwrap().torn), (2, false));
    for wrong in [
        &[(Last, 1)][..],
        &[(Middle, 1)],
        &[(First, 1), (First, 1)],
        &[(First, 1), (Full, 1)],
        &[(First, 1), (Last, 2)],
        &[(First, 1), (Middle, 1), (Middle, 2)],
    ] {
        let (records, end) = log_of(wrong);
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Corruption, "{wrong:?}");
        assert!(records.is_empty());
    }
}
