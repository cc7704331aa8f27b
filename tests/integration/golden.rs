//! Reads, writes and compacts databases that earlier builds wrote: one directory per format of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aidb::env::OsEnv;
use aidb::inspect::{self, FileKind};
use aidb::{Compression, DB, ErrorKind, Options, ValueKind, WriteBatch, WriteOptions};
use tempfile::TempDir;

use crate::all;

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn golden(format: u32) -> PathBuf {
    golden_named(&format!("format-{format}"))
}

fn golden_named(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name)
}

/// A copy of the golden directory of a format, and its contents.
fn copy(format: u32) -> (TempDir, Entries) {
    copy_of(&golden(format))
}

/// A copy of a golden directory, and its contents.
fn copy_of(golden: &Path) -> (TempDir, Entries) {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden.join("db")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(golden.join("entries.txt")).unwrap();
    let parse = |line: &str| {
        let (key, value) = line.rsplit_once(' ').unwrap();
        let (value, times) = value.split_once('*').unwrap_or((value, "1"));
        let digits = |at| u8::from_str_radix(&value[at..at + 2], 16).unwrap();
        let value: Vec<u8> = (0..value.len()).step_by(2).map(digits).collect();
        (
            key.as_bytes().to_vec(),
            value.repeat(times.parse().unwrap()),
        )
    };
    let mut entries: Entries = text.lines().map(parse).collect();
    entries.sort();
    (dir, entries)
}

/// The format version that the first record of the current manifest names: its first field, after three sectors and the
/// record's own eight bytes.
fn format_version(dir: &Path) -> u8 {
    let current = std::fs::read_to_string(dir.join("CURRENT")).unwrap();
    let name = current.split(' ').nth(2).unwrap();
    let manifest = std::fs::read(dir.join(name)).unwrap();
    let [tag, version] = manifest[3 * 4096 + 8..][..2] else {
        panic!("two bytes");
    };
    assert_eq!(tag, 1, "the field of the format version");
    version
}

/// Checks that each way of reading finds all entries.
fn check(db: &DB, entries: &Entries, about: &str) {
    assert!(all(db) == *entries, "{about}: a walk forward");
    let mut backward: Entries = db.iter().rev().map(Result::unwrap).collect();
    backward.reverse();
    assert!(backward == *entries, "{about}: a walk backward");
    for (key, value) in entries {
        let found = db.get(key).unwrap();
        assert_eq!(found.as_deref(), Some(&value[..]), "{about}");
    }
    for number in 0..400 {
        let key = format!("key {number:04}").into_bytes();
        let is_there = entries
            .binary_search_by(|(other, _)| other.cmp(&key))
            .is_ok();
        assert_eq!(db.contains_key(&key).unwrap(), is_there, "{about}");
    }
    let report = db.verify().unwrap();
    assert!(report.is_ok(), "{about}: {report:?}");
}

/// The formats that today's build reads.
const FORMATS: [u32; 2] = [1, 2];

#[test]
fn a_database_of_each_format_is_read_written_and_compacted_and_is_of_format_2_then() {
    for format in FORMATS {
        let (dir, mut entries) = copy(format);
        assert!(entries.len() > 300);
        assert_eq!(u32::from(format_version(dir.path())), format);
        let read_only = DB::open(dir.path(), Options::new().read_only(true)).unwrap();
        check(&read_only, &entries, "read-only");
        drop(read_only);
        let unchanged = u32::from(format_version(dir.path()));
        assert_eq!(unchanged, format, "reading changes nothing");

        let calm = || Options::new().level0_compaction_trigger(64);
        let db = DB::open(dir.path(), calm()).unwrap();
        check(&db, &entries, "open for writing");
        let levels = db.stats().unwrap().levels;
        assert!(levels[0].tables >= 3 && levels[1].tables >= 1, "{levels:?}");
        assert_eq!(format_version(dir.path()), 2);
        db.delete(&entries.remove(0).0).unwrap();
        db.put(b"new", b"value").unwrap();
        entries.push((b"new".to_vec(), b"value".to_vec()));
        entries.sort();
        db.flush().unwrap();
        check(&db, &entries, "old tables and a new one");

        db.compact_range(None, None).unwrap();
        check(&db, &entries, "compacted");
        let levels = db.stats().unwrap().levels;
        assert_eq!(levels[0].tables, 0, "{levels:?}");
        db.close().unwrap();
        let db = DB::open(dir.path(), calm().create_if_missing(false)).unwrap();
        check(&db, &entries, "opened again");
        assert_eq!(format_version(dir.path()), 2);
    }
}

#[test]
fn a_database_of_each_format_can_be_copied_and_repaired() {
    for format in FORMATS {
        let (dir, entries) = copy(format);
        let into = tempfile::tempdir().unwrap();
        let report = DB::repair(dir.path(), into.path().join("repaired"), &Options::new()).unwrap();
        assert!(report.is_ok(), "{report:?}");
        let repaired = DB::open(into.path().join("repaired"), Options::new()).unwrap();
        check(&repaired, &entries, "repaired");

        let db = DB::open(dir.path(), Options::new()).unwrap();
        db.checkpoint(into.path().join("copy")).unwrap();
        db.close().unwrap();
        let copy = DB::open(into.path().join("copy"), Options::new()).unwrap();
        check(&copy, &entries, "copied");
    }
}

/// The forms that files of format 2 can take, and that the golden database of that format has.
const EVERY_FORM: &[&str] = &[
    "a block of its own",
    "a filter",
    "a log after another one",
    "a log whose end was not synced when the next one began",
    "a record in several blocks of the log",
    "a record of several operations",
    "a removed table",
    "a shortened bound",
    "a synced log in the manifest",
    "a table of format 1",
    "a table with older versions",
    "a tombstone",
    "an empty value",
    "data compressed with lz4",
    "data compressed with snappy",
    "data compressed with zstd",
    "data not compressed",
    "how far the last log was synced",
    "no filter",
];

/// The forms among [`EVERY_FORM`] that the files in `db` have.
fn forms(db: &Path) -> BTreeSet<&'static str> {
    let mut forms = BTreeSet::new();
    for file in std::fs::read_dir(db).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        match inspect::file_kind(name).unwrap() {
            FileKind::Table(_) => forms.extend(forms_of_table(&path)),
            FileKind::Log(_) => forms.extend(forms_of_log(&path)),
            FileKind::Manifest(_) => forms.extend(forms_of_manifest(&path)),
            FileKind::Synced => {
                let synced = inspect::Synced::read(&OsEnv::new(), &path).unwrap();
                forms.extend(synced.map(|_| "how far the last log was synced"));
            }
            _ => {}
        }
    }
    forms
}

fn forms_of_table(path: &Path) -> Vec<&'static str> {
    let table = inspect::Table::open(&OsEnv::new(), path).unwrap();
    let mut forms = vec![match table.has_filter() {
        true => "a filter",
        false => "no filter",
    }];
    forms.push(match table.properties().compression.unwrap() {
        Compression::None => "data not compressed",
        Compression::Lz4 => "data compressed with lz4",
        Compression::Snappy => "data compressed with snappy",
        Compression::Zstd => "data compressed with zstd",
        other => panic!("{other:?}"),
    });
    let mut entries = table.entries();
    while let Some(entry) = entries.next_entry().unwrap() {
        match (entry.kind, entry.value.len()) {
            (ValueKind::Delete, _) => forms.push("a tombstone"),
            (_, 0) => forms.push("an empty value"),
            (_, 65_536..) => forms.push("a block of its own"),
            _ => {}
        }
    }
    forms
}

fn forms_of_log(path: &Path) -> Vec<&'static str> {
    let mut log = inspect::Log::open(&OsEnv::new(), path).unwrap().unwrap();
    let mut forms = Vec::new();
    if let Some(before) = log.header().predecessor {
        let path = path.with_file_name(format!("{}.log", before.number));
        if path.exists() {
            forms.push("a log after another one");
            if before.synced < before.length {
                forms.push("a log whose end was not synced when the next one began");
            }
        }
    }
    while let Some(record) = log.next_record().unwrap() {
        if record.offset / 32_768 != record.end / 32_768 {
            forms.push("a record in several blocks of the log");
        }
        if record.operations().unwrap().count() > 1 {
            forms.push("a record of several operations");
        }
    }
    forms
}

fn forms_of_manifest(path: &Path) -> Vec<&'static str> {
    let mut manifest = inspect::Manifest::open(&OsEnv::new(), path).unwrap();
    let mut forms = Vec::new();
    while let Some(edit) = manifest.next_edit().unwrap() {
        if !edit.removed.is_empty() {
            forms.push("a removed table");
        }
        if edit.synced_log.is_some_and(|log| log.0 > 0) {
            forms.push("a synced log in the manifest");
        }
        for table in edit.added {
            if table.content_sum.is_none() {
                forms.push("a table of format 1");
            }
            if table.older_versions.is_some_and(|versions| versions > 0) {
                forms.push("a table with older versions");
            }
            if table.smallest.sequence.is_none() || table.largest.sequence.is_none() {
                forms.push("a shortened bound");
            }
        }
    }
    forms
}

/// Makes the database of format 1 in `dir` one of format 2 that has every form; `entries` are what it holds. Returns it
/// still open, because closing it would flush what only its logs have.
fn write_every_form(dir: &Path, entries: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> DB {
    let mut put = |db: &DB, key: &str, value: Vec<u8>| {
        db.put(key.as_bytes(), &value).unwrap();
        entries.insert(key.as_bytes().to_vec(), value);
    };
    let options = || Options::new().level0_compaction_trigger(64);
    let codecs = [
        (Compression::None, 0),
        (Compression::Lz4, 10),
        (Compression::Snappy, 10),
        (Compression::Zstd, 10),
    ];
    for (codec, bloom) in codecs {
        let options = options().compression(codec).bloom_bits_per_key(bloom);
        let db = DB::open(dir, options).unwrap();
        for number in 0..40 {
            put(&db, &format!("key {codec:?} {number}"), vec![b'v'; number]);
        }
        match codec {
            Compression::None => put(&db, "large", vec![b'l'; 70 << 10]),
            Compression::Lz4 => {
                // Alike at their fronts.
                put(&db, &"long-".repeat(400), b"a key above 1 KiB".to_vec());
                put(&db, &("long-".repeat(400) + "b"), b"another".to_vec());
            }
            Compression::Snappy => {
                put(&db, "older", b"a version that a snapshot sees".to_vec());
                let _snapshot = db.snapshot().unwrap();
                put(&db, "older", b"the newest version".to_vec());
                db.flush().unwrap();
            }
            _ => {
                db.delete(b"key None 7").unwrap();
            }
        }
        db.flush().unwrap();
        db.close().unwrap();
    }
    let options = options()
        .manual_background(true)
        .write_buffer_size(64 << 10);
    let db = DB::open(dir, options).unwrap();
    for value in [b"first", b"again"] {
        for number in 0..20 {
            put(&db, &format!("z{number}"), value.to_vec());
        }
        db.flush().unwrap();
    }
    db.compact_range(Some(b"z"), None).unwrap();
    let sync = WriteOptions::new().sync(true);
    db.put_with(b"log", b"a synced put", &sync).unwrap();
    // The third finds the memtable full, and goes to the next log.
    for (at, byte) in [b'a', b'b', b'c'].into_iter().enumerate() {
        put(&db, &format!("log {at}"), vec![byte; 40 << 10]);
    }
    let mut batch = WriteBatch::new();
    batch.put(b"batch", b"one").unwrap();
    batch.delete(b"key Lz4 3").unwrap();
    batch.put(b"batch 2", b"two").unwrap();
    db.write_with(&batch, &sync).unwrap();
    put(&db, "log 3", b"a put that was not synced".to_vec());
    for (key, value) in [
        ("log", "a synced put"),
        ("batch", "one"),
        ("batch 2", "two"),
    ] {
        entries.insert(key.into(), value.into());
    }
    for key in ["key None 7", "key Lz4 3"] {
        entries.remove(key.as_bytes());
    }
    db
}

/// With `AIDB_UPDATE_GOLDEN=1` replaces the golden database of format 2 with the new one: only for a change of the
/// format before it is released.
#[test]
fn the_golden_database_of_format_2_has_every_form_and_so_does_one_written_today() {
    let (dir, entries) = copy(1);
    let mut entries = entries.into_iter().collect();
    let db = write_every_form(dir.path(), &mut entries);
    let expected: BTreeSet<_> = EVERY_FORM.iter().copied().collect();
    assert_eq!(forms(dir.path()), expected, "written today");
    let entries: Entries = entries.into_iter().collect();
    check(&db, &entries, "written today");
    if std::env::var_os("AIDB_UPDATE_GOLDEN").is_some() {
        update(&golden(2), dir.path(), &entries);
    }
    assert_eq!(forms(&golden(2).join("db")), expected, "the golden one");
}

/// The golden database with range deletes.
const RANGES: &str = "range-delete";

/// Writes a database with range deletes in tables of two levels, of which one is swept, and in its log. It is still
/// open.
fn write_range_deletes(dir: &Path) -> (DB, Entries) {
    let options = Options::new()
        .level0_compaction_trigger(64)
        .manual_background(true);
    let db = DB::open(dir, options).unwrap();
    let mut model = aidb_tests::Model::new();
    let key = |number: usize| format!("key {number:04}").into_bytes();
    let put = |numbers: std::ops::Range<usize>, model: &mut aidb_tests::Model| {
        for number in numbers {
            let value = number.to_string().into_bytes();
            db.put(&key(number), &value).unwrap();
            model.put(&key(number), &value);
        }
    };
    let delete = |start: Option<usize>, end: Option<usize>, model: &mut aidb_tests::Model| {
        let (start, end) = (start.map(key), end.map(key));
        db.delete_range(start.as_deref(), end.as_deref()).unwrap();
        model.delete_range(start.as_deref(), end.as_deref());
    };
    put(0..300, &mut model);
    db.flush().unwrap();
    let snapshot = db.snapshot().unwrap();
    delete(Some(50), Some(100), &mut model);
    db.flush().unwrap();
    db.compact_range(None, None).unwrap();
    drop(snapshot);
    // The snapshot is gone: this compaction sweeps the rest of the range, and leaves the range delete.
    put(60..65, &mut model);
    delete(Some(80), Some(120), &mut model);
    db.flush().unwrap();
    delete(None, Some(10), &mut model);
    put(3..5, &mut model);
    delete(Some(290), None, &mut model);
    db.delete_prefix(b"key 020").unwrap();
    model.delete_prefix(b"key 020");
    let entries = model.iter();
    let entries = entries.map(|(key, value)| (key.to_vec(), value.to_vec()));
    let entries = entries.collect();
    (db, entries)
}

/// With `AIDB_UPDATE_GOLDEN=1` replaces the golden database with range deletes: only before their format is released.
#[test]
fn a_database_with_range_deletes_is_read_recovered_and_compacted_until_none_is_left() {
    if std::env::var_os("AIDB_UPDATE_GOLDEN").is_some() {
        let dir = tempfile::tempdir().unwrap();
        let (db, entries) = write_range_deletes(dir.path());
        check(&db, &entries, "written today");
        update(&golden_named(RANGES), dir.path(), &entries);
    }
    let (dir, entries) = copy_of(&golden_named(RANGES));
    let read_only = DB::open(dir.path(), Options::new().read_only(true)).unwrap();
    check(&read_only, &entries, "read-only");
    drop(read_only);
    let calm = Options::new()
        .level0_compaction_trigger(64)
        .manual_background(true);
    let db = DB::open(dir.path(), calm.clone()).unwrap();
    check(&db, &entries, "open for writing");
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    db.checkpoint(&copy).unwrap();
    check(
        &DB::open(&copy, calm.clone()).unwrap(),
        &entries,
        "a checkpoint",
    );
    db.flush().unwrap();
    check(&db, &entries, "flushed");
    db.compact_range(None, None).unwrap();
    check(&db, &entries, "compacted");
    while db.run_background_step().unwrap() {}
    check(&db, &entries, "swept");
    db.close().unwrap();
    check(
        &DB::open(dir.path(), calm.clone()).unwrap(),
        &entries,
        "opened again",
    );
    let (dir, _) = copy_of(&golden_named(RANGES));
    let repaired = copies.path().join("repaired");
    let report = DB::repair(dir.path(), &repaired, &calm).unwrap();
    assert!(report.is_ok(), "{report:?}");
    check(&DB::open(&repaired, calm).unwrap(), &entries, "repaired");
}

/// Makes the open database in `dir` the one in the directory `golden`.
fn update(golden: &Path, dir: &Path, entries: &Entries) {
    let into = golden.join("db");
    if into.exists() {
        std::fs::remove_dir_all(&into).unwrap();
    }
    std::fs::create_dir_all(&into).unwrap();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap();
        if name != "LOCK" && name != "RESERVE" && name != "BLANK-LOG.tmp" {
            std::fs::copy(&path, into.join(name)).unwrap();
        }
    }
    let mut text = String::new();
    for (key, value) in entries {
        // A value of one byte again and again is written once, with its count.
        let (value, times) = match value.split_first() {
            Some((first, rest)) if rest.len() > 99 && rest.iter().all(|byte| byte == first) => {
                (&value[..1], value.len())
            }
            _ => (&value[..], 1),
        };
        let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = std::str::from_utf8(key).unwrap();
        text += &match times {
            1 => format!("{key} {digits}\n"),
            _ => format!("{key} {digits}*{times}\n"),
        };
    }
    std::fs::write(golden.join("entries.txt"), text).unwrap();
}

/// A copy of the golden directory that this build refuses, and the words that each error about it must have.
fn refused(golden: &str) -> (TempDir, &'static [&'static str]) {
    let dir = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{golden}"));
    for entry in std::fs::read_dir(path.join("db")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    match golden {
        "refused-format" => (dir, &["MANIFEST-000017", "format 99", "formats 1 to 2"]),
        "refused-feature" => (dir, &["MANIFEST-000001", "\"expiry\""]),
        other => panic!("{other}"),
    }
}

#[test]
fn a_database_of_a_later_format_or_with_a_later_feature_is_unsupported_and_the_error_says_why() {
    for golden in ["refused-format", "refused-feature"] {
        let (dir, words) = refused(golden);
        let files = || -> Vec<_> {
            let entries = std::fs::read_dir(dir.path()).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            let mut files: Vec<_> = paths
                .map(|path| (std::fs::read(&path).unwrap(), path))
                .collect();
            files.sort();
            files
        };
        let before = files();
        let into = tempfile::tempdir().unwrap();
        let refusals = [
            DB::open(dir.path(), Options::new()).map(|_| ()),
            DB::open(dir.path(), Options::new().read_only(true)).map(|_| ()),
            DB::repair(dir.path(), into.path(), &Options::new()).map(|_| ()),
        ];
        for refusal in refusals {
            let error = refusal.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            for word in words {
                assert!(error.message().contains(word), "{word}: {error}");
            }
        }
        let changed: Vec<_> = files()
            .into_iter()
            .filter(|file| !before.contains(file))
            .collect();
        let names = changed.iter().map(|(_, path)| path.file_name().unwrap());
        assert!(
            names.clone().all(|name| name == "LOCK" || name == "LOG"),
            "{golden}: {names:?}"
        );
    }
}

#[test]
fn the_features_of_a_database_that_this_build_refuses_are_shown() {
    let (dir, _) = refused("refused-feature");
    let path = dir.path().join("MANIFEST-000001");
    let mut manifest = inspect::Manifest::open(&OsEnv::new(), &path).unwrap();
    let mut shown = Vec::new();
    while let Some(edit) = manifest.next_edit().unwrap() {
        shown.extend(edit.features);
    }
    assert_eq!(shown, ["expiry", "range-delete"]);
}

/// The parts that a decoder finds in its file: entries of a table, operations of a log, edits of a manifest.
fn decode(path: &Path) -> aidb::Result<usize> {
    let (env, name) = (OsEnv::new(), path.file_name().unwrap().to_str().unwrap());
    let mut found = 0;
    match inspect::file_kind(name).unwrap() {
        FileKind::Table(_) => {
            let table = inspect::Table::open(&env, path)?;
            let mut entries = table.entries();
            while entries.next_entry()?.is_some() {
                found += 1;
            }
            assert_eq!(found as u64, table.properties().entries, "{name}");
            assert!(table.check(|at, error| panic!("{name} at {at}: {error}"))?);
        }
        FileKind::Log(number) => {
            let mut log = inspect::Log::open(&env, path)?.unwrap();
            assert_eq!(log.header().number, number);
            while let Some(record) = log.next_record()? {
                found += record.operations()?.map(Result::unwrap).count();
            }
            assert!(!log.end().unwrap().is_torn, "{name}");
        }
        FileKind::Manifest(_) => {
            let mut manifest = inspect::Manifest::open(&env, path)?;
            while manifest.next_edit()?.is_some() {
                found += 1;
            }
        }
        FileKind::Current => {
            let current = inspect::Current::read(&env, path)?;
            let manifest = path.with_file_name(format!("MANIFEST-{}", current.manifest));
            let manifest = inspect::Manifest::open(&env, &manifest)?;
            assert_eq!(manifest.file_id(), current.file_id);
            found = 1;
        }
        FileKind::Synced => {
            // An empty one says nothing: no write has been synced.
            let length = std::fs::metadata(path).unwrap().len();
            let synced = inspect::Synced::read(&env, path)?;
            assert_eq!(synced.is_some(), length > 0, "{name}");
            found = 1;
        }
        other => panic!("{name} is {other:?}"),
    }
    Ok(found)
}

#[test]
fn every_file_of_every_golden_database_is_decoded_or_refused_for_its_format() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let (mut decoded, mut refused) = (0, 0);
    for directory in std::fs::read_dir(root).unwrap() {
        let directory = directory.unwrap().path();
        let is_refused = directory.ends_with("refused-format");
        for file in std::fs::read_dir(directory.join("db")).unwrap() {
            let path = file.unwrap().path();
            let shown = path.display();
            match decode(&path) {
                Ok(found) => assert!(found > 0, "{shown}"),
                Err(error) => {
                    assert!(is_refused, "{shown}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    assert!(error.message().contains("format 99"), "{error}");
                    refused += 1;
                }
            }
            decoded += 1;
        }
    }
    assert!(decoded >= 13 && refused == 1, "{refused} of {decoded}");
}
