//! Versions and their manifest, one field and one damage at a time: what recovery requires, what a failed edit
//! leaves, and what a repair can still read.

use super::current::{read_current, set_current};
use super::manifest::{ManifestWriter, RECORDS_OFFSET, encoded_record, snapshot_records};
use super::tests::{Bench, Entries, build, insert};
use super::*;
use crate::env::{Call, Env, Fault, FaultEnv, MemEnv};
use crate::error::{Error, ErrorKind};
use crate::filename::{manifest_path, table_path};
use crate::iterator::InternalIterator;
use crate::key::{FileNumber, KeyRef, KeyspaceId, MAX_KEY_BYTES, ValueKind};
use std::path::Path;

fn dir() -> &'static Path {
    Path::new("/db")
}

/// A disk in memory that can inject faults, with the directory on it.
fn disk() -> Arc<FaultEnv> {
    let env = Arc::new(FaultEnv::new(Arc::new(MemEnv::new()), 1));
    env.create_dir_all(dir()).unwrap();
    env
}

fn created(env: &Arc<FaultEnv>) -> (VersionSet, Arc<ObsoleteFiles>) {
    let obsolete = ObsoleteFiles::new(|| {});
    let set = VersionSet::create(env.clone(), dir(), obsolete.clone()).unwrap();
    (set, obsolete)
}

fn recover(env: &Arc<FaultEnv>) -> Result<VersionSet> {
    VersionSet::recover(env.clone(), dir(), ObsoleteFiles::new(|| {}), false)
}

/// A table with this number, and one entry, which has the same number.
fn table(env: &FaultEnv, number: u64) -> TableInfo {
    let mut entries = Entries::new();
    let key = format!("{number:05}");
    insert(&mut entries, key.as_bytes(), number, Some(b"v"));
    build(env, dir(), FileNumber(number), &entries)
}

fn adding(level: usize, table: TableInfo) -> VersionEdit {
    let mut edit = VersionEdit::default();
    edit.add(level, table);
    edit
}

fn tables(version: &Version) -> Vec<(usize, u64)> {
    let files = version.all_files();
    files.map(|(level, file)| (level, file.number.0)).collect()
}

/// The first record of a database without tables.
fn first_record() -> VersionEdit {
    VersionEdit {
        format_version: Some(1),
        comparator: Some(b"bytewise".to_vec()),
        keyspace: Some(KeyspaceId::DEFAULT),
        log_number: Some(FileNumber(5)),
        next_file_number: Some(FileNumber(50)),
        last_sequence: Some(SequenceNumber(7)),
        ..VersionEdit::default()
    }
}

#[test]
fn the_first_record_of_a_manifest_needs_each_of_its_fields() {
    let recovered = |edit: VersionEdit| {
        let env = disk();
        let edits = [edit].into_iter();
        let writer = ManifestWriter::create(&*env, dir(), FileNumber(1), edits).unwrap();
        set_current(&*env, dir(), &writer).unwrap();
        recover(&env).map(|set| (set.log_number().0, set.last_sequence().0))
    };
    assert_eq!(recovered(first_record()).unwrap(), (5, 7));
    let without: [fn(&mut VersionEdit); 6] = [
        |edit| edit.format_version = None,
        |edit| edit.comparator = None,
        |edit| edit.keyspace = None,
        |edit| edit.log_number = None,
        |edit| edit.next_file_number = None,
        |edit| edit.last_sequence = None,
    ];
    for remove in without {
        let mut edit = first_record();
        remove(&mut edit);
        let error = recovered(edit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
        assert!(
            error.message().contains("the first record lacks a field"),
            "{error}"
        );
    }
}

#[test]
fn a_table_of_another_length_is_told_with_both() {
    let env = disk();
    let (mut set, _) = created(&env);
    let info = table(&env, set.numbers().allocate().0);
    set.log_and_apply_any(adding(0, info.clone())).unwrap();
    let path = table_path(dir(), info.number);
    let file = env.open_write(&path).unwrap();
    for length in [info.size - 1, info.size + 1] {
        file.set_len(length).unwrap();
        let error = recover(&env).err().unwrap();
        assert_eq!(error.place(), Some((&*path, length.min(info.size))));
        let what = format!(
            "the table has {length} bytes, the manifest says {}",
            info.size
        );
        assert_eq!(error.detail(), what);
    }
    env.remove_file(&path).unwrap();
    let error = recover(&env).err().unwrap();
    assert_eq!(
        error.detail(),
        "the manifest names this table, but it is missing"
    );
}

#[test]
fn the_check_of_the_disk_compares_it_with_what_is_in_memory() {
    let env = disk();
    let (mut set, _) = created(&env);
    let mut bytes = set.check_disk().unwrap();
    for level in [0, 1, 2] {
        let info = table(&env, set.numbers().allocate().0);
        set.log_and_apply_any(adding(level, info)).unwrap();
        let more = set.check_disk().unwrap();
        let path = manifest_path(dir(), set.manifest_number());
        assert_eq!(more, env.open_read(&path).unwrap().len().unwrap());
        assert!(more > bytes);
        bytes = more;
    }
    // Edits by another process: another log, another last number, another table, and another manifest.
    let edits: [fn(&FaultEnv, &VersionSet) -> VersionEdit; 3] = [
        |_, set| VersionEdit {
            log_number: Some(set.numbers().allocate()),
            ..VersionEdit::default()
        },
        |_, set| VersionEdit {
            last_sequence: Some(SequenceNumber(set.last_sequence().0 + 1)),
            ..VersionEdit::default()
        },
        |env, set| adding(3, table(env, set.numbers().allocate().0)),
    ];
    for edit in edits {
        let env = disk();
        let (mut set, _) = created(&env);
        let info = table(&env, set.numbers().allocate().0);
        set.log_and_apply_any(adding(0, info)).unwrap();
        let mut other = recover(&env).unwrap();
        other.check_disk().unwrap();
        let edit = edit(&env, &other);
        other.log_and_apply_any(edit).unwrap();
        other.check_disk().unwrap();
        let error = set.check_disk().unwrap_err();
        assert_eq!(error.detail(), "its contents are not what was written");
    }
}

#[test]
fn a_synced_log_is_noted_once_and_recovered() {
    let env = disk();
    let (mut set, _) = created(&env);
    let durable = |log| {
        let name = crate::env::Names::made_from_now(&*env);
        crate::wal::DurableLog::new(FileNumber(log), name.sync(&*env, dir()).unwrap())
    };
    assert_eq!(set.synced_log(), FileNumber(0));
    set.note_synced_log(&durable(9)).unwrap();
    assert_eq!(set.synced_log(), FileNumber(9));
    let again = recover(&env).unwrap();
    assert_eq!(
        (again.synced_log(), again.log_number()),
        (FileNumber(9), FileNumber(0))
    );
    let writes = env.count(Call::Write);
    for known in [3, 9] {
        set.note_synced_log(&durable(known)).unwrap();
    }
    assert_eq!(env.count(Call::Write), writes);
    assert_eq!(set.synced_log(), FileNumber(9));
    // A log that is no longer needed is not noted.
    let edit = VersionEdit {
        log_number: Some(FileNumber(12)),
        ..VersionEdit::default()
    };
    set.log_and_apply_any(edit).unwrap();
    let writes = env.count(Call::Write);
    set.note_synced_log(&durable(12)).unwrap();
    assert_eq!(env.count(Call::Write), writes);
}

#[test]
fn the_largest_number_of_a_write_is_that_of_the_tables_and_of_the_edits() {
    let env = disk();
    let (mut set, _) = created(&env);
    assert_eq!(set.last_sequence(), SequenceNumber(0));
    while set.numbers().allocate() < FileNumber(40) {}
    let info = table(&env, 40);
    set.log_and_apply_any(adding(0, info)).unwrap();
    assert_eq!(set.last_sequence(), SequenceNumber(40));
    for (number, expected) in [(39, 40), (41, 41)] {
        let edit = VersionEdit {
            last_sequence: Some(SequenceNumber(number)),
            ..VersionEdit::default()
        };
        set.log_and_apply_any(edit).unwrap();
        assert_eq!(set.last_sequence(), SequenceNumber(expected));
        assert_eq!(
            recover(&env).unwrap().last_sequence(),
            SequenceNumber(expected)
        );
    }
}

/// A trivial move removes and adds the same table. If it fails, the table is still in its old level.
#[test]
fn a_move_that_fails_gives_no_live_table_away() {
    for operation in [Call::Write, Call::Sync, Call::Create] {
        let env = disk();
        let (mut set, obsolete) = created(&env);
        let info = table(&env, set.numbers().allocate().0);
        set.log_and_apply_any(adding(0, info.clone())).unwrap();
        let mut moving = adding(1, info.clone());
        moving.remove(0, info.number);
        let new = table(&env, set.numbers().allocate().0);
        moving.add(2, new.clone());
        // The first failure ends the writer. The next edit begins a new manifest, which fails too.
        for _ in 0..2 {
            env.inject(Fault::new(&[operation], libc::EIO).always());
            let outcome = set.log_and_apply_any(moving.clone());
            env.clear();
            if outcome.is_ok() {
                break;
            }
            assert_eq!(
                tables(&set.current(KeyspaceId::DEFAULT)),
                [(0, info.number.0)]
            );
        }
        let next = table(&env, set.numbers().allocate().0);
        set.log_and_apply_any(adding(3, next)).unwrap();
        let given_away = obsolete.take();
        assert!(
            !given_away.contains(&info.number),
            "{operation:?}: {given_away:?}"
        );
        let live = set.current(KeyspaceId::DEFAULT);
        let is_live = tables(&live).contains(&(2, new.number.0));
        assert_eq!(given_away.contains(&new.number), !is_live, "{operation:?}");
    }
}

#[test]
fn creation_is_confirmed_only_while_nothing_was_done_behind_it() {
    let env = disk();
    let (mut set, _) = created(&env);
    let renames = |env: &FaultEnv| env.count(Call::Rename);
    let before = renames(&env);
    recover(&env).unwrap().confirm_creation().unwrap();
    assert_eq!(renames(&env), before + 1);
    let edit = VersionEdit {
        log_number: Some(FileNumber(12)),
        ..VersionEdit::default()
    };
    set.log_and_apply_any(edit).unwrap();
    let before = renames(&env);
    recover(&env).unwrap().confirm_creation().unwrap();
    assert_eq!(renames(&env), before);
}

#[test]
fn file_numbers_begin_behind_those_in_use() {
    let env = disk();
    let (set, _) = created(&env);
    let manifest = set.manifest_number();
    assert!(set.numbers().allocate() > manifest);
    assert!(recover(&env).unwrap().numbers().allocate() > manifest);
    // A database made of tables opens, and its next file number is after the largest.
    let env = disk();
    let made = vec![(0, table(&env, 30)), (1, table(&env, 20))];
    let (features, settings) = (Features::default(), Settings::default());
    VersionSet::create_from(&*env, dir(), made, SequenceNumber(30), features, settings).unwrap();
    let set = recover(&env).unwrap();
    assert_eq!(
        tables(&set.current(KeyspaceId::DEFAULT)),
        [(0, 30), (1, 20)]
    );
    assert_eq!(set.manifest_number(), FileNumber(31));
    assert!(set.numbers().allocate() > FileNumber(31));
}

#[test]
fn a_table_is_refused_for_each_thing_that_none_can_be() {
    let key = |length: usize, number: u64| {
        let trailer = Trailer::new(SequenceNumber(number), ValueKind::Put);
        KeyRef::new(&vec![b'k'; length], trailer).to_vec()
    };
    let good = || TableInfo {
        number: FileNumber(1),
        smallest: key(1, 9),
        largest: key(2, 9),
        smallest_sequence: SequenceNumber(9),
        largest_sequence: SequenceNumber(9),
        entries: 2,
        tombstones: 2,
        ..TableInfo::default()
    };
    let checked = |change: &dyn Fn(&mut TableInfo)| {
        let mut info = good();
        change(&mut info);
        info.check()
    };
    type Change<'a> = &'a dyn Fn(&mut TableInfo);
    let right: [Change<'_>; 5] = [
        &|_| (),
        &|info| info.smallest = info.largest.clone(),
        &|info| info.largest = key(MAX_KEY_BYTES, 9),
        &|info| info.largest_sequence = SequenceNumber::MAX,
        &|info| info.tombstones = 0,
    ];
    for change in right {
        checked(change).unwrap();
    }
    let wrong: [(&str, Change<'_>); 9] = [
        ("shorter than a trailer", &|info| info.smallest.truncate(7)),
        ("shorter than a trailer", &|info| info.largest.truncate(7)),
        ("longer than the longest key", &|info| {
            info.largest = key(MAX_KEY_BYTES + 1, 9)
        }),
        ("longer than the longest key", &|info| {
            info.smallest = key(MAX_KEY_BYTES + 1, 9)
        }),
        ("bounds are in the wrong order", &|info| {
            info.smallest = key(3, 9)
        }),
        ("sequence numbers", &|info| {
            info.smallest_sequence = SequenceNumber(10)
        }),
        ("sequence numbers", &|info| {
            info.largest_sequence = SequenceNumber::MAX.plus(1)
        }),
        ("counts", &|info| info.tombstones = 3),
        ("counts", &|info| (info.entries, info.tombstones) = (0, 0)),
    ];
    for (what, change) in wrong {
        let error = checked(change).unwrap_err();
        assert!(error.message().contains(what), "{error}, expected {what}");
    }
    assert!(checked(&|info| info.number = FileNumber(0)).is_err());
}

#[test]
fn a_table_may_answer_for_keys_within_it_at_its_oldest_number_and_later() {
    let bench = Bench::new();
    let mut entries = Entries::new();
    insert(&mut entries, b"c", 5, Some(b"1"));
    insert(&mut entries, b"k", 9, Some(b"2"));
    let version = bench.apply(&Version::empty(), &adding(0, bench.table(&entries)));
    let file = &version.files(0)[0];
    for (user_key, number, expected) in [
        (b"b", 9, false),
        (b"c", 4, false),
        (b"c", 5, true),
        (b"g", 5, true),
        (b"k", 99, true),
        (b"l", 99, false),
    ] {
        let key = KeyRef::new(user_key, Trailer::visible_at(SequenceNumber(number)));
        assert_eq!(file.may_answer(key), expected, "{key:?}");
    }
}

#[test]
fn every_table_of_level_0_and_every_deeper_level_with_tables_has_an_iterator_of_its_own() {
    let bench = Bench::new();
    let mut edit = VersionEdit::default();
    // Newest first, so not in the order of their keys.
    for (level, keys) in [
        (0, ["a", "b"]),
        (0, ["x", "z"]),
        (2, ["c", "d"]),
        (2, ["m", "n"]),
    ] {
        let mut entries = Entries::new();
        for key in keys {
            let number = bench.number().0;
            insert(&mut entries, key.as_bytes(), number, Some(b"v"));
        }
        edit.add(level, bench.table(&entries));
    }
    let version = bench.apply(&Version::empty(), &edit);
    assert_eq!(version.most_iterators(), 3);
    let within = |lower: Option<&[u8]>, upper: Option<&[u8]>| {
        let mut found = Vec::new();
        version.iterators(&bench.tables, true, 0, lower, upper, |mut iterator| {
            iterator.seek_to_first().unwrap();
            let mut keys = String::new();
            while iterator.valid() {
                keys.push(iterator.key().user_key[0] as char);
                iterator.next().unwrap();
            }
            // Seeks find each key from both sides, and the positions before and after all keys.
            for key in keys.bytes() {
                iterator.seek(KeyRef::new(&[key], Trailer::NEWEST)).unwrap();
                assert_eq!(iterator.key().user_key, [key]);
                iterator
                    .seek_for_prev(KeyRef::new(&[key], Trailer::OLDEST))
                    .unwrap();
                assert_eq!(iterator.key().user_key, [key]);
            }
            iterator.seek(KeyRef::new(b"", Trailer::NEWEST)).unwrap();
            assert!(iterator.valid());
            iterator.seek(KeyRef::new(b"zz", Trailer::NEWEST)).unwrap();
            assert!(!iterator.valid());
            found.push(keys);
        });
        found
    };
    assert_eq!(within(None, None), ["xz", "ab", "cdmn"]);
    assert_eq!(within(Some(b"b"), Some(b"l")), ["ab", "cd"]);
    assert_eq!(within(Some(b"y"), None), ["xz"]);
    assert_eq!(within(Some(b"e"), Some(b"f")), [""; 0]);
}

#[test]
fn a_prefix_of_a_key_sorts_like_its_first_eight_bytes() {
    assert_eq!(prefix(b""), 0);
    assert_eq!(prefix(b"a"), 0x6100_0000_0000_0000);
    assert_eq!(prefix(b"abcdefgh"), 0x6162_6364_6566_6768);
    assert_eq!(prefix(b"abcdefghi"), prefix(b"abcdefgh"));
}

/// Writes a manifest of these records under this number, which CURRENT does not name.
fn manifest(env: &FaultEnv, number: u64, edits: Vec<VersionEdit>) -> ManifestWriter {
    ManifestWriter::create(env, dir(), FileNumber(number), edits.into_iter()).unwrap()
}

fn salvaged(env: &FaultEnv) -> (Salvage, Vec<Error>) {
    let mut faults = Vec::new();
    let found = salvage(env, dir(), &mut faults).unwrap();
    (found, faults)
}

/// A whole record that adds one table with this number; the table's file exists if `exists`.
fn record_of(env: &FaultEnv, number: u64, last: u64, exists: bool) -> VersionEdit {
    let mut edit = first_record();
    edit.last_sequence = Some(SequenceNumber(last));
    let info = table(env, number);
    if !exists {
        env.remove_file(&table_path(dir(), info.number)).unwrap();
    }
    edit.add(0, info);
    edit
}

#[test]
fn a_salvage_follows_the_edits_that_added_and_removed_tables() {
    let env = disk();
    let mut first = record_of(&env, 10, 20, true);
    let moved = table(&env, 11);
    first.add(1, moved.clone());
    let mut second = VersionEdit {
        log_number: Some(FileNumber(14)),
        synced_log: Some(FileNumber(15)),
        last_sequence: Some(SequenceNumber(33)),
        ..VersionEdit::default()
    };
    // One table is removed, one moves.
    second.remove(0, FileNumber(10));
    second.remove(1, FileNumber(11));
    second.add(2, moved);
    let writer = manifest(&env, 9, vec![first, second]);
    set_current(&*env, dir(), &writer).unwrap();
    let (found, faults) = salvaged(&env);
    assert!(faults.is_empty() && found.is_complete);
    assert_eq!(
        found
            .tables
            .keys()
            .map(|number| number.0)
            .collect::<Vec<_>>(),
        [11]
    );
    assert_eq!(
        found
            .removed
            .iter()
            .map(|number| number.0)
            .collect::<Vec<_>>(),
        [10]
    );
    assert_eq!(
        (
            found.log_number.0,
            found.synced_log.0,
            found.last_sequence.0
        ),
        (14, 15, 33)
    );
}

#[test]
fn without_current_the_newest_manifest_whose_tables_are_there_counts() {
    // (number, last write, whether its table is there) of each manifest; the last write that is found; whether that
    // is complete.
    type Case<'a> = (&'a [(u64, u64, bool)], u64, bool);
    let cases: [Case<'_>; 5] = [
        (&[(5, 50, true)], 50, true),
        (&[(5, 50, true), (8, 80, true)], 80, true),
        (&[(5, 50, true), (8, 80, false)], 50, true),
        // No manifest has its tables, so the one with the latest write counts.
        (&[(5, 90, false), (8, 80, false)], 90, true),
        (&[(5, 70, false), (8, 80, false)], 80, true),
    ];
    for (manifests, last, is_complete) in cases {
        let env = disk();
        for &(number, last, exists) in manifests {
            let record = record_of(&env, 100 + number, last, exists);
            manifest(&env, number, vec![record]);
        }
        let (found, faults) = salvaged(&env);
        assert_eq!(
            (found.last_sequence.0, found.is_complete),
            (last, is_complete),
            "{manifests:?}"
        );
        // Only CURRENT is missing.
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
    // CURRENT decides, even if another manifest is newer or the tables are missing.
    let env = disk();
    let record = record_of(&env, 105, 50, false);
    let named = manifest(&env, 5, vec![record]);
    let record = record_of(&env, 108, 80, true);
    manifest(&env, 8, vec![record]);
    set_current(&*env, dir(), &named).unwrap();
    let (found, faults) = salvaged(&env);
    assert_eq!(found.last_sequence, SequenceNumber(50));
    assert!(found.is_complete && faults.is_empty());
}

#[test]
fn a_damaged_manifest_tells_its_edits_up_to_the_damage_and_that_there_may_be_more() {
    let spoil = |env: &FaultEnv, number: u64, at: u64| {
        let file = env
            .open_write(&manifest_path(dir(), FileNumber(number)))
            .unwrap();
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 0x40]).unwrap();
    };
    let records = 3 * 4096;
    let with_two = |env: &FaultEnv| {
        let first = record_of(env, 10, 20, true);
        let writer = manifest(env, 9, vec![first, adding(1, table(env, 11))]);
        set_current(env, dir(), &writer).unwrap();
        env.open_read(&manifest_path(dir(), FileNumber(9)))
            .unwrap()
            .len()
            .unwrap()
    };
    let numbers = |found: &Salvage| {
        found
            .tables
            .keys()
            .map(|number| number.0)
            .collect::<Vec<_>>()
    };
    // The last record is damaged.
    let env = disk();
    let length = with_two(&env);
    spoil(&env, 9, length - 1);
    let (found, faults) = salvaged(&env);
    assert_eq!(
        (numbers(&found), found.is_complete, faults.len()),
        (vec![10], false, 1)
    );
    // The first record is damaged: no edit is left, and nothing is known.
    let env = disk();
    with_two(&env);
    spoil(&env, 9, records + 9);
    let (found, faults) = salvaged(&env);
    assert_eq!(
        (numbers(&found), found.is_complete, faults.len()),
        (vec![], false, 2)
    );
    assert!(
        faults[1].message().contains("no edit of it can be read"),
        "{}",
        faults[1]
    );
    // Both slots are damaged: all edits are there, but there may have been more.
    let env = disk();
    with_two(&env);
    spoil(&env, 9, 4096);
    spoil(&env, 9, 2 * 4096);
    let (found, faults) = salvaged(&env);
    assert_eq!((numbers(&found), found.is_complete), (vec![10, 11], false));
    let last = faults.last().unwrap();
    assert!(
        last.message().contains("its head or its slots are damaged"),
        "{last}"
    );
    // Head and slots of a manifest with one record are damaged, and there is no CURRENT: its id follows from that
    // record.
    let env = disk();
    let record = record_of(&env, 10, 20, true);
    manifest(&env, 9, vec![record]);
    for at in [9, 4096, 2 * 4096] {
        spoil(&env, 9, at);
    }
    let (found, _) = salvaged(&env);
    assert_eq!((numbers(&found), found.is_complete), (vec![10], false));
    // A manifest that a newer version wrote ends the salvage.
    let env = disk();
    let mut first = first_record();
    first.format_version = Some(99);
    let writer = manifest(&env, 9, vec![first_record()]);
    set_current(&*env, dir(), &writer).unwrap();
    let (_, file_id) = read_current(&*env, dir()).unwrap();
    let record = encoded_record(&first, file_id, RECORDS_OFFSET, 0).unwrap();
    let file = env
        .open_write(&manifest_path(dir(), FileNumber(9)))
        .unwrap();
    file.write_at(RECORDS_OFFSET, &record).unwrap();
    let error = salvage(&*env, dir(), &mut Vec::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_snapshot_of_a_version_is_read_back_as_it_was() {
    let env = disk();
    let mut whole = first_record();
    for number in 10..15 {
        whole.add(0, table(&env, number));
    }
    let writer = manifest(&env, 9, snapshot_records(whole).collect());
    set_current(&*env, dir(), &writer).unwrap();
    let set = recover(&env).unwrap();
    assert_eq!(
        tables(&set.current(KeyspaceId::DEFAULT)),
        [14, 13, 12, 11, 10].map(|number| (0, number))
    );
}
