//! Tests of versions on real tables in memory, and helpers for other tests of tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aidb_test_data::Random;

use super::*;
use crate::env::{Env, MemEnv};
use crate::filename::table_path;
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, SequenceNumber, ValueKind};
use crate::sstable;
use crate::sstable::BlockCache;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Entries in the order of the tree.
pub(crate) type Entries = BTreeMap<(Vec<u8>, std::cmp::Reverse<Trailer>), Vec<u8>>;

pub(crate) fn insert(entries: &mut Entries, key: &[u8], sequence: u64, value: Option<&[u8]>) {
    let kind = match value {
        Some(_) => ValueKind::Put,
        None => ValueKind::Delete,
    };
    let trailer = Trailer::new(SequenceNumber(sequence), kind);
    let value = value.unwrap_or_default().to_vec();
    entries.insert((key.to_vec(), std::cmp::Reverse(trailer)), value);
}

/// A database directory in memory, with a table cache and a counter of file numbers.
pub(crate) struct Bench {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) dir: PathBuf,
    pub(crate) tables: Arc<TableCache>,
    pub(crate) obsolete: Arc<ObsoleteFiles>,
    next: AtomicU64,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let env: Arc<dyn Env> = Arc::new(MemEnv::new());
        let dir = PathBuf::from("/db");
        env.create_dir_all(&dir).unwrap();
        Bench {
            tables: TableCache::new(env.clone(), &dir, BlockCache::new(1 << 20), 100),
            obsolete: ObsoleteFiles::new(|| {}),
            env,
            dir,
            next: AtomicU64::new(1),
        }
    }

    /// The next file number.
    pub(crate) fn number(&self) -> FileNumber {
        FileNumber(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Builds a table of `entries` under the next number.
    pub(crate) fn table(&self, entries: &Entries) -> TableInfo {
        build(&*self.env, &self.dir, self.number(), entries)
    }

    pub(crate) fn apply(&self, version: &Version, edit: &VersionEdit) -> Version {
        version.apply(edit, &self.obsolete).unwrap().0
    }
}

/// Builds table `number` of `entries`.
pub(crate) fn build(env: &dyn Env, dir: &Path, number: FileNumber, entries: &Entries) -> TableInfo {
    let path = table_path(dir, number);
    let file_id = env.random().unwrap();
    let options = sstable::TableOptions {
        block_size: 64,
        ..sstable::TableOptions::default()
    };
    let file = env.create_new(&path).unwrap();
    let mut builder = sstable::Builder::new(file, path, file_id, options).unwrap();
    for ((key, trailer), value) in entries {
        builder.add(KeyRef::new(key, trailer.0), value).unwrap();
    }
    TableInfo::new(number, file_id, builder.finish().unwrap())
}

fn added(tables: impl IntoIterator<Item = (usize, TableInfo)>) -> VersionEdit {
    VersionEdit {
        added: tables.into_iter().collect(),
        ..VersionEdit::default()
    }
}

fn puts(keys: &[(&[u8], u64)]) -> Entries {
    let mut entries = Entries::new();
    for (key, sequence) in keys {
        let value = format!("{}@{sequence}", String::from_utf8_lossy(key));
        insert(&mut entries, key, *sequence, Some(value.as_bytes()));
    }
    entries
}

fn get(bench: &Bench, version: &Version, key: &[u8], at: u64) -> Option<String> {
    let trailer = Trailer::visible_at(SequenceNumber(at));
    let sought = Sought::new(key, trailer);
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let mut found = None;
    let mut newest = |_, value: TableEntry<'_>| {
        found = Some(text(&value));
        Need::Nothing
    };
    version.feed(sought, &reading(bench), &mut newest).unwrap();
    let mut together = None;
    let note = |_, _, value: TableEntry<'_>| {
        assert_eq!(together, None, "fed after it was done");
        together = Some(text(&value));
        Need::Nothing
    };
    version
        .feed_together(
            &[sought],
            &bench.tables,
            &mut OpenTables::default(),
            true,
            note,
        )
        .unwrap();
    assert_eq!(together, found);
    found
}

fn reading(bench: &Bench) -> Reading<'_> {
    Reading {
        tables: &bench.tables,
        fill_cache: true,
    }
}

/// The numbers of the entries of `key` that a lookup at `at` gets if it takes `most` of them. Checks that it gets the
/// same alone and together with others.
fn fed(bench: &Bench, version: &Version, key: &[u8], at: u64, most: usize) -> Vec<u64> {
    let sought = Sought::new(key, Trailer::visible_at(SequenceNumber(at)));
    let need = |fed: &Vec<u64>| match fed.len() == most {
        true => Need::Nothing,
        false => Need::Older,
    };
    let mut alone = Vec::new();
    let mut gather = |trailer: Trailer, _: TableEntry<'_>| {
        alone.push(trailer.sequence().0);
        need(&alone)
    };
    version.feed(sought, &reading(bench), &mut gather).unwrap();
    assert!(alone.len() <= most, "fed after it was done");
    let others = [&b"absent"[..], b"a", b"z"].map(|key| Sought::new(key, Trailer::NEWEST));
    let keys = [others[0], others[1], sought, others[2]];
    let mut together = Vec::new();
    let gather = |index: usize, trailer: Trailer, _: TableEntry<'_>| {
        if index != 2 {
            return Need::Nothing;
        }
        together.push(trailer.sequence().0);
        need(&together)
    };
    let mut open = OpenTables::default();
    version
        .feed_together(&keys, &bench.tables, &mut open, true, gather)
        .unwrap();
    assert_eq!(together, alone, "{key:?} at {at}, {most}");
    alone
}

/// LOOKUP-1, with tables of level 0 that overlap in numbers, and levels below.
#[test]
fn a_lookup_is_fed_each_entry_of_its_key_newest_first_until_it_is_done() {
    let bench = Bench::new();
    let wide = puts(&[(b"a", 1), (b"k", 25), (b"k", 21), (b"z", 40)]);
    let narrow = puts(&[(b"k", 35), (b"k", 23), (b"l", 38)]);
    let mut deleted = puts(&[(b"k", 15)]);
    insert(&mut deleted, b"k", 18, None);
    let tables = [
        (0, bench.table(&puts(&[(b"b", 19), (b"y", 20)]))),
        (0, bench.table(&narrow)),
        (0, bench.table(&wide)),
        (1, bench.table(&deleted)),
        (2, bench.table(&puts(&[(b"b", 8), (b"y", 9)]))),
        (4, bench.table(&puts(&[(b"k", 7), (b"k", 3)]))),
    ];
    let version = bench.apply(&Version::empty(), &added(tables));
    let all = [35, 25, 23, 21, 18, 15, 7, 3];
    for at in 0..=40 {
        let visible: Vec<u64> = all.into_iter().filter(|number| *number <= at).collect();
        for most in 1..=all.len() + 1 {
            let expected = &visible[..most.min(visible.len())];
            assert_eq!(fed(&bench, &version, b"k", at, most), expected);
        }
    }
    assert!(fed(&bench, &version, b"kk", 99, 1).is_empty());
}

#[test]
fn level_0_answers_with_the_newest_even_if_tables_overlap_in_numbers() {
    let bench = Bench::new();
    // The table with the largest sequence number holds the older version of "k".
    let wide = bench.table(&puts(&[(b"a", 1), (b"k", 5), (b"z", 20)]));
    let narrow = bench.table(&puts(&[(b"k", 15), (b"l", 18)]));
    let old = bench.table(&puts(&[(b"k", 3)]));
    let edit = added([(0, old), (0, narrow), (0, wide)]);
    let version = bench.apply(&Version::empty(), &edit);
    let numbers: Vec<u64> = version.files(0).iter().map(|file| file.number.0).collect();
    assert_eq!(numbers, [1, 2, 3]);
    for (at, expected) in [
        (99, Some("k@15")),
        (14, Some("k@5")),
        (4, Some("k@3")),
        (2, None),
    ] {
        assert_eq!(
            get(&bench, &version, b"k", at).as_deref(),
            expected,
            "at {at}"
        );
    }
}

/// VERSION-3.
#[test]
fn the_first_level_with_an_entry_answers() {
    let bench = Bench::new();
    let mut deleted = Entries::new();
    insert(&mut deleted, b"m", 30, None);
    let tables = [
        (0, bench.table(&puts(&[(b"a", 50), (b"z", 51)]))),
        (1, bench.table(&deleted)),
        (3, bench.table(&puts(&[(b"b", 10), (b"m", 11)]))),
        (3, bench.table(&puts(&[(b"n", 12), (b"y", 13)]))),
    ];
    let version = bench.apply(&Version::empty(), &added(tables));
    assert_eq!(get(&bench, &version, b"m", 99).as_deref(), Some(""));
    assert_eq!(get(&bench, &version, b"m", 29).as_deref(), Some("m@11"));
    assert_eq!(get(&bench, &version, b"y", 99).as_deref(), Some("y@13"));
    assert_eq!(get(&bench, &version, b"mm", 99), None);
    assert_eq!(version.deepest_level(), Some(3));
    assert_eq!(version.level_bytes(1), version.files(1)[0].size);
}

/// VERSION-2, VERSION-4.
#[test]
fn an_edit_that_breaks_an_invariant_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let ab = bench.table(&puts(&[(b"a", 1), (b"b", 2)]));
    let bc = bench.table(&puts(&[(b"b", 3), (b"c", 4)]));
    let version = bench.apply(&Version::empty(), &added([(1, ab.clone())]));
    let mut removes_twice = VersionEdit::default();
    removes_twice.remove(1, ab.number);
    removes_twice.remove(1, ab.number);
    let mut changes = added([(
        2,
        TableInfo {
            size: ab.size + 1,
            ..ab.clone()
        },
    )]);
    changes.remove(1, ab.number);
    let mut other_level = VersionEdit::default();
    other_level.remove(2, ab.number);
    let edits = [
        added([(1, bc)]),
        added([(1, ab.clone())]),
        added([(4, ab.clone())]),
        removes_twice,
        changes,
        other_level,
    ];
    for edit in edits {
        let error = version.apply(&edit, &bench.obsolete).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Internal, "{edit:?}");
    }
    assert_eq!(version.files(1).len(), 1);
}

#[test]
fn a_trivial_move_keeps_the_file() {
    let bench = Bench::new();
    let table = bench.table(&puts(&[(b"a", 1)]));
    let before = bench.apply(&Version::empty(), &added([(0, table.clone())]));
    let mut edit = added([(1, table.clone())]);
    edit.remove(0, table.number);
    let (after, removed) = before.apply(&edit, &bench.obsolete).unwrap();
    assert!(removed.is_empty());
    assert!(Arc::ptr_eq(&before.files(0)[0], &after.files(1)[0]));
    assert!(after.files(0).is_empty());
}

#[test]
fn a_version_has_something_to_reclaim_while_a_table_has_tombstones_or_older_versions() {
    let bench = Bench::new();
    let plain = bench.table(&puts(&[(b"a", 1), (b"b", 2)]));
    let mut deleted = Entries::new();
    insert(&mut deleted, b"m", 30, None);
    let before = bench.apply(&Version::empty(), &added([(1, plain)]));
    assert!(!Version::empty().has_reclaimable() && !before.has_reclaimable());
    for table in [
        bench.table(&deleted),
        bench.table(&puts(&[(b"k", 5), (b"k", 6)])),
    ] {
        for level in [0, 3] {
            let with = bench.apply(&before, &added([(level, table.clone())]));
            assert!(with.has_reclaimable(), "{table:?}");
            let mut removal = VersionEdit::default();
            removal.remove(level, table.number);
            assert!(!bench.apply(&with, &removal).has_reclaimable());
        }
    }
}

/// Level 2 with tables over random keys, and all their entries.
fn random_level(bench: &Bench, random: &mut Random) -> (Version, Entries) {
    let mut edit = VersionEdit::default();
    let mut all = Entries::new();
    let mut entries = Entries::new();
    // Keys that share more than eight bytes, so that prefixes tie.
    for key in 0..200 {
        if random.index(3) == 0 {
            continue;
        }
        for _ in 0..=random.index(3) {
            let sequence = 1 + random.index(1000) as u64;
            insert(
                &mut entries,
                format!("shared-by-all-{key:03}").as_bytes(),
                sequence,
                Some(b"v"),
            );
        }
        if random.index(10) == 0 && !entries.is_empty() {
            edit.add(2, bench.table(&entries));
            all.append(&mut entries);
        }
    }
    if !entries.is_empty() {
        edit.add(2, bench.table(&entries));
        all.append(&mut entries);
    }
    (bench.apply(&Version::empty(), &edit), all)
}

#[test]
fn searches_in_a_level_agree_with_looking_at_every_table() {
    for seed in 0..20 {
        let (bench, mut random) = (Bench::new(), Random::new(seed));
        let (version, _) = random_level(&bench, &mut random);
        let mut keys: Vec<Vec<u8>> = (0..200)
            .map(|key| format!("shared-by-all-{key:03}").into_bytes())
            .collect();
        keys.extend([b"".to_vec(), b"shared-b".to_vec(), b"z".to_vec()]);
        for key in &keys {
            let slow = version
                .files(2)
                .iter()
                .find(|file| file.overlaps(Some(key), Some(key)));
            let fast = version.file_for(2, key);
            assert_eq!(
                fast.map(|f| f.number),
                slow.map(|f| f.number),
                "seed {seed}"
            );
            let end = &keys[random.index(keys.len())];
            for (start, end) in [(Some(key), Some(end)), (None, Some(end)), (Some(key), None)] {
                let (start, end) = (start.map(|k| &k[..]), end.map(|k| &k[..]));
                if start.zip(end).is_some_and(|(start, end)| start > end) {
                    continue;
                }
                let fast = version.overlapping(2, start, end);
                let slow = version
                    .files(2)
                    .iter()
                    .filter(|file| file.overlaps(start, end));
                assert!(
                    fast.iter().map(|f| f.number).eq(slow.map(|f| f.number)),
                    "seed {seed}"
                );
            }
        }
    }
}

/// LEVEL-1, LEVEL-2.
#[test]
fn a_level_walks_like_one_sorted_list() {
    for seed in 0..20 {
        let (bench, mut random) = (Bench::new(), Random::new(seed));
        let (version, all) = random_level(&bench, &mut random);
        let mut iterators = Vec::new();
        let take = |iterator| iterators.push(iterator);
        version.iterators(&bench.tables, true, 0, None, None, take);
        assert_eq!(iterators.len(), 1);
        walk_randomly(
            &mut iterators[0],
            &all,
            &mut random,
            &format!("seed {seed}"),
        );
    }
}

/// Walks `iterator` at random and compares each place with `entries`.
pub(crate) fn walk_randomly(
    iterator: &mut impl InternalIterator,
    entries: &Entries,
    random: &mut Random,
    label: &str,
) {
    let list: Vec<_> = entries.iter().collect();
    let mut place: Option<usize> = None;
    for step in 0..2000 {
        match random.index(20) {
            0 => {
                iterator.seek_to_first().unwrap();
                place = (!list.is_empty()).then_some(0);
            }
            1 => {
                iterator.seek_to_last().unwrap();
                place = list.len().checked_sub(1);
            }
            way @ 2..=5 => {
                let (key, trailer) = match list.get(random.index(list.len() + 1)) {
                    Some(((key, trailer), _)) => (key.clone(), trailer.0),
                    None => (b"zz".to_vec(), Trailer(77)),
                };
                let moved = trailer
                    .0
                    .saturating_add(random.index(3) as u64)
                    .saturating_sub(1);
                let target = KeyRef::new(&key, Trailer(moved));
                let compare = |index: &usize| {
                    let ((key, trailer), _) = list[*index];
                    KeyRef::new(key, trailer.0).cmp(&target)
                };
                if way < 4 {
                    iterator.seek(target).unwrap();
                    place = (0..list.len()).find(|index| compare(index).is_ge());
                } else {
                    iterator.seek_for_prev(target).unwrap();
                    place = (0..list.len()).rev().find(|index| compare(index).is_le());
                }
            }
            way => {
                let Some(index) = place else { continue };
                if (way + step / 50) % 3 > 0 {
                    iterator.next().unwrap();
                    place = Some(index + 1).filter(|&index| index < list.len());
                } else {
                    iterator.prev().unwrap();
                    place = index.checked_sub(1);
                }
            }
        }
        assert_eq!(iterator.valid(), place.is_some(), "{label}, step {step}");
        if let Some(index) = place {
            let ((key, trailer), value) = list[index];
            assert_eq!(
                iterator.key(),
                KeyRef::new(key, trailer.0),
                "{label}, step {step}"
            );
            assert_eq!(iterator.value(), value, "{label}, step {step}");
            assert_eq!(
                iterator.entry(),
                (&key[..], &value[..]),
                "{label}, step {step}"
            );
        }
    }
}
