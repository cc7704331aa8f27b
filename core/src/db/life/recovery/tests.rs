//! Tests of the replay of logs with writes to several keyspaces.

use super::*;
use crate::coding::{put_length_prefixed, put_varint};
use crate::env::MemEnv;
use crate::error::ErrorKind;
use crate::iterator::InternalIterator;
use crate::wal::{Payload, Synced, SyncedLog, Writer};

const LOG: FileNumber = FileNumber(1);
/// A memtable with this much is full after a few operations.
const SMALL: u64 = 4096;

fn dir() -> &'static Path {
    Path::new("/")
}

/// Puts of a batch: the keyspace and the key of each.
type Puts<'a> = &'a [(u64, &'a [u8])];

/// A batch as a log stores it.
fn encoded(puts: Puts<'_>) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend_from_slice(&(puts.len() as u32).to_le_bytes());
    out.push(0);
    for (keyspace, key) in puts {
        match keyspace {
            0 => out.push(1),
            _ => {
                out.push(0x81);
                put_varint(&mut out, *keyspace);
            }
        }
        put_length_prefixed(&mut out, key);
        put_length_prefixed(&mut out, b"value");
    }
    out
}

/// A log of these batches, numbered from 1.
fn log_of(batches: &[Puts<'_>]) -> MemEnv {
    let env = MemEnv::new();
    let mut log = Writer::create(&env, dir(), LOG, 1, Predecessor::default(), 0).unwrap();
    let mut first = SequenceNumber(1);
    for puts in batches {
        let encoded = encoded(puts);
        log.append(first, &Payload::new(&encoded), Synced::NOTHING)
            .unwrap();
        first = first.plus(puts.len() as u64);
    }
    env
}

fn replayed(env: &MemEnv, flushed: &Flushed, size: u64) -> Result<Recovered> {
    let expected = Expected {
        needed: LOG,
        synced_log: FileNumber(0),
        synced_file: SyncedLog::default(),
        last_sequence: SequenceNumber(0),
        database: 0,
    };
    replay(env, dir(), &[LOG], &expected, flushed, size)
}

/// The keys and numbers that a keyspace has in memtables, the oldest memtable first.
fn loaded(recovered: &Recovered, keyspace: u64) -> Vec<Vec<(Vec<u8>, u64)>> {
    let memtables = recovered.sealed.get(&KeyspaceId(keyspace));
    let memtables = memtables.into_iter().flatten().rev();
    let entries = memtables.map(|sealed| {
        let mut entries = sealed.memtable().iter();
        entries.seek_to_first().unwrap();
        let mut found = Vec::new();
        while entries.valid() {
            let key = entries.key();
            found.push((key.user_key.to_vec(), key.trailer.sequence().0));
            entries.next().unwrap();
        }
        found
    });
    entries.collect()
}

/// REPLAY-2.
#[test]
fn each_operation_is_in_a_memtable_of_its_keyspace_under_its_number() {
    let env = log_of(&[
        &[(0, b"a"), (3, b"a"), (0, b"b")],
        &[(3, b"a")],
        &[(7, b"c"), (3, b"d")],
    ]);
    let flushed = Flushed::of_ids(&[(0, 0), (3, 0), (7, 0), (9, 0)], 10);
    let recovered = replayed(&env, &flushed, 1 << 20).unwrap();
    let one = |entries: &[(&[u8], u64)]| -> Vec<Vec<(Vec<u8>, u64)>> {
        let owned = entries.iter().map(|(key, number)| (key.to_vec(), *number));
        vec![owned.collect()]
    };
    assert_eq!(loaded(&recovered, 0), one(&[(b"a", 1), (b"b", 3)]));
    assert_eq!(
        loaded(&recovered, 3),
        one(&[(b"a", 4), (b"a", 2), (b"d", 6)])
    );
    assert_eq!(loaded(&recovered, 7), one(&[(b"c", 5)]));
    assert!(!recovered.sealed.contains_key(&KeyspaceId(9)));
    let last = |id: u64| recovered.sealed[&KeyspaceId(id)][0].last_sequence().0;
    assert_eq!([last(0), last(3), last(7)], [3, 6, 6]);
    assert_eq!(recovered.end.last_sequence, SequenceNumber(6));
}

/// REPLAY-1.
#[test]
fn what_one_keyspace_has_in_tables_is_replayed_into_no_other() {
    let batches: Vec<Puts<'_>> = vec![&[(0, b"a"), (3, b"a")], &[(3, b"b")], &[(0, b"c")]];
    let env = log_of(&batches);
    let numbers = |recovered: &Recovered, keyspace| -> Vec<u64> {
        let all = loaded(recovered, keyspace).concat();
        all.into_iter().map(|(_, number)| number).collect()
    };
    for default in 0..=5 {
        for other in 0..=5 {
            let flushed = Flushed::of_ids(&[(0, default), (3, other)], 4);
            let recovered = replayed(&env, &flushed, 1 << 20).unwrap();
            let later = |of: [u64; 2], than: u64| -> Vec<u64> {
                of.into_iter().filter(|number| *number > than).collect()
            };
            assert_eq!(numbers(&recovered, 0), later([1, 4], default));
            assert_eq!(numbers(&recovered, 3), later([2, 3], other));
        }
    }
}

/// REPLAY-1, KEYSPACE-1.
#[test]
fn writes_to_a_dropped_keyspace_are_passed_by_and_those_to_none_are_damage() {
    let env = log_of(&[&[(0, b"a"), (3, b"a")], &[(3, b"b")], &[(4, b"c")]]);
    let recovered = replayed(&env, &Flushed::of_ids(&[(0, 0), (4, 0)], 5), SMALL).unwrap();
    assert_eq!(loaded(&recovered, 0).concat(), [(b"a".to_vec(), 1)]);
    assert_eq!(loaded(&recovered, 4).concat(), [(b"c".to_vec(), 4)]);
    assert_eq!(recovered.sealed.len(), 2);
    for next in [1, 3, 4] {
        let alive: &[(u64, u64)] = if next == 4 {
            &[(0, 0), (3, 0)]
        } else {
            &[(0, 0)]
        };
        let flushed = Flushed::of_ids(alive, next);
        let error = replayed(&env, &flushed, SMALL).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        assert!(error.message().contains("which there never was"), "{error}");
    }
}

/// REPLAY-2: a batch does not lie in two memtables of a keyspace, but each keyspace fills its own.
#[test]
fn each_keyspace_fills_memtables_of_its_own_and_no_record_is_torn() {
    let keys: Vec<Vec<u8>> = (0..400u32)
        .map(|key| format!("{key:04}{}", "k".repeat(60)).into_bytes())
        .collect();
    // Ten to keyspace 3 and one to the default one in each.
    let batches: Vec<Vec<(u64, &[u8])>> = keys
        .chunks(10)
        .map(|keys| {
            let mut puts: Vec<(u64, &[u8])> = keys.iter().map(|key| (3, &key[..])).collect();
            puts.insert(5, (0, &keys[0]));
            puts
        })
        .collect();
    let batches: Vec<Puts<'_>> = batches.iter().map(|puts| &puts[..]).collect();
    let flushed = Flushed::of_ids(&[(0, 0), (3, 0)], 4);
    let recovered = replayed(&log_of(&batches), &flushed, SMALL).unwrap();
    let (default, other) = (loaded(&recovered, 0), loaded(&recovered, 3));
    assert!(other.len() > default.len() && !default.is_empty());
    assert_eq!(default.concat().len(), batches.len());
    assert_eq!(other.concat().len(), keys.len());
    assert!(other.iter().all(|memtable| memtable.len() % 10 == 0));
    for memtables in recovered.sealed.values() {
        let numbers = memtables.iter().map(|sealed| sealed.last_sequence());
        assert!(numbers.is_sorted_by(|newer, older| newer > older));
    }
}
