//! Walks of small chains: which records are returned, in which order, and where the chain ends. The rules by
//! themselves: `chain/tests.rs`.

use super::*;
use crate::batch::WriteBatch;
use crate::env::MemEnv;
use crate::wal::{LogId, Payload, SyncedLog, Writer};

const EXPECTED: Expected = Expected {
    needed: FileNumber(1),
    synced_log: FileNumber(0),
    synced_file: SyncedLog {
        number: FileNumber(0),
        log_id: 0,
        synced: Synced::NOTHING,
    },
    last_sequence: SequenceNumber(0),
    database: 0,
};

fn dir() -> &'static Path {
    Path::new("/")
}

fn create(env: &MemEnv, number: u64, predecessor: Predecessor) -> Writer {
    Writer::create(env, dir(), FileNumber(number), number, predecessor, 0).unwrap()
}

/// Appends a batch with one put of its number for each of `keys`.
fn put(log: &mut Writer, first: u64, keys: &[&str], synced: u64) {
    let mut batch = WriteBatch::new();
    for key in keys {
        batch.put(key.as_bytes(), &first.to_le_bytes()).unwrap();
    }
    let payload = Payload::new(batch.encoded());
    log.append(SequenceNumber(first), &payload, Synced::up_to(synced))
        .unwrap();
}

/// The predecessor that a log after this one names.
fn end_of(log: &Writer, last: u64) -> Predecessor {
    Predecessor::new(
        log.number(),
        log.len(),
        SequenceNumber(last),
        Synced::NOTHING,
    )
}

/// The logs walked, the keys in them in order, and the end.
type Walk = (Vec<u64>, Vec<String>, Predecessor);

fn walk(env: &MemEnv, logs: &[u64], expected: Expected) -> Result<Option<Walk>> {
    let logs: Vec<FileNumber> = logs.iter().copied().map(FileNumber).collect();
    let Some(mut reader) = ChainReader::open(env, dir(), &logs, expected)? else {
        return Ok(None);
    };
    let (mut keys, mut next) = (Vec::new(), None);
    while let Some(record) = reader.next()? {
        let (first, last) = (record.first_sequence, record.last_sequence);
        assert_eq!(first, next.unwrap_or(first));
        next = Some(last.plus(1));
        let before = keys.len();
        for operation in record.into_operations() {
            keys.push(String::from_utf8(operation?.key.to_vec()).unwrap());
        }
        assert_eq!(last.plus(1), first.plus((keys.len() - before) as u64));
    }
    assert!(reader.next()?.is_none(), "WALK-2: the end stays the end");
    let first = reader.first();
    let end = reader.into_end()?;
    assert_eq!(end.logs[0], first);
    let walked = end.logs.iter().map(|number| number.0).collect();
    Ok(Some((walked, keys, end.last)))
}

#[test]
fn records_come_in_order_from_log_to_log_and_none_from_behind_a_logs_end() {
    let env = MemEnv::new();
    let mut first = create(&env, 1, Predecessor::default());
    put(&mut first, 1, &["a", "b"], 0);
    put(&mut first, 3, &[], 0);
    put(&mut first, 3, &["c"], 0);
    let end = end_of(&first, 3);
    // This write failed but reached the file. The next log's header says that it does not count.
    put(&mut first, 4, &["never"], 0);
    let mut second = create(&env, 2, end);
    put(&mut second, 4, &["d"], 0);
    let (walked, keys, end) = walk(&env, &[2, 1], EXPECTED).unwrap().unwrap();
    assert_eq!(walked, [1, 2]);
    assert_eq!(keys, ["a", "b", "c", "d"]);
    assert_eq!(end, end_of(&second, 4));
}

#[test]
fn logs_that_are_not_needed_are_not_opened_and_those_that_were_cut_off_not_answered() {
    let env = MemEnv::new();
    let mut first = create(&env, 1, Predecessor::default());
    put(&mut first, 1, &["a"], 0);
    let end = end_of(&first, 1);
    let mut cut_off = create(&env, 2, end);
    put(&mut cut_off, 2, &["cut off"], 0);
    let mut third = create(&env, 3, end);
    put(&mut third, 2, &["b"], 0);
    let (walked, keys, _) = walk(&env, &[1, 2, 3], EXPECTED).unwrap().unwrap();
    assert_eq!(
        (&walked[..], &keys[..]),
        (&[1, 3][..], &["a".into(), "b".into()][..])
    );
    let later = Expected {
        needed: FileNumber(3),
        last_sequence: SequenceNumber(1),
        ..EXPECTED
    };
    // Log 0 does not exist.
    let (walked, keys, _) = walk(&env, &[0, 1, 2, 3], later).unwrap().unwrap();
    assert_eq!((&walked[..], &keys[..]), (&[3][..], &["b".into()][..]));
}

/// WALK-1.
#[test]
fn a_log_of_another_database_is_refused_before_a_record_of_any_is_answered() {
    let env = MemEnv::new();
    let mut first = create(&env, 1, Predecessor::default());
    put(&mut first, 1, &["a"], 0);
    let id = LogId {
        database: 8,
        log: 2,
    };
    Writer::create(&env, dir(), FileNumber(2), id, end_of(&first, 1), 0).unwrap();
    let ours = |database| Expected {
        database,
        ..EXPECTED
    };
    let logs = [1, 2].map(FileNumber);
    assert!(ChainReader::open(&env, dir(), &logs, ours(8)).is_ok());
    let error = ChainReader::open(&env, dir(), &logs, ours(7)).err();
    let error = error.expect("refused");
    assert!(error.message().contains("another database"), "{error}");
}

#[test]
fn a_walk_that_was_left_has_no_end() {
    let env = MemEnv::new();
    let mut log = create(&env, 1, Predecessor::default());
    put(&mut log, 1, &["a"], 0);
    let mut reader = ChainReader::open(&env, dir(), &[FileNumber(1)], EXPECTED)
        .unwrap()
        .unwrap();
    assert!(reader.next().unwrap().is_some());
    let error = reader.into_end().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn a_gap_ends_the_walk_and_is_refused_if_a_log_after_it_was_synced() {
    for synced in [false, true] {
        let env = MemEnv::new();
        let mut first = create(&env, 1, Predecessor::default());
        put(&mut first, 1, &["a"], 0);
        let end = Predecessor {
            length: first.len() + 50,
            ..end_of(&first, 2)
        };
        let mut second = create(&env, 2, end);
        put(&mut second, 3, &["lost"], 0);
        if synced {
            let length = second.len();
            put(&mut second, 4, &["knows"], length);
        }
        match walk(&env, &[1, 2], EXPECTED) {
            Ok(found) => {
                let (walked, keys, end) = found.unwrap();
                assert!(!synced);
                assert_eq!((&walked[..], &keys[..]), (&[1][..], &["a".into()][..]));
                assert_eq!(end, end_of(&first, 1));
            }
            Err(error) => {
                assert!(
                    synced && error.message().contains("after it was synced"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn the_end_knows_the_last_number_in_tables_and_how_far_the_log_was_synced() {
    let env = MemEnv::new();
    let mut log = create(&env, 1, Predecessor::default());
    put(&mut log, 1, &["a"], 0);
    let length = log.len();
    put(&mut log, 2, &["b"], length);
    let expected = Expected {
        last_sequence: SequenceNumber(7),
        ..EXPECTED
    };
    let (_, _, end) = walk(&env, &[1], expected).unwrap().unwrap();
    let said = Predecessor::new(
        FileNumber(1),
        log.len(),
        SequenceNumber(7),
        Synced::up_to(length),
    );
    assert_eq!(end, said);
    // The file SYNCED states a later sync than the records do.
    let synced_file = SyncedLog {
        number: FileNumber(1),
        log_id: log.log_id(),
        synced: Synced::up_to(log.len()),
    };
    let known = Expected {
        synced_file,
        ..EXPECTED
    };
    let (_, _, end) = walk(&env, &[1], known).unwrap().unwrap();
    assert_eq!((end.unsynced, end.last_sequence.0), (0, 2));
    let more = Expected {
        synced_file: SyncedLog {
            synced: Synced::up_to(log.len() + 1),
            ..synced_file
        },
        ..EXPECTED
    };
    let error = walk(&env, &[1], more).err().unwrap();
    assert!(error.message().contains("it was synced up to"), "{error}");
}

#[test]
fn a_chain_needs_its_first_log_and_the_synced_one_and_may_have_none() {
    let env = MemEnv::new();
    assert!(walk(&env, &[], EXPECTED).is_err());
    let none = Expected {
        needed: FileNumber(0),
        ..EXPECTED
    };
    assert!(walk(&env, &[], none).unwrap().is_none());
    // A log whose creation was not finished does not count.
    env.create_new(&log_path(dir(), FileNumber(1))).unwrap();
    assert!(walk(&env, &[1], none).unwrap().is_none());
    assert!(walk(&env, &[1], EXPECTED).is_err());
    create(&env, 2, Predecessor::default());
    let synced = |synced| Expected {
        needed: FileNumber(2),
        synced_log: FileNumber(synced),
        ..EXPECTED
    };
    assert!(walk(&env, &[1, 2], synced(2)).unwrap().is_some());
    assert!(walk(&env, &[1, 2], synced(3)).is_err());
}

#[test]
fn a_batch_that_cannot_be_decoded_is_reported_by_its_place_and_keeps_its_kind_if_it_is_newer() {
    for (payload, kind) in [
        (&b"\x02"[..], ErrorKind::Corruption),
        (b"\x02\x00\x01\x00\x00\x00\x00", ErrorKind::Unsupported),
        // The damage is in its only operation.
        (b"\x01\x00\x01\x00\x00\x00\x00\x01", ErrorKind::Corruption),
        (b"\x01\x00\x01\x00\x00\x00\x00\x05", ErrorKind::Unsupported),
    ] {
        let env = MemEnv::new();
        let mut log = create(&env, 1, Predecessor::default());
        let offset = log.len();
        log.append(SequenceNumber(1), &Payload::new(payload), Synced::NOTHING)
            .unwrap();
        let error = walk(&env, &[1], EXPECTED).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        let place = format!("/000001.log at byte {offset}");
        assert!(error.message().contains(&place), "{error}");
    }
}
