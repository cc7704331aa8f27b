//! Tests of several keyspaces in one manifest: what is recovered, and which edits are refused.

use std::path::Path;

use super::super::current::read_current;
use super::super::manifest::ManifestReader;
use super::super::set::{VersionSet, gain_of};
use super::super::settings::tests::of as settings_of;
use super::super::table_info::TableInfo;
use super::super::tests::{Entries, build, insert};
use super::super::{Features, Needs, salvage};
use super::*;
use crate::env::{Env, MemEnv};
use crate::error::ErrorKind;
use crate::key::FileNumber;

const MUSIC: KeyspaceId = KeyspaceId(1);
const FILMS: KeyspaceId = KeyspaceId(2);

fn dir() -> &'static Path {
    Path::new("/db")
}

/// A database on a disk in memory, and the tables that it has given up.
struct Bench {
    env: MemEnv,
    set: VersionSet,
    obsolete: Arc<ObsoleteFiles>,
}

/// Each keyspace: its name, how far it is flushed, and the numbers of its tables.
type Shown = Vec<(u64, String, u64, Vec<u64>)>;

impl Bench {
    fn new() -> Bench {
        let env = MemEnv::new();
        env.create_dir_all(dir()).unwrap();
        let obsolete = ObsoleteFiles::new(|| {});
        let shared = Arc::new(env.clone());
        let set = VersionSet::create(shared, dir(), Arc::clone(&obsolete)).unwrap();
        Bench { env, set, obsolete }
    }

    /// With the keyspaces MUSIC, which has one table, and FILMS, which has none.
    fn with_two() -> Bench {
        let mut bench = Bench::new();
        bench.apply(named(MUSIC, "music")).unwrap();
        bench.apply(named(FILMS, "films")).unwrap();
        let table = bench.table(7);
        bench.apply(adding(MUSIC, table)).unwrap();
        bench
    }

    /// A new table whose only entry has the number `sequence`.
    fn table(&self, sequence: u64) -> TableInfo {
        let mut entries = Entries::new();
        insert(&mut entries, b"key", sequence, Some(b"v"));
        let number = self.set.numbers().allocate();
        let info = build(&self.env, dir(), number, &entries);
        self.env.sync_dir(dir()).unwrap();
        info
    }

    fn apply(&mut self, edit: VersionEdit) -> Result<()> {
        let before = self.set.current(edit.about());
        let mut gained = match edit.drops {
            true => Sum::default(),
            false => gain_of(&edit, &before),
        };
        for part in &edit.others {
            gained += gain_of(part, &self.set.current(part.about()));
        }
        self.set.log_and_apply(edit, gained).map(drop)
    }

    /// What is there, after the manifest was read again.
    fn shown(&self) -> Shown {
        self.set.check_disk().unwrap();
        let numbers = |versions: &Versions| -> Shown {
            let all = versions.iter().map(|(id, keyspace)| {
                let files = keyspace.tables.all_files().map(|(_, file)| file.number.0);
                let name = keyspace.name.to_string();
                (id.0, name, keyspace.flushed.0, files.collect())
            });
            all.collect()
        };
        let recovered = self.recover().unwrap();
        let shown = numbers(self.set.keyspaces());
        assert_eq!(numbers(recovered.keyspaces()), shown);
        assert_eq!(recovered.last_sequence(), self.set.last_sequence());
        assert_eq!(recovered.keyspaces().next(), self.set.keyspaces().next());
        shown
    }

    fn recover(&self) -> Result<VersionSet> {
        let env = Arc::new(self.env.clone());
        VersionSet::recover(env, dir(), ObsoleteFiles::new(|| {}), false)
    }

    fn reopen(&mut self) {
        self.set = self.recover().unwrap();
    }
}

fn about(id: KeyspaceId) -> VersionEdit {
    VersionEdit {
        keyspace: Some(id),
        ..VersionEdit::default()
    }
}

fn named(id: KeyspaceId, name: &str) -> VersionEdit {
    VersionEdit {
        name: Some(name.to_owned()),
        ..about(id)
    }
}

fn adding(id: KeyspaceId, table: TableInfo) -> VersionEdit {
    let mut edit = about(id);
    edit.add(0, table);
    edit
}

fn dropping(id: KeyspaceId, last: u64) -> VersionEdit {
    VersionEdit {
        drops: true,
        last_number: Some(SequenceNumber(last)),
        ..about(id)
    }
}

#[test]
fn each_keyspace_has_settings_of_its_own_and_loses_them_when_it_is_dropped() {
    let mut bench = Bench::with_two();
    let setting = |id, value: &str| VersionEdit {
        settings: settings_of(&[("a", value)]),
        ..about(id)
    };
    let mut both = setting(KeyspaceId::DEFAULT, "0");
    both.others.push(setting(MUSIC, "1"));
    bench.apply(both).unwrap();
    bench.apply(setting(FILMS, "2")).unwrap();
    for _ in 0..2 {
        for (id, value) in [(KeyspaceId::DEFAULT, "0"), (MUSIC, "1"), (FILMS, "2")] {
            assert_eq!(bench.set.settings(id), settings_of(&[("a", value)]));
        }
        bench.shown();
        bench.reopen();
    }
    let mut wrong = dropping(MUSIC, 9);
    wrong.settings = settings_of(&[("a", "3")]);
    assert_eq!(bench.apply(wrong).unwrap_err().kind(), ErrorKind::Internal);
    bench.reopen();
    bench.apply(dropping(MUSIC, 9)).unwrap();
    assert_eq!(bench.set.settings(MUSIC), Settings::default());
    assert_eq!(bench.set.settings(FILMS), settings_of(&[("a", "2")]));
}

/// KEYSPACE-2, KEYSPACE-3.
#[test]
fn each_keyspace_keeps_its_name_its_tables_and_how_far_it_is_flushed() {
    let mut bench = Bench::new();
    assert_eq!(bench.shown(), [(0, String::new(), 0, vec![])]);
    let new = Features::of(Needs::OF_NEW_DATABASES);
    assert_eq!(*bench.set.features(), new);
    let first = bench.table(3);
    bench
        .apply(adding(KeyspaceId::DEFAULT, first.clone()))
        .unwrap();
    assert_eq!(*bench.set.features(), new);
    bench.apply(named(MUSIC, "music")).unwrap();
    assert!(bench.set.features().have_keyspaces());
    let second = bench.table(7);
    bench.apply(adding(MUSIC, second.clone())).unwrap();
    bench.apply(named(FILMS, "films")).unwrap();
    let tables = [first.number.0, second.number.0];
    let of = |name: &str| {
        vec![
            (0, String::new(), 3, vec![tables[0]]),
            (1, name.to_owned(), 7, vec![tables[1]]),
            (2, "films".to_owned(), 0, vec![]),
        ]
    };
    assert_eq!(bench.shown(), of("music"));
    assert_eq!(bench.set.last_sequence(), SequenceNumber(7));
    bench.apply(named(MUSIC, "songs")).unwrap();
    // The old name is free, and taken, and each manifest that a new process begins says the same.
    for _ in 0..3 {
        assert_eq!(bench.shown(), of("songs"));
        bench.reopen();
        bench.apply(about(FILMS)).unwrap();
    }
    bench.apply(named(KeyspaceId(3), "music")).unwrap();
    assert_eq!(bench.shown()[3], (3, "music".to_owned(), 0, vec![]));
}

#[test]
fn one_edit_changes_several_keyspaces_or_none() {
    let mut bench = Bench::with_two();
    let tables = [bench.table(20), bench.table(21), bench.table(22)];
    let [default, music, films] = tables.clone();
    let mut edit = adding(KeyspaceId::DEFAULT, default);
    edit.others = vec![adding(MUSIC, music), adding(FILMS, films)];
    let before = bench.shown();
    let mut refused = edit.clone();
    refused.others[1].remove(0, FileNumber(4000));
    let outcome = bench.set.log_and_apply(refused, Sum::default());
    assert_eq!(outcome.err().unwrap().kind(), ErrorKind::Internal);
    assert_eq!(bench.shown(), before);
    assert_eq!(
        bench.obsolete.take(),
        tables.clone().map(|table| table.number),
        "SET-1"
    );
    bench.apply(edit).unwrap();
    let numbers = |shown: &Shown| -> Vec<(u64, u64)> {
        shown
            .iter()
            .map(|(id, _, flushed, _)| (*id, *flushed))
            .collect()
    };
    let shown = bench.shown();
    assert_eq!(numbers(&shown), [(0, 20), (1, 21), (2, 22)]);
    assert_eq!(shown[1].3.len(), 2);
}

/// KEYSPACE-1.
#[test]
fn a_dropped_keyspace_takes_its_tables_with_it_and_its_id_is_not_given_again() {
    let mut bench = Bench::with_two();
    let reader = bench.set.current(MUSIC);
    let table = reader.all_files().next().unwrap().1.number;
    bench.apply(dropping(MUSIC, 99)).unwrap();
    assert_eq!(bench.obsolete.take(), [], "a reader has it");
    drop(reader);
    assert_eq!(bench.obsolete.take(), [table]);
    for _ in 0..3 {
        let shown = bench.shown();
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[1], (2, "films".to_owned(), 0, vec![]));
        assert_eq!(bench.set.last_sequence(), SequenceNumber(99));
        let error = bench.apply(named(MUSIC, "music")).unwrap_err();
        assert!(error.message().contains("there was before"), "{error}");
        bench.reopen();
        bench.apply(about(FILMS)).unwrap();
    }
    // The last one goes: its id is still not given again.
    bench.apply(dropping(FILMS, 99)).unwrap();
    bench.reopen();
    bench.apply(about(KeyspaceId::DEFAULT)).unwrap();
    bench.reopen();
    assert!(bench.apply(named(FILMS, "films")).is_err());
    bench.apply(named(KeyspaceId(3), "films")).unwrap();
    assert!(bench.set.features().have_keyspaces());
    assert_eq!(bench.shown().len(), 2);
}

#[test]
fn edits_that_keyspaces_cannot_have_are_refused_and_change_nothing() {
    let mut bench = Bench::with_two();
    let before = bench.shown();
    let table = bench.table(30);
    let refused = [
        named(KeyspaceId::DEFAULT, "main"),
        named(FILMS, "music"),
        named(KeyspaceId(3), "music"),
        about(KeyspaceId(3)),
        adding(KeyspaceId(3), table.clone()),
        dropping(KeyspaceId(3), 1),
        dropping(KeyspaceId::DEFAULT, 1),
        VersionEdit {
            last_sequence: Some(SequenceNumber(9)),
            ..dropping(FILMS, 9)
        },
        VersionEdit {
            name: Some("cinema".to_owned()),
            ..dropping(FILMS, 9)
        },
    ];
    for edit in refused {
        let said = format!("{edit:?}");
        let outcome = bench.set.log_and_apply(edit, Sum::default());
        assert_eq!(outcome.err().unwrap().kind(), ErrorKind::Internal, "{said}");
        assert_eq!(bench.shown(), before, "{said}");
    }
    // SET-7: the sum is that of the keyspaces that change.
    let outcome = bench
        .set
        .log_and_apply(adding(FILMS, table), Sum::default());
    assert!(outcome.err().unwrap().is_unaccounted());
    assert_eq!(bench.shown(), before);
}

/// FEATURE-1.
#[test]
fn a_manifest_with_a_keyspace_and_without_the_feature_is_damage() {
    let mut bench = Bench::new();
    let (_, file_id) = read_current(&bench.env, dir()).unwrap();
    let number = bench.set.manifest_number();
    let mut reader = ManifestReader::open(&bench.env, dir(), number, file_id, true).unwrap();
    while reader.next_edit().unwrap().is_some() {}
    let mut edit = named(MUSIC, "music");
    edit.next_keyspace = Some(FILMS);
    reader.into_writer().unwrap().append(&edit).unwrap();
    let error = bench.recover().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains("without the feature"), "{error}");
    bench = Bench::with_two();
    bench.recover().unwrap();
}

#[test]
fn a_table_in_two_keyspaces_is_damage() {
    let mut bench = Bench::with_two();
    let table = bench.table(30);
    bench.apply(adding(MUSIC, table.clone())).unwrap();
    bench.apply(adding(FILMS, table)).unwrap();
    let error = bench.recover().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains("in two keyspaces"), "{error}");
}

#[test]
fn a_repair_finds_the_tables_of_all_keyspaces_but_the_dropped_ones() {
    let mut bench = Bench::with_two();
    let tables = [bench.table(30), bench.table(31)];
    bench
        .apply(adding(KeyspaceId::DEFAULT, tables[0].clone()))
        .unwrap();
    bench.apply(adding(FILMS, tables[1].clone())).unwrap();
    bench.apply(dropping(MUSIC, 40)).unwrap();
    let mut faults = Vec::new();
    let found = salvage(&bench.env, dir(), &mut faults).unwrap();
    assert!(faults.is_empty() && found.is_complete);
    let live = found.tables.keys().copied();
    assert!(live.eq(tables.iter().map(|table| table.number)));
    assert_eq!(found.removed.len(), 1);
    assert_eq!(found.last_sequence, SequenceNumber(40));
}
