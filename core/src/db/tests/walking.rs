//! Walking: bounds, both directions, both ends, and chunks.

use std::ops::Bound;

use super::*;
use crate::effort::{Effort, within};

/// A database with the keys `b`, `d`, `f` and `h`, half of them in a table; each is its own value.
fn example(env: &MemEnv) -> DB {
    let db = open(env);
    for key in [b"b", b"f"] {
        db.put(key, key).unwrap();
    }
    db.flush().unwrap();
    for key in [b"d", b"h"] {
        db.put(key, key).unwrap();
    }
    db
}

fn text(entries: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>>) -> String {
    let keys = entries.map(|entry| {
        let (key, value) = entry.unwrap();
        assert_eq!(key, value);
        String::from_utf8(key).unwrap()
    });
    keys.collect()
}

#[test]
fn a_range_has_the_keys_within_its_bounds() {
    let env = MemEnv::new();
    let db = example(&env);
    use Bound::{Excluded, Included, Unbounded};
    let bounds: [(Bound<&[u8]>, Bound<&[u8]>, &str); 9] = [
        (Unbounded, Unbounded, "bdfh"),
        (Included(b"d"), Unbounded, "dfh"),
        (Excluded(b"d"), Unbounded, "fh"),
        (Unbounded, Included(b"f"), "bdf"),
        (Unbounded, Excluded(b"f"), "bd"),
        (Included(b"c"), Excluded(b"g"), "df"),
        (Included(b"d"), Included(b"d"), "d"),
        (Included(b"d"), Excluded(b"d"), ""),
        (Included(b"g"), Included(b"c"), ""),
    ];
    for (start, end, keys) in bounds {
        assert_eq!(
            text(db.range::<&[u8]>((start, end))),
            keys,
            "{start:?} {end:?}"
        );
        let back: String = keys.chars().rev().collect();
        assert_eq!(text(db.range::<&[u8]>((start, end)).rev()), back);
    }
    assert_eq!(text(db.prefix(b"d")), "d");
    assert_eq!(text(db.prefix(b"c")), "");
}

#[test]
fn an_entry_is_given_out_once_from_whichever_end_in_whatever_turns() {
    let env = MemEnv::new();
    let db = example(&env);
    // One bit for each step says whether it is from the front or from the back.
    for turns in 0..64u32 {
        let mut iter = db.iter();
        let (mut front, mut back) = (String::new(), String::new());
        for step in 0..6 {
            match turns >> step & 1 {
                0 => front += &text(iter.next().into_iter()),
                _ => back += &text(iter.next_back().into_iter()),
            }
        }
        let seen = front + &back.chars().rev().collect::<String>();
        assert_eq!(seen, "bdfh", "turns {turns:06b}");
    }
}

#[test]
fn a_cursor_seeks_within_its_bounds_in_both_directions() {
    let env = MemEnv::new();
    let db = example(&env);
    let cursor = |reverse| {
        let options = IterOptions {
            lower_bound: Some(b"c".to_vec()),
            upper_bound: Some(b"h".to_vec()),
            reverse,
            ..IterOptions::default()
        };
        db.cursor(options).unwrap()
    };
    let at = |cursor: &Cursor, found: bool| {
        assert_eq!(cursor.valid(), found);
        String::from_utf8(cursor.key().to_vec()).unwrap()
    };
    // (key sought, the first at or above it, the last at or below it)
    for (key, above, below) in [
        ("a", "d", ""),
        ("d", "d", "d"),
        ("e", "f", "d"),
        ("f", "f", "f"),
        ("g", "", "f"),
        ("h", "", "f"),
        ("z", "", "f"),
    ] {
        let (mut forward, mut backward) = (cursor(false), cursor(true));
        let found = forward.seek(key.as_bytes()).unwrap();
        assert_eq!(at(&forward, found), above, "seek {key}");
        let found = forward.seek_for_prev(key.as_bytes()).unwrap();
        assert_eq!(at(&forward, found), below, "seek_for_prev {key}");
        let found = backward.seek(key.as_bytes()).unwrap();
        assert_eq!(at(&backward, found), below, "seek {key} in reverse");
        let found = backward.seek_for_prev(key.as_bytes()).unwrap();
        assert_eq!(
            at(&backward, found),
            above,
            "seek_for_prev {key} in reverse"
        );
    }
    for reverse in [false, true] {
        let mut cursor = cursor(reverse);
        let (first, last) = if reverse { ("f", "d") } else { ("d", "f") };
        let found = cursor.next().unwrap();
        assert_eq!(at(&cursor, found), first);
        let found = cursor.next().unwrap();
        assert_eq!(at(&cursor, found), last);
        let found = cursor.next().unwrap();
        assert_eq!(at(&cursor, found), "");
        let found = cursor.prev().unwrap();
        assert_eq!(at(&cursor, found), last);
        let found = cursor.prev().unwrap();
        assert_eq!(at(&cursor, found), first);
        let found = cursor.prev().unwrap();
        assert_eq!(at(&cursor, found), "");
    }
}

#[test]
fn a_chunk_holds_the_entries_one_behind_the_other_and_only_the_parts_asked_for() {
    let env = MemEnv::new();
    let db = example(&env);
    let read = |keys, values| {
        let options = IterOptions {
            keys,
            values,
            ..IterOptions::default()
        };
        let mut chunk = Chunk::new();
        let mut cursor = db.cursor(options).unwrap();
        // The chunk is cleared before each use.
        assert_eq!(cursor.read_chunk(&mut chunk, 1, 1000).unwrap(), 1);
        assert_eq!(cursor.read_chunk(&mut chunk, 2, 1000).unwrap(), 2);
        assert_eq!((chunk.len(), chunk.is_empty()), (2, false));
        (chunk.bytes().to_vec(), chunk.ends().to_vec())
    };
    assert_eq!(read(true, true), (b"ddff".to_vec(), vec![(1, 2), (3, 4)]));
    assert_eq!(read(true, false), (b"df".to_vec(), vec![(1, 1), (2, 2)]));
    assert_eq!(read(false, true), (b"df".to_vec(), vec![(0, 1), (1, 2)]));
    assert!(Chunk::new().is_empty());
}

/// A call for many keys used to do nothing else until it had all values, whatever their sizes.
#[test]
fn the_first_of_many_keys_end_with_the_bytes_of_their_values() {
    let env = MemEnv::new();
    let db = open(&env);
    let keys: Vec<_> = (0..100_u8).map(|number| [number]).collect();
    for key in &keys {
        db.put(key, &[key[0]; 100]).unwrap();
        if key[0] == 50 {
            db.flush().unwrap();
        }
    }
    let options = ReadOptions::default();
    let all = db.get_many(&keys).unwrap();
    for most_bytes in [0, 1, 799, 800, 801, 5000, 9999, 10_000, 10_001] {
        let first = db.get_first_of(&keys, &options, most_bytes).unwrap();
        assert_eq!(first, all[..first.len()]);
        // They are read a few at a time.
        let most = most_bytes.max(1).next_multiple_of(800) / 100;
        assert_eq!(first.len(), most.min(keys.len()), "{most_bytes}");
    }
    let none = db.get_first_of::<&[u8]>(&[], &options, 0).unwrap();
    assert_eq!(none, []);
}

#[test]
fn a_brief_read_of_a_large_value_gives_up_and_the_same_read_finds_it_later() {
    let large = vec![7; 5 << 20];
    let reads: [(&str, fn(&DB) -> Result<Vec<u8>>); 3] = [
        ("get", |db| Ok(db.get(b"l")?.expect("it was put").to_vec())),
        ("get_many", |db| {
            let values = db.get_many(&[b"m", b"l"])?;
            Ok(values[1].as_ref().expect("it was put").to_vec())
        }),
        ("read_chunk", |db| {
            let mut chunk = Chunk::new();
            let mut cursor = db.cursor(IterOptions::default())?;
            cursor.read_chunk(&mut chunk, 1, usize::MAX)?;
            Ok(chunk.iter().next().expect("it was put").1.to_vec())
        }),
    ];
    for is_flushed in [false, true] {
        for (name, read) in reads {
            let env = MemEnv::new();
            let db = open(&env);
            db.put(b"l", &large).unwrap();
            db.put(b"m", b"").unwrap();
            if is_flushed {
                db.flush().unwrap();
            }
            let gave_up = within(&Effort::Brief, || read(&db)).unwrap_err();
            assert!(gave_up.is_given_up(), "{name}: {gave_up}");
            assert!(read(&db).unwrap() == large, "{name}");
        }
    }
}
