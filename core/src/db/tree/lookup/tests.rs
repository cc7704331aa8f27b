//! Lookups of a database's memtables and tables together.

use super::*;
use crate::db::DB;
use crate::env::MemEnv;
use crate::options::Options;

/// Takes `most` entries, and returns their numbers.
struct Gather {
    most: usize,
    numbers: Vec<u64>,
}

impl Lookup for Gather {
    type Answer = Vec<u64>;

    fn feed(&mut self, trailer: Trailer, _: Found<'_>) -> ControlFlow<Result<Vec<u64>>> {
        assert!(self.numbers.len() < self.most, "fed after it was done");
        self.numbers.push(trailer.sequence().0);
        match self.numbers.len() == self.most {
            true => ControlFlow::Break(Ok(self.numbers.clone())),
            false => ControlFlow::Continue(()),
        }
    }

    fn end(self) -> Result<Vec<u64>> {
        assert!(self.numbers.len() < self.most, "ended although it was done");
        Ok(self.numbers)
    }
}

/// The numbers of the entries of `key` in `snapshot` (or now) that a lookup gets if it takes `most` of them.
fn fed(db: &DB, key: &[u8], snapshot: Option<&Snapshot>, most: usize) -> Vec<u64> {
    let options = ReadOptions::new().snapshot(snapshot);
    let numbers = Vec::new();
    let gather = Gather { most, numbers };
    db.rooms().tree.get(key, &options, gather).unwrap()
}

/// LOOKUP-1.
#[test]
fn a_lookup_that_gathers_is_fed_from_memtables_and_tables_in_one_order() {
    let options = Options::new().env(Arc::new(MemEnv::new()));
    let db = DB::open("db", options).unwrap();
    let mut snapshots = Vec::new();
    let mut numbers = Vec::new();
    for round in 0..40u64 {
        // A snapshot keeps each version.
        match round % 3 {
            // Not as the oldest version, which would hide nothing and be dropped.
            2 => db.delete(b"k").unwrap(),
            _ => db.put(b"k", &round.to_le_bytes()).unwrap(),
        };
        let snapshot = db.snapshot().unwrap();
        numbers.insert(0, snapshot.sequence().0);
        snapshots.push(snapshot);
        db.put(b"other", b"").unwrap();
        match round {
            9 | 14 | 17 | 30 => db.flush().unwrap(),
            20 => db.compact_range(None, None).unwrap(),
            _ => {}
        }
    }
    assert_eq!(numbers.len(), 40);
    for snapshot in &snapshots {
        let at = snapshot.sequence().0;
        let visible: Vec<u64> = numbers.iter().copied().filter(|n| *n <= at).collect();
        for most in [1, 2, 7, visible.len(), visible.len() + 1] {
            let expected = &visible[..most.min(visible.len())];
            let found = fed(&db, b"k", Some(snapshot), most);
            assert_eq!(found, expected, "at {at}, {most}");
        }
    }
    assert!(fed(&db, b"l", None, 1).is_empty());
}
