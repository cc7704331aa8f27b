//! Opening, reopening, opening read-only, destroying; and refusing directories that are no database.

use std::fs;

use aidb::{DB, ErrorKind, Options};

use crate::{all, get, small_options};

#[test]
fn everything_is_there_after_close_and_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for life in 0..5u32 {
        let db = DB::open(dir.path(), small_options()).unwrap();
        assert_eq!(all(&db), expected, "life {life}");
        for number in 0..300u32 {
            let key = [life.to_be_bytes(), number.to_be_bytes()].concat();
            db.put(&key, &[life as u8; 60]).unwrap();
        }
        expected = all(&db);
        match life % 2 {
            0 => db.close().unwrap(),
            _ => drop(db),
        }
    }
    assert_eq!(expected.len(), 1500);
}

#[test]
fn create_if_missing_and_error_if_exists_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/db");
    let refused = |options: Options| DB::open(&path, options).err().expect("an error").kind();
    assert_eq!(
        refused(Options::new().create_if_missing(false)),
        ErrorKind::InvalidArgument
    );
    assert!(!path.exists());
    DB::open(&path, Options::new()).unwrap().close().unwrap();
    assert_eq!(
        refused(Options::new().error_if_exists(true)),
        ErrorKind::InvalidArgument
    );
    DB::open(&path, Options::new().create_if_missing(false)).unwrap();
}

#[test]
fn a_directory_that_is_not_a_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = DB::open(dir.path(), Options::new()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let error = DB::destroy(dir.path(), &Options::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(fs::read(dir.path().join("letter.txt")).unwrap(), b"dear");
}

#[test]
fn a_path_that_is_a_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "x").unwrap();
    assert!(DB::open(&path, Options::new()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

/// OPEN-3.
#[test]
fn read_only_reads_everything_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), small_options()).unwrap();
    for number in 0..1000u32 {
        db.put(&number.to_be_bytes(), &[3; 40]).unwrap();
    }
    db.close().unwrap();
    // The writes since the last flush are only in the log; the reader replays it in memory.
    let names = || {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name(), entry.metadata().unwrap().len())
            })
            .filter(|(name, _)| name != "LOCK")
            .collect();
        names.sort();
        names
    };
    let before = names();
    let reader = DB::open(dir.path(), small_options().read_only(true)).unwrap();
    let second = DB::open(dir.path(), small_options().read_only(true)).unwrap();
    assert_eq!(all(&reader).len(), 1000);
    assert_eq!(all(&second).len(), 1000);
    for error in [
        reader.put(b"k", b"v").unwrap_err(),
        reader.flush().unwrap_err(),
        reader.compact_range(None, None).unwrap_err(),
    ] {
        assert!(
            matches!(
                error.kind(),
                ErrorKind::InvalidArgument | ErrorKind::Unsupported
            ),
            "{error}"
        );
    }
    let error = DB::open(dir.path(), small_options()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    drop((reader, second));
    assert_eq!(names(), before);
    assert!(DB::open(dir.path().join("none"), Options::new().read_only(true)).is_err());
    assert!(!dir.path().join("none").exists());
}

#[test]
fn destroy_removes_the_database_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = DB::open(&path, small_options()).unwrap();
    for number in 0..1000u32 {
        db.put(&number.to_be_bytes(), &[3; 40]).unwrap();
    }
    let error = DB::destroy(&path, &Options::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    db.close().unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    DB::destroy(&path, &Options::new()).unwrap();
    let left: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["notes.txt"]);

    let whole = dir.path().join("whole");
    DB::open(&whole, Options::new()).unwrap().close().unwrap();
    DB::destroy(&whole, &Options::new()).unwrap();
    assert!(!whole.exists());
    DB::destroy(&whole, &Options::new()).unwrap();
}

#[test]
fn a_missing_or_shortened_file_is_an_error_never_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = DB::open(&path, small_options()).unwrap();
    for number in 0..2000u32 {
        db.put(&number.to_be_bytes(), &[3; 40]).unwrap();
    }
    db.flush().unwrap();
    db.close().unwrap();
    let mut names: Vec<String> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let manifest = names.iter().find(|name| name.starts_with("MANIFEST"));
    let table = names.iter().find(|name| name.ends_with(".sst"));
    let victims = ["CURRENT", manifest.unwrap(), table.unwrap()];
    for victim in victims {
        let victim = path.join(victim);
        let bytes = fs::read(&victim).unwrap();
        for shorter in [None, Some(bytes.len() / 2), Some(0)] {
            match shorter {
                None => fs::remove_file(&victim).unwrap(),
                Some(length) => fs::write(&victim, &bytes[..length]).unwrap(),
            }
            let read = DB::open(&path, small_options()).and_then(|db| {
                db.iter()
                    .try_fold(0, |count, entry| entry.map(|_| count + 1))
            });
            let error = read.err().unwrap_or_else(|| {
                panic!("{} cut to {shorter:?} went unnoticed", victim.display())
            });
            assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        }
        fs::write(&victim, &bytes).unwrap();
    }
    let db = DB::open(&path, small_options()).unwrap();
    assert_eq!(get(&db, 1999u32.to_be_bytes()).unwrap(), [3; 40]);
    assert_eq!(all(&db).len(), 2000);
}
