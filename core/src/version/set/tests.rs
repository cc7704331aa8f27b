//! Tests of the version set: what it keeps after reopening, power loss, damage and failed writes.

use super::super::settings::tests::of as settings_of;
use super::super::tests::{Entries, build, insert};
use super::*;
use crate::env::{Call, Fault, FaultEnv, MemEnv};
use crate::error::ErrorKind;
use crate::filename::{CURRENT, CURRENT_TMP, FILE_NUMBER_LIMIT, log_path};
use crate::version::{Contents, TableInfo, inspect};

fn dir() -> PathBuf {
    PathBuf::from("/db")
}

fn created() -> (MemEnv, VersionSet) {
    let env = MemEnv::new();
    env.create_dir_all(&dir()).unwrap();
    let set = VersionSet::create(Arc::new(env.clone()), &dir(), ObsoleteFiles::new(|| {}));
    (env, set.unwrap())
}

fn recover(env: &MemEnv) -> Result<VersionSet> {
    let env = Arc::new(env.clone());
    VersionSet::recover(env, &dir(), ObsoleteFiles::new(|| {}), false)
}

/// A synced table with one key of its own, under a new number.
fn table(set: &VersionSet) -> TableInfo {
    let number = set.numbers.allocate();
    let mut entries = Entries::new();
    insert(
        &mut entries,
        format!("{:05}", number.0).as_bytes(),
        number.0,
        Some(b"v"),
    );
    let info = build(&*set.env, &set.dir, number, &entries);
    set.env.sync_dir(&set.dir).unwrap();
    info
}

fn adding(level: usize, table: TableInfo) -> VersionEdit {
    let mut edit = VersionEdit::default();
    edit.add(level, table);
    edit
}

fn numbers(set: &VersionSet) -> Vec<(usize, u64)> {
    let version = set.current(KeyspaceId::DEFAULT);
    version
        .all_files()
        .map(|(level, file)| (level, file.number.0))
        .collect()
}

#[test]
fn what_was_applied_is_recovered() {
    let (env, mut set) = created();
    assert_eq!(inspect(&env, &dir()).unwrap(), Contents::Database);
    let (first, second) = (table(&set), table(&set));
    set.log_and_apply_any(adding(0, first.clone())).unwrap();
    let mut edit = adding(1, second);
    edit.remove(0, first.number);
    edit.log_number = Some(FileNumber(9));
    set.log_and_apply_any(edit).unwrap();
    let (expected, next) = (numbers(&set), set.numbers.next());
    let again = recover(&env).unwrap();
    assert_eq!(numbers(&again), expected);
    assert_eq!(again.log_number(), FileNumber(9));
    assert_eq!(again.last_sequence(), set.last_sequence());
    assert!(again.numbers.allocate() >= next);
}

/// SETTING-1.
#[test]
fn a_setting_is_kept_by_every_later_manifest_and_by_a_copy_until_it_is_unset() {
    let (env, mut set) = created();
    let setting = |all: &[(&str, &str)]| VersionEdit {
        settings: settings_of(all),
        ..VersionEdit::default()
    };
    let of = |set: &VersionSet| set.settings(KeyspaceId::DEFAULT);
    set.log_and_apply_any(setting(&[("a", "1"), ("b", "2")]))
        .unwrap();
    let mut expected = settings_of(&[("a", "1"), ("b", "2")]);
    assert_eq!(of(&set), expected);
    for (change, after) in [
        (vec![], expected.clone()),
        (
            vec![("c", "3")],
            settings_of(&[("a", "1"), ("b", "2"), ("c", "3")]),
        ),
        (
            vec![("a", ""), ("b", "4")],
            settings_of(&[("b", "4"), ("c", "3")]),
        ),
    ] {
        set = recover(&env).unwrap();
        assert_eq!(of(&set), expected);
        // The first one begins a new manifest, and the second one is appended to it.
        set.log_and_apply_any(setting(&change)).unwrap();
        set.check_disk().unwrap();
        let new = table(&set);
        set.log_and_apply_any(adding(0, new)).unwrap();
        set.check_disk().unwrap();
        assert_eq!(of(&set), after);
        expected = after;
    }
    let salvaged = crate::version::salvage(&env, &dir(), &mut Vec::new()).unwrap();
    assert_eq!(salvaged.settings, expected);
    let copy = MemEnv::new();
    copy.create_dir_all(&dir()).unwrap();
    let (features, last) = (salvaged.features, SequenceNumber(9));
    VersionSet::create_from(&copy, &dir(), Vec::new(), last, features, expected.clone()).unwrap();
    assert_eq!(of(&recover(&copy).unwrap()), expected);
}

/// FEATURE-1.
#[test]
fn a_feature_is_kept_by_every_later_manifest_and_by_a_copy() {
    let (env, mut set) = created();
    assert_eq!(*set.features(), Features::of(Needs::OF_NEW_DATABASES));
    let edit = VersionEdit {
        features: Features::known_to_tests(),
        ..VersionEdit::default()
    };
    set.log_and_apply_any(edit).unwrap();
    assert_eq!(*set.features(), Features::known_to_tests());
    // Each set replaces the manifest that it finds with its first edit, so the third reads a snapshot of a snapshot.
    for _ in 0..3 {
        let before = set.manifest_number();
        set = recover(&env).unwrap();
        assert_eq!(*set.features(), Features::known_to_tests());
        let new = table(&set);
        set.log_and_apply_any(adding(0, new)).unwrap();
        assert_ne!(set.manifest_number(), before);
        set.check_disk().unwrap();
    }
    let mut faults = Vec::new();
    let salvaged = crate::version::salvage(&env, &dir(), &mut faults).unwrap();
    assert_eq!(salvaged.features, Features::known_to_tests());
    set.features = Features::default();
    assert!(set.check_disk().is_err(), "memory and disk differ");

    let copy = MemEnv::new();
    copy.create_dir_all(&dir()).unwrap();
    let last = SequenceNumber(9);
    let settings = salvaged.settings;
    VersionSet::create_from(&copy, &dir(), Vec::new(), last, salvaged.features, settings).unwrap();
    assert_eq!(
        *recover(&copy).unwrap().features(),
        Features::known_to_tests()
    );
}

/// FEATURE-2.
#[test]
fn a_database_with_an_unknown_feature_is_refused_and_its_manifest_is_shown() {
    let (env, mut set) = created();
    let edit = VersionEdit {
        features: Features::named(&["a-later-one"]),
        ..VersionEdit::default()
    };
    set.log_and_apply_any(edit).unwrap();
    let mut faults = Vec::new();
    let refusals = [
        recover(&env).map(|_| ()),
        set.check_disk().map(|_| ()),
        crate::version::salvage(&env, &dir(), &mut faults).map(|_| ()),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let says = |what: &str| error.message().contains(what);
        assert!(
            says("MANIFEST-000001") && says("\"a-later-one\""),
            "{error}"
        );
    }
    let mut manifest =
        crate::inspect::Manifest::open(&env, &manifest_path(&dir(), FileNumber(1))).unwrap();
    let mut shown = Vec::new();
    while let Some(edit) = manifest.next_edit().unwrap() {
        shown.push(edit.features);
    }
    let new = vec!["range-delete".to_string()];
    assert_eq!(shown, [new, vec!["a-later-one".to_string()]]);
}

#[test]
fn a_removed_file_is_queued_after_its_last_reader() {
    let (_env, mut set) = created();
    let first = table(&set);
    let pinned = set.log_and_apply_any(adding(0, first.clone())).unwrap();
    let mut edit = VersionEdit::default();
    edit.remove(0, first.number);
    set.log_and_apply_any(edit).unwrap();
    assert_eq!(set.obsolete.take(), []);
    drop(pinned);
    assert_eq!(set.obsolete.take(), [first.number]);
}

/// SET-4.
#[test]
fn numbers_of_files_nobody_recorded_are_passed_over() {
    let (env, set) = created();
    drop(set);
    env.create_new(&log_path(&dir(), FileNumber(500))).unwrap();
    let set = recover(&env).unwrap();
    assert_eq!(set.numbers.allocate(), FileNumber(501));
}

#[test]
fn a_strange_name_does_not_bring_the_counting_to_its_end() {
    let (env, set) = created();
    drop(set);
    for number in [LAST_FIRST_NUMBER, FILE_NUMBER_LIMIT - 1] {
        let path = table_path(&dir(), FileNumber(number));
        env.create_new(&path).unwrap();
    }
    let set = recover(&env).unwrap();
    let number = set.numbers.allocate();
    assert!(number < FileNumber(1000), "{number}");
}

#[test]
fn an_edit_whose_next_file_number_leaves_none_is_damage() {
    let edit = |next| {
        let mut encoded = Vec::new();
        VersionEdit {
            next_file_number: Some(FileNumber(next)),
            ..VersionEdit::default()
        }
        .encode_to(&mut encoded);
        VersionEdit::decode(&encoded)
    };
    assert!(edit(LAST_FIRST_NUMBER).is_ok());
    for next in [LAST_FIRST_NUMBER + 1, FILE_NUMBER_LIMIT, u64::MAX] {
        assert!(edit(next).is_err(), "{next}");
    }
}

/// VERSION-5.
#[test]
fn tables_whose_sizes_or_entries_do_not_add_up_to_a_number_are_refused() {
    let (_, set) = created();
    let spoil: [fn(&mut TableInfo); 2] = [
        |table| table.size = u64::MAX / 2,
        |table| table.entries = u64::MAX / 2,
    ];
    for spoil in spoil {
        // Once in one level, which keeps the sum itself, and once in two.
        for second_level in [5, 6] {
            let mut edit = VersionEdit::default();
            let mut apply = |level| {
                let mut table = table(&set);
                spoil(&mut table);
                edit.add(level, table);
                set.current(KeyspaceId::DEFAULT).apply(&edit, &set.obsolete)
            };
            assert!(apply(5).is_ok());
            let error = apply(second_level).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        }
    }
}

#[test]
fn a_long_history_rolls_into_a_new_manifest_and_removes_the_old() {
    let (env, mut set) = created();
    let long = vec![b'x'; 100_000];
    for round in 0..40 {
        let number = set.numbers.allocate();
        let mut entries = Entries::new();
        insert(&mut entries, &long, round + 1, Some(b"v"));
        let info = build(&env, &dir(), number, &entries);
        let mut edit = adding(0, info);
        if let Some((level, file)) = set.current(KeyspaceId::DEFAULT).all_files().next() {
            edit.remove(level, file.number);
        }
        set.log_and_apply_any(edit).unwrap();
    }
    assert_ne!(set.manifest_number(), FIRST_MANIFEST);
    let manifests = || {
        let names = env.list(&dir()).unwrap();
        names
            .iter()
            .filter(|name| name.starts_with("MANIFEST"))
            .count()
    };
    assert_eq!(manifests(), 1);
    assert_eq!(numbers(&recover(&env).unwrap()), numbers(&set));
}

/// SET-1, SET-2.
#[test]
fn a_failed_edit_changes_nothing_and_the_next_one_begins_a_new_manifest() {
    let (env, mut set) = created();
    let (first, second) = (table(&set), table(&set));
    set.log_and_apply_any(adding(0, first)).unwrap();
    // As after a failed write, there is no writer any more.
    set.writer = None;
    // A directory in CURRENT.tmp's place makes switching fail.
    let obstacle = dir().join(CURRENT_TMP);
    env.create_dir_all(&obstacle).unwrap();
    let before = numbers(&set);
    for _ in 0..3 {
        set.log_and_apply_any(adding(0, second.clone()))
            .unwrap_err();
        assert!(set.may_be_durable);
        assert_eq!(numbers(&set), before);
        assert_eq!(numbers(&recover(&env).unwrap()), before);
    }
    env.remove_dir(&obstacle).unwrap();
    set.log_and_apply_any(adding(0, second)).unwrap();
    assert!(!set.may_be_durable);
    assert_eq!(numbers(&recover(&env).unwrap()), numbers(&set));
    let names = env.list(&dir()).unwrap();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("MANIFEST"))
            .count(),
        1
    );
}

#[test]
fn a_manifest_found_unclean_is_replaced_by_the_next_edit() {
    let (env, mut set) = created();
    let first = table(&set);
    set.log_and_apply_any(adding(0, first)).unwrap();
    let path = manifest_path(&dir(), FIRST_MANIFEST);
    let file = env.open_write(&path).unwrap();
    file.write_at(file.len().unwrap(), b"half").unwrap();
    let mut again = recover(&env).unwrap();
    let second = table(&again);
    again.log_and_apply_any(adding(0, second)).unwrap();
    assert_ne!(again.manifest_number(), FIRST_MANIFEST);
    assert_eq!(numbers(&recover(&env).unwrap()), numbers(&again));
}

/// SET-5.
#[test]
fn missing_and_shortened_files_are_corruption_by_name() {
    let (env, mut set) = created();
    let first = table(&set);
    set.log_and_apply_any(adding(0, first.clone())).unwrap();
    drop(set);
    let path = table_path(&dir(), first.number);
    env.open_write(&path)
        .unwrap()
        .set_len(first.size - 1)
        .unwrap();
    let error = recover(&env).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains(".sst"), "{error}");
    env.remove_file(&path).unwrap();
    let error = recover(&env).err().unwrap();
    assert!(error.message().contains("missing"), "{error}");
    env.remove_file(&manifest_path(&dir(), FIRST_MANIFEST))
        .unwrap();
    let error = recover(&env).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains("MANIFEST-000001"), "{error}");
}

#[test]
fn an_interrupted_creation_starts_over() {
    let (env, set) = created();
    drop(set);
    env.remove_file(&dir().join(CURRENT)).unwrap();
    env.create_new(&dir().join(CURRENT_TMP)).unwrap();
    assert_eq!(inspect(&env, &dir()).unwrap(), Contents::Nothing);
    let set = VersionSet::create(Arc::new(env.clone()), &dir(), ObsoleteFiles::new(|| {}));
    drop(set.unwrap());
    assert_eq!(numbers(&recover(&env).unwrap()), []);
}

#[test]
fn every_acknowledged_edit_survives_loss_of_power() {
    let (env, mut set) = created();
    let mut expected = vec![numbers(&set)];
    for round in 0..12 {
        let info = table(&set);
        let mut edit = adding(1 + round % 3, info);
        if round % 4 == 3 {
            // As after a failed write, so that a new manifest begins.
            set.writer = None;
            let (level, file) = set
                .current(KeyspaceId::DEFAULT)
                .all_files()
                .next()
                .map(|(l, f)| (l, f.number))
                .unwrap();
            edit.remove(level, file);
        }
        set.log_and_apply_any(edit).unwrap();
        expected.push(numbers(&set));
        for seed in 0..8 {
            let after = env.power_cut(seed);
            let recovered =
                recover(&after).unwrap_or_else(|e| panic!("round {round}, seed {seed}: {e}"));
            assert_eq!(
                &numbers(&recovered),
                expected.last().unwrap(),
                "round {round}, seed {seed}"
            );
        }
    }
}

/// What a set did before a failure, and what may be on the disk afterwards.
struct Walked {
    /// Levels and tables after the last edit that succeeded.
    current: Vec<(usize, u64)>,
    /// The same including the next edit, if that failed.
    tried: Option<Vec<(usize, u64)>>,
    failures: usize,
}

/// Creates a database and applies edits to it, trying each until it succeeds.
fn walk(
    env: &MemEnv,
    faulty: &FaultEnv,
    after_each: &mut dyn FnMut(&Walked),
) -> Option<VersionSet> {
    let obsolete = ObsoleteFiles::new(|| {});
    let mut set = loop {
        assert_eq!(inspect(env, &dir()).unwrap(), Contents::Nothing);
        match VersionSet::create(Arc::new(faulty.clone()), &dir(), obsolete.clone()) {
            Ok(set) => break set,
            // CURRENT was renamed and only its sync failed, so an opener finds a database.
            Err(_) if inspect(env, &dir()).unwrap() == Contents::Database => return None,
            Err(_) => {}
        }
    };
    let mut walked = Walked {
        current: numbers(&set),
        tried: None,
        failures: 0,
    };
    for round in 0..4 {
        loop {
            let number = set.numbers.allocate();
            let mut entries = Entries::new();
            insert(
                &mut entries,
                format!("{:05}", number.0).as_bytes(),
                number.0,
                Some(b"v"),
            );
            let info = build(env, &dir(), number, &entries);
            env.sync_dir(&dir()).unwrap();
            let mut edit = adding(1, info);
            if round == 2 {
                let (level, file) = walked.current[0];
                edit.remove(level, FileNumber(file));
            }
            let mut tried = walked.current.clone();
            tried.retain(|(_, file)| !edit.removed.contains(&(1, FileNumber(*file))));
            tried.push((1, number.0));
            match set.log_and_apply_any(edit) {
                Ok(_) => {
                    walked.current = numbers(&set);
                    assert_eq!(walked.current, tried);
                    walked.tried = None;
                    after_each(&walked);
                    break;
                }
                Err(_) => {
                    assert_eq!(numbers(&set), walked.current);
                    walked.tried = Some(tried);
                    walked.failures += 1;
                    after_each(&walked);
                }
            }
        }
        // Delete the queued files.
        for number in obsolete.take() {
            env.remove_file(&table_path(&dir(), number)).unwrap();
        }
    }
    Some(set)
}

/// SET-3.
#[test]
fn every_failing_change_leaves_the_old_or_the_new_version_and_the_next_edit_works() {
    let mut failures = 0;
    for nth in 0.. {
        let env = MemEnv::new();
        env.create_dir_all(&dir()).unwrap();
        let faulty = FaultEnv::new(Arc::new(env.clone()), nth);
        faulty.inject(Fault::new(&Call::CHANGES, libc::EIO).after(nth).partial());
        let set = walk(&env, &faulty, &mut |walked| {
            for after in [env.clone(), env.power_cut(nth), env.power_cut(nth + 1)] {
                let found = recover(&after).unwrap_or_else(|e| panic!("change {nth}: {e}"));
                let found = numbers(&found);
                assert!(
                    found == walked.current || Some(&found) == walked.tried.as_ref(),
                    "change {nth}: {found:?} is neither {:?} nor {:?}",
                    walked.current,
                    walked.tried
                );
            }
            failures += walked.failures;
        });
        if let Some(set) = &set {
            // All tables that the version does not hold are gone, and all manifests but one.
            let mut names = env.list(&dir()).unwrap();
            names.retain(|name| name != CURRENT && name != CURRENT_TMP);
            assert_eq!(
                names.len(),
                numbers(set).len() + 1,
                "change {nth}: {names:?}"
            );
        }
        if faulty.injected() == 0 {
            assert!(
                nth > 20 && failures > 10,
                "{nth} changes, {failures} failures"
            );
            return;
        }
    }
}

#[test]
fn a_full_disk_does_not_fill_up_with_attempts() {
    let (env, _) = created();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
    let obsolete = ObsoleteFiles::new(|| {});
    let set = VersionSet::recover(Arc::new(faulty.clone()), &dir(), obsolete.clone(), false);
    let mut set = set.unwrap();
    faulty.inject(
        Fault::new(&[Call::Write], libc::ENOSPC)
            .on_path("MANIFEST")
            .always(),
    );
    let mut tables = Vec::new();
    for _ in 0..5 {
        let info = table(&set);
        tables.push(info.number);
        let error = set.log_and_apply_any(adding(0, info)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
    // Only the first edit may be on the disk.
    assert_eq!(obsolete.take(), tables[1..]);
    let names = env.list(&dir()).unwrap();
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("MANIFEST"))
            .count(),
        1
    );
    faulty.clear();
    let info = table(&set);
    set.log_and_apply_any(adding(0, info)).unwrap();
    assert_eq!(obsolete.take(), tables[..1]);
}

/// SET-7.
#[test]
fn an_edit_that_changes_what_tables_hold_by_anything_but_what_is_due_is_refused() {
    let (env, mut set) = created();
    let (first, second, third) = (table(&set), table(&set), table(&set));
    set.log_and_apply_any(adding(0, first.clone())).unwrap();
    let sum = |table: &TableInfo| table.content().unwrap();
    let none = Sum::default();
    let mut replacing = adding(1, second.clone());
    replacing.remove(0, first.number);
    let mut removing = VersionEdit::default();
    removing.remove(0, first.number);
    let other_terms = Sum {
        terms: sum(&second).terms ^ 1,
        ..sum(&second)
    };
    let wrong = [
        ("a table came in", adding(0, second.clone()), none),
        ("a table was left out", VersionEdit::default(), sum(&second)),
        ("another content", adding(0, second.clone()), other_terms),
        ("a table was lost", removing, none),
        ("an output was left out", replacing.clone(), none),
        ("twice", replacing.clone(), sum(&second)),
    ];
    let (before, manifest) = (numbers(&set), set.check_disk().unwrap());
    for (name, edit, gained) in wrong {
        let names_second = edit.added.iter().any(|(_, info)| *info == second);
        let error = set.log_and_apply(edit, gained).unwrap_err();
        assert!(error.is_unaccounted(), "{name}: {error}");
        assert_eq!(numbers(&set), before, "{name}");
        assert_eq!(set.check_disk().unwrap(), manifest, "{name}: not written");
        // The table that it would have added is obsolete.
        let obsolete = set.obsolete.pop();
        assert_eq!(obsolete, names_second.then_some(second.number), "{name}");
    }
    let gained = sum(&second) - sum(&first);
    set.log_and_apply(replacing, gained).unwrap();
    set.log_and_apply(adding(0, third.clone()), sum(&third))
        .unwrap();
    assert_eq!(numbers(&recover(&env).unwrap()), numbers(&set));
}

#[test]
fn tables_of_format_version_1_are_compared_by_their_counts() {
    let (_, mut set) = created();
    let mut old = table(&set);
    old.content_sum = None;
    let one = Sum {
        terms: 7,
        puts: 1,
        ..Sum::default()
    };
    let two = Sum { puts: 2, ..one };
    let error = set.log_and_apply(adding(0, old.clone()), two).unwrap_err();
    assert!(error.is_unaccounted(), "{error}");
    set.log_and_apply(adding(0, old), one).unwrap();
}
