//! Models of the leaves and their directory. The skip list underneath is trusted, and so are the memory orders: the
//! checker knows only sequentially consistent atomics. A leaf holds four records here, so a few inserts split it.

use super::*;
use crate::iterator::InternalIterator;
use crate::key::{SequenceNumber, ValueKind};
use crate::sync::checker::check;
use crate::sync::thread;

fn put(memtable: &Memtable, key: u8) {
    let trailer = Trailer::new(SequenceNumber(u64::from(key) + 1), ValueKind::Put);
    memtable.insert(&[key], trailer, &[key]).unwrap();
}

fn find(memtable: &Memtable, key: u8) -> Option<Vec<u8>> {
    let at = Trailer::visible_at(SequenceNumber::MAX);
    memtable.get(&[key], at).map(|(_, value)| value.to_vec())
}

/// Every key, in the order in which a walk in one direction finds them.
fn walk(memtable: &Arc<Memtable>, forward: bool) -> Vec<u8> {
    let mut iter = memtable.iter();
    let mut keys = Vec::new();
    if forward {
        iter.seek_to_first().unwrap();
    } else {
        iter.seek_to_last().unwrap();
    }
    while iter.valid() {
        keys.push(iter.key().user_key[0]);
        assert_eq!(
            iter.value(),
            [iter.key().user_key[0]],
            "MEMTABLE-2: a torn entry"
        );
        if forward {
            iter.next().unwrap();
        } else {
            iter.prev().unwrap();
        }
    }
    keys
}

/// NODE-5. MEMTABLE-1 and MEMTABLE-2 over splits by two writers. Fails if a split does not change the version
/// (`changed` left false), if `is_unchanged` always agrees, if the left leaf's bound is lowered before the right leaf
/// is linked and readers do not check the version, if an insert does not go on to the right leaf (`ends_before`), or
/// if `hold` does not exclude.
#[test]
fn readers_see_every_older_entry_while_leaves_split() {
    check("memtable", 1_500, || {
        let memtable = Arc::new(Memtable::new(4096));
        let old = [10, 20, 30, 40];
        old.iter().for_each(|key| put(&memtable, *key));
        let writers = [[25, 5, 15], [26, 45, 35]].map(|keys| {
            let memtable = memtable.clone();
            thread::spawn(move || {
                for key in keys {
                    put(&memtable, key);
                    assert_eq!(
                        find(&memtable, key),
                        Some(vec![key]),
                        "MEMTABLE-1: own insert"
                    );
                }
            })
        });
        for forward in [true, false] {
            let mut keys = walk(&memtable, forward);
            if !forward {
                keys.reverse();
            }
            assert!(keys.is_sorted_by(|left, right| left < right), "{keys:?}");
            for key in old {
                assert!(
                    keys.contains(&key),
                    "MEMTABLE-1: {key} is missing in {keys:?}"
                );
                assert_eq!(find(&memtable, key), Some(vec![key]), "MEMTABLE-1");
            }
        }
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        let all = [5, 10, 15, 20, 25, 26, 30, 35, 40, 45];
        assert_eq!(walk(&memtable, true), all);
        assert_eq!(memtable.entries(), 10);
    });
}

/// Ascending and descending keys, which split at an end and take the shortcut to the last leaf.
#[test]
fn runs_in_both_directions_meet_in_the_middle() {
    check("memtable runs", 1_000, || {
        let memtable = Arc::new(Memtable::new(4096));
        let runs = [[50, 51, 52, 53, 54, 55], [49, 48, 47, 46, 45, 44]].map(|keys| {
            let memtable = memtable.clone();
            thread::spawn(move || {
                for key in keys {
                    put(&memtable, key);
                    assert_eq!(
                        find(&memtable, key),
                        Some(vec![key]),
                        "MEMTABLE-1: own insert"
                    );
                }
            })
        });
        let keys = walk(&memtable, true);
        assert!(keys.is_sorted_by(|left, right| left < right), "{keys:?}");
        runs.into_iter().for_each(|run| run.join().unwrap());
        assert_eq!(walk(&memtable, true), (44..=55).collect::<Vec<u8>>());
    });
}
