//! What a reader accepts of a header, and how it treats the unused end of a block and a failed read.

use super::*;

/// Appends two records. The second ends `before_end` bytes before the end of the first block.
fn up_to(writer: &mut Writer, before_end: u64) -> u64 {
    let two = |writer: &mut Writer, length: u64| {
        let first = append(writer, 1, b"x", 0).unwrap();
        let second = append(writer, 2, &vec![b'y'; length as usize], 0).unwrap();
        second - first - length
    };
    let start = append(&mut create(&MemEnv::new()), 1, b"x", 0).unwrap();
    let header = two(&mut create(&MemEnv::new()), 1000);
    two(writer, BLOCK_BYTES - before_end - start - header);
    writer.len()
}

fn opened(env: &dyn Env) -> Reader {
    match Reader::open(env, &log_path(dir(), NUMBER), NUMBER) {
        Ok(Opened::Log(reader)) => reader,
        Ok(_) => panic!("it was written"),
        Err(error) => panic!("{error}"),
    }
}

/// The sequence numbers of the records up to the log's end.
fn sequences(reader: &mut Reader) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        found.push(record.first_sequence.0);
    }
    found
}

#[test]
fn an_intact_header_tells_number_and_predecessor_of_a_log_whatever_else_is_damaged() {
    let env = MemEnv::new();
    let predecessor = Predecessor {
        number: FileNumber(3),
        last_sequence: SequenceNumber(9),
        ..Predecessor::default()
    };
    let mut writer = Writer::create(&env, dir(), NUMBER, ID, predecessor, 0).unwrap();
    append(&mut writer, 10, b"x", 0).unwrap();
    let path = log_path(dir(), NUMBER);
    let reported = |env: &MemEnv| {
        let reader = Reader::open_damaged(env, &path, FileNumber(99))
            .unwrap()
            .unwrap();
        let header = *reader.header();
        (
            header.number,
            header.predecessor.number,
            header.predecessor.last_sequence,
        )
    };
    assert_eq!(reported(&env), (NUMBER, FileNumber(3), SequenceNumber(9)));
    // Without the header the number comes from the file's name, and the predecessor is unknown.
    let mut bytes = bytes_of(&env);
    bytes[HEADER as usize - 1] ^= 1;
    assert_eq!(
        reported(&with_bytes(&bytes)),
        (FileNumber(99), FileNumber(0), SequenceNumber(0))
    );
}

#[test]
fn a_record_behind_an_unused_end_of_a_block_that_is_not_zero_does_not_count() {
    // No fragment begins where the longest header has no room.
    for less in [0, 1, 5] {
        let before_end = MAX_HEADER_BYTES as u64 - less;
        let env = MemEnv::new();
        let mut writer = create(&env);
        let end = up_to(&mut writer, before_end);
        assert_eq!(end, BLOCK_BYTES - before_end);
        append(&mut writer, 3, b"z", 0).unwrap();
        assert_eq!(sequences(&mut opened(&env)), [1, 2, 3]);
        let bytes = bytes_of(&env);
        for at in end..BLOCK_BYTES {
            let mut spoilt = bytes.clone();
            spoilt[at as usize] = 1;
            let mut reader = opened(&with_bytes(&spoilt));
            assert_eq!(sequences(&mut reader), [1, 2], "byte {at}");
            let log_end = reader.end().unwrap();
            assert_eq!((log_end.good_length, log_end.torn), (end, true));
        }
    }
}

#[test]
fn what_is_before_a_sector_that_cannot_be_read_counts_if_that_is_another_block() {
    let memory = MemEnv::new();
    let mut writer = create(&memory);
    up_to(&mut writer, 100);
    append(&mut writer, 3, &[b'z'; 5000], 0).unwrap();
    assert!(writer.len() > BLOCK_BYTES);
    let env = FaultEnv::new(Arc::new(memory), 1);
    // The first read, of many blocks, fails; the read of the first block alone does not.
    let mut reader = opened(&env);
    env.inject(Fault::new(&[Call::Read], libc::EIO));
    assert_eq!(
        reader.next().unwrap().unwrap().first_sequence,
        SequenceNumber(1)
    );
    assert_eq!(env.injected(), 1);
    // If that fails too, or there is only one block, the reader fails.
    let mut reader = opened(&env);
    env.inject(Fault::new(&[Call::Read], libc::EIO).times(2));
    assert_eq!(reader.next().err().unwrap().kind(), ErrorKind::Io);
    env.clear();
    let memory = MemEnv::new();
    append(&mut create(&memory), 1, b"x", 0).unwrap();
    let env = FaultEnv::new(Arc::new(memory), 1);
    let mut reader = opened(&env);
    env.inject(Fault::new(&[Call::Read], libc::EIO));
    assert_eq!(reader.next().err().unwrap().kind(), ErrorKind::Io);
}

/// A log with one record that is expected to get `expected_len` bytes.
fn expecting(env: &MemEnv, expected_len: u64) -> Writer {
    let none = Predecessor::default();
    let mut writer = Writer::create(env, dir(), NUMBER, ID, none, expected_len).unwrap();
    append(&mut writer, 1, b"x", 0).unwrap();
    writer
}

#[test]
fn a_log_is_zeroed_an_eighth_of_what_is_expected_ahead_and_less_than_a_page_is_not() {
    const PAGE: u64 = 4096;
    for (expected_len, most) in [(8 * PAGE - 1, 0), (8 * PAGE, PAGE), (64 * PAGE, 8 * PAGE)] {
        let env = MemEnv::new();
        let mut writer = expecting(&env, expected_len);
        let mut ahead = 0;
        while writer.len() < expected_len - 2 * PAGE {
            append(&mut writer, 1, &[b'y'; 500], 0).unwrap();
            ahead = ahead.max(bytes_of(&env).len() as u64 - writer.len());
        }
        assert!(ahead <= most, "{ahead} of {most}");
        assert!(ahead > most / 2 || most == 0, "{ahead} of {most}");
    }
    let env = MemEnv::new();
    let mut writer = expecting(&env, 64 * PAGE);
    let zeroed = bytes_of(&env).len();
    writer.stop_zeroing();
    append(&mut writer, 1, b"another", 0).unwrap();
    assert_eq!(bytes_of(&env).len(), zeroed);
}

#[test]
fn there_is_space_for_a_record_if_it_and_its_headers_fit_into_what_was_zeroed() {
    for least in [100, BLOCK_BYTES, 2 * BLOCK_BYTES + 100] {
        let env = MemEnv::new();
        let mut writer = expecting(&env, 64 << 20);
        let ahead = |writer: &Writer| bytes_of(&env).len() as u64 - writer.len();
        while ahead(&writer) < least {
            let synced = writer.len();
            append(&mut writer, 1, b"another", synced).unwrap();
        }
        writer.stop_zeroing();
        let room = ahead(&writer);
        // One header per block, one for the rest of this block, and one that has no room in it.
        let takes = |payload: u64| payload + (payload / BLOCK_BYTES + 3) * MAX_HEADER_BYTES as u64;
        for payload in 0..=room {
            let fits = takes(payload) <= room;
            assert_eq!(writer.has_space_for(payload), fits, "{payload} in {room}");
        }
        let largest = (0..=room).rev().find(|payload| takes(*payload) <= room);
        let largest = largest.unwrap() as usize;
        let before = bytes_of(&env).len();
        append(&mut writer, 1, &payload(largest, 1), 0).unwrap();
        assert_eq!(bytes_of(&env).len(), before, "the disk had the space");
    }
}
