//! Counts, estimates of counts, and cursors that show no values.

use super::*;
use crate::effort::{Effort, within};

type Range<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn key(number: u64) -> Vec<u8> {
    format!("key {number:05}").into_bytes()
}

/// `numbers` in ascending order with small values, in several blocks of tables of two levels and in two memtables.
fn spread(env: &MemEnv, numbers: u64) -> DB {
    let options = options(env).write_buffer_size(8 << 20).block_size(256);
    let mut db = DB::open("/db", options.clone()).unwrap();
    for part in 0..4 {
        for number in (0..numbers).filter(|number| number % 4 == part) {
            db.put(&key(number), b"a small value").unwrap();
        }
        match part {
            0 => db.compact_range(None, None).unwrap(),
            1 => db.flush().unwrap(),
            2 => {
                drop(db);
                // What is replayed is sealed.
                db = DB::open("/db", options.clone()).unwrap();
            }
            _ => {}
        }
    }
    let superversion = db.rooms().tree.load_full();
    assert_eq!(superversion.sealed().len(), 1);
    assert!(!superversion.active().is_empty());
    db
}

/// How many entries a cursor finds.
fn walked(db: &DB, options: IterOptions) -> u64 {
    let mut cursor = db.cursor(options).unwrap();
    let mut entries = 0;
    while cursor.next().unwrap() {
        entries += 1;
    }
    entries
}

#[test]
fn a_count_finds_what_a_cursor_finds_in_every_range_and_at_every_snapshot() {
    let env = MemEnv::new();
    let db = open(&env);
    let mut random = Random::new(7);
    let mut snapshots = Vec::new();
    for round in 0..400 {
        let number = random.below(60);
        match random.below(8) {
            0..5 => db.put(&key(number), &vec![b'v'; number as usize]).unwrap(),
            _ => db.delete(&key(number)).unwrap(),
        };
        match round % 50 {
            10 => snapshots.push(db.snapshot().unwrap()),
            20 => db.flush().unwrap(),
            30 => db.compact_range(None, None).unwrap(),
            _ => {}
        }
    }
    let keys: Vec<_> = (0..60).step_by(7).map(key).collect();
    let bounds = || std::iter::once(None).chain(keys.iter().map(|key| Some(&key[..])));
    for (start, end) in bounds().flat_map(|start| bounds().map(move |end| (start, end))) {
        for snapshot in std::iter::once(None).chain(snapshots.iter().map(Some)) {
            for prefix in [None, Some(&b"key 0001"[..]), Some(b"")] {
                let walk = IterOptions::new()
                    .lower_bound(start.map(<[u8]>::to_vec))
                    .upper_bound(end.map(<[u8]>::to_vec))
                    .prefix(prefix.map(<[u8]>::to_vec))
                    .snapshot(snapshot.cloned());
                let options = CountOptions::new().snapshot(snapshot).prefix(prefix);
                let counted = db
                    .count_with(start, end, &options, &mut |_| ControlFlow::Continue(()))
                    .unwrap();
                assert_eq!(counted, walked(&db, walk), "{start:?} {end:?} {prefix:?}");
            }
        }
    }
}

#[test]
fn an_estimate_of_everything_is_exact_if_nothing_was_overwritten_or_deleted() {
    let env = MemEnv::new();
    let db = spread(&env, 1000);
    for (start, end) in [
        (None, None),
        (Some(&b""[..]), None),
        (None, Some(&b"z"[..])),
    ] {
        assert_eq!(db.approximate_count(start, end).unwrap(), 1000);
        assert_eq!(db.count(start, end).unwrap(), 1000);
    }
    let nothing: [Range<'_>; 4] = [
        (Some(b"a"), Some(b"a")),
        (Some(b"b"), Some(b"a")),
        (Some(b"z"), None),
        (None, Some(b"key")),
    ];
    for (start, end) in nothing {
        assert_eq!(db.approximate_count(start, end).unwrap(), 0);
        assert_eq!(db.count(start, end).unwrap(), 0);
    }
}

#[test]
fn an_estimate_of_a_range_is_off_by_at_most_a_block_of_each_table_at_a_bound() {
    let env = MemEnv::new();
    let db = spread(&env, 4000);
    let blocks = |entries: u64| {
        // Two tables; a block has a dozen entries.
        let (bounds, tables, entries_of_a_block) = (2, 2, 13);
        entries + bounds * tables * entries_of_a_block
    };
    for (from, to) in [
        (0, 4000),
        (0, 1),
        (17, 18),
        (100, 3100),
        (1999, 4000),
        (3990, 5000),
    ] {
        let (start, end) = (key(from), key(to));
        let (start, end) = (Some(&start[..]), Some(&end[..]));
        let exact = to.min(4000) - from;
        assert_eq!(db.count(start, end).unwrap(), exact);
        let about = db.approximate_count(start, end).unwrap();
        assert!(
            about.abs_diff(exact) <= blocks(0),
            "{from} to {to}: {about}"
        );
    }
}

#[test]
fn an_estimate_of_a_memtable_counts_the_entries_in_the_range() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(1 << 20)).unwrap();
    // In an order that splits leaves everywhere.
    for number in (0..5000).map(|number| number * 7919 % 5000) {
        db.put(&key(number), b"").unwrap();
    }
    for (from, to) in [(0, 5000), (1, 4999), (64, 128), (2500, 2501), (0, 0)] {
        let (start, end) = (key(from), key(to));
        let about = |start, end| db.approximate_count(start, end).unwrap();
        assert_eq!(about(Some(&start), Some(&end)), to - from);
        assert_eq!(about(None, Some(&end)), to);
        assert_eq!(about(Some(&start), None), 5000 - from);
    }
}

#[test]
fn an_estimate_subtracts_what_tombstones_and_newer_versions_hide() {
    let env = MemEnv::new();
    let db = open(&env);
    let about = || db.approximate_count(None, None).unwrap();
    for number in 0..10 {
        db.put(&key(number), b"").unwrap();
    }
    db.flush().unwrap();
    for number in 0..4 {
        db.delete(&key(number)).unwrap();
    }
    assert_eq!(about(), 6);
    db.flush().unwrap();
    assert_eq!(about(), 6);
    // A tombstone of an absent key is taken for one that hides an entry, and an overwritten version for an entry.
    db.delete(&key(0)).unwrap();
    assert_eq!(about(), 5);
    db.put(&key(9), b"again").unwrap();
    assert_eq!(about(), 6);
    let snapshot = db.snapshot().unwrap();
    for number in 4..10 {
        db.put(&key(number), b"newer").unwrap();
    }
    db.compact_range(None, None).unwrap();
    // A table says how many older versions it keeps for snapshots.
    assert_eq!((about(), db.count(None, None).unwrap()), (6, 6));
    drop(snapshot);
    // There are more tombstones than entries.
    for number in 0..20 {
        db.delete(&key(number)).unwrap();
    }
    assert_eq!((about(), db.count(None, None).unwrap()), (0, 0));
}

#[test]
fn a_count_tells_its_progress_and_ends_when_told_to() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(16 << 20)).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..150_000u32 {
        batch.put(&number.to_be_bytes(), b"").unwrap();
    }
    db.write(&batch).unwrap();
    let mut steps = Vec::new();
    let mut told = |ends_at: usize| {
        steps.clear();
        let counted = db.count_with(None, None, &CountOptions::new(), &mut |at| {
            steps.push((at.counted, at.approximate_total));
            match steps.len() == ends_at {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        (counted.unwrap(), steps.clone())
    };
    let all = vec![(65_536, 150_000), (131_072, 150_000), (150_000, 150_000)];
    assert_eq!(told(0), (150_000, all.clone()));
    assert_eq!(told(2), (131_072, all[..2].to_vec()));
    assert_eq!(told(3), (150_000, all));
    // More entries than estimated, because tombstones of absent keys count.
    let mut batch = WriteBatch::new();
    for number in 200_000..300_000u32 {
        batch.delete(&number.to_be_bytes()).unwrap();
    }
    db.write(&batch).unwrap();
    let all = vec![(65_536, 65_536), (131_072, 131_072), (150_000, 150_000)];
    assert_eq!(told(0), (150_000, all));
}

#[test]
fn a_count_of_large_values_tells_its_progress_more_often() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(64 << 20)).unwrap();
    for number in 0..12 {
        db.put(&key(number), &vec![0; 2 << 20]).unwrap();
    }
    let told = || {
        let mut steps = Vec::new();
        let counted = db.count_with(None, None, &CountOptions::new(), &mut |at| {
            steps.push(at.counted);
            ControlFlow::Continue(())
        });
        assert_eq!(counted.unwrap(), 12);
        steps
    };
    assert_eq!(told(), [4, 8, 12]);
    db.flush().unwrap();
    assert_eq!(told(), [4, 8, 12]);
}

#[test]
fn a_cursor_without_values_and_a_count_copy_no_value() {
    const LARGE: usize = 6 << 20;
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(1 << 30)).unwrap();
    for number in 0..8 {
        // Two versions: a walk backward has to keep the newer one while it looks for one still newer.
        db.put(&key(number), &vec![0; LARGE]).unwrap();
        db.put(&key(number), &vec![1; LARGE]).unwrap();
    }
    let back = |values| {
        let options = IterOptions::new().reverse(true).values(values);
        let mut cursor = db.cursor(options)?;
        let mut keys = Vec::new();
        while cursor.next()? {
            assert_eq!(cursor.value().len(), if values { LARGE } else { 0 });
            keys.push(cursor.key().to_vec());
        }
        Ok(keys)
    };
    let keys: Vec<_> = (0..8).rev().map(key).collect();
    // A brief call gives up at a copy of so many bytes.
    assert_eq!(within(&Effort::Brief, || back(false)).unwrap(), keys);
    assert!(
        within(&Effort::Brief, || back(true))
            .unwrap_err()
            .is_given_up()
    );
    assert_eq!(back(true).unwrap(), keys);
    assert_eq!(within(&Effort::Brief, || db.count(None, None)).unwrap(), 8);
}

#[test]
fn a_count_leaves_no_block_in_the_cache_unless_it_is_asked_to() {
    let env = MemEnv::new();
    let db = spread(&env, 1000);
    let cached = || db.stats().unwrap().block_cache_bytes;
    let before = cached();
    assert_eq!(db.count(None, None).unwrap(), 1000);
    assert_eq!(cached(), before);
    let options = CountOptions::new().fill_cache(true);
    // Blocks read ahead enter the cache when they are read a second time.
    for _ in 0..2 {
        let counted = db.count_with(None, None, &options, &mut |_| ControlFlow::Continue(()));
        assert_eq!(counted.unwrap(), 1000);
    }
    assert!(cached() > before);
    // Through spans of blocks that are now in memory.
    for _ in 0..3 {
        assert_eq!(db.count(None, None).unwrap(), 1000);
    }
}

#[test]
fn a_long_count_gives_up_when_it_is_no_longer_wanted() {
    let env = MemEnv::new();
    let db = spread(&env, 60_000);
    let brief = within(&Effort::Brief, || db.count(None, None));
    assert!(brief.unwrap_err().is_given_up());
    assert_eq!(
        within(&Effort::Brief, || db.count(None, Some(&key(1000)))).unwrap(),
        1000
    );
    assert_eq!(db.count(None, None).unwrap(), 60_000);
}

#[test]
fn a_count_may_close_the_database_in_its_progress_and_then_says_so() {
    let env = MemEnv::new();
    let db = DB::open("/db", options(&env).write_buffer_size(16 << 20)).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..70_000u32 {
        batch.put(&number.to_be_bytes(), b"").unwrap();
    }
    db.write(&batch).unwrap();
    let counted = db.count_with(None, None, &CountOptions::new(), &mut |_| {
        db.close().unwrap();
        ControlFlow::Continue(())
    });
    assert_eq!(counted.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(db.count(None, None).unwrap_err().kind(), ErrorKind::Closed);
    let estimate = db.approximate_count(None, None);
    assert_eq!(estimate.unwrap_err().kind(), ErrorKind::Closed);
}
