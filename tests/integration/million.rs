//! A million entries written, overwritten, deleted, compacted and reopened, with every answer checked.

use aidb::{DB, Options};

const ENTRIES: u64 = 1_000_000;

/// The final value of the entry `number`: a third are overwritten, a seventh deleted.
fn generation(number: u64) -> Option<u8> {
    match (number % 7, number % 3) {
        (0, _) => None,
        (_, 0) => Some(2),
        _ => Some(1),
    }
}

fn value(number: u64, generation: u8) -> [u8; 40] {
    let mut value = [generation; 40];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value[8..16].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    value
}

/// Every number below `ENTRIES` once, in an order that looks random: 600,011 has no divisor in common with it.
fn shuffled() -> impl Iterator<Item = u64> {
    (0..ENTRIES).map(|index| index.wrapping_mul(600_011) % ENTRIES)
}

fn check(db: &DB, when: &str) {
    let mut expected = (0..ENTRIES).filter(|number| generation(*number).is_some());
    let mut cursor = db.cursor(aidb::IterOptions::default()).unwrap();
    while cursor.next().unwrap() {
        let number = expected.next().expect("no entry beyond the model's");
        let generation = generation(number).expect("filtered");
        assert_eq!(cursor.key(), number.to_be_bytes(), "{when}");
        assert_eq!(cursor.value(), value(number, generation), "{when}");
    }
    assert_eq!(expected.next(), None, "{when}: entries are missing");
    for number in shuffled() {
        let found = db.get(&number.to_be_bytes()).unwrap();
        let expected = generation(number).map(|generation| value(number, generation));
        assert_eq!(
            found.as_deref(),
            expected.as_ref().map(|v| &v[..]),
            "{when}"
        );
    }
}

#[test]
fn a_million_entries_answer_right_at_every_stage() {
    let dir = tempfile::tempdir().unwrap();
    let options = || {
        Options::new()
            .write_buffer_size(4 << 20)
            .level_base_size(8 << 20)
            .target_file_size(2 << 20)
    };
    let db = DB::open(dir.path(), options()).unwrap();
    for number in shuffled() {
        db.put(&number.to_be_bytes(), &value(number, 1)).unwrap();
    }
    for number in shuffled() {
        if number % 3 == 0 {
            db.put(&number.to_be_bytes(), &value(number, 2)).unwrap();
        }
        if number % 7 == 0 {
            db.delete(&number.to_be_bytes()).unwrap();
        }
    }
    check(&db, "after the writes");
    db.close().unwrap();
    let db = DB::open(dir.path(), options()).unwrap();
    db.compact_range(None, None).unwrap();
    let stats = db.stats().unwrap();
    let entries: u64 = stats.levels.iter().map(|level| level.entries).sum();
    let live = (0..ENTRIES).filter(|number| generation(*number).is_some());
    assert_eq!(entries, live.count() as u64, "only live entries are left");
    check(&db, "after reopening and compaction");
}
