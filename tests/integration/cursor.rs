//! Cursors and iterators on small sets, where a reader can follow every move. `model.rs` has random ones.

use aidb::{Chunk, DB, IterOptions};

use crate::{all, small_db};

/// a to e: a and c in a table, b in a second one, d and e in the memtable, x deleted.
fn letters() -> (tempfile::TempDir, DB) {
    let (dir, db) = small_db();
    db.put(b"a", b"1").unwrap();
    db.put(b"c", b"3").unwrap();
    db.put(b"x", b"9").unwrap();
    db.flush().unwrap();
    db.put(b"b", b"2").unwrap();
    db.delete(b"x").unwrap();
    db.flush().unwrap();
    db.put(b"d", b"4").unwrap();
    db.put(b"e", b"5").unwrap();
    (dir, db)
}

fn keys(options: IterOptions, db: &DB) -> String {
    let mut cursor = db.cursor(options).unwrap();
    let mut keys = String::new();
    while cursor.next().unwrap() {
        keys.push_str(std::str::from_utf8(cursor.key()).unwrap());
    }
    keys
}

#[test]
fn a_cursor_turns_at_any_point() {
    let (_dir, db) = letters();
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    assert!(!cursor.valid());
    assert!(cursor.next().unwrap());
    assert_eq!(cursor.key(), b"a");
    assert!(cursor.next().unwrap());
    assert!(cursor.next().unwrap());
    assert_eq!((cursor.key(), cursor.value()), (&b"c"[..], &b"3"[..]));
    assert!(cursor.prev().unwrap());
    assert_eq!(cursor.key(), b"b");
    assert!(cursor.next().unwrap());
    assert_eq!(cursor.key(), b"c");
    assert!(cursor.last().unwrap());
    assert_eq!(cursor.key(), b"e");
    assert!(!cursor.next().unwrap());
    assert!(!cursor.next().unwrap());
    assert!(cursor.prev().unwrap());
    assert_eq!(cursor.key(), b"e");
    assert!(cursor.first().unwrap());
    assert!(!cursor.prev().unwrap());
    assert!(!cursor.prev().unwrap());
    assert!(cursor.next().unwrap());
    assert_eq!(cursor.key(), b"a");
    cursor.status().unwrap();
}

#[test]
fn prev_on_a_new_cursor_goes_to_the_last_entry() {
    let (_dir, db) = letters();
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    assert!(cursor.prev().unwrap());
    assert_eq!(cursor.key(), b"e");
}

#[test]
fn seek_and_seek_for_prev_find_both_neighbours() {
    let (_dir, db) = letters();
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    assert!(cursor.seek(b"bb").unwrap());
    assert_eq!(cursor.key(), b"c");
    assert!(cursor.seek_for_prev(b"bb").unwrap());
    assert_eq!(cursor.key(), b"b");
    assert!(cursor.seek(b"d").unwrap());
    assert_eq!(cursor.key(), b"d");
    assert!(cursor.seek_for_prev(b"d").unwrap());
    assert_eq!(cursor.key(), b"d");
    assert!(!cursor.seek(b"f").unwrap());
    assert!(cursor.prev().unwrap());
    assert_eq!(cursor.key(), b"e");
    assert!(!cursor.seek_for_prev(b"").unwrap());
    assert!(cursor.next().unwrap());
    assert_eq!(cursor.key(), b"a");
}

#[test]
fn bounds_prefix_and_direction_limit_what_is_shown() {
    let (_dir, db) = letters();
    let bounded = IterOptions::new()
        .lower_bound(Some(b"b".to_vec()))
        .upper_bound(Some(b"e".to_vec()));
    assert_eq!(keys(bounded.clone(), &db), "bcd");
    let reverse = bounded.clone().reverse(true);
    assert_eq!(keys(reverse.clone(), &db), "dcb");
    let mut cursor = db.cursor(reverse).unwrap();
    assert!(cursor.seek(b"cc").unwrap());
    assert_eq!(cursor.key(), b"c");
    assert!(cursor.seek(b"z").unwrap());
    assert_eq!(cursor.key(), b"d");
    assert!(!cursor.seek(b"a").unwrap());

    db.put(b"dd", b"").unwrap();
    db.put(b"d\xff\xff", b"").unwrap();
    let prefixed: Vec<_> = db.prefix(b"d").map(|entry| entry.unwrap().0).collect();
    assert_eq!(
        prefixed,
        [b"d".to_vec(), b"dd".to_vec(), b"d\xff\xff".to_vec()]
    );
    db.put(b"\xff\xff", b"").unwrap();
    assert_eq!(db.prefix(b"\xff").count(), 1);
    assert_eq!(db.prefix(b"nothing").count(), 0);
    let empty = IterOptions::new()
        .lower_bound(Some(b"e".to_vec()))
        .upper_bound(Some(b"b".to_vec()));
    assert_eq!(keys(empty, &db), "");
}

#[test]
fn ranges_follow_rusts_notation() {
    let (_dir, db) = letters();
    let walk = |entries: aidb::Iter| -> String {
        entries
            .map(|entry| char::from(entry.unwrap().0[0]))
            .collect()
    };
    assert_eq!(walk(db.range("b".."d")), "bc");
    assert_eq!(walk(db.range("b"..="d")), "bcd");
    assert_eq!(walk(db.range("d"..)), "de");
    assert_eq!(walk(db.range(.."c")), "ab");
    assert_eq!(walk(db.range::<&str>(..)), "abcde");
}

#[test]
fn an_iterator_meets_itself_from_both_ends() {
    let (_dir, db) = letters();
    let backwards: Vec<_> = db.iter().rev().map(|entry| entry.unwrap()).collect();
    let mut forwards = all(&db);
    forwards.reverse();
    assert_eq!(backwards, forwards);

    let mut iter = db.iter();
    let mut key = |front: bool| {
        let entry = if front { iter.next() } else { iter.next_back() };
        entry.map(|entry| char::from(entry.unwrap().0[0]))
    };
    assert_eq!(key(true), Some('a'));
    assert_eq!(key(false), Some('e'));
    assert_eq!(key(false), Some('d'));
    assert_eq!(key(true), Some('b'));
    assert_eq!(key(true), Some('c'));
    assert_eq!(key(true), None);
    assert_eq!(key(false), None);
}

#[test]
fn keys_only_and_values_only_leave_the_other_empty() {
    let (_dir, db) = letters();
    let mut cursor = db.cursor(IterOptions::new().values(false)).unwrap();
    assert!(cursor.first().unwrap());
    assert_eq!((cursor.key(), cursor.value()), (&b"a"[..], &b""[..]));
    let mut cursor = db.cursor(IterOptions::new().keys(false)).unwrap();
    assert!(cursor.first().unwrap());
    assert_eq!((cursor.key(), cursor.value()), (&b""[..], &b"1"[..]));
}

#[test]
fn chunks_carry_every_entry_once() {
    let (_dir, db) = small_db();
    for number in 0..1000u32 {
        db.put(&number.to_be_bytes(), &vec![7; (number % 50) as usize])
            .unwrap();
    }
    let mut cursor = db.cursor(IterOptions::default()).unwrap();
    let mut chunk = Chunk::new();
    let mut seen = Vec::new();
    for max_entries in [1, 0, 10, 1000, 1000, 1000, 1000].into_iter().cycle() {
        let count = cursor.read_chunk(&mut chunk, max_entries, 4096).unwrap();
        assert_eq!(count, chunk.len());
        assert!(count <= max_entries && chunk.bytes().len() < 4096 + 54);
        seen.extend(
            chunk
                .iter()
                .map(|(key, value)| (key.to_vec(), value.to_vec())),
        );
        if count == 0 && max_entries > 0 {
            break;
        }
    }
    assert_eq!(seen, all(&db));
}
